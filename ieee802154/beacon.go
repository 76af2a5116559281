package ieee802154

import "encoding/binary"

// A Beacon is the payload of a beacon frame of version 2003 or 2006 (section 7.3.1.1). An
// enhanced beacon (version 2015) has information elements instead.
type Beacon struct {
	// Superframe is the superframe specification: beacon order in bits 0-3, superframe
	// order 4-7, final CAP slot 8-11, battery life extension 12, PAN coordinator 14,
	// association permit 15.
	Superframe uint16
	GTS        []byte // GTS specification, directions and list, as they stand; at least 1 byte
	Pending    []byte // the addresses of the pending address field, as they stand
	NumShort   uint8  // short addresses in Pending, 0 to 7
	NumExt     uint8  // extended addresses after them, 0 to 7
	Payload    []byte
}

// PANCoordinator reports whether the sender is the PAN coordinator.
func (b *Beacon) PANCoordinator() bool { return b.Superframe&(1<<14) != 0 }

// AssociationPermit reports whether the sender accepts associations.
func (b *Beacon) AssociationPermit() bool { return b.Superframe&(1<<15) != 0 }

// PendingAddr returns the i-th pending address: the short ones come first.
func (b *Beacon) PendingAddr(i int) (Addr, bool) {
	switch {
	case i < 0 || i >= int(b.NumShort)+int(b.NumExt):
		return Addr{}, false
	case i < int(b.NumShort):
		return Short(binary.LittleEndian.Uint16(b.Pending[2*i:])), true
	}
	return Extended(binary.LittleEndian.Uint64(b.Pending[2*int(b.NumShort)+8*(i-int(b.NumShort)):])), true
}

// Parse decodes p, the payload of a beacon frame. The slices of b alias it. The error is a
// [Drop].
func (b *Beacon) Parse(p []byte) error {
	if len(p) < 4 {
		return DropTruncated
	}
	b.Superframe = binary.LittleEndian.Uint16(p)
	n := 1 // GTS specification; descriptors add directions and 3 bytes each
	if d := int(p[2] & 7); d > 0 {
		n += 1 + 3*d
	}
	p = p[2:]
	if len(p) < n+1 {
		return DropTruncated
	}
	b.GTS, p = p[:n:n], p[n:]
	if p[0]&0x88 != 0 { // reserved
		return DropPayload
	}
	b.NumShort, b.NumExt = p[0]&7, p[0]>>4&7
	n = 2*int(b.NumShort) + 8*int(b.NumExt)
	if len(p) < 1+n {
		return DropTruncated
	}
	b.Pending, b.Payload = p[1:1+n:1+n], p[1+n:]
	return nil
}

// AppendBinary appends the beacon payload to p. The error is a [Drop].
func (b *Beacon) AppendBinary(p []byte) ([]byte, error) {
	if len(b.GTS) == 0 || b.NumShort > 7 || b.NumExt > 7 || len(b.Pending) != 2*int(b.NumShort)+8*int(b.NumExt) {
		return p, DropPayload
	}
	n := 1
	if d := int(b.GTS[0] & 7); d > 0 {
		n += 1 + 3*d
	}
	if len(b.GTS) != n {
		return p, DropPayload
	}
	p = binary.LittleEndian.AppendUint16(p, b.Superframe)
	p = append(p, b.GTS...)
	p = append(p, b.NumShort|b.NumExt<<4)
	p = append(p, b.Pending...)
	return append(p, b.Payload...), nil
}

// A CommandID identifies a MAC command: the first byte of a command frame's payload
// (section 7.5.1).
type CommandID uint8

// The commands.
const (
	CommandAssociationRequest     CommandID = 1
	CommandAssociationResponse    CommandID = 2
	CommandDisassociation         CommandID = 3
	CommandDataRequest            CommandID = 4
	CommandPANIDConflict          CommandID = 5
	CommandOrphan                 CommandID = 6
	CommandBeaconRequest          CommandID = 7
	CommandCoordinatorRealignment CommandID = 8
	CommandGTSRequest             CommandID = 9
)

// Command returns the command identifier. ok is false when f is no command frame, has no
// payload, or is of version 2015 and still encrypted, where the identifier is enciphered too.
func (f *Frame) Command() (id CommandID, ok bool) {
	if f.Type != TypeCommand || len(f.Payload) == 0 || f.Version == Version2015 && f.Encrypted() && !f.opened {
		return 0, false
	}
	return CommandID(f.Payload[0]), true
}

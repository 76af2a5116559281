package ieee802154

// Superframe specifications of a PAN without periodic beacons (section 7.3.1.4): beacon
// order, superframe order and final CAP slot are all 15.
const (
	SuperframeNonbeacon         = 0x0fff
	SuperframePANCoordinator    = 1 << 14 // the sender is the PAN coordinator
	SuperframeAssociationPermit = 1 << 15 // the sender accepts associations
)

// beaconRequestLen is the length of a beacon request: frame control, sequence number,
// destination PAN and address, command.
const beaconRequestLen = 8

// AppendBeaconRequest appends the beacon request command (section 7.5.8) that an active
// scan sends on each channel, without FCS, to b. Coordinators answer with a beacon after a
// random delay; listening for aBaseSuperframeDuration * (2^n + 1) with n = 3, about 140 ms,
// hears most of them. Its frame version is 0, which devices of every year know.
func AppendBeaconRequest(b []byte, seq uint8) []byte {
	return append(b, byte(TypeCommand), byte(AddrShort)<<2, seq, 0xff, 0xff, 0xff, 0xff, byte(CommandBeaconRequest))
}

// A PANDescriptor is what one beacon says of a PAN (section 8.2.4.2, table 8-6).
type PANDescriptor struct {
	PAN        uint16 // of the coordinator
	Addr       Addr   // of the coordinator: short or extended
	Seq        uint8  // BSN
	Superframe uint16 // see [Beacon]; 0 in an enhanced beacon
	Enhanced   bool   // a beacon of version 2015: it has information elements
	Secured    bool   // Payload may be enciphered
	Payload    []byte // beacon payload, such as that of Zigbee or Thread; aliases the frame
}

// Parse decodes the beacon frame b, which has no FCS. The error is a [Drop]: that of the
// frame, [DropFrameType] when it is no beacon, [DropAddressing] when it does not say whose.
func (d *PANDescriptor) Parse(b []byte) error {
	var f Frame
	if err := f.Parse(b); err != nil {
		return err
	}
	return d.fromFrame(&f)
}

func (d *PANDescriptor) fromFrame(f *Frame) error {
	if f.Type != TypeBeacon {
		return DropFrameType
	}
	pan, ok := f.SourcePAN()
	if !ok || f.Src.Mode == AddrNone {
		return DropAddressing
	}
	*d = PANDescriptor{PAN: pan, Addr: f.Src, Seq: f.Seq, Secured: f.Security}
	if f.Version == Version2015 {
		d.Enhanced, d.Payload = true, f.Payload
		return nil
	}
	var bc Beacon
	if err := bc.Parse(f.Payload); err != nil {
		return err
	}
	d.Superframe, d.Payload = bc.Superframe, bc.Payload
	return nil
}

// PANCoordinator reports whether the sender is the PAN coordinator; false is all that an
// enhanced beacon says.
func (d *PANDescriptor) PANCoordinator() bool { return d.Superframe&SuperframePANCoordinator != 0 }

// AssociationPermit reports whether the sender accepts associations.
func (d *PANDescriptor) AssociationPermit() bool {
	return d.Superframe&SuperframeAssociationPermit != 0
}

// AppendBeaconFrame appends a beacon frame without FCS to b: version 0, no destination, the
// source src in pan, and the payload bc. The error is a [Drop]; b is then returned as it was.
func AppendBeaconFrame(b []byte, seq uint8, pan uint16, src Addr, bc *Beacon) ([]byte, error) {
	if src.Mode == AddrNone {
		return b, DropAddressing
	}
	start := len(b)
	f := Frame{Type: TypeBeacon, Seq: seq, SrcPAN: pan, Src: src}
	b, err := f.AppendBinary(b)
	if err != nil {
		return b[:start], err
	}
	if b, err = bc.AppendBinary(b); err != nil {
		return b[:start], err
	}
	if len(b)-start > MaxFrame-FCSLen {
		return b[:start], DropTooLong
	}
	return b, nil
}

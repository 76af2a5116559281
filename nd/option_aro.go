package nd

import "encoding/binary"

// A Status is the result of a registration (RFC 6775 section 4.1, RFC 8505 table 1).
type Status uint8

// The values of a [Status].
const (
	StatusSuccess         Status = 0
	StatusDuplicate       Status = 1  // Duplicate Address
	StatusTableFull       Status = 2  // Neighbor Cache Full
	StatusMoved           Status = 3  // RFC 8505: the registration is elsewhere, with a fresher TID
	StatusRemoved         Status = 4  // RFC 8505
	StatusValidation      Status = 5  // RFC 8505: Validation Requested
	StatusDuplicateSource Status = 6  // RFC 8505
	StatusInvalidSource   Status = 7  // RFC 8505
	StatusTopology        Status = 8  // RFC 8505: Registered Address Topologically Incorrect
	StatusRegistryFull    Status = 9  // RFC 8505: 6LBR Registry Saturated
	StatusFailed          Status = 10 // RFC 8505: Validation Failed
)

var statusText = [...]string{"success", "duplicate address", "neighbor cache full", "moved", "removed", "validation requested",
	"duplicate source address", "invalid source address", "registered address topologically incorrect", "6LBR registry saturated", "validation failed"}

// String returns the name of the status.
func (s Status) String() string {
	if int(s) < len(statusText) {
		return statusText[s]
	}
	return "unknown status"
}

// A Registration is an Address Registration option: the ARO of RFC 6775 section 4.1 or the
// EARO of RFC 8505 section 4.1.
//
//	 0                   1                   2                   3
//	|     Type      |     Length    |    Status     |    Opaque     |
//	|Rsvd | P | I |R|T|     TID       |     Registration Lifetime   |
//	|             Registration Ownership Verifier (ROVR)          ...
//
// In an ARO, Opaque, the flags and TID are reserved and zero, and ROVR is the EUI-64.
type Registration struct {
	Status   Status
	Opaque   uint8
	Flags    uint8  // the upper six bits of the flags byte, I included, in place
	R        bool   // the node wants the address routed
	T        bool   // TID is valid
	TID      uint8  // Transaction ID
	Lifetime uint16 // unit 60 s; 0 ends the registration
	ROVR     ROVR
}

// ParseRegistration decodes an ARO or EARO. It reports false for a length that neither has.
func ParseRegistration(o Option) (a Registration, ok bool) {
	d := o.Data
	if o.Type != OptionRegistration || len(d) < 14 {
		return a, false
	}
	if a.ROVR, ok = ROVRFrom(d[6:]); !ok {
		return a, false
	}
	a.Status, a.Opaque = Status(d[0]), d[1]
	a.Flags, a.R, a.T, a.TID = d[2]&^3, d[2]&2 != 0, d[2]&1 != 0, d[3]
	a.Lifetime = binary.BigEndian.Uint16(d[4:])
	return a, true
}

// AppendBinary appends the option, 8 bytes and the ROVR, to b. [DropOptions] comes back
// without a ROVR.
func (a Registration) AppendBinary(b []byte) ([]byte, error) {
	if a.ROVR.Len() == 0 {
		return b, DropOptions
	}
	b = append(b, OptionRegistration, uint8(1+a.ROVR.Len()/8), uint8(a.Status), a.Opaque, a.Flags&^3|flag(a.R, 2)|flag(a.T, 1), a.TID)
	b = binary.BigEndian.AppendUint16(b, a.Lifetime)
	return a.ROVR.Append(b), nil
}

// Extended reports whether a has anything that only an EARO can have.
func (a Registration) Extended() bool { return a.T || a.R || a.ROVR.Len() > 8 }

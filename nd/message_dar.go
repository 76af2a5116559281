package nd

import (
	"encoding/binary"
	"net/netip"
)

// A DuplicateAddress is a Duplicate Address Request or Confirmation (RFC 6775 section 4.4),
// or the extended form of RFC 8505 section 4.2, in which Code tells the length of the ROVR
// and the reserved byte is the TID.
//
//	 0                   1                   2                   3
//	|     Type      |CodePfx|CodeSfx|          Checksum             |
//	|    Status     |      TID      |     Registration Lifetime     |
//	|             Registration Ownership Verifier (ROVR)          ...
//	|                       Registered Address                      |
type DuplicateAddress struct {
	Confirm  bool // DAC rather than DAR
	Extended bool // EDAR, EDAC
	Status   Status
	TID      uint8  // of the extended form; otherwise reserved
	Lifetime uint16 // unit 60 s
	ROVR     ROVR
	Addr     netip.Addr // Registered Address
}

// ParseDuplicateAddress decodes the ICMPv6 message in b. The error is a [Drop]: [DropCode]
// for a code that neither RFC gives, [DropTarget] when the registered address is not a
// unicast address (RFC 6775 section 8.2.1).
func ParseDuplicateAddress(b []byte) (m DuplicateAddress, err error) {
	if len(b) < 8 {
		return m, DropTruncated
	}
	if b[0] != typeDAR && b[0] != typeDAC {
		return m, DropType
	}
	// Code prefix 0; suffix 0 is RFC 6775, 1 to 4 a ROVR of 64 to 256 bits (RFC 8505
	// section 4.2).
	if b[1] > 4 {
		return m, DropCode
	}
	n := 8 * max(1, int(b[1]))
	if len(b) < 8+n+16 {
		return m, DropTruncated
	}
	m.Confirm, m.Extended = b[0] == typeDAC, b[1] > 0
	m.Status, m.TID, m.Lifetime = Status(b[4]), b[5], binary.BigEndian.Uint16(b[6:])
	m.ROVR, _ = ROVRFrom(b[8 : 8+n])
	m.Addr = netip.AddrFrom16([16]byte(b[8+n : 24+n]))
	if !isUnicast(m.Addr) {
		return m, DropTarget
	}
	_, err = ParseOptions(b[24+n:])
	return m, err
}

// AppendBinary appends the message with a checksum of 0 to b. [DropRegistration] comes back
// for a ROVR that the form cannot hold.
func (m DuplicateAddress) AppendBinary(b []byte) ([]byte, error) {
	n := m.ROVR.Len()
	if n == 0 || !m.Extended && n != 8 {
		return b, DropRegistration
	}
	typ, code := uint8(typeDAR), uint8(0)
	if m.Confirm {
		typ = typeDAC
	}
	if m.Extended {
		code = uint8(n / 8)
	}
	b = append(b, typ, code, 0, 0, uint8(m.Status), m.TID)
	b = m.ROVR.Append(binary.BigEndian.AppendUint16(b, m.Lifetime))
	a := m.Addr.As16()
	return append(b, a[:]...), nil
}

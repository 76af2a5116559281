package nd

import (
	"encoding/binary"
	"net/netip"
)

// A BorderRouterInfo is an Authoritative Border Router option, ABRO (RFC 6775 section 4.3).
type BorderRouterInfo struct {
	Version  uint32     // of the prefixes and contexts in the message; low 16 bits come first on the wire
	Lifetime uint16     // unit 60 s; 0 means 10,000
	Addr     netip.Addr // 6LBR Address
}

// ParseBorderRouterInfo decodes an ABRO. It reports false for an option to be ignored: one
// that is not 24 bytes long.
func ParseBorderRouterInfo(o Option) (a BorderRouterInfo, ok bool) {
	d := o.Data
	if o.Type != OptionBorderRouter || len(d) != 22 {
		return a, false
	}
	return BorderRouterInfo{
		Version:  uint32(binary.BigEndian.Uint16(d[2:]))<<16 | uint32(binary.BigEndian.Uint16(d)),
		Lifetime: binary.BigEndian.Uint16(d[4:]),
		Addr:     netip.AddrFrom16([16]byte(d[6:22])),
	}, true
}

// AppendBinary appends the option, 24 bytes, to b. [DropOptions] comes back without an
// address.
func (a BorderRouterInfo) AppendBinary(b []byte) ([]byte, error) {
	if !a.Addr.Is6() {
		return b, DropOptions
	}
	b = append(b, OptionBorderRouter, 3)
	b = binary.BigEndian.AppendUint16(b, uint16(a.Version))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Version>>16))
	b = binary.BigEndian.AppendUint16(b, a.Lifetime)
	v := a.Addr.As16()
	return append(b, v[:]...), nil
}

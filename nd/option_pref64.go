package nd

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// OptionPREF64 is the type of the PREF64 option (RFC 8781 section 4).
const OptionPREF64 uint8 = 38

// A PREF64 is a PREF64 option: the prefix of a NAT64 (RFC 8781 section 4).
//
//	 0                   1                   2                   3
//	|     Type      |    Length     |     Scaled Lifetime     | PLC |
//	|            Highest 96 bits of the Prefix                  ...
type PREF64 struct {
	Prefix   netip.Prefix  // of 96, 64, 56, 48, 40 or 32 bits
	Lifetime time.Duration // a multiple of 8 s up to 65528 s; 0 withdraws
}

// pref64Bits are the prefix lengths by their code, PLC.
var pref64Bits = [...]int{96, 64, 56, 48, 40, 32}

// ParsePREF64 decodes a PREF64 option. It reports false for an option to be ignored: one of
// another length, or with a prefix length code that is not assigned.
func ParsePREF64(o Option) (p PREF64, ok bool) {
	if o.Type != OptionPREF64 || len(o.Data) != 14 {
		return p, false
	}
	v := binary.BigEndian.Uint16(o.Data)
	if int(v&7) >= len(pref64Bits) {
		return p, false
	}
	var a [16]byte
	copy(a[:12], o.Data[2:])
	return PREF64{
		Prefix:   netip.PrefixFrom(netip.AddrFrom16(a), pref64Bits[v&7]),
		Lifetime: time.Duration(v>>3) * 8 * time.Second,
	}, true
}

// AppendBinary appends the option, 16 bytes, to b. The lifetime is rounded up to a multiple
// of 8 s. [DropOptions] comes back for a prefix of a length that the option cannot tell.
func (p PREF64) AppendBinary(b []byte) ([]byte, error) {
	for plc, n := range pref64Bits {
		if p.Prefix.Bits() != n || !p.Prefix.Addr().Is6() {
			continue
		}
		life := (min(max(p.Lifetime, 0), 65528*time.Second) + 8*time.Second - 1) / (8 * time.Second)
		b = append(b, OptionPREF64, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(life)<<3|uint16(plc))
		a := p.Prefix.Addr().As16()
		return append(b, a[:12]...), nil
	}
	return b, DropOptions
}

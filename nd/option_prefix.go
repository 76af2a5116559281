package nd

import (
	"encoding/binary"
	"net/netip"
)

// Infinity is the lifetime, in seconds, of what does not run out (RFC 4861 section 4.6.2).
const Infinity = 0xffffffff

// A PrefixInfo is a Prefix Information option, PIO (RFC 4861 section 4.6.2).
type PrefixInfo struct {
	Prefix     netip.Prefix
	OnLink     bool   // L
	Autonomous bool   // A
	RouterAddr bool   // R: Prefix holds a whole address (RFC 6275 section 7.2)
	Reserved   uint8  // the other five flag bits, in place
	Valid      uint32 // seconds, [Infinity] for ever
	Preferred  uint32 // seconds, [Infinity] for ever
	Reserved2  uint32
}

// ParsePrefixInfo decodes a PIO. It reports false for an option to be ignored: one of
// another length, or with a prefix longer than 128 bits.
func ParsePrefixInfo(o Option) (p PrefixInfo, ok bool) {
	if o.Type != OptionPrefix || len(o.Data) != 30 || o.Data[0] > 128 {
		return p, false
	}
	d := o.Data
	return PrefixInfo{
		Prefix:     netip.PrefixFrom(netip.AddrFrom16([16]byte(d[14:30])), int(d[0])),
		OnLink:     d[1]&0x80 != 0,
		Autonomous: d[1]&0x40 != 0,
		RouterAddr: d[1]&0x20 != 0,
		Reserved:   d[1] & 0x1f,
		Valid:      binary.BigEndian.Uint32(d[2:]),
		Preferred:  binary.BigEndian.Uint32(d[6:]),
		Reserved2:  binary.BigEndian.Uint32(d[10:]),
	}, true
}

// AppendBinary appends the option, 32 bytes, to b. [DropOptions] comes back for an invalid
// prefix.
func (p PrefixInfo) AppendBinary(b []byte) ([]byte, error) {
	if !p.Prefix.IsValid() || !p.Prefix.Addr().Is6() {
		return b, DropOptions
	}
	b = append(b, OptionPrefix, 4, uint8(p.Prefix.Bits()), flag(p.OnLink, 0x80)|flag(p.Autonomous, 0x40)|flag(p.RouterAddr, 0x20)|p.Reserved&0x1f)
	b = binary.BigEndian.AppendUint32(b, p.Valid)
	b = binary.BigEndian.AppendUint32(b, p.Preferred)
	b = binary.BigEndian.AppendUint32(b, p.Reserved2)
	a := p.Prefix.Addr().As16()
	return append(b, a[:]...), nil
}

func flag(set bool, bit uint8) uint8 {
	if set {
		return bit
	}
	return 0
}

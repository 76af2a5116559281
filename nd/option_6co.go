package nd

import (
	"encoding/binary"
	"net/netip"
)

// A ContextInfo is a 6LoWPAN Context option, 6CO (RFC 6775 section 4.2).
type ContextInfo struct {
	ID       uint8 // CID, 0 to 15
	Compress bool  // C: nodes may compress with it
	Prefix   netip.Prefix
	Lifetime uint16 // unit 60 s; 0 withdraws
}

// ParseContextInfo decodes a 6CO. It reports false for an option to be ignored: a prefix
// that is longer than 128 bits or than the option.
func ParseContextInfo(o Option) (c ContextInfo, ok bool) {
	d := o.Data
	if o.Type != OptionContext || len(d) != 14 && len(d) != 22 || d[0] > 128 || int(d[0]) > (len(d)-6)*8 {
		return c, false
	}
	var a [16]byte
	copy(a[:], d[6:])
	return ContextInfo{
		ID:       d[1] & 0x0f,
		Compress: d[1]&0x10 != 0,
		Prefix:   netip.PrefixFrom(netip.AddrFrom16(a), int(d[0])).Masked(),
		Lifetime: binary.BigEndian.Uint16(d[4:]),
	}, true
}

// AppendBinary appends the option to b: 16 bytes for a prefix of up to 64 bits, else 24.
// [DropOptions] comes back for an invalid prefix or context identifier.
func (c ContextInfo) AppendBinary(b []byte) ([]byte, error) {
	if !c.Prefix.IsValid() || !c.Prefix.Addr().Is6() || c.ID > 15 {
		return b, DropOptions
	}
	n := 1
	if c.Prefix.Bits() > 64 {
		n = 2
	}
	b = append(b, OptionContext, uint8(1+n), uint8(c.Prefix.Bits()), flag(c.Compress, 0x10)|c.ID, 0, 0)
	b = binary.BigEndian.AppendUint16(b, c.Lifetime)
	a := c.Prefix.Masked().Addr().As16()
	return append(b, a[:8*n]...), nil
}

package nd

import "border-router/ipv6"

// ParseLinkAddr decodes a source or target link-layer address option (RFC 4861 section
// 4.6.1). On an IEEE 802.15.4 link (RFC 4944 section 8) it is 16 bytes with an EUI-64 or 8
// bytes with a short address; elsewhere 8 bytes with an EUI-48. want is the length in bytes
// of the link's own addresses: 8 for IEEE 802.15.4, 6 otherwise. The short form is told by
// its padding, four zero bytes.
func ParseLinkAddr(o Option, want int) (ipv6.LinkAddr, bool) {
	if o.Type != OptionSourceLinkAddr && o.Type != OptionTargetLinkAddr {
		return ipv6.LinkAddr{}, false
	}
	d := o.Data
	switch {
	case want == 6 && len(d) == 6:
		return ipv6.LinkAddrFrom(d)
	case want == 8 && len(d) == 14:
		return ipv6.LinkAddrFrom(d[:8])
	case want == 8 && len(d) == 6 && d[2]|d[3]|d[4]|d[5] == 0:
		if a, ok := ipv6.LinkAddrFrom(d[:2]); ok && a != ipv6.BroadcastShort {
			return a, true
		}
	}
	return ipv6.LinkAddr{}, false
}

// LinkAddr returns the link-layer address of the options of type t, the zero LinkAddr where
// there is none. A message may carry an EUI-64 and a short address in two options: the
// EUI-64 is taken.
func (o Options) LinkAddr(t uint8, want int) (a ipv6.LinkAddr) {
	for opt, rest := o.Next(); opt.Type != 0; opt, rest = rest.Next() {
		if opt.Type != t {
			continue
		}
		if v, ok := ParseLinkAddr(opt, want); ok && (a.IsZero() || v.Len() > a.Len()) {
			a = v
		}
	}
	return a
}

// AppendLinkAddr appends a link-layer address option of type t to b: 8 bytes for a short
// address or an EUI-48, 16 for an EUI-64, nothing for the zero LinkAddr.
func AppendLinkAddr(b []byte, t uint8, a ipv6.LinkAddr) []byte {
	if a.IsZero() {
		return b
	}
	n := (a.Len() + 2 + 7) / 8
	b = a.Append(append(b, t, uint8(n)))
	for i := a.Len() + 2; i < 8*n; i++ {
		b = append(b, 0)
	}
	return b
}

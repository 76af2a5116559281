package nd

import "border-router/ipv6"

// ParseRedirected returns the start of the packet in a Redirected Header option (RFC 4861
// section 4.6.3), padding included; it aliases the option.
func ParseRedirected(o Option) (packet []byte, ok bool) {
	if o.Type != OptionRedirected || len(o.Data) < 6 {
		return nil, false
	}
	return o.Data[6:], true
}

// AppendRedirected appends a Redirected Header option with as much of p as leaves b, option
// included, within limit bytes; nothing where that is less than the IPv6 header.
func AppendRedirected(b []byte, p ipv6.Packet, limit int) []byte {
	n := min(len(p), limit-len(b)-8, 254*8)
	if n < ipv6.HeaderLen {
		return b
	}
	if n < len(p) {
		n &^= 7
	}
	pad := -n & 7
	if len(b)+8+n+pad > limit {
		n, pad = n&^7, 0
	}
	b = append(b, OptionRedirected, uint8((8+n+pad)/8), 0, 0, 0, 0, 0, 0)
	b = append(b, p[:n]...)
	for range pad {
		b = append(b, 0)
	}
	return b
}

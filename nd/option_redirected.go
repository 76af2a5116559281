package nd

import "border-router/ipv6"

// ParseRedirected returns the start of the packet in a Redirected Header option (RFC 4861
// section 4.6.3), and whatever padding the sender put behind it; it aliases the option.
func ParseRedirected(o Option) (packet []byte, ok bool) {
	if o.Type != OptionRedirected || len(o.Data) < 6 {
		return nil, false
	}
	return o.Data[6:], true
}

// AppendRedirected appends a Redirected Header option with as much of p, in units of 8 bytes,
// as leaves b, option included, within limit bytes; nothing where that is less than the IPv6
// header. Up to 7 bytes at the end of p are left out rather than padded, since a receiver
// cannot tell padding from the packet.
func AppendRedirected(b []byte, p ipv6.Packet, limit int) []byte {
	n := min(len(p), limit-len(b)-8, 254*8) &^ 7
	if n < ipv6.HeaderLen {
		return b
	}
	b = append(b, OptionRedirected, uint8((8+n)/8), 0, 0, 0, 0, 0, 0)
	return append(b, p[:n]...)
}

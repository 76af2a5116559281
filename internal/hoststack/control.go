package hoststack

import "border-router/ipv6"

// maxExtHeaders bounds the walk over extension headers.
const maxExtHeaders = 16

// isControl reports whether p is an ICMPv6 message that belongs to the router's core, or
// may become one: a first fragment whose header chain is not complete, which RFC 7112
// section 5 forbids and which could hide the type of the message.
func isControl(p ipv6.Packet) bool {
	if len(p) < ipv6.HeaderLen {
		return false
	}
	next, b := p.NextHeader(), p[ipv6.HeaderLen:]
	fragment := false
	for range maxExtHeaders {
		switch next {
		case ipv6.ProtoICMPv6:
			if len(b) == 0 {
				return fragment
			}
			return controlType(b[0])
		case ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoDstOpts:
			if len(b) < 8 || len(b) < 8+8*int(b[1]) {
				return fragment
			}
			next, b = b[0], b[8+8*int(b[1]):]
		case ipv6.ProtoFragment:
			if len(b) < 8 || uint16(b[2])<<8|uint16(b[3])&^7 >= 8 {
				return false // malformed, or not the first
			}
			fragment = true
			next, b = b[0], b[8:]
		default:
			return false
		}
	}
	return true // a chain this long is nobody's business
}

// controlType reports whether an ICMPv6 type is of MLD (130 to 132, 143), neighbor
// discovery (133 to 137, 157, 158) or RPL (155).
func controlType(t uint8) bool {
	return t >= 130 && t <= 137 || t == 143 || t == 155 || t == 157 || t == 158
}

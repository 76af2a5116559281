package router

import "border-router/ipv6"

const (
	routingType0   = 0 // RFC 2460: deprecated by RFC 5095
	routingTypeRPL = 3 // RFC 6554
)

// routedBySource reports whether p has a routing header that may not pass: one of type 0 by
// any port (RFC 5095, RFC 6092 section 3.1), one of RPL where the packet enters or leaves the
// mesh whose nodes it names (RFC 6554 section 5.1). Headers behind more than maxFilterHeaders others are not
// looked for; nobody has those acted upon.
func routedBySource(p ipv6.Packet, crossing bool) bool {
	next, off := p.NextHeader(), ipv6.HeaderLen
	for range maxFilterHeaders {
		switch next {
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts, ipv6.ProtoRouting:
		default:
			return false
		}
		if off+8 > len(p) {
			return false
		}
		if next == ipv6.ProtoRouting && (p[off+2] == routingType0 || crossing && p[off+2] == routingTypeRPL) {
			return true
		}
		next, off = p[off], off+8+8*int(p[off+1])
	}
	return false
}

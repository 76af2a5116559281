package decode

import (
	"encoding/binary"
	"slices"

	"border-router/ipv6"
	"border-router/nd"
)

// A reason is why an IPv6 packet that a line holds would not be accepted.
type reason string

func (r reason) Error() string { return string(r) }

const (
	errRouting = reason("routing_header")
	errLength  = reason("datagram_length")
)

// check says whether b is an IPv6 packet that a node would take: whole, with a right
// transport checksum, of neighbor discovery only what RFC 4861 sections 6.1, 7.1 and 8.1
// accept, and no source route that RFC 6554 section 4.2 refuses.
func check(b []byte) error {
	p, err := ipv6.Parse(b)
	if err != nil {
		return err
	}
	if len(p) != len(b) {
		return errLength
	}
	if err := ipv6.CheckTransport(p); err != nil {
		return err
	}
	if err := checkRouting(p); err != nil {
		return err
	}
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil {
		return err
	}
	if proto != ipv6.ProtoICMPv6 || off >= len(p) {
		return nil
	}
	switch p[off] {
	case 133:
		_, err = nd.CheckRouterSolicitation(p)
	case 134:
		_, err = nd.CheckRouterAdvertisement(p)
	case 135:
		_, err = nd.CheckNeighborSolicitation(p)
	case 136:
		_, err = nd.CheckNeighborAdvertisement(p)
	case 137:
		_, err = nd.CheckRedirect(p)
	}
	return err
}

// checkRouting checks a routing header of type 3.
func checkRouting(p ipv6.Packet) error {
	next, off := p.NextHeader(), ipv6.HeaderLen
	for range 8 {
		if off+8 > len(p) {
			return nil
		}
		n := 8 * (1 + int(p[off+1]))
		switch next {
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts:
		case ipv6.ProtoRouting:
			if off+n > len(p) || p[off+2] != 3 {
				return nil
			}
			list, ok := sourceRoute(p[off:off+n], p.Dst16())
			if !ok || int(p[off+3]) > len(list) {
				return errRouting
			}
			dst := p.Dst16()
			for i, a := range list {
				// "Multicast addresses MUST NOT appear", nor may one come twice.
				if a[0] == 0xff || dst[0] == 0xff || slices.Contains(list[:i], a) {
					return errRouting
				}
			}
			return nil
		default:
			return nil
		}
		next, off = p[off], off+n
	}
	return nil
}

// sourceRoute returns the addresses of the routing header h, of type 3 and as long as it
// says (RFC 6554 section 3), in a packet to dst.
func sourceRoute(h []byte, dst [16]byte) (list [][16]byte, ok bool) {
	w := binary.BigEndian.Uint32(h[4:])
	cmprI, cmprE, pad := int(w>>28), int(w>>24&15), int(w>>20&15)
	b := h[8:]
	if len(b) < pad+16-cmprE {
		return nil, false
	}
	b = b[:len(b)-pad]
	inner := len(b) - (16 - cmprE)
	if inner%(16-cmprI) != 0 {
		return nil, false
	}
	for len(b) > 0 {
		n := 16 - cmprI
		if len(b) == 16-cmprE && inner == 0 {
			n = 16 - cmprE
		} else {
			inner -= n
		}
		a := dst
		copy(a[16-n:], b[:n])
		list = append(list, a)
		b = b[n:]
	}
	return list, true
}

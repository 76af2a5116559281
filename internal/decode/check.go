package decode

import (
	"encoding/binary"
	"slices"

	"border-router/ipv6"
	"border-router/mld"
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
// accept, of MLD what RFC 9777 sections 6.2 and 7.4 do, and no source route that RFC 6554
// section 4.2 refuses. A packet on a source route is judged as its last node would.
func check(b []byte) error {
	p, err := ipv6.Parse(b)
	if err != nil {
		return err
	}
	if len(p) != len(b) {
		return errLength
	}
	if err := checkRouting(p); err != nil {
		return err
	}
	p = arrived(p)
	if err := ipv6.CheckTransport(p); err != nil {
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
	case ipv6.ICMPMLDQuery, ipv6.ICMPMLDReport, ipv6.ICMPMLDDone, ipv6.ICMPMLDv2Report:
		_, err = mld.Check(p)
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

// routingHeader returns where in p a routing header of type 3 is, if there is a whole one.
func routingHeader(p ipv6.Packet) (start, end int, ok bool) {
	next, off := p.NextHeader(), ipv6.HeaderLen
	for range 8 {
		if off+8 > len(p) {
			return 0, 0, false
		}
		n := 8 * (1 + int(p[off+1]))
		switch next {
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts:
		case ipv6.ProtoRouting:
			return off, off + n, off+n <= len(p) && p[off+2] == 3
		default:
			return 0, 0, false
		}
		next, off = p[off], off+n
	}
	return 0, 0, false
}

// checkRouting checks a routing header of type 3.
func checkRouting(p ipv6.Packet) error {
	start, end, ok := routingHeader(p)
	if !ok {
		return nil
	}
	list, ok := sourceRoute(p[start:end], p.Dst16())
	if !ok || int(p[start+3]) > len(list) {
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
}

// arrived returns p as it is at the end of its source route, which has been checked: p itself
// where there is none, else a copy. The checksum is that of the last address (RFC 8200
// section 8.1).
func arrived(p ipv6.Packet) ipv6.Packet {
	start, end, ok := routingHeader(p)
	if !ok || p[start+3] == 0 {
		return p
	}
	list, _ := sourceRoute(p[start:end], p.Dst16())
	p = slices.Clone(p)
	copy(p[24:40], list[len(list)-1][:])
	p[start+3] = 0
	return p
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

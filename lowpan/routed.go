package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

const (
	// optionRPI is the type of the option that an RPI-6LoRH stands for: the one of RFC 9008
	// section 3.1, which nodes outside of the RPL domain skip. The header carries no type.
	optionRPI = 0x23
	rpiLen    = 8 // a hop-by-hop options header with this option
)

// DecompressRouted restores the datagram b, which begins with [Page1] and has routing headers
// (RFC 8138) before its LOWPAN_IPHC, as [Contexts.Decompress] does with others: the packet
// that the headers stand for.
//
//   - IP-in-IP-6LoRH becomes an IPv6 header around the packet. Where its addresses are those
//     of the root of the RPL instance, that is c.Root: without one the datagram is dropped for
//     [DropRoot]. An interface identifier that LOWPAN_IPHC elides is then that of the outer
//     header (section 5.2.3). Of tunnels in tunnels there is one: others are [Drop6LoRH].
//   - RPI-6LoRH becomes the RPL option in a hop-by-hop options header: of the outer packet
//     where it comes before IP-in-IP-6LoRH, of the inner one where it comes behind (section
//     3.2.2) or there is no tunnel.
//   - SRH-6LoRH is for the RPL routers that it names, which we are none of: [DropSourceRoute].
//   - Elective headers of an unknown type are skipped, critical ones are [Drop6LoRH].
func (c *Contexts) DecompressRouted(dst, b []byte, l Link) (n int, err error) {
	r, err := c.decompressRouted(dst, b, l, 0)
	return r.N, err
}

// decompressRouted is DecompressRouted, and for the first fragment of a datagram of size bytes
// what [Contexts.DecompressFirst] is: routing headers are "always ... placed after any
// Fragmentation Header" (RFC 8138 section 3.2.1), whose datagram_size is that of the packet
// which they stand for.
func (c *Contexts) decompressRouted(dst, b []byte, l Link, size int) (r Result, err error) {
	if len(b) == 0 {
		return r, DropTruncated
	}
	if b[0] != Page1 {
		return r, Classify(b).Drop()
	}
	var (
		outer, inner, tunnel bool // outer and inner: there is an RPI
		outerRPI, innerRPI   RPI
		encapsulator         [16]byte
		hopLimit             uint8
		byRoot               bool
	)
	b = b[1:]
	for headers := 0; ; headers++ {
		if len(b) > 0 && b[0]&lorhMask != lorhCritical && b[0]&lorhMask != lorhElective {
			break
		}
		if headers == atMost(c.Limits.Headers, maxNHCHeaders) {
			return Result{}, DropNesting
		}
		h, k, err := ParseRoutingHeader(b)
		if err != nil {
			return Result{}, err
		}
		b = b[k:]
		switch {
		case h.Elective && h.Type == RoutingIPinIP:
			limit, addr, ok := h.Encapsulator()
			if !ok || tunnel {
				return Result{}, Drop6LoRH
			}
			if !c.Root.Is6() {
				return Result{}, DropRoot
			}
			tunnel, hopLimit, byRoot = true, limit, len(addr) == 0
			encapsulator = c.Root.As16()
			copy(encapsulator[16-len(addr):], addr)
			// What came before is of the outer packet.
			outer, outerRPI, inner = inner, innerRPI, false
		case h.Elective:
		case h.Type == RoutingRPI:
			if inner {
				return Result{}, Drop6LoRH
			}
			innerRPI, inner = h.RPI()
		default:
			return Result{}, DropSourceRoute
		}
	}
	if b[0]&0xe0 != iphcDispatch {
		return Result{}, Classify(b).Drop()
	}

	dst = dst[:cap(dst)]
	front, src, to := 0, l.source(), l.destination()
	if tunnel {
		front = ipv6.HeaderLen
		if outer {
			front += rpiLen
		}
		// "The outer destination address that is used to compress the inner destination address"
		// is not known where it is the inner one itself.
		src = iid{binary.BigEndian.Uint64(encapsulator[8:]), true}
		if !byRoot {
			root := c.Root.As16()
			to = iid{binary.BigEndian.Uint64(root[8:]), true}
		}
	}
	at := front
	if inner {
		front += rpiLen
	}
	if len(dst) < front {
		return Result{}, DropTooLong
	}
	rest := 0
	if size != 0 {
		if rest = size - front; rest < ipv6.HeaderLen {
			return Result{}, DropLength
		}
	}
	if r, err = c.decompress(dst[front:len(dst):len(dst)], b, src, to, rest); err != nil {
		return Result{}, err
	}
	r.N += front
	if r.Checksum != 0 {
		r.Checksum += front
	}
	n := r.N // of the whole packet
	if size != 0 {
		n = size
	}
	if n-ipv6.HeaderLen > 0xffff {
		return Result{}, DropTooLong
	}
	if inner {
		h := dst[at:]
		copy(h[:ipv6.HeaderLen], dst[front:])
		if h[6] == ipv6.ProtoHopByHop {
			return Result{}, Drop6LoRH // there would be two hop-by-hop options headers
		}
		putRPI(h[ipv6.HeaderLen:], h[6], innerRPI)
		h[6] = ipv6.ProtoHopByHop
		binary.BigEndian.PutUint16(h[4:], uint16(n-at-ipv6.HeaderLen))
	}
	if !tunnel {
		return r, nil
	}
	// "The destination address in the IP-in-IP header is implicitly the root in the RPL graph
	// for packets going upwards; in Storing mode, it is the destination address in the
	// LOWPAN_IPHC for packets going downwards" (section 7): what the root encapsulates.
	final := c.Root.As16()
	if byRoot {
		final = [16]byte(dst[at+24:])
	}
	clear(dst[:8])
	dst[0], dst[6], dst[7] = 0x60, ipv6.ProtoIPv6, hopLimit
	copy(dst[8:], encapsulator[:])
	copy(dst[24:], final[:])
	binary.BigEndian.PutUint16(dst[4:], uint16(n-ipv6.HeaderLen))
	if outer {
		putRPI(dst[ipv6.HeaderLen:], ipv6.ProtoIPv6, outerRPI)
		dst[6] = ipv6.ProtoHopByHop
	}
	return r, nil
}

// putRPI writes a hop-by-hop options header with the RPL option, rpiLen bytes, to o.
func putRPI(o []byte, next uint8, rpi RPI) {
	o = o[:rpiLen]
	o[0], o[1], o[2], o[3] = next, 0, optionRPI, 4
	// RFC 6550 section 11.2: O, R, F and five reserved bits.
	o[4] = 0
	for k, set := range [3]bool{rpi.Down, rpi.RankError, rpi.ForwardError} {
		if set {
			o[4] |= 0x80 >> k
		}
	}
	o[5] = rpi.Instance
	binary.BigEndian.PutUint16(o[6:], rpi.SenderRank)
}

// decompressFirst restores the first fragment of a datagram, with or without routing headers.
func (c *Contexts) decompressFirst(dst, b []byte, l Link, size int) (Result, error) {
	if len(b) > 0 && b[0] == Page1 {
		return c.decompressRouted(dst, b, l, size)
	}
	return c.DecompressFirst(dst, b, l, size)
}

// decompressWhole restores a datagram that came in one piece.
func (c *Contexts) decompressWhole(dst, b []byte, l Link) (int, error) {
	r, err := c.decompressFirst(dst, b, l, 0)
	return r.N, err
}

package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

const (
	defaultRPLOption = 0x23 // RFC 9008 section 3.1
	rpiLen           = 8    // a hop-by-hop options header with the RPL option
)

// rplOption is the type of the option that an RPI-6LoRH stands for, which it does not carry.
func (c *Contexts) rplOption() uint8 {
	if c.RPLOption == 0 {
		return defaultRPLOption
	}
	return c.RPLOption
}

// DecompressRouted restores the datagram b, which begins with a page switch (RFC 8025) and may
// have routing headers (RFC 8138) before its LOWPAN_IPHC, as [Contexts.Decompress] does with
// others: the packet that the headers stand for, headers of every tunnel and of the packet
// inside in their order.
//
//   - IP-in-IP-6LoRH becomes an IPv6 header around what follows, the first one the outermost
//     (section 3.2.2). Where its addresses are those of the root of the RPL instance, that is
//     c.Root: without one the datagram is dropped for [DropRoot]. An interface identifier that
//     LOWPAN_IPHC elides is then that of the innermost tunnel (section 5.2.3). A tunnel is an
//     IPv6 header of [HeaderLimits].
//   - RPI-6LoRH becomes the RPL option in a hop-by-hop options header: of the tunnel whose
//     IP-in-IP-6LoRH follows, or behind the last of them of the packet inside. Where that has
//     such a header already, the option becomes the first one in it.
//   - SRH-6LoRH becomes the routing header of RFC 6554 in the same place, behind the hop-by-hop
//     options, with all its segments left; those passed are lost (section 5.3). It is for the
//     RPL routers that it names: without c.SourceRoutes, [DropSourceRoute].
//   - Elective headers of an unknown type are skipped, critical ones are [Drop6LoRH].
//
// Pages: Page 0 is that of all that is not RFC 8138. It is the default, which "does not need to
// be signaled explicitly at the beginning" (RFC 8025 section 3), and may be: f0 is skipped
// there. Behind Page 1 there "is no need to restore" it, and it may be as well, in front of
// LOWPAN_IPHC or of an uncompressed IPv6 header, which Page 1 has not. Pages 2 to 15 are
// reserved, or for experiments: [DropPaging].
func (c *Contexts) DecompressRouted(dst, b []byte, l Link) (n int, err error) {
	r, err := c.decompressRouted(dst, b, l, 0)
	return r.N, err
}

// SkipPage0 returns b, which Page 0 is active for, as it is at the beginning, without switches
// to it (RFC 8025 section 3).
func SkipPage0(b []byte) []byte {
	for len(b) > 0 && b[0] == Page0 {
		b = b[1:]
	}
	return b
}

// A level is the routing headers of one IPv6 header: of a tunnel, or of the packet inside.
type level struct {
	src  [16]byte // compression reference of srh; of a tunnel its encapsulator
	addr []byte   // end of src that IP-in-IP-6LoRH has; aliases the input

	srh   []byte // SRH-6LoRH headers in a row; aliases the input
	route route

	rpi    RPI
	hasRPI bool

	hopLimit uint8
	byRoot   bool // src is the root
}

// extLen is the length of the extension headers that v stands for.
func (v *level) extLen() int {
	if v.hasRPI {
		return rpiLen + v.route.size
	}
	return v.route.size
}

// parseRouted reads the page switches and routing headers of b into lv and returns how many
// tunnels there are and what follows: LOWPAN_IPHC, or in Page 0 an uncompressed header.
func (c *Contexts) parseRouted(lv *[maxNested]level, b []byte) (tunnels int, rest []byte, drop Drop) {
	maxHeaders, nested := atMost(c.Limits.Headers, maxNHCHeaders), atMost(c.Limits.Nested, maxNested)
	page, headers := uint8(0), 0
	var run []byte // what follows the SRH-6LoRH read last
	for {
		if len(b) == 0 {
			return 0, nil, DropTruncated
		}
		if b[0]&^15 == Page0 {
			if page = b[0] & 15; page > 1 {
				return 0, nil, DropPaging
			}
			b = b[1:]
			continue
		}
		if page == 0 || b[0]&lorhMask != lorhCritical && b[0]&lorhMask != lorhElective {
			break
		}
		if headers++; headers > maxHeaders {
			return 0, nil, DropNesting
		}
		h, n, err := ParseRoutingHeader(b)
		if err != nil {
			return 0, nil, reason(err)
		}
		v := &lv[tunnels]
		switch {
		case h.Elective && h.Type == RoutingIPinIP:
			limit, addr, ok := h.Encapsulator()
			if !ok {
				return 0, nil, Drop6LoRH
			}
			if !c.Root.Is6() && (len(addr) < 16 || v.srh == nil) {
				return 0, nil, DropRoot
			}
			if tunnels+1 >= nested {
				return 0, nil, DropNesting
			}
			v.hopLimit, v.addr = limit, addr
			tunnels++
		case h.Elective:
		case h.Type == RoutingRPI:
			if v.hasRPI {
				return 0, nil, Drop6LoRH
			}
			v.rpi, v.hasRPI = h.RPI()
		default:
			// "All the remaining hops MUST be encoded in order in one or more consecutive
			// SRH-6LoRH headers" (section 5.2.2). That the RPI comes behind them (section
			// 3.2.2) is for those who pop entries: nothing is ambiguous where it does not.
			switch {
			case !c.SourceRoutes:
				return 0, nil, DropSourceRoute
			case v.srh == nil:
				v.srh = b[:n]
			case len(run) != len(b):
				return 0, nil, Drop6LoRH
			default:
				v.srh = v.srh[:len(v.srh)+n]
			}
			run = b[n:]
		}
		b = b[n:]
	}
	if b[0]&0xe0 != iphcDispatch && (page != 0 || Classify(b) != DispatchIPv6) {
		return 0, nil, Classify(b).Drop()
	}
	return tunnels, b, 0
}

// decompressRouted is DecompressRouted, and for the first fragment of a datagram of size bytes
// what [Contexts.DecompressFirst] is: routing headers are "always ... placed after any
// Fragmentation Header" (RFC 8138 section 3.2.1), whose datagram_size is that of the packet
// which they stand for.
func (c *Contexts) decompressRouted(dst, b []byte, l Link, size int) (r Result, err error) {
	if Classify(b) != DispatchPaging {
		return r, Classify(b).Drop()
	}
	var lv [maxNested]level
	tunnels, b, drop := c.parseRouted(&lv, b)
	if drop != 0 {
		return r, drop
	}

	// What is in front of the packet inside.
	at, src, to := 0, l.source(), l.destination()
	for k := range lv[:tunnels] {
		v := &lv[k]
		root := c.Root.As16() // zeros where there is none: nothing is taken of it then
		v.src = root
		copy(v.src[16-len(v.addr):], v.addr)
		v.byRoot = v.src == root
		switch {
		case v.srh != nil:
			// "The destination IP address of the IP-in-IP header is transported in an
			// SRH-6LoRH header as the first entry of the first of these headers" (section 7).
			if v.route, drop = planRoute(v.srh, &v.src, nil); drop != 0 {
				return Result{}, drop
			}
			to = iid{binary.BigEndian.Uint64(v.route.last[8:]), true}
		case !v.byRoot:
			to = iid{binary.BigEndian.Uint64(root[8:]), true}
			// Else it is that of the packet inside, and no help to restore that: what is around
			// the tunnel is.
		}
		src = iid{binary.BigEndian.Uint64(v.src[8:]), true}
		at += ipv6.HeaderLen + v.extLen()
	}

	// The reference of a source route of the packet inside is its source address, and its end
	// is the destination "in the LOWPAN_IPHC at all times": both have to be known to tell how
	// long the routing header is.
	v := &lv[tunnels]
	var final [16]byte
	if v.srh != nil {
		var h [ipv6.HeaderLen]byte
		if b[0]&0xe0 == iphcDispatch {
			if _, drop = c.decodeIPHC(&h, b, src, to); drop != 0 {
				return Result{}, drop
			}
		} else if copy(h[:], b[1:]) < len(h) {
			return Result{}, DropTruncated
		}
		v.src, final = [16]byte(h[8:]), [16]byte(h[24:])
		if v.route, drop = planRoute(v.srh, &v.src, &final); drop != 0 {
			return Result{}, drop
		}
	}
	front := at + v.extLen()
	dst = dst[:cap(dst)]
	if len(dst) < front {
		return Result{}, DropTooLong
	}
	rest := 0
	if size != 0 {
		if rest = size - front; rest < ipv6.HeaderLen {
			return Result{}, DropLength
		}
	}
	inner := dst[front:len(dst):len(dst)]
	if tunnels > 0 && hasExtNHC(b) {
		r, err = c.decompressIn(inner, b, src, to, rest, tunnels)
	} else {
		r, err = c.decompress(inner, b, src, to, rest)
	}
	if err != nil {
		return Result{}, err
	}
	if front == 0 {
		return r, nil
	}
	if r.N < ipv6.HeaderLen {
		return Result{}, DropTruncated // a first fragment that ends in an uncompressed header
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
	if v.srh == nil {
		final = [16]byte(dst[front+24:])
	}
	if front != at || v.srh != nil {
		if drop := v.insert(dst[at:r.N], front-at, &final, c.rplOption()); drop != 0 {
			return Result{}, drop
		}
		binary.BigEndian.PutUint16(dst[at+4:], uint16(n-at-ipv6.HeaderLen))
	}
	for k, pos := 0, 0; k < tunnels; k++ {
		pos += lv[k].encapsulate(dst[pos:], n-pos, c, &final)
	}
	return r, nil
}

// hasExtNHC reports whether LOWPAN_IPHC at the start of b is followed by LOWPAN_NHC for anything
// but UDP.
func hasExtNHC(b []byte) bool {
	if b[0]&0xe0 != iphcDispatch || b[0]&iphcNH == 0 || len(b) < 2 {
		return false
	}
	at := 2 + int(iphcInline0[b[0]&31]) + int(iphcInline1[b[1]])
	return at < len(b) && b[at]&nhcUDPMask != nhcUDP
}

// decompressIn is decompress of what is in tunnels, where LOWPAN_NHC may have others: they count
// together.
func (c *Contexts) decompressIn(dst, b []byte, src, to iid, size, tunnels int) (Result, error) {
	in := *c
	in.Limits.Nested = atMost(c.Limits.Nested, maxNested) - tunnels
	return in.decompress(dst, b, src, to, size)
}

// insert puts the headers of v into the packet p, of which the IPv6 header and all that follows
// it is yet gap bytes further behind, as long as these headers are. The payload length is left
// for the caller.
func (v *level) insert(p []byte, gap int, final *[16]byte, option uint8) Drop {
	h := p[gap:]
	next, hbh := h[6], h[ipv6.HeaderLen:]
	copy(p[:ipv6.HeaderLen], h)
	if v.srh != nil {
		copy(p[24:], v.route.first[:])
	}
	chain, at := 6, ipv6.HeaderLen // where the type of the header at at stands
	if next == ipv6.ProtoHopByHop {
		// The options header stays the first one. For a first fragment all of it has to be
		// there where anything goes behind it.
		if len(hbh) < 2 {
			return DropTruncated
		}
		units := int(hbh[1]) + 1
		if v.route.size != 0 && len(hbh) < 8*units {
			return DropTruncated
		}
		next = hbh[0]
		if !v.hasRPI {
			copy(p[at:at+8*units], hbh)
			chain, at = at, at+8*units
		} else {
			// The RPL option and two bytes of padding in front of the options, which then keep
			// their alignment.
			if units > 0xff {
				return DropExtHeader
			}
			if v.route.size != 0 {
				copy(p[at+rpiLen:at+rpiLen+8*units], hbh)
			}
			putRPI(p[at:], next, option, v.rpi)
			p[at+1] = uint8(units)
			p[at+rpiLen], p[at+rpiLen+1] = 1, 0
			chain, at = at, at+rpiLen+8*units
		}
		p[6] = ipv6.ProtoHopByHop
	} else if v.hasRPI {
		putRPI(p[at:], next, option, v.rpi)
		p[6] = ipv6.ProtoHopByHop
		chain, at = at, at+rpiLen
	}
	if v.route.size != 0 {
		v.route.put(p[at:], next, v.srh, &v.src, final)
		p[chain] = ipv6.ProtoRouting
	}
	return 0
}

// encapsulate writes the headers of the tunnel v to p, whose packet has n bytes with them, and
// returns their length. final is the destination that LOWPAN_IPHC has.
func (v *level) encapsulate(p []byte, n int, c *Contexts, final *[16]byte) int {
	clear(p[:8])
	p[0], p[6], p[7] = 0x60, ipv6.ProtoIPv6, v.hopLimit
	binary.BigEndian.PutUint16(p[4:], uint16(n-ipv6.HeaderLen))
	copy(p[8:], v.src[:])
	// "The destination address in the IP-in-IP header is implicitly the root in the RPL graph
	// for packets going upwards; in Storing mode, it is the destination address in the
	// LOWPAN_IPHC for packets going downwards" (section 7): what the root encapsulates.
	to := *final
	switch {
	case v.srh != nil:
		to = v.route.first
	case !v.byRoot:
		to = c.Root.As16()
	}
	copy(p[24:], to[:])
	chain, at := 6, ipv6.HeaderLen
	if v.hasRPI {
		putRPI(p[at:], ipv6.ProtoIPv6, c.rplOption(), v.rpi)
		p[chain] = ipv6.ProtoHopByHop
		chain, at = at, at+rpiLen
	}
	if v.route.size != 0 {
		v.route.put(p[at:], ipv6.ProtoIPv6, v.srh, &v.src, nil)
		p[chain] = ipv6.ProtoRouting
		at += v.route.size
	}
	return at
}

// putRPI writes a hop-by-hop options header with the RPL option, rpiLen bytes, to o.
func putRPI(o []byte, next, option uint8, rpi RPI) {
	o = o[:rpiLen]
	o[0], o[1], o[2], o[3] = next, 0, option, 4
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
	if len(b) > 0 && b[0]&^15 == Page0 {
		return c.decompressRouted(dst, b, l, size)
	}
	return c.DecompressFirst(dst, b, l, size)
}

// decompressWhole restores a datagram that came in one piece.
func (c *Contexts) decompressWhole(dst, b []byte, l Link) (int, error) {
	r, err := c.decompressFirst(dst, b, l, 0)
	return r.N, err
}

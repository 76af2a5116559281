package lowpan

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"border-router/ipv6"
)

// compressRouted is Compress with [CompressOptions].RoutingHeaders. What is encoded as routing
// headers is what [Contexts.DecompressRouted] restores to the byte; what is not stays where it
// is and is up to LOWPAN_NHC:
//
//   - the RPL option that is the first in a hop-by-hop options header, alone or with two bytes
//     of padding behind it, if its type is c.RPLOption;
//   - the routing header of RFC 6554 with all its segments left, behind the RPL option or
//     without one, if it is as route says that it is;
//   - an IPv6 header, without traffic class and flow label, with nothing but those two behind it
//     and then another IPv6 header, up to [HeaderLimits].Nested. Addresses that are not elided
//     go as the end of that of c.Root, or in SRH-6LoRH.
//
// The headers of a tunnel are in the order of RFC 8138 section 3.2.2: SRH, RPI, IP-in-IP.
func (c *Contexts) compressRouted(dst []byte, p ipv6.Packet, l *Link, use uint16, options *CompressOptions) (hdr []byte, consumed int, err error) {
	o := *options
	if len(p) < ipv6.HeaderLen || p[0]>>4 != 6 || int(binary.BigEndian.Uint16(p[4:]))+ipv6.HeaderLen != len(p) {
		return c.compressHeaders(dst, p, l, use, &o) // which says what is wrong
	}
	var lv [maxNested]plainLevel
	tunnels, at := 0, len(dst)
	off, q := 0, []byte(p)
	for tunnels < maxNested-1 {
		x := &lv[tunnels]
		if !x.parse(c, q) || x.merged || x.next != ipv6.ProtoIPv6 || binary.BigEndian.Uint32(q) != 6<<28 {
			break
		}
		inner := q[x.end:]
		if len(inner) < ipv6.HeaderLen || inner[0]>>4 != 6 || int(binary.BigEndian.Uint16(inner[4:]))+ipv6.HeaderLen != len(inner) {
			break
		}
		x.encapsulator(c)
		if x.rh != nil && !x.restored(false) {
			break
		}
		tunnels++
		off += x.end
		q = inner
	}

	// The packet inside, and the destination that LOWPAN_IPHC has.
	in := &lv[tunnels]
	if !in.parse(c, q) || in.next == ipv6.ProtoHopByHop && !in.merged ||
		in.merged && !in.compressible(q, &o) {
		in.none(q)
	}
	if in.rh != nil && !in.restored(true) {
		in.keepRoute()
	}
	removed := in.end - ipv6.HeaderLen
	if tunnels == 0 && removed == 0 {
		return c.compressHeaders(dst, p, l, use, &o)
	}

	dst = append(dst, Page1)
	headers, link := 0, *l // link is what elided identifiers come from
	for k := range lv[:tunnels] {
		x := &lv[k]
		link.Src = linkOfIID(&x.src)
		root := c.Root.As16()
		switch byRoot := x.src == root; {
		case x.rh == nil && c.Root.Is6() && byRoot && x.dst == in.final:
		case x.rh == nil && c.Root.Is6() && !byRoot && x.dst == root:
			link.Dst = linkOfIID(&root)
		default:
			var n int
			dst, n = x.appendHops(dst, false)
			headers += n
			link.Dst = linkOfIID(&x.final)
		}
		if x.hasRPI {
			dst, _ = x.rpi.AppendBinary(dst)
			headers++
		}
		dst = append(dst, lorhElective|uint8(1+x.addrLen), RoutingIPinIP, x.hopLimit)
		dst = append(dst, x.src[16-x.addrLen:]...)
		headers++
	}
	if in.rh != nil {
		var n int
		dst, n = in.appendHops(dst, true)
		headers += n
	}
	if in.hasRPI {
		dst, _ = in.rpi.AppendBinary(dst)
		headers++
	}
	if headers > maxNHCHeaders {
		return c.compressHeaders(dst[:at], p, l, use, &o) // no receiver of ours would take it
	}
	o.outer = uint8(tunnels)
	if removed == 0 {
		hdr, consumed, err = c.compressHeaders(dst, q, &link, use, &o)
		return hdr, off + consumed, err
	}

	// The packet without what routing headers say, aside, in what dst has room for behind the
	// headers.
	n := len(q) - removed
	room := compressed + n
	dst = slices.Grow(dst, room+n)
	end := len(dst) + room
	s := dst[end : end+n : end+n]
	copy(s, q[:ipv6.HeaderLen])
	copy(s[ipv6.HeaderLen:], q[in.end:])
	s[6] = in.next
	if in.merged {
		s[6], s[ipv6.HeaderLen], s[ipv6.HeaderLen+1] = ipv6.ProtoHopByHop, in.next, q[ipv6.HeaderLen+1]-1
	}
	copy(s[24:], in.final[:])
	binary.BigEndian.PutUint16(s[4:], uint16(n-ipv6.HeaderLen))
	hdr, consumed, err = c.compressHeaders(dst[:len(dst):end], s, &link, use, &o)
	if &hdr[0] == &dst[0] {
		hdr = dst[:len(hdr)] // with its capacity
	}
	return hdr, off + removed + consumed, err
}

// linkOfIID is a link-layer address whose interface identifier is that of a.
func linkOfIID(a *[16]byte) ipv6.LinkAddr {
	const universal = 1 << 57 // the bit that an interface identifier has inverted (RFC 4291 appendix A)
	return ipv6.EUI64(binary.BigEndian.Uint64(a[8:]) ^ universal)
}

// A plainLevel is an IPv6 header with the headers behind it that routing headers can stand for.
type plainLevel struct {
	src, dst [16]byte
	final    [16]byte // where the route ends: dst, or the last address of rh
	addrLen  int      // bytes of src that IP-in-IP-6LoRH has
	rh       []byte   // routing header of RFC 6554; nil: none

	rpi      RPI
	hasRPI   bool
	merged   bool // there are other options behind the RPL option
	hopLimit uint8
	next     uint8 // type of the header at end
	end      int   // offset of what is left
}

// none has x stand for the IPv6 header of q alone.
func (x *plainLevel) none(q []byte) {
	*x = plainLevel{src: [16]byte(q[8:]), dst: [16]byte(q[24:]), final: [16]byte(q[24:]), hopLimit: q[7], next: q[6], end: ipv6.HeaderLen}
}

// parse reads the IPv6 header at the start of q and the headers behind it. It reports false
// where there is an options header or routing header that does not fit into q.
func (x *plainLevel) parse(c *Contexts, q []byte) bool {
	x.none(q)
	if h := q[x.end:]; x.next == ipv6.ProtoHopByHop {
		if len(h) < rpiLen || len(h) < 8*(int(h[1])+1) {
			return false
		}
		if h[2] != c.rplOption() || h[3] != 4 || h[4]&0x1f != 0 {
			return true
		}
		x.merged = h[1] != 0
		if x.merged && (h[8] != 1 || h[9] != 0) {
			x.merged = false
			return true
		}
		x.hasRPI = true
		x.rpi = RPI{
			Down: h[4]&0x80 != 0, RankError: h[4]&0x40 != 0, ForwardError: h[4]&0x20 != 0,
			Instance: h[5], SenderRank: binary.BigEndian.Uint16(h[6:]),
		}
		x.next = h[0]
		x.end += rpiLen
		if x.merged {
			return true
		}
	}
	if h := q[x.end:]; x.next == ipv6.ProtoRouting {
		if len(h) < srhFixed || len(h) < 8*(int(h[1])+1) {
			return false
		}
		if h[2] == srhType {
			x.rh = h[:8*(int(h[1])+1)]
			x.next = h[0]
			x.end += len(x.rh)
		}
	}
	return true
}

// keepRoute leaves the routing header to LOWPAN_NHC.
func (x *plainLevel) keepRoute() {
	x.end -= len(x.rh)
	x.rh, x.next, x.final = nil, ipv6.ProtoRouting, x.dst
}

// compressible reports whether LOWPAN_NHC encodes the options that are left in q. As they are,
// they would have the first two bytes of their header in the wrong place.
func (x *plainLevel) compressible(q []byte, o *CompressOptions) bool {
	if o.PlainExtHeaders {
		return false
	}
	h := q[x.end:]
	size := 8 * int(q[ipv6.HeaderLen+1])
	data := size - 2 - trailingPad(h[2:size])
	return data <= maxExtData
}

// encapsulator finds what IP-in-IP-6LoRH has to say of the source.
func (x *plainLevel) encapsulator(c *Contexts) {
	x.addrLen = 16
	if root := c.Root.As16(); c.Root.Is6() {
		if x.src == root {
			x.addrLen = 0
		} else {
			x.addrLen = 16 - int(commonBytes(&x.src, &root))
		}
	}
}

// segments returns how many addresses the routing header has (RFC 6554 section 3): 0 where it
// has another length than it says, or segments that are passed.
func (x *plainLevel) segments() int {
	sizeI, sizeE := 16-int(x.rh[4]>>4), 16-int(x.rh[4]&15)
	data := len(x.rh) - srhFixed - int(x.rh[5]>>4) - sizeE
	if data < 0 || data%sizeI != 0 || data/sizeI+1 != int(x.rh[3]) {
		return 0
	}
	return int(x.rh[3])
}

// segment sets a to number k of the n addresses of the routing header, from 1 on.
func (x *plainLevel) segment(a *[16]byte, k, n int) {
	elided := int(x.rh[4] >> 4)
	at := srhFixed + (k-1)*(16-elided)
	if k == n {
		elided = int(x.rh[4] & 15)
	}
	*a = x.dst
	copy(a[elided:], x.rh[at:at+16-elided])
}

// restored reports whether the routing header comes back from SRH-6LoRH as it is, and sets where
// the route ends.
func (x *plainLevel) restored(inside bool) bool {
	n := x.segments()
	if n == 0 {
		return false
	}
	var a [16]byte
	r := route{first: x.dst, last: x.dst, cmprI: 15}
	for k := 1; k <= n; k++ {
		x.segment(&a, k, n)
		if inside && k == n && a == r.last {
			return false // it would come once
		}
		r.add(&a)
	}
	h := x.rh
	if r.finish() != 0 || r.size != len(h) || h[4] != r.cmprI<<4|r.cmprE || h[5] != r.pad<<4 || h[6]|h[7] != 0 {
		return false
	}
	for _, z := range h[len(h)-int(r.pad):] {
		if z != 0 {
			return false
		}
	}
	x.final = a
	return true
}

// appendHops appends the SRH-6LoRH headers with the fewest bytes for the destination and, if
// there is a routing header, its addresses; without the last one inside of all tunnels, where
// LOWPAN_IPHC has that. The source is the reference of the first. It returns how many headers
// there are.
func (x *plainLevel) appendHops(dst []byte, inside bool) (b []byte, headers int) {
	// For each address: the bytes that it and those before it take if it is in a header of this
	// type, and the type of the header of the one before. A new header has two bytes. That it
	// holds 32 addresses at most is the same for all types, or close to it.
	const never = 1 << 20
	var cost [RoutingSRHMax + 1]int
	var before [1 + maxSegments][RoutingSRHMax + 1]uint8
	n := 0
	if x.rh != nil {
		n = x.segments()
	}
	last := n
	if inside {
		last--
	}
	ref, a := x.src, x.dst
	for k := 0; k <= last; k++ {
		if k > 0 {
			x.segment(&a, k, n)
		}
		least := bits.Len(uint(15 - commonBytes(&ref, &a)))
		ref = a
		best := 0
		for t := range cost {
			if cost[t] < cost[best] {
				best = t
			}
		}
		fresh := cost[best] + 2
		for t := range cost {
			switch {
			case t < least:
				cost[t] = never
				continue
			case k > 0 && cost[t] <= fresh:
				before[k][t] = uint8(t)
			default:
				before[k][t] = uint8(best)
				cost[t] = fresh
			}
			cost[t] += 1 << t
		}
	}
	t := 0
	for k := range cost {
		if cost[k] < cost[t] {
			t = k
		}
	}
	var types [1 + maxSegments]uint8
	for k := last; k >= 0; k-- {
		types[k] = uint8(t)
		t = int(before[k][t])
	}

	head, room := 0, 0
	a = x.dst
	for k := 0; k <= last; k++ {
		if k > 0 {
			x.segment(&a, k, n)
		}
		if room == 0 || types[k] != types[k-1] {
			head, room = len(dst), 32
			dst = append(dst, lorhCritical, types[k])
			headers++
		} else {
			dst[head]++
		}
		room--
		dst = append(dst, a[16-1<<types[k]:]...)
	}
	return dst, headers
}

package router

import (
	"math/bits"
	"time"

	"border-router/ipv6"
	"border-router/nd"
)

func commonBits(a, b addr16) int {
	if x := a.hi ^ b.hi; x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(a.lo^b.lo)
}

const linkLocalHi = 0xfe80_0000_0000_0000

func (k addr16) isLinkLocal() bool { return k.hi&0xffc0_0000_0000_0000 == linkLocalHi }
func (k addr16) isMulticast() bool { return k.hi>>56 == 0xff }

// isMartian reports whether a unicast address must never be seen on a wire: loopback, an
// IPv4-mapped or IPv4-compatible one, the unspecified address (RFC 4291, RFC 6890).
func (k addr16) isMartian() bool {
	return k.hi == 0 && (k.lo>>32 == 0 || k.lo>>32 == 0xffff)
}

// Input takes a packet that came in by port m.Port. p must have been checked by
// [ipv6.Parse]; Input changes its hop limit when it forwards, and keeps nothing of it.
func (r *Router) Input(now time.Time, p ipv6.Packet, m ipv6.Meta) {
	l := r.links[m.Port]
	l.stats.Received++
	l.stats.ReceivedBytes += uint64(len(p))
	if r.cfg.Tap != nil {
		r.cfg.Tap(l.index, false, p)
	}
	src, dst := addrKey(p.Src16()), addrKey(p.Dst16())
	unspecified := src == addr16{}
	switch {
	case src.isMulticast(), src.isMartian() && !unspecified, dst.isMartian():
		l.drop(DropMartian)
		return
	case !unspecified && !r.ingressAllows(l, src) && !r.claims(l, p):
		l.drop(DropIngress)
		return
	}
	if l.nb != nil {
		l.nb.Heard(now, p.Src(), m)
	}
	if dst.isMulticast() {
		r.inputMulticast(now, l, p, m, src, dst)
		return
	}
	if dst.isLinkLocal() {
		if !l.ownLinkLocal(p.Dst()) {
			// A unicast that the link brought us without meaning us.
			l.drop(DropScope)
			return
		}
		r.inputCore(now, l, p, m)
		return
	}
	switch r.local.Get(dst.key()) {
	case localHost:
		r.inputLocal(now, l, p, m)
		return
	case localCore:
		r.inputCore(now, l, p, m)
		return
	}
	if p.NextHeader() == ipv6.ProtoICMPv6 && len(p) > ipv6.HeaderLen && isLinkND(p[ipv6.HeaderLen]) {
		// Hosts probe what we are the proxy of at its own address. Beyond its link neighbor
		// discovery is of no use: the hop limit would not be 255 any more.
		if l.kind == Host {
			l.drop(DropScope)
		} else {
			r.inputND(now, l, p, m)
		}
		return
	}
	r.forward(now, l, p, m, src, dst)
}

// ingressAllows is the source filter of RFC 2827 / BCP 38 at port l.
func (r *Router) ingressAllows(l *Link, src addr16) bool {
	if !l.ingress {
		return true
	}
	kind := r.local.Get(src.key())
	switch l.kind {
	case Host, LAN:
		// From the host port our own addresses are rightful, those of the nodes are not;
		// from a LAN neither.
		if kind == localHost {
			return l.kind == Host
		}
		for _, mesh := range r.links {
			if mesh.kind == Mesh && (mesh.inPrefix(src) || r.proxied && r.behind(mesh, src)) {
				return false
			}
		}
		return true
	}
	if src.isLinkLocal() {
		return true
	}
	// The subnet-router anycast address passes: a node that compresses the unspecified
	// source against an all-zero context seems to send from it, and nd knows.
	return kind != localHost && (l.inPrefix(src) || r.proxied && r.behind(l, src))
}

// claims reports whether p is neighbor discovery of a link whose prefix another one has too.
// A node may say there that it has an address before we know, and a station of the LAN that
// it has one which a node uses: duplicates are found out by that (RFC 8929 section 9.1).
func (r *Router) claims(l *Link, p ipv6.Packet) bool {
	return r.proxied && l.kind != Host && p.HopLimit() == 255 && p.NextHeader() == ipv6.ProtoICMPv6 &&
		len(p) > ipv6.HeaderLen && isLinkND(p[ipv6.HeaderLen])
}

// behind reports whether a route of its own leads to src by this port: so it is for nodes
// whose addresses are from the prefix of another link.
func (r *Router) behind(l *Link, src addr16) bool {
	rt := r.fib.lookup(src)
	return rt != nil && rt.port == l.index && rt.kind == RouteHost
}

// inputMulticast takes a packet to a group. Neighbor discovery is seen whatever the
// group, since duplicate detection of an address goes to that address's own group and we
// answer for all registered ones.
func (r *Router) inputMulticast(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta, src, dst addr16) {
	scope := uint8(dst.hi>>48) & 0xf
	if scope <= 1 { // reserved, interface-local
		l.drop(DropMartian)
		return
	}
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil {
		r.badHeader(now, l, p, m, err)
		return
	}
	if proto == ipv6.ProtoICMPv6 && off < len(p) {
		switch typ := p[off]; {
		case isND(typ):
			r.inputND(now, l, p, m)
			return
		case isMLD(typ):
			r.inputMLD(now, l, p, m)
			return
		case typ == ipv6.ICMPEchoRequest && scope == 2 && r.ownGroup(dst):
			r.echo(now, l, p, m, off)
			return
		}
	}
	if proto == ipv6.ProtoUDP && r.udp != nil && r.inputUDP(now, l, p, m, off) {
		return
	}
	joined := r.groups.Find(dst.key()) != nil && l.kind != Host && r.host != nil
	if scope <= uint8(ipv6.ScopeLink) || r.cfg.HostOnly {
		if joined {
			r.toHost(now, l, p, m)
		} else {
			l.drop(DropNotMember)
		}
		return
	}
	n, reason := r.forwardMulticast(now, l, p, m, src, dst, ipv6.Scope(scope))
	switch {
	case n > 0:
		l.stats.Forwarded++
		if joined && r.filter(now, l, r.host, p, m) {
			r.host.output(now, p, ipv6.LinkAddr{})
		}
	case joined && reason != DropDuplicate:
		r.toHost(now, l, p, m)
	default:
		l.drop(reason)
	}
}

// inputMLD takes a message of multicast listener discovery.
func (r *Router) inputMLD(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	if err := ipv6.CheckTransport(p); err != nil {
		l.drop(err)
		return
	}
	if l.mc != nil {
		if err := l.mc.HandlePacket(now, p, m); err != nil {
			l.drop(err)
			return
		}
	}
	l.stats.Consumed++
}

// ownGroup reports whether we ourselves are in a link-local group: all-nodes,
// all-routers, or a solicited-node group of one of our addresses.
func (r *Router) ownGroup(dst addr16) bool {
	if dst.hi != 0xff02_0000_0000_0000 {
		return false
	}
	if dst.lo == 1 || dst.lo == 2 && !r.cfg.HostOnly {
		return true
	}
	if dst.lo>>24 != 0x1ff {
		return false
	}
	for _, a := range r.addrs {
		if (addrKey(a.As16()).lo^dst.lo)&0xffffff == 0 {
			return true
		}
	}
	for _, l := range r.links {
		for _, a := range l.linkLocal {
			if (addrKey(a.As16()).lo^dst.lo)&0xffffff == 0 {
				return true
			}
		}
	}
	return false
}

func isND(typ uint8) bool {
	return isLinkND(typ) || typ == ipv6.ICMPDAR || typ == ipv6.ICMPDAC
}

// isLinkND reports whether a message is of RFC 4861, which stays on its link; those of RFC
// 6775 section 4.4 are forwarded.
func isLinkND(typ uint8) bool {
	return typ >= ipv6.ICMPRouterSolicitation && typ <= ipv6.ICMPRedirect
}

func isMLD(typ uint8) bool {
	return typ >= ipv6.ICMPMLDQuery && typ <= ipv6.ICMPMLDDone || typ == ipv6.ICMPMLDv2Report
}

func (r *Router) inputND(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	if l.nb == nil {
		l.drop(DropNoND)
		return
	}
	if err := ipv6.CheckTransport(p); err != nil && !nd.RepairSource(p) {
		l.drop(err)
		return
	}
	if err := l.nb.HandlePacket(now, p, m); err != nil {
		l.drop(err)
		return
	}
	l.stats.Consumed++
}

// inputLocal takes a packet for an address that lives on the host port. What the router
// itself waits for (neighbor discovery, replies to its own pings) is taken out first.
func (r *Router) inputLocal(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	proto := p.NextHeader()
	if proto == ipv6.ProtoUDP || proto == ipv6.ProtoTCP {
		if proto == ipv6.ProtoUDP && r.udp != nil && r.inputUDP(now, l, p, m, ipv6.HeaderLen) {
			return
		}
		r.toHost(now, l, p, m)
		return
	}
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil {
		r.badHeader(now, l, p, m, err)
		return
	}
	if proto == ipv6.ProtoFragment && p[off] == ipv6.ProtoICMPv6 && r.pings.expects(p.Src()) {
		r.inputFragment(now, l, p, m)
		return
	}
	if proto == ipv6.ProtoICMPv6 && off < len(p) {
		if isND(p[off]) {
			r.inputND(now, l, p, m)
			return
		}
		if r.inputPing(now, p, off) {
			l.stats.Consumed++
			return
		}
	}
	r.toHost(now, l, p, m)
}

func (r *Router) toHost(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	h := r.host
	switch {
	case h == nil:
		l.drop(DropNoHost)
	case !r.filter(now, l, h, p, m):
		l.drop(DropFiltered)
	case h == l:
		// The host port's own packet to an address of its own: it need not have come here.
		l.drop(DropLoop)
	case len(p) > h.mtu && p.NextHeader() == ipv6.ProtoICMPv6:
		// Put together in search of the answer to a ping of ours, which it is not.
		for _, q := range fragment(p, h.mtu) {
			if err := h.output(now, q, ipv6.LinkAddr{}); err != nil {
				l.drop(err)
				return
			}
		}
		l.stats.Delivered++
	default:
		if err := h.output(now, p, ipv6.LinkAddr{}); err != nil {
			l.drop(err)
			return
		}
		l.stats.Delivered++
	}
}

// inputCore takes a packet for an address that the router answers for itself: its
// link-local addresses and the subnet-router anycast address.
func (r *Router) inputCore(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil {
		r.badHeader(now, l, p, m, err)
		return
	}
	switch {
	case proto == ipv6.ProtoFragment:
		r.inputFragment(now, l, p, m)
	case proto == ipv6.ProtoICMPv6 && off < len(p):
		switch typ := p[off]; {
		case isND(typ):
			r.inputND(now, l, p, m)
		case typ == ipv6.ICMPEchoRequest:
			r.echo(now, l, p, m, off)
		case r.inputPing(now, p, off):
			l.stats.Consumed++
		case isMLD(typ):
			r.inputMLD(now, l, p, m)
		case typ < 128:
			if err := ipv6.CheckTransport(p); err != nil {
				l.drop(err)
				return
			}
			l.stats.Consumed++
		default:
			l.drop(DropNoListener)
		}
	case proto == ipv6.ProtoUDP && r.udp != nil && r.inputUDP(now, l, p, m, off):
	case proto == ipv6.ProtoUDP, proto == ipv6.ProtoTCP:
		l.drop(DropNoListener)
		r.icmpError(now, l, p, m, ipv6.ICMPUnreachable, 4, 0)
	case proto == ipv6.ProtoNone:
		l.stats.Consumed++ // RFC 8200 section 4.7: ignored
	default:
		l.drop(DropNoListener)
		r.icmpError(now, l, p, m, ipv6.ICMPParamProblem, 1, uint32(ipv6.NextHeaderOffset(p, off)))
	}
}

// echo answers an Echo Request (RFC 4443 section 4.2).
func (r *Router) echo(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta, off int) {
	if err := ipv6.CheckTransport(p); err != nil {
		l.drop(err)
		return
	}
	src := p.Dst()
	if p.IsMulticast() || r.local.Get(addrKey(p.Dst16()).key()) == localCore {
		src = r.sourceFor(l, p.Src())
	}
	if !src.IsValid() || p.Src().IsUnspecified() {
		l.drop(DropMartian)
		return
	}
	if p.IsMulticast() && !r.icmpBucket.Take(now) {
		r.icmpMuted++
		l.stats.Consumed++
		return
	}
	l.stats.Consumed++
	reply := ipv6.AppendEchoReply(r.takeScratch(), p, src)
	if len(reply) <= l.mtu {
		r.originate(now, l, ipv6.Packet(reply))
	} else {
		// The request came in fragments.
		for _, q := range fragment(ipv6.Packet(reply), l.mtu) {
			r.originate(now, l, q)
		}
	}
	r.scratch = reply[:0]
}

// badHeader drops a packet for us whose extension headers do not hold, with the
// Parameter Problem that RFC 8200 section 4 asks for.
func (r *Router) badHeader(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta, err error) {
	l.drop(err)
	if code, pointer, ok := ipv6.ParamProblemFor(p); ok {
		r.icmpError(now, l, p, m, ipv6.ICMPParamProblem, code, pointer)
	}
}

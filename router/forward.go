package router

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// forward sends a packet that is not for us on its way (RFC 8200 section 3).
func (r *Router) forward(now time.Time, in *Link, p ipv6.Packet, m ipv6.Meta, src, dst addr16) {
	switch {
	case r.cfg.HostOnly:
		in.drop(DropNotForwarding)
		return
	case in.kind == LAN && m.LinkDst.IsGroup():
		// Every router on the link has it: each would send it on, and again what the others
		// have sent (RFC 1812 section 5.3.4 for IPv4).
		in.drop(DropLinkMulticast)
		return
	case src == addr16{}:
		// RFC 4291 section 2.5.2: never forwarded.
		in.drop(DropMartian)
		return
	case src.isLinkLocal():
		in.drop(DropScope)
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, 2, 0)
		return
	case p.HopLimit() <= 1:
		in.drop(DropHopLimit)
		r.icmpError(now, in, p, m, ipv6.ICMPTimeExceeded, 0, 0)
		return
	}
	rt := r.fib.lookup(dst)
	if rt == nil {
		in.drop(DropNoRoute)
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, 0, 0)
		return
	}
	if rt.kind == RouteUnreachable {
		in.drop(DropProhibited)
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, 0, 0)
		return
	}
	out, hop := r.links[rt.port], rt.nextHop
	switch {
	case out == in && out.kind == Host:
		in.drop(DropLoop)
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, 0, 0)
		return
	case in.kind == LAN && in.ingress && out.kind != Mesh:
		in.drop(DropTransit)
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, ipv6.UnreachableAdmin, 0)
		return
	case in.ingress && routedBySource(p, out != in):
		in.drop(DropRoutingHeader)
		return
	case !r.filter(now, in, out, p, m):
		in.drop(DropFiltered)
		return
	}
	if len(p) > out.mtu {
		in.drop(DropTooBig)
		r.icmpError(now, in, p, m, ipv6.ICMPPacketTooBig, 0, uint32(out.mtu))
		return
	}
	p.SetHopLimit(p.HopLimit() - 1)
	if r.cfg.ClampMSS && p.NextHeader() == ipv6.ProtoTCP && clampMSS(p, min(in.mtu, out.mtu)) {
		r.clamped++
	}
	var ll ipv6.LinkAddr
	if out.nb != nil {
		if !hop.IsValid() {
			hop = p.Dst()
		}
		var err error
		if ll, err = out.nb.Resolve(now, hop, p, in.index); err != nil {
			if err == ipv6.ErrHeld {
				in.stats.Held++
				return
			}
			in.drop(err)
			r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, 3, 0)
			return
		}
		if out == in && out.kind == LAN {
			if rd, ok := out.nb.(redirector); ok {
				_ = rd.Redirect(now, p, m, hop) // counted there
			}
		}
	}
	if err := out.output(now, p, ll); err != nil {
		in.drop(err)
		return
	}
	in.stats.Forwarded++
}

// A redirector tells the sender of p, which came in by this link and goes out by it, that
// hop is the better first hop (RFC 4861 section 8.2). It sees to the rate.
type redirector interface {
	Redirect(now time.Time, p ipv6.Packet, m ipv6.Meta, hop netip.Addr) error
}

// icmpError answers the packet p that came in by l with an ICMPv6 error, where RFC 4443
// section 2.4 allows one and the rate limit has room.
func (r *Router) icmpError(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta, typ, code uint8, param uint32) {
	if !ipv6.ErrorAllowed(p, m, typ, code) {
		return
	}
	if !r.icmpBucket.Take(now) {
		r.icmpMuted++
		return
	}
	src := r.sourceFor(l, p.Src())
	if dst := p.Dst(); !p.IsMulticast() && (r.local.Get(addrKey(p.Dst16()).key()) == localHost || l.ownLinkLocal(dst)) {
		src = dst
	}
	if !src.IsValid() {
		return
	}
	msg := ipv6.AppendICMPError(r.takeScratch(), typ, code, param, p, src)
	if r.originate(now, l, ipv6.Packet(msg)) == nil {
		r.icmpSent++
	}
	r.scratch = msg[:0]
}

// takeScratch returns the buffer for one packet of ours; who takes it puts it back into
// r.scratch once the packet is sent. While it is away another one is made: address
// resolution for one packet may give up others, about which errors are sent meanwhile.
func (r *Router) takeScratch() []byte {
	b := r.scratch[:0]
	r.scratch = nil
	return b
}

// originate sends a packet that the router itself has built. via is the port for a
// link-local destination; any other is looked up.
func (r *Router) originate(now time.Time, via *Link, p ipv6.Packet) error {
	dst := addrKey(p.Dst16())
	out, hop := via, netip.Addr{}
	switch {
	case dst.isMulticast():
	case dst.isLinkLocal():
		hop = p.Dst()
	case r.local.Get(dst.key()) == localHost:
		out = r.host
	default:
		rt := r.fib.lookup(dst)
		if rt == nil || rt.kind == RouteUnreachable {
			return DropNoRoute
		}
		out, hop = r.links[rt.port], rt.nextHop
		if !hop.IsValid() {
			hop = p.Dst()
		}
	}
	if out == nil {
		return DropNoRoute
	}
	var ll ipv6.LinkAddr
	if out.nb != nil && hop.IsValid() {
		var err error
		if ll, err = out.nb.Resolve(now, hop, p, originator); err != nil {
			if err != ipv6.ErrHeld {
				out.stats.SendFailures++
				return err
			}
			return nil
		}
	}
	err := out.output(now, p, ll)
	out.countOriginated(err)
	return err
}

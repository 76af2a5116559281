package router

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A UDPHandler takes a datagram that came in by l; payload is valid during the call. An
// error is the drop reason.
type UDPHandler func(now time.Time, l *Link, src, dst netip.AddrPort, payload []byte) error

// HandleUDP makes h take the datagrams to a UDP port that the router's own core speaks:
// DHCPv6, which belongs to a link rather than to the host port. They are those to our
// link-local addresses, and to our other addresses and the groups of [Link.ListenGroup]
// where they come in by a mesh or a LAN. nil ends it.
func (r *Router) HandleUDP(port uint16, h UDPHandler) {
	if h == nil {
		delete(r.udp, port)
		return
	}
	if r.udp == nil {
		r.udp = make(map[uint16]UDPHandler)
	}
	r.udp[port] = h
}

// ListenGroup makes the handlers of [Router.HandleUDP] take datagrams to a group on this
// link; LeaveGroup undoes it. Nothing is told to the network.
func (l *Link) ListenGroup(group netip.Addr) { l.core.Put(addrKey(group.As16()).key(), struct{}{}) }

// LeaveGroup undoes [Link.ListenGroup].
func (l *Link) LeaveGroup(group netip.Addr) { l.core.Delete(addrKey(group.As16()).key()) }

// inputUDP gives a datagram to the handler of its port and reports whether there is one.
func (r *Router) inputUDP(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta, off int) bool {
	if l.kind == Host || off+ipv6.UDPHeaderLen > len(p) {
		return false
	}
	h := r.udp[uint16(p[off+2])<<8|uint16(p[off+3])]
	if h == nil {
		return false
	}
	if p.IsMulticast() && l.core.Find(addrKey(p.Dst16()).key()) == nil {
		return false
	}
	if err := ipv6.CheckTransport(p); err != nil {
		l.drop(err)
		return true
	}
	u := p[off:]
	n := int(u[4])<<8 | int(u[5])
	if n < ipv6.UDPHeaderLen || n > len(u) {
		l.drop(ipv6.DropTruncated)
		return true
	}
	src := netip.AddrPortFrom(p.Src(), uint16(u[0])<<8|uint16(u[1]))
	dst := netip.AddrPortFrom(p.Dst(), uint16(u[2])<<8|uint16(u[3]))
	if err := h(now, l, src, dst, u[ipv6.UDPHeaderLen:n]); err != nil {
		l.drop(err)
		return true
	}
	l.stats.Consumed++
	return true
}

// SendUDP sends a datagram of the router's core. The source address is src where it is
// valid, else our link-local one for a destination of link scope and the best of our
// addresses for any other. A packet longer than the MTU of the link is sent in fragments.
func (l *Link) SendUDP(now time.Time, src netip.Addr, srcPort uint16, dst netip.AddrPort, payload []byte) error {
	r := l.r
	if !src.IsValid() {
		src = r.sourceFor(l, dst.Addr())
	}
	if !src.IsValid() {
		return DropNoRoute
	}
	b := ipv6.AppendUDP(r.takeScratch(), netip.AddrPortFrom(src, srcPort), dst, ipv6.DefaultHopLimit, payload)
	var err error
	if len(b) <= l.mtu {
		err = r.originate(now, l, ipv6.Packet(b))
	} else {
		for _, q := range fragment(ipv6.Packet(b), l.mtu) {
			if err = r.originate(now, l, q); err != nil {
				break
			}
		}
	}
	r.scratch = b[:0]
	return err
}

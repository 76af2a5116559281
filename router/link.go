package router

import (
	"net/netip"
	"slices"
	"time"

	"border-router/internal/addrtable"
	"border-router/ipv6"
	"border-router/nd"
)

// A Port carries whole IPv6 packets on one link.
type Port interface {
	// Name is short, stable and unique in a router.
	Name() string
	// MTU returns the size in bytes of the largest packet the link carries.
	MTU() int
	// Output sends p to the link-layer address dst; the zero LinkAddr stands for the
	// link's group address where p is multicast, and for "the other end" on a port
	// without link addresses. It does not block and does not keep p. An error, a drop
	// reason, means that nothing was taken.
	Output(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) error
}

// Neighbors is what the router needs of neighbor discovery on a port: [nd.Router] on a
// mesh that we serve, [nd.Host] on a mesh that we are a device of.
type Neighbors interface {
	Machine
	// HandlePacket takes an ICMPv6 message of neighbor discovery whose checksum has been
	// verified. nil means consumed, an error is the drop reason.
	HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error
	// Heard notes that a packet from src came from m.LinkSrc.
	Heard(now time.Time, src netip.Addr, m ipv6.Meta)
	// Resolve returns the link-layer address of the neighbor dst for sending p now,
	// [ipv6.ErrHeld] where p has been copied and queued under owner, or the reason why p
	// cannot be sent.
	Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error)
	// LinkStatus tells how a unicast transmission ended.
	LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool)
}

// A Machine has timed work: everything due is done by Advance, which is called at or
// after Deadline. The zero Deadline means that nothing is scheduled.
type Machine interface {
	Deadline() time.Time
	Advance(now time.Time)
}

// A Kind says what stands behind a port.
type Kind uint8

// The kinds of port.
const (
	// Mesh is a 6LoWPAN link whose nodes we serve: packets may leave by the port they
	// came in by, since the link is not transitive.
	Mesh Kind = iota + 1
	// Host is the port of the host stack: the kernel behind a TUN, or a user-space stack.
	// Packets for our own addresses go there; in tun mode it is the uplink as well.
	Host
	// LAN is an Ethernet link with hosts and other routers, on which we are one router
	// among others. Packets may leave by the port they came in by, and the sender is told
	// of the shorter way.
	LAN
)

// String returns the kind as shown to a person.
func (k Kind) String() string {
	switch k {
	case Mesh:
		return "mesh"
	case Host:
		return "host"
	case LAN:
		return "lan"
	}
	return "unknown"
}

// PortConfig describes a port to [Router.AddPort].
type PortConfig struct {
	Port Port
	Kind Kind
	// LinkLocal are our own link-local addresses on this link. The first is the source
	// of what we send there.
	LinkLocal []netip.Addr
	// Prefixes are the on-link prefixes of a mesh. With Ingress set, a packet from this
	// port must have a source in one of them, or a link-local one.
	Prefixes []netip.Prefix
	// Ingress switches the ingress filter on (RFC 2827): on a mesh port as Prefixes says;
	// on the host port sources that lie inside a mesh prefix and are not ours are refused.
	//
	// On a LAN the same holds as on the host port, and what comes from there must go to a
	// mesh or to ourselves (RFC 6092 section 3.1).
	Ingress bool
	// Realm numbers the zone of realm-local multicast that the port is in: of a mesh, one
	// more than its PAN ID, since a realm is the interfaces that share one (RFC 7346
	// section 4). 0: a zone of its own.
	Realm uint32
	// MinScope is the smallest multicast scope, other than realm-local, whose packets cross
	// the port (RFC 4007 section 9). Default admin-local.
	MinScope ipv6.Scope
	// MulticastRate is how many multicast packets a second are forwarded onto the link, and
	// MulticastBurst how many at once. Default 20 and 40 on a mesh, elsewhere no limit;
	// negative: none on a mesh either.
	MulticastRate, MulticastBurst int
	// MulticastUnicasts is for how many listeners at most a multicast packet is sent to each
	// of them rather than broadcast. Default 2 on a mesh, elsewhere 0; negative: never.
	MulticastUnicasts int
	// Machines are advanced with the router: the adaptation layer of this port, say.
	Machines []Machine
}

// LinkStats counts packets at one port. At rest
//
//	Received = Delivered + Forwarded + Consumed + Held + Dropped
//
// holds: each packet that came in by this port ends in exactly one of them, wherever it
// ended.
type LinkStats struct {
	Received      uint64 // packets that came in by this port
	ReceivedBytes uint64 // bytes of those, IPv6 header included
	Delivered     uint64 // given to the host port for an address of ours
	Forwarded     uint64 // handed to another port, or back to this one
	Consumed      uint64 // ended in the router itself: neighbor discovery, MLD, echo
	Held          uint64 // waiting now: address resolution, reassembly
	Dropped       uint64 // discarded for a reason, see Drops

	Sent         uint64 // packets of any origin that the port took for sending
	SentBytes    uint64 // bytes of those
	Originated   uint64 // of Sent: built by the router itself (ND, ICMPv6 errors, echo)
	SendFailures uint64 // built by the router itself and refused by the port
}

// A Link is a port as the router sees it. It implements [ipv6.Sender] and [nd.Events] for
// the neighbor-discovery machine of the port.
type Link struct {
	r     *Router
	index int
	name  string
	kind  Kind
	mtu   int
	port  Port
	nb    Neighbors
	mc    Multicast

	designated designated // mc, where it is one

	realm      uint32
	minScope   ipv6.Scope
	mcBucket   ipv6.TokenBucket
	mcUnicasts int
	core       addrtable.Table[struct{}] // groups that the router itself listens to here

	linkLocal []netip.Addr
	prefixes  []prefixMask
	ingress   bool
	machines  []Machine
	busy      interface{ Busy() bool }

	stats LinkStats
	drops map[error]uint64
}

type prefixMask struct {
	p    netip.Prefix
	key  addr16
	bits int
}

func (l *Link) inPrefix(k addr16) bool {
	for i := range l.prefixes {
		if k.mask(l.prefixes[i].bits) == l.prefixes[i].key {
			return true
		}
	}
	return false
}

// AddPort adds a port and returns its link. The index for [ipv6.Meta] is [Link.Index].
// An on-link route is added for each prefix.
func (r *Router) AddPort(cfg PortConfig) *Link {
	l := &Link{
		r: r, index: len(r.links), name: cfg.Port.Name(), kind: cfg.Kind, mtu: cfg.Port.MTU(), port: cfg.Port,
		linkLocal: slices.Clone(cfg.LinkLocal), ingress: cfg.Ingress, machines: slices.Clone(cfg.Machines),
		drops: make(map[error]uint64),
	}
	l.busy, _ = cfg.Port.(interface{ Busy() bool })
	l.setMulticastLimits(cfg)
	r.links = append(r.links, l)
	if cfg.Kind == Host && r.host == nil {
		r.host = l
	}
	for _, p := range cfg.Prefixes {
		l.AddPrefix(p)
	}
	r.matchPorts()
	return l
}

// Index returns the number of the port, as in [ipv6.Meta] and [Route].
func (l *Link) Index() int { return l.index }

// Name returns the name of the port.
func (l *Link) Name() string { return l.name }

// Kind returns the kind of the port.
func (l *Link) Kind() Kind { return l.kind }

// MTU returns the size in bytes of the largest packet the port carries.
func (l *Link) MTU() int { return l.mtu }

// SetNeighbors gives the port its neighbor-discovery machine; l is its sender and its
// events.
func (l *Link) SetNeighbors(n Neighbors) { l.nb = n }

// Neighbors returns what SetNeighbors set.
func (l *Link) Neighbors() Neighbors { return l.nb }

// AddPrefix adds an on-link prefix to the port, with its connected route.
func (l *Link) AddPrefix(p netip.Prefix) {
	p = p.Masked()
	for _, have := range l.prefixes {
		if have.p == p {
			return
		}
	}
	l.prefixes = append(l.prefixes, prefixMask{p, addrKey(p.Addr().As16()), p.Bits()})
	l.r.fib.Add(Route{Prefix: p, Port: l.index, Kind: RouteConnected})
}

// RemovePrefix undoes AddPrefix; of a prefix that the port does not have it takes nothing.
func (l *Link) RemovePrefix(p netip.Prefix) {
	p = p.Masked()
	n := len(l.prefixes)
	l.prefixes = slices.DeleteFunc(l.prefixes, func(m prefixMask) bool { return m.p == p })
	if len(l.prefixes) == n {
		return
	}
	// The route may have become that of another link with the same prefix.
	if rt, ok := l.r.fib.Exact(p); ok && rt.Kind == RouteConnected && rt.Port == l.index {
		l.r.fib.Remove(p)
	}
}

// LinkStatus passes the fate of a unicast transmission to neighbor discovery.
func (l *Link) LinkStatus(now time.Time, dst ipv6.LinkAddr, ok bool) {
	if l.nb != nil {
		l.nb.LinkStatus(now, dst, ok)
	}
}

// Deliver takes a packet that came in by this port; it is [Router.Input] with the port
// filled in.
func (l *Link) Deliver(now time.Time, p ipv6.Packet, m ipv6.Meta) {
	m.Port = l.index
	l.r.Input(now, p, m)
}

// output hands p to the port and counts it as sent.
func (l *Link) output(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) error {
	if err := l.port.Output(now, p, dst); err != nil {
		return err
	}
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(p))
	if l.r.cfg.Tap != nil {
		l.r.cfg.Tap(l.index, true, p)
	}
	return nil
}

func (l *Link) drop(reason error) {
	l.stats.Dropped++
	l.drops[reason]++
}

// SendPacket sends a packet that a machine of this port has built.
func (l *Link) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	l.countOriginated(l.output(now, p, dst))
}

func (l *Link) countOriginated(err error) {
	if err != nil {
		l.stats.SendFailures++
		l.r.log.Debug("send failed", "link", l.name, "reason", err)
		return
	}
	l.stats.Originated++
}

// Registered passes the event to the configuration's observer.
func (l *Link) Registered(now time.Time, addr netip.Addr, ll ipv6.LinkAddr) {
	if l.r.cfg.Registered != nil {
		l.r.cfg.Registered(now, l, addr, ll)
	}
}

// Unregistered passes the event to the configuration's observer.
func (l *Link) Unregistered(now time.Time, addr netip.Addr) {
	if l.r.cfg.Unregistered != nil {
		l.r.cfg.Unregistered(now, l, addr)
	}
}

// Linked passes the event to the configuration's observer.
func (l *Link) Linked(addr netip.Addr, ll ipv6.LinkAddr) {
	if l.r.cfg.Linked != nil {
		l.r.cfg.Linked(l, addr, ll)
	}
}

// originator is the owner of packets that the router itself has built: no port received
// them.
const originator = -1

// Resolved sends a packet that waited for address resolution.
func (l *Link) Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr) {
	err := l.output(now, p, ll)
	in := l.r.link(owner)
	if in == nil {
		l.countOriginated(err)
		return
	}
	in.stats.Held--
	if err != nil {
		in.drop(err)
		return
	}
	in.stats.Forwarded++
}

// Unresolved gives up a packet that waited for address resolution. The sender is told
// with Destination Unreachable, code 3 (RFC 4861 section 7.2.2).
func (l *Link) Unresolved(now time.Time, p ipv6.Packet, owner int, reason error) {
	in := l.r.link(owner)
	if in == nil {
		l.stats.SendFailures++
		l.r.pingUnreachable(now, p, 3)
		return
	}
	in.stats.Held--
	in.drop(reason)
	l.r.icmpError(now, in, p, ipv6.Meta{Port: owner}, ipv6.ICMPUnreachable, 3, 0)
}

// Stats returns a copy of the counters.
func (l *Link) Stats() LinkStats { return l.stats }

// Drops returns how many packets of this port were dropped for each reason.
func (l *Link) Drops() map[string]uint64 {
	out := make(map[string]uint64, len(l.drops))
	for reason, n := range l.drops {
		out[reason.Error()] += n
	}
	return out
}

// Prefixes returns the on-link prefixes.
func (l *Link) Prefixes() []netip.Prefix {
	out := make([]netip.Prefix, len(l.prefixes))
	for i := range l.prefixes {
		out[i] = l.prefixes[i].p
	}
	return out
}

// LinkLocal returns our first link-local address on the link; the zero Addr where there
// is none.
func (l *Link) LinkLocal() netip.Addr {
	if len(l.linkLocal) == 0 {
		return netip.Addr{}
	}
	return l.linkLocal[0]
}

func (l *Link) ownLinkLocal(a netip.Addr) bool { return slices.Contains(l.linkLocal, a) }

var (
	_ nd.Events     = (*Link)(nil)
	_ nd.LinkEvents = (*Link)(nil)
)

// SetLinkLocal changes our link-local addresses on the link. The first is the source of
// what we send there; with none nothing is sent from it.
func (l *Link) SetLinkLocal(list []netip.Addr) { l.linkLocal = slices.Clone(list) }

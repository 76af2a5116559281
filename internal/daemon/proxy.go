package daemon

import (
	"encoding/json"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
	"border-router/nd"
	"border-router/router"
)

// The ND proxy (RFC 4389, RFC 8929): the mesh has the prefix of the LAN. Each node that is
// known has a host route; we answer for it on the LAN, and find out there whether its
// address is unique.

// Proxied is [nd.Proxy]. An address that the mesh may have without our knowing is looked for
// there (RFC 4389 section 4.1): who asked asks again.
func (l *lan) Proxied(addr netip.Addr) bool {
	for _, m := range l.d.meshes {
		switch {
		case m.ours(addr):
			return true
		case !m.has(addr):
		case m.nd.Knows(addr):
			return true
		case l.addrs[addr] == (nd.LANAddress{}) && len(l.later) < maxSeek:
			l.later = append(l.later, func(now time.Time) {
				if l.seek.Take(now) {
					m.nd.Seek(now, addr)
				}
			})
		}
	}
	return false
}

// Nodes are asked for addresses that we do not know so often: what anybody on the LAN can
// cause is not to fill the air.
const (
	seekRate  = 2
	seekBurst = 10
	maxSeek   = 64
)

// Registration is [nd.Registrar].
func (l *lan) Registration(addr netip.Addr) (nd.Registration, bool) {
	for _, m := range l.d.meshes {
		if v, ok := m.nd.Record(addr); ok {
			life := min(max(time.Until(v.Expires).Round(time.Minute)/time.Minute, 1), math.MaxUint16)
			return nd.Registration{ROVR: v.ROVR, T: v.HasTID, R: v.HasTID, TID: v.TID, Lifetime: uint16(life)}, true
		}
	}
	return nd.Registration{}, false
}

// beyond reports whether what the mesh does not have is to be looked for on the LAN.
func (d *Daemon) beyond(addr netip.Addr) bool {
	if d.lan == nil || !d.cfg.LAN.NDProxy {
		return false
	}
	for p := range d.lan.onLink {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// An address that a station of the LAN has is refused to nodes for so long, then looked for
// again.
const (
	takenTime = time.Minute
	maxTaken  = 256
)

// A taken address is that of a station, or of a node behind one.
type taken struct {
	at    time.Time
	owner nd.ROVR // of that node
}

func (l *lan) take(now time.Time, addr netip.Addr, owner nd.ROVR) {
	if len(l.taken) >= maxTaken {
		maps.DeleteFunc(l.taken, func(_ netip.Addr, t taken) bool { return now.Sub(t.at) >= takenTime })
	}
	if len(l.taken) < maxTaken {
		l.taken[addr] = taken{now, owner}
	}
}

// isTaken reports whether a station of the LAN has an address that a node wants, which is not
// the owner itself, come from another border router.
func (d *Daemon) isTaken(addr netip.Addr, owner nd.ROVR) bool {
	if d.lan == nil || len(d.lan.taken) == 0 {
		return false
	}
	t, ok := d.lan.taken[addr]
	return ok && time.Since(t.at) < takenTime && (owner.Len() == 0 || owner != t.owner)
}

// check begins to look for another station with the address of a new registration, and
// reports whether that is under way (RFC 8929 section 9.1). An address that its node had in
// use before it registered it has been looked for already.
func (d *Daemon) check(now time.Time, m *mesh, addr netip.Addr, aro nd.Registration) bool {
	l := d.lan
	if l == nil || l.nd == nil || !d.cfg.LAN.NDProxy || !m.has(addr) {
		return false
	}
	if rt, ok := d.router.FIB().Exact(netip.PrefixFrom(addr, 128)); ok && rt.Kind == router.RouteHost && rt.Port == m.link.Index() {
		return l.nd.Checking(addr)
	}
	l.solicited(now, addr)
	return l.nd.ProxyRegister(now, addr, aro) == nil
}

// maxSolicited bounds the solicited-node groups of nodes that are reported.
const maxSolicited = 2048

// solicited has solicitations for a node come here, through switches that know who listens:
// "the 6BBR MUST join the SNMA group corresponding to a Registered Address as soon as it
// creates a Binding for that address" (RFC 8929 section 6). The port itself takes all in.
func (l *lan) solicited(now time.Time, addr netip.Addr) {
	if !l.asked[addr] && len(l.asked) < maxSolicited && l.groups.listener.Join(now, nd.SolicitedNode(addr)) == nil {
		l.asked[addr] = true
	}
}

// unproxied ends what check or linked began, unless addr is in use again by then.
func (l *lan) unproxied(addr netip.Addr) {
	l.later = append(l.later, func(now time.Time) {
		if l.nd != nil && !slices.ContainsFunc(l.d.meshes, func(m *mesh) bool { return m.nd.Knows(addr) }) {
			l.nd.ProxyRemove(now, addr)
			if l.asked[addr] {
				delete(l.asked, addr)
				l.groups.listener.Leave(now, nd.SolicitedNode(addr))
			}
		}
	})
}

// restored gives the LAN back what was known of the mesh before it could be told.
func (l *lan) restored(now time.Time, m *mesh) {
	l.groups.listener.Batch(now, func() {
		l.proxyOwn(now, m)
		for _, n := range m.nd.Snapshot() {
			if !m.has(n.Addr) || !m.nd.Knows(n.Addr) {
				continue
			}
			l.solicited(now, n.Addr)
			if !n.LinkAddr.IsZero() {
				l.d.proxyRoute(m, n.Addr)
			}
			_ = l.nd.ProxyAdd(now, n.Addr, false)
		}
	})
	l.seekKept(now, m)
}

// Nodes that do not register say nothing when the router has been away, while hosts go on
// sending to them by us. So those that were known are kept, and asked after a restart.
const (
	keyProxiedNodes = "lan.proxied.nodes"
	maxProxiedNodes = 256
	seekAtOnce      = 4
	seekAgain       = 4 * time.Second // when those that do not answer have been given up
)

// keep notes the nodes that we are the proxy of.
func (d *Daemon) keep(addr netip.Addr, known bool) {
	if d.proxied == nil {
		d.proxied = map[netip.Addr]bool{}
		if b, ok := d.store.Get(keyProxiedNodes); ok {
			var list []netip.Addr
			if json.Unmarshal(b, &list) == nil {
				for _, a := range list[:min(len(list), maxProxiedNodes)] {
					d.proxied[a] = true
				}
			}
		}
	}
	if !addr.IsValid() || d.proxied[addr] == known || known && len(d.proxied) >= maxProxiedNodes {
		return
	}
	if known {
		d.proxied[addr] = true
	} else {
		delete(d.proxied, addr)
	}
	if b, err := json.Marshal(slices.SortedFunc(maps.Keys(d.proxied), netip.Addr.Compare)); err == nil {
		d.store.Put(keyProxiedNodes, b)
	}
}

// seekKept asks the mesh for the nodes of an earlier run, a few at a time.
func (l *lan) seekKept(now time.Time, m *mesh) {
	l.d.keep(netip.Addr{}, false)
	for a := range l.d.proxied {
		if m.has(a) && !m.nd.Knows(a) {
			l.sought = append(l.sought, a)
		}
	}
	slices.SortFunc(l.sought, netip.Addr.Compare)
	if len(l.sought) > 0 {
		l.seekAt = now
	}
}

// advanceSeek goes on with it, and at the end forgets those that did not answer.
func (l *lan) advanceSeek(now time.Time) {
	if len(l.sought) == 0 {
		l.sought, l.seekAt = nil, time.Time{}
		for a := range l.d.proxied {
			if !slices.ContainsFunc(l.d.meshes, func(m *mesh) bool { return m.nd.Knows(a) }) {
				l.d.keep(a, false)
			}
		}
		return
	}
	n := min(seekAtOnce, len(l.sought))
	for _, a := range l.sought[:n] {
		for _, m := range l.d.meshes {
			if m.has(a) {
				m.nd.Seek(now, a)
			}
		}
	}
	l.sought, l.seekAt = l.sought[n:], now.Add(seekAgain)
}

// followPrefix gives the mesh the prefix of the LAN: the first that is not unique local,
// else the first.
func (l *lan) followPrefix(now time.Time) {
	best := netip.Prefix{}
	better := func(p netip.Prefix) bool {
		if !best.IsValid() {
			return true
		}
		if a, b := ipv6.IsULA(p.Addr()), ipv6.IsULA(best.Addr()); a != b {
			return b
		}
		return p.Addr().Less(best.Addr())
	}
	for p := range l.onLink {
		if p.Bits() == 64 && !p.Addr().IsLinkLocalUnicast() && better(p) {
			best = p
		}
	}
	m := l.d.meshes[0]
	if p := m.prefix; p.IsValid() && l.onLink[p] && best.IsValid() && ipv6.IsULA(p.Addr()) == ipv6.IsULA(best.Addr()) {
		return // as good as any
	}
	if !best.IsValid() || best == m.prefix {
		return // without one nodes keep what they have
	}
	l.d.setPrefix(now, m, best)
	l.d.source = "LAN"
	b, _ := best.MarshalText() // never fails
	l.d.store.Put(keyProxied, b)
	l.proxyOwn(now, m)
}

// proxyOwn has the LAN know our own address in the mesh.
func (l *lan) proxyOwn(now time.Time, m *mesh) {
	if m.addr.IsValid() {
		l.solicited(now, m.addr)
		_ = l.nd.ProxyAdd(now, m.addr, false)
		l.port.JoinGroup(nd.SolicitedNode(m.addr))
	}
}

const keyProxied = "lan.proxied"

// keptProxied returns the prefix that the mesh had from the LAN in an earlier run.
func (d *Daemon) keptProxied() (p netip.Prefix, ok bool) {
	if !d.cfg.LAN.NDProxy {
		return p, false
	}
	b, ok := d.store.Get(keyProxied)
	if !ok || p.UnmarshalText(b) != nil || p.Bits() != 64 || !p.Addr().Is6() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// connected returns the prefixes of a mesh that are on its link and on no other.
func (d *Daemon) connected(p netip.Prefix) []netip.Prefix {
	if kept, ok := d.keptProxied(); ok && kept == p {
		return nil
	}
	return []netip.Prefix{p}
}

// linked is told of each neighbor of a mesh: with the ND proxy it gets a host route.
func (d *Daemon) linked(link *router.Link, addr netip.Addr, ll ipv6.LinkAddr) {
	l := d.lan
	if l == nil || !d.cfg.LAN.NDProxy || addr.IsLinkLocalUnicast() {
		return
	}
	host := netip.PrefixFrom(addr, 128)
	fib := d.router.FIB()
	have, ok := fib.Exact(host)
	switch {
	case ll.IsZero():
		if ok && have.Kind == router.RouteHost && have.Port == link.Index() {
			fib.Remove(host)
			d.keep(addr, false)
			if d.kernel != nil {
				d.kernel.route(host, false)
			}
		}
		l.unproxied(addr) // also where the route went with the prefix
	case !ok:
		m := d.meshOf(link)
		if m == nil || !m.has(addr) {
			return
		}
		d.proxyRoute(m, addr)
		d.keep(addr, true)
		l.later = append(l.later, func(now time.Time) {
			if l.nd == nil {
				return
			}
			l.solicited(now, addr)
			if err := l.nd.ProxyAdd(now, addr, true); err != nil {
				d.log.Debug("address not checked on the LAN", "addr", addr, "reason", err)
			}
		})
	}
}

// proxyRoute has a node of the mesh reached although its prefix is the LAN's.
func (d *Daemon) proxyRoute(m *mesh, addr netip.Addr) {
	host := netip.PrefixFrom(addr, 128)
	d.router.FIB().Add(router.Route{Prefix: host, Port: m.link.Index(), Kind: router.RouteHost})
	if d.kernel != nil {
		d.kernel.route(host, true)
	}
}

// dropProxied ends what proxyRoute began for the nodes with addresses from p.
func (d *Daemon) dropProxied(m *mesh, p netip.Prefix) {
	fib := d.router.FIB()
	for _, rt := range fib.Routes() {
		if rt.Kind == router.RouteHost && rt.Port == m.link.Index() && p.Contains(rt.Prefix.Addr()) {
			fib.Remove(rt.Prefix)
			d.keep(rt.Prefix.Addr(), false)
			if d.kernel != nil {
				d.kernel.route(rt.Prefix, false)
			}
			if d.lan != nil {
				d.lan.unproxied(rt.Prefix.Addr())
			}
		}
	}
}

func (d *Daemon) meshOf(link *router.Link) *mesh {
	for _, m := range d.meshes {
		if m.link == link {
			return m
		}
	}
	return nil
}

func linkLocalOf(ll ipv6.LinkAddr) netip.Addr { return ipv6.LinkLocal(ll) }

package daemon

import (
	"net/netip"
	"slices"
	"time"

	"border-router/dhcp6"
	"border-router/internal/config"
	"border-router/ipv6"
	"border-router/nd"
	"border-router/router"
)

// retireAfter is how long the prefix that a mesh had before stays reachable: as long as nd
// announces it as deprecated.
const retireAfter = 2 * time.Hour

// A retired prefix is one that a mesh has had, and that nodes may still use.
type retired struct {
	prefix netip.Prefix
	addr   netip.Addr // ours in it
	until  time.Time
}

// addAddress makes a one of our own, on the host stack too.
func (d *Daemon) addAddress(a netip.Addr) {
	d.router.AddAddress(a)
	d.tellOwn()
	if d.kernel != nil {
		d.kernel.address(a, true)
	}
	if d.stack != nil {
		if err := d.stack.AddAddress(a); err != nil {
			d.log.Error("address not given to the host stack", "addr", a, "err", err)
		}
	}
}

func (d *Daemon) removeAddress(a netip.Addr) {
	d.router.RemoveAddress(a)
	d.tellOwn()
	if d.kernel != nil {
		d.kernel.address(a, false)
	}
	if d.stack != nil {
		if err := d.stack.RemoveAddress(a); err != nil {
			d.log.Error("address not taken from the host stack", "addr", a, "err", err)
		}
	}
}

// tellOwn tells the LAN's port which addresses we answer: what goes there waits apart from
// what is forwarded. The nodes that we are the ND proxy of are not among them.
func (d *Daemon) tellOwn() {
	if d.lan != nil {
		d.lan.tellOwn(d.router.LocalAddresses())
	}
}

// setPrefix gives a mesh another prefix: nodes are told, form new addresses and register
// them; the one before is deprecated, and goes in two hours, or earlier where it was given
// for less. The zero prefix leaves the mesh without.
func (d *Daemon) setPrefix(now time.Time, m *mesh, p netip.Prefix) {
	if p == m.prefix {
		return
	}
	d.log.Info("prefix of the mesh changes", "link", m.name, "from", m.prefix, "to", p)
	if m.prefix.IsValid() {
		_, valid := m.nd.Lifetimes(now)
		m.retired = append(m.retired, retired{m.prefix, m.addr, now.Add(min(retireAfter, valid))})
		if len(m.retired) > maxRetired {
			m.dropRetired(d, 0)
		}
	}
	m.prefix, m.addr = p, netip.Addr{}
	if p.IsValid() {
		m.retired = slices.DeleteFunc(m.retired, func(r retired) bool { return r.prefix == p }) // it is back
		m.addr = ipv6.WithIID(p, m.lladdr.IID())
		d.addAddress(m.addr)
		d.addOnLink(m, p)
	}
	m.announce(d, now)
	m.nd.SetPrefix(now, p)
	if m.server != nil && d.cfg.DHCP.Server == config.DHCPServerStateful {
		m.server.SetPrefix(now, p, netip.Addr{}, netip.Addr{})
	}
	d.routesChanged(now)
}

// maxRetired bounds the prefixes of a mesh: nodes have to be told of all of them.
const maxRetired = 3

// addOnLink makes p reachable by the mesh. With the ND proxy it is the LAN's, and only
// nodes that are known are reached.
func (d *Daemon) addOnLink(m *mesh, p netip.Prefix) {
	if d.cfg.LAN.NDProxy {
		return
	}
	m.link.AddPrefix(p)
	if d.kernel != nil {
		d.kernel.route(p, true)
	}
}

// announce tells adaptation layer and nodes of our addresses and compression contexts. A
// prefix keeps its context as long as it is known; only the one in use is compressed with
// (RFC 6775 section 7.2).
func (m *mesh) announce(d *Daemon, now time.Time) {
	prefixes := []netip.Prefix{}
	addrs := []netip.Addr{}
	if m.prefix.IsValid() {
		prefixes, addrs = append(prefixes, m.prefix), append(addrs, m.addr)
	}
	for _, r := range m.retired {
		prefixes, addrs = append(prefixes, r.prefix), append(addrs, r.addr)
	}
	list := d.tellContexts(now, m, prefixes)
	m.nd.SetAddrs(addrs)
	m.nd.SetContexts(now, list)
}

func (m *mesh) dropRetired(d *Daemon, i int) {
	r := m.retired[i]
	m.retired = slices.Delete(m.retired, i, i+1)
	d.removeAddress(r.addr)
	// With the ND proxy it may be a prefix of the LAN, which was never on our link.
	if slices.Contains(m.link.Prefixes(), r.prefix) {
		m.link.RemovePrefix(r.prefix)
		if d.kernel != nil {
			d.kernel.route(r.prefix, false)
		}
	}
	if d.cfg.LAN.NDProxy && !m.has(r.prefix.Addr()) {
		d.dropProxied(m, r.prefix)
		if d.lan != nil {
			d.lan.port.LeaveGroup(nd.SolicitedNode(r.addr))
			d.lan.unproxied(r.addr)
		}
	}
}

// has reports whether addr is from a prefix of the mesh, the one in use or one that nodes
// may still use.
func (m *mesh) has(addr netip.Addr) bool {
	return m.prefix.Contains(addr) || slices.ContainsFunc(m.retired, func(r retired) bool { return r.prefix.Contains(addr) })
}

// ours reports whether addr is our own in a prefix of the mesh.
func (m *mesh) ours(addr netip.Addr) bool {
	return addr == m.addr || slices.ContainsFunc(m.retired, func(r retired) bool { return r.addr == addr })
}

// meshWork is the timed work of a mesh beside that of its port: prefixes whose time is over,
// and DHCPv6.
type meshWork struct {
	d *Daemon
	m *mesh
}

func (w meshWork) Deadline() (t time.Time) {
	for _, x := range w.m.retired {
		t = earlier(t, x.until)
	}
	if w.m.server != nil {
		t = earlier(earlier(t, w.m.server.Deadline()), w.m.held.due())
	}
	return t
}

func (w meshWork) Advance(now time.Time) {
	if s := w.m.server; s != nil {
		if d := s.Deadline(); !d.IsZero() && !d.After(now) {
			s.Advance(now)
		}
		dhcpDown(w).release(now, w.m.held.late(now))
	}
	over := false
	for i := len(w.m.retired) - 1; i >= 0; i-- {
		if !w.m.retired[i].until.After(now) {
			w.m.dropRetired(w.d, i)
			over = true
		}
	}
	if over {
		w.m.announce(w.d, now)
		w.d.routesChanged(now)
	}
}

// routesChanged tells the LAN which prefixes our meshes have.
func (d *Daemon) routesChanged(now time.Time) {
	if d.lan != nil && d.lan.nd != nil {
		d.lan.nd.SetRoutes(now, d.lan.meshRoutes())
	}
}

// delegates reports whether a prefix for the meshes is asked for.
func (d *Daemon) delegates() bool {
	switch c := d.cfg; c.DHCP.Delegation {
	case config.SwitchOn:
		return true
	case config.SwitchAuto:
		return c.Uplink.Ethernet() && len(c.Prefixes) == 0 && !c.LAN.NDProxy
	}
	return false
}

// delegated gives the meshes subnets of what was delegated, and their own where nothing
// was. The rest of it is unreachable, so that it does not come back to us over the default
// route (RFC 7084 section 4.3, WPD-5).
func (d *Daemon) delegated(now time.Time, list []dhcp6.Prefix) {
	fib := d.router.FIB()
	keep := map[netip.Prefix]bool{}
	for _, p := range list {
		keep[p.Prefix] = true
	}
	for _, p := range d.unreachable {
		if !keep[p] {
			if rt, ok := fib.Exact(p); ok && rt.Kind == router.RouteUnreachable {
				fib.Remove(p)
			}
			if d.kernel != nil && !d.onMesh(p) {
				d.kernel.route(p, false)
			}
		}
	}
	d.unreachable = d.unreachable[:0]
	for _, p := range list {
		fib.Add(router.Route{Prefix: p.Prefix, Kind: router.RouteUnreachable, Metric: 1 << 30})
		d.unreachable = append(d.unreachable, p.Prefix)
		if d.kernel != nil {
			d.kernel.route(p.Prefix, true) // its own default route leads back to the uplink
		}
	}
	subnets := d.subnetsOf(list)
	for i, m := range d.meshes {
		m.bound(now, list)
		s, ok := subnets[uint16(d.numbers[i])]
		if !ok {
			d.setPrefix(now, m, d.own[i])
			continue
		}
		d.setPrefix(now, m, s.Prefix)
		m.nd.SetLifetimes(now, s.From.Preferred, s.From.Valid)
		if m.server != nil {
			m.server.SetLifetimes(s.From.Preferred, s.From.Valid)
		}
	}
	d.source = "generated"
	if len(subnets) > 0 {
		d.source = "delegated"
	}
}

// bound has no prefix of the mesh be announced for longer than the delegated one that it is
// part of, be it about to be replaced or replaced already.
func (m *mesh) bound(now time.Time, list []dhcp6.Prefix) {
	for _, p := range list {
		if p.Prefix.Overlaps(m.prefix) {
			m.nd.SetLifetimes(now, p.Preferred, p.Valid)
		}
		for i := range m.retired {
			r := &m.retired[i]
			if p.Prefix.Overlaps(r.prefix) && !p.Valid.IsZero() && p.Valid.Before(r.until) {
				r.until = p.Valid
				m.nd.EndPrefix(now, r.prefix, p.Valid)
			}
		}
	}
}

// onMesh reports whether p is the prefix of a mesh, or was.
func (d *Daemon) onMesh(p netip.Prefix) bool {
	return slices.ContainsFunc(d.meshes, func(m *mesh) bool { return slices.Contains(m.link.Prefixes(), p) })
}

// subnetsOf returns the subnet of each mesh, by its number, out of the delegated prefix that
// is good for longest.
func (d *Daemon) subnetsOf(list []dhcp6.Prefix) map[uint16]dhcp6.Subnet {
	ports := make([]uint16, len(d.numbers))
	for i, n := range d.numbers {
		ports[i] = uint16(n)
	}
	subnets, short := dhcp6.Subnets(list, ports)
	for _, s := range short {
		d.log.Warn("a mesh gets nothing of the delegated prefix", "port", s.Port, "prefix", s.From, "reason", s.Reason)
	}
	longer := func(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }
	best := map[uint16]dhcp6.Subnet{}
	for _, s := range subnets {
		if have, ok := best[s.Port]; !ok || longer(s.From.Preferred, have.From.Preferred) {
			best[s.Port] = s
		}
	}
	return best
}

package daemon

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"border-router/internal/config"
	"border-router/internal/ethernet"
	"border-router/ipv6"
	"border-router/mld"
	"border-router/nd"
	"border-router/router"
)

// A lan is the Ethernet link of the uplink: one of our own, or with a TUN the interface on
// which we speak beside the kernel. Everything but its opening and closing happens on the
// loop.
type lan struct {
	d       *Daemon
	port    *ethernet.Port
	link    *router.Link
	control bool // beside the kernel
	groups  *groups
	tellOwn func([]netip.Addr) // tells the port our addresses

	nd     *nd.LAN // nil as long as our MAC address is not known
	state  ethernet.State
	up     bool
	addrs  map[netip.Addr]nd.LANAddress
	onLink map[netip.Prefix]bool // as told; learnt or offered
	routes map[netip.Prefix]nd.LANRoute
	dns    []netip.Addr
	search []string
	nat64  []netip.Prefix
	joined map[netip.Addr]bool // groups of addresses
	seek   ipv6.TokenBucket    // of addresses that the mesh is asked for

	sought []netip.Addr         // of the mesh, after a restart
	seekAt time.Time            // when that goes on; zero: not
	taken  map[netip.Addr]taken // by stations of the LAN, when nodes wanted them
	asked  map[netip.Addr]bool  // of the mesh, whose solicited-node groups we listen to

	dhcp *dhcpClient // nil: nothing is asked for

	// What an event has asked for that is not to be done within it.
	later []func(now time.Time)
}

const (
	keySecret     = "lan.secret"
	keyAdvertised = "lan.advertised"
	keyMAC        = "lan.mac."
)

// newLAN opens the link. Its machine is made when the interface is there.
func (d *Daemon) newLAN() error {
	c, u := d.cfg, d.cfg.Uplink
	l := &lan{
		d: d, control: !u.Ethernet(),
		addrs: map[netip.Addr]nd.LANAddress{}, onLink: map[netip.Prefix]bool{}, routes: map[netip.Prefix]nd.LANRoute{}, joined: map[netip.Addr]bool{},
		seek: ipv6.TokenBucket{Rate: seekRate, Burst: seekBurst}, taken: map[netip.Addr]taken{}, asked: map[netip.Addr]bool{},
	}
	cfg := ethernet.Config{Name: u.Name, TAP: u.Kind == config.UplinkTAP, Bridge: u.Bridge, MAC: u.MAC, MTU: u.MTU, Proxy: c.LAN.NDProxy, Logger: d.log}
	if l.control {
		cfg = ethernet.Config{Name: string(c.LAN.Interface), Control: true, Proxy: c.LAN.NDProxy, Logger: d.log}
	} else if u.MAC.IsZero() && !u.Shared {
		mac, err := d.keptMAC(u.Name)
		if err != nil {
			return err
		}
		cfg.MAC = mac
	}
	cfg.OnState = func(s ethernet.State) {
		d.loop.Post(workFunc(func(now time.Time) { l.changed(now, s) }))
	}
	port, err := ethernet.Open(cfg)
	if err != nil {
		return err
	}
	l.port, l.tellOwn = port, port.SetOwnAddresses
	l.link = d.router.AddPort(router.PortConfig{
		Port: port, Kind: router.LAN, Ingress: c.Filters.Ingress, Machines: []router.Machine{l},
		Realm: d.realm(0),
	})
	d.router.SetProxied(c.LAN.NDProxy)
	if c.Multicast.Forward {
		port.SetAllGroups(true)
	}
	l.groups = d.newGroups(l.link, netip.Addr{})
	l.link.SetMulticast(l.groups)
	d.proxy = mld.NewProxy(mld.ProxyConfig{MinScope: d.minScope()}, l.groups.listener)
	d.lan = l
	return nil
}

// keptMAC returns our MAC address on an interface: locally administered, made once.
func (d *Daemon) keptMAC(name string) (ipv6.LinkAddr, error) {
	if b, ok := d.store.Get(keyMAC + name); ok && len(b) == 6 && b[0]&1 == 0 {
		return ipv6.EUI48([6]byte(b)), nil
	}
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		return ipv6.LinkAddr{}, fmt.Errorf("generate a MAC address: %w", err)
	}
	b[0] = b[0]&^3 | 2
	d.store.Put(keyMAC+name, b[:])
	return ipv6.EUI48(b), nil
}

func (d *Daemon) secret() []byte {
	if b, ok := d.store.Get(keySecret); ok && len(b) >= 16 {
		return b
	}
	b := make([]byte, 32)
	rand.Read(b) // never fails
	d.store.Put(keySecret, b)
	return b
}

// workFunc makes a function work for the loop.
type workFunc func(now time.Time)

func (f workFunc) Run(now time.Time) { f(now) }

// Deadline and Advance do what events have left to be done.
func (l *lan) Deadline() time.Time {
	if len(l.later) > 0 {
		return time.Unix(1, 0)
	}
	if l.dhcp != nil {
		return earlier(l.seekAt, l.dhcp.Deadline())
	}
	return l.seekAt
}

func (l *lan) Advance(now time.Time) {
	todo := l.later
	l.later = nil
	for _, f := range todo {
		f(now)
	}
	if !l.seekAt.IsZero() && !l.seekAt.After(now) {
		l.advanceSeek(now)
	}
	if c := l.dhcp; c != nil {
		if d := c.Deadline(); !d.IsZero() && !d.After(now) {
			c.Advance(now)
		}
	}
}

// changed is told of the interface.
func (l *lan) changed(now time.Time, s ethernet.State) {
	old := l.state
	l.state = s
	if l.nd == nil {
		if s.LinkAddr.IsZero() || l.control && !s.LinkLocal.IsValid() {
			return
		}
		l.start(now)
	} else if l.control && s.LinkLocal.IsValid() && (s.LinkLocal != old.LinkLocal || s.LinkAddr != old.LinkAddr) {
		l.nd.SetLinkLocal(now, s.LinkLocal, s.LinkAddr)
		l.setLinkLocal(now, s.LinkLocal)
	} else if !l.control && s.LinkAddr != old.LinkAddr && !s.LinkAddr.IsZero() {
		l.nd.SetLinkAddr(now, s.LinkAddr)
	}
	if l.control && s.Up && s.Index != old.Index {
		l.kernelAgain()
	}
	switch {
	case s.Up && !l.up:
		l.up = true
		l.nd.Start(now)
		if l.d.cfg.Multicast.Forward {
			l.groups.querier.Start(now)
		}
		l.groups.listener.Announce(now)
	case !s.Up && l.up:
		l.up = false
		l.nd.Down(now)
		l.groups.querier.Stop(now)
	default:
		if l.dhcp != nil {
			l.dhcp.sourceChanged(now)
		}
		return
	}
	if l.dhcp != nil {
		l.dhcp.linkChanged(now, l.up)
	}
}

// start makes the machine, now that our addresses on the link are known.
func (l *lan) start(now time.Time) {
	d, c := l.d, l.d.cfg.LAN
	cfg := nd.LANConfig{
		LinkAddr: l.state.LinkAddr, MTU: l.link.MTU(),
		RouterOnly: l.control, AcceptRouter: !l.control && c.AcceptRA, Routers: c.Routers,
		Secret: d.secret(), NetworkID: l.port.Name(),
		Advertise: c.Advertise, RouterLifetime: c.RouterLifetime, MaxRAInterval: c.RAInterval, RouteLifetime: c.RouteLifetime,
		Routes: l.meshRoutes(),
		Rand:   seeded(), Logger: d.log, Name: l.port.Name(),
	}
	if l.control {
		cfg.LinkLocal = l.state.LinkLocal
	}
	if c.NDProxy {
		cfg.Proxy = l
		cfg.Routes = nil
	}
	if c.OfferPrefix && !c.NDProxy {
		cfg.OfferPrefix = d.lanPrefix()
	}
	l.nd = nd.NewLAN(cfg, l.link, l)
	if b, ok := d.store.Get(keyAdvertised); ok {
		var list []nd.Advertised
		if err := json.Unmarshal(b, &list); err == nil {
			l.nd.Restore(now, list)
		}
	}
	l.link.SetNeighbors(l.nd)
	if l.control {
		l.setLinkLocal(now, l.state.LinkLocal)
	}
	for _, g := range lanGroups {
		l.listen(now, g)
	}
	for _, m := range d.meshes {
		d.proxy.Attach(now, m.groups.querier)
		if c.NDProxy {
			l.restored(now, m)
		}
	}
}

// lanGroups are the groups that we listen to on a LAN, beside those of our addresses.
var lanGroups = []netip.Addr{ipv6.AllRouters, netip.MustParseAddr("ff05::2")}

// lanPrefix returns the prefix that we offer on the LAN: the last subnet of our own ULA.
func (d *Daemon) lanPrefix() netip.Prefix {
	a := d.ula.Addr().As16()
	a[6], a[7] = 0xff, 0xff
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// meshRoutes are the routes that the LAN is told of.
func (l *lan) meshRoutes() (list []nd.AdvertisedRoute) {
	if l.d.cfg.LAN.NDProxy {
		return nil
	}
	for _, m := range l.d.meshes {
		for _, p := range m.link.Prefixes() {
			list = append(list, nd.AdvertisedRoute{Prefix: p})
		}
	}
	return list
}

// listen has packets to a group come in, and MLD tell of it.
func (l *lan) listen(now time.Time, g netip.Addr) {
	l.port.JoinGroup(g)
	if err := l.groups.listener.Join(now, g); err != nil {
		l.d.log.Debug("group not reported", "group", g, "reason", err)
	}
}

func (l *lan) unlisten(now time.Time, g netip.Addr) {
	l.port.LeaveGroup(g)
	l.groups.listener.Leave(now, g)
}

func (l *lan) setLinkLocal(now time.Time, a netip.Addr) {
	if a.IsValid() {
		l.link.SetLinkLocal([]netip.Addr{a})
	} else {
		l.link.SetLinkLocal(nil)
	}
	l.groups.setSource(now, a)
}

// Resolved and Unresolved are the link's (nd.LANEvents).
func (l *lan) Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr) {
	l.link.Resolved(now, p, owner, ll)
}

func (l *lan) Unresolved(now time.Time, p ipv6.Packet, owner int, reason error) {
	l.link.Unresolved(now, p, owner, reason)
}

// AddressChanged gives an address that may be used to the router and the host stack.
func (l *lan) AddressChanged(now time.Time, a nd.LANAddress) {
	usable := func(s nd.AddressState) bool { return s == nd.AddressPreferred || s == nd.AddressDeprecated }
	old, known := l.addrs[a.Addr]
	gone := a.State == nd.AddressRemoved || a.State == nd.AddressDuplicate
	if gone {
		delete(l.addrs, a.Addr)
	} else {
		l.addrs[a.Addr] = a
	}
	switch {
	case !known && !gone:
		if g := nd.SolicitedNode(a.Addr); !l.joined[a.Addr] {
			l.joined[a.Addr] = true
			l.listen(now, g)
		}
	case gone && l.joined[a.Addr]:
		delete(l.joined, a.Addr)
		l.unlisten(now, nd.SolicitedNode(a.Addr))
	}
	if a.State == nd.AddressDuplicate {
		l.d.log.Error("another station has our address; it is not used", "link", l.port.Name(), "addr", a.Addr)
		if l.dhcp != nil && a.Static {
			l.later = append(l.later, func(now time.Time) { l.dhcp.Decline(now, a.Addr) })
		}
	}
	was, is := known && usable(old.State), !gone && usable(a.State)
	if was == is {
		return
	}
	if a.Addr.IsLinkLocalUnicast() {
		if is {
			l.setLinkLocal(now, a.Addr)
			if l.dhcp != nil {
				l.later = append(l.later, l.dhcp.ready)
			}
		} else {
			l.setLinkLocal(now, netip.Addr{})
		}
		return
	}
	if is {
		l.d.addAddress(a.Addr)
		l.d.log.Info("address on the LAN", "link", l.port.Name(), "addr", a.Addr)
	} else {
		l.d.removeAddress(a.Addr)
	}
}

// OnLinkChanged keeps the connected routes.
func (l *lan) OnLinkChanged(now time.Time, prefix netip.Prefix, on bool) {
	if on && !l.d.cfg.LAN.NDProxy && l.d.ours(prefix) {
		l.d.log.Warn("a router on the LAN says that a prefix of ours is there; it is not believed", "link", l.port.Name(), "prefix", prefix)
		return
	}
	if on {
		l.onLink[prefix] = true
	} else if !l.onLink[prefix] {
		return
	} else {
		delete(l.onLink, prefix)
	}
	if l.control {
		l.kernelPrefix(prefix, on)
	} else if on {
		l.link.AddPrefix(prefix)
	} else {
		l.link.RemovePrefix(prefix)
		if r, ok := l.routes[prefix]; ok {
			l.RouteChanged(now, r) // a router still says to lead there
		}
	}
	if l.d.cfg.LAN.NDProxy {
		l.later = append(l.later, l.followPrefix)
	}
}

// kernelPrefix has a prefix of the LAN reached by the kernel, also where it is part of one
// that our meshes have theirs from, the rest of which is unreachable.
func (l *lan) kernelPrefix(prefix netip.Prefix, on bool) {
	d := l.d
	fib := d.router.FIB()
	rt, ok := fib.Exact(prefix)
	switch {
	case on && !ok:
		fib.Add(router.Route{Prefix: prefix, Port: d.host.Index(), Kind: router.RouteStatic})
	case !on && ok && rt.Port == d.host.Index() && rt.Kind == router.RouteStatic:
		fib.Remove(prefix)
	}
	if prefix == d.lanPrefix() {
		// The kernel does not hear our advertisements; without an address it would not know
		// that the hosts which use the prefix are there.
		addr := ipv6.WithIID(prefix, l.state.LinkAddr.IID())
		d.kernel.set(d.kernel.lan, netip.PrefixFrom(addr, 64), on)
	}
}

// kernelAgain gives the kernel its address on an interface that has been replaced.
func (l *lan) kernelAgain() {
	if p := l.d.lanPrefix(); l.onLink[p] {
		l.kernelPrefix(p, true)
	}
}

// ours reports whether p lies in the prefix of a mesh, or is one that we have cut those out
// of: whatever others say, it is reached by our own ports.
func (d *Daemon) ours(p netip.Prefix) bool {
	for _, m := range d.meshes {
		for _, own := range append(m.link.Prefixes(), m.prefix) {
			if own.IsValid() && p.Bits() >= own.Bits() && own.Contains(p.Addr()) {
				return true
			}
		}
	}
	return slices.Contains(d.aggregates(), p) || slices.Contains(d.unreachable, p)
}

// RouteChanged keeps the routes by other routers.
func (l *lan) RouteChanged(_ time.Time, r nd.LANRoute) {
	if !r.NextHop.IsValid() {
		if _, ok := l.routes[r.Prefix]; ok {
			delete(l.routes, r.Prefix)
			if rt, ok := l.d.router.FIB().Exact(r.Prefix); ok && l.advertised(rt) {
				l.d.router.FIB().Remove(r.Prefix)
			}
		}
		return
	}
	if l.d.ours(r.Prefix) {
		l.d.log.Warn("a router on the LAN claims a prefix of ours; its route is not taken", "link", l.port.Name(), "prefix", r.Prefix, "router", r.NextHop)
		return
	}
	l.routes[r.Prefix] = r
	fib := l.d.router.FIB()
	if rt, ok := fib.Exact(r.Prefix); ok {
		if !l.advertised(rt) {
			return // ours stands
		}
		fib.Remove(r.Prefix)
	}
	kind := router.RouteAdvertised
	if r.Prefix.Bits() == 0 {
		kind = router.RouteDefault
	}
	fib.Add(router.Route{Prefix: r.Prefix, Port: l.link.Index(), NextHop: r.NextHop, Kind: kind})
	if r.Prefix.Bits() == 0 {
		l.d.log.Info("default router", "link", l.port.Name(), "addr", r.NextHop)
	}
}

// advertised reports whether a route is one that RouteChanged has added.
func (l *lan) advertised(rt router.Route) bool {
	return rt.Port == l.link.Index() && (rt.Kind == router.RouteAdvertised || rt.Kind == router.RouteDefault)
}

// DNSChanged passes the resolvers of the LAN on to the nodes, where the configuration names
// none.
func (l *lan) DNSChanged(now time.Time, servers []netip.Addr, search []string) {
	l.dns, l.search = slices.Clone(servers), slices.Clone(search)
	l.later = append(l.later, l.d.dnsChanged)
}

// NAT64Changed is kept for the status.
func (l *lan) NAT64Changed(_ time.Time, prefixes []netip.Prefix) { l.nat64 = slices.Clone(prefixes) }

// ParametersChanged tells the DHCPv6 client what is to be asked for.
func (l *lan) ParametersChanged(_ time.Time, p nd.LANParameters) {
	if l.dhcp != nil {
		l.later = append(l.later, func(now time.Time) { l.dhcp.parameters(now, p.Managed, p.Other) })
	}
}

// AdvertisedChanged keeps what hosts hold from us over a restart.
func (l *lan) AdvertisedChanged(time.Time) {
	b, err := json.Marshal(l.nd.Advertised())
	if err != nil {
		l.d.log.Error("advertised prefixes not kept", "err", err)
		return
	}
	l.d.store.Put(keyAdvertised, b)
}

// ProxyChecked is the result of duplicate address detection for a node, which is told that it
// is registered, or that it is not (RFC 8929 section 9.1), or not any more (section 9.2).
func (l *lan) ProxyChecked(now time.Time, addr netip.Addr, s nd.Status, ll ipv6.LinkAddr, owner nd.ROVR) {
	switch s {
	case nd.StatusSuccess:
		delete(l.taken, addr)
	case nd.StatusDuplicate:
		l.take(now, addr, owner)
		l.d.log.Warn("a node wants an address that a station on the LAN has", "addr", addr, "station", ll)
	default:
		l.d.log.Info("a node has moved to another border router on the LAN", "addr", addr, "station", ll)
	}
	l.later = append(l.later, func(now time.Time) {
		for _, m := range l.d.meshes {
			if s == nd.StatusSuccess {
				m.nd.Checked(now, addr)
			} else {
				m.nd.Revoke(now, addr, s)
			}
		}
	})
}

// Conflict is logged: the machine has defended the address.
func (l *lan) Conflict(_ time.Time, addr netip.Addr, ll ipv6.LinkAddr) {
	l.d.log.Warn("another station claims an address of ours", "link", l.port.Name(), "addr", addr, "station", ll)
}

// stop tells the LAN that we go; the loop still runs.
func (l *lan) stop(now time.Time) {
	if l.dhcp != nil {
		l.dhcp.stop(now)
	}
	if l.nd != nil && l.up {
		l.nd.Stop(now)
	}
}

// snapshotAddrs returns our addresses on the link, link-local ones first.
func (l *lan) snapshotAddrs() []netip.Addr {
	list := slices.Collect(maps.Keys(l.addrs))
	slices.SortFunc(list, func(a, b netip.Addr) int {
		if x, y := a.IsLinkLocalUnicast(), b.IsLinkLocalUnicast(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return a.Compare(b)
	})
	if l.control && l.state.LinkLocal.IsValid() {
		list = append(list, l.state.LinkLocal)
	}
	return list
}

var _ nd.LANEvents = (*lan)(nil)

package nd

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

const rotateTime = 10 * time.Second // how long one of several routers that do not answer is tried

type lanRouteKind uint8

const (
	routeHeader   lanRouteKind = iota // ::/0 by the router lifetime in the header
	routeOption                       // Route Information option
	routeRedirect                     // Redirect
)

// A lanRoute is a way to a prefix by one router.
type lanRoute struct {
	prefix netip.Prefix
	via    netip.Addr
	pref   Preference
	until  time.Time // zero: never ends
	kind   lanRouteKind
}

var defaultPrefix = netip.MustParsePrefix("::/0")

// rank orders preferences: higher is better (RFC 4191 section 2.1).
func (p Preference) rank() int {
	switch p {
	case PreferenceHigh:
		return 2
	case PreferenceLow:
		return 0
	}
	return 1
}

// takeDefault takes what an RA says of its sender as a default router: the lifetime and
// preference in the header, or those of an option for ::/0, which prevail (RFC 4191 section
// 3.1).
func (l *LAN) takeDefault(now time.Time, r *lanRouter, msg RouterAdvertisement) {
	life, pref := uint32(msg.RouterLifetime), msg.Preference
	r.until = now.Add(time.Duration(life) * time.Second)
	if pref == PreferenceReserved {
		pref = PreferenceMedium
	}
	for o, rest := msg.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		if rio, ok := ParseRouteInfo(o); ok && rio.Prefix.Bits() == 0 {
			life, pref = rio.Lifetime, rio.Preference
		}
	}
	if life == 0 {
		if slices.ContainsFunc(l.routes, func(x lanRoute) bool { return x.prefix == defaultPrefix && x.via == r.addr }) {
			// "all entries using the router perform next-hop determination again" (RFC 4861
			// section 6.3.5)
			l.dropDefault(now, r.addr)
		}
		return
	}
	l.putRoute(now, lanRoute{prefix: defaultPrefix, via: r.addr, pref: pref, until: after(now, life)}, true)
}

// takeRoute takes a Route Information option (RFC 4191 section 3.1).
func (l *LAN) takeRoute(now time.Time, via netip.Addr, rio RouteInfo) {
	p := rio.Prefix.Masked()
	if !advertisable(p) || l.behind(p) {
		return
	}
	l.putRoute(now, lanRoute{prefix: p, via: via, pref: rio.Preference, until: after(now, rio.Lifetime), kind: routeOption}, rio.Lifetime > 0)
}

// behind reports whether p is a prefix that we announce as behind us, or a part of a subnet
// that is: whatever others say, it is neither on the link nor reached by another router there.
func (l *LAN) behind(p netip.Prefix) bool {
	return slices.ContainsFunc(l.cfg.Routes, func(r AdvertisedRoute) bool {
		return r.Prefix == p || r.Prefix.Bits() >= 64 && p.Bits() >= r.Prefix.Bits() && r.Prefix.Contains(p.Addr())
	})
}

// dropBehind gives up what routers have said of prefixes that are behind us now.
func (l *LAN) dropBehind(now time.Time) {
	l.routes = slices.DeleteFunc(l.routes, func(r lanRoute) bool { return r.kind == routeOption && l.behind(r.prefix) })
	for i := 0; i < len(l.prefixes); i++ {
		p := l.prefixes[i].prefix
		if !l.prefixes[i].via.IsValid() || !l.behind(p) {
			continue
		}
		l.removePrefix(now, i)
		i--
		for j := range l.addrs {
			if a := &l.addrs[j]; a.prefix == p && !a.static && !a.offered {
				a.valid = now
			}
		}
	}
}

// putRoute adds, changes or, where not alive, removes a route.
func (l *LAN) putRoute(_ time.Time, r lanRoute, alive bool) {
	l.dirty = true
	i := slices.IndexFunc(l.routes, func(x lanRoute) bool {
		return x.prefix == r.prefix && (x.via == r.via || r.kind == routeRedirect && x.kind == routeRedirect)
	})
	switch {
	case !alive && i >= 0:
		l.routes = slices.Delete(l.routes, i, i+1)
	case !alive:
	case i >= 0:
		l.routes[i] = r
	default:
		if len(l.routes) >= l.cfg.Limits.Routes {
			// One by a router that does not answer makes room.
			j := slices.IndexFunc(l.routes, func(x lanRoute) bool { return x.kind == routeRedirect || !l.viaUsable(x.via) })
			if j < 0 {
				l.stats.Dropped[DropTableFull]++
				return
			}
			l.routes = slices.Delete(l.routes, j, j+1)
		}
		l.routes = append(l.routes, r)
	}
}

// dropDefault takes a router off the default router list: it has said that it is none.
func (l *LAN) dropDefault(_ time.Time, a netip.Addr) {
	l.dirty = true
	l.routes = slices.DeleteFunc(l.routes, func(r lanRoute) bool { return r.via == a && (r.prefix == defaultPrefix || r.kind == routeRedirect) })
}

func (l *LAN) viaUsable(a netip.Addr) bool {
	e := l.cache.lookup(a)
	return e != nil && e.usable()
}

// viaRank orders next hops by what is known of their reachability: one that has answered goes
// before one that only claims to be there, so that a flood of advertisements from nobody
// replaces no router that works.
func (l *LAN) viaRank(a netip.Addr) int {
	switch e := l.cache.lookup(a); {
	case e == nil || !e.usable():
		return 0
	case !e.known:
		return 1
	}
	return 2
}

// selectRoutes chooses the best route to each prefix (RFC 4191 section 3.2: reachable before
// preferred; RFC 4861 section 6.3.6: in turn where none is reachable) and tells of changes.
func (l *LAN) selectRoutes(now time.Time) {
	l.rotateAt = time.Time{}
	if !l.cfg.AcceptRouter {
		return
	}
	for i := 0; i < len(l.routes); i++ {
		r := &l.routes[i]
		if slices.ContainsFunc(l.routes[:i], func(x lanRoute) bool { return x.prefix == r.prefix }) {
			continue // done with the first
		}
		l.selectRoute(now, r.prefix)
	}
	for i := 0; i < len(l.told); i++ {
		t := l.told[i]
		if !slices.ContainsFunc(l.routes, func(x lanRoute) bool { return x.prefix == t.Prefix }) {
			l.told = slices.Delete(l.told, i, i+1)
			i--
			l.ev.RouteChanged(now, LANRoute{Prefix: t.Prefix, Redirect: t.Redirect})
			if t.Prefix == defaultPrefix && l.up && l.rsAt.IsZero() {
				l.startSolicit(now) // the last default router is gone
			}
		}
	}
}

func (l *LAN) selectRoute(now time.Time, p netip.Prefix) {
	ti := slices.IndexFunc(l.told, func(t LANRoute) bool { return t.Prefix == p })
	best, current, n := -1, -1, 0
	better := func(a, b int) bool { // route a rather than b
		x, y := &l.routes[a], &l.routes[b]
		if u, v := l.viaRank(x.via), l.viaRank(y.via); u != v {
			return u > v
		}
		if x.pref.rank() != y.pref.rank() {
			return x.pref.rank() > y.pref.rank()
		}
		return a == current
	}
	for i := range l.routes {
		if l.routes[i].prefix == p {
			n++
			if ti >= 0 && l.routes[i].via == l.told[ti].NextHop {
				current = i
			}
		}
	}
	for i := range l.routes {
		if l.routes[i].prefix == p && (best < 0 || better(i, best)) {
			best = i
		}
	}
	if l.up && n > 1 && !l.viaUsable(l.routes[best].via) && current >= 0 {
		// None answers: each is tried in turn.
		best = current
		if t := &l.told[ti]; now.Sub(t.Expires) >= rotateTime {
			for best = (current + 1) % len(l.routes); l.routes[best].prefix != p; best = (best + 1) % len(l.routes) {
			}
			t.Expires = now
		}
		l.rotateAt = earlier(l.rotateAt, l.told[ti].Expires.Add(rotateTime))
	}
	r := &l.routes[best]
	t := LANRoute{Prefix: p, NextHop: r.via, Preference: r.pref, Redirect: r.kind == routeRedirect, Selected: true}
	if ti < 0 {
		l.told = append(l.told, LANRoute{Expires: now})
		ti = len(l.told) - 1
	}
	// Expires of what was told is when its next hop was chosen.
	if was := l.told[ti]; was.NextHop != t.NextHop || was.Preference != t.Preference || was.Prefix != t.Prefix {
		l.told[ti] = t
		l.told[ti].Expires = now
		t.Expires = r.until
		l.dirty = true // the parameters of the link are those of the default router
		l.ev.RouteChanged(now, t)
	}
}

// Routes returns all routes by routers on the link that are known; those selected are the
// ones told with RouteChanged.
func (l *LAN) Routes() []LANRoute {
	list := make([]LANRoute, 0, len(l.routes))
	for i := range l.routes {
		r := &l.routes[i]
		list = append(list, LANRoute{
			Prefix: r.prefix, NextHop: r.via, Preference: r.pref, Expires: r.until, Redirect: r.kind == routeRedirect,
			Selected: slices.ContainsFunc(l.told, func(t LANRoute) bool { return t.Prefix == r.prefix && t.NextHop == r.via }),
		})
	}
	return list
}

// firstHop returns the next hop for dst as the owner has been told.
func (l *LAN) firstHop(dst netip.Addr) (best LANRoute, ok bool) {
	for _, t := range l.told {
		if t.Prefix.Contains(dst) && (!ok || t.Prefix.Bits() > best.Prefix.Bits()) {
			best, ok = t, true
		}
	}
	return best, ok
}

// updateLists tells of the DNS servers, search list, NAT64 prefixes, on-link prefixes and
// parameters that changed.
func (l *LAN) updateLists(now time.Time) {
	for i := 0; i < len(l.prefixes); i++ {
		p := l.prefixes[i].prefix
		if l.prefixes[i].onLink != l.prefixes[i].told {
			l.tellOnLink(now, p, false)
		}
	}
	l.updateParameters(now)
	if l.cfg.AcceptRouter {
		l.lists.tell(now, l)
	}
}

// lanLists are the lists as the owner knows them.
type lanLists struct {
	servers []netip.Addr
	search  []string
	nat64   []netip.Prefix
	params  LANParameters
	scratch struct {
		servers []netip.Addr
		search  []string
		nat64   []netip.Prefix
	}
}

func (t *lanLists) tell(now time.Time, l *LAN) {
	s := &t.scratch
	s.servers, s.search, s.nat64 = s.servers[:0], s.search[:0], s.nat64[:0]
	for i := range l.dns {
		if a := l.dns[i].addr; !slices.Contains(s.servers, a) {
			s.servers = append(s.servers, a)
		}
	}
	for i := range l.search {
		if n := l.search[i].name; !slices.Contains(s.search, n) {
			s.search = append(s.search, n)
		}
	}
	for i := range l.nat64 {
		if p := l.nat64[i].prefix; !slices.Contains(s.nat64, p) {
			s.nat64 = append(s.nat64, p)
		}
	}
	if !slices.Equal(s.servers, t.servers) || !slices.Equal(s.search, t.search) {
		t.servers, t.search = append(t.servers[:0], s.servers...), append(t.search[:0], s.search...)
		l.ev.DNSChanged(now, t.servers, t.search)
	}
	if !slices.Equal(s.nat64, t.nat64) {
		t.nat64 = append(t.nat64[:0], s.nat64...)
		l.ev.NAT64Changed(now, t.nat64)
	}
	if t.params != l.params {
		told := t.params != LANParameters{}
		t.params = l.params
		if told {
			l.ev.ParametersChanged(now, l.params)
		}
	}
}

// handleRedirect takes a redirect (RFC 4861 sections 8.1 and 8.3).
func (l *LAN) handleRedirect(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckRedirect(p)
	if err != nil {
		return err
	}
	if !l.cfg.AcceptRedirects || !l.cfg.AcceptRouter {
		return DropRedirect
	}
	// "the IP source address of the Redirect is the same as the current first-hop router for
	// the specified ICMP Destination Address"
	hop, ok := l.firstHop(msg.Destination)
	if !ok || hop.NextHop != p.Src() || l.isNeighbor(msg.Destination) && !hop.Redirect {
		return DropSource
	}
	// "either a link-local address (when redirected to a router) or the same as the ICMP
	// Destination Address"
	if msg.Target != msg.Destination && !msg.Target.IsLinkLocalUnicast() {
		return DropTarget
	}
	if !isUnicast(msg.Destination) || l.addr(msg.Target) != nil || l.addr(msg.Destination) != nil || l.proxied(msg.Target) || l.proxied(msg.Destination) {
		return DropTarget
	}
	if tll := msg.Options.LinkAddr(OptionTargetLinkAddr, 6); !tll.IsZero() && !tll.IsGroup() && tll != l.cfg.LinkAddr {
		if e := l.cache.learn(now, msg.Target, tll); e != nil && msg.Target != msg.Destination {
			e.router = true
		}
	}
	l.putRoute(now, lanRoute{
		prefix: netip.PrefixFrom(msg.Destination, 128), via: msg.Target, kind: routeRedirect,
		until: now.Add(routerKeepTime),
	}, true)
	return nil
}

// Redirect tells the sender of p, which is forwarded back onto the link to the neighbor
// target (p's destination itself, or a router by its link-local address), that it may send
// there at once (RFC 4861 section 8.2). m is how p arrived. nil means that it was sent.
func (l *LAN) Redirect(now time.Time, p ipv6.Packet, m ipv6.Meta, target netip.Addr) error {
	l.now = now
	src, dst, from := p.Src(), p.Dst(), l.source()
	switch {
	case !l.up || !from.IsValid():
		return DropStopped
	case dst.IsMulticast():
		return DropDestination
	case !isUnicast(src) || !l.isNeighbor(src) || l.addr(src) != nil || l.proxied(src):
		return DropSource // "the Source Address field of the packet identifies a neighbor"
	case target != dst && !target.IsLinkLocalUnicast() || !isUnicast(target) || l.addr(target) != nil || l.proxied(dst):
		return DropTarget
	}
	ll := m.LinkSrc
	if ll.IsZero() || ll.IsGroup() || ll == l.cfg.LinkAddr {
		return DropSourceOption
	}
	if e := l.cache.lookup(target); e != nil && e.ll == ll {
		return DropSource // it came from there
	}
	if !l.redirects.Take(now) {
		return DropRateLimit
	}
	b, _ := Redirect{Target: target, Destination: dst}.AppendBinary(begin(l.buf[:0]))
	if e := l.cache.lookup(target); e != nil && !e.ll.IsZero() {
		b = AppendLinkAddr(b, OptionTargetLinkAddr, e.ll)
	}
	b = AppendRedirected(b, p, ipv6.MinMTU)
	l.send(now, b, from, src, ll)
	return nil
}

package nd

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

const (
	minReachable   = time.Millisecond
	maxReachable   = time.Hour // MAX for AdvReachableTime, RFC 4861 section 6.2.1
	minRetrans     = 100 * time.Millisecond
	maxRetrans     = 10 * time.Second
	minInterval    = 4 * time.Second // RTR_SOLICITATION_INTERVAL, IRT of RFC 7559
	maxSolicit     = time.Hour       // MRT of RFC 7559
	routerKeepTime = 30 * time.Minute
	reachableRenew = 2 * time.Hour // "at least every few hours" (RFC 4861 section 6.3.4)
	maxLANServers  = 8             // DNS servers, NAT64 prefixes and domains are kept up to so many each
)

// A lanRouter is another router on the link.
type lanRouter struct {
	addr     netip.Addr
	entry    *lanEntry
	since    time.Time // heard first
	heard    time.Time
	until    time.Time     // end as a default router by the lifetime in the header
	stub     bool          // a stub router such as we are: no prefix of the network's own
	site     netip.Addr    // the lowest unique local prefix that it announces a route to
	said     LANParameters // the zero value of a field: nothing
	compared uint8         // which differences have been logged
}

// A lanPrefix is a Prefix Information option of one router: an entry of the Prefix List (RFC
// 4861 section 5.1), together with what it says of a usable prefix.
type lanPrefix struct {
	prefix    netip.Prefix
	via       netip.Addr // the router; invalid: we offer it ourselves
	onLink    bool
	auto      bool
	valid     time.Time // zero: never ends
	preferred time.Time
	suitable  bool // as it was advertised last
	heard     time.Time
	asked     int  // solicitations since it has become stale
	told      bool // as on-link; the first entry of a prefix speaks for all
}

type lanServer struct {
	addr  netip.Addr
	via   netip.Addr
	until time.Time
}

type lanDomain struct {
	name  string
	via   netip.Addr
	until time.Time
}

type lanNAT64 struct {
	prefix netip.Prefix
	via    netip.Addr
	until  time.Time
}

// startSolicit begins to look for routers (RFC 4861 section 6.3.7).
func (l *LAN) startSolicit(now time.Time) {
	l.rsSent, l.rsWait = 0, 0
	l.rsAt = now.Add(l.jitter(maxDADDelay))
}

// advanceSolicit sends router solicitations, further and further apart, until a router
// answers (RFC 7559 section 2).
func (l *LAN) advanceSolicit(now time.Time) {
	if l.rsAt.IsZero() || l.rsAt.After(now) {
		return
	}
	l.sendRS(now)
	l.rsSent++
	spread := func(d time.Duration) time.Duration { return l.jitter(d/5) - d/10 } // RAND of RFC 8415 section 15
	if l.rsWait == 0 {
		l.rsWait = minInterval + spread(minInterval)
	} else {
		l.rsWait = 2*l.rsWait + spread(l.rsWait)
	}
	if l.rsWait > maxSolicit {
		l.rsWait = maxSolicit + spread(maxSolicit)
	}
	l.rsAt = now.Add(l.rsWait)
}

func (l *LAN) sendRS(now time.Time) {
	b, _ := RouterSolicitation{}.AppendBinary(begin(l.buf[:0]))
	src := l.source()
	if src.IsValid() {
		b = AppendLinkAddr(b, OptionSourceLinkAddr, l.cfg.LinkAddr)
	} else {
		src = unspecified
	}
	l.send(now, b, src, allRouters, ipv6.LinkAddr{})
}

func (l *LAN) router(a netip.Addr) *lanRouter {
	for i := range l.routers {
		if l.routers[i].addr == a {
			return &l.routers[i]
		}
	}
	return nil
}

// handleRA takes the advertisement of another router (RFC 4861 section 6.3.4).
func (l *LAN) handleRA(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckRouterAdvertisement(p)
	if err != nil {
		return err
	}
	src := p.Src()
	if src == l.linkLocal || m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() {
		return DropSource
	}
	if len(l.cfg.Routers) > 0 && !slices.Contains(l.cfg.Routers, src) {
		return DropSource
	}
	r := l.router(src)
	if r == nil {
		if !l.raRate.Take(now) {
			return DropRateLimit
		}
		if r = l.addRouter(now, src); r == nil {
			return DropTableFull
		}
	}
	l.dirty = true
	r.heard = now
	r.said.Managed, r.said.Other = msg.Managed, msg.Other
	r.stub = msg.Reserved&flagStub != 0
	// Without the option nothing is learnt: a router may leave it out since it takes packets at
	// several link-layer addresses (RFC 4861 section 6.2.7), and tells one who asks.
	sll := msg.Options.LinkAddr(OptionSourceLinkAddr, 6)
	if e := r.entry; e != nil && !e.dead {
		e.router = true
	}
	if !sll.IsZero() && !sll.IsGroup() && sll != l.cfg.LinkAddr {
		if e := l.cache.learn(now, src, sll); e != nil {
			e.router, e.listed, r.entry = true, true, e
		}
	}
	l.watch(now, r)
	l.compare(now, r, msg)
	if l.cfg.AcceptRouter {
		l.takeParameters(r, msg)
	}
	l.takeDefault(now, r, msg)
	own, site := 0, netip.Addr{}
	for o, rest := msg.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		switch o.Type {
		case OptionPrefix:
			if pio, ok := ParsePrefixInfo(o); ok && own < l.cfg.Limits.Prefixes {
				own++
				l.takePrefix(now, r, pio, p.IsMulticast())
			}
		case OptionRoute:
			if rio, ok := ParseRouteInfo(o); ok && rio.Prefix.Bits() > 0 {
				l.takeRoute(now, src, rio)
				if rio.Lifetime > 0 {
					site = lowerULA(site, rio.Prefix.Masked().Addr())
				}
			}
		case OptionRDNSS:
			if d, ok := ParseRDNSS(o); ok {
				for _, a := range d.Servers[:d.N] {
					l.takeServer(now, src, a, after(now, d.Lifetime), d.Lifetime == 0)
				}
			}
		case OptionDNSSL:
			if life, names, ok := ParseDNSSL(o); ok {
				for _, n := range names {
					l.takeDomain(now, src, n, after(now, life), life == 0)
				}
			}
		case OptionPREF64:
			if x, ok := ParsePREF64(o); ok {
				l.takeNAT64(now, src, x)
			}
		}
	}
	r.site = site
	if l.rsSent > 0 && slices.ContainsFunc(l.routes, func(r lanRoute) bool { return r.via == src && r.kind == routeHeader }) {
		l.rsAt = time.Time{} // it "results in a default route" (RFC 7559 section 2.1)
	}
	return nil
}

// addRouter adds a router to the list; nil where there is no room. One that answers its
// solicitations is never replaced, however many others show up.
func (l *LAN) addRouter(now time.Time, a netip.Addr) *lanRouter {
	if len(l.routers) >= l.cfg.Limits.Routers {
		i := slices.IndexFunc(l.routers, func(r lanRouter) bool { return !r.alive() && now.Sub(r.heard) > retransTimer*maxMulticastSolicit })
		if i < 0 {
			return nil
		}
		l.forgetRouter(now, l.routers[i].addr)
	}
	l.routers = append(l.routers, lanRouter{addr: a, entry: l.cache.lookup(a), since: now})
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "router found", slog.String("link", l.cfg.Name), slog.Any("addr", a))
	return &l.routers[len(l.routers)-1]
}

// alive reports whether the router answers solicitations, as far as is known.
func (r *lanRouter) alive() bool { return r.entry != nil && !r.entry.dead && r.entry.usable() }

// proven reports whether the router has answered a solicitation, and is alive.
func (r *lanRouter) proven() bool { return r.alive() && r.entry.known }

// gone reports whether the router a is not known any more or does not answer: what it
// announced makes room for others.
func (l *LAN) gone(a netip.Addr) bool {
	r := l.router(a)
	return r == nil || !r.alive()
}

// watch has the reachability of a router known: it is solicited when it is new.
func (l *LAN) watch(now time.Time, r *lanRouter) {
	if !l.up || !l.source().IsValid() {
		return
	}
	e := r.entry
	if e == nil || e.dead {
		if e = l.cache.lookup(r.addr); e == nil {
			l.cache.start(now, r.addr, nil, 0, true)
			e = l.cache.lookup(r.addr)
		}
		r.entry = e
		if e == nil {
			return
		}
	}
	e.listed, e.router = true, true
	if !e.known {
		l.cache.probe(now, e)
	}
}

// forgetRouter removes a router with everything that came from it alone.
func (l *LAN) forgetRouter(now time.Time, a netip.Addr) {
	l.dirty = true
	l.routers = slices.DeleteFunc(l.routers, func(r lanRouter) bool {
		if r.addr == a && r.entry != nil {
			r.entry.listed = false
		}
		return r.addr == a
	})
	l.routes = slices.DeleteFunc(l.routes, func(r lanRoute) bool { return r.via == a })
	l.dns = slices.DeleteFunc(l.dns, func(s lanServer) bool { return s.via == a })
	l.search = slices.DeleteFunc(l.search, func(s lanDomain) bool { return s.via == a })
	l.nat64 = slices.DeleteFunc(l.nat64, func(s lanNAT64) bool { return s.via == a })
	for i := range l.prefixes {
		if p := &l.prefixes[i]; p.via == a {
			p.suitable = false
		}
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "router forgotten", slog.String("link", l.cfg.Name), slog.Any("addr", a))
}

// takeParameters notes what a router says of the link (RFC 4861 section 6.3.4): a value that
// it leaves unspecified stays as it was.
func (l *LAN) takeParameters(r *lanRouter, msg RouterAdvertisement) {
	if msg.CurHopLimit != 0 {
		r.said.HopLimit = msg.CurHopLimit
	}
	if msg.ReachableTime != 0 {
		r.said.ReachableTime = min(max(time.Duration(msg.ReachableTime)*time.Millisecond, minReachable), maxReachable)
	}
	if msg.RetransTimer != 0 {
		r.said.RetransTimer = min(max(time.Duration(msg.RetransTimer)*time.Millisecond, minRetrans), maxRetrans)
	}
	if o, ok := msg.Options.Find(OptionMTU); ok {
		if mtu, ok := ParseMTU(o); ok && mtu >= ipv6.MinMTU && mtu <= uint32(l.cfg.MTU) {
			r.said.MTU = int(mtu)
		}
	}
}

// updateParameters adopts what routers say of the link. All of them should say the same (RFC
// 4861 section 6.2.7); where they do not, the default router is right, and one that has
// answered a solicitation rather than one that only claims to be there.
func (l *LAN) updateParameters(now time.Time) {
	answers := slices.ContainsFunc(l.routers, func(r lanRouter) bool { return r.proven() })
	hop, _ := l.firstHop(unspecified)
	var p LANParameters
	heard := false
	for _, first := range [...]bool{true, false} {
		for i := range l.routers {
			r := &l.routers[i]
			if !r.alive() || answers && !r.proven() || (r.addr == hop.NextHop) != first {
				continue
			}
			heard = true
			p.MTU, p.HopLimit = cmp.Or(p.MTU, r.said.MTU), cmp.Or(p.HopLimit, r.said.HopLimit)
			p.ReachableTime, p.RetransTimer = cmp.Or(p.ReachableTime, r.said.ReachableTime), cmp.Or(p.RetransTimer, r.said.RetransTimer)
			if !r.stub {
				p.Managed, p.Other = p.Managed || r.said.Managed, p.Other || r.said.Other
			}
		}
	}
	d := l.defaultParameters()
	if !heard { // while they are away, the link is what it was
		d = l.params
	}
	p.MTU, p.HopLimit = cmp.Or(p.MTU, d.MTU), cmp.Or(p.HopLimit, d.HopLimit)
	p.ReachableTime, p.RetransTimer = cmp.Or(p.ReachableTime, d.ReachableTime), cmp.Or(p.RetransTimer, d.RetransTimer)
	if p.ReachableTime != l.params.ReachableTime {
		l.setReachable(now, p.ReachableTime)
	}
	l.cache.retrans = p.RetransTimer
	l.params = p
}

func (l *LAN) defaultParameters() LANParameters {
	return LANParameters{MTU: l.cfg.MTU, HopLimit: ipv6.DefaultHopLimit, ReachableTime: reachableTime, RetransTimer: retransTimer}
}

// takePrefix takes a Prefix Information option: on-link determination (RFC 4861 section
// 6.3.4) and autoconfiguration (RFC 4862 section 5.5.3).
func (l *LAN) takePrefix(now time.Time, r *lanRouter, pio PrefixInfo, multicast bool) {
	p := pio.Prefix.Masked()
	if !advertisable(p) || p.Bits() == 0 || pio.Preferred > pio.Valid || !pio.OnLink && !pio.Autonomous || l.behind(p) {
		return
	}
	if p == l.cfg.OfferPrefix {
		// Another router offers the same prefix (a stable one of the mesh): that is for
		// decideOffer alone.
		pio.OnLink = false
	}
	if pio.Valid == 0 && pio.OnLink {
		// "If the new Lifetime value is zero, time-out the prefix immediately": any router's word
		// ends it, until the next says otherwise.
		for j := range l.prefixes {
			if x := &l.prefixes[j]; x.prefix == p && x.via.IsValid() {
				x.onLink = false
			}
		}
	}
	i := slices.IndexFunc(l.prefixes, func(x lanPrefix) bool { return x.prefix == p && x.via == r.addr })
	if i < 0 {
		if pio.Valid == 0 {
			l.autoconf(now, p, pio, multicast)
			return
		}
		if i = l.addPrefix(now, p, r.addr); i < 0 {
			l.stats.Dropped[DropTableFull]++
			return
		}
	}
	x := &l.prefixes[i]
	if pio.OnLink {
		x.onLink = pio.Valid > 0 && (l.cfg.AcceptRouter || l.cfg.RouterOnly)
	}
	x.auto = pio.Autonomous
	// An option without the L flag says nothing of being on the link, nor for how long.
	if pio.OnLink || !x.onLink {
		x.valid, x.preferred = after(now, pio.Valid), after(now, pio.Preferred)
	}
	x.heard, x.asked = now, 0
	x.suitable = isSuitable(pio)
	l.autoconf(now, p, pio, multicast)
}

// addPrefix adds a row to the prefix list and returns its index; -1 where there is no room. A
// row of a router that answers is not replaced.
func (l *LAN) addPrefix(now time.Time, p netip.Prefix, via netip.Addr) int {
	if len(l.prefixes) >= l.cfg.Limits.Prefixes && via.IsValid() {
		i := slices.IndexFunc(l.prefixes, func(x lanPrefix) bool {
			return x.via.IsValid() && l.gone(x.via)
		})
		if i < 0 {
			return -1
		}
		was := l.prefixes[i]
		l.removePrefix(now, i)
		// What was formed from it goes with it, unless another still advertises it.
		if !slices.ContainsFunc(l.prefixes, func(x lanPrefix) bool { return x.prefix == was.prefix }) {
			for j := range l.addrs {
				if a := &l.addrs[j]; a.prefix == was.prefix && !a.static && !a.offered && a.addr != l.linkLocal {
					a.valid = now
				}
			}
			l.tellAddrs(now)
		}
	}
	l.prefixes = append(l.prefixes, lanPrefix{prefix: p, via: via})
	return len(l.prefixes) - 1
}

func (l *LAN) removePrefix(now time.Time, i int) {
	x := l.prefixes[i]
	l.prefixes = slices.Delete(l.prefixes, i, i+1)
	if x.told {
		l.tellOnLink(now, x.prefix, true)
	}
}

// tellOnLink tells whether prefix is on the link, where that has changed from was.
func (l *LAN) tellOnLink(now time.Time, p netip.Prefix, was bool) {
	on, first := false, -1
	for i := range l.prefixes {
		if x := &l.prefixes[i]; x.prefix == p {
			was = was || x.told
			x.told = false
			if x.onLink && first < 0 {
				on, first = true, i
			}
		}
	}
	if on {
		l.prefixes[first].told = true
	}
	if on != was {
		l.ev.OnLinkChanged(now, p, on)
	}
}

// autoconf forms an address from a prefix, or changes the lifetimes of the one it has (RFC
// 4862 section 5.5.3).
func (l *LAN) autoconf(now time.Time, p netip.Prefix, pio PrefixInfo, multicast bool) {
	if !pio.Autonomous || !l.cfg.AcceptRouter || l.cfg.RouterOnly || p.Bits() != 64 || p == l.cfg.OfferPrefix {
		return
	}
	preferred, valid := after(now, pio.Preferred), after(now, pio.Valid)
	for i := range l.addrs {
		a := &l.addrs[i]
		if a.prefix != p || a.static || a.offered || a.addr == l.linkLocal {
			continue
		}
		// "The preferred lifetime of the address is reset to the Preferred Lifetime in the
		// received advertisement"
		a.preferred = preferred
		left := a.valid.Sub(now)
		switch {
		case a.valid.IsZero() && pio.Valid != Infinity && time.Duration(pio.Valid)*time.Second <= twoHours:
			a.valid = now.Add(twoHours)
		case a.valid.IsZero():
			a.valid = valid
		case pio.Valid == Infinity || time.Duration(pio.Valid)*time.Second > twoHours || time.Duration(pio.Valid)*time.Second > left:
			a.valid = valid
		case left <= twoHours:
			// ignored
		default:
			a.valid = now.Add(twoHours)
		}
		l.age(now, a)
		return
	}
	if pio.Valid == 0 {
		return
	}
	delay := time.Duration(0)
	if multicast {
		delay = maxDADDelay // all nodes on the link do the same now
	}
	l.form(now, p, preferred, valid, false, delay)
}

func (l *LAN) takeServer(_ time.Time, via, a netip.Addr, until time.Time, gone bool) {
	i := slices.IndexFunc(l.dns, func(s lanServer) bool { return s.addr == a && s.via == via })
	switch {
	case gone && i >= 0:
		l.dns = slices.Delete(l.dns, i, i+1)
	case gone || !isUnicast(a) || a.Is4In6():
	case i >= 0:
		l.dns[i].until = until
	default:
		if len(l.dns) >= maxLANServers {
			l.dns = slices.DeleteFunc(l.dns, func(s lanServer) bool { return l.gone(s.via) })
		}
		if len(l.dns) >= maxLANServers {
			l.stats.Dropped[DropTableFull]++
			return
		}
		l.dns = append(l.dns, lanServer{a, via, until})
	}
}

func (l *LAN) takeDomain(_ time.Time, via netip.Addr, name string, until time.Time, gone bool) {
	i := slices.IndexFunc(l.search, func(s lanDomain) bool { return s.name == name && s.via == via })
	switch {
	case gone && i >= 0:
		l.search = slices.Delete(l.search, i, i+1)
	case gone:
	case i >= 0:
		l.search[i].until = until
	default:
		if len(l.search) >= maxLANServers {
			l.search = slices.DeleteFunc(l.search, func(s lanDomain) bool { return l.gone(s.via) })
		}
		if len(l.search) >= maxLANServers {
			l.stats.Dropped[DropTableFull]++
			return
		}
		l.search = append(l.search, lanDomain{name, via, until})
	}
}

func (l *LAN) takeNAT64(now time.Time, via netip.Addr, x PREF64) {
	if x.Prefix = x.Prefix.Masked(); !advertisable(x.Prefix) {
		return
	}
	i := slices.IndexFunc(l.nat64, func(s lanNAT64) bool { return s.prefix == x.Prefix && s.via == via })
	until := now.Add(x.Lifetime)
	switch {
	case x.Lifetime == 0 && i >= 0:
		l.nat64 = slices.Delete(l.nat64, i, i+1)
	case x.Lifetime == 0:
	case i >= 0:
		l.nat64[i].until = until
	default:
		if len(l.nat64) >= maxLANServers {
			l.nat64 = slices.DeleteFunc(l.nat64, func(s lanNAT64) bool { return l.gone(s.via) })
		}
		if len(l.nat64) >= maxLANServers {
			l.stats.Dropped[DropTableFull]++
			return
		}
		l.nat64 = append(l.nat64, lanNAT64{x.Prefix, via, until})
	}
}

// expire lets go of what routers announced and whose lifetime is over.
func (l *LAN) expire(now time.Time) {
	if l.up && over(l.reachAt, now) {
		l.setReachable(now, l.params.ReachableTime)
	}
	for i := 0; i < len(l.prefixes); i++ {
		if over(l.prefixes[i].valid, now) {
			l.removePrefix(now, i)
			i--
		}
	}
	l.routes = slices.DeleteFunc(l.routes, func(r lanRoute) bool { return over(r.until, now) })
	l.dns = slices.DeleteFunc(l.dns, func(s lanServer) bool { return over(s.until, now) })
	l.search = slices.DeleteFunc(l.search, func(s lanDomain) bool { return over(s.until, now) })
	l.nat64 = slices.DeleteFunc(l.nat64, func(s lanNAT64) bool { return over(s.until, now) })
	for i := 0; i < len(l.routers); i++ {
		r := &l.routers[i]
		if !now.Before(r.heard.Add(routerKeepTime)) && !l.needed(r.addr) {
			l.forgetRouter(now, r.addr)
			i--
		}
	}
}

// needed reports whether something that the router a announced is still in use.
func (l *LAN) needed(a netip.Addr) bool {
	return slices.ContainsFunc(l.routes, func(r lanRoute) bool { return r.via == a }) ||
		slices.ContainsFunc(l.dns, func(s lanServer) bool { return s.via == a }) ||
		slices.ContainsFunc(l.search, func(s lanDomain) bool { return s.via == a }) ||
		slices.ContainsFunc(l.nat64, func(s lanNAT64) bool { return s.via == a })
}

func (l *LAN) expiryDue() (t time.Time) {
	for i := range l.prefixes {
		t = earlier(t, l.prefixes[i].valid)
	}
	for i := range l.routes {
		t = earlier(t, l.routes[i].until)
	}
	for i := range l.dns {
		t = earlier(t, l.dns[i].until)
	}
	for i := range l.search {
		t = earlier(t, l.search[i].until)
	}
	for i := range l.nat64 {
		t = earlier(t, l.nat64[i].until)
	}
	for i := range l.routers {
		if r := &l.routers[i]; !l.needed(r.addr) {
			t = earlier(t, r.heard.Add(routerKeepTime))
		}
	}
	return t
}

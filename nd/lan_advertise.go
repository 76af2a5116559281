package nd

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

const (
	lanMinRAInterval        = 150 * time.Second
	lanMaxRAInterval        = 200 * time.Second
	lanRouteLifetime        = 30 * time.Minute
	lanPrefixLifetime       = 30 * time.Minute
	maxFinalRAs             = 3 // MAX_FINAL_RTR_ADVERTISEMENTS, RFC 4861 section 10: how often a withdrawn route is told
	maxLANRoutes            = 24
	maxLANPrefixes          = 8
	maxWithdrawn            = 16
	flagStub          uint8 = 2 // in RouterAdvertisement.Reserved: SNAC router
)

// A lanAdvertiser is the router side of a LAN (RFC 4861 section 6.2).
type lanAdvertiser struct {
	at      time.Time // next multicast RA; zero: none
	last    time.Time // last multicast RA
	burst   int       // how many follow at short intervals
	ceased  int       // how many say that we are no default router any more
	gone    []lanGone
	unicast ipv6.TokenBucket
}

// A lanGone is a prefix or route that is announced no more, but that hosts may still hold.
type lanGone struct {
	Advertised
	until time.Time // of a prefix
	left  int       // how often a route is still withdrawn
}

func (l *LAN) initAdvertiser() {
	c := &l.cfg
	if c.MaxRAInterval <= 0 {
		c.MaxRAInterval = lanMaxRAInterval
	}
	c.MaxRAInterval = min(max(c.MaxRAInterval, 4*time.Second), 1800*time.Second)
	if c.MinRAInterval <= 0 {
		c.MinRAInterval = min(lanMinRAInterval, c.MaxRAInterval*3/4)
	}
	c.MinRAInterval = min(max(c.MinRAInterval, 3*time.Second), max(c.MaxRAInterval*3/4, 3*time.Second))
	if c.RouteLifetime <= 0 {
		c.RouteLifetime = lanRouteLifetime
	}
	if c.PrefixLifetime <= 0 {
		c.PrefixLifetime = lanPrefixLifetime
	}
	c.RouterLifetime = min(max(c.RouterLifetime, 0), 65535*time.Second)
	c.OfferPrefix = mask64(c.OfferPrefix)
	c.Routes, c.Prefixes = cleanRoutes(c.Routes), cleanPrefixes(c.Prefixes)
	c.RDNSS, c.DNSSL = slices.Clone(c.RDNSS[:min(len(c.RDNSS), 4)]), slices.Clone(c.DNSSL[:min(len(c.DNSSL), 4)])
	l.adv.unicast = ipv6.TokenBucket{Rate: 10, Burst: 20}
}

func cleanRoutes(list []AdvertisedRoute) []AdvertisedRoute {
	var out []AdvertisedRoute
	for _, r := range list {
		if !r.Prefix.IsValid() || !r.Prefix.Addr().Is6() || len(out) == maxLANRoutes {
			continue
		}
		r.Prefix = r.Prefix.Masked()
		if !slices.ContainsFunc(out, func(x AdvertisedRoute) bool { return x.Prefix == r.Prefix }) {
			out = append(out, r)
		}
	}
	return out
}

func cleanPrefixes(list []AdvertisedPrefix) []AdvertisedPrefix {
	var out []AdvertisedPrefix
	for _, p := range list {
		if !p.Prefix.IsValid() || !p.Prefix.Addr().Is6() || len(out) == maxLANPrefixes {
			continue
		}
		p.Prefix = p.Prefix.Masked()
		if !slices.ContainsFunc(out, func(x AdvertisedPrefix) bool { return x.Prefix == p.Prefix }) {
			out = append(out, p)
		}
	}
	return out
}

func (l *LAN) prefixTimes(p AdvertisedPrefix) (valid, preferred time.Duration) {
	if valid = p.Valid; valid <= 0 {
		valid = l.cfg.PrefixLifetime
	}
	if preferred = p.Preferred; preferred <= 0 {
		preferred = valid
	}
	return valid, min(preferred, valid)
}

func (l *LAN) routeTime(r AdvertisedRoute) time.Duration {
	if r.Lifetime > 0 {
		return r.Lifetime
	}
	return l.cfg.RouteLifetime
}

// SetRoutes changes the routes announced. One that is gone is withdrawn with lifetime 0 in
// the next RAs.
func (l *LAN) SetRoutes(now time.Time, list []AdvertisedRoute) {
	l.now = now
	list = cleanRoutes(list)
	if slices.Equal(list, l.cfg.Routes) {
		return
	}
	l.unretire(func(g lanGone) bool {
		return g.Route && slices.ContainsFunc(list, func(r AdvertisedRoute) bool { return r.Prefix == g.Prefix })
	})
	for _, r := range l.cfg.Routes {
		if !slices.ContainsFunc(list, func(x AdvertisedRoute) bool { return x.Prefix == r.Prefix }) {
			l.retire(now, Advertised{Prefix: r.Prefix, Route: true, Lifetime: l.routeTime(r)})
		}
	}
	l.cfg.Routes = list
	// What is behind us now is not behind another.
	l.routes = slices.DeleteFunc(l.routes, func(x lanRoute) bool {
		return x.kind == routeOption && slices.ContainsFunc(list, func(r AdvertisedRoute) bool { return r.Prefix == x.prefix })
	})
	l.advertiseChange(now)
	l.ev.AdvertisedChanged(now)
	l.settle(now)
}

// SetPrefixes changes the prefixes announced, besides the one offered where there is no
// other. One that is gone is deprecated: preferred lifetime 0, and the valid lifetime that
// hosts still have, at most two hours.
func (l *LAN) SetPrefixes(now time.Time, list []AdvertisedPrefix) {
	l.now = now
	list = cleanPrefixes(list)
	if slices.Equal(list, l.cfg.Prefixes) {
		return
	}
	l.unretire(func(g lanGone) bool {
		return !g.Route && slices.ContainsFunc(list, func(p AdvertisedPrefix) bool { return p.Prefix == g.Prefix })
	})
	for _, p := range l.cfg.Prefixes {
		if !slices.ContainsFunc(list, func(x AdvertisedPrefix) bool { return x.Prefix == p.Prefix }) {
			valid, _ := l.prefixTimes(p)
			l.retire(now, Advertised{Prefix: p.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, Lifetime: valid})
		}
	}
	l.cfg.Prefixes = list
	l.advertiseChange(now)
	l.ev.AdvertisedChanged(now)
	l.settle(now)
}

// SetDNS changes the DNS servers and search domains announced (RFC 8106), at most 4 each.
func (l *LAN) SetDNS(now time.Time, servers []netip.Addr, search []string) {
	l.now = now
	servers, search = servers[:min(len(servers), 4)], search[:min(len(search), 4)]
	if slices.Equal(servers, l.cfg.RDNSS) && slices.Equal(search, l.cfg.DNSSL) {
		return
	}
	l.cfg.RDNSS, l.cfg.DNSSL = slices.Clone(servers), slices.Clone(search)
	l.advertiseChange(now)
	l.settle(now)
}

// SetNAT64 changes the NAT64 prefix announced (RFC 8781); an invalid one: none.
func (l *LAN) SetNAT64(now time.Time, p netip.Prefix) {
	l.now = now
	if p != l.cfg.NAT64 {
		l.cfg.NAT64 = p
		l.advertiseChange(now)
		l.settle(now)
	}
}

// SetRouterLifetime makes us a default router, or with 0 no longer one (RFC 4861 section
// 6.2.5).
func (l *LAN) SetRouterLifetime(now time.Time, d time.Duration, pref Preference) {
	l.now = now
	d = min(max(d, 0), 65535*time.Second)
	if d == l.cfg.RouterLifetime && pref == l.cfg.Preference {
		return
	}
	if d == 0 {
		l.adv.ceased = maxFinalRAs
	}
	l.cfg.RouterLifetime, l.cfg.Preference = d, pref
	l.advertiseChange(now)
	l.settle(now)
}

func (l *LAN) retire(now time.Time, a Advertised) {
	g := lanGone{Advertised: a, left: maxFinalRAs, until: now.Add(min(a.Lifetime, deprecatedLifetime))}
	if len(l.adv.gone) >= maxWithdrawn {
		l.adv.gone = slices.Delete(l.adv.gone, 0, 1)
	}
	l.adv.gone = append(l.adv.gone, g)
}

func (l *LAN) unretire(f func(lanGone) bool) { l.adv.gone = slices.DeleteFunc(l.adv.gone, f) }

// Advertised returns what hosts on the link may hold from us. Keep it when
// LANEvents.AdvertisedChanged tells, and give it to [LAN.Restore] after a restart.
func (l *LAN) Advertised() []Advertised {
	var list []Advertised
	for _, p := range l.cfg.Prefixes {
		valid, _ := l.prefixTimes(p)
		list = append(list, Advertised{Prefix: p.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, Lifetime: valid})
	}
	if l.offer.state == offerAdvertising || l.offer.state == offerDeprecating || l.offer.kept {
		list = append(list, Advertised{Prefix: l.cfg.OfferPrefix, OnLink: true, Autonomous: true, Lifetime: l.cfg.PrefixLifetime})
	}
	for _, r := range l.cfg.Routes {
		list = append(list, Advertised{Prefix: r.Prefix, Route: true, Lifetime: l.routeTime(r)})
	}
	for _, g := range l.adv.gone {
		if g.Route {
			list = append(list, g.Advertised)
		} else if left := g.until.Sub(l.now); left > 0 {
			a := g.Advertised
			a.Lifetime = left
			list = append(list, a)
		}
	}
	return list
}

// Restore takes what an earlier run advertised, before Start: what is not advertised any
// more is deprecated or withdrawn, so that hosts let go of it (RFC 9096 section 3.2).
func (l *LAN) Restore(now time.Time, list []Advertised) {
	l.now, l.dirty = now, true
	for _, a := range list {
		if !a.Prefix.IsValid() || !a.Prefix.Addr().Is6() || a.Lifetime <= 0 {
			continue
		}
		switch {
		case a.Route:
			if slices.ContainsFunc(l.cfg.Routes, func(r AdvertisedRoute) bool { return r.Prefix == a.Prefix }) {
				continue
			}
		case a.Prefix == l.cfg.OfferPrefix:
			l.offer.kept = true
			continue
		case slices.ContainsFunc(l.cfg.Prefixes, func(p AdvertisedPrefix) bool { return p.Prefix == a.Prefix }):
			continue
		}
		l.retire(now, a)
	}
	l.settle(now)
}

// startAdvertise begins to send advertisements, once there is a source address.
func (l *LAN) startAdvertise(now time.Time) {
	if !l.cfg.Advertise || !l.up || !l.source().IsValid() {
		return
	}
	l.adv.burst = maxInitialRAs
	l.adv.at = now.Add(l.jitter(maxRADelayTime))
	l.dirty = true
}

// advertiseChange has hosts told of new information soon (RFC 4861 section 6.2.4).
func (l *LAN) advertiseChange(now time.Time) {
	l.dirty = true
	if l.cfg.Advertise && l.up && l.source().IsValid() {
		l.adv.burst = maxInitialRAs
		l.scheduleRA(now)
	}
}

// scheduleRA has a multicast RA sent as soon as RFC 4861 section 6.2.6 allows.
func (l *LAN) scheduleRA(now time.Time) {
	at := now.Add(l.jitter(maxRADelayTime))
	if next := l.adv.last.Add(minDelayBetweenRAs); !l.adv.last.IsZero() && at.Before(next) {
		at = next
	}
	l.adv.at = earlier(l.adv.at, at)
	l.dirty = true
}

func (l *LAN) advanceAdvertise(now time.Time) {
	v := &l.adv
	if v.at.IsZero() || v.at.After(now) {
		return
	}
	v.at = time.Time{}
	if !l.source().IsValid() {
		return
	}
	if l.sendRA(now, allNodes, ipv6.LinkAddr{}, false) {
		v.last = now
		v.ceased = max(v.ceased-1, 0)
		n := len(v.gone)
		for i := range v.gone {
			v.gone[i].left--
		}
		v.gone = slices.DeleteFunc(v.gone, func(g lanGone) bool { return g.Route && g.left <= 0 || !g.Route && over(g.until, now) })
		if len(v.gone) != n {
			l.ev.AdvertisedChanged(now)
		}
	}
	if v.burst--; v.burst > 0 {
		v.at = now.Add(min(maxInitialRAInterval, l.cfg.MaxRAInterval))
		return
	}
	v.burst = 0
	v.at = now.Add(l.cfg.MinRAInterval + l.jitter(l.cfg.MaxRAInterval-l.cfg.MinRAInterval))
}

// handleRS answers a router solicitation (RFC 4861 section 6.2.6).
func (l *LAN) handleRS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckRouterSolicitation(p)
	if err != nil {
		return err
	}
	src := p.Src()
	if m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() || l.addr(src) != nil {
		return DropSource
	}
	ll := msg.Options.LinkAddr(OptionSourceLinkAddr, 6)
	if !src.IsUnspecified() && !ll.IsZero() && l.mayLearn(src, ll) {
		if e := l.cache.learn(now, src, ll); e == nil {
			l.stats.Dropped[DropTableFull]++
		} else if !e.listed {
			e.router = false // but a stub router solicits as well
		}
	}
	if !l.cfg.Advertise || !l.source().IsValid() {
		return DropNotOurs
	}
	if ll.IsZero() {
		ll = m.LinkSrc
	}
	// By multicast, one for all that ask within a moment; where that would have to wait, by
	// unicast.
	if wait := l.adv.last.Add(minDelayBetweenRAs).Sub(now); !l.adv.last.IsZero() && wait > maxRADelayTime && isUnicast(src) && !ll.IsZero() && !ll.IsGroup() {
		if !l.adv.unicast.Take(now) {
			return DropRateLimit
		}
		l.sendRA(now, src, ll, false)
		return nil
	}
	l.scheduleRA(now)
	return nil
}

// sendFinal tells hosts that we cease to be a router: lifetimes of zero (RFC 4861 section
// 6.2.5); prefixes are deprecated, since hosts would not shorten a valid lifetime (RFC 4862
// section 5.5.3 e) and may go on among themselves.
func (l *LAN) sendFinal(now time.Time) {
	if l.cfg.Advertise && l.source().IsValid() && !l.adv.last.IsZero() {
		l.sendRA(now, allNodes, ipv6.LinkAddr{}, true)
	}
	l.offer.kept = l.offer.kept || l.offer.state == offerAdvertising || l.offer.state == offerDeprecating
}

// sendRA sends a router advertisement and reports whether there was anything to tell.
func (l *LAN) sendRA(now time.Time, dst netip.Addr, ll ipv6.LinkAddr, final bool) bool {
	c := &l.cfg
	ra := RouterAdvertisement{CurHopLimit: c.CurHopLimit, Preference: c.Preference, RouterLifetime: uint16(c.RouterLifetime / time.Second)}
	if final {
		ra.RouterLifetime = 0
	}
	if ra.RouterLifetime == 0 {
		// "If the Router Lifetime is zero, the preference value MUST be set to (00)" (RFC 4191
		// section 2.2).
		ra.Preference = PreferenceMedium
	}
	ra.Managed, ra.Other = l.params.Managed, l.params.Other // or hosts would waver between two answers
	if c.RouterLifetime == 0 {
		ra.Reserved = flagStub
	}
	b, _ := ra.AppendBinary(begin(l.buf[:0]))
	empty := c.RouterLifetime == 0 && l.adv.ceased == 0
	b = AppendLinkAddr(b, OptionSourceLinkAddr, c.LinkAddr)
	limit := min(c.MTU, ipv6.MinMTU)
	add := func(out []byte, err error) {
		if err != nil || len(out) > limit {
			l.warn(now, "router advertisement is full")
			return
		}
		b, empty = out, false
	}
	for _, r := range c.Routes {
		life := l.routeTime(r)
		if final {
			life = 0
		}
		add(RouteInfo{Prefix: r.Prefix, Preference: r.Preference, Lifetime: seconds(life)}.AppendBinary(b))
	}
	for _, p := range c.Prefixes {
		valid, preferred := l.prefixTimes(p)
		if final {
			valid, preferred = min(valid, deprecatedLifetime), 0
		}
		add(PrefixInfo{Prefix: p.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, Valid: seconds(valid), Preferred: seconds(preferred)}.AppendBinary(b))
	}
	if valid, preferred, ok := l.offered(now, final); ok {
		add(PrefixInfo{Prefix: c.OfferPrefix, OnLink: true, Autonomous: true, Valid: seconds(valid), Preferred: seconds(preferred)}.AppendBinary(b))
	}
	for _, g := range l.adv.gone {
		if g.Route {
			add(RouteInfo{Prefix: g.Prefix}.AppendBinary(b))
		} else if left := g.until.Sub(now); left >= time.Second {
			add(PrefixInfo{Prefix: g.Prefix, OnLink: g.OnLink, Autonomous: g.Autonomous, Valid: seconds(left)}.AppendBinary(b))
		}
	}
	life := 3 * c.MaxRAInterval // RFC 8106 section 5.1
	if final {
		life = 0
	}
	if len(c.RDNSS) > 0 {
		add(AppendRDNSS(b, seconds(life), c.RDNSS), nil)
	}
	if len(c.DNSSL) > 0 {
		add(AppendDNSSL(b, seconds(life), c.DNSSL))
	}
	if c.NAT64.IsValid() {
		add(PREF64{Prefix: c.NAT64, Lifetime: life}.AppendBinary(b))
	}
	if empty {
		l.buf = b
		return false
	}
	if c.AnnounceMTU {
		add(AppendMTU(b, uint32(l.params.MTU)), nil)
	}
	l.send(now, b, l.source(), dst, ll)
	return true
}

// compare logs what another router says otherwise than we do (RFC 4861 section 6.2.7), once.
func (l *LAN) compare(now time.Time, r *lanRouter, msg RouterAdvertisement) {
	c := &l.cfg
	if !c.Advertise {
		return
	}
	differs := func(bit uint8, what string) {
		if r.compared&bit == 0 {
			r.compared |= bit
			l.warn(now, "router advertisements differ", slog.String("what", what), slog.Any("addr", r.addr))
		}
	}
	if c.CurHopLimit != 0 && msg.CurHopLimit != 0 && c.CurHopLimit != msg.CurHopLimit {
		differs(1, "hop limit")
	}
	for o, rest := msg.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		if mtu, ok := ParseMTU(o); ok && c.AnnounceMTU && mtu != uint32(l.params.MTU) {
			differs(2, "MTU")
		}
		if pio, ok := ParsePrefixInfo(o); ok {
			for _, p := range c.Prefixes {
				if valid, preferred := l.prefixTimes(p); p.Prefix == pio.Prefix.Masked() && (seconds(valid) != pio.Valid || seconds(preferred) != pio.Preferred) {
					differs(4, "lifetimes of "+p.Prefix.String())
				}
			}
		}
	}
}

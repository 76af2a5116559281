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
	maxAnnounced            = 4 // DNS servers, and domains
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
	if c.RouteLifetime <= 0 { // at least what RFC 4191 section 2.3 and RFC 8106 section 5.1 have
		c.RouteLifetime = max(lanRouteLifetime, 3*c.MaxRAInterval)
	}
	if c.PrefixLifetime <= 0 {
		c.PrefixLifetime = max(lanPrefixLifetime, 3*c.MaxRAInterval)
	}
	c.RouterLifetime = l.routerLifetime(c.RouterLifetime)
	c.OfferPrefix = mask64(c.OfferPrefix)
	c.Routes, c.Prefixes = cleanRoutes(c.Routes), cleanPrefixes(c.Prefixes)
	c.RDNSS, c.DNSSL, c.NAT64 = cleanServers(c.RDNSS), cleanDomains(c.DNSSL), cleanNAT64(c.NAT64)
	l.adv.unicast = ipv6.TokenBucket{Rate: 10, Burst: 20}
}

// routerLifetime brings AdvDefaultLifetime within its bounds: 0, or from MaxRtrAdvInterval
// (RFC 4861 section 6.2.1) to 65535 s (RFC 8319 section 4).
func (l *LAN) routerLifetime(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return min(max(d, l.cfg.MaxRAInterval), 65535*time.Second)
}

// advertisable reports whether p can be a prefix of anything behind or on a link.
func advertisable(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && a.Is6() && !a.Is4In6() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

func cleanServers(list []netip.Addr) (out []netip.Addr) {
	for _, a := range list {
		if a = a.WithZone(""); isUnicast(a) && !a.Is4In6() && len(out) < maxAnnounced && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func cleanDomains(list []string) (out []string) {
	for _, d := range list {
		if _, err := AppendDNSSL(nil, 0, []string{d}); err == nil && len(out) < maxAnnounced && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func cleanNAT64(p netip.Prefix) netip.Prefix {
	if _, err := (PREF64{Prefix: p}).AppendBinary(nil); err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

func cleanRoutes(list []AdvertisedRoute) []AdvertisedRoute {
	var out []AdvertisedRoute
	for _, r := range list {
		if !advertisable(r.Prefix) || len(out) == maxLANRoutes {
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
		if !advertisable(p.Prefix) || len(out) == maxLANPrefixes {
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
	l.dropBehind(now) // what is behind us now is not behind another
	l.advertiseChange(now)
	l.ev.AdvertisedChanged(now)
	l.settle(now)
}

// SetPrefixes changes the prefixes announced, besides the one offered where there is no
// other. One that is gone is announced with lifetimes of zero for as long as hosts may hold
// it, its valid lifetime (RFC 9096 section 3.5).
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

// SetDNS changes the DNS servers and search domains announced (RFC 8106), at most 4 each; what
// is no unicast address or domain name is left out.
func (l *LAN) SetDNS(now time.Time, servers []netip.Addr, search []string) {
	l.now = now
	servers, search = cleanServers(servers), cleanDomains(search)
	if slices.Equal(servers, l.cfg.RDNSS) && slices.Equal(search, l.cfg.DNSSL) {
		return
	}
	l.cfg.RDNSS, l.cfg.DNSSL = servers, search
	l.advertiseChange(now)
	l.settle(now)
}

// SetNAT64 changes the NAT64 prefix announced (RFC 8781); an invalid one, or one of a length
// that the option cannot tell: none.
func (l *LAN) SetNAT64(now time.Time, p netip.Prefix) {
	l.now = now
	if p = cleanNAT64(p); p != l.cfg.NAT64 {
		l.cfg.NAT64 = p
		l.advertiseChange(now)
		l.settle(now)
	}
}

// SetRouterLifetime makes us a default router, or with 0 no longer one (RFC 4861 section
// 6.2.5).
func (l *LAN) SetRouterLifetime(now time.Time, d time.Duration, pref Preference) {
	l.now = now
	d = l.routerLifetime(d)
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
	g := lanGone{Advertised: a, left: maxFinalRAs, until: now.Add(a.Lifetime)}
	l.unretire(func(x lanGone) bool {
		if x.Prefix != a.Prefix || x.Route != a.Route {
			return false
		}
		if x.until.After(g.until) {
			g.until = x.until
		}
		return true
	})
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
// more is deprecated or withdrawn, so that hosts let go of it (RFC 9096 section 3.5).
func (l *LAN) Restore(now time.Time, list []Advertised) {
	l.now, l.dirty = now, true
	for _, a := range list {
		if !advertisable(a.Prefix) || a.Lifetime <= 0 || !a.Route && a.Prefix.Bits() == 0 {
			continue
		}
		a.Prefix, a.Lifetime = a.Prefix.Masked(), min(a.Lifetime, Infinity*time.Second)
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
	l.adv.burst, l.adv.at = maxInitialRAs, time.Time{}
	l.scheduleRA(now)
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
	from := now
	if next := l.adv.last.Add(minDelayBetweenRAs); !l.adv.last.IsZero() && next.After(now) {
		from = next // "MIN_DELAY_BETWEEN_RAS plus the random value after the previous advertisement"
	}
	l.adv.at = earlier(l.adv.at, from.Add(l.jitter(maxRADelayTime)))
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
	replaced := false
	if l.sendRA(now, allNodes, ipv6.LinkAddr{}, false) {
		if v.last.IsZero() {
			l.ev.AdvertisedChanged(now)
		}
		v.last = now
		v.ceased = max(v.ceased-1, 0)
		n := len(v.gone)
		for i := range v.gone {
			replaced = replaced || v.gone[i].Route && v.gone[i].left == maxFinalRAs && len(l.cfg.Routes) > 0
			v.gone[i].left--
		}
		v.gone = slices.DeleteFunc(v.gone, func(g lanGone) bool { return g.Route && g.left <= 0 || !g.Route && over(g.until, now) })
		if len(v.gone) != n {
			l.ev.AdvertisedChanged(now)
		}
	}
	wait := l.cfg.MinRAInterval + l.jitter(l.cfg.MaxRAInterval-l.cfg.MinRAInterval)
	if v.burst = max(v.burst-1, 0); v.burst > 0 {
		wait = min(wait, maxInitialRAInterval)
	}
	if replaced {
		// systemd-networkd (257) has one next hop for all routes by a router and removes it with
		// the last one that is withdrawn: it takes the others only from the next advertisement.
		wait = min(wait, minDelayBetweenRAs+l.jitter(maxRADelayTime))
	}
	v.at = now.Add(wait)
}

// handleRS answers a router solicitation (RFC 4861 section 6.2.6).
func (l *LAN) handleRS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckRouterSolicitation(p)
	if err != nil {
		return err
	}
	src := p.Src()
	if m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() || l.isOurs(src) {
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
	// By multicast, one for all that ask within a moment; where that would have to wait, or
	// have another wait, by unicast, unless too many ask.
	wait := l.adv.last.Add(minDelayBetweenRAs).Sub(now)
	if (!l.adv.last.IsZero() && wait > maxRADelayTime || l.deciding(now)) && isUnicast(src) && !ll.IsZero() && !ll.IsGroup() {
		// "In all cases, Router Advertisements sent in response to a Router Solicitation MUST be
		// delayed by a random time between 0 and MAX_RA_DELAY_TIME seconds."
		r := lanReply{at: now.Add(l.jitter(maxRADelayTime)), dst: src, ll: ll}
		if slices.ContainsFunc(l.delayed, func(x lanReply) bool { return x.target == r.target && x.dst == r.dst && x.ll == r.ll }) {
			return nil // one answer for both
		}
		if len(l.delayed) < maxDelayed && l.adv.unicast.Take(now) {
			l.delayed, l.dirty = append(l.delayed, r), true
			return nil
		}
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
	start := func() []byte {
		b, _ := ra.AppendBinary(begin(l.buf[:0]))
		return AppendLinkAddr(b, OptionSourceLinkAddr, c.LinkAddr)
	}
	b := start()
	empty := c.RouterLifetime == 0 && l.adv.ceased == 0
	limit := min(c.MTU, ipv6.MinMTU)
	add := func(out []byte, err error) {
		switch {
		case err != nil:
			l.warn(now, "option left out of the router advertisement", slog.Any("err", err))
			return
		case len(out) > limit:
			// "multiple advertisements can be sent, each containing a subset of the options"
			// (RFC 4861 section 6.2.3).
			option := slices.Clone(out[len(b):])
			l.send(now, b, l.source(), dst, ll)
			out = append(start(), option...)
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
		} else if g.until.After(now) && !l.byAnother(g.Prefix) {
			// "MUST be advertised with PIOs that have the Valid Lifetime and the Preferred
			// Lifetime set to 0 and the A and L bits unchanged" (RFC 9096 section 3.5).
			add(PrefixInfo{Prefix: g.Prefix, OnLink: g.OnLink, Autonomous: g.Autonomous}.AppendBinary(b))
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

// byAnother reports whether a router that answers advertises the prefix p: then it is not
// stale, whoever advertised it before.
func (l *LAN) byAnother(p netip.Prefix) bool {
	return slices.ContainsFunc(l.prefixes, func(x lanPrefix) bool {
		return x.prefix == p && x.via.IsValid() && !over(x.valid, l.now) && !l.gone(x.via)
	})
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

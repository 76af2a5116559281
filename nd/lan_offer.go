package nd

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// The prefix that is offered where nobody advertises a usable one follows the state machine
// of draft-ietf-snac-simple section 5.1.2: it comes when no router that answers has
// advertised a suitable prefix in the last ten minutes, and goes, deprecated, when one does.
// Of two stub routers the one with the lower prefix stays. So that of several which decide
// at once only one begins, each waits a moment first, and the higher ones wait for the lowest.
const (
	minSuitable   = 1800 // seconds of preferred lifetime from which on a prefix is suitable
	staleRA       = 600 * time.Second
	staleTries    = 3                       // solicitations before a prefix that was not advertised for so long is given up
	suitableProbe = 60 * time.Second        // how long a router's last answer is good for
	decideTime    = 5500 * time.Millisecond // two solicitations and a second, after which nobody has answered
)

type offerState uint8

const (
	offerUnknown     offerState = iota // nobody has been asked yet
	offerSuitable                      // another router advertises a suitable prefix
	offerPausing                       // nobody does; ours is offered unless another is in that moment
	offerAdvertising                   // ours is offered
	offerDeprecating                   // ours was offered and runs out
)

// A lanOffer is what becomes of the prefix that we offer.
type lanOffer struct {
	state offerState
	at    time.Time // offerUnknown: decision; offerPausing: begin; offerDeprecating: end of the valid lifetime
	kept  bool      // hosts have it from an earlier run
}

// Offering reports whether the prefix of the configuration is offered now as the one for
// hosts to use.
func (l *LAN) Offering() bool { return l.offer.state == offerAdvertising }

// isSuitable reports whether hosts get a usable address from the prefix.
func isSuitable(pio PrefixInfo) bool {
	const flagPD = 0x10 // P: prefix delegation preferred (RFC 9762)
	return pio.Prefix.Bits() == 64 && pio.OnLink && (pio.Autonomous || pio.Reserved&flagPD != 0) && pio.Preferred >= minSuitable && pio.Preferred <= pio.Valid
}

// downOffer begins anew: whether the router with a usable prefix is still there when the link
// is back has to be seen.
func (l *LAN) downOffer() {
	if l.offer.state == offerSuitable || l.offer.state == offerPausing {
		l.offer.state = offerUnknown
	}
}

func (l *LAN) startOffer(now time.Time) {
	if l.offer.state == offerUnknown {
		l.offer.at = now.Add(decideTime)
	}
}

// supplies reports whether row p stands for a prefix that hosts can use now.
func (l *LAN) supplies(now time.Time, p *lanPrefix) bool {
	if !p.suitable || !p.via.IsValid() || over(p.valid, now) || over(p.preferred, now) || p.asked > staleTries {
		return false
	}
	r := l.router(p.via)
	return r != nil && r.alive()
}

// decideOffer brings the state up to date.
func (l *LAN) decideOffer(now time.Time) {
	if !l.up || !l.cfg.Advertise || !l.cfg.OfferPrefix.IsValid() {
		return
	}
	suitable := slices.ContainsFunc(l.cfg.Prefixes, func(p AdvertisedPrefix) bool { return p.Autonomous && p.OnLink })
	yield := suitable
	for i := range l.prefixes {
		p := &l.prefixes[i]
		if !l.supplies(now, p) {
			continue
		}
		if p.prefix != l.cfg.OfferPrefix {
			suitable = true
			r := l.router(p.via)
			yield = yield || !r.isStub(now) || !ipv6.IsULA(p.prefix.Addr()) || p.prefix.Addr().Less(l.cfg.OfferPrefix.Addr())
		}
	}
	switch o := &l.offer; o.state {
	case offerUnknown:
		switch {
		case o.kept && suitable:
			l.deprecateOffer(now)
		case o.kept:
			l.beginOffer(now)
		case suitable:
			o.state = offerSuitable
		case !o.at.After(now):
			l.pauseOffer(now)
		}
	case offerSuitable:
		if !suitable {
			l.pauseOffer(now)
		}
	case offerPausing:
		switch {
		case suitable:
			o.state, o.at = offerSuitable, time.Time{}
		case o.at.After(now):
		case l.adv.last.Add(minDelayBetweenRAs).After(now) && !l.adv.last.IsZero():
			o.at = l.adv.last.Add(minDelayBetweenRAs) // nobody would hear of it yet
		default:
			l.beginOffer(now)
		}
	case offerAdvertising:
		if yield {
			l.deprecateOffer(now)
		}
	case offerDeprecating:
		switch {
		case !suitable:
			l.beginOffer(now)
		case !o.at.After(now):
			o.state, o.kept = offerSuitable, false
			l.ownPrefix(now, time.Time{}, false)
			l.ev.AdvertisedChanged(now)
			l.dirty = true
		}
	}
}

// isStub reports whether the router is a stub router as we are. One that is no default router
// is, though it does not say so.
func (r *lanRouter) isStub(now time.Time) bool { return r.stub || !r.until.After(now) }

// pauseOffer has the offer begin in a moment that is our own, and in which the advertisement
// that tells of it can go out at once: whoever hears it before its own moment stands back.
// Behind a lower stub router we wait for that one's: it decides as long after its first
// advertisement as we do after our start.
func (l *LAN) pauseOffer(now time.Time) {
	o := &l.offer
	at := now.Add(l.jitter(maxRADelayTime))
	for i := range l.routers {
		r := &l.routers[i]
		if !r.alive() || !r.isStub(now) || !l.precedes(r) {
			continue
		}
		first := r.since.Add(decideTime)
		if o.state == offerSuitable || first.Before(now) {
			first = now
		}
		at = later(at, first.Add(2*maxRADelayTime+l.jitter(maxRADelayTime)))
	}
	o.state, o.at = offerPausing, at
	l.dirty = true
}

// precedes reports whether the prefix that r would offer comes before ours, as far as can be
// told: those of one router are usually from the same site prefix (RFC 4193) as the routes
// that it announces.
func (l *LAN) precedes(r *lanRouter) bool {
	own := netip.Addr{}
	for i := range l.cfg.Routes {
		own = lowerULA(own, l.cfg.Routes[i].Prefix.Addr())
	}
	its := r.site
	if own == its {
		return r.addr.Less(l.linkLocal)
	}
	return !own.IsValid() || its.IsValid() && its.Less(own)
}

// lowerULA returns b where it is a unique local address below a, or a is none.
func lowerULA(a, b netip.Addr) netip.Addr {
	if ipv6.IsULA(b) && (!a.IsValid() || b.Less(a)) {
		return b
	}
	return a
}

// deciding reports whether a multicast RA now would hold up the one that may soon tell of the
// offer (MIN_DELAY_BETWEEN_RAS).
func (l *LAN) deciding(now time.Time) bool {
	o := &l.offer
	return (o.state == offerUnknown || o.state == offerPausing) && l.cfg.OfferPrefix.IsValid() && o.at.Sub(now) < minDelayBetweenRAs+maxRADelayTime
}

func (l *LAN) beginOffer(now time.Time) {
	paused := l.offer.state == offerPausing
	l.offer.state, l.offer.at, l.offer.kept = offerAdvertising, time.Time{}, false
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "no usable prefix on the link: offering one", slog.String("link", l.cfg.Name), slog.Any("prefix", l.cfg.OfferPrefix))
	l.ownPrefix(now, time.Time{}, true)
	l.advertiseChange(now)
	if paused && !l.adv.at.IsZero() {
		l.adv.at = now // the pause was the random time
	}
	l.ev.AdvertisedChanged(now)
}

func (l *LAN) deprecateOffer(now time.Time) {
	l.offer.state, l.offer.at = offerDeprecating, now.Add(min(l.cfg.PrefixLifetime, deprecatedLifetime))
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "another router advertises a usable prefix: ours is deprecated", slog.String("link", l.cfg.Name), slog.Any("prefix", l.cfg.OfferPrefix))
	l.ownPrefix(now, l.offer.at, true)
	l.advertiseChange(now)
	l.ev.AdvertisedChanged(now)
}

// ownPrefix has our own address in the offered prefix follow it: on for ever, or until the
// end of its deprecation.
func (l *LAN) ownPrefix(now, until time.Time, on bool) {
	p := l.cfg.OfferPrefix
	i := slices.IndexFunc(l.prefixes, func(x lanPrefix) bool { return x.prefix == p && !x.via.IsValid() })
	if i < 0 && on {
		i = l.addPrefix(now, p, netip.Addr{})
	}
	if i >= 0 {
		if on {
			l.prefixes[i].onLink, l.prefixes[i].valid = true, until
		} else {
			l.removePrefix(now, i)
		}
	}
	if l.cfg.RouterOnly {
		return
	}
	preferred := until
	if !until.IsZero() {
		preferred = now
	}
	if !on {
		until = now
	}
	for i := range l.addrs {
		if a := &l.addrs[i]; a.offered && a.prefix == p {
			a.preferred, a.valid = preferred, until
			l.age(now, a)
			return
		}
	}
	if on {
		l.form(now, p, preferred, until, true, 0)
	}
}

// offered returns the lifetimes with which the prefix is in an RA now.
func (l *LAN) offered(now time.Time, final bool) (valid, preferred time.Duration, ok bool) {
	switch l.offer.state {
	case offerAdvertising:
		if valid, preferred = l.cfg.PrefixLifetime, l.cfg.PrefixLifetime; final {
			valid, preferred = min(valid, deprecatedLifetime), 0
		}
		return valid, preferred, true
	case offerDeprecating:
		valid = l.offer.at.Sub(now)
		return valid, 0, valid >= l.cfg.MaxRAInterval
	}
	return 0, 0, false
}

// advanceOffer watches the routers on whose prefixes the decision stands.
func (l *LAN) advanceOffer(now time.Time) {
	if !l.cfg.Advertise || !l.cfg.OfferPrefix.IsValid() {
		return
	}
	ask := false
	for i := range l.prefixes {
		p := &l.prefixes[i]
		if !l.supplies(now, p) {
			continue
		}
		if !p.heard.Add(staleRA + time.Duration(p.asked)*minInterval).After(now) {
			p.asked++
			ask = ask || p.asked <= staleTries
			l.dirty = true
		}
		if e := l.router(p.via).entry; l.source().IsValid() && (e.state == stateReachable || e.state == stateStale) && !e.proven.Add(suitableProbe).After(now) {
			l.cache.probe(now, e)
		}
	}
	if ask {
		l.sendRS(now)
	}
}

func (l *LAN) offerDue(now time.Time) (t time.Time) {
	if !l.cfg.Advertise || !l.cfg.OfferPrefix.IsValid() {
		return t
	}
	if l.offer.state == offerUnknown || l.offer.state == offerPausing || l.offer.state == offerDeprecating {
		t = l.offer.at
	}
	for i := range l.prefixes {
		p := &l.prefixes[i]
		if !l.supplies(now, p) {
			continue
		}
		t = earlier(t, p.heard.Add(staleRA+time.Duration(p.asked)*minInterval))
		t = earlier(t, p.preferred)
		if e := l.router(p.via).entry; l.source().IsValid() && (e.state == stateReachable || e.state == stateStale) {
			t = earlier(t, e.proven.Add(suitableProbe))
		}
	}
	return t
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

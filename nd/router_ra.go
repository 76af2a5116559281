package nd

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

const (
	minDelayBetweenRAs         = 3 * time.Second        // RFC 4861 section 10
	maxRADelayTime             = 500 * time.Millisecond // RFC 4861 section 10
	maxInitialRAs              = 3                      // RFC 4861 section 10
	maxInitialRAInterval       = 16 * time.Second       // RFC 4861 section 10
	maxOldPrefixes             = 4
	deprecatedLifetime         = 2 * time.Hour   // of a replaced prefix (RFC 4862 section 5.5.3 lets no host end it sooner)
	takeUpTime                 = 3 * time.Second // how long a node may take to use the prefix before it is sent the second PIO
	forgetTime                 = 24 * time.Hour  // how long a silent RFC 4861 host is sent RAs
	raBurst              uint8 = 5               // solicited RAs to one node at once; after that one a second
)

// handleRS answers a router solicitation (RFC 6775 section 6.3, RFC 4861 section 6.2.6).
func (r *Router) handleRS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	src := source(p)
	if p.HopLimit() != hopLimit {
		return DropHopLimit
	}
	msg, err := ParseRouterSolicitation(icmp(p))
	if err != nil {
		return err
	}
	if src.IsMulticast() || r.isOurs(src) {
		return DropSource
	}
	ll := msg.Options.LinkAddr(OptionSourceLinkAddr, r.wantLen)
	if src.IsUnspecified() {
		// A source of prefix::0 with the option is still lwIP's way to say "::".
		if _, ok := msg.Options.Find(OptionSourceLinkAddr); ok && p.Src().IsUnspecified() {
			return DropSourceOption
		}
		ll = ipv6.LinkAddr{}
	} else if !r.onLink(src) {
		return DropNotOnLink
	}
	if ll.IsZero() {
		ll = m.LinkSrc
	}
	if ll.IsZero() || ll == ipv6.BroadcastShort {
		// Nobody to answer but everybody.
		r.scheduleRA(now)
		return nil
	}
	n := r.nodeOf(ll)
	if !n.take(now) {
		return DropRateLimit
	}
	n.lastHeard = now
	n.caps = capabilities(msg.Options) // without the option it has none (any more)
	dst := allNodes
	if src.IsUnspecified() {
		n.classic = true
		n.onLink = n.onLink || !n.registers && !n.usesPrefix
	} else {
		if src.IsLinkLocalUnicast() {
			n.addr = src
		}
		if r.elsewhere(src) {
			r.conflict(now, src, ll)
		} else if e, ok := r.learn(now, src, ll); ok && !e.dead {
			e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		}
		n = r.nodeOf(ll)
		r.tookPrefix(now, n, src)
		// A node that asks again had no use for the first answer, if it got it.
		n.onLink = n.onLink || n.solicited && !n.registers && !n.usesPrefix
		dst = src
	}
	r.sendRA(now, dst, ll, n)
	n.solicited = true
	switch {
	case n.registers:
	case n.usesPrefix || n.onLink || r.cfg.OnLink != OnLinkAuto || !r.cfg.Prefix.IsValid():
		r.nodeTimers.Set(n, now.Add(r.refreshInterval()))
	default:
		r.nodeTimers.Set(n, now.Add(takeUpTime))
	}
	return nil
}

// take takes a token for a solicited RA.
func (n *node) take(now time.Time) bool {
	if n.tokensAt.IsZero() || now.Before(n.tokensAt) {
		n.tokensAt = now
	}
	if k := int64(now.Sub(n.tokensAt) / time.Second); k > 0 {
		n.tokens = uint8(min(int64(n.tokens)+k, int64(raBurst)))
		n.tokensAt = n.tokensAt.Add(time.Duration(k) * time.Second)
	}
	if n.tokens == 0 {
		return false
	}
	n.tokens--
	return true
}

// source returns the source address of p. lwIP compresses "::" with an all-zero context as
// context 0 with an IID of zero, which a router that has a context 0 takes for prefix::0.
// No node sends from that address: it is the subnet-router anycast address (RFC 4291
// section 2.6.1).
func source(p ipv6.Packet) netip.Addr {
	src := p.Src()
	if !src.IsMulticast() && iid(src) == 0 {
		return unspecified
	}
	return src
}

// RepairSource undoes in place what source compression of some nodes does to "::": where p
// is a router or neighbor solicitation from an address with an IID of zero, and its checksum
// is right with the source "::" but not with the one it has, the source becomes "::". It
// reports whether it changed p. Call it for packets whose checksum does not hold.
func RepairSource(p ipv6.Packet) bool {
	b := icmp(p)
	if len(b) < 8 || b[0] != typeRouterSolicitation && b[0] != typeNeighborSolicitation {
		return false
	}
	src, dst := p.Src16(), p.Dst16()
	if src == [16]byte{} || source(p) != unspecified {
		return false
	}
	if ipv6.Checksum(src, dst, ipv6.ProtoICMPv6, b) == 0 || ipv6.Checksum([16]byte{}, dst, ipv6.ProtoICMPv6, b) != 0 {
		return false
	}
	clear(p[8:24])
	return true
}

// tookPrefix notes that the node n uses a, and sees to it that a host of RFC 4861 hears of
// the router before its lifetime is over.
func (r *Router) tookPrefix(now time.Time, n *node, a netip.Addr) {
	if n == nil || a.IsLinkLocalUnicast() || !r.cfg.Prefix.Contains(a) {
		return
	}
	_, timed := r.nodeTimers.At(n)
	first := !n.usesPrefix
	n.usesPrefix = true
	if !n.addr.IsValid() {
		n.addr = a
	}
	if !n.registers && (first || !timed) {
		r.nodeTimers.Set(n, now.Add(r.refreshInterval()))
	}
}

// refreshInterval is how often a node that does not ask is sent an RA.
func (r *Router) refreshInterval() time.Duration {
	_, valid := r.Lifetimes(r.now)
	d := max(min(r.cfg.RouterLifetime, valid)/3, time.Second)
	return d - time.Duration(r.rand.Int64N(int64(d/10)+1))
}

// advanceNode does what is due for n: the second PIO, or a fresh RA.
func (r *Router) advanceNode(now time.Time, n *node) {
	if n.registers {
		return
	}
	if now.Sub(n.lastHeard) > forgetTime {
		return
	}
	if n.solicited && !n.usesPrefix && !n.onLink && r.cfg.OnLink == OnLinkAuto {
		n.onLink = true
		r.log.LogAttrs(context.Background(), slog.LevelDebug, "node did not take up the prefix, announcing it as on-link", slog.Any("lladdr", n.ll))
	}
	if !n.solicited {
		// It asked before we started: which form it took its address from is not known.
		n.onLink = true
	}
	n.classic = n.classic || n.usesPrefix
	if !r.cfg.PeriodicRA || n.onLink && !n.usesPrefix {
		dst := n.addr
		if !dst.IsValid() {
			dst = allNodes
		}
		r.sendRA(now, dst, n.ll, n)
	}
	if now.Sub(n.lastHeard) > r.cfg.RouterLifetime/6 && n.addr.IsValid() {
		r.probe(now, n.addr, n.ll) // is it still there?
	}
	r.nodeTimers.Set(n, now.Add(r.refreshInterval()))
}

// scheduleRA has a multicast RA sent as soon as RFC 4861 section 6.2.6 allows.
func (r *Router) scheduleRA(now time.Time) {
	at := now.Add(time.Duration(r.rand.Int64N(int64(maxRADelayTime))))
	if earliest := r.raLast.Add(minDelayBetweenRAs); !r.raLast.IsZero() && at.Before(earliest) {
		at = earliest
	}
	r.raAt = earlier(r.raAt, at)
}

func (r *Router) advanceRA(now time.Time) {
	if r.cfg.PeriodicRA && r.raLast.IsZero() && r.raAt.IsZero() {
		r.raRepeat = maxInitialRAs - 1
		r.raAt = now
	}
	if r.raAt.IsZero() || r.raAt.After(now) {
		return
	}
	r.sendRA(now, allNodes, ipv6.LinkAddr{}, nil)
	if r.former.IsValid() {
		r.sendCeased(now)
		if r.raRepeat == 0 {
			r.former = netip.Addr{}
		}
	}
	r.raAt, r.raLast = time.Time{}, now
	switch {
	case r.raRepeat > 0:
		r.raRepeat--
		r.raAt = now.Add(min(maxInitialRAInterval, r.cfg.MaxRAInterval))
	case r.cfg.PeriodicRA:
		r.raAt = now.Add(r.cfg.MinRAInterval + time.Duration(r.rand.Int64N(int64(r.cfg.MaxRAInterval-r.cfg.MinRAInterval)+1)))
	}
}

// sendRA sends a router advertisement to the node n, or to all where n is nil.
func (r *Router) sendRA(now time.Time, dst netip.Addr, ll ipv6.LinkAddr, n *node) {
	r.keepVersion()
	c := &r.cfg
	b, _ := RouterAdvertisement{
		CurHopLimit:    c.CurHopLimit,
		Managed:        c.Managed,
		Other:          c.Other,
		RouterLifetime: uint16(c.RouterLifetime / time.Second),
		ReachableTime:  uint32(min(c.ReachableTime/time.Millisecond, math.MaxUint32)),
		RetransTimer:   uint32(min(c.RetransTimer/time.Millisecond, math.MaxUint32)),
	}.AppendBinary(begin(r.buf[:0]))
	// RIOT ignores the NA that follows where the RA has no SLLAO.
	b = AppendLinkAddr(b, OptionSourceLinkAddr, c.LinkAddr)
	if c.Prefix.IsValid() {
		preferred, valid := r.Lifetimes(now)
		pio := PrefixInfo{Prefix: c.Prefix, Autonomous: true, Valid: seconds(valid), Preferred: seconds(preferred)}
		b, _ = pio.AppendBinary(b)
		onLink := c.OnLink == OnLinkAlways
		if c.OnLink == OnLinkAuto {
			onLink = n != nil && n.onLink || n == nil && r.anyOnLink()
		}
		if onLink {
			pio.OnLink = true
			b, _ = pio.AppendBinary(b)
		}
	}
	for _, o := range r.old {
		left := seconds(o.until.Sub(now))
		b, _ = PrefixInfo{Prefix: o.prefix, Autonomous: true, Valid: left}.AppendBinary(b)
	}
	for _, x := range c.Contexts {
		life := x.Lifetime
		if life <= 0 {
			life = c.ValidLifetime
		}
		b, _ = ContextInfo{ID: uint8(x.ID), Compress: x.Compress, Prefix: x.Prefix, Lifetime: minutes(life)}.AppendBinary(b)
	}
	if a := r.abroAddr(); a.IsValid() {
		b, _ = BorderRouterInfo{Version: c.ABROVersion, Lifetime: minutes(c.ABROLifetime), Addr: a}.AppendBinary(b)
	}
	if c.MTU > 0 {
		b = AppendMTU(b, uint32(c.MTU))
	}
	b = AppendRDNSS(b, seconds(c.RDNSSLifetime), c.RDNSS)
	b, _ = AppendDNSSL(b, seconds(c.RDNSSLifetime), c.DNSSL)
	if !c.NoCapability {
		b, _ = c.Capability.AppendBinary(b)
	}
	r.send(now, b, c.LinkLocal, dst, hopLimit, ll)
}

// sendCeased tells all nodes that nobody routes at the link-local address of before. They find
// the router behind it until then: RFC 6775 section 5.4 has nodes drop what is without SLLAO.
func (r *Router) sendCeased(now time.Time) {
	b, _ := RouterAdvertisement{}.AppendBinary(begin(r.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, r.cfg.LinkAddr)
	r.send(now, b, r.former, allNodes, hopLimit, ipv6.LinkAddr{})
}

// anyOnLink reports whether some node needs the second PIO in a multicast RA.
func (r *Router) anyOnLink() bool {
	for _, n := range r.nodes {
		if n.onLink {
			return true
		}
	}
	return false
}

// abroAddr is the address of this 6LBR in the ABRO: one that is reachable from all over the
// mesh (RFC 6775 section 4.3), so that 6LRs can send it DARs.
func (r *Router) abroAddr() netip.Addr {
	c := &r.cfg
	if c.ABROAddr.IsValid() {
		return c.ABROAddr
	}
	for _, a := range c.Addrs {
		if c.Prefix.Contains(a) {
			return a
		}
	}
	if c.Prefix.IsValid() {
		return ipv6.WithIID(c.Prefix, c.LinkAddr.IID())
	}
	if len(c.Addrs) > 0 {
		return c.Addrs[0]
	}
	return c.LinkLocal
}

// send completes the message in b, which begins with room for the header, and sends it.
func (r *Router) send(now time.Time, b []byte, src, dst netip.Addr, hops uint8, ll ipv6.LinkAddr) {
	r.stats.sent(b[ipv6.HeaderLen])
	// The sender may call back, so the buffer is not ours to use until it returns.
	r.buf = nil
	r.out.SendPacket(now, finish(b, src, dst, hops), ll)
	r.buf = b
}

// seconds returns d as a lifetime on the wire, rounded down.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d, 0)/time.Second, Infinity))
}

// minutes returns d in units of 60 s, rounded up.
func minutes(d time.Duration) uint16 {
	return uint16(min((max(d, 0)+time.Minute-1)/time.Minute, math.MaxUint16))
}

// Announce has all nodes told that this router is there: its link was away and is back, so
// that nodes may have given it up meanwhile. As of an interface that becomes an advertising
// one, a few multicast advertisements go out, the first at once where the rate of RFC 4861
// section 6.2.6 allows (section 6.2.4).
func (r *Router) Announce(now time.Time) {
	r.now = now
	r.raRepeat = maxInitialRAs - 1
	at := now
	if earliest := r.raLast.Add(minDelayBetweenRAs); !r.raLast.IsZero() && at.Before(earliest) {
		at = earliest
	}
	r.raAt = earlier(r.raAt, at)
}

// Moved says which link-local address this router had until it was started with another one:
// "The router SHOULD multicast a few Router Advertisements from the old link-local address
// with the Router Lifetime field set to zero" (RFC 4861 section 6.2.8). They follow those that
// [Router.Announce] causes.
func (r *Router) Moved(old netip.Addr) {
	if old.IsLinkLocalUnicast() && old != r.cfg.LinkLocal {
		r.former = old
	}
}

// changed has all nodes told of new information.
func (r *Router) changed(now time.Time) {
	r.now = now
	r.cfg.ABROVersion++
	r.raRepeat = maxInitialRAs - 1
	r.scheduleRA(now)
}

// SetPrefix changes the prefix announced. The one before stays on the link, deprecated, for
// two hours or what is left of its lifetime, which may be nothing; an invalid prefix ends the announcement. The
// ABRO version grows: [Router.ABROVersion].
func (r *Router) SetPrefix(now time.Time, p netip.Prefix) {
	p = mask64(p)
	if p == r.cfg.Prefix {
		return
	}
	r.old = slices.DeleteFunc(r.old, func(o oldPrefix) bool { return o.prefix == p })
	if _, valid := r.Lifetimes(now); r.cfg.Prefix.IsValid() && valid > 0 {
		r.old = slices.Insert(r.old, 0, oldPrefix{r.cfg.Prefix, now.Add(min(deprecatedLifetime, valid))})
		r.old = r.old[:min(len(r.old), maxOldPrefixes)]
	}
	r.cfg.Prefix, r.preferredUntil, r.validUntil = p, time.Time{}, time.Time{}
	for _, n := range r.nodes {
		n.usesPrefix = false
	}
	r.changed(now)
}

// SetContexts changes the compression contexts announced. The ABRO version grows.
func (r *Router) SetContexts(now time.Time, list []ContextOption) {
	if !slices.Equal(list, r.cfg.Contexts) {
		r.cfg.Contexts = slices.Clone(list[:min(len(list), 16)])
		r.changed(now)
	}
}

// SetRDNSS changes the DNS servers announced.
func (r *Router) SetRDNSS(now time.Time, list []netip.Addr) {
	if !slices.Equal(list, r.cfg.RDNSS) {
		r.cfg.RDNSS = slices.Clone(list)
		r.changed(now)
	}
}

// SetDNSSL changes the search domains announced.
func (r *Router) SetDNSSL(now time.Time, list []string) {
	if !slices.Equal(list, r.cfg.DNSSL) {
		r.cfg.DNSSL = slices.Clone(list)
		r.changed(now)
	}
}

// SetOther changes the O flag: whether there is configuration to be had by DHCPv6.
func (r *Router) SetOther(now time.Time, on bool) {
	if on != r.cfg.Other {
		r.cfg.Other = on
		r.changed(now)
	}
}

// SetAddrs changes which addresses, besides the link-local one, are ours on the link.
func (r *Router) SetAddrs(list []netip.Addr) { r.cfg.Addrs = slices.Clone(list) }

// ABROVersion returns the version in the next ABRO, which must not go down over a restart (RFC
// 6775 section 4.3): see RouterConfig.KeepVersion.
func (r *Router) ABROVersion() uint32 { return r.cfg.ABROVersion }

// SetLifetimes bounds the lifetimes of the prefix announced by those of what it was cut out
// of, a delegated prefix say (RFC 9096 section 3.3); the zero Time is no bound. Where that
// makes them shorter, nodes are told; of longer ones they hear when they ask.
func (r *Router) SetLifetimes(now time.Time, preferred, valid time.Time) {
	p, v := r.Lifetimes(now)
	r.preferredUntil, r.validUntil = preferred, valid
	const rounding = 2 * time.Second
	if q, w := r.Lifetimes(now); r.cfg.Prefix.IsValid() && (q < p-rounding || w < v-rounding) {
		r.changed(now)
	}
}

// EndPrefix has a prefix that was announced before, and is deprecated since, end at until
// where that is earlier than it would.
func (r *Router) EndPrefix(now time.Time, p netip.Prefix, until time.Time) {
	for i := range r.old {
		if o := &r.old[i]; o.prefix == mask64(p) && until.Before(o.until) {
			o.until = until
			r.changed(now)
		}
	}
}

// Lifetimes returns the preferred and the valid lifetime of the prefix as they are announced
// now.
func (r *Router) Lifetimes(now time.Time) (preferred, valid time.Duration) {
	bound := func(d time.Duration, until time.Time) time.Duration {
		if until.IsZero() {
			return d
		}
		return max(min(d, until.Sub(now)), 0)
	}
	valid = bound(r.cfg.ValidLifetime, r.validUntil)
	return min(bound(r.cfg.PreferredLifetime, r.preferredUntil), valid), valid
}

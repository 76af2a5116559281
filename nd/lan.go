package nd

import (
	"context"
	"crypto/rand"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A LAN is Neighbor Discovery on an Ethernet link: the neighbor cache of RFC 4861; the host
// side, which takes addresses, routes and parameters from the RAs of other routers; the
// router side, which advertises the routes to the meshes and, where nobody else does, a
// prefix; and the proxy for addresses of a mesh inside the link's own prefix. It is a plain
// machine: not safe for concurrent use, without clock or socket.
type LAN struct {
	cache    lanCache
	cfg      LANConfig
	out      ipv6.Sender
	ev       LANEvents
	log      *slog.Logger
	rand     *mrand.Rand
	now      time.Time
	stats    Stats
	buf      []byte
	up       bool
	settling bool
	dirty    bool      // routes, lists or wake are to be computed again
	wake     time.Time // what is due besides the neighbor cache
	params   LANParameters

	linkLocal netip.Addr
	addrs     []lanAddr
	anycast   []netip.Addr
	delayed   []lanReply // advertisements for anycast addresses

	routers  []lanRouter
	routes   []lanRoute
	told     []LANRoute // as the owner knows them
	rotateAt time.Time
	prefixes []lanPrefix
	dns      []lanServer
	search   []lanDomain
	nat64    []lanNAT64
	raRate   ipv6.TokenBucket // RAs of routers not known

	lists lanLists

	reachAt time.Time // when ReachableTime is drawn again
	rsAt    time.Time
	rsWait  time.Duration
	rsSent  int

	adv   lanAdvertiser
	offer lanOffer

	checks     map[netip.Addr]*lanCheck
	checkQueue []*lanCheck         // in the order of their end
	unchecked  map[netip.Addr]bool // since the link is down
	redirects  ipv6.TokenBucket
	warnings   ipv6.TokenBucket
	conflicts  ipv6.TokenBucket
}

// NewLAN returns a LAN that sends through out and tells ev; it does nothing before
// [LAN.Start].
func NewLAN(cfg LANConfig, out ipv6.Sender, ev LANEvents) *LAN {
	l := &LAN{cfg: cfg, out: out, ev: ev, log: cfg.Logger, rand: cfg.Rand}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.rand == nil {
		l.rand = mrand.New(mrand.NewPCG(cfg.LinkAddr.Uint64(), 1))
	}
	c := &l.cfg
	c.LinkLocal = c.LinkLocal.WithZone("")
	c.Limits = c.Limits.withDefaults()
	if c.MTU <= 0 {
		c.MTU = 1500
	}
	c.MTU = max(c.MTU, ipv6.MinMTU)
	if c.DADTransmits == 0 {
		c.DADTransmits = 1
	}
	l.cache.init(ev, c.Limits)
	l.cache.solicit = l.sendNS
	l.cache.changed = func(now time.Time, e *lanEntry) { l.dirty = true }
	l.params = l.defaultParameters()
	l.raRate = ipv6.TokenBucket{Rate: 2, Burst: 16}
	l.redirects = ipv6.TokenBucket{Rate: 10, Burst: 10}
	l.warnings = ipv6.TokenBucket{Rate: 1.0 / 60, Burst: 10}
	l.conflicts = ipv6.TokenBucket{Rate: 1, Burst: 10}
	l.checks, l.unchecked = make(map[netip.Addr]*lanCheck), make(map[netip.Addr]bool)
	l.initAdvertiser()
	return l
}

// Start says that the link is up: addresses are checked for duplicates, routers solicited
// and, on a router, advertisements begun.
func (l *LAN) Start(now time.Time) {
	if l.up {
		return
	}
	l.now, l.up, l.dirty = now, true, true
	l.setReachable(now, l.params.ReachableTime)
	if l.cfg.RouterOnly {
		l.linkLocal = l.cfg.LinkLocal
	} else {
		l.startAddrs(now)
	}
	l.startSolicit(now)
	l.startOffer(now)
	l.startAdvertise(now)
	l.settle(now)
	l.startChecks(now)
}

// Down says that the link is down. What routers announced is kept for its lifetimes;
// neighbors are forgotten.
func (l *LAN) Down(now time.Time) {
	if !l.up {
		return
	}
	l.now, l.up, l.dirty = now, false, true
	l.rsAt, l.rotateAt = time.Time{}, time.Time{}
	l.adv.at = time.Time{}
	l.delayed = l.delayed[:0]
	for i := range l.routers {
		l.routers[i].entry = nil
	}
	l.downOffer()
	l.cache.flush(now, DropStopped)
	l.stopChecks()
	l.settle(now)
}

// Stop ends the work on the link: hosts are told that our routes and prefixes end (RFC 4861
// section 6.2.5), and everything learnt is given up. What is left for a next start is in
// [LAN.Advertised].
func (l *LAN) Stop(now time.Time) {
	if l.up {
		l.now = now
		l.sendFinal(now)
	}
	l.Down(now)
	clear(l.unchecked)
	for i := range l.addrs {
		l.addrs[i].valid = now
	}
	for len(l.prefixes) > 0 {
		l.removePrefix(now, 0)
	}
	l.routes, l.routers, l.dns, l.search, l.nat64 = nil, nil, nil, nil, nil
	l.offer = lanOffer{kept: l.offer.kept}
	l.dirty = true
	l.settle(now)
	l.addrs = nil
}

// SetLinkLocal changes our link-local and link-layer addresses, where they are the kernel's.
func (l *LAN) SetLinkLocal(now time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	l.now, a = now, a.WithZone("")
	if !l.cfg.RouterOnly || a == l.linkLocal && ll == l.cfg.LinkAddr {
		return
	}
	l.cfg.LinkLocal, l.cfg.LinkAddr = a, ll
	if l.up {
		l.linkLocal = a
		l.advertiseChange(now)
		l.settle(now)
	}
}

// LinkLocal returns our link-local address; it is invalid while there is none that may be
// used.
func (l *LAN) LinkLocal() netip.Addr {
	if l.cfg.RouterOnly {
		return l.linkLocal
	}
	if a := l.addr(l.linkLocal); a != nil && a.usable() {
		return a.addr
	}
	return netip.Addr{}
}

// HandlePacket takes an ICMPv6 message of type 133 to 137 that arrived on the link; its
// checksum has been verified. It returns nil when the message was consumed, else the [Drop]
// that says why not.
func (l *LAN) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	l.now = now
	err := l.handle(now, p, m)
	l.stats.dropped(err)
	l.settle(now)
	return err
}

func (l *LAN) handle(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	if !l.up {
		return DropStopped
	}
	b := icmp(p)
	if len(b) < 8 {
		return DropTruncated
	}
	if b[0] < typeRouterSolicitation || b[0] > typeRedirect {
		return DropType
	}
	l.stats.received(b[0])
	switch b[0] {
	case typeRouterSolicitation:
		return l.handleRS(now, p, m)
	case typeRouterAdvertisement:
		return l.handleRA(now, p, m)
	case typeNeighborSolicitation:
		return l.handleNS(now, p, m)
	case typeNeighborAdvertisement:
		return l.handleNA(now, p, m)
	}
	return l.handleRedirect(now, p, m)
}

// Heard tells the LAN that a packet from src arrived from m.LinkSrc. It says nothing of
// reachability in the other direction.
func (l *LAN) Heard(now time.Time, src netip.Addr, m ipv6.Meta) {
	l.now = now
	if e := l.cache.lookup(src); e != nil && e.ll == m.LinkSrc {
		e.heard = now
	}
}

// Confirm tells the LAN that an upper layer has proof of reachability of the neighbor a:
// progress of a connection over it (RFC 4861 section 7.3.1).
func (l *LAN) Confirm(now time.Time, a netip.Addr) {
	l.now = now
	if e := l.cache.lookup(a); e != nil && !e.ll.IsZero() && e.state != stateIncomplete {
		l.cache.confirm(now, e)
		l.settle(now)
	}
}

// Resolve returns the link-layer address to which p for the neighbor dst, the destination
// itself or the router before it, is to be sent. [ipv6.ErrHeld] says that p was copied and
// is kept until the neighbor answers or does not ([LANEvents]); owner comes back with it. Any
// other error is a [Drop]. A multicast dst has the zero LinkAddr.
func (l *LAN) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	l.now = now
	switch {
	case !l.up:
		return ipv6.LinkAddr{}, DropStopped
	case dst.IsMulticast():
		return ipv6.LinkAddr{}, nil
	case !dst.Is6():
		return ipv6.LinkAddr{}, DropTarget
	}
	return l.cache.resolve(now, dst.WithZone(""), p, owner)
}

// LinkStatus is told of the fate of frames; Ethernet knows nothing of it.
func (l *LAN) LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool) { l.now = now }

// Deadline returns the time of the next [LAN.Advance]; zero: nothing is scheduled.
func (l *LAN) Deadline() time.Time { return earlier(l.cache.timers.Next(), l.wake) }

// Advance does everything that is due at or before now.
func (l *LAN) Advance(now time.Time) {
	l.now = now
	for range maxRounds {
		for {
			e, ok := l.cache.timers.Pop(now)
			if !ok {
				break
			}
			l.cache.advance(now, e)
		}
		l.settle(now)
		if l.wake.IsZero() || l.wake.After(now) {
			return
		}
		l.dirty = true
		l.advanceAddrs(now)
		l.advanceReplies(now)
		l.advanceChecks(now)
		l.expire(now)
		if l.up {
			l.advanceSolicit(now)
			l.advanceOffer(now)
			if l.offer.state == offerPausing {
				l.settle(now) // or an advertisement that is due too would put the offer off
				l.dirty = true
			}
			l.advanceAdvertise(now)
		}
		l.settle(now)
	}
}

// maxRounds is how often Advance goes round for what became due while it ran; what is left
// then is due at once again.
const maxRounds = 64

// settle brings what depends on the tables up to date, where they changed, and tells.
func (l *LAN) settle(now time.Time) {
	if !l.dirty || l.settling {
		return
	}
	l.settling = true
	for n := 0; l.dirty && n < 8; n++ { // each step may change what the one before decided
		l.dirty = false
		l.decideOffer(now)
		l.updateLists(now)
		l.selectRoutes(now)
		l.tellAddrs(now)
	}
	l.dirty, l.settling = false, false
	l.schedule(now)
}

// schedule computes when something is due.
func (l *LAN) schedule(now time.Time) {
	t := earlier(l.rsAt, earlier(l.adv.at, l.rotateAt))
	t = earlier(t, l.addrsDue())
	for i := range l.delayed {
		t = earlier(t, l.delayed[i].at)
	}
	if len(l.checkQueue) > 0 {
		t = earlier(t, l.checkQueue[0].at)
	}
	t = earlier(t, l.expiryDue())
	if l.up {
		t = earlier(earlier(t, l.reachAt), l.offerDue(now))
	}
	l.wake = t
}

// Snapshot returns the neighbor cache in the order of addresses.
func (l *LAN) Snapshot() []Neighbor { return l.cache.snapshot(l.now) }

// Stats returns a copy of the counters.
func (l *LAN) Stats() Stats {
	s := l.stats
	s.Evicted = l.cache.evicted
	return s
}

// SetProxy changes who knows the addresses that are answered for; nil: none are.
func (l *LAN) SetProxy(p Proxy) { l.cfg.Proxy = p }

// Parameters returns what routers announced of the link.
func (l *LAN) Parameters() LANParameters { return l.params }

// setReachable makes d the base of ReachableTime (RFC 4861 section 6.3.2: a random factor
// of 0.5 to 1.5).
func (l *LAN) setReachable(now time.Time, d time.Duration) {
	l.reachAt = now.Add(reachableRenew)
	l.cache.reachable = d/2 + time.Duration(l.rand.Int64N(int64(d)+1))
}

func (l *LAN) send(now time.Time, b []byte, src, dst netip.Addr, ll ipv6.LinkAddr) {
	l.stats.sent(b[ipv6.HeaderLen])
	// The sender may call back, so the buffer is not ours to use until it returns.
	l.buf = nil
	l.out.SendPacket(now, finish(b, src, dst, hopLimit), ll)
	l.buf = b
}

// jitter returns a random duration below d.
func (l *LAN) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(l.rand.Int64N(int64(d)))
}

func newNonce() (n [6]byte) {
	rand.Read(n[:])
	return n
}

// warn logs what an operator should look at, at a limited rate.
func (l *LAN) warn(now time.Time, msg string, attrs ...slog.Attr) {
	if l.warnings.Take(now) {
		l.log.LogAttrs(context.Background(), slog.LevelWarn, msg, append(attrs, slog.String("link", l.cfg.Name))...)
	}
}

// after returns the end of a lifetime in seconds; zero: never.
func after(now time.Time, seconds uint32) time.Time {
	if seconds == Infinity {
		return time.Time{}
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// over reports whether the time t, zero for never, has come.
func over(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

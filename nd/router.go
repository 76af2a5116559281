package nd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"border-router/internal/timerq"
	"border-router/ipv6"
)

// A Router is the router's side of Neighbor Discovery on one link: a 6LBR (RFC 6775) and
// 6LR with extended registrations (RFC 8505), which serves hosts of RFC 4861 as well. It is
// a plain machine: not safe for concurrent use, without clock or socket.
type Router struct {
	cache
	cfg   RouterConfig
	out   ipv6.Sender
	ev    Events
	log   *slog.Logger
	rand  *rand.Rand
	now   time.Time
	stats Stats
	buf   []byte // the message being built

	// Until when the prefix may be announced as preferred and valid; zero: no bound.
	preferredUntil, validUntil time.Time

	old        []oldPrefix // deprecated, most recent first
	nodeTimers timerq.Queue[*node]
	raAt       time.Time  // next multicast RA
	raLast     time.Time  // last multicast RA
	raRepeat   int        // multicast RAs that follow soon
	former     netip.Addr // our link-local address of before; invalid: all have been told

	uncommitted []uncommitted // in the order of their tickets
	committed   uint64        // the last ticket of what is written
	stalled     bool          // the disk took too long
	checks      []routerCheck // in the order of their end
	keptVersion uint32
}

// An oldPrefix is one that [Router.SetPrefix] replaced.
type oldPrefix struct {
	prefix netip.Prefix
	until  time.Time
}

// NewRouter returns a Router that sends through out and tells ev.
func NewRouter(cfg RouterConfig, out ipv6.Sender, ev Events) *Router {
	r := &Router{cfg: cfg, out: out, ev: ev, log: cfg.Logger, rand: cfg.Rand}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Name != "" {
		r.log = r.log.With("link", cfg.Name)
	}
	if r.rand == nil {
		r.rand = rand.New(rand.NewPCG(cfg.LinkAddr.Uint64(), 0))
	}
	c := &r.cfg
	if !c.LinkLocal.IsValid() {
		c.LinkLocal = ipv6.LinkLocal(c.LinkAddr)
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	dur(&c.RouterLifetime, 1800*time.Second)
	dur(&c.ValidLifetime, 24*time.Hour)
	dur(&c.PreferredLifetime, 12*time.Hour)
	c.PreferredLifetime = min(c.PreferredLifetime, c.ValidLifetime)
	c.RouterLifetime = min(c.RouterLifetime, 65535*time.Second)
	dur(&c.RDNSSLifetime, c.RouterLifetime)
	dur(&c.MaxRAInterval, 600*time.Second)
	dur(&c.MinRAInterval, c.MaxRAInterval/3)
	c.MinRAInterval = min(c.MinRAInterval, c.MaxRAInterval)
	if c.MTU == 0 {
		c.MTU = ipv6.MinMTU
	}
	if c.CurHopLimit == 0 {
		c.CurHopLimit = 64
	}
	if c.ABROVersion == 0 {
		c.ABROVersion = 1
	}
	r.keptVersion = c.ABROVersion
	if c.Capability == 0 {
		c.Capability = DefaultCapability
	}
	c.Prefix = mask64(c.Prefix)
	c.Addrs = slices.Clone(c.Addrs)
	c.Contexts = slices.Clone(c.Contexts)
	c.RDNSS = slices.Clone(c.RDNSS)
	r.cache.init(ev, cfg.Limits, cfg.LinkAddr)
	if le, ok := ev.(LinkEvents); ok {
		r.cache.linked = le.Linked
	}
	if c.ReachableTime > 0 {
		r.reachable = c.ReachableTime
	}
	if c.RetransTimer > 0 {
		r.retrans = c.RetransTimer
	}
	r.cache.solicit = r.sendNS
	r.cache.dropped = func(n *node) { r.nodeTimers.Remove(n) }
	return r
}

// mask64 returns the /64 prefix in p, or an invalid prefix.
func mask64(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || !p.Addr().Is6() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(p.Addr().WithZone(""), 64).Masked()
}

// HandlePacket takes an ICMPv6 message of type 133 to 137, 157 or 158 that arrived on the
// link; its checksum has been verified. It returns nil when the message was consumed, else
// the [Drop] that says why not.
func (r *Router) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	r.now = now
	err := r.handle(now, p, m)
	r.stats.dropped(err)
	return err
}

func (r *Router) handle(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	b := icmp(p)
	if len(b) < 8 {
		return DropTruncated
	}
	r.stats.received(b[0])
	switch b[0] {
	case typeRouterSolicitation:
		return r.handleRS(now, p, m)
	case typeRouterAdvertisement:
		// Another router of the mesh: RFC 4861 section 6.2.7 has us look, not follow.
		_, err := CheckRouterAdvertisement(p)
		return err
	case typeNeighborSolicitation:
		return r.handleNS(now, p, m)
	case typeNeighborAdvertisement:
		return r.handleNA(now, p, m)
	case typeRedirect:
		if _, err := CheckRedirect(p); err != nil {
			return err
		}
		return DropRedirect
	case typeDAR, typeDAC:
		return r.handleDAR(now, p, m)
	}
	return DropType
}

// Heard tells the Router that a packet from src arrived from m.LinkSrc. It keeps the time
// and signal strength, and learns addresses of hosts that do not register; it never
// changes what is registered.
func (r *Router) Heard(now time.Time, src netip.Addr, m ipv6.Meta) {
	r.now = now
	e := r.entries.Get(tableKey(src))
	if e != nil && e.ll == m.LinkSrc {
		e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		if e.state != stateRegistered && e.node != nil {
			e.node.lastHeard, e.node.failures = now, 0
			r.touch(e)
		}
		return
	}
	r.heardNew(now, src, m, e)
}

func (r *Router) heardNew(now time.Time, src netip.Addr, m ipv6.Meta, e *entry) {
	if e != nil && e.state == stateRegistered {
		if e.ll.IsZero() {
			e.lastHeard = now
		}
		return
	}
	if m.LinkSrc.IsZero() || m.LinkSrc == ipv6.BroadcastShort || !isUnicast(src) || iid(src) == 0 || r.isOurs(src) || !r.onLink(src) || r.taken(src, ROVR{}) {
		return
	}
	if e != nil && e.state != stateStale && e.state != stateIncomplete && e.state != stateUnreachable {
		return // what a solicitation confirmed is not changed by data
	}
	e, _ = r.learn(now, src, m.LinkSrc)
	if e.dead {
		return
	}
	e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
	r.tookPrefix(now, e.node, src)
	e.node.lastHeard, e.node.failures = now, 0
}

// Resolve returns the link-layer address to which p for the on-link neighbor dst is to be
// sent. [ipv6.ErrHeld] says that p was copied and is kept until the neighbor answers or does
// not ([Events]); owner comes back with it. Any other error is a [Drop]. A multicast
// dst has the zero LinkAddr.
func (r *Router) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	r.now = now
	ll, found, err := r.resolve(now, dst, p, owner)
	if found {
		return ll, err
	}
	if dst.IsMulticast() {
		return ipv6.LinkAddr{}, nil
	}
	if ll, ok := r.formed(dst); ok {
		return ll, nil
	}
	if !r.onLink(dst) || iid(dst) == 0 {
		return ipv6.LinkAddr{}, DropNotOnLink
	}
	return ipv6.LinkAddr{}, r.start(now, dst, p, owner)
}

// LinkStatus says whether a unicast transmission to ll was acknowledged by its MAC. That
// confirms the link, not the neighbor: a registration lives to its lifetime whatever
// happens (its node may sleep), while a learnt neighbor that does not acknowledge is
// probed before it is trusted further.
func (r *Router) LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool) {
	r.now = now
	r.linkStatus(ll, ok)
}

// Deadline returns the time of the next [Router.Advance]; zero: nothing is scheduled.
func (r *Router) Deadline() time.Time {
	d := earlier(r.timers.Next(), r.nodeTimers.Next())
	d = earlier(earlier(earlier(d, r.raAt), r.commitDue()), r.checkDue())
	if len(r.old) > 0 {
		d = earlier(d, r.old[len(r.old)-1].until)
	}
	if r.cfg.PeriodicRA && r.raLast.IsZero() && r.raAt.IsZero() {
		return time.Unix(0, 0) // the first one is due
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Advance does everything that is due at or before now.
func (r *Router) Advance(now time.Time) {
	r.now = now
	for {
		e, ok := r.timers.Pop(now)
		if !ok {
			break
		}
		if e.state == stateRegistered {
			r.stats.Expired++
			r.unregister(now, e)
			continue
		}
		r.cache.advance(now, e)
	}
	for {
		n, ok := r.nodeTimers.Pop(now)
		if !ok {
			break
		}
		r.advanceNode(now, n)
	}
	r.old = slices.DeleteFunc(r.old, func(o oldPrefix) bool { return !o.until.After(now) })
	r.advanceChecks(now)
	r.advanceCommit(now)
	r.advanceRA(now)
}

// unregister ends the registration of e and forgets it.
func (r *Router) unregister(now time.Time, e *entry) {
	addr := e.addr
	r.log.LogAttrs(context.Background(), slog.LevelInfo, "node unregistered", slog.Any("addr", addr), slog.Any("lladdr", e.ll))
	r.unconfirm(addr)
	r.remove(now, e, DropUnreachable)
	r.ev.Unregistered(now, addr)
}

// Snapshot returns the neighbor table in the order of addresses.
func (r *Router) Snapshot() []Neighbor { return r.snapshot(r.now) }

// Stats returns a copy of the counters.
func (r *Router) Stats() Stats {
	r.stats.Evicted = r.evicted
	return r.stats
}

// Records returns all registrations, to be kept over a restart.
func (r *Router) Records() []Record {
	var list []Record
	for _, e := range entriesOf(&r.entries) {
		if e.state == stateRegistered {
			list = append(list, e.record())
		}
	}
	slices.SortFunc(list, func(a, b Record) int { return a.Addr.Compare(b.Addr) })
	return list
}

// Record returns the registration of addr.
func (r *Router) Record(addr netip.Addr) (Record, bool) {
	if e := r.lookup(addr); e != nil && e.state == stateRegistered {
		return e.record(), true
	}
	return Record{}, false
}

func (e *entry) record() Record {
	return Record{Addr: e.addr, LinkAddr: e.ll, ROVR: e.rovr, TID: e.tid, HasTID: e.hasTID, Expires: e.until}
}

// Restore takes back registrations of an earlier run. Those that have run out, or have no
// place in the table or on the link, are left out. Events are not called.
func (r *Router) Restore(now time.Time, recs []Record) {
	r.now = now
	for _, v := range recs {
		if !v.Expires.After(now) || v.ROVR.Len() == 0 || !isUnicast(v.Addr) || r.isOurs(v.Addr) || !r.onLink(v.Addr) ||
			r.registered >= r.limits.Registrations {
			continue
		}
		e := r.lookup(v.Addr)
		if e == nil {
			e = r.create(now, v.Addr, stateStale)
		} else if e.state == stateRegistered {
			continue
		}
		r.install(now, e, v)
	}
}

// install makes e the registration v.
func (r *Router) install(now time.Time, e *entry, v Record) {
	if e.state == stateRegistered {
		r.disown(e)
	}
	r.setLink(e, v.LinkAddr)
	r.setState(e, stateRegistered)
	e.rovr, e.tid, e.hasTID, e.until = v.ROVR, v.TID, v.HasTID, v.Expires
	r.owners[v.ROVR]++
	r.timers.Set(e, v.Expires)
	if n := e.node; n != nil {
		n.registers, n.onLink = true, false
		r.nodeTimers.Remove(n)
	}
	r.release(now, e)
}

// isOurs reports whether a is an address of this router.
func (r *Router) isOurs(a netip.Addr) bool {
	return a == r.cfg.LinkLocal || slices.Contains(r.cfg.Addrs, a)
}

// onLink reports whether a can be an address of a node of the link.
func (r *Router) onLink(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() || r.cfg.Prefix.Contains(a) {
		return true
	}
	for i := range r.old {
		if r.old[i].prefix.Contains(a) {
			return true
		}
	}
	return false
}

func sortNeighbors(list []Neighbor) {
	slices.SortFunc(list, func(a, b Neighbor) int { return a.Addr.Compare(b.Addr) })
}

package mld

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"time"

	"border-router/internal/timerq"
	"border-router/ipv6"
)

// A Querier is the router's side of MLD on one link (RFC 9777 sections 7 and 8.3): querier
// or, where another router has the lower address, non-querier, it keeps what the listeners
// of the link want, by group. It is a plain machine: not safe for concurrent use, without
// clock or socket.
type Querier struct {
	cfg    QuerierConfig
	out    ipv6.Sender
	ev     Events
	log    *slog.Logger
	now    time.Time
	buf    []byte
	src    []byte // sources of a query being built
	stats  Stats
	bucket ipv6.TokenBucket

	running    bool
	source     netip.Addr
	robustness int           // adopted, or our own
	interval   time.Duration // Query Interval adopted, or our own
	learnUntil time.Time     // until then there may be listeners that have not reported yet
	startup    int           // General Queries still to be sent at StartupQueryInterval
	nextQuery  time.Time     // General Query; zero: none
	other      netip.Addr    // the querier, where that is not us
	otherUntil time.Time     // Other-Querier-Present Timer
	warned     time.Time
	defended   time.Time // when a General Query last answered another router's

	groups map[[16]byte]*group
	timers timerq.Queue[*group]
	owners map[ipv6.LinkAddr]int // groups that each link-layer address brought in
	nLink  int                   // groups of link-local scope
}

// NewQuerier returns a Querier that sends through out and tells ev, which may be nil; it
// does nothing before [Querier.Start].
func NewQuerier(cfg QuerierConfig, out ipv6.Sender, ev Events) *Querier {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.MTU < ipv6.MinMTU {
		cfg.MTU = ipv6.MinMTU
	}
	if cfg.Robustness <= 0 {
		cfg.Robustness = defaultRobustness
	}
	cfg.Robustness = min(cfg.Robustness, 7)
	if cfg.QueryInterval == 0 {
		cfg.QueryInterval = defaultQueryInterval
	}
	def(&cfg.QueryResponseInterval, defaultResponseInterval)
	if cfg.QueryInterval > 0 {
		// "The number of seconds represented by the [Query Response Interval] must be less
		// than the [Query Interval]." (section 9.3)
		cfg.QueryInterval = min(max(cfg.QueryInterval, 2*time.Second), MaxQueryInterval)
		cfg.QueryResponseInterval = min(cfg.QueryResponseInterval, cfg.QueryInterval-time.Second)
		def(&cfg.StartupQueryInterval, cfg.QueryInterval/4)
	}
	def(&cfg.StartupQueryInterval, defaultQueryInterval/4)
	if cfg.StartupQueryCount == 0 {
		cfg.StartupQueryCount = cfg.Robustness
	}
	def(&cfg.LastListenerQueryInterval, defaultLastListenerQuery)
	cfg.LastListenerQueryInterval = max(cfg.LastListenerQueryInterval, 10*time.Millisecond)
	if cfg.Rate == 0 {
		cfg.Rate = 10
	}
	if cfg.Burst <= 0 {
		cfg.Burst = 20
	}
	q := &Querier{
		cfg: cfg, out: out, ev: ev, log: cfg.Logger, source: cfg.Source,
		groups: make(map[[16]byte]*group), owners: make(map[ipv6.LinkAddr]int),
		bucket: ipv6.TokenBucket{Rate: cfg.Rate, Burst: cfg.Burst},
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	q.ownTimers()
	return q
}

func def(p *time.Duration, v time.Duration) {
	if *p <= 0 {
		*p = v
	}
}

// ownTimers returns to the configured Robustness Variable and Query Interval.
func (q *Querier) ownTimers() {
	q.robustness, q.interval = q.cfg.Robustness, q.cfg.QueryInterval
}

// quiet reports whether no General Queries are sent.
func (q *Querier) quiet() bool { return q.cfg.QueryInterval < 0 }

// listeningInterval is the Multicast Address Listening Interval (section 9.4).
func (q *Querier) listeningInterval() time.Duration {
	switch {
	case q.cfg.ListeningInterval > 0:
		return q.cfg.ListeningInterval
	case q.interval < 0:
		return defaultQuietInterval
	}
	return time.Duration(q.robustness)*q.interval + 2*q.cfg.QueryResponseInterval
}

// otherQuerierInterval is the Other Querier Present Interval (section 9.5).
func (q *Querier) otherQuerierInterval() time.Duration {
	d := q.interval
	if d < 0 {
		d = defaultQueryInterval
	}
	return time.Duration(q.robustness)*d + q.cfg.QueryResponseInterval/2
}

// olderHostInterval is the Older Version Host Present Interval (section 9.13).
func (q *Querier) olderHostInterval() time.Duration {
	if q.interval < 0 {
		return q.listeningInterval()
	}
	return time.Duration(q.robustness)*q.interval + q.cfg.QueryResponseInterval
}

// lastListenerCount is the Last Listener Query Count (section 9.9).
func (q *Querier) lastListenerCount() int {
	if q.cfg.LastListenerQueryCount > 0 {
		return q.cfg.LastListenerQueryCount
	}
	return q.robustness
}

// lastListenerTime is the Last Listener Query Time (section 9.10).
func (q *Querier) lastListenerTime() time.Duration {
	return q.cfg.LastListenerQueryInterval * time.Duration(q.lastListenerCount())
}

// Start begins to query and to listen to reports.
func (q *Querier) Start(now time.Time) {
	if q.running {
		return
	}
	q.now, q.running = now, true
	if q.listens() {
		// Section 7: MUST perform the listener part for this group.
		_ = q.cfg.Listener.Join(now, ipv6.AllMLDv2Routers)
	}
	q.startQuerying(now)
	q.advance(now)
}

// listens reports whether our listener tells of the group of MLDv2 routers.
func (q *Querier) listens() bool { return q.cfg.Listener != nil && !q.cfg.Version1 }

// startQuerying begins as the querier: "When a router starts operating on a subnet, by
// default it considers itself as being the Querier" (section 7.6.2).
func (q *Querier) startQuerying(now time.Time) {
	q.other, q.otherUntil = netip.Addr{}, time.Time{}
	q.ownTimers()
	q.nextQuery, q.startup = time.Time{}, 0
	q.startup = max(q.cfg.StartupQueryCount, 0)
	q.learnUntil = now.Add(q.cfg.QueryResponseInterval + time.Duration(max(q.startup-1, 0))*q.cfg.StartupQueryInterval)
	if q.startup == 0 && q.quiet() {
		q.learnUntil = now.Add(q.listeningInterval())
		return
	}
	q.nextQuery = now
}

// Stop ends it and forgets what was learnt; what was added by [Querier.AddStatic] stays.
func (q *Querier) Stop(now time.Time) {
	if !q.running {
		return
	}
	q.now, q.running = now, false
	if q.listens() {
		q.cfg.Listener.Leave(now, ipv6.AllMLDv2Routers)
	}
	q.nextQuery, q.otherUntil, q.learnUntil, q.other = time.Time{}, time.Time{}, time.Time{}, netip.Addr{}
	for _, g := range q.sorted() {
		before := !g.isListened()
		for k := range g.sources {
			delete(g.sources, k)
		}
		g.changed = !before && len(g.static) == 0
		g.mode, g.filter, g.v1Until, g.heard, g.moreUntil = Include, time.Time{}, time.Time{}, nil, time.Time{}
		g.queries, g.pending = 0, 0
		q.settle(now, g)
	}
}

// SetSource tells our link-local address on the link, which queries come from; the zero Addr
// while there is none.
func (q *Querier) SetSource(now time.Time, a netip.Addr) {
	if a == q.source {
		return
	}
	q.now, q.source = now, a
	if q.running && q.other == (netip.Addr{}) {
		q.startQuerying(now)
		q.advance(now)
	}
}

// IsQuerier reports whether we are the querier of the link. Of several routers on a link,
// RFC 4605 section 4.2 has only the querier forward to it.
func (q *Querier) IsQuerier() bool {
	return q.running && q.source.IsValid() && !q.other.IsValid()
}

// HandlePacket takes an MLD message that arrived on the link; its checksum has been
// verified ([ipv6.CheckTransport]). It returns nil when the message was consumed, else the
// [Drop] that says why not. A report of which some records were taken is consumed; the
// others are counted in [Stats].Ignored.
func (q *Querier) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	q.now = now
	err := q.handle(now, p, m)
	if d, ok := err.(Drop); ok && int(d) < NumDrops {
		q.stats.Dropped[d]++
	}
	return err
}

func (q *Querier) handle(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	b, err := Check(p)
	if b != nil {
		q.stats.Received.add(b[0])
		if q.cfg.NoRouterAlert && err == DropRouterAlert && b[0] != ipv6.ICMPMLDQuery {
			err = nil
		}
	}
	if err != nil {
		if err == DropSource {
			q.warn(now, "MLD message whose source is not link-local", p.Src())
		}
		return err
	}
	if !q.running {
		return DropStopped
	}
	src := p.Src()
	if src == q.source && src.IsValid() {
		return DropOwn
	}
	q.advance(now)
	if b[0] == ipv6.ICMPMLDQuery {
		return q.handleQuery(now, b, src)
	}
	if src.IsUnspecified() && !q.cfg.AnySource {
		// "A Report sent with the unspecified address is also discarded by the router"
		// (section 5.2.14).
		return DropSource
	}
	if b[0] == ipv6.ICMPMLDv2Report {
		return q.handleReport(now, b, m.LinkSrc)
	}
	return q.handleV1(now, b, m.LinkSrc)
}

// handleQuery is section 7.6: what another router asks.
func (q *Querier) handleQuery(now time.Time, b []byte, src netip.Addr) error {
	v, err := ParseQuery(b)
	if err != nil {
		return err
	}
	if v.Version == 1 && !q.cfg.Version1 {
		q.warn(now, "MLDv1 querier on the link", src)
	} else if v.Version == 2 && q.cfg.Version1 {
		q.warn(now, "MLDv2 querier on a link configured for MLDv1", src)
	}
	if !q.source.IsValid() || lowerIID(src, q.source) {
		q.yield(now, v, src)
	} else if q.quiet() && q.IsQuerier() && (q.defended.IsZero() || now.Sub(q.defended) >= defendInterval) {
		// Without General Queries the other one would not hear that it is not the querier.
		q.defended, q.nextQuery = now, now
		q.advance(now)
	}
	if !v.General() && !v.Suppress {
		q.lower(now, v)
	}
	return nil
}

// lowerIID is the order of the querier election: by the last 64 bits (section 7.6.2).
func lowerIID(a, b netip.Addr) bool {
	x, y := a.As16(), b.As16()
	return binary.BigEndian.Uint64(x[8:]) < binary.BigEndian.Uint64(y[8:])
}

// yield makes src the querier and adopts its Robustness Variable and Query Interval. Those
// of a router that is going to yield to us are not adopted, else a value configured here
// would be lost to whoever comes and goes.
func (q *Querier) yield(now time.Time, v Query, src netip.Addr) {
	q.ownTimers()
	if v.QRV != 0 {
		q.robustness = int(v.QRV)
	}
	if v.QQI != 0 {
		q.interval = v.QQI
	} else if q.interval < 0 {
		q.interval = defaultQueryInterval
	}
	if !q.other.IsValid() {
		q.log.LogAttrs(context.Background(), slog.LevelInfo, "MLD querier is another router", slog.String("link", q.cfg.Name), slog.Any("addr", src))
		for _, g := range q.sorted() {
			g.queries, g.pending, g.queryAt = 0, 0, time.Time{}
			for _, s := range g.sources {
				s.left = 0
			}
			q.schedule(g)
		}
	}
	q.other, q.otherUntil = src, now.Add(q.otherQuerierInterval())
	if q.learnUntil.After(now) {
		q.learnUntil = now.Add(q.interval + q.cfg.QueryResponseInterval)
	}
	q.nextQuery, q.startup = time.Time{}, 0
}

// lower is the timer update of section 7.6.1 for a specific query without S flag that
// another router sent. What it calls the Last Listener Query Time follows from that query.
func (q *Querier) lower(now time.Time, v Query) {
	g := q.groups[v.Group.As16()]
	if g == nil {
		return
	}
	until := now.Add(max(v.MaxResponse, minResponse) * time.Duration(q.lastListenerCount()))
	if v.Sources.Len() == 0 {
		if g.mode == Exclude && g.filter.After(until) {
			g.filter = until
		}
	} else {
		for i := range v.Sources.Len() {
			if s := g.sources[v.Sources.key(i)]; s != nil && s.until.After(until) {
				s.until = until
			}
		}
	}
	q.schedule(g)
}

// Deadline returns the time of the next [Querier.Advance]; zero: nothing is scheduled.
func (q *Querier) Deadline() time.Time {
	d := earlier(earlier(q.timers.Next(), q.otherUntil), q.learnUntil)
	if q.source.IsValid() {
		d = earlier(d, q.nextQuery)
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
func (q *Querier) Advance(now time.Time) {
	q.now = now
	q.advance(now)
}

func (q *Querier) advance(now time.Time) {
	if !q.learnUntil.IsZero() && !q.learnUntil.After(now) {
		q.learnUntil = time.Time{}
	}
	if !q.otherUntil.IsZero() && !q.otherUntil.After(now) {
		q.log.LogAttrs(context.Background(), slog.LevelInfo, "MLD querier has gone", slog.String("link", q.cfg.Name), slog.Any("addr", q.other))
		q.other, q.otherUntil = netip.Addr{}, time.Time{}
		q.ownTimers()
		q.nextQuery, q.startup = now, 0
	}
	for !q.nextQuery.IsZero() && !q.nextQuery.After(now) && q.source.IsValid() {
		q.generalQuery(now)
	}
	for g, ok := q.timers.Pop(now); ok; g, ok = q.timers.Pop(now) {
		q.expire(now, g)
	}
}

// warn logs at most one warning in ten minutes: RFC 9777 section 8.3.1 wants them limited.
func (q *Querier) warn(now time.Time, msg string, src netip.Addr) {
	if !q.warned.IsZero() && now.Sub(q.warned) < warnInterval {
		return
	}
	q.warned = now
	q.log.LogAttrs(context.Background(), slog.LevelWarn, msg, slog.String("link", q.cfg.Name), slog.Any("addr", src))
}

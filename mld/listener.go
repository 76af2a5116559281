package mld

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

// A Listener is the host's side of MLD on one link, for the groups that we ourselves listen
// to (RFC 9777 sections 4, 6 and 8.2, RFC 2710). It is a plain machine: not safe for
// concurrent use, without clock or socket.
type Listener struct {
	cfg   ListenerConfig
	out   ipv6.Sender
	log   *slog.Logger
	rand  *rand.Rand
	now   time.Time
	buf   []byte
	src   []byte // sources of a record being built
	stats Stats

	source     netip.Addr
	robustness int
	interval   time.Duration // Query Interval of the last MLDv2 query
	v1Until    time.Time     // Older-Version-Querier-Present Timer; zero: MLDv2
	warned     time.Time

	groups map[[16]byte]*membership
	order  []*membership // as they were joined
	timers timerq.Queue[*membership]
	active int // groups that are listened to, those being left not counted

	// The answer to a General Query, spread over several reports.
	generalAt    time.Time // the next report; zero: none
	generalUntil time.Time // the last one is due
	cursor, left int       // in order: the next group, and how many

	batch   bool
	changed []*membership // in a batch
	report  []byte        // ICMPv6 message being built, behind its IPv6 header
	records int
}

// A membership is what we listen to of a group.
type membership struct {
	addr   netip.Addr
	key    [16]byte
	joins  int    // Join without Leave
	own    Filter // of SetFilter
	state  Filter // both merged: what is reported
	queued bool   // in changed

	// State change under way (section 6.1).
	modeLeft int             // Filter Mode Retransmission Counter
	retrans  []retransmitted // Retransmission List
	changeAt time.Time       // Retransmission Timer

	// Answer to a specific query (section 6.2), or in MLDv1 to any.
	respondAt time.Time
	asked     []netip.Addr // sources asked for; empty: all

	// MLDv1 (RFC 2710 section 5).
	lastReporter bool
	repeats      int // initial reports still to be sent
}

type retransmitted struct {
	addr netip.Addr
	left int
}

// NewListener returns a Listener that sends through out.
func NewListener(cfg ListenerConfig, out ipv6.Sender) *Listener {
	if cfg.MTU < ipv6.MinMTU {
		cfg.MTU = ipv6.MinMTU
	}
	if cfg.Robustness <= 0 {
		cfg.Robustness = defaultRobustness
	}
	cfg.Robustness = min(cfg.Robustness, 7)
	def(&cfg.QueryInterval, defaultQueryInterval)
	def(&cfg.QueryResponseInterval, defaultResponseInterval)
	def(&cfg.UnsolicitedReportInterval, defaultUnsolicitedInterval)
	cfg.Limits = cfg.Limits.withDefaults()
	l := &Listener{
		cfg: cfg, out: out, log: cfg.Logger, rand: cfg.Rand, source: cfg.Source,
		robustness: cfg.Robustness, interval: cfg.QueryInterval, groups: make(map[[16]byte]*membership),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.rand == nil {
		var seed uint64
		if cfg.Source.IsValid() {
			for _, b := range cfg.Source.As16() {
				seed = seed<<8 ^ seed>>56 ^ uint64(b)
			}
		}
		l.rand = rand.New(rand.NewPCG(seed, 143))
	}
	return l
}

// Join listens to group, from all sources. Joins are counted: each wants a
// [Listener.Leave]. MLD is silent about the link-scope all-nodes group and about groups of
// interface scope (RFC 9777 section 6), for which Join does nothing. The error is a [Drop]:
// [DropGroup] where group is none, [DropSSM], [DropTableFull].
func (l *Listener) Join(now time.Time, group netip.Addr) error {
	if !l.cfg.OrdinarySSM && group.Is6() && IsSSM(group) {
		return l.refuse(DropSSM)
	}
	m, err := l.find(group)
	if m == nil {
		return err
	}
	m.joins++
	l.update(now, m)
	return nil
}

// Leave undoes one [Listener.Join].
func (l *Listener) Leave(now time.Time, group netip.Addr) {
	if m := l.groups[group.As16()]; m != nil && m.joins > 0 {
		m.joins--
		l.update(now, m)
	}
}

// SetFilter says what is wanted of group beside what Join says, in place of what an earlier
// SetFilter said; what is listened to is both merged. INCLUDE mode without sources ends it.
// sources is copied. The error is a [Drop] and nothing has changed: those of Join, and
// [DropSourceLimit].
func (l *Listener) SetFilter(now time.Time, group netip.Addr, mode Mode, sources []netip.Addr) error {
	f := Filter{mode, normalize(sources)}
	if f.IsZero() {
		if m := l.groups[group.As16()]; m != nil {
			m.own = f
			l.update(now, m)
		}
		return nil
	}
	if mode == Exclude && !l.cfg.OrdinarySSM && group.Is6() && IsSSM(group) {
		return l.refuse(DropSSM)
	}
	if len(f.Sources) > l.cfg.Limits.Sources {
		return l.refuse(DropSourceLimit)
	}
	m, err := l.find(group)
	if m == nil {
		return err
	}
	m.own = f
	l.update(now, m)
	return nil
}

func (l *Listener) refuse(d Drop) error {
	l.stats.Ignored[d]++
	return d
}

// Batch calls f and reports all changes that it makes together, in as few packets as they
// fit in.
func (l *Listener) Batch(now time.Time, f func()) {
	if l.batch {
		f()
		return
	}
	l.batch = true
	f()
	l.batch = false
	l.transmitChanges(now)
}

// find returns the membership of group, or a new one; nil without an error where MLD does
// not speak about group.
func (l *Listener) find(group netip.Addr) (*membership, error) {
	if !group.Is6() || !group.IsMulticast() {
		return nil, l.refuse(DropGroup)
	}
	k := group.As16()
	if !isGroup(k) {
		return nil, nil
	}
	m := l.groups[k]
	if (m == nil || m.state.IsZero()) && l.active >= l.cfg.Limits.Groups {
		return nil, l.refuse(DropTableFull)
	}
	if m == nil {
		m = &membership{addr: netip.AddrFrom16(k), key: k}
		l.groups[k] = m
		l.order = append(l.order, m)
		l.stats.GroupsAdded++
	}
	return m, nil
}

// forget takes m out of the table.
func (l *Listener) forget(m *membership) {
	if l.groups[m.key] != m {
		return // by a Sender that called back
	}
	delete(l.groups, m.key)
	l.timers.Remove(m)
	i := slices.Index(l.order, m)
	l.order = slices.Delete(l.order, i, i+1)
	if i < l.cursor {
		l.cursor--
	}
	l.left = min(l.left, len(l.order))
	l.stats.GroupsRemoved++
}

// update brings the state of m up to date and reports what has changed (section 6.1).
func (l *Listener) update(now time.Time, m *membership) {
	l.now = now
	state := m.own
	if m.joins > 0 {
		state = Filter{Mode: Exclude} // merged with anything it stays that
	}
	old := m.state
	if state.Equal(old) {
		if state.IsZero() && m.idle() {
			l.forget(m)
		}
		return
	}
	m.state = state
	if old.IsZero() {
		l.active++
	} else if state.IsZero() {
		l.active--
	}
	if !l.v1Until.IsZero() {
		l.updateV1(now, m, old)
		return
	}
	if old.Mode != state.Mode {
		m.modeLeft = l.robustness
	} else {
		for _, a := range difference(state.Sources, old.Sources) {
			m.retransmit(a, l.robustness)
		}
		for _, a := range difference(old.Sources, state.Sources) {
			m.retransmit(a, l.robustness)
		}
	}
	l.enlist(m)
	if !l.batch {
		l.transmitChanges(now)
	}
}

// enlist has the next report tell of m.
func (l *Listener) enlist(m *membership) {
	if !m.queued {
		m.queued = true
		l.changed = append(l.changed, m)
	}
}

func (m *membership) retransmit(a netip.Addr, n int) {
	for i := range m.retrans {
		if m.retrans[i].addr == a {
			m.retrans[i].left = n
			return
		}
	}
	m.retrans = append(m.retrans, retransmitted{a, n})
}

// idle reports whether nothing is to be sent for m.
func (m *membership) idle() bool {
	return m.modeLeft == 0 && len(m.retrans) == 0 && !m.queued && m.repeats == 0
}

// transmitChanges sends the state-change report of what has changed, at once, and has it
// repeated: "[Robustness Variable] - 1 retransmissions are scheduled, through a
// Retransmission Timer, at intervals chosen at random from the range (0, [Unsolicited
// Report Interval])".
func (l *Listener) transmitChanges(now time.Time) {
	if len(l.changed) == 0 {
		return
	}
	l.now = now
	list := l.changed
	l.changed = nil
	again := now.Add(l.jitter(minRetransmission, l.cfg.UnsolicitedReportInterval))
	for _, m := range list {
		m.queued = false
		l.addChange(m)
		l.afterChange(m, again)
	}
	l.flush(now)
}

// afterChange sets the time of the next retransmission, or ends it.
func (l *Listener) afterChange(m *membership, again time.Time) {
	m.changeAt = again
	if m.modeLeft == 0 && len(m.retrans) == 0 {
		m.changeAt = time.Time{}
	}
	if m.state.IsZero() && (m.changeAt.IsZero() || len(l.groups) > 2*l.cfg.Limits.Groups) {
		l.forget(m)
		return
	}
	l.schedule(m)
}

func (l *Listener) schedule(m *membership) {
	if l.groups[m.key] == m {
		l.timers.Set(m, earlier(m.changeAt, m.respondAt))
	}
}

// jitter returns a time at random from the range (low, high].
func (l *Listener) jitter(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(l.rand.Int64N(int64(high-low))) + 1
}

// SetSource tells our link-local address on the link; the zero Addr while it is tentative.
// Reports are sent from "::" until then, and routers discard these, so that all groups are
// reported anew (RFC 9777 section 5.2.14).
func (l *Listener) SetSource(now time.Time, a netip.Addr) {
	if a == l.source {
		return
	}
	l.source = a
	if a.IsValid() {
		l.Announce(now)
	}
}

// Announce reports all groups as if they had just been joined: the link was down, or it is
// another link now.
func (l *Listener) Announce(now time.Time) {
	l.now = now
	if !l.v1Until.IsZero() {
		for _, m := range slices.Clone(l.order) {
			if !m.state.IsZero() {
				l.announceV1(now, m)
			}
		}
		return
	}
	for _, m := range l.order {
		switch {
		case m.state.Mode == Exclude:
			m.modeLeft = l.robustness
		case len(m.state.Sources) == 0:
			continue
		default:
			for _, a := range m.state.Sources {
				m.retransmit(a, l.robustness)
			}
		}
		l.enlist(m)
	}
	if !l.batch {
		l.transmitChanges(now)
	}
}

// Deadline returns the time of the next [Listener.Advance]; zero: nothing is scheduled.
func (l *Listener) Deadline() time.Time {
	return earlier(earlier(l.timers.Next(), l.generalAt), l.v1Until)
}

// Advance does everything that is due at or before now.
func (l *Listener) Advance(now time.Time) {
	l.now = now
	if !l.v1Until.IsZero() && !l.v1Until.After(now) {
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "MLDv1 querier has gone", slog.String("link", l.cfg.Name))
		l.v1Until = time.Time{}
		l.cancel()
	}
	for !l.generalAt.IsZero() && !l.generalAt.After(now) {
		l.answerGeneral(now)
	}
	again := now.Add(l.jitter(minRetransmission, l.cfg.UnsolicitedReportInterval))
	for m, ok := l.timers.Pop(now); ok; m, ok = l.timers.Pop(now) {
		if !l.v1Until.IsZero() {
			l.advanceV1(now, m)
			continue
		}
		if !m.respondAt.IsZero() && !m.respondAt.After(now) {
			l.addResponse(m)
		}
		if !m.changeAt.IsZero() && !m.changeAt.After(now) {
			l.addChange(m)
			l.afterChange(m, again)
			continue
		}
		l.schedule(m)
	}
	l.flush(now)
}

// cancel drops all pending responses and retransmissions: "Whenever a host changes its
// compatibility mode, it cancels all its pending responses and retransmission timers"
// (section 8.2.1).
func (l *Listener) cancel() {
	l.generalAt, l.left = time.Time{}, 0
	for _, m := range slices.Clone(l.order) {
		m.modeLeft, m.retrans, m.changeAt = 0, nil, time.Time{}
		m.respondAt, m.asked, m.repeats = time.Time{}, nil, 0
		l.timers.Remove(m)
		if m.state.IsZero() && !m.queued {
			l.forget(m)
		}
	}
}

// Stats returns a copy of the counters.
func (l *Listener) Stats() Stats { return l.stats }

// A ListenerStatus is what [Listener.Snapshot] reports.
type ListenerStatus struct {
	Version    int       // 1 while an MLDv1 querier is present, else 2
	Until      time.Time // end of version 1
	Robustness int
	Groups     []MembershipStatus // sorted
}

// A MembershipStatus is a group that we listen to.
type MembershipStatus struct {
	Group  netip.Addr
	Filter Filter
	Joins  int
}

// Snapshot returns the state of the machine.
func (l *Listener) Snapshot() ListenerStatus {
	s := ListenerStatus{Version: 2, Until: l.v1Until, Robustness: l.robustness}
	if !l.v1Until.IsZero() {
		s.Version = 1
	}
	for _, m := range l.order {
		if !m.state.IsZero() {
			s.Groups = append(s.Groups, MembershipStatus{m.addr, Filter{m.state.Mode, slices.Clone(m.state.Sources)}, m.joins})
		}
	}
	slices.SortFunc(s.Groups, func(a, b MembershipStatus) int { return a.Group.Compare(b.Group) })
	return s
}

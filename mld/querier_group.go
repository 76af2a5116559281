package mld

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// A group is a Multicast Address Record of a router (RFC 9777 section 7.2).
type group struct {
	addr    netip.Addr
	key     [16]byte
	mode    Mode
	filter  time.Time // Filter Timer, in EXCLUDE mode
	sources map[[16]byte]*source
	v1Until time.Time // Older-Version-Host-Present Timer

	// Specific queries under way (section 7.6.3).
	queries int       // group-specific ones still to be sent
	pending int       // sources whose left is not zero
	queryAt time.Time // the next
	asked   bool      // without General Queries: asked before it is forgotten

	// Explicit tracking (RFC 3810 appendix A.2).
	heard     []tracked
	moreUntil time.Time // until then there are, or may be, listeners that are not in heard
	static    []ipv6.LinkAddr

	creator ipv6.LinkAddr
	owned   bool // counted for creator
	changed bool // filter is another one than Events was last told of
	dead    bool
}

// A source is a source record. Its timer is zero for a member of the Exclude List.
type source struct {
	until time.Time // Source Timer
	left  int       // Source Retransmission Counter
	asked bool
}

// A tracked is a listener that was heard.
type tracked struct {
	ll    ipv6.LinkAddr
	until time.Time
}

// isListened reports whether anybody on the link listens, static members apart.
func (g *group) isListened() bool { return g.mode == Exclude || len(g.sources) > 0 }

// inFilter reports whether s is one of the sources of the filter: Include List or Exclude
// List.
func (g *group) inFilter(s *source) bool { return g.mode == Include || s.until.IsZero() }

// find returns the group of k, or one that is being added for the listener ll.
func (q *Querier) find(k [16]byte, ll ipv6.LinkAddr) (*group, error) {
	if g := q.groups[k]; g != nil {
		return g, nil
	}
	link := k[1]&0xf == uint8(ipv6.ScopeLink)
	n, limit := len(q.groups)-q.nLink, q.cfg.Limits.Groups
	if link {
		n, limit = q.nLink, q.cfg.Limits.LinkLocalGroups
	}
	if n >= limit {
		return nil, DropTableFull
	}
	if !ll.IsZero() && q.owners[ll] >= q.cfg.Limits.PerListener {
		return nil, DropShare
	}
	g := &group{addr: netip.AddrFrom16(k), key: k}
	if !ll.IsZero() {
		g.creator, g.owned = ll, true
		q.owners[ll]++
	}
	if link {
		q.nLink++
	}
	q.groups[k] = g
	q.stats.GroupsAdded++
	return g, nil
}

// remove takes g, which nobody listens to, out of the table.
func (q *Querier) remove(g *group) {
	g.dead = true
	delete(q.groups, g.key)
	q.timers.Remove(g)
	if g.key[1]&0xf == uint8(ipv6.ScopeLink) {
		q.nLink--
	}
	if g.owned {
		if q.owners[g.creator]--; q.owners[g.creator] <= 0 {
			delete(q.owners, g.creator)
		}
	}
	q.stats.GroupsRemoved++
}

// add adds a source record, or returns nil where there is no room.
func (q *Querier) addSource(g *group, k [16]byte, until time.Time) *source {
	if len(g.sources) >= q.cfg.Limits.Sources {
		return nil
	}
	if g.sources == nil {
		g.sources = make(map[[16]byte]*source)
	}
	s := &source{until: until}
	g.sources[k] = s
	if g.inFilter(s) {
		g.changed = true
	}
	return s
}

// setTimer sets the Source Timer of s, which may bring it out of the Exclude List.
func (g *group) setTimer(s *source, until time.Time) {
	if g.mode == Exclude && s.until.IsZero() {
		g.changed = true
	}
	s.until, s.asked = until, false
}

// delSource deletes a source record.
func (g *group) delSource(k [16]byte, s *source) {
	if g.inFilter(s) {
		g.changed = true
	}
	if s.left > 0 {
		g.pending--
	}
	delete(g.sources, k)
}

// settle ends a change of g: it is removed where it has become empty, its timer is set, and
// the owner is told.
func (q *Querier) settle(now time.Time, g *group) {
	if g.dead {
		return // by an owner that called back
	}
	if !g.isListened() && len(g.static) == 0 {
		q.remove(g)
	} else {
		q.schedule(g)
	}
	if g.changed && len(g.static) > 0 {
		g.changed = false // a static member wants everything, as before
	}
	if g.changed {
		g.changed = false
		if q.ev != nil {
			q.ev.GroupChanged(now, g.addr)
		}
	}
}

// schedule sets the timer of g to whatever is due first.
func (q *Querier) schedule(g *group) {
	if g.dead {
		return
	}
	var at time.Time
	if g.mode == Exclude {
		at = g.filter
	}
	for _, s := range g.sources {
		at = earlier(at, s.until)
	}
	at = earlier(earlier(at, g.v1Until), g.moreUntil)
	for i := range g.heard {
		at = earlier(at, g.heard[i].until)
	}
	if g.queries > 0 || g.pending > 0 {
		at = earlier(at, g.queryAt)
	}
	q.timers.Set(g, at)
}

// expire does what is due for g (sections 7.2.2, 7.2.3 and 7.5).
func (q *Querier) expire(now time.Time, g *group) {
	if !g.v1Until.IsZero() && !g.v1Until.After(now) {
		g.v1Until = time.Time{}
	}
	if !g.moreUntil.IsZero() && !g.moreUntil.After(now) {
		g.moreUntil = time.Time{}
	}
	g.heard = slices.DeleteFunc(g.heard, func(t tracked) bool { return !t.until.After(now) })
	if (g.queries > 0 || g.pending > 0) && !g.queryAt.After(now) {
		q.sendSpecific(now, g)
	}
	if q.quiet() && q.IsQuerier() {
		q.askBeforeEnd(now, g)
	}
	for k, s := range g.sources {
		if s.until.IsZero() || s.until.After(now) {
			continue
		}
		if g.mode == Include {
			g.delSource(k, s)
			continue
		}
		// "the source is moved to the Exclude List"
		s.until, g.changed = time.Time{}, true
		if s.left > 0 {
			s.left = 0
			g.pending--
		}
	}
	if g.mode == Exclude && !g.filter.After(now) {
		q.toInclude(g)
	}
	q.settle(now, g)
}

// toInclude is the switch to INCLUDE mode of section 7.5: the Requested List becomes the
// Include List, the Exclude List is deleted.
func (q *Querier) toInclude(g *group) {
	for k, s := range g.sources {
		if s.until.IsZero() {
			g.delSource(k, s)
		}
	}
	g.mode, g.filter, g.queries, g.changed = Include, time.Time{}, 0, true
	g.asked = false
}

// Wants reports whether a packet to group from src is wanted on the link (section 7.3). It
// allocates nothing and takes the same time whatever the number of groups.
func (q *Querier) Wants(now time.Time, group, src netip.Addr) bool {
	g := q.groups[group.As16()]
	if g == nil {
		return false
	}
	if len(g.static) > 0 {
		return true
	}
	exclude := g.mode == Exclude && g.filter.After(now)
	if len(g.sources) == 0 {
		return exclude
	}
	s := g.sources[src.As16()]
	if s == nil {
		return exclude
	}
	return s.until.After(now)
}

// Filter returns what the link listens to of group: INCLUDE mode without sources where
// nobody does. The sources are sorted; the slice is the caller's.
func (q *Querier) Filter(group netip.Addr) (Mode, []netip.Addr) {
	g := q.groups[group.As16()]
	switch {
	case g == nil:
		return Include, nil
	case len(g.static) > 0:
		return Exclude, nil
	}
	var list []netip.Addr
	for k, s := range g.sources {
		if g.inFilter(s) {
			list = append(list, netip.AddrFrom16(k))
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return g.mode, list
}

// Groups appends the groups that have listeners to dst, sorted.
func (q *Querier) Groups(dst []netip.Addr) []netip.Addr {
	n := len(dst)
	for _, g := range q.groups {
		dst = append(dst, g.addr)
	}
	slices.SortFunc(dst[n:], netip.Addr.Compare)
	return dst
}

// sorted returns all groups in the order of their addresses.
func (q *Querier) sorted() []*group {
	list := make([]*group, 0, len(q.groups))
	for _, g := range q.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int { return a.addr.Compare(b.addr) })
	return list
}

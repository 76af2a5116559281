package mld

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// track keeps who listens to g (RFC 3810 appendix A.2), from a record that came from ll. end
// says that this was the last listener, which is only known where all of them were tracked.
func (q *Querier) track(now time.Time, g *group, ll ipv6.LinkAddr, typ RecordType, src SourceList) (end bool) {
	until := now.Add(q.listeningInterval())
	if q.interval < 0 {
		until = now.Add(unasked) // askBeforeEnd ends it
	}
	i := slices.IndexFunc(g.heard, func(t tracked) bool { return t.ll == ll })
	if typ == ToInclude && src.Len() == 0 {
		if i < 0 {
			return false // one that was not tracked
		}
		g.heard = slices.Delete(g.heard, i, i+1)
		return q.cfg.FastLeave && len(g.static) == 0 && q.complete(now, g) && !slices.ContainsFunc(g.heard, func(t tracked) bool { return t.until.After(now) })
	}
	switch {
	case typ == Block:
		return false // says what is not wanted; what still is, is in other records
	case i >= 0:
		g.heard[i].until = until
		return false
	case ll.IsZero():
		g.moreUntil = until
		return false
	}
	if len(g.heard) >= q.cfg.Limits.Listeners {
		if j := slices.IndexFunc(g.heard, func(t tracked) bool { return !t.until.After(now) }); j >= 0 {
			g.heard[j] = tracked{ll, until}
		} else {
			g.moreUntil = until
		}
		return false
	}
	g.heard = append(g.heard, tracked{ll, until})
	return false
}

// complete reports whether all listeners of g are tracked. Those of MLDv1 keep silent where
// they hear another (RFC 2710 section 4), so they never are for sure; nor are they before those who were there
// first have had time to report.
func (q *Querier) complete(now time.Time, g *group) bool {
	return !g.moreUntil.After(now) && !g.v1Until.After(now) && !q.learnUntil.After(now)
}

// unasked is how long a listener stays tracked that nobody asks whether it still listens.
const unasked = 100 * 365 * 24 * time.Hour

// Listeners appends the link-layer addresses of the listeners of group to dst[:0] and
// reports whether these are all: complete is false where there are more than are tracked
// ([Limits].Listeners), where some came without a link-layer address, or speak MLDv1 and so
// may have kept silent. Nor is it right after the
// start, before those who listen have had time to report. An empty list that is complete says
// that nobody listens.
func (q *Querier) Listeners(group netip.Addr, dst []ipv6.LinkAddr) (list []ipv6.LinkAddr, complete bool) {
	list = dst[:0]
	g := q.groups[group.As16()]
	if g == nil {
		return list, !q.learnUntil.After(q.now)
	}
	complete = q.complete(q.now, g)
	for _, ll := range g.static {
		if ll.IsZero() {
			complete = false
			continue
		}
		list = append(list, ll)
	}
	for i := range g.heard {
		if t := &g.heard[i]; t.until.After(q.now) && !slices.Contains(g.static, t.ll) {
			list = append(list, t.ll)
		}
	}
	if len(list) == 0 && g.isListened() {
		complete = false // the state outlives what is tracked
	}
	return list, complete
}

// AddStatic makes the node at ll a member of group that never reports: many 6LoWPAN nodes do
// not speak MLD. It wants packets from all sources, until [Querier.RemoveStatic]. The zero
// ll stands for members whose addresses are not known. Static members count for
// [Limits].Groups. The error is [DropGroup] or [DropTableFull].
func (q *Querier) AddStatic(now time.Time, group netip.Addr, ll ipv6.LinkAddr) error {
	q.now = now
	k := group.As16()
	if !group.Is6() || !isGroup(k) {
		return DropGroup
	}
	g, err := q.find(k, ipv6.LinkAddr{})
	if err != nil {
		return err
	}
	if slices.Contains(g.static, ll) {
		return nil
	}
	changed := len(g.static) == 0 && !q.wantsAll(g)
	g.static = append(g.static, ll)
	q.schedule(g)
	if changed && q.ev != nil {
		q.ev.GroupChanged(now, g.addr)
	}
	return nil
}

// wantsAll reports whether the filter of g without its static members is EXCLUDE({}).
func (q *Querier) wantsAll(g *group) bool {
	if g.mode == Include {
		return false
	}
	for _, s := range g.sources {
		if s.until.IsZero() {
			return false
		}
	}
	return true
}

// RemoveStatic undoes [Querier.AddStatic].
func (q *Querier) RemoveStatic(now time.Time, group netip.Addr, ll ipv6.LinkAddr) {
	q.now = now
	g := q.groups[group.As16()]
	if g == nil {
		return
	}
	i := slices.Index(g.static, ll)
	if i < 0 {
		return
	}
	g.static = slices.Delete(g.static, i, i+1)
	if len(g.static) == 0 {
		g.changed = !q.wantsAll(g)
		q.settle(now, g)
	}
}

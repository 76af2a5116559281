package mld

import (
	"slices"
	"time"

	"border-router/ipv6"
)

// generalQuery sends a General Query and sets the time of the next (RFC 9777 sections 7.1
// and 7.6.2).
func (q *Querier) generalQuery(now time.Time) {
	v := q.newQuery()
	v.Group, v.MaxResponse = unspecified, q.cfg.QueryResponseInterval
	q.send(now, v)
	if q.startup > 0 {
		q.startup--
	}
	switch {
	case q.startup > 0:
		q.nextQuery = now.Add(q.cfg.StartupQueryInterval)
	case q.quiet():
		q.nextQuery = time.Time{}
	default:
		q.nextQuery = now.Add(q.interval)
	}
}

// newQuery returns a query with what is the same in all of ours.
func (q *Querier) newQuery() Query {
	if q.cfg.Version1 {
		return Query{Version: 1}
	}
	return Query{Version: 2, QRV: uint8(q.robustness), QQI: max(q.interval, 0)}
}

// send sends v, to all nodes or to the group that it asks about (section 5.1.15).
func (q *Querier) send(now time.Time, v Query) {
	dst := v.Group
	if v.General() {
		dst = ipv6.AllNodes
	}
	b, err := v.AppendBinary(begin(q.buf[:0]))
	if err != nil {
		return
	}
	p := finish(b, q.source, dst)
	q.stats.Sent.Queries++
	q.buf = nil // a Sender that calls back must not find it in use
	q.out.SendPacket(now, p, ipv6.LinkAddr{})
	if l := q.cfg.Listener; l != nil {
		l.query(now, v)
	}
	q.buf = p
}

// selectIn and selectNotIn say which sources of a group are to be asked for.
const (
	selectIn    = true
	selectNotIn = false
)

// query is "Send Q(MA,X)" (section 7.6.3.2), where X are the sources with a running timer
// that are in src, or not in src. It is the action of the querier; others wait for its
// query.
func (q *Querier) query(now time.Time, g *group, src SourceList, in bool) {
	if !q.IsQuerier() || q.cfg.Version1 || len(g.sources) == 0 {
		return
	}
	llqt := now.Add(q.lastListenerTime())
	taken := false
	for k, s := range g.sources {
		// "for each of the sources in X [...] with the Source Timer larger than LLQT"
		if !s.until.After(llqt) || src.contains(k) != in {
			continue
		}
		if !taken && !q.take(now) {
			return
		}
		taken = true
		s.until = llqt
		if s.left == 0 {
			g.pending++
		}
		s.left = q.lastListenerCount()
	}
	if taken {
		g.queryAt = now
	}
}

// queryGroup is "Send Q(MA)" (section 7.6.3.1). While the question is open already, as the
// Filter Timer shows, it is not asked once more.
func (q *Querier) queryGroup(now time.Time, g *group) {
	if !q.IsQuerier() {
		return
	}
	llqt := now.Add(q.lastListenerTime())
	if !g.filter.After(llqt) || !q.take(now) {
		return
	}
	g.filter = llqt
	g.queries, g.queryAt = q.lastListenerCount(), now
}

func (q *Querier) take(now time.Time) bool {
	if q.bucket.Take(now) {
		return true
	}
	q.stats.QueriesLimited++
	return false
}

// sendSpecific sends the specific queries for g that are under way, and sets the time at
// which they are repeated. What is new is merged with what is being repeated (section
// 7.4.2).
func (q *Querier) sendSpecific(now time.Time, g *group) {
	llqt := now.Add(q.lastListenerTime())
	v := q.newQuery()
	v.Group, v.MaxResponse = g.addr, q.cfg.LastListenerQueryInterval
	whole := g.queries > 0
	if whole {
		g.queries--
		// "if the Filter Timer is larger than LLQT, the 'Suppress Router-Side Processing' bit
		// is set"
		v.Suppress = g.mode == Exclude && g.filter.After(llqt)
		q.send(now, v)
	}
	if g.pending > 0 {
		q.sendSources(now, g, v, whole)
	}
	if g.queries > 0 || g.pending > 0 {
		g.queryAt = now.Add(q.cfg.LastListenerQueryInterval)
	} else {
		g.queryAt = time.Time{}
	}
}

// sendSources sends the two queries of section 7.6.3.2: with the S flag for the sources whose
// timer has been raised meanwhile, without it for the others. The first says nothing that a
// query for the whole group, sent in the same moment, did not.
func (q *Querier) sendSources(now time.Time, g *group, v Query, whole bool) {
	llqt := now.Add(q.lastListenerTime())
	var keys [][16]byte
	for k, s := range g.sources {
		if s.left > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareKeys)
	room := (q.cfg.MTU - overhead - fixedV2) / sourceLen
	for _, suppress := range [2]bool{true, false} {
		v.Suppress = suppress
		list := SourceList(q.src[:0])
		flush := func() {
			if len(list) > 0 && !(suppress && whole) {
				v.Sources = list
				q.send(now, v)
			}
			list = list[:0]
		}
		for _, k := range keys {
			s := g.sources[k]
			if s == nil || s.left == 0 || s.until.After(llqt) != suppress {
				continue
			}
			if s.left--; s.left == 0 {
				g.pending--
			}
			if list = append(list, k[:]...); list.Len() == room {
				flush()
			}
		}
		flush()
		q.src = list[:0]
	}
}

// askBeforeEnd asks the listeners, where no General Queries do, before the group or some of
// its sources are forgotten for want of reports.
func (q *Querier) askBeforeEnd(now time.Time, g *group) {
	llqt := now.Add(q.lastListenerTime())
	ends := func(s *source) bool {
		return !q.cfg.Version1 && !s.until.IsZero() && !s.until.After(now) && !s.asked && s.left == 0
	}
	whole, some := g.mode == Exclude && !g.filter.After(now) && !g.asked, false
	for _, s := range g.sources {
		some = some || ends(s)
	}
	if !whole && !some {
		return
	}
	send := q.take(now) // if not, all of it is put off
	if whole {
		g.filter = llqt
		if send {
			g.asked, g.queries = true, q.lastListenerCount()
		}
	}
	for _, s := range g.sources {
		if !ends(s) {
			continue
		}
		s.until = llqt
		if send {
			s.asked, s.left = true, q.lastListenerCount()
			g.pending++
		}
	}
	if send {
		for i := range g.heard {
			if t := &g.heard[i]; t.until.After(llqt) {
				t.until = llqt // unless it answers
			}
		}
		q.sendSpecific(now, g)
	}
}

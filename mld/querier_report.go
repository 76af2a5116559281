package mld

import (
	"time"

	"border-router/ipv6"
)

// handleReport takes a Version 2 Report (RFC 9777 section 7.4).
func (q *Querier) handleReport(now time.Time, b []byte, ll ipv6.LinkAddr) error {
	recs, err := ParseReport(b)
	if err != nil {
		return err
	}
	var last error
	taken := recs.Len() == 0
	for {
		r, rest, ok := recs.Next()
		if !ok || !q.running { // an owner that called back may have stopped us
			break
		}
		recs = rest
		if err := q.record(now, r.Type, r.Group.As16(), r.Sources, ll, false); err != nil {
			if d, ok := err.(Drop); ok {
				q.stats.Ignored[d]++
			}
			last = err
			continue
		}
		taken = true
	}
	if taken {
		return nil
	}
	return last
}

// handleV1 takes a Report or Done of MLDv1, as IS_EX({}) or TO_IN({}) (section 8.3.2).
func (q *Querier) handleV1(now time.Time, b []byte, ll ipv6.LinkAddr) error {
	m, err := ParseV1(b)
	if err != nil {
		return err
	}
	if q.cfg.Version2Only {
		return DropType
	}
	typ := IsExclude
	if m.Done {
		typ = ToInclude
	}
	return q.record(now, typ, m.Group.As16(), nil, ll, true)
}

// record takes one record of a report, or its equivalent.
func (q *Querier) record(now time.Time, typ RecordType, k [16]byte, src SourceList, ll ipv6.LinkAddr, v1 bool) error {
	if typ < IsInclude || typ > Block {
		return DropRecord
	}
	if !isGroup(k) {
		return DropGroup
	}
	if !q.cfg.OrdinarySSM && isSSM(k) && (v1 || typ == IsExclude || typ == ToExclude) {
		return DropSSM
	}
	g := q.groups[k]
	if g == nil {
		// The state is INCLUDE({}): most records change nothing.
		switch {
		case typ == Block, src.Len() == 0 && typ != IsExclude && typ != ToExclude:
			return nil
		}
		var err error
		if g, err = q.find(k, ll); err != nil {
			return err
		}
	}
	if v1 && typ == IsExclude {
		if g.v1Until.IsZero() {
			q.stats.VersionFallbacks++
		}
		g.v1Until = now.Add(q.olderHostInterval())
	}
	if !g.v1Until.IsZero() {
		// "MLDv2 BLOCK messages are ignored, as are source-lists in TO_EX() messages"
		// (section 8.3.2).
		switch typ {
		case Block:
			return nil
		case ToExclude:
			src = nil
		}
	}
	end := q.track(now, g, ll, typ, src)
	var full bool
	if g.mode == Include {
		full = q.recordInclude(now, g, typ, src)
	} else {
		full = q.recordExclude(now, g, typ, src, end)
	}
	if g.queryAt.Equal(now) && (g.queries > 0 || g.pending > 0) {
		q.sendSpecific(now, g)
	}
	q.settle(now, g)
	if full {
		q.stats.Ignored[DropSourceLimit]++
	}
	return nil
}

// recordInclude is the upper half of tables 7 and 8: the state is INCLUDE (A), src is B.
// full reports that there was no room for all of B.
func (q *Querier) recordInclude(now time.Time, g *group, typ RecordType, src SourceList) (full bool) {
	mali := now.Add(q.listeningInterval())
	switch typ {
	case IsInclude, Allow:
		full = q.refresh(g, src, mali) // (B)=MALI
	case ToInclude:
		q.query(now, g, src, selectNotIn) // Send Q(MA,A-B)
		full = q.refresh(g, src, mali)    // (B)=MALI
	case Block:
		q.query(now, g, src, selectIn) // Send Q(MA,A*B)
	case IsExclude, ToExclude:
		for k, s := range g.sources {
			if !src.contains(k) {
				g.delSource(k, s) // Delete (A-B)
			}
		}
		g.mode, g.changed = Exclude, true
		g.filter, g.asked = mali, false // Filter Timer=MALI
		for i := range src.Len() {
			if k := src.key(i); g.sources[k] == nil && isSource(k) {
				if q.addSource(g, k, time.Time{}) == nil { // (B-A)=0
					full = true
				}
			}
		}
		if typ == ToExclude {
			q.query(now, g, src, selectIn) // Send Q(MA,A*B)
		}
	}
	return full
}

// recordExclude is the lower half of tables 7 and 8: the state is EXCLUDE (X,Y), src is A.
// end says that nobody else listens, as far as explicit tracking can tell for sure.
func (q *Querier) recordExclude(now time.Time, g *group, typ RecordType, src SourceList, end bool) (full bool) {
	mali := now.Add(q.listeningInterval())
	switch typ {
	case IsInclude, Allow:
		full = q.refresh(g, src, mali) // (A)=MALI
	case ToInclude:
		if end && src.Len() == 0 {
			for k, s := range g.sources {
				g.delSource(k, s)
			}
			q.toInclude(g)
			return false
		}
		q.query(now, g, src, selectNotIn) // Send Q(MA,X-A)
		full = q.refresh(g, src, mali)    // (A)=MALI
		q.queryGroup(now, g)              // Send Q(MA)
	case IsExclude, ToExclude:
		for k, s := range g.sources {
			if !src.contains(k) {
				g.delSource(k, s) // Delete (X-A), Delete (Y-A)
			}
		}
		until := mali // (A-X-Y)=MALI
		if typ == ToExclude {
			until = g.filter // (A-X-Y)=Filter Timer
		}
		full = q.addMissing(g, src, until)
		g.filter, g.asked = mali, false // Filter Timer=MALI
		if typ == ToExclude {
			q.query(now, g, src, selectIn) // Send Q(MA,A-Y)
		}
	case Block:
		full = q.addMissing(g, src, g.filter) // (A-X-Y)=Filter Timer
		q.query(now, g, src, selectIn)        // Send Q(MA,A-Y)
	}
	return full
}

// refresh sets the timers of the sources in src, and adds those that are missing.
func (q *Querier) refresh(g *group, src SourceList, until time.Time) (full bool) {
	for i := range src.Len() {
		k := src.key(i)
		if s := g.sources[k]; s != nil {
			g.setTimer(s, until)
		} else if isSource(k) && q.addSource(g, k, until) == nil {
			full = true
		}
	}
	return full
}

// addMissing adds the sources of src that are in neither list.
func (q *Querier) addMissing(g *group, src SourceList, until time.Time) (full bool) {
	for i := range src.Len() {
		if k := src.key(i); g.sources[k] == nil && isSource(k) && q.addSource(g, k, until) == nil {
			full = true
		}
	}
	return full
}

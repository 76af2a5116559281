package mld

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// A QuerierStatus is what [Querier.Snapshot] reports.
type QuerierStatus struct {
	Querier           bool       // we are the querier
	Other             netip.Addr // the querier, where that is another router
	OtherUntil        time.Time  // it is taken as gone then, unless heard
	NextQuery         time.Time  // General Query; zero: none
	Robustness        int
	QueryInterval     time.Duration // negative: no General Queries
	ListeningInterval time.Duration
	Groups            []GroupStatus // sorted
}

// A GroupStatus is a group that has listeners on the link.
type GroupStatus struct {
	Group     netip.Addr
	Mode      Mode
	Expires   time.Time // Filter Timer, in EXCLUDE mode
	Sources   []SourceStatus
	Version1  bool            // MLDv1 listeners are present
	Static    []ipv6.LinkAddr // added by hand
	Listeners []ipv6.LinkAddr // tracked
	Complete  bool            // there are no other listeners
}

// A SourceStatus is a source of a group.
type SourceStatus struct {
	Addr    netip.Addr
	Expires time.Time // Source Timer; zero: a member of the Exclude List
}

// Snapshot returns the state of the machine.
func (q *Querier) Snapshot() QuerierStatus {
	s := QuerierStatus{
		Querier: q.IsQuerier(), Other: q.other, OtherUntil: q.otherUntil, NextQuery: q.nextQuery,
		Robustness: q.robustness, QueryInterval: q.interval, ListeningInterval: q.listeningInterval(),
	}
	for _, g := range q.sorted() {
		v := GroupStatus{Group: g.addr, Mode: g.mode, Expires: g.filter, Version1: g.v1Until.After(q.now), Static: slices.Clone(g.static)}
		for k, src := range g.sources {
			v.Sources = append(v.Sources, SourceStatus{netip.AddrFrom16(k), src.until})
		}
		slices.SortFunc(v.Sources, func(a, b SourceStatus) int { return a.Addr.Compare(b.Addr) })
		v.Listeners, v.Complete = q.Listeners(g.addr, nil)
		s.Groups = append(s.Groups, v)
	}
	return s
}

// Stats returns a copy of the counters.
func (q *Querier) Stats() Stats { return q.stats }

func compareKeys(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

package mld

import (
	"net/netip"
	"testing"
	"time"
)

// TestQuietElection: of two quiet queriers on a link the one with the lower address is the
// querier for good. The other asks when it has long heard nothing, is answered, and yields
// again; it takes over when the first is gone.
func TestQuietElection(t *testing.T) {
	cfg := QuerierConfig{QueryInterval: -1, Robustness: 3}
	low, high := newRig(t, withSource(cfg, lowLL)), newRig(t, withSource(cfg, highLL))
	alive := true
	queries := [2]int{}
	// exchange carries to each what the other has sent.
	exchange := func() {
		for n := 1; n > 0; {
			n = 0
			for i, r := range []*rig{low, high} {
				to := []*rig{high, low}[i]
				list := r.out.sent
				r.out.sent = nil
				for _, s := range list {
					queries[i]++
					if alive {
						n++
						_ = to.in(s.p, hostMA)
					}
				}
			}
		}
	}
	both := 0 // seconds in which both forward, or nobody
	pass := func(d time.Duration) {
		both = 0
		for end := low.now.Add(d); low.now.Before(end); {
			low.now, high.now = low.now.Add(time.Second), high.now.Add(time.Second)
			if alive {
				low.q.Advance(low.now)
			}
			high.q.Advance(high.now)
			exchange()
			if low.q.IsQuerier() == high.q.IsQuerier() {
				both++
			}
		}
	}
	exchange()
	pass(24 * time.Hour)
	if both != 0 || !low.q.IsQuerier() || high.q.IsQuerier() {
		t.Errorf("for %d s both or neither are the querier", both)
	}
	// One question and one answer in each Other Querier Present Interval of 380 s.
	if n := 24 * 3600 / 380; queries[0] < n-3 || queries[0] > n+5 || queries[1] > n+5 {
		t.Errorf("%d and %d queries a day, want some %d", queries[0], queries[1], n)
	}
	alive = false
	pass(381 * time.Second)
	if !high.q.IsQuerier() {
		t.Error("the other one does not take over")
	}
}

func withSource(cfg QuerierConfig, a netip.Addr) QuerierConfig {
	cfg.Source = a
	return cfg
}

// A flood of queries of a higher address is not answered one by one.
func TestQuietDefence(t *testing.T) {
	r := settled(t, QuerierConfig{QueryInterval: -1})
	for range 100 {
		r.query(highLL, Query{Version: 2, MaxResponse: time.Second})
		r.wait(100 * time.Millisecond)
	}
	r.expect("Q(); Q()")
}

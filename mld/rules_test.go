package mld

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestOlderQuerierInterval: RFC 9777 section 9.12 counts with the Query Interval that the
// last MLDv2 query told, and the time to answer that the MLDv1 query gives.
func TestOlderQuerierInterval(t *testing.T) {
	for _, c := range []struct {
		name   string
		before *Query
		v1     Query
		want   time.Duration
	}{
		{"nothing is known", nil, Query{Version: 1, MaxResponse: 10 * time.Second}, 260 * time.Second},
		{"no time to answer", nil, Query{Version: 1}, 260 * time.Second},
		{"short time to answer", nil, Query{Version: 1, MaxResponse: time.Second}, 251 * time.Second},
		{"told before", &Query{Version: 2, QRV: 3, QQI: 40 * time.Second, MaxResponse: time.Second}, Query{Version: 1, MaxResponse: 10 * time.Second}, 130 * time.Second},
		{"not told before", &Query{Version: 2, MaxResponse: time.Second}, Query{Version: 1, MaxResponse: 10 * time.Second}, 260 * time.Second},
	} {
		h := newHost(t, ListenerConfig{})
		h.l.Join(h.now, site)
		if c.before != nil {
			h.query(*c.before)
			h.wait(2 * time.Second)
		}
		h.query(c.v1)
		if s := h.l.Snapshot(); s.Version != 1 || s.Until != h.now.Add(c.want) {
			t.Errorf("%s: version %d for %v, want %v", c.name, s.Version, s.Until.Sub(h.now), c.want)
		}
	}
}

// TestSSMNotSuppressed: RFC 4604 section 2.2.1: a report of MLDv1 MUST NOT suppress what we
// report of a source-specific group; section 2.2.5: an MLDv1 query for one is worth a line.
func TestSSMNotSuppressed(t *testing.T) {
	var log strings.Builder
	h := newHost(t, ListenerConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ssm := netip.MustParseAddr("ff35::8000:1")
	if err := h.l.SetFilter(h.now, ssm, Include, addrs("a")); err != nil {
		t.Fatal(err)
	}
	h.wait(time.Minute)
	h.out.take()
	h.query(Query{Version: 1, MaxResponse: 10 * time.Second})
	if err := h.l.HandlePacket(h.now, packet(t, hostLL, ssm, V1Message{false, ssm}), metaOf(hostMA)); err != nil {
		t.Error(err)
	}
	h.wait(11 * time.Second)
	h.expect("REPORT")
	for range 3 {
		h.query(Query{Version: 1, MaxResponse: time.Second, Group: ssm})
	}
	h.wait(2 * time.Second)
	h.expect("REPORT")
	if n := strings.Count(log.String(), "source-specific"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// A backtalk is a Sender that does something when a packet is sent.
type backtalk struct{ f func(now time.Time) }

func (b *backtalk) SendPacket(now time.Time, _ ipv6.Packet, _ ipv6.LinkAddr) {
	if f := b.f; f != nil {
		b.f = nil
		f(now)
	}
}

// TestListenerReentrancy: groups are left, all of them, from within the sending of the first
// of several reports about them.
func TestListenerReentrancy(t *testing.T) {
	out := &backtalk{}
	l := NewListener(ListenerConfig{Source: ourLL, Robustness: 1, Limits: Limits{Groups: 256}}, out)
	group := func(i int) netip.Addr {
		a := site.As16()
		a[14], a[15] = 1, byte(i)
		return netip.AddrFrom16(a)
	}
	out.f = func(now time.Time) {
		for i := range 200 {
			l.Leave(now, group(i))
		}
	}
	l.Batch(epoch, func() {
		for i := range 200 {
			if err := l.Join(epoch, group(i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	run(t, epoch, epoch.Add(time.Minute), l)
	if s := l.Snapshot(); len(s.Groups) != 0 || len(l.groups) != 0 || len(l.order) != 0 || !l.Deadline().IsZero() {
		t.Errorf("%d groups reported, %d kept, %d in order, deadline %v", len(s.Groups), len(l.groups), len(l.order), l.Deadline())
	}
}

// TestQuerierReentrancy: an owner stops the machine, or takes what it added back, from within
// what it is told.
func TestQuerierReentrancy(t *testing.T) {
	r := settled(t, QuerierConfig{})
	other := netip.MustParseAddr("ff05::99")
	r.ev.f = func(now time.Time, g netip.Addr) {
		if g == site {
			r.q.Stop(now)
		}
	}
	r.report(hostMA, Record{IsExclude, site, nil}, Record{IsExclude, other, nil})
	if n := len(r.q.Snapshot().Groups); n != 0 {
		t.Errorf("%d groups after Stop", n)
	}

	r = settled(t, QuerierConfig{})
	link := netip.MustParseAddr("ff02::99")
	r.report(hostMA, Record{IsExclude, site, nil}, Record{IsExclude, link, nil})
	r.ev.f = func(now time.Time, g netip.Addr) {
		if g == site || g == link {
			r.ev.f = nil
			r.q.Stop(now)
		}
	}
	r.q.Stop(r.now)
	if s := r.q.Stats(); r.q.nLink != 0 || len(r.q.owners) != 0 || s.GroupsAdded != s.GroupsRemoved {
		t.Errorf("%d link-local groups, %d owners, %+v", r.q.nLink, len(r.q.owners), s)
	}

	// A static member that is taken back while a sent query comes round.
	out := &backtalk{}
	q := NewQuerier(QuerierConfig{Source: ourLL, StartupQueryCount: -1}, out, nil)
	q.Start(epoch)
	now := epoch.Add(time.Hour)
	q.Advance(now)
	in := func(recs ...Record) {
		if err := q.HandlePacket(now, reportOf(t, hostLL, recs...), metaOf(hostMA)); err != nil {
			t.Fatal(err)
		}
	}
	in(Record{IsExclude, link, nil})
	out.f = func(now time.Time) { q.Stop(now) }
	in(Record{ToInclude, link, nil})
	if q.nLink != 0 || len(q.groups) != 0 || len(q.owners) != 0 || q.timers.Len() != 0 {
		t.Errorf("%d link-local groups, %d groups, %d owners, %d timers", q.nLink, len(q.groups), len(q.owners), q.timers.Len())
	}
}

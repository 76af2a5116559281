package mld

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// A host is a listener and the other end of its link.
type host struct {
	t   testing.TB
	now time.Time
	l   *Listener
	out *sink
}

func newHost(t testing.TB, cfg ListenerConfig) *host {
	if !cfg.Source.IsValid() {
		cfg.Source = ourLL
	}
	h := &host{t: t, now: epoch, out: &sink{t: t}}
	h.l = NewListener(cfg, h.out)
	return h
}

func (h *host) wait(d time.Duration) { h.now = run(h.t, h.now, h.now.Add(d), h.l) }

func (h *host) query(v Query) {
	h.t.Helper()
	if !v.Group.IsValid() {
		v.Group = unspecified
	}
	if v.Version == 0 {
		v.Version = 2
	}
	dst := v.Group
	if v.General() {
		dst = allNodesAddr
	}
	if err := h.l.HandlePacket(h.now, packet(h.t, lowLL, dst, v), metaOf(hostMA)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) expect(what string) {
	h.t.Helper()
	if got := h.out.take(); got != what {
		h.t.Errorf("sent %q, want %q", got, what)
	}
}

func (h *host) set(mode Mode, src string) {
	h.t.Helper()
	if err := h.l.SetFilter(h.now, site, mode, addrs(src)); err != nil {
		h.t.Fatal(err)
	}
	h.wait(time.Minute)
	h.out.take()
}

// TestResponses is table 3 of RFC 9777 section 6.3, and the rules of section 6.2.
func TestResponses(t *testing.T) {
	general := Query{MaxResponse: 10 * time.Second, QRV: 2}
	group := Query{MaxResponse: time.Second, Group: site, QRV: 2}
	of := func(s string) Query { q := group; q.Sources = sources(s); return q }
	for _, v := range []struct {
		name string
		mode Mode
		src  string
		qs   []Query
		sent string
	}{
		{"general, EXCLUDE", Exclude, "a", []Query{general}, "IS_EX(a)"},
		{"general, INCLUDE", Include, "ab", []Query{general}, "IS_IN(ab)"},
		{"general, nothing", Include, "", []Query{general}, ""},
		{"group", Exclude, "", []Query{group}, "IS_EX()"},
		{"group, INCLUDE", Include, "ab", []Query{group}, "IS_IN(ab)"},
		{"INCLUDE(A), sources B", Include, "ab", []Query{of("bc")}, "IS_IN(b)"},
		{"INCLUDE(A), none of B", Include, "ab", []Query{of("c")}, ""},
		{"EXCLUDE(A), sources B", Exclude, "ab", []Query{of("bc")}, "IS_IN(c)"},
		{"EXCLUDE(A), all of B", Exclude, "ab", []Query{of("a")}, ""},
		{"sources, then more sources", Include, "abc", []Query{of("a"), of("b")}, "IS_IN(ab)"},
		{"sources, then the group", Include, "abc", []Query{of("a"), group}, "IS_IN(abc)"},
		{"the group, then sources", Include, "abc", []Query{group, of("a")}, "IS_IN(abc)"},
		{"twice", Exclude, "", []Query{group, group}, "IS_EX()"},
		{"two general ones", Exclude, "", []Query{general, general}, "IS_EX()"},
	} {
		t.Run(v.name, func(t *testing.T) {
			h := newHost(t, ListenerConfig{})
			h.set(v.mode, v.src)
			for _, q := range v.qs {
				h.query(q)
			}
			if len(h.out.sent) != 0 {
				t.Error("answered at once")
			}
			start := h.now
			h.wait(time.Minute)
			for _, s := range h.out.sent {
				if d := s.at.Sub(start); d <= 0 || d > v.qs[0].MaxResponse {
					t.Errorf("answered after %v", d)
				}
			}
			h.expect(v.sent)
		})
	}
	// A general one that is answered sooner makes a specific one needless; not the reverse.
	h := newHost(t, ListenerConfig{})
	h.set(Exclude, "")
	h.query(Query{MaxResponse: time.Millisecond, QRV: 2})
	h.query(Query{MaxResponse: time.Hour, Group: site, QRV: 2})
	h.wait(time.Hour)
	h.expect("IS_EX()")
	// What is asked about another group is not answered.
	h.query(Query{MaxResponse: time.Second, Group: netip.MustParseAddr("ff05::9"), QRV: 2})
	h.wait(time.Minute)
	h.expect("")
}

// The Robustness Variable of the querier is taken.
func TestListenerRobustness(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	h.query(Query{QRV: 4, MaxResponse: time.Second})
	h.l.Join(h.now, site)
	h.wait(time.Minute)
	h.expect("TO_EX(); TO_EX(); TO_EX(); TO_EX()")
	h.query(Query{MaxResponse: time.Second})
	h.wait(time.Minute)
	h.out.take()
	h.l.Leave(h.now, site)
	h.wait(time.Minute)
	h.expect("TO_IN(); TO_IN()")
}

// MLDv1 compatibility (RFC 9777 section 8.2, RFC 2710 section 4).
func TestListenerVersion1(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	h.l.Join(h.now, site)
	h.out.take()
	h.query(Query{Version: 1, MaxResponse: 10 * time.Second})
	if s := h.l.Snapshot(); s.Version != 1 || s.Until != h.now.Add(260*time.Second) {
		t.Errorf("%+v", s)
	}
	h.wait(20 * time.Second)
	h.expect("REPORT") // and the repetition of TO_EX is cancelled
	other := netip.MustParseAddr("ff05::2")
	h.l.Join(h.now, other)
	h.wait(20 * time.Second)
	h.expect("REPORT; REPORT")
	if p := h.out.all[len(h.out.all)-1]; p.Dst() != other {
		t.Errorf("report to %v", p.Dst())
	}
	// A specific query of either version.
	h.query(Query{Version: 1, MaxResponse: time.Second, Group: site})
	h.wait(2 * time.Second)
	h.expect("REPORT")
	h.query(Query{Version: 2, MaxResponse: time.Second, Group: site, Sources: sources("a"), QRV: 2})
	h.wait(2 * time.Second)
	h.expect("REPORT")
	// The report of another: ours is not sent, and no Done either.
	h.query(Query{Version: 1, MaxResponse: time.Second, Group: site})
	if err := h.l.HandlePacket(h.now, packet(t, hostLL, site, V1Message{false, site}), metaOf(hostMA)); err != nil {
		t.Error(err)
	}
	h.wait(2 * time.Second)
	h.l.Leave(h.now, site)
	h.expect("")
	h.l.Leave(h.now, other)
	h.expect("DONE")
	if p := h.out.all[len(h.out.all)-1]; p.Dst() != ipv6.AllRouters {
		t.Errorf("Done to %v", p.Dst())
	}
	h.wait(261 * time.Second)
	h.l.Join(h.now, site)
	h.wait(time.Minute)
	h.expect("TO_EX(); TO_EX()")
	// A specific query of version 1 alone changes nothing, nor does a general one where only
	// version 2 is wanted.
	h.query(Query{Version: 1, MaxResponse: time.Second, Group: site})
	h.wait(2 * time.Second)
	h.expect("IS_EX()")
	h.l.cfg.Version2Only = true
	h.query(Query{Version: 1, MaxResponse: time.Second})
	h.wait(2 * time.Second)
	h.expect("IS_EX()")
}

// What MLD is not spoken about, and what is refused.
func TestListenerRefuses(t *testing.T) {
	h := newHost(t, ListenerConfig{Limits: Limits{Groups: 2, Sources: 2}})
	for _, s := range []string{"ff02::1", "ff01::5", "ff10::5"} {
		if err := h.l.Join(h.now, netip.MustParseAddr(s)); err != nil {
			t.Error(err)
		}
		h.l.Leave(h.now, netip.MustParseAddr(s))
	}
	for _, v := range []struct {
		a    string
		want Drop
	}{{"2001:db8::1", DropGroup}, {"10.0.0.1", DropGroup}, {"ff3e::1", DropSSM}} {
		if err := h.l.Join(h.now, netip.MustParseAddr(v.a)); err != v.want {
			t.Errorf("%s: %v", v.a, err)
		}
	}
	h.expect("")
	if err := h.l.SetFilter(h.now, netip.MustParseAddr("ff3e::1"), Exclude, nil); err != DropSSM {
		t.Error(err)
	}
	if err := h.l.SetFilter(h.now, netip.MustParseAddr("ff3e::1"), Include, addrs("a")); err != nil {
		t.Error(err)
	}
	if err := h.l.SetFilter(h.now, site, Include, addrs("abc")); err != DropSourceLimit {
		t.Error(err)
	}
	h.l.Join(h.now, netip.MustParseAddr("ff02::16"))
	h.expect("ALLOW(a); TO_EX()")
	if err := h.l.Join(h.now, site); err != DropTableFull {
		t.Error(err)
	}
	// The place of a group that is being left can be taken at once; the table stays bounded.
	for i := range 50 {
		a := netip.MustParseAddr(fmt.Sprintf("ff05::%x", i+10))
		h.l.Leave(h.now, netip.MustParseAddr("ff02::16"))
		if err := h.l.Join(h.now, a); err != nil {
			t.Fatal(err)
		}
		h.l.Leave(h.now, a)
	}
	if n := len(h.l.groups); n > 5 {
		t.Errorf("%d groups", n)
	}
}

// Joins are counted, and merged with the filter of a proxy.
func TestJoinCount(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	h.set(Include, "a")
	h.l.Join(h.now, site)
	h.l.Join(h.now, site)
	h.l.Leave(h.now, site)
	h.wait(time.Minute)
	h.expect("TO_EX(); TO_EX()")
	h.l.SetFilter(h.now, site, Include, addrs("b"))
	h.wait(time.Minute)
	h.expect("")
	h.l.Leave(h.now, site)
	h.wait(time.Minute)
	h.expect("TO_IN(b); TO_IN(b)")
	h.l.Leave(h.now, site)
	h.expect("")
}

// While the address is tentative reports come from "::", and all are sent again when it is
// ours (section 5.2.14).
func TestTentative(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	h.l.SetSource(h.now, netip.Addr{})
	h.l.Batch(h.now, func() {
		h.l.Join(h.now, ipv6.SolicitedNode(ourLL))
		h.l.SetFilter(h.now, site, Include, addrs("ab"))
	})
	h.wait(time.Minute)
	h.expect("TO_EX() ALLOW(ab); TO_EX() ALLOW(ab)")
	for _, p := range h.out.all {
		if !p.Src().IsUnspecified() {
			t.Error(p.Src())
		}
	}
	n := len(h.out.all)
	h.l.SetSource(h.now, ourLL)
	h.wait(time.Minute)
	h.expect("TO_EX() ALLOW(ab); TO_EX() ALLOW(ab)")
	for _, p := range h.out.all[n:] {
		if p.Src() != ourLL {
			t.Error(p.Src())
		}
	}
}

// Many groups: as few packets as they fit in, and an answer that is spread.
func TestBatch(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	const n = 200
	h.l.Batch(h.now, func() {
		for i := range n {
			h.l.Join(h.now, netip.MustParseAddr(fmt.Sprintf("ff05::1:%x", i)))
		}
	})
	if len(h.out.sent) != 4 { // 61 records of 20 bytes fit in 1280 bytes
		t.Errorf("%d packets", len(h.out.sent))
	}
	h.wait(time.Minute)
	if len(h.out.sent) != 8 {
		t.Errorf("%d packets", len(h.out.sent))
	}
	h.out.take()
	h.query(Query{MaxResponse: 10 * time.Second, QRV: 2})
	start := h.now
	h.wait(time.Minute)
	if len(h.out.sent) != 4 {
		t.Errorf("%d packets", len(h.out.sent))
	}
	seen := map[netip.Addr]bool{}
	for i, s := range h.out.sent {
		recs, _ := ParseReport(s.p[overhead:])
		for r, rest, ok := recs.Next(); ok; r, rest, ok = rest.Next() {
			seen[r.Group] = true
		}
		if s.at.Sub(start) > 10*time.Second || i > 0 && !s.at.After(h.out.sent[i-1].at) {
			t.Errorf("report %d after %v", i, s.at.Sub(start))
		}
	}
	if len(seen) != n {
		t.Errorf("%d groups", len(seen))
	}
}

// Section 5.2.16: a record too large for a report is split, or cut short in EXCLUDE mode.
func TestLargeRecords(t *testing.T) {
	var list []netip.Addr
	for i := range 100 {
		list = append(list, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)))
	}
	for _, v := range []struct {
		mode    Mode
		packets int
		sources int
	}{{Include, 2, 100}, {Exclude, 1, 75}} {
		h := newHost(t, ListenerConfig{Limits: Limits{Sources: 200}})
		if err := h.l.SetFilter(h.now, site, v.mode, list); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range h.out.sent {
			recs, err := ParseReport(s.p[overhead:])
			if err != nil {
				t.Fatal(err)
			}
			for r, rest, ok := recs.Next(); ok; r, rest, ok = rest.Next() {
				n += r.Sources.Len()
			}
		}
		if len(h.out.sent) != v.packets || n != v.sources {
			t.Errorf("%v: %d packets with %d sources", v.mode, len(h.out.sent), n)
		}
	}
}

func TestListenerDrops(t *testing.T) {
	h := newHost(t, ListenerConfig{})
	for _, v := range []struct {
		p    ipv6.Packet
		want error
	}{
		{reportOf(t, hostLL, Record{IsExclude, site, nil}), DropType},
		{packet(t, hostLL, ipv6.AllRouters, V1Message{true, site}), DropType},
		{packet(t, unspecified, site, V1Message{false, site}), DropSource},
		{packet(t, hostLL, site, V1Message{false, site}), nil},
		{packet(t, ourLL, allNodesAddr, Query{Version: 2, Group: unspecified}), DropOwn},
		{AppendPacket(nil, append([]byte{130}, make([]byte, 26)...), hostLL, allNodesAddr), DropLength},
		{AppendPacket(nil, []byte{131, 0, 0, 0}, hostLL, allNodesAddr), DropTruncated},
	} {
		if err := h.l.HandlePacket(h.now, v.p, ipv6.Meta{}); err != v.want {
			t.Errorf("%s: %v, want %v", describe(v.p), err, v.want)
		}
	}
	if s := h.l.Stats(); s.Dropped[DropType] != 2 || s.Received.Queries != 2 {
		t.Errorf("%+v", s)
	}
	if !strings.HasPrefix(DropOwn.Error(), "mld_") {
		t.Error(DropOwn)
	}
}

package mld

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// A rig is a querier and the other end of its link.
type rig struct {
	t   testing.TB
	now time.Time
	q   *Querier
	out *sink
	ev  *eventLog
}

func newRig(t testing.TB, cfg QuerierConfig) *rig {
	if !cfg.Source.IsValid() {
		cfg.Source = ourLL
	}
	r := &rig{t: t, now: epoch, out: &sink{t: t}, ev: &eventLog{}}
	r.q = NewQuerier(cfg, r.out, r.ev)
	r.q.Start(r.now)
	return r
}

// settled is a rig after its startup queries.
func settled(t testing.TB, cfg QuerierConfig) *rig {
	r := newRig(t, cfg)
	r.wait(10 * time.Minute)
	r.out.take()
	return r
}

func (r *rig) wait(d time.Duration) { r.now = run(r.t, r.now, r.now.Add(d), r.q) }

func (r *rig) in(p ipv6.Packet, ll ipv6.LinkAddr) error {
	return r.q.HandlePacket(r.now, p, metaOf(ll))
}

func (r *rig) report(ll ipv6.LinkAddr, recs ...Record) {
	r.t.Helper()
	if err := r.in(reportOf(r.t, hostLL, recs...), ll); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) query(src netip.Addr, v Query) {
	r.t.Helper()
	if !v.Group.IsValid() {
		v.Group = unspecified
	}
	dst := v.Group
	if v.General() {
		dst = allNodesAddr
	}
	if err := r.in(packet(r.t, src, dst, v), hostMA); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) filter() string {
	m, list := r.q.Filter(site)
	return fmt.Sprintf("%v(%s)", m, letters(AppendSources(nil, list...)))
}

func (r *rig) expect(what string) {
	r.t.Helper()
	if got := r.out.take(); got != what {
		r.t.Errorf("sent %q, want %q", got, what)
	}
}

func TestStartupQueries(t *testing.T) {
	r := newRig(t, QuerierConfig{Robustness: 3})
	r.wait(10 * time.Minute)
	var at []time.Duration
	for _, s := range r.out.sent {
		at = append(at, s.at.Sub(epoch))
	}
	q := 31250 * time.Millisecond
	want := []time.Duration{0, q, 2 * q, 2*q + 125*time.Second, 2*q + 250*time.Second, 2*q + 375*time.Second, 2*q + 500*time.Second}
	if fmt.Sprint(at) != fmt.Sprint(want) {
		t.Errorf("queries at %v, want %v", at, want)
	}
	v, err := ParseQuery(r.out.all[0][overhead:])
	if err != nil || v.QRV != 3 || v.QQI != 125*time.Second || v.MaxResponse != 10*time.Second || v.Suppress || r.out.all[0].Dst() != allNodesAddr {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestElection(t *testing.T) {
	r := settled(t, QuerierConfig{})
	r.query(highLL, Query{Version: 2, QRV: 7, QQI: time.Second})
	if !r.q.IsQuerier() || r.q.robustness != 2 || r.q.interval != 125*time.Second {
		t.Error("yielded to the higher address")
	}
	r.query(lowLL, Query{Version: 2, QRV: 3, QQI: 20 * time.Second})
	s := r.q.Snapshot()
	if r.q.IsQuerier() || s.Other != lowLL || s.Robustness != 3 || s.QueryInterval != 20*time.Second || s.ListeningInterval != 80*time.Second {
		t.Errorf("%+v", s)
	}
	// Other Querier Present Interval: 3 * 20 s + 5 s.
	r.wait(64 * time.Second)
	r.expect("")
	r.wait(2 * time.Second)
	r.expect("Q()")
	if !r.q.IsQuerier() || r.q.robustness != 2 {
		t.Error("not querier again, with its own values")
	}
	// An MLDv1 querier tells neither; the defaults hold.
	r.query(lowLL, Query{Version: 1})
	if s := r.q.Snapshot(); s.Querier || s.Robustness != 2 || s.QueryInterval != 125*time.Second || s.OtherUntil != r.now.Add(255*time.Second) {
		t.Errorf("%+v", s)
	}
	// The order is that of the interface identifier.
	if !lowerIID(netip.MustParseAddr("fe80:0:0:9::1"), netip.MustParseAddr("fe80::2")) {
		t.Error("order by the whole address")
	}
}

// A leave: the querier asks Last Listener Query Count times, and forgets the group at the
// Last Listener Query Time; a report meanwhile keeps it and sets the S flag.
func TestLeave(t *testing.T) {
	r := settled(t, QuerierConfig{Robustness: 3})
	r.report(hostMA, Record{ToExclude, site, nil})
	r.report(hostMA, Record{ToInclude, site, nil})
	r.report(hostMA, Record{ToInclude, site, nil}) // the repetition of the report
	r.wait(2900 * time.Millisecond)
	r.expect("Q(G); Q(G); Q(G)")
	if r.filter() != "EXCLUDE()" || !r.q.Wants(r.now, site, addr('a')) {
		t.Error("forgotten too early")
	}
	r.wait(100 * time.Millisecond)
	if r.filter() != "INCLUDE()" || r.q.Wants(r.now, site, addr('a')) || len(r.q.groups) != 0 || r.ev.n != 2 {
		t.Errorf("kept, %d events", r.ev.n)
	}
	r.report(hostMA, Record{ToExclude, site, nil})
	r.report(hostMA, Record{ToInclude, site, nil})
	r.report(hostMA, Record{IsExclude, site, nil})
	r.wait(4 * time.Second)
	r.expect("Q(G); Q(G)S; Q(G)S")
	if r.filter() != "EXCLUDE()" {
		t.Error("not kept")
	}
}

func TestSourceLeave(t *testing.T) {
	r := settled(t, QuerierConfig{})
	r.report(hostMA, Record{Allow, site, sources("abc")})
	r.report(hostMA, Record{Block, site, sources("ab")})
	r.report(hostMA, Record{IsInclude, site, sources("a")})
	r.wait(3 * time.Second)
	r.expect("Q(G,ab); Q(G,a)S; Q(G,b)")
	if r.filter() != "INCLUDE(ac)" {
		t.Error(r.filter())
	}
	if !r.q.Wants(r.now, site, addr('a')) || r.q.Wants(r.now, site, addr('b')) {
		t.Error("wants")
	}
	// What is new is merged with what is being repeated.
	r.report(hostMA, Record{Block, site, sources("a")})
	r.wait(500 * time.Millisecond)
	r.report(hostMA, Record{Block, site, sources("c")})
	r.wait(3 * time.Second)
	r.expect("Q(G,a); Q(G,ac); Q(G,c)")
	if len(r.q.groups) != 0 {
		t.Error("group kept")
	}
}

// The end of EXCLUDE mode and of sources by time (sections 7.2.3 and 7.5).
func TestTimers(t *testing.T) {
	r := settled(t, QuerierConfig{})
	r.report(hostMA, Record{IsExclude, site, sources("y")})
	r.wait(100 * time.Second)
	r.report(hostMA, Record{IsInclude, site, sources("x")})
	if !r.q.Wants(r.now, site, addr('q')) || r.q.Wants(r.now, site, addr('y')) || !r.q.Wants(r.now, site, addr('x')) || r.filter() != "EXCLUDE(y)" {
		t.Error("EXCLUDE(x,y)")
	}
	// Before Advance has run, Wants knows already.
	late := r.now.Add(171 * time.Second)
	if r.q.Wants(late, site, addr('q')) || !r.q.Wants(late, site, addr('x')) || r.q.Wants(late, site, addr('y')) {
		t.Error("Wants after the Filter Timer")
	}
	r.wait(171 * time.Second)
	if r.filter() != "INCLUDE(x)" || r.ev.n != 2 {
		t.Errorf("%s, %d events", r.filter(), r.ev.n)
	}
	r.wait(100 * time.Second)
	if len(r.q.groups) != 0 || r.ev.n != 3 {
		t.Errorf("%s, %d events", r.filter(), r.ev.n)
	}
	// A requested source that runs out joins the Exclude List.
	r.report(hostMA, Record{IsInclude, site, sources("x")})
	r.wait(100 * time.Second)
	r.report(hostMA, Record{IsExclude, site, sources("x")})
	if r.filter() != "EXCLUDE()" {
		t.Error(r.filter())
	}
	r.wait(171 * time.Second)
	if r.filter() != "EXCLUDE(x)" {
		t.Error(r.filter())
	}
}

// What a non-querier does at the querier's specific queries (section 7.6.1).
func TestNonQuerierLowersTimers(t *testing.T) {
	r := settled(t, QuerierConfig{})
	r.query(lowLL, Query{Version: 2, QRV: 2, QQI: 125 * time.Second})
	r.report(hostMA, Record{IsExclude, site, nil})
	r.report(hostMA, Record{ToInclude, site, nil})
	r.expect("")
	r.query(lowLL, Query{Version: 2, Group: site, Suppress: true, MaxResponse: time.Second, QRV: 2, QQI: 125 * time.Second})
	r.wait(3 * time.Second)
	if r.filter() != "EXCLUDE()" {
		t.Error("a query with the S flag changed timers")
	}
	r.query(lowLL, Query{Version: 2, Group: site, MaxResponse: time.Second, QRV: 2, QQI: 125 * time.Second})
	r.wait(3 * time.Second)
	if len(r.q.groups) != 0 {
		t.Error("group kept")
	}
	r.report(hostMA, Record{IsInclude, site, sources("ab")})
	r.query(lowLL, Query{Version: 2, Group: site, Sources: sources("a"), MaxResponse: time.Second, QRV: 2, QQI: 125 * time.Second})
	r.wait(3 * time.Second)
	if r.filter() != "INCLUDE(b)" {
		t.Error(r.filter())
	}
}

// MLDv1 listeners (section 8.3.2).
func TestVersion1Hosts(t *testing.T) {
	r := settled(t, QuerierConfig{})
	v1 := func(done bool) {
		t.Helper()
		dst := site
		if done {
			dst = ipv6.AllRouters
		}
		if err := r.in(packet(t, hostLL, dst, V1Message{done, site}), hostMA); err != nil {
			t.Fatal(err)
		}
	}
	r.report(hostMA, Record{Allow, site, sources("a")})
	v1(false)
	if s := r.q.Snapshot().Groups[0]; !s.Version1 || s.Mode != Exclude || s.Complete {
		t.Errorf("%+v", s)
	}
	r.report(hostMA, Record{Block, site, sources("a")}, Record{ToExclude, site, sources("abc")})
	if r.filter() != "EXCLUDE()" {
		t.Error("sources are heeded:", r.filter())
	}
	r.expect("")
	v1(true)
	r.wait(3 * time.Second)
	r.expect("Q(G); Q(G)")
	if len(r.q.groups) != 0 {
		t.Error("Done did not end it")
	}
	v1(false)
	r.wait(261 * time.Second) // Older Version Host Present Interval: 2 * 125 s + 10 s
	if s := r.q.Snapshot().Groups[0]; s.Version1 {
		t.Errorf("%+v", s)
	}
	r.q.cfg.Version2Only = true
	if err := r.in(packet(t, hostLL, site, V1Message{false, site}), hostMA); err != DropType {
		t.Error(err)
	}
}

func TestVersion1Querier(t *testing.T) {
	r := settled(t, QuerierConfig{Version1: true, QueryResponseInterval: 60 * time.Second})
	r.report(hostMA, Record{IsExclude, site, sources("a")}, Record{Allow, site, sources("b")}, Record{ToInclude, site, nil})
	r.wait(3 * time.Second)
	r.expect("Q1(G); Q1(G)")
	for _, p := range r.out.all {
		if len(p) != overhead+fixedV1 {
			t.Errorf("%d bytes", len(p))
		}
	}
	if b := r.out.all[0][overhead:]; int(b[4])<<8|int(b[5]) != 60000 {
		t.Error("the Maximum Response Delay of MLDv1 is linear")
	}
}

// Without General Queries: asked before it is forgotten, kept where somebody answers.
func TestQuiet(t *testing.T) {
	r := newRig(t, QuerierConfig{QueryInterval: -1, Robustness: 3, LastListenerQueryInterval: 5 * time.Second})
	r.wait(24 * time.Hour)
	r.expect("Q(); Q(); Q()")
	other := ipv6.EUI64(0x0200_0000_0000_0006)
	r.report(hostMA, Record{ToExclude, site, nil})
	r.wait(30 * time.Minute)
	r.report(other, Record{ToExclude, site, nil})
	r.wait(45 * time.Minute)
	if list, ok := r.q.Listeners(site, nil); len(list) != 2 || !ok {
		t.Errorf("%v, %v: nobody was asked yet", list, ok)
	}
	r.expect("")
	r.wait(15*time.Minute + 3*time.Second)
	r.report(other, Record{IsExclude, site, nil})
	r.wait(time.Minute)
	r.expect("Q(G); Q(G)S; Q(G)S")
	if list, ok := r.q.Listeners(site, nil); len(list) != 1 || list[0] != other || !ok {
		t.Errorf("%v, %v", list, ok)
	}
	r.wait(time.Hour + time.Minute)
	r.expect("Q(G); Q(G); Q(G)")
	if len(r.q.groups) != 0 {
		t.Error("kept without an answer")
	}
	r.report(hostMA, Record{Allow, site, sources("ab")})
	r.wait(time.Hour + time.Second)
	r.report(hostMA, Record{IsInclude, site, sources("b")})
	r.wait(time.Minute)
	r.expect("Q(G,ab); Q(G,b)S; Q(G,a); Q(G,b)S; Q(G,a)")
	if r.filter() != "INCLUDE(b)" {
		t.Error(r.filter())
	}
}

// Where too much is asked at once, the rest is asked later, not forgotten.
func TestQuietRate(t *testing.T) {
	r := newRig(t, QuerierConfig{QueryInterval: -1, Rate: 0.5, Burst: 1})
	r.wait(10 * time.Minute)
	r.out.take()
	var recs []Record
	for i := range 5 {
		recs = append(recs, Record{IsExclude, netip.MustParseAddr(fmt.Sprintf("ff05::1:%x", i)), nil})
	}
	recs = append(recs, Record{Allow, site, sources("ab")})
	r.report(hostMA, recs...)
	r.wait(time.Hour + 5*time.Minute)
	asked := map[netip.Addr]int{}
	for _, s := range r.out.sent {
		asked[s.p.Dst()]++
	}
	for _, rec := range recs {
		if asked[rec.Group] != 2 {
			t.Errorf("%v asked for %d times", rec.Group, asked[rec.Group])
		}
	}
	if len(r.q.groups) != 0 {
		t.Errorf("%d groups", len(r.q.groups))
	}
}

func TestTracking(t *testing.T) {
	r := settled(t, QuerierConfig{Limits: Limits{Listeners: 3}, FastLeave: true})
	node := func(i int) ipv6.LinkAddr { return ipv6.EUI64(0x0200_0000_0000_0100 + uint64(i)) }
	check := func(n int, complete bool) {
		t.Helper()
		if list, ok := r.q.Listeners(site, nil); len(list) != n || ok != complete {
			t.Errorf("%v, %v; want %d, %v", list, ok, n, complete)
		}
	}
	check(0, true)
	for i := range 3 {
		r.report(node(i), Record{IsExclude, site, nil})
		check(i+1, true)
	}
	r.wait(time.Minute)
	r.report(node(3), Record{IsExclude, site, nil})
	check(3, false)
	r.wait(200 * time.Second) // by then the first three are old, before the fourth is
	r.report(node(3), Record{IsExclude, site, nil})
	r.wait(15 * time.Second)
	r.report(node(3), Record{IsExclude, site, nil})
	check(1, false)
	r.wait(269 * time.Second)
	r.report(node(3), Record{IsExclude, site, nil})
	check(1, true)
	r.out.take()
	// The last listener leaves: nobody needs to be asked.
	r.report(node(3), Record{ToInclude, site, nil})
	r.expect("")
	if len(r.q.groups) != 0 {
		t.Error("not left at once")
	}
	// Not so where another is there, or may be.
	r.report(node(0), Record{IsExclude, site, nil})
	r.report(node(1), Record{IsExclude, site, nil})
	r.report(node(1), Record{ToInclude, site, nil})
	r.expect("Q(G)")
	r.report(ipv6.LinkAddr{}, Record{IsExclude, site, nil})
	check(1, false)
	r.report(node(0), Record{ToInclude, site, nil})
	check(0, false)
	r.wait(3 * time.Second)
	check(0, true)
}

// Right after the start the list is not complete, for want of time to report.
func TestTrackingAtStart(t *testing.T) {
	r := newRig(t, QuerierConfig{})
	r.report(hostMA, Record{IsExclude, site, nil})
	if _, ok := r.q.Listeners(site, nil); ok {
		t.Error("complete at the start")
	}
	if _, ok := r.q.Listeners(netip.MustParseAddr("ff05::1:3"), nil); ok {
		t.Error("nobody listens, at the start")
	}
	r.wait(45 * time.Second)
	if _, ok := r.q.Listeners(site, nil); !ok {
		t.Error("not complete")
	}
}

func TestStatic(t *testing.T) {
	r := settled(t, QuerierConfig{})
	if err := r.q.AddStatic(r.now, site, hostMA); err != nil {
		t.Fatal(err)
	}
	r.q.AddStatic(r.now, site, hostMA)
	r.wait(time.Hour)
	if list, ok := r.q.Listeners(site, nil); len(list) != 1 || !ok || !r.q.Wants(r.now, site, addr('a')) || r.ev.n != 1 || r.filter() != "EXCLUDE()" {
		t.Errorf("%v, %v, %d events", list, ok, r.ev.n)
	}
	r.report(hostMA, Record{Allow, site, sources("a")})
	if r.filter() != "EXCLUDE()" || r.ev.n != 1 {
		t.Error("a report changed it")
	}
	r.q.Stop(r.now)
	r.q.Start(r.now)
	if !r.q.Wants(r.now, site, addr('b')) {
		t.Error("did not outlive Stop")
	}
	r.report(hostMA, Record{Allow, site, sources("a")})
	r.q.RemoveStatic(r.now, site, hostMA)
	if r.filter() != "INCLUDE(a)" || r.ev.n != 2 {
		t.Errorf("%s, %d events", r.filter(), r.ev.n)
	}
	if err := r.q.AddStatic(r.now, allNodesAddr, hostMA); err != DropGroup {
		t.Error(err)
	}
	r.q.Stop(r.now)
	if len(r.q.groups) != 0 || r.ev.n != 3 {
		t.Error("Stop kept a group")
	}
}

// Our own listener answers our own queries.
func TestOwnListener(t *testing.T) {
	out := &sink{t: t}
	l := NewListener(ListenerConfig{Source: ourLL}, out)
	l.Join(epoch, site)
	run(t, epoch, epoch.Add(time.Minute), l)
	out.take()
	q := NewQuerier(QuerierConfig{Source: ourLL, Listener: l}, &sink{t: t}, nil)
	now := epoch.Add(time.Hour)
	q.Start(now)
	if s := out.take(); s != "TO_EX()" { // the group of MLDv2 routers (section 7)
		t.Error(s)
	}
	run(t, now, now.Add(11*time.Second), l, q)
	if s := out.take(); s != "TO_EX(); IS_EX() IS_EX()" {
		t.Error(s)
	}
	if g := l.Snapshot().Groups; len(g) != 2 || g[0].Group != ipv6.AllMLDv2Routers {
		t.Errorf("%+v", g)
	}
	q.Stop(now.Add(time.Minute))
	if s := out.take(); s != "TO_IN()" {
		t.Error(s)
	}
}

// Specific queries are limited in rate, and what is not asked for stays.
func TestQueryRate(t *testing.T) {
	r := settled(t, QuerierConfig{Rate: 1, Burst: 2})
	g := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("ff05::1:%x", i)) }
	for i := range 5 {
		r.report(hostMA, Record{ToExclude, g(i), nil}, Record{ToInclude, g(i), nil})
	}
	r.expect("Q(G); Q(G)")
	if s := r.q.Stats(); s.QueriesLimited != 3 {
		t.Errorf("%+v", s)
	}
	r.wait(5 * time.Second)
	if len(r.q.groups) != 3 {
		t.Errorf("%d groups", len(r.q.groups))
	}
}

// Many sources: queries are cut at the MTU.
func TestQueryMTU(t *testing.T) {
	r := settled(t, QuerierConfig{Limits: Limits{Sources: 200}})
	var list SourceList
	for i := range 200 {
		list = AppendSources(list, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 0x1000+i)))
		if list.Len() == 50 {
			r.report(hostMA, Record{Allow, site, list})
			list = nil
		}
	}
	r.report(hostMA, Record{ToInclude, site, nil})
	n := 0
	for _, s := range r.out.sent {
		v, err := ParseQuery(s.p[overhead:])
		if err != nil {
			t.Fatal(err)
		}
		n += v.Sources.Len()
	}
	if len(r.out.sent) != 3 || n != 200 {
		t.Errorf("%d queries for %d sources", len(r.out.sent), n)
	}
}

// TestDrops causes every reason.
func TestDrops(t *testing.T) {
	good := reportOf(t, hostLL, Record{IsExclude, site, nil})
	edit := func(f func(p ipv6.Packet) ipv6.Packet) ipv6.Packet { return f(bytes.Clone(good)) }
	raw := func(src netip.Addr, msg ...byte) ipv6.Packet { return AppendPacket(nil, msg, src, allNodesAddr) }
	rec := func(typ RecordType, group string, src SourceList) ipv6.Packet {
		return reportOf(t, hostLL, Record{typ, netip.MustParseAddr(group), src})
	}
	full := newRig(t, QuerierConfig{Limits: Limits{Groups: 2, LinkLocalGroups: 1, PerListener: 2}})
	full.report(hostMA, Record{IsExclude, site, nil})
	full.report(ipv6.EUI64(9), Record{IsExclude, netip.MustParseAddr("ff02::fb"), nil})
	stopped := &rig{t: t, now: epoch, q: NewQuerier(QuerierConfig{Source: ourLL}, &sink{t: t}, nil)}
	fresh := func() *rig { return newRig(t, QuerierConfig{Limits: Limits{Sources: 2}}) }
	seen := map[Drop]bool{}
	for _, v := range []struct {
		name string
		r    *rig
		p    ipv6.Packet
		ll   ipv6.LinkAddr
		want error
	}{
		{"good", fresh(), good, hostMA, nil},
		{"query short", fresh(), raw(hostLL, 130, 0, 0, 0, 0, 0, 0, 0), hostMA, DropTruncated},
		{"report short", fresh(), raw(hostLL, 143, 0, 0, 0, 0, 0), hostMA, DropTruncated},
		{"record beyond the end", fresh(), raw(hostLL, 143, 0, 0, 0, 0, 0, 0, 1, 1), hostMA, DropTruncated},
		{"no message", fresh(), raw(hostLL), hostMA, DropTruncated},
		{"hop limit", fresh(), edit(func(p ipv6.Packet) ipv6.Packet { p.SetHopLimit(2); return p }), hostMA, DropHopLimit},
		{"global source", fresh(), reportOf(t, addr('a'), Record{IsExclude, site, nil}), hostMA, DropSource},
		{"unspecified source", fresh(), reportOf(t, unspecified, Record{IsExclude, site, nil}), hostMA, DropSource},
		{"unspecified source, where that is the host's", newRig(t, QuerierConfig{AnySource: true}), reportOf(t, unspecified, Record{IsExclude, site, nil}), hostMA, nil},
		{"query from :: there", newRig(t, QuerierConfig{AnySource: true}), packet(t, unspecified, allNodesAddr, Query{Version: 2, Group: unspecified}), hostMA, DropSource},
		{"query from ::", fresh(), packet(t, unspecified, allNodesAddr, Query{Version: 2, Group: unspecified}), hostMA, DropSource},
		{"padding instead of Router Alert", fresh(), edit(func(p ipv6.Packet) ipv6.Packet {
			copy(p[ipv6.HeaderLen+2:], []byte{1, 4, 0, 0, 0, 0})
			return p
		}), hostMA, DropRouterAlert},
		{"no Router Alert", fresh(), ipv6.Packet(ipv6.AppendICMP(nil, 143, 0, 0, nil, hostLL, ipv6.AllMLDv2Routers, 1)), hostMA, DropRouterAlert},
		{"query of 26 bytes", fresh(), raw(hostLL, append([]byte{130}, make([]byte, 25)...)...), hostMA, DropLength},
		{"echo", fresh(), raw(hostLL, 128, 0, 0, 0), hostMA, DropType},
		{"UDP", fresh(), ipv6.Packet(ipv6.AppendHeader(nil, 0, 0, 0, 59, 1, hostLL, allNodesAddr)), hostMA, DropTruncated},
		{"all nodes", fresh(), rec(IsExclude, "ff02::1", nil), hostMA, DropGroup},
		{"interface scope", fresh(), rec(IsExclude, "ff01::5", nil), hostMA, DropGroup},
		{"reserved scope", fresh(), rec(IsExclude, "ff10::5", nil), hostMA, DropGroup},
		{"query about a unicast address", fresh(), raw(hostLL, append([]byte{130, 0, 0, 0, 0, 0, 0, 0, 0x20}, make([]byte, 15)...)...), hostMA, DropGroup},
		{"record type", fresh(), rec(7, "ff05::1", nil), hostMA, DropRecord},
		{"SSM", fresh(), rec(IsExclude, "ff35::1", nil), hostMA, DropSSM},
		{"SSM of MLDv1", fresh(), packet(t, hostLL, site, V1Message{false, netip.MustParseAddr("ff3e::8000:1")}), hostMA, DropSSM},
		{"SSM with a source", fresh(), rec(IsInclude, "ff35::1", sources("a")), hostMA, nil},
		{"prefix-based group is not SSM", fresh(), rec(IsExclude, "ff35:40:fd00::1", nil), hostMA, nil},
		{"link-local table full", full, rec(IsExclude, "ff02::fc", nil), hostMA, DropTableFull},
		{"another group", full, rec(IsExclude, "ff05::2", nil), hostMA, nil},
		{"share", newRigWith(t, 1), rec(IsExclude, "ff05::2", nil), hostMA, DropShare},
		{"table full", full, rec(IsExclude, "ff05::3", nil), ipv6.EUI64(8), DropTableFull},
		{"own", fresh(), reportOf(t, ourLL, Record{IsExclude, site, nil}), hostMA, DropOwn},
		{"stopped", stopped, good, hostMA, DropStopped},
	} {
		err := v.r.in(v.p, v.ll)
		if err != v.want {
			t.Errorf("%s: %v, want %v", v.name, err, v.want)
		}
		if d, ok := err.(Drop); ok {
			seen[d] = true
			if v.r.q.Stats().Dropped[d] == 0 {
				t.Errorf("%s: not counted", v.name)
			}
		}
	}
	// Sources beyond the limit are counted; the record is taken.
	r := fresh()
	r.report(hostMA, Record{Allow, site, sources("abc")})
	if r.filter() != "INCLUDE(ab)" || r.q.Stats().Ignored[DropSourceLimit] != 1 {
		t.Error("source limit")
	}
	seen[DropSourceLimit] = true
	for d := Drop(1); d < numDrops; d++ {
		if !seen[d] {
			t.Errorf("no row for %v", d)
		}
		if !strings.HasPrefix(d.Error(), "mld_") {
			t.Errorf("%d has no text", d)
		}
	}
	// One bad record does not spoil the report.
	r = fresh()
	r.report(hostMA, Record{9, site, nil}, Record{IsExclude, site, nil})
	if r.filter() != "EXCLUDE()" || r.q.Stats().Ignored[DropRecord] != 1 {
		t.Error("rest of the report not taken")
	}
	// NoRouterAlert is for reports only.
	r = newRig(t, QuerierConfig{NoRouterAlert: true})
	msg, _ := AppendReport(nil, Record{IsExclude, site, nil})
	p := ipv6.Packet(append(ipv6.AppendHeader(nil, 0, 0, len(msg), ipv6.ProtoICMPv6, 1, hostLL, ipv6.AllMLDv2Routers), msg...))
	if err := r.in(p, hostMA); err != nil {
		t.Error(err)
	}
}

func newRigWith(t testing.TB, perListener int) *rig {
	r := newRig(t, QuerierConfig{Limits: Limits{PerListener: perListener}})
	r.report(hostMA, Record{IsExclude, site, nil})
	return r
}

// Warnings are limited in rate (section 8.3.1).
func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, QuerierConfig{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	for range 100 {
		r.query(lowLL, Query{Version: 1})
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

var _ error = Drop(0)

func TestUnknownDrop(t *testing.T) {
	if Drop(200).Error() != "mld_unknown" || !errors.Is(DropType, DropType) {
		t.Error("unknown drop")
	}
}

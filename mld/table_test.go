package mld

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestRouterTables goes through every row of the tables of RFC 9777 sections 7.4.1 and
// 7.4.2. Sources a to d; timers: M is the Multicast Address Listening Interval, F what the
// Filter Timer showed before, L the Last Listener Query Time, 0 a member of the Exclude
// List, o what it was.
func TestRouterTables(t *testing.T) {
	const (
		inc = "INCLUDE"
		exc = "EXCLUDE"
	)
	for _, v := range []struct {
		mode, x, y string // state: Include List or Requested List, Exclude List
		typ        RecordType
		src        string
		want       string // mode, source:timer ..., Filter Timer
		sent       string
	}{
		{inc, "ab", "", IsInclude, "bc", "INCLUDE a:o b:M c:M", ""},
		{inc, "ab", "", IsExclude, "bc", "EXCLUDE b:o c:0 F=M", ""},
		{exc, "ab", "cd", IsInclude, "bce", "EXCLUDE a:o b:M c:M d:0 e:M F=F", ""},
		{exc, "ab", "cd", IsExclude, "bce", "EXCLUDE b:o c:0 e:M F=M", ""},
		{inc, "ab", "", Allow, "bc", "INCLUDE a:o b:M c:M", ""},
		{inc, "ab", "", Block, "bc", "INCLUDE a:o b:L", "Q(G,b)"},
		{inc, "ab", "", Block, "c", "INCLUDE a:o b:o", ""},
		{inc, "ab", "", ToExclude, "bc", "EXCLUDE b:L c:0 F=M", "Q(G,b)"},
		{inc, "ab", "", ToExclude, "", "EXCLUDE F=M", ""},
		{inc, "ab", "", ToInclude, "bc", "INCLUDE a:L b:M c:M", "Q(G,a)"},
		{inc, "ab", "", ToInclude, "", "INCLUDE a:L b:L", "Q(G,ab)"},
		{exc, "ab", "cd", Allow, "bce", "EXCLUDE a:o b:M c:M d:0 e:M F=F", ""},
		{exc, "ab", "cd", Block, "bce", "EXCLUDE a:o b:L c:0 d:0 e:L F=F", "Q(G,be)"},
		{exc, "ab", "cd", ToExclude, "bce", "EXCLUDE b:L c:0 e:L F=M", "Q(G,be)"},
		{exc, "ab", "cd", ToInclude, "bce", "EXCLUDE a:L b:M c:M d:0 e:M F=L", "Q(G); Q(G,a)"},
		{exc, "", "", ToInclude, "", "EXCLUDE F=L", "Q(G)"},
		{inc, "", "", IsInclude, "a", "INCLUDE a:M", ""},
		{inc, "", "", IsExclude, "a", "EXCLUDE a:0 F=M", ""},
		{inc, "", "", Allow, "a", "INCLUDE a:M", ""},
		{inc, "", "", Block, "a", "gone", ""},
		{inc, "", "", ToExclude, "", "EXCLUDE F=M", ""},
		{inc, "", "", ToInclude, "a", "INCLUDE a:M", ""},
		{inc, "", "", ToInclude, "", "gone", ""},
		{inc, "", "", IsInclude, "", "gone", ""},
	} {
		for _, querier := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s(%s,%s) %v(%s) querier=%v", v.mode, v.x, v.y, v.typ, v.src, querier), func(t *testing.T) {
				out := &sink{t: t}
				q := NewQuerier(QuerierConfig{Source: ourLL}, out, nil)
				now := epoch
				q.Start(now)
				now = now.Add(time.Hour)
				if !querier {
					q.Advance(now)
					if err := q.HandlePacket(now, packet(t, lowLL, allNodesAddr, Query{Version: 2, Group: unspecified, QRV: 2, QQI: 125 * time.Second, MaxResponse: 10 * time.Second}), metaOf(hostMA)); err != nil {
						t.Fatal(err)
					}
				} else {
					q.Advance(now)
				}
				out.take()
				report := func(typ RecordType, src string) {
					if err := q.HandlePacket(now, reportOf(t, hostLL, Record{typ, site, sources(src)}), metaOf(hostMA)); err != nil {
						t.Fatal(err)
					}
				}
				// Into the state, with timers that tell where they come from.
				if v.mode == exc {
					report(IsExclude, v.y)
					if v.x != "" {
						report(IsInclude, v.x)
					}
				} else if v.x != "" {
					report(IsInclude, v.x)
				}
				if s := out.take(); s != "" {
					t.Fatalf("sent %s", s)
				}
				const ago = 50 * time.Second
				before := now
				now = now.Add(ago)
				run(t, before, now, q)
				out.take()
				mali, llqt := now.Add(270*time.Second), now.Add(2*time.Second)
				old := before.Add(270 * time.Second)
				report(v.typ, v.src)

				name := func(at time.Time) string {
					switch {
					case at.IsZero():
						return "0"
					case at.Equal(mali):
						return "M"
					case at.Equal(llqt):
						return "L"
					case at.Equal(old):
						return "o"
					}
					return at.Sub(now).String()
				}
				got := "gone"
				if g := q.groups[site.As16()]; g != nil {
					got = g.mode.String()
					for _, s := range q.Snapshot().Groups[0].Sources {
						got += fmt.Sprintf(" %s:%s", letters(AppendSources(nil, s.Addr)), name(s.Expires))
					}
					if g.mode == Exclude {
						f := name(g.filter)
						if f == "o" {
							f = "F"
						}
						got += " F=" + f
					}
				}
				want, wantSent := v.want, v.sent
				if !querier {
					// "Send Q" is the querier's; the timers of others wait for its query.
					wantSent = ""
					want = withoutQuery(want, v.x, v.typ, v.src)
				}
				if got != want {
					t.Errorf("state %s, want %s", got, want)
				}
				if s := out.take(); s != wantSent {
					t.Errorf("sent %q, want %q", s, wantSent)
				}
			})
		}
	}
}

// withoutQuery is the state that a non-querier comes to: timers are not lowered. Sources
// that are new then have the Filter Timer of before, which is "o".
func withoutQuery(want, x string, typ RecordType, src string) string {
	b := []byte(want)
	for i := range b {
		if b[i] != 'L' || b[i-1] != ':' && b[i-1] != '=' {
			continue
		}
		if b[i-1] == '=' {
			b[i] = 'F'
			continue
		}
		b[i] = 'o'
	}
	return string(b)
}

var allNodesAddr = netip.MustParseAddr("ff02::1")

// TestListenerTable goes through table 1 of RFC 9777 section 6.1 and the merging of changes
// that follow each other before the first has been repeated.
func TestListenerTable(t *testing.T) {
	type step struct {
		mode Mode
		src  string
	}
	for _, v := range []struct {
		name   string
		before step
		steps  []step
		sent   string // at once, one report a step
		again  string // repeated, one a retransmission
	}{
		{"INCLUDE(A) to INCLUDE(B)", step{Include, "ab"}, []step{{Include, "bc"}}, "ALLOW(c) BLOCK(a)", "ALLOW(c) BLOCK(a)"},
		{"EXCLUDE(A) to EXCLUDE(B)", step{Exclude, "ab"}, []step{{Exclude, "bc"}}, "ALLOW(a) BLOCK(c)", "ALLOW(a) BLOCK(c)"},
		{"INCLUDE(A) to EXCLUDE(B)", step{Include, "ab"}, []step{{Exclude, "bc"}}, "TO_EX(bc)", "TO_EX(bc)"},
		{"EXCLUDE(A) to INCLUDE(B)", step{Exclude, "ab"}, []step{{Include, "bc"}}, "TO_IN(bc)", "TO_IN(bc)"},
		{"join", step{}, []step{{Exclude, ""}}, "TO_EX()", "TO_EX()"},
		{"leave", step{Exclude, ""}, []step{{Include, ""}}, "TO_IN()", "TO_IN()"},
		{"join sources", step{}, []step{{Include, "a"}}, "ALLOW(a)", "ALLOW(a)"},
		{"leave sources", step{Include, "ab"}, []step{{Include, ""}}, "BLOCK(ab)", "BLOCK(ab)"},
		{"one source only added", step{Include, "a"}, []step{{Include, "ab"}}, "ALLOW(b)", "ALLOW(b)"},
		{"nothing", step{Include, "a"}, []step{{Include, "a"}}, "", ""},
		{"two changes merged", step{Include, "a"}, []step{{Include, "ab"}, {Include, "abc"}}, "ALLOW(b); ALLOW(bc)", "ALLOW(c)"},
		{"change taken back", step{Include, "a"}, []step{{Include, "ab"}, {Include, "a"}}, "ALLOW(b); BLOCK(b)", "BLOCK(b)"},
		{"mode change over source change", step{Include, "a"}, []step{{Include, "ab"}, {Exclude, "d"}}, "ALLOW(b); TO_EX(d)", "TO_EX(d)"},
		{"source change over mode change", step{Include, "a"}, []step{{Exclude, "d"}, {Exclude, "de"}}, "TO_EX(d); TO_EX(de)", "BLOCK(e)"},
		{"join and leave", step{}, []step{{Exclude, ""}, {Include, ""}}, "TO_EX(); TO_IN()", "TO_IN()"},
	} {
		t.Run(v.name, func(t *testing.T) {
			out := &sink{t: t}
			l := NewListener(ListenerConfig{Source: ourLL}, out)
			now := epoch
			set := func(s step) {
				t.Helper()
				if err := l.SetFilter(now, site, s.mode, addrs(s.src)); err != nil {
					t.Fatal(err)
				}
			}
			set(v.before)
			now = run(t, now, now.Add(time.Minute), l)
			out.take()
			for _, s := range v.steps {
				set(s)
			}
			if got := out.take(); got != v.sent {
				t.Errorf("sent %q, want %q", got, v.sent)
			}
			start := now
			now = run(t, now, now.Add(time.Minute), l)
			for _, s := range out.sent {
				if d := s.at.Sub(start); d <= 0 || d > time.Second {
					t.Errorf("repeated after %v", d)
				}
			}
			if got := out.take(); got != v.again {
				t.Errorf("repeated %q, want %q", got, v.again)
			}
			last := v.steps[len(v.steps)-1]
			if (last.mode == Include && last.src == "") != (len(l.groups) == 0) || len(l.order) != len(l.groups) {
				t.Errorf("%d groups", len(l.groups))
			}
		})
	}
}

// TestMerge is the merging of RFC 9777 section 4.2, against its meaning.
func TestMerge(t *testing.T) {
	var all []Filter
	for _, m := range []Mode{Include, Exclude} {
		for bits := range 16 {
			s := ""
			for i, c := range "abcd" {
				if bits>>i&1 == 1 {
					s += string(c)
				}
			}
			all = append(all, Filter{m, normalize(addrs(s))})
		}
	}
	for _, f := range all {
		for _, g := range all {
			h := f.Merge(g)
			for _, a := range addrs("abcde") {
				if h.Wants(a) != (f.Wants(a) || g.Wants(a)) {
					t.Fatalf("%v + %v = %v: %v", f, g, h, a)
				}
			}
			if !slices.IsSortedFunc(h.Sources, netip.Addr.Compare) {
				t.Fatal("not sorted")
			}
		}
	}
}

package mld

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

// Two downstream links and one upstream listener: the merging of RFC 4605 section 4.1.
func TestProxy(t *testing.T) {
	up := newHost(t, ListenerConfig{})
	p := NewProxy(ProxyConfig{}, up.l)
	var down [2]*rig
	for i := range down {
		r := &rig{t: t, now: epoch, out: &sink{t: t}}
		r.q = NewQuerier(QuerierConfig{Source: ourLL}, r.out, p)
		r.q.Start(r.now)
		p.Attach(r.now, r.q)
		down[i] = r
	}
	state := func() string {
		s := up.l.Snapshot()
		if len(s.Groups) == 0 {
			return ""
		}
		return fmt.Sprintf("%v(%s)", s.Groups[0].Filter.Mode, letters(AppendSources(nil, s.Groups[0].Filter.Sources...)))
	}
	for _, v := range []struct {
		link int
		rec  Record
		want string
	}{
		{0, Record{IsInclude, site, sources("ab")}, "INCLUDE(ab)"},
		{1, Record{IsInclude, site, sources("bc")}, "INCLUDE(abc)"},
		{1, Record{IsExclude, site, sources("ad")}, "EXCLUDE(d)"},
		{0, Record{IsExclude, site, sources("de")}, "EXCLUDE(d)"},
		{0, Record{IsExclude, site, nil}, "EXCLUDE()"},
	} {
		down[v.link].report(hostMA, v.rec)
		if got := state(); got != v.want {
			t.Errorf("after %v on link %d: %s, want %s", v.rec.Type, v.link, got, v.want)
		}
	}
	if got := p.Groups(nil); len(got) != 1 || got[0] != site {
		t.Error(got)
	}
	p.Detach(epoch, down[0].q)
	if got := state(); got != "EXCLUDE(ad)" {
		t.Error(got)
	}
	down[1].wait(10 * time.Minute)
	if got := state(); got != "" {
		t.Error(got)
	}
	// Scopes: the zones of these end at the mesh.
	for _, s := range []string{"ff02::fb", "ff03::fc", "ff01::1", "ff0f::1", "ff00::1"} {
		if p.Proxied(netip.MustParseAddr(s)) {
			t.Errorf("%s goes upstream", s)
		}
	}
	realm := NewProxy(ProxyConfig{MinScope: ipv6.ScopeRealm}, up.l)
	if !realm.Proxied(netip.MustParseAddr("ff03::fc")) || NewProxy(ProxyConfig{MinScope: ipv6.ScopeLink}, up.l).Proxied(netip.MustParseAddr("ff02::fb")) {
		t.Error("MinScope")
	}
	if NewProxy(ProxyConfig{MaxScope: ipv6.ScopeSite}, up.l).Proxied(netip.MustParseAddr("ff0e::1")) {
		t.Error("MaxScope")
	}
}

// What is asked of the upstream stays bounded, and a group that found no room is taken when
// there is some.
func TestProxyLimits(t *testing.T) {
	up := newHost(t, ListenerConfig{Limits: Limits{Sources: 2}})
	p := NewProxy(ProxyConfig{Limits: Limits{Groups: 2, Sources: 2}}, up.l)
	r := &rig{t: t, now: epoch, out: &sink{t: t}}
	r.q = NewQuerier(QuerierConfig{Source: ourLL}, r.out, p)
	r.q.Start(r.now)
	p.Attach(r.now, r.q)
	p.Attach(r.now, r.q)
	g := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("ff05::%x", i)) }
	for i := range 3 {
		r.report(hostMA, Record{IsExclude, g(i + 1), nil})
	}
	if len(up.l.groups) != 2 || p.Stats().Refused != 1 {
		t.Errorf("%+v", p.Stats())
	}
	r.report(hostMA, Record{ToInclude, g(1), nil})
	r.wait(3 * time.Second)
	if got := p.Groups(nil); !slices.Equal(got, []netip.Addr{g(2), g(3)}) {
		t.Error(got)
	}
	r.report(hostMA, Record{ToInclude, g(2), nil}, Record{ToInclude, g(3), nil})
	r.wait(3 * time.Second)
	r.report(hostMA, Record{IsInclude, g(1), sources("abc")})
	if f := up.l.Snapshot().Groups[0].Filter; f.Mode != Exclude || len(f.Sources) != 0 {
		t.Errorf("too many sources: %+v", f)
	}
	ssm := netip.MustParseAddr("ff3e::1")
	r.report(hostMA, Record{IsInclude, ssm, sources("abc")})
	if f := up.l.Snapshot().Groups[1].Filter; f.Mode != Include || len(f.Sources) != 2 {
		t.Errorf("too many sources of SSM: %+v", f)
	}
}

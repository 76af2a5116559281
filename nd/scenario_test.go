package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// joined asserts that the addresses of all hosts are where they should be.
func (w *world) joined() {
	w.t.Helper()
	for i, h := range w.hosts {
		if w.mute[h.ll] {
			continue
		}
		if !h.addrs[h.global()] || h.router != w.r.cfg.LinkLocal {
			w.t.Errorf("%v: host %d: addresses %v, router %v", w.now.Sub(epoch), i, h.addrs, h.router)
			continue
		}
		rec, ok := w.r.Record(h.global())
		if !h.nd.cfg.Classic && (!ok || rec.LinkAddr != h.ll || w.log.registered[h.global()] != h.ll) {
			w.t.Errorf("%v: host %d not registered", w.now.Sub(epoch), i)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  HostConfig
		rc   RouterConfig
		time time.Duration
	}{
		{"EARO", HostConfig{}, RouterConfig{}, 2 * second},
		{"ARO", HostConfig{ARO: AROLegacy}, RouterConfig{}, 2 * second},
		{"router without 6CIO", HostConfig{}, RouterConfig{NoCapability: true}, 2 * second},
		{"classic", HostConfig{Classic: true}, RouterConfig{}, 3 * second},
		{"classic, L always", HostConfig{Classic: true}, RouterConfig{OnLink: OnLinkAlways}, 3 * second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rc.Prefix = mesh
			c.rc.Contexts = []ContextOption{{ID: 1, Prefix: mesh, Compress: true}}
			c.rc.RDNSS = []netip.Addr{netip.MustParseAddr("fd00:1::53")}
			w := newWorld(t, c.rc)
			h := w.host(1, c.cfg)
			w.run(c.time)
			w.joined()
			if h.ctx == 0 != c.cfg.Classic || h.dns == 0 {
				t.Errorf("%d contexts, %d DNS", h.ctx, h.dns)
			}
			// data from the host, then to it
			w.r.Heard(w.now, h.global(), ipv6.Meta{LinkSrc: h.ll, RSSI: -40})
			if ll, err := w.r.Resolve(w.now, h.global(), nil, 0); ll != h.ll || err != nil {
				t.Errorf("resolve: %v %v", ll, err)
			}
			if ll, err := h.nd.Resolve(w.now, netip.MustParseAddr("2001:db8::1"), nil, 0); ll != routerLL || err != nil {
				t.Errorf("host: %v %v", ll, err)
			}
			// the probes that follow keep both alive
			w.run(minute)
			w.joined()
			h.nd.Stop(w.now)
			w.run(second)
			if w.r.Registered() != 0 || len(h.addrs) != 0 || h.router.IsValid() {
				t.Errorf("after the end: %d registered, %v, %v", w.r.Registered(), h.addrs, h.router)
			}
		})
	}
}

// A classic host whose signs are all lost is found out because it does not use the prefix.
func TestClassicFoundByNotTakingUp(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{Classic: true})
	h.nd.timers.Clear()
	w.queue = nil // the solicitations of the first second are lost
	h.nd.endDAD(w.now, h.nd.ll)
	h.nd.solicitRouters(w.now)
	w.run(second)
	if len(prefixes(t, w.sent[0].p)) != 1 {
		t.Fatal("second prefix in the first answer")
	}
	w.run(6 * second)
	w.joined()
}

func TestClassicNeverWithoutL(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, OnLink: OnLinkNever})
	h := w.host(1, HostConfig{Classic: true})
	w.run(hour)
	if h.addrs[h.global()] {
		t.Error("formed an address without the L flag")
	}
}

// Two classic hosts find each other, and a registered one by way of the router.
func TestClassicPeers(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	a, b, c := w.host(1, HostConfig{Classic: true}), w.host(2, HostConfig{Classic: true}), w.host(3, HostConfig{})
	w.run(10 * second)
	w.joined()
	if _, err := a.nd.Resolve(w.now, b.global(), ns("fe80::1", "", b.global().String()), 1); err != ipv6.ErrHeld {
		t.Fatal(err)
	}
	w.run(second)
	if len(a.resolved) != 1 {
		t.Fatalf("%v %v", a.resolved, a.unresolved)
	}
	w.mute[c.ll] = true // asleep
	if _, err := a.nd.Resolve(w.now, c.global(), ns("fe80::1", "", c.global().String()), 1); err != ipv6.ErrHeld {
		t.Fatal(err)
	}
	w.run(second)
	if ll, err := a.nd.Resolve(w.now, c.global(), nil, 1); ll != routerLL || err != nil {
		t.Fatalf("%v %v", ll, err)
	}
	// the router asks for a classic host it has not heard for long
	if e := w.r.lookup(b.global()); e == nil || e.ll != b.ll {
		t.Fatal("not learnt from its duplicate address detection")
	} else {
		w.r.remove(w.now, e, DropUnreachable)
	}
	if _, err := w.r.Resolve(w.now, b.global(), ns("fe80::1", "", b.global().String()), 1); err != ipv6.ErrHeld {
		t.Fatal(err)
	}
	w.run(second)
	if len(w.log.resolved) != 1 {
		t.Fatal(w.log.resolved, w.log.unresolved)
	}
	// NUD: gone
	w.mute[b.ll] = true
	w.run(minute)
	if _, err := w.r.Resolve(w.now, b.global(), nil, 1); err != nil {
		t.Fatal(err)
	}
	w.run(10 * second)
	if w.r.lookup(b.global()) != nil {
		t.Error("still there")
	}
}

func TestDuplicate(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	a := w.host(1, HostConfig{})
	w.run(5 * second)
	// a classic host wants the address of a registered one
	w.sent = nil
	if err := w.r.HandlePacket(w.now, ns("::", "", a.global().String()), ipv6.Meta{LinkSrc: ipv6.EUI64(0x99)}); err != nil {
		t.Fatal(err)
	}
	m, err := CheckNeighborAdvertisement(w.sent[0].p)
	if err != nil || m.Target != a.global() || !m.Override || m.Solicited || m.Options.LinkAddr(OptionTargetLinkAddr, 8) != a.ll || w.sent[0].dst != ipv6.EUI64(0x99) {
		t.Errorf("defended with %+v", m)
	}
	// two that start at once, and one that comes later
	b := w.host(5, HostConfig{Classic: true})
	w.run(10 * second)
	for _, target := range []netip.Addr{b.global(), b.nd.LinkLocal()} {
		if err := b.nd.HandlePacket(w.now, ns("::", "", target.String()), ipv6.Meta{LinkSrc: ipv6.EUI64(0x98)}); err != nil {
			t.Error(err)
		}
		if f := w.fromHos[len(w.fromHos)-1]; icmp(f.p)[0] != typeNeighborAdvertisement || f.p.Dst() != allNodes {
			t.Errorf("not defended: %x", []byte(f.p))
		}
	}
	d := w.host(6, HostConfig{Classic: true})
	if err := d.nd.HandlePacket(w.now, ns("::", "", d.nd.LinkLocal().String()), ipv6.Meta{LinkSrc: ipv6.EUI64(0x98)}); err != nil {
		t.Error(err)
	}
	w.run(10 * second)
	if d.addrs[d.nd.LinkLocal()] {
		t.Error("two nodes have one address")
	}
	// a host of RFC 6775 with the address of another
	c := w.host(3, HostConfig{})
	v, _ := ROVRFrom(eui(77))
	w.r.register(w.now, Record{Addr: c.global(), LinkAddr: ipv6.EUI64(77), ROVR: v}, Registration{Lifetime: 1}, ipv6.Meta{})
	w.run(10 * second)
	if c.addrs[c.global()] || c.nd.Stats().Refused != 1 {
		t.Errorf("has %v", c.addrs)
	}
	w.run(12 * minute) // the other is gone
	if !c.addrs[c.global()] {
		t.Error("did not try again")
	}
}

func TestMove(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{})
	w.run(5 * second)
	to := ipv6.EUI64(0xabcd)
	if s := w.r.register(w.now, Record{Addr: h.global(), LinkAddr: to, ROVR: h.nd.rovr, TID: h.nd.addrs[1].tid + 1, HasTID: true}, Registration{Lifetime: 5}, ipv6.Meta{}); s != StatusSuccess {
		t.Fatal(s)
	}
	if ll, _ := w.r.Resolve(w.now, h.global(), nil, 0); ll != to {
		t.Errorf("at %v", ll)
	}
	w.check()
}

func TestTableFull(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, Limits: Limits{Registrations: 3}})
	for i := range 5 {
		w.host(i, HostConfig{Lifetime: 10 * minute})
	}
	w.run(5 * minute)
	if w.r.Registered() != 3 || w.r.Stats().Refused < 2 {
		t.Errorf("%d registered, %d refused", w.r.Registered(), w.r.Stats().Refused)
	}
	for _, h := range w.hosts {
		if h.addrs[h.global()] {
			h.nd.Stop(w.now)
			w.mute[h.ll] = true
			break
		}
	}
	w.run(5 * minute)
	if w.r.Registered() != 3 {
		t.Errorf("%d registered", w.r.Registered())
	}
}

// A node that is switched off is registered until its lifetime is over, whatever the link
// says; then it is forgotten.
func TestSleepAndExpiry(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{Lifetime: 15 * minute})
	w.run(5 * second)
	w.mute[h.ll] = true
	for range 14 {
		w.run(minute)
		w.r.LinkStatus(w.now, h.ll, false)
		if ll, err := w.r.Resolve(w.now, h.global(), nil, 0); ll != h.ll || err != nil {
			t.Fatalf("%v %v", ll, err)
		}
	}
	if s := w.r.Snapshot(); len(s) != 2 || s[0].LinkFailures != 14 && s[1].LinkFailures != 14 {
		t.Errorf("%+v", s)
	}
	w.run(minute)
	if w.r.Registered() != 0 || w.log.unregistered != 1 || w.r.Stats().Expired != 1 {
		t.Errorf("%d registered", w.r.Registered())
	}
	if _, err := w.r.Resolve(w.now, h.global(), ns("fe80::1", "", h.global().String()), 0); err != ipv6.ErrHeld {
		t.Error(err)
	}
	// it wakes up after its router lost it
	w.mute[h.ll] = false
	w.run(2 * minute)
	w.joined()
}

func TestRestart(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	for i := range 5 {
		w.host(i, HostConfig{Classic: i == 4})
	}
	w.run(minute)
	w.joined()
	recs := w.r.Records()
	if len(recs) != 4 {
		t.Fatalf("%d records", len(recs))
	}
	old := w.r.cfg
	recs = append(recs, Record{Addr: ipv6.WithIID(mesh, 9), Expires: w.now}, Record{Addr: allNodes, ROVR: recs[0].ROVR, Expires: w.now.Add(hour)})
	w.r = NewRouter(old, w, w.log)
	w.r.Restore(w.now, recs)
	w.sent = nil
	w.joined()
	for _, h := range w.hosts[:4] {
		if ll, err := w.r.Resolve(w.now, h.global(), nil, 0); ll != h.ll || err != nil {
			t.Errorf("%v %v", ll, err)
		}
	}
	// The classic one is found by asking, and told of the router before it forgets it.
	c := w.hosts[4]
	w.r.Resolve(w.now, c.global(), ns("fe80::1", "", c.global().String()), 0)
	w.run(25 * time.Hour)
	w.joined()
}

func TestPrefixChange(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, ABROVersion: 9})
	h, c := w.host(1, HostConfig{}), w.host(2, HostConfig{Classic: true})
	w.run(10 * second)
	next := netip.MustParsePrefix("fd00:2::/64")
	w.r.SetPrefix(w.now, next)
	w.run(minute)
	for _, x := range []*testHost{h, c} {
		if a := ipv6.WithIID(next, x.ll.IID()); !x.addrs[a] || !x.addrs[x.global()] {
			t.Errorf("has %v", x.addrs)
		}
	}
	w.run(3 * hour)
	if a := ipv6.WithIID(next, h.ll.IID()); !h.addrs[a] || h.addrs[h.global()] || w.r.ABROVersion() != 10 {
		t.Errorf("has %v, version %d", h.addrs, w.r.ABROVersion())
	}
	w.r.SetContexts(w.now, []ContextOption{{ID: 3, Prefix: next}})
	w.r.SetRDNSS(w.now, []netip.Addr{ipv6.WithIID(next, 1)})
	w.run(minute)
	if w.r.ABROVersion() != 12 || h.ctx == 0 || h.dns == 0 {
		t.Errorf("version %d", w.r.ABROVersion())
	}
}

// TestDelegatedLifetimes: what nodes are told of a prefix ends when the prefix does, to the
// second; they are told when it will end earlier than they think, and the prefix that follows
// finds the one before deprecated for what is left of it.
func TestDelegatedLifetimes(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{Lifetime: 5 * minute})
	at := func(p netip.Prefix) time.Duration { // how long the host may use it
		for _, x := range h.nd.prefixes {
			if x.prefix == p {
				return x.until.Sub(w.now)
			}
		}
		return 0
	}
	delegated := func(preferred, valid time.Duration) {
		w.r.SetLifetimes(w.now, w.now.Add(preferred), w.now.Add(valid))
	}
	delegated(hour, 2*hour)
	w.run(minute)
	if d := at(mesh); d > 2*hour-minute || d < 2*hour-minute-2*second {
		t.Errorf("valid for %v, of a delegation with %v left", d, 2*hour-minute)
	}
	version := w.r.ABROVersion()
	for range 24 { // renewed each half hour, for half a day
		w.run(30 * minute)
		delegated(hour, 2*hour)
		p, v := w.r.Lifetimes(w.now)
		if p != hour || v != 2*hour {
			t.Fatalf("announces %v and %v", p, v)
		}
		if d := at(mesh); d <= 0 || d > 2*hour {
			t.Fatalf("valid for %v", d)
		}
	}
	if w.r.ABROVersion() != version {
		t.Error("a renewal is news")
	}
	// Deprecated by who delegates it.
	delegated(0, hour)
	w.run(20 * second)
	if d := at(mesh); w.r.ABROVersion() == version || d > hour || d < hour-21*second {
		t.Errorf("valid for %v, version %d", d, w.r.ABROVersion())
	}
	// Another one takes its place.
	next := netip.MustParsePrefix("2001:db8:5::/64")
	w.r.SetPrefix(w.now, next)
	delegated(hour, 2*hour)
	w.run(minute)
	if d := at(mesh); d > hour-80*second || d < hour-83*second || at(next) <= hour {
		t.Errorf("the old one is valid for %v, the new one for %v", d, at(next))
	}
	w.run(hour)
	if at(mesh) != 0 || h.addrs[h.global()] || len(w.r.old) != 0 && w.r.old[0].until.After(w.now) {
		t.Errorf("the old one is still there: %v, %v", at(mesh), h.addrs)
	}
	// One that ran out is not announced at all any more.
	delegated(0, 0)
	w.r.SetPrefix(w.now, mesh)
	for _, o := range w.r.old {
		if o.prefix == next {
			t.Errorf("%v is announced until %v", next, o.until)
		}
	}
	if p, v := w.r.Lifetimes(w.now); p != w.r.cfg.PreferredLifetime || v != w.r.cfg.ValidLifetime {
		t.Errorf("our own prefix has %v and %v", p, v)
	}
}

// The router goes away and comes back.
func TestRouterLost(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{Lifetime: 5 * minute})
	w.run(10 * second)
	w.mute[routerLL] = true
	w.run(10 * minute)
	if h.router.IsValid() || h.addrs[h.global()] && h.nd.addr(h.global()).until.After(w.now) {
		t.Errorf("router %v, addresses %v", h.router, h.addrs)
	}
	if _, err := h.nd.Resolve(w.now, netip.MustParseAddr("2001:db8::1"), nil, 0); err != DropNoRouter {
		t.Error(err)
	}
	n := len(w.fromHos)
	w.run(10 * minute)
	if k := len(w.fromHos) - n; k < 7 || k > 12 {
		t.Errorf("%d solicitations in 10 minutes", k)
	}
	w.mute[routerLL] = false
	w.run(2 * minute)
	w.joined()
}

// 60 nodes on a bad link for a day: all join, all stay.
func TestDay(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	w.loss, w.dup, w.delay = 0.2, 0.1, 300*time.Millisecond
	for i := range 60 {
		w.host(i, HostConfig{Classic: i%20 == 7, ARO: AROMode(i % 3)})
	}
	w.run(5 * minute)
	missing := 0
	for range 24 {
		for range 12 {
			w.run(5 * minute)
			w.sent, w.fromHos = nil, nil
			for _, h := range w.hosts {
				if !h.addrs[h.global()] || !h.router.IsValid() {
					missing++
				}
				if h.nd.cfg.Classic { // it speaks now and then
					w.r.Heard(w.now, h.global(), ipv6.Meta{LinkSrc: h.ll})
				}
			}
		}
	}
	// A classic host that missed its only answers stays away, as lwIP does; the others not.
	if missing > 24*12*60/100 {
		t.Errorf("missing %d of %d", missing, 24*12*60)
	}
	for _, h := range w.hosts {
		if !h.nd.cfg.Classic {
			h.nd.Stop(w.now)
		}
	}
	w.hosts = nil
	w.run(hour)
	if w.r.Registered() != 0 {
		t.Errorf("%d registered at the end", w.r.Registered())
	}
}

// An idle router with registered nodes wants nothing but their expiry.
func TestIdle(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	if !w.r.Deadline().IsZero() {
		t.Error("a fresh router wants to be woken")
	}
	w.r.HandlePacket(w.now, unhex(t, riotNS), riot)
	if d := w.r.Deadline(); !d.Equal(w.now.Add(15 * minute)) {
		t.Errorf("woken at %v", d.Sub(w.now))
	}
}

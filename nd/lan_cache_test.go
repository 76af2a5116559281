package nd

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// entryIn returns a LAN with an entry for hostLL at hostMAC in the state named.
func entryIn(t *testing.T, name string) (*lanWorld, *lanNode, *lanEntry) {
	w := newLANWorld(t)
	n := w.one(LANConfig{})
	c := &n.nd.cache
	p := lanPacket(hostLL)
	confirm := func() {
		n.nd.Resolve(w.now, hostLL, p, 7)
		w.inject(n, lanNA(hostLL, lanLL, hostLL, hostMAC, "SO"), hostMAC)
	}
	switch name {
	case "-":
	case "INCOMPLETE":
		n.nd.Resolve(w.now, hostLL, p, 7)
	case "REACHABLE":
		confirm()
	case "STALE":
		confirm()
		w.inject(n, lanNS(hostLL, netip.Addr{}, lanLL, otherMAC, nil), otherMAC)
		w.inject(n, lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil), hostMAC)
	case "DELAY", "PROBE", "UNREACHABLE":
		confirm()
		w.run(c.reachable + second)
		n.nd.Resolve(w.now, hostLL, p, 7)
		if name != "DELAY" {
			w.run(delayFirstProbeTime)
		}
		if name == "UNREACHABLE" {
			w.run(3 * second)
		}
	}
	e := c.lookup(hostLL)
	got := "-"
	if e != nil {
		got = e.stateText(w.now)
	}
	if got != name {
		t.Fatalf("state %s, want %s", got, name)
	}
	n.sent, n.resolved, n.unresolved = nil, nil, nil
	return w, n, e
}

// What a neighbor advertisement does in each state (RFC 4861 section 7.2.5 and appendix C).
// "same" is the link-layer address that is cached, "new" another.
func TestLANAdvertisementTable(t *testing.T) {
	for _, v := range []struct {
		state, flags, tll string
		want              string
		changed           bool // link-layer address
	}{
		{"INCOMPLETE", "SO", "", "INCOMPLETE", false},
		{"INCOMPLETE", "", "", "INCOMPLETE", false},
		{"INCOMPLETE", "S", "new", "REACHABLE", true},
		{"INCOMPLETE", "SO", "new", "REACHABLE", true},
		{"INCOMPLETE", "", "new", "DELAY", true}, // STALE, and the packet that waited was sent
		{"INCOMPLETE", "O", "new", "DELAY", true},
		{"-", "S", "new", "-", false},
		{"-", "SO", "new", "-", false},
		{"REACHABLE", "S", "same", "REACHABLE", false},
		{"STALE", "S", "same", "REACHABLE", false},
		{"PROBE", "S", "same", "REACHABLE", false},
		{"DELAY", "S", "same", "REACHABLE", false},
		{"UNREACHABLE", "S", "same", "REACHABLE", false},
		{"REACHABLE", "S", "new", "STALE", false},
		{"STALE", "S", "new", "STALE", false},
		{"PROBE", "S", "new", "PROBE", false},
		{"DELAY", "S", "new", "DELAY", false},
		{"UNREACHABLE", "S", "new", "UNREACHABLE", false},
		{"REACHABLE", "SO", "new", "REACHABLE", true},
		{"STALE", "SO", "new", "REACHABLE", true},
		{"PROBE", "SO", "new", "REACHABLE", true},
		{"DELAY", "SO", "new", "REACHABLE", true},
		{"UNREACHABLE", "SO", "new", "REACHABLE", true},
		{"REACHABLE", "SO", "", "REACHABLE", false},
		{"STALE", "S", "", "REACHABLE", false},
		{"PROBE", "SO", "", "REACHABLE", false},
		{"REACHABLE", "", "new", "STALE", false},
		{"STALE", "", "new", "STALE", false},
		{"PROBE", "", "new", "PROBE", false},
		{"REACHABLE", "", "same", "REACHABLE", false},
		{"STALE", "", "same", "STALE", false},
		{"PROBE", "", "same", "PROBE", false},
		{"REACHABLE", "O", "new", "STALE", true},
		{"STALE", "O", "new", "STALE", true},
		{"PROBE", "O", "new", "STALE", true},
		{"DELAY", "O", "new", "STALE", true},
		{"UNREACHABLE", "O", "new", "STALE", true},
		{"REACHABLE", "O", "same", "REACHABLE", false},
		{"STALE", "O", "", "STALE", false},
		{"PROBE", "O", "", "PROBE", false},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s", v.state, v.flags, v.tll), func(t *testing.T) {
			w, n, _ := entryIn(t, v.state)
			var tll ipv6.LinkAddr
			switch v.tll {
			case "same":
				tll = hostMAC
			case "new":
				tll = otherMAC
			}
			dst := lanLL
			if v.flags == "" || v.flags == "O" {
				dst = allNodes
			}
			w.inject(n, lanNA(hostLL, dst, hostLL, tll, v.flags), otherMAC)
			e := n.nd.cache.lookup(hostLL)
			if v.want == "-" {
				if e != nil {
					t.Fatalf("an entry in state %s", e.stateText(w.now))
				}
				return
			}
			if got := e.stateText(w.now); got != v.want {
				t.Errorf("state %s, want %s", got, v.want)
			}
			if changed := e.ll == otherMAC; changed != v.changed {
				t.Errorf("link-layer address %v", e.ll)
			}
			if sent := len(n.resolved) > 0; sent != (v.state == "INCOMPLETE" && v.want != "INCOMPLETE") {
				t.Errorf("packets sent: %v", n.resolved)
			}
		})
	}
}

// What messages other than advertisements of a neighbor do in each state (RFC 4861 appendix
// C).
func TestLANLearnTable(t *testing.T) {
	messages := map[string]func(mac ipv6.LinkAddr) ipv6.Packet{
		"NS": func(mac ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, lanLL, mac, nil) },
		"RS": func(mac ipv6.LinkAddr) ipv6.Packet { return lanRS(hostLL, mac) },
		"RA": func(mac ipv6.LinkAddr) ipv6.Packet { return lanRA(hostLL, mac, 0) },
	}
	for name, build := range messages {
		for _, v := range []struct {
			state string
			mac   ipv6.LinkAddr
			want  string
		}{
			{"-", hostMAC, "STALE"},
			{"INCOMPLETE", hostMAC, "DELAY"},
			{"REACHABLE", otherMAC, "STALE"},
			{"STALE", otherMAC, "STALE"},
			{"DELAY", otherMAC, "STALE"},
			{"PROBE", otherMAC, "STALE"},
			{"UNREACHABLE", otherMAC, "STALE"},
			{"REACHABLE", hostMAC, "REACHABLE"},
			{"STALE", hostMAC, "STALE"},
			{"DELAY", hostMAC, "DELAY"},
			{"PROBE", hostMAC, "PROBE"},
			{"UNREACHABLE", hostMAC, "UNREACHABLE"},
		} {
			t.Run(name+"/"+v.state+"/"+v.mac.String(), func(t *testing.T) {
				w, n, _ := entryIn(t, v.state)
				w.inject(n, build(v.mac), v.mac)
				e := n.nd.cache.lookup(hostLL)
				want := v.want
				if name == "RA" && (want == "STALE" || want == "DELAY") && e != nil && !e.known {
					want = "PROBE" // a router not known is asked at once
				}
				if e == nil || e.stateText(w.now) != want || e.ll != v.mac {
					t.Errorf("%+v, want %s at %v", e, want, v.mac)
				}
				if e != nil && e.router != (name == "RA") {
					t.Errorf("IsRouter %v", e.router)
				}
			})
		}
	}
}

// The times of the state machine, to the millisecond.
func TestLANCacheTimes(t *testing.T) {
	w, n, e := entryIn(t, "REACHABLE")
	c := &n.nd.cache
	if c.reachable < 15*second || c.reachable > 45*second {
		t.Fatalf("ReachableTime %v", c.reachable)
	}
	w.run(c.reachable - time.Millisecond)
	if s := e.stateText(w.now); s != "REACHABLE" {
		t.Fatal(s)
	}
	w.run(time.Millisecond)
	if s := e.stateText(w.now); s != "STALE" {
		t.Fatal(s)
	}
	start := w.now
	if ll, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), 1); err != nil || ll != hostMAC {
		t.Fatal(ll, err)
	}
	n.sent = nil
	w.run(60 * second)
	var at []time.Duration
	solicitations := n.solicitations()
	for _, f := range solicitations {
		at = append(at, f.at.Sub(start))
	}
	// three unicast probes, then multicast (RFC 7048): unused since, so it ends after one
	want := []time.Duration{5 * second, 6 * second, 7 * second, 8 * second}
	if fmt.Sprint(at) != fmt.Sprint(want) {
		t.Errorf("solicitations after %v, want %v", at, want)
	}
	for i, f := range solicitations {
		if multicast := i == 3; f.dst.IsZero() != multicast {
			t.Errorf("solicitation %d to %v", i, f.dst)
		}
	}
	if c.lookup(hostLL) != nil {
		t.Error("still there")
	}
}

// A neighbor that is used though it does not answer is sent to for a while, and sought
// further and further apart (RFC 7048), then given up.
func TestLANUnreachableBackoff(t *testing.T) {
	w, n, _ := entryIn(t, "UNREACHABLE")
	start := w.now
	var lost time.Duration
	for i := 0; i < 300 && lost == 0; i++ {
		if _, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), 1); err == DropUnreachable {
			lost = w.now.Sub(start)
		} else if err != nil {
			t.Fatal(err)
		}
		w.run(second)
	}
	var at []time.Duration
	for _, f := range n.solicitations() {
		at = append(at, f.at.Sub(start))
	}
	if want := []time.Duration{second, 4 * second, 13 * second}; fmt.Sprint(at) != fmt.Sprint(want) {
		t.Errorf("solicitations after %v, want %v", at, want)
	}
	if lost != 40*second {
		t.Errorf("given up after %v", lost)
	}
}

func TestLANResolveFailure(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{})
	n.sent = nil
	for i := range 5 {
		if _, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), i); !errors.Is(err, ipv6.ErrHeld) {
			t.Fatal(err)
		}
	}
	if len(n.unresolved) != 2 || n.unresolved[0] != DropQueueFull {
		t.Fatal(n.unresolved)
	}
	w.run(3 * second)
	if got := len(n.take(typeNeighborSolicitation)); got != 3 {
		t.Errorf("%d solicitations", got)
	}
	if len(n.unresolved) != 5 || n.unresolved[4] != DropUnreachable {
		t.Error(n.unresolved)
	}
	if _, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), 1); err != DropUnreachable {
		t.Error(err)
	}
	w.run(negativeTime)
	if _, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), 1); err != ipv6.ErrHeld {
		t.Error(err)
	}
	if _, err := n.nd.Resolve(w.now, allNodes, lanPacket(allNodes), 1); err != nil {
		t.Error(err)
	}
}

// A scan, floods of every message from random sources: the tables stay within their limits,
// and the neighbors in use are kept (RFC 6583).
func TestLANFloods(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, Advertise: true, OfferPrefix: offerNet, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	friends := map[netip.Addr]ipv6.LinkAddr{otherLL: otherMAC}
	for i := range 12 {
		friends[ipv6.WithIID(lanNet, uint64(0x1000+i))] = ipv6.EUI48([6]byte{2, 1, 0, 0, 0, byte(i)})
	}
	w.answer(friends)
	w.inject(n, lanRA(otherLL, otherMAC, 1800, pio(lanNet, 86400, 14400)), otherMAC)
	w.run(5 * second)
	talk := func() (bad int) {
		for a := range friends {
			if _, err := n.nd.Resolve(w.now, a, lanPacket(a), 1); err != nil && err != ipv6.ErrHeld {
				bad++
			}
		}
		return bad
	}
	talk()
	w.run(second)
	if talk() > 0 || len(n.resolved) != 12 {
		t.Fatal("friends do not answer:", len(n.resolved))
	}
	n.unresolved = nil
	rnd := w.nodes[0].nd.rand
	mac := func() ipv6.LinkAddr {
		return ipv6.EUI48([6]byte{2, 9, byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
	}
	link := func() netip.Addr { return ipv6.WithIID(linkLocalPrefix, rnd.Uint64()|1<<63) }
	own := n.nd.Addresses()
	for range 200 {
		for range 50 {
			m, a, g := mac(), link(), ipv6.WithIID(lanNet, rnd.Uint64()|1<<63)
			fake := netip.PrefixFrom(ipv6.WithIID(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(rnd.Uint32()), byte(rnd.Uint32()), 1}), 64), 0), 64)
			n.nd.HandlePacket(w.now, lanNS(g, netip.Addr{}, lanLL, m, nil), ipv6.Meta{LinkSrc: m})
			n.nd.HandlePacket(w.now, lanNS(unspecified, netip.Addr{}, g, ipv6.LinkAddr{}, nil), ipv6.Meta{LinkSrc: m})
			n.nd.HandlePacket(w.now, lanNA(g, allNodes, g, m, "O"), ipv6.Meta{LinkSrc: m})
			n.nd.HandlePacket(w.now, lanRS(a, m), ipv6.Meta{LinkSrc: m})
			n.nd.HandlePacket(w.now, lanRA(a, m, 1800, PreferenceHigh, pio(fake, 86400, 14400), RouteInfo{Prefix: fake, Lifetime: 1800},
				AppendRDNSS(nil, 600, []netip.Addr{g})), ipv6.Meta{LinkSrc: m})
			n.nd.Resolve(w.now, ipv6.WithIID(lanNet, rnd.Uint64()), lanPacket(g), 1) // a scan from the mesh
		}
		if bad := talk(); bad > 0 {
			t.Fatalf("%d friends lost", bad)
		}
		w.run(100 * time.Millisecond)
	}
	for a := range friends {
		if e := n.nd.cache.lookup(a); e == nil || !e.known {
			t.Errorf("%v lost", a)
		}
	}
	w.run(10 * second)
	if r := n.routes[defaultPrefix]; r.NextHop != otherLL {
		t.Errorf("default router %+v", r)
	}
	for _, a := range own {
		if v, ok := n.addrs[a.Addr]; !ok || v.State != AddressPreferred {
			t.Errorf("own address %v lost", a.Addr)
		}
	}
	// A router that comes after all that is taken, with its prefix and DNS server.
	fresh := netip.MustParsePrefix("2001:db8:f00d::/64")
	w.answer(map[netip.Addr]ipv6.LinkAddr{otherLL: otherMAC, hostLL: hostMAC})
	ras := n.take(typeRouterAdvertisement)
	w.run(10 * second)
	w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(fresh, 9000, 9000), AppendRDNSS(nil, 600, []netip.Addr{hostLL})), hostMAC)
	w.run(3 * second)
	if !n.onLink[fresh] || n.addrs[ipv6.WithIID(fresh, n.nd.stableIID(fresh, 0))].State != AddressPreferred || n.dns[len(n.dns)-1] != hostLL {
		t.Errorf("the tables are full of what does not answer: %v %v", n.addrs, n.dns)
	}
	if len(ras) > 20*11+40 {
		t.Errorf("%d advertisements in half a minute", len(ras))
	}
	st := n.nd.Stats()
	if st.Dropped[DropRateLimit] == 0 || st.Dropped[DropTableFull] == 0 && st.Evicted == 0 {
		t.Error("nothing refused")
	}
}

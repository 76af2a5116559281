package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

func onLinkOnly(p netip.Prefix, valid uint32) PrefixInfo {
	return PrefixInfo{Prefix: p, OnLink: true, Valid: valid, Preferred: valid}
}

// A router may leave out its link-layer address; then it is asked for (RFC 4861 section
// 6.2.7), and an entry that there is is a router's.
func TestLANRouterWithoutLinkAddr(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	n.sent = nil
	w.inject(n, lanRA(hostLL, ipv6.LinkAddr{}, 1800), otherMAC) // one of its other interfaces
	if ns := n.solicitations(); len(ns) != 1 || ns[0].p.Dst() != SolicitedNode(hostLL) {
		t.Errorf("%v", ns)
	}
	w.run(second)
	e := n.nd.cache.lookup(hostLL)
	if e == nil || e.ll != hostMAC || e.state != stateReachable || !e.router {
		t.Fatalf("%+v", e)
	}
	w.inject(n, lanRA(hostLL, ipv6.LinkAddr{}, 1800), otherMAC)
	if e.ll != hostMAC || e.state != stateReachable {
		t.Errorf("%+v", e)
	}
	if n.routes[defaultPrefix].NextHop != hostLL {
		t.Error(n.routes)
	}
	// Known before as a host.
	w.inject(n, lanNS(otherLL, netip.Addr{}, lanLL, otherMAC, nil), otherMAC)
	w.inject(n, lanRA(otherLL, ipv6.LinkAddr{}, 0), otherMAC)
	if e := n.nd.cache.lookup(otherLL); e == nil || !e.router {
		t.Errorf("%+v", e)
	}
}

// On-link determination: RFC 4861 section 6.3.4, in the order of its text.
func TestLANOnLink(t *testing.T) {
	other := netip.MustParsePrefix("2001:db8:77::/48")
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, Secret: secret})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC, otherLL: otherMAC})
	from := func(src netip.Addr, mac ipv6.LinkAddr, opts ...any) {
		t.Helper()
		if err := w.inject(n, lanRA(src, mac, 1800, opts...), mac); err != nil {
			t.Fatal(err)
		}
		w.run(5 * second)
	}
	check := func(what string, p netip.Prefix, want bool) {
		t.Helper()
		if n.onLink[p] != want {
			t.Errorf("%s: %v on-link: %v", what, p, n.onLink[p])
		}
	}
	from(hostLL, hostMAC, onLinkOnly(linkLocalPrefix, 9000), onLinkOnly(netip.MustParsePrefix("ff02::/64"), 9000), onLinkOnly(netip.MustParsePrefix("::ffff:0:0/96"), 9000))
	if len(n.onLink) != 0 {
		t.Error(n.onLink)
	}
	// Any length may be on the link, but an address has an identifier of 64 bits.
	for _, bits := range []int{48, 63, 65, 96, 128} {
		p := netip.PrefixFrom(addr("2001:db8:77::"), bits)
		from(hostLL, hostMAC, pio(p, 9000, 9000))
		check("length", p, true)
	}
	if len(n.usable()) != 0 {
		t.Error(n.usable())
	}
	// The option of any router ends it, at once; and the next one begins it again.
	from(otherLL, otherMAC, onLinkOnly(other, 9000))
	from(hostLL, hostMAC, onLinkOnly(other, 0))
	check("ended by the first", other, false)
	from(otherLL, otherMAC, onLinkOnly(other, 9000))
	check("begun by the second", other, true)
	// Without the L flag it says nothing, also not for how long.
	from(otherLL, otherMAC, PrefixInfo{Prefix: other, Autonomous: true, Valid: 10, Preferred: 10})
	from(otherLL, otherMAC, PrefixInfo{Prefix: other, Autonomous: true})
	w.run(minute)
	check("without L", other, true)
	w.run(9000 * second)
	check("at the end of its lifetime", other, false)
}

// What is behind us is not on the link, gives no address there, and is reached by nobody
// else, nor is a part of it.
func TestLANBehindUs(t *testing.T) {
	for _, after := range []bool{false, true} {
		w := newLANWorld(t)
		part := netip.PrefixFrom(ipv6.WithIID(meshNet, 0x42), 128)
		half := netip.PrefixFrom(meshNet.Addr(), 65)
		cfg := LANConfig{AcceptRouter: true, Advertise: true, Secret: secret}
		routes := []AdvertisedRoute{{Prefix: meshNet}}
		if !after {
			cfg.Routes = routes
		}
		n := w.one(cfg)
		w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(meshNet, 9000, 9000), pio(half, 9000, 9000), pio(lanNet, 9000, 9000),
			RouteInfo{Prefix: meshNet, Lifetime: 600}, RouteInfo{Prefix: part, Lifetime: 600, Preference: PreferenceHigh}), hostMAC)
		w.run(5 * second)
		if after {
			if len(n.usable()) != 2 || !n.onLink[meshNet] || !n.onLink[half] || n.routes[part].NextHop != hostLL {
				t.Fatal(n.usable(), n.onLink, n.routes)
			}
			n.nd.SetRoutes(w.now, routes)
			checkLAN(t, n.nd)
		}
		if list := n.usable(); len(list) != 1 || !lanNet.Contains(list[0]) {
			t.Error("addresses", list)
		}
		if len(n.onLink) != 1 || len(n.routes) != 1 {
			t.Error(n.onLink, n.routes)
		}
		if err := w.inject(n, lanNA(part.Addr(), allNodes, part.Addr(), otherMAC, "O"), otherMAC); err != DropUnsolicited {
			t.Error("an address of the mesh is learnt on the link:", err)
		}
	}
}

// Solicitations go on until there is a default route (RFC 7559 section 2.1).
func TestLANSolicitsUntilRoute(t *testing.T) {
	for name, v := range map[string]struct {
		ra   func() ipv6.Packet
		ends bool
	}{
		"lifetime":          {func() ipv6.Packet { return lanRA(hostLL, hostMAC, 1800) }, true},
		"above 9000 s":      {func() ipv6.Packet { return lanRA(hostLL, hostMAC, 65535) }, true},
		"lifetime 0":        {func() ipv6.Packet { return lanRA(hostLL, hostMAC, 0, pio(lanNet, 9000, 9000)) }, false},
		"RIO for ::/0 of 0": {func() ipv6.Packet { return lanRA(hostLL, hostMAC, 1800, RouteInfo{Prefix: defaultPrefix}) }, false},
		"only RIO for ::/0": {func() ipv6.Packet { return lanRA(hostLL, hostMAC, 0, RouteInfo{Prefix: defaultPrefix, Lifetime: 600}) }, true},
	} {
		w := newLANWorld(t)
		n := w.one(LANConfig{AcceptRouter: true})
		w.inject(n, v.ra(), hostMAC)
		n.sent = nil
		w.run(30 * second)
		if got := len(n.take(typeRouterSolicitation)) == 0; got != v.ends {
			t.Errorf("%s: ended %v", name, got)
		}
		if _, ok := n.routes[defaultPrefix]; ok != v.ends {
			t.Errorf("%s: %v", name, n.routes)
		}
	}
}

// A router that ceases to be one takes with it what was redirected to it (RFC 4861 section
// 6.3.5), and no redirect is for a destination that no node has.
func TestLANRedirectEnds(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, AcceptRedirects: true})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC, otherLL: otherMAC})
	w.inject(n, lanRA(hostLL, hostMAC, 1800, PreferenceHigh), hostMAC)
	w.inject(n, lanRA(otherLL, otherMAC, 1800), otherMAC)
	w.run(3 * second)
	redirect := func(dst netip.Addr) error {
		b, _ := Redirect{Target: otherLL, Destination: dst}.AppendBinary(begin(nil))
		return w.inject(n, finish(b, hostLL, lanLL, hopLimit), hostMAC)
	}
	for _, dst := range []netip.Addr{unspecified, netip.IPv6Loopback()} {
		if err := redirect(dst); err != DropTarget {
			t.Error(dst, err)
		}
	}
	dst := addr("2001:db8:99::1")
	if err := redirect(dst); err != nil {
		t.Fatal(err)
	}
	p := netip.PrefixFrom(dst, 128)
	if n.routes[p].NextHop != otherLL {
		t.Fatal(n.routes)
	}
	w.inject(n, lanRA(otherLL, otherMAC, 0), otherMAC)
	if _, ok := n.routes[p]; ok || n.routes[defaultPrefix].NextHop != hostLL {
		t.Error(n.routes)
	}
}

// An option is read as it is meant, whatever its unused bits.
func TestLANOddOptions(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	x := netip.PrefixFrom(addr("2001:db8:64:0:1::"), 64)
	for i := range 3 {
		x = netip.PrefixFrom(ipv6.WithIID(x.Masked(), uint64(i+1)<<32), 64)
		w.inject(n, lanRA(hostLL, hostMAC, 1800, PREF64{Prefix: x, Lifetime: 10 * minute}, PREF64{Prefix: netip.MustParsePrefix("ff00::/96"), Lifetime: minute},
			AppendRDNSS(nil, 600, []netip.Addr{addr("::ffff:192.0.2.1"), allNodes, unspecified, otherLL}),
			AppendMTU(nil, 1279), RouterAdvertisement{CurHopLimit: 0}), hostMAC)
		w.run(second)
	}
	if len(n.nat64) != 1 || n.nat64[0] != x.Masked() {
		t.Error(n.nat64)
	}
	if len(n.dns) != 1 || n.dns[0] != otherLL {
		t.Error(n.dns)
	}
	if p := n.nd.Parameters(); p.MTU != 1500 || p.HopLimit != ipv6.DefaultHopLimit {
		t.Errorf("%+v", p)
	}
	w.inject(n, lanRA(hostLL, hostMAC, 1800, AppendMTU(nil, 9000)), hostMAC)
	if p := n.nd.Parameters(); p.MTU != 1500 {
		t.Errorf("%+v", p)
	}
	w.inject(n, lanRA(hostLL, hostMAC, 1800, AppendMTU(nil, 1280)), hostMAC)
	if p := n.nd.Parameters(); p.MTU != 1280 {
		t.Errorf("%+v", p)
	}
	// Our own, looped back with another source.
	if err := w.inject(n, lanRA(otherLL, otherMAC, 1800), n.mac); err != DropSource {
		t.Error(err)
	}
}

// Time that goes back, and everything at once and again, leave the machine in order.
func TestLANTimeAndRestarts(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{AcceptRouter: true, Advertise: true, AcceptRedirects: true, OfferPrefix: offerNet, Secret: secret, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	at := w.now
	for i := range 300 {
		w.queue = nil
		switch i % 10 {
		case 0:
			n.nd.Start(at)
		case 3:
			n.nd.Down(at)
		case 4:
			n.nd.Down(at)
			n.nd.Start(at)
			n.nd.Start(at)
		case 7:
			at = at.Add(-time.Duration(i) * second)
		case 8:
			if i%20 == 8 {
				n.nd.Stop(at)
				n.nd.Stop(at)
			}
		default:
			n.nd.HandlePacket(at, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 600, 300)), ipv6.Meta{LinkSrc: hostMAC})
			n.nd.HandlePacket(at, lanNS(unspecified, netip.Addr{}, n.nd.linkLocal, ipv6.LinkAddr{}, nil), ipv6.Meta{LinkSrc: otherMAC})
			n.nd.Resolve(at, hostLL, lanPacket(hostLL), 1)
			n.nd.ProxyAdd(at, ipv6.WithIID(lanNet, uint64(i)), i%2 == 0)
		}
		n.nd.Advance(at)
		checkLAN(t, n.nd)
		if d := n.nd.Deadline(); !d.IsZero() && !d.After(at) {
			t.Fatalf("step %d: due at %v, now %v", i, d, at)
		}
		at = at.Add(time.Duration(i%5) * second)
	}
	n.nd.Stop(at)
	if d := n.nd.Deadline(); !d.IsZero() || len(n.addrs)+len(n.onLink)+len(n.routes) != 0 {
		t.Error(d, n.addrs, n.onLink, n.routes)
	}
	w.now, w.queue = at, nil
	n.nd.Start(at)
	w.run(10 * second)
	if !n.nd.LinkLocal().IsValid() || !n.nd.Offering() {
		t.Error("not at work after a start")
	}
}

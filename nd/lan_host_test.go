package nd

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

func hostLAN(t testing.TB) (*lanWorld, *lanNode) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, Secret: secret})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC, otherLL: otherMAC})
	return w, n
}

// Lifetimes of addresses (RFC 4862 section 5.5.3 e): what is left of the valid lifetime
// before, what an RA says, what is left after.
func TestLANTwoHourRule(t *testing.T) {
	const h = 3600
	for _, v := range []struct {
		before, valid, preferred uint32
		want                     time.Duration // valid; -1: for ever
	}{
		{24 * h, 24 * h, 12 * h, 24 * hour},
		{24 * h, 48 * h, 12 * h, 48 * hour},
		{24 * h, 3 * h, 1 * h, 3 * hour},
		{24 * h, 2*h + 1, 1 * h, 2*hour + second},
		{24 * h, 2 * h, 1 * h, 2 * hour},
		{24 * h, 1 * h, 0, 2 * hour},
		{24 * h, 0, 0, 2 * hour},
		{1 * h, 30 * 60, 0, 1 * hour},
		{1 * h, 0, 0, 1 * hour},
		{1 * h, 90 * 60, 60, 90 * minute},
		{1 * h, 1 * h, 60, 1 * hour},
		{Infinity, 0, 0, 2 * hour},
		{Infinity, 24 * h, 0, 24 * hour},
		{1 * h, Infinity, Infinity, -1},
	} {
		w, n := hostLAN(t)
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, v.before, min(v.before, 600))), hostMAC)
		own := ipv6.WithIID(lanNet, n.nd.stableIID(lanNet, 0))
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, v.valid, v.preferred)), hostMAC)
		a := n.nd.addr(own)
		got := a.valid.Sub(w.now)
		if a.valid.IsZero() {
			got = -1
		}
		if got != v.want {
			t.Errorf("%d, then %d: %v, want %v", v.before, v.valid, got, v.want)
		}
		w.run(3 * second)
		if s := n.addrs[own].State; (s == AddressDeprecated) != (v.preferred == 0) {
			t.Errorf("%d, then %d: %v", v.before, v.valid, s)
		}
	}
}

func TestLANAutoconfiguration(t *testing.T) {
	w, n := hostLAN(t)
	w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 400, 200)), hostMAC)
	start := w.now
	if !n.onLink[lanNet] {
		t.Error("prefix not on-link")
	}
	w.run(2 * second)
	a := ipv6.WithIID(lanNet, n.nd.stableIID(lanNet, 0))
	if n.addrs[a].State != AddressPreferred {
		t.Fatal(n.addrs)
	}
	w.run(start.Add(200*second - 1).Sub(w.now))
	if n.addrs[a].State != AddressPreferred {
		t.Error("deprecated early")
	}
	w.run(1)
	if n.addrs[a].State != AddressDeprecated {
		t.Error("not deprecated")
	}
	w.run(200*second - 1)
	if _, ok := n.addrs[a]; !ok || !n.onLink[lanNet] {
		t.Error("gone early")
	}
	w.run(1)
	if _, ok := n.addrs[a]; ok || n.onLink[lanNet] {
		t.Error("still there")
	}
	// What forms no address.
	for name, o := range map[string]PrefixInfo{
		"link-local":        pio(linkLocalPrefix, 600, 600),
		"preferred > valid": pio(lanNet, 600, 601),
		"A clear":           {Prefix: lanNet, OnLink: true, Valid: 600, Preferred: 600},
		"valid 0":           pio(lanNet, 0, 0),
		"not 64 bits":       pio(netip.MustParsePrefix("2001:db8:2::/60"), 600, 600),
		"multicast":         pio(netip.MustParsePrefix("ff05::/64"), 600, 600),
		"neither L nor A":   {Prefix: lanNet, Valid: 600, Preferred: 600},
	} {
		w.inject(n, lanRA(hostLL, hostMAC, 1800, o), hostMAC)
		w.run(3 * second)
		if len(n.usable()) > 0 {
			t.Errorf("%s: %v", name, n.usable())
		}
	}
	// A alone: an address, but nothing on-link.
	w, n = hostLAN(t)
	w.inject(n, lanRA(hostLL, hostMAC, 1800, PrefixInfo{Prefix: lanNet, Autonomous: true, Valid: 600, Preferred: 600}), hostMAC)
	w.run(3 * second)
	if len(n.usable()) != 1 || n.onLink[lanNet] {
		t.Error(n.usable(), n.onLink)
	}
}

func TestLANDefaultRouters(t *testing.T) {
	w, n := hostLAN(t)
	def := func() netip.Addr { return n.routes[defaultPrefix].NextHop }
	w.inject(n, lanRA(hostLL, hostMAC, 1800), hostMAC)
	if def() != hostLL {
		t.Fatal(n.routes)
	}
	w.inject(n, lanRA(otherLL, otherMAC, 1800), otherMAC)
	if def() != hostLL || n.changes != 1 {
		t.Error("changed without need")
	}
	w.inject(n, lanRA(otherLL, otherMAC, 1800, PreferenceHigh), otherMAC)
	if def() != otherLL {
		t.Error("preference not followed")
	}
	w.inject(n, lanRA(otherLL, otherMAC, 1800, PreferenceLow), otherMAC)
	if def() != hostLL {
		t.Error("low preference preferred")
	}
	w.inject(n, lanRA(otherLL, otherMAC, 1800, PreferenceReserved), otherMAC)
	if r := n.nd.Routes(); r[1].Preference != PreferenceMedium {
		t.Error("the reserved preference is not medium")
	}
	// A route for ::/0 overrides the header (RFC 4191 section 3.1).
	w.inject(n, lanRA(otherLL, otherMAC, 0, RouteInfo{Prefix: defaultPrefix, Preference: PreferenceHigh, Lifetime: 600}), otherMAC)
	if def() != otherLL {
		t.Error("::/0 not taken")
	}
	w.run(600*second - 1)
	w.inject(n, lanRA(hostLL, hostMAC, 1800), hostMAC)
	if def() != otherLL {
		t.Error("ended early")
	}
	w.run(1)
	if def() != hostLL {
		t.Error("not ended")
	}
	// Reachability comes before preference; the better one is asked for once a minute.
	w.inject(n, lanRA(otherLL, otherMAC, 9000, PreferenceHigh), otherMAC)
	w.hook = nil
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	w.run(minute)
	n.nd.Resolve(w.now, otherLL, lanPacket(otherLL), 1)
	w.run(10 * second)
	if def() != hostLL {
		t.Fatal("stays with one that does not answer")
	}
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC, otherLL: otherMAC})
	w.run(2 * minute)
	if def() != otherLL {
		t.Error("not found again")
	}
	// R flag gone: no router any more (RFC 4861 section 7.2.5).
	w.inject(n, lanNA(otherLL, allNodes, otherLL, otherMAC, "O"), otherMAC)
	if def() != hostLL {
		t.Error("still the router")
	}
	// Lifetime 0 ends it; without one we solicit again.
	n.sent = nil
	w.inject(n, lanRA(hostLL, hostMAC, 0), hostMAC)
	if _, ok := n.routes[defaultPrefix]; ok {
		t.Error("still a router")
	}
	w.run(3 * second)
	if len(n.take(typeRouterSolicitation)) == 0 {
		t.Error("not solicited")
	}
}

// Where no router answers they are tried in turn (RFC 4861 section 6.3.6).
func TestLANRoundRobin(t *testing.T) {
	w, n := hostLAN(t)
	w.answer(nil)
	w.inject(n, lanRA(hostLL, hostMAC, 9000, PreferenceHigh), hostMAC)
	w.inject(n, lanRA(otherLL, otherMAC, 9000), otherMAC)
	w.run(5 * second)
	seen := map[netip.Addr]int{}
	for range 60 {
		seen[n.routes[defaultPrefix].NextHop]++
		w.run(second)
	}
	if seen[hostLL] < 15 || seen[otherLL] < 15 {
		t.Error(seen)
	}
}

func TestLANRouterSolicitations(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{AcceptRouter: true, LinkLocal: lanLL})
	n.nd.Start(w.now)
	w.run(24 * hour)
	var at []time.Duration
	for _, f := range n.sent {
		if icmp(f.p)[0] == typeRouterSolicitation {
			at = append(at, f.at.Sub(epoch))
		}
	}
	// 4 s, doubled up to an hour, each +-10 % (RFC 7559)
	wait := 4.0
	for i := 1; i < len(at); i++ {
		got := (at[i] - at[i-1]).Seconds()
		if got < wait*0.89 || got > wait*1.11 {
			t.Errorf("solicitation %d after %v s, want %v", i, got, wait)
		}
		wait = math.Min(2*got, 3600)
	}
	if len(at) < 30 || at[0] > second {
		t.Errorf("%d solicitations, first after %v", len(at), at[0])
	}
	w.inject(n, lanRA(hostLL, hostMAC, 9000), hostMAC)
	n.sent = nil
	w.run(2 * hour)
	if k := len(n.take(typeRouterSolicitation)); k != 0 {
		t.Errorf("%d solicitations with a router", k)
	}
}

func TestLANOptions(t *testing.T) {
	w, n := hostLAN(t)
	mesh2 := netip.MustParsePrefix("fd00:bbbb::/64")
	dns1, dns2 := addr("2001:db8::53"), addr("2001:db8::54")
	list, _ := AppendDNSSL(nil, 600, []string{"example.org", "home.arpa"})
	w.inject(n, lanRA(hostLL, hostMAC, 1800,
		RouterAdvertisement{CurHopLimit: 50, Managed: true, ReachableTime: 10_000, RetransTimer: 500},
		AppendMTU(nil, 1400), RouteInfo{Prefix: mesh2, Preference: PreferenceHigh, Lifetime: 300},
		AppendRDNSS(nil, 100, []netip.Addr{dns1, dns2}), list, PREF64{netip.MustParsePrefix("64:ff9b::/96"), 80 * second}), hostMAC)
	if p := n.params; p.MTU != 1400 || p.HopLimit != 50 || !p.Managed || p.Other || p.ReachableTime != 10*second || p.RetransTimer != 500*time.Millisecond {
		t.Errorf("%+v", p)
	}
	if c := n.nd.cache; c.retrans != 500*time.Millisecond || c.reachable < 5*second || c.reachable > 15*second {
		t.Error(c.retrans, c.reachable)
	}
	if r := n.routes[mesh2]; r.NextHop != hostLL || r.Preference != PreferenceHigh || r.Expires != w.now.Add(300*second) {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(n.dns, []netip.Addr{dns1, dns2}) || !slices.Equal(n.search, []string{"example.org", "home.arpa"}) || len(n.nat64) != 1 {
		t.Error(n.dns, n.search, n.nat64)
	}
	w.run(80*second - 1)
	if len(n.nat64) != 1 {
		t.Error("PREF64 ended early")
	}
	w.run(1)
	if len(n.nat64) != 0 {
		t.Error("PREF64 not ended")
	}
	w.run(20*second - 1)
	if len(n.dns) != 2 {
		t.Error("RDNSS ended early")
	}
	w.run(1)
	if len(n.dns) != 0 || len(n.search) != 2 {
		t.Error("RDNSS not ended")
	}
	w.run(200 * second)
	if _, ok := n.routes[mesh2]; ok {
		t.Error("route not ended")
	}
	// MTUs that are none, and values that say nothing
	for _, mtu := range []uint32{1279, 1501, 0, math.MaxUint32} {
		w.inject(n, lanRA(hostLL, hostMAC, 1800, AppendMTU(nil, mtu)), hostMAC)
	}
	if p := n.nd.Parameters(); p.MTU != 1400 || p.HopLimit != 50 || p.Managed {
		t.Errorf("%+v", p)
	}
	// Withdrawn by lifetime 0
	w.inject(n, lanRA(hostLL, hostMAC, 1800, RouteInfo{Prefix: mesh2, Lifetime: Infinity}, AppendRDNSS(nil, Infinity, []netip.Addr{dns1})), hostMAC)
	w.run(48 * hour)
	if len(n.routes) != 1 || len(n.dns) != 1 {
		t.Error("infinite lifetimes ended", n.routes)
	}
	w.inject(n, lanRA(hostLL, hostMAC, 0, RouteInfo{Prefix: mesh2}, AppendRDNSS(nil, 0, []netip.Addr{dns1})), hostMAC)
	if len(n.routes) != 0 || len(n.dns) != 0 {
		t.Error(n.routes, n.dns)
	}
	// The routers are forgotten when nothing of them is left.
	w.run(hour)
	if len(n.nd.routers) != 0 {
		t.Error(n.nd.routers)
	}
}

// Redirects (RFC 4861 sections 8.1 and 8.3) are followed where the configuration says so.
func TestLANRedirected(t *testing.T) {
	far := addr("2001:db8:99::1")
	build := func(src, target, dst netip.Addr) ipv6.Packet {
		b, _ := Redirect{Target: target, Destination: dst}.AppendBinary(begin(nil))
		return finish(AppendLinkAddr(b, OptionTargetLinkAddr, otherMAC), src, lanLL, hopLimit)
	}
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, AcceptRedirects: true})
	w.inject(n, lanRA(hostLL, hostMAC, 9000, pio(lanNet, 9000, 9000)), hostMAC)
	for name, v := range map[string]struct {
		p    ipv6.Packet
		want error
	}{
		"not the first hop":      {build(otherLL, otherLL, far), DropSource},
		"global source":          {build(far, otherLL, far), DropSource},
		"multicast destination":  {build(hostLL, otherLL, allNodes), DropTarget},
		"target is a global":     {build(hostLL, addr("2001:db8:98::1"), far), DropTarget},
		"target is us":           {build(hostLL, lanLL, far), DropTarget},
		"destination is on-link": {build(hostLL, otherLL, ipv6.WithIID(lanNet, 5)), DropSource},
	} {
		if err := w.inject(n, v.p, hostMAC); err != v.want {
			t.Errorf("%s: %v, want %v", name, err, v.want)
		}
	}
	if err := w.inject(n, build(hostLL, otherLL, far), hostMAC); err != nil {
		t.Fatal(err)
	}
	host := netip.PrefixFrom(far, 128)
	if r := n.routes[host]; r.NextHop != otherLL || !r.Redirect {
		t.Errorf("%+v", r)
	}
	if ll, err := n.nd.Resolve(w.now, otherLL, lanPacket(far), 1); ll != otherMAC || err != nil {
		t.Error(ll, err)
	}
	w.run(routerKeepTime)
	if _, ok := n.routes[host]; ok {
		t.Error("redirect does not end")
	}
	m := w.one(LANConfig{AcceptRouter: true, LinkLocal: addr("fe80::2")})
	if err := w.inject(m, build(hostLL, otherLL, far), hostMAC); err != DropRedirect {
		t.Error(err)
	}
}

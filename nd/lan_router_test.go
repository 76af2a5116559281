package nd

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

// An raView is a router advertisement taken apart.
type raView struct {
	RouterAdvertisement
	sll    ipv6.LinkAddr
	pio    map[netip.Prefix]PrefixInfo
	rio    map[netip.Prefix]RouteInfo
	mtu    uint32
	rdnss  RDNSS
	pref64 PREF64
	domain []string
}

func view(t testing.TB, p ipv6.Packet) raView {
	t.Helper()
	m, err := CheckRouterAdvertisement(p)
	if err != nil {
		t.Fatal(err)
	}
	v := raView{RouterAdvertisement: m, pio: map[netip.Prefix]PrefixInfo{}, rio: map[netip.Prefix]RouteInfo{}, sll: m.Options.LinkAddr(OptionSourceLinkAddr, 6)}
	for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		if x, ok := ParsePrefixInfo(o); ok {
			v.pio[x.Prefix] = x
		}
		if x, ok := ParseRouteInfo(o); ok {
			v.rio[x.Prefix] = x
		}
		if x, ok := ParseMTU(o); ok {
			v.mtu = x
		}
		if x, ok := ParseRDNSS(o); ok {
			v.rdnss = x
		}
		if x, ok := ParsePREF64(o); ok {
			v.pref64 = x
		}
		if _, d, ok := ParseDNSSL(o); ok {
			v.domain = d
		}
	}
	return v
}

// last returns the last advertisement sent, and forgets all.
func (n *lanNode) last() (raView, bool) {
	list := n.take(typeRouterAdvertisement)
	if len(list) == 0 {
		return raView{}, false
	}
	return view(n.w.t, list[len(list)-1]), true
}

func TestLANAdvertises(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{
		Advertise: true, LinkLocal: lanLL, CurHopLimit: 64, AnnounceMTU: true, Secret: secret,
		Routes: []AdvertisedRoute{{Prefix: meshNet}, {Prefix: lanNet, Preference: PreferenceLow, Lifetime: hour}},
		RDNSS:  []netip.Addr{lanLL}, DNSSL: []string{"mesh.home.arpa"}, NAT64: netip.MustParsePrefix("64:ff9b::/96"),
		OfferPrefix: offerNet,
	})
	n.nd.Start(w.now)
	w.run(2 * second)
	v, ok := n.last()
	if !ok {
		t.Fatal("no advertisement within 2 s")
	}
	if v.RouterLifetime != 0 || v.Preference != PreferenceMedium || v.CurHopLimit != 64 || v.mtu != 1500 || v.sll != lanMAC || v.Reserved != flagStub || len(v.pio) != 0 {
		t.Errorf("%+v", v)
	}
	if r := v.rio[meshNet]; r.Lifetime != 1800 || r.Preference != PreferenceMedium {
		t.Errorf("%+v", r)
	}
	if r := v.rio[lanNet]; r.Lifetime != 3600 || r.Preference != PreferenceLow {
		t.Errorf("%+v", r)
	}
	if v.rdnss.Lifetime != 600 || v.rdnss.Servers[0] != lanLL || v.pref64.Lifetime != 600*second || !slices.Equal(v.domain, []string{"mesh.home.arpa"}) {
		t.Errorf("%+v", v)
	}
	// Nobody advertises a prefix: ours is offered within 10 s, with an address of ours.
	w.run(7 * second)
	v, _ = n.last()
	if x := v.pio[offerNet]; !x.OnLink || !x.Autonomous || x.Valid != 1800 || x.Preferred != 1800 {
		t.Errorf("%+v", v.pio)
	}
	if !n.nd.Offering() || !n.onLink[offerNet] || len(n.usable()) != 1 || !offerNet.Contains(n.usable()[0]) || n.persist == 0 {
		t.Error(n.onLink, n.addrs)
	}
	// Intervals: never less than 3 s apart, three at most 16 s apart, then 150 to 200 s.
	n.sent = nil
	w.run(2 * hour)
	var before time.Time
	for i, f := range n.sent {
		if icmp(f.p)[0] != typeRouterAdvertisement {
			continue
		}
		if d := f.at.Sub(before); !before.IsZero() && i > 4 && (d < 150*second || d > 200*second) {
			t.Errorf("after %v", d)
		}
		before = f.at
	}
	// A final one ends it (RFC 4861 section 6.2.5).
	kept := n.nd.Advertised()
	n.sent = nil
	n.nd.Stop(w.now)
	v, ok = n.last()
	if x := v.pio[offerNet]; !ok || x.Preferred != 0 || x.Valid != 1800 || v.rio[meshNet].Lifetime != 0 || v.rdnss.Lifetime != 0 || v.RouterLifetime != 0 {
		t.Errorf("%+v", v)
	}
	if len(n.addrs) != 0 || len(n.onLink) != 0 || !n.nd.Deadline().IsZero() {
		t.Error(n.addrs, n.onLink, n.nd.Deadline())
	}
	if len(kept) != 3 || kept[0] != (Advertised{Prefix: offerNet, OnLink: true, Autonomous: true, Lifetime: 1800 * second}) {
		t.Error(kept)
	}
	if err := n.nd.HandlePacket(w.now, lanRS(hostLL, hostMAC), ipv6.Meta{LinkSrc: hostMAC}); err != DropStopped {
		t.Error(err)
	}
	if _, err := n.nd.Resolve(w.now, hostLL, lanPacket(hostLL), 1); err != DropStopped {
		t.Error(err)
	}
	// And it may start again.
	n.nd.Start(w.now)
	w.run(10 * second)
	if v, _ = n.last(); v.rio[meshNet].Lifetime != 1800 || v.pio[offerNet].Preferred != 1800 {
		t.Errorf("%+v", v)
	}
}

// A router lifetime, and its end.
func TestLANDefaultLifetime(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, RouterLifetime: 1800 * second, Preference: PreferenceHigh})
	if v, _ := n.last(); v.RouterLifetime != 1800 || v.Preference != PreferenceHigh || v.Reserved != 0 {
		t.Errorf("%+v", v)
	}
	n.nd.SetRouterLifetime(w.now, 0, PreferenceHigh)
	w.run(40 * second)
	ras := n.take(typeRouterAdvertisement)
	if len(ras) != 3 {
		t.Fatalf("%d advertisements", len(ras))
	}
	if v := view(t, ras[0]); v.RouterLifetime != 0 || v.Preference != PreferenceMedium {
		t.Errorf("%+v", v)
	}
	w.run(hour)
	if _, ok := n.last(); ok {
		t.Error("an advertisement that says nothing")
	}
}

func TestLANAnswersSolicitations(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	w.run(hour)
	n.sent = nil
	start := w.now
	for range 100 { // all that ask within a moment hear one answer
		w.inject(n, lanRS(unspecified, ipv6.LinkAddr{}), hostMAC)
	}
	w.run(maxRADelayTime)
	if len(n.sent) != 1 || n.sent[0].p.Dst() != allNodes || n.sent[0].at.Sub(start) > maxRADelayTime {
		t.Fatalf("%d answers", len(n.sent))
	}
	// Right after a multicast one: by unicast, or after MIN_DELAY_BETWEEN_RAS.
	n.sent = nil
	start = w.now
	for range 3 {
		if err := w.inject(n, lanRS(hostLL, hostMAC), hostMAC); err != nil || len(n.sent) > 0 {
			t.Fatal(err, n.sent)
		}
	}
	w.run(maxRADelayTime)
	if len(n.sent) != 1 || n.sent[0].p.Dst() != hostLL || n.sent[0].dst != hostMAC || n.sent[0].at.Equal(start) {
		t.Fatal(n.sent)
	}
	last := n.nd.adv.last
	n.sent = nil
	w.inject(n, lanRS(unspecified, ipv6.LinkAddr{}), hostMAC)
	w.run(4 * second)
	if len(n.sent) != 1 || n.sent[0].at.Sub(last) < minDelayBetweenRAs {
		t.Errorf("%d answers, %v", len(n.sent), start)
	}
	// A flood is answered as well: a few by unicast, all together by multicast.
	n.sent = nil
	for i := range 1000 {
		a := ipv6.WithIID(linkLocalPrefix, uint64(0x1000+i))
		if err := w.inject(n, lanRS(a, hostMAC), hostMAC); err != nil {
			t.Fatal(err)
		}
	}
	w.run(4 * second)
	if all, group := len(n.take(typeRouterAdvertisement)), w.now.Sub(n.nd.adv.last); all < 2 || all > 1+maxDelayed || group > 4*second {
		t.Errorf("%d answers, the last to all %v ago", all, group)
	}
}

// What is announced no more: a prefix with lifetimes of zero for as long as hosts may have it
// (RFC 9096 section 3.5); a route withdrawn in three advertisements.
func TestLANRenumbering(t *testing.T) {
	w := newLANWorld(t)
	old, now := netip.MustParsePrefix("2001:db8:a::/64"), netip.MustParsePrefix("2001:db8:b::/64")
	n := w.one(LANConfig{
		Advertise: true, Routes: []AdvertisedRoute{{Prefix: meshNet}},
		Prefixes: []AdvertisedPrefix{{Prefix: old, OnLink: true, Autonomous: true, Valid: 24 * hour, Preferred: 12 * hour}},
	})
	if v, _ := n.last(); v.pio[old].Valid != 86400 || v.pio[old].Preferred != 43200 {
		t.Fatal("not announced")
	}
	w.run(hour)
	n.sent = nil
	n.nd.SetPrefixes(w.now, []AdvertisedPrefix{{Prefix: now, OnLink: true, Autonomous: true}})
	n.nd.SetRoutes(w.now, []AdvertisedRoute{{Prefix: now}})
	w.run(second)
	v, ok := n.last()
	stale := PrefixInfo{Prefix: old, OnLink: true, Autonomous: true} // "the A and L bits unchanged"
	if x, there := v.pio[old]; !ok || !there || x != stale || v.pio[now].Valid != 1800 {
		t.Errorf("%+v", v.pio)
	}
	if r, ok := v.rio[meshNet]; !ok || r.Lifetime != 0 {
		t.Errorf("%+v", v.rio)
	}
	w.run(hour)
	v, _ = n.last()
	if _, ok := v.rio[meshNet]; ok {
		t.Error("still withdrawn after an hour")
	}
	if x, ok := v.pio[old]; !ok || x != stale {
		t.Errorf("%+v", x)
	}
	if list := n.nd.Advertised(); len(list) != 3 {
		t.Error(list)
	}
	// The hosts hear of it over a restart too (RFC 9096).
	kept := n.nd.Advertised()
	m := w.add(LANConfig{Advertise: true, LinkLocal: addr("fe80::2"), Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	m.nd.Restore(w.now, kept)
	m.nd.Start(w.now)
	w.run(3 * second)
	v, _ = m.last()
	if x, ok := v.pio[old]; !ok || x != stale || v.rio[now].Lifetime != 0 || v.rio[meshNet].Lifetime != 1800 {
		t.Errorf("%+v %+v", v.pio, v.rio)
	}
	if x, ok := v.pio[now]; ok {
		t.Errorf("%+v: ended, though another router advertises it", x)
	}
	// As long as hosts may hold it: for the valid lifetime that was advertised last.
	w.run(22*hour + 50*minute)
	if v, _ = m.last(); v.pio[old] != stale {
		t.Errorf("%+v", v.pio)
	}
	w.run(10 * minute)
	n.sent, m.sent = nil, nil
	w.run(10 * minute)
	if v, _ = m.last(); len(v.pio) != 0 {
		t.Errorf("%+v", v.pio)
	}
	// One that comes back is not withdrawn any more.
	n.nd.SetPrefixes(w.now, nil)
	n.nd.SetPrefixes(w.now, []AdvertisedPrefix{{Prefix: now, OnLink: true, Autonomous: true}})
	w.run(5 * second)
	if v, _ = n.last(); v.pio[now].Preferred != 1800 {
		t.Errorf("%+v", v.pio)
	}
}

// In the way of an interface that is the kernel's.
func TestLANRouterOnly(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{RouterOnly: true, Advertise: true, LinkLocal: lanLL, OfferPrefix: offerNet, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	n.nd.Start(w.now)
	w.run(10 * second)
	v, ok := n.last()
	if !ok || v.pio[offerNet].Valid != 1800 || v.rio[meshNet].Lifetime != 1800 {
		t.Errorf("%+v", v)
	}
	if len(n.history) > 0 || !n.onLink[offerNet] {
		t.Error(n.history, n.onLink)
	}
	// The kernel answers for its own addresses.
	if err := w.inject(n, lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil), hostMAC); err != DropNotOurs || len(n.sent) > 0 {
		t.Error(err)
	}
	// What the kernel sends is not another's.
	if err := w.inject(n, lanNS(lanLL, netip.Addr{}, hostLL, n.mac, nil), n.mac); err != DropSource {
		t.Error(err)
	}
	n.nd.SetLinkLocal(w.now, addr("fe80::abc"), otherMAC)
	w.run(4 * second)
	if list := n.take(typeRouterAdvertisement); len(list) == 0 || list[0].Src() != addr("fe80::abc") || view(t, list[0]).sll != otherMAC {
		t.Error("the kernel's new address is not used")
	}
}

func TestLANSendsRedirects(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, AcceptRouter: true})
	w.inject(n, lanRA(otherLL, otherMAC, 1800, pio(lanNet, 9000, 9000)), otherMAC)
	w.run(3 * second)
	src, dst := ipv6.WithIID(lanNet, 0x10), addr("2001:db8:99::1")
	p := ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1), netip.AddrPortFrom(dst, 2), 64, make([]byte, 1300))
	m := ipv6.Meta{LinkSrc: hostMAC}
	n.sent = nil
	if err := n.nd.Redirect(w.now, p, m, otherLL); err != nil {
		t.Fatal(err)
	}
	if len(n.sent) != 1 || len(n.sent[0].p) > ipv6.MinMTU || n.sent[0].dst != hostMAC {
		t.Fatal(n.sent)
	}
	r, err := CheckRedirect(n.sent[0].p)
	if err != nil || r.Target != otherLL || r.Destination != dst || r.Options.LinkAddr(OptionTargetLinkAddr, 6) != otherMAC {
		t.Errorf("%+v %v", r, err)
	}
	o, _ := r.Options.Find(OptionRedirected)
	if b, ok := ParseRedirected(o); !ok || len(b) < 1100 || string(b) != string(p[:len(b)]) {
		t.Errorf("%d bytes of the packet", len(b))
	}
	for name, v := range map[string]struct {
		p      ipv6.Packet
		m      ipv6.Meta
		target netip.Addr
		want   Drop
	}{
		"multicast":            {ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1), netip.AddrPortFrom(addr("ff0e::1"), 2), 64, nil), m, otherLL, DropDestination},
		"source not on link":   {ipv6.AppendUDP(nil, netip.AddrPortFrom(dst, 1), netip.AddrPortFrom(dst, 2), 64, nil), m, otherLL, DropSource},
		"target global":        {p, m, ipv6.WithIID(lanNet, 3), DropTarget},
		"target is us":         {p, m, lanLL, DropTarget},
		"no link source":       {p, ipv6.Meta{}, otherLL, DropSourceOption},
		"came from the target": {p, ipv6.Meta{LinkSrc: otherMAC}, otherLL, DropSource},
	} {
		if err := n.nd.Redirect(w.now, v.p, v.m, v.target); err != v.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	limited := 0
	for range 100 {
		if n.nd.Redirect(w.now, p, m, otherLL) == DropRateLimit {
			limited++
		}
	}
	if limited < 90 {
		t.Errorf("%d refused", limited)
	}
}

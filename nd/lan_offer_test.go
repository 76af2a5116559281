package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// Two routers of our kind that start at once: the lower prefix stays, the other is
// deprecated, and nothing flaps. When the one goes, the other offers its own again.
func TestLANTwoOffers(t *testing.T) {
	low, high := netip.MustParsePrefix("fd11:1::/64"), netip.MustParsePrefix("fd22:2::/64")
	for _, head := range []time.Duration{0, 300 * time.Millisecond, 4 * second, minute, hour} {
		w := newLANWorld(t)
		a := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: high, Secret: secret, Routes: []AdvertisedRoute{{Prefix: netip.MustParsePrefix("fd22:3::/64")}}})
		b := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: low, Secret: []byte("another secret...."), Routes: []AdvertisedRoute{{Prefix: netip.MustParsePrefix("fd11:3::/64")}}})
		a.nd.Start(w.now)
		w.run(head)
		b.nd.Start(w.now)
		w.run(40 * second)
		if a.nd.Offering() == b.nd.Offering() || head < second && a.nd.Offering() {
			t.Fatalf("%v: %v %v", head, a.nd.Offering(), b.nd.Offering())
		}
		winner, loser := b, a
		if a.nd.Offering() {
			winner, loser = a, b // it was there first, and the other never began
		}
		wins, losses := winner.persist, loser.persist
		w.run(6 * hour)
		if winner.persist != wins || loser.persist > losses+1 {
			t.Errorf("%v: flaps: %d, %d", head, winner.persist-wins, loser.persist-losses)
		}
		if len(winner.onLink) != 1 || len(loser.onLink) != 1 || len(winner.usable()) != 1 || len(loser.usable()) != 1 {
			t.Errorf("%v: %v %v, %v %v", head, winner.onLink, loser.onLink, winner.addrs, loser.addrs)
		}
		if r := loser.routes; len(r) != 1 || len(winner.routes) != 1 {
			t.Errorf("%v: routes %v", head, r)
		}
		// It is switched off without a word.
		winner.off = true
		at := w.now
		for !loser.nd.Offering() && w.now.Sub(at) < hour {
			w.run(second)
		}
		if d := w.now.Sub(at); d > 100*second {
			t.Errorf("%v: noticed after %v", head, d)
		}
	}
}

// A router with a usable prefix comes and goes.
func TestLANOfferYields(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: offerNet, Secret: secret})
	w.run(30 * second)
	if !n.nd.Offering() {
		t.Fatal("not offered")
	}
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	// Not usable: hosts get no address, or not for long.
	for name, o := range map[string]PrefixInfo{
		"A clear":          {Prefix: lanNet, OnLink: true, Valid: 9000, Preferred: 9000},
		"L clear":          {Prefix: lanNet, Autonomous: true, Valid: 9000, Preferred: 9000},
		"preferred 1799 s": pio(lanNet, 9000, 1799),
		"/48":              pio(netip.MustParsePrefix("2001:db8:7::/48"), 9000, 9000),
	} {
		w.inject(n, lanRA(hostLL, hostMAC, 1800, o), hostMAC)
		w.run(second)
		if !n.nd.Offering() {
			t.Errorf("withdrawn for a prefix with %s", name)
		}
	}
	n.sent = nil
	at := w.now
	w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 86400, 14400)), hostMAC)
	w.run(second)
	v, ok := n.last()
	if x := v.pio[offerNet]; n.nd.Offering() || !ok || x.Preferred != 0 || x.Valid < 1798 || x.Valid > 1800 {
		t.Fatalf("%+v", v.pio)
	}
	for a, s := range n.addrs {
		if offerNet.Contains(a) && s.State != AddressDeprecated {
			t.Errorf("our own address %v is %v", a, s.State)
		}
	}
	for i := range 15 {
		w.run(2 * minute)
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 86400, 14400)), hostMAC)
		if v, ok := n.last(); ok {
			if x := v.pio[offerNet]; x.Valid > uint32(1800-w.now.Sub(at)/second+121) {
				t.Errorf("%d: %+v", i, x)
			}
		}
	}
	w.run(10 * second)
	if n.onLink[offerNet] || len(n.usable()) != 1 {
		t.Error(n.onLink, n.addrs)
	}
	// It stops to advertise: it is asked, and after that ours is offered again.
	n.sent = nil
	last := w.now
	for !n.nd.Offering() && w.now.Sub(last) < hour {
		w.run(second)
	}
	if d := w.now.Sub(last); d < staleRA-15*second || d > staleRA+15*second {
		t.Errorf("stale after %v", d)
	}
	if k := len(n.take(typeRouterSolicitation)); k != staleTries {
		t.Errorf("%d solicitations", k)
	}
	// The router does not answer any more.
	w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 86400, 14400)), hostMAC)
	if n.nd.Offering() {
		t.Fatal("not withdrawn")
	}
	w.answer(nil)
	w.run(70 * second)
	if !n.nd.Offering() {
		t.Error("a router that does not answer is relied on")
	}
}

// A prefix offered before a restart is offered at once, or deprecated where there is another.
func TestLANOfferRestored(t *testing.T) {
	kept := []Advertised{{Prefix: offerNet, OnLink: true, Autonomous: true, Lifetime: 1800 * second}}
	w := newLANWorld(t)
	n := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: offerNet, LinkLocal: lanLL})
	n.nd.Restore(w.now, kept)
	n.nd.Start(w.now)
	w.run(3 * second)
	if v, ok := n.last(); !ok || v.pio[offerNet].Preferred != 1800 {
		t.Errorf("%+v", v.pio)
	}
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	m := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: netip.MustParsePrefix("fd99::/64"), LinkLocal: addr("fe80::2")})
	m.nd.Restore(w.now, []Advertised{{Prefix: netip.MustParsePrefix("fd99::/64"), Lifetime: 900 * second}})
	m.nd.Start(w.now)
	w.run(30 * second)
	if m.nd.Offering() || !n.nd.Offering() {
		t.Error("both offer")
	}
	if v, _ := m.last(); v.pio[netip.MustParsePrefix("fd99::/64")].Preferred != 0 {
		t.Errorf("%+v", v.pio)
	}
}

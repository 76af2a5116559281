package nd

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

// multicastRAs returns the times of the advertisements to all nodes.
func (n *lanNode) multicastRAs() (list []time.Time) {
	for _, f := range n.sent {
		if icmp(f.p)[0] == typeRouterAdvertisement && f.p.Dst() == allNodes {
			list = append(list, f.at)
		}
	}
	return list
}

// "consecutive Router Advertisements sent to the all-nodes multicast address MUST be rate
// limited to no more than one advertisement every MIN_DELAY_BETWEEN_RAS seconds" (RFC 4861
// section 6.2.6), whatever happens in between; and not all routers that were asked answer at
// the same time.
func TestLANAdvertisementRate(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{RouterOnly: true, Advertise: true, LinkLocal: lanLL, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	n.nd.Start(w.now)
	for i := range 400 {
		switch i % 4 {
		case 0:
			n.nd.Down(w.now)
			n.nd.Start(w.now)
		case 1:
			w.inject(n, lanRS(unspecified, ipv6.LinkAddr{}), hostMAC)
		case 2:
			n.nd.SetRoutes(w.now, []AdvertisedRoute{{Prefix: meshNet}, {Prefix: netip.PrefixFrom(addr("2001:db8:8::"), 48+i%16)}})
		case 3:
			n.nd.SetLinkLocal(w.now, ipv6.WithIID(linkLocalPrefix, uint64(i)), n.mac)
		}
		w.run(time.Duration(i%7) * 300 * time.Millisecond)
	}
	w.run(10 * second)
	times := n.multicastRAs()
	var gaps []time.Duration
	for i := 1; i < len(times); i++ {
		gaps = append(gaps, times[i].Sub(times[i-1]))
	}
	slices.Sort(gaps)
	if len(gaps) < 50 || gaps[0] < minDelayBetweenRAs || gaps[0] == gaps[5] {
		t.Errorf("%d advertisements, %v", len(times), gaps)
	}
}

// The first ones follow within MAX_INITIAL_RTR_ADVERT_INTERVAL, those after it at random
// between the bounds.
func TestLANAdvertisementIntervals(t *testing.T) {
	for _, v := range []struct {
		cfg      LANConfig
		min, max time.Duration
	}{
		{LANConfig{}, lanMinRAInterval, lanMaxRAInterval},
		{LANConfig{MaxRAInterval: 10 * second, MinRAInterval: 4 * second}, 4 * second, 10 * second},
	} {
		w := newLANWorld(t)
		v.cfg.Advertise, v.cfg.Routes = true, []AdvertisedRoute{{Prefix: meshNet}}
		n := w.one(v.cfg)
		w.run(2 * hour)
		times, seen := n.multicastRAs(), map[time.Duration]bool{}
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			seen[gap] = true
			lo, hi := v.min, v.max
			if i < maxInitialRAs {
				lo, hi = min(lo, maxInitialRAInterval), min(hi, maxInitialRAInterval)
			}
			if gap < lo || gap > hi {
				t.Errorf("advertisement %d after %v, want %v to %v", i, gap, lo, hi)
			}
		}
		if len(seen) < len(times)-3 {
			t.Errorf("%d advertisements at %d intervals", len(times), len(seen))
		}
	}
}

// A lifetime that ends before the next advertisement leaves hosts without us now and then
// (RFC 4861 section 6.2.1, RFC 4191 section 2.3).
func TestLANLifetimeBounds(t *testing.T) {
	for _, v := range []struct {
		interval, router time.Duration
		want             uint16
		route            uint32
	}{
		{0, 0, 0, 1800},
		{0, 500 * time.Millisecond, 200, 1800},
		{0, 100 * second, 200, 1800},
		{0, 2 * hour, 7200, 1800},
		{0, 20 * hour, 65535, 1800},
		{1800 * second, 1800 * second, 1800, 5400},
	} {
		w := newLANWorld(t)
		n := w.one(LANConfig{
			Advertise: true, MaxRAInterval: v.interval, RouterLifetime: v.router, Routes: []AdvertisedRoute{{Prefix: meshNet}},
			Prefixes: []AdvertisedPrefix{{Prefix: lanNet, OnLink: true}},
		})
		x, ok := n.last()
		if !ok || x.RouterLifetime != v.want || x.rio[meshNet].Lifetime != v.route || x.pio[lanNet].Valid != v.route {
			t.Errorf("%+v: %d, %d, %d", v, x.RouterLifetime, x.rio[meshNet].Lifetime, x.pio[lanNet].Valid)
		}
		if n.persist == 0 {
			t.Error("what was announced first is not kept")
		}
		n.nd.SetRouterLifetime(w.now, time.Second, PreferenceHigh)
		w.run(4 * second)
		if x, _ := n.last(); x.RouterLifetime == 1 {
			t.Error("lifetime of a second")
		}
	}
}

// What does not fit one advertisement goes into another (RFC 4861 section 6.2.3).
func TestLANManyOptions(t *testing.T) {
	w := newLANWorld(t)
	cfg := LANConfig{Advertise: true, DNSSL: []string{"lan", "home.arpa"}, RDNSS: []netip.Addr{hostLL, otherLL}, NAT64: netip.MustParsePrefix("64:ff9b::/96")}
	p := func(i, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7, byte(i)}), bits)
	}
	for i := range maxLANRoutes {
		cfg.Routes = append(cfg.Routes, AdvertisedRoute{Prefix: p(i, 96)})
	}
	for i := range maxLANPrefixes {
		cfg.Prefixes = append(cfg.Prefixes, AdvertisedPrefix{Prefix: p(i, 64), OnLink: true})
	}
	n := w.add(cfg)
	var kept []Advertised
	for i := range maxWithdrawn {
		kept = append(kept, Advertised{Prefix: p(100+i, 64), OnLink: true, Lifetime: hour})
	}
	n.nd.Restore(w.now, kept)
	n.nd.Start(w.now)
	w.run(3 * second)
	rio, pio, dns, nat := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}, 0, 0
	for _, p := range n.take(typeRouterAdvertisement) {
		if len(p) > ipv6.MinMTU {
			t.Errorf("%d bytes", len(p))
		}
		v := view(t, p)
		if v.sll != n.mac {
			t.Error("without our link-layer address")
		}
		for x := range v.rio {
			rio[x] = true
		}
		for x := range v.pio {
			pio[x] = true
		}
		for o, rest := v.Options.Next(); o.Type != 0; o, rest = rest.Next() {
			switch o.Type {
			case OptionRDNSS, OptionDNSSL:
				dns++
			case OptionPREF64:
				nat++
			}
		}
	}
	if len(rio) != maxLANRoutes || len(pio) != maxLANPrefixes+maxWithdrawn || dns != 2 || nat != 1 {
		t.Errorf("%d routes, %d prefixes, %d DNS, %d PREF64", len(rio), len(pio), dns, nat)
	}
}

// Whatever is in the file of an earlier run, what we announce is well formed and bounded.
func TestLANRestoreGarbage(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{Advertise: true, LinkLocal: lanLL, OfferPrefix: offerNet})
	var list []Advertised
	for _, s := range []string{"fe80::/64", "ff02::/16", "::ffff:192.0.2.0/120", "192.0.2.0/24", "::/0"} {
		list = append(list, Advertised{Prefix: netip.MustParsePrefix(s), OnLink: true, Lifetime: hour})
	}
	list = append(list,
		Advertised{}, Advertised{Lifetime: hour},
		Advertised{Prefix: lanNet, OnLink: true, Lifetime: -hour},
		Advertised{Prefix: netip.PrefixFrom(ipv6.WithIID(lanNet, 5), 64), OnLink: true, Lifetime: minute},
		Advertised{Prefix: lanNet, OnLink: true, Lifetime: hour},
		Advertised{Prefix: meshNet, Route: true, Lifetime: math.MaxInt64},
		Advertised{Prefix: meshNet, Route: true, Lifetime: 1})
	n.nd.Restore(w.now, list)
	n.nd.Restore(w.now, list)
	if len(n.nd.adv.gone) != 2 {
		t.Errorf("%+v", n.nd.adv.gone)
	}
	n.nd.Start(w.now)
	w.run(30 * minute)
	v, ok := n.last()
	if x, there := v.pio[lanNet]; !ok || !there || x.Valid != 0 {
		t.Errorf("%+v", v.pio)
	}
	for range 3 {
		var many []Advertised
		for i := range 1000 {
			many = append(many, Advertised{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i)}), 64), OnLink: true, Lifetime: math.MaxInt64})
		}
		n.nd.Restore(w.now, many)
		w.run(hour)
		checkLAN(t, n.nd)
	}
}

// A default router that ends says in its last advertisement that it is none any more (RFC
// 4861 section 6.2.5).
func TestLANFinalOfDefaultRouter(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, RouterLifetime: 1800 * second, Preference: PreferenceHigh, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	w.run(10 * second)
	if v, ok := n.last(); !ok || v.RouterLifetime != 1800 || v.Preference != PreferenceHigh {
		t.Fatalf("%+v", v)
	}
	n.sent = nil
	n.nd.Stop(w.now)
	if v, ok := n.last(); !ok || v.RouterLifetime != 0 || v.Preference != PreferenceMedium || v.rio[meshNet].Lifetime != 0 {
		t.Errorf("%+v, %v", v, ok)
	}
}

// The advertisement in which a route takes the place of another is repeated as soon as
// MIN_DELAY_BETWEEN_RAS allows: some hosts are left without either by the first.
func TestLANReplacedRoute(t *testing.T) {
	other := netip.MustParsePrefix("2001:db8:b::/64")
	for name, replace := range map[string]func(w *lanWorld) *lanNode{
		"while running": func(w *lanWorld) *lanNode {
			n := w.one(LANConfig{Advertise: true, Routes: []AdvertisedRoute{{Prefix: other}}})
			w.run(hour)
			n.sent = nil
			n.nd.SetRoutes(w.now, []AdvertisedRoute{{Prefix: meshNet}})
			return n
		},
		"over a restart": func(w *lanWorld) *lanNode {
			n := w.add(LANConfig{Advertise: true, LinkLocal: lanLL, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
			n.nd.Restore(w.now, []Advertised{{Prefix: other, Route: true, Lifetime: hour}})
			n.nd.Start(w.now)
			return n
		},
	} {
		w := newLANWorld(t)
		n := replace(w)
		w.run(2 * minute)
		times := n.multicastRAs()
		if len(times) < 3 {
			t.Fatalf("%s: %d advertisements", name, len(times))
		}
		if gap := times[1].Sub(times[0]); gap < minDelayBetweenRAs || gap > minDelayBetweenRAs+maxRADelayTime {
			t.Errorf("%s: repeated after %v", name, gap)
		}
		if gap := times[2].Sub(times[1]); gap != maxInitialRAInterval {
			t.Errorf("%s: the third after %v, want %v", name, gap, maxInitialRAInterval)
		}
		for i, p := range n.take(typeRouterAdvertisement) {
			v := view(t, p)
			if r, ok := v.rio[other]; !ok || r.Lifetime != 0 || v.rio[meshNet].Lifetime != 1800 {
				t.Errorf("%s: advertisement %d has %+v", name, i, v.rio)
			}
		}
	}
}

package nd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// offers notes when each prefix was first offered on the link, where hostLL and those in
// kernels are answered for.
func (w *lanWorld) offers(kernels map[netip.Addr]ipv6.LinkAddr) map[netip.Prefix]time.Time {
	seen := map[netip.Prefix]time.Time{}
	kernels[hostLL] = hostMAC
	w.answer(kernels)
	answer := w.hook
	w.hook = func(f flight) {
		answer(f)
		m, err := CheckRouterAdvertisement(f.p)
		if err != nil {
			return
		}
		for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
			if x, ok := ParsePrefixInfo(o); ok && x.Preferred > 0 && x.Prefix != lanNet {
				if _, ok := seen[x.Prefix]; !ok {
					seen[x.Prefix] = f.at
				}
			}
		}
	}
	return seen
}

// TestLANOneOffer: of routers that start together, or that lose the router with the usable
// prefix together, one offers its prefix, and hosts never hear of another.
func TestLANOneOffer(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newLANWorld(t)
		kernels := map[netip.Addr]ipv6.LinkAddr{}
		seen := w.offers(kernels)
		n, spread, beside := 2+rnd.IntN(3), time.Duration(rnd.IntN(4))*second, rnd.IntN(2) == 0
		var starts []time.Duration
		for i := range n {
			site := uint64(rnd.IntN(1 << 16))
			net := func(id int) netip.Prefix {
				return netip.MustParsePrefix(fmt.Sprintf("fd%02x:%x:0:%x::/64", site&0xff, site>>8, id))
			}
			cfg := LANConfig{
				Advertise: true, AcceptRouter: true, OfferPrefix: net(0xffff), Secret: []byte(fmt.Sprint("a secret of ", i, seed)), Rand: rand.New(rand.NewPCG(seed, uint64(i))),
				Routes: []AdvertisedRoute{{Prefix: net(1)}},
			}
			switch rnd.IntN(3) {
			case 0: // beside a kernel
				cfg.RouterOnly, cfg.LinkLocal = true, netip.MustParseAddr(fmt.Sprintf("fe80::%x", 1+rnd.IntN(1<<16-1)))
			case 1: // meshes with a delegated prefix
				cfg.Routes[0].Prefix = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/64", 0x100+i))
			}
			x := w.add(cfg)
			if cfg.RouterOnly {
				kernels[cfg.LinkLocal] = x.mac
			}
			starts = append(starts, time.Duration(rnd.Int64N(int64(spread)+1)))
		}
		begin := w.now
		for i, at := range starts {
			w.at(begin.Add(at), func() { w.nodes[i].nd.Start(w.now) })
		}
		w.run(20 * second)
		if len(seen) != 1 {
			t.Fatalf("seed %d: %d routers started within %v offer %v", seed, n, spread, seen)
		}
		for p, at := range seen {
			if d := at.Sub(begin); d > decideTime+spread+3*second {
				t.Errorf("seed %d: %v is offered after %v", seed, p, d)
			}
		}
		if !beside {
			continue
		}
		// A router with a usable prefix comes, and says that it goes.
		w.run(minute)
		w.pio(lanNet, 86400, 14400)
		for range 8 {
			w.run(5 * minute) // what was offered runs out
			w.pio(lanNet, 86400, 14400)
		}
		w.run(second)
		for _, x := range w.nodes {
			if x.nd.Offering() {
				t.Fatalf("seed %d: still offered", seed)
			}
		}
		clear(seen)
		w.pio(lanNet, 7200, 0)
		gone := w.now
		w.run(20 * second)
		if len(seen) != 1 {
			t.Fatalf("seed %d: after the router, %d routers offer %v", seed, n, seen)
		}
		for _, at := range seen {
			if d := at.Sub(gone); d > 4*second {
				t.Errorf("seed %d: offered %v after the router", seed, d)
			}
		}
	}
}

// at has f done then.
func (w *lanWorld) at(then time.Time, f func()) {
	w.todo = append(w.todo, lanTodo{then, f})
}

// pio has every node hear a router with a prefix.
func (w *lanWorld) pio(p netip.Prefix, valid, preferred uint32) {
	for _, n := range w.nodes {
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(p, valid, preferred)), hostMAC)
	}
}

// TestLANSolicitedBeforeOffer: a host that solicits a moment before the decision has its
// answer, and the offer does not wait for MIN_DELAY_BETWEEN_RAS because of it.
func TestLANSolicitedBeforeOffer(t *testing.T) {
	for before := 100 * time.Millisecond; before < decideTime; before += 100 * time.Millisecond {
		w := newLANWorld(t)
		seen := w.offers(map[netip.Addr]ipv6.LinkAddr{})
		n := w.add(LANConfig{Advertise: true, RouterOnly: true, LinkLocal: lanLL, OfferPrefix: offerNet, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
		n.nd.Start(w.now)
		begin := w.now
		w.run(decideTime - before)
		n.sent = nil
		w.inject(n, lanRS(hostLL, hostMAC), hostMAC)
		asked := w.now
		w.run(maxRADelayTime)
		answered := false
		for _, f := range n.sent {
			answered = answered || icmp(f.p)[0] == typeRouterAdvertisement && (f.p.Dst() == hostLL && f.dst == hostMAC || f.p.Dst() == allNodes)
		}
		if !answered {
			t.Errorf("%v before the decision a solicitation is not answered within %v", before, w.now.Sub(asked))
		}
		w.run(10 * second)
		if at, ok := seen[offerNet]; !ok || at.Sub(begin) > decideTime+maxRADelayTime {
			t.Errorf("%v before the decision somebody has solicited: offered after %v (%v)", before, at.Sub(begin), ok)
		}
	}
}

// TestLANOfferBehindLower: a lower router that is there and does not offer is not waited for
// for long.
func TestLANOfferBehindLower(t *testing.T) {
	w := newLANWorld(t)
	seen := w.offers(map[netip.Addr]ipv6.LinkAddr{})
	low := w.add(LANConfig{Advertise: true, RouterOnly: true, LinkLocal: lanLL, Routes: []AdvertisedRoute{{Prefix: netip.MustParsePrefix("fd00:1::/64")}}})
	low.nd.Start(w.now)
	w.run(minute)
	n := w.add(LANConfig{Advertise: true, RouterOnly: true, LinkLocal: otherLL, OfferPrefix: offerNet, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	begin := w.now
	n.nd.Start(w.now)
	w.run(20 * second)
	if at, ok := seen[offerNet]; !ok || at.Sub(begin) > decideTime+4*second {
		t.Errorf("offered after %v (%v)", at.Sub(begin), ok)
	}
}

// TestLANOfferFlood: however many hosts solicit, real or not, and however coarse the clock is,
// the prefix is offered.
func TestLANOfferFlood(t *testing.T) {
	for seed := range uint64(40) {
		w, rnd := newLANWorld(t), rand.New(rand.NewPCG(seed, 3))
		own := netip.MustParsePrefix("fd01:2:3:ffff::/64")
		n := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: own, Secret: secret, Rand: rand.New(rand.NewPCG(seed, 2)), Routes: []AdvertisedRoute{{Prefix: mesh}}})
		n.nd.Start(w.now)
		begin := w.now
		for i := 0; !n.nd.Offering(); i++ {
			if d := w.now.Sub(begin); d > decideTime+2*minDelayBetweenRAs {
				t.Fatalf("seed %d: not offered after %v", seed, d)
			}
			w.now = w.now.Add(time.Millisecond + time.Duration(rnd.IntN(5e6)))
			if at := n.nd.Deadline(); !at.IsZero() && !at.After(w.now) {
				n.nd.Advance(w.now)
			}
			for k := range 4 {
				mac := ipv6.EUI48([6]byte{0x02, byte(k), 0, byte(i >> 16), byte(i >> 8), byte(i)})
				n.nd.HandlePacket(w.now, lanRS(ipv6.LinkLocal(mac), mac), ipv6.Meta{LinkSrc: mac})
			}
		}
	}
}

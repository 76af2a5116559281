package nd

import (
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// lanCrowd returns a LAN whose cache holds n neighbors that have answered.
func lanCrowd(tb testing.TB, n int) (*lanWorld, *lanNode, []netip.Addr) {
	w := newLANWorld(tb)
	v := w.one(LANConfig{Advertise: true, Limits: LANLimits{Neighbors: max(n, 32)}})
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = ipv6.WithIID(linkLocalPrefix, uint64(0x1_0000+i))
		v.nd.cache.learn(w.now, addrs[i], ipv6.EUI48([6]byte{2, 3, 0, byte(i >> 16), byte(i >> 8), byte(i)}))
		v.nd.Confirm(w.now, addrs[i])
	}
	return w, v, addrs
}

func benchmarkLANResolve(b *testing.B, n int) {
	w, v, addrs := lanCrowd(b, n)
	p := lanPacket(addrs[0])
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := v.nd.Resolve(w.now, addrs[i], p, 0); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(addrs) {
			i = 0
		}
	}
}

func BenchmarkLANResolve1(b *testing.B)    { benchmarkLANResolve(b, 1) }
func BenchmarkLANResolve1024(b *testing.B) { benchmarkLANResolve(b, 1024) }

func BenchmarkLANHeard1024(b *testing.B) {
	w, v, addrs := lanCrowd(b, 1024)
	m := ipv6.Meta{LinkSrc: v.nd.cache.lookup(addrs[7]).ll}
	b.ReportAllocs()
	for b.Loop() {
		v.nd.Heard(w.now, addrs[7], m)
	}
}

func BenchmarkLANSolicited(b *testing.B) {
	w, v, _ := lanCrowd(b, 1024)
	v.nd.out = discard{}
	p := lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if err := v.nd.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: hostMAC}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLANAllocs(t *testing.T) {
	w, n, addrs := lanCrowd(t, 1000)
	n.nd.out = discard{}
	set := proxySet{ipv6.WithIID(linkLocalPrefix, 0x777): true}
	n.nd.cfg.Proxy = set
	meta := ipv6.Meta{LinkSrc: hostMAC}
	p := lanPacket(addrs[3])
	ns := lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil)
	proxied := lanNS(hostLL, netip.Addr{}, ipv6.WithIID(linkLocalPrefix, 0x777), hostMAC, nil)
	na := lanNA(addrs[5], lanLL, addrs[5], n.nd.cache.lookup(addrs[5]).ll, "SO")
	bad := lanNS(hostLL, netip.Addr{}, otherLL, hostMAC, nil)
	rs := lanRS(hostLL, hostMAC)
	ra := lanRA(otherLL, otherMAC, 0, pio(lanNet, 9000, 9000), RouteInfo{Prefix: meshNet, Lifetime: 600})
	unknown := ipv6.WithIID(linkLocalPrefix, 0xdead)
	n.nd.cfg.Routes = []AdvertisedRoute{{Prefix: meshNet}}
	now := w.now
	n.nd.Resolve(now, unknown, p, 1)
	for name, f := range map[string]func(){
		"Resolve":     func() { n.nd.Resolve(now, addrs[3], p, 0) },
		"Resolve old": func() { n.nd.Resolve(now.Add(hour), addrs[4], p, 0) },
		"held":        func() { n.nd.Resolve(now, unknown, p, 1); n.unresolved = n.unresolved[:0] },
		"Heard":       func() { n.nd.Heard(now, addrs[3], ipv6.Meta{LinkSrc: hostMAC}) },
		"Deadline":    func() { n.nd.Deadline() },
		"NS":          func() { n.nd.HandlePacket(now, ns, meta) },
		"NS proxied":  func() { n.nd.HandlePacket(now, proxied, meta) },
		"NA":          func() { n.nd.HandlePacket(now, na, meta) },
		"drop":        func() { n.nd.HandlePacket(now, bad, meta) },
		"RS":          func() { now = now.Add(second); n.nd.HandlePacket(now, rs, meta) },
		"RA":          func() { n.nd.HandlePacket(now, ra, ipv6.Meta{LinkSrc: otherMAC}) },
	} {
		for range 5 {
			f()
		}
		if k := testing.AllocsPerRun(200, f); k != 0 {
			t.Errorf("%s: %v allocations", name, k)
		}
	}
}

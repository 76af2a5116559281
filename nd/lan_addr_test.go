package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

func states(n *lanNode, a netip.Addr) (list []AddressState) {
	for _, h := range n.history {
		if h.Addr == a {
			list = append(list, h.State)
		}
	}
	return list
}

func TestLANDuplicateDetection(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{Secret: secret, Advertise: true})
	n.nd.Start(w.now)
	ll := n.nd.linkLocal
	if n.nd.LinkLocal().IsValid() {
		t.Error("usable before it was checked")
	}
	w.run(maxDADDelay)
	w.run(n.solicitations()[0].at.Add(999 * time.Millisecond).Sub(w.now))
	if n.nd.LinkLocal().IsValid() {
		t.Error("usable after less than RetransTimer")
	}
	w.run(time.Millisecond)
	if n.nd.LinkLocal() != ll {
		t.Fatal("not usable")
	}
	ns, err := CheckNeighborSolicitation(n.sent[0].p)
	if err != nil || ns.Target != ll || !n.sent[0].p.Src().IsUnspecified() {
		t.Errorf("%+v %v", ns, err)
	}
	if o, ok := ns.Options.Find(OptionNonce); !ok || len(o.Data) != 6 {
		t.Error("no nonce (RFC 7527)")
	}
	// It tells the routers of the link (RFC 9131).
	na := n.take(typeNeighborAdvertisement)
	if len(na) != 1 || na[0].Dst() != allRouters {
		t.Fatalf("%d gratuitous advertisements", len(na))
	}
	if m, _ := CheckNeighborAdvertisement(na[0]); m.Solicited || m.Override || !m.Router {
		t.Errorf("%+v", m)
	}
	if s := states(n, ll); len(s) != 2 || s[0] != AddressTentative || s[1] != AddressPreferred {
		t.Error(s)
	}
}

// A tentative address is a duplicate when another node solicits for it or advertises it; the
// next one is another (RFC 7217 section 6), three times; then there is none, until all are
// tried again.
func TestLANDuplicate(t *testing.T) {
	for name, other := range map[string]func(a netip.Addr) ipv6.Packet{
		"NS": func(a netip.Addr) ipv6.Packet { return lanNS(unspecified, netip.Addr{}, a, ipv6.LinkAddr{}, nil) },
		"NS nonce": func(a netip.Addr) ipv6.Packet {
			return lanNS(unspecified, netip.Addr{}, a, ipv6.LinkAddr{}, []byte("sixsix"))
		},
		"NA": func(a netip.Addr) ipv6.Packet { return lanNA(a, allNodes, a, otherMAC, "O") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newLANWorld(t)
			n := w.add(LANConfig{Secret: secret})
			n.nd.Start(w.now)
			seen := map[netip.Addr]bool{}
			for range 1 + idgenRetries {
				w.run(10 * time.Millisecond)
				a := n.nd.linkLocal
				if seen[a] {
					t.Fatal("the same address again")
				}
				seen[a] = true
				if err := w.inject(n, other(a), otherMAC); err != DropConflict {
					t.Fatal(err)
				}
				if n.nd.LinkLocal().IsValid() {
					t.Fatal("usable")
				}
				w.run(idgenDelay)
			}
			w.run(idgenAgain - 2*second)
			if n.nd.LinkLocal().IsValid() || len(n.addrs) != 0 {
				t.Error("a fifth address", n.history)
			}
			if len(n.conflict) != 4 || n.nd.Stats().Conflicts != 4 {
				t.Error(n.conflict)
			}
			w.run(4 * second)
			if a := n.nd.LinkLocal(); a != n.conflict[0] {
				t.Errorf("%v when nobody has it any more, want %v", a, n.conflict[0])
			}
		})
	}
}

// Our own solicitation that comes back is no duplicate (RFC 7527), but as long as it does
// nothing is known.
func TestLANLoop(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{Secret: secret})
	looping := true
	w.hook = func(f flight) {
		if looping && icmp(f.p)[0] == typeNeighborSolicitation && f.p.Src().IsUnspecified() {
			w.queue = append(w.queue, flight{f.at, f.p, otherMAC, ipv6.LinkAddr{}})
		}
	}
	n.nd.Start(w.now)
	w.run(30 * second)
	if n.nd.LinkLocal().IsValid() || len(n.conflict) > 0 {
		t.Error("decided on a looped link")
	}
	if got := len(n.take(typeNeighborSolicitation)); got != 4 {
		t.Errorf("%d solicitations, want 1 + MAX_MULTICAST_SOLICIT", got)
	}
	looping = false
	w.run(loopRetry)
	if !n.nd.LinkLocal().IsValid() {
		t.Error("not usable after the loop is gone")
	}
}

func TestLANStableIID(t *testing.T) {
	id := func(cfg LANConfig, p netip.Prefix, k uint8) uint64 {
		cfg.LinkAddr = lanMAC
		return NewLAN(cfg, nil, nil).stableIID(p, k)
	}
	base := id(LANConfig{Secret: secret}, lanNet, 0)
	if base != id(LANConfig{Secret: secret}, lanNet, 0) {
		t.Error("not stable")
	}
	for name, v := range map[string]uint64{
		"prefix":  id(LANConfig{Secret: secret}, meshNet, 0),
		"counter": id(LANConfig{Secret: secret}, lanNet, 1),
		"secret":  id(LANConfig{Secret: []byte("fedcba9876543210")}, lanNet, 0),
		"network": id(LANConfig{Secret: secret, NetworkID: "home"}, lanNet, 0),
	} {
		if v == base {
			t.Errorf("another %s gives the same", name)
		}
	}
	if got := id(LANConfig{}, lanNet, 0); got != lanMAC.IID() {
		t.Errorf("without a secret %x", got)
	}
	for v, want := range map[uint64]bool{
		0: true, 1: false, 0x02005efffe000000: true, 0x02005efffeffffff: true, 0x02005eff00000000: false,
		0xfdffffffffffff80: true, 0xfdffffffffffffff: true, 0xfdffffffffffff7f: false,
	} {
		if reservedIID(v) != want {
			t.Errorf("%x", v)
		}
	}
}

// Our addresses are defended, and a claim against them told.
func TestLANDefence(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true})
	n.sent = nil
	if err := w.inject(n, lanNS(unspecified, netip.Addr{}, lanLL, ipv6.LinkAddr{}, nil), otherMAC); err != DropConflict {
		t.Error(err)
	}
	na := n.take(typeNeighborAdvertisement)
	if len(na) != 1 || na[0].Dst() != allNodes {
		t.Fatal("not defended")
	}
	if m, _ := CheckNeighborAdvertisement(na[0]); !m.Override || m.Solicited || !m.Router || m.Options.LinkAddr(OptionTargetLinkAddr, 6) != lanMAC {
		t.Errorf("%+v", m)
	}
	if err := w.inject(n, lanNA(lanLL, allNodes, lanLL, otherMAC, "O"), otherMAC); err != DropConflict {
		t.Error(err)
	}
	if err := w.inject(n, lanNS(lanLL, netip.Addr{}, hostLL, otherMAC, nil), otherMAC); err != DropConflict {
		t.Error(err)
	}
	if len(n.conflict) != 3 || n.nd.LinkLocal() != lanLL {
		t.Error(n.conflict)
	}
}

func TestLANSolicited(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true})
	anycast := addr("2001:db8:1::")
	n.nd.SetAnycast([]netip.Addr{anycast})
	if err := n.nd.AddAddress(w.now, netip.MustParsePrefix("2001:db8:1::5/64"), time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	own := addr("2001:db8:1::5")
	n.sent = nil
	if err := w.inject(n, lanNS(hostLL, netip.Addr{}, own, hostMAC, nil), hostMAC); err != DropNotOurs || len(n.sent) > 1 {
		t.Errorf("a tentative address answers: %v", err)
	}
	w.run(2 * second)
	for _, v := range []struct {
		name          string
		p             ipv6.Packet
		mac           ipv6.LinkAddr
		target        netip.Addr
		override, own bool
		delay         time.Duration
	}{
		{"by multicast", lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil), hostMAC, lanLL, true, true, 0},
		{"without SLLAO", lanNS(hostLL, lanLL, lanLL, ipv6.LinkAddr{}, nil), hostMAC, lanLL, true, true, 0},
		{"global", lanNS(ipv6.WithIID(lanNet, 9), netip.Addr{}, own, hostMAC, nil), hostMAC, own, true, true, 0},
		{"anycast", lanNS(hostLL, netip.Addr{}, anycast, hostMAC, nil), hostMAC, anycast, false, false, anycastDelay},
	} {
		n.sent = nil
		if err := w.inject(n, v.p, v.mac); err != nil {
			t.Fatal(v.name, err)
		}
		w.run(v.delay)
		na := n.take(typeNeighborAdvertisement)
		if len(na) != 1 {
			t.Fatalf("%s: %d answers", v.name, len(na))
		}
		m, err := CheckNeighborAdvertisement(na[0])
		if err != nil || !m.Solicited || !m.Router || m.Override != v.override || m.Target != v.target || na[0].Dst() != v.p.Src() || (na[0].Src() == v.target) != v.own {
			t.Errorf("%s: %+v %v", v.name, m, err)
		}
	}
	for range maxDelayed {
		w.inject(n, lanNS(hostLL, netip.Addr{}, anycast, hostMAC, nil), hostMAC)
	}
	if err := w.inject(n, lanNS(hostLL, netip.Addr{}, anycast, hostMAC, nil), hostMAC); err != DropRateLimit {
		t.Error(err)
	}
}

// Addresses by configuration or DHCPv6: lifetimes to the second, duplicates told.
func TestLANStaticAddress(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Secret: secret, Limits: LANLimits{Addresses: 3}})
	a := netip.MustParsePrefix("2001:db8:1::5/64")
	n.nd.AddAddress(w.now, a, w.now.Add(100*second), w.now.Add(200*second))
	w.run(second)
	if n.addrs[a.Addr()].State != AddressPreferred {
		t.Fatal(n.addrs)
	}
	w.run(99*second - 1)
	if n.addrs[a.Addr()].State != AddressPreferred {
		t.Error("deprecated too early")
	}
	w.run(1)
	if n.addrs[a.Addr()].State != AddressDeprecated {
		t.Error("not deprecated")
	}
	n.nd.AddAddress(w.now, a, w.now.Add(50*second), w.now.Add(100*second))
	if n.addrs[a.Addr()].State != AddressPreferred {
		t.Error("not preferred again")
	}
	w.run(100*second - 1)
	if n.addrs[a.Addr()].State != AddressDeprecated {
		t.Error("gone too early")
	}
	w.run(1)
	if _, ok := n.addrs[a.Addr()]; ok {
		t.Error("still there")
	}
	b := netip.MustParsePrefix("2001:db8:1::6/64")
	n.nd.AddAddress(w.now, b, time.Time{}, time.Time{})
	w.run(time.Millisecond)
	w.inject(n, lanNA(b.Addr(), allNodes, b.Addr(), otherMAC, "O"), otherMAC)
	if s := states(n, b.Addr()); s[len(s)-1] != AddressDuplicate {
		t.Error(s)
	}
	n.nd.RemoveAddress(w.now, b.Addr())
	if s := states(n, b.Addr()); s[len(s)-1] != AddressRemoved {
		t.Error(s)
	}
	if err := n.nd.AddAddress(w.now, netip.MustParsePrefix("ff02::1/64"), time.Time{}, time.Time{}); err != DropTarget {
		t.Error(err)
	}
	for i := range 3 {
		err := n.nd.AddAddress(w.now, netip.PrefixFrom(ipv6.WithIID(lanNet, uint64(100+i)), 64), time.Time{}, time.Time{})
		if (err == DropTableFull) != (i == 2) {
			t.Error(i, err)
		}
	}
}

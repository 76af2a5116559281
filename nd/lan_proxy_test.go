package nd

import (
	"net/netip"
	"testing"

	"border-router/ipv6"
)

type proxySet map[netip.Addr]bool

func (s proxySet) Proxied(a netip.Addr) bool { return s[a] }

func proxyLAN(t *testing.T, routerOnly bool) (*lanWorld, *lanNode, proxySet) {
	w := newLANWorld(t)
	set := proxySet{}
	n := w.one(LANConfig{Advertise: true, AcceptRouter: true, Proxy: set, RouterOnly: routerOnly, Limits: LANLimits{Checks: 4}})
	w.inject(n, lanRA(otherLL, otherMAC, 1800, pio(lanNet, 9000, 9000)), otherMAC)
	w.run(5 * second)
	n.sent = nil
	return w, n, set
}

func TestLANProxy(t *testing.T) {
	for _, routerOnly := range []bool{false, true} {
		w, n, set := proxyLAN(t, routerOnly)
		node, host := ipv6.WithIID(lanNet, 0x500), ipv6.WithIID(lanNet, 0x99)
		set[node] = true
		if err := n.nd.ProxyAdd(w.now, node, true); err != nil {
			t.Fatal(err)
		}
		ns := n.take(typeNeighborSolicitation)
		if len(ns) != 1 || !ns[0].Src().IsUnspecified() || ns[0].Dst() != SolicitedNode(node) {
			t.Fatal("no duplicate address detection on the link")
		}
		if err := w.inject(n, lanNS(host, netip.Addr{}, node, hostMAC, nil), hostMAC); err != DropNotOurs {
			t.Error("answered before it was checked:", err)
		}
		w.run(second)
		if !n.checked[node] {
			t.Fatal("not told")
		}
		na := n.take(typeNeighborAdvertisement)
		if m, err := CheckNeighborAdvertisement(na[0]); len(na) != 1 || err != nil || na[0].Dst() != allNodes || !m.Override || m.Solicited || m.Target != node {
			t.Errorf("%+v", m)
		}
		// It is answered for, without the O flag, and reached at our MAC.
		if err := w.inject(n, lanNS(host, netip.Addr{}, node, hostMAC, nil), hostMAC); err != nil {
			t.Fatal(err)
		}
		na = n.take(typeNeighborAdvertisement)
		if m, err := CheckNeighborAdvertisement(na[0]); err != nil || na[0].Dst() != host || na[0].Src() != lanLL || m.Override || !m.Solicited || m.Options.LinkAddr(OptionTargetLinkAddr, 6) != n.mac {
			t.Errorf("%+v", m)
		}
		// It is defended against nodes on the link.
		if err := w.inject(n, lanNS(unspecified, netip.Addr{}, node, ipv6.LinkAddr{}, []byte("nonce!")), hostMAC); err != DropConflict {
			t.Error(err)
		}
		if na = n.take(typeNeighborAdvertisement); len(na) != 1 || na[0].Dst() != allNodes {
			t.Error("not defended")
		}
		for _, p := range []ipv6.Packet{lanNA(node, allNodes, node, hostMAC, "O"), lanNS(node, netip.Addr{}, lanLL, hostMAC, nil)} {
			if err := w.inject(n, p, hostMAC); err != DropConflict {
				t.Error(err)
			}
		}
		if len(n.conflict) != 3 {
			t.Error(n.conflict)
		}
		// Once it is no longer registered, others may have it.
		delete(set, node)
		n.nd.ProxyRemove(w.now, node)
		if err := w.inject(n, lanNS(unspecified, netip.Addr{}, node, ipv6.LinkAddr{}, nil), hostMAC); err != nil {
			t.Error(err)
		}
	}
}

func TestLANProxyDuplicate(t *testing.T) {
	w, n, set := proxyLAN(t, false)
	a := ipv6.WithIID(lanNet, 1)
	for name, p := range map[string]ipv6.Packet{
		"NA": lanNA(a, allNodes, a, hostMAC, "O"),
		"NS": lanNS(unspecified, netip.Addr{}, a, ipv6.LinkAddr{}, []byte("other!")),
	} {
		set[a] = true
		n.checked = map[netip.Addr]bool{}
		n.nd.ProxyAdd(w.now, a, true)
		w.run(second / 2)
		n.sent = nil
		if err := w.inject(n, p, hostMAC); err != DropConflict {
			t.Error(name, err)
		}
		if ok, told := n.checked[a]; ok || !told || len(n.take(typeNeighborAdvertisement)) > 0 {
			t.Error(name, "not told, or advertised")
		}
		delete(set, a)
		w.run(2 * second)
		if n.checked[a] {
			t.Error(name, "told again")
		}
	}
	// Our own that comes back is none.
	n.nd.ProxyAdd(w.now, a, true)
	own := n.take(typeNeighborSolicitation)
	if err := w.inject(n, own[0], otherMAC); err != DropSource {
		t.Error(err)
	}
	n.nd.ProxyRemove(w.now, a)
	w.run(2 * second)
	if len(n.checked) > 1 || n.checked[a] {
		t.Error("told after it was removed")
	}
	for i := range 5 {
		if err := n.nd.ProxyAdd(w.now, ipv6.WithIID(lanNet, uint64(10+i)), true); (err == DropTableFull) != (i == 4) {
			t.Error(i, err)
		}
	}
	if err := n.nd.ProxyAdd(w.now, lanLL, true); err != DropTarget {
		t.Error(err)
	}
	// Without a check, and what was known of it on the link is forgotten.
	b := ipv6.WithIID(lanNet, 77)
	w.inject(n, lanNS(b, netip.Addr{}, lanLL, hostMAC, nil), hostMAC)
	if n.nd.cache.lookup(b) == nil {
		t.Fatal("not learnt")
	}
	n.sent = nil
	n.nd.ProxyAdd(w.now, b, false)
	if len(n.take(typeNeighborAdvertisement)) != 1 || n.nd.cache.lookup(b) != nil {
		t.Error("not announced")
	}
	n.nd.Down(w.now)
	if err := n.nd.ProxyAdd(w.now, b, true); err != DropStopped || len(n.nd.checks) > 0 {
		t.Error(err)
	}
	// What is new by then, or was being checked, is checked when the link is up again, unless it
	// has gone meanwhile.
	gone := ipv6.WithIID(lanNet, 10)
	n.nd.ProxyRemove(w.now, gone)
	n.nd.ProxyAdd(w.now, b, true) // there is room now
	n.sent = nil
	n.nd.Start(w.now)
	asked := map[netip.Addr]bool{}
	for _, p := range n.take(typeNeighborSolicitation) {
		m, _ := CheckNeighborSolicitation(p)
		asked[m.Target] = true
	}
	if !asked[b] || !asked[ipv6.WithIID(lanNet, 11)] || asked[gone] {
		t.Errorf("checked %v", asked)
	}
	clear(n.checked)
	if w.run(second); !n.checked[b] {
		t.Error("not told")
	}
}

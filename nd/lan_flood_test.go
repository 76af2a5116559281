package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// A flood of advertisements from routers that are not there, each of high preference and
// with parameters of its own, moves neither the default router nor the parameters of the link.
func TestLANRouterFlood(t *testing.T) {
	w, n := hostLAN(t)
	w.inject(n, lanRA(hostLL, hostMAC, 1800, RouterAdvertisement{CurHopLimit: 50}), hostMAC)
	w.run(second)
	for i := range 1000 {
		mac := ipv6.EUI48([6]byte{0x02, 0xbd, 0, 0, byte(i >> 8), byte(i)})
		w.inject(n, lanRA(ipv6.LinkLocal(mac), mac, 0xffff, RouterAdvertisement{CurHopLimit: 1, Managed: true, ReachableTime: 1, RetransTimer: 0x7fffffff, Preference: PreferenceHigh},
			AppendMTU(nil, 1280)), mac)
		w.run(10 * time.Millisecond)
		if r := n.routes[defaultPrefix]; r.NextHop != hostLL {
			t.Fatalf("after %d advertisements: %+v", i+1, r)
		}
	}
	if p := n.nd.Parameters(); p != (LANParameters{MTU: 1500, HopLimit: 50, ReachableTime: reachableTime, RetransTimer: retransTimer}) {
		t.Errorf("%+v", p)
	}
	if k := len(n.nd.routers); k > n.nd.cfg.Limits.Routers {
		t.Errorf("%d routers", k)
	}
}

// Where none of the routers answers, one that does ends what they said.
func TestLANRouterFloodFirst(t *testing.T) {
	w, n := hostLAN(t)
	mac := ipv6.EUI48([6]byte{0x02, 0xbd, 0, 0, 0, 1})
	w.inject(n, lanRA(ipv6.LinkLocal(mac), mac, 0xffff, RouterAdvertisement{RetransTimer: 0x7fffffff, Preference: PreferenceHigh}), mac)
	if p := n.nd.Parameters(); p.RetransTimer != maxRetrans {
		t.Fatalf("%+v", p)
	}
	w.inject(n, lanRA(hostLL, hostMAC, 1800), hostMAC)
	w.run(second)
	if r := n.routes[defaultPrefix]; r.NextHop != hostLL {
		t.Errorf("%+v", r)
	}
	if p := n.nd.Parameters(); p.RetransTimer != retransTimer {
		t.Errorf("%+v", p)
	}
}

// A router of high preference that answers is preferred, as RFC 4191 section 3.2 says, unless
// only others are trusted.
func TestLANTrustedRouters(t *testing.T) {
	for _, trusted := range [][]netip.Addr{nil, {hostLL}} {
		w := newLANWorld(t)
		n := w.one(LANConfig{AcceptRouter: true, Secret: secret, Routers: trusted})
		w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC, otherLL: otherMAC})
		w.inject(n, lanRA(hostLL, hostMAC, 1800), hostMAC)
		w.run(second)
		err := w.inject(n, lanRA(otherLL, otherMAC, 1800, PreferenceHigh, pio(lanNet, 3600, 3600)), otherMAC)
		w.run(3 * second)
		want := otherLL
		if trusted != nil {
			want = hostLL
			if err != DropSource {
				t.Errorf("%v", err)
			}
			for _, a := range n.usable() {
				if !a.IsLinkLocalUnicast() {
					t.Errorf("address %v", a)
				}
			}
		}
		if r := n.routes[defaultPrefix]; r.NextHop != want {
			t.Errorf("trusted %v: %+v", trusted, r)
		}
	}
}

package nd

import (
	"fmt"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// A registrar is a proxy whose nodes have registered.
type registrar map[netip.Addr]Registration

func (r registrar) Proxied(a netip.Addr) bool { _, ok := r[a]; return ok }
func (r registrar) Registration(a netip.Addr) (Registration, bool) {
	v, ok := r[a]
	return v, ok && v.ROVR.Len() > 0
}

func rovrOf(t *testing.T, n uint64) ROVR {
	v, ok := ROVRFrom(ipv6.EUI64(n).Append(nil))
	if !ok {
		t.Fatal(n)
	}
	return v
}

func optionIn(opts Options) string {
	o, ok := opts.Find(OptionRegistration)
	if !ok {
		return "none"
	}
	a, _ := ParseRegistration(o)
	return fmt.Sprintf("%v TID %d", a.Status, a.TID)
}

// TestLANProxyClaims: what another router of the link, or a host, says of an address that we
// proxy for, while that is tentative and after (RFC 8929 sections 9.1 and 9.2).
func TestLANProxyClaims(t *testing.T) {
	const ours, other = 0x0200_0000_0000_0007, 0x0200_0000_0000_0008
	type message struct {
		na bool
		o  *Registration
	}
	earo := func(owner uint64, tid int, s Status) *Registration {
		return &Registration{Status: s, ROVR: rovrOf(t, owner), T: tid >= 0, R: tid >= 0, TID: uint8(max(tid, 0)), Lifetime: 10}
	}
	dad := func(o *Registration) message { return message{o: o} }
	na := func(o *Registration) message { return message{na: true, o: o} }
	for _, tt := range []struct {
		name      string
		tid       int // of what we have registered; negative: it is an ARO
		m         message
		tentative string // what is told, else the answer
		reachable string
	}{
		{"NS of a host", 5, dad(nil), "told duplicate address", "answer duplicate address TID 5"},
		{"NA of a host", 5, na(nil), "told duplicate address", ""},
		{"NS of another owner", 5, dad(earo(other, 9, 0)), "told duplicate address", "answer duplicate address TID 5"},
		{"NA of another owner", 5, na(earo(other, 9, 0)), "told duplicate address", "answer duplicate address TID 5"},
		{"NA that says so", 5, na(earo(other, 9, StatusDuplicate)), "told duplicate address", ""},
		{"NS, fresher", 5, dad(earo(ours, 6, 0)), "told moved", "told removed"},
		{"NA, fresher", 5, na(earo(ours, 6, StatusMoved)), "told moved", "told removed"},
		{"NS, older", 5, dad(earo(ours, 4, 0)), "answer moved TID 5", "answer moved TID 5"},
		{"NA, older", 5, na(earo(ours, 4, 0)), "answer moved TID 5", "answer moved TID 5"},
		{"NS, same", 5, dad(earo(ours, 5, 0)), "", ""},
		{"NA, same", 5, na(earo(ours, 5, 0)), "", ""},
		{"NS, not comparable", 5, dad(earo(ours, 40, 0)), "answer moved TID 5", "answer moved TID 5"},
		{"NA, not comparable", 5, na(earo(ours, 40, 0)), "", ""},
		{"NS, ARO", -1, dad(earo(ours, -1, 0)), "", "told removed"},
		{"NA, ARO", -1, na(earo(ours, -1, 0)), "", ""},
	} {
		for _, tentative := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,tentative=%v", tt.name, tentative), func(t *testing.T) {
				w := newLANWorld(t)
				set := registrar{}
				n := w.one(LANConfig{Advertise: true, AcceptRouter: true, Proxy: set})
				w.inject(n, lanRA(otherLL, otherMAC, 1800, pio(lanNet, 9000, 9000)), otherMAC)
				w.run(5 * second)
				n.sent = nil
				node := ipv6.WithIID(lanNet, 0x500)
				reg := *earo(ours, tt.tid, 0)
				reg.Opaque = 3
				if err := n.nd.ProxyRegister(w.now, node, reg); err != nil {
					t.Fatal(err)
				}
				set[node] = reg
				list := n.take(typeNeighborSolicitation)
				m, err := CheckNeighborSolicitation(list[0])
				o, _ := m.Options.Find(OptionRegistration)
				if got, _ := ParseRegistration(o); err != nil || got != reg {
					t.Errorf("asked with %+v, want %+v as it came (%v)", got, reg, err)
				}
				want := tt.tentative
				if !tentative {
					want = tt.reachable
					w.run(tentativeDuration)
					list := n.take(typeNeighborAdvertisement)
					if m, err := CheckNeighborAdvertisement(list[0]); err != nil || n.outcome != StatusSuccess || optionIn(m.Options) != fmt.Sprintf("success TID %d", reg.TID) {
						t.Errorf("announced with %s, %v", optionIn(m.Options), err)
					}
				}
				clear(n.checked)
				var opts []byte
				if tt.m.o != nil {
					opts, _ = tt.m.o.AppendBinary(nil)
				}
				var p ipv6.Packet
				if tt.m.na {
					b, _ := NeighborAdvertisement{Router: true, Target: node, Options: opts}.AppendBinary(begin(nil))
					p = finish(AppendLinkAddr(b, OptionTargetLinkAddr, otherMAC), otherLL, allNodes, hopLimit)
				} else {
					b, _ := NeighborSolicitation{Target: node, Options: opts}.AppendBinary(begin(nil))
					p = finish(b, unspecified, SolicitedNode(node), hopLimit)
				}
				_ = w.inject(n, p, otherMAC)
				got := ""
				if _, ok := n.checked[node]; ok {
					got = "told " + n.outcome.String()
					if (tt.m.o == nil) != (n.owner.Len() == 0) || tt.m.o != nil && n.owner != tt.m.o.ROVR {
						t.Errorf("by %v", n.owner)
					}
				}
				for _, p := range n.take(typeNeighborAdvertisement) {
					m, err := CheckNeighborAdvertisement(p)
					to := allNodes
					if tt.m.na {
						to = otherLL
					}
					if err != nil || m.Override || m.Solicited || m.Target != node || p.Dst() != to || m.Options.LinkAddr(OptionTargetLinkAddr, 6) != n.mac {
						t.Errorf("answer %+v to %v, %v", m, p.Dst(), err)
					}
					got += "answer " + optionIn(m.Options)
				}
				if got != want {
					t.Errorf("%q, want %q", got, want)
				}
				// What is no claim does not end the check.
				if under := tentative && got != "told duplicate address" && got != "told moved"; n.nd.Checking(node) != under {
					t.Errorf("checking %v, want %v", !under, under)
				}
			})
		}
	}
}

// TestLANProxyOption: the answer to a solicitation for a registered address carries its EARO, for
// one that was learnt none.
func TestLANProxyOption(t *testing.T) {
	w := newLANWorld(t)
	node, learnt := ipv6.WithIID(lanNet, 0x500), ipv6.WithIID(lanNet, 0x501)
	set := registrar{node: {ROVR: rovrOf(t, 7), T: true, TID: 9, Lifetime: 3}, learnt: {}}
	n := w.one(LANConfig{Advertise: true, AcceptRouter: true, Proxy: set})
	w.inject(n, lanRA(otherLL, otherMAC, 1800, pio(lanNet, 9000, 9000)), otherMAC)
	w.run(5 * second)
	for a, want := range map[netip.Addr]string{node: "success TID 9", learnt: "none"} {
		n.sent = nil
		if err := w.inject(n, lanNS(ipv6.WithIID(lanNet, 0x99), netip.Addr{}, a, hostMAC, nil), hostMAC); err != nil {
			t.Fatal(err)
		}
		m, err := CheckNeighborAdvertisement(n.take(typeNeighborAdvertisement)[0])
		if got := optionIn(m.Options); err != nil || got != want || m.Override || !m.Solicited {
			t.Errorf("%v: %s, want %s (%v)", a, got, want, err)
		}
	}
}

// TestLANProxyRoams: a node goes from one backbone router to another and is its own duplicate at
// neither; one that is registered at both at once is left to both.
func TestLANProxyRoams(t *testing.T) {
	w := newLANWorld(t)
	node := ipv6.WithIID(lanNet, 0x500)
	sets := [2]registrar{{}, {}}
	var routers [2]*lanNode
	for i := range routers {
		routers[i] = w.add(LANConfig{LinkAddr: ipv6.EUI48([6]byte{2, 0, 0, 1, 0, byte(i)}), RouterOnly: true, LinkLocal: ipv6.LinkLocal(ipv6.EUI64(uint64(77 + i))), Proxy: sets[i]})
		routers[i].nd.Start(w.now)
	}
	register := func(i int, tid uint8) {
		t.Helper()
		reg := Registration{ROVR: rovrOf(t, 7), T: true, R: true, TID: tid, Lifetime: 10}
		if err := routers[i].nd.ProxyRegister(w.now, node, reg); err != nil {
			t.Fatal(err)
		}
		sets[i][node] = reg
		w.run(second)
	}
	outcome := func(i int, want string) {
		t.Helper()
		got := "nothing"
		if _, ok := routers[i].checked[node]; ok {
			got = routers[i].outcome.String()
		}
		if clear(routers[i].checked); got != want {
			t.Errorf("router %d: %s, want %s", i, got, want)
		}
	}
	register(0, 240)
	outcome(0, "success")
	for i := range 4 {
		here, there := (i+1)%2, i%2
		register(here, 241+uint8(i))
		outcome(here, "success")
		outcome(there, "removed")
		delete(sets[there], node)
		routers[there].nd.ProxyRemove(w.now, node)
	}
	register(1, 244) // as it is at the other
	outcome(1, "success")
	outcome(0, "nothing")
	delete(sets[1], node)
	register(1, 242) // comes late
	outcome(1, "moved")
	outcome(0, "nothing")
}

package daemon

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/internal/ethernet"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/mld"
	"border-router/nd"
)

// solicitation is one with the options opts, an EARO for instance.
func solicitation(src, dst, target netip.Addr, ll ipv6.LinkAddr, opts []byte) ipv6.Packet {
	b, _ := nd.NeighborSolicitation{Target: target}.AppendBinary(make([]byte, ipv6.HeaderLen))
	return icmp(append(nd.AppendLinkAddr(b, nd.OptionSourceLinkAddr, ll), opts...), src, dst)
}

func advertisement(src, target netip.Addr, ll ipv6.LinkAddr) ipv6.Packet {
	b, _ := nd.NeighborAdvertisement{Override: true, Target: target}.AppendBinary(make([]byte, ipv6.HeaderLen))
	return icmp(nd.AppendLinkAddr(b, nd.OptionTargetLinkAddr, ll), src, netip.MustParseAddr("ff02::1"))
}

func unplugged(d *Daemon) ethernet.State {
	return ethernet.State{Name: "absent0", Index: 7, MTU: 1500, LinkAddr: d.lan.port.LinkAddr()}
}

func icmp(b []byte, src, dst netip.Addr) ipv6.Packet {
	ipv6.AppendHeader(b[:0], 0, 0, len(b)-ipv6.HeaderLen, ipv6.ProtoICMPv6, 255, src, dst)
	m := b[ipv6.HeaderLen:]
	binary.BigEndian.PutUint16(m[2:], ipv6.Checksum(src.As16(), dst.As16(), ipv6.ProtoICMPv6, m))
	return ipv6.Packet(b)
}

// TestProxyTentative: a node that is new behind the ND proxy is registered when 800 ms have
// gone by on the LAN without an objection, at once where the LAN is down, and not at all when
// a station has its address; one of RFC 4861 is forgotten then, too.
func TestProxyTentative(t *testing.T) {
	prefix := netip.MustParsePrefix("2001:db8:1::/64")
	ll, station := ipv6.EUI64(0x0200_0000_0000_1234), ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 9})
	node := ipv6.WithIID(prefix, ll.IID())
	rovr, _ := nd.ROVRFrom(ll.Append(nil))
	for _, tt := range []struct {
		name               string
		down, dup, resumed bool
		classic            bool
	}{
		{name: "unique"}, {name: "duplicate", dup: true}, {name: "link down", down: true},
		{name: "link goes down", resumed: true},
		{name: "classic", classic: true}, {name: "classic duplicate", classic: true, dup: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := lanDaemon(t, true, state.OpenMemory())
			now := time.Now()
			l, m := d.lan, d.meshes[0]
			d.plug(now)
			l.OnLinkChanged(now, prefix, true)
			advance := func(by time.Duration) {
				for end := now.Add(by); now.Before(end); {
					now = now.Add(10 * time.Millisecond)
					d.router.Advance(now)
				}
			}
			advance(3 * time.Second)
			if m.prefix != prefix {
				t.Fatalf("the mesh has %v", m.prefix)
			}
			if tt.down {
				l.changed(now, unplugged(d))
			}
			is := func(want string) {
				t.Helper()
				got := ""
				for _, n := range m.nd.Snapshot() {
					if n.Addr == node {
						got = n.State
					}
				}
				if got != want {
					t.Errorf("the address is %q, want %q", got, want)
				}
			}
			if tt.classic {
				p := solicitation(netip.IPv6Unspecified(), nd.SolicitedNode(node), node, ipv6.LinkAddr{}, nil)
				if err := m.nd.HandlePacket(now, p, ipv6.Meta{LinkSrc: ll}); err != nil {
					t.Fatal(err)
				}
				is("STALE")
			} else {
				aro, _ := nd.Registration{T: true, R: true, TID: 240, Lifetime: 10, ROVR: rovr}.AppendBinary(nil)
				p := solicitation(ipv6.LinkLocal(ll), m.link.LinkLocal(), node, ll, aro)
				if err := m.nd.HandlePacket(now, p, ipv6.Meta{LinkSrc: ll}); err != nil {
					t.Fatal(err)
				}
				if tt.down {
					is("REGISTERED")
					d.plug(now)
					if advance(100 * time.Millisecond); !l.nd.Checking(node) {
						t.Error("not looked for when the link is up")
					}
					if err := l.nd.HandlePacket(now, advertisement(node, node, station), ipv6.Meta{LinkSrc: station}); err != nd.DropConflict {
						t.Error(err)
					}
					advance(100 * time.Millisecond)
					is("") // told, and later revoked
					return
				}
				is("TENTATIVE")
			}
			if advance(700 * time.Millisecond); !l.nd.Checking(node) {
				t.Error("not looked for on the LAN")
			}
			switch {
			case tt.classic:
				is("STALE")
			default:
				is("TENTATIVE")
			}
			if tt.dup {
				if err := l.nd.HandlePacket(now, advertisement(node, node, station), ipv6.Meta{LinkSrc: station}); err != nd.DropConflict {
					t.Error(err)
				}
			}
			if tt.resumed {
				l.changed(now, unplugged(d))
			}
			advance(100 * time.Millisecond)
			if tt.resumed {
				advance(time.Second)
			}
			listens := slices.ContainsFunc(l.groups.listener.Snapshot().Groups, func(g mld.MembershipStatus) bool { return g.Group == nd.SolicitedNode(node) })
			if listens == tt.dup {
				t.Errorf("listens to its solicitations: %v", listens)
			}
			_, routed := d.router.FIB().Exact(netip.PrefixFrom(node, 128))
			switch {
			case tt.dup:
				if is(""); routed || l.Proxied(node) || !d.isTaken(node, rovr) {
					t.Errorf("route %v, proxied %v, taken %v", routed, l.Proxied(node), d.isTaken(node, rovr))
				}
			case tt.classic:
				is("STALE")
			default:
				is("REGISTERED")
			}
			if !tt.dup && (!routed || !l.Proxied(node) || d.isTaken(node, rovr)) {
				t.Errorf("route %v, proxied %v, taken %v", routed, l.Proxied(node), d.isTaken(node, rovr))
			}
		})
	}
}

// TestProxyRoams: a node that registers with another border router on the LAN is let go, and
// taken back when it returns.
func TestProxyRoams(t *testing.T) {
	prefix := netip.MustParsePrefix("2001:db8:1::/64")
	ll, other := ipv6.EUI64(0x0200_0000_0000_1234), ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 9})
	node := ipv6.WithIID(prefix, ll.IID())
	rovr, _ := nd.ROVRFrom(ll.Append(nil))
	d := lanDaemon(t, true, state.OpenMemory())
	now := time.Now()
	l, m := d.lan, d.meshes[0]
	d.plug(now)
	l.OnLinkChanged(now, prefix, true)
	advance := func(by time.Duration) {
		for end := now.Add(by); now.Before(end); {
			now = now.Add(10 * time.Millisecond)
			d.router.Advance(now)
		}
	}
	advance(3 * time.Second)
	register := func(tid uint8) {
		t.Helper()
		aro, _ := nd.Registration{T: true, R: true, TID: tid, Lifetime: 10, ROVR: rovr}.AppendBinary(nil)
		if err := m.nd.HandlePacket(now, solicitation(ipv6.LinkLocal(ll), m.link.LinkLocal(), node, ll, aro), ipv6.Meta{LinkSrc: ll}); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		if reg, ok := l.Registration(node); !ok || reg.TID != tid || reg.ROVR != rovr || !reg.T || reg.Lifetime < 1 || reg.Lifetime > 10 {
			t.Errorf("registered %+v, %v", reg, ok)
		}
	}
	claim := func(tid uint8) {
		t.Helper()
		aro, _ := nd.Registration{T: true, R: true, TID: tid, Lifetime: 10, ROVR: rovr}.AppendBinary(nil)
		if err := l.nd.HandlePacket(now, solicitation(netip.IPv6Unspecified(), nd.SolicitedNode(node), node, ipv6.LinkAddr{}, aro), ipv6.Meta{LinkSrc: other}); err != nil {
			t.Fatal(err)
		}
		advance(100 * time.Millisecond)
	}
	register(10)
	claim(9)
	if _, ok := l.Registration(node); !ok {
		t.Error("let go for an older registration")
	}
	claim(11)
	if _, ok := l.Registration(node); ok || l.Proxied(node) || l.nd.Checking(node) {
		t.Error("not let go")
	}
	if _, ok := d.router.FIB().Exact(netip.PrefixFrom(node, 128)); ok || d.isTaken(node, rovr) {
		t.Error("a route is left, or the address refused")
	}
	register(12)
}

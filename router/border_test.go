package router

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// TestBorder has what may not pass from one side to the other, and what may.
func TestBorder(t *testing.T) {
	routed := func(src, dst netip.Addr, typ uint8) ipv6.Packet {
		p := udp(src, dst, 64, 10)
		q := ipv6.AppendHeader(nil, 0, 0, 16+p.PayloadLen(), ipv6.ProtoDstOpts, 64, src, dst)
		q = append(q, ipv6.ProtoRouting, 0, 1, 4, 0, 0, 0, 0)
		q = append(q, p.NextHeader(), 0, typ, 0, 0, 0, 0, 0)
		return append(q, p.Payload()...)
	}
	toAll := ipv6.Meta{Port: 2, LinkDst: ipv6.EUI48([6]byte{0x33, 0x33, 0, 0, 0, 1})}
	lan, mesh := ipv6.Meta{Port: 2, LinkDst: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 1})}, ipv6.Meta{Port: 0}
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		m    ipv6.Meta
		drop error
	}{
		{"unicast in a frame to a group", udp(onLAN, inA, 64, 10), toAll, DropLinkMulticast},
		{"unicast", udp(onLAN, inA, 64, 10), lan, nil},
		{"routing header 0 from the LAN", routed(onLAN, inA, 0), lan, DropRoutingHeader},
		{"routing header 0 from a mesh", routed(adr("fd00:a::2"), inA, 0), mesh, DropRoutingHeader},
		{"RPL's routing header from the LAN", routed(onLAN, inA, 3), lan, DropRoutingHeader},
		{"RPL's routing header out of a mesh", routed(inA, onLAN, 3), mesh, DropRoutingHeader},
		{"RPL's routing header within a mesh", routed(adr("fd00:a::2"), inA, 3), mesh, nil},
		{"mobile IPv6's routing header", routed(onLAN, inA, 2), lan, nil},
		{"multicast source", udp(adr("ff05::1"), inA, 64, 10), lan, DropMartian},
		{"link-local source", udp(adr("fe80::99"), inA, 64, 10), lan, DropScope},
		{"mesh source", udp(inB, inA, 64, 10), lan, DropIngress},
		{"the mesh's anycast address as source", udp(adr("fd00:a::"), inA, 64, 10), lan, DropIngress},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{})
			f.r.Input(t0, parseOnly(t, c.p), c.m)
			l := f.r.Links()[c.m.Port]
			if c.drop == nil && l.Stats().Forwarded != 1 || c.drop != nil && l.drops[c.drop] != 1 {
				t.Errorf("%+v, drops %v, want %v", l.Stats(), l.Drops(), c.drop)
			}
			f.check(t)
		})
	}
}

// TestMulticastTransit has two uplinks: groups of one are not our business on the other.
func TestMulticastTransit(t *testing.T) {
	f := newLANFixture(Config{})
	other := &wire{name: "eth1", mtu: 1500}
	l := f.r.AddPort(PortConfig{Port: other, Kind: LAN, Ingress: true})
	l.SetMulticast(&members{want: map[netip.Addr][]ipv6.LinkAddr{group: nil}})
	f.r.Input(t0, udp(onLAN, group, 64, 10), ipv6.Meta{Port: f.llan.Index()})
	if len(other.sent) != 0 || f.llan.Drops()["multicast_no_listener"] != 1 {
		t.Errorf("%d sent, drops %v", len(other.sent), f.llan.Drops())
	}
	f.r.Input(t0, udp(inA, group, 64, 10), ipv6.Meta{Port: f.la.Index()})
	if len(other.sent) != 1 {
		t.Error("nothing from the mesh")
	}
	f.check(t)
}

// TestPrefixOfAnotherLink takes a prefix from a port that does not have it, or no more.
func TestPrefixOfAnotherLink(t *testing.T) {
	f := newLANFixture(Config{})
	f.la.RemovePrefix(lanPfx)
	if rt, ok := f.r.FIB().Exact(lanPfx); !ok || rt.Port != f.llan.Index() {
		t.Errorf("route %+v, %v: the LAN's own", rt, ok)
	}
	f.la.AddPrefix(lanPfx) // the last to say so has the route
	f.llan.RemovePrefix(lanPfx)
	if rt, ok := f.r.FIB().Exact(lanPfx); !ok || rt.Port != f.la.Index() {
		t.Errorf("route %+v, %v: the mesh's", rt, ok)
	}
	f.la.RemovePrefix(lanPfx)
	if rt, ok := f.r.FIB().Exact(lanPfx); ok {
		t.Errorf("route %+v stays", rt)
	}
}

// TestClampMSSRandom compares the checksum that was adjusted with one that is computed
// anew; what is no option of a SYN stays as it is.
func TestClampMSSRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	clamped := 0
	for range 20_000 {
		n := 20 + 4*rnd.IntN(11)
		h := make([]byte, n+rnd.IntN(5))
		for i := range h {
			h[i] = byte(rnd.IntN(256))
		}
		h[12] = byte(n/4)<<4 | h[12]&15
		if rnd.IntN(8) == 0 {
			h[12] = byte(rnd.IntN(256))
		}
		h[13] |= tcpSYN
		for i := 20; i < n; { // options, mostly well-formed
			switch k := rnd.IntN(4); {
			case k == 0 && i+4 <= n:
				h[i], h[i+1] = tcpOptMSS, 4
				i += 4
			case k == 1 && i+3 <= n:
				h[i], h[i+1] = 3, 3
				i += 3
			case k == 2:
				h[i] = byte(rnd.IntN(5))
				i++
			default:
				h[i] = tcpOptNop
				i++
			}
		}
		h[16], h[17] = 0, 0
		p := ipv6.Packet(append(ipv6.AppendHeader(nil, 0, 0, len(h), ipv6.ProtoTCP, 64, onLAN, inA), h...))
		sum := ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoTCP, p[ipv6.HeaderLen:])
		binary.BigEndian.PutUint16(p[ipv6.HeaderLen+16:], sum)
		before := bytes.Clone(p)
		if !clampMSS(p, 1280) {
			if !bytes.Equal(p, before) {
				t.Fatalf("changed without saying so:\n%x\n%x", before, []byte(p))
			}
			continue
		}
		clamped++
		if err := ipv6.CheckTransport(p); err != nil {
			t.Fatalf("%v:\n%x\n%x", err, before, []byte(p))
		}
		differ := 0
		for i := range p {
			if p[i] != before[i] {
				differ++
			}
		}
		if differ > 4 || len(p) != len(before) {
			t.Fatalf("%d bytes changed", differ)
		}
	}
	if clamped < 2_000 {
		t.Errorf("only %d clamped", clamped)
	}
}

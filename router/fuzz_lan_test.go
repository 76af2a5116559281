package router

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// FuzzLAN feeds any packets to a router with two meshes, a LAN and a host, with groups that are
// listened to everywhere, filter rules of every kind and lowered segment sizes: each must be
// accounted for once, what is sent must be a packet, and nothing of link scope may leave its
// link.
func FuzzLAN(f *testing.F) {
	for _, p := range []ipv6.Packet{
		udp(inA, onLAN, 64, 10), udp(onLAN, inB, 64, 10), udp(onLAN, group, 3, 3), udp(inA, group, 3, 3),
		udp(inA, realm, 64, 3), udp(adr("fe80::a"), adr("ff02::fd"), 1, 3), echoRequest(onLAN, adr("ff02::1"), 4),
	} {
		for port := range uint8(4) {
			f.Add(port, []byte(p))
		}
	}
	for _, q := range fragment(echoRequest(onLAN, adr("fe80::1"), 2000), 1280) {
		f.Add(uint8(2), []byte(q))
	}
	rules := []Rule{
		{Name: "tcp", In: []string{"lan"}, Protocol: ipv6.ProtoTCP, DstPorts: []PortRange{{22, 23}}, Action: Discard},
		{Name: "udp", Out: []string{"mesh"}, Protocol: ipv6.ProtoUDP, SrcPorts: []PortRange{{1, 100}}, Action: Reject},
		{Name: "icmp", Protocol: ipv6.ProtoICMPv6, ICMP: []uint8{128}, Src: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}, Action: Accept},
	}
	f.Fuzz(func(t *testing.T, port uint8, b []byte) {
		p, err := ipv6.Parse(append([]byte(nil), b...))
		if err != nil {
			return
		}
		fx := newLANFixture(Config{ClampMSS: true})
		if err := fx.r.SetRules(rules, Accept); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*members{fx.ma, fx.mb, fx.ml} {
			m.want[p.Dst()] = nil
		}
		links := fx.r.Links()
		m := ipv6.Meta{Port: int(port) % len(links), LinkSrc: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 9}), RSSI: ipv6.RSSIUnknown}
		for range 2 {
			fx.r.Input(t0, ipv6.Packet(append([]byte(nil), p...)), m)
		}
		fx.r.Advance(t0.Add(2 * time.Minute))
		for _, l := range links {
			checkLink(t, l)
		}
		for i, w := range []*wire{fx.a, fx.b, fx.lan, fx.host} {
			for _, q := range w.sent {
				if got, err := ipv6.Parse(q); err != nil || len(got) != len(q) {
					t.Fatalf("%s sent %x: %v", w.name, []byte(q), err)
				}
				if i != m.Port && (ipv6.Packet(q).Dst() == p.Dst() && ipv6.Packet(q).Src() == p.Src()) &&
					(p.Dst().IsLinkLocalUnicast() || p.Dst().IsLinkLocalMulticast() || p.Src().IsLinkLocalUnicast()) && links[i].kind != Host {
					t.Fatalf("%x of link scope left its link for %s", []byte(q), w.name)
				}
			}
		}
	})
}

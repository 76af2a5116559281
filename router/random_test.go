package router

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestRandomInput sends packets with any headers, addresses and lengths by every port of a
// router with filter rules, groups and services: each is counted once, nothing panics, and
// whatever is sent on is a packet that fits its link.
func TestRandomInput(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	f := newLANFixture(Config{ClampMSS: true})
	f.ma.want[group], f.ma.all = []ipv6.LinkAddr{llA, llB}, true
	f.ml.want[group], f.mb.want[realm] = nil, nil
	f.r.JoinGroup(group)
	f.r.JoinGroup(adr("ff02::fd"))
	f.r.SetProxied(true)
	f.r.FIB().Add(Route{Prefix: pfx("2001:db8:dead::/48"), Kind: RouteUnreachable})
	f.llan.ListenGroup(adr("ff02::1:2"))
	f.r.HandleUDP(547, func(_ time.Time, _ *Link, _, _ netip.AddrPort, b []byte) error {
		if len(b)%2 == 1 {
			return DropNoListener
		}
		return nil
	})
	if err := f.r.SetRules([]Rule{
		{In: []string{"lan"}, Protocol: ipv6.ProtoTCP, DstPorts: []PortRange{{20, 90}}, Action: Reject},
		{Protocol: ipv6.ProtoICMPv6, ICMP: []uint8{129}, Action: Discard},
	}, Accept); err != nil {
		t.Fatal(err)
	}
	addrs := []netip.Addr{
		inA, inB, onLAN, adr("2001:db8:1::1"), adr("fe80::1"), adr("fe80::a1"), adr("fe80::b1"), adr("fe80::77"), adr("fd00:a::"), adr("fd00:a::99"),
		adr("::"), adr("::1"), adr("::ffff:1.2.3.4"), adr("2001:db8:dead::1"), adr("2001:db8:ffff::1"), adr("2001:db8:1::"),
		group, realm, adr("ff02::1"), adr("ff02::2"), adr("ff02::16"), adr("ff02::1:2"), adr("ff02::fd"), adr("ff01::1"), adr("ff0e::5"), adr("ff02::1:ff00:1"), adr("ff0f::1"), adr("ff00::1"),
	}
	protos := []uint8{ipv6.ProtoHopByHop, ipv6.ProtoTCP, ipv6.ProtoUDP, ipv6.ProtoRouting, ipv6.ProtoFragment, ipv6.ProtoICMPv6, ipv6.ProtoNone, ipv6.ProtoDstOpts, ipv6.ProtoMobility, ipv6.ProtoAH, 50, 139, 253, 41}
	icmps := []byte{1, 2, 3, 4, 100, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 157, 158, 200}
	pick := func() uint8 { return protos[rnd.IntN(len(protos))] }
	hops := []uint8{0, 1, 2, 64, 255}
	group48 := ipv6.EUI48([6]byte{0x33, 0x33, 0, 0, 0, 1})
	now := t0
	for n := range 20_000 {
		next := pick()
		p := ipv6.AppendHeader(nil, uint8(rnd.IntN(256)), 0, 0, next, hops[rnd.IntN(len(hops))], addrs[rnd.IntN(len(addrs))], addrs[rnd.IntN(len(addrs))])
		for range 10 {
			off := len(p)
			switch next {
			case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts, ipv6.ProtoRouting, ipv6.ProtoMobility, ipv6.ProtoFragment, ipv6.ProtoAH:
				h := []byte{0, 0, byte(rnd.IntN(256)), byte(rnd.IntN(256)), 0, 0, 0, byte(rnd.IntN(4))}
				if rnd.IntN(3) > 0 {
					h[2], h[3] = 1, 4
				}
				if next == ipv6.ProtoFragment && rnd.IntN(2) == 0 {
					h[2], h[3] = 0, byte(rnd.IntN(2))
				}
				if rnd.IntN(20) == 0 {
					h[1] = byte(rnd.IntN(5))
				}
				p = append(p, h...)
				next = pick()
				p[off] = next
				continue
			}
			break
		}
		body := make([]byte, rnd.IntN(60))
		if rnd.IntN(30) == 0 {
			body = make([]byte, 1200+rnd.IntN(9000))
		}
		for i := range body {
			body[i] = byte(rnd.IntN(256))
		}
		if next == ipv6.ProtoICMPv6 && len(body) > 0 {
			body[0] = icmps[rnd.IntN(len(icmps))]
		}
		if next == ipv6.ProtoUDP && len(body) >= 8 {
			body[2], body[3], body[4], body[5] = 547>>8, 547&255, byte(len(body)>>8), byte(len(body))
		}
		off := len(p)
		p = append(p, body...)
		p[4], p[5] = byte((len(p)-40)>>8), byte(len(p)-40)
		if next == ipv6.ProtoICMPv6 && len(body) >= 4 && rnd.IntN(4) > 0 {
			p[off+2], p[off+3] = 0, 0
			c := ipv6.Checksum(ipv6.Packet(p).Src16(), ipv6.Packet(p).Dst16(), next, p[off:])
			p[off+2], p[off+3] = byte(c>>8), byte(c)
		}
		if next == ipv6.ProtoUDP && len(body) >= 8 && rnd.IntN(4) > 0 {
			p[off+6], p[off+7] = 0, 0
			c := ipv6.Checksum(ipv6.Packet(p).Src16(), ipv6.Packet(p).Dst16(), next, p[off:])
			p[off+6], p[off+7] = byte(c>>8), byte(c)
		}
		m := ipv6.Meta{Port: rnd.IntN(4), LinkSrc: llA}
		if rnd.IntN(10) == 0 {
			m.LinkDst = group48
		}
		q, err := ipv6.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		f.r.Input(now, q, m)
		now = now.Add(time.Duration(rnd.IntN(50)) * time.Millisecond)
		f.r.Advance(now)
		if n%50 == 0 {
			f.check(t)
			for _, w := range []*wire{f.a, f.b, f.lan, f.host} {
				for _, s := range w.sent {
					if r, err := ipv6.Parse(s); err != nil || len(r) != len(s) || len(s) > w.mtu && w != f.host {
						t.Fatalf("%s: %d bytes sent: %v", w.name, len(s), err)
					}
					if src := s.Src(); src.IsMulticast() || src.IsLoopback() {
						t.Fatalf("%s: sent from %v", w.name, src)
					}
				}
			}
			f.sent()
		}
	}
	f.r.Advance(now.Add(time.Hour))
	// Those that wait for address resolution get it, or not.
	for _, l := range []*Link{f.la, f.lb, f.llan} {
		nb := l.Neighbors().(*table)
		for len(nb.held) > 0 {
			h := nb.held[0]
			nb.held = nb.held[1:]
			if len(h.p)%2 == 0 {
				l.Resolved(now, h.p, h.owner, llA)
			} else {
				l.Unresolved(now, h.p, h.owner, DropNoRoute)
			}
		}
	}
	f.check(t)
	drops := map[string]uint64{}
	for _, l := range f.r.Links() {
		if l.Stats().Held != 0 {
			t.Errorf("%s: %d held", l.Name(), l.Stats().Held)
		}
		for k, v := range l.Drops() {
			drops[k] += v
		}
		if st := l.Stats(); st.Forwarded == 0 || st.Consumed == 0 {
			t.Errorf("%s: %+v: not everything was tried", l.Name(), st)
		}
	}
	t.Logf("drops %v", drops)
}

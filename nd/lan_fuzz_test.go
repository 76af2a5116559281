package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// FuzzLAN: any sequence of packets, calls and times keeps the tables within their limits,
// every entry in its place and with a timer, everything sent well formed, the owner told of
// each thing once, and Deadline after Advance in the future.
func FuzzLAN(f *testing.F) {
	for _, name := range []string{"nd.jsonl", "malformed.jsonl"} {
		for _, v := range vectors(f, name) {
			if p := v.packet(f); p != nil && len(p) > ipv6.HeaderLen && len(p) < 290 {
				m := p.Payload()
				s := append([]byte{3, 0, 8, 1, byte(len(m))}, m...)
				f.Add(append(s, 4, 1, 1, 7, 0, 0, 6, 200, 200))
			}
		}
	}
	var all []byte
	add := func(op byte, p ipv6.Packet) {
		all = append(append(all, op, 9, byte(len(p)-ipv6.HeaderLen)), p.Payload()...)
	}
	all = append(all, 15)
	add(16, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 9000, 4000), RouteInfo{Prefix: meshNet, Lifetime: 60}, AppendRDNSS(nil, 60, []netip.Addr{hostLL})))
	add(0, lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil))
	add(16, lanNA(hostLL, allNodes, hostLL, otherMAC, "O"))
	all = append(all, 4, 3, 3, 9, 4, 4, 10, 5, 5, 11, 6, 6, 12, 7, 7, 7, 0, 0, 7, 0, 0, 13, 1, 1)
	f.Add(all)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 4096 {
			return
		}
		mode := data[0]
		data = data[1:]
		w := newLANWorld(t)
		owner, _ := ROVRFrom(make([]byte, 8))
		set := registrar{ipv6.WithIID(lanNet, 5): {}, ipv6.WithIID(lanNet, 6): {ROVR: owner, T: true, TID: 3, Lifetime: 1}}
		cfg := LANConfig{
			AcceptRouter: mode&1 != 0, Advertise: mode&2 != 0, AcceptRedirects: mode&4 != 0, RouterOnly: mode&16 != 0,
			LinkLocal: lanLL, Proxy: set, Routes: []AdvertisedRoute{{Prefix: meshNet}},
			Limits: LANLimits{Neighbors: 32, Incomplete: 3, Queue: 2, Held: 4, Routers: 3, Prefixes: 4, Routes: 6, Addresses: 5, Checks: 2},
		}
		if mode&8 != 0 {
			cfg.OfferPrefix, cfg.Secret = offerNet, secret
		}
		n := w.add(cfg)
		n.nd.Start(w.now)
		addrOf := func(b byte) netip.Addr {
			switch b >> 6 {
			case 0:
				return ipv6.WithIID(linkLocalPrefix, uint64(b&63))
			case 1:
				return ipv6.WithIID(lanNet, uint64(b&63))
			}
			return ipv6.WithIID(meshNet, uint64(b&63))
		}
		held := lanPacket(hostLL)
		for len(data) >= 3 {
			op, a, b := data[0], data[1], data[2]
			data = data[3:]
			meta := ipv6.Meta{LinkSrc: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, a & 63})}
			w.queue = nil
			switch op % 16 {
			case 0, 1, 2, 3: // a message whose ICMPv6 part is in the data
				k := min(int(b), len(data))
				msg := append(begin(nil), data[:k]...)
				data = data[k:]
				if k < 4 {
					continue
				}
				src, dst := addrOf(a), lanLL
				if op%16 == 1 {
					src = unspecified
				}
				if op&16 != 0 {
					dst = allNodes
				}
				if op&32 != 0 && k >= 24 {
					dst = SolicitedNode(netip.AddrFrom16([16]byte(msg[48:64])))
				}
				err := n.nd.HandlePacket(w.now, finish(msg, src, dst, 255-op>>7), meta)
				if _, ok := err.(Drop); err != nil && !ok {
					t.Fatalf("error %v is no Drop", err)
				}
			case 4:
				n.nd.Resolve(w.now, addrOf(b), held, int(a))
			case 5:
				n.nd.Heard(w.now, addrOf(b), meta)
			case 6:
				w.now = w.now.Add(time.Duration(a) * time.Duration(b) * 100 * time.Millisecond)
				n.nd.Advance(w.now)
			case 7:
				if d := n.nd.Deadline(); !d.IsZero() {
					w.now = later(w.now, d)
					n.nd.Advance(w.now)
				}
			case 8:
				n.nd.Confirm(w.now, addrOf(b))
			case 9:
				if a&2 != 0 {
					n.nd.ProxyRegister(w.now, addrOf(b), Registration{ROVR: owner, T: a&4 != 0, TID: a >> 3})
				} else {
					n.nd.ProxyAdd(w.now, addrOf(b), a&1 != 0)
				}
			case 10:
				n.nd.ProxyRemove(w.now, addrOf(b))
			case 11:
				if !cfg.RouterOnly {
					n.nd.AddAddress(w.now, netip.PrefixFrom(addrOf(b), 64), w.now.Add(time.Duration(a)*second), w.now.Add(time.Duration(a)*2*second))
				}
			case 12:
				n.nd.SetPrefixes(w.now, []AdvertisedPrefix{{Prefix: netip.PrefixFrom(addrOf(a), 64), OnLink: b&1 != 0, Autonomous: b&2 != 0}})
			case 13:
				n.nd.SetRoutes(w.now, []AdvertisedRoute{{Prefix: netip.PrefixFrom(addrOf(a), 64)}, {Prefix: netip.PrefixFrom(addrOf(b), 128)}})
			case 14:
				n.nd.Down(w.now)
				n.nd.Start(w.now)
			case 15:
				n.nd.Redirect(w.now, held, meta, addrOf(b))
			}
			checkLAN(t, n.nd)
			if op%16 == 6 || op%16 == 7 {
				if d := n.nd.Deadline(); !d.IsZero() && !d.After(w.now) {
					t.Fatalf("due at %v, now %v", d, w.now)
				}
			}
		}
		again := w.add(cfg)
		again.nd.Restore(w.now, n.nd.Advertised())
		n.nd.Stop(w.now)
		if !n.nd.Deadline().IsZero() || n.nd.cache.m.Len() != 0 || len(n.addrs) != 0 || len(n.onLink) != 0 || len(n.routes) != 0 {
			t.Fatalf("not at rest after Stop: %v, %v, %v, %v", n.nd.Deadline(), n.addrs, n.onLink, n.routes)
		}
		checkLAN(t, again.nd)
	})
}

package nd

import (
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// Every message is dropped for the reason, counted once, and changes nothing.
func TestLANDrops(t *testing.T) {
	hops := func(p ipv6.Packet, h uint8) ipv6.Packet {
		p = append(ipv6.Packet(nil), p...)
		p.SetHopLimit(h)
		return p
	}
	set := func(p ipv6.Packet, off int, v byte) ipv6.Packet {
		p = append(ipv6.Packet(nil), p...)
		p[off] = v
		return p
	}
	const body = ipv6.HeaderLen
	ns := lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil)
	na := lanNA(hostLL, lanLL, hostLL, hostMAC, "SO")
	ra := lanRA(hostLL, hostMAC, 1800)
	rs := lanRS(hostLL, hostMAC)
	raw := func(src, dst netip.Addr, msg ...byte) ipv6.Packet {
		return finish(append(begin(nil), msg...), src, dst, hopLimit)
	}
	frag := ipv6.AppendHeader(nil, 0, 0, len(ns)-body+8, ipv6.ProtoFragment, 255, hostLL, lanLL)
	frag = append(append(frag, ipv6.ProtoICMPv6, 0, 0, 0, 0, 0, 0, 1), ns[body:]...)
	for name, v := range map[string]struct {
		p    ipv6.Packet
		want Drop
	}{
		"NS hop limit":            {hops(ns, 254), DropHopLimit},
		"NA hop limit":            {hops(na, 64), DropHopLimit},
		"RS hop limit":            {hops(rs, 254), DropHopLimit},
		"RA hop limit":            {hops(ra, 254), DropHopLimit},
		"Redirect hop limit":      {hops(raw(hostLL, lanLL, append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 32)...)...), 1), DropHopLimit},
		"fragment (RFC 6980)":     {ipv6.Packet(frag), DropTruncated},
		"NS truncated":            {raw(hostLL, lanLL, 135, 0, 0, 0, 0, 0, 0, 0), DropTruncated},
		"short":                   {raw(hostLL, lanLL, 135, 0, 0, 0), DropTruncated},
		"other type":              {raw(hostLL, lanLL, 128, 0, 0, 0, 0, 0, 0, 0), DropType},
		"code":                    {set(ns, body+1, 1), DropCode},
		"option of length 0":      {set(ns, body+25, 0), DropOptions},
		"option beyond the end":   {set(ns, body+25, 9), DropOptions},
		"NS target multicast":     {lanNS(hostLL, lanLL, allNodes, hostMAC, nil), DropTarget},
		"NA target multicast":     {lanNA(hostLL, lanLL, allNodes, hostMAC, "O"), DropTarget},
		"NA solicited multicast":  {lanNA(hostLL, allNodes, hostLL, hostMAC, "SO"), DropDestination},
		"NS :: not to the group":  {lanNS(unspecified, allNodes, lanLL, ipv6.LinkAddr{}, nil), DropDestination},
		"NS :: with SLLAO":        {lanNS(unspecified, netip.Addr{}, lanLL, hostMAC, nil), DropSourceOption},
		"RS :: with SLLAO":        {lanRS(unspecified, hostMAC), DropSourceOption},
		"RA from a global":        {lanRA(addr("2001:db8::1"), hostMAC, 1800), DropSource},
		"RA from us":              {lanRA(lanLL, hostMAC, 1800), DropSource},
		"NA from multicast":       {lanNA(allNodes, lanLL, hostLL, hostMAC, "O"), DropSource},
		"NS for another":          {lanNS(hostLL, netip.Addr{}, otherLL, hostMAC, nil), DropNotOurs},
		"NA nobody asked for":     {lanNA(hostLL, lanLL, hostLL, ipv6.LinkAddr{}, "SO"), DropUnsolicited},
		"NA with a group address": {lanNA(hostLL, lanLL, hostLL, ipv6.EUI48([6]byte{0x33, 0x33, 0, 0, 0, 1}), "SO"), DropTarget},
		"NS from our address":     {lanNS(lanLL, netip.Addr{}, lanLL, hostMAC, nil), DropConflict},
		"redirect":                {raw(hostLL, lanLL, append(append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, otherLL.AsSlice()...), otherLL.AsSlice()...)...), DropRedirect},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLANWorld(t)
			n := w.one(LANConfig{AcceptRouter: true, Advertise: true})
			before, entries := n.nd.Stats(), n.nd.cache.m.Len()
			if err := w.inject(n, v.p, hostMAC); err != v.want {
				t.Fatalf("%v, want %v", err, v.want)
			}
			if got := n.nd.Stats().Dropped[v.want] - before.Dropped[v.want]; got != 1 {
				t.Errorf("counted %d times", got)
			}
			if n.nd.cache.m.Len() != entries {
				t.Error("learnt something")
			}
		})
	}
}

// Limits have their reasons too.
func TestLANLimits(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{AcceptRouter: true, Advertise: true, Limits: LANLimits{Incomplete: 2, Held: 2, Routers: 2, Resolve: 100}})
	to := func(i int) netip.Addr { return ipv6.WithIID(linkLocalPrefix, uint64(0x100+i)) }
	mac := func(i int) ipv6.LinkAddr { return ipv6.EUI48([6]byte{2, 5, 0, 0, byte(i >> 8), byte(i)}) }
	for i := range 3 {
		if _, err := n.nd.Resolve(w.now, to(i), lanPacket(to(i)), 1); (err == DropResolveLimit) != (i == 2) {
			t.Error(i, err)
		}
	}
	// Routers beyond the limit: those that answer stay.
	w.answer(map[netip.Addr]ipv6.LinkAddr{to(10): mac(10), to(11): mac(11)})
	for i := 10; i < 13; i++ {
		if err := w.inject(n, lanRA(to(i), mac(i), 1800), mac(i)); (err == DropTableFull) != (i == 12) {
			t.Error(i, err)
		}
		w.run(5 * second)
	}
	if n.routes[defaultPrefix].NextHop != to(10) {
		t.Error(n.routes)
	}
	// One that does not answer makes room.
	w.answer(map[netip.Addr]ipv6.LinkAddr{to(11): mac(11)})
	n.nd.Resolve(w.now, to(10), lanPacket(to(10)), 1)
	w.run(minute)
	n.nd.Resolve(w.now, to(10), lanPacket(to(10)), 1)
	w.run(minute)
	if err := w.inject(n, lanRA(to(12), mac(12), 1800), mac(12)); err != nil {
		t.Error(err)
	}
	if n.nd.router(to(10)) != nil || n.nd.router(to(12)) == nil {
		t.Error("not replaced")
	}
	// Neighbors beyond the limit push out what never answered.
	small := w.one(LANConfig{LinkLocal: addr("fe80::2"), Limits: LANLimits{Neighbors: 32}})
	for i := range 100 {
		w.inject(small, lanNS(to(100+i), netip.Addr{}, addr("fe80::2"), mac(100+i), nil), mac(100+i))
	}
	if small.nd.cache.m.Len() != 32 || small.nd.Stats().Evicted != 68 {
		t.Error(small.nd.cache.m.Len(), small.nd.Stats().Evicted)
	}
	// Those that have answered lately are not pushed out by anybody.
	for i := range 40 {
		a := to(100 + 68 + i%32)
		small.nd.Confirm(w.now, a)
	}
	if err := w.inject(small, lanNS(to(999), netip.Addr{}, addr("fe80::2"), mac(999), nil), mac(999)); err != nil {
		t.Error(err) // answered all the same
	}
	if small.nd.cache.lookup(to(999)) != nil || small.nd.Stats().Dropped[DropTableFull] != 1 {
		t.Error("pushed out")
	}
	w.run(establishedTime + second)
	w.inject(small, lanNS(to(999), netip.Addr{}, addr("fe80::2"), mac(999), nil), mac(999))
	if small.nd.cache.lookup(to(999)) == nil {
		t.Error("no room after ten minutes of silence")
	}
}

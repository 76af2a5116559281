package mld_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/mld"
)

// A wire hands what one side sends to the other.
type wire struct {
	to   func(now time.Time, p ipv6.Packet, m ipv6.Meta) error
	from ipv6.LinkAddr
}

func (w *wire) SendPacket(now time.Time, p ipv6.Packet, _ ipv6.LinkAddr) {
	if w.to != nil {
		w.to(now, p, ipv6.Meta{LinkSrc: w.from})
	}
}

// A node of a mesh joins a group, and the router joins it on its uplink.
func Example() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	uplink := mld.NewListener(mld.ListenerConfig{Source: netip.MustParseAddr("fe80::1")}, &wire{})
	proxy := mld.NewProxy(mld.ProxyConfig{}, uplink)
	querier := mld.NewQuerier(mld.QuerierConfig{Source: netip.MustParseAddr("fe80::1"), Robustness: 3}, &wire{}, proxy)
	proxy.Attach(now, querier)
	querier.Start(now)

	node := mld.NewListener(mld.ListenerConfig{Source: netip.MustParseAddr("fe80::2")}, &wire{querier.HandlePacket, ipv6.EUI64(0x0200_0000_0000_0002)})
	coap := netip.MustParseAddr("ff05::fd")
	if err := node.Join(now, coap); err != nil {
		fmt.Println(err)
	}

	fmt.Println(querier.Wants(now, coap, netip.MustParseAddr("2001:db8::1")))
	list, _ := querier.Listeners(coap, nil)
	fmt.Println(list)
	for _, g := range uplink.Snapshot().Groups {
		fmt.Println(g.Group, g.Filter.Mode)
	}
	// Output:
	// true
	// [02:00:00:00:00:00:00:02]
	// ff05::fd EXCLUDE
}

package dhcp6_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/dhcp6"
)

// A wire hands what one machine sends to the other.
type wire struct {
	to  func(now time.Time, src netip.AddrPort, payload []byte) error
	src string
}

func (w *wire) SendUDP(now time.Time, _ netip.AddrPort, payload []byte) {
	if err := w.to(now, netip.MustParseAddrPort(w.src), payload); err != nil {
		fmt.Println("dropped:", err)
	}
}

type printer struct{}

func (printer) LeaseChanged(now time.Time, l dhcp6.Lease) {
	for _, a := range l.Addresses {
		fmt.Printf("%s for %v, DNS %v\n", a.Addr, a.Valid.Sub(now), l.DNS)
	}
}

func Example() {
	up := &wire{src: "[fe80::ff:fe00:1]:546"}
	down := &wire{src: "[fe80::1]:547"}
	client := dhcp6.NewClient(dhcp6.ClientConfig{DUID: dhcp6.NewDUIDUUID(), IAID: 1, RapidCommit: true}, up, printer{})
	server := dhcp6.NewServer(dhcp6.ServerConfig{
		DUID:        dhcp6.NewDUIDUUID(),
		Prefix:      netip.MustParsePrefix("fd00:1::/64"),
		DNS:         []netip.Addr{netip.MustParseAddr("fd00:1::1")},
		RapidCommit: true,
	}, down, nil)
	up.to, down.to = server.HandleMessage, client.HandleMessage

	now := time.Now()
	client.SetMode(now, dhcp6.Mode{Addresses: true})
	client.LinkChanged(now, true)
	client.Advance(client.Deadline()) // the Solicit after its random delay
	fmt.Println(client.State())

	subnets, _ := dhcp6.Subnets([]dhcp6.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:100::/56")}}, []uint16{1, 2})
	fmt.Println(subnets[0].Prefix, subnets[1].Prefix)
	// Output:
	// fd00:1::ff:fe00:1 for 24h0m0s, DNS [fd00:1::1]
	// bound
	// 2001:db8:100:1::/64 2001:db8:100:2::/64
}

package nd_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/nd"
)

// onLAN is the owner of a LAN: here it only tells what it hears.
type onLAN struct{}

func (onLAN) SendPacket(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) {
	if ra, err := nd.CheckRouterAdvertisement(p); err == nil {
		for o, rest := ra.Options.Next(); o.Type != 0; o, rest = rest.Next() {
			if r, ok := nd.ParseRouteInfo(o); ok {
				fmt.Println("sent: route to", r.Prefix, "for", r.Lifetime, "s")
			}
			if p, ok := nd.ParsePrefixInfo(o); ok {
				fmt.Println("sent: prefix", p.Prefix, "for", p.Valid, "s")
			}
		}
	}
}
func (onLAN) AddressChanged(_ time.Time, a nd.LANAddress) { fmt.Println("address", a.Addr, a.State) }
func (onLAN) OnLinkChanged(_ time.Time, p netip.Prefix, on bool) {
	fmt.Println("on-link", p, on)
}
func (onLAN) RouteChanged(_ time.Time, r nd.LANRoute)                               { fmt.Println("route", r.Prefix, r.NextHop) }
func (onLAN) DNSChanged(time.Time, []netip.Addr, []string)                          {}
func (onLAN) NAT64Changed(time.Time, []netip.Prefix)                                {}
func (onLAN) ParametersChanged(time.Time, nd.LANParameters)                         {}
func (onLAN) AdvertisedChanged(time.Time)                                           {}
func (onLAN) Conflict(time.Time, netip.Addr, ipv6.LinkAddr)                         {}
func (onLAN) ProxyChecked(time.Time, netip.Addr, nd.Status, ipv6.LinkAddr, nd.ROVR) {}
func (onLAN) Resolved(time.Time, ipv6.Packet, int, ipv6.LinkAddr)                   {}
func (onLAN) Unresolved(time.Time, ipv6.Packet, int, error)                         {}

// A border router on a LAN where nobody advertises a prefix: it announces the route to the
// mesh at once, and a prefix as soon as nobody has answered.
func ExampleLAN() {
	lan := nd.NewLAN(nd.LANConfig{
		LinkAddr:     ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 1}),
		AcceptRouter: true,
		Advertise:    true,
		Routes:       []nd.AdvertisedRoute{{Prefix: netip.MustParsePrefix("fd00:aaaa:0:2::/64")}},
		OfferPrefix:  netip.MustParsePrefix("fd00:aaaa:0:1::/64"),
	}, onLAN{}, onLAN{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lan.Start(now)
	for end := now.Add(7 * time.Second); ; {
		if now = lan.Deadline(); now.After(end) {
			break
		}
		lan.Advance(now)
	}
	// Output:
	// address fe80::ff:fe00:1 tentative
	// address fe80::ff:fe00:1 preferred
	// sent: route to fd00:aaaa:0:2::/64 for 1800 s
	// on-link fd00:aaaa:0:1::/64 true
	// address fd00:aaaa:0:1:0:ff:fe00:1 tentative
	// sent: route to fd00:aaaa:0:2::/64 for 1800 s
	// sent: prefix fd00:aaaa:0:1::/64 for 1800 s
	// address fd00:aaaa:0:1:0:ff:fe00:1 preferred
}

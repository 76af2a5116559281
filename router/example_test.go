package router_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/router"
)

// printer is a port that prints what it is given.
type printer struct{ name string }

func (p printer) Name() string { return p.name }
func (p printer) MTU() int     { return 1280 }
func (p printer) Output(_ time.Time, q ipv6.Packet, _ ipv6.LinkAddr) error {
	fmt.Printf("%s: to %s, hop limit %d\n", p.name, q.Dst(), q.HopLimit())
	return nil
}

func Example() {
	r := router.New(router.Config{})
	a := r.AddPort(router.PortConfig{Port: printer{"mesh"}, Kind: router.Mesh, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")}})
	b := r.AddPort(router.PortConfig{Port: printer{"host"}, Kind: router.Host})
	r.FIB().Add(router.Route{Prefix: netip.MustParsePrefix("::/0"), Port: b.Index(), Kind: router.RouteDefault})

	node, server := netip.MustParseAddrPort("[2001:db8:1::5]:1000"), netip.MustParseAddrPort("[2001:db8:ff::1]:5683")
	p, _ := ipv6.Parse(ipv6.AppendUDP(nil, node, server, 64, []byte("hello")))
	a.Deliver(time.Now(), p, ipv6.Meta{})
	p, _ = ipv6.Parse(ipv6.AppendUDP(nil, server, node, 64, []byte("hello")))
	b.Deliver(time.Now(), p, ipv6.Meta{})
	fmt.Println("forwarded:", a.Stats().Forwarded, b.Stats().Forwarded)
	// Output:
	// host: to 2001:db8:ff::1, hop limit 63
	// mesh: to 2001:db8:1::5, hop limit 63
	// forwarded: 1 1
}

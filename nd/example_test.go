package nd_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/nd"
)

// link joins a router and a host by a wire without loss.
type link struct {
	router *nd.Router
	host   *nd.Host
}

var (
	routerEUI = ipv6.EUI64(0x0200000000000001)
	hostEUI   = ipv6.EUI64(0x0200000000000007)
)

type routerSide struct{ *link }

func (l routerSide) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	l.host.HandlePacket(now, append(ipv6.Packet(nil), p...), ipv6.Meta{LinkSrc: routerEUI, LinkDst: dst})
}
func (routerSide) Registered(_ time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	fmt.Println("router: registered", a, "at", ll)
}
func (routerSide) Unregistered(_ time.Time, a netip.Addr)              { fmt.Println("router: gone", a) }
func (routerSide) Resolved(time.Time, ipv6.Packet, int, ipv6.LinkAddr) {}
func (routerSide) Unresolved(time.Time, ipv6.Packet, int, error)       {}

type hostSide struct{ *link }

func (l hostSide) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	l.router.HandlePacket(now, append(ipv6.Packet(nil), p...), ipv6.Meta{LinkSrc: hostEUI, LinkDst: dst})
}
func (hostSide) AddressAdded(_ time.Time, a netip.Addr, bits int) {
	fmt.Printf("host: has %v/%d\n", a, bits)
}
func (hostSide) AddressRemoved(time.Time, netip.Addr)                      {}
func (hostSide) DefaultRouter(_ time.Time, a netip.Addr, ll ipv6.LinkAddr) {}
func (hostSide) Context(time.Time, int, netip.Prefix, bool, time.Duration) {}
func (hostSide) DNS(time.Time, []netip.Addr, time.Duration)                {}
func (hostSide) Resolved(time.Time, ipv6.Packet, int, ipv6.LinkAddr)       {}
func (hostSide) Unresolved(time.Time, ipv6.Packet, int, error)             {}

func Example() {
	l := new(link)
	l.router = nd.NewRouter(nd.RouterConfig{LinkAddr: routerEUI, Prefix: netip.MustParsePrefix("2001:db8::/64")}, routerSide{l}, routerSide{l})
	l.host = nd.NewHost(nd.HostConfig{LinkAddr: hostEUI}, hostSide{l}, hostSide{l})

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l.host.Start(now)
	now = l.host.Deadline()
	l.host.Advance(now) // solicits, and registers with the router that answers
	ll, err := l.router.Resolve(now, netip.MustParseAddr("2001:db8::7"), nil, 0)
	fmt.Println("router: reaches it at", ll, err)
	// Output:
	// host: has fe80::7/64
	// router: registered 2001:db8::7 at 02:00:00:00:00:00:00:07
	// host: has 2001:db8::7/64
	// router: reaches it at 02:00:00:00:00:00:00:07 <nil>
}

package daemon

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/internal/config"
	"border-router/internal/ethernet"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/nd"
	"border-router/router"
)

// deaf is a port that nothing goes through.
type deaf struct{ name string }

func (p deaf) Name() string                                     { return p.name }
func (deaf) MTU() int                                           { return 1500 }
func (deaf) Output(time.Time, ipv6.Packet, ipv6.LinkAddr) error { return ethernet.DropInterfaceDown }
func routeOf(p, hop string) nd.LANRoute {
	return nd.LANRoute{Prefix: netip.MustParsePrefix(p), NextHop: netip.MustParseAddr(hop)}
}
func exact(d *Daemon, p string) (router.Route, bool) {
	return d.router.FIB().Exact(netip.MustParsePrefix(p))
}

// TestOthersClaimOurPrefix has routers on the LAN advertise what is ours: it stays with us.
func TestOthersClaimOurPrefix(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	d := &Daemon{cfg: config.Default(), log: log, router: router.New(router.Config{}), store: state.OpenMemory()}
	ula, err := d.store.ULA()
	if err != nil {
		t.Fatal(err)
	}
	d.ula = ula
	prefix := subnet(ula, 3)
	mesh0 := &mesh{name: "zep0", prefix: prefix}
	mesh0.link = d.router.AddPort(router.PortConfig{Port: deaf{"zep0"}, Kind: router.Mesh, Prefixes: []netip.Prefix{prefix}})
	d.meshes = []*mesh{mesh0}
	d.router.FIB().Add(router.Route{Prefix: ula, Kind: router.RouteUnreachable, Metric: 1 << 30})
	delegated := netip.MustParsePrefix("2001:db8:100::/56")
	d.router.FIB().Add(router.Route{Prefix: delegated, Kind: router.RouteUnreachable, Metric: 1 << 30})
	d.unreachable = []netip.Prefix{delegated}
	l := &lan{d: d, link: d.router.AddPort(router.PortConfig{Port: deaf{"eth0"}, Kind: router.LAN}), onLink: map[netip.Prefix]bool{}, routes: map[netip.Prefix]nd.LANRoute{}}
	if l.port, err = ethernet.Open(ethernet.Config{Name: "eth0", MAC: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 1})}); err != nil {
		if strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer l.port.Close()
	d.lan = l
	now := time.Now()

	inside := netip.PrefixFrom(prefix.Addr().Next(), 128)
	for _, p := range []netip.Prefix{prefix, inside, ula, delegated} {
		before, had := d.router.FIB().Exact(p)
		l.RouteChanged(now, nd.LANRoute{Prefix: p, NextHop: netip.MustParseAddr("fe80::bad")})
		l.OnLinkChanged(now, p, true)
		if after, has := d.router.FIB().Exact(p); had != has || after != before {
			t.Errorf("%v: route %+v (%v) became %+v (%v)", p, before, had, after, has)
		}
		l.RouteChanged(now, nd.LANRoute{Prefix: p})
		l.OnLinkChanged(now, p, false)
		if after, has := d.router.FIB().Exact(p); had != has || after != before {
			t.Errorf("%v withdrawn: route %+v (%v) became %+v (%v)", p, before, had, after, has)
		}
	}

	// What is not ours is taken, changed and given up.
	l.RouteChanged(now, routeOf("::/0", "fe80::1"))
	if rt, ok := exact(d, "::/0"); !ok || rt.Kind != router.RouteDefault || rt.NextHop != netip.MustParseAddr("fe80::1") {
		t.Errorf("default route %+v, %v", rt, ok)
	}
	l.RouteChanged(now, routeOf("::/0", "fe80::2"))
	if rt, _ := exact(d, "::/0"); rt.NextHop != netip.MustParseAddr("fe80::2") {
		t.Errorf("default route %+v: the other router", rt)
	}
	l.RouteChanged(now, nd.LANRoute{Prefix: netip.MustParsePrefix("::/0")})
	if rt, ok := exact(d, "::/0"); ok {
		t.Errorf("default route stays: %+v", rt)
	}
	l.OnLinkChanged(now, netip.MustParsePrefix("2001:db8:1::/64"), true)
	if rt, ok := exact(d, "2001:db8:1::/64"); !ok || rt.Kind != router.RouteConnected || rt.Port != l.link.Index() {
		t.Errorf("on-link prefix: %+v, %v", rt, ok)
	}
	l.OnLinkChanged(now, netip.MustParsePrefix("2001:db8:1::/64"), false)
	if _, ok := exact(d, "2001:db8:1::/64"); ok {
		t.Error("on-link prefix stays")
	}
}

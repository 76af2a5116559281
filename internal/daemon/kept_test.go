package daemon

import (
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

// lanDaemon is a router with an Ethernet uplink of its own that is not there yet; its loop
// does not run.
func lanDaemon(t *testing.T, proxy bool, store *state.Store) *Daemon {
	t.Helper()
	c := testConfig(t, "zep://[::1]:0?pace=off")
	c.Uplink = config.Uplink{Kind: config.UplinkEthernet, Name: "absent0"}
	c.LAN.NDProxy = proxy
	c.DHCP.Server = config.DHCPServerStateful
	d, err := New(t.Context(), c, Options{Version: "test", store: store})
	if err != nil && strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func (d *Daemon) plug(now time.Time) {
	d.lan.changed(now, ethernet.State{Up: true, Name: "absent0", Index: 7, MTU: 1500, LinkAddr: d.lan.port.LinkAddr()})
}

// TestDamagedState starts with every kept value cut off, of another type or out of range:
// the router starts, with a prefix of its own.
func TestDamagedState(t *testing.T) {
	kept := map[string][]string{
		keyProxied:         {"", "x", "10.0.0.0/8", "::/0", "2001:db8::/48", "2001:db8::/128", "fe80::/64", "ff00::/64", "::ffff:1.2.3.4/64"},
		keyMAC + "absent0": {"", "12345", "\x01\x00\x5e\x00\x00\x01", "\xff\xff\xff\xff\xff\xff"},
		keySecret:          {"", "short"},
		keyDUID:            {"", "\x00", strings.Repeat("x", 200)},
		keyLease: {"", "null", "{}", "[]", `{"Lease":{"Prefixes":[{}]}}`, `{"Lease":{"Prefixes":[{"Prefix":"10.0.0.0/8"}],"Addresses":[{}]}}`,
			`{"Lease":{"Prefixes":[{"Prefix":"2001:db8::/128"}]}}`, `{"Lease":{"Prefixes":[{"Prefix":"::/0"}]}}`, `{"Lease":{"T1":"0000-00-00"}}`,
			`{"Lease":{"Addresses":[{"Addr":"1.2.3.4"}]},"Key":"AAAA","Replay":1}`},
		keyAdvertised: {"", "null", "{}", "[{}]", "[null]", `[{"Prefix":"1.2.3.0/24","Lifetime":1}]`, `[{"Prefix":"2001:db8::/64","Lifetime":-1}]`},
	}
	for key, values := range kept {
		for _, v := range values {
			for _, proxy := range []bool{false, true} {
				store := state.OpenMemory()
				store.Put(key, []byte(v))
				store.Put(keyBound+"zep0", []byte(v))
				d := lanDaemon(t, proxy, store)
				now := time.Now()
				d.plug(now)
				for i := range time.Duration(20) {
					d.router.Advance(now.Add(i * time.Second))
				}
				m := d.meshes[0]
				if !m.prefix.IsValid() || m.prefix.Bits() != 64 || !m.addr.Is6() || m.addr.Is4In6() || !m.prefix.Contains(m.addr) || m.prefix.Addr().IsMulticast() || m.prefix.Addr().IsLinkLocalUnicast() {
					t.Errorf("%s = %q, proxy %v: the mesh has %v, %v", key, v, proxy, m.prefix, m.addr)
				}
				if a := d.lan.port.LinkAddr(); a.IsGroup() {
					t.Errorf("%s = %q: MAC address %v", key, v, a)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestProxiedPrefixChanges has the LAN go from one prefix to another while the mesh has its
// prefix: what was in use before is answered for, and ends later, and the routes of the LAN
// stay with the LAN.
func TestProxiedPrefixChanges(t *testing.T) {
	d := lanDaemon(t, true, nil)
	now := time.Now()
	l, m := d.lan, d.meshes[0]
	d.plug(now)
	one, two := netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")
	l.OnLinkChanged(now, one, true)
	d.router.Advance(now)
	if m.prefix != one {
		t.Fatalf("the mesh has %v, want that of the LAN", m.prefix)
	}
	old := m.addr
	ll := ipv6.EUI64(0x1234)
	node := ipv6.WithIID(one, ll.IID())
	d.linked(m.link, node, ll)
	d.linked(m.link, netip.MustParseAddr("2001:db8:99::1"), ll) // of no prefix of ours
	host := netip.PrefixFrom(node, 128)
	if rt, ok := d.router.FIB().Exact(host); !ok || rt.Port != m.link.Index() {
		t.Fatalf("route to the node %+v, %v", rt, ok)
	}
	if _, ok := exact(d, "2001:db8:99::1/128"); ok {
		t.Error("a route to an address from outside")
	}

	l.OnLinkChanged(now, two, true)
	l.OnLinkChanged(now, one, false)
	d.router.Advance(now)
	if m.prefix != two || m.addr == old {
		t.Fatalf("the mesh has %v", m.prefix)
	}
	if !l.Proxied(old) || !l.Proxied(m.addr) {
		t.Error("not answered for both our addresses")
	}
	other := ipv6.WithIID(one, 0x77)
	d.linked(m.link, other, ipv6.EUI64(0x77)) // still forms addresses from the one before
	if _, ok := d.router.FIB().Exact(netip.PrefixFrom(other, 128)); !ok {
		t.Error("no route to a node in the prefix before")
	}

	l.OnLinkChanged(now, one, true) // it is back, beside the other
	d.router.Advance(now)
	if m.prefix != two {
		t.Errorf("the mesh has %v: it had as good a one", m.prefix)
	}
	third := ipv6.WithIID(one, 0x88) // one of RFC 4861 that is known for longer than the prefix
	for i := time.Duration(0); i < 4*time.Hour; i += time.Minute {
		d.router.Advance(now.Add(i))
		if i == retireAfter-time.Minute {
			ns := solicitation(third, m.link.LinkLocal(), m.link.LinkLocal(), ipv6.EUI64(0x88), nil)
			if err := m.nd.HandlePacket(now.Add(i), ns, ipv6.Meta{LinkSrc: ipv6.EUI64(0x88)}); err != nil || !l.Proxied(third) {
				t.Fatalf("%v, proxied %v", err, l.Proxied(third))
			}
		}
	}
	if len(m.retired) != 0 || l.Proxied(old) {
		t.Errorf("retired %v", m.retired)
	}
	if rt, ok := d.router.FIB().Exact(one); !ok || rt.Port != l.link.Index() || rt.Kind != router.RouteConnected {
		t.Errorf("route of the LAN %+v, %v", rt, ok)
	}
	if m.nd.Knows(third) {
		t.Errorf("the mesh still knows %v", third)
	}
	for _, a := range []netip.Addr{node, other, third} {
		if rt, ok := d.router.FIB().Exact(netip.PrefixFrom(a, 128)); ok {
			t.Errorf("route %+v stays", rt)
		}
		if d.proxied[a] {
			t.Errorf("%v is kept", a)
		}
		if l.asked[a] {
			t.Errorf("solicitations for %v are still listened to", a)
		}
	}
}

// TestOnLinkAndRoute has one prefix be on the link and by a router, in either order.
func TestOnLinkAndRoute(t *testing.T) {
	const prefix = "2001:db8:7::/64"
	p := netip.MustParsePrefix(prefix)
	for _, routeFirst := range []bool{false, true} {
		d := lanDaemon(t, false, nil)
		now := time.Now()
		l := d.lan
		d.plug(now)
		kind := func() router.RouteKind {
			rt, _ := exact(d, prefix)
			return rt.Kind
		}
		if routeFirst {
			l.RouteChanged(now, routeOf(prefix, "fe80::1"))
			if kind() != router.RouteAdvertised {
				t.Error("no route by the router")
			}
		}
		l.OnLinkChanged(now, p, true)
		if !routeFirst {
			l.RouteChanged(now, routeOf(prefix, "fe80::1"))
		}
		if kind() != router.RouteConnected {
			t.Errorf("route first %v: %v, want the link itself", routeFirst, kind())
		}
		l.OnLinkChanged(now, p, false)
		if kind() != router.RouteAdvertised {
			t.Errorf("route first %v: %v, want the route by the router", routeFirst, kind())
		}
		l.OnLinkChanged(now, p, true)
		l.RouteChanged(now, nd.LANRoute{Prefix: p})
		if kind() != router.RouteConnected {
			t.Errorf("route first %v: the router took the link's own route with it: %v", routeFirst, kind())
		}
		l.OnLinkChanged(now, p, false)
		if rt, ok := exact(d, prefix); ok {
			t.Errorf("route %+v stays", rt)
		}
	}
}

// TestKernelAddressGoes has an address on the LAN's interface taken away while the router
// ends.
func TestKernelAddressGoes(t *testing.T) {
	k := newKernelRoutes(nil, func(what string, p netip.Prefix, err error) { t.Error(what, p, err) })
	var gone []netip.Prefix
	k.onLAN = func(p netip.Prefix, on bool) error {
		if on {
			t.Errorf("%v added", p)
		}
		gone = append(gone, p)
		return nil
	}
	p := netip.MustParsePrefix("fd00::1/64")
	k.route(p, true) // of the TUN device, which goes too
	k.set(k.lan, p, true)
	k.set(k.lan, p, false)
	<-k.wake
	done := make(chan struct{})
	close(done)
	k.run(done)
	if len(gone) != 1 || gone[0] != p {
		t.Errorf("taken away: %v", gone)
	}
}

package e2e_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/dhcp6"
	"border-router/internal/node"
	"border-router/router"
)

// A leaseClient is a DHCPv6 client on a device: the machine of the router's own uplink, with
// the device's loop and link.
type leaseClient struct {
	t *testing.T
	n *node.Node
	c *dhcp6.Client
}

func (l *leaseClient) LeaseChanged(time.Time, dhcp6.Lease) {}

// do runs f on the device's loop.
func (l *leaseClient) do(f func(now time.Time, d *node.Device)) {
	l.t.Helper()
	if err := l.n.Do(l.t.Context(), f); err != nil {
		l.t.Fatal(err)
	}
}

// clientOf starts a client on n; it looks after its timers until the test ends.
func clientOf(t *testing.T, n *node.Node, m dhcp6.Mode) *leaseClient {
	t.Helper()
	l := &leaseClient{t: t, n: n}
	l.do(func(now time.Time, d *node.Device) {
		l.c = dhcp6.NewClient(dhcp6.ClientConfig{DUID: dhcp6.NewDUIDUUID(), IAID: 1, RapidCommit: true}, nodeSender{d}, l)
		d.Router.HandleUDP(546, func(now time.Time, _ *router.Link, src, _ netip.AddrPort, b []byte) error {
			return l.c.HandleMessage(now, src, b)
		})
		l.c.SetMode(now, m)
		l.c.LinkChanged(now, true)
	})
	return l
}

type nodeSender struct{ d *node.Device }

func (s nodeSender) SendUDP(now time.Time, dst netip.AddrPort, b []byte) {
	_ = s.d.Link.SendUDP(now, s.d.Link.LinkLocal(), 546, dst, b)
}

// wait lets the client work until ok.
func (l *leaseClient) wait(what string, within time.Duration, ok func(dhcp6.Lease) bool) (lease dhcp6.Lease) {
	l.t.Helper()
	eventually(l.t, what, within, func() error {
		state := ""
		l.do(func(now time.Time, _ *node.Device) {
			l.c.Advance(now)
			lease, state = l.c.Lease(), l.c.State()
		})
		if !ok(lease) {
			return fmt.Errorf("%s with %+v", state, lease)
		}
		return nil
	})
	return lease
}

// TestDHCPServer: a device gets configuration, and an address that it has anyway; the
// server knows it after a restart, and a device that asks for nothing but configuration too.
func TestDHCPServer(t *testing.T) {
	t.Parallel()
	home := station(t, 0)
	r := startLAN(t, home, "--uplink", "user:", "--prefix", "2001:db8:5::/64", "--dhcp-server", "stateful",
		"--nd-rdnss", "2001:db8:53::1", "--nd-dnssl", "mesh.example", "--dhcp-sntp", "2001:db8:53::9", "--dhcp-lifetime", "1h")
	n := inside(t, home, node.Config{EUI64: 0x02005e1000000001})
	own := n.State().Addrs[0]
	l := clientOf(t, n, dhcp6.Mode{Addresses: true, Information: true})
	bound := func(x dhcp6.Lease) bool { return len(x.Addresses) == 1 }
	lease := l.wait("lease", 15*time.Second, bound)
	if a := lease.Addresses[0]; a.Addr != own || time.Until(a.Valid) > time.Hour || time.Until(a.Valid) < 55*time.Minute {
		t.Errorf("leased %+v, has %v", a, own)
	}
	if got := fmt.Sprint(lease.DNS, lease.Domains, lease.SNTP); got != "[2001:db8:53::1] [mesh.example] [2001:db8:53::9]" {
		t.Errorf("configuration %v", got)
	}
	// A second one gets another address, and one asks for configuration alone.
	other := inside(t, home, node.Config{EUI64: 0x02005e1000000002})
	if a := clientOf(t, other, dhcp6.Mode{Addresses: true}).wait("second lease", 15*time.Second, bound).Addresses[0].Addr; a == own {
		t.Errorf("%v is leased twice", a)
	}
	third := inside(t, home, node.Config{EUI64: 0x02005e1000000003})
	x := clientOf(t, third, dhcp6.Mode{Information: true}).wait("configuration", 15*time.Second, func(x dhcp6.Lease) bool { return len(x.DNS) > 0 })
	if len(x.Addresses) != 0 || len(x.SNTP) != 1 {
		t.Errorf("configuration alone: %+v", x)
	}
	// After a restart of the router the client asks whether the address still holds.
	r.p.end(time.Second)
	r.start()
	server := lease.Server
	l.do(func(now time.Time, _ *node.Device) {
		l.c.LinkChanged(now, false)
		l.c.LinkChanged(now, true)
	})
	eventually(t, "confirmed", 15*time.Second, func() (err error) {
		l.do(func(now time.Time, _ *node.Device) {
			l.c.Advance(now)
			if st := l.c.Stats(); l.c.State() != "bound" || st.Received[7] < 2 {
				err = fmt.Errorf("%s, %d replies", l.c.State(), st.Received[7])
			}
		})
		return err
	})
	l.do(func(now time.Time, _ *node.Device) {
		if x := l.c.Lease(); x.Server != server || !slices.Equal(x.Addresses, lease.Addresses) {
			t.Errorf("after the restart %+v, before %+v", x, lease)
		}
	})
	r.checkCounters()
}

// TestDHCPRelay: what devices ask for goes to a server on the LAN.
func TestDHCPRelay(t *testing.T) {
	need(t, "kea-dhcp6", "radvd", "tcpdump", "tshark")
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ethernet", []string{"--uplink", "ethernet://eth0"}},
		{"tun", []string{"--lan", "eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lan, gateway, home := newSegment(t), station(t, 64), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			lan.plug(gateway, "eth0")
			lan.plug(home, "eth0")
			server := lanPrefix.Addr().Next()
			gateway.AddAddress("eth0", netip.PrefixFrom(server, 64))
			tape := record(t, gateway, "eth0")
			k := kea(t, gateway, server, object{"id": 5, "subnet": "2001:db8:5::/64", "pools": []object{{"pool": "2001:db8:5::100-2001:db8:5::1ff"}}})
			radvd(t, gateway, "")
			r := startLAN(t, home, append(tt.args, "--prefix", "2001:db8:5::/64", "--dhcp-server", "off", "--dhcp-relay", server.String())...)
			n := inside(t, home, node.Config{EUI64: 0x02005e1000000001})
			l := clientOf(t, n, dhcp6.Mode{Addresses: true})
			lease := l.wait("lease of Kea", 30*time.Second, func(x dhcp6.Lease) bool { return len(x.Addresses) == 1 })
			if a := lease.Addresses[0].Addr; !netip.MustParsePrefix("2001:db8:5::100/120").Contains(a) || len(lease.DNS) != 1 {
				t.Errorf("leased %+v", lease)
			}
			l.wait("renewal", 15*time.Second, func(dhcp6.Lease) bool { return strings.Contains(k.output(), "DHCP6_LEASE_RENEW") })
			for typ, what := range map[int]string{12: "Relay-forward", 13: "Relay-reply"} {
				eventually(t, what+" on the LAN", 10*time.Second, func() error {
					if n := len(tape.read(fmt.Sprintf("dhcpv6.msgtype == %d", typ))); n < 2 {
						return fmt.Errorf("%d in the capture", n)
					}
					return nil
				})
			}
			r.checkCounters()
		})
	}
}

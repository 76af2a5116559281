package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/config"
	"border-router/internal/node"
	"border-router/zep"
)

// testConfig is a router without privileges, its radios on free ports of loopback.
func testConfig(t *testing.T, radios ...config.Radio) *config.Config {
	c := config.Default()
	c.Uplink = config.Uplink{Kind: config.UplinkUser}
	c.StateDir = ""
	c.Socket = filepath.Join(t.TempDir(), "sock")
	c.Radios = radios
	c.MAC.Pace = false
	return c
}

// freePort returns an address of loopback with a port that is free, and stays so while nobody
// has it: the kernel gives none of these to whoever asks for any (ip_local_port_range).
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(20_000+rand.IntN(12_000)))
		if l, err := net.ListenPacket("udp", at.String()); err == nil {
			l.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

func run(t *testing.T, c *config.Config) (*Daemon, func() error) {
	t.Helper()
	d, err := New(t.Context(), c, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			return errors.New("the router did not end")
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return d, stop
}

func (d *Daemon) url(i int) string {
	return fmt.Sprintf("zep://%s?mode=client&pan=0x%04x&channel=%d&pace=off", d.meshes[i].radio.(*zep.Radio).LocalAddrs()[0], d.meshes[i].pan, d.meshes[i].radio.Channel())
}

// join starts a device and waits for its address.
func join(t *testing.T, url string, eui uint64) netip.Addr {
	t.Helper()
	_, addr := joinNode(t, url, eui)
	return addr
}

func joinNode(t *testing.T, url string, eui uint64) (*node.Node, netip.Addr) {
	t.Helper()
	joined := make(chan netip.Addr, 1)
	n, err := node.New(node.Config{Radio: url, EUI64: eui, OnChange: func(s node.State) {
		if len(s.Addrs) > 0 {
			select {
			case joined <- s.Addrs[0]:
			default:
			}
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case a := <-joined:
		return n, a
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s did not join", url)
		return nil, netip.Addr{}
	}
}

func pingAll(t *testing.T, d *Daemon, addr netip.Addr, size int) {
	t.Helper()
	clocktest.Undisturbed(t, func() string {
		answered := 0
		err := d.Ping(t.Context(), api.PingRequest{Addr: addr, Count: 3, Size: size, Interval: 0.05, Timeout: 3}, func(r api.PingReply) error {
			if !r.Sent && r.Error == "" {
				answered++
			}
			return nil
		})
		if err != nil || answered != 3 {
			return fmt.Sprintf("ping %s with %d bytes: %d of 3 answered, %v", addr, size, answered, err)
		}
		return ""
	})
}

// TestTwoRadios joins a device on each of two radios of different channel and PAN, and
// lets one reach the other through the router.
func TestTwoRadios(t *testing.T) {
	d, stop := run(t, testConfig(t, "zep://127.0.0.1:0?channel=26&pan=0x0023", "zep://[::1]:0?channel=15&pan=0xabcd"))
	a, b := join(t, d.url(0), 0x0200_5e10_0000_00a1), join(t, d.url(1), 0x0200_5e10_0000_00b2)
	if !d.meshes[0].prefix.Contains(a) || !d.meshes[1].prefix.Contains(b) || d.meshes[0].prefix == d.meshes[1].prefix {
		t.Fatalf("addresses %s and %s in prefixes %s and %s", a, b, d.meshes[0].prefix, d.meshes[1].prefix)
	}
	for _, addr := range []netip.Addr{a, b} {
		for _, size := range []int{8, 1000, 3000} {
			pingAll(t, d, addr, size)
		}
	}
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Ports) != 3 || status.Registrations != 2 || len(status.Prefixes) != 2 {
		t.Errorf("status %+v", status)
	}
	for _, p := range status.Ports {
		if p.Received != p.Delivered+p.Forwarded+p.Consumed+p.Held+p.Dropped {
			t.Errorf("port %s does not add up: %+v", p.Name, p.Counters)
		}
	}
	list, err := d.Neighbors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []netip.Addr{a, b} {
		found := false
		for _, n := range list {
			found = found || n.Addr == addr && n.Registered && n.Lifetime > 0 && n.LastHeard != nil && n.LinkAddr != "" && n.Port != ""
		}
		if !found {
			t.Errorf("%s is not among %+v", addr, list)
		}
	}
	w := clocktest.Start(t)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := w.Elapsed(); took > time.Second {
		t.Errorf("ended in %v, want at most 1 s", took)
	}
	if _, err := d.Status(t.Context()); err == nil {
		t.Error("Status succeeds after the end")
	}
}

// TestRestart ends a router without warning its nodes and starts it again from its state:
// same prefix, same link-layer address, higher ABRO version, registrations in place.
func TestRestart(t *testing.T) {
	// The same port in both lives, since that is where the device sends.
	c := testConfig(t, config.Radio("zep://"+freePort(t).String()))
	c.StateDir = t.TempDir()
	d, stop := run(t, c)
	addr := join(t, d.url(0), 0x0200_5e10_0000_00c3)
	pingAll(t, d, addr, 8)
	prefix, own := d.Prefix(0)
	version := d.meshes[0].nd.ABROVersion()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	d, _ = run(t, c)
	if p, o := d.Prefix(0); p != prefix || o != own {
		t.Errorf("%s with %s after the restart, %s with %s before", p, o, prefix, own)
	}
	if v := d.meshes[0].nd.ABROVersion(); v <= version {
		t.Errorf("ABRO version %d after the restart, %d before", v, version)
	}
	pingAll(t, d, addr, 1000)
}

func TestNewErrors(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	running, _ := run(t, testConfig(t, "zep://127.0.0.1:0"))
	for _, c := range []struct {
		name string
		cfg  func(*config.Config)
		want string
	}{
		{"port in use", func(c *config.Config) { c.Radios = []config.Radio{config.Radio("zep://" + taken.LocalAddr().String())} }, "choose another port"},
		{"bad radio URL", func(c *config.Config) { c.Radios = []config.Radio{"zep://?chanel=3"} }, "chanel"},
		{"socket of another router", func(c *config.Config) { c.Socket = running.cfg.Socket }, "--socket"},
		{"too many subnets", func(c *config.Config) {
			c.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd00:1::/64")}
			c.Radios = append(c.Radios, "zep://127.0.0.1:0?channel=11")
		}, "room for 1"},
		{"state directory that cannot be", func(c *config.Config) { c.StateDir = filepath.Join(running.cfg.Socket, "state") }, "state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, "zep://127.0.0.1:0")
			c.cfg(cfg)
			d, err := New(t.Context(), cfg, Options{})
			if err == nil {
				d.Close()
				t.Fatal("New succeeded")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

// TestPingGroup waits for every member of a group, not for the first.
func TestPingGroup(t *testing.T) {
	d, _ := run(t, testConfig(t, "zep://127.0.0.1:0"))
	join(t, d.url(0), 0x0200_5e10_0000_00a1)
	join(t, d.url(0), 0x0200_5e10_0000_00a2)
	const timeout = 500 * time.Millisecond
	clocktest.Undisturbed(t, func() string {
		from := make(map[netip.Addr]bool)
		begin := time.Now()
		err := d.Ping(t.Context(), api.PingRequest{Addr: netip.MustParseAddr("ff02::1%zep0"), Count: 2, Interval: 0.05, Timeout: api.SecondsOf(timeout)}, func(r api.PingReply) error {
			if !r.Sent && r.Error == "" {
				from[r.From] = true
			}
			return nil
		})
		if took := time.Since(begin); err != nil || len(from) != 2 || took < timeout || took > 4*timeout {
			return fmt.Sprintf("%d members answered in %v, %v", len(from), took, err)
		}
		return ""
	})
}

func TestPingErrors(t *testing.T) {
	d, _ := run(t, testConfig(t, "zep://127.0.0.1:0"))
	emit := func(api.PingReply) error { return nil }
	for _, a := range []string{"2001:db8::1", "10.0.0.1", "::"} {
		if err := d.Ping(t.Context(), api.PingRequest{Addr: netip.MustParseAddr(a), Count: 1}, emit); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("ping %s: %v", a, err)
		}
	}
	// An address in the mesh that nobody has.
	prefix, _ := d.Prefix(0)
	var replies []api.PingReply
	err := d.Ping(t.Context(), api.PingRequest{Addr: prefix.Addr().Next().Next(), Count: 1, Timeout: 10}, func(r api.PingReply) error {
		replies = append(replies, r)
		return nil
	})
	if err != nil || len(replies) != 2 || replies[1].Type != 1 || replies[1].Code != 3 {
		t.Errorf("replies %+v, %v", replies, err)
	}
	if err := d.Capture(t.Context(), api.CaptureRequest{Ports: []string{"nonesuch"}}, nil); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("capture of an unknown port: %v", err)
	}
}

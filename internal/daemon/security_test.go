package daemon

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/node"
	"border-router/ipv6"
	"border-router/lowpan"
)

func security(key byte) config.Security {
	s := config.DefaultSecurity()
	s.Key = config.NewKey([16]byte{key, 1, 2, 3})
	return s
}

// secureNode starts a device, and returns it with the addresses that it gets.
func secureNode(t *testing.T, url string, eui uint64, s config.Security) (*node.Node, <-chan netip.Addr) {
	t.Helper()
	joined := make(chan netip.Addr, 1)
	n, err := node.New(node.Config{Radio: url, EUI64: eui, Security: s, StateDir: t.TempDir(), OnChange: func(s node.State) {
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
	return n, joined
}

func wait(t *testing.T, joined <-chan netip.Addr) netip.Addr {
	t.Helper()
	select {
	case a := <-joined:
		return a
	case <-time.After(2 * time.Minute):
		t.Fatal("did not join")
		return netip.Addr{}
	}
}

func (d *Daemon) drops(t *testing.T, why lowpan.Drop) (n uint64) {
	t.Helper()
	if err := d.do(t.Context(), func(time.Time) { n = d.meshes[0].iface.Stats().RxDrops[why] }); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits until ok: what it waits for goes through sockets.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
		select {
		case <-t.Context().Done():
			t.FailNow()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestSecureMesh has a router and devices with a key: one with the same, one with a key of
// its own, one with another key, and one with none.
func TestSecureMesh(t *testing.T) {
	const first, own, other, none = 0x0200_5e10_0000_00a1, 0x0200_5e10_0000_00a2, 0x0200_5e10_0000_00a3, 0x0200_5e10_0000_00a4
	c := testConfig(t, "zep://127.0.0.1:0?channel=26&pan=0x0023")
	c.Security = security(1)
	pair := config.NewKey([16]byte{9, 9})
	c.Security.Devices = []config.SecureDevice{{EUI64: own, Key: pair}}
	d, _ := run(t, c)

	_, a := secureNode(t, d.url(0), first, security(1))
	s := security(1)
	s.Level, s.KeyIDMode = 7, 0 // better than demanded, and the key not named
	s.Devices = []config.SecureDevice{{EUI64: config.EUI64(d.meshes[0].lladdr.Uint64()), Key: pair}}
	_, b := secureNode(t, d.url(0), own, s)
	addrs := []netip.Addr{wait(t, a), wait(t, b)}
	for _, addr := range addrs {
		for _, size := range []int{8, 1000} {
			pingAll(t, d, addr, size)
		}
	}
	if n := d.drops(t, lowpan.DropMIC) + d.drops(t, lowpan.DropSecurityLevel); n != 0 {
		t.Errorf("%d drops", n)
	}

	n, wrong := secureNode(t, d.url(0), other, security(2))
	eventually(t, "a wrong MIC is counted", func() bool { return d.drops(t, lowpan.DropMIC) > 0 })
	_, open := secureNode(t, d.url(0), none, config.Security{})
	eventually(t, "an unsecured frame is counted", func() bool { return d.drops(t, lowpan.DropSecurityLevel) > 0 })
	// The others are not disturbed.
	pingAll(t, d, addrs[0], 8)
	select {
	case addr := <-wrong:
		t.Errorf("%s joined with another key", addr)
	case addr := <-open:
		t.Errorf("%s joined without a key", addr)
	default:
	}
	if len(n.State().Addrs) != 0 {
		t.Error("joined with another key")
	}
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range status.Ports {
		if p.Received != p.Delivered+p.Forwarded+p.Consumed+p.Held+p.Dropped {
			t.Errorf("port %s does not add up: %+v", p.Name, p.Counters)
		}
	}
	if status.Registrations != 2 {
		t.Errorf("%d registrations", status.Registrations)
	}
	running, err := d.Config(t.Context())
	if err != nil || strings.Contains(running.TOML, "01010203") || !strings.Contains(running.TOML, `key = "hidden"`) {
		t.Errorf("%v\n%s", err, running.TOML)
	}
}

func TestSecurityNeedsState(t *testing.T) {
	c := testConfig(t, "zep://127.0.0.1:0?channel=26&pan=0x0023&eui64=02005e10000000b1")
	c.Security = security(1)
	d, err := New(t.Context(), c, Options{})
	if err == nil {
		d.Close()
		t.Fatal("a fixed EUI-64 without the frame counters of before")
	}
	if !strings.Contains(err.Error(), "wants a state_dir") {
		t.Error(err)
	}
	c.StateDir = t.TempDir()
	if d, err = New(t.Context(), c, Options{}); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := node.New(node.Config{Radio: "zep://127.0.0.1:17754?mode=client", EUI64: 0x0200_5e10_0000_00a1, Security: security(1)}, nil); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("node: %v", err)
	}
}

// TestSecureKilled kills the router's process: its next life does not use a frame counter
// again, is believed by the device at once, and takes no old frame of the device.
func TestSecureKilled(t *testing.T) {
	if dir := os.Getenv("BORDER_ROUTER_TEST_STATE"); dir != "" {
		runKilled(t, dir)
		return
	}
	// A port that is free now: the device is to find the router there in both lives.
	radio := fmt.Sprintf("zep://%s?channel=26&pan=0x0023", freePort(t))
	dir := t.TempDir()
	start := func(ping string) (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecureKilled$", "-test.v")
		cmd.Env = append(os.Environ(), "BORDER_ROUTER_TEST_STATE="+dir, "BORDER_ROUTER_TEST_RADIO="+radio, "BORDER_ROUTER_TEST_PING="+ping)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd, bufio.NewScanner(out)
	}
	said := func(s *bufio.Scanner, what string) string {
		for s.Scan() {
			if rest, ok := strings.CutPrefix(s.Text(), what+" "); ok {
				return rest
			}
		}
		t.Fatalf("the router ended before it said %q", what)
		return ""
	}
	cmd, out := start("")
	router, err := ipv6.ParseLinkAddr(said(out, "router"))
	if err != nil {
		t.Fatal(err)
	}
	n, joined := secureNode(t, strings.Replace(radio, "?", "?mode=client&pace=off&", 1), 0x0200_5e10_0000_00a1, security(1))
	addr := wait(t, joined)
	said(out, "kept")
	counter := func() (next uint32) {
		n.Do(t.Context(), func(_ time.Time, d *node.Device) {
			c, _ := d.Iface.DeviceCounters(nil)
			for _, c := range c {
				if c.EUI64 == router.Uint64() {
					next = c.Next
				}
			}
		})
		return next
	}
	for range 2 {
		before := counter()
		if before == 0 {
			t.Fatal("the device has not heard the router")
		}
		cmd.Process.Kill()
		cmd.Wait()
		cmd, out = start(addr.String())
		if got := said(out, "answered"); got != "3" {
			t.Errorf("%s of 3 pings answered after the router was killed", got)
		}
		if now := counter(); now < before+3 {
			t.Errorf("frame counter %d after %d", now, before)
		}
	}
}

// runKilled is the router that is killed.
func runKilled(t *testing.T, dir string) {
	c := testConfig(t, config.Radio(os.Getenv("BORDER_ROUTER_TEST_RADIO")))
	c.StateDir, c.Security = dir, security(1)
	d, _ := run(t, c)
	fmt.Println("router", d.meshes[0].lladdr)
	if to := os.Getenv("BORDER_ROUTER_TEST_PING"); to != "" {
		answered := 0
		d.Ping(t.Context(), api.PingRequest{Addr: netip.MustParseAddr(to), Count: 3, Size: 8, Interval: 0.05, Timeout: 3}, func(r api.PingReply) error {
			if !r.Sent && r.Error == "" {
				answered++
			}
			return nil
		})
		fmt.Println("answered", answered)
	}
	// What a kill must not undo is on the disk a moment after the device has joined.
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		recs, _ := d.store.Registrations(d.meshes[0].name)
		peers := newKeptPeers(d.store, d.meshes[0].name).list()
		if len(recs) == 1 && len(peers) == 1 && peers[0].Channel != 0 && d.store.Flush() == nil {
			fmt.Println("kept", recs[0].Addr)
			break
		}
	}
	<-t.Context().Done()
}

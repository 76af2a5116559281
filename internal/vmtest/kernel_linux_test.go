package vmtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	channel = 20
	pan     = 0xabcd
	prefix  = "2001:db8:6::/64"

	nodeShort   = 0x0001
	routerShort = 0x0002
)

func tryRun(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// in returns the arguments of ip(8) that run something in a namespace.
func in(ns string, args ...string) []string { return append([]string{"netns", "exec", ns}, args...) }

// eventually polls until f succeeds.
func eventually(t *testing.T, what string, within time.Duration, f func() error) {
	t.Helper()
	begin := time.Now()
	for {
		err := f()
		if err == nil {
			t.Logf("%s after %v", what, time.Since(begin).Round(time.Millisecond))
			return
		}
		if time.Since(begin) > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// air makes the radios: wpan0 in the namespace mesh, which is the node's, and wpan1 here.
// They stay for the tests after this one.
func air(t *testing.T) {
	t.Helper()
	if os.Getenv("BORDER_ROUTER") == "" {
		t.Skip("not in the virtual machine: scripts/vm/run (or scripts/test --vm) runs this test there")
	}
	run(t, "modprobe", "-a", "mac802154_hwsim", "ieee802154_6lowpan", "nhc_udp", "tun", "veth")
	run(t, "ip", "netns", "add", "mesh")
	run(t, "ip", in("mesh", "ip", "link", "set", "lo", "up")...)
	run(t, "iwpan", "phy", "phy0", "set", "netns", "name", "mesh")
}

// node makes the kernel a node that has no address yet; short 0 is none.
func node(t *testing.T, short uint16) {
	t.Helper()
	mesh := func(args ...string) { t.Helper(); run(t, "ip", in("mesh", args...)...) }
	_, _ = tryRun("ip", in("mesh", "ip", "link", "del", "lowpan0")...) // of the test before
	mesh("ip", "link", "set", "wpan0", "down")
	mesh("iwpan", "phy", "phy0", "set", "channel", "0", fmt.Sprint(channel))
	mesh("iwpan", "dev", "wpan0", "set", "pan_id", fmt.Sprintf("%#x", pan))
	if short != 0 {
		mesh("iwpan", "dev", "wpan0", "set", "short_addr", fmt.Sprintf("%#x", short))
	}
	mesh("ip", "link", "set", "wpan0", "up")
	mesh("ip", "link", "add", "link", "wpan0", "name", "lowpan0", "type", "lowpan")
	mesh("ip", "link", "set", "lowpan0", "up")
}

// A process is a program that runs until the end of the test.
type process struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
		_ = p.cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.out.String())
		}
	})
	return p
}

// lan makes a host behind the uplink, in the namespace lan, as 2001:db8:1::2.
func lan(t *testing.T) {
	t.Helper()
	run(t, "ip", "netns", "add", "lan")
	run(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "lan")
	run(t, "ip", "-6", "addr", "add", "2001:db8:1::1/64", "dev", "eth0", "nodad")
	run(t, "ip", "link", "set", "eth0", "up")
	run(t, "ip", in("lan", "ip", "link", "set", "lo", "up")...)
	run(t, "ip", in("lan", "ip", "-6", "addr", "add", "2001:db8:1::2/64", "dev", "eth0", "nodad")...)
	run(t, "ip", in("lan", "ip", "link", "set", "eth0", "up")...)
	run(t, "ip", in("lan", "ip", "-6", "route", "add", prefix, "via", "2001:db8:1::1")...)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// TestRouter is the program on one radio and the kernel as a node on the other: address,
// ping in both directions and from a host beyond, CoAP of libcoap, with the extended and
// with the short address of the node.
func TestRouter(t *testing.T) {
	air(t)
	lan(t)
	// No short address can be taken back from an interface, so that the order matters.
	for _, c := range []struct {
		name         string
		node, router uint16
	}{
		{"extended addresses", 0, 0},
		{"short address of the node", nodeShort, 0},
		{"short addresses", nodeShort, routerShort},
	} {
		t.Run(c.name, func(t *testing.T) { exchange(t, c.node, c.router) })
	}
}

func exchange(t *testing.T, nodeShort, routerShort uint16) {
	dir := t.TempDir()
	bin, socket := os.Getenv("BORDER_ROUTER"), filepath.Join(dir, "sock")
	url := fmt.Sprintf("wpan://wpan1?channel=%d&pan=%#x", channel, pan)
	if routerShort != 0 {
		url += fmt.Sprintf("&short=%#x", routerShort)
	}
	node(t, nodeShort)
	start(t, bin, "run", "--radio", url, "--uplink", "tun://up0", "--prefix", prefix, "--state-dir", dir, "--socket", socket)
	eventually(t, "router up", 120*time.Second, func() error {
		_, err := tryRun(bin, "status", "--socket", socket)
		return err
	})
	// The node's first solicitations may have found no router.
	run(t, "ip", in("mesh", "ip", "link", "set", "lowpan0", "down")...)
	run(t, "ip", in("mesh", "ip", "link", "set", "lowpan0", "up")...)

	var addr netip.Addr
	eventually(t, "address of the node", 120*time.Second, func() error {
		out, err := tryRun("ip", in("mesh", "ip", "-6", "-o", "addr", "show", "dev", "lowpan0", "scope", "global", "-tentative")...)
		for f := range strings.FieldsSeq(out) {
			p, err := netip.ParsePrefix(f)
			if err != nil || !netip.MustParsePrefix(prefix).Contains(p.Addr()) {
				continue
			}
			// With a short address it takes two, one made of each.
			if a := p.Addr().As16(); nodeShort == 0 || a[11] == 0xff && a[12] == 0xfe && a[14] == byte(nodeShort>>8) && a[15] == byte(nodeShort) {
				addr = p.Addr()
				return nil
			}
		}
		return errors.Join(err, errors.New("not the one from our prefix: "+out))
	})
	t.Logf("node has %v", addr)
	if out := run(t, "ip", in("mesh", "ip", "-6", "route", "show", "default")...); !strings.Contains(out, "lowpan0") {
		t.Errorf("no default route over lowpan0: %q", out)
	}

	ping := func(what string, args ...string) {
		t.Helper()
		for _, size := range []int{8, 1200} {
			out, err := tryRun("ip", append(args, "-s", fmt.Sprint(size))...)
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("ping of %d bytes %s: %v\n%s", size, what, err, out)
				continue
			}
			_, statistics, _ := strings.Cut(out, "statistics ---\n")
			t.Logf("ping of %d bytes %s: %s", size, what, strings.TrimSpace(statistics))
		}
	}
	flags := []string{"ping", "-6", "-c", "5", "-i", "0.3", "-W", "20"}
	ping("from a host beyond to the node", append(in("lan", flags...), addr.String())...)
	ping("from the node to a host beyond", append(in("mesh", flags...), "-I", addr.String(), "2001:db8:1::2")...)

	coap(t, dir, addr)
	neighbors := run(t, bin, "neighbors", "--socket", socket)
	t.Logf("neighbors:\n%s", neighbors)
	if short := fmt.Sprintf(" %02x:%02x ", nodeShort>>8, nodeShort&0xff); nodeShort != 0 && !strings.Contains(neighbors, short) {
		t.Errorf("nothing is reached at the short address%s", short)
	}

	var s struct {
		Ports []struct {
			Name                                                    string
			Received, Delivered, Forwarded, Consumed, Held, Dropped uint64
			Drops                                                   map[string]uint64
		}
	}
	out := run(t, bin, "status", "--json", "--socket", socket)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Ports {
		if p.Received != p.Delivered+p.Forwarded+p.Consumed+p.Held+p.Dropped {
			t.Errorf("port %s does not add up: %+v", p.Name, p)
		}
		t.Logf("port %s: received %d, forwarded %d, consumed %d, dropped %d %v", p.Name, p.Received, p.Forwarded, p.Consumed, p.Dropped, p.Drops)
	}
}

// coap has libcoap write 8 KiB to a server on the node, block by block, and read them back.
func coap(t *testing.T, dir string, node netip.Addr) {
	start(t, "ip", in("mesh", "coap-server-notls", "-A", node.String(), "-d", "10", "-v", "3")...)
	body := make([]byte, 8<<10)
	for i := range body {
		body[i] = byte(i*7 + i>>8)
	}
	sent, got := filepath.Join(dir, "sent"), filepath.Join(dir, "got")
	if err := os.WriteFile(sent, body, 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("coap://[%s]/big", node)
	client := func(args ...string) (string, error) {
		return tryRun("ip", in("lan", append([]string{"coap-client-notls", "-B", "30", "-v", "4"}, append(args, url)...)...)...)
	}
	eventually(t, "8 KiB written", 120*time.Second, func() error {
		out, err := client("-m", "put", "-b", "1024", "-f", sent)
		if err == nil && strings.Contains(out, "4.0") {
			err = errors.New(out)
		}
		return err
	})
	begin := time.Now()
	if out, err := client("-m", "get", "-b", "1024", "-o", got); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	back, err := os.ReadFile(got)
	if err != nil || !bytes.Equal(back, body) {
		t.Errorf("read back %d bytes, %v; want the %d that were written", len(back), err, len(body))
	}
	t.Logf("8 KiB read in %v", time.Since(begin).Round(time.Millisecond))
}

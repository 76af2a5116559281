package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"border-router/ieee802154"
	"border-router/internal/netnstest"
	"border-router/ipv6"
	"border-router/zep"
)

// attackTime is how long each attack lasts; with 20s they are what thc-ipv6 is made for.
var attackTime = flag.Duration("attack", 2*time.Second, "how long each attack of thc-ipv6 and each flood of the mesh lasts")

// maxAttackRSS is more than the router may ever need, whatever it is sent; in bytes.
const maxAttackRSS = 96 << 20

// An arena is an Ethernet with a router of ours, a default router (radvd), a host that means
// well and an attacker, and a mesh with one node.
type arena struct {
	*bench
	router                        *process
	home, host, gateway, attacker *netnstest.NS
	wire                          *netnstest.NS // the Ethernet
	node                          *device
	hostAddr, gatewayLL, ours     netip.Addr
	mesh                          netip.Prefix
	linkLocal                     netip.Addr
	pause                         time.Duration // of the attacker before he begins
	flooded                       int           // frames sent into the mesh
	table                         []string
	said                          string // by the last program of the attacker
}

const radvdConf = `interface eth0 {
  AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; AdvDefaultLifetime 1800;
  prefix 2001:db8:1::/64 { AdvOnLink on; AdvAutonomous on; };
};
`

// linkLocal returns the link-local address of eth0, which is there without detection of
// duplicates.
func linkLocal(t *testing.T, ns *netnstest.NS) netip.Addr {
	t.Helper()
	var out string
	eventually(t, "link-local address", 5*time.Second, func() error {
		out = ns.MustExec("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
		if !strings.Contains(out, "fe80") {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	f := strings.Fields(out)
	return netip.MustParsePrefix(f[slices.Index(f, "inet6")+1]).Addr()
}

// newArena starts everything but the router.
func newArena(t *testing.T) *arena {
	need(t, "ping", "ip", "radvd", "timeout", "atk6-flood_router26")
	bin := build(t)
	netnstest.Alone(t)
	a := &arena{home: netnstest.New(t), host: netnstest.New(t), gateway: netnstest.New(t), attacker: netnstest.New(t)}
	wire := netnstest.New(t)
	a.wire = wire
	// A bridge that learns nothing from the attacker, who has a new MAC address for every frame.
	wire.MustExec("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	wire.MustExec("ip", "link", "set", "br0", "up")
	for name, ns := range map[string]*netnstest.NS{"router": a.home, "host": a.host, "gateway": a.gateway, "attacker": a.attacker} {
		wire.LinkTo(ns, name, "eth0")
		wire.MustExec("ip", "link", "set", name, "master", "br0")
	}
	wire.MustExec("ip", "link", "set", "attacker", "type", "bridge_slave", "learning", "off")
	// Only the router is attacked. The kernel has one table of neighbors for all namespaces: a
	// flood that reached the others' would fill it, and nobody on the machine could send any more.
	for _, port := range []string{"attacker", "host", "gateway"} {
		a.isolate(port, "on")
	}

	dir := t.TempDir()
	a.bench = &bench{t: t, bin: bin, ns: a.home, socket: filepath.Join(dir, "sock")}
	// The host would fall to these attacks itself: it is told everything.
	a.hostAddr = netip.MustParseAddr("2001:db8:1::2")
	a.host.Sysctl("net.ipv6.conf.eth0.accept_ra", "0")
	a.host.AddAddress("eth0", netip.PrefixFrom(a.hostAddr, 64))
	a.gateway.Sysctl("net.ipv6.conf.all.forwarding", "1")
	a.gateway.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::1/64"))
	a.gatewayLL = linkLocal(t, a.gateway)
	// What the kernel would answer there is not to be taken for the router's.
	a.home.Sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
	linkLocal(t, a.attacker)
	a.attacker.Sysctl("net.ipv6.conf.eth0.accept_ra", "0")
	a.attacker.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::666/64"))
	conf := filepath.Join(dir, "radvd.conf")
	if err := os.WriteFile(conf, []byte(radvdConf), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, a.gateway, "radvd", "-n", "-C", conf, "-p", filepath.Join(dir, "radvd.pid"), "-m", "none")
	return a
}

// isolate has a station and others that are isolated as well reach each other, or not.
func (a *arena) isolate(port, on string) {
	a.wire.MustExec("ip", "link", "set", port, "type", "bridge_slave", "isolated", on)
}

func (a *arena) startRouter(args ...string) {
	a.t.Helper()
	dir := filepath.Dir(a.socket)
	a.router = start(a.t, a.home, a.bin, append([]string{"run", "--uplink", "ethernet://eth0", "--prefix", "fd12:3456:789a::/48", "--state-dir", dir, "--socket", a.socket}, args...)...)
	eventually(a.t, "router up", 5*time.Second, func() error { return a.json(&status{}, "status") })
}

func (a *arena) startNode() {
	a.t.Helper()
	a.mesh = netip.MustParsePrefix("fd12:3456:789a::/64")
	a.node = &device{eui: "02:00:5e:10:00:00:00:01"}
	a.node.process = start(a.t, a.home, a.bin, "node", "--radio", "zep://[::1]:17754?mode=client", "--eui64", a.node.eui)
	a.node.addr = a.node.address(a.mesh)
}

type attackStatus struct {
	PID   int
	Ports []struct {
		Name, Kind string
		Addresses  []netip.Addr
		Sent       uint64
		Drops      map[string]uint64
	}
	ICMPSent uint64 `json:"icmp_errors_sent"`
	Memory   struct {
		Heap uint64 `json:"heap_bytes"`
	}
}

func (a *arena) status() (s attackStatus) {
	a.t.Helper()
	if err := a.json(&s, "status"); err != nil {
		a.t.Fatal(err)
	}
	return s
}

// lanAddresses returns the addresses of the LAN's port.
func (s *attackStatus) lanAddresses() []netip.Addr {
	for _, p := range s.Ports {
		if p.Kind == "lan" {
			return p.Addresses
		}
	}
	return nil
}

// transitLost returns how much of what is forwarded the kernel of the LAN's port had no room
// for.
func (s *attackStatus) transitLost() (n uint64) {
	for _, p := range s.Ports {
		n += p.Drops["ethernet_kernel_queue_full"]
	}
	return n
}

// defaultRouter returns where the router's default route leads.
func (a *arena) defaultRouter() netip.Addr {
	a.t.Helper()
	var routes []struct {
		Prefix  netip.Prefix
		NextHop netip.Addr `json:"next_hop"`
	}
	if err := a.json(&routes, "routes"); err != nil {
		a.t.Fatal(err)
	}
	for _, r := range routes {
		if r.Prefix.Bits() == 0 {
			return r.NextHop
		}
	}
	return netip.Addr{}
}

// settle waits until the router is what it is on a quiet LAN.
func (a *arena) settle() {
	a.t.Helper()
	eventually(a.t, "address and default router of the LAN", 15*time.Second, func() error {
		s := a.status()
		list := s.lanAddresses()
		i := slices.IndexFunc(list, func(x netip.Addr) bool { return netip.MustParsePrefix("2001:db8:1::/64").Contains(x) })
		if i < 0 {
			return fmt.Errorf("addresses %v", list)
		}
		a.ours, a.linkLocal = list[i], list[0]
		if got := a.defaultRouter(); got != a.gatewayLL {
			return fmt.Errorf("default router %v, want %v", got, a.gatewayLL)
		}
		return nil
	})
	for _, ns := range []*netnstest.NS{a.host, a.attacker} {
		ns.MustExec("ip", "-6", "route", "replace", a.mesh.String(), "via", a.linkLocal.String(), "dev", "eth0")
	}
}

// report logs the table of attacks.
func (a *arena) report() {
	a.t.Logf("attacks of %v each:\n%s", *attackTime, strings.Join(a.table, "\n"))
}

// rss returns the resident set of the router and its peak since the last reset, in bytes.
func (a *arena) rss() (now, peak int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.router.cmd.Process.Pid))
	if err != nil {
		a.t.Errorf("the router is gone: %v", err)
		return 0, 0
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(b), "\n"+name+":")
		n, _ := strconv.Atoi(strings.Fields(rest)[0])
		return n << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// frames returns how many frames have come to the router's interface.
func frames(t *testing.T, ns *netnstest.NS) (rx, tx uint64) {
	t.Helper()
	ns.Do(func() {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		rx, tx = l.Attrs().Statistics.RxPackets, l.Attrs().Statistics.TxPackets
	})
	return rx, tx
}

// under runs f while the host pings the node every 20 ms, and returns how many were lost.
func (a *arena) under(f func()) (loss float64) {
	a.t.Helper()
	sent, answered := pinging(a.t, a.host, a.node.addr, f)
	return float64(sent-answered) / float64(max(1, sent))
}

// calm returns how long it takes from now until the mesh is reached without any loss; more
// than ten seconds fail the test.
func (a *arena) calm() (took time.Duration) {
	a.t.Helper()
	watch := startWatch()
	for {
		took = watch.took()
		out, err := a.host.Exec("ping", "-6", "-n", "-q", "-c", "20", "-i", "0.02", "-W", "1", a.node.addr.String())
		if err == nil && strings.Contains(out, " 0% packet loss") {
			return took
		}
		if took > 10*time.Second || watch.wall() > time.Minute {
			a.t.Fatalf("%v after the attack (%v by the clock):\n%s", took, watch.wall(), out)
		}
	}
}

// limits are what an attack may do to the host.
type limits struct {
	loss    float64 // the most of its pings that may be lost meanwhile
	transit bool    // the kernel has room for all that is forwarded
	sent    float64 // the most packets a second that the router may send; 0: any number
}

// maxCalm is how long after an attack there may be losses.
const maxCalm = 2 * time.Second

// attack runs f for attackTime and checks what no attack may change. What it does to the host is
// measured once more where it is too much, twice at most: the machine may have been busy with
// something else.
func (a *arena) attack(name string, max limits, f func(ctx context.Context)) {
	a.t.Helper()
	for try := 1; ; try++ {
		bad := a.measure(name, max, f)
		if len(bad) == 0 {
			return
		}
		load, _ := os.ReadFile("/proc/loadavg")
		a.t.Logf("measurement %d of %s, load %s:\n%s", try, name, strings.TrimSpace(string(load)), strings.Join(bad, "\n"))
		if try == 3 {
			out, _ := a.run("status")
			a.t.Errorf("%s:\n%s\n%s", name, strings.Join(bad, "\n"), out)
			return
		}
	}
}

// measure runs f for attackTime once, and returns what it did too much to the host.
func (a *arena) measure(name string, most limits, f func(ctx context.Context)) (bad []string) {
	a.t.Helper()
	pid := a.router.cmd.Process.Pid
	before := a.status()
	a.flooded = 0
	rx, tx := frames(a.t, a.home)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		a.t.Logf("peak of memory since the start: %v", err)
	}
	heap, failed := before.Memory.Heap, 0
	begin := time.Now()
	var took time.Duration
	lost := a.under(func() {
		ctx, cancel := context.WithTimeout(a.t.Context(), *attackTime+a.pause)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { f(ctx) })
		for ctx.Err() == nil {
			var s attackStatus
			if err := a.json(&s, "status"); err != nil {
				failed++
			}
			heap = max(heap, s.Memory.Heap)
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		all.Wait()
		took = time.Since(begin)
	})
	rx2, tx2 := frames(a.t, a.home)
	_, peak := a.rss()
	quiet := a.calm()
	in := rx2 - rx + uint64(a.flooded)
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if in < 60*uint64(took.Seconds()) && name != "nothing" { // 50 are the pings
		say("hardly a packet came: %.200s", a.said)
	}
	a.table = append(a.table, fmt.Sprintf("%-60s %8d in (%6.0f/s) %7d out  RSS %3.0f MiB  heap %4.1f MiB  lost %4.1f %%  calm after %v",
		name, in, float64(in)/took.Seconds(), tx2-tx, float64(peak)/(1<<20), float64(heap)/(1<<20), 100*lost, quiet.Round(10*time.Millisecond)))
	select {
	case <-a.router.done:
		a.t.Fatalf("%s: the router ended:\n%s", name, a.router.output())
	default:
	}
	after := a.status()
	if after.PID != pid {
		a.t.Errorf("%s: the router is process %d, was %d", name, after.PID, pid)
	}
	if peak > maxAttackRSS {
		a.t.Errorf("%s: resident set of %d MiB", name, peak>>20)
	}
	if sent := float64(tx2-tx) / took.Seconds(); most.sent > 0 && sent > most.sent {
		a.t.Errorf("%s: %.0f packets a second went out", name, sent)
	}
	if failed > 0 {
		say("the status was not there %d times", failed)
	}
	if lost > most.loss {
		say("%.0f %% of the pings were lost, more than %.0f %%", 100*lost, 100*most.loss)
	}
	if quiet > maxCalm {
		say("no loss only %v after the attack", quiet)
	}
	// What is for the router itself waits elsewhere than what it forwards.
	if n := after.transitLost() - before.transitLost(); most.transit && n > 0 {
		say("the kernel had no room for %d packets that the router would have forwarded", n)
	}
	have := after.lanAddresses()
	for _, x := range []netip.Addr{a.linkLocal, a.ours} {
		if !slices.Contains(have, x) {
			a.t.Errorf("%s: address %v is gone: %v", name, x, have)
		}
	}
	if got := a.defaultRouter(); got != a.gatewayLL {
		a.t.Errorf("%s: default router %v, want %v", name, got, a.gatewayLL)
	}
	return bad
}

// thc returns an attack by a program of thc-ipv6.
func (a *arena) thc(program string, args ...string) func(ctx context.Context) {
	return func(ctx context.Context) {
		end, _ := ctx.Deadline()
		for time.Until(end) > 100*time.Millisecond { // some end by themselves
			args := append([]string{"-s", "INT", "-k", "1", fmt.Sprintf("%.1f", time.Until(end).Seconds()), "atk6-" + program}, args...)
			cmd := exec.Command("timeout", args...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := a.attacker.Start(cmd)
			if err == nil {
				err = cmd.Wait()
			}
			a.said = strings.Join(strings.Fields(out.String()), " ")
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				a.t.Errorf("%s: %v", program, err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// flooded is the most that a flood may make the host lose, whose packets wait with those of
// the flood: the attacker has as much of the machine as the router.
const flooded = 0.5

// choked is the same where the packets of the attack are for the node itself, and more than
// the air carries to it, of which the host has its share.
const choked = 0.75

// TestAttacks is thc-ipv6 against a router on an Ethernet of its own: it lives, with memory
// that does not grow, and keeps its addresses and its default router, while the host reaches
// the mesh, and without any loss within two seconds from the end.
func TestAttacks(t *testing.T) {
	a := newArena(t)
	a.startRouter()
	a.startNode()
	a.settle()
	a.calm()
	defer a.report()

	ours, node, mesh := a.ours.String(), a.node.addr.String(), a.mesh.Addr().String()
	a.attack("nothing", limits{loss: 0.02}, func(context.Context) {})
	for _, c := range []struct {
		loss    float64
		program string
		args    []string
	}{
		{flooded, "flood_router26", []string{"eth0"}},
		{flooded, "flood_router26", []string{"-s", "eth0"}},
		{flooded, "flood_router26", []string{"-F", "eth0"}},
		{flooded, "flood_advertise6", []string{"eth0"}},
		{flooded, "flood_advertise6", []string{"eth0", ours}},
		{flooded, "flood_solicitate6", []string{"eth0", ours, ours}},
		{flooded, "flood_solicitate6", []string{"eth0"}},
		{flooded, "flood_rs6", []string{"-S", "eth0"}},
		{flooded, "flood_mld6", []string{"eth0"}},
		{flooded, "flood_mld26", []string{"eth0"}},
		{flooded, "flood_mldrouter6", []string{"eth0"}},
		{flooded, "flood_redir6", []string{"eth0", a.linkLocal.String()}},
		{flooded, "flood_dhcpc6", []string{"-n", "-1", "eth0"}},
		{0.1, "fuzz_ip6", []string{"-a", "-I", "-F", "-S", "-D", "-H", "eth0", ours}},
		{0.1, "fuzz_ip6", []string{"-a", "-x", "-2", "eth0", ours}},
		{0.1, "fuzz_ip6", []string{"-a", "-x", "-3", "eth0", ours}},
		{0.1, "fuzz_ip6", []string{"-a", "-x", "-4", "eth0", "ff02::1"}},
		{0.1, "fuzz_ip6", []string{"-a", "-x", "-R", "-5", "eth0", "ff02::16"}},
		{0.1, "fuzz_ip6", []string{"-a", "-x", "-R", "-9", "eth0", "ff02::1"}},
		{choked, "fuzz_ip6", []string{"-a", "-I", "eth0", node}},
		{flooded, "denial6", []string{"eth0", ours, "1"}},
		{flooded, "denial6", []string{"eth0", ours, "2"}},
		{flooded, "denial6", []string{"eth0", ours, "3"}},
		{flooded, "denial6", []string{"eth0", ours, "4"}},
		{flooded, "denial6", []string{"eth0", ours, "6"}},
		{choked, "denial6", []string{"eth0", node, "7"}},
		{flooded, "ndpexhaust26", []string{"-c", "-r", "eth0", mesh}},
		{flooded, "ndpexhaust26", []string{"-p", "-R", "eth0", mesh}},
		{flooded, "ndpexhaust26", []string{"-p", "-r", "eth0", "2001:db8:1::"}},
		{flooded, "smurf6", []string{"eth0", a.hostAddr.String()}},
		{flooded, "smurf6", []string{"eth0", a.hostAddr.String(), ours}},
		{flooded, "rsmurf6", []string{"eth0", ours}},
	} {
		if c.program == "denial6" {
			a.pause = 3 * time.Second // that it warns for
		}
		name := strings.Join(append([]string{c.program}, c.args...), " ")
		most := limits{loss: c.loss, transit: !slices.Contains(c.args, node) && !slices.Contains(c.args, mesh)}
		// Of RFC 4443 section 2.4 (f): not more than a host could want.
		if c.program == "smurf6" && len(c.args) == 2 {
			most.sent = 1000
		}
		beyond := slices.Contains(c.args, "2001:db8:1::") // what the gateway is to look for in the LAN
		if beyond {
			a.isolate("gateway", "off")
		}
		a.attack(name, most, a.thc(c.program, c.args...))
		if beyond {
			a.isolate("gateway", "on")
		}
		a.pause = 0
	}
}

// TestFakeRouter is a router on the LAN that does answer. Of preference medium it does not
// replace the one that was there first; of preference high it is the default router, as RFC
// 4191 section 3.2 says, but not where lan.routers names the right one. The mesh is reached all
// the time.
func TestFakeRouter(t *testing.T) {
	for _, c := range []struct {
		preference string
		trusted    bool
		replaces   bool
	}{{"medium", false, false}, {"high", false, true}, {"high", true, false}} {
		t.Run(fmt.Sprintf("%s trusted=%v", c.preference, c.trusted), func(t *testing.T) {
			a := newArena(t)
			var args []string
			if c.trusted {
				args = []string{"--lan-routers", a.gatewayLL.String()}
			}
			a.startRouter(args...)
			a.startNode()
			a.settle()
			a.calm()
			fake := linkLocal(t, a.attacker)
			bad := netip.MustParsePrefix("2001:db8:bad::/64")
			// Of a machine that is busy with something else the loss is measured again, and what
			// the router does of the advertisements may take longer.
			for try := 1; ; try++ {
				lost := a.under(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
					defer cancel()
					a.thc("fake_router26", "-i", "1", "-p", c.preference, "-A", "2001:db8:bad::/64", "-R", "2001:db8:bad::/48", "-D", "2001:db8:bad::53", "-l", "600", "eth0")(ctx)
				})
				got, want := a.defaultRouter(), a.gatewayLL
				if c.replaces {
					want = fake
				}
				s := a.status()
				have := s.lanAddresses()
				if !slices.Contains(have, a.ours) || !slices.Contains(have, a.linkLocal) {
					t.Errorf("addresses %v", have)
				}
				if c.trusted && slices.ContainsFunc(have, bad.Contains) {
					t.Errorf("although it is not trusted, addresses %v", have)
				}
				if !c.replaces && got != want {
					t.Errorf("default router %v, want %v", got, want)
				}
				if lost <= 0.02 && got == want && slices.ContainsFunc(have, bad.Contains) != c.trusted {
					break
				}
				if t.Logf("%.0f %% of the pings were lost, default router %v, addresses %v", 100*lost, got, have); try == 3 {
					t.Errorf("%.0f %% of the pings were lost, default router %v, want %v, trusted %v, addresses %v", 100*lost, got, want, c.trusted, have)
					break
				}
			}
			a.calm()
		})
	}
}

// TestDuplicateAttack is dos-new-ip6 from before the router's start: it says of each address
// that is taken. The router tries others (RFC 7217 section 6), says what is wrong, uses none
// of them, and serves its mesh; when the attacker has gone it takes them again.
func TestDuplicateAttack(t *testing.T) {
	a := newArena(t)
	attacker := start(t, a.attacker, "atk6-dos-new-ip6", "eth0")
	eventually(t, "the attacker listens", 10*time.Second, func() error {
		// The columns of a packet socket: the interface is the fifth.
		out := a.attacker.MustExec("cat", "/proc/net/packet")
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 4 && f[4] != "Iface" && f[4] != "0" {
				return nil
			}
		}
		return errors.New(out)
	})
	for try := 1; ; try++ {
		a.startRouter()
		late := false
		eventually(t, "the failure in the log", 20*time.Second, func() error {
			if strings.Contains(a.router.output(), "every address that was tried is taken") {
				return nil
			}
			// An attacker that is kept from the processor for a second is too late.
			var s lanStatus
			if err := a.json(&s, "status"); err != nil {
				return err
			}
			if s.LAN != nil && try < 3 {
				for _, x := range s.LAN.Addresses {
					late = late || x.State == "preferred"
				}
			}
			if late {
				return nil
			}
			return errors.New(a.router.output())
		})
		if !late {
			break
		}
		t.Logf("start %d: the attacker was too late:\n%s", try, a.router.output())
		a.router.stop(syscall.SIGTERM)
	}
	a.startNode()
	if n := strings.Count(a.router.output(), "another station has our address"); n < 4 {
		t.Errorf("%d addresses were tried, want the first and three more", n)
	}
	s := a.status()
	for _, x := range s.lanAddresses() {
		t.Errorf("%v is used", x)
	}
	eventually(t, "the mesh", 10*time.Second, func() error {
		out, err := a.run("ping", "-c", "2", "-i", "0.1", a.node.addr.String())
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	attacker.stop(syscall.SIGKILL)
	if *attackTime < 20*time.Second {
		return // it takes a minute until the router tries again
	}
	eventually(t, "recovery", 90*time.Second, func() error {
		s := a.status()
		if list := s.lanAddresses(); len(list) == 0 || !list[0].IsLinkLocalUnicast() {
			return fmt.Errorf("addresses %v", list)
		}
		return nil
	})
	a.settle()
	a.calm()
}

// A meshFlood is what a hostile device sends: frames of a new station each.
type meshFlood struct {
	name string
	make func(rnd *rand.Rand, self ipv6.LinkAddr, router netip.Addr, mesh netip.Prefix) []byte // an IPv6 packet
}

func icmpPacket(src, dst netip.Addr, hopLimit uint8, ext, body []byte) []byte {
	next := uint8(ipv6.ProtoICMPv6)
	if ext != nil {
		next = ipv6.ProtoHopByHop
	}
	p := ipv6.AppendHeader(nil, 0, 0, len(ext)+len(body), next, hopLimit, src, dst)
	p = append(append(p, ext...), body...)
	ipv6.Packet(p).SetICMPChecksum(ipv6.HeaderLen + len(ext))
	return p
}

func withEUI(b []byte, typ uint8, ll ipv6.LinkAddr) []byte {
	return append(ll.Append(append(b, typ, 2)), 0, 0, 0, 0, 0, 0)
}

func randomAddr(rnd *rand.Rand, p netip.Prefix) netip.Addr {
	a := p.Addr().As16()
	binary.BigEndian.PutUint64(a[8:], rnd.Uint64())
	return netip.AddrFrom16(a)
}

var meshFloods = []meshFlood{
	{"RS", func(_ *rand.Rand, self ipv6.LinkAddr, _ netip.Addr, _ netip.Prefix) []byte {
		return icmpPacket(ipv6.LinkLocal(self), ipv6.AllRouters, 255, nil, withEUI([]byte{133, 0, 0, 0, 0, 0, 0, 0}, 1, self))
	}},
	{"NS", func(rnd *rand.Rand, self ipv6.LinkAddr, router netip.Addr, mesh netip.Prefix) []byte {
		b := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, router.AsSlice()...)
		return icmpPacket(randomAddr(rnd, mesh), router, 255, nil, withEUI(b, 1, self))
	}},
	{"registrations", func(_ *rand.Rand, self ipv6.LinkAddr, router netip.Addr, mesh netip.Prefix) []byte {
		addr := ipv6.WithIID(mesh, self.IID())
		b := withEUI(append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, addr.AsSlice()...), 1, self)
		b = self.Append(append(b, 33, 2, 0, 0, 1, 1, 0xff, 0xff)) // EARO: T, TID 1, the longest lifetime
		return icmpPacket(addr, router, 255, nil, b)
	}},
	{"MLD reports", func(rnd *rand.Rand, self ipv6.LinkAddr, _ netip.Addr, _ netip.Prefix) []byte {
		b := []byte{143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}
		b = append(b, randomAddr(rnd, netip.MustParsePrefix("ff05::/16")).AsSlice()...)
		return icmpPacket(ipv6.LinkLocal(self), netip.MustParseAddr("ff02::16"), 1, []byte{ipv6.ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0}, b)
	}},
	{"DHCPv6", func(rnd *rand.Rand, self ipv6.LinkAddr, _ netip.Addr, _ netip.Prefix) []byte {
		b := binary.BigEndian.AppendUint32(nil, 1<<24|rnd.Uint32()>>8) // SOLICIT
		b = self.Append(append(b, 0, 1, 0, 12, 0, 3, 0, 27))           // DUID-LL of an EUI-64
		b = append(b, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) // IA_NA
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(ipv6.LinkLocal(self), 546), netip.MustParseAddrPort("[ff02::1:2]:547"), 1, b)
	}},
	{"to everywhere", func(rnd *rand.Rand, self ipv6.LinkAddr, _ netip.Addr, mesh netip.Prefix) []byte {
		to := randomAddr(rnd, [...]netip.Prefix{mesh, netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")}[rnd.IntN(3)])
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(randomAddr(rnd, mesh), 5683), netip.AddrPortFrom(to, 5683), 64, make([]byte, 16))
	}},
}

// flood sends frames of a flood to the router, as many as the socket takes.
func (a *arena) flood(f meshFlood, router ipv6.LinkAddr) func(ctx context.Context) {
	return func(ctx context.Context) {
		var conn *net.UDPConn
		var err error
		a.home.Do(func() { conn, err = net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.IPv6loopback, Port: 17754}) })
		if err != nil {
			a.t.Error(err)
			return
		}
		defer conn.Close()
		rnd := rand.New(rand.NewPCG(1, 2))
		begin := time.Now()
		for seq := uint32(0); ctx.Err() == nil; seq++ {
			self := ipv6.EUI64(rnd.Uint64()&^(3<<56) | 2<<56)
			p := f.make(rnd, self, ipv6.LinkLocal(router), a.mesh)
			frame := []byte{0x41, 0xcc, byte(seq), 0x23, 0x00} // data, both addresses long, PAN 0x0023
			frame = binary.LittleEndian.AppendUint64(frame, router.Uint64())
			if netip.AddrFrom16([16]byte(p[24:40])).IsMulticast() {
				frame = []byte{0x41, 0xc8, byte(seq), 0x23, 0x00, 0xff, 0xff}
			}
			frame = binary.LittleEndian.AppendUint64(frame, self.Uint64())
			frame = append(append(frame, 0x41), p...) // uncompressed IPv6, RFC 4944 section 5.1
			h := zep.Header{Version: 2, Type: zep.TypeData, Channel: 26, Device: 1, Mode: zep.ModeCRC, LQI: 0xff, Seq: seq}
			b, err := h.AppendBinary(nil, ieee802154.AppendFCS(frame))
			if err != nil {
				a.t.Error(err)
				return
			}
			conn.Write(b)
			a.flooded++
			// Forty times what the air would carry.
			if ahead := time.Duration(seq)*time.Second/meshRate - time.Since(begin); ahead > time.Millisecond {
				time.Sleep(ahead)
			}
		}
	}
}

// meshRate is how many frames a second a flood of the mesh has; the air carries 300 of these.
const meshRate = 12_000

// TestMeshFlood is a hostile device in the mesh: every frame has another sender. Memory stays
// bounded, and the host on the LAN reaches its node.
func TestMeshFlood(t *testing.T) {
	a := newArena(t)
	a.startRouter("--dhcp-server", "stateful")
	a.startNode()
	a.settle()
	a.calm()
	defer a.report()
	var s struct {
		Ports []struct{ Kind, LLAddr string }
	}
	if err := a.json(&s, "status"); err != nil {
		t.Fatal(err)
	}
	var router ipv6.LinkAddr
	for _, p := range s.Ports {
		if p.Kind == "mesh" {
			var err error
			if router, err = ipv6.ParseLinkAddr(p.LLAddr); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range meshFloods {
		a.attack("mesh: "+f.name, limits{loss: flooded}, a.flood(f, router))
	}
}

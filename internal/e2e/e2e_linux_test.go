// Package e2e_test runs the program as its users do: a router with a TUN uplink and
// devices over ZEP in one network namespace, a host behind the uplink in another, with
// the kernel, libcoap and tshark as the peers.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// program builds border-router once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "border-router-e2e")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "border-router")
	cmd := exec.Command("go", "build", "-o", bin, "border-router/cmd/border-router")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	// The parallel tests wait more than they work.
	flag.Parse()
	if set := flag.Lookup("test.parallel"); set.Value.String() == set.DefValue {
		set.Value.Set("16")
	}
	// In the background of a shell SIGINT is ignored, here and by every program that is started:
	// with this they heed it.
	if signal.Ignored(os.Interrupt) {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	go watchMachine()
	code := m.Run()
	if bin, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed; scripts/test installs it as root", tool)
		}
	}
}

// A process is a running program whose output is kept.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts a program, in ns unless that is nil, and ends it with the test.
func start(t *testing.T, ns *netnstest.NS, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(name) + " " + strings.Join(args, " "), cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	var err error
	if ns != nil {
		err = ns.Start(p.cmd)
	} else {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.output())
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// stop ends a process of another's with a signal, and waits for it.
func (p *process) stop(s syscall.Signal) {
	p.t.Helper()
	p.signal(s)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Errorf("%s did not end on %v", p.name, s)
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// end interrupts the process and checks that it ends well, and soon.
func (p *process) end(within time.Duration) {
	p.t.Helper()
	watch := startWatch()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if took := watch.took(); took > within {
			p.t.Errorf("%s took %v to end, and %v with what it waited for the machine; want at most %v", p.name, took, watch.wall(), within)
		}
	case <-time.After(time.Minute):
		p.t.Errorf("%s did not end on SIGTERM", p.name)
		return
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with status %d:\n%s", p.name, code, p.output())
	}
}

// patience is how much longer than it should take something is waited for: the machine may
// stand still for a moment.
const patience = 10 * time.Second

// eventually polls until f succeeds, for as long as that should take and some more: time in
// which the machine is busy with other things does not count.
func eventually(t *testing.T, what string, within time.Duration, f func() error) {
	t.Helper()
	within += patience
	watch := startWatch()
	for {
		err := f()
		if err == nil {
			return
		}
		if took := watch.took(); took > within || watch.wall() > 4*within {
			t.Fatalf("%s: not within %v (%v by the clock): %v", what, took, watch.wall(), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A bench is a router with what is needed to ask it.
type bench struct {
	t      *testing.T
	bin    string
	ns     *netnstest.NS // nil: ours
	socket string
}

// run runs a command of border-router and returns what it printed and how it ended.
func (b *bench) run(args ...string) (string, error) {
	args = append(args, "--socket", b.socket)
	if b.ns != nil {
		return b.ns.Exec(b.bin, args...)
	}
	out, err := exec.Command(b.bin, args...).CombinedOutput()
	return string(out), err
}

func (b *bench) json(v any, args ...string) error {
	out, err := b.run(append(args, "--json")...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return json.Unmarshal([]byte(out), v)
}

// capture starts to write what passes the ports of the router into a file.
func (b *bench) capture(file string) *process {
	b.t.Helper()
	p := start(b.t, b.ns, b.bin, "capture", "-w", file, "--socket", b.socket)
	eventually(b.t, "capture up", 5*time.Second, func() error {
		_, err := os.Stat(file)
		return err
	})
	return p
}

type status struct {
	Prefixes []struct {
		Prefix netip.Prefix
	}
	Ports []struct {
		Name                                                          string
		Received, Delivered, Forwarded, Consumed, Held, Dropped, Sent uint64
		Drops                                                         map[string]uint64
		Lowpan                                                        *struct{ Counters map[string]uint64 }
	}
}

type neighbor struct {
	Port, LinkAddr string `json:",omitempty"`
	Addr           netip.Addr
	State          string
	Registered     bool
	Lifetime       float64  `json:"lifetime_s"`
	LastHeard      *float64 `json:"last_heard_s"`
}

// checkCounters asserts that every packet is accounted for once.
func (b *bench) checkCounters() {
	b.t.Helper()
	var s status
	if err := b.json(&s, "status"); err != nil {
		b.t.Fatal(err)
	}
	for _, p := range s.Ports {
		if p.Received != p.Delivered+p.Forwarded+p.Consumed+p.Held+p.Dropped {
			b.t.Errorf("port %s: received %d != delivered %d + forwarded %d + consumed %d + held %d + dropped %d",
				p.Name, p.Received, p.Delivered, p.Forwarded, p.Consumed, p.Held, p.Dropped)
		}
		var drops uint64
		for _, n := range p.Drops {
			drops += n
		}
		if drops != p.Dropped {
			b.t.Errorf("port %s: drops %v add to %d, dropped %d", p.Name, p.Drops, drops, p.Dropped)
		}
		if p.Received == 0 && p.Name != "user" { // nobody needs to ask the stack of its own
			b.t.Errorf("port %s received nothing", p.Name)
		}
	}
}

// A device is one node process.
type device struct {
	*process
	eui     string
	classic bool
	addr    netip.Addr
}

// iid returns the interface identifier that an EUI-64 written as 02:00:... gives.
func (d *device) address(prefix netip.Prefix) netip.Addr {
	var e [8]byte
	fmt.Sscanf(d.eui, "%02x:%02x:%02x:%02x:%02x:%02x:%02x:%02x", &e[0], &e[1], &e[2], &e[3], &e[4], &e[5], &e[6], &e[7])
	a := prefix.Addr().As16()
	copy(a[8:], e[:])
	a[8] ^= 2
	return netip.AddrFrom16(a)
}

// TestTUN is the main job: three devices, one of them as lwIP, behind a router whose
// uplink is the kernel; reached from the same host and from one beyond it; and again after
// the router was killed.
func TestTUN(t *testing.T) {
	need(t, "ping", "coap-client-notls", "tshark", "dumpcap")
	bin := build(t)
	home, lan := netnstest.New(t), netnstest.New(t)
	home.LinkTo(lan, "eth0", "eth0")
	home.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::1/64"))
	lan.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::2/64"))
	home.Sysctl("net.ipv6.conf.all.forwarding", "1")

	dir := t.TempDir()
	b := &bench{t: t, bin: bin, ns: home, socket: filepath.Join(dir, "sock")}
	startRouter := func() *process {
		t.Helper()
		p := start(t, home, bin, "run", "--state-dir", dir, "--socket", b.socket)
		eventually(t, "router up", 5*time.Second, func() error {
			select {
			case <-p.done:
				t.Fatalf("the router ended:\n%s", p.output())
			default:
			}
			return b.json(&status{}, "status")
		})
		return p
	}
	rt := startRouter()
	raw := start(t, home, "dumpcap", "-q", "-i", "lo", "-f", "udp port 17754", "-w", filepath.Join(dir, "zep.pcapng"))
	eventually(t, "dumpcap up", 10*time.Second, func() error {
		if !strings.Contains(raw.output(), "File:") {
			return fmt.Errorf("says %q", raw.output())
		}
		return nil
	})
	captured := filepath.Join(dir, "router.pcapng")
	tap := b.capture(captured)

	var s status
	if err := b.json(&s, "status"); err != nil {
		t.Fatal(err)
	}
	prefix := s.Prefixes[0].Prefix
	lan.AddRoute(prefix, netip.MustParseAddr("2001:db8:1::1"), "eth0")

	nodes := []*device{
		{eui: "02:00:5e:10:00:00:00:01"},
		{eui: "02:00:5e:10:00:00:00:02"},
		{eui: "02:00:5e:10:00:00:00:03", classic: true},
	}
	for _, n := range nodes {
		args := []string{"node", "--radio", "zep://[::1]:17754?mode=client", "--eui64", n.eui}
		if n.classic {
			args[2] = "zep://127.0.0.1:17754?mode=client"
			args = append(args, "--nd", "4861")
		}
		n.process = start(t, home, bin, args...)
		n.addr = n.address(prefix)
	}
	eventually(t, "registrations", 20*time.Second, func() error {
		var list []neighbor
		if err := b.json(&list, "neighbors"); err != nil {
			return err
		}
		for _, n := range nodes {
			found := n.classic // it does not register
			for _, have := range list {
				found = found || have.Addr == n.addr && have.Registered && have.Lifetime > 0
			}
			if !found {
				return fmt.Errorf("%s is not among %+v", n.addr, list)
			}
		}
		return nil
	})

	for _, n := range nodes {
		for _, size := range []int{8, 1000} {
			for _, from := range []*netnstest.NS{home, lan} {
				pings(t, from, n.addr, size, 2)
			}
		}
	}
	for _, from := range []*netnstest.NS{home, lan} {
		var all sync.WaitGroup
		for _, n := range nodes {
			all.Go(func() { exchange(t, from, n.addr) })
		}
		all.Wait()
	}
	// From one node to another: out of the port it came in by.
	eventually(t, "border-router ping", 20*time.Second, func() error {
		out, err := b.run("ping", "-c", "2", "-s", "1000", nodes[0].addr.String())
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if out, err := b.run("ping", "-c", "1", "-W", "1", nodes[0].addr.Next().Next().Next().Next().String()); err == nil {
		t.Errorf("a ping to nobody succeeded:\n%s", out)
	} else if code := err.(interface{ ExitCode() int }).ExitCode(); code != 1 {
		t.Errorf("a ping to nobody ended with status %d, want 1:\n%s", code, out)
	}
	b.checkCounters()

	// Killed, and started again: the nodes do nothing, and are there at once.
	tap.end(2 * time.Second)
	rt.signal(syscall.SIGKILL)
	<-rt.done
	rt = startRouter()
	for _, n := range nodes {
		eventually(t, fmt.Sprintf("%s after the restart", n.addr), 5*time.Second, func() error { return ping(home, n.addr, 8, 2) })
	}
	var list []neighbor
	if err := b.json(&list, "neighbors"); err != nil {
		t.Fatal(err)
	}
	registered := 0
	for _, n := range list {
		if n.Registered {
			registered++
		}
	}
	if registered != 2 {
		t.Errorf("%d registrations after the restart, want 2: %+v", registered, list)
	}
	b.checkCounters()

	for _, n := range nodes {
		n.end(time.Second)
	}
	rt.end(time.Second)
	raw.stop(syscall.SIGINT)

	context0 := "6lowpan.context0:" + prefix.String()
	checkCapture(t, captured, context0, malformed+" or wpan.fcs_ok == 0 or udp.checksum.status == 0 or icmpv6.checksum.status == 0")
	// Here the kernel leaves the checksum of the outer UDP header on loopback undone, and
	// a HELLO to the hub (type 255) holds no frame, though tshark looks for one.
	checkCapture(t, filepath.Join(dir, "zep.pcapng"), context0, "zep.type == 1 and ("+malformed+" or wpan.fcs_ok == 0 or icmpv6.checksum.status == 0)")
}

// checkCapture lets tshark read a capture and fails where a packet matches bad.
func checkCapture(t *testing.T, file, context0, bad string, options ...string) {
	t.Helper()
	read := func(filter string) []string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		args := append([]string{"-r", file, "-o", context0, "-o", "udp.check_checksum:TRUE", "-Y", filter}, options...)
		cmd := exec.CommandContext(ctx, "tshark", args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tshark: %v\n%s", err, stderr.String())
		}
		return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	}
	if lines := read(bad); len(lines) > 0 {
		t.Errorf("%s: tshark objects to %d packets:\n%s", filepath.Base(file), len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
	}
	for _, what := range []string{"coap", "icmpv6.type == 135", "icmpv6.type == 129", "6lowpan.frag.offset"} {
		if len(read(what)) == 0 {
			t.Errorf("%s: no packet is %q", filepath.Base(file), what)
		}
	}
}

// TestUser is the same without root: the whole simulation in one process, and a foreign
// node that joins it.
func TestUser(t *testing.T) {
	bin := build(t)
	dir := t.TempDir()
	port := freePort(t)
	b := &bench{t: t, bin: bin, socket: filepath.Join(dir, "sock")}
	sim := start(t, nil, bin, "sim", "--plain", "--nodes", "4", "--classic", "1", "--loss", "5%", "--zep", fmt.Sprintf("127.0.0.1:%d", port), "--socket", b.socket)
	var list []neighbor
	eventually(t, "three registrations", 30*time.Second, func() error {
		list = nil
		if err := b.json(&list, "neighbors"); err != nil {
			select {
			case <-sim.done:
				t.Fatalf("sim ended:\n%s", sim.output())
			default:
			}
			return err
		}
		n := 0
		for _, x := range list {
			if x.Registered {
				n++
			}
		}
		if n != 3 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	start(t, nil, bin, "node", "--radio", fmt.Sprintf("zep://127.0.0.1:%d?mode=client", port), "--eui64", "02:00:5e:10:00:00:00:09", "--name", "foreign")
	eventually(t, "the foreign node", 30*time.Second, func() error {
		list = nil
		if err := b.json(&list, "neighbors"); err != nil {
			return err
		}
		for _, x := range list {
			if x.Registered && strings.HasSuffix(x.Addr.String(), "5e10:0:9") {
				return nil
			}
		}
		return fmt.Errorf("not among %+v", list)
	})
	for _, x := range list {
		if !x.Registered {
			continue
		}
		for _, size := range []string{"8", "1000"} {
			if out, err := b.run("ping", "-c", "3", "-i", "0.2", "-s", size, x.Addr.String()); err != nil {
				t.Errorf("ping -s %s %s: %v\n%s", size, x.Addr, err, out)
			}
		}
	}
	var s status
	if err := b.json(&s, "status"); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run("routes"); err != nil || !strings.Contains(out, s.Prefixes[0].Prefix.String()) {
		t.Errorf("routes: %v\n%s", err, out)
	}
	sim.end(time.Second)
	if _, err := b.run("status"); err == nil {
		t.Error("status succeeds after the end")
	}
}

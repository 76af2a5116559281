package sim

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/config"
)

// output is what a simulation has written; wait tells when a text stands there.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	news chan struct{}
}

func newOutput() *output { return &output{news: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default:
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// wait waits until text stands n times in o.
func (o *output) wait(t *testing.T, text string, n int) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for strings.Count(o.String(), text) < n {
		select {
		case <-o.news:
		case <-timeout:
			t.Fatalf("no %d times %q in:\n%s", n, text, o)
		}
	}
}

func testConfig(t *testing.T) Config {
	t.Helper()
	rc := config.Default()
	rc.Socket = filepath.Join(t.TempDir(), "s")
	return Config{Router: rc, Nodes: 3, Classic: 1, Seed: 11, ZEP: "127.0.0.1:0"}
}

// start runs a simulation; stop ends it as Ctrl-C does and returns how long that took.
func start(t *testing.T, cfg Config) (out *output, stop func() time.Duration) {
	t.Helper()
	out = newOutput()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, out, nil) }()
	var once sync.Once
	stop = func() (took time.Duration) {
		once.Do(func() {
			w := clocktest.Start(t)
			defer w.Stop()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			took = w.Elapsed()
		})
		return took
	}
	t.Cleanup(func() { stop() })
	return out, stop
}

func TestRun(t *testing.T) {
	cfg := testConfig(t)
	cfg.Impairment = Impairment{Loss: 0.1, Delay: 2 * time.Millisecond}
	out, stop := start(t, cfg)
	out.wait(t, "has joined as", cfg.Nodes)
	for _, want := range []string{"3 nodes, 1 of them as lwIP (RFC 4861), 10 % loss, 2ms delay, seed 11", "udp port", "tshark -i lo", "6lowpan.context0:fd", "/.well-known/core", "--socket " + cfg.Router.Socket, "node-1 has joined as fd", "(RFC 4861)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("escape sequences, and no terminal")
	}
	// The management socket of the router is there, and knows the nodes.
	c := api.NewClient(cfg.Router.Socket)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := c.Neighbors(ctx)
	if err != nil {
		t.Fatal(err)
	}
	registered := 0
	for _, n := range list {
		if n.Registered {
			registered++
		}
	}
	if registered != 2 {
		t.Errorf("%d registered, want 2", registered)
	}
	// An address that nobody has is asked for in the mesh; that makes it no node.
	nobody := netip.MustParsePrefix(regexp.MustCompile(`fd[0-9a-f:]+/64`).FindString(out.String())).Addr().Next()
	if err := c.Ping(ctx, api.PingRequest{Addr: nobody, Count: 1, Timeout: 1.2}, func(api.PingReply) error { return nil }); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), "foreign has") {
		t.Errorf("a node that is none in\n%s", out)
	}
	if took := stop(); took > time.Second {
		t.Errorf("ended after %v", took)
	}
	// The seed says who everyone is.
	again, stopAgain := start(t, cfg)
	again.wait(t, "Ctrl-C", 1)
	stopAgain()
	who := regexp.MustCompile(`(?m)^  (router|mesh) .*$`)
	if a, b := who.FindAllString(out.String(), -1), who.FindAllString(again.String(), -1); len(a) != 2 || !slices.Equal(a, b) {
		t.Errorf("one seed, two routers:\n%q\n%q", a, b)
	}
}

func TestRunErrors(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"port taken", func(c *Config) { c.ZEP = taken.LocalAddr().String() }, "in use"},
		{"not an address", func(c *Config) { c.ZEP = "17754" }, "HOST:PORT"},
		{"more classic than nodes", func(c *Config) { c.Classic = 9 }, "9"},
		{"negative speed", func(c *Config) { c.Speed = -1 }, "speed"},
		{"socket", func(c *Config) { c.Router.Socket = filepath.Join(t.TempDir(), strings.Repeat("x", 200)) }, "socket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(t)
			tt.change(&cfg)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			err := Run(ctx, cfg, newOutput(), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want something about %q", err, tt.want)
			}
		})
	}
}

func TestRunVirtual(t *testing.T) {
	var last string
	for range 2 {
		cfg := testConfig(t)
		cfg.Speed, cfg.For, cfg.Nodes = 1e9, time.Hour, 20
		cfg.Impairment = bad
		out := newOutput()
		if err := Run(context.Background(), cfg, out, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "1h0m0s: 20 of 20 nodes joined") {
			t.Errorf("%s", out)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if s := lines[len(lines)-1]; last != "" && s != last {
			t.Errorf("one seed:\n%s\n%s", last, s)
		} else {
			last = s
		}
	}
}

// The tshark line that is printed decodes what the medium carries.
func TestTsharkLine(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	cfg := testConfig(t)
	cfg.Nodes, cfg.Classic = 2, 0
	out, _ := start(t, cfg)
	out.wait(t, "has joined as", 2)
	args := strings.Fields(strings.ReplaceAll(regexp.MustCompile(`tshark (.*)`).FindStringSubmatch(out.String())[1], "'", ""))
	for i, a := range args { // the filter is one argument: 'udp port N'
		if a == "udp" {
			args = append(args[:i], append([]string{strings.Join(args[i:i+3], " ")}, args[i+3:]...)...)
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tshark, append(args, "-l", "-Y", "icmpv6.type == 129", "-T", "fields", "-e", "ipv6.src", "-e", "icmpv6.checksum.status", "-c", "400")...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := api.NewClient(cfg.Router.Socket)
	addr := netip.MustParseAddr(regexp.MustCompile(`joined as (\S+)`).FindStringSubmatch(out.String())[1])
	pings, endPings := context.WithCancel(ctx)
	var pinging sync.WaitGroup
	pinging.Go(func() {
		_ = c.Ping(pings, api.PingRequest{Addr: addr, Size: 8, Interval: 0.05, Timeout: 1}, func(api.PingReply) error { return nil })
	})
	got := make([]byte, 200)
	n, err := stdout.Read(got)
	endPings()
	pinging.Wait()
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if n == 0 {
		if strings.Contains(stderr.String(), "ermission") {
			t.Skipf("tshark may not capture: %s", stderr.String())
		}
		t.Fatalf("tshark %v: %v\n%s", args, err, stderr.String())
	}
	if want := fmt.Sprintf("%s\t1\n", addr); !strings.HasPrefix(string(got[:n]), want) {
		t.Errorf("tshark saw %q, want %q", got[:n], want)
	}
}

func TestView(t *testing.T) {
	var b bytes.Buffer
	v := newView(&b, false)
	if v.live {
		t.Fatal("a buffer is no terminal")
	}
	a := netip.MustParseAddr("fd00::1")
	v.update([]row{{name: "node-1", nd: "6775"}})
	v.update([]row{{name: "node-1", nd: "6775", addr: a}})
	v.update([]row{{name: "node-1", nd: "6775", addr: a}, {name: "foreign", addr: netip.MustParseAddr("fd00::2"), nd: "4861"}})
	v.update([]row{{name: "node-1", nd: "6775"}})
	if want := "node-1 has joined as fd00::1 (RFC 6775)\nforeign has joined as fd00::2 (RFC 4861)\nnode-1 has left the mesh\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}

	b.Reset()
	v = &view{out: &b, live: true, size: func() (int, int) { return 60, 12 }}
	var rows []row
	for i := range 50 {
		rows = append(rows, row{name: fmt.Sprint("node-", i), nd: "6775", addr: a, state: "registered"})
	}
	v.update(rows)
	first := b.String()
	if n := strings.Count(first, "\n"); n > 11 {
		t.Errorf("%d lines on a screen of 12", n)
	}
	for l := range strings.SplitSeq(first, "\n") {
		if n := len(strings.ReplaceAll(l, "\x1b[K", "")); n > 60 {
			t.Errorf("a line of %d: %q", n, l)
		}
	}
	if !strings.Contains(first, "more") || !strings.Contains(first, "50 of 50") {
		t.Errorf("%q", first)
	}
	b.Reset()
	v.update(rows)
	if b.Len() != 0 {
		t.Error("drawn again without a change")
	}
	rows[0].state = "stale"
	v.update(rows)
	if !strings.HasPrefix(b.String(), fmt.Sprintf("\x1b[%dA", strings.Count(first, "\n"))) {
		t.Errorf("not in place: %q", b.String()[:10])
	}
}

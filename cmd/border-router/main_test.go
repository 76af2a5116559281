package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// canned answers with what it holds; it stands for the router behind the transport.
type canned struct {
	status    api.Status
	neighbors []api.Neighbor
	routes    []api.Route
	replies   []api.PingReply
	pingErr   error
	hang      bool // ping and capture go on until their context ends
	blocks    [][]byte
	written   chan struct{}
}

func (c *canned) Status(context.Context) (api.Status, error)        { return c.status, nil }
func (c *canned) Neighbors(context.Context) ([]api.Neighbor, error) { return c.neighbors, nil }
func (c *canned) Routes(context.Context) ([]api.Route, error)       { return c.routes, nil }
func (c *canned) Config(context.Context) (api.Config, error) {
	return api.Config{TOML: config.Default().TOML(), Values: config.Default().Values()}, nil
}
func (c *canned) Ping(ctx context.Context, r api.PingRequest, emit func(api.PingReply) error) error {
	for _, p := range c.replies {
		if err := emit(p); err != nil {
			return err
		}
	}
	if c.hang {
		close(c.written)
		<-ctx.Done()
	}
	return c.pingErr
}
func (c *canned) Capture(ctx context.Context, r api.CaptureRequest, w io.Writer) error {
	for _, b := range c.blocks {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if c.hang {
		close(c.written)
		<-ctx.Done()
	}
	return nil
}

// serve answers as c on a socket and returns its path.
func serve(t *testing.T, c *canned) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := api.Listen(path, c, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve() }()
	t.Cleanup(func() { s.Close(); <-done })
	return path
}

// command runs a command line.
func command(ctx context.Context, args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &o, err: &e}
	status = a.run(ctx, args)
	return status, o.String(), e.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTables(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	path := serve(t, &canned{
		status: api.Status{
			Version: "1.2.3", PID: 42, Uptime: 3723, StateDir: "/var/lib/border-router",
			Prefixes:      []api.Prefix{{Port: "zep0", Prefix: prefix("fd12:3456:789a::/64"), Source: "generated"}},
			Uplink:        api.Uplink{URL: "tun://lowpan0", State: "up", Addresses: []netip.Addr{addr("fd12:3456:789a::1")}},
			Registrations: 2, Neighbors: 3, Routes: 4, ICMPSent: 5, ICMPLimited: 1,
			Memory: api.Memory{HeapBytes: 3 << 20, TotalBytes: 12345678, Goroutines: 9},
			Ports: []api.Port{
				{
					Name: "zep0", Kind: "mesh", MTU: 1280, LinkAddr: "02:00:5e:10:00:00:00:01",
					Addresses: []netip.Addr{addr("fd12:3456:789a::1"), addr("fe80::5e10:0:0:1")}, Prefix: prefix("fd12:3456:789a::/64"),
					Counters: api.Counters{Received: 1000, Delivered: 400, Forwarded: 500, Consumed: 90, Held: 1, Dropped: 9, Sent: 800, Originated: 20, SendFailures: 2, ReceivedBytes: 123456, SentBytes: 999},
					Drops:    map[string]uint64{"ingress_filter": 7, "checksum": 1, "martian": 1, "hop_limit_exceeded": 0},
					Lowpan:   &api.Layer{Counters: map[string]uint64{"frames_in": 1200, "datagrams_in": 1000}, Drops: map[string]uint64{"dispatch": 3}},
					Radio: &api.Radio{URL: "zep://?channel=26", State: "down", Error: "socket: gone", Channel: 26, PAN: "0x0023", EUI64: "02:00:5e:10:00:00:00:01",
						Firmware: "RCP/1.0", Since: ptr(time.Date(2026, 1, 2, 3, 4, 1, 0, time.UTC)), Outages: 2, Downtime: 7.5,
						Last:         &api.Outage{Since: time.Date(2026, 1, 2, 3, 4, 1, 0, time.UTC), Seconds: 4.5, Reason: "read /dev/ttyACM0: the line is gone"},
						Replacements: 3, Replaced: &api.Replaced{URL: "slip:///dev/ttyUSB0", At: time.Date(2026, 1, 1, 2, 3, 4, 0, time.UTC)}, Waiting: "/dev/ttyACM1: in use by process 7",
						PANConflict: &api.Conflict{LinkAddr: "02:00:5e:10:00:00:00:99", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
						Local:       []string{"127.0.0.1:17754", "[::1]:17754"}, Peers: 2, Layer: api.Layer{Counters: map[string]uint64{"received": 1300}, Drops: map[string]uint64{"fcs": 2}}},
				},
				{Name: "lowpan0", Kind: "host", MTU: 1280, Counters: api.Counters{Received: 5, Forwarded: 5}},
			},
		},
		neighbors: []api.Neighbor{
			{Port: "zep0", Addr: addr("fd12:3456:789a::ff:fe00:2"), State: "incomplete"},
			{Port: "zep0", Addr: addr("fd12:3456:789a:1111:2222:3333:4444:5555"), LinkAddr: "02:00:5e:10:00:00:00:02", State: "registered", Registered: true, Lifetime: 890, RSSI: ptr(-61), LastHeard: ptr(4.25),
				Sleep: &api.Sleep{LastPoll: ptr(4.25), Interval: 5, Waiting: 2}},
			{Port: "zep0", Addr: addr("fd12:3456:789a::3"), LinkAddr: "02:00:5e:10:00:00:00:03", State: "stale", LastHeard: ptr(90000.0), Sleep: &api.Sleep{Configured: true}},
		},
		routes: []api.Route{
			{Prefix: prefix("fd12:3456:789a::/64"), Port: "zep0", Kind: "connected"},
			{Prefix: prefix("fd12:3456:789a::/48"), Kind: "unreachable", Metric: 1 << 30},
			{Prefix: prefix("::/0"), Port: "lowpan0", NextHop: addr("fe80::1"), Kind: "default", Metric: 10},
		},
	})
	for _, name := range []string{"status", "neighbors", "routes"} {
		status, out, errs := command(t.Context(), name, "--socket", path)
		if status != exitOK || errs != "" {
			t.Errorf("%s: status %d, %s", name, status, errs)
		}
		golden(t, name+".txt", out)
		// --socket may stand before the command as well.
		status, out, _ = command(t.Context(), "--socket", path, name, "--json")
		if status != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("%s --json: status %d, %s", name, status, out)
		}
		if name == "neighbors" && !strings.HasPrefix(out, "[") {
			t.Errorf("neighbors --json is no array: %s", out)
		}
	}
}

// TestStatusWaiting: of a router that waits for its radio, status says that and why.
func TestStatusWaiting(t *testing.T) {
	path := serve(t, &canned{status: api.Status{
		Version: "1.2.3", PID: 42, Uptime: 61, State: "waiting for a radio", Reason: "/dev/ttyACM0: in use by process 7; /dev/ttyS0: silent",
	}})
	const want = "border-router 1.2.3, process 42, up 1m1s\nstate    waiting for a radio\n" +
		"         /dev/ttyACM0: in use by process 7\n         /dev/ttyS0: silent\n"
	if status, out, errs := command(t.Context(), "status", "--socket", path); status != exitOK || out != want {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
}

func TestNoNeighbors(t *testing.T) {
	path := serve(t, &canned{})
	if _, out, _ := command(t.Context(), "neighbors", "--socket", path); out != "no neighbors: no node has been heard yet\n" {
		t.Errorf("got %q", out)
	}
	if _, out, _ := command(t.Context(), "neighbors", "--socket", path, "--json"); out != "[]\n" {
		t.Errorf("got %q", out)
	}
}

// timeless replaces what depends on the clock.
func timeless(s string) string {
	i := strings.Index(s, ", time ")
	if i < 0 {
		return s
	}
	j := strings.IndexByte(s[i:], '\n')
	return s[:i] + ", time 0ms" + s[i+j:]
}

func TestPing(t *testing.T) {
	from := netip.MustParseAddr("fd00::1")
	sent := func(seq int) api.PingReply { return api.PingReply{Seq: seq, Sent: true} }
	answer := func(seq int, us float64) api.PingReply {
		return api.PingReply{Seq: seq, From: from, Bytes: 64, HopLimit: 64, RTT: us}
	}
	dup := answer(2, 12345)
	dup.Dup = true
	for _, tt := range []struct {
		name    string
		replies []api.PingReply
		err     error
		args    []string
		status  int
		errs    string
	}{
		{name: "all", replies: []api.PingReply{sent(1), answer(1, 1234), sent(2), answer(2, 987.6), dup, sent(3), answer(3, 123456)}},
		{name: "none", replies: []api.PingReply{sent(1), sent(2), {Seq: 1, Error: api.PingTimeout}, {Seq: 2, Error: api.PingTimeout}}, status: 1},
		{name: "some", replies: []api.PingReply{sent(1), sent(2), sent(3), answer(2, 50000), {Seq: 1, Error: api.PingTimeout}, {Seq: 3, Error: api.PingTimeout}}},
		{name: "unreachable", replies: []api.PingReply{sent(1), {Seq: 1, From: netip.MustParseAddr("fd00::ff"), Error: api.ICMPErrorText(1, 3), Type: 1, Code: 3}, {Seq: 2, Error: "no route"}}, status: 1},
		{name: "quiet", replies: []api.PingReply{sent(1), answer(1, 1234)}, args: []string{"-q"}},
		{name: "json", replies: []api.PingReply{sent(1), answer(1, 1234), sent(2), {Seq: 2, Error: api.PingTimeout}}, args: []string{"--json"}},
		{name: "refused", err: api.BadRequest("ping fd00::1: no route to it"), status: 2, errs: "border-router: ping fd00::1: no route to it\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := serve(t, &canned{replies: tt.replies, pingErr: tt.err})
			status, out, errs := command(t.Context(), append([]string{"ping", "--socket", path, "-c", "3", "fd00::1"}, tt.args...)...)
			if status != tt.status || errs != tt.errs {
				t.Errorf("status %d, %q, want %d, %q", status, errs, tt.status, tt.errs)
			}
			golden(t, "ping_"+tt.name+".txt", timeless(out))
		})
	}
}

// TestPingInterrupted: Ctrl-C prints the statistics, with what is under way as lost.
func TestPingInterrupted(t *testing.T) {
	c := &canned{hang: true, written: make(chan struct{}), replies: []api.PingReply{
		{Seq: 1, Sent: true}, {Seq: 1, From: netip.MustParseAddr("fd00::1"), Bytes: 64, HopLimit: 64, RTT: 1000},
		{Seq: 2, Sent: true},
	}}
	path := serve(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	a := &app{out: w, err: io.Discard}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"ping", "--socket", path, "fd00::1"})
		w.Close()
	}()
	var out bytes.Buffer
	buf := make([]byte, 1024)
	for !strings.Contains(out.String(), "time=1.00 ms\n") {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(buf[:n])
	}
	<-c.written
	cancel()
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatal(err)
	}
	if status := <-done; status != exitOK {
		t.Errorf("status %d", status)
	}
	if !strings.Contains(out.String(), "--- fd00::1 ping statistics ---\n") || !strings.Contains(out.String(), " 1 received") {
		t.Errorf("got\n%s", out.String())
	}
}

func TestMilliseconds(t *testing.T) {
	for us, want := range map[float64]string{0: "0.000", 26: "0.026", 999.4: "0.999", 1234: "1.23", 9994: "9.99", 9996: "10.0", 12345: "12.3", 99949: "99.9", 99951: "100", 123456: "123"} {
		if got := milliseconds(us); got != want {
			t.Errorf("%g us: got %s, want %s", us, got, want)
		}
	}
}

// block returns a pcapng block with its two lengths.
func block(order binary.AppendByteOrder, typ uint32, body []byte) []byte {
	b := order.AppendUint32(nil, typ)
	b = order.AppendUint32(b, uint32(12+len(body)))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(12+len(body)))
}

func section(order binary.AppendByteOrder) []byte {
	b := order.AppendUint32(nil, 0x1a2b3c4d)
	return block(order, blockSection, append(b, make([]byte, 12)...))
}

func TestCapture(t *testing.T) {
	le := binary.LittleEndian
	blocks := [][]byte{section(le), block(le, 1, make([]byte, 8)), block(le, blockEnhancedPacket, make([]byte, 9000)), block(le, blockEnhancedPacket, make([]byte, 40)), block(le, blockEnhancedPacket, make([]byte, 44))}
	path := serve(t, &canned{blocks: blocks})
	status, out, errs := command(t.Context(), "capture", "--socket", path, "-c", "2")
	if want := bytes.Join(blocks[:4], nil); status != exitOK || out != string(want) || errs != "" {
		t.Errorf("status %d, %d bytes, %s; want 2 packets, %d bytes", status, len(out), errs, len(want))
	}
	status, out, errs = command(t.Context(), "capture", "--socket", path)
	if want := bytes.Join(blocks, nil); status != exitFailed || out != string(want) || errs != "border-router: the router has ended the capture\n" {
		t.Errorf("status %d, %d bytes, %s; want all, %d bytes", status, len(out), errs, len(want))
	}
	file := filepath.Join(t.TempDir(), "x.pcapng")
	if status, out, _ = command(t.Context(), "capture", "--socket", path, "-c", "1", "-w", file); status != exitOK || out != "" {
		t.Errorf("to a file: status %d, %q on stdout", status, out)
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, bytes.Join(blocks[:3], nil)) {
		t.Errorf("the file has %d bytes, %v", len(b), err)
	}

	var errOut bytes.Buffer
	a := &app{out: io.Discard, err: &errOut, terminal: true}
	if status := a.run(t.Context(), []string{"capture", "--socket", path}); status != exitUsage || !strings.Contains(errOut.String(), "wireshark -k -i -") {
		t.Errorf("to a terminal: status %d, %s", status, errOut.String())
	}
}

// TestCaptureInterrupted: what was written when a signal comes ends with a block, although
// the router was in the middle of one.
func TestCaptureInterrupted(t *testing.T) {
	le := binary.LittleEndian
	whole := append(section(le), block(le, blockEnhancedPacket, make([]byte, 100))...)
	c := &canned{hang: true, written: make(chan struct{}), blocks: [][]byte{append(bytes.Clone(whole), block(le, blockEnhancedPacket, make([]byte, 100))[:50]...)}}
	path := serve(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	a := &app{out: w, err: io.Discard}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"capture", "--socket", path})
		w.Close()
	}()
	got := make([]byte, len(whole))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("%v", err)
	}
	<-c.written
	cancel()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("%d bytes of half a block, %v", len(rest), err)
	}
	if status := <-done; status != exitOK {
		t.Errorf("status %d", status)
	}
}

func TestCaptureDuration(t *testing.T) {
	path := serve(t, &canned{hang: true, written: make(chan struct{}), blocks: [][]byte{section(binary.LittleEndian)}})
	w := clocktest.Start(t)
	if status, _, errs := command(t.Context(), "capture", "--socket", path, "--duration", "50ms"); status != exitOK || errs != "" {
		t.Errorf("status %d, %s", status, errs)
	}
	if d := w.Elapsed(); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

// FuzzCopyBlocks: whatever comes, what is written is a prefix of it that ends with a
// block, and the packets are counted.
func FuzzCopyBlocks(f *testing.F) {
	f.Add(append(section(binary.LittleEndian), block(binary.LittleEndian, blockEnhancedPacket, make([]byte, 20))...), 1)
	f.Add(append(section(binary.BigEndian), block(binary.BigEndian, blockSimplePacket, make([]byte, 20))...), 0)
	f.Add(block(binary.LittleEndian, 6, nil)[:11], 0)
	f.Fuzz(func(t *testing.T, b []byte, count int) {
		var out, again bytes.Buffer
		n, err := copyBlocks(&out, bytes.NewReader(b), count)
		if !bytes.HasPrefix(b, out.Bytes()) {
			t.Fatal("what is written is not what came")
		}
		if err == nil && n != count {
			t.Fatalf("%d packets, want %d", n, count)
		}
		if m, _ := copyBlocks(&again, bytes.NewReader(out.Bytes()), 0); m != n || !bytes.Equal(again.Bytes(), out.Bytes()) {
			t.Fatalf("what was written has %d packets and %d bytes, was %d and %d", m, again.Len(), n, out.Len())
		}
	})
}

func TestUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	none := "border-router: no router is running at " + missing + " (start one with border-router run, or say --socket)\n"
	for _, tt := range []struct {
		line   string
		status int
		errs   string
	}{
		{"statu", 2, "border-router: unknown command \"statu\"; did you mean \"status\"? (see `border-router --help`)\n"},
		{"quux", 2, "border-router: unknown command \"quux\" (see `border-router --help`)\n"},
		{"run x", 2, "border-router: unexpected argument \"x\" (see `border-router run --help`)\n"},
		{"run --nope", 2, "border-router: unknown flag: --nope (see `border-router run --help`)\n"},
		{"run --nd-ra-interval 5", 2, "border-router: invalid argument \"5\" for \"--nd-ra-interval\" flag: want a duration from 4s to 30m (see `border-router run --help`)\n"},
		{"sim --nodes -1", 2, "border-router: invalid argument \"-1\" for \"--nodes\" flag: want a whole number from 0 to 10000 (see `border-router sim --help`)\n"},
		{"sim --nodes 3 --classic 1 --sleepy 3", 2, "border-router: --sleepy 3: want at most as many as --nodes without --classic, which is 2 (see `border-router sim --help`)\n"},
		{"sim --nodes 1 --classic 2", 2, "border-router: --classic 2: want at most --nodes, which is 1 (see `border-router sim --help`)\n"},
		{"sim --loss 101%", 2, "border-router: invalid argument \"101%\" for \"--loss\" flag: want a percentage from 0 to 100 (see `border-router sim --help`)\n"},
		{"node --nd 1", 2, "border-router: invalid argument \"1\" for \"--nd\" flag: want 6775 (registers its addresses) or 4861 (plain neighbor discovery, as lwIP) (see `border-router node --help`)\n"},
		{"dongle --zep spinel:///dev/x", 1, "border-router: radio spinel:///dev/x: the air of an emulated dongle is a ZEP medium; want a zep:// URL\n"},
		{"dongle --protocol usb", 2, "border-router: --protocol \"usb\": want spinel, slip, 6lbr or serialradio (see `border-router dongle --help`)\n"},
		{"ping", 2, "border-router: say the address to ping (see `border-router ping --help`)\n"},
		{"ping a b", 2, "border-router: unexpected argument \"b\" (see `border-router ping --help`)\n"},
		{"ping host", 2, "border-router: \"host\": want an IPv6 address (see `border-router ping --help`)\n"},
		{"ping -c 0 ::1", 2, "border-router: -c 0: want 1 or more (see `border-router ping --help`)\n"},
		{"ping -i 0 ::1", 2, "border-router: invalid argument \"0\" for \"-i, --interval\" flag: want 1 millisecond to 1 hour (see `border-router ping --help`)\n"},
		{"ping -I x ::1", 2, "border-router: --source \"x\": want an IPv6 address (see `border-router ping --help`)\n"},
		{"capture -c 0", 2, "border-router: -c 0: want 1 or more (see `border-router capture --help`)\n"},
		{"capture --ip-only --radio-only", 2, "border-router: --radio-only and --ip-only do not go together (see `border-router capture --help`)\n"},
		{"config --default --check", 2, "border-router: --default and --check do not go together (see `border-router config --help`)\n"},
		{"config --config /nonexistent/x.toml", 1, "border-router: read configuration: open /nonexistent/x.toml: no such file or directory\n"},
		{"completion tcsh", 2, "border-router: unknown shell \"tcsh\": want bash, zsh, fish or powershell (see `border-router completion --help`)\n"},
		{"status --socket " + missing, 1, none},
		{"neighbors --socket " + missing, 1, none},
		{"routes --json --socket " + missing, 1, none},
		{"capture --socket " + missing, 1, none},
		{"config --running --socket " + missing, 1, none},
		{"ping ::1 --socket " + missing, 2, none},
	} {
		status, out, errs := command(t.Context(), strings.Fields(tt.line)...)
		if status != tt.status || errs != tt.errs || out != "" {
			t.Errorf("%s: status %d, %q, stdout %q\nwant %d, %q", tt.line, status, errs, out, tt.status, tt.errs)
		}
	}
}

func TestHelp(t *testing.T) {
	a := &app{out: io.Discard, err: io.Discard}
	names := []string{"run", "sim", "node", "doctor", "radios", "scan", "status", "neighbors", "routes", "ping", "capture", "config", "version", "completion"}
	for _, name := range names {
		cmd, _, err := a.root().Find([]string{name})
		if err != nil || cmd.Name() != name {
			t.Errorf("no command %s: %v", name, err)
			continue
		}
		if cmd.Short == "" || cmd.Long == "" || !strings.Contains(cmd.Example, "border-router "+name) {
			t.Errorf("%s is not explained with an example", name)
		}
		status, out, _ := command(t.Context(), name, "--help")
		if status != exitOK || !strings.Contains(out, "--socket") || !strings.Contains(out, "Examples:") {
			t.Errorf("%s --help: status %d\n%s", name, status, out)
		}
	}
	if _, out, _ := command(t.Context()); !strings.Contains(out, "completion") {
		t.Errorf("without a command the help is\n%s", out)
	}
}

func TestConfigCommand(t *testing.T) {
	status, out, _ := command(t.Context(), "config", "--default")
	if status != exitOK || out != config.Reference() {
		t.Errorf("--default: status %d\n%s", status, out)
	}
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("state_dir = '/x'\nsocket = '/y'\n[nd]\nhop_limit = 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := command(t.Context(), "config", "--config", file, "--log-level=debug")
	c := config.Default()
	if err := c.Parse("stdout", []byte(out)); err != nil || status != exitOK {
		t.Fatalf("status %d, %s, %v in\n%s", status, errs, err, out)
	}
	if c.StateDir != "/x" || c.Socket != "/y" || c.ND.HopLimit != 9 || c.Log.Level != config.LevelDebug {
		t.Errorf("got\n%s", out)
	}
	if status, out, errs = command(t.Context(), "config", "--config", file, "--check"); status != exitOK || out+errs != "" {
		t.Errorf("--check: status %d, %s%s", status, out, errs)
	}
	if err := os.WriteFile(file, []byte("[nd]\nhop_limt = 9\nhop_limit = 999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "border-router: " + file + ":2: unknown key \"nd.hop_limt\"; did you mean \"nd.hop_limit\"?\n" +
		"border-router: " + file + ":3: nd.hop_limit = 999: want a whole number from 1 to 255\n"
	if status, out, errs = command(t.Context(), "config", "--config", file, "--check"); status != exitFailed || errs != want || out != "" {
		t.Errorf("--check: status %d, %s%s", status, out, errs)
	}
	path := serve(t, &canned{})
	if status, out, _ = command(t.Context(), "config", "--running", "--socket", path); status != exitOK || out != config.Default().TOML() {
		t.Errorf("--running: status %d\n%s", status, out)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	if status, out, _ := command(t.Context(), "version"); status != exitOK || !strings.HasPrefix(out, "border-router ") || !strings.Contains(out, "go1.") {
		t.Errorf("version: %d %s", status, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if status, out, _ := command(t.Context(), "completion", shell); status != exitOK || !strings.Contains(out, "border-router") {
			t.Errorf("completion %s: status %d, %d bytes", shell, status, len(out))
		}
	}
}

func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	boom := errors.New("boom")
	if ended(ctx, boom) != boom || ended(ctx, nil) != nil {
		t.Error("an end that nobody asked for")
	}
	cancel()
	if ended(ctx, boom) != boom || ended(ctx, context.Canceled) != nil {
		t.Error("an end that was asked for")
	}
}

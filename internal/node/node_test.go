package node

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/dtls/server"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/blockwise"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/coap"
	"border-router/internal/config"
	"border-router/internal/daemon"
	"border-router/internal/hoststack"
	"border-router/router"
)

// startRouter starts a router in user mode on a hub of loopback and returns it with the
// address of its hub.
func startRouter(t *testing.T, change ...func(c *config.Config)) (*daemon.Daemon, netip.AddrPort) {
	t.Helper()
	c := config.Default()
	c.Radios = []config.Radio{"zep://127.0.0.1:0?mode=hub&pace=off"}
	c.Uplink = config.Uplink{Kind: config.UplinkUser}
	c.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd12:3456:789a::/64")}
	c.Socket = filepath.Join(t.TempDir(), "s")
	for _, f := range change {
		f(c)
	}
	d, err := daemon.New(t.Context(), c, daemon.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("router: %v", err)
		}
	})
	st, err := d.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range st.Ports {
		if p.Radio != nil {
			return d, netip.MustParseAddrPort(p.Radio.Local[0])
		}
	}
	t.Fatal("no radio")
	return nil, netip.AddrPort{}
}

// startNode starts a node and waits until it has joined. stop ends it and returns how
// long that took.
func startNode(t *testing.T, hub netip.AddrPort, classic bool, eui64 uint64) (n *Node, stop func() time.Duration) {
	t.Helper()
	return startNodeWith(t, hub, Config{EUI64: eui64, Classic: classic})
}

func startNodeWith(t *testing.T, hub netip.AddrPort, cfg Config) (n *Node, stop func() time.Duration) {
	t.Helper()
	joined := make(chan struct{}, 16)
	cfg.Radio = fmt.Sprintf("zep://%s?mode=client&pace=off", hub)
	cfg.OnChange = func(s State) {
		if s.Joined() {
			select {
			case joined <- struct{}{}:
			default:
			}
		}
	}
	n, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stopped := false
	stop = func() time.Duration {
		if stopped {
			return 0
		}
		stopped = true
		w := clocktest.Start(t)
		defer w.Stop()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node: %v", err)
		}
		return w.Elapsed()
	}
	t.Cleanup(func() { stop() })
	select {
	case <-joined:
	case <-time.After(time.Minute):
		t.Fatalf("did not join: %+v", n.State())
	}
	return n, stop
}

// dial returns a CoAP client of go-coap on a connection.
func dial(ctx context.Context, t *testing.T, conn net.Conn) *client.Conn {
	t.Helper()
	cfg := client.DefaultConfig
	cfg.Errors = func(error) {}
	s := server.NewSession(ctx, coapnet.NewConn(conn), cfg.MaxMessageSize, cfg.MTU, true)
	c := client.NewConnWithOpts(s, &cfg, client.WithBlockWise(func(c *client.Conn) *blockwise.BlockWise[*client.Conn] {
		return blockwise.New(c, 5*time.Second, func(error) {}, func(token message.Token) (*pool.Message, bool) { return c.GetObservationRequest(token) })
	}))
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run() }()
	t.Cleanup(func() { c.Close(); <-done })
	return c
}

func TestNode(t *testing.T) {
	d, hub := startRouter(t)
	for _, classic := range []bool{false, true} {
		t.Run(fmt.Sprintf("classic %v", classic), func(t *testing.T) {
			eui := uint64(0x0200_5e10_0000_0001)
			if classic {
				eui++
			}
			n, stop := startNode(t, hub, classic, eui)
			st := n.State()
			addr := st.Addrs[0]
			if want := netip.MustParsePrefix("fd12:3456:789a::/64"); !want.Contains(addr) || st.EUI64 != eui || !st.Router.IsValid() {
				t.Errorf("%+v", st)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			for _, size := range []int{8, 1000} {
				answers := 0
				err := d.Ping(ctx, api.PingRequest{Addr: addr, Count: 3, Size: size, Interval: 0.01, Timeout: 5}, func(r api.PingReply) error {
					if !r.Sent && r.Error == "" {
						answers++
					}
					return nil
				})
				if err != nil || answers != 3 {
					t.Errorf("%d bytes: %d of 3 answers, %v", size, answers, err)
				}
			}
			conn, err := d.Stack().DialUDP(netip.AddrPort{}, netip.AddrPortFrom(addr, CoAPPort))
			if err != nil {
				t.Fatal(err)
			}
			c := dial(ctx, t, conn)
			get := func(path string) []byte {
				t.Helper()
				r, err := c.Get(ctx, path)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				b, err := r.ReadBody()
				if err != nil || r.Code() != codes.Content {
					t.Fatalf("%s: %v %v", path, r.Code(), err)
				}
				return b
			}
			if b := get("/.well-known/core"); !strings.Contains(string(b), "</counter>") {
				t.Errorf("%s", b)
			}
			if b := get("/name"); string(b) != st.Name {
				t.Errorf("name %q, want %q", b, st.Name)
			}
			body := bytes.Repeat([]byte("0123456789abcdef"), 512)
			if r, err := c.Put(ctx, "/large", message.AppOctets, bytes.NewReader(body)); err != nil || r.Code() != codes.Changed {
				t.Fatalf("put: %v", err)
			}
			if b := get("/large"); !bytes.Equal(b, body) {
				t.Errorf("%d bytes came back, or others", len(b))
			}
			registered := func() bool {
				t.Helper()
				list, err := d.Neighbors(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range list {
					if x.Addr == addr && x.Registered {
						return true
					}
				}
				return false
			}
			if registered() == classic {
				t.Errorf("registered: %v", !classic)
			}
			if d := stop(); d > time.Second {
				t.Errorf("ended after %v", d)
			}
			if registered() {
				t.Error("the registration was not taken back")
			}
		})
	}
}

// TestNodeGHC: a node that knows generic header compression says so, and joins a router
// that does by messages that are compressed; not one that does not.
func TestNodeGHC(t *testing.T) {
	for _, known := range []bool{true, false} {
		_, hub := startRouter(t, func(c *config.Config) { c.Lowpan.GHC = known })
		n, _ := startNodeWith(t, hub, Config{EUI64: 0x02005e1000007400, GHC: true})
		used := false
		if err := n.loop.Do(t.Context(), func(*router.Router) {
			for _, nb := range n.dev.ND.Snapshot() {
				used = used || n.dev.Iface.Peer(nb.LinkAddr).GHC
			}
		}); err != nil || used != known {
			t.Errorf("router knows %v: used %v, %v", known, used, err)
		}
	}
}

// A node leaves nothing behind, and one that cannot start says why.
func TestNodeEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		n, err := New(Config{Radio: "zep://127.0.0.1:9?mode=client"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	n, err := New(Config{Radio: "zep://127.0.0.1:9?mode=client"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	for limit := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; { // gVisor's end a moment later
		if time.Now().After(limit) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
	for url, want := range map[string]string{
		"zep://127.0.0.1:9?mode=client&channel=3": "channel",
		"serial:///dev/null":                      "scheme",
	} {
		if _, err := New(Config{Radio: url}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestRandomEUI64(t *testing.T) {
	seen := make(map[uint64]bool)
	for range 100 {
		e := randomEUI64()
		if e>>56&3 != 2 || seen[e] {
			t.Fatalf("%016x", e)
		}
		seen[e] = true
	}
}

// TestNodeGroups: a request to all CoAP nodes comes to those that listen, and to a group
// that a node joins later, as long as it does; each answers once, from its own address.
func TestNodeGroups(t *testing.T) {
	d, hub := startRouter(t)
	coapFast := coap.Options{Leisure: 50 * time.Millisecond}
	a, _ := startNodeWith(t, hub, Config{EUI64: 0x0200_0000_0000_000a, CoAP: coapFast})
	b, _ := startNodeWith(t, hub, Config{EUI64: 0x0200_0000_0000_000b, CoAP: coapFast})
	c, _ := startNodeWith(t, hub, Config{EUI64: 0x0200_0000_0000_000c, CoAP: coapFast, Groups: []netip.Addr{}})
	conn, err := d.Stack().ListenPacket(netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u := conn.(*hoststack.UDPConn)
	if err := u.SetMulticastHops(8); err != nil {
		t.Fatal(err)
	}
	mid := byte(0)
	// ask returns who answers within a while.
	ask := func(group netip.Addr) map[netip.Addr]int {
		t.Helper()
		mid++
		get := []byte{0x51, 1, 0, mid, mid, 0xb4, 't', 'i', 'm', 'e'}
		if _, err := u.WriteToUDPAddrPort(get, netip.AddrPortFrom(group, CoAPPort)); err != nil {
			t.Fatal(err)
		}
		got := map[netip.Addr]int{}
		for end := time.Now().Add(400 * time.Millisecond); ; {
			buf := make([]byte, 2048)
			u.SetReadDeadline(end)
			n, from, _, err := u.ReadFromTo(buf)
			if err != nil {
				break
			}
			if n < 5 || buf[0] != 0x51 || buf[1] != 0x45 || buf[4] > mid {
				t.Errorf("answer % x from %v", buf[:n], from)
			}
			if n >= 5 && buf[4] < mid {
				continue // a late answer to what was asked before
			}
			got[from.Addr()]++
		}
		return got
	}
	check := func(group string, want ...*Node) {
		t.Helper()
		var got map[netip.Addr]int
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			got = ask(netip.MustParseAddr(group))
			ok := len(got) == len(want)
			for _, n := range want {
				ok = ok && got[n.State().Addrs[0]] == 1
			}
			if ok {
				return
			}
		}
		t.Errorf("%s: answers %v, want %d", group, got, len(want))
	}
	check("ff05::fd", a, b)
	other := netip.MustParseAddr("ff05::1234")
	check("ff05::1234")
	for _, n := range []*Node{b, c} {
		if err := n.Join(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	check("ff05::1234", b, c)
	if err := b.Leave(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	check("ff05::1234", c)
	if err := c.Join(t.Context(), netip.MustParseAddr("2001:db8::1")); err == nil {
		t.Error("an address is joined")
	}
	if _, err := New(Config{Groups: []netip.Addr{netip.MustParseAddr("::1")}}, nil); err == nil {
		t.Error("a node listens to no group")
	}
}

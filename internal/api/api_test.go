package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/clocktest"
)

// fake stands for the router behind the transport.
type fake struct {
	pings   chan api.PingRequest
	started chan struct{} // a stream has written something
}

func newFake() *fake {
	return &fake{pings: make(chan api.PingRequest, 1), started: make(chan struct{}, 8)}
}

var node = netip.MustParseAddr("fd00::1%zep0")

func (f *fake) Status(context.Context) (api.Status, error) {
	return api.Status{Version: "1", Ports: []api.Port{{
		Name: "zep0", Counters: api.Counters{Received: 3, Dropped: 1, Delivered: 2}, Drops: map[string]uint64{"martian": 1},
	}}}, nil
}
func (f *fake) Neighbors(context.Context) ([]api.Neighbor, error) { return nil, nil }
func (f *fake) Routes(context.Context) ([]api.Route, error) {
	return nil, errors.New("the router is shutting down")
}
func (f *fake) Config(context.Context) (api.Config, error) {
	return api.Config{TOML: "a = 1\n", Values: map[string]any{"a": 1.0}}, nil
}
func (f *fake) Ping(ctx context.Context, r api.PingRequest, emit func(api.PingReply) error) error {
	f.pings <- r
	if r.Addr.Zone() == "" {
		return api.BadRequest("ping %s: say the port", r.Addr)
	}
	for seq := 1; r.Count == 0 || seq <= r.Count; seq++ {
		if err := emit(api.PingReply{Seq: seq, From: r.Addr, Bytes: r.Size + 8, RTT: 1.5}); err != nil {
			return err
		}
		f.started <- struct{}{}
		if r.Count == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
	}
	if r.Size == 1 {
		return errors.New("broke in the middle")
	}
	return nil
}
func (f *fake) Capture(ctx context.Context, r api.CaptureRequest, w io.Writer) error {
	if len(r.Ports) > 0 && r.Ports[0] == "nope" {
		return api.BadRequest("no port nope")
	}
	fmt.Fprintf(w, "%v %v %v", r.Ports, r.Radio, r.IP)
	f.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// serve starts a server on a socket of its own.
func serve(t *testing.T, f *fake) (*api.Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d", "s.sock")
	s, err := api.Listen(path, f, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, path
}

func TestAnswers(t *testing.T) {
	ctx := t.Context()
	f := newFake()
	_, path := serve(t, f)
	c := api.NewClient(path)

	st, err := c.Status(ctx)
	if err != nil || len(st.Ports) != 1 || st.Ports[0].Received != 3 || st.Ports[0].Drops["martian"] != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	var raw bytes.Buffer
	if err := c.Raw(ctx, "/v1/neighbors", &raw); err != nil || raw.String() != "[]\n" {
		t.Errorf("no neighbors: %q, %v, want an empty array", raw.String(), err)
	}
	if _, err := c.Routes(ctx); err == nil || err.Error() != "the router is shutting down" || errors.Is(err, api.ErrBadRequest) {
		t.Errorf("routes: %v", err)
	}
	if v, err := c.Config(ctx); err != nil || v.TOML != "a = 1\n" || v.Values["a"] != 1.0 {
		t.Errorf("config %+v, %v", v, err)
	}
	if v, err := c.Version(ctx); err != nil || v.Version != "1.2.3" || v.API != 1 {
		t.Errorf("version %+v, %v", v, err)
	}
	if err := c.Raw(ctx, "/v2/x", io.Discard); err == nil || err.Error() != "there is no /v2/x here" {
		t.Errorf("unknown path: %v", err)
	}
	if err := c.Raw(ctx, "/v1/ping", io.Discard); err == nil || err.Error() != "/v1/ping takes POST" {
		t.Errorf("wrong method: %v", err)
	}
}

// TestStatusJSON holds the names that scripts rely on.
func TestStatusJSON(t *testing.T) {
	_, path := serve(t, newFake())
	var raw bytes.Buffer
	if err := api.NewClient(path).Raw(t.Context(), "/v1/status", &raw); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Ports []map[string]any `json:"ports"`
	}
	if err := json.Unmarshal(raw.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"name", "received", "delivered", "forwarded", "consumed", "held", "dropped", "sent", "originated", "drops"} {
		if _, ok := v.Ports[0][k]; !ok {
			t.Errorf("ports[0] has no %q", k)
		}
	}
	b, err := json.Marshal(api.Neighbor{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"port", "addr", "lladdr", "state", "registered", "lifetime_s", "rssi_dbm", "last_heard_s"} {
		if !strings.Contains(string(b), `"`+k+`":`) {
			t.Errorf("a neighbor has no %q", k)
		}
	}
}

func TestPing(t *testing.T) {
	ctx := t.Context()
	f := newFake()
	_, path := serve(t, f)
	c := api.NewClient(path)
	var got []api.PingReply
	collect := func(r api.PingReply) error { got = append(got, r); return nil }

	if err := c.Ping(ctx, api.PingRequest{Addr: node, Count: 3, Size: 8}, collect); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[2].Seq != 3 || got[2].From != node || got[2].Bytes != 16 || got[2].RTT != 1.5 {
		t.Errorf("got %+v", got)
	}
	if r := <-f.pings; r.Interval != 1 || r.Timeout != 1 || r.HopLimit != 64 || r.Addr != node {
		t.Errorf("the router is asked for %+v, want the defaults filled in", r)
	}
	if err := c.Ping(ctx, api.PingRequest{Addr: node.WithZone(""), Count: 1}, collect); !errors.Is(err, api.ErrBadRequest) || err.Error() != "ping fd00::1: say the port" {
		t.Errorf("refused by the router: %v", err)
	}
	<-f.pings
	if err := c.Ping(ctx, api.PingRequest{Addr: node, Count: 1, Size: 1}, collect); err == nil || !strings.Contains(err.Error(), "has gone away") {
		t.Errorf("an answer that is cut short ends with %v", err)
	}
	<-f.pings
	stop := errors.New("enough")
	if err := c.Ping(ctx, api.PingRequest{Addr: node}, func(api.PingReply) error { return stop }); err != stop {
		t.Errorf("the callback's error: %v", err)
	}
	for _, tt := range []struct {
		r    api.PingRequest
		want string
	}{
		{api.PingRequest{}, "address invalid IP: want an IPv6 address"},
		{api.PingRequest{Addr: netip.MustParseAddr("192.0.2.1")}, "address 192.0.2.1: want an IPv6 address"},
		{api.PingRequest{Addr: node, Source: netip.MustParseAddr("192.0.2.1")}, "source 192.0.2.1: want an IPv6 address"},
		{api.PingRequest{Addr: node, Count: -1}, "count -1: want 0 (no end) or more"},
		{api.PingRequest{Addr: node, Size: 5000}, "size 5000: want 0 to 4096 bytes"},
		{api.PingRequest{Addr: node, Interval: -1}, "interval -1 s: want 0.001 to 3600 seconds"},
		{api.PingRequest{Addr: node, Timeout: 1e9}, "timeout 1e+09 s: want 0.001 to 3600 seconds"},
		{api.PingRequest{Addr: node, HopLimit: 256}, "hop limit 256: want 1 to 255"},
	} {
		if err := c.Ping(ctx, tt.r, collect); !errors.Is(err, api.ErrBadRequest) || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestPingBody(t *testing.T) {
	_, path := serve(t, newFake())
	h := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for _, body := range []string{"", "{", `{"adr":"fd00::1"}`, `{"addr":5}`, strings.Repeat(" ", 1<<20)} {
		r, err := h.Post("http://x/v1/ping", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: status %d, want 400", body, r.StatusCode)
		}
	}
}

func TestCapture(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, path := serve(t, newFake())
	c := api.NewClient(path)
	r, err := c.Capture(ctx, api.CaptureRequest{Ports: []string{"zep0", "user"}, IP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// What is written arrives although the answer has not ended.
	b := make([]byte, len("[zep0 user] false true"))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "[zep0 user] false true" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := c.Capture(ctx, api.CaptureRequest{Ports: []string{"nope"}}); err == nil || err.Error() != "no port nope" {
		t.Errorf("unknown port: %v", err)
	}
}

// TestClose: a server ends at once while a ping and a capture stream, takes its socket
// away, and the clients are told.
func TestClose(t *testing.T) {
	f := newFake()
	s, path := serve(t, f)
	c := api.NewClient(path)
	ended := make(chan error, 2)
	go func() {
		ended <- c.Ping(t.Context(), api.PingRequest{Addr: node}, func(api.PingReply) error { return nil })
	}()
	go func() {
		r, err := c.Capture(t.Context(), api.CaptureRequest{})
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		ended <- err
	}()
	<-f.started
	<-f.started
	w := clocktest.Start(t)
	s.Close()
	<-ended
	<-ended
	if d := w.Elapsed(); d > time.Second {
		t.Errorf("closing took %s", d)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	s.Close() // does nothing
}

func TestCloseBeforeServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := api.Listen(path, newFake(), "")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestListen(t *testing.T) {
	_, path := serve(t, newFake())
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v, want mode 0600", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v, want mode 0700", info.Mode(), err)
	}
	want := "a router is already running at " + path + "; stop it or say another --socket PATH"
	if _, err := api.Listen(path, newFake(), ""); err == nil || err.Error() != want {
		t.Errorf("a second router: %v", err)
	}

	// What a killed process leaves is a socket that nobody listens on.
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	_, err = api.NewClient(stale).Status(t.Context())
	if want := "no router is running at " + stale + ", which one that died has left (start one with border-router run, or say --socket)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	s, err := api.Listen(stale, newFake(), "")
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	s.Close()

	file := filepath.Join(dir, "file")
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	long := "/" + strings.Repeat("x", 120)
	for _, tt := range []struct{ path, want string }{
		{"", "the management socket has no path; say --socket PATH"},
		{file, "socket " + file + ": there is something else than a socket; remove it or say another --socket PATH"},
		{long, "socket " + long + ": the path is 121 bytes long, at most 107 are allowed; say a shorter --socket PATH"},
		{open + "/s", "socket directory " + open + " may be written to by everybody; run `chmod o-w " + open + "` or say another --socket PATH"},
	} {
		if s, err := api.Listen(tt.path, newFake(), ""); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.path, err, tt.want)
			if err == nil {
				s.Close()
			}
		}
	}
	if _, err := os.Lstat(file); err != nil {
		t.Error("a file that is no socket was removed")
	}
}

func TestClientErrors(t *testing.T) {
	dir := t.TempDir()
	missing, file := filepath.Join(dir, "missing"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{missing, "no router is running at " + missing + " (start one with border-router run, or say --socket)"},
		{file, file + " is not a socket; say --socket PATH"},
		{file + "/x", file + "/x is not a socket; say --socket PATH"},
	} {
		if _, err := api.NewClient(tt.path).Status(t.Context()); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	// Something that speaks HTTP and is no router.
	other := filepath.Join(dir, "other")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Server{Handler: http.NotFoundHandler()}
	go h.Serve(l)
	defer h.Close()
	want := "what answers at " + other + " is no router: HTTP status 404 Not Found to /v1/status"
	if _, err := api.NewClient(other).Status(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := api.NewClient(other).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestICMPErrorText(t *testing.T) {
	for _, tt := range []struct {
		typ, code uint8
		want      string
	}{
		{1, 0, "Destination unreachable: No route"},
		{1, 3, "Destination unreachable: Address unreachable"},
		{1, 9, "Destination unreachable: Unknown code 9"},
		{2, 0, "Packet too big"},
		{3, 0, "Time exceeded: Hop limit"},
		{4, 2, "Parameter problem: Unknown option"},
		{100, 1, "ICMPv6 type 100 code 1"},
	} {
		if got := api.ICMPErrorText(tt.typ, tt.code); got != tt.want {
			t.Errorf("%d %d: got %q, want %q", tt.typ, tt.code, got, tt.want)
		}
	}
}

// FuzzRequest: whatever stands in a ping's body, the server answers or refuses, and what
// reaches the router is within bounds.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"addr":"fd00::1%zep0","count":1,"size":8,"interval_s":0.2,"timeout_s":1,"hoplimit":64}`))
	f.Add([]byte(`{"addr":"::ffff:192.0.2.1","source":"","interval_s":1e308}`))
	f.Add([]byte(`{"addr":"fe80::1","count":-1}{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := api.DecodePingRequest(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, api.ErrBadRequest) {
				t.Fatalf("%q: %v is not the caller's fault", b, err)
			}
			return
		}
		if !r.Addr.Is6() || r.Size < 0 || r.Size > 4096 || r.HopLimit < 1 || r.HopLimit > 255 ||
			r.Interval.Duration() <= 0 || r.Timeout.Duration() <= 0 || r.Timeout.Duration() > time.Hour || r.Count < 0 {
			t.Fatalf("%q gives %+v", b, r)
		}
	})
}

package hoststack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"border-router/internal/clocktest"
	"border-router/ipv6"
)

type runner = interface{ Run(now time.Time) }

// A loop runs what is posted, as the router's does.
type loop struct {
	ops  chan runner
	quit chan struct{}
	end  chan struct{}
}

func newLoop(t testing.TB) *loop {
	l := &loop{ops: make(chan runner), quit: make(chan struct{}), end: make(chan struct{})}
	go func() {
		defer close(l.end)
		for {
			select {
			case op := <-l.ops:
				op.Run(time.Now())
			case <-l.quit:
				return
			}
		}
	}()
	t.Cleanup(l.stop)
	return l
}

func (l *loop) stop() {
	select {
	case <-l.end:
	default:
		close(l.quit)
		<-l.end
	}
}

func (l *loop) post(r runner) bool {
	select {
	case l.ops <- r:
		return true
	case <-l.quit:
		return false
	}
}

var (
	addrA  = netip.MustParseAddr("fd00:1::a")
	addrB  = netip.MustParseAddr("fd00:1::b")
	localA = netip.MustParseAddr("fe80::a")
	localB = netip.MustParseAddr("fe80::b")
)

// wire is what lies between two stacks; it may look at, change and drop packets.
type wire func(from, to *Stack, p ipv6.Packet) bool

// pair makes two stacks with addresses, back to back over one loop.
func pair(t testing.TB, mtu int, w wire) (a, b *Stack) {
	return pairOf(t, Config{MTU: mtu}, w)
}

func pairOf(t testing.TB, cfg Config, w wire) (a, b *Stack) {
	l := newLoop(t)
	cfg.Name = "a"
	a = newStack(t, cfg, addrA, localA)
	cfg.Name = "b"
	b = newStack(t, cfg, addrB, localB)
	join := func(from, to *Stack) {
		from.Start(l.post, func(now time.Time, p ipv6.Packet, _ ipv6.Meta) {
			if isControl(p) {
				t.Errorf("%s sends a control message: % x", from.Name(), []byte(p))
			}
			if w == nil || w(from, to, p) {
				_ = to.Output(now, p, ipv6.LinkAddr{})
			}
		})
	}
	join(a, b)
	join(b, a)
	return a, b
}

func newStack(t testing.TB, cfg Config, addrs ...netip.Addr) *Stack {
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, a := range addrs {
		if err := s.AddAddress(a); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

const testTimeout = time.Minute // a test that waits so long has failed

func listenUDP(t testing.TB, s *Stack, at string) *UDPConn {
	c, err := s.ListenPacket(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	return c.(*UDPConn)
}

func TestUDPEcho(t *testing.T) {
	a, b := pair(t, 0, nil)
	server := listenUDP(t, b, "[::]:5683")
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, to, err := server.ReadFromTo(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteFromTo(buf[:n], to, from)
		}
	}()
	for _, row := range []struct {
		to   netip.Addr
		from netip.Addr // what the other side must see
		size int
	}{
		{addrB, addrA, 1}, {addrB, addrA, 1232}, {addrB, addrA, 3000}, // the last in fragments
		{localB, localA, 100},
	} {
		c, err := a.DialUDP(netip.AddrPort{}, netip.AddrPortFrom(row.to, 5683))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().WithZone(""); got != row.from {
			t.Errorf("to %v from %v, want %v", row.to, got, row.from)
		}
		want := bytes.Repeat([]byte{0x5a}, row.size)
		if n, err := c.Write(want); n != len(want) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(testTimeout))
		got := make([]byte, 4096)
		n, err := c.Read(got)
		if err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("%v: %d bytes back, %v", row, n, err)
		}
		_ = c.Close()
	}
}

// A reply from an unbound socket leaves from the address that was asked, not from the one
// that source address selection prefers.
func TestReplyFromAskedAddress(t *testing.T) {
	a, b := pair(t, 0, nil)
	second := netip.MustParseAddr("fd00:2::b")
	if err := b.AddAddress(second); err != nil {
		t.Fatal(err)
	}
	server, client := listenUDP(t, b, "[::]:7"), listenUDP(t, a, "[::]:0")
	if _, err := client.WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(second, 7)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	_, from, to, err := server.ReadFromTo(buf)
	if err != nil || to != second || from.Addr() != addrA {
		t.Fatalf("from %v to %v, %v", from, to, err)
	}
	if _, err := server.WriteFromTo([]byte("!"), to, from); err != nil {
		t.Fatal(err)
	}
	if _, got, err := client.ReadFromUDPAddrPort(buf); err != nil || got.Addr() != second {
		t.Errorf("answer from %v, %v", got, err)
	}
}

func TestSourceAddressSelection(t *testing.T) {
	s := newStack(t, Config{})
	for _, a := range []string{"fe80::1", "fd12::1", "2001:db8:1::1", "2001:db8:2::1"} {
		if err := s.AddAddress(netip.MustParseAddr(a)); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ rule, to, want string }{
		{"rule 2, scope", "fe80::99", "fe80::1"},
		{"rule 2, scope", "ff02::fd", "fe80::1"},
		{"rule 6, label of fc00::/7", "fd99::1", "fd12::1"},
		{"rule 8, longest prefix", "2001:db8:2::99", "2001:db8:2::1"},
		{"rule 8, longest prefix", "2001:db8:1::99", "2001:db8:1::1"},
		{"rule 1, same address", "2001:db8:1::1", "2001:db8:1::1"},
	} {
		c, err := s.DialUDP(netip.AddrPort{}, netip.AddrPortFrom(netip.MustParseAddr(row.to), 9))
		if err != nil {
			t.Errorf("%s: dial %s: %v", row.rule, row.to, err)
			continue
		}
		if got := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().WithZone("").String(); got != row.want {
			t.Errorf("RFC 6724 section 5 %s: to %s from %s, want %s", row.rule, row.to, got, row.want)
		}
		_ = c.Close()
	}
}

func TestMulticast(t *testing.T) {
	a, b := pair(t, 0, nil)
	group := netip.MustParseAddr("ff05::fd")
	server, client := listenUDP(t, b, "[::]:5683"), listenUDP(t, a, "[::]:0")
	if err := b.JoinGroup(group); err != nil {
		t.Fatal(err)
	}
	if _, err := client.WriteToUDPAddrPort([]byte("hello"), netip.AddrPortFrom(group, 5683)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	n, from, to, err := server.ReadFromTo(buf)
	if err != nil || string(buf[:n]) != "hello" || to != group || from.Addr() != addrA {
		t.Fatalf("%q from %v to %v, %v", buf[:n], from, to, err)
	}
	if _, err := server.WriteFromTo([]byte("here"), to, from); err != nil { // a group is no source
		t.Fatal(err)
	}
	if _, from, err := client.ReadFromUDPAddrPort(buf); err != nil || from.Addr() != addrB {
		t.Errorf("answer from %v, %v", from, err)
	}
	if err := b.LeaveGroup(group); err != nil {
		t.Fatal(err)
	}
	_, _ = client.WriteToUDPAddrPort([]byte("gone"), netip.AddrPortFrom(group, 5683))
	_, _ = client.WriteToUDPAddrPort([]byte("last"), netip.AddrPortFrom(addrB, 5683))
	if n, _, err := server.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "last" {
		t.Errorf("after leaving: %q, %v", buf[:n], err)
	}
}

func TestUDPPortUnreachable(t *testing.T) {
	var mu sync.Mutex
	var seen []byte
	a, _ := pair(t, 0, func(_, _ *Stack, p ipv6.Packet) bool {
		mu.Lock()
		defer mu.Unlock()
		if p.NextHeader() == ipv6.ProtoICMPv6 {
			seen = append(seen, p.Payload()[:2]...)
		}
		return true
	})
	c, err := a.DialUDP(netip.AddrPort{}, netip.AddrPortFrom(addrB, 4))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read: %v, want ECONNREFUSED", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !bytes.Equal(seen, []byte{1, 4}) { // RFC 4443 section 3.1
		t.Errorf("ICMPv6 on the wire: % x", seen)
	}
}

func TestTCPTransfer(t *testing.T) {
	for _, row := range []struct {
		name    string
		mtu     int
		pathMTU int // 0: none
	}{{"1280", 1280, 0}, {"1500", 1500, 0}, {"1500 over 1280", 1500, 1280}} {
		t.Run(row.name, func(t *testing.T) {
			var mu sync.Mutex
			longest, tooBig := 0, 0
			a, b := pair(t, row.mtu, func(from, to *Stack, p ipv6.Packet) bool {
				mu.Lock()
				defer mu.Unlock()
				if row.pathMTU != 0 && len(p) > row.pathMTU {
					tooBig++
					e := ipv6.AppendICMPError(nil, 2, 0, uint32(row.pathMTU), p, p.Dst())
					_ = from.Output(time.Now(), e, ipv6.LinkAddr{})
					return false
				}
				longest = max(longest, len(p))
				if b := p.Payload(); p.NextHeader() == ipv6.ProtoTCP && b[13]&2 != 0 { // SYN
					mss := bytes.Index(b[20:], []byte{2, 4})
					if mss < 0 || int(binary.BigEndian.Uint16(b[22+mss:])) != row.mtu-60 { // RFC 9293 section 3.7.1
						t.Errorf("SYN without an MSS of %d: % x", row.mtu-60, b)
					}
				}
				return true
			})
			transfer(t, a, b, 1<<20)
			mu.Lock()
			defer mu.Unlock()
			want := row.mtu
			if row.pathMTU != 0 {
				want = row.pathMTU
				if tooBig == 0 {
					t.Error("no packet was too big for the path")
				}
			}
			const options = 40 // room that is kept for the TCP options of a later segment
			if longest > want || longest < want-options {
				t.Errorf("longest packet %d bytes, want %d to %d", longest, want-options, want)
			}
		})
	}
}

// transfer sends size bytes each way over one TCP connection.
func transfer(t testing.TB, a, b *Stack, size int) {
	l, err := b.ListenTCP(netip.AddrPortFrom(netip.Addr{}, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.Copy(c, c)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	c, err := a.DialTCP(ctx, netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * testTimeout))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 31 >> 3)
	}
	go func() {
		_, _ = c.Write(data)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	h := sha256.New()
	n, err := io.Copy(h, c)
	if want := sha256.Sum256(data); err != nil || n != int64(size) || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Fatalf("%d of %d bytes back, %v", n, size, err)
	}
}

func TestTCPErrors(t *testing.T) {
	a, b := pair(t, 0, nil)
	if _, err := a.DialTCP(context.Background(), netip.AddrPortFrom(addrB, 81)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed port: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.DialTCP(ctx, netip.MustParseAddrPort("[fd00:9::1]:1")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	l, err := b.ListenTCP(netip.MustParseAddrPort("[::]:80"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ListenTCP(netip.MustParseAddrPort("[::]:80")); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	c, err := a.DialTCP(context.Background(), netip.AddrPortFrom(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past deadline: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	blocked := make(chan error)
	go func() { _, err := c.Read(make([]byte, 1)); blocked <- err }()
	_ = c.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed connection: %v", err)
	}
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				blocked <- err
				return
			}
		}
	}()
	_ = l.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept of a closed listener: %v", err)
	}
}

func TestHTTP(t *testing.T) {
	a, b := pair(t, 0, nil)
	l, err := b.ListenTCP(netip.MustParseAddrPort("[fd00:1::b]:80"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return a.DialTCP(ctx, netip.MustParseAddrPort(addr))
	}}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr, Timeout: testTimeout}).Get("http://[fd00:1::b]:80/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(body) != "served" {
		t.Errorf("body %q", body)
	}
}

func TestUDPClose(t *testing.T) {
	s := newStack(t, Config{}, addrA)
	c := listenUDP(t, s, "[::]:5683")
	_ = c.SetReadDeadline(time.Time{})
	if _, err := s.ListenPacket(netip.MustParseAddrPort("[::]:5683")); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}
	blocked := make(chan error)
	go func() { _, _, err := c.ReadFrom(make([]byte, 1)); blocked <- err }()
	_ = c.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(addrB, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	d := listenUDP(t, s, "[::]:5683") // free again
	_ = d.SetReadDeadline(time.Time{})
	go func() { _, _, err := d.ReadFrom(make([]byte, 1)); blocked <- err }()
	_ = d.SetReadDeadline(time.Unix(1, 0))
	if err := <-blocked; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline while waiting: %v", err)
	}
	_ = d.SetReadDeadline(time.Time{})
	go func() { _, _, err := d.ReadFrom(make([]byte, 1)); blocked <- err }()
	_ = s.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read when the stack closes: %v", err)
	}
}

func TestPing(t *testing.T) {
	l := newLoop(t)
	s := newStack(t, Config{}, addrA)
	replies := make(chan []byte, 4)
	s.Start(l.post, func(_ time.Time, p ipv6.Packet, m ipv6.Meta) {
		if m.RSSI != ipv6.RSSIUnknown || m.Port != 0 {
			t.Errorf("meta %+v", m)
		}
		replies <- bytes.Clone(p)
	})
	for _, size := range []int{0, 8, 1232} {
		body := bytes.Repeat([]byte{7}, size)
		req := ipv6.Packet(ipv6.AppendICMP(nil, 128, 0, 0x12340001, body, addrB, addrA, 64))
		if err := s.Output(time.Now(), req, ipv6.LinkAddr{}); err != nil {
			t.Fatal(err)
		}
		got, err := ipv6.Parse(<-replies)
		if err != nil {
			t.Fatal(err)
		}
		want := ipv6.AppendICMP(nil, 129, 0, 0x12340001, body, addrA, addrB, got.HopLimit())
		if !bytes.Equal(got.Payload(), want[ipv6.HeaderLen:]) || got.Src() != addrA || got.Dst() != addrB {
			t.Errorf("reply to %d bytes: % x", size, []byte(got))
		}
	}
	if err := s.RemoveAddress(addrA); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveAddress(addrA); err != nil {
		t.Errorf("second removal: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, mtu := range []int{1, 1279, 2048} {
		if _, err := New(Config{MTU: mtu}); err == nil || !strings.Contains(err.Error(), "want 1280 to 2047") {
			t.Errorf("MTU %d: %v", mtu, err)
		}
	}
	s := newStack(t, Config{}, addrA)
	for _, a := range []string{"192.0.2.1", "::", "::1", "ff02::1", "::ffff:192.0.2.1"} {
		if err := s.AddAddress(netip.MustParseAddr(a)); err == nil {
			t.Errorf("address %s accepted", a)
		}
	}
	if err := s.AddAddress(addrA); err != nil {
		t.Errorf("address twice: %v", err)
	}
	if err := s.JoinGroup(addrA); err == nil {
		t.Error("unicast group accepted")
	}
	if _, err := s.ListenPacket(netip.MustParseAddrPort("192.0.2.1:1")); err == nil {
		t.Error("IPv4 socket accepted")
	}
	if _, err := s.ListenPacket(netip.AddrPortFrom(addrB, 1)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("foreign address: %v", err)
	}
	if _, err := s.DialUDP(netip.AddrPort{}, netip.AddrPort{}); err == nil {
		t.Error("dial to nowhere accepted")
	}
	s = newStack(t, Config{NoTCP: true}, addrA)
	if _, err := s.ListenTCP(netip.AddrPort{}); !errors.Is(err, syscall.EPROTONOSUPPORT) {
		t.Errorf("TCP where there is none: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := settledGoroutines(0, 200*time.Millisecond)
	for range 5 {
		l := newLoop(t)
		s := newStack(t, Config{}, addrA)
		s.Start(l.post, func(time.Time, ipv6.Packet, ipv6.Meta) {})
		listenUDP(t, s, "[::]:1")
		if _, err := s.ListenTCP(netip.MustParseAddrPort("[::]:1")); err != nil {
			t.Fatal(err)
		}
		w := clocktest.Start(t)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := w.Elapsed(); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		w.Stop()
		_ = s.Close()
		l.stop()
		if err := s.AddAddress(addrB); !errors.Is(err, net.ErrClosed) {
			t.Errorf("AddAddress after Close: %v", err)
		}
		if _, err := s.ListenPacket(netip.AddrPort{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ListenPacket after Close: %v", err)
		}
	}
	if after := settledGoroutines(before, testTimeout); after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", after, before, buf[:runtime.Stack(buf, true)])
	}
}

// settledGoroutines waits until there are no more than want, but not for ever.
func settledGoroutines(want int, patience time.Duration) (n int) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if n = runtime.NumGoroutine(); n <= want || time.Now().After(end) {
			return n
		}
	}
}

// A hundred stacks live in one simulator: each has to stay small.
func TestMemory(t *testing.T) {
	const stacks, limit = 50, 512 << 10
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	g0 := runtime.NumGoroutine()
	l := newLoop(t)
	for range stacks {
		s := newStack(t, Config{}, addrA, localA)
		s.Start(l.post, func(time.Time, ipv6.Packet, ipv6.Meta) {})
		listenUDP(t, s, "[::]:5683")
	}
	runtime.GC()
	runtime.ReadMemStats(&m1)
	heap := (int64(m1.HeapAlloc) - int64(m0.HeapAlloc)) / stacks
	stack := (int64(m1.StackInuse) - int64(m0.StackInuse)) / stacks
	t.Logf("per stack: heap %d KiB, goroutine stacks %d KiB, %d goroutines", heap>>10, stack>>10, (runtime.NumGoroutine()-g0)/stacks)
	if heap+stack > limit {
		t.Errorf("%d bytes per stack, limit %d", heap+stack, limit)
	}
}

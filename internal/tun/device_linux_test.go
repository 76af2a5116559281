package tun

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
	"border-router/ipv6"
)

type runner = interface{ Run(now time.Time) }

var (
	own    = netip.MustParsePrefix("fd00:1::1/128")
	prefix = netip.MustParsePrefix("fd00:1::/64")
	node   = netip.MustParseAddr("fd00:1::99")
)

func config() Config {
	return Config{Name: "lowpan0", Addresses: []netip.Prefix{own}, Routes: []netip.Prefix{prefix}}
}

// open opens a device inside ns.
func open(t testing.TB, ns *netnstest.NS, cfg Config) *Device {
	t.Helper()
	d, err := tryOpen(ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func tryOpen(ns *netnstest.NS, cfg Config) (d *Device, err error) {
	ns.Do(func() { d, err = Open(cfg) })
	return d, err
}

func socket(t testing.TB, ns *netnstest.NS, network, at string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket(network, at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// inline runs batches in the reader's goroutine.
func inline(r runner) bool { r.Run(time.Time{}); return true }

func TestOpenSetsTheInterface(t *testing.T) {
	ns := netnstest.New(t)
	cfg := config()
	cfg.Addresses = append(cfg.Addresses, netip.MustParsePrefix("fd00:2::1/64")) // without an on-link route
	d := open(t, ns, cfg)
	if d.Name() != "lowpan0" || d.MTU() != 1280 || d.Index() == 0 {
		t.Errorf("%q, MTU %d, index %d", d.Name(), d.MTU(), d.Index())
	}
	link := ns.MustExec("ip", "link", "show", "lowpan0")
	if !strings.Contains(link, "UP") || !strings.Contains(link, "mtu 1280 ") {
		t.Error(link)
	}
	addr := ns.MustExec("ip", "-6", "addr", "show", "dev", "lowpan0")
	for _, want := range []string{"inet6 fd00:1::1/128 scope global nodad", "inet6 fd00:2::1/64 scope global nodad noprefixroute"} {
		if !strings.Contains(addr, want) {
			t.Errorf("no %q in\n%s", want, addr)
		}
	}
	if strings.Contains(addr, "fe80") || strings.Contains(addr, "tentative") {
		t.Errorf("the kernel has made an address of its own, or doubts ours:\n%s", addr)
	}
	routes := ns.MustExec("ip", "-6", "route", "show", "dev", "lowpan0")
	if strings.Contains(routes, "fd00:2::/64") || !strings.Contains(routes, "fd00:1::/64 proto 154") {
		t.Error(routes)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if out, err := ns.Exec("ip", "link", "show", "lowpan0"); err == nil {
		t.Errorf("after Close:\n%s", out)
	}
}

func TestAddAndRemove(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, Config{Name: "lowpan%d", MTU: 1500})
	for range 2 { // twice is no error
		for _, err := range []error{d.AddAddress(own), d.AddRoute(prefix)} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	if out := ns.MustExec("ip", "-6", "route", "get", node.String()); !strings.Contains(out, "dev lowpan0 ") || !strings.Contains(out, "src fd00:1::1 ") {
		t.Error(out)
	}
	for range 2 {
		for _, err := range []error{d.RemoveRoute(prefix), d.RemoveAddress(own)} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	if out := ns.MustExec("ip", "-6", "addr", "show", "dev", "lowpan0"); strings.Contains(out, "inet6") {
		t.Error(out)
	}
	if out := ns.MustExec("ip", "-6", "route", "show", "dev", "lowpan0"); strings.Contains(out, "fd00") {
		t.Error(out)
	}
	for _, err := range []error{d.AddAddress(netip.Prefix{}), d.AddRoute(netip.MustParsePrefix("fd00:1::1/64")), d.AddRoute(netip.Prefix{})} {
		if err == nil {
			t.Error("no error")
		}
	}
	_ = d.Close()
	if err := d.AddAddress(own); err == nil || !strings.Contains(err.Error(), os.ErrClosed.Error()) {
		t.Errorf("after Close: %v", err)
	}
}

func TestPing(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	var buf []byte
	d.Start(inline, func(now time.Time, p ipv6.Packet, m ipv6.Meta) {
		if p.NextHeader() == ipv6.ProtoICMPv6 && p.Payload()[0] == 128 {
			if p.Src() != own.Addr() || m.RSSI != ipv6.RSSIUnknown {
				t.Errorf("from %v, meta %+v", p.Src(), m)
			}
			buf = ipv6.AppendEchoReply(buf[:0], p, p.Dst())
			if err := d.Output(now, buf, ipv6.LinkAddr{}); err != nil {
				t.Error(err)
			}
		}
	})
	for _, size := range []string{"8", "1232", "2000"} { // the last in fragments, which nobody here puts together
		wait := "30"
		if size == "2000" {
			wait = "1"
		}
		out, err := ns.Exec("ping", "-6", "-c", "2", "-i", "0.01", "-W", wait, "-s", size, node.String())
		if (size != "2000") != (err == nil) {
			t.Errorf("ping -s %s: %v\n%s", size, err, out)
		}
	}
}

// Many packets come with one wake-up, in order, none lost; and none waits for the next.
func TestBatches(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	c := socket(t, ns, "udp6", "[fd00:1::1]:0")
	const n = 200
	for i := range n { // before the reader starts: all of it waits in the kernel
		if _, err := c.WriteTo([]byte{byte(i)}, &net.UDPAddr{IP: node.AsSlice(), Port: 9}); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan byte, 2*n)
	d.Start(inline, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) {
		if p.NextHeader() == ipv6.ProtoUDP {
			got <- p.Payload()[8]
		}
	})
	for i := range n {
		if b := <-got; b != byte(i) {
			t.Fatalf("packet %d is number %d", i, b)
		}
	}
	if s := d.Stats(); s.InBatches > n/8 || s.InPackets < n || s.Delivered < n {
		t.Errorf("%+v", s)
	}
}

// A loop that does not take batches stops the reader, not the process.
func TestBackPressure(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	c := socket(t, ns, "udp6", "[fd00:1::1]:0")
	for range 400 {
		_, _ = c.WriteTo([]byte("x"), &net.UDPAddr{IP: node.AsSlice(), Port: 9})
	}
	posted := make(chan runner, 100)
	d.Start(func(r runner) bool { posted <- r; return true }, func(time.Time, ipv6.Packet, ipv6.Meta) {})
	var held []runner
	for range numBatches {
		held = append(held, <-posted)
	}
	if s := d.Stats(); s.InPackets > numBatches*batchPackets {
		t.Errorf("%d packets read with %d batches", s.InPackets, numBatches)
	}
	for _, b := range held {
		b.Run(time.Time{})
	}
	(<-posted).Run(time.Time{}) // it goes on
}

func TestDropsRead(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	refuse, refused := make(chan bool, 1), make(chan bool, 100)
	delivered := make(chan int, 100)
	d.Start(func(r runner) bool {
		select {
		case <-refuse:
			refuse <- true // from now on
			refused <- true
			return false
		default:
			return inline(r)
		}
	}, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) { delivered <- len(p) })

	ns.MustExec("ip", "addr", "add", "10.9.0.1/24", "dev", "lowpan0")
	ns.MustExec("ip", "link", "set", "lowpan0", "mtu", "1500")
	v4 := socket(t, ns, "udp4", "10.9.0.1:0")
	_, _ = v4.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 9, 0, 2), Port: 9})
	c := socket(t, ns, "udp6", "[fd00:1::1]:0")
	_, _ = c.WriteTo(make([]byte, 1400), &net.UDPAddr{IP: node.AsSlice(), Port: 9})
	_, _ = c.WriteTo(make([]byte, 52), &net.UDPAddr{IP: node.AsSlice(), Port: 9})
	for n := 0; n != 100; {
		n = <-delivered
	}
	refuse <- true
	_, _ = c.WriteTo(make([]byte, 52), &net.UDPAddr{IP: node.AsSlice(), Port: 9})
	<-refused
	_ = d.Close()
	s := d.Stats()
	sum := s.Delivered
	for _, x := range []Drop{DropNotIPv6, DropTruncated, DropLoopClosed} {
		if s.Drops[x] == 0 {
			t.Errorf("no drop %v", x)
		}
		sum += s.Drops[x]
	}
	if s.InPackets != sum {
		t.Errorf("%d packets in, %d accounted for: %+v", s.InPackets, sum, s)
	}
}

func TestDropsWrite(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(node, 1), netip.AddrPortFrom(own.Addr(), 2), 64, []byte("x")))
	out := func(p ipv6.Packet) error { return d.Output(time.Time{}, p, ipv6.LinkAddr{}) }
	if err := out(p); err != nil {
		t.Error(err)
	}
	v5 := ipv6.Packet(slices.Clone(p))
	v5[0] = 0x50
	if err := out(v5); err != DropInvalid {
		t.Errorf("version 5: %v", err)
	}
	if err := out(make(ipv6.Packet, 1281)); err != DropTooBig {
		t.Errorf("1281 bytes: %v", err)
	}
	ns.MustExec("ip", "link", "set", "lowpan0", "down")
	if err := out(p); err != DropDown {
		t.Errorf("interface down: %v", err)
	}
	ns.MustExec("ip", "link", "del", "lowpan0")
	if err := out(p); err != DropGone {
		t.Errorf("interface deleted: %v", err)
	}
	_ = d.Close()
	if err := out(p); err != DropGone {
		t.Errorf("closed: %v", err)
	}
	for err, want := range map[error]Drop{unix.EAGAIN: DropKernelFull, unix.ENOBUFS: DropKernelFull, unix.ENOMEM: DropKernelFull, unix.EFAULT: DropWriteFailed} {
		if got := dropOf(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if s := d.Stats(); s.OutPackets != 1 || s.OutBytes != uint64(len(p)) || s.Drops[DropGone] != 2 {
		t.Errorf("%+v", s)
	}
}

func TestInterfaceVanishes(t *testing.T) {
	ns := netnstest.New(t)
	down := make(chan error, 2)
	cfg := config()
	cfg.OnDown = func(err error) { down <- err }
	d := open(t, ns, cfg)
	d.Start(inline, func(time.Time, ipv6.Packet, ipv6.Meta) {})
	ns.MustExec("ip", "link", "del", "lowpan0")
	if err := <-down; err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("OnDown: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}

	e := open(t, ns, cfg) // and again
	e.Start(inline, func(time.Time, ipv6.Packet, ipv6.Meta) {})
	if err := e.Close(); err != nil { // wakes the reader
		t.Error(err)
	}
	select {
	case <-e.ended:
	default:
		t.Error("Close left the reader")
	}
	if len(down) != 0 {
		t.Error("OnDown called for Close")
	}
}

// What a killed process has left on a persistent interface goes away; what another hand
// has prepared stays.
func TestTakeOver(t *testing.T) {
	ns := netnstest.New(t)
	cfg := config()
	cfg.Persist = true
	first := open(t, ns, cfg)
	_ = first.file.Close() // as if killed: nothing is removed
	ns.MustExec("ip", "addr", "add", "fd00:8::1/128", "dev", "lowpan0")
	ns.MustExec("ip", "-6", "route", "add", "fd00:7::/64", "dev", "lowpan0", "proto", "154")
	ns.MustExec("ip", "-6", "route", "add", "fd00:6::/64", "dev", "lowpan0")

	second := open(t, ns, cfg)
	addr := ns.MustExec("ip", "-6", "addr", "show", "dev", "lowpan0")
	routes := ns.MustExec("ip", "-6", "route", "show", "dev", "lowpan0")
	if strings.Contains(addr, "fd00:8::1") || !strings.Contains(addr, "fd00:1::1/128") {
		t.Error(addr)
	}
	if strings.Contains(routes, "fd00:7::") || !strings.Contains(routes, "fd00:6::") || !strings.Contains(routes, "fd00:1::/64") {
		t.Error(routes)
	}
	if err := second.AddRoute(netip.MustParsePrefix("fd00:5::/64")); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	routes = ns.MustExec("ip", "-6", "route", "show", "dev", "lowpan0")
	if strings.Contains(routes, "fd00:5::") || !strings.Contains(routes, "fd00:6::") {
		t.Errorf("after Close:\n%s", routes)
	}
}

func TestCheck(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	check := func() (s string) {
		ns.Do(func() {
			for _, f := range d.Check() {
				s += f.String() + "\n"
			}
		})
		return s
	}
	on := func() (on bool) {
		ns.Do(func() { on, _ = ForwardingEnabled() })
		return on
	}
	if s := check(); on() || !strings.Contains(s, "run: sysctl -w net.ipv6.conf.all.forwarding=1") {
		t.Errorf("forwarding off:\n%s", s)
	}
	ns.Sysctl("net.ipv6.conf.all.forwarding", "1")
	if s := check(); !on() || s != "" {
		t.Errorf("all well, but:\n%s", s)
	}
	other := netnstest.New(t)
	ns.LinkTo(other, "up0", "down0")
	ns.MustExec("ip", "-6", "route", "add", "default", "dev", "up0", "proto", "ra")
	ns.Sysctl("net.ipv6.conf.up0.accept_ra", "1")
	if s := check(); !strings.Contains(s, "run: sysctl -w net.ipv6.conf.up0.accept_ra=2") {
		t.Errorf("accept_ra:\n%s", s)
	}
	ns.Sysctl("net.ipv6.conf.up0.accept_ra", "2")
	ns.MustExec("ip", "link", "set", "lowpan0", "mtu", "1400")
	ns.MustExec("ip", "addr", "del", own.String(), "dev", "lowpan0")
	ns.MustExec("ip", "-6", "route", "del", prefix.String(), "dev", "lowpan0")
	ns.MustExec("ip", "link", "set", "lowpan0", "down")
	s := check()
	for _, want := range []string{"run: ip link set lowpan0 up", "run: ip link set lowpan0 mtu 1280", "run: ip addr add fd00:1::1/128 dev lowpan0 nodad", "run: ip -6 route add fd00:1::/64 dev lowpan0"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	ns.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
	ns.MustExec("ip", "link", "del", "lowpan0")
	if s := check(); !strings.Contains(s, "lowpan0 is gone") || !strings.Contains(s, "sysctl -w net.ipv6.conf.all.disable_ipv6=0") {
		t.Error(s)
	}
}

func TestOutputAllocs(t *testing.T) {
	ns := netnstest.New(t)
	d := open(t, ns, config())
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(node, 1), netip.AddrPortFrom(own.Addr(), 2), 64, []byte("x")))
	long := ipv6.Packet(bytes.Repeat([]byte{0x60}, 1281))
	if n := testing.AllocsPerRun(100, func() {
		_ = d.Output(time.Time{}, p, ipv6.LinkAddr{})
		_ = d.Output(time.Time{}, long, ipv6.LinkAddr{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRunAllocs(t *testing.T) {
	d, b := testBatch(t, []byte(ipv6.AppendUDP(nil, netip.AddrPortFrom(node, 1), netip.AddrPortFrom(own.Addr(), 2), 64, []byte("x"))), []byte{0x45})
	if n := testing.AllocsPerRun(100, func() {
		b.n = 2
		b.Run(time.Time{})
		<-d.free
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// testBatch makes a batch of packets without an interface.
func testBatch(t testing.TB, packets ...[]byte) (*Device, *batch) {
	d := &Device{mtu: DefaultMTU, free: make(chan *batch, numBatches), deliver: func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) {
		if _, err := ipv6.Parse(p); err != nil || len(p) > DefaultMTU {
			t.Errorf("delivered %d bytes: %v", len(p), err)
		}
	}}
	b := &batch{d: d, slab: make([]byte, batchPackets*d.slot())}
	for i, p := range packets {
		b.len[i] = copy(b.slab[i*d.slot():(i+1)*d.slot()], p)
		b.n++
	}
	return d, b
}

// Whatever the kernel hands over is delivered as a checked packet or counted once.
func FuzzBatch(f *testing.F) {
	f.Add(ipv6.AppendUDP(nil, netip.AddrPortFrom(node, 1), netip.AddrPortFrom(own.Addr(), 2), 64, []byte("x")), []byte{0x45})
	f.Add([]byte{}, make([]byte, 1400))
	f.Fuzz(func(t *testing.T, p, q []byte) {
		d, b := testBatch(t, p, q)
		b.Run(time.Time{})
		s := d.Stats()
		if s.Delivered+s.Drops[DropNotIPv6]+s.Drops[DropTruncated] != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	ns := netnstest.New(b)
	d := open(b, ns, config())
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(node, 1), netip.AddrPortFrom(own.Addr(), 9), 64, make([]byte, 52)))
	c := socket(b, ns, "udp6", "[fd00:1::1]:9") // a socket whose buffer is soon full
	_ = c
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Output(time.Time{}, p, ipv6.LinkAddr{})
	}
}

// Read and deliver one batch of 32 packets that wait in the kernel.
func BenchmarkRead(b *testing.B) {
	ns := netnstest.New(b)
	d := open(b, ns, config())
	c := socket(b, ns, "udp6", "[fd00:1::1]:0").(*net.UDPConn)
	_ = c.SetDeadline(time.Time{})
	n := 0
	d.deliver = func(time.Time, ipv6.Packet, ipv6.Meta) { n++ }
	r, bt := d.newReader(), &batch{d: d, slab: make([]byte, batchPackets*d.slot())}
	payload, to := make([]byte, 52), netip.AddrPortFrom(node, 9)
	b.SetBytes(batchPackets * 100)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range batchPackets {
			if _, err := c.WriteToUDPAddrPort(payload, to); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if err := r.next(bt); err != nil {
			b.Fatal(err)
		}
		bt.Run(time.Time{})
		<-d.free
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(n, 1)), "ns/packet")
}

package ethernet

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"border-router/internal/hoststack"
	"border-router/internal/netnstest"
	"border-router/ipv6"
	"border-router/nd"
)

var (
	ourMAC  = ipv6.EUI48([6]byte{0x02, 0xbb, 0, 0, 0, 1})
	ours    = netip.MustParseAddr("fd00:5::1")
	kernels = netip.MustParseAddr("fd00:5::2")
)

// A station is a host in user space behind a Port: gVisor's stack, with as much neighbor
// discovery as the kernel on the other side needs.
type station struct {
	t     *testing.T
	port  *Port
	stack *hoststack.Stack
	peer  ipv6.LinkAddr

	mu     sync.Mutex
	states []State
	heard  []ipv6.Packet
}

func newStation(t *testing.T, ns *netnstest.NS, cfg Config) *station {
	t.Helper()
	s := &station{t: t}
	var err error
	if s.stack, err = hoststack.New(hoststack.Config{MTU: 1500}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stack.Close() })
	if err := s.stack.AddAddress(ours); err != nil {
		t.Fatal(err)
	}
	cfg.OnState = func(st State) { s.mu.Lock(); s.states = append(s.states, st); s.mu.Unlock() }
	ns.Do(func() { s.port, err = Open(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.port.Close(); err != nil {
			t.Error(err)
		}
	})
	s.port.JoinGroup(nd.SolicitedNode(ours))
	// A loop for one: work is done where it comes from, one at a time.
	var loop sync.Mutex
	post := func(w interface{ Run(now time.Time) }) bool {
		loop.Lock()
		defer loop.Unlock()
		w.Run(time.Now())
		return true
	}
	s.port.Start(post, s.deliver)
	s.stack.Start(post, func(now time.Time, p ipv6.Packet, _ ipv6.Meta) {
		s.mu.Lock()
		peer := s.peer
		s.mu.Unlock()
		s.port.Output(now, p, peer)
	})
	return s
}

func (s *station) deliver(now time.Time, p ipv6.Packet, m ipv6.Meta) {
	s.mu.Lock()
	s.heard = append(s.heard, slices.Clone(p))
	s.peer = m.LinkSrc
	s.mu.Unlock()
	if err := ipv6.CheckTransport(p); err != nil {
		s.t.Errorf("from the kernel: %v\n%x", err, []byte(p))
	}
	if p.NextHeader() == ipv6.ProtoICMPv6 && p[ipv6.HeaderLen] == ipv6.ICMPNeighborSolicitation {
		ns, err := nd.CheckNeighborSolicitation(p)
		if err != nil || ns.Target != ours || p.Src().IsUnspecified() {
			return
		}
		na, err := nd.NeighborAdvertisement{Solicited: true, Override: true, Target: ours}.AppendBinary(nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		na = nd.AppendLinkAddr(na, nd.OptionTargetLinkAddr, s.port.LinkAddr())
		q := ipv6.AppendHeader(nil, 0, 0, len(na), ipv6.ProtoICMPv6, 255, ours, p.Src())
		q = append(q, na...)
		ipv6.Packet(q).SetICMPChecksum(ipv6.HeaderLen)
		s.port.Output(now, q, m.LinkSrc)
		return
	}
	s.stack.Output(now, p, ipv6.LinkAddr{})
}

// await polls until ok, a minute at most.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func (s *station) awaitUp(up bool, why string) State {
	s.t.Helper()
	await(s.t, fmt.Sprintf("up %v (%s)", up, why), func() bool {
		st := s.port.State()
		return st.Up == up && st.Why == why
	})
	return s.port.State()
}

// ping wants count answers. A request may be lost on an interface that has just come up, or
// changes, and the kernel gives up what waits for a neighbor after a while.
func ping(t *testing.T, ns *netnstest.NS, size, count int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		out, err := ns.Exec("ping", "-6", "-n", "-c", fmt.Sprint(count), "-i", "0.05", "-w", "5", "-s", fmt.Sprint(size), ours.String())
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("ping: %v\n%s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// twoHosts returns two namespaces joined by eth0 and lan0; the second has an address.
func twoHosts(t *testing.T) (a, b *netnstest.NS) {
	a, b = netnstest.New(t), netnstest.New(t)
	a.LinkTo(b, "eth0", "lan0")
	b.AddAddress("lan0", netip.PrefixFrom(kernels, 64))
	return a, b
}

func TestKernelHost(t *testing.T) {
	a, b := twoHosts(t)
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC})
	s.awaitUp(true, "")
	ping(t, b, 56, 3)
	ping(t, b, 1452, 3)

	// A megabyte each way. The kernel hands over large segments without a checksum.
	l, err := s.stack.ListenTCP(netip.AddrPortFrom(ours, 7))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	data := make([]byte, 1<<20)
	rand.Read(data)
	var c net.Conn
	b.Do(func() { c, err = net.Dial("tcp", netip.AddrPortFrom(ours, 7).String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, data) {
		t.Fatalf("%d bytes came back, %v", len(back), err)
	}
	st := s.port.Stats()
	if st.Merged == 0 {
		t.Error("the kernel merged no segments: that they are taken apart was not tested")
	}
	t.Logf("%d frames in %d batches in, %d merged; %d frames in %d batches out", st.InFrames, st.InBatches, st.Merged, st.OutFrames, st.OutBatches)
	for d, n := range st.Drops {
		if n > 0 {
			t.Errorf("%d frames dropped: %v", n, Drop(d))
		}
	}
}

// TestInterfaceLife takes an interface through everything that can happen to one.
func TestInterfaceLife(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC})
	if st := s.awaitUp(false, "there is no interface eth0; waiting for it"); st.LinkAddr != ourMAC {
		t.Errorf("MAC address %v", st.LinkAddr)
	}
	if err := s.port.Output(time.Now(), ipv6.AppendUDP(nil, netip.AddrPortFrom(ours, 1), netip.AddrPortFrom(kernels, 2), 64, nil), ourMAC); err != DropInterfaceDown {
		t.Errorf("Output without an interface: %v", err)
	}
	join := func() {
		t.Helper()
		a.LinkTo(b, "eth0", "lan0")
		b.AddAddress("lan0", netip.PrefixFrom(kernels, 64))
		s.awaitUp(true, "")
		ping(t, b, 56, 2)
	}
	join()
	b.MustExec("ip", "link", "set", "lan0", "down")
	s.awaitUp(false, "interface eth0 has no carrier")
	b.MustExec("ip", "link", "set", "lan0", "up")
	b.AddAddress("lan0", netip.PrefixFrom(kernels, 64))
	s.awaitUp(true, "")
	ping(t, b, 56, 2)

	a.MustExec("ip", "link", "set", "eth0", "down")
	s.awaitUp(false, "interface eth0 is set down; ip link set eth0 up")
	a.MustExec("ip", "link", "set", "eth0", "up")
	s.awaitUp(true, "")
	ping(t, b, 56, 2)

	a.MustExec("ip", "link", "set", "eth0", "down")
	a.MustExec("ip", "link", "set", "eth0", "name", "wan7")
	a.MustExec("ip", "link", "set", "wan7", "up")
	if st := s.awaitUp(true, ""); st.Name != "wan7" {
		t.Errorf("the interface is called %s, want wan7", st.Name)
	}
	ping(t, b, 56, 2)

	a.MustExec("ip", "link", "del", "wan7")
	s.awaitUp(false, "there is no interface eth0; waiting for it")
	join()
	if n := s.port.Stats().Reopened; n < 4 {
		t.Errorf("reopened %d times", n)
	}
}

func TestTAP(t *testing.T) {
	a := netnstest.New(t)
	s := newStation(t, a, Config{Name: "br-tap0", TAP: true, Bridge: "br0", MAC: ourMAC})
	s.awaitUp(false, "there is no bridge br0; waiting for it (ip link add br0 type bridge)")
	a.MustExec("ip", "link", "add", "br0", "type", "bridge")
	a.MustExec("ip", "link", "set", "br0", "up")
	a.AddAddress("br0", netip.PrefixFrom(kernels, 64))
	s.awaitUp(true, "")
	ping(t, a, 1452, 3)
	before := s.port.State().Index
	a.MustExec("ip", "link", "del", "br-tap0")
	await(t, "another interface", func() bool { st := s.port.State(); return st.Up && st.Index != before })
	ping(t, a, 56, 2)
	if err := s.port.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := a.Exec("ip", "link", "show", "br-tap0"); err == nil {
		t.Errorf("left behind: %s", out)
	}
}

// TestControl shares an interface with the kernel: both hear the LAN.
func TestControl(t *testing.T) {
	a, b := twoHosts(t)
	a.AddAddress("eth0", netip.MustParsePrefix("fd00:5::aa/64"))
	s := newStation(t, a, Config{Name: "eth0", Control: true})
	await(t, "up", func() bool { return s.port.State().Up })
	st := s.port.State()
	if st.LinkAddr.Len() != 6 || !st.LinkLocal.IsLinkLocalUnicast() {
		t.Fatalf("state %+v: want the kernel's addresses", st)
	}
	group := netip.MustParseAddr("ff05::fd")
	s.port.SetAllGroups(true)
	if out, err := b.Exec("ping", "-6", "-n", "-c", "3", "-i", "0.2", "-w", "30", "fd00:5::aa"); err != nil {
		t.Fatalf("the kernel does not answer: %v\n%s", err, out)
	}
	var c net.Conn
	var err error
	b.MustExec("ip", "-6", "route", "add", "ff05::/16", "dev", "lan0", "table", "local")
	b.Do(func() { c, err = net.Dial("udp", netip.AddrPortFrom(group, 5683).String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await(t, "multicast", func() bool {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Log(err) // of a neighbor table that is full: there is one for all namespaces
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.ContainsFunc(s.heard, func(p ipv6.Packet) bool { return p.Dst() == group })
	})
	offered := netip.MustParsePrefix("fd00:6::1/64")
	for range 2 { // asked for twice, as after a restart
		if err := s.port.SetKernelAddress(offered, true); err != nil {
			t.Error(err)
		}
	}
	if out := a.MustExec("ip", "-6", "route", "get", "fd00:6::99"); !bytes.Contains([]byte(out), []byte("dev eth0")) {
		t.Errorf("no route to the prefix offered: %s", out)
	}
	for range 2 {
		if err := s.port.SetKernelAddress(offered, false); err != nil {
			t.Error(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.heard {
		if p[ipv6.HeaderLen] == ipv6.ICMPEchoRequest && p.NextHeader() == ipv6.ProtoICMPv6 {
			t.Error("the ping of the kernel's address came in")
		}
	}
}

func TestOutputAllocs(t *testing.T) {
	a, _ := twoHosts(t)
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC})
	s.awaitUp(true, "")
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(ours, 1), netip.AddrPortFrom(kernels, 2), 64, make([]byte, 100)))
	now := time.Now()
	if n := testing.AllocsPerRun(2000, func() { s.port.Output(now, p, ourMAC) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func TestOutputDrops(t *testing.T) {
	a, _ := twoHosts(t)
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC})
	s.awaitUp(true, "")
	p := func(n int) ipv6.Packet {
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(ours, 1), netip.AddrPortFrom(kernels, 2), 64, make([]byte, n))
	}
	out := s.port.Stats().OutFrames + 1
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		dst  ipv6.LinkAddr
		want error
	}{
		{"no address", p(1), ipv6.LinkAddr{}, DropDestination},
		{"EUI-64", p(1), ipv6.EUI64(1), DropDestination},
		{"too big", p(1500), ourMAC, DropTooBig},
		{"right", p(1), ourMAC, nil},
	} {
		if err := s.port.Output(time.Now(), c.p, c.dst); err != c.want && !(err == nil && c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// More at once than there is room for, while the writer does not run: it has done its work.
	await(t, "the writer is idle", func() bool { return s.port.Stats().OutFrames >= out })
	s.port.out.mu.Lock()
	s.port.out.fill.n = txQueue
	s.port.out.mu.Unlock()
	if err := s.port.Output(time.Now(), p(1), ourMAC); err != DropQueueFull {
		t.Errorf("full queue: %v", err)
	}
	s.port.out.mu.Lock()
	s.port.out.fill.n = 0
	s.port.out.mu.Unlock()
}

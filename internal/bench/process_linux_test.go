package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	xipv6 "golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/internal/netnstest"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/zep"
)

const (
	nodes      = 16 // behind one UDP socket
	burst      = 256
	packetSize = 87 // bytes of a packet: the captured ones
	frameSize  = 85 // bytes of its frame without FCS
	zepHeader  = 32
	zepPort    = 17754
	patience   = 10 * time.Second // without progress: the rest is lost
)

// datagram puts a frame without FCS into ZEP.
func datagram(frame []byte) []byte {
	h := zep.Header{Version: 2, Type: zep.TypeData, Channel: 26, Device: 1, Mode: zep.ModeCRC, LQI: 0xff}
	b, err := h.AppendBinary(nil, ieee802154.AppendFCS(append([]byte(nil), frame...)))
	if err != nil {
		panic(err)
	}
	return b
}

func ackDatagram(seq uint8) []byte { return datagram([]byte{byte(ieee802154.TypeAck), 0, seq}) }

// A side is a child process with everything that feeds it.
type side struct {
	tb   testing.TB
	role role
	cmd  *exec.Cmd
	to   io.Writer
	from *bufio.Scanner

	air *net.UDPConn // where the nodes are
	lan *net.UDPConn // whoever talks to the nodes
	nl  *netlink.Handle

	up      []xipv6.Message // the burst of the nodes
	down    []xipv6.Message // the burst to the nodes
	rx      []xipv6.Message
	turn    int    // of the burst: the next message to send alone
	greeted uint64 // frames that let the router know the nodes
	frames  int
	lost    int
	cpu     []time.Duration // of each load
}

func newSide(tb testing.TB, ns *netnstest.NS, r role, number int) *side {
	return newSideTo(tb, ns, ns, r, number)
}

// newSideTo is newSide with a LAN beyond the interface, in a namespace of its own.
func newSideTo(tb testing.TB, ns, lan *netnstest.NS, r role, number int) *side {
	tb.Helper()
	s := &side{tb: tb}
	r.TUN = fmt.Sprintf("bench%d", number)
	a := mesh.Addr().As16()
	a[7] += byte(number)
	r.Prefix = netip.PrefixFrom(netip.AddrFrom16(a), 64)
	r.ZEP = netip.AddrPortFrom(netip.IPv6Loopback(), zepPort+uint16(number))
	r.Dir = tb.TempDir()
	ns.Do(func() {
		var err error
		if s.air, err = net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(r.ZEP)); err != nil {
			tb.Fatal(err)
		}
		if s.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			tb.Fatal(err)
		}
	})
	lan.Do(func() {
		var err error
		if s.lan, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lanHost, 0))); err != nil {
			tb.Fatal(err)
		}
	})
	tb.Cleanup(func() { s.air.Close(); s.lan.Close(); s.nl.Close() })
	if err := s.air.SetReadBuffer(4 << 20); err != nil {
		tb.Fatal(err)
	}
	r.Node = s.air.LocalAddr().(*net.UDPAddr).AddrPort()
	s.role = r
	if r.Router {
		s.register()
	}
	s.prepare()
	s.spawn(ns)
	return s
}

// register leaves the nodes as registered where the router looks for them at its start.
func (s *side) register() {
	st, err := state.Open(s.role.Dir, slog.New(slog.DiscardHandler))
	if err != nil {
		s.tb.Fatal(err)
	}
	for k := range uint64(nodes) {
		ll := ipv6.EUI64(nodeEUI + k)
		st.PutRegistration(state.Record{Port: "zep0", Addr: ipv6.WithIID(s.role.Prefix, ll.IID()), LinkAddr: ll,
			ROVR: ll.Append(nil), Expires: time.Now().Add(time.Hour)})
	}
	if err := st.Close(); err != nil {
		s.tb.Fatal(err)
	}
}

// prepare builds both bursts and room to receive.
func (s *side) prepare() {
	frame := captured(s.tb, "frame", "coap")[0]
	if len(frame) != frameSize {
		s.tb.Fatalf("the captured frame has %d bytes", len(frame))
	}
	for k := range burst {
		b := datagram(fromNode(frame, nodeEUI+uint64(k%nodes), uint8(k), s.role.Ack))
		s.up = append(s.up, xipv6.Message{Buffers: [][]byte{b}})
		to := ipv6.WithIID(s.role.Prefix, ipv6.EUI64(nodeEUI+uint64(k%nodes)).IID())
		s.down = append(s.down, xipv6.Message{Buffers: [][]byte{make([]byte, packetSize-48)},
			Addr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 5683))})
		s.rx = append(s.rx, xipv6.Message{Buffers: [][]byte{make([]byte, 256)}})
	}
}

func (s *side) spawn(ns *netnstest.NS) {
	exe, err := os.Executable()
	if err != nil {
		s.tb.Fatal(err)
	}
	env, err := json.Marshal(s.role)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.cmd = exec.Command(exe)
	s.cmd.Env = append(os.Environ(), roleEnv+"="+string(env))
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	outPipe, err := s.cmd.StdoutPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := ns.Start(s.cmd); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { in.Close(); s.cmd.Wait() })
	s.to, s.from = in, bufio.NewScanner(outPipe)
	if answer := s.next(); answer != "ready" {
		s.tb.Fatal(answer)
	}
}

func (s *side) next() string {
	s.tb.Helper()
	if !s.from.Scan() {
		s.tb.Fatalf("the process has ended: %v", s.from.Err())
	}
	return s.from.Text()
}

func (s *side) ask(q string) string {
	s.tb.Helper()
	fmt.Fprintln(s.to, q)
	a, ok := strings.CutPrefix(s.next(), "ok")
	if !ok {
		s.tb.Fatalf("%s: %s", q, a)
	}
	return strings.TrimSpace(a)
}

// used returns the CPU time of the process, system calls included, as getrusage would tell
// it (clock_getcpuclockid(3)).
func (s *side) used() time.Duration {
	const sched = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|sched), &t); err != nil {
		s.tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// slept returns how often threads of the process have gone to sleep, to be woken again.
func (s *side) slept() (n int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
	for _, t := range threads {
		b, _ := os.ReadFile(t)
		_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
		line, _, _ := strings.Cut(rest, "\n")
		k, _ := strconv.Atoi(strings.TrimSpace(line))
		n += k
	}
	return n
}

// written returns how many packets the process has written to its TUN.
func (s *side) written() uint64 {
	l, err := s.nl.LinkByName(s.role.TUN)
	if err != nil {
		s.tb.Fatal(err)
	}
	if s.role.MAC != nil {
		return l.Attrs().Statistics.TxPackets
	}
	return l.Attrs().Statistics.RxPackets
}

func (s *side) freeze() {
	if err := s.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		s.tb.Fatal(err)
	}
	if err := waitStopped(s.cmd.Process.Pid); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *side) thaw() {
	if err := s.cmd.Process.Signal(unix.SIGCONT); err != nil {
		s.tb.Fatal(err)
	}
}

// send writes all messages; WriteBatch may take fewer at once.
func send(tb testing.TB, c *net.UDPConn, ms []xipv6.Message) {
	for p := xipv6.NewPacketConn(c); len(ms) > 0; {
		n, err := p.WriteBatch(ms, 0)
		if err != nil {
			tb.Fatal(err)
		}
		ms = ms[n:]
	}
}

// take returns the next n messages of a burst; n divides its length.
func (s *side) take(ms []xipv6.Message, n int) []xipv6.Message {
	i := s.turn % len(ms)
	s.turn += n
	return ms[i : i+n]
}

// goUp lets the nodes send n frames and returns how many did not come out of the TUN.
// backlog says that they wait in the socket before the process sees the first.
func (s *side) goUp(n int, backlog bool) (lost int) {
	before := s.written()
	if backlog {
		s.freeze()
	}
	send(s.tb, s.air, s.take(s.up, n))
	if backlog {
		s.thaw()
	}
	got := 0
	for last := time.Now(); got < n && time.Since(last) < patience; {
		if now := int(s.written() - before); now > got {
			got, last = now, time.Now()
		}
	}
	if s.role.Ack {
		s.collect(n, nil)
	}
	return n - got
}

// collect receives n datagrams on the air, of those that f is true for; it returns how many came.
func (s *side) collect(n int, f func(b []byte) bool) (got int) {
	p := xipv6.NewPacketConn(s.air)
	for got < n {
		_ = s.air.SetReadDeadline(time.Now().Add(patience))
		k, err := p.ReadBatch(s.rx, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			s.tb.Fatal(err)
		}
		for i := range s.rx[:k] {
			if f == nil || f(s.rx[i].Buffers[0][:s.rx[i].N]) {
				got++
			}
		}
	}
	return got
}

// unicast returns the sequence number and the destination of a frame to one node, which are
// those of no other frame for a while.
func unicast(b []byte) (id [9]byte, ok bool) {
	const offFCF, offDst, modes, extended = 1, 5, 3 << 2, 3 << 2
	if len(b) < zepHeader+offDst+8 || b[zepHeader+offFCF]&modes != extended {
		return id, false
	}
	id[8] = b[zepHeader+offSeq]
	copy(id[:8], b[zepHeader+offDst:])
	return id, true
}

// acknowledge answers a frame that asks for it.
func (s *side) acknowledge(b []byte) {
	if len(b) > zepHeader+offSeq && b[zepHeader]&ackRequest != 0 && s.role.Ack {
		if _, err := s.air.Write(ackDatagram(b[zepHeader+offSeq])); err != nil {
			s.tb.Fatal(err)
		}
	}
}

// goDown sends n packets to the nodes and returns how many did not come by air.
func (s *side) goDown(n int, backlog bool) (lost int) {
	if backlog {
		s.freeze()
	}
	send(s.tb, s.lan, s.take(s.down, n))
	if backlog {
		s.thaw()
	}
	if !s.role.Router {
		return n - s.collect(n, func(b []byte) bool { s.acknowledge(b); return true })
	}
	// The router may send an advertisement meanwhile, or a frame again whose acknowledgment
	// came late.
	seen := make(map[[9]byte]bool, n)
	return n - s.collect(n, func(b []byte) bool {
		s.acknowledge(b)
		id, ok := unicast(b)
		first := ok && !seen[id]
		seen[id] = true
		return first
	})
}

// meet makes the router know the nodes: which socket they are behind, and those that never
// acknowledge for what they are, which takes it a few frames and their silence to each.
func (s *side) meet() {
	for range 4 {
		// Each node is heard, then sent a packet until the router has given that up.
		send(s.tb, s.air, s.up[:nodes])
		send(s.tb, s.lan, s.down[:nodes])
		for {
			_ = s.air.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			k, err := xipv6.NewPacketConn(s.air).ReadBatch(s.rx, 0)
			if err != nil {
				break
			}
			for i := range s.rx[:k] {
				s.acknowledge(s.rx[i].Buffers[0][:s.rx[i].N])
			}
		}
	}
}

// A load is one way to use the whole process.
type load struct {
	name    string
	down    bool
	ack     bool
	n       int  // frames at once
	backlog bool // they wait before the process sees the first
}

var loads = []load{
	{"up", false, false, burst, true},
	{"up-acks", false, true, burst, true},
	{"up-one-by-one", false, false, 1, false},
	{"down", true, false, burst, true},
	{"down-acks", true, true, burst, true},
	{"down-one-by-one", true, false, 1, false},
}

// BenchmarkProcess measures the whole router, ZEP in to TUN out (up) and back (down), in
// frames for a second of its CPU time, system calls included, beside a bare loop that makes
// the same system calls in the same batches. The median over all operations counts.
//
// One operation is a burst of 256 frames to both, which waits in the kernel before the
// process sees the first, so that batches are full on both sides; one-by-one, the other
// extreme, is one frame at a time, a wake-up each. The packets end in a blackhole route, so
// that as little as possible of the time is the kernel's own forwarding.
//
// With acks the nodes ask for acknowledgments and get them, or are asked and give them:
// then each frame to a node waits for the one before. Sleeps are how often a thread of the
// router went to sleep, to be woken again.
//
// BORDER_ROUTER_BENCH_PROFILE=FILE writes CPU profiles of the router to FILE.up and so on.
func BenchmarkProcess(b *testing.B) {
	for _, l := range loads {
		b.Run(l.name, func(b *testing.B) { measure(b, l, newSides(b, l)) })
	}
}

func measure(b *testing.B, l load, sides []*side) {
	profile := os.Getenv("BORDER_ROUTER_BENCH_PROFILE")
	if profile != "" {
		sides[0].ask("profile " + profile + "." + l.name)
	}
	sleeps := -sides[0].slept()
	for b.Loop() {
		for _, s := range sides {
			// The time until the next load counts, so that nothing that is done
			// after the last frame is missed.
			s.cpu = append(s.cpu, s.used())
			s.lost += s.load(l)
			s.frames += l.n
		}
	}
	sleeps += sides[0].slept()
	if profile != "" {
		sides[0].ask("stop")
	}
	rate := func(s *side) float64 { return float64(l.n) / s.median().Seconds() }
	router, bare := sides[0], sides[1]
	b.ReportMetric(rate(router), "frames/cpu-s")
	b.ReportMetric(rate(bare), "bare-frames/cpu-s")
	b.ReportMetric(rate(router)/rate(bare), "ratio")
	b.ReportMetric(float64(sleeps)/float64(router.frames), "sleeps/frame")
	b.ReportMetric(100*float64(router.lost)/float64(router.frames), "lost-%")
	b.ReportMetric(100*float64(bare.lost)/float64(bare.frames), "bare-lost-%")
	b.ReportMetric(0, "ns/op") // of both, and of whoever feeds them: no use
}

// median returns the CPU time that half of the loads took less of: other work on the machine
// disturbs a few.
func (s *side) median() time.Duration {
	s.cpu = append(s.cpu, s.used())
	took := make([]time.Duration, len(s.cpu)-1)
	for i := range took {
		took[i] = s.cpu[i+1] - s.cpu[i]
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func (s *side) load(l load) int {
	if l.down {
		return s.goDown(l.n, l.backlog)
	}
	return s.goUp(l.n, l.backlog)
}

// newSides starts the router and the bare loop in one namespace.
func newSides(tb testing.TB, l load) []*side {
	ns := netnstest.New(tb)
	ns.AddAddress("lo", netip.PrefixFrom(lanHost, 128))
	router := newSide(tb, ns, role{Router: true, Down: l.down, Ack: l.ack}, 0)
	bare := newSide(tb, ns, role{Down: l.down, Ack: l.ack}, 1)
	if l.down {
		router.meet()
	} else {
		// What the nodes send ends here: the host itself listens to nobody.
		ns.MustExec("ip", "-6", "addr", "del", lanHost.String()+"/128", "dev", "lo")
		ns.MustExec("ip", "-6", "route", "add", "blackhole", lanHost.String()+"/128")
	}
	return []*side{router, bare}
}

// TestProcess makes sure that what BenchmarkProcess measures does take place: no frame is
// lost in either direction.
func TestProcess(t *testing.T) {
	for _, l := range loads {
		t.Run(l.name, func(t *testing.T) {
			for _, s := range newSides(t, l) {
				if lost := s.load(l); lost != 0 {
					t.Errorf("router %v: %d frames of %d lost", s.role.Router, lost, l.n)
				}
			}
		})
	}
}

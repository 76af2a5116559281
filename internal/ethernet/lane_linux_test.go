package ethernet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
	"border-router/ipv6"
)

// A wire sends frames of any kind to ourMAC.
type wire struct {
	t  *testing.T
	fd int
}

func newWire(t *testing.T, ns *netnstest.NS, dev string) *wire {
	t.Helper()
	w := &wire{t: t}
	ns.Do(func() {
		var err error
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		ifr, err := unix.NewIfreq(dev)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlIfreq(w.fd, unix.SIOCGIFINDEX, ifr); err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32())}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// send returns whether the interface took the packet.
func (w *wire) send(p ipv6.Packet) bool {
	var to [6]byte
	copy(to[:], ourMAC.Append(nil))
	return unix.Send(w.fd, frame(to, p), 0) == nil
}

var (
	stranger = netip.MustParseAddr("2001:db8::9")
	nodes    = netip.MustParseAddr("fd00:9::2")
)

func toPort(dst netip.Addr, data []byte) ipv6.Packet {
	return ipv6.AppendUDP(nil, netip.AddrPortFrom(stranger, 1), netip.AddrPortFrom(dst, 2), 64, data)
}

func solicitation(dst netip.Addr) ipv6.Packet {
	return ipv6.AppendICMP(nil, ipv6.ICMPNeighborSolicitation, 0, 0, dst.AsSlice(), stranger, dst, 255)
}

// A looped port has a loop of its own, which does batches one after the other as the router's.
type looped struct {
	*Port
	mu   sync.Mutex
	came map[lane]int // packets of the stranger
}

func (l *looped) count(n lane) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.came[n]
}

// newLooped opens a port whose loop calls deliver for each packet.
func newLooped(t *testing.T, ns *netnstest.NS, cfg Config, deliver func(n lane, p ipv6.Packet), options ...func(*Port)) *looped {
	t.Helper()
	l := &looped{came: map[lane]int{}}
	ns.Do(func() {
		var err error
		if l.Port, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { l.Close() })
	for _, o := range options {
		o(l.Port)
	}
	work, done := make(chan *batch, 64), make(chan struct{})
	t.Cleanup(func() { close(done) })
	var at lane
	l.Start(func(w interface{ Run(now time.Time) }) bool {
		select {
		case work <- w.(*batch):
			return true
		case <-done:
			return false
		}
	}, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) {
		if p.Src() != stranger {
			return // the kernel's
		}
		l.mu.Lock()
		l.came[at]++
		l.mu.Unlock()
		if deliver != nil {
			deliver(at, p)
		}
	})
	go func() {
		for {
			select {
			case b := <-work:
				for i, in := range l.inlets {
					if in == b.in {
						at = lane(i)
					}
				}
				b.Run(time.Now())
			case <-done:
				return
			}
		}
	}()
	await(t, "up", func() bool { return l.State().Up })
	return l
}

// TestLanes has each kind of packet come by its lane, with own addresses added and removed,
// and after the interface has been down.
func TestLanes(t *testing.T) {
	a, b := twoHosts(t)
	l := newLooped(t, a, Config{Name: "eth0", MAC: ourMAC}, nil)
	w := newWire(t, b, "lan0")
	check := func(what string, p ipv6.Packet, want lane) {
		t.Helper()
		var before [numLanes]int
		for i := range before {
			before[i] = l.count(lane(i))
		}
		const n = 20
		for range n {
			if !w.send(p) {
				t.Fatal("not sent")
			}
		}
		await(t, fmt.Sprintf("%s by lane %d", what, want), func() bool { return l.count(want) == before[want]+n })
		for i := range before {
			if got := l.count(lane(i)); lane(i) != want && got != before[i] {
				t.Errorf("%s: %d came by lane %d", what, got-before[i], i)
			}
		}
	}
	all := func(owned lane) {
		t.Helper()
		check("to a node", toPort(nodes, nil), laneTransit)
		check("to our address", toPort(ours, nil), owned)
		check("link-local", toPort(netip.MustParseAddr("fe80::1"), nil), laneOwn)
		check("solicitation", solicitation(ours), laneNeighbor)
	}
	all(laneTransit)
	l.SetOwnAddresses([]netip.Addr{ours})
	all(laneOwn)
	list := append(manyAddresses(100), ours)
	l.SetOwnAddresses(list)
	all(laneOwn)
	check("to our number 77", toPort(list[77], nil), laneOwn)
	for range 3 {
		a.MustExec("ip", "link", "set", "eth0", "down")
		await(t, "down", func() bool { return !l.State().Up })
		a.MustExec("ip", "link", "set", "eth0", "up")
		await(t, "up", func() bool { return l.State().Up })
		// Until the other end has its carrier again, the kernel discards there what is sent.
		await(t, "up there", func() bool { return strings.Contains(b.MustExec("ip", "link", "show", "lan0"), "LOWER_UP") })
		all(laneOwn)
	}
	l.SetOwnAddresses(nil)
	all(laneTransit)
}

// TestOneQueue is a kernel that has one queue for all, and a TAP: everything comes in, and of
// what is for ourselves not more than its rate.
func TestOneQueue(t *testing.T) {
	for _, c := range []struct {
		name, dev string
		cfg       Config
		old       func(*Port)
	}{
		{"old kernel", "lan0", Config{Name: "eth0", MAC: ourMAC}, func(p *Port) { p.fanout = 0xff << 16 }},
		{"TAP", "tap7", Config{Name: "tap7", TAP: true, MAC: ourMAC}, func(*Port) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := twoHosts(t)
			l := newLooped(t, a, c.cfg, nil, c.old)
			if c.cfg.TAP {
				b = a
			}
			l.SetOwnAddresses([]netip.Addr{ours})
			w := newWire(t, b, c.dev)
			begin := time.Now()
			sent := 0
			for _, p := range []ipv6.Packet{toPort(nodes, nil), solicitation(ours), toPort(ours, nil)} {
				for range 100 {
					if !w.send(p) {
						t.Fatal("not sent")
					}
					sent++
				}
				await(t, "all", func() bool { return l.count(laneTransit) == sent })
			}
			own := 100
			for l.Stats().Drops[DropOwnRate] == 0 {
				if time.Since(begin) > time.Minute {
					t.Fatalf("%d packets to ourselves, none dropped", own)
				}
				for range 64 {
					w.send(toPort(ours, nil))
				}
				own += 64
			}
			await(t, "the rest", func() bool {
				st := l.Stats()
				return st.InFrames == st.Delivered+st.Drops[DropOwnRate]
			})
			if n := l.count(laneTransit) - 200; float64(n) > aloneBurst+time.Since(begin).Seconds()*laneConfigs[laneOwn].rate {
				t.Errorf("%d packets to ourselves came in %v", n, time.Since(begin))
			}
		})
	}
}

// TestTwoPorts has two ports on one interface, which have groups of their own: each has every
// frame, also when the other one ends.
func TestTwoPorts(t *testing.T) {
	a, b := twoHosts(t)
	first := newLooped(t, a, Config{Name: "eth0", MAC: ourMAC}, nil)
	second := newLooped(t, a, Config{Name: "eth0", MAC: ourMAC}, nil)
	w := newWire(t, b, "lan0")
	send := func(n int) {
		t.Helper()
		for range n {
			for _, p := range []ipv6.Packet{toPort(nodes, nil), toPort(netip.MustParseAddr("fe80::1"), nil), solicitation(ours)} {
				if !w.send(p) {
					t.Fatal("not sent")
				}
			}
		}
	}
	all := func(l *looped, n int) func() bool {
		return func() bool {
			return l.count(laneTransit) == n && l.count(laneOwn) == n && l.count(laneNeighbor) == n
		}
	}
	send(100)
	await(t, "all by the first", all(first, 100))
	await(t, "all by the second", all(second, 100))
	first.Close()
	send(100)
	await(t, "all by the second alone", all(second, 200))
}

// TestRefusedBinding has a kernel that refuses the programs of an interface: its sockets are
// not used, and it is tried again.
func TestRefusedBinding(t *testing.T) {
	refuse := errors.New("no memory for it")
	for _, c := range []struct {
		name        string
		hear, steer error
	}{{"filter", refuse, nil}, {"queues", nil, refuse}} {
		a, _ := twoHosts(t)
		var p *Port
		a.Do(func() {
			var err error
			if p, err = Open(Config{Name: "eth0", MAC: ourMAC}); err != nil {
				t.Fatal(err)
			}
		})
		c0, err := p.openSocket()
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.keep(&binding{conns: []*conn{c0}, hear: func(hearing) error { return c.hear }, steer: func([]netip.Addr) error { return c.steer }})
		if b != nil || p.bound != nil || !errors.Is(err, refuse) {
			t.Errorf("%s: %v, %v", c.name, b, err)
		}
		if err := c0.f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: its socket is left open", c.name)
		}
		p.Close()
	}
}

// TestSteeringChange has the lane of packets change while they come: each is delivered, once.
func TestSteeringChange(t *testing.T) {
	a, b := twoHosts(t)
	const n = 20_000
	var mu sync.Mutex
	came := make([]int, n)
	l := newLooped(t, a, Config{Name: "eth0", MAC: ourMAC}, func(_ lane, p ipv6.Packet) {
		mu.Lock()
		defer mu.Unlock()
		came[binary.BigEndian.Uint32(p[48:])]++
	})
	w := newWire(t, b, "lan0")
	var sent atomic.Int64
	go func() {
		for i := range uint32(n) {
			if !w.send(toPort(ours, binary.BigEndian.AppendUint32(nil, i))) {
				t.Error("not sent")
			}
			sent.Add(1)
			if i%64 == 63 {
				time.Sleep(time.Millisecond) // less than any lane takes
			}
			// The reader may stand still for longer than a lane has room.
			for end := time.Now().Add(time.Minute); int(i)-l.count(laneTransit)-l.count(laneOwn) > 256 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	changes := 0
	for ; sent.Load() < n && !t.Failed(); changes++ {
		if changes%2 == 0 {
			l.SetOwnAddresses([]netip.Addr{ours})
			l.JoinGroup(netip.MustParseAddr("ff05::fd"))
		} else {
			l.SetOwnAddresses(nil)
			l.LeaveGroup(netip.MustParseAddr("ff05::fd"))
		}
	}
	await(t, "the last", func() bool { return l.count(laneTransit)+l.count(laneOwn) >= n })
	mu.Lock()
	defer mu.Unlock()
	for i, k := range came {
		if k != 1 {
			t.Fatalf("packet %d came %d times; %v", i, k, l.Stats().Drops)
		}
	}
	if l.count(laneTransit) == 0 || l.count(laneOwn) == 0 {
		t.Errorf("by lane: %v", l.came)
	}
	t.Logf("%d changes, by lane %v", changes, l.came)
}

// flood sends p as fast as it can until the end of the test or stop.
func (w *wire) flood(p ipv6.Packet, stop *atomic.Bool) (wait func() int) {
	var all sync.WaitGroup
	n := 0
	all.Go(func() {
		for !stop.Load() {
			if w.send(p) {
				n++
			}
		}
	})
	return func() int { all.Wait(); return n }
}

// TestFlood floods one lane with more than the loop can do. Nothing of another is lost, and
// what the flood itself loses is counted for its lane.
func TestFlood(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     ipv6.Packet
		drop  Drop
		other ipv6.Packet
		by    lane
	}{
		{"own address", toPort(ours, nil), DropKernelOwn, toPort(nodes, nil), laneTransit},
		{"link-local", toPort(netip.MustParseAddr("fe80::1"), nil), DropKernelOwn, toPort(nodes, nil), laneTransit},
		{"solicitations", solicitation(ours), DropKernelNeighbor, toPort(nodes, nil), laneTransit},
		{"own address, and solicitations", toPort(ours, nil), DropKernelOwn, solicitation(ours), laneNeighbor},
		{"transit, and solicitations", toPort(nodes, nil), DropKernel, solicitation(ours), laneNeighbor},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := twoHosts(t)
			l := newLooped(t, a, Config{Name: "eth0", MAC: ourMAC}, func(n lane, _ ipv6.Packet) {
				if n == c.by {
					return
				}
				for end := time.Now().Add(50 * time.Microsecond); time.Now().Before(end); {
					runtime.Gosched() // what a packet costs
				}
			})
			l.SetOwnAddresses([]netip.Addr{ours})
			var stop atomic.Bool
			wait := newWire(t, b, "lan0").flood(c.p, &stop)
			await(t, "full queue", func() bool { return l.Stats().Drops[c.drop] > 0 })
			w := newWire(t, b, "lan0")
			const n = 1000
			before := l.count(c.by)
			for i := range n {
				if !w.send(c.other) {
					t.Error("not sent")
				}
				time.Sleep(200 * time.Microsecond)
				// The reader may stand still for longer than a lane has room.
				for end := time.Now().Add(time.Minute); i-(l.count(c.by)-before) > 256 && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
			}
			stop.Store(true)
			flooded := wait()
			await(t, "the rest", func() bool {
				st := l.Stats()
				return st.InFrames == st.Delivered && l.count(c.by) == before+n
			})
			st := l.Stats()
			for d, k := range st.Drops {
				if Drop(d) != c.drop && k > 0 {
					t.Errorf("%d dropped: %v", k, Drop(d))
				}
			}
			if st.Drops[c.drop] == 0 {
				t.Errorf("%d sent, none dropped", flooded)
			}
			await(t, "each one in or dropped", func() bool {
				st := l.Stats()
				return st.InFrames+st.Drops[c.drop] >= uint64(flooded+n)
			})
			t.Logf("%d sent, %d dropped: %v", flooded, st.Drops[c.drop], c.drop)
		})
	}
}

// TestOneQueueLimit has more for ourselves in the one queue than is taken: what goes to others
// passes, and neighbor discovery.
func TestOneQueueLimit(t *testing.T) {
	var mac [6]byte
	copy(mac[:], ourMAC.Append(nil))
	came := map[netip.Addr]int{}
	p := &Port{mtu: 1500, deliver: func(_ time.Time, q ipv6.Packet, _ ipv6.Meta) { came[q.Dst()]++ }}
	p.setMAC(ourMAC)
	p.SetOwnAddresses([]netip.Addr{ours})
	group := netip.MustParseAddr("ff02::1")
	in := newInlet(p, laneConfigs[laneTransit])
	now := time.Unix(1000, 0)
	const rounds = 1000 // of a millisecond each
	for range rounds {
		for range 3 {
			b := <-in.free
			for _, q := range []ipv6.Packet{
				toPort(ours, nil), toPort(ours, nil), toPort(ours, nil), toPort(ours, nil), toPort(ours, nil), toPort(ours, nil), toPort(ours, nil),
				toPort(group, nil), toPort(group, nil), toPort(nodes, nil), solicitation(ours), toPort(ours, nil),
			} {
				to := mac
				if q.IsMulticast() {
					to = groupMAC(q.Dst().String())
				}
				b.len[b.n] = copy(b.slab[b.n*b.slot:], frame(to, q))
				b.n++
			}
			if !in.limit(now, b) {
				t.Fatal("a node's packet was discarded")
			}
			b.Run(now)
		}
		now = now.Add(time.Millisecond)
	}
	if came[nodes] != 3*rounds {
		t.Errorf("%d of %d packets to a node came", came[nodes], 3*rounds)
	}
	solicited := 3 * rounds
	own := came[ours] + came[group] - solicited
	if own < 19_900 || own > 20_000+aloneBurst {
		t.Errorf("%d packets for ourselves in a second, want 20000", own)
	}
	if n := p.Stats().Drops[DropOwnRate]; int(n)+own != 30*rounds {
		t.Errorf("%d of %d packets for ourselves came, %d were dropped", own, 30*rounds, n)
	}
	// With nothing else nothing is handed over.
	b := <-in.free
	in.own.tokens = 0
	b.len[0] = copy(b.slab, frame(mac, toPort(ours, nil)))
	b.n = 1
	if in.limit(now.Add(-time.Millisecond), b) || b.left() != 0 {
		t.Error("something is left")
	}
}

// TestPace holds a lane to its rate, whatever the loop could do.
func TestPace(t *testing.T) {
	in := &inlet{laneConfig: laneConfig{rate: 1000}, bucket: newBucket(1000, 100)}
	now := time.Unix(1000, 0)
	taken, begin := 0, now
	for now.Sub(begin) < 10*time.Second {
		taken += rxBatch
		now = now.Add(in.pause(now, rxBatch) + 10*time.Microsecond)
	}
	if taken < 10_000 || taken > 10_000+100+2*rxBatch {
		t.Errorf("%d frames in 10 s, want 10000 and the burst", taken)
	}
	// A pause gives back no more than the burst.
	now = now.Add(time.Hour)
	taken = 0
	for in.pause(now, rxBatch) == 0 {
		taken += rxBatch
	}
	if taken > 100 {
		t.Errorf("%d frames at once", taken)
	}
	free := &inlet{}
	if d := free.pause(now, rxBatch); d != 0 {
		t.Errorf("a lane without a rate waits %v", d)
	}
}

// TestOutputShare keeps room for what is forwarded when the queue is full of our own.
func TestOutputShare(t *testing.T) {
	p := &Port{mtu: 1500}
	p.out = newWriter(p) // which nobody runs
	p.setMAC(ourMAC)
	p.up.Store(true)
	p.SetOwnAddresses([]netip.Addr{ours})
	from := func(src string) ipv6.Packet {
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(netip.MustParseAddr(src), 1), netip.AddrPortFrom(kernels, 2), 64, nil)
	}
	for _, c := range []struct {
		src    string
		queued int
		want   error
	}{
		{ours.String(), txQueue/2 - 1, nil},
		{ours.String(), txQueue / 2, DropQueueFull},
		{"fe80::1", txQueue / 2, DropQueueFull},
		{"::", txQueue / 2, DropQueueFull},
		{"fd00:9::2", txQueue / 2, nil},
		{"fd00:9::2", txQueue - 1, nil},
		{"fd00:9::2", txQueue, DropQueueFull},
	} {
		p.out.fill.n = c.queued
		if err := p.Output(time.Now(), from(c.src), ourMAC); err != c.want && !(err == nil && c.want == nil) {
			t.Errorf("from %s with %d waiting: %v, want %v", c.src, c.queued, err, c.want)
		}
	}
}

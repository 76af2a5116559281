package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/config"
	"border-router/internal/dongle"
	"border-router/internal/node"
	"border-router/zep"
)

// fewFaults is what every run of the tests has.
const fewFaults = 2

var faults = flag.Int("faults", fewFaults, "how often each fault of a dongle is made; 100 takes minutes")

// A rig is an emulated dongle that can be pulled out, killed and plugged in again, with a
// router and a node that reach each other through it.
type rig struct {
	kind    string
	eui     uint64
	pan     uint16
	channel uint8
	hub     *zep.Radio // the medium
	link    string     // to the port
	air     *countedAir
	fw      firmware
	pty     *dongle.PTY
	served  chan struct{}

	swallow atomic.Int32
}

// A countedAir tells when a number of frames has been sent.
type countedAir struct {
	*zep.Radio
	left atomic.Int32
	hit  chan struct{}
}

func (a *countedAir) Transmit(batch []ieee802154.TxFrame) error {
	err := a.Radio.Transmit(batch)
	if a.left.Add(-1) == 0 {
		a.hit <- struct{}{}
	}
	return err
}

func newRig(t *testing.T, kind string, eui uint64, pan uint16) *rig {
	t.Helper()
	g := &rig{kind: kind, eui: eui, pan: pan, channel: 26, link: filepath.Join(t.TempDir(), "dongle")}
	var err error
	g.hub, err = zep.Open(zep.Config{Mode: zep.Hub, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, EUI64: 0x02005e00000000ff, PAN: pan})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if g.fw != nil {
			g.kill()
		}
		g.hub.Close()
	})
	return g
}

// url is the radio of the router.
func (g *rig) url() config.Radio {
	scheme := "slip"
	if g.kind == "spinel" {
		scheme = "spinel"
	}
	return config.Radio(fmt.Sprintf("%s://%s?baud=460800&channel=%d&pan=0x%04x", scheme, g.link, g.channel, g.pan))
}

// nodes is the radio of nodes.
func (g *rig) nodes() string {
	return fmt.Sprintf("zep://%s?mode=client&channel=%d&pan=0x%04x", g.hub.LocalAddrs()[0], g.channel, g.pan)
}

// start starts a dongle and plugs it in.
func (g *rig) start() error {
	client, err := zep.Open(zep.Config{Mode: zep.Client, Remote: g.hub.LocalAddrs(), EUI64: g.eui, PAN: g.pan, Channel: g.channel})
	if err != nil {
		return err
	}
	g.air = &countedAir{Radio: client, hit: make(chan struct{}, 1)}
	swallow := func() bool { return g.swallow.Load() > 0 && g.swallow.Add(-1) >= 0 }
	switch g.kind {
	case "spinel":
		g.fw = dongle.NewSpinel(dongle.SpinelConfig{Air: g.air, EUI64: g.eui, Fault: func([]byte) dongle.SpinelFault {
			return dongle.SpinelFault{Swallow: swallow()}
		}})
	case "slip":
		g.fw = dongle.NewSlip(dongle.SlipConfig{Air: g.air, EUI64: g.eui, Dialect: slipradio.Slip, Fault: func(uint8) bool { return swallow() }})
	case "serialradio":
		g.fw = dongle.NewSlip(dongle.SlipConfig{Air: g.air, EUI64: g.eui, Dialect: slipradio.SerialRadio, Fault: func(uint8) bool { return swallow() }})
	}
	return g.plug()
}

// plug gives the dongle a port.
func (g *rig) plug() (err error) {
	if g.pty, err = dongle.OpenPTY(); err != nil {
		return err
	}
	served := make(chan struct{})
	g.served = served
	go func(fw firmware, line io.ReadWriter) {
		fw.Serve(line)
		close(served)
	}(g.fw, dongle.Paced(g.pty, 460800))
	if err := os.Symlink(g.pty.Path, g.link+".new"); err != nil {
		return err
	}
	return os.Rename(g.link+".new", g.link)
}

// unplug takes the port away. The link goes first: the number of the pseudo-terminal is free
// then for another dongle.
func (g *rig) unplug() {
	os.Remove(g.link)
	g.pty.Close()
	<-g.served
}

// kill ends the dongle, and its port with it.
func (g *rig) kill() {
	g.unplug()
	g.air.Radio.Close()
	g.fw.Close()
	g.fw = nil
}

// reset restarts the firmware behind its living line, which says nothing of it.
func (g *rig) reset() {
	switch fw := g.fw.(type) {
	case *dongle.Spinel:
		fw.Reset(false)
	case *dongle.Slip:
		fw.Reset()
	}
}

// away is how long a dongle that was pulled out stays away.
const away = 30 * time.Millisecond

// rest is the time from one fault to the next. A dongle that fails faster than that loses all
// of the probes, one a second, of a node which then gives the router up; and that may
// announce itself only each three seconds (RFC 4861 section 10).
const rest = time.Second

var faultKinds = []struct {
	name string
	do   func(g *rig, rng *rand.Rand) error
}{
	{"killed and restarted", func(g *rig, _ *rand.Rand) error {
		g.kill()
		time.Sleep(away)
		return g.start()
	}},
	{"port closed", func(g *rig, _ *rand.Rand) error {
		g.unplug()
		time.Sleep(away)
		return g.plug()
	}},
	{"garbage", func(g *rig, rng *rand.Rand) error {
		noise := make([]byte, 1+rng.IntN(700))
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		g.fw.(interface{ Inject([]byte) }).Inject(noise)
		return nil
	}},
	{"transmit-done swallowed", func(g *rig, _ *rand.Rand) error {
		g.swallow.Store(1)
		return nil
	}},
	{"silent reset", func(g *rig, _ *rand.Rand) error {
		g.reset()
		return nil
	}},
}

// TestDongleFaults has each kind of dongle go wrong in each way in the middle of a
// fragmented datagram, over and over: that datagram arrives, everything is reachable soon,
// no registration goes, and nothing is left behind.
func TestDongleFaults(t *testing.T) {
	patient(t)
	kinds := []string{"spinel", "slip", "serialradio"}
	rigs, daemons, nodes := make([]*rig, len(kinds)), make([]*Daemon, len(kinds)), make([]*node.Node, len(kinds))
	for i, kind := range kinds {
		g := newRig(t, kind, 0x02005e10000000d0+uint64(i), 0x2300+uint16(i))
		if err := g.start(); err != nil {
			t.Skipf("no pseudo-terminal: %v", err)
		}
		rigs[i] = g
		daemons[i], _ = run(t, testConfig(t, g.url()))
		var addr netip.Addr
		nodes[i], addr = joinNode(t, g.nodes(), 0x02005e10000000e0+uint64(i))
		pingAll(t, daemons[i], addr, 1000)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	var all sync.WaitGroup
	for i, g := range rigs {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for _, f := range faultKinds {
				var worst, sum time.Duration
				for n := range *faults {
					var took time.Duration
					clocktest.Undisturbed(t, func() (wrong string) {
						if g.fw == nil {
							return g.kind + " did not start again"
						}
						var err error
						if took, err = g.faulty(t, daemons[i], nodes[i], func() error { return f.do(g, rng) }); err != nil {
							wrong = fmt.Sprintf("%s, %s, time %d: %v", g.kind, f.name, n, err)
						}
						time.Sleep(rest)
						return wrong
					})
					if g.fw == nil {
						return
					}
					worst, sum = max(worst, took), sum+took
				}
				t.Logf("%-11s %-23s %3d times: reachable after %v at worst, %v on average", g.kind, f.name, *faults,
					worst.Round(time.Millisecond), (sum / time.Duration(*faults)).Round(time.Millisecond))
			}
		})
	}
	all.Wait()
	leftBehind(t, goroutines, files)
	for i, d := range daemons {
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := s.Ports[0].Radio
		if r.State != "up" || r.Outages < uint64(3**faults) || r.Since == nil {
			t.Errorf("%s: radio %+v after %d outages", kinds[i], r, 3**faults)
		}
		if r.Last == nil || r.Last.Reason == "" || r.Last.Seconds <= 0 || r.Counters["dongle_opened"] < uint64(2**faults) || r.Firmware == "" {
			t.Errorf("%s: radio %+v, last outage %+v", kinds[i], r, r.Last)
		}
	}
}

// faulty sends one datagram of many fragments, makes the fault in the middle of it, and
// returns how long after that an answer was there.
func (g *rig) faulty(t *testing.T, d *Daemon, n *node.Node, fault func() error) (took time.Duration, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	addr, before := n.State().Addrs[0], n.Stack().Stats().OutBytes
	hit := g.air.hit
	select {
	case <-hit: // of a time before, too late
	default:
	}
	g.air.left.Store(1 + rand.Int32N(6))
	answered := make(chan error, 1)
	go func() { answered <- pingWith(ctx, d, addr, 1000, 5*time.Second) }()
	select {
	case <-hit:
	case <-time.After(10 * time.Second):
		return 0, errors.New("nothing was sent")
	}
	if err := fault(); err != nil {
		return 0, err
	}
	w := clocktest.Start(t)
	defer w.Stop()
	// The answer to that datagram, or to another one: a dongle that is deaf for a while
	// acknowledges nothing, so that the node gives its answer up.
	for first := error(nil); ; {
		if answered != nil {
			select {
			case first = <-answered:
				answered = nil
			default:
			}
		}
		if answered == nil && first == nil || pingWith(ctx, d, addr, 8, 250*time.Millisecond) == nil {
			break
		}
		if w.Elapsed() > 10*time.Second {
			return 0, errors.New("not reachable")
		}
	}
	if took = w.Elapsed(); took > 2*time.Second*time.Duration(crowd()) {
		return took, fmt.Errorf("reachable after %v", took)
	}
	// The datagram itself has arrived.
	for ; n.Stack().Stats().OutBytes-before < 1000; time.Sleep(time.Millisecond) {
		if w.Elapsed() > 5*time.Second {
			return took, errors.New("the datagram under way did not arrive")
		}
	}
	if s, err := d.Status(ctx); err != nil || s.Registrations != 1 {
		return took, fmt.Errorf("%d registrations, %w", s.Registrations, err)
	}
	return took, nil
}

// crowd is how many processes there are to each processor, at least 1 and at most 5: on a
// machine that does something else as well everything takes that much longer. A run that was
// asked for by a number of rounds is measured as it is.
func crowd() int {
	if *faults != fewFaults {
		return 1
	}
	b, err := os.ReadFile("/proc/loadavg")
	var load float64
	if _, scan := fmt.Sscan(string(b), &load); err != nil || scan != nil {
		return 1
	}
	return min(max(int(load)/min(runtime.NumCPU(), runtime.GOMAXPROCS(0)), 1), 5)
}

// leftBehind waits until no more goroutines and descriptors are there than before.
func leftBehind(t *testing.T, goroutines, files int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		g, f := runtime.NumGoroutine(), openFiles(t)
		if g <= goroutines && f <= files {
			t.Logf("%d goroutines and %d descriptors, %d and %d before", g, f, goroutines, files)
			return
		}
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors, %d and %d before\n%s", g, f, goroutines, files, buf[:runtime.Stack(buf, true)])
		}
	}
}

func openFiles(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// pingWith sends one ping and waits for its answer.
func pingWith(ctx context.Context, d *Daemon, addr netip.Addr, size int, timeout time.Duration) error {
	outcome := errors.New("no answer")
	err := d.Ping(ctx, api.PingRequest{Addr: addr, Count: 1, Size: size, Timeout: api.SecondsOf(timeout)}, func(r api.PingReply) error {
		switch {
		case r.Sent:
		case r.Error != "":
			outcome = errors.New(r.Error)
		default:
			outcome = nil
		}
		return nil
	})
	return errors.Join(err, outcome)
}

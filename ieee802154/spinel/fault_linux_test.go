package spinel

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/internal/clocktest"
	"border-router/internal/dongle"
	"border-router/internal/serial"
)

var faults = flag.Int("faults", 20, "how often each fault is made; 100 takes more than a minute")

// 6 and more: whatever happens to the dongle while frames are sent, they arrive, soon, and
// nothing is left behind.
func TestFaults(t *testing.T) {
	times := *faults
	var swallow atomic.Int32
	for _, c := range []struct {
		name string
		do   func(g *rig, i int)
	}{
		{"restart, announced", func(g *rig, i int) { g.dongle.Reset(true) }},
		{"restart, unannounced", func(g *rig, i int) { g.dongle.Reset(false) }},
		{"pulled out", func(g *rig, i int) { g.unplug(); g.plug() }},
		{"garbage", func(g *rig, i int) {
			b := bytes.Repeat([]byte{byte(i), 0x7e, 0x80, byte(i >> 1), 0x7d}, 200)
			g.dongle.Inject(b[:len(b)-i])
		}},
		{"answer swallowed", func(g *rig, i int) { swallow.Store(1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault {
				return dongle.SpinelFault{Swallow: swallow.Add(-1) >= 0}
			}}, Config{Keepalive: 20 * time.Millisecond, doneSlack: 20 * time.Millisecond})
			g.up()
			g.both()
			w := clocktest.Start(t)
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			worst := time.Duration(0)
			for i := range times {
				// A datagram of five fragments, with the fault in its middle.
				var tx []ieee802154.TxFrame
				for k := range 5 {
					tx = append(tx, ieee802154.TxFrame{Data: g.frame(nodeExt, ownExt, strings.Repeat("f", 90)), More: k < 4})
				}
				start, resent := time.Now(), g.radio.DongleStats().Resent
				w.Reset()
				sent := make(chan error, 1)
				go func() { sent <- g.radio.Transmit(tx) }()
				c.do(g, i)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				for k := range tx {
					if !tx[k].Status.OK() {
						t.Fatalf("time %d, fragment %d: %v", i, k, tx[k].Status)
					}
				}
				g.expectAll(start, resent, tx)
				before := g.radio.RadioStats().Delivered
				for {
					if g.try(before) {
						break
					}
					if w.Elapsed() > 2*time.Second {
						t.Fatalf("time %d: not reachable after 2 s: %+v", i, g.radio.DongleStats())
					}
				}
				worst = max(worst, w.Elapsed())
			}
			g.eventually("no goroutine left", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
			g.eventually("no descriptor left", func() bool { return openFiles(t) <= files+1 })
			t.Logf("reachable again after %v at worst; %+v", worst, g.radio.DongleStats())
		})
	}
}

// try sends a frame to the router and reports whether one arrived within 100 ms. Each has its
// own sequence number: the radio of the dongle took those before, and would reject them.
// before is how many had been delivered ahead of all.
func (g *rig) try(before uint64) bool {
	tx := []ieee802154.TxFrame{{Data: g.frame(ownExt, nodeExt, "and back")}}
	if err := g.node.Transmit(tx); err != nil {
		return false
	}
	rx := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
	for range 50 {
		if g.radio.RadioStats().Delivered > before {
			_, err := g.radio.Receive(rx)
			return err == nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return false
}

func openFiles(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// Started without the dongle, the radio waits for it; frames wait for their lifetime.
func TestLate(t *testing.T) {
	var mu sync.Mutex
	var states []string
	g := newRig(t, dongle.SpinelConfig{}, Config{Lifetime: 150 * time.Millisecond, OnState: func(up bool, err error, i Info) {
		mu.Lock()
		defer mu.Unlock()
		if states = append(states, "up"); !up {
			states[len(states)-1] = err.Error()
		}
	}})
	g.up()
	g.unplug()
	g.eventually("loss seen", func() bool { return !g.radio.DongleStats().Up })
	tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, "x")}}
	if err := g.radio.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxSkipped {
		t.Errorf("%v %v", err, tx[0].Status)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := g.radio.WaitUp(ctx); err == nil {
		t.Error("up without a dongle")
	}
	g.plug()
	g.up()
	g.both()
	mu.Lock()
	defer mu.Unlock()
	if len(states) < 4 || states[0] != "up" || !strings.Contains(states[1], "gone") || !strings.Contains(states[2], "plugged in") || states[len(states)-1] != "up" {
		t.Errorf("states %q", states)
	}
	if d := g.radio.DongleStats(); d.Expired != 1 || d.Lost != 1 || d.Failed == 0 || d.Opened != 2 {
		t.Errorf("%+v", d)
	}
}

// A hookedLine calls hook ahead of each write.
type hookedLine struct {
	Line
	hook func(b []byte)
}

func (l *hookedLine) Write(b []byte) (int, error) {
	l.hook(b)
	return l.Line.Write(b)
}

// 1: a dongle that resets once more in the middle of its start-up is set up again from the
// beginning, on the same line.
func TestResetWhileSet(t *testing.T) {
	var g *rig
	ready, once := make(chan struct{}), sync.Once{}
	g = newRig(t, dongle.SpinelConfig{}, Config{Dial: func(context.Context) (Line, error) {
		<-ready
		p, err := serial.Open(serial.Config{Path: g.link})
		if err != nil {
			return nil, err
		}
		return &hookedLine{p, func(b []byte) {
			if bytes.Contains(b, []byte{byte(CmdSet), byte(PropChannel)}) {
				once.Do(func() { g.dongle.Reset(true) })
			}
		}}, nil
	}})
	close(ready)
	g.up()
	g.both()
	if d := g.radio.DongleStats(); d.Opened != 1 || d.Failed != 0 || d.Lost != 0 {
		t.Errorf("%+v", d)
	}
	if s := g.dongle.Settings(); s.PAN != testPAN || s.Ext != ownExt || !s.Raw {
		t.Errorf("%+v", s)
	}
}

// newVanishing makes a rig of a dongle that is a USB device itself, and whose firmware resets all
// of the chip, so that its port goes away at each reset.
func newVanishing(t *testing.T, dc dongle.SpinelConfig, cfg Config) (g *rig, resets *atomic.Int32, back *sync.WaitGroup) {
	t.Helper()
	resets, back = new(atomic.Int32), new(sync.WaitGroup)
	ready := make(chan struct{})
	cfg.Dial = func(context.Context) (Line, error) {
		<-ready
		p, err := serial.Open(serial.Config{Path: g.link})
		if err != nil {
			return nil, err
		}
		return &hookedLine{p, func(b []byte) {
			if !bytes.Contains(b, []byte{flagByte, 0x80, byte(CmdReset)}) {
				return
			}
			resets.Add(1)
			g.unplug()
			g.dongle.Reset(false)
			back.Go(func() {
				time.Sleep(300 * time.Millisecond) // as long as the USB device needs
				g.plug()
			})
		}}, nil
	}
	g = newRig(t, dc, cfg)
	close(ready)
	return g, resets, back
}

// One that vanishes is reset once, and comes up.
func TestVanishes(t *testing.T) {
	var states []string
	g, resets, back := newVanishing(t, dongle.SpinelConfig{}, Config{OnState: func(up bool, err error, _ Info) { states = append(states, fmt.Sprint(up, err)) }})
	g.up()
	back.Wait()
	g.both()
	// It restarts behind its line: the same without a reset.
	g.dongle.Reset(false)
	g.eventually("restart seen", func() bool { return g.radio.DongleStats().Opened == 2 })
	g.both()
	// One that hangs is helped by a reset only.
	g.dongle.Mute(true)
	g.eventually("silence seen", func() bool { return g.radio.DongleStats().Lost == 2 })
	before := resets.Load()
	g.eventually("reset", func() bool { return resets.Load() > before })
	g.dongle.Mute(false)
	g.up()
	back.Wait()
	g.both()
	g.radio.Close()
	if before != 1 {
		t.Errorf("it was reset %d times to come up", before)
	}
	if len(states) < 3 || states[0] != "true <nil>" || !strings.Contains(states[1], "restarted") || states[2] != "true <nil>" {
		t.Errorf("states %q", states)
	}
}

// One that vanishes and answers, but says no more what becomes of frames, is reset.
func TestVanishesStuck(t *testing.T) {
	var swallow atomic.Int32
	g, resets, back := newVanishing(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault {
		return dongle.SpinelFault{Swallow: swallow.Add(-1) >= 0}
	}}, Config{doneSlack: 10 * time.Millisecond})
	g.up()
	back.Wait()
	g.both()
	before := resets.Load()
	swallow.Store(lostDonesMax)
	g.both()
	back.Wait()
	if n := resets.Load() - before; n != 1 {
		t.Errorf("it was reset %d times", n)
	}
}

// A dongle that restarts again and again is told of.
func TestBootLoop(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go io.Copy(io.Discard, b)
	go func() { // which ends with the pipe
		for err := error(nil); err == nil; time.Sleep(drainWait / 5) {
			_, err = b.Write([]byte{0x7e, 0x80, 6, 0, 112, 0xee, 0x74, 0x7e})
		}
	}()
	said := make(chan error, 8)
	r, err := Open(Config{Name: "pipe", Dial: func(context.Context) (Line, error) { return pipeLine{a}, nil },
		OnState: func(_ bool, err error, _ Info) { said <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	select {
	case err := <-said:
		if !errors.Is(err, ErrRestarted) || !strings.Contains(err.Error(), "while it was started") {
			t.Error(err)
		}
	case <-time.After(longTime):
		t.Error("nothing is said")
	}
}

// A rate that was good is tried again between the others: the dongle may not have been ready.
func TestProbeAgain(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.radio.Close()
	var mu sync.Mutex
	var tried []int
	r, err := Open(Config{Name: "ttyX", probeWait: 100 * time.Millisecond, Keepalive: 50 * time.Millisecond, Dial: func(context.Context) (Line, error) {
		p, err := serial.Open(serial.Config{Path: g.link})
		if err != nil {
			return nil, err
		}
		return &triedLine{ratedLine{Port: p, want: 1000000}, func(baud int) {
			mu.Lock()
			tried = append(tried, baud)
			mu.Unlock()
		}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.WaitUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	tried = nil
	mu.Unlock()
	g.dongle.Mute(true)
	g.eventually("tried at each rate", func() bool { return r.DongleStats().Failed > 0 })
	g.dongle.Mute(false)
	g.eventually("up again", func() bool { return r.DongleStats().Up })
	mu.Lock()
	defer mu.Unlock()
	if want := []int{1000000, 460800, 1000000, 115200, 1000000, 921600}; len(tried) < len(want) || !slices.Equal(tried[:len(want)], want) {
		t.Errorf("tried %v, want %v", tried, want)
	}
}

type triedLine struct {
	ratedLine
	tried func(baud int)
}

func (l *triedLine) SetBaud(n int) error {
	l.tried(n)
	return l.ratedLine.SetBaud(n)
}

// A dongle that has crashed behind its port says nothing; it is opened anew until it does.
func TestSilent(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.dongle.Mute(true)
	g.eventually("silence noticed", func() bool { return g.radio.DongleStats().Lost == 1 })
	g.dongle.Mute(false)
	g.up()
	g.both()
}

// A ratedLine has a rate, as no pseudo-terminal has: at another only garbage passes.
type ratedLine struct {
	*serial.Port
	rate, want int
}

func (l *ratedLine) SetBaud(n int) error { l.rate = n; return l.Port.SetBaud(n) }

func (l *ratedLine) Read(b []byte) (int, error) {
	n, err := l.Port.Read(b)
	if l.rate != l.want {
		for i := range b[:n] {
			b[i] = b[i]*7 + 3
		}
	}
	return n, err
}

func (l *ratedLine) Write(b []byte) (int, error) {
	if l.rate != l.want {
		b = bytes.Repeat([]byte{0xf7}, len(b))
	}
	return l.Port.Write(b)
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		want, dials int
		text        []string
	}{
		{460800, 1, nil},
		{1000000, 3, nil},
		{57600, 4, []string{"at 460800 baud", "at 115200 baud", "at 1000000 baud", "at 921600 baud", "baud=", "flow=rtscts"}},
	} {
		g := newRig(t, dongle.SpinelConfig{}, Config{})
		g.up()
		g.radio.Close()
		dials := atomic.Int32{}
		r, err := Open(Config{Name: "ttyX", probeWait: 100 * time.Millisecond, Dial: func(context.Context) (Line, error) {
			dials.Add(1)
			p, err := serial.Open(serial.Config{Path: g.link})
			if err != nil {
				return nil, err
			}
			return &ratedLine{Port: p, want: c.want}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if c.text == nil {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), longTime)
		}
		info, err := r.WaitUp(ctx)
		cancel()
		r.Close()
		if drops := r.RadioStats().Drops; c.dials == 1 && len(drops) > 0 {
			t.Errorf("an answer to a question counts as dropped: %v", drops)
		}
		if c.text == nil {
			if err != nil || info.Baud != c.want || int(dials.Load()) != c.dials {
				t.Errorf("%d baud: %+v %v, %d times", c.want, info, err, dials.Load())
			}
			continue
		}
		if err == nil {
			t.Fatalf("%d baud: found", c.want)
		}
		for _, s := range c.text {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v\nhas no %q", err, s)
			}
		}
	}
}

// An echoLine gives back what is written to it, as a modem does.
type echoLine struct {
	*io.PipeReader
	*io.PipeWriter
}

func (l echoLine) Close() error    { return errors.Join(l.PipeReader.Close(), l.PipeWriter.Close()) }
func (echoLine) SetBaud(int) error { return nil }
func (echoLine) Discard() error    { return nil }
func (l echoLine) Write(b []byte) (int, error) {
	go l.PipeWriter.Write(bytes.Clone(b)) // the pipe holds nothing
	return len(b), nil
}

// Our own questions are no answers.
func TestEcho(t *testing.T) {
	said := make(chan error, 8)
	r, err := Open(Config{Name: "modem", probeWait: 50 * time.Millisecond, OnState: func(_ bool, err error, _ Info) { said <- err },
		Dial: func(context.Context) (Line, error) {
			r, w := io.Pipe()
			return echoLine{r, w}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := <-said; !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "bytes came back and no Spinel frame: 7e 8f 02 01") {
		t.Error(err)
	}
}

// A port that another program takes, or that becomes something else, while its rate is
// probed is a reason to try on.
func TestProbeSpoiled(t *testing.T) {
	link := filepath.Join(t.TempDir(), "ttyACM0")
	silent, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	lead := func(to string) {
		os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	lead(silent.Path)
	failed := make(chan error, 16)
	r, err := Open(Config{Port: serial.Config{Path: link}, probeWait: 50 * time.Millisecond, OnState: func(_ bool, err error, _ Info) {
		select {
		case failed <- err:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The first question at the first rate.
	if _, err := silent.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	lead("/dev/null")
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "not a serial port") {
			t.Error(err)
		}
	case <-time.After(longTime):
		t.Error("nothing is said")
	}
}

func TestTCP(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.radio.Close()
	g.unplug()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var last atomic.Pointer[net.Conn]
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			last.Store(&c)
			g.dongle.Serve(c)
			c.Close()
		}
	}()
	cfg, err := ParseURL("spinel+tcp://" + l.Addr().String() + "?eui64=0200000000000002")
	if err != nil {
		t.Fatal(err)
	}
	if g.radio, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer g.radio.Close()
	if i := g.up(); i.Baud != 0 {
		t.Errorf("%+v", i)
	}
	g.both()
	(*last.Load()).Close()
	g.eventually("connected again", func() bool { return g.radio.DongleStats().Opened == 2 })
	g.both()
}

// A firmware that is no radio is told of; an old one that does not know all of the questions is
// taken for one that can do little.
func TestFirmware(t *testing.T) {
	rcp := map[Property]string{PropProtocolVersion: "0400", PropNCPVersion: "4f4c4400", PropCaps: "05228104", PropHWAddr: "0200000000000003"}
	with := func(p Property, v string) map[Property]string {
		m := maps.Clone(rcp)
		m[p] = v
		return m
	}
	for _, c := range []struct {
		name    string
		answers map[Property]string
		want    string // error; empty: it is up
	}{
		{"Spinel 3.1", with(PropProtocolVersion, "0301"), "speaks Spinel 3.1; want 4"},
		{"NCP", with(PropCaps, "0521"), `firmware "OLD" has no raw MAC mode (capability 34); flash OpenThread RCP`},
		{"RCP without raw frames", with(PropCaps, "0522"), "(capability 513)"},
		{"old RCP", rcp, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := net.Pipe()
			defer b.Close()
			go answerFrom(b, c.answers)
			said := make(chan error, 8)
			var info Info
			r, err := Open(Config{Name: "pipe", Dial: func(context.Context) (Line, error) { return pipeLine{a}, nil },
				OnState: func(up bool, err error, i Info) {
					if up {
						info = i
					}
					said <- err
				}})
			if err != nil {
				t.Fatal(err)
			}
			err = <-said
			r.Close()
			switch {
			case c.want != "":
				if !errors.Is(err, ErrFirmware) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
			case err != nil || info.Caps != 0 || info.API != 0 || info.Version != "OLD" || info.EUI64 != 0x0200000000000003 || len(info.Channels) != 16:
				t.Errorf("%v, %+v", err, info)
			}
		})
	}
}

// answerFrom is a dongle that knows a few properties, echoes what is set but for those of
// source match, and says of all else that there is no such property.
func answerFrom(line net.Conn, answers map[Property]string) {
	var dec Decoder
	buf := make([]byte, 256)
	for {
		n, err := line.Read(buf)
		if err != nil {
			return
		}
		for in := buf[:n]; len(in) > 0; {
			f, k, _ := dec.Next(in)
			in = in[k:]
			if f == nil {
				continue
			}
			q, _ := ParseFrame(f)
			a := Frame{TID: q.TID, Command: CmdIs, Property: q.Property, Value: q.Value}
			known, ok := answers[q.Property]
			switch {
			case q.Command == CmdReset:
				a.Property, a.Value = PropLastStatus, []byte{byte(StatusResetPowerOn)}
			case q.Command == CmdGet && ok:
				a.Value, _ = hex.DecodeString(known)
			case q.Command == CmdGet || q.Property >= PropSrcMatchEnabled:
				a.Property, a.Value = PropLastStatus, []byte{byte(StatusNoProperty)}
			}
			out, _ := a.AppendBinary(nil)
			line.Write(AppendHDLC(nil, out))
		}
	}
}

type pipeLine struct{ net.Conn }

func (pipeLine) SetBaud(int) error { return errors.ErrUnsupported }
func (pipeLine) Discard() error    { return nil }

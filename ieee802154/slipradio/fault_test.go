package slipradio_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/clocktest"
	"border-router/internal/dongle"
)

var faults = flag.Int("faults", 20, "how often each fault is made")

// rounds is how often each fault is made in one run.
func rounds() int { return *faults }

// send sends one frame to the node and returns its status.
func send(t testing.TB, r *slipradio.Radio, seq int) ieee802154.TxStatus {
	t.Helper()
	tx := []ieee802154.TxFrame{{Data: dataFrame(dongleEUI, nodeEUI, uint8(seq), []byte{byte(seq >> 8), byte(seq)})}}
	if err := r.Transmit(tx); err != nil {
		t.Fatal(err)
	}
	return tx[0].Status
}

// drain receives and forgets what the node hears.
func drain(r ieee802154.Radio) {
	go func() {
		rx := make([]ieee802154.RxFrame, 8)
		for {
			if _, err := r.Receive(rx); err != nil {
				return
			}
		}
	}()
}

var dialects = []slipradio.Dialect{slipradio.Slip, slipradio.SerialRadio}

// TestGarbage injects noise between and inside frames; what follows the next END arrives.
func TestGarbage(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect})
			b.plug()
			r := b.open(t, slipradio.Config{Dialect: dialect})
			waitUp(t, r)
			drain(b.node)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range rounds() {
				noise := make([]byte, rng.IntN(700))
				for k := range noise {
					noise[k] = byte(rng.Uint32())
				}
				b.dongle.Inject(noise)
				if s := send(t, r, i); s != ieee802154.TxAcked {
					t.Fatalf("round %d: %v", i, s)
				}
			}
			if d := r.DongleStats(); d.Lost != 0 {
				t.Errorf("noise ended the session: %+v", d)
			}
		})
	}
}

// TestSwallowedReport has the dongle keep the report of each second frame for itself.
func TestSwallowedReport(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			var n atomic.Uint32
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect, Fault: func(uint8) bool { return n.Add(1)%2 == 1 }})
			b.plug()
			r := b.open(t, slipradio.Config{Dialect: dialect, Timeout: 250 * time.Millisecond})
			waitUp(t, r)
			drain(b.node)
			for i := range rounds() {
				clocktest.Undisturbed(t, func() string {
					if s := send(t, r, i); s != ieee802154.TxAcked {
						return fmt.Sprintf("round %d: %v", i, s)
					}
					return ""
				})
			}
			if d := r.DongleStats(); d.Timeouts < uint64(rounds()) || d.Lost != 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestSwallowedAlone has the one frame under way sent again after a quarter of the time that the
// last of a full window has.
func TestSwallowedAlone(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			var n atomic.Uint32
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect, Fault: func(uint8) bool { return n.Add(1) == 1 }})
			b.plug()
			const timeout = 2 * time.Second
			r := b.open(t, slipradio.Config{Dialect: dialect, Timeout: timeout})
			waitUp(t, r)
			drain(b.node)
			begin, w := time.Now(), clocktest.Start(t)
			if s := send(t, r, 1); s != ieee802154.TxAcked {
				t.Fatal(s)
			}
			if took := time.Since(begin); took < timeout/4 || w.Elapsed() > timeout/2 {
				t.Errorf("acknowledged after %v", took)
			}
		})
	}
}

// TestNoReport: the dongle never reports; frames are given up, and nothing is stuck.
func TestNoReport(t *testing.T) {
	b := newBench(t, false, dongle.SlipConfig{Fault: func(uint8) bool { return true }})
	b.plug()
	r := b.open(t, slipradio.Config{Dialect: slipradio.Slip, Timeout: 5 * time.Millisecond})
	waitUp(t, r)
	drain(b.node)
	for i := range 40 { // more than there are ids
		if s := send(t, r, i); s != ieee802154.TxNoAck {
			t.Fatalf("frame %d: %v", i, s)
		}
	}
}

// TestRestart restarts the firmware behind a living line, with and without a word: it has
// its default channel and PAN then, and is set up again.
func TestRestart(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect})
			b.plug()
			r := b.open(t, slipradio.Config{Dialect: dialect, Keepalive: 20 * time.Millisecond})
			waitUp(t, r)
			w := clocktest.Start(t)
			for i := range rounds() {
				b.dongle.Reset()
				if i%2 == 0 {
					b.dongle.Print("Starting Contiki-NG-release/v5.0\n")
				}
				w.Reset()
				for {
					if _, pan := b.dongle.Settings(); pan == testPAN {
						break
					}
					if w.Elapsed() > 2*time.Second {
						t.Fatalf("round %d: not set up again", i)
					}
					time.Sleep(time.Millisecond)
				}
			}
			drain(b.node)
			if s := send(t, r, 1); s != ieee802154.TxAcked {
				t.Errorf("%v", s)
			}
			// The last restarts may not be noticed one by one.
			if d := r.DongleStats(); d.Restarts == 0 || d.Lost != 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestRestartUnderWay: what the radio has forgotten is sent again when the restart is found,
// which its text or its heartbeat tells, and not only when its report is missed.
func TestRestartUnderWay(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			var n atomic.Uint32
			asked := make(chan struct{}, 8)
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect, Fault: func(uint8) bool {
				asked <- struct{}{}
				return n.Add(1) == 1
			}})
			b.plug()
			r := b.open(t, slipradio.Config{Dialect: dialect, Keepalive: time.Hour, Timeout: time.Minute, AckWait: 300 * time.Millisecond})
			waitUp(t, r)
			drain(b.node)
			if dialect == slipradio.SerialRadio {
				b.dongle.Heartbeat(100)
			}
			sent := make(chan ieee802154.TxStatus, 1)
			w := clocktest.Start(t)
			go func() { sent <- send(t, r, 1) }()
			<-asked
			b.dongle.Reset()
			if dialect == slipradio.SerialRadio {
				b.dongle.Heartbeat(1)
			} else {
				b.dongle.Print("Starting Contiki-NG-release/v5.0\n")
			}
			if s := <-sent; s != ieee802154.TxAcked || w.Elapsed() > 5*time.Second {
				t.Errorf("%v after %v", s, w.Elapsed())
			}
			if d := r.DongleStats(); d.Restarts != 1 || d.Resent == 0 || d.Timeouts != 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestSilent: the firmware hangs behind a living line; the line is opened anew until it
// answers.
func TestSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	t.Parallel()
	b := newBench(t, false, dongle.SlipConfig{})
	b.plug()
	reasons := make(chan error, 64)
	r := b.open(t, slipradio.Config{Dialect: slipradio.Slip, Keepalive: 10 * time.Millisecond, Handshake: 100 * time.Millisecond,
		OnState: func(up bool, err error, _ slipradio.Info) {
			if !up {
				reasons <- err
			}
		}})
	waitUp(t, r)
	for len(reasons) > 0 { // of first trials that a busy machine had no time for
		<-reasons
	}
	b.dongle.Mute(true)
	if err := <-reasons; !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
	if err := <-reasons; !strings.Contains(err.Error(), "bit rate") {
		t.Error(err)
	}
	b.dongle.Mute(false)
	waitUp(t, r)
	drain(b.node)
	if s := send(t, r, 1); s != ieee802154.TxAcked {
		t.Error(s)
	}
}

// TestQueueFull sends to a dongle that has room for one frame.
func TestQueueFull(t *testing.T) {
	b := newBench(t, false, dongle.SlipConfig{Queue: 1})
	b.plug()
	r := b.open(t, slipradio.Config{Dialect: slipradio.Slip})
	waitUp(t, r)
	drain(b.node)
	var tx []ieee802154.TxFrame
	for i := range 16 { // to neighbors that are not there, so that the air is busy with retries
		tx = append(tx, ieee802154.TxFrame{Data: dataFrame(dongleEUI, 0x1000+uint64(i), uint8(i), awkward)})
	}
	if err := r.Transmit(tx); err != nil {
		t.Fatal(err)
	}
	for i := range tx {
		if tx[i].Status != ieee802154.TxNoAck && tx[i].Status != ieee802154.TxChannelBusy {
			t.Errorf("frame %d: %v", i, tx[i].Status)
		}
	}
	if r.DongleStats().QueueFull == 0 {
		t.Error("the queue was never full")
	}
}

// TestLifetime: frames do not wait for ever for a radio that is away.
func TestLifetime(t *testing.T) {
	r, err := slipradio.Open(slipradio.Config{Name: "x", Lifetime: 50 * time.Millisecond,
		Dial: func(context.Context) (io.ReadWriteCloser, error) { return nil, os.ErrNotExist }})
	if err != nil {
		t.Fatal(err)
	}
	tx := []ieee802154.TxFrame{{Data: dataFrame(1, 2, 3, nil)}, {Data: nil}}
	if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxSkipped || tx[1].Status != ieee802154.TxTooLong {
		t.Errorf("%v %v %v", err, tx[0].Status, tx[1].Status)
	}
	// Close wakes whoever waits.
	done := make(chan error, 2)
	go func() { _, err := r.Receive(make([]ieee802154.RxFrame, 1)); done <- err }()
	go func() { _, err := r.WaitUp(context.Background()); done <- err }()
	r.Close()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("no error after Close")
		}
	}
}

// TestLeak opens and closes radios, and looks for what is left of them.
func TestLeak(t *testing.T) {
	b := newBench(t, false, dongle.SlipConfig{})
	b.plug()
	files := func() int {
		l, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(l)
	}
	var first, goroutines int
	for i := range rounds() {
		r := b.open(t, slipradio.Config{Dialect: slipradio.Slip})
		waitUp(t, r)
		r.Close()
		if i == 0 {
			first, goroutines = files(), runtime.NumGoroutine()
		}
	}
	if n := files(); n > first+2 {
		t.Errorf("%d descriptors, %d after the first round", n, first)
	}
	if n := runtime.NumGoroutine(); n > goroutines+4 {
		t.Errorf("%d goroutines, %d after the first round", n, goroutines)
	}
}

// TestRefused: a radio that does not take its settings is not used.
func TestRefused(t *testing.T) {
	_, err := slipradio.Open(slipradio.Config{})
	if err == nil {
		t.Error("no line, no error")
	}
	_, err = slipradio.Open(slipradio.Config{Channel: 5, Dial: func(context.Context) (io.ReadWriteCloser, error) { return nil, nil }})
	if err == nil || !strings.Contains(err.Error(), "11 to 26") {
		t.Error(err)
	}
	// An emulated slip-radio whose answers to ?V are those of a radio on channel 11.
	stubborn := &stubborn{}
	stubborn.r, stubborn.w = io.Pipe()
	reasons := make(chan error, 8)
	r, err := slipradio.Open(slipradio.Config{Dialect: slipradio.Slip, Handshake: time.Second,
		Dial:    func(context.Context) (io.ReadWriteCloser, error) { return stubborn, nil },
		OnState: func(_ bool, err error, _ slipradio.Info) { reasons <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := <-reasons; err == nil || !strings.Contains(err.Error(), "does not take channel 26") {
		t.Error(err)
	}
}

// stubborn is a radio that stays on channel 11.
type stubborn struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func (s *stubborn) Read(b []byte) (int, error) { return s.r.Read(b) }

func (s *stubborn) Write(b []byte) (int, error) {
	n := len(b)
	var d slipradio.Decoder
	for len(b) > 0 {
		frame, rest, _ := d.Next(b)
		switch {
		case bytes.Equal(frame, []byte("?M")):
			go s.w.Write(slipradio.AppendFrame(nil, []byte("!M\x00\x12\x4b\x00\x00\x00\x00\x01")))
		case bytes.Equal(frame, []byte("?V\x00\x01")):
			go s.w.Write(slipradio.AppendFrame(nil, []byte("!V\x00\x01\x00\x0b")))
		}
		b = rest
	}
	return n, nil
}

func (s *stubborn) Close() error {
	s.w.Close()
	return errors.Join(s.r.Close())
}

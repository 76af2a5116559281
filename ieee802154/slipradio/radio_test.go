package slipradio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/clocktest"
	"border-router/internal/dongle"
	"border-router/internal/serial"
	"border-router/zep"
)

const (
	dongleEUI = 0x00124b0000000001
	nodeEUI   = 0x00124b0000000002
	testPAN   = 0xbeef
)

// A bench is a node on the air, an emulated dongle, and what the dongle's line is.
type bench struct {
	node   *zep.Radio
	dongle *dongle.Slip
	dial   func(ctx context.Context) (io.ReadWriteCloser, error)
	plug   func() // plugs the dongle in: blocks until it serves
	unplug func()
}

func newAir(t testing.TB) (node, air *zep.Radio) {
	t.Helper()
	node, err := zep.Open(zep.Config{Mode: zep.Hub, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Channel: 26, PAN: testPAN, EUI64: nodeEUI})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	air, err = zep.Open(zep.Config{Mode: zep.Client, Remote: node.LocalAddrs(), Channel: 26, PAN: testPAN, EUI64: dongleEUI,
		AckWait: 30 * time.Millisecond, MaxFrameRetries: 7}) // the node is a process on a machine that may be busy
	if err != nil {
		t.Fatal(err)
	}
	return node, air
}

// newBench returns a bench whose line is a pty, or TCP.
func newBench(t testing.TB, tcp bool, cfg dongle.SlipConfig) *bench {
	t.Helper()
	b := &bench{}
	var air *zep.Radio
	b.node, air = newAir(t)
	cfg.Air, cfg.EUI64 = air, dongleEUI
	b.dongle = dongle.NewSlip(cfg)
	t.Cleanup(func() { b.dongle.Close() })

	var mu sync.Mutex
	var tty string
	var l net.Listener
	var line io.Closer
	var served chan struct{}
	b.plug = func() {
		mu.Lock()
		defer mu.Unlock()
		served = make(chan struct{})
		if tcp {
			addr := "127.0.0.1:0"
			if tty != "" {
				addr = tty
			}
			var err error
			if l, err = net.Listen("tcp", addr); err != nil {
				t.Error(err)
				return
			}
			tty = l.Addr().String()
			go func(l net.Listener, served chan struct{}) {
				defer close(served)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					mu.Lock()
					line = c
					mu.Unlock()
					_ = b.dongle.Serve(c)
					c.Close()
				}
			}(l, served)
			return
		}
		p, err := dongle.OpenPTY()
		if err != nil {
			t.Error(err)
			return
		}
		tty, line = p.Path, p
		go func(served chan struct{}) {
			defer close(served)
			_ = b.dongle.Serve(p)
		}(served)
	}
	b.unplug = func() {
		mu.Lock()
		if l != nil {
			l.Close()
		}
		if line != nil {
			line.Close()
			line = nil
		}
		s := served
		if !tcp {
			tty = ""
		}
		mu.Unlock()
		if s != nil {
			<-s
		}
	}
	b.dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		mu.Lock()
		name := tty
		mu.Unlock()
		switch {
		case name == "":
			return nil, os.ErrNotExist
		case tcp:
			var d net.Dialer
			return d.DialContext(ctx, "tcp", name)
		}
		return serial.Open(serial.Config{Path: name})
	}
	t.Cleanup(b.unplug)
	return b
}

func (b *bench) open(t testing.TB, cfg slipradio.Config) *slipradio.Radio {
	t.Helper()
	cfg.Dial, cfg.Name, cfg.PAN = b.dial, "test", testPAN
	r, err := slipradio.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func waitUp(t testing.TB, r *slipradio.Radio) slipradio.Info {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	info, err := r.WaitUp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// dataFrame returns a data frame from one EUI-64 to another; to 0 is everybody.
func dataFrame(from, to uint64, seq uint8, payload []byte) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, Seq: seq, PANIDCompression: true,
		DstPAN: testPAN, HasDstPAN: true, Src: ieee802154.Extended(from), Payload: payload}
	if to == 0 {
		f.Dst = ieee802154.Short(ieee802154.BroadcastShort)
	} else {
		f.Dst, f.AckRequest = ieee802154.Extended(to), true
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// collect receives n frames.
func collect(t testing.TB, r ieee802154.Radio, n int) [][]byte {
	t.Helper()
	var got [][]byte
	batch := make([]ieee802154.RxFrame, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(got) < n {
			for i := range batch {
				batch[i].Data = make([]byte, 0, ieee802154.MaxFrame)
			}
			k, err := r.Receive(batch)
			if err != nil {
				return
			}
			for i := range batch[:k] {
				got = append(got, batch[i].Data)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		r.Close()
		<-done
		t.Fatalf("received %d frames of %d", len(got), n)
	}
	return got
}

// awkward is a payload in which every byte that SLIP or a parser may stumble over occurs.
var awkward = []byte{0xc0, 0xdb, 0xdc, 0xdd, 0xdb, 0xdb, 0xc0, '!', '?', '\r', '\n', 0, 0xff, '!', 'R', 0, 0}

func TestRadio(t *testing.T) {
	for _, dialect := range []slipradio.Dialect{slipradio.Slip, slipradio.SixLBR, slipradio.SerialRadio} {
		for _, tcp := range []bool{false, true} {
			line := map[bool]string{false: "pty", true: "tcp"}[tcp]
			t.Run(fmt.Sprintf("%v/%s", dialect, line), func(t *testing.T) { testRadio(t, dialect, tcp) })
		}
	}
}

func testRadio(t *testing.T, dialect slipradio.Dialect, tcp bool) {
	b := newBench(t, tcp, dongle.SlipConfig{Dialect: dialect})
	b.plug()
	told := dialect
	if dialect != slipradio.SixLBR { // which is told, the others are found
		told = slipradio.Auto
	}
	r := b.open(t, slipradio.Config{Dialect: told, Timeout: 20 * time.Second})
	info := waitUp(t, r)
	if info.EUI64 != dongleEUI || info.Dialect != dialect {
		t.Fatalf("info %+v", info)
	}
	if ch, pan := b.dongle.Settings(); ch != 26 || pan != testPAN {
		t.Errorf("radio set to channel %d, PAN %04x", ch, pan)
	}

	// To the node: a datagram of several frames, a broadcast, one to nobody with another
	// frame behind that must be skipped, and one too long.
	var sent [][]byte
	for i := range 6 {
		sent = append(sent, dataFrame(dongleEUI, nodeEUI, uint8(i), append(awkward, byte(i))))
	}
	sent = append(sent, dataFrame(dongleEUI, 0, 100, awkward))
	nobody := dataFrame(dongleEUI, 0x00124b00000000ff, 101, awkward)
	var batch []ieee802154.TxFrame
	for i, f := range sent {
		batch = append(batch, ieee802154.TxFrame{Data: f, More: i < 5})
	}
	batch = append(batch, ieee802154.TxFrame{Data: nobody, More: true}, ieee802154.TxFrame{Data: sent[0]},
		ieee802154.TxFrame{Data: make([]byte, 126)})
	if err := r.Transmit(batch); err != nil {
		t.Fatal(err)
	}
	want := []ieee802154.TxStatus{ieee802154.TxAcked, ieee802154.TxAcked, ieee802154.TxAcked, ieee802154.TxAcked, ieee802154.TxAcked,
		ieee802154.TxAcked, ieee802154.TxSent, ieee802154.TxNoAck, ieee802154.TxSkipped, ieee802154.TxTooLong}
	for i := range batch {
		if batch[i].Status != want[i] {
			t.Errorf("frame %d: %v, want %v", i, batch[i].Status, want[i])
		}
	}
	for i, f := range collect(t, b.node, len(sent)) {
		if !bytes.Equal(f, sent[i]) {
			t.Errorf("frame %d arrived as %x, sent %x", i, f, sent[i])
		}
	}

	// From the node, with debug text and noise between.
	b.dongle.Print("[INFO: Main] hello !R ?M\n")
	b.dongle.Inject([]byte{1, 2, 0xdb, 1, 0xc0, 0xc0, 0xc0})
	for i := range 20 {
		f := dataFrame(nodeEUI, dongleEUI, uint8(i), append(awkward, byte(i)))
		tx := []ieee802154.TxFrame{{Data: f}}
		if err := b.node.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxAcked {
			t.Fatalf("node's frame %d: %v %v", i, tx[0].Status, err)
		}
	}
	for i, f := range collect(t, r, 20) {
		if !bytes.Equal(f, dataFrame(nodeEUI, dongleEUI, uint8(i), append(awkward, byte(i)))) {
			t.Errorf("frame %d: %x", i, f)
		}
	}
	s := r.RadioStats()
	var drops uint64
	for _, d := range s.Drops {
		drops += d.Count
	}
	if s.Received != s.Delivered+s.Consumed+drops {
		t.Errorf("frames unaccounted for: %+v", s)
	}
	if d := r.DongleStats(); d.Text == 0 || d.Timeouts != 0 {
		t.Errorf("%+v", d)
	}
	if s.TooLong != 1 || s.Skipped != 1 || s.NoAck != 1 || s.Acked != 6 || s.Sent != 1 {
		t.Errorf("%+v", s)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Receive(make([]ieee802154.RxFrame, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := r.Transmit(batch[:1]); !errors.Is(err, net.ErrClosed) || batch[0].Status != ieee802154.TxClosed {
		t.Errorf("Transmit after Close: %v %v", err, batch[0].Status)
	}
}

// TestLateDongle opens the radio before the dongle is there.
func TestLateDongle(t *testing.T) {
	b := newBench(t, false, dongle.SlipConfig{})
	var mu sync.Mutex
	var states []string
	r := b.open(t, slipradio.Config{OnState: func(up bool, err error, _ slipradio.Info) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, fmt.Sprint(up))
		if err != nil && !strings.Contains(err.Error(), "test") {
			t.Errorf("error does not name the line: %v", err)
		}
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, err := r.WaitUp(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitUp: %v", err)
	}
	b.plug()
	waitUp(t, r)
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(states, " "); got != "false true" && got != "false false true" {
		t.Errorf("states %s", got)
	}
}

// TestUnplug takes the dongle away in the middle of datagrams, again and again: frames are
// sent all the same, once it is back.
func TestUnplug(t *testing.T) {
	rounds := rounds()
	for _, dialect := range []slipradio.Dialect{slipradio.Slip, slipradio.SerialRadio} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false, dongle.SlipConfig{Dialect: dialect})
			b.plug()
			r := b.open(t, slipradio.Config{Dialect: dialect, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
			waitUp(t, r)
			go func() {
				rx := make([]ieee802154.RxFrame, 8)
				for {
					if _, err := b.node.Receive(rx); err != nil {
						return
					}
				}
			}()
			w := clocktest.Start(t)
			for round := range rounds {
				var batch []ieee802154.TxFrame
				for i := range 8 {
					f := dataFrame(dongleEUI, nodeEUI, uint8(8*round+i), append(awkward, byte(i)))
					batch = append(batch, ieee802154.TxFrame{Data: f, More: i < 7})
				}
				done := make(chan error, 1)
				go func() { done <- r.Transmit(batch) }()
				for len(done) == 0 && r.RadioStats().Acked < uint64(8*round+1+round%6) { // in the middle of the datagram
					time.Sleep(50 * time.Microsecond) // polling without a pause would keep the rest from running
				}
				b.unplug()
				b.plug()
				w.Reset()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if d := w.Elapsed(); d > 2*time.Second {
					t.Errorf("round %d: took %v", round, d)
				}
				for i := range batch {
					if batch[i].Status != ieee802154.TxAcked {
						t.Fatalf("round %d, frame %d: %v, %v after the dongle was back; %+v", round, i, batch[i].Status, w.Elapsed(), r.DongleStats())
					}
				}
			}
			if d := r.DongleStats(); d.Lost == 0 || d.Resent == 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

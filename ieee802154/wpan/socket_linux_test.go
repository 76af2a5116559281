package wpan

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/internal/netnstest"
)

// pair returns two radios that hear each other over the loopback interface of a namespace:
// everything but nl802154 is as on a wpan interface.
func pair(t testing.TB) (a, b *Radio) {
	t.Helper()
	ns := netnstest.New(t)
	ns.MustExec("ip", "link", "set", "lo", "up")
	open := func(eui uint64) *Radio {
		r := newRadio(Config{Interface: "lo"})
		var err error
		ns.Do(func() {
			err = r.start(Info{Interface: "lo", Index: 1, EUI64: eui, Short: ieee802154.BroadcastShort, PAN: 0xabcd, Channel: 20}, unix.ETH_P_ALL)
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	return open(1), open(2)
}

func frame(from, to uint64, seq uint8, n int) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, Seq: seq, PANIDCompression: true, AckRequest: true,
		DstPAN: 0xabcd, HasDstPAN: true, Dst: ieee802154.Extended(to), Src: ieee802154.Extended(from), Payload: make([]byte, n)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func rxBatchOf(n int) []ieee802154.RxFrame {
	b := make([]ieee802154.RxFrame, n)
	for i := range b {
		b[i].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	return b
}

func TestRadio(t *testing.T) {
	a, b := pair(t)
	var tx []ieee802154.TxFrame
	for i := range 40 { // more than a batch of the system call
		tx = append(tx, ieee802154.TxFrame{Data: frame(1, 2, uint8(i), i%100)})
	}
	tx[5].Data = make([]byte, 126)
	tx[5].More = true // the next is skipped
	tx = append(tx, ieee802154.TxFrame{Data: frame(1, 3, 200, 5)}, ieee802154.TxFrame{Data: tx[39].Data})
	if err := a.Transmit(tx); err != nil {
		t.Fatal(err)
	}
	for i := range tx {
		want := ieee802154.TxSent
		switch i {
		case 5:
			want = ieee802154.TxTooLong
		case 6:
			want = ieee802154.TxSkipped
		}
		if tx[i].Status != want {
			t.Errorf("frame %d: %v, want %v", i, tx[i].Status, want)
		}
	}
	got := 0
	rx := rxBatchOf(7)
	for got < 38 {
		n, err := b.Receive(rx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rx[:n] {
			k := got
			if k >= 5 {
				k += 2
			}
			if !bytes.Equal(rx[i].Data, tx[k].Data) || rx[i].Channel != 20 || rx[i].RSSI != ieee802154.RSSIUnknown {
				t.Errorf("frame %d: %x, want %x", k, rx[i].Data, tx[k].Data)
			}
			got++
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.Receive(rx)
		done <- err
	}()
	b.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := b.Transmit(tx[:1]); !errors.Is(err, net.ErrClosed) || tx[0].Status != ieee802154.TxClosed {
		t.Errorf("Transmit after Close: %v, %v", err, tx[0].Status)
	}
	s := b.RadioStats()
	var drops uint64
	for _, d := range s.Drops {
		drops += d.Count
	}
	if s.Received != s.Delivered+s.Consumed+drops || s.Delivered != 38 {
		t.Errorf("%+v", s)
	}
	if s := a.RadioStats(); s.Sent != 40 || s.TooLong != 1 || s.Skipped != 1 {
		t.Errorf("%+v", s)
	}
}

// TestDown sends while the interface is down: frames wait for it for their lifetime.
func TestDown(t *testing.T) {
	ns := netnstest.New(t)
	ns.MustExec("ip", "link", "set", "lo", "up")
	r := newRadio(Config{Interface: "lo", Lifetime: 150 * time.Millisecond})
	ns.Do(func() {
		if err := r.start(Info{Interface: "lo", Index: 1, EUI64: 1, PAN: 0xabcd}, unix.ETH_P_ALL); err != nil {
			t.Error(err)
		}
	})
	defer r.Close()
	ns.MustExec("ip", "link", "set", "lo", "down")
	tx := []ieee802154.TxFrame{{Data: frame(1, 2, 1, 9), More: true}, {Data: frame(1, 2, 2, 9)}}
	if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxSkipped || tx[1].Status != ieee802154.TxSkipped {
		t.Errorf("%v %v %v", err, tx[0].Status, tx[1].Status)
	}
	ns.MustExec("ip", "link", "set", "lo", "up")
	if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxSent || tx[1].Status != ieee802154.TxSent {
		t.Errorf("%v %v %v", err, tx[0].Status, tx[1].Status)
	}
}

func TestOpenErrors(t *testing.T) {
	r, err := Open(Config{Interface: "nosuch0"})
	switch {
	case err == nil: // it is waited for
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := r.WaitUp(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "iwpan dev") {
			t.Errorf("%v does not say what to do", err)
		}
	case errors.Is(err, ErrNoKernel):
		if !strings.Contains(err.Error(), "modprobe") {
			t.Error(err)
		}
	case errors.Is(err, ErrPrivilege):
	case !strings.Contains(err.Error(), "iwpan dev"):
		t.Errorf("%v does not say what to do", err)
	}
	if err := explain(unix.EPERM); !errors.Is(err, ErrPrivilege) || !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
}

func TestAllocs(t *testing.T) {
	a, b := pair(t)
	var frames [256][]byte
	for i := range frames {
		frames[i] = frame(1, 2, uint8(i), 100)
	}
	rx := rxBatchOf(8)
	tx := make([]ieee802154.TxFrame, 4)
	seq := 0
	if n := testing.AllocsPerRun(100, func() {
		for i := range tx {
			tx[i].Data = frames[seq%256]
			seq++
		}
		if err := a.Transmit(tx); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(tx); {
			n, err := b.Receive(rx)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations for 4 frames sent and received", n)
	}
}

func BenchmarkRadio(b *testing.B) {
	x, y := pair(b)
	var frames [256][]byte
	for i := range frames {
		frames[i] = frame(1, 2, uint8(i), 100)
	}
	rx := rxBatchOf(16)
	tx := make([]ieee802154.TxFrame, 8)
	b.SetBytes(int64(len(tx) * len(frames[0])))
	b.ReportAllocs()
	seq := 0
	for b.Loop() {
		for i := range tx {
			tx[i].Data = frames[seq%256]
			seq++
		}
		if err := x.Transmit(tx); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < len(tx); {
			n, err := y.Receive(rx)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(8*b.N), "ns/frame")
}

package slipradio_test

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/dongle"
	"border-router/internal/serial"
)

// cpu returns the time that the processor has worked for this process.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rate reports what a frame took; the other end of the line is in it.
func rate(b *testing.B, frames int, cpuBefore time.Duration) {
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64((cpu(b)-cpuBefore).Microseconds())/float64(frames), "cpu-us/frame")
}

// A quick is a slip-radio on a pseudo-terminal that answers each command at once, and
// allocates nothing for it.
type quick struct{ io.ReadWriter }

func (q *quick) serve() {
	var dec slipradio.Decoder
	in, out, body := make([]byte, 4096), make([]byte, 0, 1024), make([]byte, 0, 64)
	for {
		n, err := q.Read(in)
		if err != nil {
			return
		}
		out = out[:0]
		for b := in[:n]; b != nil; {
			var frame []byte
			frame, b, _ = dec.Next(b)
			body = body[:0]
			switch {
			case len(frame) < 2:
			case frame[0] == '?' && frame[1] == 'M':
				body = append(body, "!M\x00\x12\x4b\x00\x00\x00\x00\x01"...)
			case frame[0] == '!' && frame[1] == 'S':
				body = append(body, '!', 'R', frame[2], 0, 1)
			}
			if len(body) > 0 {
				out = slipradio.AppendFrame(out, body)
			}
		}
		if len(out) > 0 {
			if _, err := q.Write(out); err != nil {
				return
			}
		}
	}
}

// onLine returns a radio on one end of a pseudo-terminal, and the other end.
func onLine(t testing.TB, d slipradio.Dialect, serve bool) (*slipradio.Radio, io.Writer) {
	master, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if serve {
			(&quick{master}).serve()
		}
	}()
	r, err := slipradio.Open(slipradio.Config{Dialect: d, Baud: 460800, Handshake: time.Hour, Keepalive: time.Hour,
		Dial: func(context.Context) (io.ReadWriteCloser, error) {
			return serial.Open(serial.Config{Path: master.Path})
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		master.Close()
		<-done
	})
	if !serve {
		// The first question; what the line held before is forgotten by then.
		if _, err := master.Read(make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
		return r, master
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := r.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	return r, master
}

// Frames a second from the line to Receive, over a pseudo-terminal, 16 in a write.
func BenchmarkReceive(b *testing.B) {
	for _, d := range []slipradio.Dialect{slipradio.Slip, slipradio.SerialRadio} {
		b.Run(d.String(), func(b *testing.B) {
			const batch = 16
			r, line := onLine(b, d, false)
			var writes [256 / batch][]byte
			for i := range writes {
				for k := range batch {
					writes[i] = append(writes[i], slipradio.Stream(d, uint8(i*batch+k))...)
				}
			}
			rx := make([]ieee802154.RxFrame, batch)
			for i := range rx {
				rx[i].Data = make([]byte, 0, ieee802154.MaxFrame)
			}
			r.SetOwn(1, 0xabcd)
			b.SetBytes(int64(len(writes[0])))
			b.ReportAllocs()
			frames, before := 0, cpu(b)
			for b.Loop() {
				if _, err := line.Write(writes[frames/batch%len(writes)]); err != nil {
					b.Fatal(err)
				}
				for n := 0; n < batch; {
					k, err := r.Receive(rx)
					if err != nil {
						b.Fatal(err)
					}
					n += k
				}
				frames += batch
			}
			rate(b, frames, before)
		})
	}
}

func transmitFrame(t testing.TB) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, AckRequest: true, PANIDCompression: true, DstPAN: 0xabcd, HasDstPAN: true,
		Dst: ieee802154.Extended(1), Src: ieee802154.Extended(2), Payload: make([]byte, 90)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTransmitAllocs(t *testing.T) {
	r, _ := onLine(t, slipradio.Slip, true)
	tx := []ieee802154.TxFrame{{Data: transmitFrame(t)}}
	if n := testing.AllocsPerRun(200, func() {
		if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxAcked {
			t.Fatal(err, tx[0].Status)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// Frames a second through the driver to a radio that answers at once, over a pseudo-terminal:
// one at a time, and a datagram of 8 after the other as the adaptation layer gives them.
func BenchmarkTransmit(b *testing.B) {
	for name, n := range map[string]int{"one": 1, "eight": 8} {
		b.Run(name, func(b *testing.B) {
			r, _ := onLine(b, slipradio.Slip, true)
			tx := make([]ieee802154.TxFrame, n)
			for i := range tx {
				tx[i] = ieee802154.TxFrame{Data: transmitFrame(b), More: i < n-1}
			}
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				if err := r.Transmit(tx); err != nil || !tx[n-1].Status.OK() {
					b.Fatal(err, tx[n-1].Status)
				}
			}
			rate(b, n*b.N, before)
		})
	}
}

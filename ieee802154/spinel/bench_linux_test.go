package spinel

import (
	"syscall"
	"testing"
	"time"

	"border-router/ieee802154"
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

// report reports what a frame took; the other end of the line is in it.
func report(b *testing.B, frames int, cpuBefore time.Duration) {
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64((cpu(b)-cpuBefore).Microseconds())/float64(frames), "cpu-us/frame")
}

// Frames a second from the line to Receive, over a pseudo-terminal, 16 in a write.
func BenchmarkReceive(b *testing.B) {
	g := newRig(b, dongle.SpinelConfig{}, Config{})
	g.up()
	g.unplug()
	p, err := dongle.OpenPTY()
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	line := received(b)
	var many []byte
	const batch = 16
	for range batch {
		many = append(many, line...)
	}
	port, err := serial.Open(serial.Config{Path: p.Path})
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(port, g.radio)
	defer s.close()
	rx := make([]ieee802154.RxFrame, batch)
	for i := range rx {
		rx[i].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	b.SetBytes(batch * int64(len(line)))
	b.ReportAllocs()
	frames, before := 0, cpu(b)
	for b.Loop() {
		if _, err := p.Write(many); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < batch; {
			k, err := g.radio.Receive(rx)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
		frames += batch
	}
	report(b, frames, before)
}

// transmitter returns a radio whose dongle, on a pseudo-terminal, answers each transmission
// at once with the acknowledgment of the frame, and allocates nothing for it.
func transmitter(t testing.TB) *Radio {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.unplug()
	p, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	port, err := serial.Open(serial.Config{Path: p.Path})
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(port, g.radio)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var dec Decoder
		in, body, out := make([]byte, 4096), make([]byte, 0, 256), make([]byte, 0, 512)
		for {
			n, err := p.Read(in)
			if err != nil {
				return
			}
			for b := in[:n]; len(b) > 0; {
				frame, k, _ := dec.Next(b)
				b = b[k:]
				if f, err := ParseFrame(frame); frame == nil || err != nil || f.Property != PropStreamRaw {
					continue
				}
				// OK, no frame pending, header not updated, an acknowledgment.
				body = append(body[:0], frame[0], byte(CmdIs), byte(PropLastStatus), 0, 0, 0, 5, 0, 2, 0, 7, 0, 0, 0xc4, 0x80)
				out = AppendHDLC(out[:0], body)
				if _, err := p.Write(out); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		s.close()
		p.Close()
		<-done
	})
	away := func() bool {
		g.radio.mu.Lock()
		defer g.radio.mu.Unlock()
		return g.radio.s == nil && g.radio.dongle.Lost > 0
	}
	for begin := time.Now(); !away(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("the dongle is pulled out and not lost")
		}
	}
	g.radio.mu.Lock()
	g.radio.s = s
	g.radio.mu.Unlock()
	return g.radio
}

func transmitFrame(t testing.TB) []ieee802154.TxFrame {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, AckRequest: true, PANIDCompression: true, DstPAN: 0x23, HasDstPAN: true,
		Dst: ieee802154.Extended(1), Src: ieee802154.Extended(2), Payload: make([]byte, 90)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return []ieee802154.TxFrame{{Data: b}}
}

func TestTransmitAllocs(t *testing.T) {
	r, tx := transmitter(t), transmitFrame(t)
	if n := testing.AllocsPerRun(200, func() {
		if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxAcked {
			t.Fatal(err, tx[0].Status)
		}
	}); n >= 1 { // the supervisor looks for the dongle meanwhile, now and then
		t.Errorf("%v allocations a frame", n)
	}
}

// Frames a second through the driver to a dongle that answers at once, over a pseudo-terminal.
func BenchmarkTransmit(b *testing.B) {
	r, tx := transmitter(b), transmitFrame(b)
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if err := r.Transmit(tx); err != nil || !tx[0].Status.OK() {
			b.Fatal(err, tx[0].Status)
		}
	}
	report(b, b.N, before)
}

// Frames a second to the node on the other side of an emulated dongle, acknowledged.
func BenchmarkExchange(b *testing.B) {
	g := newRig(b, dongle.SpinelConfig{}, Config{})
	g.up()
	go func() {
		rx := make([]ieee802154.RxFrame, 16)
		for i := range rx {
			rx[i].Data = make([]byte, 0, ieee802154.MaxFrame)
		}
		for {
			if _, err := g.node.Receive(rx); err != nil {
				return
			}
		}
	}()
	tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, string(make([]byte, 90)))}}
	before := cpu(b)
	for b.Loop() {
		tx[0].Data[2]++
		if err := g.radio.Transmit(tx); err != nil || !tx[0].Status.OK() {
			b.Fatal(err, tx[0].Status)
		}
	}
	report(b, b.N, before)
}

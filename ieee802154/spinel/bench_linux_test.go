package spinel

import (
	"testing"

	"border-router/ieee802154"
	"border-router/internal/dongle"
	"border-router/internal/serial"
)

// Frames a second from the line to Receive, over a pseudo-terminal.
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
	frames := 0
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
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
}

// Frames a second to the node on the other side of an emulated dongle, acknowledged.
func BenchmarkTransmit(b *testing.B) {
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
	b.ReportAllocs()
	for b.Loop() {
		tx[0].Data[2]++
		if err := g.radio.Transmit(tx); err != nil || !tx[0].Status.OK() {
			b.Fatal(err, tx[0].Status)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

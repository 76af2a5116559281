package zep

import (
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
)

// BenchmarkAckLatency measures from the send call of a node to its read of the
// acknowledgment, over loopback sockets.
func BenchmarkAckLatency(b *testing.B) {
	hub := openHub(b, nil)
	s := newStation(b, hub)
	go func() {
		batch := make([]ieee802154.RxFrame, 32)
		for {
			if _, err := hub.Receive(batch); err != nil {
				return
			}
		}
	}()
	frame := dataFrame(0, DefaultPAN, nodeA, routerEUI, strings.Repeat("x", 90))
	buf := make([]byte, 256)
	var took []time.Duration
	seq := uint8(0)
	for b.Loop() {
		seq++
		frame[2] = seq
		d, _ := riot(26).AppendBinary(nil, ieee802154.AppendFCS(frame[:len(frame):len(frame)]))
		start := time.Now()
		for try := 0; ; try++ { // as a node does: a frame that found the queue full is sent again
			if _, err := s.Write(d); err != nil {
				b.Fatal(err)
			}
			s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := s.Read(buf); err == nil {
				break
			} else if try == 4 {
				b.Fatalf("no acknowledgment of %d: %v; %+v", len(took), err, hub.RadioStats())
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkTransmitBatch sends 32 broadcast frames to one peer in one system call.
func BenchmarkTransmitBatch(b *testing.B) {
	hub := openHub(b, nil)
	s := newStation(b, hub)
	s.send(riot(26), dataFrame(1, DefaultPAN, nodeA, 0, "x"))
	recv(b, hub)
	frame := dataFrame(0, DefaultPAN, routerEUI, 0, strings.Repeat("x", 90))
	batch := make([]ieee802154.TxFrame, 32)
	for i := range batch {
		batch[i].Data = frame
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := hub.Transmit(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/frame")
}

// BenchmarkInput is a frame's way from the datagram to the ring and its acknowledgment,
// without system calls.
func BenchmarkInput(b *testing.B) {
	hub := openHub(b, nil)
	from := hub.LocalAddrs()[0]
	frame := dataFrame(0, DefaultPAN, nodeA, routerEUI, strings.Repeat("x", 90))
	var dgrams [256][]byte
	for i := range dgrams {
		frame[2] = uint8(i)
		dgrams[i], _ = riot(26).AppendBinary(nil, ieee802154.AppendFCS(slices.Clone(frame)))
	}
	acks, fwd := newOutq(hub), newOutq(hub)
	i := 0
	b.ReportAllocs()
	b.SetBytes(int64(len(dgrams[0])))
	now := time.Now()
	for b.Loop() {
		i++
		hub.input(now, hub.socks[0], from, dgrams[i&255], acks, fwd)
		acks.n, acks.nbuf, hub.ringLen = 0, 0, 0
	}
}

func TestInputAllocs(t *testing.T) {
	hub := openHub(t, nil)
	a, b := newStation(t, hub), newStation(t, hub)
	a.send(riot(26), dataFrame(1, DefaultPAN, nodeA, 0, "x"))
	b.send(riot(26), dataFrame(1, DefaultPAN, nodeB, 0, "x"))
	recv(t, hub)
	recv(t, hub)
	up, _ := riot(26).AppendBinary(nil, ieee802154.AppendFCS(dataFrame(0, DefaultPAN, nodeA, routerEUI, "up")))
	across, _ := riot(26).AppendBinary(nil, ieee802154.AppendFCS(dataFrame(0, DefaultPAN, nodeA, nodeB, "across")))
	acks, fwd := newOutq(hub), newOutq(hub)
	now := time.Now()
	if n := testing.AllocsPerRun(200, func() {
		hub.mu.Lock()
		hub.input(now, hub.socks[0], a.addr(), up, acks, fwd)
		hub.input(now, hub.socks[0], a.addr(), across, acks, fwd)
		hub.input(now, hub.socks[0], a.addr(), across[:40], acks, fwd)
		hub.ringLen = 0
		hub.mu.Unlock()
		acks.flush()
		fwd.flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	batch := []ieee802154.TxFrame{{Data: dataFrame(1, DefaultPAN, routerEUI, 0, "x")}, {Data: dataFrame(2, DefaultPAN, routerEUI, 0, "y")}}
	if n := testing.AllocsPerRun(100, func() { hub.Transmit(batch) }); n != 0 {
		t.Errorf("%v allocations to transmit", n)
	}
}

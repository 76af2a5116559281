package lowpan

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// benchLink returns a sender, a receiver that only counts, and a UDP packet of size bytes
// from a node of the mesh to somewhere behind the router, with the mesh prefix as context.
func benchLink(tb testing.TB, size int) (a, b *Interface, p ipv6.Packet, packets *int) {
	tb.Helper()
	packets = new(int)
	a = NewInterface(InterfaceConfig{EUI64: euiA, PAN: pan, Assume: RegisteredPeer, LinkStatus: func(time.Time, ipv6.LinkAddr, bool) {}})
	b = NewInterface(InterfaceConfig{EUI64: euiB, PAN: pan, Deliver: func(time.Time, ipv6.Packet, ipv6.Meta) { *packets++ }})
	mesh := netip.MustParsePrefix("fd00:1:2:3::/64")
	for _, i := range []*Interface{a, b} {
		i.SetContext(0, Context{Prefix: mesh, Compress: true})
	}
	src := netip.AddrPortFrom(ipv6.WithIID(mesh, ipv6.EUI64(euiA).IID()), 5683)
	dst := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1234"), 40000)
	if size > 1000 { // between nodes: one fragment less
		dst = netip.AddrPortFrom(ipv6.WithIID(mesh, ipv6.EUI64(euiB).IID()), 40000)
	}
	return a, b, ipv6.Packet(ipv6.AppendUDP(nil, src, dst, 64, make([]byte, size-48))), packets
}

func benchBatch() []ieee802154.TxFrame {
	tx := make([]ieee802154.TxFrame, 32)
	for k := range tx {
		tx[k].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	return tx
}

// out sends p and returns the frames.
func out(tb testing.TB, i *Interface, now time.Time, p ipv6.Packet, dst ipv6.LinkAddr, tx []ieee802154.TxFrame) []ieee802154.TxFrame {
	if err := i.Output(now, p, dst); err != nil {
		tb.Fatal(err)
	}
	n := i.Next(now, tx)
	for k := range tx[:n] {
		tx[k].Status = ieee802154.TxAcked
	}
	i.Done(now, tx[:n])
	return tx[:n]
}

func benchIn(b *testing.B, size, frames int) {
	s, r, p, packets := benchLink(b, size)
	now := time.Now()
	tx := out(b, s, now, p, ipv6.EUI64(euiB), benchBatch())
	if len(tx) != frames {
		b.Fatalf("%d frames", len(tx))
	}
	rx := make([]ieee802154.RxFrame, len(tx))
	for k := range rx {
		rx[k] = ieee802154.RxFrame{Data: tx[k].Data, RSSI: -60, LQI: 200}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for k := range rx {
			r.Input(now, &rx[k])
		}
		n++
	}
	if *packets != n {
		b.Fatalf("%d packets of %d", *packets, n)
	}
}

func benchOut(b *testing.B, size, frames int) {
	s, _, p, _ := benchLink(b, size)
	now := time.Now()
	tx := benchBatch()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if f := out(b, s, now, p, ipv6.EUI64(euiB), tx); len(f) != frames {
			b.Fatalf("%d frames", len(f))
		}
	}
}

// A whole frame to a packet, and a packet to a frame: MAC header, IPHC, NHC, 32 bytes.
func BenchmarkFrameIn(b *testing.B)  { benchIn(b, 80, 1) }
func BenchmarkFrameOut(b *testing.B) { benchOut(b, 80, 1) }

// 13 frames to a packet of 1280 bytes, and back.
func BenchmarkFragmentsIn(b *testing.B)  { benchIn(b, 1280, 13) }
func BenchmarkFragmentsOut(b *testing.B) { benchOut(b, 1280, 13) }

// A queue of small packets to many neighbours, a batch at a time.
func BenchmarkFrameOutBatch(b *testing.B) {
	s, _, p, _ := benchLink(b, 80)
	now := time.Now()
	tx := benchBatch()
	b.ReportAllocs()
	for b.Loop() {
		for k := range uint64(32) {
			s.Output(now, p, ipv6.EUI64(euiB+k))
		}
		n := s.Next(now, tx)
		for k := range tx[:n] {
			tx[k].Status = ieee802154.TxAcked
		}
		s.Done(now, tx[:n])
	}
}

func TestInterfaceAllocs(t *testing.T) {
	a, b, p, packets := benchLink(t, 1280)
	now := time.Now()
	tx := benchBatch()
	bad := ieee802154.RxFrame{Data: []byte{0x41, 0xd8, 0}}
	dst := ipv6.EUI64(euiB)
	if n := testing.AllocsPerRun(200, func() {
		for _, f := range out(t, a, now, p, dst, tx) {
			b.Input(now, &ieee802154.RxFrame{Data: f.Data})
		}
		for range 80 { // more than the queue takes
			a.Output(now, p[:48], dst)
		}
		n := a.Next(now, tx)
		for k := range tx[:n] {
			tx[k].Status = ieee802154.TxNoAck
		}
		a.Done(now, tx[:n])
		a.Next(now, nil)
		b.Input(now, &bad)
		now = now.Add(time.Second)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if *packets == 0 || a.Stats().TxDrops[DropQueueFull] == 0 || a.Stats().TxDrops[DropNoAck] == 0 {
		t.Errorf("%d packets, %+v", *packets, a.Stats())
	}
	// What is left does not fit the first run.
	checkInterface(t, a)
	checkInterface(t, b)
}

package lowpan

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// FuzzInterfaceInput gives an Interface any frames. It does not panic, what it delivers is
// IPv6, every frame is counted once, and memory stays within the limits.
func FuzzInterfaceInput(f *testing.F) {
	join := func(frames ...[]byte) (b []byte) {
		for _, x := range frames {
			b = append(append(b, byte(len(x))), x...)
		}
		return b
	}
	var c Contexts
	l := linkTo(euiB, ipv6.EUI64(euiA))
	var frags [][]byte
	for _, b := range fragment(f, &c, testUDP(l, 300), l, 104, 7, CompressOptions{}) {
		frags = append(frags, dataFrame(nil, b...))
	}
	f.Add(join(dataFrame(nil, udpPayload(f)...)))
	f.Add(join(frags...))
	f.Add(join(frags[2], frags[1], frags[1], frags[0]))
	f.Add(join(dataFrame(nil, 0xb1, 0, 7, 0, 0xa, 0x50, 1, 0x7e, 0x77), []byte{2, 0, 1}, []byte{0x41, 0x98}))
	var recov [][]byte
	for _, b := range rfrags(f, testUDP(l, 300), l, 98, 7) {
		recov = append(recov, dataFrame(nil, b...))
	}
	f.Add(join(recov...))
	f.Add(join(recov[1], recov[1], recov[0], dataFrame(nil, 0xe8, 7, 0x80, 0, 0, 0), dataFrame(nil, 0xea, 7, 0, 0, 0, 0)))
	f.Add(join(dataFrame(nil, 0x7e, 0x33, 0xb1, 2, 0x1e, 4, 0x82, 0x90, 0xdf, 2, 0x80, 0, 0x86)))
	f.Add(join(dataFrame(nil, 0xf1, 0x82, 5, 0x12, 0x34, 0xa1, 6, 64, 0x7a, 0x33, 0x3a, 1, 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{Reassemblies: 3, ReassembliesPerSource: 2}
		i := NewInterface(InterfaceConfig{EUI64: euiA, Short: 0xa, PAN: pan, Limits: limits, GHC: true,
			Deliver: func(_ time.Time, p ipv6.Packet, m ipv6.Meta) {
				if q, err := ipv6.Parse(p); err != nil || len(q) != len(p) {
					t.Fatalf("delivered %x: %v", []byte(p), err)
				}
				if m.LinkSrc.IsZero() || m.LinkDst.IsZero() {
					t.Fatalf("delivered with %+v", m)
				}
				clear(p) // it is ours
			}})
		i.SetContext(0, Context{Prefix: netip.MustParsePrefix("fd00:1:2:3::/64"), Compress: true})
		i.SetContext(3, Context{Prefix: netip.MustParsePrefix("2001:db8::/32")})
		i.Contexts().Root = netip.MustParseAddr("fd00:1:2:3::1")
		now := time.Unix(100, 0)
		for len(b) > 0 {
			n := min(1+int(b[0]), len(b))
			i.Input(now, &ieee802154.RxFrame{Data: b[1:n]})
			b = b[n:]
			now = now.Add(10 * time.Second)
			if d := i.Deadline(); !d.IsZero() && !d.After(now) {
				i.Advance(now)
			}
			checkInterface(t, i)
			if s := i.Stats(); s.ReassembledBytes > 3*bufLen {
				t.Fatalf("%d bytes of buffers", s.ReassembledBytes)
			}
		}
	})
}

// FuzzInterface drives both directions of a link with a radio that fails as the input
// says: packets to several neighbours, batches of any size, any status, loss and time. At
// any time the counters add up, and what arrives is what was sent, in order for each
// neighbour.
func FuzzInterface(f *testing.F) {
	f.Add([]byte{0x00, 0x05, 0x40, 0x80, 0x83, 0x10, 0xc0})
	f.Add(bytes.Repeat([]byte{0x3f, 0x01, 0x42, 0x91, 0x85, 0xc3}, 40))
	f.Add(bytes.Repeat([]byte{0x1f}, 100))
	f.Fuzz(func(t *testing.T, ops []byte) {
		limits := Limits{QueueDatagrams: 12, QueuePerNeighbor: 5, Reassemblies: 4}
		a := newStation(InterfaceConfig{EUI64: euiA, Limits: limits})
		dsts := [4]ipv6.LinkAddr{ipv6.EUI64(euiB), ipv6.Short(shortB), ipv6.BroadcastShort, ipv6.EUI64(0xc)}
		b := newStation(InterfaceConfig{EUI64: euiB, Short: shortB, Limits: limits})
		now := time.Unix(100, 0)
		var seq, last [8]uint32 // of a destination and a source
		sent := map[[2]uint32]ipv6.Packet{}
		pull := func(n int, status ieee802154.TxStatus, at int) {
			n = a.Next(now, a.tx[:n])
			failed := false
			for k := range a.tx[:n] {
				x := &a.tx[k]
				switch x.Status = ieee802154.TxAcked; {
				case failed:
					x.Status = ieee802154.TxSkipped
				case k == at:
					x.Status = status
					failed = !status.OK()
				default:
					b.Input(now, &ieee802154.RxFrame{Data: x.Data})
				}
				failed = failed && x.More
			}
			a.Done(now, a.tx[:n])
			checkInterface(t, a.Interface)
			checkInterface(t, b.Interface)
			for _, p := range b.got {
				k := [2]uint32{uint32(p.HopLimit()), p.FlowLabel()}
				if !bytes.Equal(p, sent[k]) {
					t.Fatalf("got %x\nwant %x", []byte(p), []byte(sent[k]))
				}
				if k[1] <= last[k[0]] {
					t.Fatalf("to %v: number %d after %d", dsts[k[0]&3], k[1], last[k[0]])
				}
				last[k[0]] = k[1]
			}
			b.got, b.meta = b.got[:0], b.meta[:0]
		}
		for _, op := range ops {
			arg := int(op & 15)
			switch op >> 6 {
			case 0: // a packet; hop limit and flow label say for whom, of whom, and which
				d, f := dsts[arg&3], arg&7
				p := testUDP(linkTo(euiA+uint64(f>>2), d), 48+(int(op)&63)*19)
				seq[f]++
				p.SetHopLimit(byte(f))
				p[2], p[3] = byte(seq[f]>>8), byte(seq[f])
				if err := a.Output(now, p, d); err != nil {
					t.Fatal(err)
				}
				sent[[2]uint32{uint32(f), seq[f]}] = p
				checkInterface(t, a.Interface)
			case 1: // a batch, all well but what is lost
				pull(arg+1, ieee802154.TxSent, int(op>>4&3)*5)
			case 2: // a batch in which one fails
				pull(arg+1, ieee802154.TxStatus(op>>4&3+3), arg/2)
			case 3:
				now = now.Add(time.Duration(arg*arg) * 100 * time.Millisecond)
				b.Advance(now)
			}
		}
		for a.q.total > 0 {
			pull(MaxBatch, ieee802154.TxAcked, -1)
		}
		b.Advance(now.Add(time.Minute))
		if s := b.Stats(); s.FramesHeld != 0 || a.current != nil {
			t.Fatalf("held after the timeout: %+v", s)
		}
	})
}

// FuzzRecovery sends datagrams both ways over a link that loses, repeats and delays frames,
// loses statuses, and meets congestion, as the input says, with recoverable fragments. At any
// time the counters add up, what arrives is what was sent, and in the end nothing is held.
// No datagram arrives twice unless frames were held back for longer than they are remembered.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{0xff, 0x00, 0x41, 0x82, 0xc3, 0x10})
	f.Add(bytes.Repeat([]byte{0x3f, 0x47, 0x52, 0x9a, 0x66, 0xc1}, 30))
	f.Add(bytes.Repeat([]byte{0x07, 0x48, 0xc8}, 60))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 2000 {
			return
		}
		limits := Limits{QueueDatagrams: 12, QueuePerNeighbor: 5, Reassemblies: 4, Recoveries: 2}
		cfg := RecoveryConfig{All: true, OptWindow: 3, FragRetries: 3}
		a := newStation(InterfaceConfig{EUI64: euiA, Limits: limits, Recovery: cfg})
		b := newStation(InterfaceConfig{EUI64: euiB, Short: shortB, Limits: limits, Recovery: cfg})
		now := time.Unix(100, 0)
		seq := 0
		sent := map[uint32]ipv6.Packet{}
		var late []byte
		move := func(from, to *station, n int, how byte) {
			n = from.Next(now, from.tx[:n])
			for k := range from.tx[:n] {
				x := &from.tx[k]
				x.Status = ieee802154.TxAcked
				frame := bytes.Clone(x.Data)
				switch (how + byte(k)) % 8 {
				case 0:
					continue
				case 1:
					to.Input(now, &ieee802154.RxFrame{Data: bytes.Clone(frame)})
				case 2:
					x.Status = ieee802154.TxNoAck
				case 3:
					late, frame = frame, late
				case 4:
					frame[len(frame)-1] ^= how >> 5 << 5 & 0x20
				}
				if frame != nil {
					to.Input(now, &ieee802154.RxFrame{Data: frame})
				}
				checkInterface(t, to.Interface)
			}
			from.Done(now, from.tx[:n])
			checkInterface(t, from.Interface)
		}
		for _, op := range ops {
			switch op >> 6 {
			case 0:
				dst := [2]ipv6.LinkAddr{ipv6.EUI64(euiB), ipv6.Short(shortB)}[op&1]
				p := testUDP(linkTo(euiA, dst), 48+int(op>>1)*38)
				seq++
				p[1], p[2], p[3] = 0, byte(seq>>8), byte(seq)
				if err := a.Output(now, p, dst); err != nil {
					t.Fatal(err)
				}
				sent[p.FlowLabel()] = p
				if op&2 != 0 {
					q := testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 48+int(op>>1)*38)
					b.Output(now, q, ipv6.EUI64(euiA))
				}
			case 1:
				move(a, b, 1+int(op&7), op)
			case 2:
				move(b, a, 1+int(op&7), op)
			case 3:
				now = now.Add(time.Duration(op&63) * 50 * time.Millisecond)
				a.Advance(now)
				b.Advance(now)
				checkInterface(t, a.Interface)
				checkInterface(t, b.Interface)
			}
			for _, p := range b.got {
				if want := sent[p.FlowLabel()]; len(p) != len(want) {
					t.Fatalf("got %x\nwant %x", []byte(p), []byte(want))
				}
			}
			b.got, b.meta, a.got, a.meta = nil, nil, nil, nil
		}
		for steps := 0; a.q.total+b.q.total > 0; steps++ {
			if steps > 10_000 {
				t.Fatalf("no end: %+v, %+v", a.Stats(), b.Stats())
			}
			move(a, b, 8, 5)
			move(b, a, 8, 5)
			for _, s := range []*station{a, b} {
				if d := s.rec.deadline(); !d.IsZero() && d.After(now) {
					now = d
				}
			}
			a.Advance(now)
			b.Advance(now)
		}
		for range 2 {
			now = now.Add(time.Minute)
			a.Advance(now)
			b.Advance(now)
			checkInterface(t, a.Interface)
			checkInterface(t, b.Interface)
		}
		for _, s := range []*station{a, b} {
			if st := s.Stats(); st.FramesHeld != 0 || len(s.rec.active) != 0 || s.rec.readyHead != nil || s.rec.plain != nil || !s.reasm.Deadline().IsZero() {
				t.Fatalf("not at rest: %+v", st)
			}
		}
	})
}

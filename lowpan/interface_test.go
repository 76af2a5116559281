package lowpan

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

const (
	euiA   = 0x0212_7400_0000_000a
	euiB   = 0x0212_7400_0000_000b
	shortB = 0x000b
	pan    = 0x0023
)

// A station is an Interface with what it delivered and was told.
type station struct {
	*Interface
	got    []ipv6.Packet
	meta   []ipv6.Meta
	status []bool
	wakes  int
	tx     [MaxBatch]ieee802154.TxFrame
}

func newStation(cfg InterfaceConfig) *station {
	s := &station{}
	if cfg.Name == "" {
		cfg.Name = "wpan-test"
	}
	if cfg.PAN == 0 {
		cfg.PAN = pan
	}
	cfg.Deliver = func(_ time.Time, p ipv6.Packet, m ipv6.Meta) {
		s.got = append(s.got, bytes.Clone(p))
		s.meta = append(s.meta, m)
	}
	cfg.LinkStatus = func(_ time.Time, _ ipv6.LinkAddr, ok bool) { s.status = append(s.status, ok) }
	cfg.Wake = func() { s.wakes++ }
	s.Interface = NewInterface(cfg)
	for k := range s.tx {
		s.tx[k].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	return s
}

// frames takes every frame that waits, as a radio that answers each with status.
func (s *station) frames(t testing.TB, now time.Time, status ieee802154.TxStatus) (out [][]byte) {
	t.Helper()
	for {
		n := s.Next(now, s.tx[:8])
		if n == 0 {
			return out
		}
		for k := range s.tx[:n] {
			s.tx[k].Status, s.tx[k].Attempts = status, 1
			out = append(out, bytes.Clone(s.tx[k].Data))
		}
		s.Done(now, s.tx[:n])
		checkInterface(t, s.Interface)
	}
}

func (s *station) input(t testing.TB, now time.Time, frames ...[]byte) {
	t.Helper()
	for _, b := range frames {
		s.Input(now, &ieee802154.RxFrame{Data: b, RSSI: -60, LQI: 200})
		checkInterface(t, s.Interface)
	}
}

// checkInterface checks what holds at any time.
func checkInterface(t testing.TB, i *Interface) {
	t.Helper()
	s := i.Stats()
	if n := s.FramesDelivered + s.FramesHeld + s.FramesDropped(); s.FramesIn != n {
		t.Fatalf("frames in %d, delivered %d + held %d + dropped %v", s.FramesIn, s.FramesDelivered, s.FramesHeld, dropList(&s.RxDrops))
	}
	if n := s.DatagramsSent + s.DatagramsQueued + s.DatagramsDropped(); s.DatagramsOut != n {
		t.Fatalf("datagrams out %d, sent %d + queued %d + dropped %v", s.DatagramsOut, s.DatagramsSent, s.DatagramsQueued, dropList(&s.TxDrops))
	}
	checkReassembler(t, i.reasm)
	checkQueue(t, &i.q)
}

func checkQueue(t testing.TB, q *queue) {
	t.Helper()
	ready, held, refs, neighbors, idle, active := 0, 0, 0, 0, 0, 0
	for _, nb := range q.byDst {
		for ; nb != nil; nb = nb.hashNext {
			neighbors++
			n, size := 0, 0
			used := 0
			for k := range nb.flow {
				f, bytes := &nb.flow[k], 0
				if f.head != nil {
					used++
				}
				for d := f.head; d != nil; d = d.next {
					n++
					bytes += len(d.b)
					if d.next == nil && d != f.tail || d.next != nil && d.next.at.Before(d.at) {
						t.Fatalf("neighbour %v: a flow is out of order", nb.dst)
					}
					if d.begun && d != nb.first() {
						t.Fatalf("neighbour %v: what was begun is not next", nb.dst)
					}
				}
				if size += bytes; bytes != int(f.bytes) || (f.head == nil) != (f.tail == nil) {
					t.Fatalf("neighbour %v: %d bytes in a flow, counted %d", nb.dst, bytes, f.bytes)
				}
				if f.head != nil && (nb.first() == nil || !nb.first().begun && f.finish < nb.flow[nb.turn].finish) {
					t.Fatalf("neighbour %v: another flow is next", nb.dst)
				}
			}
			if used != int(nb.used) {
				t.Fatalf("neighbour %v: %d flows, counted %d", nb.dst, used, nb.used)
			}
			if n != nb.n || size != nb.bytes || nb.refs < n || n > q.limits.QueuePerNeighbor {
				t.Fatalf("neighbour %v: %d datagrams, %d bytes; counted %d, %d, refs %d", nb.dst, n, size, nb.n, nb.bytes, nb.refs)
			}
			if n > 0 && !nb.active && !nb.sleepy {
				t.Fatalf("neighbour %v waits and is not active", nb.dst)
			}
			if nb.sleepy {
				held += n
			} else {
				ready += n
			}
			refs += nb.refs
		}
	}
	for _, r := range [...]*roster{&q.strange, &q.away, &q.known} {
		for nb := r.old; nb != nil; nb = nb.idleNx {
			idle++
			if nb.refs != 0 || nb.active || nb.in != r || q.roster(nb) != r {
				t.Fatalf("neighbour %v is not idle here", nb.dst)
			}
		}
		for nb := r.head; nb != nil; nb = nb.nextActive {
			active++
			if !nb.active {
				t.Fatalf("neighbour %v is not active", nb.dst)
			}
		}
	}
	if held != q.held || held > q.limits.IndirectDatagrams {
		t.Fatalf("%d datagrams wait for those that sleep, counted %d, limit %d", held, q.held, q.limits.IndirectDatagrams)
	}
	if ready != q.ready || refs != q.total || neighbors != q.neighbors {
		t.Fatalf("%d ready, %d in all, %d neighbours; counted %d, %d, %d", ready, refs, neighbors, q.ready, q.total, q.neighbors)
	}
	if q.total > q.limits.QueueDatagrams || q.neighbors > q.limits.QueueDatagrams+1 || idle+active > neighbors {
		t.Fatalf("%d datagrams, %d neighbours (%d idle, %d active) are over the limit", q.total, q.neighbors, idle, active)
	}
	if q.total == 0 && q.bytes != 0 {
		t.Fatalf("%d bytes in nothing", q.bytes)
	}
}

func linkTo(src uint64, dst ipv6.LinkAddr) Link { return Link{ipv6.EUI64(src), dst, pan} }

// TestInterfaceBoth sends packets of all kinds of length and destination from one
// interface to another.
func TestInterfaceBoth(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	b := newStation(InterfaceConfig{EUI64: euiB, Short: shortB})
	mesh := netip.MustParsePrefix("fd00:1:2:3::/64")
	for _, s := range []*station{a, b} {
		if !s.SetContext(0, Context{Prefix: mesh, Compress: true}) {
			t.Fatal("context refused")
		}
	}
	for _, dst := range []ipv6.LinkAddr{ipv6.EUI64(euiB), ipv6.Short(shortB), ipv6.BroadcastShort} {
		for _, size := range []int{48, 60, 120, 150, 400, 1279, 1280} {
			p := testUDP(linkTo(euiA, dst), size)
			if err := a.Output(now, p, dst); err != nil {
				t.Fatal(err)
			}
			frames := a.frames(t, now, ieee802154.TxAcked)
			b.input(t, now, frames...)
			if len(b.got) != 1 || !bytes.Equal(b.got[0], p) {
				t.Fatalf("%d bytes to %v: got %x", size, dst, b.got)
			}
			want := ipv6.Meta{LinkSrc: ipv6.EUI64(euiA), LinkDst: dst, RSSI: -60, LQI: 200}
			if b.meta[0] != want {
				t.Errorf("meta %+v, want %+v", b.meta[0], want)
			}
			for k, f := range frames {
				var h ieee802154.Frame
				if err := h.Parse(f); err != nil {
					t.Fatal(err)
				}
				unicast := dst != ipv6.BroadcastShort
				if h.Version != ieee802154.Version2006 || h.AckRequest != unicast || !h.PANIDCompression || h.DstPAN != pan ||
					h.Src != ieee802154.Extended(euiA) || h.Dst.V != dst.Uint64() || h.Pending != (unicast && k < len(frames)-1) {
					t.Errorf("frame %d of %d to %v: %+v", k, len(frames), dst, h)
				}
			}
			b.got, b.meta = nil, nil
		}
	}
	if s := a.Stats(); s.DatagramsSent != 21 || s.FramesOut != b.Stats().FramesIn || s.BytesOut != b.Stats().BytesIn || s.FrameAttempts != s.FramesOut {
		t.Errorf("%+v", s)
	}
	// The zero address stands for a group's.
	if err := a.Output(now, testMulticast(60), ipv6.LinkAddr{}); err != nil {
		t.Fatal(err)
	}
	b.input(t, now, a.frames(t, now, ieee802154.TxSent)...)
	if len(b.got) != 1 || b.meta[0].LinkDst != ipv6.BroadcastShort {
		t.Errorf("multicast: %x, %+v", b.got, b.meta)
	}
}

func testMulticast(size int) ipv6.Packet {
	src := netip.AddrPortFrom(ipv6.LinkLocal(ipv6.EUI64(euiA)), 5683)
	dst := netip.AddrPortFrom(netip.MustParseAddr("ff02::1"), 5683)
	return ipv6.Packet(ipv6.AppendUDP(nil, src, dst, 255, make([]byte, size-48)))
}

// TestInterfaceSequence checks that sequence numbers and tags go up by one and begin
// where the seed says.
func TestInterfaceSequence(t *testing.T) {
	now := time.Unix(100, 0)
	start := map[uint8]bool{}
	for seed := range uint64(4) {
		a := newStation(InterfaceConfig{EUI64: euiA, Rand: rand.New(rand.NewPCG(seed, 0))})
		for range 2 {
			a.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 300), ipv6.EUI64(euiB))
		}
		frames := a.frames(t, now, ieee802154.TxAcked)
		start[frames[0][2]] = true
		tags := map[uint16]int{}
		for k, f := range frames {
			if f[2] != frames[0][2]+uint8(k) {
				t.Errorf("sequence number %d of frame %d, first is %d", f[2], k, frames[0][2])
			}
			h, _, err := ParseFragHeader(f[21:])
			if err != nil {
				t.Fatal(err)
			}
			tags[h.Tag]++
		}
		first, _, _ := ParseFragHeader(frames[0][21:])
		if len(tags) != 2 || tags[first.Tag] != tags[first.Tag+1] {
			t.Errorf("tags %v, first %d", tags, first.Tag)
		}
	}
	if len(start) < 2 {
		t.Error("the first sequence number does not depend on the seed")
	}
}

// dataFrame returns a frame to a station with the address euiA.
func dataFrame(mod func(f *ieee802154.Frame), payload ...byte) []byte {
	f := ieee802154.Frame{
		Type: ieee802154.TypeData, Version: ieee802154.Version2006, PANIDCompression: true, DstPAN: pan, Seq: 1,
		Dst: ieee802154.Extended(euiA), Src: ieee802154.Extended(euiB), Payload: payload,
	}
	if mod != nil {
		mod(&f)
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// udpPayload is a compressed UDP packet to euiA.
func udpPayload(t testing.TB) []byte {
	t.Helper()
	var c Contexts
	b, err := compress(&c, testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 60), linkTo(euiB, ipv6.EUI64(euiA)), CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInterfaceInput(t *testing.T) {
	type frame = ieee802154.Frame
	good := udpPayload(t)
	mesh := func(h MeshHeader, b ...byte) []byte {
		m, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(m, b...)
	}
	cat := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	secured, _ := hex.DecodeString("6998012300" + "0a00000000741202" + "0b00000000741202" + "0501000000" + "7e330011223344")
	inline, _ := hex.DecodeString("7a00") // next header and both addresses inline
	inline = append(inline, ipv6.ProtoNone)
	inline = append(inline, make([]byte, 32)...)
	for _, c := range []struct {
		name string
		b    []byte
		want Drop // 0: delivered
	}{
		{"EUI-64 both ways", dataFrame(nil, good...), 0},
		{"version 2003, as lwIP", dataFrame(func(f *frame) { f.Version = 0 }, good...), 0},
		{"version 2015", dataFrame(func(f *frame) { f.Version = 2; f.PANIDCompression = false }, good...), 0},
		{"version 2015 without PAN", dataFrame(func(f *frame) { f.Version = 2 }, good...), 0},
		{"short source", dataFrame(func(f *frame) { f.Src = ieee802154.Short(5) }, good...), 0},
		{"short destination", dataFrame(func(f *frame) { f.Dst = ieee802154.Short(0xa) }, good...), 0},
		{"broadcast", dataFrame(func(f *frame) { f.Dst = ieee802154.Short(0xffff) }, good...), 0},
		{"broadcast PAN", dataFrame(func(f *frame) { f.DstPAN = 0xffff }, good...), 0},
		{"from another PAN", dataFrame(func(f *frame) { f.PANIDCompression = false; f.SrcPAN = 0xbeef }, good...), 0},
		{"uncompressed", dataFrame(nil, cat([]byte{0x41}, testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 60))...), 0},
		{"addresses inline", dataFrame(nil, inline...), 0},
		{"mesh header", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.EUI64(euiA), 3}, good...)...), 0},
		{"mesh header, broadcast", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.BroadcastShort, 3}, cat([]byte{0x50, 9}, good)...)...), 0},
		{"mesh header, group", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.Short(0x8001), 3}, cat([]byte{0x50, 10}, good)...)...), 0},
		{"BC0 alone", dataFrame(nil, cat([]byte{0x50, 1}, good)...), 0},
		{"page 1", dataFrame(nil, cat([]byte{0xf1}, good)...), 0},
		{"page 1, RPI", dataFrame(nil, cat([]byte{0xf1, 0x83, 5, 1}, good)...), 0},
		{"page 1 behind mesh and broadcast header", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.BroadcastShort, 3}, cat([]byte{0x50, 11, 0xf1, 0x83, 5, 1}, good)...)...), 0},
		{"page 0", dataFrame(nil, cat([]byte{0xf0}, good)...), 0},
		{"page 0 around a mesh header", dataFrame(nil, cat([]byte{0xf0}, mesh(MeshHeader{ipv6.Short(7), ipv6.EUI64(euiA), 3}, cat([]byte{0xf0, 0xf0}, good)...))...), 0},
		{"page 0, fragment of all, page 0", dataFrame(nil, cat([]byte{0xf0, 0xc0, 60, 0, 1, 0xf0}, good)...), 0},
		{"page 0, fragment of all, page 1", dataFrame(nil, cat([]byte{0xf0, 0xc0, 60 + 8, 0, 1, 0xf1, 0x83, 5, 1}, good)...), 0},

		{"empty", nil, DropMAC},
		{"cut short", dataFrame(nil, good...)[:20], DropMAC},
		{"ACK", []byte{2, 0, 1}, DropFrameType},
		{"beacon, cut short", dataFrame(func(f *frame) { f.Type, f.PANIDCompression, f.Dst = 0, false, ieee802154.Addr{} }, 0xff, 0xcf, 0), DropMAC},
		{"command without command", dataFrame(func(f *frame) { f.Type = 3 }), DropMAC},
		{"association request, cut short", dataFrame(func(f *frame) { f.Type = 3 }, 1), DropMAC},
		{"data request to all", dataFrame(func(f *frame) { f.Type, f.Dst = 3, ieee802154.Short(0xffff) }, 4), DropDestination},
		{"data request of another PAN", dataFrame(func(f *frame) { f.Type, f.DstPAN = 3, 0xbeef }, 4), DropPAN},
		{"data request of ours", dataFrame(func(f *frame) { f.Type, f.Src.V = 3, euiA }, 4), DropSource},
		{"secured", secured, DropSecurity},
		{"another PAN", dataFrame(func(f *frame) { f.DstPAN = 0xbeef }, good...), DropPAN},
		{"another EUI-64", dataFrame(func(f *frame) { f.Dst.V++ }, good...), DropDestination},
		{"another short address", dataFrame(func(f *frame) { f.Dst = ieee802154.Short(0xb) }, good...), DropDestination},
		{"no destination", dataFrame(func(f *frame) { f.Dst, f.PANIDCompression = ieee802154.Addr{}, false }, good...), DropDestination},
		{"no source", dataFrame(func(f *frame) { f.Src, f.PANIDCompression = ieee802154.Addr{}, false }, good...), DropSource},
		{"source ffff", dataFrame(func(f *frame) { f.Src = ieee802154.Short(0xffff) }, good...), DropSource},
		{"source fffe", dataFrame(func(f *frame) { f.Src = ieee802154.Short(0xfffe) }, good...), DropSource},
		{"our own", dataFrame(func(f *frame) { f.Src.V = euiA }, good...), DropSource},
		{"our own short", dataFrame(func(f *frame) { f.Src = ieee802154.Short(0xa) }, good...), DropSource},
		{"no payload", dataFrame(nil), DropTruncated},
		{"NALP", dataFrame(nil, 0x00, 1, 2), DropNALP},
		{"ESC", dataFrame(nil, 0x40, 1, 2), DropESC},
		{"HC1", dataFrame(nil, 0x42, 1, 2), DropHC1},
		{"DFF", dataFrame(nil, 0x43, 1, 2), DropDFF},
		{"RFRAG through the mesh", dataFrame(nil, 0xb1, 0, 7, 0, 0xa, 0xe8, 0xad, 0, 0x51, 4, 0xd1), DropRFRAG},
		{"RFRAG without its bytes", dataFrame(nil, 0xe8, 0xad, 0, 0x51, 4, 0xd1), DropFragment},
		{"RFRAG cut short", dataFrame(nil, 0xe8, 0xad, 0, 0x51, 4), DropTruncated},
		{"RFRAG-ACK of nothing", dataFrame(nil, 0xea, 0xad, 0xff, 0xff, 0xff, 0xff), DropRecoveryUnknown},
		{"RFRAG-ACK cut short", dataFrame(nil, 0xea, 0xad, 0xff, 0xff, 0xff), DropTruncated},
		{"page 2", dataFrame(nil, 0xf2, 0x80), DropPaging},
		{"page 1, cut short", dataFrame(nil, 0xf1, 0x80), DropTruncated},
		{"page 1, critical header unknown", dataFrame(nil, 0xf1, 0x80, 9), Drop6LoRH},
		{"page 1, source route", dataFrame(nil, 0xf1, 0x80, 0, 1), DropSourceRoute},
		{"page 1, tunnel", dataFrame(nil, 0xf1, 0xa1, 6, 64), DropRoot},
		{"page 1, tunnels", dataFrame(nil, cat([]byte{0xf1}, bytes.Repeat(cat([]byte{0x80, 0, 1, 0xb1, 6, 64}, make([]byte, 16)), 2))...), DropSourceRoute},
		{"page 1, mesh header in page 0", dataFrame(nil, cat([]byte{0xf1, 0xf0}, mesh(MeshHeader{ipv6.Short(7), ipv6.EUI64(euiA), 3}, good...))...), DropMesh},
		{"page 1, broadcast header", dataFrame(nil, cat([]byte{0xf1, 0x50, 1}, good)...), DropBC0},
		{"page 1, fragment header", dataFrame(nil, cat([]byte{0xf1, 0xc0, 60, 0, 1}, good)...), DropDispatch},
		{"page 1, uncompressed", dataFrame(nil, cat([]byte{0xf1, 0x41}, testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 60))...), DropDispatch},
		{"page 0, then nothing", dataFrame(nil, 0xf0), DropTruncated},
		{"page 0, then page 15", dataFrame(nil, 0xf0, 0xff, 0x80), DropPaging},
		{"unassigned", dataFrame(nil, 0x44), DropDispatch},
		{"BC0 cut short", dataFrame(nil, 0x50), DropTruncated},
		{"BC0 twice", dataFrame(nil, 0x50, 2, 0x50, 3), DropBC0},
		{"mesh header cut short", dataFrame(nil, 0x83, 1, 2), DropTruncated},
		{"mesh header, to another", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.Short(8), 3}, good...)...), DropMesh},
		{"mesh header, from us", dataFrame(nil, mesh(MeshHeader{ipv6.EUI64(euiA), ipv6.EUI64(euiA), 3}, good...)...), DropSource},
		{"mesh header twice", dataFrame(nil, mesh(MeshHeader{ipv6.Short(7), ipv6.EUI64(euiA), 3}, mesh(MeshHeader{ipv6.Short(7), ipv6.EUI64(euiA), 3}, good...)...)...), DropMesh},
		{"IPHC cut short", dataFrame(nil, good[:1]...), DropTruncated},
		{"uncompressed cut short", dataFrame(nil, 0x41, 0x60, 0), DropTruncated},
		{"context unknown", dataFrame(nil, 0x7e, 0x77), DropContext},
		{"fragment malformed", dataFrame(nil, 0xe1, 0, 0, 1, 0xff, 1), DropFragment},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStation(InterfaceConfig{EUI64: euiA, Short: 0xa})
			s.input(t, time.Unix(100, 0), c.b)
			st := s.Stats()
			if c.want == 0 {
				if len(s.got) != 1 || st.FramesDelivered != 1 || st.DatagramsIn != 1 {
					t.Errorf("not delivered: %v", dropList(&st.RxDrops))
				}
			} else if st.RxDrops[c.want] != 1 || len(s.got) != 0 {
				t.Errorf("dropped for %v, want %q", dropList(&st.RxDrops), c.want)
			}
		})
	}
}

func TestInterfaceMesh(t *testing.T) {
	now := time.Unix(100, 0)
	s := newStation(InterfaceConfig{EUI64: euiA})
	b, _ := MeshHeader{ipv6.EUI64(0x77), ipv6.BroadcastShort, 3}.AppendBinary(nil)
	b = append(append(b, 0x50, 9), udpPayload(t)...)
	s.input(t, now, dataFrame(nil, b...), dataFrame(nil, b...))
	if len(s.got) != 1 || s.Stats().RxDrops[DropBC0Duplicate] != 1 {
		t.Fatalf("delivered %d, dropped %v", len(s.got), s.Stats().RxDrops)
	}
	// The addresses left out are those of the mesh header.
	if m := s.meta[0]; m.LinkSrc != ipv6.EUI64(0x77) || m.LinkDst != ipv6.BroadcastShort || s.got[0].Src() != ipv6.LinkLocal(ipv6.EUI64(0x77)) {
		t.Errorf("%+v, %v", m, s.got[0].Src())
	}
	// The number comes again after a while.
	s.input(t, now.Add(broadcastMemory), dataFrame(nil, b...))
	if len(s.got) != 2 {
		t.Error("not delivered after a while")
	}
}

// TestInterfaceNoAck gives up the rest of a datagram whose fragment was not acknowledged.
func TestInterfaceNoAck(t *testing.T) {
	now := time.Unix(100, 0)
	b, c := ipv6.EUI64(euiB), ipv6.EUI64(0xc)
	for _, tc := range []struct {
		status ieee802154.TxStatus
		want   Drop
		report []bool
	}{
		{ieee802154.TxNoAck, DropNoAck, []bool{false, true}},
		{ieee802154.TxChannelBusy, DropChannelBusy, []bool{true}},
		{ieee802154.TxTooLong, DropRadio, []bool{true}},
		{ieee802154.TxClosed, DropRadio, []bool{true}},
		{ieee802154.TxPending, DropRadio, []bool{true}},
	} {
		for _, window := range []int{1, 4, 16, MaxBatch} {
			a := newStation(InterfaceConfig{EUI64: euiA})
			a.Output(now, testUDP(linkTo(euiA, b), 600), b)
			a.Output(now, testUDP(linkTo(euiA, c), 150), c)
			sent := 0
			for {
				n := a.Next(now, a.tx[:window])
				if n == 0 {
					break
				}
				if a.Next(now, make([]ieee802154.TxFrame, 1)) != 0 {
					t.Fatal("a second batch while one is under way")
				}
				skip := false
				for k := range a.tx[:n] {
					f := &a.tx[k]
					if f.Status = ieee802154.TxAcked; skip {
						f.Status = ieee802154.TxSkipped
					} else if sent++; sent == 3 {
						f.Status, f.Attempts, skip = tc.status, 4, true
					}
					skip = skip && f.More
				}
				a.Done(now, a.tx[:n])
				checkInterface(t, a.Interface)
			}
			s := a.Stats()
			if s.TxDrops[tc.want] != 1 || s.DatagramsSent != 1 || s.DatagramsQueued != 0 || s.FramesOut != 4 || s.FrameAttempts != 4 {
				t.Errorf("%v, window %d: %+v, drops %v", tc.status, window, s, dropList(&s.TxDrops))
			}
			if sent != 5 { // two and the failed one, two of the other datagram
				t.Errorf("%v, window %d: %d frames on the air", tc.status, window, sent)
			}
			if len(a.status) != len(tc.report) || a.status[0] != tc.report[0] {
				t.Errorf("%v, window %d: reported %v", tc.status, window, a.status)
			}
		}
	}
	// A batch that comes back shorter than it went.
	a := newStation(InterfaceConfig{EUI64: euiA})
	a.Output(now, testUDP(linkTo(euiA, b), 60), b)
	a.Next(now, a.tx[:])
	a.Done(now, nil)
	checkInterface(t, a.Interface)
	if s := a.Stats(); s.TxDrops[DropRadio] != 1 {
		t.Errorf("drops %v", dropList(&s.TxDrops))
	}
	// Neither sent without an acknowledgment nor broadcast says anything of the neighbour.
	a.Output(now, testUDP(linkTo(euiA, b), 60), b)
	a.frames(t, now, ieee802154.TxSent)
	if len(a.status) != 0 {
		t.Errorf("reported %v", a.status)
	}
}

func TestInterfaceRefuses(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Short: 0xa})
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 60)
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		dst  ipv6.LinkAddr
		want Drop
	}{
		{"no neighbour", p, ipv6.LinkAddr{}, DropNoLinkAddr},
		{"EUI-48", p, ipv6.EUI48([6]byte{2}), DropNoLinkAddr},
		{"ourselves", p, ipv6.EUI64(euiA), DropNoLinkAddr},
		{"ourselves, short", p, ipv6.Short(0xa), DropNoLinkAddr},
		{"short address fffe", p, ipv6.Short(0xfffe), DropNoLinkAddr},
		{"longer than the MTU", testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1281), ipv6.EUI64(euiB), DropTooLong},
	} {
		if err := a.Output(now, c.p, c.dst); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if s := a.Stats(); s.DatagramsOut != 0 || a.wakes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestInterfacePeer(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{Peers: 2}})
	b := ipv6.EUI64(euiB)
	if a.Peer(b) != (Peer{}) || a.Peer(ipv6.BroadcastShort) != (Peer{}) {
		t.Errorf("unknown: %+v, broadcast %+v", a.Peer(b), a.Peer(ipv6.BroadcastShort))
	}
	size := func(p ipv6.Packet, dst ipv6.LinkAddr) int {
		t.Helper()
		if err := a.Output(now, p, dst); err != nil {
			t.Fatal(err)
		}
		return len(a.frames(t, now, ieee802154.TxAcked)[0])
	}
	udp := testUDP(linkTo(euiA, b), 60)
	with := size(udp, b)
	a.SetPeer(b, Peer{ElideUDPChecksum: true}) // its queue exists
	if got := size(udp, b); got != with-2 {
		t.Errorf("checksum elided: %d bytes, %d with it", got, with)
	}
	if !a.SetPeer(b, Peer{}) || size(udp, b) != with {
		t.Error("peer not forgotten")
	}
	// What generic header compression brings into one frame, and what it does not.
	for _, n := range []int{120, 300, 600} {
		zeros := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(ipv6.LinkLocal(ipv6.EUI64(euiA)), 5683),
			netip.AddrPortFrom(ipv6.LinkLocal(b), 5683), 64, make([]byte, n-48)))
		to := newStation(InterfaceConfig{EUI64: euiB, GHC: true})
		a.SetPeer(b, Peer{GHC: true})
		a.Output(now, zeros, b)
		with := a.frames(t, now, ieee802154.TxAcked)
		a.SetPeer(b, Peer{})
		a.Output(now, zeros, b)
		without := a.frames(t, now, ieee802154.TxAcked)
		if single := n < 304; (len(with) == 1) != single || len(without) == 1 && n > 120 {
			t.Errorf("%d bytes: %d frames with GHC, %d without", n, len(with), len(without))
		}
		if to.input(t, now, with...); len(to.got) != 1 || !bytes.Equal(to.got[0], zeros) {
			t.Errorf("%d bytes by GHC: got %x", n, to.got)
		}
	}
	// Hop-by-hop options with a router alert, as an MLD report has.
	hbh := ipv6.AppendHeader(nil, 0, 0, 8, ipv6.ProtoHopByHop, 1, ipv6.LinkLocal(ipv6.EUI64(euiA)), ipv6.LinkLocal(b))
	hbh = append(hbh, ipv6.ProtoNone, 0, 5, 2, 0, 0, 1, 0)
	plain := size(hbh, b)
	a.SetPeer(b, Peer{ExtHeaders: true})
	if nhc := size(hbh, b); plain <= nhc {
		t.Errorf("plain extension header: %d bytes, by NHC %d", plain, nhc)
	}
	// Contexts, for those who have them.
	prefix := netip.MustParsePrefix("2001:db8::/64")
	a.SetContext(0, Context{Prefix: prefix, Compress: true})
	global := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(ipv6.WithIID(prefix, ipv6.EUI64(euiA).IID()), 5683),
		netip.AddrPortFrom(ipv6.WithIID(prefix, b.IID()), 5683), 64, nil))
	inline := size(global, b)
	a.SetPeer(b, RegisteredPeer)
	if got := size(global, b); got != inline-32 {
		t.Errorf("with contexts: %d bytes, %d without", got, inline)
	}
	c := newStation(InterfaceConfig{EUI64: euiA, Assume: RegisteredPeer})
	if c.Peer(b) != RegisteredPeer || c.Peer(ipv6.BroadcastShort) != (Peer{}) {
		t.Errorf("assumed: %+v, broadcast %+v", c.Peer(b), c.Peer(ipv6.BroadcastShort))
	}
	if !a.SetPeer(ipv6.EUI64(4), Peer{GHC: true}) || a.SetPeer(ipv6.EUI64(3), Peer{ElideUDPChecksum: true}) || !a.SetPeer(b, Peer{ElideUDPChecksum: true}) {
		t.Error("limit of peers")
	}
}

// TestInterfaceUncompressed sends a packet whose compressed headers the first fragment
// could not hold with none compressed.
func TestInterfaceUncompressed(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	b := newStation(InterfaceConfig{EUI64: euiB})
	p := ipv6.AppendHeader(nil, 0, 0, 3*64+16, ipv6.ProtoHopByHop, 1, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
	for k := range 3 {
		next := byte(ipv6.ProtoDstOpts)
		if k == 2 {
			next = ipv6.ProtoUDP
		}
		p = append(p, next, 7, 0x1e, 60) // an option of 60 bytes
		for j := range 60 {
			p = append(p, byte(j+1))
		}
	}
	p = append(p, 0x16, 0x33, 0x16, 0x33, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	if err := FinishChecksum(p, ipv6.HeaderLen+3*64); err != nil {
		t.Fatal(err)
	}
	if err := a.Output(now, p, ipv6.EUI64(euiB)); err != nil {
		t.Fatal(err)
	}
	b.input(t, now, a.frames(t, now, ieee802154.TxAcked)...)
	if len(b.got) != 1 || !bytes.Equal(b.got[0], p) {
		t.Fatalf("got %x\nwant %x", b.got, p)
	}
}

func TestInterfaceDeadline(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	b := ipv6.EUI64(euiB)
	a.Output(now, testUDP(linkTo(euiA, b), 300), b)
	if !a.Deadline().IsZero() {
		t.Error("a deadline for what waits for the radio")
	}
	c := newStation(InterfaceConfig{EUI64: euiB})
	c.input(t, now, a.frames(t, now, ieee802154.TxAcked)[0])
	if d := c.Deadline(); !d.Equal(now.Add(time.Minute)) {
		t.Errorf("deadline %v", d)
	}
	c.Advance(now.Add(time.Minute))
	if s := c.Stats(); !c.Deadline().IsZero() || s.RxDrops[DropReassemblyTimeout] != 1 || s.FramesHeld != 0 || s.ReassembledBytes != bufLen {
		t.Errorf("%+v", s)
	}
	checkInterface(t, c.Interface)
}

func TestInterfaceLog(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a := newStation(InterfaceConfig{Name: "wpan7", EUI64: euiA, Logger: log})
	a.input(t, time.Unix(100, 0), dataFrame(nil, 0x42))
	if s := out.String(); !strings.Contains(s, "link=wpan7") || !strings.Contains(s, "reason=dispatch_hc1") || !strings.Contains(s, "lladdr=02:12:74:00:00:00:00:0b") {
		t.Error(s)
	}
	if a.Name() != "wpan7" || a.MTU() != 1280 || a.PAN() != pan || a.LinkAddr() != ipv6.EUI64(euiA) || a.Contexts() == nil {
		t.Error("accessors")
	}
}

func TestStatsDrops(t *testing.T) {
	var s Stats
	s.RxDrops[DropPAN], s.TxDrops[DropNoAck] = 3, 2
	got := map[string]uint64{}
	s.Drops(func(reason string, n uint64) bool { got[reason] = n; return true })
	if len(got) != 2 || got["mac_pan"] != 3 || got["no_ack"] != 2 {
		t.Error(got)
	}
	n := 0
	s.Drops(func(string, uint64) bool { n++; return false })
	if n != 1 {
		t.Error("goes on after false")
	}
	seen := map[string]bool{}
	for d := Drop(1); d < numDrops; d++ {
		if e := d.Error(); e == "lowpan_unknown" || seen[e] {
			t.Errorf("reason %d: %q", d, e)
		}
		seen[d.Error()] = true
	}
}

// TestInterfaceMalformed carries malformed payloads, whole and as they would come in frames.
func TestInterfaceMalformed(t *testing.T) {
	for _, v := range readVectors[vector](t, "malformed.jsonl") {
		dst, err := ipv6.ParseLinkAddr(v.L2Dst)
		src, err2 := ipv6.ParseLinkAddr(v.L2Src)
		if err != nil || err2 != nil || len(v.Compressed) == 0 || len(v.Compressed) > 100 || v.Expect != "reject" && v.Expect != "not-a-fragment" {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			s := newStation(InterfaceConfig{EUI64: euiA, PAN: 0xabcd})
			if dst.Len() == 2 {
				s.cfg.Short = uint16(dst.Uint64())
			} else {
				s.own = dst
			}
			for k, c := range v.contexts(t).ctx {
				s.SetContext(k, c)
			}
			mode := func(a ipv6.LinkAddr) ieee802154.Addr {
				if a.Len() == 2 {
					return ieee802154.Short(uint16(a.Uint64()))
				}
				return ieee802154.Extended(a.Uint64())
			}
			b := dataFrame(func(f *ieee802154.Frame) { f.DstPAN, f.Dst, f.Src = 0xabcd, mode(dst), mode(src) }, v.Compressed...)
			s.input(t, time.Unix(100, 0), b)
			if st := s.Stats(); st.FramesDropped() != 1 || len(s.got) != 0 {
				t.Errorf("%s: %x: delivered %x, %+v", v.Note, v.Compressed, s.got, dropList(&st.RxDrops))
			} else {
				for _, why := range []Drop{DropPAN, DropDestination, DropSource, DropMAC} {
					if st.RxDrops[why] != 0 {
						t.Errorf("did not get as far: %q", why)
					}
				}
			}
		})
	}
}

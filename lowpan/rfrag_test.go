package lowpan

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

func TestRFragHeaders(t *testing.T) {
	for _, tc := range []struct {
		name, hex string
		h         RFrag
	}{
		{"RIOT, tests of gnrc_sixlowpan_frag_sfr: first fragment", "e8ad005104d1", RFrag{Tag: 173, Size: 81, Offset: 1233}},
		{"last fragment with E and X", "e9ffffff04d1", RFrag{ECN: true, AckRequest: true, Tag: 255, Sequence: 31, Size: 1023, Offset: 1233}},
		{"reset", "e80700000000", RFrag{Tag: 7}},
		{"reset that asks", "e80780000000", RFrag{Tag: 7, AckRequest: true}},
		{"second fragment", "e8070462ffff", RFrag{Tag: 7, Sequence: 1, Size: 98, Offset: 0xffff}},
	} {
		b, _ := hex.DecodeString(tc.hex)
		h, n, err := ParseRFrag(b)
		if err != nil || n != len(b) || h != tc.h {
			t.Errorf("%s: %+v, %d, %v", tc.name, h, n, err)
		}
		if out, err := tc.h.AppendBinary(nil); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%s: wrote %x, %v", tc.name, out, err)
		}
		for k := range b {
			if _, _, err := ParseRFrag(b[:k]); err != DropTruncated {
				t.Errorf("%s: %d bytes: %v", tc.name, k, err)
			}
		}
	}
	for _, tc := range []struct {
		name, hex string
		a         RFragAck
	}{
		{"RIOT, tests of gnrc_sixlowpan_frag_sfr", "eaf1bb6d5d94", RFragAck{Tag: 241, Bitmap: 0xbb6d5d94}},
		{"null", "ea0000000000", RFragAck{}},
		{"full with E", "eb01ffffffff", RFragAck{ECN: true, Tag: 1, Bitmap: BitmapFull}},
	} {
		b, _ := hex.DecodeString(tc.hex)
		a, n, err := ParseRFragAck(b)
		if err != nil || n != len(b) || a != tc.a {
			t.Errorf("%s: %+v, %d, %v", tc.name, a, n, err)
		}
		if out, _ := tc.a.AppendBinary(nil); !bytes.Equal(out, b) {
			t.Errorf("%s: wrote %x", tc.name, out)
		}
		for k := range b {
			if _, _, err := ParseRFragAck(b[:k]); err != DropTruncated {
				t.Errorf("%s: %d bytes: %v", tc.name, k, err)
			}
		}
		if _, _, err := ParseRFrag(b); err != DropDispatch {
			t.Errorf("%s as a fragment: %v", tc.name, err)
		}
	}
	for _, h := range []RFrag{{Sequence: 32}, {Size: 1024}} {
		if _, err := h.AppendBinary(nil); err != DropFragment {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// rfrags cuts p into recoverable fragments of size bytes.
func rfrags(t testing.TB, p ipv6.Packet, l Link, size int, tag uint8) (out [][]byte) {
	t.Helper()
	var c Contexts
	hdr, consumed, err := c.Compress(nil, p, l, CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := append(hdr, p[consumed:]...)
	for at, seq := 0, 0; at < len(b); seq++ {
		n := min(size, len(b)-at)
		h := RFrag{Tag: tag, Sequence: uint8(seq), Size: uint16(n), Offset: uint16(at), AckRequest: at+n == len(b)}
		if seq == 0 {
			h.Offset = uint16(len(b))
		}
		f, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, append(f, b[at:at+n]...))
		at += n
	}
	return out
}

// TestRecoverableOrder puts a datagram together from fragments in every rotation, with
// repetitions, and in pieces of other sizes for those that were lost.
func TestRecoverableOrder(t *testing.T) {
	var c Contexts
	p := testUDP(linkA, 1280)
	frags := rfrags(t, p, linkA, 98, 7)
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		r := NewReassembler(Limits{}, &c)
		now := time.Unix(100, 0)
		order := rng.Perm(len(frags))
		whole := 0
		for _, k := range order {
			for range 1 + rng.IntN(2) {
				got, a, ack, err := r.InputRecoverable(now, bytes.Clone(frags[k]), linkA)
				if got != nil {
					whole++
					if !bytes.Equal(got, p) || !ack || a.Bitmap != BitmapFull || a.Tag != 7 {
						t.Fatalf("round %d: %x, %+v %v", round, []byte(got), a, ack)
					}
				} else if err != nil && err != DropFragmentDuplicate {
					t.Fatal(err)
				}
				checkReassembler(t, r)
			}
		}
		if s := r.Stats(); whole != 1 || s.Held != 0 || s.Delivered != uint64(len(frags)) {
			t.Fatalf("round %d: %d datagrams, %+v", round, whole, s)
		}
		r.Advance(now.Add(recoverableLinger))
		if !r.Deadline().IsZero() {
			t.Fatal("not forgotten")
		}
	}

	// The second fragment comes again as two smaller ones, the latter under a new number.
	r := NewReassembler(Limits{}, &c)
	now := time.Unix(100, 0)
	split := [][]byte{}
	h, n, _ := ParseRFrag(frags[1])
	a, b := h, h
	a.Size, b.Size = 40, h.Size-40
	b.Offset, b.Sequence = h.Offset+40, 30
	for k, x := range []RFrag{a, b} {
		w, _ := x.AppendBinary(nil)
		split = append(split, append(w, frags[1][n+40*k:n+40*k+int(x.Size)]...))
	}
	var got ipv6.Packet
	for _, f := range append(append([][]byte{frags[0]}, frags[2:]...), split...) {
		got, _, _, _ = r.InputRecoverable(now, f, linkA)
	}
	if !bytes.Equal(got, p) {
		t.Fatalf("resized: %x", []byte(got))
	}
	// Both forms of it at once.
	r = NewReassembler(Limits{}, &c)
	for _, f := range append([][]byte{split[0]}, frags...) {
		got, _, _, _ = r.InputRecoverable(now, f, linkA)
		checkReassembler(t, r)
	}
	if !bytes.Equal(got, p) {
		t.Fatalf("partly there: %x", []byte(got))
	}
}

// TestRecoverableDrops causes each reason of the receiving side, and looks at the answers.
func TestRecoverableDrops(t *testing.T) {
	var c Contexts
	now := time.Unix(100, 0)
	p := testUDP(linkA, 400)
	frags := rfrags(t, p, linkA, 98, 7)
	mod := func(b []byte, f func(h *RFrag)) []byte {
		h, n, _ := ParseRFrag(b)
		f(&h)
		w, _ := h.AppendBinary(nil)
		return append(w, b[n:]...)
	}
	last := len(frags) - 1
	reset := func(x bool) []byte { w, _ := RFrag{Tag: 7, AckRequest: x}.AppendBinary(nil); return w }
	bad := bytes.Clone(frags[0])
	bad[rfragLen] = 0x42 // HC1
	other := rfrags(t, testUDP(linkA, 420), linkA, 98, 7)
	const none = RFragAckNone
	for _, tc := range []struct {
		name   string
		frags  [][]byte
		want   Drop
		n      uint64
		bitmap int64 // of the last answer
	}{
		{"truncated", [][]byte{frags[0][:5]}, DropTruncated, 1, none},
		{"shorter than it says", [][]byte{frags[0][:50]}, DropFragment, 1, none},
		{"longer than it says", [][]byte{append(bytes.Clone(frags[0]), 0)}, DropFragment, 1, none},
		{"first longer than all", [][]byte{mod(frags[0], func(h *RFrag) { h.Offset = 50 })}, DropFragment, 1, none},
		{"empty", [][]byte{mod(frags[1][:6], func(h *RFrag) { h.Size = 0 })}, DropFragment, 1, none},
		{"datagram too long", [][]byte{mod(frags[0], func(h *RFrag) { h.Offset = bufLen + 1 })}, DropTooLong, 1, 0},
		{"too far", [][]byte{mod(frags[1], func(h *RFrag) { h.Offset = bufLen })}, DropTooLong, 1, 0},
		{"reset", [][]byte{frags[0], frags[1], reset(false)}, DropRecoveryReset, 3, none},
		{"reset that asks", [][]byte{frags[0], reset(true)}, DropRecoveryReset, 2, 0},
		{"reset of nothing", [][]byte{reset(true)}, DropRecoveryReset, 1, 0},
		{"duplicate", [][]byte{frags[0], frags[0]}, DropFragmentDuplicate, 1, none},
		{"duplicate that asks", [][]byte{frags[0], frags[last], frags[last]}, DropFragmentDuplicate, 1, int64(1<<31 | sequenceBit(last))},
		{"after the end", append(append([][]byte{}, frags...), frags[last]), DropFragmentDuplicate, 1, int64(BitmapFull)},
		{"other bytes", [][]byte{frags[0], frags[1], append(bytes.Clone(frags[1][:20]), bytes.Clone(frags[2][20:])...)}, DropFragmentOverlap, 2, none},
		{"other size", [][]byte{frags[0], other[0]}, DropFragmentOverlap, 1, none},
		{"beyond the end", [][]byte{frags[last], mod(frags[0], func(h *RFrag) { h.Offset = 120 })}, DropFragmentOverlap, 1, none},
		{"headers that cannot be restored", append(append([][]byte{}, frags[1:]...), bad), DropHC1, uint64(len(frags)), 0},
		{"refused, and asked again", append(append(append([][]byte{}, frags[1:]...), bad), frags[last]), DropFragmentDuplicate, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReassembler(Limits{}, &c)
			bitmap := int64(none)
			for _, f := range tc.frags {
				_, a, ack, _ := r.InputRecoverable(now, f, linkA)
				checkReassembler(t, r)
				if bitmap = none; ack {
					bitmap = int64(a.Bitmap)
				}
			}
			s := r.Stats()
			if s.Drops[tc.want] != tc.n {
				t.Errorf("drops %v, want %d of %q", dropList(&s.Drops), tc.n, tc.want)
			}
			if bitmap != tc.bitmap {
				t.Errorf("answered %x, want %x", bitmap, tc.bitmap)
			}
		})
	}

	t.Run("another datagram under the same tag", func(t *testing.T) {
		r := NewReassembler(Limits{}, &c)
		var got ipv6.Packet
		for _, f := range append(append([][]byte{}, frags...), other...) {
			got, _, _, _ = r.InputRecoverable(now, f, linkA)
			checkReassembler(t, r)
		}
		if s := r.Stats(); s.Datagrams != 2 || len(got) != 420 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("limits", func(t *testing.T) {
		r := NewReassembler(Limits{Reassemblies: 6, ReassembliesPerSource: 2}, &c)
		for src := range uint64(6) {
			l := Link{ipv6.EUI64(0x100 + src), linkA.Dst, pan}
			for tag := range uint8(6) {
				fr := rfrags(t, testUDP(l, 400), l, 98, tag)
				if tag%2 == 0 {
					fr = fr[:2]
				}
				for _, f := range fr {
					r.InputRecoverable(now, f, l)
					checkReassembler(t, r)
				}
			}
		}
		s := r.Stats()
		if s.Drops[DropReassemblySource] == 0 || s.Drops[DropReassemblyLimit] == 0 || s.Datagrams != 18 {
			t.Fatalf("%v, %d datagrams", dropList(&s.Drops), s.Datagrams)
		}
		r.Advance(now.Add(time.Hour))
		checkReassembler(t, r)
		if s = r.Stats(); s.Drops[DropReassemblyTimeout] == 0 || s.Held != 0 {
			t.Fatalf("%v", dropList(&s.Drops))
		}
	})
	t.Run("congestion is told of once", func(t *testing.T) {
		r := NewReassembler(Limits{}, &c)
		ecn := []bool{}
		for k, f := range frags {
			f = mod(f, func(h *RFrag) { h.AckRequest, h.ECN = true, k == 1 })
			_, a, ack, err := r.InputRecoverable(now, f, linkA)
			if !ack || err != nil {
				t.Fatal(ack, err)
			}
			ecn = append(ecn, a.ECN)
		}
		for k, e := range ecn {
			if e != (k == 1) {
				t.Fatal(ecn)
			}
		}
	})
}

// TestRecoverableEvicted: the sender of a datagram that had to make room is told.
func TestRecoverableEvicted(t *testing.T) {
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{Reassemblies: 2, ReassembliesPerSource: 1}})
	now := time.Unix(100, 0)
	l := linkTo(euiB, ipv6.EUI64(euiA))
	for tag := range uint8(3) {
		a.Input(now, &ieee802154.RxFrame{Data: dataFrame(nil, rfrags(t, testUDP(l, 400), l, 98, tag)[0]...)})
	}
	var told []RFragAck
	for _, b := range a.frames(t, now, ieee802154.TxSent) {
		var f ieee802154.Frame
		f.Parse(b)
		ack, _, err := ParseRFragAck(f.Payload)
		if err != nil || f.Dst != ieee802154.Extended(euiB) {
			t.Errorf("%x: %v", b, err)
		}
		told = append(told, ack)
	}
	if len(told) != 2 || told[0] != (RFragAck{Tag: 0}) || told[1] != (RFragAck{Tag: 1}) {
		t.Errorf("told %+v", told)
	}
	if s := a.Stats(); s.RxDrops[DropReassemblySource] != 2 || s.FramesHeld != 1 {
		t.Errorf("%v", dropList(&s.RxDrops))
	}
}

// RFragAckNone stands for no answer in the tables.
const RFragAckNone = int64(-1)

// A lossy joins two stations by a link that loses frames, with its own clock: 4 ms a frame,
// and nothing that MAC retries could repair.
type lossy struct {
	now    time.Time
	a, b   *station
	lose   func(frame []byte) bool
	status ieee802154.TxStatus
	onAir  int
}

func (y *lossy) side(t testing.TB, from, to *station) bool {
	n := from.Next(y.now, from.tx[:8])
	for k := range from.tx[:n] {
		x := &from.tx[k]
		x.Status, x.Attempts = y.status, 1
		y.now = y.now.Add(4 * time.Millisecond)
		y.onAir++
		if y.lose != nil && y.lose(x.Data) {
			continue
		}
		to.Input(y.now, &ieee802154.RxFrame{Data: bytes.Clone(x.Data)})
	}
	from.Done(y.now, from.tx[:n])
	checkInterface(t, from.Interface)
	checkInterface(t, to.Interface)
	return n > 0
}

// run goes on until both sides have nothing more to send, and no timer of a that would
// have them send.
func (y *lossy) run(t testing.TB) {
	t.Helper()
	for steps := 0; ; steps++ {
		if steps > 1_000_000 {
			t.Fatal("no end")
		}
		ab, ba := y.side(t, y.a, y.b), y.side(t, y.b, y.a)
		if ab || ba {
			continue
		}
		d := y.a.rec.deadline()
		if e := y.b.rec.deadline(); d.IsZero() || !e.IsZero() && e.Before(d) {
			d = e
		}
		if d.IsZero() {
			return
		}
		if d.After(y.now) {
			y.now = d
		}
		y.a.Advance(y.now)
		y.b.Advance(y.now)
	}
}

func newLossy(cfg RecoveryConfig, limits Limits) *lossy {
	return &lossy{
		now:    time.Unix(100, 0),
		a:      newStation(InterfaceConfig{EUI64: euiA, Recovery: cfg, Limits: limits}),
		b:      newStation(InterfaceConfig{EUI64: euiB, Short: shortB}),
		status: ieee802154.TxSent,
	}
}

var toB = RecoveryConfig{Peers: []ipv6.LinkAddr{ipv6.EUI64(euiB), ipv6.Short(shortB)}}

// TestRecoveryLoss sends datagrams of 1280 bytes over a link that loses 30 % of all frames,
// acknowledgments of fragments among them. Fragments of RFC 4944 do not get through: 13 in
// a row are not lost once in a hundred times.
func TestRecoveryLoss(t *testing.T) {
	const datagrams = 300
	send := func(cfg RecoveryConfig) (delivered, frames int, s Stats) {
		rng := rand.New(rand.NewPCG(3, 4))
		y := newLossy(cfg, Limits{})
		y.lose = func([]byte) bool { return rng.Float64() < 0.3 }
		for k := range datagrams {
			dst := ipv6.EUI64(euiB)
			if k%2 == 1 {
				dst = ipv6.Short(shortB)
			}
			p := testUDP(linkTo(euiA, dst), 1280)
			p.SetHopLimit(byte(k))
			if err := y.a.Output(y.now, p, dst); err != nil {
				t.Fatal(err)
			}
			y.run(t)
			y.now = y.now.Add(time.Second)
			if n := len(y.b.got); n > 1 {
				t.Fatalf("datagram %d delivered %d times", k, n)
			} else if n == 1 {
				if !bytes.Equal(y.b.got[0], p) {
					t.Fatalf("datagram %d: %x", k, []byte(y.b.got[0]))
				}
				delivered++
			}
			y.b.got, y.b.meta = nil, nil
		}
		return delivered, y.onAir, y.a.Stats()
	}
	got, frames, s := send(toB)
	plain, plainFrames, _ := send(RecoveryConfig{})
	per := func(f, n int) float64 { return float64(f) / float64(max(n, 1)) }
	t.Logf("30 %% loss, %d datagrams of 1280 bytes: recovered %d with %.1f frames each (%.1f fragments, %.1f of them repeated, %.1f acknowledgments heard); RFC 4944 %d with %.0f frames for each delivered",
		datagrams, got, per(frames, got), per(int(s.FragmentsRecoverable), got), per(int(s.FragmentsRepeated), got), per(int(s.RecoveryAcksIn), got), plain, per(plainFrames, plain))
	if got < datagrams*99/100 {
		t.Errorf("%d of %d delivered: %v", got, datagrams, dropList(&s.TxDrops))
	}
	if plain > datagrams/20 {
		t.Errorf("%d delivered without recovery: the link is too good", plain)
	}
	// 13 fragments at 30 %: 18.6 frames at least, and half of the requests get their answer.
	if f := per(frames, got); f > 30 {
		t.Errorf("%.1f frames each", f)
	}
}

// TestRecoveryLossless takes as many frames as it has to: fragments and one answer.
func TestRecoveryLossless(t *testing.T) {
	y := newLossy(toB, Limits{})
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
	for k := range 3 {
		y.a.Output(y.now, p, ipv6.EUI64(euiB))
		at := y.onAir
		y.run(t)
		if n := y.onAir - at; len(y.b.got) != k+1 || n != 13+1 {
			t.Fatalf("%d frames, %d datagrams", n, len(y.b.got))
		}
	}
	if len(y.a.status) != 3 || !y.a.status[0] || y.a.q.total != 0 {
		t.Errorf("told %v, %d in the queue", y.a.status, y.a.q.total)
	}
	// b has learnt that a speaks the protocol, and nobody has told it.
	y.b.Output(y.now, testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 600), ipv6.EUI64(euiA))
	y.run(t)
	if s := y.b.Stats(); s.Recoveries != 1 || s.DatagramsSent != 1 || len(y.a.got) != 1 {
		t.Errorf("back: %+v", s)
	}
}

// TestRecoverySilent is about neighbours that do not speak the protocol, or nothing at all.
func TestRecoverySilent(t *testing.T) {
	dst := ipv6.EUI64(euiB)
	p := testUDP(linkTo(euiA, dst), 1280)
	deaf := func(b []byte) bool {
		var f ieee802154.Frame
		return f.Parse(b) == nil && Classify(f.Payload) == DispatchRFRAG
	}
	t.Run("guessed: falls back", func(t *testing.T) {
		y := newLossy(RecoveryConfig{All: true}, Limits{})
		y.lose = deaf
		y.a.Output(y.now, p, dst)
		y.run(t)
		if len(y.b.got) != 1 || !bytes.Equal(y.b.got[0], p) {
			t.Fatalf("%d datagrams", len(y.b.got))
		}
		for range 2 {
			at := y.onAir
			y.a.Output(y.now, p, dst)
			y.run(t)
			if y.onAir-at != 14 && y.onAir-at != 13 {
				t.Errorf("%d frames for one that is known not to", y.onAir-at)
			}
		}
		y.now = y.now.Add(recoveryMemory)
		y.lose = nil
		y.a.Output(y.now, p, dst)
		y.run(t)
		if s := y.a.Stats(); s.Recoveries != 2 || s.RecoveryAcksIn == 0 || len(y.b.got) != 4 {
			t.Errorf("tried again: %+v", s)
		}
	})
	t.Run("configured: gives up", func(t *testing.T) {
		y := newLossy(toB, Limits{})
		y.lose = deaf
		start := y.now
		y.a.Output(y.now, p, dst)
		y.run(t)
		s := y.a.Stats()
		if s.TxDrops[DropRecoveryTimeout] != 1 || s.DatagramsQueued != 0 || s.FragmentsRepeated != 3+1+3 {
			t.Errorf("%v, %+v", dropList(&s.TxDrops), s)
		}
		if d := y.now.Sub(start); d > 20*time.Second {
			t.Errorf("took %v", d)
		}
	})
	t.Run("no MAC acknowledgment", func(t *testing.T) {
		y := newLossy(toB, Limits{})
		y.lose, y.status = func([]byte) bool { return true }, ieee802154.TxNoAck
		y.a.Output(y.now, p, dst)
		y.a.Output(y.now, p, dst)
		y.run(t)
		if s := y.a.Stats(); s.TxDrops[DropNoAck] != 2 || len(y.a.status) != 2 || y.a.status[0] {
			t.Errorf("%v, told %v", dropList(&s.TxDrops), y.a.status)
		}
	})
	t.Run("radio closed", func(t *testing.T) {
		y := newLossy(toB, Limits{})
		y.status = ieee802154.TxClosed
		y.lose = func([]byte) bool { return true }
		y.a.Output(y.now, p, dst)
		y.run(t)
		if s := y.a.Stats(); s.TxDrops[DropRadio] != 1 {
			t.Errorf("%v", dropList(&s.TxDrops))
		}
	})
	t.Run("fragment that never arrives", func(t *testing.T) {
		y := newLossy(toB, Limits{})
		y.lose = func(b []byte) bool {
			var f ieee802154.Frame
			f.Parse(b)
			h, _, err := ParseRFrag(f.Payload)
			return err == nil && h.Sequence == 3
		}
		y.a.Output(y.now, p, dst)
		y.run(t)
		if s := y.a.Stats(); s.TxDrops[DropRecoveryRetries]+s.TxDrops[DropRecoveryTimeout] != 1 {
			t.Errorf("%v", dropList(&s.TxDrops))
		}
		// The reset has freed what the receiver held.
		if s := y.b.Stats(); s.FramesHeld != 0 || s.RxDrops[DropRecoveryReset] == 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("refused", func(t *testing.T) {
		y := newLossy(RecoveryConfig{Peers: toB.Peers, DatagramRetries: 1}, Limits{})
		y.lose = func(b []byte) bool {
			var f ieee802154.Frame
			f.Parse(b)
			h, _, err := ParseRFrag(f.Payload)
			if err == nil && h.AckRequest {
				null, _ := RFragAck{Tag: h.Tag}.AppendBinary(nil)
				mac := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, PANIDCompression: true, DstPAN: pan,
					Src: ieee802154.Extended(euiB), Dst: ieee802154.Extended(euiA), Payload: null}
				b, _ := mac.AppendBinary(nil)
				y.a.Input(y.now, &ieee802154.RxFrame{Data: b})
				y.a.Input(y.now, &ieee802154.RxFrame{Data: b})
			}
			return true
		}
		y.a.Output(y.now, p, dst)
		y.run(t)
		s := y.a.Stats()
		if s.TxDrops[DropRecoveryRefused] != 1 || s.FragmentsRecoverable != 26 || s.RxDrops[DropRecoveryUnknown] != 2 {
			t.Errorf("%v, %v, %+v", dropList(&s.TxDrops), dropList(&s.RxDrops), s)
		}
	})
}

// TestRecoveryWindow checks how many fragments are sent before an answer is waited for, and
// that congestion halves the number.
func TestRecoveryWindow(t *testing.T) {
	cfg := toB
	cfg.OptWindow, cfg.MaxWindow = 4, 5
	y := newLossy(cfg, Limits{})
	dst := ipv6.EUI64(euiB)
	var bursts []int
	n, mark := 0, false
	y.lose = func(b []byte) bool {
		var f ieee802154.Frame
		f.Parse(b)
		if h, _, err := ParseRFrag(f.Payload); err == nil {
			n++
			if h.AckRequest {
				bursts = append(bursts, n)
				n = 0
			}
			if mark { // as a router on the way does
				f.Payload[0] |= rfragECN
			}
		}
		return false
	}
	y.a.Output(y.now, testUDP(linkTo(euiA, dst), 1280), dst)
	y.run(t)
	mark = true
	y.a.Output(y.now, testUDP(linkTo(euiA, dst), 1280), dst)
	y.run(t)
	want := []int{4, 5, 4, 4, 2, 1, 1, 1, 1, 1, 1, 1}
	if len(bursts) < len(want) || len(y.b.got) != 2 {
		t.Fatalf("%d datagrams, bursts %v", len(y.b.got), bursts)
	}
	for k := range want {
		if bursts[k] != want[k] {
			t.Fatalf("bursts %v, want %v", bursts, want)
		}
	}
}

// TestRecoveryOrder: every fragment is sent once before one is repeated, the oldest first, and
// the first leaves room for those who lengthen its headers.
func TestRecoveryOrder(t *testing.T) {
	cfg := toB
	cfg.OptWindow, cfg.MaxWindow = 5, 5
	y := newLossy(cfg, Limits{})
	var order []uint8
	var sizes []int
	y.lose = func(b []byte) bool {
		var f ieee802154.Frame
		f.Parse(b)
		h, _, err := ParseRFrag(f.Payload)
		if err != nil {
			return false
		}
		order, sizes = append(order, h.Sequence), append(sizes, len(f.Payload))
		return len(order) <= 13 && (h.Sequence == 1 || h.Sequence == 3 || h.Sequence == 7)
	}
	dst := ipv6.EUI64(euiB)
	y.a.Output(y.now, testUDP(linkTo(euiA, dst), 1280), dst)
	y.run(t)
	want := []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 3, 7}
	if !bytes.Equal(order, want) || len(y.b.got) != 1 {
		t.Errorf("sent %d, want %d; %d datagrams", order, want, len(y.b.got))
	}
	if sizes[0]+firstSlack != sizes[1] {
		t.Errorf("first fragment of %d bytes, the next of %d", sizes[0], sizes[1])
	}
}

// TestRecoveryNewPath: when no request is answered any more, the first fragment asks once
// more for what has arrived.
func TestRecoveryNewPath(t *testing.T) {
	y := newLossy(toB, Limits{})
	silent := 0
	y.lose = func(b []byte) bool {
		var f ieee802154.Frame
		f.Parse(b)
		if h, _, err := ParseRFrag(f.Payload); err == nil && h.AckRequest && silent < 4 {
			silent++
			return true
		}
		return false
	}
	dst := ipv6.EUI64(euiB)
	y.a.Output(y.now, testUDP(linkTo(euiA, dst), 1280), dst)
	y.run(t)
	if s := y.a.Stats(); s.DatagramsSent != 1 || len(y.b.got) != 1 || s.FragmentsRecoverable != 13+3+1+1 {
		t.Errorf("%d datagrams, %v, %+v", len(y.b.got), dropList(&s.TxDrops), s)
	}
}

// TestRecoveryMany has more datagrams under way than may be recovered at once, to more
// neighbours, with others in between.
func TestRecoveryMany(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Recovery: RecoveryConfig{All: true}, Limits: Limits{Recoveries: 3}})
	for k := range uint64(5) {
		for range 2 {
			if err := a.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(0x50+k)), 600), ipv6.EUI64(0x50+k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.frames(t, now, ieee802154.TxSent)
	// Three wait for answers with one more behind each; the others went as RFC 4944 has it.
	if s := a.Stats(); s.Recoveries != 3 || s.DatagramsSent != 4 || s.DatagramsQueued != 6 || a.q.ready != 3 {
		t.Fatalf("%+v, %d ready", s, a.q.ready)
	}
	wakes := a.wakes
	a.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(0x60)), 60), ipv6.EUI64(0x60))
	if a.wakes != wakes+1 {
		t.Error("not told of what may be sent")
	}
	if f := a.frames(t, now, ieee802154.TxSent); len(f) != 1 {
		t.Errorf("%d frames", len(f))
	}
	for !a.rec.deadline().IsZero() {
		now = a.Deadline()
		a.Advance(now)
		a.frames(t, now, ieee802154.TxSent)
	}
	if s := a.Stats(); s.DatagramsQueued != 0 || s.DatagramsSent != 11 {
		t.Errorf("at rest: %+v", s)
	}
}

// TestRecoveryAllocs recovers a datagram without allocating.
func TestRecoveryAllocs(t *testing.T) {
	y := newLossy(toB, Limits{})
	packets := 0
	y.b.cfg.Deliver = func(time.Time, ipv6.Packet, ipv6.Meta) { packets++ }
	y.a.cfg.LinkStatus = nil
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
	lost := 0
	step := func(from, to *station) bool {
		n := from.Next(y.now, from.tx[:8])
		for k := range from.tx[:n] {
			from.tx[k].Status = ieee802154.TxAcked
			if lost++; lost%5 != 0 {
				to.Input(y.now, &ieee802154.RxFrame{Data: from.tx[k].Data})
			}
		}
		from.Done(y.now, from.tx[:n])
		return n > 0
	}
	if n := testing.AllocsPerRun(100, func() {
		y.a.Output(y.now, p, ipv6.EUI64(euiB))
		for y.a.q.total > 0 {
			for step(y.a, y.b) || step(y.b, y.a) {
			}
			y.now = y.now.Add(100 * time.Millisecond)
			y.a.Advance(y.now)
			y.b.Advance(y.now)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if packets < 100 {
		t.Errorf("%d packets", packets)
	}
}

func BenchmarkRecovery(b *testing.B) {
	s := NewInterface(InterfaceConfig{EUI64: euiA, PAN: pan, Recovery: toB})
	r := NewInterface(InterfaceConfig{EUI64: euiB, PAN: pan})
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
	now := time.Now()
	tx := benchBatch()
	move := func(from, to *Interface) {
		n := from.Next(now, tx)
		for k := range tx[:n] {
			tx[k].Status = ieee802154.TxAcked
			to.Input(now, &ieee802154.RxFrame{Data: tx[k].Data})
		}
		from.Done(now, tx[:n])
	}
	b.SetBytes(1280)
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		s.Output(now, p, ipv6.EUI64(euiB))
		move(s, r)
		move(r, s)
		n++
	}
	if st := s.Stats(); st.DatagramsSent != n || r.Stats().DatagramsIn != n {
		b.Fatalf("%d of %d", st.DatagramsSent, n)
	}
}

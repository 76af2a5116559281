package ieee802154

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

const (
	ownEUI  = 0x02005e1000000001
	peerEUI = 0x02005e10000000aa
	ownPAN  = 0x23
)

var t0 = time.Unix(1_000_000, 0)

func newTestMAC() *MAC { return NewMAC(MACConfig{Ext: ownEUI, Short: 0x1234, PAN: ownPAN}) }

func build(t testing.TB, f Frame) []byte {
	t.Helper()
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// to returns a data frame from the peer.
func to(dst Addr, seq uint8) Frame {
	return Frame{Type: TypeData, Version: Version2006, PANIDCompression: true, AckRequest: true, Seq: seq, DstPAN: ownPAN,
		Dst: dst, Src: Extended(peerEUI), Payload: []byte("x")}
}

func TestMACReceive(t *testing.T) {
	mod := func(f Frame, g func(*Frame)) Frame { g(&f); return f }
	own := Extended(ownEUI)
	v2 := func(f *Frame) { f.Version = Version2015; f.PANIDCompression = false }
	for _, c := range []struct {
		name  string
		f     Frame
		ack   string
		err   error
		deliv bool
	}{
		{"extended", to(own, 1), "\x02\x00\x01", nil, true},
		{"short", to(Short(0x1234), 2), "\x02\x00\x02", nil, true},
		{"no ack asked", mod(to(own, 3), func(f *Frame) { f.AckRequest = false }), "", nil, true},
		{"broadcast", to(Short(0xffff), 4), "", nil, true},
		{"broadcast PAN", mod(to(own, 5), func(f *Frame) { f.DstPAN = BroadcastPAN }), "\x02\x00\x05", nil, true},
		{"other extended", to(Extended(5), 6), "", DropAddress, false},
		{"other short", to(Short(5), 7), "", DropAddress, false},
		{"other PAN", mod(to(own, 8), func(f *Frame) { f.DstPAN = 0x24 }), "", DropPAN, false},
		{"own source", mod(to(Short(0xffff), 9), func(f *Frame) { f.Src = own }), "", DropOwn, false},
		{"own short source", mod(to(Short(0xffff), 9), func(f *Frame) { f.Src = Short(0x1234) }), "", DropOwn, false},
		{"no destination", mod(to(Addr{}, 10), func(f *Frame) { f.PANIDCompression = false; f.SrcPAN = ownPAN }), "", DropAddress, false},
		{"no source", mod(to(own, 11), func(f *Frame) { f.PANIDCompression = false; f.Src = Addr{} }), "\x02\x00\x0b", nil, true},
		{"beacon", Frame{Type: TypeBeacon, Version: 1, Src: Short(5), SrcPAN: ownPAN, Payload: []byte{0, 0, 0, 0}}, "", nil, true},
		{"beacon of another PAN", Frame{Type: TypeBeacon, Version: 1, Src: Short(5), SrcPAN: 9, Payload: []byte{0, 0, 0, 0}}, "", DropPAN, false},
		{"command", mod(to(own, 12), func(f *Frame) { f.Type = TypeCommand; f.Payload = []byte{4} }), "\x02\x00\x0c", nil, true},
		{"unwanted ack", Frame{Type: TypeAck, Seq: 9}, "", DropUnwantedAck, false},
		{"enhanced ack for another", Frame{Type: TypeAck, Version: 2, Dst: Short(9), DstPAN: ownPAN}, "", DropAddress, false},
		{"version 2015", mod(to(own, 13), v2), "\x02\x2c\x0d\x23\x00\xaa\x00\x00\x00\x10\x5e\x00\x02", nil, true},
	} {
		m := newTestMAC()
		ack, deliver, err := m.Receive(t0, build(t, c.f))
		if string(ack) != c.ack || deliver != c.deliv || err != c.err {
			t.Errorf("%s: ack % x, deliver %v, err %v", c.name, ack, deliver, err)
		}
		s := m.Stats()
		sum := s.Delivered + s.AcksMatched
		for _, n := range s.Drops {
			sum += n
		}
		if s.Received != 1 || sum != 1 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	m := NewMAC(MACConfig{Ext: ownEUI, Short: BroadcastShort, PAN: ownPAN, Coordinator: true})
	f := to(Addr{}, 1)
	f.PANIDCompression, f.SrcPAN = false, ownPAN
	if ack, deliver, err := m.Receive(t0, build(t, f)); string(ack) != "\x02\x00\x01" || !deliver || err != nil {
		t.Errorf("to the coordinator: % x %v %v", ack, deliver, err)
	}
	f.SrcPAN = 9
	if _, _, err := m.Receive(t0, build(t, f)); err != DropPAN {
		t.Errorf("to another coordinator: %v", err)
	}
	if _, _, err := m.Receive(t0, []byte{1}); err != DropTruncated {
		t.Error(err)
	}
}

func TestDuplicates(t *testing.T) {
	m := newTestMAC()
	recv := func(now time.Time, f Frame) error {
		ack, _, err := m.Receive(now, build(t, f))
		if ack == nil {
			t.Errorf("sequence number %d: no acknowledgment", f.Seq)
		}
		return err
	}
	own := Extended(ownEUI)
	for i := range uint8(4) {
		if err := recv(t0, to(own, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint8(4) { // late and out of order, still known
		if err := recv(t0.Add(time.Second), to(own, 3-i)); err != DropDuplicate {
			t.Errorf("retransmission of %d: %v", 3-i, err)
		}
	}
	other := to(own, 3)
	other.Src = Extended(peerEUI + 1)
	if err := recv(t0, other); err != nil {
		t.Errorf("another source: %v", err)
	}
	fresh := to(own, 3)
	fresh.Payload = []byte("restarted, and counting from the start")
	if err := recv(t0, fresh); err != nil {
		t.Errorf("another frame with a number used before: %v", err)
	}
	if err := recv(t0.Add(time.Minute), to(own, 3)); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

// drive runs one transmission; every attempt is answered if answer says so.
func drive(t *testing.T, m *MAC, now *time.Time, data []byte, answer func(attempt int) bool) (TxStatus, int) {
	t.Helper()
	m.Begin(*now, data)
	for n := 0; ; {
		action, status := m.Poll(*now)
		switch action {
		case MACDone:
			if int(m.Attempts()) != n || !m.Deadline().IsZero() {
				t.Errorf("attempts %d, want %d; deadline %v", m.Attempts(), n, m.Deadline())
			}
			return status, n
		case MACSend:
			n++
			if n > 20 {
				t.Fatal("no end")
			}
			if answer(n) {
				*now = now.Add(300 * time.Microsecond)
				if _, _, err := m.Receive(*now, []byte{2, 0, data[2]}); err != nil {
					t.Errorf("acknowledgment: %v", err)
				}
			}
		default:
			if d := m.Deadline(); !d.After(*now) {
				t.Fatalf("deadline %v at %v", d, *now)
			} else {
				*now = d
			}
		}
	}
}

func TestTransmit(t *testing.T) {
	never := func(int) bool { return false }
	out := to(Extended(peerEUI), 7)
	out.Src = Extended(ownEUI)
	frame := build(t, out)
	now := t0
	m := newTestMAC()
	if s, n := drive(t, m, &now, frame, func(i int) bool { return i == 3 }); s != TxAcked || n != 3 {
		t.Errorf("%v after %d", s, n)
	}
	m = newTestMAC()
	for range 10 { // never heard of: no evidence that it is there
		if s, n := drive(t, m, &now, frame, never); s != TxNoAck || n != 4 {
			t.Errorf("%v after %d", s, n)
		}
	}
	bc := out
	bc.Dst = Short(BroadcastShort)
	if s, n := drive(t, m, &now, build(t, bc), never); s != TxSent || n != 1 {
		t.Errorf("broadcast: %v after %d", s, n)
	}
	m.Begin(now, []byte{1})
	if a, s := m.Poll(now); a != MACDone || s != TxTooLong {
		t.Errorf("%v %v", a, s)
	}
	if a, _ := m.Poll(now); a != MACNone {
		t.Errorf("idle: %v", a)
	}
	m.Begin(now, frame)
	m.Poll(now)
	if _, _, err := m.Receive(now, []byte{2, 0, 8}); err != DropUnwantedAck {
		t.Errorf("acknowledgment of another frame: %v", err)
	}
}

func TestAckWaitGrows(t *testing.T) {
	out := to(Extended(peerEUI), 7)
	out.Src = Extended(ownEUI)
	frame := build(t, out)
	for _, c := range []struct {
		most time.Duration
		want []time.Duration
	}{
		{0, []time.Duration{5, 5, 5, 5}},
		{15, []time.Duration{5, 10, 15, 15}},
		{40, []time.Duration{5, 10, 20, 40}},
	} {
		m := NewMAC(MACConfig{Ext: ownEUI, PAN: ownPAN, AckWait: 5, AckWaitMax: c.most})
		now := t0
		waits := func() (got []time.Duration) {
			m.Begin(now, frame)
			for {
				action, _ := m.Poll(now)
				if action == MACDone {
					return got
				}
				if action == MACSend {
					got = append(got, m.Deadline().Sub(now))
				}
				now = m.Deadline()
			}
		}
		plain := []time.Duration{5, 5, 5, 5}
		if got := waits(); !slices.Equal(got, plain) {
			t.Errorf("never acknowledged: %d, want %d", got, plain)
		}
		drive(t, m, &now, frame, func(i int) bool { return i == 1 })
		if got := waits(); !slices.Equal(got, c.want) {
			t.Errorf("at most %d: %d, want %d", c.most, got, c.want)
		}
		if got := waits(); !slices.Equal(got, plain) {
			t.Errorf("gone: %d, want %d", got, plain)
		}
	}
}

func TestPeersThatNeverAcknowledge(t *testing.T) {
	never := func(int) bool { return false }
	always := func(int) bool { return true }
	m := newTestMAC()
	now := t0
	seq := uint8(0)
	hear := func() {
		seq++
		now = now.Add(time.Millisecond)
		m.Receive(now, build(t, to(Short(BroadcastShort), seq)))
	}
	send := func(answer func(int) bool) (TxStatus, int) {
		seq++
		f := to(Extended(peerEUI), seq)
		f.Src = Extended(ownEUI)
		return drive(t, m, &now, build(t, f), answer)
	}
	expect := func(what string, answer func(int) bool, want TxStatus, attempts int) {
		t.Helper()
		if s, n := send(answer); s != want || n != attempts {
			t.Errorf("%s: %v after %d, want %v after %d", what, s, n, want, attempts)
		}
	}
	hear()
	for range 2 { // just heard, and it never acknowledged: it may be one that does not
		expect("in doubt", never, TxSent, 4)
	}
	now = now.Add(DefaultDoubtTime)
	for range 3 { // silent since: it may have died
		expect("silent", never, TxNoAck, 4)
	}
	hear()
	expect("heard since", never, TxSent, 4)
	if !m.NeverAcks(Extended(peerEUI), 0) {
		t.Error("not learnt")
	}
	expect("learnt", never, TxSent, 1)
	now = now.Add(DefaultReprobe)
	expect("tried again", never, TxSent, 4)
	expect("learnt still", never, TxSent, 1)
	now = now.Add(DefaultReprobe)
	expect("tried again with success", always, TxAcked, 1)
	hear()
	expect("healed", never, TxNoAck, 4)
	for range forgetAckFactor*DefaultNeverAckAfter - 2 {
		hear()
		expect("acknowledged once", never, TxNoAck, 4)
	}
	hear()
	expect("other firmware", never, TxSent, 4)
	// An acknowledgment nobody waited for heals at once.
	expect("learnt", never, TxSent, 1)
	if _, _, err := m.Receive(now, []byte{2, 0, seq}); err != nil {
		t.Error(err)
	}
	expect("healed", always, TxAcked, 1)
	if s := m.Stats(); s.NeverAck != 2 || s.Healed != 2 {
		t.Errorf("%+v", s)
	}
}

func TestPeerTableIsBounded(t *testing.T) {
	m := NewMAC(MACConfig{Ext: ownEUI, Short: BroadcastShort, PAN: ownPAN, MaxPeers: 16})
	now := t0
	for i := range 1000 {
		now = now.Add(time.Millisecond)
		f := to(Extended(ownEUI), uint8(i))
		f.Src = Extended(0xa000 + uint64(i))
		if _, ok, err := m.Receive(now, build(t, f)); !ok {
			t.Fatal(err)
		}
	}
	if n := len(m.peers.sets) * peerWays; n != 16 {
		t.Errorf("%d peers", n)
	}
	if m.peers.find(peerKey{addr: Extended(0xa000 + 999)}) == nil {
		t.Error("the newest is not there")
	}
}

func TestMACAllocs(t *testing.T) {
	m := newTestMAC()
	in, seq := riotFrame(), uint8(0)
	out := to(Extended(peerEUI), 7)
	out.Src = Extended(ownEUI)
	frame := build(t, out)
	now := t0
	if n := testing.AllocsPerRun(200, func() {
		seq++
		in[2] = seq
		m.Receive(now, in)
		m.Receive(now, in)
		m.Receive(now, in[:4])
		m.Begin(now, frame)
		for a := MACNone; a != MACDone; {
			a, _ = m.Poll(now)
			now = now.Add(time.Millisecond)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMACReceive(b *testing.B) {
	m := newTestMAC()
	in := riotFrame()
	now := t0
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		in[2]++
		m.Receive(now, in)
	}
}

func FuzzMAC(f *testing.F) {
	f.Add(riotFrame(), uint16(3), true)
	f.Add([]byte{2, 0, 7}, uint16(900), false)
	f.Add([]byte{0x41, 0xd8, 1, 0x23, 0, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8}, uint16(1), true)
	// Whatever arrives whenever: each frame has one outcome, an acknowledgment goes only to
	// who asked, and a transmission ends within its attempts.
	f.Fuzz(func(t *testing.T, in []byte, step uint16, send bool) {
		m := NewMAC(MACConfig{Ext: ownEUI, Short: 0x1234, PAN: ownPAN, MaxPeers: 8})
		out := to(Extended(peerEUI), 7)
		out.Src = Extended(ownEUI)
		frame, _ := out.AppendBinary(nil)
		now := t0
		for len(in) > 0 {
			n := min(1+int(in[0])%MaxFrame, len(in))
			b := in[:n]
			in = in[n:]
			now = now.Add(time.Duration(step) * time.Microsecond)
			if send {
				m.Begin(now, frame)
				m.Poll(now)
			}
			ack, deliver, err := m.Receive(now, b)
			if deliver && err != nil {
				t.Fatal("delivered and dropped")
			}
			if ack != nil {
				var a, g Frame
				if g.Parse(b) != nil || !g.AckRequest || a.Parse(ack) != nil || a.Type != TypeAck || a.Seq != g.Seq {
					t.Fatalf("% x answered by % x", b, ack)
				}
			}
			for i := 0; send; i++ {
				a, _ := m.Poll(now)
				if a == MACDone {
					break
				}
				if i > 20 || m.Attempts() > 4 {
					t.Fatal("a transmission does not end")
				}
				if d := m.Deadline(); d.After(now) {
					now = d
				}
			}
		}
		s := m.Stats()
		sum := s.Delivered + s.AcksMatched
		for _, n := range s.Drops {
			sum += n
		}
		if sum != s.Received {
			t.Fatalf("%+v", s)
		}
	})
}

func TestEnhancedAckParses(t *testing.T) {
	f := to(Extended(ownEUI), 9)
	f.Version, f.PANIDCompression = Version2015, true // both extended, compressed: no PAN at all
	m := newTestMAC()
	ack, _, _ := m.Receive(t0, build(t, f))
	var a Frame
	if err := a.Parse(ack); err != nil || a.Dst != f.Src || a.HasDstPAN || a.Seq != 9 || !bytes.Equal(ack[:2], []byte{0x42, 0x2c}) {
		t.Errorf("% x: %+v %v", ack, a, err)
	}
}

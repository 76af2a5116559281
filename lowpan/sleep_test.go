package lowpan

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// A matchTable is a radio's table of source match.
type matchTable struct {
	max    int
	exact  bool
	addrs  []ieee802154.Addr
	rx     bool // receiver on
	toggle int
}

func (m *matchTable) SetSourceMatch(on bool) { m.exact = on }
func (m *matchTable) SetReceiver(on bool)    { m.rx = on; m.toggle++ }
func (m *matchTable) SetPending(a ieee802154.Addr, pending bool) error {
	k := slices.Index(m.addrs, a)
	switch {
	case !pending && k >= 0:
		m.addrs = slices.Delete(m.addrs, k, k+1)
	case pending && k < 0 && len(m.addrs) == m.max:
		return errors.New("full")
	case pending && k < 0:
		m.addrs = append(m.addrs, a)
	}
	return nil
}

func dataRequest(seq uint8, src ieee802154.Addr) []byte {
	return dataFrame(func(f *ieee802154.Frame) {
		f.Type, f.Version, f.AckRequest, f.Seq, f.Src = ieee802154.TypeCommand, 0, true, seq, src
	}, byte(ieee802154.CommandDataRequest))
}

// one takes the frames that are ready now, and says what became of them.
func (s *station) one(t testing.TB, now time.Time, status ieee802154.TxStatus) (out []ieee802154.Frame) {
	t.Helper()
	n := s.Next(now, s.tx[:8])
	checkInterface(t, s.Interface)
	for k := range s.tx[:n] {
		s.tx[k].Status, s.tx[k].Attempts = status, 1
		var f ieee802154.Frame
		if err := f.Parse(bytes.Clone(s.tx[k].Data)); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	s.Done(now, s.tx[:n])
	checkInterface(t, s.Interface)
	return out
}

func sleepyStation(t testing.TB, cfg InterfaceConfig) (*station, *matchTable) {
	cfg.EUI64 = euiA
	s, m := newStation(cfg), &matchTable{max: 8}
	s.SetRadio(m)
	if !m.exact {
		t.Fatal("source match is off")
	}
	return s, m
}

// TestIndirect: a neighbour that polled is given one frame for each data request; others are
// not held up; Frame Pending says whether there is more.
func TestIndirect(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{})
	b, c := ieee802154.Extended(euiB), ipv6.EUI64(euiB+1)
	s.input(t, now, dataRequest(1, b))
	if st := s.Stats(); st.Sleepers != 1 || st.DataRequests != 1 || s.wakes != 0 {
		t.Fatalf("%+v, %d wakes", st, s.wakes)
	}
	long := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 250)
	for range 2 {
		if err := s.Output(now, long, ipv6.EUI64(euiB)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(m.addrs, []ieee802154.Addr{b}) {
		t.Fatalf("pending for %v", m.addrs)
	}
	// An awake neighbour is served meanwhile.
	s.Output(now, testUDP(linkTo(euiA, c), 60), c)
	if f := s.one(t, now, ieee802154.TxAcked); len(f) != 1 || f[0].Dst.V != c.Uint64() || f[0].Pending {
		t.Fatalf("to the one that is awake: %+v", f)
	}
	r := newStation(InterfaceConfig{EUI64: euiB, Device: true})
	var frames []ieee802154.Frame
	for k := range uint8(20) {
		if len(m.addrs) == 0 {
			break
		}
		now = now.Add(time.Second)
		s.input(t, now, dataRequest(2+k, b))
		f := s.one(t, now, ieee802154.TxAcked)
		if len(f) != 1 || len(s.one(t, now, ieee802154.TxAcked)) != 0 {
			t.Fatalf("%d frames for data request %d", len(f), k)
		}
		frames = append(frames, f...)
		var raw []byte
		raw, _ = f[0].AppendBinary(raw)
		r.input(t, now, raw)
	}
	for k, f := range frames {
		if f.Pending != (k < len(frames)-1) {
			t.Errorf("frame %d of %d: pending %v", k, len(frames), f.Pending)
		}
	}
	if len(r.got) != 2 || !bytes.Equal(r.got[0], long) || len(frames) != 6 {
		t.Errorf("%d packets in %d frames", len(r.got), len(frames))
	}
	if st := s.Stats(); st.IndirectHeld != 0 || st.IndirectSent != 6 || st.IndirectRepeats != 0 || st.DatagramsSent != 3 {
		t.Errorf("%+v", st)
	}
}

// TestIndirectRepeat: what was not acknowledged comes again on the next data request, with
// the same sequence number, and only then.
func TestIndirectRepeat(t *testing.T) {
	now := time.Unix(100, 0)
	s, _ := sleepyStation(t, InterfaceConfig{})
	b := ieee802154.Extended(euiB)
	s.input(t, now, dataRequest(1, b))
	s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 250), ipv6.EUI64(euiB))
	s.input(t, now, dataRequest(2, b))
	if !s.nextIsIndirect(t, now) {
		t.Fatal("not sent once")
	}
	first := s.one(t, now, ieee802154.TxNoAck)
	s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB+1)), 60), ipv6.EUI64(euiB+1))
	if f := s.one(t, now, ieee802154.TxAcked); len(f) != 1 || f[0].Dst == b {
		t.Fatalf("%+v", f)
	}
	now = now.Add(time.Second)
	s.input(t, now, dataRequest(3, b))
	again := s.one(t, now, ieee802154.TxAcked)
	if len(first) != 1 || len(again) != 1 || again[0].Seq != first[0].Seq || !bytes.Equal(again[0].Payload, first[0].Payload) {
		t.Fatalf("%+v, again %+v", first, again)
	}
	if st := s.Stats(); st.IndirectRepeats != 2 || len(s.status) != 1 || st.DatagramsSent != 1 {
		t.Errorf("%+v, link status %v", st, s.status)
	}
	// A data request that nobody could answer in time is void.
	s.input(t, now, dataRequest(4, b))
	if f := s.one(t, now.Add(pollWait+time.Millisecond), ieee802154.TxAcked); len(f) != 0 {
		t.Errorf("sent to one that is asleep again: %+v", f)
	}
	// A radio that is closed.
	s.input(t, now.Add(time.Second), dataRequest(5, b))
	s.one(t, now.Add(time.Second), ieee802154.TxClosed)
	if st := s.Stats(); st.TxDrops[DropRadio] != 1 || st.IndirectHeld != 0 {
		t.Errorf("%+v", st)
	}
}

func (s *station) nextIsIndirect(t testing.TB, now time.Time) bool {
	t.Helper()
	n := s.Next(now, s.tx[:1])
	once := n == 1 && s.tx[0].Indirect
	s.tx[0].Status = ieee802154.TxNoAck
	s.Done(now, s.tx[:n])
	checkInterface(t, s.Interface)
	s.input(t, now, dataRequest(99, s.lastDst(t)))
	return once
}

func (s *station) lastDst(t testing.TB) ieee802154.Addr {
	t.Helper()
	var f ieee802154.Frame
	if err := f.Parse(s.tx[0].Data); err != nil {
		t.Fatal(err)
	}
	return f.Dst
}

// TestIndirectExpires: a datagram that is not asked for is tried once, and then dropped.
func TestIndirectExpires(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   Sleep
		status ieee802154.TxStatus // of the trial
		trial  bool
		sleeps uint64
		drops  uint64
	}{
		{"gone", SleepLearnt, ieee802154.TxNoAck, true, 1, 2},
		{"awake by now", SleepLearnt, ieee802154.TxAcked, true, 0, 0},
		{"configured", SleepAlways, ieee802154.TxNoAck, false, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(100, 0)
			s, m := sleepyStation(t, InterfaceConfig{})
			b, dst := ieee802154.Extended(euiB), ipv6.EUI64(euiB)
			if c.mode == SleepAlways {
				if !s.SetSleep(now, dst, SleepAlways) {
					t.Fatal("refused")
				}
			} else {
				s.input(t, now, dataRequest(1, b))
			}
			for range 2 {
				s.Output(now, testUDP(linkTo(euiA, dst), 60), dst)
			}
			d := s.Deadline()
			if d != now.Add(ieee802154.TransactionPersistence) {
				t.Fatalf("deadline %v", d.Sub(now))
			}
			s.Advance(d)
			f := s.one(t, d, c.status)
			if c.trial != (len(f) >= 1 && s.tx[0].Indirect == false) {
				t.Fatalf("trial: %d frames", len(f))
			}
			s.frames(t, d, c.status)
			for n := 0; !s.Deadline().IsZero() && n < 10; n++ {
				d = s.Deadline()
				s.Advance(d)
				s.frames(t, d, c.status)
			}
			st := s.Stats()
			if st.Sleepers != c.sleeps || st.TxDrops[DropIndirect] != c.drops || st.DatagramsQueued != 0 || len(m.addrs) != 0 {
				t.Errorf("%d sleep, drops %v, queued %d, pending %v", st.Sleepers, dropList(&st.TxDrops), st.DatagramsQueued, m.addrs)
			}
			if want := []bool{false}; c.trial && c.status == ieee802154.TxNoAck && !slices.Equal(s.status, want) {
				t.Errorf("link status %v", s.status)
			}
		})
	}
}

// TestIndirectInterval: one that polls rarely is waited for longer.
func TestIndirectInterval(t *testing.T) {
	now := time.Unix(100, 0)
	s, _ := sleepyStation(t, InterfaceConfig{})
	s.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	now = now.Add(20 * time.Second)
	s.input(t, now, dataRequest(2, ieee802154.Extended(euiB)))
	s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 60), ipv6.EUI64(euiB))
	if d := s.Deadline().Sub(now); d != 40*time.Second {
		t.Errorf("waits %v", d)
	}
}

// TestIndirectBounds: what waits for those that sleep is bounded for each and in all, does
// not crowd out the others, and does not hold back the uplink.
func TestIndirectBounds(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{Limits: Limits{QueueDatagrams: 16, IndirectDatagrams: 8, IndirectPerNeighbor: 3, Sleepers: 12}})
	for k := range uint64(20) { // 12 are remembered: the latest
		s.input(t, now.Add(time.Duration(k)), dataRequest(1, ieee802154.Extended(euiB+k)))
	}
	if st := s.Stats(); st.Sleepers != 12 {
		t.Fatalf("%d sleep", st.Sleepers)
	}
	for k := uint64(8); k < 20; k++ {
		dst := ipv6.EUI64(euiB + k)
		for range 5 {
			if err := s.Output(now, testUDP(linkTo(euiA, dst), 60), dst); err != nil {
				t.Fatal(err)
			}
			checkInterface(t, s.Interface)
		}
	}
	st := s.Stats()
	if st.IndirectHeld != 8 || st.TxDrops[DropQueueFull] == 0 || st.TxDrops[DropQueueTotal] == 0 || s.Busy() {
		t.Errorf("%d held, drops %v, busy %v", st.IndirectHeld, dropList(&st.TxDrops), s.Busy())
	}
	if len(m.addrs) > 8 || len(s.sleep.pending) > 8 {
		t.Errorf("pending for %d", len(m.addrs))
	}
	// With a table that is too small everybody is told that something waits, and one for
	// whom nothing does is sent an empty frame.
	m.max = 1
	s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB+19)), 60), ipv6.EUI64(euiB+19))
	s2, m2 := sleepyStation(t, InterfaceConfig{})
	m2.max = 1
	for k := range uint64(2) {
		s2.input(t, now, dataRequest(1, ieee802154.Extended(euiB+k)))
		s2.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB+k)), 60), ipv6.EUI64(euiB+k))
	}
	if m2.exact {
		t.Error("a full table still answers")
	}
	s2.input(t, now, dataRequest(1, ieee802154.Short(5)))
	if f := s2.one(t, now, ieee802154.TxSent); len(f) != 1 || len(f[0].Payload) != 0 || f[0].AckRequest || f[0].Dst != ieee802154.Short(5) {
		t.Errorf("%+v", f)
	}
	for k := range uint64(2) {
		s2.input(t, now, dataRequest(2, ieee802154.Extended(euiB+k)))
		s2.one(t, now, ieee802154.TxAcked)
	}
	if !m2.exact || len(m2.addrs) != 0 {
		t.Errorf("exact %v, %v", m2.exact, m2.addrs)
	}
}

// TestSetSleep: what waits follows the neighbour.
func TestSetSleep(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{})
	dst := ipv6.EUI64(euiB)
	out := func() { s.Output(now, testUDP(linkTo(euiA, dst), 60), dst); checkInterface(t, s.Interface) }
	out()
	s.SetSleep(now, dst, SleepAlways)
	checkInterface(t, s.Interface)
	out()
	if f := s.one(t, now, ieee802154.TxAcked); len(f) != 0 || len(m.addrs) != 1 || s.Stats().IndirectHeld != 2 {
		t.Fatalf("%+v", f)
	}
	s.SetSleep(now, dst, SleepNever)
	s.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	out()
	if f := s.frames(t, now, ieee802154.TxAcked); len(f) != 3 || len(m.addrs) != 0 {
		t.Fatalf("%d frames", len(f))
	}
	s.SetSleep(now, dst, SleepLearnt)
	if s.SetSleep(now, ipv6.BroadcastShort, SleepAlways) || s.SetSleep(now, s.own, SleepAlways) {
		t.Error("all sleep")
	}
	if d := newStation(InterfaceConfig{EUI64: euiA, Device: true}); d.SetSleep(now, dst, SleepAlways) {
		t.Error("a device holds frames")
	}
}

// TestBeacon: a beacon request is answered once, and names those for whom something waits.
func TestBeacon(t *testing.T) {
	now := time.Unix(100, 0)
	s, _ := sleepyStation(t, InterfaceConfig{Short: 0x12})
	s.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 60), ipv6.EUI64(euiB))
	for k := range uint8(3) {
		s.input(t, now, ieee802154.AppendBeaconRequest(nil, k))
	}
	d := s.Deadline()
	if d.Sub(now) < time.Millisecond || d.Sub(now) > 16*time.Millisecond {
		t.Fatalf("beacon after %v", d.Sub(now))
	}
	s.Advance(d)
	if s.wakes != 1 {
		t.Errorf("%d wakes", s.wakes)
	}
	f := s.one(t, d, ieee802154.TxSent)
	if len(f) != 1 {
		t.Fatalf("%d frames", len(f))
	}
	var bc ieee802154.Beacon
	if err := bc.Parse(f[0].Payload); err != nil {
		t.Fatal(err)
	}
	if a, _ := bc.PendingAddr(0); f[0].Src != ieee802154.Short(0x12) || bc.NumExt != 1 || a != ieee802154.Extended(euiB) {
		t.Errorf("%+v, %+v", f[0], bc)
	}
	if st := s.Stats(); st.Coordinator.BeaconsSent != 1 || st.Coordinator.BeaconRequests != 3 {
		t.Errorf("%+v", st.Coordinator)
	}
	if d := newStation(InterfaceConfig{EUI64: euiA, Device: true}); true {
		d.input(t, now, ieee802154.AppendBeaconRequest(nil, 0))
		if st := d.Stats(); st.RxDrops[DropFrameType] != 1 {
			t.Errorf("a device takes a beacon request: %v", dropList(&st.RxDrops))
		}
	}
}

// TestAssociation: an association is refused, and that alone makes nobody seem to sleep.
func TestAssociation(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{})
	b := ieee802154.Extended(euiB)
	s.input(t, now, dataFrame(func(f *ieee802154.Frame) {
		f.Type, f.Version, f.AckRequest, f.PANIDCompression, f.SrcPAN = 3, 0, true, false, 0xffff
	}, 1, 0x8e))
	if !slices.Equal(m.addrs, []ieee802154.Addr{b}) {
		t.Fatalf("pending for %v", m.addrs)
	}
	s.input(t, now, dataRequest(2, b))
	f := s.one(t, now, ieee802154.TxAcked)
	if len(f) != 1 || f[0].Type != 3 || f[0].Dst != b || !f[0].AckRequest || !bytes.Equal(f[0].Payload, []byte{2, 0xff, 0xff, 2}) {
		t.Fatalf("%+v", f)
	}
	if st := s.Stats(); st.Sleepers != 0 || len(m.addrs) != 0 || st.Coordinator.AssociationsDenied != 1 {
		t.Errorf("%+v, pending %v", st, m.addrs)
	}
}

// TestPANConflict: it is logged once an episode.
func TestPANConflict(t *testing.T) {
	now := time.Unix(100, 0)
	var log strings.Builder
	s, _ := sleepyStation(t, InterfaceConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	bc := ieee802154.Beacon{Superframe: 0x4fff, GTS: []byte{0}}
	beacon, err := ieee802154.AppendBeaconFrame(nil, 1, pan, ieee802154.Extended(euiB), &bc)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.input(t, now, beacon)
		now = now.Add(5 * time.Minute)
	}
	if _, ok := s.PANConflict(now); !ok || strings.Count(log.String(), "PAN identifier") != 1 || !strings.Contains(log.String(), "000b") {
		t.Errorf("conflict %v, log %q", ok, log.String())
	}
	now = now.Add(time.Hour)
	s.input(t, now, beacon)
	if st := s.Stats().Coordinator; st.PANConflicts != 2 || st.PANConflictSigns != 4 || strings.Count(log.String(), "PAN identifier") != 2 {
		t.Errorf("%+v", st)
	}
}

// TestSleepyDevice: two interfaces, one of which sleeps, and the radio's part by hand.
func TestSleepyDevice(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{})
	d := newStation(InterfaceConfig{EUI64: euiB, Device: true, Sleep: &ieee802154.PollerConfig{Interval: 5 * time.Second, FastPolls: -1}})
	rx := &matchTable{rx: true}
	d.SetRadio(rx)
	d.SetParent(now, ipv6.EUI64(euiA))
	for k := range 30 {
		now = now.Add(100 * time.Millisecond)
		if k == 10 {
			s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 600), ipv6.EUI64(euiB))
		}
		if dl := d.Deadline(); !dl.IsZero() && dl.After(now) {
			now = dl
		}
		d.Advance(now)
		n := d.Next(now, d.tx[:1])
		if n == 0 {
			continue
		}
		if !rx.rx {
			t.Fatal("asks with the receiver off")
		}
		more := len(m.addrs) > 0
		d.tx[0].Status, d.tx[0].Pending = ieee802154.TxAcked, more
		s.input(t, now, bytes.Clone(d.tx[0].Data))
		d.Done(now, d.tx[:n])
		d.Next(now, d.tx[:1])
		if rx.rx != more {
			t.Fatalf("receiver on %v, pending %v", rx.rx, more)
		}
		for _, f := range s.frames(t, now, ieee802154.TxAcked) {
			d.input(t, now, f)
		}
	}
	st := d.Stats().Poller
	if len(d.got) != 1 || st.Received < 6 || st.Missed != 0 || rx.rx {
		t.Errorf("%d packets, %+v, receiver %v", len(d.got), st, rx.rx)
	}
	d.SetParent(now, ipv6.LinkAddr{})
	if !rx.rx || !d.Deadline().IsZero() {
		t.Error("sleeps without a coordinator")
	}
}

func TestSleepAllocs(t *testing.T) {
	now := time.Unix(100, 0)
	s, _ := sleepyStation(t, InterfaceConfig{})
	b := ieee802154.Extended(euiB)
	s.input(t, now, dataRequest(1, b))
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 250)
	req := ieee802154.RxFrame{Data: dataRequest(2, b)}
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		s.Output(now, p, ipv6.EUI64(euiB))
		for range 4 {
			s.Input(now, &req)
			n := s.Next(now, s.tx[:4])
			for k := range s.tx[:n] {
				s.tx[k].Status = ieee802154.TxAcked
			}
			s.Done(now, s.tx[:n])
		}
		s.Advance(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if st := s.Stats(); st.IndirectHeld != 0 || st.DatagramsSent < 100 {
		t.Errorf("%+v", st)
	}
}

// FuzzSleep: any sequence of data requests, packets, fates and pauses keeps the invariants
// and the limits, and in the end everything is sent or dropped.
func FuzzSleep(f *testing.F) {
	f.Add([]byte{0, 8, 9, 0, 16, 24, 33, 8, 0, 16, 40, 48, 56, 64})
	f.Add([]byte{0, 1, 2, 8, 9, 10, 8, 9, 10, 32, 32, 32, 40, 40})
	f.Fuzz(func(t *testing.T, ops []byte) {
		now := time.Unix(100, 0)
		s, m := sleepyStation(t, InterfaceConfig{Limits: Limits{QueueDatagrams: 12, IndirectDatagrams: 6, IndirectPerNeighbor: 3, Sleepers: 4}})
		m.max = 2
		inFlight := 0
		for k, op := range ops[:min(len(ops), 300)] {
			arg := uint64(op & 7)
			dst := ipv6.EUI64(euiB + arg)
			switch op >> 3 % 9 {
			case 0:
				s.Input(now, &ieee802154.RxFrame{Data: dataRequest(uint8(k), ieee802154.Extended(euiB+arg))})
			case 1:
				s.Output(now, testUDP(linkTo(euiA+uint64(op>>6), dst), 60), dst)
			case 2:
				s.Output(now, testUDP(linkTo(euiA+uint64(op>>6), dst), 300), dst)
			case 3:
				if inFlight == 0 {
					inFlight = s.Next(now, s.tx[:1+arg])
				}
			case 4:
				for j := range s.tx[:inFlight] {
					s.tx[j].Status = []ieee802154.TxStatus{ieee802154.TxAcked, ieee802154.TxNoAck, ieee802154.TxSent, ieee802154.TxClosed}[(arg+uint64(j))%4]
				}
				s.Done(now, s.tx[:inFlight])
				inFlight = 0
			case 5:
				now = now.Add(time.Duration(1+arg) * time.Second)
				s.Advance(now)
			case 6:
				s.SetSleep(now, dst, Sleep(op>>6))
			case 7:
				s.Input(now, &ieee802154.RxFrame{Data: ieee802154.AppendBeaconRequest(nil, op)})
				now = now.Add(20 * time.Millisecond)
				s.Advance(now)
			case 8:
				s.Input(now, &ieee802154.RxFrame{Data: dataFrame(func(f *ieee802154.Frame) { f.Type, f.Src.V = 3, euiB+arg }, 1, 0)})
			}
			checkInterface(t, s.Interface)
			if st := s.Stats(); st.Sleepers > 4 || st.IndirectHeld > 6 || len(m.addrs) > 2 {
				t.Fatalf("over the limits: %+v", st)
			}
		}
		for j := range s.tx[:inFlight] {
			s.tx[j].Status = ieee802154.TxNoAck
		}
		s.Done(now, s.tx[:inFlight])
		for n := 0; n < 1000; n++ {
			s.frames(t, now, ieee802154.TxNoAck)
			d := s.Deadline()
			if d.IsZero() {
				break
			}
			if d.After(now) {
				now = d
			}
			s.Advance(now)
		}
		if st := s.Stats(); st.DatagramsQueued != 0 || len(s.sleep.pending) != 0 || len(m.addrs) != 0 || !m.exact {
			t.Fatalf("left: %d datagrams, pending %v, %v, exact %v, deadline %v", st.DatagramsQueued, s.sleep.pending, m.addrs, m.exact, s.Deadline())
		}
	})
}

// TestSleepSecured: a device that sleeps secures its data requests, for one that is not
// secured teaches nothing where frames must be.
func TestSleepSecured(t *testing.T) {
	now := time.Unix(100, 0)
	cfg := func() *Security {
		return &Security{Key: keyAll, Level: 5, MinLevel: 5, KeyIDMode: 1, KeyIndex: 1, Counter: 100, Reserved: 1000, Reserve: func(uint32) {}}
	}
	s, m := sleepyStation(t, InterfaceConfig{Security: cfg()})
	s.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	if st := s.Stats(); st.RxDrops[DropSecurityLevel] != 1 || st.Sleepers != 0 {
		t.Fatalf("%v, %d sleep", dropList(&st.RxDrops), st.Sleepers)
	}
	d := newStation(InterfaceConfig{EUI64: euiB, Device: true, Security: cfg(), Sleep: &ieee802154.PollerConfig{Interval: time.Second, FastPolls: -1}})
	d.SetParent(now, ipv6.EUI64(euiA))
	for k := range 4 {
		d.Advance(now)
		f := d.one(t, now, ieee802154.TxAcked)
		if len(f) != 1 || !f[0].Security || f[0].Type != ieee802154.TypeCommand || f[0].Sec.FrameCounter != 100+uint32(k) {
			t.Fatalf("%d: %+v", k, f)
		}
		s.input(t, now, bytes.Clone(d.tx[0].Data))
		for _, b := range s.frames(t, now, ieee802154.TxAcked) {
			d.input(t, now, b)
		}
		if k == 0 {
			s.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 200), ipv6.EUI64(euiB))
		}
		d.one(t, now, ieee802154.TxAcked)
		now = now.Add(time.Second)
	}
	if st := s.Stats(); len(d.got) != 1 || st.DataRequests != 4 || st.IndirectSent < 2 || len(m.addrs) != 0 {
		t.Errorf("%d packets, %+v", len(d.got), st)
	}
}

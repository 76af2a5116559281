package lowpan

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

var (
	keyAll  = [16]byte{0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf}
	keyPair = [16]byte{1}
	keyBad  = [16]byte{2}
)

// secured returns a security that both ends of a test take.
func secured(mod func(s *Security)) *Security {
	s := &Security{Key: keyAll, Level: 5, MinLevel: 5, KeyIDMode: 1, KeyIndex: 1, Counter: 100}
	if mod != nil {
		mod(s)
	}
	return s
}

func TestSecureLevels(t *testing.T) {
	now := time.Unix(100, 0)
	for level := uint8(1); level <= 7; level++ {
		for mode := range uint8(4) {
			for _, size := range []int{60, 600, 1280} {
				for _, dst := range []ipv6.LinkAddr{ipv6.EUI64(euiB), ipv6.Short(shortB), ipv6.BroadcastShort} {
					mod := func(s *Security) {
						s.Level, s.MinLevel, s.KeyIDMode, s.KeySource = level, level, mode, 0xa1b2c3d4
					}
					a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(mod)})
					b := newStation(InterfaceConfig{EUI64: euiB, Short: shortB, Security: secured(mod)})
					p := testUDP(linkTo(euiA, dst), size)
					if err := a.Output(now, p, dst); err != nil {
						t.Fatal(err)
					}
					frames := a.frames(t, now, ieee802154.TxAcked)
					for k, f := range frames {
						var h ieee802154.Frame
						if err := h.Parse(f); err != nil || !h.Security || h.Sec.Level != level || h.Sec.KeyIDMode != mode || h.Sec.FrameCounter != uint32(100+k) {
							t.Fatalf("level %d, mode %d: %v %+v", level, mode, err, h.Sec)
						}
						if level >= 4 && bytes.Contains(f, p[len(p)-16:]) {
							t.Errorf("level %d: the end of the packet is in clear", level)
						}
					}
					b.input(t, now, frames...)
					if len(b.got) != 1 || !bytes.Equal(b.got[0], p) {
						t.Fatalf("level %d, mode %d, %d bytes to %v: %d packets, drops %v", level, mode, size, dst, len(b.got), dropList(&b.stats.RxDrops))
					}
					if a.FrameCounter() != uint32(100+len(frames)) {
						t.Errorf("next frame counter %d after %d frames", a.FrameCounter(), len(frames))
					}
				}
			}
		}
	}
}

// secureFrame returns the frame of a small packet from B to A, with its security changed.
func secureFrame(t testing.TB, key [16]byte, mod func(f *ieee802154.Frame)) []byte {
	t.Helper()
	f := ieee802154.Frame{
		Type: ieee802154.TypeData, Version: ieee802154.Version2006, PANIDCompression: true, DstPAN: pan, Seq: 1, Security: true,
		Dst: ieee802154.Extended(euiA), Src: ieee802154.Extended(euiB), Payload: udpPayload(t),
		Sec: ieee802154.AuxSecurity{Level: 5, KeyIDMode: 1, KeyIndex: 1, FrameCounter: 7},
	}
	if mod != nil {
		mod(&f)
	}
	ext := uint64(euiB)
	if f.Src.Mode == ieee802154.AddrExtended {
		ext = f.Src.V
	}
	b, err := ieee802154.NewCipher(key).Seal(nil, &f, ext)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecureDrops(t *testing.T) {
	now := time.Unix(100, 0)
	type frame = ieee802154.Frame
	flip := func(n int) []byte {
		b := secureFrame(t, keyAll, nil)
		if n < 0 {
			n += len(b)
		}
		b[n] ^= 1
		return b
	}
	levelZero := secureFrame(t, keyAll, nil)
	levelZero[21] &^= 7
	suppressed := dataFrame(func(f *frame) {
		f.Version, f.Security, f.PANIDCompression = ieee802154.Version2015, true, false
		f.Sec = ieee802154.AuxSecurity{Level: 5, KeyIDMode: 1, KeyIndex: 1, CounterSuppressed: true, ASNInNonce: true}
		f.MIC = make([]byte, 4)
	}, udpPayload(t)...)
	for _, tt := range []struct {
		name  string
		frame []byte
		mod   func(s *Security)
		want  Drop // 0: delivered
	}{
		{"right", secureFrame(t, keyAll, nil), nil, 0},
		{"better", secureFrame(t, keyAll, func(f *frame) { f.Sec.Level = 7 }), nil, 0},
		{"implicit key", secureFrame(t, keyAll, func(f *frame) { f.Sec.KeyIDMode = 0 }), nil, 0},
		{"2015", secureFrame(t, keyAll, func(f *frame) { f.Version, f.PANIDCompression = ieee802154.Version2015, false }), nil, 0},
		{"2015 with elements", secureFrame(t, keyAll, func(f *frame) {
			f.Version, f.PANIDCompression, f.IEPresent = ieee802154.Version2015, false, true
			f.HeaderIEs, f.PayloadIEs = []byte{0x00, 0x3f}, []byte{0x02, 0x90, 1, 2, 0x00, 0xf8}
		}), nil, 0},
		{"unsecured", dataFrame(nil, udpPayload(t)...), nil, DropSecurityLevel},
		{"unsecured where that is allowed", dataFrame(nil, udpPayload(t)...), func(s *Security) { s.MinLevel = 0 }, 0},
		{"shorter MIC", secureFrame(t, keyAll, nil), func(s *Security) { s.MinLevel = 6 }, DropSecurityLevel},
		{"not enciphered", secureFrame(t, keyAll, func(f *frame) { f.Sec.Level = 3 }), nil, DropSecurityLevel},
		{"no MIC", secureFrame(t, keyAll, func(f *frame) { f.Sec.Level = 4 }), nil, DropSecurityLevel},
		{"no MIC where authentication is enough", secureFrame(t, keyAll, func(f *frame) { f.Sec.Level = 4 }), func(s *Security) { s.MinLevel = 1 }, DropSecurityLevel},
		{"level 0", levelZero, nil, DropSecurity},
		{"level 0 where unsecured is allowed", levelZero, func(s *Security) { s.MinLevel = 0 }, DropSecurity},
		{"without frame counter", suppressed, nil, DropSecurity},
		{"another key", secureFrame(t, keyBad, nil), nil, DropMIC},
		{"changed header", flip(2), nil, DropMIC},
		{"changed payload", flip(30), nil, DropMIC},
		{"changed MIC", flip(-1), nil, DropMIC},
		{"another index", secureFrame(t, keyAll, func(f *frame) { f.Sec.KeyIndex = 2 }), nil, DropSecurityKey},
		{"another source", secureFrame(t, keyAll, func(f *frame) { f.Sec.KeyIDMode, f.Sec.KeySource = 3, 1 }), nil, DropSecurityKey},
		{"last counter", secureFrame(t, keyAll, func(f *frame) { f.Sec.FrameCounter = MaxCounter }), nil, DropReplay},
		{"old counter", secureFrame(t, keyAll, nil), func(s *Security) {
			s.Known = []DeviceCounter{{euiB, ieee802154.NewCipher(keyAll).Fingerprint(), 8}}
		}, DropReplay},
		{"counter of another key", secureFrame(t, keyAll, nil), func(s *Security) {
			s.Known = []DeviceCounter{{euiB, ieee802154.NewCipher(keyBad).Fingerprint(), 8}}
		}, 0},
		{"unknown short source", secureFrame(t, keyAll, func(f *frame) { f.Src = ieee802154.Short(shortB) }), nil, DropSecuritySource},
		{"known short source", secureFrame(t, keyAll, func(f *frame) { f.Src = ieee802154.Short(shortB) }), func(s *Security) {
			s.Devices = []SecureDevice{{EUI64: euiB, Short: shortB}}
		}, 0},
		{"short source of another PAN", secureFrame(t, keyAll, func(f *frame) {
			f.Src, f.PANIDCompression, f.SrcPAN = ieee802154.Short(shortB), false, pan+1
		}), func(s *Security) { s.Devices = []SecureDevice{{EUI64: euiB, Short: shortB}} }, DropSecuritySource},
		{"no room for one more device", secureFrame(t, keyAll, nil), func(s *Security) {
			s.MaxDevices = 1
			s.Known = []DeviceCounter{{0xc, ieee802154.NewCipher(keyAll).Fingerprint(), 8}}
		}, DropSecurityDevices},
		{"malformed element inside", secureFrame(t, keyAll, func(f *frame) {
			f.Version, f.PANIDCompression, f.IEPresent = ieee802154.Version2015, false, true
			f.HeaderIEs, f.PayloadIEs = []byte{0x00, 0x3f}, []byte{0x7f, 0x90}
		}), nil, DropMAC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(tt.mod)})
			a.input(t, now, bytes.Clone(tt.frame))
			if tt.want == 0 && len(a.got) != 1 || tt.want != 0 && (a.stats.RxDrops[tt.want] != 1 || len(a.got) != 0) {
				t.Errorf("%d packets, drops %v, want %v", len(a.got), dropList(&a.stats.RxDrops), tt.want)
			}
		})
	}
	// A frame that was dropped changes nothing: the genuine one is taken after it.
	a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(nil)})
	a.input(t, now, flip(-1), secureFrame(t, keyBad, func(f *frame) { f.Sec.FrameCounter = 1 << 30 }), secureFrame(t, keyAll, nil))
	if len(a.got) != 1 {
		t.Errorf("drops %v", dropList(&a.stats.RxDrops))
	}
	// What was not authenticated cannot shut out its source.
	a = newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) { s.MinLevel = 4 })})
	a.input(t, now, secureFrame(t, keyBad, func(f *frame) { f.Sec.Level, f.Sec.FrameCounter = 4, 1<<30 }), secureFrame(t, keyAll, nil))
	if len(a.got) != 1 {
		t.Errorf("drops %v", dropList(&a.stats.RxDrops))
	}
}

func TestReplay(t *testing.T) {
	now := time.Unix(100, 0)
	at := func(n uint32) []byte {
		return secureFrame(t, keyAll, func(f *ieee802154.Frame) { f.Sec.FrameCounter, f.Seq = n, byte(n) })
	}
	a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) { s.MaxDevices = 2 })})
	for _, tt := range []struct {
		counter uint32
		packets int
	}{{7, 1}, {7, 1}, {6, 1}, {0, 1}, {8, 2}, {100, 3}, {99, 3}, {101, 4}} {
		a.input(t, now, at(tt.counter))
		if len(a.got) != tt.packets {
			t.Fatalf("counter %d: %d packets, want %d", tt.counter, len(a.got), tt.packets)
		}
	}
	// Other devices do not push this one out of the table.
	for n := range uint64(5) {
		a.input(t, now, secureFrame(t, keyAll, func(f *ieee802154.Frame) { f.Src = ieee802154.Extended(0xdd00 + n) }))
	}
	if len(a.got) != 5 || a.stats.RxDrops[DropSecurityDevices] != 4 {
		t.Errorf("%d packets, drops %v", len(a.got), dropList(&a.stats.RxDrops))
	}
	a.input(t, now, at(101))
	if a.stats.RxDrops[DropReplay] != 5 {
		t.Errorf("drops %v", dropList(&a.stats.RxDrops))
	}
	// Nor does a restart.
	kept, changes := a.DeviceCounters(nil)
	if len(kept) != 2 || changes != a.DeviceCounterChanges() {
		t.Fatalf("%+v", kept)
	}
	a = newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) { s.Known = kept })})
	a.input(t, now, at(101), at(102))
	if len(a.got) != 1 || a.stats.RxDrops[DropReplay] != 1 {
		t.Errorf("%d packets, drops %v", len(a.got), dropList(&a.stats.RxDrops))
	}
}

// TestPairKey gives one device a key of its own: unicasts to and from it use that, and
// only that; broadcasts the key of all.
func TestPairKey(t *testing.T) {
	now := time.Unix(100, 0)
	pair := func(peer uint64) *Security {
		return secured(func(s *Security) { s.Devices = []SecureDevice{{EUI64: peer, HasKey: true, Key: keyPair}} })
	}
	a := newStation(InterfaceConfig{EUI64: euiA, Security: pair(euiB)})
	b := newStation(InterfaceConfig{EUI64: euiB, Security: pair(euiA)})
	c := newStation(InterfaceConfig{EUI64: 0xc, Security: secured(nil)})
	send := func(from *station, dst ipv6.LinkAddr) [][]byte {
		from.Output(now, testUDP(linkTo(from.own.Uint64(), dst), 60), dst)
		return from.frames(t, now, ieee802154.TxAcked)
	}
	b.input(t, now, send(a, ipv6.EUI64(euiB))...)
	a.input(t, now, send(b, ipv6.EUI64(euiA))...)
	all := send(a, ipv6.BroadcastShort)
	b.input(t, now, all...)
	c.input(t, now, all...)
	c.input(t, now, send(a, ipv6.EUI64(0xc))...)
	if len(a.got) != 1 || len(b.got) != 2 || len(c.got) != 2 {
		t.Errorf("%d, %d, %d packets; %v %v %v", len(a.got), len(b.got), len(c.got),
			dropList(&a.stats.RxDrops), dropList(&b.stats.RxDrops), dropList(&c.stats.RxDrops))
	}
	// Who has the key of all cannot speak for B.
	a.input(t, now, secureFrame(t, keyAll, func(f *ieee802154.Frame) { f.Sec.FrameCounter = 1000 }))
	if a.stats.RxDrops[DropMIC] != 1 {
		t.Errorf("drops %v", dropList(&a.stats.RxDrops))
	}
	if kept, _ := b.DeviceCounters(nil); len(kept) != 2 {
		t.Errorf("a counter for each key: %+v", kept)
	}
}

func TestSetShort(t *testing.T) {
	a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) { s.MaxDevices = 1 })})
	if !a.SetShort(euiB, shortB) || a.SetShort(euiB, 0x77) || a.SetShort(euiB, 0) || a.SetShort(euiB, 0xffff) || !a.SetShort(euiB, shortB) {
		t.Error("the table of short addresses is not bounded as it should be")
	}
	a.input(t, time.Unix(100, 0), secureFrame(t, keyAll, func(f *ieee802154.Frame) { f.Src = ieee802154.Short(shortB) }))
	if len(a.got) != 1 {
		t.Errorf("drops %v", dropList(&a.stats.RxDrops))
	}
}

func TestFrameCounterReserved(t *testing.T) {
	now := time.Unix(100, 0)
	var asked []uint32
	a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) {
		s.Counter, s.Reserved = 1000, 1003
		s.Reserve = func(limit uint32) { asked = append(asked, limit) }
	})})
	dst := ipv6.EUI64(euiB)
	a.Output(now, testUDP(linkTo(euiA, dst), 600), dst)
	frames := a.frames(t, now, ieee802154.TxAcked)
	if len(frames) != 3 || a.FrameCounter() != 1003 {
		t.Fatalf("%d frames, next counter %d, with 3 counters", len(frames), a.FrameCounter())
	}
	if fmt.Sprint(asked) != fmt.Sprint([]uint32{1003 + CounterStep}) {
		t.Fatalf("asked for %v", asked)
	}
	a.Output(now, testUDP(linkTo(euiA, dst), 60), dst)
	if a.Next(now, a.tx[:8]) != 0 {
		t.Fatal("sends without a counter")
	}
	wakes := a.wakes
	a.GrantCounters(1003 + CounterStep)
	if a.wakes != wakes+1 {
		t.Errorf("%d wakes", a.wakes-wakes)
	}
	b := newStation(InterfaceConfig{EUI64: euiB, Security: secured(nil)})
	b.input(t, now, append(frames, a.frames(t, now, ieee802154.TxAcked)...)...)
	if len(b.got) != 2 {
		t.Errorf("%d packets, drops %v", len(b.got), dropList(&b.stats.RxDrops))
	}
	// Half a step later more is asked for, once.
	for range CounterStep {
		a.Output(now, testUDP(linkTo(euiA, dst), 60), dst)
		a.frames(t, now, ieee802154.TxAcked)
	}
	if len(asked) != 2 || asked[1] != 1003+2*CounterStep {
		t.Errorf("asked for %v", asked)
	}
}

func TestFrameCounterExhausted(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Security: secured(func(s *Security) {
		s.Counter, s.Reserved = MaxCounter-4, MaxCounter
		s.Reserve = func(limit uint32) { t.Errorf("asked for %d", limit) }
	})})
	dst := ipv6.EUI64(euiB)
	for range 2 {
		a.Output(now, testUDP(linkTo(euiA, dst), 600), dst)
	}
	if frames := a.frames(t, now, ieee802154.TxAcked); len(frames) != 4 {
		t.Errorf("%d frames", len(frames))
	}
	// The one that was being sent, and the one behind it.
	if s := a.Stats(); s.TxDrops[DropCounter] != 2 || s.DatagramsQueued != 0 {
		t.Errorf("drops %v, %d queued", dropList(&s.TxDrops), s.DatagramsQueued)
	}
	if err := a.Output(now, testUDP(linkTo(euiA, dst), 60), dst); err != DropCounter {
		t.Errorf("%v", err)
	}
	if a.FrameCounter() != MaxCounter {
		t.Errorf("counter %x", a.FrameCounter())
	}
}

func TestSecureAllocs(t *testing.T) {
	now := time.Now()
	a, b, p, packets := benchLink(t, 1280)
	for _, i := range []*Interface{a, b} {
		i.sec = newSecurity(*secured(nil))
	}
	tx, dst := benchBatch(), ipv6.EUI64(euiB)
	if n := testing.AllocsPerRun(200, func() {
		for _, f := range out(t, a, now, p, dst, tx) {
			b.Input(now, &ieee802154.RxFrame{Data: f.Data})
			b.Input(now, &ieee802154.RxFrame{Data: f.Data}) // repeated
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if *packets < 200 || b.stats.RxDrops[DropReplay] == 0 {
		t.Errorf("%d packets, drops %v", *packets, dropList(&b.stats.RxDrops))
	}
}

// A secured frame to a packet: MAC header, CCM*, IPHC, NHC, 32 bytes.
func BenchmarkSecureFrameIn(b *testing.B) {
	s, r, p, _ := benchLink(b, 80)
	s.sec, r.sec = newSecurity(*secured(nil)), newSecurity(*secured(nil))
	now := time.Now()
	f := ieee802154.RxFrame{Data: out(b, s, now, p, ipv6.EUI64(euiB), benchBatch())[0].Data}
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		clear(r.sec.next) // or it would be a repetition
		r.Input(now, &f)
	}
	if r.stats.FramesDropped() != 0 {
		b.Fatal(dropList(&r.stats.RxDrops))
	}
}

// TestSecureRecovery sends recoverable fragments that are secured, over a link that loses
// some: what is repeated has a frame counter of its own.
func TestSecureRecovery(t *testing.T) {
	y := newLossy(toB, Limits{})
	y.a.sec, y.b.sec = newSecurity(*secured(nil)), newSecurity(*secured(func(s *Security) { s.Level = 7 }))
	n := 0
	y.lose = func([]byte) bool { n++; return n%5 == 0 }
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
	for k := range 3 {
		y.a.Output(y.now, p, ipv6.EUI64(euiB))
		y.run(t)
		if len(y.b.got) != k+1 || !bytes.Equal(y.b.got[k], p) {
			t.Fatalf("%d datagrams; drops %v, %v", len(y.b.got), dropList(&y.a.stats.RxDrops), dropList(&y.b.stats.RxDrops))
		}
	}
	if d := y.a.stats.RxDrops[DropReplay] + y.b.stats.RxDrops[DropReplay]; d != 0 || y.a.Stats().Recoveries == 0 {
		t.Errorf("%d replays, %+v", d, y.a.Stats())
	}

	// The counter ends while a datagram is on its way: it is given up, and nothing waits.
	y.a.sec.out.FrameCounter = MaxCounter - 5
	y.lose = nil
	for range 3 {
		y.a.Output(y.now, p, ipv6.EUI64(euiB))
	}
	y.run(t)
	if s := y.a.Stats(); s.DatagramsQueued != 0 || s.TxDrops[DropCounter] != 3 || len(y.b.got) != 3 {
		t.Errorf("%d wait, %d arrived, drops %v", s.DatagramsQueued, len(y.b.got), dropList(&s.TxDrops))
	}
}

// TestGrantWakesPlain wakes the radio for a datagram that is to be sent as fragments of RFC
// 4944 after all, where it is the only thing that waits for frame counters.
func TestGrantWakesPlain(t *testing.T) {
	woken := 0
	i := NewInterface(InterfaceConfig{EUI64: 1, PAN: 0x23, Wake: func() { woken++ },
		Security: &Security{Counter: 5, Reserved: 5, Reserve: func(uint32) {}}})
	i.rec.plain = new(datagram)
	if n := i.Next(time.Now(), make([]ieee802154.TxFrame, 1)); n != 0 {
		t.Fatalf("%d frames", n)
	}
	if i.GrantCounters(10); woken != 1 {
		t.Errorf("woken %d times", woken)
	}
}

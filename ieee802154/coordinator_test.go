package ieee802154

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func newTestCoordinator() *Coordinator {
	return NewCoordinator(CoordinatorConfig{Ext: ownEUI, PAN: ownPAN, Rand: rand.New(rand.NewPCG(1, 1))})
}

func take(t testing.TB, c *Coordinator, now time.Time, b []byte) (bool, error) {
	t.Helper()
	var f Frame
	if err := f.Parse(b); err != nil {
		t.Fatal(err)
	}
	return c.Input(now, &f)
}

func associationRequest(src Addr, capability ...byte) Frame {
	return Frame{Type: TypeCommand, AckRequest: true, Seq: 1, DstPAN: ownPAN, Dst: Extended(ownEUI), SrcPAN: BroadcastPAN, Src: src,
		Payload: append([]byte{byte(CommandAssociationRequest)}, capability...)}
}

// TestCoordinatorBeacon: after a random delay one beacon answers all that asked for it, ten
// a second at most. Its bytes were checked with tshark.
func TestCoordinatorBeacon(t *testing.T) {
	c := newTestCoordinator()
	c.seq = 5
	now := t0
	seen := map[time.Duration]bool{}
	var last time.Time
	for k := range 20 {
		for range 3 {
			if _, err := take(t, c, now, AppendBeaconRequest(nil, uint8(k))); err != nil {
				t.Fatal(err)
			}
		}
		d := c.Deadline()
		if _, _, ok := c.Append(now, nil, 0, nil); ok || d.Before(now.Add(beaconDelayMin)) || c.Advance(now, nil) {
			t.Fatalf("at once, due in %v", d.Sub(now))
		}
		if k == 0 && d.After(now.Add(beaconDelayMax)) || d.After(now.Add(beaconGap)) {
			t.Fatalf("due in %v", d.Sub(now))
		}
		if !last.IsZero() && d.Sub(last) < beaconGap {
			t.Fatalf("%v after the one before", d.Sub(last))
		}
		seen[d.Sub(now)] = true
		if !c.Advance(d, nil) {
			t.Fatal("not ready")
		}
		b, dst, ok := c.Append(d, nil, 77, nil)
		if want, _ := hex.DecodeString(fmt.Sprintf("00c0%02x2300%sff4f0000", 5+k, extHex(ownEUI))); !ok || !bytes.Equal(b, want) || dst.Mode != AddrNone {
			t.Fatalf("%x, want %x", b, want)
		}
		now, last = d, d
	}
	if len(seen) < 2 {
		t.Error("the delay is not random")
	}
	if st := c.Stats(); st.BeaconRequests != 60 || st.BeaconsSent != 20 {
		t.Errorf("%+v", st)
	}
	// Whoever goes on asking does not put the beacon off.
	begin := now.Add(time.Second)
	for now = begin; !c.Advance(now, nil); now = now.Add(time.Millisecond) {
		if now.Sub(begin) > beaconDelayMax {
			t.Fatal("put off")
		}
		if _, err := take(t, c, now, AppendBeaconRequest(nil, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := c.Append(now, nil, 0, nil); !ok {
		t.Error("no beacon")
	}
	// An enhanced beacon request is not answered.
	e := Frame{Type: TypeCommand, Version: Version2015, Dst: Short(BroadcastShort), DstPAN: BroadcastPAN, Payload: []byte{7}}
	if _, err := take(t, c, now, build(t, e)); err != nil || !c.Deadline().IsZero() {
		t.Errorf("%v, due %v", err, c.Deadline())
	}
}

func extHex(v uint64) string { return hex.EncodeToString(appendAddr(nil, Extended(v))) }

// TestCoordinatorPending: a beacon names seven addresses at most, the short ones first.
func TestCoordinatorPending(t *testing.T) {
	c := newTestCoordinator()
	c.SetAddress(ownEUI, 0x1234, ownPAN)
	take(t, c, t0, AppendBeaconRequest(nil, 1))
	var list []Addr
	for k := range uint64(5) {
		list = append(list, Extended(0x100+k), Short(uint16(k)))
	}
	b, _, ok := c.Append(c.Deadline(), nil, 0, list)
	var f Frame
	var bc Beacon
	if !ok || f.Parse(b) != nil || bc.Parse(f.Payload) != nil || f.Src != Short(0x1234) {
		t.Fatalf("%x", b)
	}
	if bc.NumShort != 3 || bc.NumExt != 4 {
		t.Fatalf("%d short, %d extended", bc.NumShort, bc.NumExt)
	}
	for i, want := range []Addr{Short(0), Short(1), Short(2), Extended(0x100), Extended(0x101), Extended(0x102), Extended(0x103)} {
		if a, _ := bc.PendingAddr(i); a != want {
			t.Errorf("address %d: %v, want %v", i, a, want)
		}
	}
}

// TestCoordinatorAssociation: the refusal waits for the data request, and not for ever.
func TestCoordinatorAssociation(t *testing.T) {
	c := newTestCoordinator()
	peer := Extended(peerEUI)
	take(t, c, t0, build(t, associationRequest(peer, 0x8e)))
	take(t, c, t0, build(t, associationRequest(peer, 0x8e)))
	if !c.Waits(peer) || c.Waits(Short(1)) || c.Polled(Short(1)) || c.Advance(t0, nil) {
		t.Fatal("who waits")
	}
	if !c.Polled(peer) || !c.Advance(t0, nil) {
		t.Fatal("not ready")
	}
	b, dst, ok := c.Append(t0, nil, 9, nil)
	want, _ := hex.DecodeString("63cc092300" + extHex(peerEUI) + extHex(ownEUI) + "02ffff02")
	if !ok || !bytes.Equal(b, want) || dst != peer || c.Waits(peer) {
		t.Fatalf("%x, want %x", b, want)
	}
	for k := range uint64(maxRefusals + 2) {
		take(t, c, t0, build(t, associationRequest(Extended(k+1), 0)))
	}
	gone := 0
	d := c.Deadline()
	if d != t0.Add(TransactionPersistence) || c.Advance(d, func(Addr) { gone++ }) || gone != maxRefusals || !c.Deadline().IsZero() {
		t.Errorf("deadline %v, %d gone", d.Sub(t0), gone)
	}
	if st := c.Stats(); st.Associations != 2+maxRefusals+2 || st.AssociationsDenied != 1 || st.AssociationsLost != maxRefusals+2 {
		t.Errorf("%+v", st)
	}
}

func TestCoordinatorInput(t *testing.T) {
	short := func(f *Frame) { f.Src = Short(5) }
	mod := func(f Frame, g func(*Frame)) Frame { g(&f); return f }
	conflict := Frame{Type: TypeCommand, AckRequest: true, PANIDCompression: true, DstPAN: ownPAN, Dst: Extended(ownEUI), Src: Extended(peerEUI), Payload: []byte{byte(CommandPANIDConflict)}}
	beacon := func(pan uint16, superframe string) Frame {
		p, _ := hex.DecodeString(superframe + "0000")
		return Frame{Type: TypeBeacon, SrcPAN: pan, Src: Extended(peerEUI), Payload: p}
	}
	for _, tt := range []struct {
		name    string
		f       Frame
		episode bool
		err     error
	}{
		{"beacon of the PAN coordinator of our PAN", beacon(ownPAN, "ff4f"), true, nil},
		{"beacon of a router of our PAN", beacon(ownPAN, "ff0f"), false, nil},
		{"beacon of another PAN", beacon(0x99, "ff4f"), false, nil},
		{"beacon cut short", mod(beacon(ownPAN, "ff4f"), func(f *Frame) { f.Payload = f.Payload[:3] }), false, DropTruncated},
		{"conflict notification", conflict, true, nil},
		{"conflict notification, short source", mod(conflict, short), false, DropAddressing},
		{"association request, cut short", associationRequest(Extended(peerEUI)), false, DropPayload},
		{"association request, short source", mod(associationRequest(Extended(1), 0), short), false, DropAddressing},
		{"association request to all", mod(associationRequest(Extended(1), 0), func(f *Frame) { f.Dst = Short(0xffff) }), false, DropAddressing},
		{"orphan notification", mod(conflict, func(f *Frame) { f.Payload = []byte{6} }), false, nil},
		{"no command", mod(conflict, func(f *Frame) { f.Payload = nil }), false, DropPayload},
		{"data", to(Extended(ownEUI), 1), false, DropFrameType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestCoordinator()
			for k := range 2 {
				episode, err := take(t, c, t0, build(t, tt.f))
				if err != tt.err || episode != (tt.episode && k == 0) {
					t.Errorf("time %d: %v, %v", k, episode, err)
				}
			}
			x, ok := c.Conflict(t0)
			if ok != tt.episode || ok && (x.Addr != Extended(peerEUI) || x.Since != t0 || x.Notified != (tt.f.Type == TypeCommand)) {
				t.Errorf("conflict %+v, %v", x, ok)
			}
			if _, ok := c.Conflict(t0.Add(conflictEpisode)); ok {
				t.Error("for ever")
			}
		})
	}
}

// FuzzCoordinator: whatever frames come, at most ten beacons a second and one refusal a
// request go out, each a frame that parses, and in the end nothing is left.
func FuzzCoordinator(f *testing.F) {
	f.Add(AppendBeaconRequest(nil, 1), uint16(5))
	f.Add(build(f, associationRequest(Extended(peerEUI), 0x8e)), uint16(700))
	f.Add(unhexScan(f, "00c00723000a00000000741202ff4f0000"), uint16(20))
	f.Fuzz(func(t *testing.T, b []byte, ms uint16) {
		c := newTestCoordinator()
		var g Frame
		if g.Parse(b) != nil {
			return
		}
		now, sent := t0, 0
		for range 20 {
			c.Input(now, &g)
			now = now.Add(time.Duration(ms) * time.Millisecond)
			c.Polled(g.Src)
			for c.Advance(now, nil) {
				b, _, ok := c.Append(now, nil, 0, []Addr{g.Src, g.Dst})
				var h Frame
				if !ok || h.Parse(b) != nil {
					t.Fatalf("%x, %v", b, ok)
				}
				sent++
			}
		}
		if st := c.Stats(); sent > 20 || st.BeaconsSent > 1+uint64(now.Sub(t0)/beaconGap) {
			t.Fatalf("%d frames, %+v", sent, st)
		}
		for !c.Deadline().IsZero() {
			now = c.Deadline()
			if c.Advance(now, nil) {
				c.Append(now, nil, 0, nil)
			}
		}
	})
}

package ieee802154

import (
	"testing"
	"time"
)

func poll(src Addr, seq uint8, version uint8) Frame {
	return Frame{Type: TypeCommand, Version: version, PANIDCompression: version != Version2015, AckRequest: true, Seq: seq, DstPAN: ownPAN,
		Dst: Extended(ownEUI), Src: src, Payload: []byte{byte(CommandDataRequest)}}
}

// TestFramePending: acknowledgments of data requests, and of them only, say whether frames
// wait for the sender.
func TestFramePending(t *testing.T) {
	peer, other := Extended(peerEUI), Short(0x77)
	enciphered := poll(peer, 9, Version2015)
	enciphered.Security, enciphered.Sec, enciphered.MIC = true, AuxSecurity{Level: 5, FrameCounter: 1}, make([]byte, 4)
	other2006 := poll(peer, 1, Version2006)
	other2006.Payload = []byte{byte(CommandAssociationRequest), 0}
	for _, c := range []struct {
		name    string
		f       Frame
		pending []Addr
		all     bool
		want    bool
	}{
		{"waits", poll(peer, 1, 0), []Addr{other, peer}, false, true},
		{"waits for others", poll(peer, 1, 0), []Addr{other}, false, false},
		{"waits, short", poll(other, 1, Version2006), []Addr{other, peer}, false, true},
		{"source not known", poll(Short(0x78), 1, 0), nil, false, false},
		{"cannot tell", poll(Short(0x78), 1, 0), nil, true, true},
		{"version 2015", poll(peer, 1, Version2015), []Addr{peer}, false, true},
		{"enciphered", enciphered, []Addr{peer}, false, true},
		{"another command", other2006, []Addr{peer}, true, false},
		{"data", to(Extended(ownEUI), 1), []Addr{peer}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newTestMAC()
			for _, a := range c.pending {
				if err := m.SetPending(a, true); err != nil {
					t.Fatal(err)
				}
			}
			m.SetSourceMatch(!c.all)
			for k := range 2 { // the repetition is acknowledged alike
				ack, deliver, _ := m.Receive(t0, build(t, c.f))
				if ack == nil || (ack[0]&fcfPending != 0) != c.want || deliver != (k == 0) {
					t.Errorf("time %d: acknowledgment %x, delivered %v", k, ack, deliver)
				}
			}
			if st := m.Stats(); (st.PendingAcks == 2) != c.want {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestSetPending(t *testing.T) {
	m := newTestMAC()
	for k := range uint64(MaxPending) {
		if err := m.SetPending(Extended(k+1), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SetPending(Extended(1), true); err != nil {
		t.Errorf("known: %v", err)
	}
	if err := m.SetPending(Short(1), true); err != ErrPendingFull || err.Error() == "" {
		t.Errorf("full: %v", err)
	}
	if err := m.SetPending(Short(1), false); err != nil {
		t.Errorf("unknown: %v", err)
	}
	m.SetPending(Extended(3), false)
	if err := m.SetPending(Short(1), true); err != nil {
		t.Errorf("room: %v", err)
	}
}

func TestReceiverOff(t *testing.T) {
	m := newTestMAC()
	m.SetReceiver(false)
	if ack, deliver, err := m.Receive(t0, build(t, to(Extended(ownEUI), 1))); ack != nil || deliver || err != DropAsleep {
		t.Errorf("heard: %x, %v, %v", ack, deliver, err)
	}
	// It hears the acknowledgment of what it sends, and whether more waits.
	for _, pending := range []bool{false, true} {
		f := poll(Extended(ownEUI), 7, 0)
		f.Dst = Extended(peerEUI)
		m.Begin(t0, build(t, f))
		m.Poll(t0)
		m.Receive(t0, build(t, Frame{Type: TypeAck, Seq: 7, Pending: pending}))
		if a, s := m.Poll(t0); a != MACDone || s != TxAcked || m.MorePending() != pending {
			t.Errorf("%v, %v, pending %v", a, s, m.MorePending())
		}
	}
	m.SetReceiver(true)
	if _, deliver, _ := m.Receive(t0, build(t, to(Extended(ownEUI), 1))); !deliver {
		t.Error("does not hear")
	}
}

// TestIndirectOnce: one attempt, and what becomes of it says nothing of the peer.
func TestIndirectOnce(t *testing.T) {
	m := newTestMAC()
	m.Receive(t0, build(t, to(Extended(ownEUI), 1)))
	f := to(Extended(peerEUI), 2)
	f.Src = Extended(ownEUI)
	now := t0
	for range 10 {
		m.BeginIndirect(now, build(t, f))
		if a, _ := m.Poll(now); a != MACSend {
			t.Fatal(a)
		}
		now = m.Deadline()
		if a, s := m.Poll(now); a != MACDone || s != TxNoAck || m.Attempts() != 1 {
			t.Fatalf("%v, %v, %d attempts", a, s, m.Attempts())
		}
		m.Receive(now, build(t, to(Extended(ownEUI), 3)))
	}
	if m.NeverAcks(Extended(peerEUI), ownPAN) || m.Stats().NeverAck != 0 {
		t.Error("taken for one that never acknowledges")
	}
	m.Begin(now, build(t, f))
	m.Busy()
	if a, s := m.Poll(now); a != MACDone || s != TxChannelBusy || m.Stats().ChannelBusy != 1 {
		t.Errorf("%v, %v, %+v", a, s, m.Stats())
	}
	m.Busy() // nothing under way
	if a, _ := m.Poll(now); a != MACNone {
		t.Error(a)
	}
}

func TestPendingAllocs(t *testing.T) {
	m := newTestMAC()
	f := build(t, poll(Extended(peerEUI), 1, 0))
	now := t0
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Minute)
		m.SetPending(Extended(peerEUI), true)
		m.Receive(now, f)
		m.SetPending(Extended(peerEUI), false)
		m.BeginIndirect(now, f)
		m.Poll(now)
		m.Poll(now.Add(time.Second))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

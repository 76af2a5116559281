package ieee802154

import (
	"encoding/hex"
	"testing"
	"time"
)

func (p *Poller) ask(t testing.TB, now time.Time) {
	t.Helper()
	b, ok := p.Append(now, nil, 3, ownPAN, Extended(peerEUI), Extended(ownEUI))
	if want := "63cc032300" + extHex(peerEUI) + extHex(ownEUI) + "04"; !ok || hex.EncodeToString(b) != want {
		t.Fatalf("%x, %v, want %s", b, ok, want)
	}
	if !p.Receiver() {
		t.Fatal("receiver off while the acknowledgment is awaited")
	}
}

func TestPoller(t *testing.T) {
	p := NewPoller(PollerConfig{Interval: 5 * time.Second})
	now := t0
	if !p.Receiver() || !p.Deadline().IsZero() || p.Advance(now) {
		t.Fatal("sleeps without a coordinator")
	}
	if _, ok := p.Append(now, nil, 1, ownPAN, Extended(1), Extended(2)); ok {
		t.Fatal("asks nobody")
	}
	p.Sleep(now, true)
	p.Sleep(now, true)
	if p.Receiver() || p.Deadline() != now {
		t.Fatal("does not begin with a data request")
	}
	p.ask(t, now)
	p.Done(now, true, false)
	if p.Receiver() || p.Deadline() != now.Add(5*time.Second) {
		t.Fatalf("nothing waits: receiver %v, next in %v", p.Receiver(), p.Deadline().Sub(now))
	}
	// Two frames wait; the second one is here before the fate of the data request.
	now = p.Deadline()
	p.ask(t, now)
	p.Done(now, true, true)
	if !p.Receiver() || p.Deadline() != now.Add(DefaultPollWait) {
		t.Fatal("does not listen")
	}
	p.Received(now, true)
	if !p.Advance(now) {
		t.Fatal("does not fetch the second one at once")
	}
	p.ask(t, now)
	p.Received(now, false)
	p.Done(now, true, true)
	if p.Receiver() || p.Deadline() != now.Add(5*time.Second) {
		t.Fatal("goes on listening")
	}
	// What it sends is answered soon.
	p.Sending(now)
	for range DefaultFastPolls {
		now = now.Add(DefaultFastInterval)
		if p.Deadline() != now {
			t.Fatalf("next in %v", p.Deadline().Sub(now))
		}
		p.ask(t, now)
		p.Done(now, true, false)
	}
	// The answer does not come: it asks again at once, but not for ever.
	now = p.Deadline()
	for k := range quickPolls + 1 {
		p.ask(t, now)
		p.Done(now, true, true)
		now = p.Deadline()
		if due := p.Advance(now); due != (k < quickPolls) {
			t.Fatalf("missed %d times: due %v", k+1, due)
		}
	}
	// No acknowledgment: the coordinator is gone, or its clock stands still for a moment.
	now = p.Deadline()
	p.ask(t, now)
	p.Done(now, false, false)
	p.Done(now, true, true) // nobody asked
	if p.Receiver() {
		t.Fatal("listens")
	}
	p.Received(now, true) // a frame from before
	p.Sleep(now, false)
	if !p.Receiver() || !p.Deadline().IsZero() {
		t.Error("sleeps without a coordinator")
	}
	if s, want := p.Stats(), (PollerStats{Polls: 3 + DefaultFastPolls + quickPolls + 2, Failed: 1, Pending: 2 + quickPolls + 1, Received: 2, Missed: quickPolls + 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

package lowpan

import (
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// Answers to stations that do not exist take neither the turn nor the place of what is for a
// neighbour that does.
func TestQueueStrangers(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 64}})
	friend := ipv6.EUI64(1)
	send := func(dst ipv6.LinkAddr) { a.Output(now, testUDP(linkTo(euiA, dst), 140), dst) }
	var toFriend, toOthers int
	step := func() {
		n := a.Next(now, a.tx[:1])
		for k := range a.tx[:n] {
			var h ieee802154.Frame
			if err := h.Parse(a.tx[k].Data); err != nil {
				t.Fatal(err)
			}
			a.tx[k].Status = ieee802154.TxNoAck
			if toOthers++; h.Dst.V == 1 {
				a.tx[k].Status = ieee802154.TxAcked
				toFriend++
				toOthers--
			}
		}
		a.Done(now, a.tx[:n])
		checkInterface(t, a.Interface)
	}
	send(friend)
	for range 2 {
		step()
	}
	toFriend = 0
	for k := range 1000 {
		for j := range 5 {
			send(ipv6.EUI64(uint64(1000 + 5*k + j)))
		}
		send(friend)
		for range 3 {
			step()
		}
	}
	if drops := a.Stats().TxDrops; drops[DropQueueTotal] == 0 || toFriend < 995 || toOthers < 1000 {
		t.Errorf("%d of 1000 datagrams to the friend, %d to others; drops %v", toFriend, toOthers, drops)
	}
}

// A neighbour that the air loses frames of is still told from stations that do not exist;
// one that takes nothing any more is not.
func TestQueueMissed(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 64}})
	friend := ipv6.EUI64(1)
	send := func(dst ipv6.LinkAddr) { a.Output(now, testUDP(linkTo(euiA, dst), 80), dst) }
	// until sends frames until one goes to the friend, which takes it or not, and returns how
	// many went to others before.
	until := func(taken bool) (others int) {
		for {
			n := a.Next(now, a.tx[:1])
			if n == 0 {
				t.Fatal("nothing to send")
			}
			var h ieee802154.Frame
			if err := h.Parse(a.tx[0].Data); err != nil {
				t.Fatal(err)
			}
			mine := h.Dst.V == 1
			a.tx[0].Status = ieee802154.TxNoAck
			if mine && taken {
				a.tx[0].Status = ieee802154.TxAcked
			}
			a.Done(now, a.tx[:n])
			checkInterface(t, a.Interface)
			if mine {
				return others
			}
			others++
		}
	}
	send(friend)
	until(true)
	crowd := uint64(1000)
	round := func(taken bool) int {
		for range 40 {
			crowd++
			send(ipv6.EUI64(crowd))
		}
		send(friend)
		return until(taken)
	}
	for k := range 10 {
		if n := round(false); n > 3 {
			t.Fatalf("after a loss the friend waits for %d others", n)
		}
		if n := round(true); n > 3 {
			t.Fatalf("round %d: after a loss the friend waits for %d others", k, n)
		}
	}
	for range 2 * maxMissed {
		if n := round(false); n > 3 {
			t.Errorf("a neighbour that was there once waits for %d others", n)
		}
	}
	if a.q.lookup(friend).answered {
		t.Error("a neighbour that takes nothing is still among those that answer")
	}
}

// A neighbour that was there once and takes nothing now has every second of the turns that
// stations have which do not answer: neither those that do nor those that were never heard
// have less for all that waits for it.
func TestQueueAway(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 64}})
	const away, friend = 1, 2
	var sent [3]int // to a stranger, to the one that is away, to the friend
	send := func(n uint64) { a.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(n)), 60), ipv6.EUI64(n)) }
	step := func(taken bool) {
		if a.Next(now, a.tx[:1]) != 1 {
			t.Fatal("nothing to send")
		}
		var h ieee802154.Frame
		if err := h.Parse(a.tx[0].Data); err != nil {
			t.Fatal(err)
		}
		kind := 0
		if h.Dst.V <= friend {
			kind = int(h.Dst.V)
		}
		sent[kind]++
		a.tx[0].Status = ieee802154.TxNoAck
		if taken || kind == friend {
			a.tx[0].Status = ieee802154.TxAcked
		}
		a.Done(now, a.tx[:1])
		checkInterface(t, a.Interface)
	}
	for _, n := range []uint64{away, friend} {
		send(n)
		step(true)
	}
	for range maxMissed {
		send(away)
		step(false)
	}
	sent = [3]int{}
	for k := range 3000 {
		send(uint64(1000 + k))
		for _, n := range []uint64{away, friend} {
			if a.q.lookup(ipv6.EUI64(n)).n < 10 {
				send(n)
			}
		}
		step(false)
	}
	t.Logf("%d to strangers, %d to the one that is away, %d to the friend", sent[0], sent[1], sent[2])
	if others := sent[0] + sent[1]; sent[0] < sent[1]-1 || sent[1] < sent[0]-1 || others < 10 || sent[2] < 5*others {
		t.Errorf("sent %v", sent)
	}
}

// TestStopsAnswering: what waits for a neighbour that has just left too many frames in a row
// unacknowledged goes on to be sent, as to one that was never heard, whenever in the turns of
// the others that happens.
func TestStopsAnswering(t *testing.T) {
	now := time.Unix(100, 0)
	known, strange := ipv6.EUI64(1), ipv6.EUI64(2)
	for size := 100; size <= ipv6.MinMTU; size += 20 {
		a := newStation(InterfaceConfig{EUI64: euiA})
		a.Output(now, testUDP(linkTo(euiA, known), 60), known)
		a.frames(t, now, ieee802154.TxAcked)
		a.Output(now, testUDP(linkTo(euiA, strange), 60), strange)
		for range maxMissed + 4 {
			a.Output(now, testUDP(linkTo(euiA, known), size), known)
		}
		for a.Stats().DatagramsQueued > 0 {
			if a.Next(now, a.tx[:1]) != 1 {
				t.Fatalf("nothing is sent of %d datagrams of %d bytes", a.Stats().DatagramsQueued, size)
			}
			a.tx[0].Status = ieee802154.TxNoAck
			a.Done(now, a.tx[:1])
			checkInterface(t, a.Interface)
		}
	}
}

// TestQueueWakes: a neighbour that has taken frames in its sleep is no stranger when it is awake.
func TestQueueWakes(t *testing.T) {
	now := time.Unix(100, 0)
	a, _ := sleepyStation(t, InterfaceConfig{Limits: Limits{QueueDatagrams: 64}})
	friend := ipv6.EUI64(euiB)
	send := func(dst ipv6.LinkAddr) { a.Output(now, testUDP(linkTo(euiA, dst), 80), dst) }
	a.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	send(friend)
	a.input(t, now, dataRequest(2, ieee802154.Extended(euiB)))
	if f := a.one(t, now, ieee802154.TxAcked); len(f) != 1 {
		t.Fatalf("%d frames for a data request", len(f))
	}
	for n := range uint64(40) {
		send(ipv6.EUI64(1000 + n))
	}
	a.SetSleep(now, friend, SleepLearnt)
	send(friend)
	for others := 0; ; others++ {
		if a.Next(now, a.tx[:1]) != 1 {
			t.Fatal("nothing to send")
		}
		var h ieee802154.Frame
		if err := h.Parse(a.tx[0].Data); err != nil {
			t.Fatal(err)
		}
		a.tx[0].Status = ieee802154.TxNoAck
		a.Done(now, a.tx[:1])
		checkInterface(t, a.Interface)
		if h.Dst.V != euiB {
			continue
		}
		if others > 3 {
			t.Errorf("the neighbour waits for %d others", others)
		}
		return
	}
}

// TestQueueGone: no more neighbours are kept than may be, also where those that nothing
// waits for have left too many frames unacknowledged just now, at whatever end of a batch.
func TestQueueGone(t *testing.T) {
	now := time.Unix(100, 0)
	for batch := 1; batch <= MaxBatch; batch++ {
		a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 4}})
		send := func(n uint64, size int) {
			a.Output(now, testUDP(linkTo(euiA, ipv6.EUI64(n)), size), ipv6.EUI64(n))
			checkInterface(t, a.Interface)
		}
		for n := range uint64(5) {
			send(1+n, 60)
			a.frames(t, now, ieee802154.TxAcked)
		}
		for range maxMissed - 1 {
			for _, n := range []uint64{5, 1} {
				send(n, 60)
				a.frames(t, now, ieee802154.TxNoAck)
			}
		}
		for range 3 {
			send(1, ipv6.MinMTU)
		}
		send(5, 60)
		n := a.Next(now, a.tx[:batch])
		for k := range a.tx[:n] {
			if a.tx[k].Status = ieee802154.TxNoAck; k > 0 && a.tx[k-1].More {
				a.tx[k].Status = ieee802154.TxSkipped
			}
		}
		a.Done(now, a.tx[:n])
		for n := range uint64(3) {
			send(2+n, 60)
		}
		send(6, 60)
	}
}

// TestQueueTurn: what is sent while nobody else has a turn does not add up without end.
func TestQueueTurn(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	friend := ipv6.EUI64(1)
	send := func() { a.Output(now, testUDP(linkTo(euiA, friend), 1000), friend) }
	send()
	a.frames(t, now, ieee802154.TxAcked)
	for range 3 {
		send()
	}
	for a.q.ready > 0 {
		n := a.Next(now, a.tx[:1])
		a.tx[0].Status = ieee802154.TxAcked
		a.Done(now, a.tx[:n])
		if a.q.turn > quantum {
			t.Fatalf("%d bytes", a.q.turn)
		}
	}
}

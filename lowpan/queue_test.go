package lowpan

import (
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// TestQueueFull drops the oldest of a neighbour, and of the longest queue.
func TestQueueFull(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 8, QueuePerNeighbor: 5}})
	out := func(dst uint64, mark byte) {
		t.Helper()
		p := testUDP(linkTo(euiA, ipv6.EUI64(dst)), 60)
		p.SetHopLimit(mark)
		if err := a.Output(now, p, ipv6.EUI64(dst)); err != nil {
			t.Fatal(err)
		}
		checkInterface(t, a.Interface)
	}
	for k := range byte(7) {
		out(1, k)
	}
	s := a.Stats()
	if s.TxDrops[DropQueueFull] != 2 || s.DatagramsQueued != 5 || a.wakes != 1 || !a.Busy() {
		t.Errorf("one neighbour: %+v, %v, %d wakes", s.DatagramsQueued, dropList(&s.TxDrops), a.wakes)
	}
	for k := range uint64(5) {
		out(2+k, 0)
	}
	if s = a.Stats(); s.TxDrops[DropQueueTotal] != 2 || s.DatagramsQueued != 8 {
		t.Errorf("all: %+v, %v", s.DatagramsQueued, dropList(&s.TxDrops))
	}
	if nb := a.q.lookup(ipv6.EUI64(1)); nb.n != 3 {
		t.Errorf("%d are left in the longest queue", nb.n)
	}
	// The youngest are left, in order.
	b := newStation(InterfaceConfig{EUI64: 1})
	b.input(t, now, a.frames(t, now, ieee802154.TxSent)...)
	for k, p := range b.got {
		if int(p.HopLimit()) != 4+k {
			t.Errorf("datagram %d is number %d", k, p.HopLimit())
		}
	}
	if len(b.got) != 3 || a.Busy() {
		t.Errorf("%d datagrams arrived, busy %v", len(b.got), a.Busy())
	}
}

// TestQueueAllFlying refuses when everything that may wait is with the radio.
func TestQueueAllFlying(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 2}})
	p := func(dst uint64) (ipv6.Packet, ipv6.LinkAddr) {
		return testUDP(linkTo(euiA, ipv6.EUI64(dst)), 60), ipv6.EUI64(dst)
	}
	for k := range uint64(2) {
		q, dst := p(k + 1)
		a.Output(now, q, dst)
	}
	n := a.Next(now, a.tx[:])
	q, dst := p(9)
	if err := a.Output(now, q, dst); n != 2 || err != DropQueueTotal {
		t.Fatalf("%d frames, %v", n, err)
	}
	a.Done(now, a.tx[:n])
	if err := a.Output(now, q, dst); err != nil {
		t.Fatal(err)
	}
	checkInterface(t, a.Interface)
}

// TestQueueNeighbors goes through more neighbours than are kept.
func TestQueueNeighbors(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueDatagrams: 16, QueuePerNeighbor: 2}})
	for k := range uint64(500) {
		dst := ipv6.EUI64(k%70 + 1)
		if err := a.Output(now, testUDP(linkTo(euiA, dst), 60), dst); err != nil {
			t.Fatal(err)
		}
		checkInterface(t, a.Interface)
		if k%7 == 0 {
			n := a.Next(now, a.tx[:5])
			a.Done(now, a.tx[:n])
			checkInterface(t, a.Interface)
		}
	}
	a.frames(t, now, ieee802154.TxSent)
	if a.q.neighbors > 17 || a.q.total != 0 {
		t.Errorf("%d neighbours, %d datagrams", a.q.neighbors, a.q.total)
	}
}

// TestQueueDrained gives a neighbour that is sent one datagram after another, with nothing
// else waiting, no more than its turn once others wait too.
func TestQueueDrained(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	one, backlog := ipv6.EUI64(1), ipv6.EUI64(2)
	for _, dst := range []ipv6.LinkAddr{backlog, one, one, one, one, one} {
		a.Output(now, testUDP(linkTo(euiA, dst), 100), dst)
		if len(a.frames(t, now, ieee802154.TxAcked)) == 0 {
			t.Fatal("nothing sent")
		}
		checkInterface(t, a.Interface)
	}
	for range 30 {
		a.Output(now, testUDP(linkTo(euiA, backlog), 1280), backlog)
	}
	sent := make(map[ipv6.LinkAddr]int)
	for range 400 {
		if a.q.lookup(one).n == 0 {
			a.Output(now, testUDP(linkTo(euiA, one), 100), one)
		}
		if a.Next(now, a.tx[:1]) != 1 {
			t.Fatal("nothing to send")
		}
		sent[a.flight[0].d.to.dst] += len(a.tx[0].Data)
		a.tx[0].Status = ieee802154.TxAcked
		a.Done(now, a.tx[:1])
		checkInterface(t, a.Interface)
		// The MAC headers, which are not counted, are within the bounds.
		if d := sent[one] - sent[backlog]; d > 2*quantum || d < -3*quantum {
			t.Fatalf("%d bytes to the one, %d to the other", sent[one], sent[backlog])
		}
	}
	if sent[one] < 10*quantum || sent[backlog] < 10*quantum {
		t.Errorf("%v", sent)
	}
}

// TestQueueFair gives each neighbour the same number of bytes, whatever the length of its
// packets, and never two datagrams to one neighbour at a time.
func TestQueueFair(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	big, small := ipv6.EUI64(1), ipv6.EUI64(2)
	for _, dst := range []ipv6.LinkAddr{big, small} {
		a.Output(now, testUDP(linkTo(euiA, dst), 140), dst)
	}
	a.frames(t, now, ieee802154.TxAcked)
	for range 20 {
		a.Output(now, testUDP(linkTo(euiA, big), 1280), big)
	}
	for range 64 {
		a.Output(now, testUDP(linkTo(euiA, small), 140), small)
	}
	bytes := map[uint64]int{}
	tag := map[uint64]uint16{}
	open := map[uint64]bool{}
	for sent := 0; sent < 60; {
		n := a.Next(now, a.tx[:7])
		for k := range a.tx[:n] {
			var h ieee802154.Frame
			if err := h.Parse(a.tx[k].Data); err != nil {
				t.Fatal(err)
			}
			bytes[h.Dst.V] += len(h.Payload)
			f, _, err := ParseFragHeader(h.Payload)
			if open[h.Dst.V] && (err != nil || f.Tag != tag[h.Dst.V]) {
				t.Fatal("a datagram begins before the one before it has ended")
			}
			tag[h.Dst.V], open[h.Dst.V] = f.Tag, h.Pending
			a.tx[k].Status = ieee802154.TxAcked
			sent++
		}
		a.Done(now, a.tx[:n])
		checkInterface(t, a.Interface)
	}
	if r := float64(bytes[1]) / float64(bytes[2]); r < 0.5 || r > 2 {
		t.Errorf("bytes sent: %v", bytes)
	}
}

// TestQueueDelay holds the delay of a queue that is filled faster than it is emptied
// near the target, and does not touch one that is not.
func TestQueueDelay(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	dst := ipv6.EUI64(euiB)
	p := testUDP(linkTo(euiA, dst), 100)
	run := func(d, in, out time.Duration) (worst time.Duration) {
		t.Helper()
		end := now.Add(d)
		nextIn, nextOut := now, now
		for now.Before(end) {
			if !nextIn.After(now) {
				a.Output(now, p, dst)
				nextIn = nextIn.Add(in)
			}
			if !nextOut.After(now) {
				n := a.Next(now, a.tx[:1])
				if n > 0 {
					worst = max(worst, now.Sub(a.flight[0].d.at))
				}
				for k := range n {
					a.tx[k].Status = ieee802154.TxAcked
				}
				a.Done(now, a.tx[:n])
				checkInterface(t, a.Interface)
				nextOut = nextOut.Add(out)
			}
			now = now.Add(time.Millisecond)
		}
		return worst
	}
	if worst := run(20*time.Second, 20*time.Millisecond, 10*time.Millisecond); worst > 20*time.Millisecond {
		t.Errorf("waited %v on an idle link", worst)
	}
	if s := a.Stats(); s.DatagramsDropped() != 0 {
		t.Errorf("idle link: %v", dropList(&s.TxDrops))
	}
	run(60*time.Second, 18*time.Millisecond, 20*time.Millisecond)
	s := a.Stats()
	if s.TxDrops[DropQueueDelay] == 0 || s.TxDrops[DropQueueFull] != 0 {
		t.Errorf("overload by a ninth: %v", dropList(&s.TxDrops))
	}
	if worst := run(10*time.Second, 18*time.Millisecond, 20*time.Millisecond); worst > time.Second {
		t.Errorf("waited %v", worst)
	}
	// A radio that stood still does not send what is of no use any more.
	a.frames(t, now, ieee802154.TxAcked)
	for range 3 {
		a.Output(now, p, dst)
	}
	before := a.Stats().TxDrops[DropQueueDelay]
	now = now.Add(8 * time.Second)
	if f := a.frames(t, now, ieee802154.TxAcked); len(f) != 0 || a.Stats().TxDrops[DropQueueDelay] != before+3 {
		t.Errorf("%d frames after 8 s", len(f))
	}
}

// TestQueueWake is told once for each time that something comes to wait.
func TestQueueWake(t *testing.T) {
	now := time.Unix(100, 0)
	a := newStation(InterfaceConfig{EUI64: euiA})
	dst := ipv6.EUI64(euiB)
	p := testUDP(linkTo(euiA, dst), 1000)
	out := func(want int) {
		t.Helper()
		a.Output(now, p, dst)
		if a.wakes != want {
			t.Errorf("%d wakes, want %d", a.wakes, want)
		}
	}
	out(1)
	out(1)
	n := a.Next(now, a.tx[:2])
	for k := range n {
		a.tx[k].Status = ieee802154.TxAcked
	}
	out(1)
	a.Done(now, a.tx[:n])
	out(1)
	a.frames(t, now, ieee802154.TxAcked)
	out(2)
}

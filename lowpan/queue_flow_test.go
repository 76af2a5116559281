package lowpan

import (
	"bytes"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// airTime is what a frame takes on the air here.
const airTime = 4 * time.Millisecond

// A crowd is a station with hosts that send packets of a size to one neighbour, each at an
// interval, by one frame in airTime.
type crowd struct {
	*station
	to    *station
	now   time.Time
	dst   ipv6.LinkAddr
	hosts []crowdHost
	given []time.Time // when packet number n was
}

type crowdHost struct {
	size  int
	every time.Duration
	next  time.Time

	// What became of its packets.
	given, sent int
	bytes       int // compressed, of those that were sent
	worst       time.Duration
}

func newCrowd(cfg InterfaceConfig, hosts ...crowdHost) *crowd {
	c := &crowd{station: newStation(cfg), to: newStation(InterfaceConfig{EUI64: euiB}), now: time.Unix(100, 0), dst: ipv6.EUI64(euiB), hosts: hosts}
	for k := range hosts {
		hosts[k].next = c.now
	}
	return c
}

// packet returns one from host k, or where we are a device one to it.
func (c *crowd) packet(k int) ipv6.Packet {
	p := testUDP(linkTo(euiA, c.dst), c.hosts[k].size)
	if c.cfg.Device {
		p[39] += byte(k)
	} else {
		p[23] += byte(k)
	}
	n := len(c.given)
	p.SetHopLimit(byte(k))
	p[1], p[2], p[3] = byte(n>>16)&0xf, byte(n>>8), byte(n)
	return p
}

func (c *crowd) run(t *testing.T, d time.Duration) {
	t.Helper()
	free := c.now
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(time.Millisecond) {
		for k := range c.hosts {
			h := &c.hosts[k]
			for ; !h.next.After(c.now); h.next = h.next.Add(h.every) {
				if err := c.Output(c.now, c.packet(k), c.dst); err != nil {
					t.Fatal(err)
				}
				h.given++
				c.given = append(c.given, c.now)
				checkInterface(t, c.Interface)
			}
		}
		if free.After(c.now) {
			continue
		}
		n := c.Next(c.now, c.tx[:1])
		if n == 0 {
			continue
		}
		free = c.now.Add(airTime)
		c.tx[0].Status = ieee802154.TxAcked
		size := len(c.flight[0].d.b)
		c.to.input(t, c.now, bytes.Clone(c.tx[0].Data))
		c.Done(c.now, c.tx[:n])
		checkInterface(t, c.Interface)
		for _, p := range c.to.got {
			h := &c.hosts[p.HopLimit()]
			h.sent, h.bytes = h.sent+1, h.bytes+size
			h.worst = max(h.worst, c.now.Sub(c.given[p.FlowLabel()]))
		}
		c.to.got, c.to.meta = c.to.got[:0], c.to.meta[:0]
	}
}

// TestFlowsSparse: who sends little loses nothing and waits for no more than a datagram of the
// others and its share, however much they send; at a router by where packets come from, at a
// device by where they go.
func TestFlowsSparse(t *testing.T) {
	for _, device := range []bool{false, true} {
		for _, flood := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
			c := newCrowd(InterfaceConfig{EUI64: euiA, Device: device},
				crowdHost{size: 80, every: 100 * time.Millisecond},
				crowdHost{size: 1280, every: flood})
			if device {
				c.SetParent(c.now, c.dst)
			}
			c.run(t, 30*time.Second)
			if h := c.hosts[0]; h.sent < h.given-1 || h.worst > 70*time.Millisecond {
				t.Errorf("device %v, flood every %v: %d of %d sent, waited up to %v", device, flood, h.sent, h.given, h.worst)
			}
			if h := c.hosts[1]; h.sent < 400 {
				t.Errorf("device %v, flood every %v: %d of the flood sent", device, flood, h.sent)
			}
			// At the end of the flood nothing is left of it for the others.
			c.hosts[1].every = time.Hour
			c.hosts[0].worst = 0
			c.run(t, time.Second)
			if w := c.hosts[0].worst; w > 70*time.Millisecond {
				t.Errorf("device %v, after a flood every %v: waited %v", device, flood, w)
			}
		}
	}
}

// TestFlowsShare: flows that send more than their share get the same number of bytes each,
// whatever the size of their packets, and a flow more of them takes no more than its share.
func TestFlowsShare(t *testing.T) {
	c := newCrowd(InterfaceConfig{EUI64: euiA, Limits: Limits{QueueMaxDelay: time.Hour, QueueTarget: time.Hour}},
		crowdHost{size: 90, every: 2 * time.Millisecond},
		crowdHost{size: 1280, every: 10 * time.Millisecond},
		crowdHost{size: 600, every: 10 * time.Millisecond})
	c.run(t, 60*time.Second)
	least, most := c.hosts[0].bytes, 0
	for _, h := range c.hosts {
		least, most = min(least, h.bytes), max(most, h.bytes)
	}
	if most-least > 2*ipv6.MinMTU || least < 100_000 {
		t.Errorf("%+v", c.hosts)
	}
	if d := c.Stats().TxDrops; d[DropQueueFull] == 0 {
		t.Errorf("%v", dropList(&d))
	}
}

// TestFlowsDelay: packets that overtake do not hide from CoDel that the others wait too long.
func TestFlowsDelay(t *testing.T) {
	c := newCrowd(InterfaceConfig{EUI64: euiA},
		crowdHost{size: 80, every: 25 * time.Millisecond},
		crowdHost{size: 250, every: 14 * time.Millisecond}) // 3 frames, which the others leave some 14.3 ms each
	c.run(t, 120*time.Second)
	c.hosts[1].worst = 0
	c.run(t, 20*time.Second)
	if d := c.Stats().TxDrops; d[DropQueueDelay] == 0 || d[DropQueueFull] != 0 {
		t.Errorf("%v", dropList(&d))
	}
	if h := c.hosts[1]; h.worst > time.Second {
		t.Errorf("waited %v", h.worst)
	}
	if h := c.hosts[0]; h.sent < h.given-1 {
		t.Errorf("%d of %d that overtake were sent", h.sent, h.given)
	}
}

// TestFlowsSleep: what a node that sleeps has fetched a part of is sent to its end first, the
// others in turn; the flow with most makes room.
func TestFlowsSleep(t *testing.T) {
	now := time.Unix(100, 0)
	s, _ := sleepyStation(t, InterfaceConfig{Limits: Limits{IndirectPerNeighbor: 4}})
	dst := ipv6.EUI64(euiB)
	out := func(src uint64, size int, mark byte) {
		t.Helper()
		p := testUDP(linkTo(src, dst), size)
		p.SetHopLimit(mark)
		if err := s.Output(now, p, dst); err != nil {
			t.Fatal(err)
		}
		checkInterface(t, s.Interface)
	}
	s.SetSleep(now, dst, SleepLearnt)
	s.input(t, now, dataRequest(1, ieee802154.Extended(euiB)))
	s.frames(t, now, ieee802154.TxAcked)
	out(euiA, 300, 1)
	s.input(t, now, dataRequest(2, ieee802154.Extended(euiB)))
	first := s.frames(t, now, ieee802154.TxAcked)
	out(euiA+1, 60, 2)
	out(euiA, 300, 3)
	out(euiA, 300, 4)
	out(euiA+1, 60, 5) // 3 makes room: 1 has been begun
	s.SetSleep(now, dst, SleepNever)
	out(euiA+2, 60, 6)
	b := newStation(InterfaceConfig{EUI64: euiB})
	b.input(t, now, first...)
	b.input(t, now, s.frames(t, now, ieee802154.TxAcked)...)
	var got []byte
	for _, p := range b.got {
		got = append(got, p.HopLimit())
	}
	if d := s.Stats().TxDrops; !bytes.Equal(got, []byte{1, 2, 6, 5, 4}) || d[DropQueueFull] != 1 {
		t.Errorf("%v, %v", got, dropList(&d))
	}
}

// BenchmarkQueueFlows queues and sends packets of as many sources to a neighbour whose queue
// is full.
func BenchmarkQueueFlows(b *testing.B) {
	for _, sources := range []int{1, 2, 64} {
		b.Run(map[int]string{1: "one", 2: "two", 64: "sixty-four"}[sources], func(b *testing.B) {
			now := time.Unix(100, 0)
			s := newStation(InterfaceConfig{EUI64: euiA})
			dst := ipv6.EUI64(euiB)
			list := make([]ipv6.Packet, sources)
			for k := range list {
				list[k] = testUDP(linkTo(euiA+uint64(k), dst), 80)
			}
			b.ReportAllocs()
			k := 0
			for b.Loop() {
				k++
				s.Output(now, list[k%sources], dst)
			}
		})
	}
}

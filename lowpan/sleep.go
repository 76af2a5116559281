package lowpan

import (
	"slices"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// Indirect transmission (IEEE 802.15.4 section 6.7.3). Datagrams for a neighbour whose
// receiver is off stay in its queue, and each of its data requests fetches one frame. They
// stay here, and not in the radio, because a radio is given frames in order and blocks until
// each has its fate: what one neighbour sleeps over would hold up all others. All that the
// radio has to know is for whom something waits, since it acknowledges data requests by
// itself (see [ieee802154.SourceMatcher]); that is also all that a dongle can keep.
//
// A neighbour sleeps when it sends a data request: a device that listens has no use for one,
// except to fetch the response of an association, which teaches nothing. It may stop to
// sleep without a word, as Zephyr and Linux do when the receiver is switched to always on, so
// a datagram that was not asked for in time is tried once as if it was awake: the
// acknowledgment shows that it is. Should it just have been listening by accident, its next
// data request puts that right. Contiki-NG (TSCH, CSMA) and RIOT never send a data request
// and never count as asleep.

// A Sleep says what is known of whether a neighbour sleeps.
type Sleep uint8

// The ways.
const (
	SleepLearnt Sleep = iota // as its data requests tell
	SleepAlways              // it sleeps, and is never tried
	SleepNever               // it listens, whatever it asks for
)

const (
	// pollWait is how long after its data request a device listens. The least that the
	// standard asks for is macMaxFrameTotalWaitTime, 20 ms; OpenThread waits 100 ms.
	pollWait = 100 * time.Millisecond

	// maxPersistence bounds how long datagrams wait for those that poll rarely.
	maxPersistence = 4 * time.Minute

	maxPolls   = 64 // data requests that are being answered
	maxNothing = 8  // empty frames that wait
)

// A flightKind says what a frame with the radio is.
type flightKind uint8

const (
	flightData     flightKind = iota
	flightIndirect            // answer to a data request
	flightTrial               // to a neighbour that sleeps and did not ask
	flightOwn                 // beacon, MAC command, or empty frame
	flightPoll                // data request of our own
)

// A sleeper is what is known of a neighbour that sleeps.
type sleeper struct {
	mode     Sleep
	polled   time.Time     // its last data request
	interval time.Duration // the longest time between two of late
	tried    time.Time     // when it was last tried as if it was awake
	trial    bool          // it is to be
	queued   bool          // in sleep.polls
}

// sleep is what an Interface has for indirect transmission, at either end of it.
type sleep struct {
	known    map[ipv6.LinkAddr]*sleeper      // by the address that node returns
	same     map[ipv6.LinkAddr]ipv6.LinkAddr // the other address of a node
	matcher  ieee802154.SourceMatcher
	inexact  bool                  // its table overflowed: everybody is told that something waits
	pending  []ieee802154.Addr     // for whom something waits
	deadline time.Time             // nothing that waits expires before
	own      bool                  // something of coord, nothing or poller is to be sent
	polls    ring[ipv6.LinkAddr]   // who is to be sent a frame
	nothing  ring[ieee802154.Addr] // who is to be told that nothing waits

	coord *ieee802154.Coordinator // nil: we are a device

	poller   *ieee802154.Poller // nil: we do not sleep
	parent   ieee802154.Addr
	receiver ieee802154.Sleeper
	off      bool // the receiver
}

// A ring is a queue of fixed length.
type ring[T any] struct {
	b       []T
	head, n int
}

func (r *ring[T]) push(v T) bool {
	if r.n == len(r.b) {
		return false
	}
	r.b[(r.head+r.n)%len(r.b)] = v
	r.n++
	return true
}

func (r *ring[T]) pop() T {
	v := r.b[r.head]
	r.head = (r.head + 1) % len(r.b)
	r.n--
	return v
}

func (i *Interface) initSleep(seed uint64) {
	s := &i.sleep
	i.q.sleeps = i.sleeps
	if i.cfg.Device {
		if i.cfg.Sleep != nil {
			s.poller = ieee802154.NewPoller(*i.cfg.Sleep)
		}
		return
	}
	s.known = make(map[ipv6.LinkAddr]*sleeper)
	s.same = make(map[ipv6.LinkAddr]ipv6.LinkAddr)
	s.pending = make([]ieee802154.Addr, 0, i.cfg.Limits.IndirectDatagrams+8)
	s.polls.b = make([]ipv6.LinkAddr, maxPolls)
	s.nothing.b = make([]ieee802154.Addr, maxNothing)
	s.coord = newCoordinator(&i.cfg, seed)
	if i.cfg.Security != nil {
		for _, d := range i.cfg.Security.Devices {
			if d.Short != 0 {
				i.SetSame(time.Time{}, ipv6.Short(d.Short), ipv6.EUI64(d.EUI64))
			}
		}
	}
}

// SetRadio says which abilities the radio has beyond those of [ieee802154.Radio]:
// [ieee802154.SourceMatcher] and [ieee802154.Sleeper]. [NewPump] calls it.
func (i *Interface) SetRadio(r any) {
	s := &i.sleep
	if s.matcher, _ = r.(ieee802154.SourceMatcher); s.matcher != nil && s.coord != nil {
		s.matcher.SetSourceMatch(true)
		for _, a := range s.pending {
			i.signal(a, true)
		}
	}
	s.receiver, _ = r.(ieee802154.Sleeper)
	i.switchReceiver()
}

// macAddr converts an address to that of a frame.
func macAddr(a ipv6.LinkAddr) ieee802154.Addr {
	switch a.Len() {
	case 2:
		return ieee802154.Short(uint16(a.Uint64()))
	case 8:
		return ieee802154.Extended(a.Uint64())
	}
	return ieee802154.Addr{}
}

// sleeps reports whether the neighbour dst is taken to sleep.
func (i *Interface) sleeps(dst ipv6.LinkAddr) bool {
	if len(i.sleep.known) == 0 {
		return false
	}
	s := i.sleeper(dst)
	return s != nil && s.mode != SleepNever
}

// SetSleep says whether the neighbour dst sleeps. It reports false when no more neighbours
// can be remembered, or we are a device ourselves.
func (i *Interface) SetSleep(_ time.Time, dst ipv6.LinkAddr, mode Sleep) bool {
	if i.sleep.known == nil || dst.IsZero() || dst == ipv6.BroadcastShort || dst == i.own {
		return false
	}
	if mode == SleepLearnt {
		i.awake(dst)
		return true
	}
	s := i.sleeper(dst)
	if s == nil {
		if s = i.newSleeper(i.node(dst)); s == nil {
			return false
		}
	}
	s.mode = mode
	i.settle(dst)
	return true
}

// newSleeper remembers dst as one that sleeps, in place of the learnt one that was silent
// longest where there is no room. It looks at all of them then.
func (i *Interface) newSleeper(dst ipv6.LinkAddr) *sleeper {
	known := i.sleep.known
	if len(known) >= i.cfg.Limits.Sleepers {
		var old ipv6.LinkAddr
		var at time.Time
		for a, s := range known {
			if s.mode == SleepLearnt && (old.IsZero() || s.polled.Before(at)) {
				old, at = a, s.polled
			}
		}
		if old.IsZero() {
			return nil
		}
		i.awake(old)
	}
	s := new(sleeper)
	known[dst] = s
	return s
}

// awake forgets that dst sleeps: what waits for it is sent.
func (i *Interface) awake(dst ipv6.LinkAddr) {
	delete(i.sleep.known, i.node(dst))
	i.settle(dst)
}

// settle puts what waits for the node at dst where it belongs.
func (i *Interface) settle(dst ipv6.LinkAddr) {
	i.settleQueue(dst)
	if o := i.other(dst); !o.IsZero() {
		i.settleQueue(o)
	}
	i.refresh(dst)
}

// settleQueue puts the queue for dst where it belongs.
func (i *Interface) settleQueue(dst ipv6.LinkAddr) {
	nb := i.q.lookup(dst)
	if nb != nil && nb.sleepy != i.sleeps(dst) {
		i.q.setSleepy(nb, !nb.sleepy)
		for nb.sleepy && nb.n > i.q.most(nb) {
			i.q.discard(nb.victim(&i.q), DropQueueFull)
		}
		for nb.sleepy && i.q.held > i.cfg.Limits.IndirectDatagrams && i.q.makeRoom() {
		}
		i.setup(nb)
		if nb.sleepy && nb.n > 0 {
			i.hold(nb)
		}
		if !nb.sleepy && nb.n > 0 {
			i.wake()
		}
	}
}

// persistence returns how long datagrams wait for s.
func (i *Interface) persistence(s *sleeper) time.Duration {
	d := i.cfg.Limits.IndirectDelay
	if s != nil {
		d = max(d, min(2*s.interval, maxPersistence))
	}
	return d
}

// hold sees to it that what waits for nb, which sleeps, is announced and expires.
func (i *Interface) hold(nb *neighbor) {
	i.refresh(nb.dst)
	t := nb.first().at.Add(i.persistence(i.sleeper(nb.dst)))
	if s := &i.sleep; s.deadline.IsZero() || t.Before(s.deadline) {
		s.deadline = t
	}
}

// refresh says whether something waits for the node at dst: under each of its addresses,
// for it may ask with either.
func (i *Interface) refresh(dst ipv6.LinkAddr) {
	if i.sleep.coord == nil {
		return
	}
	waits := i.waiting(dst) != nil
	i.announce(macAddr(dst), waits)
	if o := i.other(dst); !o.IsZero() {
		i.announce(macAddr(o), waits)
	}
}

// announce says whether something waits for a: a datagram, or a command.
func (i *Interface) announce(a ieee802154.Addr, datagram bool) {
	s := &i.sleep
	want := datagram || s.coord.Waits(a)
	k := slices.Index(s.pending, a)
	switch {
	case want && k < 0:
		s.pending = append(s.pending, a)
	case !want && k >= 0:
		last := len(s.pending) - 1
		s.pending[k] = s.pending[last]
		s.pending = s.pending[:last]
	default:
		return
	}
	i.signal(a, want)
}

func (i *Interface) signal(a ieee802154.Addr, pending bool) {
	s := &i.sleep
	if s.matcher == nil {
		return
	}
	err := s.matcher.SetPending(a, pending)
	switch {
	case err != nil && pending && !s.inexact:
		// Frames that nobody is told of are never fetched; an empty one costs little.
		s.inexact = true
		s.matcher.SetSourceMatch(false)
	case s.inexact && len(s.pending) == 0:
		s.inexact = false
		s.matcher.SetSourceMatch(true)
	}
}

// polled takes the data request of a.
func (i *Interface) polled(now time.Time, a ieee802154.Addr) {
	s, src := &i.sleep, linkAddr(a)
	i.stats.DataRequests++
	if s.coord.Polled(a) {
		s.own = true
		i.wake()
		return
	}
	x := i.sleeper(src)
	if x == nil {
		if x = i.newSleeper(i.node(src)); x == nil {
			return
		}
		i.settle(src)
	}
	if !x.polled.IsZero() {
		x.interval = max(now.Sub(x.polled), x.interval-x.interval/8)
	}
	x.polled = now
	switch {
	case i.waiting(src) == nil:
		// "If there is no data frame pending ..., the coordinator shall send a data frame
		// without requesting acknowledgment to the device containing a zero length payload"
		if s.inexact && s.nothing.push(a) {
			s.own = true
			i.wake()
		}
	case !x.queued && s.polls.push(src):
		x.queued = true
		i.wake()
	}
}

// nextIndirect puts frames that answer data requests, and the MAC's own, into tx.
func (i *Interface) nextIndirect(now time.Time, tx []ieee802154.TxFrame) (n int) {
	s := &i.sleep
	if s.own {
		n = i.nextOwn(now, tx)
	}
	for ; n < len(tx) && s.polls.n > 0 && (i.sec == nil || i.sec.ready()); n++ {
		nb, trial := i.nextPolled(now)
		if nb == nil {
			break
		}
		d := nb.first()
		i.assignTag(d)
		if d.again {
			i.stats.IndirectRepeats++
		} else {
			d.seq = i.sequence()
		}
		d.mark, d.flying = d.pos, true
		// "using the same DSN as was used in the original transmission": the receiver may
		// have it, and its acknowledgment be lost.
		b, last := d.cut(nb.header(tx[n].Data, d.seq), int(nb.room))
		if !last || nb.n > 1 || i.both(nb.dst) {
			b[0] |= pendingBit
		}
		tx[n] = ieee802154.TxFrame{Data: i.seal(b, nb), Indirect: !trial}
		f := flight{d: d, last: last, kind: flightIndirect}
		if trial {
			f.kind = flightTrial
		} else {
			i.stats.IndirectSent++
		}
		i.flight = append(i.flight, f)
	}
	return n
}

// nextPolled returns the next neighbour that waits for a frame, or nil.
func (i *Interface) nextPolled(now time.Time) (nb *neighbor, trial bool) {
	s := &i.sleep
	for s.polls.n > 0 {
		dst := s.polls.pop()
		x := i.sleeper(dst)
		if x == nil {
			continue
		}
		x.queued = false
		trial = x.trial
		nb = i.waiting(dst)
		if nb == nil || nb.first().flying {
			x.trial = false
			continue
		}
		if asked := now.Sub(x.polled) <= pollWait; asked || trial {
			x.trial = false
			return nb, trial && !asked
		}
	}
	return nil, false
}

// assignTag gives d its datagram_tag.
func (i *Interface) assignTag(d *datagram) {
	if d.begun {
		return
	}
	d.begun = true
	d.tag = i.tag
	i.tag++
}

// sleepDone takes back a frame that nextIndirect gave out.
func (i *Interface) sleepDone(now time.Time, f flight, status ieee802154.TxStatus, pending bool) {
	switch f.kind {
	case flightOwn:
		return
	case flightPoll:
		i.sleep.poller.Done(now, status == ieee802154.TxAcked, pending)
		i.switchReceiver()
		return
	}
	d := f.d
	nb := d.to
	dst, trial := nb.dst, f.kind == flightTrial
	d.flying = false
	switch {
	case status.OK():
		d.again = false
		nb.took()
		if f.last {
			nb.pop(&i.q)
			i.stats.DatagramsSent++
			i.q.release(d)
		}
		if status == ieee802154.TxAcked {
			if f.last {
				i.linkStatus(now, dst, true)
			}
			if x := i.sleeper(dst); trial && x != nil && x.mode == SleepLearnt {
				i.awake(dst)
				return
			}
		}
	case trial:
		i.q.discard(nb.pop(&i.q), DropIndirect)
		i.linkStatus(now, dst, false)
	case status == ieee802154.TxNoAck || status == ieee802154.TxChannelBusy:
		// "the frame shall remain in the transaction queue": until the next data request.
		d.again, d.pos = true, d.mark
	default:
		i.q.discard(nb.pop(&i.q), txDrop(status))
	}
	if nb.dst == dst && nb.sleepy && nb.n > 0 {
		i.hold(nb)
		return
	}
	i.refresh(dst)
}

// advanceSleep does what is due.
func (i *Interface) advanceSleep(now time.Time) {
	s := &i.sleep
	if p := s.poller; p != nil {
		if p.Advance(now) {
			s.own = true
			i.wake()
		}
		i.switchReceiver()
	}
	if s.coord == nil {
		return
	}
	if d := s.coord.Deadline(); !d.IsZero() && !now.Before(d) {
		if s.coord.Advance(now, i.commandGone) && !s.own {
			s.own = true
			i.wake()
		}
	}
	if s.deadline.IsZero() || now.Before(s.deadline) {
		return
	}
	s.deadline = time.Time{}
	for k := len(s.pending) - 1; k >= 0; k-- { // the last one takes the place of one that goes
		if k >= len(s.pending) {
			continue // both addresses of a node went
		}
		if nb := i.q.lookup(linkAddr(s.pending[k])); nb != nil && nb.sleepy {
			i.expire(now, nb)
		}
	}
}

func (i *Interface) commandGone(a ieee802154.Addr) { i.refresh(linkAddr(a)) }

// expire drops what waits for nb too long, or tries whether nb is awake.
func (i *Interface) expire(now time.Time, nb *neighbor) {
	s := &i.sleep
	x := i.sleeper(nb.dst)
	long := i.persistence(x)
	for nb.n > 0 {
		if nb.first().flying {
			return // sleepDone goes on
		}
		if now.Sub(nb.first().at) < long {
			i.hold(nb)
			return
		}
		if x != nil && x.mode == SleepLearnt {
			if x.trial {
				return
			}
			if (x.tried.IsZero() || now.Sub(x.tried) >= long) && (x.queued || s.polls.push(nb.dst)) {
				x.tried, x.trial, x.queued = now, true, true
				i.wake()
				return
			}
		}
		i.q.discard(nb.pop(&i.q), DropIndirect)
	}
}

func (i *Interface) sleepDeadline() time.Time {
	s := &i.sleep
	t := s.deadline
	if s.poller != nil && !s.own {
		t = s.poller.Deadline()
	}
	if s.coord != nil && !s.own {
		if d := s.coord.Deadline(); !d.IsZero() && (t.IsZero() || d.Before(t)) {
			t = d
		}
	}
	return t
}

func (i *Interface) sleepStats(t *Stats) {
	s := &i.sleep
	t.IndirectHeld = uint64(i.q.held)
	for _, x := range s.known {
		if x.mode != SleepNever {
			t.Sleepers++
		}
	}
	if s.coord != nil {
		t.Coordinator = s.coord.Stats()
	}
	if s.poller != nil {
		t.Poller = s.poller.Stats()
	}
}

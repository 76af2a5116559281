package lowpan

import (
	"math/bits"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// RecoveryConfig says to whom, and how, fragments are sent that are acknowledged and
// recovered one by one (RFC 8931). They are accepted from everybody. A neighbour that has
// sent one is known to speak the protocol; the RFC has no other way to learn it.
//
// Fragments are not forwarded: datagrams are, when they are whole. The gap between frames
// (InterFrameGap) is the radio's pace.
type RecoveryConfig struct {
	// All takes every neighbour to speak the protocol until it turns out that it does not:
	// then the datagram goes as fragments of RFC 4944, and others do for a while.
	All bool

	// Peers speak it for certain.
	Peers []ipv6.LinkAddr

	// MinWindow, OptWindow and MaxWindow are how many fragments are sent before an
	// acknowledgment is waited for: at least, at first, and at most. Congestion on the way
	// halves the number, each acknowledgment without it adds one; the next datagram starts
	// with OptWindow again (RFC 8931 appendix C). Default 1, 32 and 32: "The Window_Size MUST
	// be at least 1 and less than 33", and 32 is the "RECOMMENDED value in a half-duplex LLN"
	// (RFC 8931 section 7.1).
	MinWindow, OptWindow, MaxWindow int

	// MinTimeout, OptTimeout and MaxTimeout are how long an acknowledgment is waited for
	// (ARQTimeOut): three times the round trip measured, OptTimeout as long as there is
	// none, and twice as long with each attempt. Default 200 ms, 500 ms and 2 s; the RFC
	// leaves them to the network.
	MinTimeout, OptTimeout, MaxTimeout time.Duration

	// FragRetries is how often a fragment, or the request for an acknowledgment, is
	// repeated (MaxFragRetries). "A default value of 3 is RECOMMENDED" (RFC 8931 section
	// 7.1), and taken.
	FragRetries int

	// DatagramRetries is how often a datagram is begun anew after its receiver gave it up or
	// answered no request (MaxDatagramRetries). "A default value of 1 is RECOMMENDED" (RFC
	// 8931 section 7.1), and taken; negative for none.
	DatagramRetries int
}

func (c RecoveryConfig) withDefaults() RecoveryConfig {
	count := func(p *int, def, limit int) {
		if *p <= 0 {
			*p = def
		}
		*p = min(*p, limit)
	}
	count(&c.MaxWindow, MaxSequence+1, MaxSequence+1)
	count(&c.MinWindow, 1, c.MaxWindow)
	count(&c.OptWindow, MaxSequence+1, c.MaxWindow)
	c.OptWindow = max(c.OptWindow, c.MinWindow)
	count(&c.FragRetries, 3, 100)
	if c.DatagramRetries == 0 {
		c.DatagramRetries = 1
	}
	dur := func(p *time.Duration, def, least time.Duration) {
		if *p <= 0 {
			*p = def
		}
		*p = max(*p, least)
	}
	dur(&c.MinTimeout, 200*time.Millisecond, 0)
	dur(&c.OptTimeout, 500*time.Millisecond, c.MinTimeout)
	dur(&c.MaxTimeout, 2*time.Second, c.OptTimeout)
	return c
}

const (
	// After so many requests in a row of which the radio says that the neighbour did not
	// get them it is not there.
	recoveryNoAcks = 3

	// How long a neighbour that answered nothing is sent fragments of RFC 4944.
	recoveryMemory = 10 * time.Minute

	// What the first fragment leaves free, for those who forward fragments: it "MUST have
	// enough slack to enable a less-efficient compression in the next hops to still fit within
	// the Link MTU" (RFC 8931 section 4.1). An address of 8 bytes that was elided, twice.
	firstSlack = 16
)

// A recovery is a datagram of which fragments are sent, and sent again, until all are
// acknowledged. Its neighbour is sent nothing else meanwhile.
type recovery struct {
	d *datagram
	recoveryRound
	tag   uint8
	n     uint8 // fragments
	first uint8 // bytes of the first fragment
	rest  uint8 // bytes of the others, apart from the last

	x     int8   // sequence of the fragment that asks for an acknowledgment
	todo  uint32 // fragments to be sent in this round
	sent  uint32 // fragments that were sent at least once
	acked uint32

	heard    bool // an acknowledgment has come
	clean    bool // the request was not repeated: its round trip can be measured
	timeouts uint8
	restarts uint8
	noAcks   uint8
	tries    [MaxSequence + 1]uint8
	rto      time.Duration
	asked    time.Time // when the request was sent
	deadline time.Time // zero while frames are to be sent or with the radio

	ready     bool // in the list of those with frames to send
	nextReady *recovery
	nextFree  *recovery
}

// A recoveryRound tells the frames of a round from those of earlier ones.
type recoveryRound struct {
	index uint8 // of the recovery in recoveries.all, plus one
	gen   uint32
}

// A control is an acknowledgment, or the pseudo fragment that gives up a datagram, that
// waits for the radio.
type control struct {
	dst   ipv6.LinkAddr
	ack   RFragAck
	reset bool
}

type recoveries struct {
	cfg    RecoveryConfig
	known  map[ipv6.LinkAddr]bool      // cfg.Peers
	learnt map[ipv6.LinkAddr]time.Time // zero: speaks it; else does not, until then

	tag         uint8 // next
	all         []*recovery
	active      []*recovery
	free        *recovery
	readyHead   *recovery
	readyTail   *recovery
	plain       *datagram // to be sent as fragments of RFC 4944 after all, linked by next
	controls    [32]control
	controlHead int
	controlN    int
	to          neighbor // of the control frame in hand
}

func (r *recoveries) init(cfg RecoveryConfig, limit int, tag uint8) {
	r.cfg = cfg.withDefaults()
	r.known = make(map[ipv6.LinkAddr]bool)
	for _, a := range cfg.Peers {
		r.known[a] = true
	}
	r.learnt = make(map[ipv6.LinkAddr]time.Time)
	r.tag = tag
	r.active = make([]*recovery, 0, limit)
}

// waiting reports whether frames wait for the radio.
func (r *recoveries) waiting() bool { return r.controlN > 0 || r.readyHead != nil }

func (r *recoveries) deadline() (t time.Time) {
	for _, e := range r.active {
		if !e.deadline.IsZero() && (t.IsZero() || e.deadline.Before(t)) {
			t = e.deadline
		}
	}
	return t
}

// recoverable reports whether dst is sent recoverable fragments.
func (r *recoveries) recoverable(dst ipv6.LinkAddr) bool {
	if r.known[dst] {
		return true
	}
	if until, ok := r.learnt[dst]; ok {
		return until.IsZero()
	}
	return r.cfg.All
}

// learn notes that dst speaks the protocol, or, until a time, that it does not.
func (i *Interface) learn(dst ipv6.LinkAddr, until time.Time) {
	r := &i.rec
	old, ok := r.learnt[dst]
	if ok && old.IsZero() && until.IsZero() || !ok && len(r.learnt) >= i.cfg.Limits.Peers {
		return
	}
	r.learnt[dst] = until
	if nb := i.q.lookup(dst); nb != nil {
		i.setup(nb)
	}
}

// forgetSilence lets nb be tried again where the time is over for which it was not.
func (i *Interface) forgetSilence(now time.Time, nb *neighbor) bool {
	if len(i.rec.learnt) == 0 {
		return false
	}
	if until := i.rec.learnt[nb.dst]; until.IsZero() || now.Before(until) {
		return false
	}
	delete(i.rec.learnt, nb.dst)
	i.setup(nb)
	return nb.recover
}

// control queues c, which takes the place of an earlier one for the same datagram. With no
// room left the oldest goes: whoever waits for it asks again.
func (i *Interface) control(c control) {
	r := &i.rec
	for k := range r.controlN {
		o := &r.controls[(r.controlHead+k)%len(r.controls)]
		if o.dst == c.dst && o.ack.Tag == c.ack.Tag && o.reset == c.reset {
			c.ack.ECN = c.ack.ECN || o.ack.ECN
			*o = c
			return
		}
	}
	if r.controlN == len(r.controls) {
		r.controlHead = (r.controlHead + 1) % len(r.controls)
		r.controlN--
		i.stats.RecoveryAcksLost++
	}
	r.controls[(r.controlHead+r.controlN)%len(r.controls)] = c
	r.controlN++
}

// refuse tells src that its datagram of recoverable fragments was given up.
func (i *Interface) refuse(src ipv6.LinkAddr, tag uint8) {
	i.control(control{dst: src, ack: RFragAck{Tag: tag, Bitmap: BitmapNull}})
	i.wake()
}

// recover begins to send d by recoverable fragments, if it can.
func (i *Interface) recover(now time.Time, d *datagram) bool {
	r, nb := &i.rec, d.to
	if !nb.recover && !i.forgetSilence(now, nb) {
		return false
	}
	room := int(nb.room) - rfragLen
	// "Any header that cannot fit within the first fragment MUST NOT be compressed" (RFC 8931
	// section 3): nothing but the slack gives way to them.
	first := max(room-firstSlack, d.hdr)
	if room < 16 || first > room || len(r.active) == cap(r.active) {
		return false
	}
	n := 1 + (max(len(d.b)-first, 0)+room-1)/room
	if n > MaxSequence+1 {
		return false
	}
	e := r.free
	if e != nil {
		r.free = e.nextFree
	} else {
		e = new(recovery)
		r.all = append(r.all, e)
		e.index = uint8(len(r.all))
	}
	*e = recovery{
		d: d, recoveryRound: e.recoveryRound, n: uint8(n),
		rest: uint8(room), first: uint8(first),
		rto: r.cfg.OptTimeout,
	}
	if nb.roundTrip > 0 {
		e.rto = min(max(3*nb.roundTrip, r.cfg.MinTimeout), r.cfg.MaxTimeout)
	}
	// "the next datagram starts with the configured Window_Size again" (RFC 8931 appendix C).
	nb.window = uint8(r.cfg.OptWindow)
	r.active = append(r.active, e)
	nb.held = true
	i.stats.Recoveries++
	i.begin(now, e)
	return true
}

// begin sends e from its first fragment on, under a new tag.
func (i *Interface) begin(now time.Time, e *recovery) {
	r := &i.rec
again:
	e.tag = r.tag
	r.tag++
	for _, o := range r.active {
		if o != e && o.tag == e.tag {
			goto again // there are fewer of them than tags
		}
	}
	e.sent, e.acked, e.timeouts = 0, 0, 0
	clear(e.tries[:])
	i.round(now, e)
}

// round makes the fragments that are missing, as many as the window holds, ready to be
// sent. The last of them asks for an acknowledgment. "The sender MUST send all the fragments
// for a first time before it retries any lost fragment; lost fragments MUST be retried in
// sequence, oldest first" (RFC 8931 section 6).
func (i *Interface) round(now time.Time, e *recovery) {
	r := &i.rec
	missing := ^(BitmapFull >> e.n) &^ e.acked
	if missing == 0 {
		i.recovered(now, e)
		return
	}
	if fresh := missing &^ e.sent; fresh != 0 {
		missing = fresh
	}
	e.todo, e.clean = 0, true
	for k := e.d.to.window; k > 0 && missing != 0; k-- {
		seq := bits.LeadingZeros32(missing)
		bit := sequenceBit(seq)
		if e.sent&bit != 0 {
			if e.tries[seq]++; int(e.tries[seq]) > r.cfg.FragRetries {
				i.giveUp(now, e, DropRecoveryRetries)
				return
			}
		}
		e.todo |= bit
		missing &^= bit
		e.x = int8(seq)
	}
	i.enlist(e)
}

// enlist puts e, with new frames in todo, in the list of those that the radio serves.
func (i *Interface) enlist(e *recovery) {
	r := &i.rec
	e.gen++
	e.deadline = time.Time{}
	if e.ready {
		return
	}
	e.ready, e.nextReady = true, nil
	if r.readyTail != nil {
		r.readyTail.nextReady = e
	} else {
		r.readyHead = e
	}
	r.readyTail = e
}

func (r *recoveries) unready(e *recovery) {
	if !e.ready {
		return
	}
	var last *recovery
	for p := &r.readyHead; *p != nil; p = &(*p).nextReady {
		if *p == e {
			if *p = e.nextReady; r.readyTail == e {
				r.readyTail = last
			}
			break
		}
		last = *p
	}
	e.ready, e.nextReady = false, nil
}

// nextRecovery returns the next frame of those that wait, in the memory of b.
func (i *Interface) nextRecovery(b []byte) []byte {
	r := &i.rec
	if r.controlN > 0 {
		c := r.controls[r.controlHead]
		r.controlHead = (r.controlHead + 1) % len(r.controls)
		r.controlN--
		nb := &r.to
		nb.neighborState = neighborState{dst: c.dst}
		i.setup(nb)
		b = nb.header(b, i.sequence())
		if c.reset {
			// "The sender of a reset SHOULD also set the Sequence and Fragment_Size field to 0"
			// (RFC 8931 section 6.3).
			b, _ = RFrag{Tag: c.ack.Tag}.AppendBinary(b)
		} else {
			b, _ = c.ack.AppendBinary(b)
			i.stats.RecoveryAcksOut++
		}
		i.flight = append(i.flight, flight{})
		return i.seal(b, nb)
	}

	e := r.readyHead
	nb, d := e.d.to, e.d
	seq := bits.LeadingZeros32(e.todo)
	bit := sequenceBit(seq)
	e.todo &^= bit
	if e.sent&bit != 0 {
		i.stats.FragmentsRepeated++
	}
	e.sent |= bit
	i.stats.FragmentsRecoverable++
	h := RFrag{Tag: e.tag, Sequence: uint8(seq), AckRequest: seq == int(e.x)}
	at, end := 0, int(e.first)
	if seq > 0 {
		at = end + (seq-1)*int(e.rest)
		end = at + int(e.rest)
	}
	end = min(end, len(d.b))
	h.Size, h.Offset = uint16(end-at), uint16(at)
	if seq == 0 {
		h.Offset = uint16(len(d.b))
	}
	b = nb.header(b, i.sequence())
	if e.todo != 0 {
		b[0] |= pendingBit
	} else {
		r.unready(e)
	}
	b, _ = h.AppendBinary(b)
	b = append(b, d.b[at:end]...)
	i.flight = append(i.flight, flight{round: e.recoveryRound, last: h.AckRequest})
	return i.seal(b, nb)
}

// recoveryDone takes a frame of a recovery back from the radio. A fragment that was lost is no
// reason to give up yet.
func (i *Interface) recoveryDone(now time.Time, f flight, status ieee802154.TxStatus) {
	if f.round.index == 0 {
		return
	}
	e := i.rec.all[f.round.index-1]
	if e.d == nil || e.gen != f.round.gen {
		return
	}
	switch {
	case status == ieee802154.TxAcked:
		e.noAcks = 0
	case status == ieee802154.TxNoAck || status == ieee802154.TxChannelBusy:
		if e.noAcks++; f.last && e.noAcks >= recoveryNoAcks {
			dst := e.d.to.dst
			i.giveUp(now, e, txDrop(status))
			if status == ieee802154.TxNoAck {
				i.linkStatus(now, dst, false)
			}
			return
		}
	case !status.OK():
		i.giveUp(now, e, DropRadio)
		return
	}
	if f.last {
		e.asked = now
		e.deadline = now.Add(e.rto)
	}
}

// ackInput takes an RFRAG-ACK from src.
func (i *Interface) ackInput(now time.Time, b []byte, src ipv6.LinkAddr) Drop {
	a, _, err := ParseRFragAck(b)
	if err != nil {
		return reason(err)
	}
	var e *recovery
	for _, o := range i.rec.active {
		// A node that we send to by its short address may answer with its EUI-64.
		if dst := o.d.to.dst; o.tag == a.Tag && (dst == src || dst.Len() != src.Len()) {
			e = o
		}
	}
	if e == nil {
		return DropRecoveryUnknown
	}
	i.stats.FramesDelivered++
	i.stats.RecoveryAcksIn++
	i.learn(e.d.to.dst, time.Time{})
	e.heard, e.noAcks = true, 0
	cfg, nb := &i.rec.cfg, e.d.to
	switch x := sequenceBit(int(e.x)); {
	case a.Bitmap == BitmapNull:
		// The fragmenting endpoint "MUST abort the transmission of the fragmented datagram" (RFC
		// 8931 section 6.3): what is sent from scratch has another tag.
		if int(e.restarts) >= cfg.DatagramRetries {
			i.end(e, DropRecoveryRefused)
			break
		}
		e.restarts++
		i.rec.unready(e)
		i.begin(now, e)
		return 0
	case a.Bitmap&e.sent&x == 0:
		// Not an answer to the request of this round: what has been missing when it was made
		// may have arrived since.
		e.acked |= a.Bitmap & e.sent
		e.todo &= ^e.acked | x
		return 0
	default:
		// A receiver that has lost what it acknowledged before is sent it again.
		e.acked = a.Bitmap & e.sent
		if a.Bitmap == BitmapFull {
			e.acked = BitmapFull
		}
		e.timeouts = 0
		if e.clean && !e.deadline.IsZero() {
			rtt := max(now.Sub(e.asked), 1)
			if nb.roundTrip == 0 {
				nb.roundTrip = rtt
			}
			nb.roundTrip += (rtt - nb.roundTrip) / 8 // as TCP does (RFC 6298)
			e.rto = min(max(3*nb.roundTrip, cfg.MinTimeout), cfg.MaxTimeout)
		}
		if a.ECN {
			nb.window = max(nb.window/2, uint8(cfg.MinWindow))
		} else {
			nb.window = min(nb.window+1, uint8(cfg.MaxWindow))
		}
		i.rec.unready(e)
		i.round(now, e)
	}
	return 0
}

// recovered ends e, all of which has arrived.
func (i *Interface) recovered(now time.Time, e *recovery) {
	dst := e.d.to.dst
	i.end(e, 0)
	i.linkStatus(now, dst, true)
}

// giveUp ends e for a reason, and tells the receiver.
func (i *Interface) giveUp(_ time.Time, e *recovery, why Drop) {
	if e.sent != 0 && why != DropRadio {
		i.control(control{dst: e.d.to.dst, ack: RFragAck{Tag: e.tag}, reset: true})
	}
	i.end(e, why)
}

// end ends e: its datagram was sent, or dropped for a reason.
func (i *Interface) end(e *recovery, why Drop) {
	d := e.d
	i.free(e)
	if why != 0 {
		i.q.discard(d, why)
		return
	}
	i.stats.DatagramsSent++
	d.to.took()
	i.q.release(d)
}

// free takes e away from its datagram.
func (i *Interface) free(e *recovery) {
	r := &i.rec
	r.unready(e)
	for k, o := range r.active {
		if o == e {
			last := len(r.active) - 1
			r.active[k] = r.active[last]
			r.active = r.active[:last]
			break
		}
	}
	e.d.to.held = false
	e.d = nil
	e.gen++
	e.nextFree, r.free = r.free, e
}

// recoveryTimeout goes on with e, whose request was not answered.
func (i *Interface) recoveryTimeout(now time.Time, e *recovery) {
	r, dst := &i.rec, e.d.to.dst
	limit := r.cfg.FragRetries
	if _, ok := r.learnt[dst]; !e.heard && !ok && !r.known[dst] {
		limit = min(limit, recoveryNoAcks) // it is a guess that it speaks the protocol
	}
	if e.timeouts++; int(e.timeouts) <= limit {
		// RFC 8931 section 6: "the fragment that carries the 'X' flag MAY be retried upon a
		// timeout for a configurable number of times ... with an exponential backoff".
		e.todo, e.clean = sequenceBit(int(e.x)), false
		e.rto = min(2*e.rto, r.cfg.MaxTimeout)
		i.enlist(e)
		return
	}
	if e.heard || r.known[dst] {
		if int(e.restarts) >= r.cfg.DatagramRetries {
			i.giveUp(now, e, DropRecoveryTimeout)
			return
		}
		// "resend the first fragment with an 'X' flag set in order to establish a new path for
		// the datagram and obtain the list of fragments that were received over the old path in
		// the acknowledgment bitmap".
		e.restarts++
		e.timeouts, e.clean, e.x = 0, false, 0
		e.todo = sequenceBit(0)
		i.enlist(e)
		return
	}
	i.learn(dst, now.Add(recoveryMemory))
	d := e.d
	i.free(e)
	d.next, r.plain = r.plain, d
}

// advanceRecoveries does what is due.
func (i *Interface) advanceRecoveries(now time.Time) {
	r, due := &i.rec, false
	for k := len(r.active) - 1; k >= 0; k-- {
		if e := r.active[k]; !e.deadline.IsZero() && !now.Before(e.deadline) {
			i.recoveryTimeout(now, e)
			due = true
		}
	}
	if due {
		i.wake()
	}
}

// recoverableInput takes an RFRAG or RFRAG-ACK frame, which a neighbour has sent to us
// alone. p is a packet that it has completed, else nil; why is 0 where the frame is counted.
func (i *Interface) recoverableInput(now time.Time, b []byte, l Link) (p ipv6.Packet, why Drop) {
	if l.Dst == ipv6.BroadcastShort {
		return nil, DropRFRAG
	}
	if b[0]&rfragAckBit != 0 {
		if why = i.ackInput(now, b, l.Src); why == 0 {
			i.wake()
		}
		return nil, why
	}
	p, a, ack, err := i.reasm.InputRecoverable(now, b, l)
	if err != nil {
		i.debug("fragment dropped", reason(err), l.Src)
	} else {
		i.learn(l.Src, time.Time{})
	}
	if ack {
		i.control(control{dst: l.Src, ack: a})
		i.wake()
	}
	return p, 0
}

// wake says that there may be something to send. The radio looks for itself where it is
// busy.
func (i *Interface) wake() {
	i.starved = false
	if i.cfg.Wake != nil {
		i.cfg.Wake()
	}
}

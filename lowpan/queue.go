package lowpan

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

const (
	// The longest compressed datagram: a packet of 1280 bytes behind a dispatch. Headers
	// that compression makes longer are sent uncompressed.
	datagramCap = 1 + ipv6.MinMTU

	// What a neighbour may send in its turn, in bytes: one full datagram, or several
	// small ones.
	quantum = ipv6.MinMTU
)

// A datagram is a compressed packet that waits for the radio or is with it.
type datagram struct {
	cutter
	to   *neighbor
	next *datagram // in its flow, or in the list of unused ones
	at   time.Time // when it was queued

	// Of a neighbour that sleeps.
	begun  bool  // it has its tag
	flying bool  // a frame of it is with the radio, and it is the head of its queue still
	again  bool  // the frame from mark on was sent and not acknowledged
	seq    uint8 // the sequence number of that frame
	mark   int   // pos before that frame

	buf [datagramCap]byte
}

// A neighbor is a link-layer destination and the datagrams that wait for it.
type neighbor struct {
	neighborState
	flows
}

type neighborState struct {
	dst     ipv6.LinkAddr
	unicast bool
	hdrLen  uint8
	room    uint8    // bytes of a frame behind hdr, before the MIC and the FCS
	hdr     [56]byte // MAC header but for the sequence number, Frame Pending and frame counter

	// Where frames are secured.
	key       *ieee802154.Cipher
	counterAt uint8 // offset of the frame counter in hdr

	options CompressOptions

	// Recoverable fragments (RFC 8931).
	recover   bool          // it is sent them
	held      bool          // one datagram is being recovered, and the others wait
	window    uint8         // Window_Size of the datagram that is being recovered
	roundTrip time.Duration // from request to acknowledgment, smoothed; 0: not measured

	// Its receiver is off: what waits for it waits for its data requests, and it is not
	// among the active ones.
	sleepy bool

	n       int // datagrams waiting
	bytes   int // compressed bytes waiting
	refs    int // datagrams waiting or with the radio
	deficit int // bytes that may still be sent in this turn

	// CoDel (RFC 8289 section 4.2).
	firstAbove, dropNext time.Time
	count, lastCount     int
	dropping             bool

	// It has taken a frame, and not failed maxMissed times in a row since. A station of which
	// that is not known may not exist: an answer to it takes the time of all repetitions.
	answered bool
	exists   bool // it took a frame once: it is away, and may be back at any time
	failures uint8

	hashNext         *neighbor
	active           bool
	nextActive       *neighbor
	idlePrev, idleNx *neighbor // list of those with refs 0 that are not active
	in               *roster   // where it is active or idle
}

// maxMissed is how many frames in a row a neighbour may leave unacknowledged, each with all
// its repetitions, and still count as one that is there. The air loses some of everybody's,
// and among stations that do not exist a neighbour would wait for long.
const maxMissed = 8

// took notes that the neighbour has acknowledged a frame.
func (nb *neighbor) took() { nb.answered, nb.exists, nb.failures = true, true, 0 }

// missed notes that it has not.
func (nb *neighbor) missed() {
	if !nb.answered {
		return
	}
	if nb.failures++; nb.failures >= maxMissed {
		nb.answered, nb.failures = false, 0
	}
}

// A roster holds neighbours of one kind.
type roster struct {
	head, tail *neighbor // active
	old, new   *neighbor // idle, the longest unused first
}

// A queue holds what waits for the radio: a queue for each neighbour, which are served in
// turn, each the same number of bytes (deficit round robin), and whose delay is bounded by
// CoDel. In the queue for a neighbour the flows have an equal share each (queue_flow.go). What
// it may hold, it may hold of everything in all. However many neighbours there are that take
// nothing, one of them has its turn for each quantum that is sent to the others: by turns one
// that was there once, so that it is found soon when it is back, and one that was never heard
// to take anything, of which whoever makes up addresses can make as many as he likes.
type queue struct {
	limits Limits
	seed   uint64
	drop   func(d *datagram, why Drop) // counts; the queue releases d
	setup  func(nb *neighbor)          // fills in hdr, hdrLen, room, key, unicast and options from dst
	sleeps func(dst ipv6.LinkAddr) bool

	total int // datagrams waiting or with the radio
	ready int // datagrams waiting, for neighbours that are awake
	held  int // datagrams waiting, for those that sleep
	bytes int // compressed bytes of total

	byDst       []*neighbor // hash buckets
	neighbors   int         // allocated
	known       roster      // answered
	away        roster      // not answered, but exist
	strange     roster      // all others
	turn        int         // bytes that known ones were sent since another had its turn, at most quantum
	awayWasLast bool        // that other was one of those that are away
	free        *datagram
}

func (q *queue) init(l Limits) {
	q.limits = l
	q.seed = rand.Uint64()
	q.byDst = make([]*neighbor, 1<<bits.Len(uint(l.QueueDatagrams)))
}

func (q *queue) bucket(dst ipv6.LinkAddr) **neighbor {
	return &q.byDst[int(hashAddr(dst, q.seed))&(len(q.byDst)-1)]
}

// lookup returns the neighbour dst where it is known, or nil.
func (q *queue) lookup(dst ipv6.LinkAddr) *neighbor {
	for nb := *q.bucket(dst); nb != nil; nb = nb.hashNext {
		if nb.dst == dst {
			return nb
		}
	}
	return nil
}

// admit returns the queue for dst with room for one datagram in it, and in all. It drops
// others where there is none; nil means that everything is with the radio.
func (q *queue) admit(dst ipv6.LinkAddr) *neighbor {
	nb := q.lookup(dst)
	if nb != nil && nb.n >= q.most(nb) {
		d := nb.victim(q)
		if d == nil {
			return nil // the only one is with the radio
		}
		q.discard(d, DropQueueFull)
	}
	sleepy := nb != nil && nb.sleepy || nb == nil && q.sleeps(dst)
	if sleepy && q.held >= q.limits.IndirectDatagrams && !q.makeRoom() {
		return nil
	}
	if q.total >= q.limits.QueueDatagrams {
		var d *datagram
		if long := q.longest(); long != nil {
			d = long.victim(q)
		}
		if d == nil {
			return nil
		}
		q.discard(d, DropQueueTotal)
	}
	if nb != nil {
		return nb
	}
	// One more neighbour than datagrams: so there always is one with neither.
	if nb = q.strange.old; nb == nil && q.neighbors > q.limits.QueueDatagrams {
		nb = q.unused()
	}
	if nb == nil {
		nb = new(neighbor)
		q.neighbors++
	} else {
		q.unidle(nb)
		p := q.bucket(nb.dst)
		for *p != nb {
			p = &(*p).hashNext
		}
		*p = nb.hashNext
		nb.neighborState = neighborState{} // nothing waits in flows
	}
	nb.dst, nb.sleepy = dst, sleepy
	q.setup(nb)
	p := q.bucket(dst)
	nb.hashNext, *p = *p, nb
	q.idle(nb)
	return nb
}

// get returns an unused datagram.
func (q *queue) get() *datagram {
	d := q.free
	if d == nil {
		return new(datagram)
	}
	q.free, d.next = d.next, nil
	return d
}

// push puts d, which is of the flow id to nb, into the queue.
func (q *queue) push(now time.Time, nb *neighbor, d *datagram, id uint32) {
	d.to, d.at = nb, now
	d.begun, d.flying, d.again = false, false, false
	if nb.refs == 0 && !nb.active {
		q.unidle(nb)
	}
	nb.insert(d, id)
	nb.n++
	nb.refs++
	nb.bytes += len(d.b)
	q.total++
	q.bytes += len(d.b)
	if nb.sleepy {
		q.held++
		return
	}
	q.ready++
	if !nb.active {
		nb.deficit = quantum
		q.activate(nb)
	}
}

// roster returns where nb belongs.
func (q *queue) roster(nb *neighbor) *roster {
	switch {
	case nb.answered:
		return &q.known
	case nb.exists:
		return &q.away
	}
	return &q.strange
}

// unused returns a neighbour that nothing waits for: one that does not answer where there is
// one, else that of which nothing was wanted for longest.
func (q *queue) unused() *neighbor {
	for _, r := range [...]*roster{&q.strange, &q.away} {
		if q.sweep(r); r.old != nil {
			return r.old
		}
	}
	if q.known.old == nil {
		q.sweep(&q.known)
	}
	if q.away.old != nil {
		return q.away.old // it was among the known ones
	}
	return q.known.old
}

func (q *queue) activate(nb *neighbor) {
	r := q.roster(nb)
	nb.active, nb.nextActive, nb.in = true, nil, r
	if r.tail != nil {
		r.tail.nextActive = nb
	} else {
		r.head = nb
	}
	r.tail = nb
}

// deactivate takes the head off the list of active neighbours.
func (r *roster) deactivate() *neighbor {
	nb := r.head
	if r.head = nb.nextActive; r.head == nil {
		r.tail = nil
	}
	nb.active, nb.nextActive = false, nil
	return nb
}

// next returns the datagram whose turn it is, which is from now on with the radio, or nil.
// Neighbours that it has emptied stay active until something waits again: one that is sent
// datagram after datagram keeps its place, and what is left of its turn.
func (q *queue) next(now time.Time) *datagram {
	if q.ready == 0 {
		q.turn = 0
		return nil
	}
	if q.away.head != nil || q.strange.head != nil {
		return q.nextTurn(now)
	}
	if d := q.nextOf(&q.known, now); d != nil {
		q.turn = min(q.turn+len(d.b), quantum)
		return d
	}
	q.turn = 0
	return q.nextOf(&q.away, now) // those that were among the known ones, and do not answer any more
}

// nextTurn is next where something waits, or did, for neighbours that take nothing.
func (q *queue) nextTurn(now time.Time) *datagram {
	first, second := &q.away, &q.strange
	if q.awayWasLast {
		first, second = second, first
	}
	for _, r := range [...]*roster{first, second} {
		for nb := r.head; nb != nil && q.roster(nb) != r; nb = r.head {
			q.activate(r.deactivate()) // known by now
		}
	}
	if q.turn < quantum || first.head == nil && second.head == nil {
		if d := q.nextOf(&q.known, now); d != nil {
			q.turn = min(q.turn+len(d.b), quantum)
			return d
		}
	}
	q.turn = 0
	for _, r := range [...]*roster{first, second, &q.known, &q.away} { // a known one may be away by now
		if d := q.nextOf(r, now); d != nil {
			q.awayWasLast = r == &q.away
			return d
		}
	}
	return nil
}

// nextOf is next among the neighbours of one kind.
func (q *queue) nextOf(r *roster, now time.Time) *datagram {
	var held *neighbor // the first of those in a row that may not be sent anything
	for nb := r.head; nb != nil; nb = r.head {
		if q.roster(nb) != r {
			q.activate(r.deactivate()) // it is of the other kind by now
			continue
		}
		if nb.n == 0 || nb.sleepy {
			r.deactivate()
			if nb.refs == 0 {
				q.idle(nb)
			}
			continue
		}
		if nb.held {
			if nb == held {
				return nil
			}
			if held == nil {
				held = nb
			}
			q.activate(r.deactivate())
			continue
		}
		held = nil
		if nb.deficit <= 0 {
			nb.deficit += quantum
			q.activate(r.deactivate())
			continue
		}
		if d := nb.dequeue(q, now); d != nil {
			nb.deficit -= len(d.b)
			return d
		}
	}
	return nil
}

// discard drops a datagram that was taken out of its queue.
func (q *queue) discard(d *datagram, why Drop) {
	q.drop(d, why)
	q.release(d)
}

// release takes back a datagram that was sent or dropped.
func (q *queue) release(d *datagram) {
	nb := d.to
	nb.refs--
	q.total--
	q.bytes -= len(d.b)
	if nb.refs == 0 && !nb.active {
		q.idle(nb)
	}
	d.to, d.b = nil, nil
	d.next, q.free = q.free, d
}

// idle appends nb to the list of neighbours without datagrams, the longest unused first.
func (q *queue) idle(nb *neighbor) {
	r := q.roster(nb)
	nb.idlePrev, nb.idleNx, nb.in = r.new, nil, r
	if r.new != nil {
		r.new.idleNx = nb
	} else {
		r.old = nb
	}
	r.new = nb
}

func (q *queue) unidle(nb *neighbor) {
	if nb.idlePrev != nil {
		nb.idlePrev.idleNx = nb.idleNx
	} else {
		nb.in.old = nb.idleNx
	}
	if nb.idleNx != nil {
		nb.idleNx.idlePrev = nb.idlePrev
	} else {
		nb.in.new = nb.idlePrev
	}
	nb.idlePrev, nb.idleNx = nil, nil
}

// sweep takes the neighbours that were emptied by drops out of the list of active ones.
func (q *queue) sweep(r *roster) {
	var head, tail *neighbor
	for nb := r.head; nb != nil; {
		next := nb.nextActive
		nb.nextActive = nil
		switch {
		case nb.n > 0 && !nb.sleepy && tail == nil:
			head, tail = nb, nb
		case nb.n > 0 && !nb.sleepy:
			tail.nextActive, tail = nb, nb
		default:
			nb.active = false
			if nb.refs == 0 {
				q.idle(nb)
			}
		}
		nb = next
	}
	r.head, r.tail = head, tail
}

// longest returns the neighbour with most bytes waiting, or nil; one that may not exist
// before one that does, and one that is away before one that answers. It looks at every
// active one, at most Limits.QueueDatagrams, and only when the interface is full.
func (q *queue) longest() (long *neighbor) {
	for _, r := range [...]*roster{&q.strange, &q.away, &q.known} {
		for nb := r.head; nb != nil; nb = nb.nextActive {
			if nb.n > 0 && !nb.sleepy && (long == nil || nb.bytes > long.bytes) {
				long = nb
			}
		}
		if long != nil {
			break
		}
	}
	return long
}

// fresh pops the oldest datagram that is not too old to be sent, or nil, and says whether
// the delay has been above the target for so long that it may be dropped: the function
// dodequeue of RFC 8289 section 5.6. One that has overtaken others says nothing of the delay,
// which is theirs.
func (nb *neighbor) fresh(q *queue, now time.Time) (d *datagram, mayDrop, overtook bool) {
	for {
		if nb.n == 0 {
			nb.firstAbove = time.Time{}
			return nil, false, false
		}
		d = nb.pop(q)
		delay := now.Sub(d.at)
		if delay >= q.limits.QueueMaxDelay {
			q.discard(d, DropQueueDelay)
			continue
		}
		if delay < q.limits.QueueTarget && !nb.firstAbove.IsZero() && nb.waits(now.Add(-q.limits.QueueTarget)) {
			return d, false, true
		}
		if delay < q.limits.QueueTarget || nb.bytes <= ipv6.MinMTU {
			nb.firstAbove = time.Time{}
			return d, false, false
		}
		if nb.firstAbove.IsZero() {
			nb.firstAbove = now.Add(q.limits.QueueInterval)
			return d, false, false
		}
		return d, !now.Before(nb.firstAbove), false
	}
}

// dequeue pops the next datagram to send, or nil: the function deque of RFC 8289
// section 5.5.
func (nb *neighbor) dequeue(q *queue, now time.Time) *datagram {
	d, mayDrop, overtook := nb.fresh(q, now)
	if overtook {
		return d
	}
	if d == nil || !mayDrop {
		nb.dropping = false
		return d
	}
	interval := q.limits.QueueInterval
	if nb.dropping {
		for !now.Before(nb.dropNext) && nb.dropping {
			q.discard(d, DropQueueDelay)
			nb.count++
			if d, mayDrop, overtook = nb.fresh(q, now); mayDrop || overtook {
				nb.dropNext = controlLaw(nb.dropNext, interval, nb.count)
			} else {
				nb.dropping = false
			}
			if overtook {
				break
			}
		}
		return d
	}
	q.discard(d, DropQueueDelay)
	d, _, _ = nb.fresh(q, now)
	nb.dropping = true
	// "If min went above target close to when we last went below it, assume that the drop
	// rate that controlled the queue on the last cycle is a good starting point."
	delta := nb.count - nb.lastCount
	nb.count = 1
	if delta > 1 && now.Sub(nb.dropNext) < 16*interval {
		nb.count = delta
	}
	nb.dropNext = controlLaw(now, interval, nb.count)
	nb.lastCount = nb.count
	return d
}

func controlLaw(t time.Time, interval time.Duration, count int) time.Time {
	return t.Add(time.Duration(float64(interval) / math.Sqrt(float64(count))))
}

package coap

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// confirmAtLeast is how long notifications may stay non-confirmable at most (RFC 7641
// section 4.5: every 24 hours one MUST be confirmable).
const confirmAtLeast = 24 * time.Hour

// An observer is an entry of the list of observers of RFC 7641 section 4.1, known by peer
// and token.
type observer struct {
	peer    netip.AddrPort
	local   netip.Addr // our address that it asked
	token   []byte
	r       *Resource
	req     Request // asked again for each notification
	block2  block
	seq     uint32    // Observe value of the latest notification
	mids    [4]uint16 // of the latest notifications, for RST
	nMIDs   int
	nons    int       // non-confirmable ones since the latest confirmable
	acked   time.Time // when the peer last showed that it is there
	pending bool      // a confirmable one waits for its ACK
	changed bool      // the resource changed while pending
	retry   time.Time
	timeout time.Duration
	tries   int
}

// observe registers or takes out the observer that the request asks for, and marks the
// answer (RFC 7641 section 4.1). Where the table is full the request is an ordinary one.
func (e *endpoint) observe(now time.Time, r *Resource, m *inbound, o *parsed, a *answer) {
	if o.observe != 0 && o.observe != 1 || a.Code != codes.Content && a.Code != codes.Valid {
		return
	}
	i := slices.IndexFunc(e.observers, func(x *observer) bool {
		return x.peer == a.to && bytes.Equal(x.token, m.token)
	})
	if o.observe == 1 {
		if i >= 0 {
			e.forget(i)
		}
		return
	}
	if i < 0 {
		same := 0
		for _, x := range e.observers {
			if x.peer == a.to {
				same++
			}
		}
		if len(e.observers) >= e.cfg.MaxObservers || same >= e.cfg.MaxObserversPerPeer {
			return
		}
		e.observers = append(e.observers, &observer{peer: a.to, token: bytes.Clone(m.token)})
		i = len(e.observers) - 1
	} else if e.observers[i].r != r {
		e.forget(i)
		e.observers = append(e.observers, &observer{peer: a.to, token: bytes.Clone(m.token)})
		i = len(e.observers) - 1
	}
	x := e.observers[i]
	x.r, x.local = r, e.local
	x.req = Request{Peer: a.to, Code: codes.GET, Path: o.path, Queries: o.queries, Format: -1, Accept: o.accept}
	x.block2 = o.block2
	x.acked, x.pending, x.nons = now, false, 0
	x.seq++
	if _, ok := e.ticks[r]; !ok && r.Period > 0 {
		e.ticks[r] = now.Add(r.Period)
	}
	a.observing, a.observe = true, int64(x.seq)
}

// forget takes observer i out and stops the ticks of a resource that nobody observes.
func (e *endpoint) forget(i int) {
	r := e.observers[i].r
	e.observers = slices.Delete(e.observers, i, i+1)
	if !slices.ContainsFunc(e.observers, func(o *observer) bool { return o.r == r }) {
		delete(e.ticks, r)
	}
}

// acknowledged takes an ACK or RST; it reports whether a notification had that message ID.
func (e *endpoint) acknowledged(now time.Time, from netip.AddrPort, mid uint16, reset bool) bool {
	for i, o := range e.observers {
		if o.peer != from {
			continue
		}
		n := min(o.nMIDs, len(o.mids))
		if !slices.Contains(o.mids[:n], mid) {
			continue
		}
		if reset { // not interested (RFC 7641 section 3.6)
			e.forget(i)
			return true
		}
		if o.pending {
			o.pending, o.acked = false, now
			if o.changed || o.mids[(o.nMIDs-1)%len(o.mids)] != mid { // it has seen an older state
				e.notify(now, o)
			}
		}
		return true
	}
	return false
}

// changed tells the observers of r (RFC 7641 section 4.2).
func (e *endpoint) changed(now time.Time, r *Resource) {
	for _, o := range slices.Clone(e.observers) {
		if o.r != r {
			continue
		}
		if o.pending { // the retransmission carries the new state (RFC 7641 section 4.5.2)
			o.changed = true
			continue
		}
		e.notify(now, o)
	}
}

// notify sends the present representation to o.
func (e *endpoint) notify(now time.Time, o *observer) {
	a := answer{to: o.peer, token: o.token, observing: true}
	req := o.req
	a.Response = o.r.Get(now, &req)
	o.seq++
	o.changed = false
	a.observe = int64(o.seq)
	p := parsed{observe: -1, size1: -1, size2: -1, block2: o.block2}
	e.slice(now, transferKey{}, codes.GET, &p, &a)
	confirm := o.pending || o.nons >= e.cfg.ConfirmEvery-1 || now.Sub(o.acked) >= confirmAtLeast
	if a.Code >= codes.BadRequest { // "MUST NOT include an Observe Option", and the list entry goes
		a.observing, confirm = false, false
	}
	mid := e.nextMID()
	msg := message.Message{Token: o.token, Code: a.Code, Type: message.NonConfirmable, MessageID: int32(mid)}
	o.mids[o.nMIDs%len(o.mids)] = mid
	o.nMIDs++
	if o.nMIDs >= 2*len(o.mids) {
		o.nMIDs -= len(o.mids)
	}
	if confirm {
		msg.Type = message.Confirmable
		if !o.pending {
			o.pending, o.tries = true, 0
			o.timeout = ackTimeout + time.Duration(e.rand.Int64N(int64(float64(ackTimeout)*(ackRandomFactor-1))))
		}
		o.retry = now.Add(o.timeout)
		o.nons = 0
	} else {
		o.nons++
	}
	e.stats.Notified++
	e.send(o.peer, o.local, e.marshal(&msg, &a))
	if !a.observing {
		if i := slices.Index(e.observers, o); i >= 0 {
			e.forget(i)
		}
	}
}

// advanceObservers retransmits and ticks.
func (e *endpoint) advanceObservers(now time.Time) {
	for _, o := range slices.Clone(e.observers) {
		if !o.pending || now.Before(o.retry) {
			continue
		}
		if o.tries >= maxRetransmit {
			if i := slices.Index(e.observers, o); i >= 0 {
				e.forget(i)
			}
			continue
		}
		o.tries++
		o.timeout *= 2
		e.notify(now, o)
	}
	for _, r := range e.resources { // in order, so that a run can be repeated
		at, ok := e.ticks[r]
		if !ok || now.Before(at) {
			continue
		}
		if at = at.Add(r.Period); at.Before(now) {
			at = now.Add(r.Period)
		}
		e.ticks[r] = at
		if r.Tick != nil {
			r.Tick(now)
		}
		e.changed(now, r)
	}
}

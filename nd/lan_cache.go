package nd

import (
	"net/netip"
	"time"

	"border-router/internal/addrtable"
	"border-router/internal/timerq"
	"border-router/ipv6"
)

const (
	backoffMultiple  = 3                // BACKOFF_MULTIPLE, RFC 7048 section 3
	maxRetransTimer  = 60 * time.Second // MAX_RETRANS_TIMER, RFC 7048 section 3
	establishedTime  = 10 * time.Minute // how long after it answered a neighbor makes room for no other
	evictSearch      = 8                // how many of the least recently used are looked at for one to evict
	negativePerSlots = 4                // negative entries for each resolution slot
	unverifiedTime   = 10 * time.Minute // how long a neighbor is kept that never answered and is not used
)

// stateFailed is an address that did not answer: stateUnreachable, in the sense of RFC 7048,
// still has a link-layer address that is used.
const stateFailed = stateRegistered

// A lanEntry is an entry of the neighbor cache (RFC 4861 section 5.1).
type lanEntry struct {
	ll     ipv6.LinkAddr
	state  state
	router bool // IsRouter
	listed bool // in the router list: never evicted
	known  bool // has answered
	used   bool // stateUnreachable: since the last probe
	dead   bool
	probes uint8
	until  time.Time // stateReachable: end
	addr   netip.Addr
	heard  time.Time // last packet
	proven time.Time // last confirmation of reachability
	wait   time.Duration
	waiting

	ring       *lanRing
	prev, next *lanEntry
}

// A lanRing is a list of entries, most recently used first.
type lanRing struct {
	root lanEntry
	n    int
}

func (r *lanRing) init() { r.root.prev, r.root.next = &r.root, &r.root }

func (r *lanRing) push(e *lanEntry) {
	e.ring, e.prev, e.next = r, &r.root, r.root.next
	e.prev.next, e.next.prev = e, e
	r.n++
}

func (r *lanRing) drop(e *lanEntry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.ring, e.prev, e.next = nil, nil, nil
	r.n--
}

// A lanCache is the neighbor cache of an Ethernet link: the state machine of RFC 4861
// section 7.3 and appendix C, with the state UNREACHABLE of RFC 7048, guarded as RFC 6583
// section 7 asks: what is being resolved, what did not answer, what was only learnt and what
// has answered are bounded apart, so that none can push out the one more worth.
type lanCache struct {
	holder
	limits    LANLimits
	reachable time.Duration // ReachableTime, randomised
	retrans   time.Duration // RetransTimer

	solicit func(now time.Time, target netip.Addr, ll ipv6.LinkAddr) // zero ll: multicast
	changed func(now time.Time, e *lanEntry)                         // state of a listed router

	m          addrtable.Table[*lanEntry]
	timers     timerq.Queue[*lanEntry]
	incomplete lanRing
	failed     lanRing
	learnt     lanRing // with a link-layer address, never answered
	proven     lanRing // has answered
	rate       ipv6.TokenBucket
	evicted    uint64
}

func (c *lanCache) init(ev resolverEvents, l LANLimits) {
	c.limits = l
	c.holder = holder{ev: ev, most: l.Queue, mostAll: l.Held}
	c.reachable, c.retrans = reachableTime, retransTimer
	c.rate = ipv6.TokenBucket{Rate: float64(l.Resolve), Burst: l.Resolve}
	for _, r := range [...]*lanRing{&c.incomplete, &c.failed, &c.learnt, &c.proven} {
		r.init()
	}
}

// lookup returns the entry of a, without regard to a zone; nil where there is none.
func (c *lanCache) lookup(a netip.Addr) *lanEntry {
	if !a.Is6() {
		return nil
	}
	return c.m.Get(tableKey(a))
}

// place puts e into the ring where its state belongs.
func (c *lanCache) place(e *lanEntry) {
	r := &c.learnt
	switch {
	case e.state == stateIncomplete:
		r = &c.incomplete
	case e.state == stateFailed:
		r = &c.failed
	case e.known:
		r = &c.proven
	}
	if e.ring != r {
		if e.ring != nil {
			e.ring.drop(e)
		}
		r.push(e)
	}
}

func (c *lanCache) touch(e *lanEntry) {
	if r := e.ring; r.root.next != e {
		r.drop(e)
		r.push(e)
	}
}

// room makes room for one more entry with a link-layer address and reports whether there is.
func (c *lanCache) room(now time.Time) bool {
	if c.learnt.n+c.proven.n < c.limits.Neighbors {
		return true
	}
	for _, r := range [...]*lanRing{&c.learnt, &c.proven} {
		e := r.root.prev
		for range evictSearch {
			if e == &r.root {
				break
			}
			if !e.listed && (e.proven.IsZero() || now.Sub(e.proven) > establishedTime) && e.state != stateDelay && e.state != stateProbe {
				c.evicted++
				c.remove(now, e, DropTableFull)
				return true
			}
			e = e.prev
		}
	}
	return false
}

// create adds an entry for a, which has none, with link-layer address ll; nil where there is
// no room.
func (c *lanCache) create(now time.Time, a netip.Addr, ll ipv6.LinkAddr) *lanEntry {
	if !c.room(now) {
		return nil
	}
	e := &lanEntry{addr: a, ll: ll, state: stateStale}
	c.m.Put(tableKey(a), e)
	c.place(e)
	c.timers.Set(e, now.Add(unverifiedTime))
	return e
}

func (c *lanCache) remove(now time.Time, e *lanEntry, reason Drop) {
	if e.dead {
		return
	}
	c.timers.Remove(e)
	e.ring.drop(e)
	c.m.Delete(tableKey(e.addr))
	e.dead = true
	c.giveUp(now, &e.waiting, reason)
}

func (c *lanCache) release(now time.Time, e *lanEntry) {
	for !e.dead && e.state != stateIncomplete && e.state != stateFailed {
		h := c.pop(&e.waiting)
		if h == nil {
			return
		}
		if e.state == stateStale { // sending the packet is a use of the entry
			c.set(now, e, stateDelay, delayFirstProbeTime)
		}
		c.ev.Resolved(now, h.p, h.owner, e.ll)
		c.recycle(h)
	}
}

// set changes the state of e, with its timer d from now.
func (c *lanCache) set(now time.Time, e *lanEntry, s state, d time.Duration) {
	e.state = s
	c.place(e)
	c.timers.Set(e, now.Add(d))
	if e.listed {
		c.changed(now, e)
	}
}

// usable reports whether e is reachable or probably so (RFC 4861 section 6.3.6, RFC 7048).
func (e *lanEntry) usable() bool {
	return e.state != stateIncomplete && e.state != stateFailed && e.state != stateUnreachable
}

func (c *lanCache) stale(now time.Time, e *lanEntry) { c.set(now, e, stateStale, staleTime) }

// confirm notes that e is reachable: it answered a solicitation, or an upper layer says so.
func (c *lanCache) confirm(now time.Time, e *lanEntry) {
	e.known, e.proven, e.heard = true, now, now
	e.until = now.Add(c.reachable)
	c.set(now, e, stateReachable, staleTime)
	c.release(now, e)
}

// learn notes that a is at ll by a message that says nothing of reachability (RFC 4861
// sections 6.2.6, 6.3.4, 7.2.3, 8.3). nil where there is no room.
func (c *lanCache) learn(now time.Time, a netip.Addr, ll ipv6.LinkAddr) *lanEntry {
	e := c.lookup(a)
	switch {
	case e == nil:
		if e = c.create(now, a, ll); e == nil {
			return nil
		}
	case e.state == stateIncomplete || e.state == stateFailed:
		if !c.room(now) {
			return nil
		}
		e.ll = ll
		c.stale(now, e)
		c.release(now, e)
	case e.ll != ll:
		e.ll = ll
		c.stale(now, e)
	}
	if e.dead {
		return nil
	}
	e.heard = now
	return e
}

// resolve returns the link-layer address for sending p to dst now.
func (c *lanCache) resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	e := c.m.Get(tableKey(dst))
	if e == nil {
		return ipv6.LinkAddr{}, c.start(now, dst, p, owner, false)
	}
	switch e.state {
	case stateReachable:
		if now.Before(e.until) {
			break
		}
		fallthrough
	case stateStale:
		e.state = stateDelay
		c.timers.Set(e, now.Add(delayFirstProbeTime))
	case stateIncomplete:
		return ipv6.LinkAddr{}, c.hold(now, &e.waiting, p, owner)
	case stateFailed:
		return ipv6.LinkAddr{}, DropUnreachable
	case stateUnreachable:
		e.used = true
	}
	c.touch(e)
	return e.ll, nil
}

// start begins to resolve dst, which has no entry, on behalf of p; a router on
// behalf of nothing, with a slot of its own.
func (c *lanCache) start(now time.Time, dst netip.Addr, p ipv6.Packet, owner int, router bool) error {
	if !router && (c.incomplete.n >= c.limits.Incomplete || c.holding >= c.limits.Held || !c.rate.Take(now)) {
		return DropResolveLimit
	}
	e := &lanEntry{addr: dst, state: stateIncomplete, listed: router, router: router, probes: 1}
	c.m.Put(tableKey(dst), e)
	c.place(e)
	c.timers.Set(e, now.Add(c.retrans))
	var err error
	if !router {
		err = c.hold(now, &e.waiting, p, owner)
	}
	c.solicit(now, dst, ipv6.LinkAddr{})
	return err
}

// probe asks e whether it is still there, unless that is under way.
func (c *lanCache) probe(now time.Time, e *lanEntry) {
	switch e.state {
	case stateReachable, stateStale, stateDelay:
		e.probes = 1
		c.set(now, e, stateProbe, c.retrans)
		c.solicit(now, e.addr, e.ll)
	}
}

// advance does what is due for e, whose timer has run out.
func (c *lanCache) advance(now time.Time, e *lanEntry) {
	switch e.state {
	case stateIncomplete:
		if e.probes < maxMulticastSolicit {
			e.probes++
			c.timers.Set(e, now.Add(c.retrans))
			c.solicit(now, e.addr, ipv6.LinkAddr{})
			return
		}
		c.fail(now, e)
	case stateDelay:
		e.probes = 0
		e.state = stateProbe
		fallthrough
	case stateProbe:
		if e.probes < maxUnicastSolicit {
			e.probes++
			c.timers.Set(e, now.Add(c.retrans))
			c.solicit(now, e.addr, e.ll)
			return
		}
		// RFC 7048 section 3: what is known stays in use while multicast solicitations,
		// further and further apart, look for it.
		e.wait, e.used = c.retrans, false
		c.unreachable(now, e)
	case stateUnreachable:
		if !e.listed && !e.used {
			c.remove(now, e, DropUnreachable)
			return
		}
		if !e.listed && e.wait >= maxRetransTimer {
			c.fail(now, e)
			return
		}
		e.used = false
		c.unreachable(now, e)
	case stateFailed:
		if e.listed {
			// It is probed now and then as long as it is a router (RFC 4191 section 3.2).
			e.state, e.probes = stateIncomplete, maxMulticastSolicit
			c.place(e)
			c.timers.Set(e, now.Add(c.retrans))
			c.solicit(now, e.addr, ipv6.LinkAddr{})
			return
		}
		c.remove(now, e, DropUnreachable)
	default:
		keep := staleTime
		if !e.known {
			keep = unverifiedTime
		}
		if gone := e.heard.Add(keep); gone.After(now) {
			c.timers.Set(e, gone)
			return
		}
		if e.listed {
			c.timers.Set(e, now.Add(keep))
			return
		}
		c.remove(now, e, DropUnreachable)
	}
}

func (c *lanCache) unreachable(now time.Time, e *lanEntry) {
	c.set(now, e, stateUnreachable, e.wait)
	e.wait = min(e.wait*backoffMultiple, maxRetransTimer)
	c.solicit(now, e.addr, ipv6.LinkAddr{})
}

// fail turns e into a negative entry.
func (c *lanCache) fail(now time.Time, e *lanEntry) {
	if !e.listed && c.failed.n >= negativePerSlots*c.limits.Incomplete {
		c.remove(now, e, DropUnreachable)
		return
	}
	wait := negativeTime
	if e.listed {
		wait = maxRetransTimer
	}
	e.ll, e.known = ipv6.LinkAddr{}, false
	c.set(now, e, stateFailed, wait)
	c.giveUp(now, &e.waiting, DropUnreachable)
}

// advertised takes a neighbor advertisement (RFC 4861 section 7.2.5). ll is its target
// link-layer address, zero where it has none.
func (c *lanCache) advertised(now time.Time, e *lanEntry, m NeighborAdvertisement, ll ipv6.LinkAddr) error {
	if e.state == stateIncomplete || e.state == stateFailed {
		if ll.IsZero() {
			return DropUnsolicited // "silently discard"
		}
		if !c.room(now) {
			return DropTableFull
		}
		e.ll, e.router, e.heard = ll, m.Router, now
		if m.Solicited {
			c.confirm(now, e)
			return nil
		}
		c.stale(now, e)
		c.release(now, e)
		return nil
	}
	other := !ll.IsZero() && ll != e.ll
	if !m.Override && other {
		if e.state == stateReachable {
			c.stale(now, e)
		}
		return nil
	}
	if other {
		e.ll = ll
	}
	e.router, e.heard = m.Router, now
	switch {
	case m.Solicited:
		c.confirm(now, e)
	case other:
		c.stale(now, e)
	}
	return nil
}

// flush forgets everything.
func (c *lanCache) flush(now time.Time, reason Drop) {
	for _, r := range [...]*lanRing{&c.incomplete, &c.failed, &c.learnt, &c.proven} {
		for n := r.n; n > 0 && r.root.prev != &r.root; n-- {
			c.remove(now, r.root.prev, reason)
		}
	}
}

func (e *lanEntry) stateText(now time.Time) string {
	switch {
	case e.state == stateFailed:
		return "FAILED"
	case e.state == stateReachable && !now.Before(e.until):
		return stateText[stateStale]
	}
	return stateText[e.state]
}

func (c *lanCache) snapshot(now time.Time) []Neighbor {
	list := make([]Neighbor, 0, c.m.Len())
	for _, e := range entriesOf(&c.m) {
		list = append(list, Neighbor{
			Addr: e.addr, LinkAddr: e.ll, State: e.stateText(now), Router: e.router,
			LastHeard: e.heard, RSSI: ipv6.RSSIUnknown, Held: int(e.nheld),
		})
	}
	sortNeighbors(list)
	return list
}

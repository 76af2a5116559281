package nd

import (
	"net/netip"
	"time"

	"border-router/internal/addrtable"
	"border-router/internal/timerq"
	"border-router/ipv6"
)

// Constants of RFC 4861 section 10, and our own where it says so.
const (
	reachableTime       = 30 * time.Second // REACHABLE_TIME
	retransTimer        = time.Second      // RETRANS_TIMER
	delayFirstProbeTime = 5 * time.Second  // DELAY_FIRST_PROBE_TIME
	maxMulticastSolicit = 3                // MAX_MULTICAST_SOLICIT
	maxUnicastSolicit   = 3                // MAX_UNICAST_SOLICIT

	negativeTime = 5 * time.Second // how long an address that did not answer is not asked for again (RFC 6583 section 7.1)
	staleTime    = time.Hour       // how long a learnt neighbor is kept without a sign of life
)

type state uint8

const (
	stateRegistered  state = iota // RFC 6775 section 3.5: lives as long as its registration
	stateIncomplete               // being resolved
	stateReachable                // until entry.until
	stateStale                    //
	stateDelay                    // used since it went stale; probe at the timer
	stateProbe                    // being probed
	stateUnreachable              // negative entry
)

var stateText = [...]string{"REGISTERED", "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "UNREACHABLE"}

// An entry is what is known of one IPv6 address of the link.
type entry struct {
	// What the path of a packet touches comes first, in one cache line.
	ll        ipv6.LinkAddr
	node      *node // of ll; nil where ll is zero
	state     state
	router    bool
	dead      bool // deleted; whoever still has it must let go
	rssi      int8
	lqi       uint8
	probes    uint8
	lastHeard time.Time

	addr  netip.Addr
	until time.Time // stateReachable: end; stateRegistered: end of the registration
	waiting

	rovr   ROVR // of a registration
	tid    uint8
	hasTID bool

	tentative bool // registered, and the node was not told so yet

	prev, next *entry // in cache.lru, where not registered
}

// A node is what is known of one link-layer address.
type node struct {
	ll        ipv6.LinkAddr
	refs      int // entries with this address
	regs      int // of them registered
	failures  int // transmissions in a row without an acknowledgement
	lastHeard time.Time
	addr      netip.Addr // source of its last solicitation, else one of its addresses, else invalid

	caps       Capability // of its last 6CIO
	registers  bool       // has registered: a host of RFC 6775 or RFC 8505
	classic    bool       // behaves as a host of RFC 4861
	usesPrefix bool       // was seen with an address in the prefix
	onLink     bool       // is sent the second PIO
	solicited  bool       // was sent an RA
	tokens     uint8
	tokensAt   time.Time

	prev, next *node // in cache.idle, where refs is 0
}

// A cache is the neighbor cache of RFC 4861 section 5.1, together with the registrations of
// RFC 6775 section 3.5.
type cache struct {
	holder
	limits    Limits
	wantLen   int // bytes of a link-layer address of the link
	reachable time.Duration
	retrans   time.Duration

	solicit func(now time.Time, target netip.Addr, ll ipv6.LinkAddr) // zero ll: multicast
	failed  func(now time.Time, e *entry)                            // NUD gave up on e; may be nil
	dropped func(n *node)                                            // n is forgotten; may be nil
	linked  func(addr netip.Addr, ll ipv6.LinkAddr)                  // its link-layer address has changed; may be nil

	entries    addrtable.Table[*entry]
	nodes      map[ipv6.LinkAddr]*node
	owners     map[ROVR]int // registrations of each owner
	timers     timerq.Queue[*entry]
	lru        entry // ring of the entries that are not registered, most recently used first
	idle       node  // ring of the nodes without an entry
	learnt     int   // entries in lru
	idles      int   // nodes in idle
	registered int
	incomplete int // entries in stateIncomplete
	negative   int // entries in stateUnreachable
	evicted    uint64
}

func (c *cache) init(ev resolverEvents, l Limits, ll ipv6.LinkAddr) {
	c.limits, c.wantLen = l.withDefaults(), ll.Len()
	c.holder = holder{ev: ev, most: c.limits.Queue, mostAll: c.limits.Held}
	c.reachable, c.retrans = reachableTime, retransTimer
	c.nodes = make(map[ipv6.LinkAddr]*node)
	c.owners = make(map[ROVR]int)
	c.lru.prev, c.lru.next = &c.lru, &c.lru
	c.idle.prev, c.idle.next = &c.idle, &c.idle
}

func (c *cache) lookup(a netip.Addr) *entry { return c.entries.Get(tableKey(a)) }

// nodeOf returns what is known of ll, which is not zero.
func (c *cache) nodeOf(ll ipv6.LinkAddr) *node {
	if n := c.nodes[ll]; n != nil {
		if n.refs == 0 {
			c.unidle(n)
			c.pushIdle(n)
		}
		return n
	}
	if c.idles >= c.limits.Neighbors {
		old := c.idle.prev
		c.unidle(old)
		c.forgetNode(old)
	}
	n := &node{ll: ll, tokens: raBurst}
	c.nodes[ll] = n
	c.pushIdle(n)
	return n
}

func (c *cache) forgetNode(n *node) {
	delete(c.nodes, n.ll)
	if c.dropped != nil {
		c.dropped(n)
	}
}

func (c *cache) pushIdle(n *node) {
	n.prev, n.next = &c.idle, c.idle.next
	n.prev.next, n.next.prev = n, n
	c.idles++
}

func (c *cache) unidle(n *node) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
	c.idles--
}

// setLink makes ll the link-layer address of e.
func (c *cache) setLink(e *entry, ll ipv6.LinkAddr) {
	if e.ll == ll {
		return
	}
	reg := e.state == stateRegistered
	if n := e.node; n != nil {
		n.refs--
		if reg {
			n.regs--
		}
		if n.refs == 0 {
			if c.idles >= c.limits.Neighbors {
				old := c.idle.prev
				c.unidle(old)
				c.forgetNode(old)
			}
			c.pushIdle(n)
		}
	}
	e.ll, e.node = ll, nil
	if c.linked != nil {
		c.linked(e.addr, ll)
	}
	if !ll.IsZero() {
		n := c.nodeOf(ll)
		if n.refs == 0 {
			c.unidle(n)
		}
		n.refs++
		if reg {
			n.regs++
		}
		e.node = n
	}
}

// setState changes the state of e, and with it the rings and counts.
func (c *cache) setState(e *entry, s state) {
	if e.state == s {
		return
	}
	switch e.state {
	case stateIncomplete:
		c.incomplete--
	case stateUnreachable:
		c.negative--
	case stateRegistered:
		c.registered--
		if e.node != nil {
			e.node.regs--
		}
		c.disown(e)
		c.link(e)
	}
	e.state = s
	switch s {
	case stateIncomplete:
		c.incomplete++
	case stateUnreachable:
		c.negative++
	case stateRegistered:
		c.registered++
		if e.node != nil {
			e.node.regs++
		}
		c.unlink(e)
	}
}

func (c *cache) disown(e *entry) {
	if k := c.owners[e.rovr] - 1; k > 0 {
		c.owners[e.rovr] = k
	} else {
		delete(c.owners, e.rovr)
	}
	e.rovr, e.hasTID, e.tid = ROVR{}, false, 0
}

func (c *cache) link(e *entry) {
	e.prev, e.next = &c.lru, c.lru.next
	e.prev.next, e.next.prev = e, e
	c.learnt++
}

func (c *cache) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	c.learnt--
}

func (c *cache) touch(e *entry) {
	if e.prev != nil && c.lru.next != e {
		e.prev.next, e.next.prev = e.next, e.prev
		e.prev, e.next = &c.lru, c.lru.next
		e.prev.next, e.next.prev = e, e
	}
}

// create adds an entry for a, which has none, in state s; not a registered one. The entry
// that was not used for longest makes room.
func (c *cache) create(now time.Time, a netip.Addr, s state) *entry {
	for c.learnt >= c.limits.Neighbors && c.lru.prev != &c.lru {
		old := c.lru.prev
		c.evicted++
		c.remove(now, old, DropTableFull)
	}
	if e := c.lookup(a); e != nil {
		return e // made by a callback
	}
	e := &entry{addr: a, state: stateStale, rssi: ipv6.RSSIUnknown}
	c.entries.Put(tableKey(a), e)
	c.link(e)
	c.setState(e, s)
	return e
}

// remove deletes e and gives up the packets that wait for it.
func (c *cache) remove(now time.Time, e *entry, reason Drop) {
	if e.dead {
		return
	}
	c.timers.Remove(e)
	c.setState(e, stateStale)
	c.setLink(e, ipv6.LinkAddr{})
	c.unlink(e)
	c.entries.Delete(tableKey(e.addr))
	e.dead = true
	c.giveUp(now, &e.waiting, reason)
}

// release sends the packets that wait for e on their way.
func (c *cache) release(now time.Time, e *entry) {
	for !e.dead && !e.ll.IsZero() && e.state != stateIncomplete {
		h := c.pop(&e.waiting)
		if h == nil {
			return
		}
		c.ev.Resolved(now, h.p, h.owner, e.ll)
		c.recycle(h)
	}
}

// learn notes that a is at ll by a message that says nothing of reachability (RFC 4861
// sections 6.2.6 and 7.2.3). It reports false when a is registered by another node.
func (c *cache) learn(now time.Time, a netip.Addr, ll ipv6.LinkAddr) (*entry, bool) {
	e := c.lookup(a)
	switch {
	case e == nil:
		e = c.create(now, a, stateStale)
		c.setLink(e, ll)
		c.timers.Set(e, now.Add(staleTime))
	case e.state == stateRegistered:
		return e, e.ll == ll || e.ll.IsZero()
	case e.ll != ll || e.state == stateIncomplete || e.state == stateUnreachable:
		c.setLink(e, ll)
		c.setState(e, stateStale)
		c.timers.Set(e, now.Add(staleTime))
	}
	c.touch(e)
	c.release(now, e)
	return e, true
}

// confirm notes that e answered a solicitation.
func (c *cache) confirm(now time.Time, e *entry) {
	if e.state == stateRegistered || e.ll.IsZero() {
		return
	}
	c.setState(e, stateReachable)
	e.until = now.Add(c.reachable)
	c.timers.Set(e, now.Add(staleTime))
	c.release(now, e)
}

// resolve returns the link-layer address of a neighbor in the cache. found is false where
// there is no entry.
func (c *cache) resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ll ipv6.LinkAddr, found bool, err error) {
	e := c.entries.Get(tableKey(dst))
	if e == nil {
		return ll, false, nil
	}
	switch e.state {
	case stateRegistered:
		if e.ll.IsZero() {
			return ll, true, DropUnreachable // behind another router: a route leads there
		}
		return e.ll, true, nil
	case stateReachable:
		if now.Before(e.until) && e.node.failures == 0 {
			c.touch(e)
			return e.ll, true, nil
		}
		fallthrough
	case stateStale:
		c.setState(e, stateDelay)
		c.timers.Set(e, now.Add(delayFirstProbeTime))
	case stateIncomplete:
		return ll, true, c.hold(now, &e.waiting, p, owner)
	case stateUnreachable:
		return ll, true, DropUnreachable
	}
	c.touch(e)
	return e.ll, true, nil
}

// probe asks the neighbor a at ll whether it is still there, as after stateDelay.
func (c *cache) probe(now time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	e, ok := c.learn(now, a, ll)
	if !ok || e.dead || e.state != stateStale && e.state != stateReachable && e.state != stateDelay {
		return
	}
	c.setState(e, stateProbe)
	e.probes = 1
	c.timers.Set(e, now.Add(c.retrans))
	c.solicit(now, a, ll)
}

// start begins to resolve dst, which has no entry, on behalf of p.
func (c *cache) start(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) error {
	// A scan of the prefix must neither fill the table nor the air (RFC 6583 section 7).
	if c.incomplete >= c.limits.Incomplete || c.holding >= c.limits.Held {
		return DropResolveLimit
	}
	e := c.create(now, dst, stateIncomplete)
	e.probes = 1
	c.timers.Set(e, now.Add(c.retrans))
	err := c.hold(now, &e.waiting, p, owner)
	c.solicit(now, dst, ipv6.LinkAddr{})
	return err
}

// advance does what is due for e, whose timer has run out; not for a registered entry.
func (c *cache) advance(now time.Time, e *entry) {
	switch e.state {
	case stateIncomplete:
		if e.probes < maxMulticastSolicit {
			e.probes++
			c.timers.Set(e, now.Add(c.retrans))
			c.solicit(now, e.addr, ipv6.LinkAddr{})
			return
		}
		if c.negative >= 4*c.limits.Incomplete {
			c.remove(now, e, DropUnreachable)
			return
		}
		c.setState(e, stateUnreachable)
		c.timers.Set(e, now.Add(negativeTime))
		c.giveUp(now, &e.waiting, DropUnreachable)
	case stateDelay:
		c.setState(e, stateProbe)
		e.probes = 0
		fallthrough
	case stateProbe:
		if e.probes < maxUnicastSolicit {
			e.probes++
			c.timers.Set(e, now.Add(c.retrans))
			c.solicit(now, e.addr, e.ll)
			return
		}
		c.remove(now, e, DropUnreachable)
		if c.failed != nil {
			c.failed(now, e)
		}
	case stateUnreachable:
		c.remove(now, e, DropUnreachable)
	default:
		if gone := e.lastHeard.Add(staleTime); gone.After(now) {
			c.timers.Set(e, gone)
			return
		}
		c.remove(now, e, DropUnreachable)
	}
}

// advertised takes a neighbor advertisement (RFC 4861 section 7.2.5). ll is its target
// link-layer address, zero where it has none.
func (c *cache) advertised(now time.Time, m NeighborAdvertisement, ll ipv6.LinkAddr) error {
	e := c.lookup(m.Target)
	if e == nil {
		return DropUnsolicited
	}
	if e.state == stateRegistered {
		// What the node registered stands; an advertisement does not change it.
		if !ll.IsZero() && e.ll != ll {
			return DropConflict
		}
		e.router = m.Router
		return nil
	}
	switch e.state {
	case stateIncomplete, stateUnreachable:
		if ll.IsZero() {
			return DropUnsolicited
		}
		c.setLink(e, ll)
		e.router = m.Router
		c.setState(e, stateStale)
		c.timers.Set(e, now.Add(staleTime))
		if m.Solicited {
			c.confirm(now, e)
		} else {
			c.release(now, e)
		}
		return nil
	}
	other := !ll.IsZero() && ll != e.ll
	if !m.Override && other {
		if e.state == stateReachable {
			c.setState(e, stateStale)
			c.timers.Set(e, now.Add(staleTime))
		}
		return nil
	}
	if other {
		c.setLink(e, ll)
		c.setState(e, stateStale)
		c.timers.Set(e, now.Add(staleTime))
	}
	e.router = m.Router
	if m.Solicited {
		c.confirm(now, e)
	}
	return nil
}

// formed returns the link-layer address that a link-local address was formed from (RFC 6775
// section 5.6, RFC 4944 section 6).
func (c *cache) formed(a netip.Addr) (ipv6.LinkAddr, bool) {
	if !a.IsLinkLocalUnicast() {
		return ipv6.LinkAddr{}, false
	}
	id := iid(a)
	switch {
	case c.wantLen == 8 && id>>16 == 0x000000fffe00:
		s := ipv6.Short(uint16(id))
		return s, s != ipv6.BroadcastShort
	case c.wantLen == 8 && id != 0:
		return ipv6.EUI64(id ^ 0x0200_0000_0000_0000), true
	case c.wantLen == 6 && id>>24&0xffff == 0xfffe:
		id ^= 0x0200_0000_0000_0000
		return ipv6.EUI48([6]byte{byte(id >> 56), byte(id >> 48), byte(id >> 40), byte(id >> 16), byte(id >> 8), byte(id)}), true
	}
	return ipv6.LinkAddr{}, false
}

func (c *cache) linkStatus(ll ipv6.LinkAddr, ok bool) {
	n := c.nodes[ll]
	if n == nil {
		return
	}
	if ok {
		n.failures = 0
	} else {
		n.failures++
	}
}

func (c *cache) snapshot(now time.Time) []Neighbor {
	list := make([]Neighbor, 0, c.entries.Len())
	for _, e := range entriesOf(&c.entries) {
		v := Neighbor{
			Addr: e.addr, LinkAddr: e.ll, State: stateText[e.state], Router: e.router,
			LastHeard: e.lastHeard, RSSI: e.rssi, LQI: e.lqi, Held: int(e.nheld),
		}
		if e.state == stateRegistered {
			v.Registered, v.Expires, v.ROVR, v.TID, v.HasTID = !e.tentative, e.until, e.rovr, e.tid, e.hasTID
			if e.tentative {
				v.State = "TENTATIVE"
			}
		}
		if e.state == stateReachable && !now.Before(e.until) {
			v.State = stateText[stateStale]
		}
		if e.node != nil {
			v.LinkFailures = e.node.failures
			v.Classic = e.node.classic && !e.node.registers
		}
		list = append(list, v)
	}
	sortNeighbors(list)
	return list
}

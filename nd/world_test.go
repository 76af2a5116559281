package nd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

var (
	mesh     = netip.MustParsePrefix("fd00:1::/64")
	epoch    = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	routerLL = ipv6.EUI64(0x0200_0000_0000_0001)
)

// A world is a Router and Hosts on a link that loses, doubles and delays packets, in
// virtual time.
type world struct {
	t       testing.TB
	now     time.Time
	rand    *rand.Rand
	loss    float64
	dup     float64
	delay   time.Duration
	mute    map[ipv6.LinkAddr]bool // nodes that are switched off
	r       *Router
	log     *eventLog
	hosts   []*testHost
	queue   []flight
	sent    []flight // by the router, in order; cut by the tests
	fromHos []flight
}

type flight struct {
	at  time.Time
	p   ipv6.Packet
	src ipv6.LinkAddr
	dst ipv6.LinkAddr
}

type testHost struct {
	w      *world
	ll     ipv6.LinkAddr
	nd     *Host
	addrs  map[netip.Addr]bool
	router netip.Addr
	told   int // how often of a router
	eventLog
	ctx, dns int
}

// An eventLog keeps what the machines tell.
type eventLog struct {
	registered   map[netip.Addr]ipv6.LinkAddr
	resolved     []string
	unresolved   []error
	unregistered int
}

func (l *eventLog) Registered(_ time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	if l.registered == nil {
		l.registered = make(map[netip.Addr]ipv6.LinkAddr)
	}
	l.registered[a] = ll
}
func (l *eventLog) Unregistered(_ time.Time, a netip.Addr) {
	delete(l.registered, a)
	l.unregistered++
}
func (l *eventLog) Resolved(_ time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr) {
	l.resolved = append(l.resolved, fmt.Sprintf("%d %s %s", owner, p.Dst(), ll))
}
func (l *eventLog) Unresolved(_ time.Time, p ipv6.Packet, owner int, reason error) {
	l.unresolved = append(l.unresolved, reason)
}

func (h *testHost) AddressAdded(_ time.Time, a netip.Addr, n int) { h.addrs[a] = true }
func (h *testHost) AddressRemoved(_ time.Time, a netip.Addr)      { delete(h.addrs, a) }
func (h *testHost) DefaultRouter(_ time.Time, a netip.Addr, _ ipv6.LinkAddr) {
	h.router = a
	h.told++
}
func (h *testHost) Context(_ time.Time, id int, p netip.Prefix, c bool, d time.Duration) { h.ctx++ }
func (h *testHost) DNS(_ time.Time, s []netip.Addr, d time.Duration)                     { h.dns++ }

func (h *testHost) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	h.w.fromHos = append(h.w.fromHos, flight{now, append(ipv6.Packet(nil), p...), h.ll, dst})
	h.w.transmit(now, p, h.ll, dst)
}

// SendPacket takes what the router sends.
func (w *world) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	w.sent = append(w.sent, flight{now, append(ipv6.Packet(nil), p...), routerLL, dst})
	w.transmit(now, p, routerLL, dst)
}

func (w *world) transmit(now time.Time, p ipv6.Packet, src, dst ipv6.LinkAddr) {
	if w.mute[src] {
		return
	}
	if _, err := ipv6.Parse(p); err != nil {
		w.t.Errorf("bad packet %x: %v", []byte(p), err)
	}
	if b := icmp(p); b != nil && ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoICMPv6, b) != 0 {
		w.t.Errorf("bad checksum in %x", []byte(p))
	}
	n := 1
	if w.rand.Float64() < w.dup {
		n = 2
	}
	for range n {
		d := time.Millisecond
		if w.delay > 0 {
			d += time.Duration(w.rand.Int64N(int64(w.delay)))
		}
		w.queue = append(w.queue, flight{now.Add(d), append(ipv6.Packet(nil), p...), src, dst})
	}
}

func newWorld(t testing.TB, cfg RouterConfig) *world {
	w := &world{t: t, now: epoch, rand: rand.New(rand.NewPCG(1, 2)), mute: make(map[ipv6.LinkAddr]bool), log: new(eventLog)}
	cfg.LinkAddr = routerLL
	w.r = NewRouter(cfg, w, w.log)
	return w
}

func (w *world) host(i int, cfg HostConfig) *testHost {
	if cfg.LinkAddr.IsZero() {
		cfg.LinkAddr = ipv6.EUI64(0x0200_0000_0001_0000 + uint64(i))
	}
	h := &testHost{w: w, ll: cfg.LinkAddr, addrs: make(map[netip.Addr]bool)}
	h.nd = NewHost(cfg, h, h)
	w.hosts = append(w.hosts, h)
	h.nd.Start(w.now)
	return h
}

func (h *testHost) global() netip.Addr { return ipv6.WithIID(mesh, h.ll.IID()) }

func (w *world) deliver(f flight) {
	to := func(ll ipv6.LinkAddr, take func(ipv6.Packet, ipv6.Meta)) {
		unicast := !f.dst.IsZero() && f.dst != ipv6.BroadcastShort
		if ll == f.src || w.mute[ll] || unicast && f.dst != ll || w.rand.Float64() < w.loss {
			return
		}
		m := ipv6.Meta{LinkSrc: f.src, LinkDst: ll, RSSI: -50, LQI: 200}
		if !unicast {
			m.LinkDst = ipv6.BroadcastShort
		}
		take(append(ipv6.Packet(nil), f.p...), m)
	}
	to(routerLL, func(p ipv6.Packet, m ipv6.Meta) {
		if b := icmp(p); b != nil && (b[0] >= typeRouterSolicitation && b[0] <= typeRedirect || b[0] == typeDAR) {
			w.r.HandlePacket(w.now, p, m)
		}
		w.r.Heard(w.now, p.Src(), m)
	})
	for _, h := range w.hosts {
		to(h.ll, func(p ipv6.Packet, m ipv6.Meta) {
			h.nd.HandlePacket(w.now, p, m)
			h.nd.Heard(w.now, p.Src(), m)
		})
	}
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		next := w.r.Deadline()
		for _, h := range w.hosts {
			next = earlier(next, h.nd.Deadline())
		}
		first := -1
		for i := range w.queue {
			if first < 0 || w.queue[i].at.Before(w.queue[first].at) {
				first = i
			}
		}
		if first >= 0 && (next.IsZero() || !w.queue[first].at.After(next)) {
			f := w.queue[first]
			if f.at.After(end) {
				break
			}
			w.queue = append(w.queue[:first], w.queue[first+1:]...)
			w.now = later(w.now, f.at)
			w.deliver(f)
			continue
		}
		if next.IsZero() || next.After(end) {
			break
		}
		w.now = later(w.now, next)
		w.r.Advance(w.now)
		for _, h := range w.hosts {
			h.nd.Advance(w.now)
		}
		if steps > 5_000_000 {
			w.t.Fatal("does not come to rest")
		}
	}
	w.now = end
	w.check()
}

func (w *world) check() {
	w.t.Helper()
	check(w.t, &w.r.cache, w.now)
	for _, h := range w.hosts {
		check(w.t, &h.nd.cache, w.now)
	}
}

// check asserts the invariants of a cache: every count is that of the entries, and within
// the limits.
func check(t testing.TB, c *cache, now time.Time) {
	t.Helper()
	var learnt, registered, incomplete, negative, holding, refs int
	owners := make(map[ROVR]int)
	for _, e := range entriesOf(&c.entries) {
		if e.dead || c.lookup(e.addr) != e {
			t.Fatalf("entry of %v is dead or misplaced", e.addr)
		}
		n := 0
		for h := e.head; h != nil; h = h.next {
			n++
		}
		if n != int(e.nheld) || n > c.limits.Queue {
			t.Fatalf("%v holds %d packets, counted %d", e.addr, n, e.nheld)
		}
		holding += n
		switch e.state {
		case stateRegistered:
			registered++
			owners[e.rovr]++
		case stateIncomplete:
			incomplete++
		case stateUnreachable:
			negative++
		}
		if n > 0 && e.state != stateIncomplete {
			t.Fatalf("%v holds packets in state %s", e.addr, stateText[e.state])
		}
		if e.state != stateRegistered {
			learnt++
		}
		if _, ok := c.timers.At(e); !ok {
			t.Fatalf("%v in state %s has no timer", e.addr, stateText[e.state])
		}
		if e.node != nil {
			refs++
			if e.node.ll != e.ll || c.nodes[e.ll] != e.node {
				t.Fatalf("%v: wrong node", e.addr)
			}
		} else if !e.ll.IsZero() {
			t.Fatalf("%v: no node", e.addr)
		}
	}
	for _, n := range c.nodes {
		refs -= n.refs
	}
	if refs != 0 || learnt != c.learnt || registered != c.registered || incomplete != c.incomplete || negative != c.negative || holding != c.holding {
		t.Fatalf("counts: refs %d, learnt %d/%d, registered %d/%d, incomplete %d/%d, negative %d/%d, holding %d/%d",
			refs, learnt, c.learnt, registered, c.registered, incomplete, c.incomplete, negative, c.negative, holding, c.holding)
	}
	if len(owners) != len(c.owners) {
		t.Fatalf("owners: %d, want %d", len(c.owners), len(owners))
	}
	for k, n := range owners {
		if c.owners[k] != n {
			t.Fatalf("owner %v: %d, want %d", k, c.owners[k], n)
		}
	}
	l := c.limits
	if learnt > l.Neighbors || registered > l.Registrations || incomplete > l.Incomplete || holding > l.Held || c.idles > l.Neighbors || c.timers.Len() != c.entries.Len() {
		t.Fatalf("beyond the limits: %d learnt, %d registered, %d incomplete, %d held, %d idle, %d timers", learnt, registered, incomplete, holding, c.idles, c.timers.Len())
	}
}

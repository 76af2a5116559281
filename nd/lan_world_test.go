package nd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

var (
	lanMAC   = ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 1})
	hostMAC  = ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 0x99})
	otherMAC = ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 0x77})
	lanLL    = netip.MustParseAddr("fe80::1")
	hostLL   = netip.MustParseAddr("fe80::99")
	otherLL  = netip.MustParseAddr("fe80::77")
	lanNet   = netip.MustParsePrefix("2001:db8:1::/64")
	offerNet = netip.MustParsePrefix("fd00:aaaa:0:1::/64")
	meshNet  = netip.MustParsePrefix("fd00:aaaa:0:2::/64")
	secret   = []byte("0123456789abcdef")
)

// A lanWorld is LANs, and whatever a test says, on one Ethernet in virtual time.
type lanWorld struct {
	t     testing.TB
	now   time.Time
	nodes []*lanNode
	queue []flight
	loss  func(f flight) bool
	hook  func(f flight) // sees everything sent
	todo  []lanTodo
}

type lanTodo struct {
	at time.Time
	do func()
}

// A lanNode is a LAN with all that it says.
type lanNode struct {
	w        *lanWorld
	mac      ipv6.LinkAddr
	nd       *LAN
	sent     []flight
	off      bool
	addrs    map[netip.Addr]LANAddress
	history  []LANAddress
	onLink   map[netip.Prefix]bool
	routes   map[netip.Prefix]LANRoute
	changes  int // of routes
	dns      []netip.Addr
	search   []string
	nat64    []netip.Prefix
	params   LANParameters
	persist  int
	checked  map[netip.Addr]bool
	outcome  Status // of the last check
	owner    ROVR
	conflict []netip.Addr
	eventLog
}

func (n *lanNode) AddressChanged(_ time.Time, a LANAddress) {
	n.history = append(n.history, a)
	if a.State == AddressRemoved || a.State == AddressDuplicate {
		delete(n.addrs, a.Addr)
		return
	}
	n.addrs[a.Addr] = a
}
func (n *lanNode) OnLinkChanged(_ time.Time, p netip.Prefix, on bool) {
	if n.onLink[p] == on {
		n.w.t.Errorf("on-link %v told twice as %v", p, on)
	}
	if on {
		n.onLink[p] = true
	} else {
		delete(n.onLink, p)
	}
}
func (n *lanNode) RouteChanged(_ time.Time, r LANRoute) {
	n.changes++
	if !r.NextHop.IsValid() {
		if _, ok := n.routes[r.Prefix]; !ok {
			n.w.t.Errorf("route %v removed that was never there", r.Prefix)
		}
		delete(n.routes, r.Prefix)
		return
	}
	n.routes[r.Prefix] = r
}
func (n *lanNode) DNSChanged(_ time.Time, s []netip.Addr, d []string) {
	n.dns, n.search = slices.Clone(s), slices.Clone(d)
}
func (n *lanNode) NAT64Changed(_ time.Time, p []netip.Prefix)     { n.nat64 = slices.Clone(p) }
func (n *lanNode) ParametersChanged(_ time.Time, p LANParameters) { n.params = p }
func (n *lanNode) AdvertisedChanged(time.Time)                    { n.persist++ }
func (n *lanNode) Conflict(_ time.Time, a netip.Addr, _ ipv6.LinkAddr) {
	n.conflict = append(n.conflict, a)
}
func (n *lanNode) ProxyChecked(_ time.Time, a netip.Addr, s Status, _ ipv6.LinkAddr, owner ROVR) {
	n.checked[a] = s == StatusSuccess
	n.outcome, n.owner = s, owner
}

func (n *lanNode) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	f := flight{now, append(ipv6.Packet(nil), p...), n.mac, dst}
	n.sent = append(n.sent, f)
	n.w.transmit(f)
}

func newLANWorld(t testing.TB) *lanWorld { return &lanWorld{t: t, now: epoch} }

func (w *lanWorld) transmit(f flight) {
	if _, err := ipv6.Parse(f.p); err != nil {
		w.t.Errorf("bad packet %x: %v", []byte(f.p), err)
	}
	if b := icmp(f.p); b == nil || ipv6.Checksum(f.p.Src16(), f.p.Dst16(), ipv6.ProtoICMPv6, b) != 0 {
		w.t.Errorf("bad checksum in %x", []byte(f.p))
	}
	if w.hook != nil {
		w.hook(f)
	}
	if w.loss != nil && w.loss(f) {
		return
	}
	f.at = f.at.Add(time.Millisecond)
	w.queue = append(w.queue, f)
}

// add adds a LAN; zero fields of cfg are filled.
func (w *lanWorld) add(cfg LANConfig) *lanNode {
	if cfg.LinkAddr.IsZero() {
		cfg.LinkAddr = ipv6.EUI48([6]byte{2, 0, 0, 0, 0, byte(1 + len(w.nodes))})
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(uint64(len(w.nodes)), 7))
	}
	n := &lanNode{
		w: w, mac: cfg.LinkAddr, addrs: map[netip.Addr]LANAddress{}, onLink: map[netip.Prefix]bool{},
		routes: map[netip.Prefix]LANRoute{}, checked: map[netip.Addr]bool{},
	}
	n.nd = NewLAN(cfg, n, n)
	w.nodes = append(w.nodes, n)
	return n
}

// one returns a LAN with the link-local address fe80::1 that is ready.
func (w *lanWorld) one(cfg LANConfig) *lanNode {
	if !cfg.LinkLocal.IsValid() {
		cfg.LinkLocal = lanLL
	}
	n := w.add(cfg)
	n.nd.Start(w.now)
	w.run(2 * second)
	if n.nd.LinkLocal() != cfg.LinkLocal {
		w.t.Fatal("no link-local address")
	}
	return n
}

// inject has the node take p as if from mac, at once.
func (w *lanWorld) inject(n *lanNode, p ipv6.Packet, mac ipv6.LinkAddr) error {
	err := n.nd.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: mac, LinkDst: n.mac})
	n.nd.Heard(w.now, p.Src(), ipv6.Meta{LinkSrc: mac})
	checkLAN(w.t, n.nd)
	return err
}

func (w *lanWorld) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.todo) > 0 {
		slices.SortStableFunc(w.todo, func(a, b lanTodo) int { return a.at.Compare(b.at) })
		x := w.todo[0]
		if x.at.After(end) {
			break
		}
		w.todo = w.todo[1:]
		w.runUntil(x.at)
		x.do()
	}
	w.runUntil(end)
}

func (w *lanWorld) runUntil(end time.Time) {
	for steps := 0; ; steps++ {
		var next time.Time
		for _, n := range w.nodes {
			if !n.off {
				next = earlier(next, n.nd.Deadline())
			}
		}
		if len(w.queue) > 0 && (next.IsZero() || !w.queue[0].at.After(next)) {
			f := w.queue[0]
			if f.at.After(end) {
				break
			}
			w.queue = w.queue[1:]
			w.now = later(w.now, f.at)
			for _, n := range w.nodes {
				if n.off || n.mac == f.src || !f.dst.IsZero() && f.dst != n.mac {
					continue
				}
				p := append(ipv6.Packet(nil), f.p...)
				n.nd.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: f.src, LinkDst: f.dst})
				n.nd.Heard(w.now, p.Src(), ipv6.Meta{LinkSrc: f.src})
			}
			continue
		}
		if next.IsZero() || next.After(end) {
			break
		}
		w.now = later(w.now, next)
		for _, n := range w.nodes {
			if n.off {
				continue
			}
			n.nd.Advance(w.now)
			if d := n.nd.Deadline(); !d.IsZero() && !d.After(w.now) {
				w.t.Fatalf("deadline %v is not after %v: wake %v", d, w.now, n.nd.wake)
			}
		}
		if steps > 2_000_000 {
			w.t.Fatal("does not come to rest")
		}
	}
	w.now = end
	for _, n := range w.nodes {
		if !n.off {
			n.nd.Advance(end)
			checkLAN(w.t, n.nd)
		}
	}
}

// take returns what the node has sent of a type since the last take, and forgets the rest.
func (n *lanNode) take(typ uint8) (list []ipv6.Packet) {
	for _, f := range n.sent {
		if icmp(f.p)[0] == typ {
			list = append(list, f.p)
		}
	}
	n.sent = nil
	return list
}

// solicitations returns the neighbor solicitations sent.
func (n *lanNode) solicitations() (list []flight) {
	for _, f := range n.sent {
		if icmp(f.p)[0] == typeNeighborSolicitation {
			list = append(list, f)
		}
	}
	return list
}

// usable returns the addresses of larger than link scope that are preferred.
func (n *lanNode) usable() (list []netip.Addr) {
	for a, v := range n.addrs {
		if v.State == AddressPreferred && !a.IsLinkLocalUnicast() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// checkLAN asserts the invariants of a LAN.
func checkLAN(t testing.TB, l *LAN) {
	t.Helper()
	c := &l.cache
	n, holding := 0, 0
	for _, r := range [...]*lanRing{&c.incomplete, &c.failed, &c.learnt, &c.proven} {
		k := 0
		for e := r.root.next; e != &r.root; e = e.next {
			k++
			held := 0
			for h := e.head; h != nil; h = h.next {
				held++
			}
			holding += held
			if e.ring != r || e.dead || c.m.Get(tableKey(e.addr)) != e || held != int(e.nheld) || held > c.limits.Queue {
				t.Fatalf("entry of %v misplaced", e.addr)
			}
			if held > 0 && e.state != stateIncomplete {
				t.Fatalf("%v holds packets in state %d", e.addr, e.state)
			}
			if (e.state == stateIncomplete || e.state == stateFailed) != (r == &c.incomplete || r == &c.failed) || e.known && r == &c.learnt {
				t.Fatalf("%v in state %d in the wrong ring", e.addr, e.state)
			}
			if e.ll.IsZero() != (e.state == stateIncomplete || e.state == stateFailed) && e.state != stateIncomplete {
				t.Fatalf("%v in state %d at %v", e.addr, e.state, e.ll)
			}
			if _, ok := c.timers.At(e); !ok {
				t.Fatalf("%v in state %d has no timer", e.addr, e.state)
			}
			if e.listed && l.router(e.addr) == nil {
				t.Fatalf("%v is listed but no router", e.addr)
			}
		}
		if k != r.n {
			t.Fatalf("ring of %d counts %d", k, r.n)
		}
		n += k
	}
	m := c.limits
	if n != c.m.Len() || n != c.timers.Len() || holding != c.holding || holding > m.Held {
		t.Fatalf("%d entries, %d in the map, %d timers, %d held, counted %d", n, c.m.Len(), c.timers.Len(), holding, c.holding)
	}
	if c.learnt.n+c.proven.n > m.Neighbors || c.incomplete.n > m.Incomplete+m.Routers || c.failed.n > negativePerSlots*m.Incomplete+m.Routers ||
		len(l.routers) > m.Routers || len(l.prefixes) > m.Prefixes+1 || len(l.routes) > m.Routes || len(l.addrs) > m.Addresses+1 ||
		len(l.checks) > m.Checks || len(l.unchecked) > m.Checks || l.up && len(l.unchecked) > 0 || len(l.dns) > maxLANServers || len(l.search) > maxLANServers || len(l.nat64) > maxLANServers ||
		len(l.adv.gone) > maxWithdrawn || len(l.delayed) > maxDelayed || len(l.checks) != len(l.checkQueue) || len(l.told) > m.Routes {
		t.Fatalf("beyond the limits: %d learnt, %d proven, %d incomplete, %d failed, %d routers, %d prefixes, %d routes, %d addresses",
			c.learnt.n, c.proven.n, c.incomplete.n, c.failed.n, len(l.routers), len(l.prefixes), len(l.routes), len(l.addrs))
	}
}

func addr(s string) netip.Addr {
	if s == "" {
		return unspecified
	}
	return netip.MustParseAddr(s)
}

// lanNS builds a solicitation; sll and nonce may be zero.
func lanNS(src, dst, target netip.Addr, sll ipv6.LinkAddr, nonce []byte) ipv6.Packet {
	if !dst.IsValid() {
		dst = SolicitedNode(target)
	}
	b, _ := NeighborSolicitation{Target: target}.AppendBinary(begin(nil))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, sll)
	if nonce != nil {
		b = append(append(b, OptionNonce, 1), nonce...)
	}
	return finish(b, src, dst, hopLimit)
}

// lanNA builds an advertisement; flags are of "RSO".
func lanNA(src, dst, target netip.Addr, tll ipv6.LinkAddr, flags string) ipv6.Packet {
	has := func(c byte) bool { return slices.Contains([]byte(flags), c) }
	b, _ := NeighborAdvertisement{Router: has('R'), Solicited: has('S'), Override: has('O'), Target: target}.AppendBinary(begin(nil))
	b = AppendLinkAddr(b, OptionTargetLinkAddr, tll)
	return finish(b, src, dst, hopLimit)
}

func lanRS(src netip.Addr, sll ipv6.LinkAddr) ipv6.Packet {
	b, _ := RouterSolicitation{}.AppendBinary(begin(nil))
	return finish(AppendLinkAddr(b, OptionSourceLinkAddr, sll), src, allRouters, hopLimit)
}

// lanRA builds an advertisement with options that append themselves.
func lanRA(src netip.Addr, sll ipv6.LinkAddr, life int, opts ...any) ipv6.Packet {
	ra := RouterAdvertisement{RouterLifetime: uint16(life)}
	var tail []byte
	for _, o := range opts {
		switch v := o.(type) {
		case RouterAdvertisement:
			ra = v
			ra.RouterLifetime = uint16(life)
		case Preference:
			ra.Preference = v
		case []byte:
			tail = append(tail, v...)
		case interface{ AppendBinary([]byte) ([]byte, error) }:
			b, err := v.AppendBinary(nil)
			if err != nil {
				panic(err)
			}
			tail = append(tail, b...)
		default:
			panic(fmt.Sprintf("%T", o))
		}
	}
	b, _ := ra.AppendBinary(begin(nil))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, sll)
	return finish(append(b, tail...), src, allNodes, hopLimit)
}

func pio(p netip.Prefix, valid, preferred uint32) PrefixInfo {
	return PrefixInfo{Prefix: p, OnLink: true, Autonomous: true, Valid: valid, Preferred: preferred}
}

// packet builds some packet to be sent to dst.
func lanPacket(dst netip.Addr) ipv6.Packet {
	return ipv6.AppendUDP(nil, netip.AddrPortFrom(lanLL, 1), netip.AddrPortFrom(dst, 2), 64, []byte("data"))
}

// answerFor has solicitations for the addresses in the map answered, as by other nodes.
func (w *lanWorld) answer(m map[netip.Addr]ipv6.LinkAddr) {
	w.hook = func(f flight) {
		b := icmp(f.p)
		if b[0] != typeNeighborSolicitation || f.p.Src().IsUnspecified() {
			return
		}
		ns, err := ParseNeighborSolicitation(b)
		if err != nil {
			w.t.Fatal(err)
		}
		mac, ok := m[ns.Target]
		if !ok || !f.dst.IsZero() && f.dst != mac {
			return
		}
		flags := "SO"
		if ns.Target.IsLinkLocalUnicast() {
			flags = "RSO"
		}
		w.queue = append(w.queue, flight{f.at.Add(time.Millisecond), lanNA(ns.Target, f.p.Src(), ns.Target, mac, flags), mac, f.src})
	}
}

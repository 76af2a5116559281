package nd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"border-router/internal/timerq"
	"border-router/ipv6"
)

// A Host is a device's side of Neighbor Discovery: a host of RFC 6775 that registers its
// addresses, with the EARO of RFC 8505 where the router knows it; or, with
// [HostConfig.Classic], one of RFC 4861. It is a plain machine: not safe for concurrent use,
// without clock or socket.
type Host struct {
	cache
	cfg    HostConfig
	out    ipv6.Sender
	ev     HostEvents
	log    *slog.Logger
	rand   *rand.Rand
	now    time.Time
	stats  Stats
	buf    []byte
	timers timerq.Queue[hostTimer]

	running  bool
	ll       netip.Addr // link-local
	rovr     ROVR
	rsSent   int
	routers  []hostRouter // in order of preference; the first is the default router
	prefixes []hostPrefix
	addrs    []hostAddr
	pending  netip.Addr // the address whose registration is under way
	mtu      int
	hopLimit uint8
}

// A hostTimer is what a timer of a Host is for.
type hostTimer struct {
	kind timerKind
	addr netip.Addr
}

type timerKind uint8

const (
	timerSolicit  timerKind = iota // next RS
	timerRefresh                   // unicast RS before something runs out
	timerRouter                    // lifetime of router addr
	timerPrefix                    // lifetime of the prefix whose address is addr
	timerRegister                  // next step of the registration of addr
	timerDAD                       // end of duplicate address detection of addr
	timerReport                    // MLD report for addr
)

type hostRouter struct {
	addr  netip.Addr
	caps  Capability
	until time.Time
}

type hostPrefix struct {
	prefix netip.Prefix
	onLink bool
	until  time.Time // zero: for ever
}

type hostAddr struct {
	addr  netip.Addr
	bits  int
	ready bool // may be used
	tries int
	tid   uint8
	until time.Time // end of the registration
}

// Constants of RFC 6775 section 9 and RFC 4861 section 10.
const (
	rtrSolicitationInterval    = 10 * time.Second // RTR_SOLICITATION_INTERVAL
	maxRtrSolicitations        = 3                // MAX_RTR_SOLICITATIONS
	maxRtrSolicitationInterval = 60 * time.Second // MAX_RTR_SOLICITATION_INTERVAL

	classicRSInterval = 4 * time.Second // lwIP, RFC 4861 section 10
	dadTime           = time.Second     // RETRANS_TIMER
	initialTID        = 240             // RFC 6550 section 7.2: 256 - SEQUENCE_WINDOW

	defaultLifetime = 15 * time.Minute
	retryLater      = time.Minute      // after a refusal
	retryMoved      = 10 * time.Second // after one for a stale TID
	retryDuplicate  = 10 * time.Minute // after a duplicate

	maxHostRouters  = 4
	maxHostPrefixes = 4
)

// NewHost returns a Host that sends through out and tells ev; it does nothing before
// [Host.Start].
func NewHost(cfg HostConfig, out ipv6.Sender, ev HostEvents) *Host {
	h := &Host{cfg: cfg, out: out, ev: ev, log: cfg.Logger, rand: cfg.Rand, ll: ipv6.LinkLocal(cfg.LinkAddr), mtu: ipv6.MinMTU, hopLimit: 64}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.rand == nil {
		h.rand = rand.New(rand.NewPCG(cfg.LinkAddr.Uint64(), 1))
	}
	if h.cfg.Lifetime <= 0 {
		h.cfg.Lifetime = defaultLifetime
	}
	h.cfg.Lifetime = min(max(h.cfg.Lifetime, time.Minute), 65535*time.Minute)
	eui := make([]byte, 8)
	copy(eui[8-cfg.LinkAddr.Len():], cfg.LinkAddr.Append(nil))
	h.rovr, _ = ROVRFrom(eui)
	h.cache.init(ev, cfg.Limits, cfg.LinkAddr)
	h.cache.solicit = h.sendNS
	h.cache.failed = func(now time.Time, e *entry) { h.lost(now, e.addr) }
	return h
}

// Start brings the interface up.
func (h *Host) Start(now time.Time) {
	if h.running {
		return
	}
	h.now, h.running, h.rsSent = now, true, 0
	h.addrs = append(h.addrs[:0], hostAddr{addr: h.ll, bits: 64})
	if h.cfg.Classic {
		h.startDAD(now, h.ll)
		h.solicitRouters(now)
		return
	}
	// "the link-local address formed from an EUI-64 needs no duplicate address detection"
	// (RFC 6775 section 5.2).
	h.addrs[0].ready = true
	h.ev.AddressAdded(now, h.ll, 64)
	// A fleet that is switched on at once must not speak at once (RFC 4861 section 6.3.7).
	h.timers.Set(hostTimer{kind: timerSolicit}, now.Add(time.Duration(h.rand.Int64N(int64(time.Second)))))
}

// Stop ends the registrations and forgets everything.
func (h *Host) Stop(now time.Time) {
	if !h.running {
		return
	}
	h.now = now
	for i := range h.addrs {
		if a := &h.addrs[i]; a.until.After(now) {
			h.register(now, a, true)
		}
	}
	h.running = false
	h.timers.Clear()
	for _, a := range slices.Clone(h.addrs) {
		if a.ready {
			h.ev.AddressRemoved(now, a.addr)
		}
	}
	if len(h.routers) > 0 {
		h.ev.DefaultRouter(now, netip.Addr{}, ipv6.LinkAddr{})
	}
	h.routers, h.prefixes, h.addrs, h.pending = nil, nil, nil, netip.Addr{}
	all := entriesOf(&h.entries)
	slices.SortFunc(all, func(a, b *entry) int { return a.addr.Compare(b.addr) })
	for _, e := range all {
		h.remove(now, e, DropStopped)
	}
}

// LinkLocal returns the link-local address.
func (h *Host) LinkLocal() netip.Addr { return h.ll }

// Addrs returns the addresses that may be used.
func (h *Host) Addrs() (list []netip.Addr) {
	for _, a := range h.addrs {
		if a.ready {
			list = append(list, a.addr)
		}
	}
	return list
}

// MTU returns the MTU that the router announced, or 1280, in bytes.
func (h *Host) MTU() int { return h.mtu }

// HopLimit returns the hop limit that the router announced, or 64.
func (h *Host) HopLimit() uint8 { return h.hopLimit }

func (h *Host) addr(a netip.Addr) *hostAddr {
	for i := range h.addrs {
		if h.addrs[i].addr == a {
			return &h.addrs[i]
		}
	}
	return nil
}

// HandlePacket takes an ICMPv6 message of type 130 or 133 to 137 that arrived on the link;
// its checksum has been verified. It returns nil when the message was consumed, else the
// [Drop] that says why not.
func (h *Host) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	h.now = now
	err := h.handle(now, p, m)
	h.stats.dropped(err)
	return err
}

func (h *Host) handle(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	if !h.running {
		return DropStopped
	}
	b := icmp(p)
	if len(b) < 8 {
		return DropTruncated
	}
	h.stats.received(b[0])
	switch b[0] {
	case typeMLDQuery:
		return h.handleQuery(now, b)
	case typeRouterAdvertisement:
		return h.handleRA(now, p, m)
	case typeNeighborSolicitation:
		return h.handleNS(now, p, m)
	case typeNeighborAdvertisement:
		return h.handleNA(now, p, m)
	case typeRedirect:
		if _, err := CheckRedirect(p); err != nil {
			return err
		}
		return DropRedirect
	}
	return DropType
}

// Heard tells the Host that a packet from src arrived from m.LinkSrc.
func (h *Host) Heard(now time.Time, src netip.Addr, m ipv6.Meta) {
	h.now = now
	if e := h.lookup(src); e != nil && e.ll == m.LinkSrc {
		e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
	}
}

// Resolve returns the link-layer address to which p for dst, on the link or not, is to be
// sent: the neighbor itself or the default router. The errors are those of
// [Router.Resolve], and [DropNoRouter].
func (h *Host) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	h.now = now
	if !h.running {
		return ipv6.LinkAddr{}, DropStopped
	}
	if dst.IsMulticast() {
		return ipv6.LinkAddr{}, nil
	}
	next := dst
	if !dst.IsLinkLocalUnicast() && !h.isOnLink(dst) {
		if len(h.routers) == 0 {
			return ipv6.LinkAddr{}, DropNoRouter
		}
		next = h.routers[0].addr
	}
	ll, found, err := h.resolve(now, next, p, owner)
	if found {
		return ll, err
	}
	if ll, ok := h.formed(next); ok && !h.cfg.Classic {
		return ll, nil
	}
	return ipv6.LinkAddr{}, h.start(now, next, p, owner)
}

// isOnLink reports whether a prefix with the L flag contains a. A host of RFC 6775 knows
// none: it sends everything but link-local packets to the router (RFC 6775 section 5.6).
func (h *Host) isOnLink(a netip.Addr) bool {
	for i := range h.prefixes {
		if h.prefixes[i].onLink && h.prefixes[i].prefix.Contains(a) {
			return true
		}
	}
	return false
}

// LinkStatus says whether a unicast transmission to ll was acknowledged by its MAC.
func (h *Host) LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool) {
	h.now = now
	h.linkStatus(ll, ok)
}

// Deadline returns the time of the next [Host.Advance]; zero: nothing is scheduled.
func (h *Host) Deadline() time.Time { return earlier(h.cache.timers.Next(), h.timers.Next()) }

// Advance does everything that is due at or before now.
func (h *Host) Advance(now time.Time) {
	h.now = now
	for {
		e, ok := h.cache.timers.Pop(now)
		if !ok {
			break
		}
		h.cache.advance(now, e)
	}
	for {
		t, ok := h.timers.Pop(now)
		if !ok {
			return
		}
		switch t.kind {
		case timerSolicit:
			h.solicitRouters(now)
		case timerRefresh:
			h.refresh(now)
		case timerRouter:
			h.lost(now, t.addr)
		case timerPrefix:
			h.removePrefix(now, t.addr)
		case timerRegister:
			h.advanceRegistration(now, t.addr)
		case timerDAD:
			h.endDAD(now, t.addr)
		case timerReport:
			h.sendReport(now, t.addr)
		}
	}
}

// Snapshot returns the neighbor table in the order of addresses.
func (h *Host) Snapshot() []Neighbor { return h.snapshot(h.now) }

// Stats returns a copy of the counters.
func (h *Host) Stats() Stats { return h.stats }

func (h *Host) send(now time.Time, b []byte, src, dst netip.Addr, ll ipv6.LinkAddr) {
	h.stats.sent(b[ipv6.HeaderLen])
	h.buf = nil
	h.out.SendPacket(now, finish(b, src, dst, hopLimit), ll)
	h.buf = b
}

// solicitRouters sends a router solicitation to all routers and schedules the next (RFC
// 6775 section 5.3; lwIP: three, 4 s apart).
func (h *Host) solicitRouters(now time.Time) {
	src := h.ll
	if a := h.addr(h.ll); a == nil || !a.ready {
		src = unspecified
	}
	b, _ := RouterSolicitation{}.AppendBinary(begin(h.buf[:0]))
	if !src.IsUnspecified() {
		b = AppendLinkAddr(b, OptionSourceLinkAddr, h.cfg.LinkAddr)
	}
	if h.cfg.Capability != 0 {
		b, _ = h.cfg.Capability.AppendBinary(b)
	}
	h.rsSent++
	wait := rtrSolicitationInterval
	if h.cfg.Classic {
		wait = classicRSInterval
		if h.rsSent >= maxRtrSolicitations {
			wait = 0
		}
	} else if h.rsSent >= maxRtrSolicitations {
		wait = min(wait<<min(h.rsSent-maxRtrSolicitations, 3), maxRtrSolicitationInterval)
		wait += time.Duration(h.rand.Int64N(int64(wait / 4)))
	}
	if wait > 0 {
		h.timers.Set(hostTimer{kind: timerSolicit}, now.Add(wait))
	}
	h.send(now, b, src, allRouters, ipv6.LinkAddr{})
}

// refresh asks the default router for a fresh RA (RFC 6775 section 5.4.3).
func (h *Host) refresh(now time.Time) {
	if len(h.routers) == 0 {
		return
	}
	rt := &h.routers[0]
	b, _ := RouterSolicitation{}.AppendBinary(begin(h.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, h.cfg.LinkAddr)
	wait := max(rt.until.Sub(now)/3, rtrSolicitationInterval)
	h.timers.Set(hostTimer{kind: timerRefresh}, now.Add(wait))
	h.send(now, b, h.ll, rt.addr, h.routerLink(rt.addr))
}

// routerLink returns the link-layer address of a router.
func (h *Host) routerLink(a netip.Addr) ipv6.LinkAddr {
	if e := h.lookup(a); e != nil && !e.ll.IsZero() {
		return e.ll
	}
	ll, _ := h.formed(a)
	return ll
}

// lost gives up the router a: its lifetime is over, or it does not answer.
func (h *Host) lost(now time.Time, a netip.Addr) {
	i := slices.IndexFunc(h.routers, func(r hostRouter) bool { return r.addr == a })
	if i < 0 {
		return
	}
	h.log.LogAttrs(context.Background(), slog.LevelInfo, "router lost", slog.Any("addr", a))
	h.routers = slices.Delete(h.routers, i, i+1)
	h.timers.Remove(hostTimer{timerRouter, a})
	if i == 0 {
		h.selected(now)
	}
	if len(h.routers) == 0 && !h.cfg.Classic {
		// "the host ... SHOULD send RSs" (RFC 6775 section 5.3)
		h.rsSent = 0
		h.timers.Remove(hostTimer{kind: timerRefresh})
		h.timers.Set(hostTimer{kind: timerSolicit}, now.Add(time.Duration(h.rand.Int64N(int64(time.Second)))))
	}
}

// selected tells of a new default router, with which the addresses are registered.
func (h *Host) selected(now time.Time) {
	if len(h.routers) == 0 {
		h.ev.DefaultRouter(now, netip.Addr{}, ipv6.LinkAddr{})
		return
	}
	a := h.routers[0].addr
	h.ev.DefaultRouter(now, a, h.routerLink(a))
	if h.cfg.Classic {
		return
	}
	h.pending = netip.Addr{}
	for i := range h.addrs {
		if v := &h.addrs[i]; v.addr != h.ll {
			v.tries = 0
			h.timers.Set(hostTimer{timerRegister, v.addr}, now)
		}
	}
}

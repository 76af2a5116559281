package router

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"border-router/internal/addrtable"
	"border-router/ipv6"
)

// Config configures a [Router]. The zero value is a router that forwards, with the
// defaults named here.
type Config struct {
	// HostOnly switches forwarding off: what is not for us is dropped, as RFC 8200
	// section 3 wants of a host.
	HostOnly bool
	// ICMPRate is how many ICMPv6 errors a second may be sent (RFC 4443 section 2.4(f)).
	// Default 100.
	ICMPRate int
	// ICMPBurst is how many may be sent at once. Default 20.
	ICMPBurst int
	// ClampMSS lowers the maximum segment size in TCP SYNs that cross the router to what
	// the smaller of the two links carries in one packet (RFC 4459 section 3.2).
	ClampMSS bool
	// Logger takes what an operator may act on; nil discards.
	Logger *slog.Logger
	// Tap, where set, sees each packet that a port brought or took. It must not keep p.
	Tap func(port int, tx bool, p ipv6.Packet)
	// Registered and Unregistered, where set, are told of address registrations.
	Registered   func(now time.Time, l *Link, addr netip.Addr, ll ipv6.LinkAddr)
	Unregistered func(now time.Time, l *Link, addr netip.Addr)
	// Linked, where set, is told of the link-layer address of each neighbor of a mesh, and
	// with the zero LinkAddr that it is not known any more.
	Linked func(l *Link, addr netip.Addr, ll ipv6.LinkAddr)
}

// A Router holds ports, the FIB and what they need to forward. It is a plain value that
// one goroutine uses, normally a [Loop].
type Router struct {
	cfg   Config
	log   *slog.Logger
	links []*Link
	host  *Link
	fib   FIB

	local  addrtable.Table[localKind] // our unicast addresses of larger than link scope
	addrs  []netip.Addr               // the same, in the order they were added
	groups addrtable.Table[struct{}]  // multicast groups that the host port listens to
	udp    map[uint16]UDPHandler

	proxied bool // nodes have addresses from prefixes of other links

	rules     []rule
	otherwise Action
	unmatched uint64
	seen      seenTable
	listeners []ipv6.LinkAddr // scratch
	clamped   uint64

	icmpBucket ipv6.TokenBucket
	icmpSent   uint64
	icmpMuted  uint64
	reasm      *ipv6.Reassembler
	pings      pinger
	scratch    []byte
}

type localKind uint8

const (
	localHost localKind = iota + 1 // lives on the host port
	localCore                      // answered by the router: the subnet-router anycast address
)

// New returns a router without ports.
func New(cfg Config) *Router {
	if cfg.ICMPRate == 0 {
		cfg.ICMPRate = 100
	}
	if cfg.ICMPBurst == 0 {
		cfg.ICMPBurst = 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Router{
		cfg:     cfg,
		log:     cfg.Logger,
		scratch: make([]byte, 0, ipv6.MaxPacket),
	}
	r.seen.seed = rand.Uint64()
	r.icmpBucket = ipv6.TokenBucket{Rate: float64(cfg.ICMPRate), Burst: cfg.ICMPBurst}
	r.reasm = r.newReassembler()
	return r
}

// FIB returns the forwarding table, for adding and removing routes.
func (r *Router) FIB() *FIB { return &r.fib }

// Links returns the ports in the order they were added.
func (r *Router) Links() []*Link { return r.links }

func (r *Router) link(i int) *Link {
	if uint(i) >= uint(len(r.links)) {
		return nil
	}
	return r.links[i]
}

// AddAddress makes addr one of our own: packets for it are delivered to the host port,
// which must be given the address as well. For an address inside a mesh prefix the
// subnet-router anycast address (RFC 4291 section 2.6.1) becomes ours too.
func (r *Router) AddAddress(addr netip.Addr) {
	k := addrKey(addr.As16())
	if r.local.Get(k.key()) != localHost {
		r.local.Put(k.key(), localHost)
		r.addrs = append(r.addrs, addr)
	}
	if r.cfg.HostOnly {
		return
	}
	anycast := k.mask(64)
	if r.local.Find(anycast.key()) == nil {
		r.local.Put(anycast.key(), localCore)
	}
}

// RemoveAddress undoes AddAddress.
func (r *Router) RemoveAddress(addr netip.Addr) {
	k := addrKey(addr.As16())
	r.local.Delete(k.key())
	anycast, last := k.mask(64), true
	keep := r.addrs[:0]
	for _, a := range r.addrs {
		if a == addr {
			continue
		}
		keep = append(keep, a)
		last = last && addrKey(a.As16()).mask(64) != anycast
	}
	r.addrs = keep
	if last && r.local.Get(anycast.key()) == localCore {
		r.local.Delete(anycast.key())
	}
}

// Addresses returns our own addresses of larger than link scope.
func (r *Router) Addresses() []netip.Addr { return append([]netip.Addr(nil), r.addrs...) }

// LocalAddresses returns every unicast address of larger than link scope that is answered
// here: our own ones, and the subnet-router anycast addresses that came with them.
func (r *Router) LocalAddresses() []netip.Addr {
	list := make([]netip.Addr, 0, r.local.Len())
	for k := range r.local.All() {
		list = append(list, addr16{k.Hi, k.Lo}.addr())
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// JoinGroup makes multicast packets to group be delivered to the host port.
func (r *Router) JoinGroup(group netip.Addr) { r.groups.Put(addrKey(group.As16()).key(), struct{}{}) }

// LeaveGroup undoes JoinGroup.
func (r *Router) LeaveGroup(group netip.Addr) { r.groups.Delete(addrKey(group.As16()).key()) }

// SetProxied tells the router that nodes of a mesh have addresses from the prefix of
// another link (RFC 4389, RFC 8929): their sources pass the ingress filter where a host
// route leads to them.
func (r *Router) SetProxied(on bool) { r.proxied = on }

// Clamped returns in how many TCP SYNs the maximum segment size was lowered.
func (r *Router) Clamped() uint64 { return r.clamped }

// Busy reports whether a port has as much waiting as it should; the uplink is then left
// in the kernel's queue.
func (r *Router) Busy() bool {
	for _, l := range r.links {
		if l.busy != nil && l.busy.Busy() {
			return true
		}
	}
	return false
}

// Deadline returns when [Router.Advance] has work to do; the zero Time means never.
func (r *Router) Deadline() time.Time {
	d := r.pings.deadline()
	d = earlier(d, r.reasm.Deadline())
	for _, l := range r.links {
		if l.nb != nil {
			d = earlier(d, l.nb.Deadline())
		}
		if l.mc != nil {
			d = earlier(d, l.mc.Deadline())
		}
		for _, m := range l.machines {
			d = earlier(d, m.Deadline())
		}
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Advance does everything that is due at or before now.
func (r *Router) Advance(now time.Time) {
	due := func(m Machine) bool {
		d := m.Deadline()
		return !d.IsZero() && !d.After(now)
	}
	for _, l := range r.links {
		if l.nb != nil && due(l.nb) {
			l.nb.Advance(now)
		}
		if l.mc != nil && due(l.mc) {
			l.mc.Advance(now)
		}
		for _, m := range l.machines {
			if due(m) {
				m.Advance(now)
			}
		}
	}
	if due(r.reasm) {
		r.reasm.Advance(now)
	}
	r.pings.advance(now)
}

// sourceFor chooses the source address for a packet of ours to dst that leaves by l
// (RFC 6724 in the cases that can arise: same scope, then same prefix, then the first).
func (r *Router) sourceFor(l *Link, dst netip.Addr) netip.Addr {
	if dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast() {
		return l.LinkLocal()
	}
	k := addrKey(dst.As16())
	best, bestLen := netip.Addr{}, -1
	for _, a := range r.addrs {
		if n := commonBits(addrKey(a.As16()), k); n > bestLen {
			best, bestLen = a, n
		}
	}
	if bestLen < 0 {
		return l.LinkLocal()
	}
	return best
}

// ICMPErrors returns how many ICMPv6 errors were sent, and how many more there would have
// been without the rate limit.
func (r *Router) ICMPErrors() (sent, limited uint64) { return r.icmpSent, r.icmpMuted }

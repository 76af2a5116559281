package nd

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// Events is what a [Router] tells its owner. The calls come from within the methods of
// the Router and may call back into it.
type Events interface {
	// Registered: addr was registered or refreshed by the node at ll. ll is the zero
	// LinkAddr for an address registered through another 6LoWPAN router (RFC 6775
	// section 8.2).
	Registered(now time.Time, addr netip.Addr, ll ipv6.LinkAddr)
	// Unregistered: the registration of addr was given up, ran out or was evicted.
	Unregistered(now time.Time, addr netip.Addr)
	// Resolved: the packet p that [Router.Resolve] held may go to ll. p is valid during
	// the call.
	Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr)
	// Unresolved: the packet p that [Router.Resolve] held is given up; reason is a [Drop].
	// p is valid during the call.
	Unresolved(now time.Time, p ipv6.Packet, owner int, reason error)
}

// HostEvents is what a [Host] tells its owner.
type HostEvents interface {
	// AddressAdded: addr may be used from now on (registered, or checked for duplicates).
	AddressAdded(now time.Time, addr netip.Addr, prefixLen int)
	// AddressRemoved: addr may no longer be used.
	AddressRemoved(now time.Time, addr netip.Addr)
	// DefaultRouter: the default router is addr at ll, or none for the zero Addr. It is told
	// again when [Host.RouterCapability] changes.
	DefaultRouter(now time.Time, addr netip.Addr, ll ipv6.LinkAddr)
	// Context: the router announced (or, with lifetime 0, withdrew) a compression context.
	Context(now time.Time, id int, prefix netip.Prefix, compress bool, lifetime time.Duration)
	// DNS: the router announced these resolvers (RFC 8106); lifetime 0 withdraws them.
	// servers is valid during the call.
	DNS(now time.Time, servers []netip.Addr, lifetime time.Duration)
	// Resolved and Unresolved are as in [Events].
	Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr)
	Unresolved(now time.Time, p ipv6.Packet, owner int, reason error)
}

// Limits bounds what peers can make a machine keep. A zero field means the default.
type Limits struct {
	Registrations int // registered addresses; 1000
	PerNode       int // registered addresses of one owner (EUI-64 or ROVR) and of one link-layer address; 16
	Neighbors     int // addresses learnt without registration; 1000, at least 8
	Incomplete    int // address resolutions under way at once; 16
	Queue         int // packets held for one address; 3 (RFC 4861 section 7.2.2 asks for at least 1)
	Held          int // packets held in all; 32
}

func (l Limits) withDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Registrations, 1000)
	def(&l.PerNode, 16)
	def(&l.Neighbors, 1000)
	l.Neighbors = max(l.Neighbors, 8)
	def(&l.Incomplete, 16)
	def(&l.Queue, 3)
	def(&l.Held, 32)
	return l
}

// A ContextOption is a compression context that is announced with 6CO (RFC 6775
// section 4.2).
type ContextOption struct {
	ID       int           // 0 to 15
	Prefix   netip.Prefix  // up to 128 bits
	Compress bool          // C flag: nodes may compress with it
	Lifetime time.Duration // unit 60 s; 0 means the prefix lifetime
}

// RouterConfig configures a [Router]. LinkAddr is required; the zero value of every other
// field means the default given.
type RouterConfig struct {
	LinkAddr  ipv6.LinkAddr // EUI-64 of the port
	LinkLocal netip.Addr    // default: formed from LinkAddr
	Addrs     []netip.Addr  // further addresses that are ours on this link: solicitations are answered, registrations refused

	Prefix            netip.Prefix    // on-link /64 announced for autoconfiguration; invalid: none
	ValidLifetime     time.Duration   // of Prefix; 24 h
	PreferredLifetime time.Duration   // of Prefix; 12 h
	Contexts          []ContextOption // 6CO options, at most 16
	RDNSS             []netip.Addr    // recursive DNS servers (RFC 8106), at most 4
	RDNSSLifetime     time.Duration   // default: RouterLifetime
	DNSSL             []string        // search list (RFC 8106), at most 4 domains
	MTU               int             // of the MTU option, in bytes; 0 means 1280, negative: no option
	RouterLifetime    time.Duration   // 1800 s (RFC 4861 section 6.2.1); at most 65535 s
	CurHopLimit       uint8           // 64
	Managed, Other    bool            // M and O flags: addresses, or other configuration, by DHCPv6
	ReachableTime     time.Duration   // announced and used; 30 s (RFC 4861 section 10), announced only where set
	RetransTimer      time.Duration   // announced and used; 1 s (RFC 4861 section 10), announced only where set

	ABROVersion  uint32        // of the information in our RAs; must grow over restarts (RFC 6775 section 4.3); 0 means 1
	ABROAddr     netip.Addr    // 6LBR address in the ABRO; default: Addrs[0], else the prefix with our IID
	ABROLifetime time.Duration // unit 60 s; 10,000 min

	// KeepVersion, where set, keeps a new ABROVersion over restarts; it is called before the
	// first RA with it is sent.
	KeepVersion func(v uint32)

	// Commit, where set, has what was told of registrations written. Nodes are told that they
	// are registered, or no more, when [Router.Committed] is called with the number that it
	// returned, one more than before, or 2.5 s have gone by. 0: it is written, or will
	// never be.
	Commit func() (ticket uint64)

	// Beyond, where set, reports whether an address from a prefix of the mesh is to be looked
	// for on another link, which has the prefix too: solicitations for it are answered with our
	// link-layer address, unless a node is known to have it.
	Beyond func(addr netip.Addr) bool

	// Check, where set, begins duplicate address detection for a new registration on another
	// link with the prefix of the mesh, and reports whether that is under way now (RFC 8929
	// section 9). The node is told that it is registered, or that it is not, when
	// [Router.Checked] or [Router.Revoke] is called, and after 1.6 s at the latest. aro is as
	// it came. It is not called for link-local addresses, which are of the mesh alone.
	Check func(now time.Time, addr netip.Addr, aro Registration) bool

	// Taken, where set, reports whether a node on another link with the prefix of the mesh was
	// found to have addr (RFC 8929 section 9.1) that is not known to be owner, which is zero
	// for who does not register: registrations of it are refused, and it is defended against
	// nodes that do not register.
	Taken func(addr netip.Addr, owner ROVR) bool

	// PeriodicRA sends unsolicited multicast RAs as RFC 4861 section 6.2.4 says. Without
	// it, nodes that do not register are sent unicast RAs before what they know runs out.
	PeriodicRA    bool
	MinRAInterval time.Duration // 200 s
	MaxRAInterval time.Duration // 600 s

	// OnLink says which nodes are sent a second Prefix Information option with the L flag.
	OnLink OnLinkMode

	// Capability is the 6CIO announced (RFC 7400, RFC 8505 section 4.3). The zero value means
	// [DefaultCapability]; NoCapability omits the option.
	Capability   Capability
	NoCapability bool

	Limits Limits
	Rand   *rand.Rand   // jitter; nil: a fixed seed
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

// An OnLinkMode says which nodes are sent a second Prefix Information option, with A and
// L set. RFC 6775 section 5.4 forbids the L flag in a 6LoWPAN and has hosts ignore such an
// option (the option, not the message); hosts of RFC 4861 such as older lwIP form an
// address only where both flags are set. The option with A=1 L=0 always comes first.
type OnLinkMode uint8

// The modes.
const (
	OnLinkAuto   OnLinkMode = iota // nodes that behave as RFC 4861 hosts, or do not take up the prefix without it
	OnLinkNever                    // strictly RFC 6775
	OnLinkAlways                   // every RA
)

// HostConfig configures a [Host]. LinkAddr is required.
type HostConfig struct {
	LinkAddr ipv6.LinkAddr // EUI-64 of the interface

	// Classic makes it an RFC 4861 host with the behaviour of lwIP: duplicate address
	// detection, three router solicitations, prefixes only with A and L set, neighbor
	// solicitations by multicast, MLDv1 reports; no registration.
	Classic bool

	// Lifetime of registrations, unit 60 s; 15 min.
	Lifetime time.Duration
	// ARO says which registration option to send.
	ARO AROMode
	// Capability is what a 6CIO in its router solicitations announces (RFC 7400 section 3.4,
	// RFC 8505 section 4.3). 0: it sends none.
	Capability Capability

	Limits Limits
	Rand   *rand.Rand   // jitter; nil: a fixed seed
	Logger *slog.Logger // nil discards
}

// An AROMode says which form of the address registration option a [Host] sends.
type AROMode uint8

// The modes.
const (
	AROAuto     AROMode = iota // EARO where the router's 6CIO says so (RFC 8505 section 4.3), else ARO
	AROLegacy                  // RFC 6775
	AROExtended                // RFC 8505
)

// A Neighbor is an entry of the neighbor table, as [Router.Snapshot] reports it.
type Neighbor struct {
	Addr         netip.Addr
	LinkAddr     ipv6.LinkAddr // zero: not known, or behind another router
	State        string        // "REGISTERED", "TENTATIVE", "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "UNREACHABLE"
	Registered   bool          // and the node was told so; else "TENTATIVE"
	Router       bool          // the R flag of its last advertisement
	Classic      bool          // the node behaves as an RFC 4861 host
	Expires      time.Time
	LastHeard    time.Time // zero: never
	RSSI         int8      // dBm, ipv6.RSSIUnknown where not known
	LQI          uint8
	ROVR         ROVR // owner: EUI-64 of an ARO, ROVR of an EARO
	TID          uint8
	HasTID       bool
	LinkFailures int // unicast transmissions in a row that were not acknowledged
	Held         int // packets waiting
}

// A Record is a registration in the form in which it is kept over a restart.
type Record struct {
	Addr     netip.Addr
	LinkAddr ipv6.LinkAddr // zero: behind another router
	ROVR     ROVR
	TID      uint8
	HasTID   bool
	Expires  time.Time
}

// Stats counts what a machine did. All values only grow.
type Stats struct {
	Received      [5]uint64 // RS, RA, NS, NA, Redirect
	Sent          [5]uint64 // RS, RA, NS, NA, Redirect
	DAR, DAC      uint64    // received, sent (RFC 6775 section 8.2)
	Registrations uint64    // accepted, refreshed ones included
	Refused       uint64    // answered with a status other than success
	Deregistered  uint64    // by the node
	Expired       uint64    // registrations that ran out
	Conflicts     uint64    // claims against a registered address or one of ours
	Evicted       uint64    // learnt neighbors pushed out by newer ones
	Dropped       [NumDrops]uint64
}

// received counts a message by its type.
func (s *Stats) received(typ uint8) {
	if typ >= typeRouterSolicitation && typ <= typeRedirect {
		s.Received[typ-typeRouterSolicitation]++
	}
}

// sent counts a message by its type.
func (s *Stats) sent(typ uint8) {
	if typ >= typeRouterSolicitation && typ <= typeRedirect {
		s.Sent[typ-typeRouterSolicitation]++
	}
}

// dropped counts a message by the reason for which it was discarded, where it was.
func (s *Stats) dropped(err error) {
	if d, ok := err.(Drop); ok && int(d) < len(s.Dropped) {
		s.Dropped[d]++
	}
}

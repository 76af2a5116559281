package nd

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// LANEvents is what a [LAN] tells its owner. The calls come from within the methods of the
// LAN. They may call [LAN.Resolve] and the methods that only read; everything else waits
// until the method has returned.
type LANEvents interface {
	// Resolved and Unresolved are as in [Events].
	Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr)
	Unresolved(now time.Time, p ipv6.Packet, owner int, reason error)
	// AddressChanged: one of our addresses came, changed its state or lifetimes, or went.
	// From AddressTentative on, its solicited-node group must be listened to.
	AddressChanged(now time.Time, a LANAddress)
	// OnLinkChanged: prefix is (or is no longer) on the link (RFC 4861 section 6.3.4), by an
	// RA of another router or because we offer it ourselves.
	OnLinkChanged(now time.Time, prefix netip.Prefix, on bool)
	// RouteChanged: the best next hop for a prefix, ::/0 for the default router, is another,
	// or its preference changed. Without a NextHop there is none any more.
	RouteChanged(now time.Time, r LANRoute)
	// DNSChanged: these are all DNS servers and search domains that routers announce now
	// (RFC 8106). The slices are valid during the call.
	DNSChanged(now time.Time, servers []netip.Addr, search []string)
	// NAT64Changed: these are all NAT64 prefixes that routers announce now (RFC 8781). The
	// slice is valid during the call.
	NAT64Changed(now time.Time, prefixes []netip.Prefix)
	// ParametersChanged: a router announced other parameters of the link.
	ParametersChanged(now time.Time, p LANParameters)
	// AdvertisedChanged: [LAN.Advertised] is to be kept over a restart.
	AdvertisedChanged(now time.Time)
	// ProxyChecked: the duplicate address detection that [LAN.ProxyAdd] or [LAN.ProxyRegister]
	// began is over; addr is unique (StatusSuccess), or the node on the LAN at ll, zero where
	// not known, has it (StatusDuplicate), or another backbone router has a fresher
	// registration (StatusMoved, and StatusRemoved where that comes later). owner is the one
	// of such a router, zero of other nodes.
	ProxyChecked(now time.Time, addr netip.Addr, s Status, ll ipv6.LinkAddr, owner ROVR)
	// Conflict: the node at ll claims addr, which is ours or which we proxy for.
	Conflict(now time.Time, addr netip.Addr, ll ipv6.LinkAddr)
}

// An AddressState is the state of one of our addresses (RFC 4862 section 2).
type AddressState uint8

// The states.
const (
	AddressRemoved    AddressState = iota // no longer ours
	AddressTentative                      // being checked for duplicates; not to be used yet
	AddressPreferred                      //
	AddressDeprecated                     // still ours, not for new connections
	AddressDuplicate                      // another node has it; never ours, or no longer
)

var addressStateText = [...]string{"removed", "tentative", "preferred", "deprecated", "duplicate"}

// String returns the name of the state.
func (s AddressState) String() string {
	if int(s) < len(addressStateText) {
		return addressStateText[s]
	}
	return "unknown"
}

// A LANAddress is one of our addresses on the link.
type LANAddress struct {
	Addr      netip.Addr
	Prefix    netip.Prefix // of the subnet
	State     AddressState
	Preferred time.Time // end of the preferred lifetime; zero: never
	Valid     time.Time // end of the valid lifetime; zero: never
	Static    bool      // by AddAddress
}

// A LANRoute is the way to a prefix by a router on the link.
type LANRoute struct {
	Prefix     netip.Prefix // ::/0 for a default router
	NextHop    netip.Addr   // invalid: there is no route any more
	Preference Preference
	Expires    time.Time // zero: never
	Redirect   bool      // by a Redirect, for the one destination
	Selected   bool      // the best for its prefix
}

// LANParameters are the parameters of the link that routers announce (RFC 4861 section
// 6.3.2).
type LANParameters struct {
	MTU           int   // bytes
	HopLimit      uint8 // of what we originate
	Managed       bool  // M: addresses by DHCPv6
	Other         bool  // O: other configuration by DHCPv6
	ReachableTime time.Duration
	RetransTimer  time.Duration
}

// An AdvertisedPrefix is a Prefix Information option in our RAs.
type AdvertisedPrefix struct {
	Prefix     netip.Prefix
	OnLink     bool          // L
	Autonomous bool          // A
	Valid      time.Duration // 0 means PrefixLifetime of the configuration
	Preferred  time.Duration // 0 means Valid
}

// An AdvertisedRoute is a Route Information option in our RAs.
type AdvertisedRoute struct {
	Prefix     netip.Prefix
	Preference Preference
	Lifetime   time.Duration // 0 means RouteLifetime of the configuration
}

// An Advertised is a prefix or route that hosts on the link have from us, in the form in
// which it is kept over a restart (RFC 9096 section 3.1).
type Advertised struct {
	Prefix     netip.Prefix
	Route      bool          // an RIO, else a PIO
	OnLink     bool          // L
	Autonomous bool          // A
	Lifetime   time.Duration // how long hosts may hold it after the last RA
}

// A Proxy tells for which addresses of other links a [LAN] answers (RFC 4389, RFC 8929).
type Proxy interface {
	// Proxied reports whether addr belongs to a node behind us. It is called for each
	// solicitation and advertisement on the link, so it must cost one lookup.
	Proxied(addr netip.Addr) bool
}

// LANLimits bounds what peers can make a [LAN] keep. A zero field means the default.
type LANLimits struct {
	Neighbors  int // addresses with a known link-layer address; 1024, at least 32
	Incomplete int // address resolutions under way at once; 16
	Queue      int // packets held for one address; 3
	Held       int // packets held in all; 64
	Resolve    int // resolutions begun for unknown addresses, a second; 50
	Routers    int // 16
	Prefixes   int // 32
	Routes     int // 64
	Addresses  int // of ours; 16
	Checks     int // duplicate address detections for proxied addresses at once; 256
}

func (l LANLimits) withDefaults() LANLimits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Neighbors, 1024)
	l.Neighbors = max(l.Neighbors, 32)
	def(&l.Incomplete, 16)
	def(&l.Queue, 3)
	l.Queue = min(l.Queue, 255)
	def(&l.Held, 64)
	def(&l.Resolve, 50)
	def(&l.Routers, 16)
	def(&l.Prefixes, 32)
	def(&l.Routes, 64)
	def(&l.Addresses, 16)
	def(&l.Checks, 256)
	return l
}

// LANConfig configures a [LAN]. LinkAddr is required; the zero value of every other field
// means the default given.
type LANConfig struct {
	LinkAddr  ipv6.LinkAddr // EUI-48 of the interface
	LinkLocal netip.Addr    // default: formed with Secret, or without one from LinkAddr
	MTU       int           // of the interface, in bytes; 1500

	// RouterOnly is for an interface whose addresses and neighbor cache belong to the
	// kernel: LinkLocal is the kernel's, no address is formed and no duplicate detected, and
	// only the router side, what it has to know of other routers, and the proxy work.
	RouterOnly bool

	// AcceptRouter has the RAs of other routers set our default router, routes, addresses
	// and parameters. Without it they are only heard for what we advertise ourselves and, with
	// RouterOnly, for the prefixes that are on the link.
	AcceptRouter bool
	// Routers, where not empty, are the only routers whose advertisements are heard, by their
	// link-local addresses: a guard against others where no switch has one (RFC 6105).
	Routers []netip.Addr
	// AcceptRedirects has redirects followed. "A router MUST NOT update its routing tables
	// upon receipt of a Redirect" (RFC 4861 section 8.2): for a node that does not forward.
	AcceptRedirects bool

	// Secret is the secret_key of RFC 7217 section 5, at least 16 bytes, the same at each
	// start. Without it interface identifiers are formed from LinkAddr.
	Secret []byte
	// NetworkID is the Network_ID of RFC 7217 section 5, for instance the SSID; may be empty.
	NetworkID string
	// DADTransmits is DupAddrDetectTransmits of RFC 4862; 1, negative: no detection.
	DADTransmits int

	// Advertise sends router advertisements.
	Advertise      bool
	RouterLifetime time.Duration // AdvDefaultLifetime; 0: we are not a default router; at most 65535 s
	Preference     Preference    // of us as a default router
	MinRAInterval  time.Duration // 150 s
	MaxRAInterval  time.Duration // 200 s; 4 s to 1800 s
	CurHopLimit    uint8         // announced; 0: unspecified
	AnnounceMTU    bool          // MTU option
	RouteLifetime  time.Duration // of routes announced; 1800 s
	PrefixLifetime time.Duration // of prefixes announced, valid and preferred; 1800 s
	Routes         []AdvertisedRoute
	Prefixes       []AdvertisedPrefix
	RDNSS          []netip.Addr // DNS servers announced, at most 4
	DNSSL          []string     // search list announced, at most 4
	NAT64          netip.Prefix // announced as PREF64
	// OfferPrefix is the ULA /64 that is offered on the link where nobody advertises a
	// usable prefix. Invalid: none is.
	OfferPrefix netip.Prefix

	// Proxy, where set, makes us answer for the addresses it knows.
	Proxy Proxy

	Limits LANLimits
	Rand   *rand.Rand   // jitter; nil: a fixed seed
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

package dhcp6

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"
)

// ServerEvents is what a [Server] tells its owner. The calls come from within the methods
// of the Server and may call back into it.
type ServerEvents interface {
	// Bound: b was made or extended.
	Bound(now time.Time, b Binding)
	// Unbound: b was released, declined or ran out. A declined one is kept, with Declined
	// set and Valid for how long the address rests.
	Unbound(now time.Time, b Binding)
}

// A Binding is an address that is leased to a client. It marshals to JSON for being kept
// over a restart.
type Binding struct {
	Client    DUID       `json:"client"`
	IAID      uint32     `json:"iaid"`
	Addr      netip.Addr `json:"addr"`
	Peer      netip.Addr `json:"peer"` // the client's own address on its link, at the last message
	Preferred time.Time  `json:"preferred,omitzero"`
	Valid     time.Time  `json:"valid,omitzero"`
	Declined  bool       `json:"declined,omitzero"` // the client found the address in use: it rests until Valid
}

// ServerLimits bounds what clients can make a server keep. A zero field means the default.
type ServerLimits struct {
	Bindings  int           // with the declined addresses; 1000
	PerClient int           // bindings of one DUID, and of one address on the link; 4
	Rest      time.Duration // how long a declined address is not leased again; 24 h
}

func (l ServerLimits) withDefaults() ServerLimits {
	if l.Bindings <= 0 {
		l.Bindings = 1000
	}
	if l.PerClient <= 0 {
		l.PerClient = 4
	}
	if l.Rest <= 0 {
		l.Rest = 24 * time.Hour
	}
	return l
}

// ServerConfig configures a [Server]. DUID is required; the zero value of every other
// field means the default given.
type ServerConfig struct {
	DUID DUID // of this server, kept over restarts

	// Prefix is the /64 (or longer or shorter) of the link, out of which addresses are
	// leased. Invalid: configuration only.
	Prefix netip.Prefix
	// First and Last bound the addresses that are leased where the address of the client
	// on the link does not give one. Default: 65,536 addresses, from 1:0 to 1:ffff in the
	// prefix, or all of a prefix that is smaller.
	First, Last netip.Addr
	// PoolOnly leases from First to Last only. Otherwise a client gets the address whose
	// interface identifier is that of its link-local address, which 6LoWPAN compresses to
	// nothing.
	PoolOnly bool
	// InUse says that an address belongs to another than the client with this address on
	// the link, as the neighbor table knows: it is not leased. nil: never.
	InUse func(addr, peer netip.Addr) bool
	// Busy says that an answer which tells of a binding could not be sent now: what asks for
	// one is dropped, with bindings as they are. nil: never.
	Busy func() bool

	PreferredLifetime time.Duration // 12 h
	ValidLifetime     time.Duration // 24 h
	T1, T2            time.Duration // 0.5 and 0.8 times PreferredLifetime (RFC 8415 section 21.4)

	DNS      []netip.Addr // recursive resolvers, at most 8
	Domains  []string     // search list, at most 8
	SNTP     []netip.Addr // RFC 4075, at most 8
	NTP      []netip.Addr // RFC 5908, at most 8
	NTPNames []string     // RFC 5908, at most 8
	// Refresh is when stateless clients ask again, at least 600 s; 0: it is not said, which
	// means 24 h to them (RFC 8415 section 21.23).
	Refresh  time.Duration
	SolMaxRT time.Duration // 60 s to 86,400 s; 0: it is not said, which means 3600 s to clients
	InfMaxRT time.Duration // 60 s to 86,400 s; 0: it is not said, which means 3600 s to clients

	Preference  uint8 // 255: clients wait for no other server
	RapidCommit bool  // answers a Solicit with the lease where the client wants it

	Limits ServerLimits
	Rand   *rand.Rand   // choice of addresses; nil: seeded from crypto/rand
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

// ServerStats counts what a [Server] did. All values only grow, but for the last two.
type ServerStats struct {
	Received    Messages // that were taken; those of relays by the message inside
	Sent        Messages
	Relayed     uint64 // messages that came through relays
	Dropped     [NumDrops]uint64
	Leased      uint64 // addresses leased or extended
	Refused     uint64 // NoAddrsAvail
	NoBindings  uint64 // NoBinding
	NotOnLink   uint64
	Multicast   uint64 // UseMulticast
	Released    uint64
	Declined    uint64
	Expired     uint64
	Bindings    int // now
	Quarantined int // of them, declined
}

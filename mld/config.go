package mld

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// Defaults of RFC 9777 section 9 and RFC 2710 section 7.
const (
	defaultRobustness          = 2                     // Robustness Variable, section 9.1
	defaultQueryInterval       = 125 * time.Second     // section 9.2
	defaultResponseInterval    = 10 * time.Second      // Query Response Interval, section 9.3
	defaultLastListenerQuery   = time.Second           // Last Listener Query Interval, section 9.8
	defaultUnsolicitedInterval = time.Second           // Unsolicited Report Interval, section 9.11
	v1UnsolicitedInterval      = 10 * time.Second      // RFC 2710 section 7.10
	defaultQuietInterval       = time.Hour             // our own: of a querier without periodic queries
	warnInterval               = 10 * time.Minute      // between two warnings of the same kind
	defendInterval             = 5 * time.Second       // between General Queries of a quiet querier that answer another router's
	minRetransmission          = 10 * time.Millisecond // least distance of two reports of the same change
	minResponse                = time.Millisecond
)

// Limits bounds what peers, or users of a [Listener], can make a machine keep. A zero field
// means the default.
type Limits struct {
	Groups          int // groups of scope 3 and more; 256. For a Listener and a Proxy: all groups
	LinkLocalGroups int // groups of scope 2, which nothing forwards; 256. Unused by a Listener
	PerListener     int // groups one link-layer address may bring in; a quarter of both together
	Sources         int // sources of one group; 64
	Listeners       int // link-layer addresses tracked for one group; 8
}

func (l Limits) withDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Groups, 256)
	def(&l.LinkLocalGroups, 256)
	def(&l.PerListener, max(1, (l.Groups+l.LinkLocalGroups)/4))
	def(&l.Sources, 64)
	def(&l.Listeners, 8)
	return l
}

// A ListenerConfig configures a [Listener]. The zero value of every field means the default
// given.
type ListenerConfig struct {
	Source     netip.Addr // our link-local address on the link; none while it is tentative
	MTU        int        // of the link, in bytes; 1280
	Robustness int        // Robustness Variable, 1 to 7; 2. The querier's takes its place once it is heard

	QueryInterval             time.Duration // assumed of an MLDv1 querier, where no MLDv2 one has told it; 125 s
	QueryResponseInterval     time.Duration // assumed of an MLDv1 querier that gives no time to answer; 10 s
	UnsolicitedReportInterval time.Duration // between repetitions of a state-change report; 1 s

	// Version2Only never falls back to MLDv1 (RFC 9777 section 8.2.1 recommends the option
	// for networks with source-specific multicast).
	Version2Only bool
	// OrdinarySSM treats ff3x::/32 as any other groups.
	OrdinarySSM bool

	Limits Limits
	Rand   *rand.Rand   // jitter; nil: a fixed seed
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

// A QuerierConfig configures a [Querier]. The zero value of every field means the default
// given.
type QuerierConfig struct {
	Source     netip.Addr // our link-local address on the link; without one it does not query
	MTU        int        // of the link, in bytes; 1280
	Robustness int        // Robustness Variable, 1 to 7; 2

	QueryInterval         time.Duration // between General Queries; 125 s. Negative: none are sent, see below
	QueryResponseInterval time.Duration // to answer a General Query; 10 s, less than QueryInterval
	StartupQueryInterval  time.Duration // QueryInterval / 4
	StartupQueryCount     int           // Robustness; negative: none

	LastListenerQueryInterval time.Duration // between specific queries, and to answer one; 1 s
	LastListenerQueryCount    int           // Robustness

	// ListeningInterval is the Multicast Address Listening Interval: how long a group lives
	// without a report. Default: Robustness * QueryInterval + 2 * QueryResponseInterval (RFC
	// 9777 section 9.4).
	//
	// Without General Queries it is 1 h, and before a group or source is forgotten the
	// listeners are asked for it, and only for it: a mesh whose nodes never move hears of MLD
	// LastListenerQueryCount times an hour and group. Of several routers to such a mesh the
	// one with the lower address answers queries of the others with one of its own, and these
	// query when they have not heard of it for as long as if it queried.
	ListeningInterval time.Duration

	// FastLeave forgets a group at once when the last of its listeners leaves, where all of
	// them are tracked (RFC 3810 appendix A.2). A listener whose reports were all lost is
	// then cut off until it reports again.
	FastLeave bool

	// Version1 is for a link with an MLDv1 router: queries are of version 1 (RFC 9777 section
	// 8.3.1).
	Version1 bool
	// Version2Only ignores MLDv1 (sections 8.3.1 and 8.3.2 recommend the option for networks
	// with source-specific multicast).
	Version2Only bool
	// OrdinarySSM treats ff3x::/32 as any other groups.
	OrdinarySSM bool
	// NoRouterAlert takes reports without a Router Alert option, which RFC 9777 section 7.4
	// drops.
	NoRouterAlert bool
	// AnySource takes reports with the unspecified source, which RFC 9777 section 5.2.14 has
	// routers discard: for a link to one host that has no link-local address, the kernel
	// behind a TUN.
	AnySource bool

	// Listener is our own listener on the link. It hears the queries that are sent (RFC 9777
	// section 7: a router is a listener too), so that other routers and switches learn of it,
	// and listens to the group of MLDv2 routers from Start to Stop.
	Listener *Listener

	// Rate and Burst bound the specific queries that reports can cause. Where there are no
	// tokens, the group stays until its time is over. Defaults: 10 a second, 20.
	Rate  float64
	Burst int

	Limits Limits
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

// Events is what a [Querier] tells its owner. The calls come from within the methods of
// the Querier and may call back into it.
type Events interface {
	// GroupChanged: what the link listens to of group is another filter now, which
	// [Querier.Filter] returns.
	GroupChanged(now time.Time, group netip.Addr)
}

// Counts counts messages by kind.
type Counts struct {
	Queries   uint64 // of both versions
	Reports   uint64 // MLDv2 reports
	ReportsV1 uint64
	Dones     uint64
}

// add counts a message of ICMPv6 type typ.
func (c *Counts) add(typ uint8) {
	switch typ {
	case ipv6.ICMPMLDQuery:
		c.Queries++
	case ipv6.ICMPMLDv2Report:
		c.Reports++
	case ipv6.ICMPMLDReport:
		c.ReportsV1++
	case ipv6.ICMPMLDDone:
		c.Dones++
	}
}

// Stats counts what a machine did. All values only grow.
type Stats struct {
	Received Counts // messages of MLD, dropped ones included
	Sent     Counts

	GroupsAdded      uint64 // learnt from reports, or joined
	GroupsRemoved    uint64
	QueriesLimited   uint64 // specific queries not sent for the rate limit
	VersionFallbacks uint64 // to MLDv1, of the listener or of a group

	Dropped [NumDrops]uint64 // messages for which HandlePacket returned the reason
	Ignored [NumDrops]uint64 // records of reports, and groups not joined, for the reason
}

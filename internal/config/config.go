package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/router"
)

// A Config is everything that a router can be told. [Default] returns the defaults; they
// and the meaning of each key stand in the reference file ([Reference]). The toml tag is
// the key; the flag is the key with dashes unless the flag tag says otherwise; the range
// tag bounds a number or a duration, both ends included.
type Config struct {
	Radios    []Radio        `toml:"radios" flag:"radio"`           // each is a mesh port with a subnet of its own
	Uplink    Uplink         `toml:"uplink"`                        // the host port
	UplinkMTU int            `toml:"uplink_mtu" range:"1280..2047"` // bytes
	Prefixes  []netip.Prefix `toml:"prefixes" flag:"prefix"`        // see [Config.Subnets]
	StateDir  string         `toml:"state_dir"`                     // empty: see [Config.Resolve]
	Socket    string         `toml:"socket"`                        // empty: see [Config.Resolve]
	Log       Log            `toml:"log"`
	ND        ND             `toml:"nd"`
	Lowpan    Lowpan         `toml:"lowpan"`
	MAC       MAC            `toml:"mac"`
	Security  Security       `toml:"security"`
	ICMP      ICMP           `toml:"icmp"`
	LAN       LAN            `toml:"lan"`
	DHCP      DHCP           `toml:"dhcp"`
	Multicast Multicast      `toml:"multicast"`
	Filters   Filters        `toml:"filters"`
	Capture   Capture        `toml:"capture"`
}

// Log says what is logged and how; see [Log.Logger].
type Log struct {
	Level  Level  `toml:"level"`
	Format Format `toml:"format"`
}

// ND is what router advertisements say and how many nodes are kept (RFC 4861, RFC 6775,
// RFC 8505). It applies to every mesh port.
type ND struct {
	RouterLifetime    time.Duration `toml:"router_lifetime" range:"0s..18h12m15s"`
	ValidLifetime     time.Duration `toml:"valid_lifetime" range:"1m..infinite"`     // of the prefix; [Infinite]
	PreferredLifetime time.Duration `toml:"preferred_lifetime" range:"0s..infinite"` // of the prefix; [Infinite]
	OnLink            OnLink        `toml:"on_link"`
	HopLimit          int           `toml:"hop_limit" range:"1..255"`
	ReachableTime     time.Duration `toml:"reachable_time" range:"0s..1h"` // 0: not announced
	RetransTimer      time.Duration `toml:"retrans_timer" range:"0s..1h"`  // 0: not announced
	RDNSS             []netip.Addr  `toml:"rdnss"`                         // at most 4
	RDNSSLifetime     time.Duration `toml:"rdnss_lifetime" range:"0s..infinite"`
	DNSSL             []Domain      `toml:"dnssl"` // at most 4
	Contexts          []Context     `toml:"contexts" flag:"nd-context"`
	ContextLifetime   time.Duration `toml:"context_lifetime" range:"1m..65535m"`
	ABROLifetime      time.Duration `toml:"abro_lifetime" range:"1m..65535m"`
	PeriodicRA        bool          `toml:"periodic_ra"`
	RAInterval        time.Duration `toml:"ra_interval" range:"4s..30m"`         // MaxRtrAdvInterval
	MaxRegistrations  int           `toml:"max_registrations" range:"1..100000"` // per mesh port
	MaxPerNode        int           `toml:"max_per_node" range:"1..1000"`        // registrations
	MaxNeighbors      int           `toml:"max_neighbors" range:"1..100000"`     // per mesh port, not registered
	MaxIncomplete     int           `toml:"max_incomplete" range:"1..1000"`      // resolutions under way
	QueuePerNeighbor  int           `toml:"queue_per_neighbor" range:"1..64"`    // packets
	MaxHeld           int           `toml:"max_held" range:"1..4096"`            // packets in all
}

// Lowpan bounds the adaptation layer of each mesh port (RFC 4944, RFC 6282).
type Lowpan struct {
	Reassemblies          int           `toml:"reassemblies" range:"1..4096"`           // datagrams
	ReassembliesPerSource int           `toml:"reassemblies_per_source" range:"1..256"` // datagrams
	ReassemblyTimeout     time.Duration `toml:"reassembly_timeout" range:"1s..1m"`      // RFC 4944 section 5.3: at most 60 s
	QueueDatagrams        int           `toml:"queue_datagrams" range:"1..16384"`
	QueuePerNeighbor      int           `toml:"queue_per_neighbor" range:"1..4096"` // datagrams
	QueueTarget           time.Duration `toml:"queue_target" range:"1ms..10s"`      // RFC 8289
	QueueInterval         time.Duration `toml:"queue_interval" range:"10ms..100s"`  // RFC 8289
	QueueMaxDelay         time.Duration `toml:"queue_max_delay" range:"100ms..5m"`
	Peers                 int           `toml:"peers" range:"16..100000"`

	GHC        bool           `toml:"ghc"`   // RFC 7400
	Sleep      []SleepPeer    `toml:"sleep"` // what is not to be learnt
	Recovery   []RecoveryPeer `toml:"recovery"`
	Recoveries int            `toml:"recoveries" range:"1..128"` // datagrams under way by RFC 8931
}

// MAC holds what software that stands in for IEEE 802.15.4 hardware needs (ZEP). What a
// radio's URL says wins.
type MAC struct {
	Retries int           `toml:"retries" range:"0..7"`    // macMaxFrameRetries
	AckWait time.Duration `toml:"ack_wait" range:"0s..1s"` // 0: the radio's own default
	Pace    bool          `toml:"pace"`                    // frames by their air time
}

// ICMP limits the ICMPv6 errors that the router originates (RFC 4443 section 2.4(f)).
type ICMP struct {
	Rate  int `toml:"rate" range:"1..100000"` // a second
	Burst int `toml:"burst" range:"1..100000"`
}

// LAN is the Ethernet link of the uplink: with an ethernet or TAP uplink the link itself,
// with a TUN the interface on which the mesh is announced beside the kernel.
type LAN struct {
	Interface      Interface     `toml:"interface" flag:"lan"` // with a TUN uplink; empty: none
	Advertise      bool          `toml:"advertise"`
	RouterLifetime time.Duration `toml:"router_lifetime" range:"0s..18h12m15s"` // 0: not a default router
	RouteLifetime  time.Duration `toml:"route_lifetime" range:"1m..infinite"`
	RAInterval     time.Duration `toml:"ra_interval" range:"4s..30m"` // MaxRtrAdvInterval
	OfferPrefix    bool          `toml:"offer_prefix"`
	AcceptRA       bool          `toml:"accept_ra"`
	Routers        []netip.Addr  `toml:"routers"` // empty: all
	NDProxy        bool          `toml:"ndproxy" flag:"ndproxy"`
}

// DHCP is what is asked of DHCPv6 servers on the uplink, and given to nodes (RFC 8415).
type DHCP struct {
	Client      DHCPClient    `toml:"client"`
	Delegation  Switch        `toml:"delegation"`
	Hint        PrefixHint    `toml:"hint"` // of the delegated prefix
	RapidCommit bool          `toml:"rapid_commit"`
	Server      DHCPServer    `toml:"server"`
	Relay       []netip.Addr  `toml:"relay"` // servers; at most 4
	SNTP        []netip.Addr  `toml:"sntp"`  // at most 4
	Lifetime    time.Duration `toml:"lifetime" range:"1m..infinite"`
}

// Multicast is how packets to groups of larger than link scope are forwarded (RFC 4605).
type Multicast struct {
	Forward       bool          `toml:"forward"`
	Rate          int           `toml:"rate" range:"0..100000"` // a second, into each mesh; 0: no limit
	Burst         int           `toml:"burst" range:"1..100000"`
	Unicasts      int           `toml:"unicasts" range:"0..64"` // listeners that are each sent a copy
	Realm         bool          `toml:"realm"`                  // realm-local groups too
	QueryInterval time.Duration `toml:"query_interval" range:"0s..1h"`
	MaxGroups     int           `toml:"max_groups" range:"1..10000"` // per mesh port
}

// Filters says what is not forwarded.
type Filters struct {
	Ingress  bool         `toml:"ingress"`
	Rules    []FilterRule `toml:"rules" flag:"filter"`
	Default  FilterAction `toml:"default" flag:"filter-default"`
	ClampMSS bool         `toml:"clamp_mss"`
}

// Capture bounds what one reader of the capture may fall behind.
type Capture struct {
	Buffer int `toml:"buffer" range:"16..65536"` // packets
}

// Default returns the defaults.
func Default() *Config {
	return &Config{
		Radios:    []Radio{"zep://?channel=26&pan=0x0023"},
		Uplink:    Uplink{Kind: UplinkTUN, Name: "lowpan0"},
		UplinkMTU: 1280,
		Log:       Log{Level: LevelInfo, Format: FormatText},
		ND: ND{
			RouterLifetime:    30 * time.Minute,
			ValidLifetime:     30 * 24 * time.Hour,
			PreferredLifetime: 7 * 24 * time.Hour,
			OnLink:            OnLinkAuto,
			HopLimit:          64,
			RDNSSLifetime:     30 * time.Minute,
			ContextLifetime:   30 * 24 * time.Hour,
			ABROLifetime:      10000 * time.Minute,
			RAInterval:        10 * time.Minute,
			MaxRegistrations:  1000,
			MaxPerNode:        16,
			MaxNeighbors:      1000,
			MaxIncomplete:     16,
			QueuePerNeighbor:  3,
			MaxHeld:           32,
		},
		Lowpan: Lowpan{
			Reassemblies:          256,
			ReassembliesPerSource: 4,
			ReassemblyTimeout:     time.Minute,
			QueueDatagrams:        512,
			QueuePerNeighbor:      64,
			QueueTarget:           200 * time.Millisecond,
			QueueInterval:         2 * time.Second,
			QueueMaxDelay:         8 * time.Second,
			Peers:                 4096,
			Recoveries:            16,
		},
		MAC:      MAC{Retries: 3, Pace: true},
		Security: DefaultSecurity(),
		ICMP:     ICMP{Rate: 100, Burst: 20},
		LAN: LAN{
			Advertise:     true,
			RouteLifetime: 30 * time.Minute,
			RAInterval:    200 * time.Second,
			OfferPrefix:   true,
			AcceptRA:      true,
		},
		DHCP:      DHCP{Client: DHCPClientAuto, Delegation: SwitchAuto, RapidCommit: true, Server: DHCPServerStateless, Lifetime: 24 * time.Hour},
		Multicast: Multicast{Forward: true, Rate: 20, Burst: 40, Unicasts: 2, MaxGroups: 256},
		Filters:   Filters{Ingress: true, Default: FilterAction(router.Accept)},
		Capture:   Capture{Buffer: 4096},
	}
}

// Check reports what is wrong with settings that are each fine by themselves. Every error
// names the keys and says what is expected.
func (c *Config) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Radios) == 0 {
		fail(`radios = []: want at least one, such as "zep://?channel=26&pan=0x0023"`)
	}
	seen := make(map[Radio]bool)
	found := false
	for _, r := range c.Radios {
		if r.IsAuto() && found && !seen[r] {
			fail("radios: \"auto\" may stand there once: give the URLs of the radios, `border-router radios` lists them")
		}
		found = found || r.IsAuto()
		if seen[r] {
			fail("radios: %q stands there twice", string(r))
		}
		seen[r] = true
	}
	if len(c.Prefixes) > 0 {
		if _, err := c.Subnets(netip.Prefix{}); err != nil {
			fail("%w", err)
		}
	}
	if c.ND.PreferredLifetime > c.ND.ValidLifetime {
		fail("nd.preferred_lifetime = %q: want at most nd.valid_lifetime, which is %q",
			FormatDuration(c.ND.PreferredLifetime), FormatDuration(c.ND.ValidLifetime))
	}
	// RFC 4861 section 6.2.1: AdvDefaultLifetime is zero or at least MaxRtrAdvInterval.
	if c.ND.PeriodicRA && c.ND.RouterLifetime != 0 && c.ND.RouterLifetime < c.ND.RAInterval {
		fail("nd.ra_interval = %q: want at most nd.router_lifetime, which is %q",
			FormatDuration(c.ND.RAInterval), FormatDuration(c.ND.RouterLifetime))
	}
	var ids [16]bool
	for _, x := range c.ND.Contexts {
		if ids[x.ID] {
			fail("nd.contexts: context %d stands there twice", x.ID)
		}
		ids[x.ID] = true
	}
	if n := len(c.ND.RDNSS); n > 4 {
		fail("nd.rdnss: want at most 4 addresses, not %d", n)
	}
	for _, a := range c.LAN.Routers {
		if !a.IsLinkLocalUnicast() || !a.Is6() || a.Zone() != "" {
			fail("lan.routers: %s: want a link-local IPv6 address", a)
		}
	}
	for _, a := range c.ND.RDNSS {
		if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
			fail("nd.rdnss: %s: want a unicast IPv6 address", a)
		}
	}
	if n := len(c.ND.DNSSL); n > 4 {
		fail("nd.dnssl: want at most 4 domains, not %d", n)
	}
	most := func(key string, v int, limit string, max int) {
		if v > max {
			fail("%s = %d: want at most %s, which is %d", key, v, limit, max)
		}
	}
	most("nd.max_per_node", c.ND.MaxPerNode, "nd.max_registrations", c.ND.MaxRegistrations)
	most("nd.queue_per_neighbor", c.ND.QueuePerNeighbor, "nd.max_held", c.ND.MaxHeld)
	most("lowpan.reassemblies_per_source", c.Lowpan.ReassembliesPerSource, "lowpan.reassemblies", c.Lowpan.Reassemblies)
	most("lowpan.queue_per_neighbor", c.Lowpan.QueuePerNeighbor, "lowpan.queue_datagrams", c.Lowpan.QueueDatagrams)
	asleep := make(map[ipv6.LinkAddr]bool)
	for _, p := range c.Lowpan.Sleep {
		if asleep[p.Addr] {
			fail("lowpan.sleep: %s stands there twice", p.Addr)
		}
		asleep[p.Addr] = true
	}
	if c.Lowpan.QueueTarget > c.Lowpan.QueueInterval {
		fail("lowpan.queue_target = %q: want at most lowpan.queue_interval, which is %q",
			FormatDuration(c.Lowpan.QueueTarget), FormatDuration(c.Lowpan.QueueInterval))
	}
	c.Security.check(fail)
	c.checkUplink(fail)
	return errors.Join(errs...)
}

// Subnets returns the /64 of each radio, in their order. With one entry in Prefixes, radio
// i has subnet i of it, counted from zero; with several, each must be a /64 and belongs to
// the radio at its place; with none, generated (a /48 to /64) takes the place of the one.
func (c *Config) Subnets(generated netip.Prefix) ([]netip.Prefix, error) {
	n := len(c.Radios)
	base := generated
	switch len(c.Prefixes) {
	case 0:
	case 1:
		base = c.Prefixes[0]
	default:
		if len(c.Prefixes) != n {
			return nil, fmt.Errorf("prefixes: want one, or one for each of the %d radios, not %d", n, len(c.Prefixes))
		}
		for i, p := range c.Prefixes {
			if p.Bits() != 64 {
				return nil, fmt.Errorf("prefixes: %s: want a /64 where each radio has its own", p)
			}
			for _, q := range c.Prefixes[:i] {
				if p == q {
					return nil, fmt.Errorf("prefixes: %s stands there twice", p)
				}
			}
		}
		return append([]netip.Prefix(nil), c.Prefixes...), nil
	}
	if err := checkPrefix(base); err != nil {
		return nil, fmt.Errorf("prefixes: %w", err)
	}
	if n > 1<<(64-base.Bits()) {
		return nil, fmt.Errorf("prefixes: %s has room for %d subnets, not for %d radios; want a shorter prefix, or one /64 for each radio",
			base, 1<<(64-base.Bits()), n)
	}
	out := make([]netip.Prefix, n)
	for i := range out {
		a := base.Addr().As16()
		a[6] |= byte(i >> 8)
		a[7] |= byte(i)
		out[i] = netip.PrefixFrom(netip.AddrFrom16(a), 64)
	}
	return out, nil
}

// checkPrefix reports why p cannot be the prefix of meshes.
func checkPrefix(p netip.Prefix) error {
	const want = `want a unicast IPv6 prefix from /48 to /64 with no bits set beyond its length, such as "fd12:3456:789a::/48"`
	switch {
	case !p.IsValid(), !p.Addr().Is6(), p.Addr().Is4In6(), p.Bits() < 48, p.Bits() > 64, p != p.Masked():
		return errors.New(want)
	case p.Addr().IsMulticast(), p.Addr().IsLinkLocalUnicast(), p.Addr().IsUnspecified(), p.Addr().IsLoopback():
		return errors.New(want)
	}
	return nil
}

package node

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// A DeviceConfig configures a [Device]. EUI64 and Host are required.
type DeviceConfig struct {
	Name     string // of the mesh port; default "mesh"
	EUI64    uint64
	Short    uint16        // own short address; 0 or ffff: none
	PAN      uint16        //
	Classic  bool          // a host of RFC 4861 as lwIP instead of one of RFC 6775
	Lifetime time.Duration // of registrations, unit 60 s; 0: 15 min

	// PollInterval, where set, is how often a device that sleeps asks its router for frames.
	// Its receiver is off but for that, as soon as it has a router. The radio must be an
	// [ieee802154.Sleeper].
	PollInterval time.Duration

	Host router.Port // where packets for the device go
	Wake func()      // the device has frames for the radio again; see [lowpan.InterfaceConfig]

	// AddressAdded and AddressRemoved tell which addresses the device may use; Router,
	// which default router it has, or none for the zero Addr. Each may be nil.
	AddressAdded   func(now time.Time, a netip.Addr)
	AddressRemoved func(now time.Time, a netip.Addr)
	Router         func(now time.Time, a netip.Addr)

	Security *lowpan.Security // nil: frames are not secured

	// GHC accepts generic header compression (RFC 7400), announces that in a 6CIO, and uses it
	// towards a default router that announces it.
	GHC bool

	Lowpan lowpan.Limits
	ND     nd.Limits
	Rand   *rand.Rand   // nil: a fixed seed
	Logger *slog.Logger // nil discards
}

// deviceLimits are enough for a host that speaks to a few peers.
var (
	deviceLowpan = lowpan.Limits{Reassemblies: 16, ReassembliesPerSource: 4, QueueDatagrams: 64, Peers: 64}
	deviceND     = nd.Limits{Neighbors: 64}
)

// A Device is a host on a 6LoWPAN link. It is a machine: one goroutine, normally a
// [router.Loop], calls it with the time, and [router.Router.Deadline] tells when next.
type Device struct {
	Router *router.Router
	Link   *router.Link // the mesh port
	Iface  *lowpan.Interface
	ND     *nd.Host

	cfg    DeviceConfig
	log    *slog.Logger
	addrs  []netip.Addr
	groups groups
	stats  DeviceStats
}

// DeviceStats counts the packets that the host stack sent.
// FromHost = Sent + Held + Dropped, where Held counts all that ever waited for address
// resolution.
type DeviceStats struct {
	FromHost, Sent, Held, Dropped uint64
}

// NewDevice returns a device, which does nothing before [Device.Start].
func NewDevice(cfg DeviceConfig) *Device {
	if cfg.Name == "" {
		cfg.Name = "mesh"
	}
	if cfg.Short == 0 {
		cfg.Short = 0xffff
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(cfg.EUI64, 1))
	}
	if cfg.Lowpan == (lowpan.Limits{}) {
		cfg.Lowpan = deviceLowpan
	}
	if cfg.ND == (nd.Limits{}) {
		cfg.ND = deviceND
	}
	d := &Device{cfg: cfg, log: cfg.Logger}
	d.Router = router.New(router.Config{HostOnly: true, Logger: cfg.Logger})
	// Its one neighbor is a router of our kind, whose contexts it takes (from the 6CO); lwIP,
	// which it imitates where it is classic, knows neither these nor NHC beyond UDP.
	assume := lowpan.RegisteredPeer
	if cfg.Classic {
		assume = lowpan.Peer{}
	}
	var sleep *ieee802154.PollerConfig
	if cfg.PollInterval > 0 {
		sleep = &ieee802154.PollerConfig{Interval: cfg.PollInterval}
	}
	d.Iface = lowpan.NewInterface(lowpan.InterfaceConfig{
		Device: true, Sleep: sleep, Assume: assume,
		Name: cfg.Name, EUI64: cfg.EUI64, Short: cfg.Short, PAN: cfg.PAN,
		Security: cfg.Security, GHC: cfg.GHC,
		Limits: cfg.Lowpan, Logger: cfg.Logger, Rand: cfg.Rand, Wake: cfg.Wake,
		Deliver:    func(now time.Time, p ipv6.Packet, m ipv6.Meta) { d.Link.Deliver(now, p, m) },
		LinkStatus: func(now time.Time, dst ipv6.LinkAddr, ok bool) { d.Link.LinkStatus(now, dst, ok) },
	})
	ll := ipv6.EUI64(cfg.EUI64)
	d.Link = d.Router.AddPort(router.PortConfig{
		Port: d.Iface, Kind: router.Mesh, LinkLocal: []netip.Addr{ipv6.LinkLocal(ll)},
		Machines: []router.Machine{d.Iface},
	})
	d.Router.AddPort(router.PortConfig{Port: cfg.Host, Kind: router.Host})
	var capability nd.Capability
	if cfg.GHC {
		capability = nd.CapabilityGHC | nd.CapabilityEARO
	}
	d.ND = nd.NewHost(nd.HostConfig{
		Capability: capability,
		LinkAddr:   ll, Classic: cfg.Classic, Lifetime: cfg.Lifetime, Limits: cfg.ND, Rand: cfg.Rand, Logger: cfg.Logger,
	}, d.Link, (*events)(d))
	d.Link.SetNeighbors(d.ND)
	d.newGroups()
	return d
}

// Start begins to look for a router.
func (d *Device) Start(now time.Time) { d.ND.Start(now) }

// Stop leaves the groups and takes the registrations back (RFC 6775 section 5.8). What that sends is queued on
// the port; see [Device.Idle].
func (d *Device) Stop(now time.Time) {
	d.groups.Batch(now, func() {
		for _, g := range d.groups.Snapshot().Groups {
			for range g.Joins {
				d.Leave(now, g.Group)
			}
		}
	})
	d.ND.Stop(now)
}

// Idle reports whether nothing waits for the radio.
func (d *Device) Idle() bool { return d.Iface.Stats().DatagramsQueued == 0 }

// Addrs returns the addresses that the device may use, the link-local one left out.
func (d *Device) Addrs() []netip.Addr { return append([]netip.Addr(nil), d.addrs...) }

// Stats returns a copy of the counters.
func (d *Device) Stats() DeviceStats { return d.stats }

// FromHost sends a packet of the device's own stack. A host does not forward what it sends
// itself: there is no route to look up but the neighbor or the default router, and the hop
// limit stays. p may be changed and is not kept.
func (d *Device) FromHost(now time.Time, p ipv6.Packet, _ ipv6.Meta) {
	d.stats.FromHost++
	var ll ipv6.LinkAddr
	if !p.IsMulticast() {
		var err error
		if ll, err = d.ND.Resolve(now, p.Dst(), p, hostStack); err != nil {
			if err == ipv6.ErrHeld {
				d.stats.Held++
				return
			}
			d.stats.Dropped++
			d.log.Debug("cannot send", "addr", p.Dst(), "reason", err)
			return
		}
	}
	d.stats.Sent++
	d.Link.SendPacket(now, p, ll)
}

// hostStack is the owner of packets of the host stack: no port of the router received them.
const hostStack = -1

// events is the Device as neighbor discovery sees it.
type events Device

func (e *events) AddressAdded(now time.Time, a netip.Addr, _ int) {
	d := (*Device)(e)
	if a.IsLinkLocalUnicast() {
		d.groups.SetSource(now, a)
		return // lives on the link
	}
	for _, b := range d.addrs {
		if a == b {
			return
		}
	}
	d.addrs = append(d.addrs, a)
	d.Router.AddAddress(a)
	if f := d.cfg.AddressAdded; f != nil {
		f(now, a)
	}
}

func (e *events) AddressRemoved(now time.Time, a netip.Addr) {
	d := (*Device)(e)
	for i, b := range d.addrs {
		if a != b {
			continue
		}
		d.addrs = append(d.addrs[:i], d.addrs[i+1:]...)
		d.Router.RemoveAddress(a)
		if f := d.cfg.AddressRemoved; f != nil {
			f(now, a)
		}
		return
	}
}

func (e *events) DefaultRouter(now time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	d := (*Device)(e)
	all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if d.cfg.GHC && !ll.IsZero() {
		p := d.Iface.Peer(ll)
		p.GHC = d.ND.RouterCapability()&nd.CapabilityGHC != 0
		d.Iface.SetPeer(ll, p)
	}
	if a.IsValid() {
		d.Router.FIB().Add(router.Route{Prefix: all, Port: d.Link.Index(), NextHop: a, Kind: router.RouteDefault})
		d.groups.Announce(now) // it may not have heard of the groups
	} else {
		d.Router.FIB().Remove(all)
		ll = ipv6.LinkAddr{}
	}
	d.Iface.SetParent(now, ll)
	if f := d.cfg.Router; f != nil {
		f(now, a)
	}
}

func (e *events) Context(now time.Time, id int, prefix netip.Prefix, compress bool, lifetime time.Duration) {
	d := (*Device)(e)
	c := lowpan.Context{Prefix: prefix, Compress: compress}
	if lifetime > 0 {
		c.Expires = now.Add(lifetime)
	} else {
		c = lowpan.Context{}
	}
	d.Iface.SetContext(id, c)
}

func (e *events) DNS(time.Time, []netip.Addr, time.Duration) {}

func (e *events) Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr) {
	(*Device)(e).Link.Resolved(now, p, owner, ll)
}

func (e *events) Unresolved(now time.Time, p ipv6.Packet, owner int, reason error) {
	(*Device)(e).Link.Unresolved(now, p, owner, reason)
}

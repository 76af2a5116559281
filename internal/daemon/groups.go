package daemon

import (
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/mld"
	"border-router/router"
)

// groups is multicast listener discovery on one port: our own listening, and what others
// listen to. It is the port's [router.Multicast].
type groups struct {
	listener *mld.Listener
	querier  *mld.Querier
	// served has packets forwarded onto the link only while we are its querier, so that of
	// several routers to one mesh one does it (RFC 4605 section 3). On a LAN every router
	// forwards what comes out of its own meshes.
	served bool
}

// newGroups makes the machines of a port; they send nothing before start.
func (d *Daemon) newGroups(l *router.Link, source netip.Addr) *groups {
	c, mesh := d.cfg.Multicast, l.Kind() == router.Mesh
	limits := mld.Limits{Groups: c.MaxGroups}
	cfg := mld.QuerierConfig{
		Source: source, MTU: l.MTU(), Limits: limits, Logger: d.log, Name: l.Name(),
		QueryInterval: c.QueryInterval, FastLeave: mesh,
		// Simple stacks leave the option out.
		NoRouterAlert: mesh,
		// The kernel has no link-local address on a TUN.
		AnySource: l.Kind() == router.Host,
	}
	if mesh {
		cfg.Robustness = 3 // air is lossy
		if c.QueryInterval == 0 {
			cfg.QueryInterval = -1
		}
	}
	own := mld.Limits{}
	if l.Kind() == router.LAN && d.cfg.LAN.NDProxy {
		own.Groups = maxSolicited + 256 // beside those that nodes listen to
	}
	g := &groups{
		listener: mld.NewListener(mld.ListenerConfig{Source: source, MTU: l.MTU(), Limits: own, Rand: seeded(), Logger: d.log, Name: l.Name()}, l),
		served:   mesh,
	}
	cfg.Listener = g.listener
	var events mld.Events
	if mesh && d.proxy != nil {
		events = d.proxy
	}
	g.querier = mld.NewQuerier(cfg, l, events)
	return g
}

func (g *groups) Deadline() time.Time { return earlier(g.listener.Deadline(), g.querier.Deadline()) }

func (g *groups) Advance(now time.Time) {
	for _, m := range [...]router.Machine{g.listener, g.querier} {
		if d := m.Deadline(); !d.IsZero() && !d.After(now) {
			m.Advance(now)
		}
	}
}

// HandlePacket gives every message to both machines: queries and reports of MLDv1 are of
// interest to both, others to the querier alone.
func (g *groups) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	heard := g.listener.HandlePacket(now, p, m)
	if err := g.querier.HandlePacket(now, p, m); heard != nil {
		return err
	}
	return nil
}

func (g *groups) Wants(now time.Time, group, src netip.Addr) bool {
	return g.querier.Wants(now, group, src) && (!g.served || g.querier.IsQuerier())
}

// Designated reports whether it is us who carries what nodes send to the LAN: of several
// routers to one mesh the querier, as for what comes from there.
func (g *groups) Designated() bool { return !g.served || g.querier.IsQuerier() }

func (g *groups) Listeners(group netip.Addr, list []ipv6.LinkAddr) ([]ipv6.LinkAddr, bool) {
	return g.querier.Listeners(group, list)
}

func (g *groups) setSource(now time.Time, a netip.Addr) {
	g.listener.SetSource(now, a)
	g.querier.SetSource(now, a)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// realm returns the zone of realm-local multicast for a port: that of its own, or with one
// realm for all the same for every port.
func (d *Daemon) realm(own uint32) uint32 {
	if d.cfg.Multicast.Realm {
		return 1
	}
	return own
}

// minScope is the smallest scope of groups that the LAN is told of.
func (d *Daemon) minScope() ipv6.Scope {
	if d.cfg.Multicast.Realm {
		return ipv6.ScopeRealm
	}
	return ipv6.ScopeAdmin
}

// unlimited turns the 0 of the configuration, which stands for no limit or never, into the
// router's.
func unlimited(v int) int {
	if v == 0 {
		return -1
	}
	return v
}

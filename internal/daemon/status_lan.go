package daemon

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"time"

	"border-router/internal/api"
	"border-router/nd"
)

// lanStatus reads the state of the LAN; on the loop.
func (d *Daemon) lanStatus(now time.Time) *api.LAN {
	l := d.lan
	if l == nil {
		return nil
	}
	s := &api.LAN{
		Port: l.port.Name(), Interface: cmp.Or(l.state.Name, l.port.Name()), State: "up", LinkAddr: l.state.LinkAddr.String(),
		Reopened:  l.port.Stats().Reopened,
		Addresses: []api.LANAddress{}, Prefixes: []api.LANPrefix{}, Routes: []api.LANRoute{}, Advertised: []api.LANAdvertised{},
		DNS: append([]netip.Addr{}, l.dns...), Search: append([]string{}, l.search...), NAT64: append([]netip.Prefix{}, l.nat64...),
		MLD: l.groups.status(),
	}
	if !l.up {
		s.State, s.Reason = "down", l.state.Why
	}
	if d.proxy != nil {
		s.MLD.Proxied = d.proxy.Groups(nil)
	}
	for _, p := range slices.SortedFunc(maps.Keys(l.onLink), comparePrefix) {
		source := "router"
		if p == d.lanPrefix() {
			source = "offered"
		}
		s.Prefixes = append(s.Prefixes, api.LANPrefix{Prefix: p, Source: source})
	}
	if l.control {
		if l.state.LinkLocal.IsValid() {
			s.Addresses = append(s.Addresses, api.LANAddress{Addr: l.state.LinkLocal, State: nd.AddressPreferred.String(), Source: "kernel"})
		}
	}
	if l.dhcp != nil {
		s.DHCP = l.dhcp.status(now)
	}
	if l.nd == nil {
		return s
	}
	s.Neighbors = len(l.nd.Snapshot())
	for _, a := range l.nd.Addresses() {
		source := "slaac"
		if a.Static {
			source = "dhcp"
		}
		s.Addresses = append(s.Addresses, api.LANAddress{
			Addr: a.Addr, State: a.State.String(), Preferred: left(now, a.Preferred), Valid: left(now, a.Valid), Source: source,
		})
	}
	for _, r := range l.nd.Routes() {
		s.Routes = append(s.Routes, api.LANRoute{
			Prefix: r.Prefix, NextHop: r.NextHop, Preference: preferenceText[r.Preference&3], Expires: left(now, r.Expires), Selected: r.Selected,
		})
	}
	current := l.meshRoutes()
	for _, a := range l.nd.Advertised() {
		x := api.LANAdvertised{Prefix: a.Prefix, Kind: "prefix", State: "ending"}
		if a.Route {
			x.Kind = "route"
			if slices.ContainsFunc(current, func(r nd.AdvertisedRoute) bool { return r.Prefix.Masked() == a.Prefix }) {
				x.State = "announced"
			}
		} else if a.Prefix == d.lanPrefix() && l.nd.Offering() {
			x.State = "announced"
		}
		s.Advertised = append(s.Advertised, x)
	}
	return s
}

var preferenceText = [4]string{0: "medium", 1: "high", 3: "low"} // 2 is reserved, and never kept

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// left returns the seconds until t; nil: for good.
func left(now, t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := max(0, t.Sub(now).Seconds())
	return &s
}

func (g *groups) status() api.MLD {
	q := g.querier.Snapshot()
	s := api.MLD{Querier: q.Querier, Other: q.Other, Groups: []netip.Addr{}, Listening: []netip.Addr{}}
	for _, x := range q.Groups {
		s.Groups = append(s.Groups, x.Group)
	}
	for _, x := range g.listener.Snapshot().Groups {
		s.Listening = append(s.Listening, x.Group)
	}
	return s
}

func (c *dhcpClient) status(now time.Time) *api.Leased {
	lease := c.Lease()
	s := &api.Leased{
		State: c.State(), Server: hex.EncodeToString([]byte(lease.Server)),
		Prefixes: []api.LeasedRange{}, Addresses: []api.LeasedRange{}, Renew: left(now, lease.T1),
	}
	if c.conn.why != "" {
		s.State, s.Reason = "waiting", c.conn.why
	}
	for _, p := range lease.Prefixes {
		s.Prefixes = append(s.Prefixes, api.LeasedRange{Prefix: p.Prefix, Preferred: left(now, p.Preferred), Valid: left(now, p.Valid)})
	}
	for _, a := range lease.Addresses {
		s.Addresses = append(s.Addresses, api.LeasedRange{Prefix: netip.PrefixFrom(a.Addr, a.Addr.BitLen()), Preferred: left(now, a.Preferred), Valid: left(now, a.Valid)})
	}
	return s
}

// filterStatus reads the packet filter; on the loop.
func (d *Daemon) filterStatus() *api.Filter {
	rules, unmatched := d.router.Rules()
	if len(rules) == 0 && d.cfg.Filters.Default == 0 {
		return nil
	}
	f := &api.Filter{Rules: []api.FilterRule{}, Default: d.cfg.Filters.Default.String(), Unmatched: unmatched}
	for i := range rules {
		r := &rules[i]
		text, _ := d.cfg.Filters.Rules[i].MarshalText() // never fails
		f.Rules = append(f.Rules, api.FilterRule{Name: r.Name, Rule: string(text), Action: r.Action.String(), Packets: r.Packets, Bytes: r.Bytes})
	}
	return f
}

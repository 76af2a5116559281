package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configure brings the interface into the state that the configuration asks for. Each
// step looks first and changes only what differs, so that an interface which was prepared
// by an administrator needs no privilege.
func (d *Device) configure() (err error) {
	if d.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("tun %s: open rtnetlink: %w", d.name, err)
	}
	link, err := d.nl.LinkByName(d.name)
	if err != nil {
		return d.explain("look up the interface", err)
	}
	d.index = link.Attrs().Index
	if err := d.setPersistTo(link); err != nil {
		return d.explain("set the interface persistent", err)
	}
	if link.Attrs().MTU != d.mtu {
		if err := d.nl.LinkSetMTU(link, d.mtu); err != nil {
			return d.explain(fmt.Sprintf("set MTU %d", d.mtu), err)
		}
	}
	if err := d.enableIPv6(); err != nil {
		return err
	}
	up := link.Attrs().Flags&net.FlagUp != 0
	d.quiet(link)
	if !up {
		if err := d.nl.LinkSetUp(link); err != nil {
			return d.explain("set the interface up", err)
		}
	}
	if err := d.removeStale(link); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.cfg.Addresses {
		if err := d.addAddress(a); err != nil {
			return err
		}
	}
	for _, p := range d.cfg.Routes {
		if err := d.addRoute(p); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) setPersistTo(link netlink.Link) error {
	persistent := false
	if t, ok := link.(*netlink.Tuntap); ok {
		persistent = !t.NonPersist
	}
	if d.cfg.Persist && !persistent {
		return d.setPersist(true)
	}
	return nil // one made persistent by another hand stays so
}

// quiet keeps the kernel from speaking for itself on the interface: no link-local address,
// no router solicitations, no autoconfiguration. What fails is logged, not fatal: the
// router discards these packets.
func (d *Device) quiet(link netlink.Link) {
	const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h
	settings := []struct{ key, value string }{
		{"addr_gen_mode", "1"},
		{"accept_ra", "0"},
		{"autoconf", "0"},
		{"router_solicitations", "0"},
		{"accept_redirects", "0"},
		{"accept_dad", "0"},
		{"dad_transmits", "0"},
	}
	for _, s := range settings {
		err := setSysctl(ifSysctl(d.name, s.key), s.value)
		if err != nil && s.key == "addr_gen_mode" {
			err = d.nl.LinkSetIP6AddrGenMode(link, addrGenModeNone)
		}
		if err != nil {
			d.cfg.Logger.Debug("sysctl not set", "key", s.key, "err", err)
		}
	}
}

// enableIPv6 undoes what net.ipv6.conf.default.disable_ipv6 has done to the interface.
func (d *Device) enableIPv6() error {
	key := ifSysctl(d.name, "disable_ipv6")
	v, err := sysctl(key)
	if errors.Is(err, os.ErrNotExist) {
		return explainNoIPv6(d.name)
	}
	if err != nil || v == "0" {
		return nil // where it cannot be read, adding the address will tell
	}
	if err := setSysctl(key, "0"); err != nil {
		return explainDisabled(d.name, err)
	}
	return nil
}

// removeStale removes what an earlier process has left on a persistent interface: our
// routes, and every address that is not asked for now.
func (d *Device) removeStale(link netlink.Link) error {
	routes, err := d.listRoutes()
	if err != nil {
		return d.explain("list routes", err)
	}
	for _, r := range routes {
		if r.Protocol == RouteProtocol && !slices.Contains(d.cfg.Routes, prefixOf(r.Dst)) {
			if err := d.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return d.explain(fmt.Sprintf("remove the stale route %v", r.Dst), err)
			}
		}
	}
	addrs, err := d.nl.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return d.explain("list addresses", err)
	}
	for _, a := range addrs {
		if !slices.Contains(d.cfg.Addresses, prefixOf(a.IPNet)) {
			if err := d.nl.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return d.explain(fmt.Sprintf("remove the stale address %v", a.IPNet), err)
			}
		}
	}
	return nil
}

func (d *Device) listRoutes() ([]netlink.Route, error) {
	return d.nl.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: d.index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
}

// AddAddress makes a an own address of the interface, without duplicate address detection
// and, whatever its prefix length, without an on-link route. An address that is there
// already is left as it is and not removed by Close.
func (d *Device) AddAddress(a netip.Prefix) error {
	if err := checkAddress(d.name, a); err != nil {
		return err
	}
	return d.locked(func() error { return d.addAddress(a) })
}

// RemoveAddress removes an address; one that is not there is not an error.
func (d *Device) RemoveAddress(a netip.Prefix) error {
	return d.locked(func() error { return d.removeAddress(a) })
}

// AddRoute makes the kernel send packets for p to us. A route that is there already, on
// this interface, is left as it is and not removed by Close; one through another interface
// is an error that names it.
func (d *Device) AddRoute(p netip.Prefix) error {
	if err := checkRoute(d.name, p); err != nil {
		return err
	}
	return d.locked(func() error { return d.addRoute(p) })
}

// RemoveRoute removes a route of this interface; one that is not there is not an error.
func (d *Device) RemoveRoute(p netip.Prefix) error {
	return d.locked(func() error { return d.removeRoute(p) })
}

func (d *Device) locked(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("tun %s: %w", d.name, os.ErrClosed)
	}
	return f()
}

func (d *Device) link() netlink.Link {
	return &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: d.name, Index: d.index}}
}

func (d *Device) addAddress(a netip.Prefix) error {
	addrs, err := d.nl.AddrList(d.link(), netlink.FAMILY_V6)
	if err != nil {
		return d.explain("list addresses", err)
	}
	if slices.ContainsFunc(addrs, func(x netlink.Addr) bool { return prefixOf(x.IPNet) == a }) {
		return nil
	}
	err = d.nl.AddrAdd(d.link(), &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE})
	if err != nil {
		return d.explain(fmt.Sprintf("add the address %v", a), err)
	}
	d.addresses = append(d.addresses, a)
	return nil
}

func (d *Device) removeAddress(a netip.Prefix) error {
	d.addresses = slices.DeleteFunc(d.addresses, func(x netip.Prefix) bool { return x == a })
	err := d.nl.AddrDel(d.link(), &netlink.Addr{IPNet: ipNet(a)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return d.explain(fmt.Sprintf("remove the address %v", a), err)
	}
	return nil
}

func (d *Device) route(p netip.Prefix) *netlink.Route {
	return &netlink.Route{LinkIndex: d.index, Dst: ipNet(p), Protocol: RouteProtocol, Table: unix.RT_TABLE_MAIN, Priority: routeMetric}
}

// routeMetric is what "ip -6 route add" sets.
const routeMetric = 1024

func (d *Device) addRoute(p netip.Prefix) error {
	have, err := d.listRoutes()
	if err != nil {
		return d.explain("list routes", err)
	}
	if slices.ContainsFunc(have, func(r netlink.Route) bool { return prefixOf(r.Dst) == p }) {
		return nil
	}
	err = d.nl.RouteAdd(d.route(p))
	if errors.Is(err, unix.EEXIST) {
		return d.explainTaken(p)
	}
	if err != nil {
		return d.explain(fmt.Sprintf("add the route %v", p), err)
	}
	d.routes = append(d.routes, p)
	return nil
}

// explainTaken says which interface has the route already.
func (d *Device) explainTaken(p netip.Prefix) error {
	via := "another interface"
	all, err := d.nl.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err == nil {
		for _, r := range all {
			if prefixOf(r.Dst) == p {
				if l, err := d.nl.LinkByIndex(r.LinkIndex); err == nil {
					via = l.Attrs().Name
				}
			}
		}
	}
	return fmt.Errorf("tun %s: the kernel already has a route for %v by %s; choose another mesh prefix, or run: ip -6 route del %v dev %s", d.name, p, via, p, via)
}

func (d *Device) removeRoute(p netip.Prefix) error {
	d.routes = slices.DeleteFunc(d.routes, func(x netip.Prefix) bool { return x == p })
	r := d.route(p)
	r.Protocol = 0 // whoever made it
	if err := d.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return d.explain(fmt.Sprintf("remove the route %v", p), err)
	}
	return nil
}

// removeAll undoes what was added; it is called with the lock held.
func (d *Device) removeAll() error {
	var errs []error
	for _, p := range slices.Clone(d.routes) {
		errs = append(errs, d.removeRoute(p))
	}
	for _, a := range slices.Clone(d.addresses) {
		errs = append(errs, d.removeAddress(a))
	}
	return errors.Join(errs...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)}
}

// prefixOf returns n as a Prefix; nil, which stands for the default route, is ::/0.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP.To16())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}

package doctor

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"border-router/internal/config"
)

// ipv6 checks the settings of the kernel that a TUN uplink depends on.
func (e *examination) ipv6() {
	if !e.usesTUN() {
		e.ok("IPv6 of the kernel", "not used: the uplink is %s", e.cfg.Uplink)
		return
	}
	disabled, err := e.sys.sysctl("all", "disable_ipv6")
	switch {
	case err != nil:
		e.add(Fail, "IPv6 of the kernel", "start it without ipv6.disable=1 on its command line (/boot/cmdline.txt, /etc/default/grub), or: modprobe ipv6",
			"this kernel runs without IPv6")
		return
	case disabled == "1":
		e.add(Fail, "IPv6 of the kernel", sysctlCommand("all", "disable_ipv6", "0"), "IPv6 is disabled (net.ipv6.conf.all.disable_ipv6 = 1)")
	default:
		e.ok("IPv6 of the kernel", "on")
	}
	forwarding, _ := e.sys.sysctl("all", "forwarding") // there, as disable_ipv6 is
	names, fromRA := e.uplinks()
	if forwarding == "0" || forwarding == "" {
		fix := sysctlCommand("all", "forwarding", "1")
		for _, n := range fromRA {
			if v, err := e.sys.sysctl(n, "accept_ra"); err == nil && v == "1" {
				// First, since the default route is lost the moment forwarding is on.
				fix = sysctlCommand(n, "accept_ra", "2") + " && " + fix
			}
		}
		e.add(Warn, "forwarding", fix, "IPv6 forwarding is off (net.ipv6.conf.all.forwarding = 0): only this machine itself reaches the mesh")
	} else {
		e.forwarding(names)
	}
	e.acceptRA(names, fromRA, forwarding != "0" && forwarding != "")
	e.routeInfo(names)
}

func (e *examination) forwarding(names []string) {
	good := true
	for _, n := range names {
		if v, err := e.sys.sysctl(n, "forwarding"); err == nil && v == "0" {
			good = false
			e.add(Warn, "forwarding", sysctlCommand(n, "forwarding", "1"), "%s does not forward (net.ipv6.conf.%s.forwarding = 0), while the other interfaces do", n, n)
		}
	}
	if good {
		e.ok("forwarding", "on")
	}
}

// uplinks returns the interfaces that lead to the LAN: those with a default route, or else
// every Ethernet that is up. fromRA are those whose default route comes from router
// advertisements.
func (e *examination) uplinks() (names, fromRA []string) {
	names, fromRA = e.sys.defaultInterfaces()
	not := func(n string) bool { return n == e.cfg.Uplink.Name || n == "lo" }
	names = slices.DeleteFunc(names, not)
	fromRA = slices.DeleteFunc(fromRA, not)
	if len(names) > 0 {
		return names, fromRA
	}
	list, _ := e.Interfaces() // none: nothing to check
	for _, i := range list {
		const want = net.FlagUp | net.FlagBroadcast | net.FlagMulticast
		if i.Flags&want == want && i.Flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 && len(i.HardwareAddr) == 6 && !not(i.Name) && !virtual(i.Name) {
			names = append(names, i.Name)
		}
	}
	return names, fromRA
}

// virtual reports whether an interface is one of a container engine or a hypervisor.
func virtual(name string) bool {
	return slices.ContainsFunc([]string{"veth", "docker", "br-", "virbr", "vnet", "cni", "lxc", "tap", "dummy"}, func(p string) bool {
		return strings.HasPrefix(name, p)
	})
}

// acceptRA finds interfaces that ignore router advertisements because they forward (the
// kernel's ip-sysctl: accept_ra 1 holds only while forwarding is off).
func (e *examination) acceptRA(names, fromRA []string, forwards bool) {
	good := true
	for _, n := range names {
		v, err := e.sys.sysctl(n, "accept_ra")
		if err != nil || v != "1" {
			continue
		}
		f, _ := e.sys.sysctl(n, "forwarding")
		if !forwards && (f == "0" || f == "") {
			continue
		}
		good = false
		lost := "no default route and no prefix come from the LAN's router"
		if slices.Contains(fromRA, n) {
			lost = "its default route came from one and goes when it expires"
		}
		e.add(Warn, "accept_ra", sysctlCommand(n, "accept_ra", "2"),
			"%s forwards and therefore ignores router advertisements (net.ipv6.conf.%s.accept_ra = 1): %s", n, n, lost)
	}
	switch {
	case good && len(names) == 0:
		e.add(Warn, "accept_ra", "connect the machine to the LAN: ip link shows its interfaces", "no interface leads to a LAN: the mesh is reachable from this machine only")
	case good:
		e.ok("accept_ra", "right for %s", strings.Join(names, ", "))
	}
}

// meshPlen is the prefix length of the route to a mesh that a router advertisement carries
// (RFC 4191).
const meshPlen = 64

// routeInfo finds interfaces that do not learn routes to meshes from router advertisements.
func (e *examination) routeInfo(names []string) {
	good := true
	for _, n := range names {
		ra, err := e.sys.sysctl(n, "accept_ra")
		if err != nil || ra == "0" {
			continue // a program does it: NetworkManager, systemd-networkd, dhcpcd
		}
		v, err := e.sys.sysctl(n, "accept_ra_rt_info_max_plen")
		plen, err2 := strconv.Atoi(v)
		switch {
		case err != nil:
			good = false
			e.add(Warn, "routes by RA", "none: use a kernel with CONFIG_IPV6_ROUTE_INFO, or add routes by hand", "this kernel takes no routes from router advertisements")
		case err2 == nil && plen < meshPlen:
			good = false
			e.add(Warn, "routes by RA", sysctlCommand(n, "accept_ra_rt_info_max_plen", strconv.Itoa(meshPlen)),
				"%s learns no route to a mesh from router advertisements (net.ipv6.conf.%s.accept_ra_rt_info_max_plen = %d): meshes of other border routers are not reached from here; hosts of the LAN need the same setting", n, n, plen)
		}
	}
	if good && len(names) > 0 {
		e.ok("routes by RA", "routes to meshes are learnt on %s, or by a program", strings.Join(names, ", "))
	}
}

// dhcpClientPort finds another client that has the port for asking for a prefix beside the
// kernel.
func (e *examination) dhcpClientPort() {
	const name, port = "DHCPv6 client port", 546
	if !e.usesTUN() || e.cfg.LAN.Interface == "" || e.cfg.DHCP.Delegation != config.SwitchOn {
		return
	}
	if len(e.sys.inodes("udp6", port)) == 0 {
		e.ok(name, "UDP %d is free", port)
		return
	}
	who := "another program"
	for _, h := range e.sys.udp6Owners(port) {
		if h.PID == e.running && h.PID != 0 {
			e.ok(name, "UDP %d is in use by the running router", port)
			return
		}
		who = h.String()
	}
	e.add(Warn, name, fmt.Sprintf("have it leave DHCPv6 on %s to border-router (systemd-networkd: DHCPv6Client=no in [IPv6AcceptRA]; dhcpcd: nodhcp6 in dhcpcd.conf), or use --uplink ethernet://%[1]s, which is a client beside it, or set dhcp.delegation = \"off\"", e.cfg.LAN.Interface),
		"UDP port %d is in use by %s: where that is on %s, no prefix is asked for until it is free", port, who, e.cfg.LAN.Interface)
}

package tun

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const sysctlDir = "/proc/sys/net/ipv6/conf"

func ifSysctl(name, key string) string { return filepath.Join(sysctlDir, name, key) }

func sysctl(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// setSysctl writes only what differs, so that a read-only /proc/sys with the right value
// is as good as a writable one.
func setSysctl(path, value string) error {
	if v, err := sysctl(path); err != nil || v == value {
		return err
	}
	return os.WriteFile(path, []byte(value), 0)
}

// ForwardingEnabled reports whether the kernel forwards IPv6 packets between interfaces.
func ForwardingEnabled() (bool, error) {
	v, err := sysctl(ifSysctl("all", "forwarding"))
	if err != nil {
		return false, fmt.Errorf("read net.ipv6.conf.all.forwarding: %w", err)
	}
	return v != "0", nil
}

// Check looks at the machine (the network namespace of the calling thread) and returns
// what keeps a router with a TUN uplink from working; nothing, where all is well.
func Check() []Finding {
	var fs []Finding
	if v, err := sysctl(ifSysctl("all", "disable_ipv6")); os.IsNotExist(err) {
		return append(fs, Finding{"this kernel runs without IPv6", "start it without ipv6.disable=1 on its command line, or load the ipv6 module"})
	} else if v == "1" {
		fs = append(fs, Finding{"IPv6 is disabled (net.ipv6.conf.all.disable_ipv6 = 1)", "run: sysctl -w net.ipv6.conf.all.disable_ipv6=0"})
	}
	if on, err := ForwardingEnabled(); err == nil && !on {
		fs = append(fs, Finding{"IPv6 forwarding is off (net.ipv6.conf.all.forwarding = 0): only this machine itself reaches the mesh", "run: sysctl -w net.ipv6.conf.all.forwarding=1"})
	}
	return append(fs, checkAcceptRA()...)
}

// checkAcceptRA finds the uplink that will lose its default route: an interface that
// forwards takes router advertisements only with accept_ra = 2 (Linux, ip-sysctl).
func checkAcceptRA() []Finding {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil
	}
	var fs []Finding
	var seen []int
	for _, r := range routes {
		if ones, _ := maskSize(r.Dst); ones != 0 || slices.Contains(seen, r.LinkIndex) {
			continue
		}
		seen = append(seen, r.LinkIndex)
		i, err := net.InterfaceByIndex(r.LinkIndex)
		if err != nil {
			continue
		}
		if v, err := sysctl(ifSysctl(i.Name, "accept_ra")); err == nil && v == "1" {
			fs = append(fs, Finding{
				fmt.Sprintf("the default route by %s comes from router advertisements, which it ignores while forwarding (net.ipv6.conf.%s.accept_ra = 1)", i.Name, i.Name),
				fmt.Sprintf("run: sysctl -w net.ipv6.conf.%s.accept_ra=2", strings.ReplaceAll(i.Name, ".", "/")),
			})
		}
	}
	return fs
}

func maskSize(n *net.IPNet) (ones, bits int) {
	if n == nil {
		return 0, 128
	}
	return n.Mask.Size()
}

// Check returns the findings of the package's [Check] and those of the interface: set
// down, MTU changed, an address or a route taken away by another hand.
func (d *Device) Check() []Finding {
	fs := Check()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fs
	}
	link, err := d.nl.LinkByIndex(d.index)
	if err != nil {
		return append(fs, Finding{fmt.Sprintf("the interface %s is gone", d.name), "restart the router"})
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		fs = append(fs, Finding{fmt.Sprintf("the interface %s is set down", d.name), fmt.Sprintf("run: ip link set %s up, then restart the router: its addresses and routes went with it", d.name)})
	}
	if m := link.Attrs().MTU; m != d.mtu {
		fs = append(fs, Finding{fmt.Sprintf("the MTU of %s is %d, not %d", d.name, m, d.mtu), fmt.Sprintf("run: ip link set %s mtu %d", d.name, d.mtu)})
	}
	if addrs, err := d.nl.AddrList(link, netlink.FAMILY_V6); err == nil {
		for _, a := range d.addresses {
			if !slices.ContainsFunc(addrs, func(x netlink.Addr) bool { return prefixOf(x.IPNet) == a }) {
				fs = append(fs, Finding{fmt.Sprintf("the address %v was removed from %s", a, d.name), fmt.Sprintf("run: ip addr add %v dev %s nodad", a, d.name)})
			}
		}
	}
	if routes, err := d.listRoutes(); err == nil {
		for _, p := range d.routes {
			if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return prefixOf(r.Dst) == p }) {
				fs = append(fs, Finding{fmt.Sprintf("the route %v was removed from %s", p, d.name), fmt.Sprintf("run: ip -6 route add %v dev %s", p, d.name)})
			}
		}
	}
	return fs
}

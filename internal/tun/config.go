package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"border-router/ipv6"
)

// DefaultMTU is the MTU in bytes of the interface where [Config] sets none: that of the
// mesh (RFC 4944 section 4), so that the kernel itself answers what is too big with
// ICMPv6 Packet Too Big.
const DefaultMTU = ipv6.MinMTU

// RouteProtocol marks our routes in the kernel's table: "ip -6 route show proto 154".
const RouteProtocol = 154

// ErrUnsupported is the error of [Open] on an operating system without an implementation.
var ErrUnsupported = errors.New("tun: not supported on this operating system; use --uplink user: instead, which needs nothing of the system")

// A Config says how to open a [Device]. The zero value of a field is its default.
type Config struct {
	Name      string         // interface name, at most 15 bytes; a %d in it is replaced with a free number
	MTU       int            // bytes, [DefaultMTU] (at least) to [ipv6.MaxPacket]; 0: DefaultMTU
	Addresses []netip.Prefix // own addresses; a /128 each, or with a length that stays without an on-link route
	Routes    []netip.Prefix // prefixes that the kernel sends to us
	Persist   bool           // leave the interface in place after Close and after the process
	Logger    *slog.Logger   // nil discards

	// OnDown is called once from the reader's goroutine when the interface has gone away
	// under us. It is not called for Close.
	OnDown func(err error)
}

// check fills in defaults and returns an error that says how to write the value.
func (c *Config) check() error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < ipv6.MinMTU || c.MTU > ipv6.MaxPacket {
		return fmt.Errorf("tun %s: MTU %d: want %d to %d bytes", c.Name, c.MTU, ipv6.MinMTU, ipv6.MaxPacket)
	}
	for _, a := range c.Addresses {
		if err := checkAddress(c.Name, a); err != nil {
			return err
		}
	}
	for _, p := range c.Routes {
		if err := checkRoute(c.Name, p); err != nil {
			return err
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// maxName is IFNAMSIZ without the terminating zero.
const maxName = 15

func checkName(name string) error {
	const fix = "choose another after tun://, for example tun://lowpan0"
	switch {
	case name == "":
		return errors.New("tun: the interface has no name; " + fix)
	case len(name) > maxName:
		return fmt.Errorf("tun: interface name %q is %d bytes long, Linux allows %d; %s", name, len(name), maxName, fix)
	case name == "." || name == "..":
		return fmt.Errorf("tun: interface name %q is not allowed; %s", name, fix)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' }):
		return fmt.Errorf("tun: interface name %q has a space, a slash, a colon or a character outside ASCII; %s", name, fix)
	case strings.Contains(strings.Replace(name, "%d", "", 1), "%"):
		return fmt.Errorf("tun: interface name %q has a percent sign; %s", name, fix)
	}
	return nil
}

func checkAddress(name string, a netip.Prefix) error {
	ip := a.Addr()
	if !a.IsValid() || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("tun %s: address %v: want an IPv6 unicast address with a prefix length, for example fd00::1/128", name, a)
	}
	return nil
}

func checkRoute(name string, p netip.Prefix) error {
	if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Masked() != p {
		return fmt.Errorf("tun %s: route %v: want an IPv6 prefix with no bit set after its length, for example fd00::/64", name, p)
	}
	return nil
}

// A Finding is something about the machine that keeps packets from flowing, although the
// device itself works.
type Finding struct {
	What string // the fact: "IPv6 forwarding is off (net.ipv6.conf.all.forwarding = 0)"
	Fix  string // what to run or change
}

// String returns both parts as one line.
func (f Finding) String() string { return f.What + "; " + f.Fix }

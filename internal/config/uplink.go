package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"border-router/ipv6"
	"border-router/router"
)

// UplinkKind says what the uplink is.
type UplinkKind uint8

// The kinds of uplink.
const (
	UplinkTUN      UplinkKind = iota + 1 // a TUN device of the kernel, which owns our addresses
	UplinkUser                           // a TCP/IP stack inside the process; needs no privilege
	UplinkEthernet                       // a station of our own on an interface of the kernel
	UplinkTAP                            // a station of our own behind a TAP device, in a bridge
)

// An Uplink is "tun://NAME", "user:", "ethernet://NAME" with the query parameters mac
// and mtu, or "tap://NAME" with bridge, mac and mtu.
type Uplink struct {
	Kind   UplinkKind
	Name   string        // of the device: 1 to 15 bytes (IFNAMSIZ)
	MAC    ipv6.LinkAddr // our MAC address; zero: one that is made once and kept
	Shared bool          // ethernet with mac=interface: the interface's own address
	Bridge string        // of a TAP device
	MTU    int           // of Ethernet, in bytes; 0: that of the interface
}

// Ethernet reports whether the uplink is an Ethernet link of our own.
func (u Uplink) Ethernet() bool { return u.Kind == UplinkEthernet || u.Kind == UplinkTAP }

// String returns the URL.
func (u Uplink) String() string {
	switch u.Kind {
	case UplinkTUN:
		return "tun://" + u.Name
	case UplinkUser:
		return "user:"
	}
	q := url.Values{}
	if u.Bridge != "" {
		q.Set("bridge", u.Bridge)
	}
	if u.Shared {
		q.Set("mac", "interface")
	} else if !u.MAC.IsZero() {
		q.Set("mac", u.MAC.String())
	}
	if u.MTU != 0 {
		q.Set("mtu", strconv.Itoa(u.MTU))
	}
	s := ""
	switch u.Kind {
	case UplinkEthernet:
		s = "ethernet://" + u.Name
	case UplinkTAP:
		s = "tap://" + u.Name
	default:
		return ""
	}
	if len(q) > 0 {
		s += "?" + strings.ReplaceAll(q.Encode(), "%3A", ":")
	}
	return s
}

// MarshalText returns the URL.
func (u Uplink) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the URL.
func (u *Uplink) UnmarshalText(b []byte) error {
	const want = `want "tun://NAME", "ethernet://NAME" or "tap://NAME?bridge=BRIDGE" with a device name of 1 to 15 characters, or "user:"`
	s := string(b)
	if s == "user:" || s == "user://" {
		*u = Uplink{Kind: UplinkUser}
		return nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	kind := map[string]UplinkKind{"tun": UplinkTUN, "ethernet": UplinkEthernet, "tap": UplinkTAP}[scheme]
	name, query, _ := strings.Cut(rest, "?")
	if !ok || kind == 0 || !validDevice(name) || kind != UplinkTUN && strings.Contains(name, "%") {
		return errors.New(want)
	}
	up := Uplink{Kind: kind, Name: name}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New(want)
	}
	for key, v := range values {
		if err := up.set(key, v[len(v)-1]); err != nil {
			return err
		}
	}
	*u = up
	return nil
}

func (u *Uplink) set(key, v string) error {
	switch {
	case key == "mac" && u.Kind == UplinkEthernet && v == "interface":
		u.Shared = true
	case key == "mac" && u.Kind != UplinkTUN:
		a, err := ipv6.ParseLinkAddr(v)
		if err != nil || a.Len() != 6 || a.IsGroup() {
			return fmt.Errorf(`mac=%s: want the address of a station, such as "02:12:34:56:78:9a", or on an ethernet uplink "interface"`, v)
		}
		u.MAC = a
	case key == "mtu" && u.Kind != UplinkTUN:
		n, err := strconv.Atoi(v)
		if err != nil || n < ipv6.MinMTU || n > ipv6.MaxPacket {
			return fmt.Errorf("mtu=%s: want %d to %d bytes", v, ipv6.MinMTU, ipv6.MaxPacket)
		}
		u.MTU = n
	case key == "bridge" && u.Kind == UplinkTAP:
		if !validDevice(v) || strings.Contains(v, "%") {
			return fmt.Errorf("bridge=%s: want the name of a bridge, 1 to 15 characters", v)
		}
		u.Bridge = v
	default:
		known := map[UplinkKind]string{UplinkTUN: "none", UplinkEthernet: "mac and mtu", UplinkTAP: "bridge, mac and mtu"}[u.Kind]
		return fmt.Errorf("unknown parameter %q of the uplink: it has %s", key, known)
	}
	return nil
}

// An Interface is the name of an interface of the kernel; empty: none.
type Interface string

// UnmarshalText checks the name.
func (i *Interface) UnmarshalText(b []byte) error {
	if s := string(b); s != "" && (!validDevice(s) || strings.Contains(s, "%")) {
		return errors.New(`want the name of an interface, such as "eth0"`)
	}
	*i = Interface(b)
	return nil
}

// MarshalText returns the name.
func (i Interface) MarshalText() ([]byte, error) { return []byte(i), nil }

// A Switch is on, off, or left to the circumstances.
type Switch uint8

// The positions of a Switch.
const (
	SwitchAuto Switch = iota
	SwitchOn
	SwitchOff
)

var switchNames = names[Switch]{SwitchAuto: "auto", SwitchOn: "on", SwitchOff: "off"}

// MarshalText returns the name.
func (s Switch) MarshalText() ([]byte, error) { return switchNames.marshal(s) }

// UnmarshalText reads the name.
func (s *Switch) UnmarshalText(b []byte) error { return switchNames.unmarshal(s, b) }

// A PrefixHint is the prefix that is asked for; the zero value asks for any.
type PrefixHint struct{ netip.Prefix }

// MarshalText returns the prefix, nothing for none.
func (h PrefixHint) MarshalText() ([]byte, error) {
	if !h.IsValid() {
		return nil, nil
	}
	return h.Prefix.MarshalText()
}

// UnmarshalText reads the prefix.
func (h *PrefixHint) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = PrefixHint{}
		return nil
	}
	p, err := netip.ParsePrefix(string(b))
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() > 64 {
		return errors.New(`want an IPv6 prefix of at most 64 bits, such as "::/60"`)
	}
	*h = PrefixHint{p}
	return nil
}

// A DHCPClient says what is asked of DHCPv6 servers on the LAN.
type DHCPClient uint8

// What is asked.
const (
	DHCPClientAuto      DHCPClient = iota // what router advertisements say by M and O
	DHCPClientOff                         // nothing
	DHCPClientStateless                   // configuration only
	DHCPClientStateful                    // an address as well
)

var dhcpClientNames = names[DHCPClient]{DHCPClientAuto: "auto", DHCPClientOff: "off", DHCPClientStateless: "stateless", DHCPClientStateful: "stateful"}

// MarshalText returns the name.
func (d DHCPClient) MarshalText() ([]byte, error) { return dhcpClientNames.marshal(d) }

// UnmarshalText reads the name.
func (d *DHCPClient) UnmarshalText(b []byte) error { return dhcpClientNames.unmarshal(d, b) }

// A DHCPServer says what nodes of the meshes get by DHCPv6.
type DHCPServer uint8

// What they get.
const (
	DHCPServerOff       DHCPServer = iota
	DHCPServerStateless            // configuration only
	DHCPServerStateful             // addresses as well
)

var dhcpServerNames = names[DHCPServer]{DHCPServerOff: "off", DHCPServerStateless: "stateless", DHCPServerStateful: "stateful"}

// MarshalText returns the name.
func (d DHCPServer) MarshalText() ([]byte, error) { return dhcpServerNames.marshal(d) }

// UnmarshalText reads the name.
func (d *DHCPServer) UnmarshalText(b []byte) error { return dhcpServerNames.unmarshal(d, b) }

// names are the texts of an enumeration, by its values.
type names[T ~uint8] []string

func (n names[T]) marshal(v T) ([]byte, error) {
	if int(v) >= len(n) {
		return nil, fmt.Errorf("no name for %d", v)
	}
	return []byte(n[v]), nil
}

func (n names[T]) unmarshal(v *T, b []byte) error {
	for i, name := range n {
		if name == string(b) {
			*v = T(i)
			return nil
		}
	}
	quoted := make([]string, len(n))
	for i := range n {
		quoted[i] = strconv.Quote(n[i])
	}
	last := len(quoted) - 1
	return fmt.Errorf("want %s or %s", strings.Join(quoted[:last], ", "), quoted[last])
}

// checkUplink reports settings of the uplink that do not fit each other.
func (c *Config) checkUplink(fail func(format string, args ...any)) {
	ethernet := c.Uplink.Ethernet()
	if c.LAN.Interface != "" && c.Uplink.Kind != UplinkTUN {
		fail(`lan.interface = %q: it names the interface beside a TUN uplink; with uplink = %q leave it out`, string(c.LAN.Interface), c.Uplink)
	}
	if c.LAN.NDProxy {
		switch {
		case !ethernet && c.LAN.Interface == "":
			fail(`lan.ndproxy: want an interface to answer on: uplink = "ethernet://eth0", or with a TUN uplink lan.interface = "eth0"`)
		case len(c.Radios) > 1:
			fail("lan.ndproxy: the prefix of the LAN can be that of one radio, not of %d", len(c.Radios))
		case len(c.Prefixes) > 0:
			fail("lan.ndproxy: the mesh has the prefix of the LAN; leave prefixes out")
		}
	}
	if c.DHCP.Delegation == SwitchOn {
		switch {
		case len(c.Prefixes) > 0:
			fail(`dhcp.delegation = "on": a delegated prefix would take the place of prefixes; leave one of the two out`)
		case c.LAN.NDProxy:
			fail(`dhcp.delegation = "on": with lan.ndproxy the mesh has the prefix of the LAN; leave one of the two out`)
		case !ethernet && c.LAN.Interface == "":
			fail(`dhcp.delegation = "on": want an interface to ask on: uplink = "ethernet://eth0", or with a TUN uplink lan.interface = "eth0"`)
		}
	}
	if len(c.DHCP.Relay) > 0 && c.DHCP.Server != DHCPServerOff {
		fail(`dhcp.relay: nodes are either served or relayed: set dhcp.server = "off"`)
	}
	for _, l := range []struct {
		key   string
		list  []netip.Addr
		group bool
	}{{"dhcp.relay", c.DHCP.Relay, true}, {"dhcp.sntp", c.DHCP.SNTP, false}} {
		if len(l.list) > 4 {
			fail("%s: want at most 4 addresses, not %d", l.key, len(l.list))
		}
		for _, a := range l.list {
			if !a.Is6() || a.Is4In6() || a.IsUnspecified() || a.Zone() != "" || a.IsMulticast() && !l.group || a.IsLinkLocalUnicast() {
				fail("%s: %s: want an IPv6 address of larger than link scope", l.key, a)
			}
		}
	}
	if l := c.LAN.RouterLifetime; l != 0 && l < c.LAN.RAInterval {
		fail("lan.ra_interval = %q: want at most lan.router_lifetime, which is %q", FormatDuration(c.LAN.RAInterval), FormatDuration(l))
	}
	if len(c.Filters.Rules) > router.MaxRules {
		fail("filters.rules: want at most %d, not %d", router.MaxRules, len(c.Filters.Rules))
	}
}

package config

import (
	"net/netip"
	"reflect"
	"testing"

	"border-router/ipv6"
	"border-router/router"
)

func TestUplink(t *testing.T) {
	mac := ipv6.EUI48([6]byte{2, 0, 0x5e, 0, 0, 1})
	for _, c := range []struct {
		in   string
		want Uplink
		err  string
	}{
		{"tun://lowpan%d", Uplink{Kind: UplinkTUN, Name: "lowpan%d"}, ""},
		{"user:", Uplink{Kind: UplinkUser}, ""},
		{"ethernet://eth0", Uplink{Kind: UplinkEthernet, Name: "eth0"}, ""},
		{"ethernet://eth0?mac=interface", Uplink{Kind: UplinkEthernet, Name: "eth0", Shared: true}, ""},
		{"ethernet://eth0?mac=02:00:5e:00:00:01&mtu=1400", Uplink{Kind: UplinkEthernet, Name: "eth0", MAC: mac, MTU: 1400}, ""},
		{"tap://br-tap0?bridge=br0", Uplink{Kind: UplinkTAP, Name: "br-tap0", Bridge: "br0"}, ""},
		{"ethernet://eth%d", Uplink{}, `want "tun://NAME", "ethernet://NAME" or "tap://NAME?bridge=BRIDGE" with a device name of 1 to 15 characters, or "user:"`},
		{"tun://lowpan0?mtu=1400", Uplink{}, `unknown parameter "mtu" of the uplink: it has none`},
		{"ethernet://eth0?bridge=br0", Uplink{}, `unknown parameter "bridge" of the uplink: it has mac and mtu`},
		{"tap://t0?mac=interface", Uplink{}, `mac=interface: want the address of a station, such as "02:12:34:56:78:9a", or on an ethernet uplink "interface"`},
		{"ethernet://eth0?mac=01:00:5e:00:00:01", Uplink{}, `mac=01:00:5e:00:00:01: want the address of a station, such as "02:12:34:56:78:9a", or on an ethernet uplink "interface"`},
		{"ethernet://eth0?mtu=1279", Uplink{}, `mtu=1279: want 1280 to 2047 bytes`},
		{"tap://t0?bridge=a/b", Uplink{}, `bridge=a/b: want the name of a bridge, 1 to 15 characters`},
	} {
		var u Uplink
		err := u.UnmarshalText([]byte(c.in))
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err || u != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %s", c.in, u, err, c.want, c.err)
			continue
		}
		if err == nil && u.String() != c.in {
			t.Errorf("%s is written as %s", c.in, u)
		}
	}
}

func TestFilterRule(t *testing.T) {
	for _, c := range []struct {
		in, out string // out: as it is written, default in
		want    router.Rule
		err     string
	}{
		{in: "drop", want: router.Rule{Action: router.Discard}},
		{in: "drop in lan out mesh,user proto tcp dport 22-23,80 name no-shell", out: "drop in lan out mesh,user proto tcp dport 22-23,80 name no-shell",
			want: router.Rule{Name: "no-shell", In: []string{"lan"}, Out: []string{"mesh", "user"}, Protocol: 6, DstPorts: []router.PortRange{{First: 22, Last: 23}, {First: 80, Last: 80}}, Action: router.Discard}},
		{in: "reject from 2001:db8::1 to fd00::/8 proto icmpv6 type 128,129", out: "reject from 2001:db8::1/128 to fd00::/8 proto icmpv6 type 128,129",
			want: router.Rule{Src: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/128")}, Dst: []netip.Prefix{netip.MustParsePrefix("fd00::/8")}, Protocol: 58, ICMP: []uint8{128, 129}, Action: router.Reject}},
		{in: "accept  proto 17 sport 53", out: "accept proto udp sport 53", want: router.Rule{Protocol: 17, SrcPorts: []router.PortRange{{First: 53, Last: 53}}}},
		{in: "", err: `want ACTION and conditions, such as "drop in lan proto tcp dport 22-23 to fd00::/8"`},
		{in: "drop in", err: `want ACTION and conditions, such as "drop in lan proto tcp dport 22-23 to fd00::/8"`},
		{in: "deny", err: `"deny": want "accept", "drop" or "reject"`},
		{in: "drop at lan", err: `at lan: want in, out, from, to, proto, sport, dport, type or name`},
		{in: "drop in a in b", err: `"in" stands there twice; give its values with commas`},
		{in: "drop from 10.0.0.0/8", err: `from 10.0.0.0/8: want IPv6 prefixes or addresses`},
		{in: "drop proto 0", err: `proto 0: want tcp, udp, icmpv6 or a protocol number from 1 to 255`},
		{in: "drop proto udp dport 70000", err: `dport 70000: want port numbers from 0 to 65535, or ranges such as 8000-8080`},
		{in: "drop proto udp dport 5-2", err: `port range 5-2 is empty`},
		{in: "drop dport 5", err: `port numbers need protocol tcp or udp`},
		{in: "drop proto icmpv6 type 256", err: `type 256: want ICMPv6 types from 0 to 255`},
	} {
		var f FilterRule
		err := f.UnmarshalText([]byte(c.in))
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q: %v; want %s", c.in, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		if !reflect.DeepEqual(router.Rule(f), c.want) {
			t.Errorf("%q: %+v; want %+v", c.in, f, c.want)
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if f.String() != want {
			t.Errorf("%q is written as %q, want %q", c.in, f, want)
		}
	}
}

func TestCheckUplink(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"LAN twice", "uplink = 'ethernet://eth0'\n[lan]\ninterface = 'eth1'", `lan.interface = "eth1": it names the interface beside a TUN uplink; with uplink = "ethernet://eth0" leave it out`},
		{"proxy where", "[lan]\nndproxy = true", `lan.ndproxy: want an interface to answer on: uplink = "ethernet://eth0", or with a TUN uplink lan.interface = "eth0"`},
		{"proxy for two", "uplink = 'ethernet://eth0'\nradios = ['zep://?channel=11', 'zep://?channel=12']\n[lan]\nndproxy = true", "lan.ndproxy: the prefix of the LAN can be that of one radio, not of 2"},
		{"proxy and prefix", "uplink = 'ethernet://eth0'\nprefixes = ['fd00::/64']\n[lan]\nndproxy = true", "lan.ndproxy: the mesh has the prefix of the LAN; leave prefixes out"},
		{"delegation and prefix", "uplink = 'ethernet://eth0'\nprefixes = ['fd00::/64']\n[dhcp]\ndelegation = 'on'", `dhcp.delegation = "on": a delegated prefix would take the place of prefixes; leave one of the two out`},
		{"delegation where", "[dhcp]\ndelegation = 'on'", `dhcp.delegation = "on": want an interface to ask on: uplink = "ethernet://eth0", or with a TUN uplink lan.interface = "eth0"`},
		{"relay and server", "[dhcp]\nrelay = ['2001:db8::1']", `dhcp.relay: nodes are either served or relayed: set dhcp.server = "off"`},
		{"relay to IPv4", "[dhcp]\nserver = 'off'\nrelay = ['192.0.2.1']", `dhcp.relay: 192.0.2.1: want an IPv6 address of larger than link scope`},
		{"routers", "[lan]\nrouters = ['2001:db8::1']", "lan.routers: 2001:db8::1: want a link-local IPv6 address"},
		{"intervals", "[lan]\nrouter_lifetime = '1m'", `lan.ra_interval = "3m20s": want at most lan.router_lifetime, which is "1m"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Default()
			if err := cfg.Parse("x", []byte(c.in)); err != nil {
				t.Fatal(err)
			}
			if err := cfg.Check(); err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

package tun

import (
	"net/netip"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	addr, route := netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("fd00::/64")
	for _, row := range []struct {
		name string
		cfg  Config
		want string // part of the error
	}{
		{"no name", Config{}, "no name; choose another after tun://"},
		{"long name", Config{Name: "sixteen-bytes-xx"}, "16 bytes long, Linux allows 15"},
		{"slash", Config{Name: "a/b"}, "a slash"},
		{"space", Config{Name: "a b"}, "has a space"},
		{"not ASCII", Config{Name: "fünf"}, "outside ASCII"},
		{"dots", Config{Name: ".."}, "not allowed"},
		{"percent", Config{Name: "a%s"}, "percent"},
		{"small MTU", Config{Name: "x", MTU: 1279}, "want 1280 to 2047"},
		{"large MTU", Config{Name: "x", MTU: 2048}, "want 1280 to 2047"},
		{"IPv4 address", Config{Name: "x", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}, "want an IPv6 unicast address"},
		{"multicast address", Config{Name: "x", Addresses: []netip.Prefix{netip.MustParsePrefix("ff02::1/128")}}, "want an IPv6 unicast address"},
		{"no address", Config{Name: "x", Addresses: []netip.Prefix{{}}}, "want an IPv6 unicast address"},
		{"route with host bits", Config{Name: "x", Routes: []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}}, "no bit set after its length"},
		{"IPv4 route", Config{Name: "x", Routes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "want an IPv6 prefix"},
	} {
		err := row.cfg.check()
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	ok := Config{Name: "lowpan%d", Addresses: []netip.Prefix{addr}, Routes: []netip.Prefix{route}}
	if err := ok.check(); err != nil || ok.MTU != 1280 || ok.Logger == nil {
		t.Errorf("%+v: %v", ok, err)
	}
}

func TestDropTexts(t *testing.T) {
	seen := map[string]bool{}
	for d := Drop(1); d < numDrops; d++ {
		if s := d.Error(); s == "" || s == "tun_unknown" || seen[s] {
			t.Errorf("Drop %d has the text %q", d, s)
		} else {
			seen[s] = true
		}
	}
	if Drop(0).Error() != "tun_unknown" || numDrops.Error() != "tun_unknown" {
		t.Error("unknown drops")
	}
}

package dhcp6

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestSubnets(t *testing.T) {
	p := func(s, exclude string) Prefix {
		d := Prefix{Prefix: netip.MustParsePrefix(s)}
		if exclude != "" {
			d.Exclude = netip.MustParsePrefix(exclude)
		}
		return d
	}
	for _, c := range []struct {
		name      string
		delegated []Prefix
		ports     []uint16
		want      string
		short     int
	}{
		{"/56 by number", []Prefix{p("2001:db8:0:100::/56", "")}, []uint16{3, 0, 255}, "[3=2001:db8:0:103::/64 0=2001:db8:0:100::/64 255=2001:db8:0:1ff::/64]", 0},
		{"/64 to the first", []Prefix{p("2001:db8:0:1::/64", "")}, []uint16{2, 1}, "[2=2001:db8:0:1::/64]", 1},
		{"/64 to the one with number 0", []Prefix{p("2001:db8:0:1::/64", "")}, []uint16{2, 0}, "[0=2001:db8:0:1::/64]", 1},
		{"/62, number beyond it", []Prefix{p("2001:db8::/62", "")}, []uint16{5, 1}, "[5=2001:db8:0:2::/64 1=2001:db8:0:1::/64]", 0},
		{"excluded", []Prefix{p("2001:db8::/62", "2001:db8:0:1::/64")}, []uint16{1, 2}, "[1=2001:db8:0:3::/64 2=2001:db8:0:2::/64]", 0},
		{"half excluded", []Prefix{p("2001:db8::/62", "2001:db8::/63")}, []uint16{0, 1, 2}, "[0=2001:db8:0:3::/64 2=2001:db8:0:2::/64]", 1},
		{"two prefixes", []Prefix{p("2001:db8::/60", ""), p("fd00:1::/64", "")}, []uint16{1}, "[1=2001:db8:0:1::/64 1=fd00:1::/64]", 0},
		{"longer than /64", []Prefix{p("2001:db8::/72", "")}, []uint16{0, 1}, "[]", 2},
		{"a large one", []Prefix{p("2001:db8::/32", "")}, []uint16{65535}, "[65535=2001:db8:0:ffff::/64]", 0},
		{"no ports", []Prefix{p("2001:db8::/56", "")}, nil, "[]", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			subnets, short := Subnets(c.delegated, c.ports)
			got := []string{}
			for _, s := range subnets {
				got = append(got, fmt.Sprintf("%d=%s", s.Port, s.Prefix))
			}
			if fmt.Sprint(got) != c.want || len(short) != c.short {
				t.Errorf("%v %v, want %v and %d short", got, short, c.want, c.short)
			}
			for _, s := range short {
				if s.Reason == "" {
					t.Error("no reason")
				}
			}
		})
	}
}

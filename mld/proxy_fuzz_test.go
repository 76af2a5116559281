package mld

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A link is a downstream whose filters are what the test says.
type fuzzLink map[netip.Addr]Filter

func (l fuzzLink) Filter(g netip.Addr) (Mode, []netip.Addr) { return l[g].Mode, l[g].Sources }
func (l fuzzLink) Groups(dst []netip.Addr) []netip.Addr {
	return append(dst, slices.SortedFunc(maps.Keys(l), netip.Addr.Compare)...)
}

// fuzzUp is an upstream that keeps what it was told last.
type fuzzUp map[netip.Addr]Filter

func (u fuzzUp) SetFilter(_ time.Time, g netip.Addr, mode Mode, sources []netip.Addr) error {
	f := Filter{Mode: mode, Sources: slices.Clone(sources)}
	if f.IsZero() {
		delete(u, g)
	} else {
		u[g] = f
	}
	return nil
}

// FuzzProxy: whatever links come, change and go, the upstream listens to a packet exactly
// where one of them does, and to nothing that stays within the mesh.
func FuzzProxy(f *testing.F) {
	f.Add([]byte{0, 0, 1, 3, 1, 1, 0x80, 5, 2, 0, 0, 0, 3, 1, 0, 0})
	f.Add([]byte{1, 4, 0xff, 7, 0, 4, 0x80, 0, 4, 0, 0, 0, 1, 4, 0, 0, 5, 1, 0, 0})
	groups := []netip.Addr{
		netip.MustParseAddr("ff05::fd"), netip.MustParseAddr("ff0e::1"), netip.MustParseAddr("ff35::8000:1"),
		netip.MustParseAddr("ff03::fc"), netip.MustParseAddr("ff02::fd"), netip.MustParseAddr("ff04::1"),
	}
	source := func(k int) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(k + 1)})
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		up := fuzzUp{}
		p := NewProxy(ProxyConfig{}, up)
		links := []fuzzLink{{}, {}, {}}
		attached := []bool{false, false, false}
		now := time.Unix(1000, 0)
		for ; len(in) >= 4; in = in[4:] {
			k, g := int(in[0])%3, groups[int(in[1])%len(groups)]
			switch in[2] % 8 {
			case 0:
				if attached[k] {
					p.Detach(now, &links[k])
				} else {
					p.Attach(now, &links[k])
				}
				attached[k] = !attached[k]
			default:
				var want Filter
				for s := range 8 {
					if in[3]>>s&1 != 0 {
						want.Sources = append(want.Sources, source(s))
					}
				}
				if in[2]&0x80 != 0 {
					want.Mode = Exclude
				}
				if want.IsZero() {
					delete(links[k], g)
				} else {
					links[k][g] = want
				}
				if attached[k] {
					p.GroupChanged(now, g)
				}
			}
			for _, g := range groups {
				for s := range 9 {
					want := false
					for k, l := range links {
						want = want || attached[k] && p.Proxied(g) && l[g].Wants(source(s))
					}
					if got := up[g].Wants(source(s)); got != want {
						t.Fatalf("%v from %v: upstream listens %v, the links %v", g, source(s), got, want)
					}
				}
			}
		}
	})
}

package daemon

import (
	"net/netip"
	"testing"
	"time"

	"border-router/internal/config"
	"border-router/internal/state"
	"border-router/lowpan"
)

// TestContextsKept: a prefix has its number through changes and restarts, and no other gets
// it while there are free ones.
func TestContextsKept(t *testing.T) {
	cfg := config.Default()
	cfg.ND.Contexts = []config.Context{{ID: 1, Prefix: netip.MustParsePrefix("2001:db8:f::/64"), Compress: true}}
	store := state.OpenMemory()
	defer store.Close()
	start := func() (*Daemon, *mesh) {
		d := &Daemon{cfg: cfg, store: store}
		m := &mesh{name: "zep0", iface: lowpan.NewInterface(lowpan.InterfaceConfig{Name: "zep0", EUI64: 1})}
		d.loadContexts(m)
		return d, m
	}
	now := time.Unix(1e9, 0)
	own, lan := netip.MustParsePrefix("fd00:1:2:3::/64"), netip.MustParsePrefix("2001:db8:1::/64")
	want := func(d *Daemon, m *mesh, ids map[netip.Prefix]int, prefixes ...netip.Prefix) {
		t.Helper()
		m.prefix = prefixes[0]
		got := map[netip.Prefix]int{}
		for _, x := range d.tellContexts(now, m, prefixes) {
			got[x.Prefix] = x.ID
			if x.ID != 1 && x.Compress != (x.Prefix == prefixes[0]) {
				t.Errorf("%+v", x)
			}
		}
		for p, id := range ids {
			if got[p] != id {
				t.Errorf("%v has number %d, want %d", p, got[p], id)
			}
		}
		if len(got) != len(ids)+1 {
			t.Errorf("nodes are told of %v", got)
		}
	}
	d, m := start()
	want(d, m, map[netip.Prefix]int{own: 0}, own)
	want(d, m, map[netip.Prefix]int{lan: 2, own: 0}, lan, own)
	d, m = start()
	want(d, m, map[netip.Prefix]int{lan: 2}, lan)
	if c, ok := m.iface.Contexts().Get(0); !ok || c.Prefix != own || c.Compress {
		t.Errorf("context 0 is %+v, %v: what nodes compress with it must be understood", c, ok)
	}
	// Thirteen others: there are numbers for all, then the oldest goes first.
	for i := range 13 {
		now = now.Add(time.Hour)
		a := lan.Addr().As16()
		a[7] = byte(i + 1)
		p := netip.PrefixFrom(netip.AddrFrom16(a), 64)
		want(d, m, map[netip.Prefix]int{p: i + 3}, p)
	}
	now = now.Add(time.Hour)
	last := netip.MustParsePrefix("2001:db8:2::/64")
	want(d, m, map[netip.Prefix]int{last: 0}, last)
	want(d, m, map[netip.Prefix]int{own: 2, last: 0}, own, last)
}

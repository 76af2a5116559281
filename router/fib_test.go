package router

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func adr(s string) netip.Addr   { return netip.MustParseAddr(s) }

func TestFIBLongestMatch(t *testing.T) {
	var f FIB
	for i, p := range []string{"::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8:1:2::5/128", "2001:db8:1:2:8000::/65"} {
		if !f.Add(Route{Prefix: pfx(p), Port: i}) {
			t.Fatalf("Add(%s) = false", p)
		}
	}
	for _, c := range []struct {
		dst  string
		want int
	}{
		{"3000::1", 0}, {"2001:db8:ffff::1", 1}, {"2001:db8:1:ffff::1", 2}, {"2001:db8:1:2::4", 3},
		{"2001:db8:1:2::5", 4}, {"2001:db8:1:2:8000::5", 5}, {"::1", 0},
	} {
		rt, ok := f.Lookup(adr(c.dst).As16())
		if !ok || rt.Port != c.want {
			t.Errorf("Lookup(%s) = %d, %v; want %d", c.dst, rt.Port, ok, c.want)
		}
	}
	if f.Len() != 6 {
		t.Errorf("Len = %d", f.Len())
	}
	if !f.Remove(pfx("2001:db8:1:2::5/128")) || f.Remove(pfx("2001:db8:1:2::5/128")) {
		t.Error("Remove of a route: want true, then false")
	}
	if rt, _ := f.Lookup(adr("2001:db8:1:2::5").As16()); rt.Port != 3 {
		t.Errorf("after Remove: port %d, want 3", rt.Port)
	}
	f.Remove(pfx("::/0"))
	if _, ok := f.Lookup(adr("3000::1").As16()); ok {
		t.Error("a route is left after the default is gone")
	}
}

func TestFIBMetric(t *testing.T) {
	var f FIB
	f.Add(Route{Prefix: pfx("2001:db8::/32"), Port: 1, Metric: 10})
	if f.Add(Route{Prefix: pfx("2001:db8::/32"), Port: 2, Metric: 20}) {
		t.Error("a worse route replaced a better one")
	}
	if !f.Add(Route{Prefix: pfx("2001:db8::/32"), Port: 3, Metric: 10}) {
		t.Error("an equal route did not replace")
	}
	if rt, _ := f.Lookup(adr("2001:db8::1").As16()); rt.Port != 3 || f.Len() != 1 {
		t.Errorf("port %d, %d routes", rt.Port, f.Len())
	}
}

// TestFIBAgainstLinearSearch compares with the definition of longest-prefix match.
func TestFIBAgainstLinearSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var f FIB
	var all []Route
	randAddr := func() netip.Addr {
		var b [16]byte
		b[0] = 0x20
		for i := 1; i < 16; i++ { // few distinct bytes, so that prefixes overlap
			b[i] = byte(rnd.IntN(2) * 0x80)
		}
		return netip.AddrFrom16(b)
	}
	for i := range 2000 {
		p := netip.PrefixFrom(randAddr(), rnd.IntN(129)).Masked()
		rt := Route{Prefix: p, Port: i}
		f.Add(rt)
		for j := range all {
			if all[j].Prefix == p {
				all[j] = rt
				rt.Port = -1
			}
		}
		if rt.Port >= 0 {
			all = append(all, rt)
		}
	}
	if f.Len() != len(all) || len(f.Routes()) != len(all) {
		t.Fatalf("Len = %d, %d routes, want %d", f.Len(), len(f.Routes()), len(all))
	}
	for range 5000 {
		dst := randAddr()
		want := Route{Port: -1}
		for _, rt := range all {
			if rt.Prefix.Contains(dst) && (want.Port < 0 || rt.Prefix.Bits() > want.Prefix.Bits()) {
				want = rt
			}
		}
		got, ok := f.Lookup(dst.As16())
		if ok != (want.Port >= 0) || ok && got.Port != want.Port {
			t.Fatalf("Lookup(%s) = %v, %v; want %v", dst, got, ok, want)
		}
	}
}

// TestFIBAgainstMap adds, replaces and removes routes at random, in a table and in a map.
func TestFIBAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var f FIB
	want := map[netip.Prefix]Route{}
	hops := []netip.Addr{{}, nodeA, nodeB, adr("fe80::1%wpan0"), adr("192.0.2.1")}
	for step := range 30_000 {
		b := adr("2001:db8::").As16()
		b[13+rnd.IntN(3)] = byte(rnd.Uint32())
		p := netip.PrefixFrom(netip.AddrFrom16(b), 100+rnd.IntN(29))
		if rnd.IntN(20) == 0 {
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, b[13]}), 8+rnd.IntN(25))
		}
		rt := Route{Prefix: p, Port: rnd.IntN(3), NextHop: hops[rnd.IntN(len(hops))], Kind: RouteStatic, Metric: rnd.Uint32N(3)}
		p = p.Masked()
		old, had := want[p]
		if rnd.IntN(100) < 20+60*(step/5000%2) {
			if ok := !had || old.Metric >= rt.Metric; f.Add(rt) != ok {
				t.Fatalf("step %d: Add(%v) = %v beside %v", step, rt, !ok, old)
			} else if ok {
				want[p] = Route{p, rt.Port, rt.NextHop, rt.Kind, rt.Metric}
			}
		} else if f.Remove(rt.Prefix) != had {
			t.Fatalf("step %d: Remove(%v) = %v", step, p, !had)
		} else {
			delete(want, p)
		}
		if got, ok := f.Exact(rt.Prefix); got != want[p] || ok != (got != Route{}) {
			t.Fatalf("step %d: Exact(%v) = %v, %v; want %v", step, p, got, ok, want[p])
		}
		if f.Len() != len(want) {
			t.Fatalf("step %d: Len = %d, want %d", step, f.Len(), len(want))
		}
		if step%1000 == 0 {
			checkFIB(t, &f, want)
		}
	}
	for p := range want {
		f.Remove(p)
	}
	checkFIB(t, &f, nil)
	if f.targets.list != nil || len(f.lengths) != 0 {
		t.Errorf("left over: %+v", f)
	}
}

// checkFIB asserts that f has these routes, in order, and one target for each there is.
func checkFIB(t *testing.T, f *FIB, want map[netip.Prefix]Route) {
	t.Helper()
	list := f.Routes()
	if len(list) != len(want) {
		t.Fatalf("%d routes, want %d", len(list), len(want))
	}
	users := map[target]uint32{}
	for i, rt := range list {
		if rt != want[rt.Prefix] {
			t.Fatalf("route %v, want %v", rt, want[rt.Prefix])
		}
		if i > 0 {
			a, b := list[i-1].Prefix, rt.Prefix
			if a.Bits() < b.Bits() || a.Bits() == b.Bits() && a.Addr().Compare(b.Addr()) >= 0 {
				t.Fatalf("%v before %v", a, b)
			}
		}
		users[target{rt.NextHop, rt.Port, rt.Metric, rt.Kind}]++
	}
	if len(f.targets.ids) != len(users) || len(f.targets.list) != len(users)+len(f.targets.free) {
		t.Fatalf("targets %+v of %d routes", f.targets, len(users))
	}
	for tg, n := range users {
		if id, ok := f.targets.ids[tg]; !ok || f.targets.refs[id] != n || f.targets.list[id] != tg {
			t.Fatalf("target %v: %d routes, want %d", tg, f.targets.refs[id], n)
		}
	}
}

func TestFIBAllocs(t *testing.T) {
	var f FIB
	f.Add(Route{Prefix: pfx("::/0")})
	dsts, i := addHostRoutes(&f, 5000), 0
	if n := testing.AllocsPerRun(1000, func() {
		f.Lookup(dsts[i])
		f.lookup(addrKey(dsts[i]))
		f.Lookup([16]byte{byte(i)})
		i++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// addHostRoutes adds n routes to nodes with random interface identifiers, and returns their
// addresses in another order.
func addHostRoutes(f *FIB, n int) [][16]byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	dsts := make([][16]byte, n)
	for i := range dsts {
		dsts[i] = adr("2001:db8:9::").As16()
		binary.BigEndian.PutUint64(dsts[i][8:], rnd.Uint64())
		f.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom16(dsts[i]), 128), NextHop: nodeA, Kind: RouteHost})
	}
	rnd.Shuffle(n, func(i, j int) { dsts[i], dsts[j] = dsts[j], dsts[i] })
	return dsts
}

func BenchmarkFIBLookup(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		var f FIB
		f.Add(Route{Prefix: pfx("::/0"), Port: 1})
		f.Add(Route{Prefix: pfx("2001:db8::/64"), Port: 1})
		all := addHostRoutes(&f, n)
		other := make([][16]byte, n) // by the default route
		for i, a := range all {
			a[7] = 1
			other[i] = a
		}
		for _, c := range []struct {
			name string
			dsts [][16]byte
			port int
		}{{"ten", all[:10], 0}, {"any", all, 0}, {"default", other, 1}} {
			b.Run(fmt.Sprintf("%s-%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if rt, _ := f.Lookup(c.dsts[i]); rt.Port != c.port {
						b.Fatal("wrong route")
					}
					if i++; i == len(c.dsts) {
						i = 0
					}
				}
			})
		}
	}
}

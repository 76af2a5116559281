package router

import (
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

func BenchmarkFIBLookup(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(map[int]string{10: "10", 100_000: "100k"}[n], func(b *testing.B) {
			var f FIB
			f.Add(Route{Prefix: pfx("::/0")})
			f.Add(Route{Prefix: pfx("2001:db8::/64"), Port: 1})
			keys := make([][16]byte, n)
			for i := range keys {
				a := adr("2001:db8:1::").As16()
				a[13], a[14], a[15] = byte(i>>16), byte(i>>8), byte(i)
				keys[i] = a
				f.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 128), Port: 2})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if rt, _ := f.Lookup(keys[i]); rt.Port != 2 {
					b.Fatal("wrong route")
				}
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

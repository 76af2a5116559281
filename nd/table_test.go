package nd

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// The table agrees with a map over many insertions and removals.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var tab table
	tab.init()
	want := make(map[netip.Addr]*entry)
	for range 100_000 {
		a := ipv6.WithIID(mesh, rnd.Uint64N(600))
		if e := tab.get(a); e != want[a] {
			t.Fatalf("%v: %p, want %p", a, e, want[a])
		} else if e == nil {
			e = &entry{addr: a}
			tab.put(e)
			want[a] = e
		} else if rnd.IntN(3) > 0 {
			tab.remove(e)
			tab.remove(e)
			delete(want, a)
		}
	}
	if tab.n != len(want) || len(tab.list()) != tab.n {
		t.Fatalf("%d, want %d", tab.n, len(want))
	}
	for a, e := range want {
		if tab.get(a) != e {
			t.Fatal(a)
		}
	}
}

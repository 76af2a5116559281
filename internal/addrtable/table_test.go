package addrtable

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// check asserts what holds of a table between any two calls.
func (t *Table[V]) check(tb testing.TB) {
	tb.Helper()
	n, slots := len(t.entries), len(t.index)
	if slots == 0 {
		if n > few {
			tb.Fatalf("%d entries without an index", n)
		}
		return
	}
	if slots&(slots-1) != 0 || n*8 > slots*5 || slots > minIndex && n*8 < slots || n <= few/2 {
		tb.Fatalf("%d entries in %d slots", n, slots)
	}
	if c := cap(t.entries); c > 4*few && n < c/4 {
		tb.Fatalf("%d entries in room for %d", n, c)
	}
	used, mask := 0, uint32(slots-1)
	seen := make([]bool, n)
	for i, s := range t.index {
		if s == 0 {
			continue
		}
		used++
		e := s&mask - 1
		if seen[e] {
			tb.Fatalf("entry %d has two slots", e)
		}
		seen[e] = true
		if got := t.slot(t.entries[e].k); got != uint32(i) {
			tb.Fatalf("entry %d is in slot %d and found in %d", e, i, got)
		}
	}
	if used != n {
		tb.Fatalf("%d slots for %d entries", used, n)
	}
}

// keyed gives the table an index with hash keys from a seed. Otherwise they are secret, and
// no test could tell its keys from its luck.
func keyed[V any](seed uint64) *Table[V] {
	var t Table[V]
	for i := range uint64(few + 1) {
		t.Put(Key{i, ^i}, *new(V))
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	t.k0, t.k1 = rnd.Uint64(), rnd.Uint64()
	clear(t.index)
	for i := range t.entries {
		t.insert(i)
	}
	return &t
}

// probes returns how many slots are looked at, in the mean and at most, for what is there.
func (t *Table[V]) probes() (mean float64, most int) {
	mask, sum := uint32(len(t.index)-1), 0
	for i, s := range t.index {
		if s != 0 {
			n := 1 + int((uint32(i)-uint32(t.hash(t.entries[s&mask-1].k)))&mask)
			sum, most = sum+n, max(most, n)
		}
	}
	return float64(sum) / float64(len(t.entries)), most
}

// TestAgainstMap does the same to a table and to a map, growing and shrinking.
func TestAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var tab Table[int]
	want := map[Key]int{}
	for step := range 200_000 {
		// Few distinct keys, so that what is removed comes again; the number swings.
		k := Key{rnd.Uint64N(8), rnd.Uint64N(16) << 32}
		put := rnd.IntN(100) < 4+92*(step/5000%2)
		if p, v := tab.Find(k), want[k]; p == nil != (v == 0) || p != nil && *p != v || tab.Get(k) != v {
			t.Fatalf("step %d: %v is %v, want %d", step, k, p, v)
		}
		if put {
			tab.Put(k, step+1)
			want[k] = step + 1
		} else {
			_, ok := want[k]
			if tab.Delete(k) != ok {
				t.Fatalf("step %d: Delete = %v", step, !ok)
			}
			delete(want, k)
		}
		if tab.Len() != len(want) {
			t.Fatalf("step %d: Len = %d, want %d", step, tab.Len(), len(want))
		}
		if step%97 == 0 {
			tab.check(t)
			n := 0
			for k, v := range tab.All() {
				if n++; want[k] != *v {
					t.Fatalf("step %d: All: %v is %d, want %d", step, k, *v, want[k])
				}
			}
			if n != len(want) {
				t.Fatalf("step %d: All: %d entries, want %d", step, n, len(want))
			}
		}
	}
}

func TestFew(t *testing.T) {
	var tab Table[string]
	if tab.Len() != 0 || tab.Find(Key{}) != nil || tab.Get(Key{1, 1}) != "" || tab.Delete(Key{}) {
		t.Error("the zero value is not empty")
	}
	for i := range uint64(few) {
		tab.Put(Key{0, i}, fmt.Sprint(i))
	}
	if tab.index != nil {
		t.Errorf("an index for %d entries", few)
	}
	tab.Put(Key{0, few}, "more")
	tab.check(t)
	for range tab.All() {
		break
	}
	for i := range uint64(few + 1) {
		if !tab.Delete(Key{0, i}) || tab.Delete(Key{0, i}) {
			t.Errorf("Delete %d: want true, then false", i)
		}
		tab.check(t)
	}
	if tab.Len() != 0 || tab.index != nil || tab.entries != nil {
		t.Errorf("left over: %v", tab)
	}
}

// TestShrink gives back the memory of what is removed, and what it refers to.
func TestShrink(t *testing.T) {
	var tab Table[*int]
	for i := range uint64(100_000) {
		tab.Put(Key{i, i}, new(int))
	}
	tab.check(t)
	for i := range uint64(100_000 - 20) {
		tab.Delete(Key{i, i})
	}
	tab.check(t)
	if len(tab.index) > 160 || cap(tab.entries) > 80 {
		t.Errorf("%d slots, room for %d", len(tab.index), cap(tab.entries))
	}
	for _, e := range tab.entries[tab.Len():cap(tab.entries)] {
		if e.v != nil {
			t.Error("a removed value is still referred to")
		}
	}
}

// TestHash flips each bit of a key: each bit of the hash that counts follows about half of
// the time.
func TestHash(t *testing.T) {
	const rounds = 4096
	tab := keyed[int](7)
	rnd := rand.New(rand.NewPCG(3, 4))
	for in := range 128 {
		var flips [64]int
		for range rounds {
			k := Key{0xfd00_0001_0000_0000, rnd.Uint64()}
			h := tab.hash(k)
			if in < 64 {
				k.Lo ^= 1 << in
			} else {
				k.Hi ^= 1 << (in - 64)
			}
			for x := h ^ tab.hash(k); x != 0; x &= x - 1 {
				flips[bits.TrailingZeros64(x)]++
			}
		}
		for out, n := range flips {
			if n < rounds*42/100 || n > rounds*58/100 {
				t.Errorf("bit %d of the key flips bit %d of the hash %d times in %d", in, out, n, rounds)
			}
		}
	}
}

// hostileKeys are keys that make other hashes collide.
var hostileKeys = map[string]func(i uint64) Key{
	"counted":        func(i uint64) Key { return Key{0xfd00_0001_0000_0000, i} },
	"high bits":      func(i uint64) Key { return Key{0xfd00_0001_0000_0000, i << 48} },
	"one identifier": func(i uint64) Key { return Key{0xfd00_0001_0000_0000 + i<<16, 0x0200_00ff_fe00_0001} },
	"one sum":        func(i uint64) Key { return Key{i, -i} },
	"one exclusive or": func(i uint64) Key {
		x := i * 0x9e37_79b9_7f4a_7c15
		return Key{x, x}
	},
	"one product":   func(i uint64) Key { return Key{1 << (i % 60), (i | 1) << (60 - i%60)} },
	"multiplied":    func(i uint64) Key { return Key{0, i * 0x9e37_79b9_7f4a_7c15} },
	"divided":       func(i uint64) Key { return Key{0, i * 0xf1de_83e1_9937_733d} }, // the inverse of it
	"two bits":      func(i uint64) Key { return Key{1 << (i % 64), 1 << (i / 64 % 64)} },
	"complementary": func(i uint64) Key { return Key{-(i & 1), -(i & 1) ^ i>>1} },
	"short":         func(i uint64) Key { return Key{2, i & 0xffff} },
}

// TestHostileKeys finds keys near to where their hash points, whatever they are: also those
// that were chosen by someone who knew the hash keys of another table.
func TestHostileKeys(t *testing.T) {
	const n = 4000
	other := keyed[int](1)
	var chosen []Key
	for i := uint64(0); len(chosen) < n; i++ {
		if k := (Key{0xfd00_0001_0000_0000, i}); other.hash(k)&0x3ff == 5 {
			chosen = append(chosen, k)
		}
	}
	hostile := map[string]func(i uint64) Key{"of another table": func(i uint64) Key { return chosen[i] }}
	for name, f := range hostileKeys {
		hostile[name] = f
	}
	for name, f := range hostile {
		for seed := range uint64(20) {
			tab := keyed[int](seed + 100)
			for i := range uint64(n) {
				tab.Put(f(i), int(i))
			}
			tab.check(t)
			// Knuth 6.4: (1 + 1/(1-5/8))/2 = 1.8 in the mean when full.
			if mean, most := tab.probes(); mean > 2.2 || most > 60 {
				t.Errorf("%s, seed %d: %.2f probes, at most %d", name, seed, mean, most)
			}
		}
	}
	for _, k := range chosen {
		other.Put(k, 1)
	}
	if mean, _ := other.probes(); mean < 200 {
		t.Errorf("with the hash keys known %.2f probes: the test tests nothing", mean)
	}
}

// TestSeeds asserts that tables have hash keys of their own.
func TestSeeds(t *testing.T) {
	var keys []uint64
	for range 10 {
		var tab Table[int]
		for i := range uint64(few + 1) {
			tab.Put(Key{i, i}, 0)
		}
		keys = append(keys, tab.k0, tab.k1)
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 20 || keys[0] == 0 {
		t.Errorf("hash keys %x", keys)
	}
}

func TestAllocs(t *testing.T) {
	for _, n := range []uint64{0, 3, 100, 10_000} {
		var tab Table[[2]uint64]
		for i := range n {
			tab.Put(Key{i, i}, [2]uint64{})
		}
		i := uint64(0)
		if a := testing.AllocsPerRun(1000, func() {
			tab.Find(Key{i, i})
			tab.Find(Key{i, ^i})
			tab.Get(Key{i, i})
			if n > 0 {
				tab.Put(Key{i % n, i % n}, [2]uint64{1, i})
			}
			i++
		}); a != 0 {
			t.Errorf("%d entries: %v allocations", n, a)
		}
	}
}

// FuzzTable does what the bytes say to a table and to a map: they agree.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138})
	f.Add(slices.Repeat([]byte{7, 9, 135, 8, 137, 64, 192}, 9))
	f.Fuzz(func(t *testing.T, ops []byte) {
		var tab Table[int]
		want := map[Key]int{}
		for i, op := range ops {
			k := Key{uint64(op & 1), uint64(op&0x7f) << 57}
			if op < 128 {
				tab.Put(k, i)
				want[k] = i
			} else {
				_, ok := want[k]
				if tab.Delete(k) != ok {
					t.Fatalf("Delete(%v) = %v", k, !ok)
				}
				delete(want, k)
			}
			tab.check(t)
		}
		if tab.Len() != len(want) {
			t.Fatalf("%d entries, want %d", tab.Len(), len(want))
		}
		for k, v := range want {
			if p := tab.Find(k); p == nil || *p != v {
				t.Fatalf("%v is %v, want %d", k, p, v)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{4, 10, 1000, 100_000} {
		rnd := rand.New(rand.NewPCG(1, 1))
		var tab Table[uint64]
		all, other := make([]Key, n), make([]Key, n)
		for i := range all {
			all[i] = Key{0xfd00_0001_0000_0000, rnd.Uint64()}
			other[i] = Key{0xfd00_0002_0000_0000, rnd.Uint64()}
			tab.Put(all[i], 1)
		}
		rnd.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, c := range []struct {
			name string
			keys []Key
			want uint64
		}{{"there", all, 1}, {"absent", other, 0}} {
			b.Run(fmt.Sprintf("%s-%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if tab.Get(c.keys[i]) != c.want {
						b.Fatal("wrong value")
					}
					if i++; i == n {
						i = 0
					}
				}
			})
		}
	}
}

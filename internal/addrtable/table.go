package addrtable

import (
	"iter"
	"math/bits"
	"math/rand/v2"
)

// A Key is an address as two big-endian numbers.
type Key struct{ Hi, Lo uint64 }

// A Table maps keys to values. The zero value is empty.
type Table[V any] struct {
	entries []entry[V]
	// The index is open addressed. A slot is 0 where it is free, else the number of an entry,
	// from 1, in as many low bits as the number of slots takes; the others are those of the
	// hash of its key.
	index  []uint32 // a power of two, at most 5/8 full; nil: few entries
	k0, k1 uint64
}

type entry[V any] struct {
	k Key
	v V
}

const (
	few      = 8  // entries that need no index
	minIndex = 16 // slots
)

// hash mixes k with the keys of the table: two multiplications to 128 bits, each folded.
func (t *Table[V]) hash(k Key) uint64 {
	hi, lo := bits.Mul64(k.Hi^t.k0, k.Lo^t.k1)
	hi, lo = bits.Mul64(hi^t.k1, lo^t.k0)
	return hi ^ lo
}

// Len returns the number of entries.
func (t *Table[V]) Len() int { return len(t.entries) }

// Find returns the value of k, or nil where there is none. It may be written to; it is valid
// until the next Put or Delete.
func (t *Table[V]) Find(k Key) *V {
	if len(t.index) == 0 {
		for i := range t.entries {
			if e := &t.entries[i]; e.k == k {
				return &e.v
			}
		}
		return nil
	}
	if e := t.index[t.slot(k)] & uint32(len(t.index)-1); e != 0 {
		return &t.entries[e-1].v
	}
	return nil
}

// slot returns the number of the slot of k, or of the free one where it would be put.
func (t *Table[V]) slot(k Key) uint32 {
	h, mask := t.hash(k), uint32(len(t.index)-1)
	i, tag := uint32(h)&mask, uint32(h>>32)&^mask
	for {
		s := t.index[i]
		if s == 0 || s&^mask == tag && t.entries[s&mask-1].k == k {
			return i
		}
		i = (i + 1) & mask
	}
}

// Get returns the value of k, or the zero value where there is none.
func (t *Table[V]) Get(k Key) (v V) {
	if p := t.Find(k); p != nil {
		v = *p
	}
	return v
}

// Put sets the value of k.
func (t *Table[V]) Put(k Key, v V) {
	if p := t.Find(k); p != nil {
		*p = v
		return
	}
	t.entries = append(t.entries, entry[V]{k, v})
	switch n := len(t.entries); {
	case t.index == nil && n <= few:
	case n*8 > len(t.index)*5:
		t.reindex(max(2*len(t.index), minIndex))
	default:
		t.insert(n - 1)
	}
}

// Delete removes k and reports whether it was there.
func (t *Table[V]) Delete(k Key) bool {
	last := len(t.entries) - 1
	i := last
	if len(t.index) == 0 {
		for i >= 0 && t.entries[i].k != k {
			i--
		}
		if i < 0 {
			return false
		}
	} else {
		mask, at := uint32(len(t.index)-1), t.slot(k)
		if t.index[at] == 0 {
			return false
		}
		i = int(t.index[at]&mask) - 1
		t.free(at)
		if i != last {
			at = t.slot(t.entries[last].k)
			t.index[at] = t.index[at]&^mask | uint32(i+1)
		}
	}
	t.entries[i] = t.entries[last]
	t.entries[last] = entry[V]{}
	t.entries = t.entries[:last]
	t.shrink()
	return true
}

// All returns the entries, in no order. The table must not be changed meanwhile, but for what
// the values point to.
func (t *Table[V]) All() iter.Seq2[Key, *V] {
	return func(yield func(Key, *V) bool) {
		for i := range t.entries {
			if e := &t.entries[i]; !yield(e.k, &e.v) {
				return
			}
		}
	}
}

// insert puts entry i, whose key is not there, into the index.
func (t *Table[V]) insert(i int) {
	h, mask := t.hash(t.entries[i].k), uint32(len(t.index)-1)
	at := uint32(h) & mask
	for t.index[at] != 0 {
		at = (at + 1) & mask
	}
	t.index[at] = uint32(h>>32)&^mask | uint32(i+1)
}

// free empties slot i, and moves back those that it had pushed on.
func (t *Table[V]) free(i uint32) {
	mask := uint32(len(t.index) - 1)
	for j := (i + 1) & mask; t.index[j] != 0; j = (j + 1) & mask {
		// j may fill the hole unless its hash points behind it.
		home := uint32(t.hash(t.entries[t.index[j]&mask-1].k)) & mask
		if (j-home)&mask >= (j-i)&mask {
			t.index[i] = t.index[j]
			i = j
		}
	}
	t.index[i] = 0
}

// reindex makes an index of n slots for all entries; of none, there is none.
func (t *Table[V]) reindex(n int) {
	if t.index == nil {
		t.k0, t.k1 = rand.Uint64(), rand.Uint64()
	}
	t.index = nil
	if n > 0 {
		t.index = make([]uint32, n)
		for i := range t.entries {
			t.insert(i)
		}
	}
}

// shrink gives memory back once the table is mostly empty.
func (t *Table[V]) shrink() {
	n := len(t.entries)
	switch {
	case len(t.index) > 0 && n <= few/2:
		t.reindex(0)
	case len(t.index) > minIndex && n*8 < len(t.index):
		t.reindex(len(t.index) / 2)
	}
	if c := cap(t.entries); n == 0 {
		t.entries = nil
	} else if c > 4*few && n < c/4 {
		t.entries = append(make([]entry[V], 0, 2*n), t.entries...)
	}
}

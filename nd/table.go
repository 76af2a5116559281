package nd

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// A table maps addresses to entries: open addressing with linear probing, so that a lookup
// costs one cache line of slots and one of the entry. The hash is keyed, since addresses
// are chosen by peers.
type table struct {
	slots []slot // a power of two, at most 5/8 full
	n     int
	k0    uint64
	k1    uint64
}

type slot struct {
	hi, lo uint64
	e      *entry
}

func (t *table) init() {
	t.k0, t.k1 = rand.Uint64()|1, rand.Uint64()
	t.slots = make([]slot, 16)
}

func halves(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

func (t *table) home(hi, lo uint64) uint64 {
	h, l := bits.Mul64(hi^t.k0, lo^t.k1)
	h, l = bits.Mul64(h^l^t.k0, 0x9e3779b97f4a7c15)
	return (h ^ l) & uint64(len(t.slots)-1)
}

// get returns the entry of a, or nil.
func (t *table) get(a netip.Addr) *entry {
	hi, lo := halves(a)
	mask := uint64(len(t.slots) - 1)
	for i := t.home(hi, lo); ; i = (i + 1) & mask {
		s := &t.slots[i&mask]
		if s.e == nil || s.lo == lo && s.hi == hi {
			return s.e
		}
	}
}

// put adds e, whose address is not in the table.
func (t *table) put(e *entry) {
	if (t.n+1)*8 > len(t.slots)*5 {
		old := t.slots
		t.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.e != nil {
				t.place(s)
			}
		}
	}
	hi, lo := halves(e.addr)
	t.place(slot{hi, lo, e})
	t.n++
}

func (t *table) place(s slot) {
	mask := uint64(len(t.slots) - 1)
	i := t.home(s.hi, s.lo)
	for t.slots[i].e != nil {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

// remove takes e out, and moves back those that had been pushed on by it.
func (t *table) remove(e *entry) {
	hi, lo := halves(e.addr)
	mask := uint64(len(t.slots) - 1)
	i := t.home(hi, lo)
	for t.slots[i].e != e {
		if t.slots[i].e == nil {
			return
		}
		i = (i + 1) & mask
	}
	t.n--
	for j := (i + 1) & mask; t.slots[j].e != nil; j = (j + 1) & mask {
		// j may fill the hole unless its home lies after the hole
		if home := t.home(t.slots[j].hi, t.slots[j].lo); (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
}

// list returns all entries, in no order.
func (t *table) list() []*entry {
	l := make([]*entry, 0, t.n)
	for i := range t.slots {
		if e := t.slots[i].e; e != nil {
			l = append(l, e)
		}
	}
	return l
}

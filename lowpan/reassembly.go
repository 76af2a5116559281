package lowpan

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"time"

	"border-router/ipv6"
)

// A Reassembler puts datagrams together from their fragments (RFC 4944 section 5.3).
// Fragments may come in any order, more than once, and from several datagrams of one
// source at a time. It is a machine: time comes in with every call, and [Reassembler.Deadline]
// says when [Reassembler.Advance] wants to be called next.
//
// A datagram is known by source, destination, datagram_size and datagram_tag. Of fragments
// that overlap without being the same, "the fragment(s) already accumulated in the
// reassembly buffer SHALL be discarded. A fresh reassembly may be commenced with the most
// recently received link fragment"; that is done, and goes for a fragment with the place
// of an earlier one but other bytes too.
type Reassembler struct {
	contexts *Contexts
	limits   Limits
	stats    ReassemblyStats
	seed     uint64

	all    []*reassembly // grows up to limits.Reassemblies, then never again
	free   *reassembly   // linked by next
	byKey  []*reassembly // hash buckets, linked by next
	bySrc  []*reassembly // hash buckets, linked by srcNext, newest first
	oldest *reassembly   // linked by newer: the order of deadlines
	newest *reassembly
	ended  *reassembly // oldest recoverable datagram that lingers, linked by newer
	endedN *reassembly // the newest
	last   *reassembly // of the fragment before: most often this one's too

	scratch []byte // the first fragment in hand, decoded

	// refused, where set, is told of each recoverable datagram that had to make room.
	refused func(src ipv6.LinkAddr, tag uint8)
}

// ReassemblyStats counts the fragments that a [Reassembler] has been given:
// In = Delivered + Held + the sum of Drops. A fragment that replaces an unfinished datagram
// is not among the drops, those that had to go are.
type ReassemblyStats struct {
	In        uint64 // fragments given to Input
	Delivered uint64 // fragments of datagrams that were completed
	Held      uint64 // fragments of unfinished datagrams
	Datagrams uint64 // datagrams completed
	Pending   uint64 // datagrams unfinished
	Drops     [NumDrops]uint64
}

// A fragKey says which datagram a fragment belongs to.
type fragKey struct {
	src, dst  ipv6.LinkAddr
	size, tag uint16
}

// equal is ==, without a call, and looks first at what differs most often.
func (k *fragKey) equal(o *fragKey) bool {
	return k.tag == o.tag && k.size == o.size && k.src == o.src && k.dst == o.dst
}

const (
	unitWords = (MaxDatagram + 1) / 8 / 64 // words of a set of 8-byte units
	bufLen    = MaxDatagram + 1
)

// A reassembly is an unfinished datagram.
type reassembly struct {
	key      fragKey
	deadline time.Time
	frames   uint16 // fragments that are in buf
	left     uint16 // bytes that are not in buf; of a recoverable datagram those that are
	checksum uint16 // see Result.Checksum

	// Which units of 8 bytes are in buf, and at which of them a fragment begins.
	have, begin [unitWords]uint64

	next, srcNext *reassembly
	older, newer  *reassembly
	h             uint32 // hash of key
	hs            uint32 // hash of key.src
	recovered
	buf [bufLen]byte
}

// NewReassembler returns a Reassembler that decodes first fragments with c.
func NewReassembler(l Limits, c *Contexts) *Reassembler {
	l = l.withDefaults()
	n := 1 << bits.Len(uint(l.Reassemblies-1))
	return &Reassembler{
		contexts: c,
		limits:   l,
		seed:     rand.Uint64(),
		byKey:    make([]*reassembly, n),
		bySrc:    make([]*reassembly, n),
		scratch:  make([]byte, 0, bufLen),
	}
}

// Input takes a fragment: b begins with its FRAG1 or FRAGN header and ends with the frame,
// l holds the link-layer addresses it came with. When it completes a datagram, p is the
// IPv6 packet, in a buffer of r that is good, and the caller's to change, until the next
// call. Else p is nil; with a nil error the fragment is held, with a [Drop] it was
// discarded. Input keeps no part of b.
func (r *Reassembler) Input(now time.Time, b []byte, l Link) (p ipv6.Packet, err error) {
	return r.fragment(now, b, &l)
}

// fragment is Input with l by reference.
func (r *Reassembler) fragment(now time.Time, b []byte, l *Link) (p ipv6.Packet, err error) {
	r.stats.In++
	if r.due(now) {
		r.Advance(now)
	}
	p, err = r.input(now, b, l)
	if err != nil {
		r.count(err, 1)
	}
	return p, err
}

func (r *Reassembler) input(now time.Time, b []byte, l *Link) (ipv6.Packet, error) {
	h, n, err := ParseFragHeader(b)
	if err != nil {
		return nil, err
	}
	b = b[n:]
	size := int(h.Size)
	if size < ipv6.HeaderLen {
		return nil, DropFragment
	}
	start := int(h.Offset) * 8
	if start > 0 {
		// "All link fragments for a datagram except the last one MUST be multiples of
		// eight bytes in length."
		end := start + len(b)
		if end > size || len(b) == 0 || len(b)&7 != 0 && end != size {
			return nil, DropFragment
		}
	}
	data, checksum := b, 0
	if start == 0 {
		// The first fragment alone carries compressed headers: how much of the datagram it
		// holds is known once they are decoded. That is done aside, so that a bad one costs
		// nobody a buffer and harms nothing that is held.
		res, err := r.contexts.decompressFirst(r.scratch[:0:size], b, *l, size)
		if err != nil {
			return nil, err
		}
		data, checksum = r.scratch[:res.N], res.Checksum
		if err := checkFirst(data, size); err != nil {
			return nil, err
		}
	}

	var k fragKey
	k.src, k.dst, k.size, k.tag = l.Src, l.Dst, h.Size, h.Tag
	e := r.last
	if e == nil || !e.key.equal(&k) {
		if e = r.find(k); e == nil {
			e = r.add(now, k)
		}
		r.last = e
	}
	first, units := start>>3, (len(data)+7)>>3
	if e.overlaps(first, units) {
		if e.same(first, units) && bytes.Equal(e.buf[start:start+len(data)], data) {
			return nil, DropFragmentDuplicate
		}
		r.discard(e, DropFragmentOverlap)
		e = r.add(now, k)
		r.last = e
	}
	copy(e.buf[start:], data)
	if start == 0 {
		e.checksum = uint16(checksum)
	}
	e.mark(first, units)
	e.left -= uint16(len(data))
	e.frames++
	r.stats.Held++
	if e.left > 0 {
		return nil, nil
	}

	if e.checksum != 0 {
		if err := FinishChecksum(e.buf[:size], int(e.checksum)); err != nil {
			// The fragment in hand is counted by the caller.
			e.frames--
			r.stats.Held--
			r.discard(e, err.(Drop))
			return nil, err
		}
	}
	r.stats.Held -= uint64(e.frames)
	r.stats.Delivered += uint64(e.frames)
	r.stats.Datagrams++
	r.remove(e)
	return ipv6.Packet(e.buf[:size:size]), nil
}

// checkFirst checks what a first fragment holds against the datagram_size it states: a
// packet with another length of its own would be cut or run over, and is dropped. An
// uncompressed IPv6 header need not be in it whole: 8 bytes, which a first fragment has at
// least, tell the version and the length.
func checkFirst(b []byte, size int) error {
	switch {
	case len(b) < 8:
		return DropTruncated
	case b[0]>>4 != 6:
		return DropVersion
	case ipv6.HeaderLen+int(b[4])<<8+int(b[5]) != size:
		return DropLength
	case len(b) > size, len(b)&7 != 0 && len(b) != size:
		return DropFragment
	}
	return nil
}

// Stats returns a copy of the counters.
func (r *Reassembler) Stats() ReassemblyStats { return r.stats }

// BytesHeld returns the memory in bytes that buffers take, used or not.
func (r *Reassembler) BytesHeld() int { return len(r.all) * bufLen }

// Deadline returns when the oldest unfinished datagram is given up, or a recoverable one
// that has ended is forgotten, or the zero time.
func (r *Reassembler) Deadline() time.Time {
	switch {
	case r.oldest == nil && r.ended == nil:
		return time.Time{}
	case r.oldest == nil || r.ended != nil && r.ended.deadline.Before(r.oldest.deadline):
		return r.ended.deadline
	}
	return r.oldest.deadline
}

func (r *Reassembler) due(now time.Time) bool {
	return r.oldest != nil && !now.Before(r.oldest.deadline) || r.ended != nil && !now.Before(r.ended.deadline)
}

// Advance gives up every datagram whose time is over at now.
func (r *Reassembler) Advance(now time.Time) {
	for e := r.ended; e != nil && !now.Before(e.deadline); e = r.ended {
		r.remove(e)
	}
	for e := r.oldest; e != nil && !now.Before(e.deadline); e = r.oldest {
		r.discard(e, DropReassemblyTimeout)
	}
}

func (r *Reassembler) count(err error, n uint64) {
	r.stats.Drops[err.(Drop)] += n
}

// discard gives up e and counts its fragments.
func (r *Reassembler) discard(e *reassembly, why Drop) {
	r.count(why, uint64(e.frames))
	r.stats.Held -= uint64(e.frames)
	r.remove(e)
}

// evict discards e to make room. "If it is out of reassembly buffers ... the reassembling
// endpoint SHOULD indicate so to the fragmenting endpoint with a NULL bitmap in an RFRAG-ACK"
// (RFC 8931 section 6.3).
func (r *Reassembler) evict(e *reassembly, why Drop) {
	k := e.key
	r.discard(e, why)
	if k.size == recoverable && r.refused != nil {
		r.refused(k.src, uint8(k.tag))
	}
}

func (r *Reassembler) find(k fragKey) *reassembly {
	h := r.hash(k)
	for e := r.byKey[int(h)&(len(r.byKey)-1)]; e != nil; e = e.next {
		if e.h == h && e.key.equal(&k) {
			return e
		}
	}
	return nil
}

// add makes room for a new datagram and returns it.
func (r *Reassembler) add(now time.Time, k fragKey) *reassembly {
	hs := r.hashAddr(k.src)
	src := &r.bySrc[int(hs)&(len(r.bySrc)-1)]
	var n [2]int
	var old [2]*reassembly // unfinished, lingering
	for e := *src; e != nil; e = e.srcNext {
		if e.key.src == k.src {
			x := 0
			if e.fate != gathering {
				x = 1
			}
			n[x]++
			old[x] = e
		}
	}
	if n[0] >= r.limits.ReassembliesPerSource {
		r.evict(old[0], DropReassemblySource)
	}
	if n[1] >= r.limits.ReassembliesPerSource {
		r.remove(old[1])
	}
	e := r.free
	if e == nil && len(r.all) == r.limits.Reassemblies {
		if r.ended != nil {
			r.remove(r.ended)
		} else {
			r.evict(r.oldest, DropReassemblyLimit)
		}
		e = r.free
	}
	if e != nil {
		r.free = e.next
	} else {
		e = new(reassembly)
		r.all = append(r.all, e)
	}
	e.key, e.hs, e.h = k, hs, r.hash(k)
	e.deadline = now.Add(r.limits.ReassemblyTimeout)
	e.frames, e.left, e.checksum, e.fate = 0, k.size, 0, gathering
	if k.size == recoverable {
		e.left = 0
	}
	e.have, e.begin = [unitWords]uint64{}, [unitWords]uint64{}

	key := &r.byKey[int(e.h)&(len(r.byKey)-1)]
	e.next, *key = *key, e
	e.srcNext, *src = *src, e
	r.list(e)
	r.stats.Pending++
	return e
}

// ends returns the list that e is in.
func (r *Reassembler) ends(e *reassembly) (oldest, newest **reassembly) {
	if e.fate != gathering {
		return &r.ended, &r.endedN
	}
	return &r.oldest, &r.newest
}

// list appends e to the list that its fate puts it in.
func (r *Reassembler) list(e *reassembly) {
	oldest, newest := r.ends(e)
	e.older, e.newer = *newest, nil
	if *newest != nil {
		(*newest).newer = e
	} else {
		*oldest = e
	}
	*newest = e
}

func (r *Reassembler) unlist(e *reassembly) {
	oldest, newest := r.ends(e)
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		*oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		*newest = e.older
	}
	e.older, e.newer = nil, nil
}

// remove takes e out of every list and gives it back.
func (r *Reassembler) remove(e *reassembly) {
	p := &r.byKey[int(e.h)&(len(r.byKey)-1)]
	for *p != e {
		p = &(*p).next
	}
	*p = e.next
	p = &r.bySrc[int(e.hs)&(len(r.bySrc)-1)]
	for *p != e {
		p = &(*p).srcNext
	}
	*p = e.srcNext
	r.unlist(e)
	if r.last == e {
		r.last = nil
	}
	if e.fate == gathering {
		r.stats.Pending--
	}
	e.srcNext = nil
	e.next, r.free = r.free, e
}

// hash mixes a key with the seed, which peers do not know, so that they cannot choose keys
// that fall together.
func (r *Reassembler) hash(k fragKey) uint32 {
	hi, lo := bits.Mul64(k.src.Uint64()^r.seed, k.dst.Uint64()^0x9e3779b97f4a7c15)
	x := hi ^ lo ^ uint64(k.size)<<16 ^ uint64(k.tag) ^ uint64(k.src.Len())<<32 ^ uint64(k.dst.Len())<<36
	hi, lo = bits.Mul64(x^r.seed, 0xa0761d6478bd642f)
	return uint32(hi ^ lo)
}

func (r *Reassembler) hashAddr(a ipv6.LinkAddr) uint32 {
	return hashAddr(a, r.seed)
}

func hashAddr(a ipv6.LinkAddr, seed uint64) uint32 {
	hi, lo := bits.Mul64(a.Uint64()^seed, 0xa0761d6478bd642f+uint64(a.Len()))
	return uint32(hi ^ lo)
}

// mask returns the bits of word w that stand for the units first to first+n-1, of which it
// has at least one.
func mask(w, first, n int) uint64 {
	lo, hi := max(first-w*64, 0), min(first+n-w*64, 64)
	return ^uint64(0) << (lo & 63) & (^uint64(0) >> ((64 - hi) & 63))
}

// overlaps reports whether any of n units from first on is in buf.
func (e *reassembly) overlaps(first, n int) bool {
	for w := first >> 6; w <= (first+n-1)>>6; w++ {
		if e.have[w]&mask(w, first, n) != 0 {
			return true
		}
	}
	return false
}

// same reports whether one earlier fragment holds exactly the n units from first on.
func (e *reassembly) same(first, n int) bool {
	for w := first >> 6; w <= (first+n-1)>>6; w++ {
		m, begin := mask(w, first, n), uint64(0)
		if w == first>>6 {
			begin = 1 << (first & 63)
		}
		if e.have[w]&m != m || e.begin[w]&m != begin {
			return false
		}
	}
	end := first + n
	return end >= unitWords*64 || e.have[end>>6]>>(end&63)&1 == 0 || e.begin[end>>6]>>(end&63)&1 == 1
}

// mark notes that a fragment of n units from first on is in buf.
func (e *reassembly) mark(first, n int) {
	e.begin[first>>6] |= 1 << (first & 63)
	for w := first >> 6; w <= (first+n-1)>>6; w++ {
		e.have[w] |= mask(w, first, n)
	}
}

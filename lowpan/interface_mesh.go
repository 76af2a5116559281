package lowpan

import (
	"time"

	"border-router/ipv6"
)

// meshInput takes the mesh addressing header (RFC 4944 section 5.2) and the broadcast
// header (section 11.1) off the start of b, in this order, where they are. A mesh header
// replaces the addresses in l by those of originator and final destination; a frame whose
// final destination is another is not forwarded.
func (i *Interface) meshInput(now time.Time, b []byte, l *Link) ([]byte, Drop) {
	if Classify(b) == DispatchMesh {
		m, n, err := ParseMeshHeader(b)
		if err != nil {
			return nil, reason(err)
		}
		if !i.ours(m.Final) && !groupShort(m.Final) {
			return nil, DropMesh
		}
		if !i.origin(m.Originator) {
			return nil, DropSource
		}
		if l.Src, l.Dst = m.Originator, m.Final; groupShort(l.Dst) {
			l.Dst = ipv6.BroadcastShort
		}
		b = b[n:]
	}
	if Classify(b) == DispatchBC0 {
		h, n, err := ParseBC0Header(b)
		if err != nil {
			return nil, reason(err)
		}
		if !i.bc0.first(now, l.Src, h.Seq) {
			return nil, DropBC0Duplicate
		}
		b = b[n:]
	}
	return b, 0
}

// groupShort reports whether a is a multicast address 100xxxxx xxxxxxxx (RFC 4944
// section 9).
func groupShort(a ipv6.LinkAddr) bool { return a.Len() == 2 && a.Uint64()>>13 == 0b100 }

// broadcasts remembers which broadcasts were here: the last 64, for a while. "The sequence
// number ... is used in conjunction with the originator's address to suppress duplicates"
// (RFC 4944 section 11.1).
type broadcasts struct {
	ring [64]struct {
		src   ipv6.LinkAddr
		seq   uint8
		until time.Time
	}
	n int
}

// Long enough for the last repetition to arrive, short against 256 broadcasts.
const broadcastMemory = 5 * time.Second

// first notes a broadcast and reports whether it was not here before.
func (r *broadcasts) first(now time.Time, src ipv6.LinkAddr, seq uint8) bool {
	for k := range r.ring {
		if e := &r.ring[k]; e.src == src && e.seq == seq && now.Before(e.until) {
			return false
		}
	}
	e := &r.ring[r.n]
	e.src, e.seq, e.until = src, seq, now.Add(broadcastMemory)
	r.n = (r.n + 1) % len(r.ring)
	return true
}

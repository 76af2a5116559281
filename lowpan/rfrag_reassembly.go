package lowpan

import (
	"bytes"
	"math/bits"
	"time"

	"border-router/ipv6"
)

const (
	// The datagram_size in the key of a recoverable datagram, whose size only its first
	// fragment tells: more than an RFC 4944 fragment can state.
	recoverable = 0x8000

	// How long a datagram that was completed or refused is remembered after its last
	// fragment, so that those still to come get the same answer: longer than a sender that
	// hears none asks for one. Other datagrams take its buffer when they need it.
	recoverableLinger = 20 * time.Second
)

// What has become of a recoverable datagram.
type fate uint8

const (
	gathering fate = iota
	completed      // further fragments are answered with the full bitmap
	refused        // further fragments are answered with the null bitmap
)

// The part of a reassembly that recoverable datagrams have.
type recovered struct {
	fate   fate
	ecn    bool   // a fragment since the last acknowledgment had its E flag set
	size   uint16 // bytes of the compressed datagram; 0 while the first fragment is missing
	end    uint16 // end of the bytes that are there
	bitmap uint32 // sequences received
	got    [bufLen / 64]uint64
}

// InputRecoverable takes a recoverable fragment (RFC 8931): b begins with its RFRAG header
// and ends with the frame, l holds the link-layer addresses it came with. p and err are as
// in [Reassembler.Input]. With ack, a is to be sent to the source of the fragment: on
// request, when a datagram is complete, and when it cannot be received.
//
// A fragment that contradicts earlier ones of its source and tag begins another datagram:
// tags of 8 bits come again. One that comes before the first of its datagram waits for it;
// to refuse it is for those who forward fragments and have no route for it (RFC 8931 section
// 6.1.2).
func (r *Reassembler) InputRecoverable(now time.Time, b []byte, l Link) (p ipv6.Packet, a RFragAck, ack bool, err error) {
	r.stats.In++
	if r.due(now) {
		r.Advance(now)
	}
	h, n, err := ParseRFrag(b)
	if err == nil {
		p, a, ack, err = r.recoverable(now, h, b[n:], l)
	}
	if err != nil {
		r.count(err, 1)
	}
	return p, a, ack, err
}

func (r *Reassembler) recoverable(now time.Time, h RFrag, data []byte, l Link) (p ipv6.Packet, a RFragAck, ack bool, err error) {
	a.Tag, a.ECN = h.Tag, h.ECN
	k := fragKey{l.Src, l.Dst, recoverable, uint16(h.Tag)}
	e := r.find(k)
	if h.Offset == 0 {
		// "A Fragment_Offset that is set to a value of 0 indicates an abort condition, and all
		// states regarding the datagram should be cleaned up" (RFC 8931 section 5.1). "If an
		// acknowledgment is requested, the reassembling endpoint responds with a NULL bitmap"
		// (section 6.3).
		if e != nil {
			r.drop(e, DropRecoveryReset)
		}
		return nil, a, h.AckRequest, DropRecoveryReset
	}
	if h.Size == 0 || len(data) != int(h.Size) {
		return nil, a, false, DropFragment
	}
	start := int(h.Offset)
	if h.Sequence == 0 {
		if start = 0; h.Size > h.Offset {
			return nil, a, false, DropFragment
		}
	}
	if max(int(h.Offset), start+len(data)) > bufLen {
		return nil, a, true, DropTooLong
	}

	if e != nil && !e.agrees(h, start, data) {
		r.drop(e, DropFragmentOverlap)
		e = nil
	}
	if e == nil {
		e = r.add(now, k)
		e.recovered = recovered{}
	}
	e.ecn = e.ecn || h.ECN
	if h.Sequence == 0 {
		e.size = h.Offset
	}
	e.bitmap |= sequenceBit(int(h.Sequence))
	fresh := e.take(start, data)
	if e.fate != gathering || fresh == 0 {
		if e.fate != gathering {
			r.linger(now, e, e.fate) // its sender has not got our answer yet
		}
		a = e.answer(h.Tag, h.AckRequest)
		return nil, a, h.AckRequest, DropFragmentDuplicate
	}
	e.left += uint16(fresh)
	e.frames++
	r.stats.Held++
	if e.left != e.size {
		a = e.answer(h.Tag, h.AckRequest)
		return nil, a, h.AckRequest, nil
	}

	size, err := r.contexts.decompressWhole(r.scratch[:0], e.buf[:e.size], l)
	if err == nil {
		if p, err = ipv6.Parse(r.scratch[:size]); err != nil {
			err = DropLength
		}
	}
	r.stats.Held -= uint64(e.frames)
	if err != nil {
		// The fragment in hand is counted by the caller.
		r.count(err, uint64(e.frames)-1)
		r.linger(now, e, refused)
		return nil, e.answer(h.Tag, true), true, err
	}
	r.stats.Delivered += uint64(e.frames)
	r.stats.Datagrams++
	r.linger(now, e, completed)
	return p, e.answer(h.Tag, true), true, nil
}

// drop gives up e, whatever has become of it.
func (r *Reassembler) drop(e *reassembly, why Drop) {
	if e.fate == gathering {
		r.discard(e, why)
	} else {
		r.remove(e)
	}
}

// linger keeps e for a while, without fragments that count.
func (r *Reassembler) linger(now time.Time, e *reassembly, f fate) {
	r.unlist(e)
	if e.fate == gathering {
		r.stats.Pending--
	}
	e.fate, e.frames = f, 0
	e.deadline = now.Add(recoverableLinger)
	r.list(e)
}

// agrees reports whether a fragment can belong to e: it changes no byte that is there, and
// nothing reaches beyond the end.
func (e *reassembly) agrees(h RFrag, start int, data []byte) bool {
	size := e.size
	if h.Sequence == 0 {
		if size != 0 && size != h.Offset {
			return false
		}
		size = h.Offset
	}
	if size != 0 && (int(size) < start+len(data) || size < e.end) {
		return false
	}
	// Most often none or all of it is there.
	if n := e.present(start, len(data)); n == 0 {
		return true
	} else if n == len(data) {
		return bytes.Equal(e.buf[start:start+len(data)], data)
	}
	for i, c := range data {
		if at := start + i; e.got[at>>6]>>(at&63)&1 != 0 && e.buf[at] != c {
			return false
		}
	}
	return true
}

// present returns how many of the n bytes from start on are in buf.
func (e *reassembly) present(start, n int) (there int) {
	for w := start >> 6; w <= (start+n-1)>>6; w++ {
		there += bits.OnesCount64(e.got[w] & mask(w, start, n))
	}
	return there
}

// take copies data to where it belongs and returns how many bytes were not there.
func (e *reassembly) take(start int, data []byte) (fresh int) {
	fresh = len(data) - e.present(start, len(data))
	if e.fate != gathering || fresh == 0 {
		return 0
	}
	copy(e.buf[start:], data)
	for w := start >> 6; w <= (start+len(data)-1)>>6; w++ {
		e.got[w] |= mask(w, start, len(data))
	}
	e.end = max(e.end, uint16(start+len(data)))
	return fresh
}

// answer returns the acknowledgment of what has arrived. Where it is sent, it says for the
// last time that there was congestion: "The reassembling endpoint of a fragment with the E
// (ECN) flag set MUST echo that information at most once".
func (e *reassembly) answer(tag uint8, sent bool) RFragAck {
	a := RFragAck{Tag: tag, ECN: e.ecn, Bitmap: e.bitmap}
	switch e.fate {
	case completed:
		a.Bitmap = BitmapFull
	case refused:
		a.Bitmap = BitmapNull
	}
	if sent {
		e.ecn = false
	}
	return a
}

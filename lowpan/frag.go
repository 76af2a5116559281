package lowpan

import "encoding/binary"

// Lengths of the fragment headers in bytes (RFC 4944 section 5.3).
const (
	frag1Len = 4
	fragNLen = 5
)

// MaxDatagram is the largest datagram_size that a fragment header can state, in bytes.
const MaxDatagram = 2047

// A FragHeader is a FRAG1 or FRAGN header (RFC 4944 section 5.3).
//
//	                     1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|1 1 0 0 0|    datagram_size    |         datagram_tag          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|1 1 1 0 0|    datagram_size    |         datagram_tag          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|datagram_offset|
//	+-+-+-+-+-+-+-+-+
type FragHeader struct {
	Size   uint16 // datagram_size: bytes of the whole IPv6 datagram, 0 to 2047
	Tag    uint16 // datagram_tag
	Offset uint8  // datagram_offset, in units of 8 bytes; 0 means FRAG1
}

// ParseFragHeader decodes the header at the start of b and returns its length
// in bytes: 4 for FRAG1, 5 for FRAGN. The error is a [Drop]: [DropTruncated],
// [DropDispatch] when b does not begin with a fragment header, [DropFragment] for a FRAGN
// at offset 0, where only a FRAG1 can be.
func ParseFragHeader(b []byte) (h FragHeader, n int, err error) {
	if len(b) < frag1Len {
		if len(b) > 0 && !isFragment(b[0]) {
			return FragHeader{}, 0, DropDispatch
		}
		return FragHeader{}, 0, DropTruncated
	}
	w := binary.BigEndian.Uint32(b)
	h.Size, h.Tag = uint16(w>>16)&MaxDatagram, uint16(w)
	switch w >> 27 {
	case 0b11000:
		return h, frag1Len, nil
	case 0b11100:
		if len(b) < fragNLen {
			return FragHeader{}, 0, DropTruncated
		}
		if h.Offset = b[4]; h.Offset == 0 {
			return FragHeader{}, 0, DropFragment
		}
		return h, fragNLen, nil
	}
	return FragHeader{}, 0, DropDispatch
}

// isFragment reports whether a datagram with the first byte c is a fragment: 11000xxx
// (FRAG1) or 11100xxx (FRAGN).
func isFragment(c byte) bool { return c&0b11011000 == 0b11000000 }

// AppendBinary appends the header to b, 4 bytes when h.Offset is 0 and 5 otherwise. The
// error is [DropFragment] when h.Size does not fit its 11 bits.
func (h FragHeader) AppendBinary(b []byte) ([]byte, error) {
	if h.Size > MaxDatagram {
		return b, DropFragment
	}
	if h.Offset == 0 {
		return binary.BigEndian.AppendUint32(b, 0b11000<<27|uint32(h.Size)<<16|uint32(h.Tag)), nil
	}
	b = binary.BigEndian.AppendUint32(b, 0b11100<<27|uint32(h.Size)<<16|uint32(h.Tag))
	return append(b, h.Offset), nil
}

// A cutter holds a compressed datagram and gives it away in the payloads of MAC frames:
// whole when it fits, else as fragments in order. "All link fragments for a datagram except
// the last one MUST be multiples of eight bytes in length", and sizes and offsets are those
// of the uncompressed datagram (RFC 4944 section 5.3, RFC 6282 section 2).
type cutter struct {
	b        []byte // dispatch and compressed headers, then the rest of the datagram
	hdr      int    // bytes of b that are compressed headers
	consumed int    // bytes of the uncompressed datagram that they stand for
	pos      int    // bytes of b already cut
	tag      uint16
}

// reset has c begin with b, the first hdr bytes of which stand for consumed bytes.
func (c *cutter) reset(b []byte, hdr, consumed int) {
	c.b, c.hdr, c.consumed, c.pos = b, hdr, consumed, 0
}

// size returns the length of the uncompressed datagram in bytes.
func (c *cutter) size() int { return len(c.b) - c.hdr + c.consumed }

// fits reports whether the datagram can be sent with room bytes a frame: whole, or with
// the compressed headers in the first fragment, where RFC 6282 section 2 wants all of them.
func (c *cutter) fits(room int) bool {
	return len(c.b) <= room || c.first(room) >= 0 && room >= fragNLen+8
}

// first returns how many bytes behind the headers the first fragment carries, negative
// when the headers do not fit.
func (c *cutter) first(room int) int {
	n := room - frag1Len - c.hdr
	if n < 0 {
		return -1
	}
	return n - (c.consumed+n)&7
}

// cut appends the next payload, at most room bytes, to dst and reports whether it is the
// last one. The datagram must fit.
func (c *cutter) cut(dst []byte, room int) (_ []byte, last bool) {
	rest := len(c.b) - c.pos
	if c.pos == 0 {
		if rest <= room {
			c.pos = len(c.b)
			return append(dst, c.b...), true
		}
		dst = binary.BigEndian.AppendUint32(dst, 0b11000<<27|uint32(c.size())<<16|uint32(c.tag))
		c.pos = c.hdr + c.first(room)
		return append(dst, c.b[:c.pos]...), false
	}
	n := room - fragNLen
	if last = rest <= n; last {
		n = rest
	} else {
		n &^= 7
	}
	dst = binary.BigEndian.AppendUint32(dst, 0b11100<<27|uint32(c.size())<<16|uint32(c.tag))
	dst = append(dst, byte((c.consumed+c.pos-c.hdr)>>3))
	dst = append(dst, c.b[c.pos:c.pos+n]...)
	c.pos += n
	return dst, last
}

package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

// LOWPAN_NHC for IPv6 extension headers (RFC 6282 section 4.2):
//
//	  0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+
//	| 1 | 1 | 1 | 0 |    EID    |NH |
//	+---+---+---+---+---+---+---+---+
const (
	nhcExt     = 0xe0
	nhcExtMask = 0xf0
	nhcNH      = 0x01

	eidHopByHop = 0
	eidFragment = 2
	eidDstOpts  = 3
	eidIPv6     = 7

	maxExtData = 255 // bytes behind the length byte that the length byte can state
)

// eidProto is the Next Header value of an EID; 0 for the reserved ones, apart from EID 0
// itself.
var eidProto = [8]uint8{ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoFragment, ipv6.ProtoDstOpts, ipv6.ProtoMobility, 0, 0, ipv6.ProtoIPv6}

// A chain says what decodeChain met.
type chain struct {
	inner [maxNested]uint16 // offsets of tunnelled IPv6 headers, 0 behind the last
	base  int               // offset of the innermost IPv6 header
	ghc   bool              // what follows is bytecode of RFC 7400
}

// decodeChain restores the headers behind the outermost IPv6 header that LOWPAN_NHC
// encodes, from b[in:] to dst[ipv6.HeaderLen:], up to UDP or the first header that is not
// encoded. It returns the offsets behind them and whether b[next:] is an encoded UDP header.
// The offsets of IPv6 headers met on the way are left in ch; their payload lengths are for
// the caller.
func (c *Contexts) decodeChain(dst, b []byte, in int, ch *chain, over Drop) (next, out int, udp bool, drop Drop) {
	var (
		base   = 0 // of the innermost IPv6 header
		nextAt = 6 // where the type of the header to come belongs
		nested = 1
	)
	out = ipv6.HeaderLen
	maxHeaders := atMost(c.Limits.Headers, maxNHCHeaders)
	for headers := 0; ; headers++ {
		if in >= len(b) {
			return 0, 0, false, DropTruncated
		}
		k := b[in]
		if k&nhcUDPMask == nhcUDP {
			dst[nextAt] = ipv6.ProtoUDP
			return in, out, true, 0
		}
		ghc := c.AcceptGHC && k&nhcGHCExtMask == nhcGHCExt
		if k&nhcExtMask != nhcExt && !ghc {
			if c.AcceptGHC && k&nhcGHCUDPMask == nhcGHCUDP {
				dst[nextAt] = ipv6.ProtoUDP
				ch.ghc = true
				return in, out, true, 0
			}
			if c.AcceptGHC && k == nhcGHCICMP {
				dst[nextAt] = ipv6.ProtoICMPv6
				ch.ghc = true
				return in + 1, out, false, 0
			}
			return 0, 0, false, DropNHC
		}
		if headers == maxHeaders {
			return 0, 0, false, DropNesting
		}
		in++
		eid := k >> 1 & 7
		dst[nextAt] = eidProto[eid]
		switch eid {
		case 5, 6:
			return 0, 0, false, DropReserved
		case eidIPv6:
			// "The NH bit of the LOWPAN_NHC encoding is unused and MUST be set to zero. The
			// following bytes MUST be encoded using LOWPAN_IPHC": a set bit does no harm.
			if in >= len(b) {
				return 0, 0, false, DropTruncated
			}
			if b[in]&0xe0 != iphcDispatch {
				return 0, 0, false, DropNHC
			}
			if nested == atMost(c.Limits.Nested, maxNested) {
				return 0, 0, false, DropNesting
			}
			if len(dst)-out < ipv6.HeaderLen {
				return 0, 0, false, over
			}
			// "When the encapsulating header carries IPv6 addresses, bits for the source and
			// destination IIDs are copied from the source and destination addresses of the
			// encapsulating IPv6 header" (RFC 6282 section 3.2.2). OpenThread and Wireshark
			// take the link-layer addresses even here, against that text; Compress elides only
			// what both readings restore.
			src := iid{binary.BigEndian.Uint64(dst[base+16:]), true}
			to := iid{binary.BigEndian.Uint64(dst[base+32:]), true}
			n, drop := c.decodeIPHC((*[ipv6.HeaderLen]byte)(dst[out:]), b[in:], src, to)
			if drop != 0 {
				return 0, 0, false, drop
			}
			ch.inner[nested-1] = uint16(out)
			nested++
			base, ch.base, nextAt = out, out, out+6
			out += ipv6.HeaderLen
			more := b[in]&iphcNH != 0
			in += n
			if !more {
				return in, out, false, 0
			}
			continue
		}

		var proto uint8
		if k&nhcNH == 0 {
			if in >= len(b) {
				return 0, 0, false, DropTruncated
			}
			proto = b[in]
			in++
		}
		limit, n := atMost(c.Limits.ExtHeader, maxExtData), 0
		if ghc {
			if len(dst)-out < 2 {
				return 0, 0, false, over
			}
			into, full := dst[out+2:], over
			if len(into) > limit {
				into, full = into[:limit], DropExtHeaderLimit
			}
			var dict [ghcDictLen]byte
			ghcDict(&dict, dst[base:])
			k, used, stopped, drop := runGHC(into, b[in:], &dict, full)
			if drop != 0 {
				return 0, 0, false, drop
			}
			if !stopped {
				return 0, 0, false, DropTruncated
			}
			if eid == eidFragment && k != 6 {
				return 0, 0, false, DropExtHeader
			}
			n = k
			in += used
		} else {
			if in >= len(b) {
				return 0, 0, false, DropTruncated
			}
			n = int(b[in])
			in++
		}
		if !ghc && eid == eidFragment {
			// The byte that other headers keep their length in is reserved here. Read as the
			// length of RFC 6282 it is 6; Wireshark reads the reserved byte itself, sent as 0
			// (RFC 8200 section 4.5). There are 6 bytes either way.
			if n != 6 && n != 0 {
				return 0, 0, false, DropExtHeader
			}
			n = 6
		}
		if !ghc && len(b)-in < n {
			return 0, 0, false, DropTruncated
		}
		if n > limit {
			return 0, 0, false, DropExtHeaderLimit
		}
		size := (2 + n + 7) &^ 7
		if len(dst)-out < size {
			return 0, 0, false, over
		}
		h := dst[out : out+size]
		h[0], h[1] = proto, uint8(size/8-1)
		if !ghc {
			copy(h[2:], b[in:in+n])
			in += n
		}
		if pad := size - 2 - n; pad != 0 {
			// "A decompressor MUST ensure that the containing header is padded out to a
			// multiple of 8 octets in length, using a Pad1 or PadN option if necessary":
			// possible only where there are options.
			if eid != eidHopByHop && eid != eidDstOpts {
				return 0, 0, false, DropExtHeader
			}
			clear(h[2+n:])
			if pad > 1 {
				h[2+n], h[2+n+1] = 1, uint8(pad-2)
			}
		}
		nextAt = out
		out += size
		if k&nhcNH == 0 {
			return in, out, false, 0
		}
	}
}

// An extPlan says how a header of type proto is encoded.
type extPlan struct {
	eid  uint8
	size int // bytes of the header itself
	data int // bytes of it behind its length byte that are sent
}

// planExt returns how the extension header h of type proto, with all that follows it,
// is encoded by LOWPAN_NHC, and whether it can be so that the decoder restores it exactly.
func planExt(proto uint8, h []byte) (x extPlan, ok bool) {
	if len(h) < 8 {
		return x, false
	}
	x.size = 8 * (int(h[1]) + 1)
	switch proto {
	case ipv6.ProtoHopByHop:
		x.eid = eidHopByHop
	case ipv6.ProtoRouting:
		x.eid = 1
	case ipv6.ProtoFragment:
		// The reserved byte is not carried.
		x.eid, x.size = eidFragment, 8
		if h[1] != 0 {
			return x, false
		}
	case ipv6.ProtoDstOpts:
		x.eid = eidDstOpts
	case ipv6.ProtoMobility:
		x.eid = 4
	default:
		return x, false
	}
	if len(h) < x.size {
		return x, false
	}
	x.data = x.size - 2
	if x.eid == eidHopByHop || x.eid == eidDstOpts {
		x.data -= trailingPad(h[2:x.size])
	}
	// "LOWPAN_NHC MUST NOT be used to encode IPv6 Extension Headers that have more than 255
	// octets following the Length field after compression."
	return x, x.data <= maxExtData
}

// trailingPad returns the length of the Pad1 or PadN option that ends the options o, where
// the decoder restores it to the byte: 7 bytes at most, the data of PadN zero.
func trailingPad(o []byte) int {
	for len(o) > 0 {
		n := 1
		if o[0] != 0 {
			if len(o) < 2 {
				return 0
			}
			n = 2 + int(o[1])
		}
		if n > len(o) {
			return 0
		}
		if n < len(o) {
			o = o[n:]
			continue
		}
		if o[0] > 1 || n > 7 {
			return 0
		}
		for _, z := range o[min(2, n):] {
			if z != 0 {
				return 0
			}
		}
		return n
	}
	return 0
}

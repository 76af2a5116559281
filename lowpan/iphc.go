package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

// Limits of a compressed header chain. A datagram beyond them is dropped, not cut.
const (
	maxNested     = 4  // IPv6 headers in one datagram, the outermost included
	maxNHCHeaders = 16 // headers encoded by LOWPAN_NHC in one datagram
)

// Bits of the first two bytes of LOWPAN_IPHC (RFC 6282 section 3.1.1):
//
//	  0                                       1
//	  0   1   2   3   4   5   6   7   8   9   0   1   2   3   4   5
//	+---+---+---+---+---+---+---+---+---+---+---+---+---+---+---+---+
//	| 0 | 1 | 1 |  TF   |NH | HLIM  |CID|SAC|  SAM  | M |DAC|  DAM  |
//	+---+---+---+---+---+---+---+---+---+---+---+---+---+---+---+---+
const (
	iphcDispatch = 0x60
	iphcNH       = 0x04
	iphcCID      = 0x80
	iphcSAC      = 0x40
	iphcM        = 0x08
	iphcDAC      = 0x04
)

const (
	linkLocalHi = 0xfe80 << 48   // fe80::/64
	shortIID    = 0xff_fe00_0000 // 0000:00ff:fe00:XXXX, what 16 bits in-line stand for (RFC 6282 section 3.1.1)
)

// iphcInline0 is the number of bytes that TF, NH and HLIM put in-line, by the lower five
// bits of the first byte.
var iphcInline0 = func() (t [32]uint8) {
	for i := range t {
		t[i] = [4]uint8{4, 3, 1, 0}[i>>3]
		if i&iphcNH == 0 {
			t[i]++
		}
		if i&3 == 0 {
			t[i]++
		}
	}
	return
}()

// iphcInline1 is the number of bytes that CID and both addresses put in-line, by the
// second byte; iphcReserved where an address mode is reserved.
var iphcInline1 = func() (t [256]uint8) {
	src := [8]uint8{16, 8, 2, 0, 0, 8, 2, 0}
	dst := [16]uint8{16, 8, 2, 0, iphcReserved, 8, 2, 0, 16, 6, 4, 1, 6, iphcReserved, iphcReserved, iphcReserved}
	for i := range t {
		t[i] = src[i>>4&7] + uint8(i>>7) + dst[i&15]
		if dst[i&15] == iphcReserved {
			t[i] = iphcReserved
		}
	}
	return
}()

const iphcReserved = 0xff

// iphcHopLimit is what HLIM stands for; 0 is in-line.
var iphcHopLimit = [4]uint8{0, 1, 64, 255}

// An iid is an interface identifier that an address may have been elided to, if ok.
type iid struct {
	v  uint64
	ok bool
}

func (l *Link) source() iid      { return iid{l.Src.IID(), !l.Src.IsZero()} }
func (l *Link) destination() iid { return iid{l.Dst.IID(), !l.Dst.IsZero()} }

// A Result says what [Contexts.DecompressFirst] has restored.
type Result struct {
	N        int // bytes of the datagram in dst: headers and as much payload as was present
	Checksum int // offset of a UDP header whose elided checksum waits for the rest of the datagram; 0: none
}

// Decompress restores the datagram b, an IPHC (RFC 6282) or uncompressed (RFC 4944
// section 5.1) one with its dispatch, into dst[:cap(dst)] and returns its length in bytes.
// size is the datagram_size of the FRAG1 header that b came behind, 0 for a whole datagram.
// With a size, n may be smaller than it: the rest comes with further fragments; an elided
// UDP checksum is then [DropChecksum], for [Contexts.DecompressFirst] to handle. All length
// fields are those of the whole datagram. dst and b must not overlap. The error is a [Drop].
func (c *Contexts) Decompress(dst, b []byte, l Link, size int) (n int, err error) {
	r, err := c.DecompressFirst(dst, b, l, size)
	if r.Checksum != 0 {
		return 0, DropChecksum
	}
	return r.N, err
}

// DecompressFirst is Decompress for a first fragment. Where the sender left out a UDP
// checksum and size says that there is more to come, r.Checksum is the offset of that UDP
// header: call [FinishChecksum] with it once the datagram is whole.
//
// With a size, an uncompressed first fragment may end inside the IPv6 header: check the
// reassembled datagram with [ipv6.Parse].
func (c *Contexts) DecompressFirst(dst, b []byte, l Link, size int) (r Result, err error) {
	return c.decompress(dst, b, l.source(), l.destination(), size)
}

// decompress is DecompressFirst with the interface identifiers that addresses may have been
// elided to.
func (c *Contexts) decompress(dst, b []byte, src, to iid, size int) (r Result, err error) {
	dst = dst[:cap(dst)]
	over := DropTooLong
	if size != 0 {
		if size < ipv6.HeaderLen {
			return r, DropLength
		}
		if size > len(dst) {
			return r, DropTooLong
		}
		dst, over = dst[:size], DropLength
	}
	if len(b) == 0 {
		return r, DropTruncated
	}
	if b[0]&0xe0 != iphcDispatch {
		return decompressPlain(dst, b, size, over)
	}
	if len(dst) < ipv6.HeaderLen {
		return r, over
	}
	in, drop := c.decodeIPHC((*[ipv6.HeaderLen]byte)(dst), b, src, to)
	if drop != 0 {
		return r, drop
	}
	out, udp, sumAt := ipv6.HeaderLen, 0, 0
	var ch chain
	if b[0]&iphcNH != 0 {
		isUDP := in < len(b) && b[in]&nhcUDPMask == nhcUDP
		if isUDP {
			dst[6] = ipv6.ProtoUDP
		} else if in, out, isUDP, drop = c.decodeChain(dst, b, in, &ch, over); drop != 0 {
			return r, drop
		}
		if isUDP {
			udp = out
			var elided bool
			if in, elided, drop = decodeUDP(dst[udp:], b, in, over); drop != 0 {
				return r, drop
			}
			if elided {
				sumAt = udp
			}
			out += udpHeaderLen
		}
	}
	n := out + len(b) - in
	if ch.ghc {
		var dict [ghcDictLen]byte
		ghcDict(&dict, dst[ch.base:])
		k, drop := decodeGHC(dst[out:], b[in:], &dict, over)
		if drop != 0 {
			return r, drop
		}
		n = out + k
	} else {
		if n > len(dst) {
			return r, over
		}
		copy(dst[out:], b[in:])
	}
	total := n
	if size != 0 {
		total = size
	}
	if total-ipv6.HeaderLen > 0xffff {
		return r, DropTooLong
	}
	binary.BigEndian.PutUint16(dst[4:], uint16(total-ipv6.HeaderLen))
	for _, at := range ch.inner {
		if at == 0 {
			break
		}
		binary.BigEndian.PutUint16(dst[at+4:], uint16(total-int(at)-ipv6.HeaderLen))
	}
	if udp != 0 {
		binary.BigEndian.PutUint16(dst[udp+4:], uint16(total-udp))
		if sumAt != 0 {
			if n < total {
				r.Checksum = sumAt
			} else if err := FinishChecksum(dst[:n], sumAt); err != nil {
				return r, err
			}
		}
	}
	r.N = n
	return r, nil
}

// decompressPlain restores a datagram whose dispatch is not that of IPHC: the uncompressed
// one, or none at all.
func decompressPlain(dst, b []byte, size int, over Drop) (r Result, err error) {
	if d := Classify(b); d != DispatchIPv6 {
		return r, d.Drop()
	}
	b = b[1:]
	if size == 0 {
		p, err := ipv6.Parse(b)
		if err != nil {
			if err == ipv6.DropVersion {
				return r, DropVersion
			}
			if len(b) < ipv6.HeaderLen {
				return r, DropTruncated
			}
			return r, DropLength
		}
		b = p // bytes behind the datagram are not ours
	}
	if len(b) == 0 {
		return r, DropTruncated
	}
	if b[0]>>4 != 6 {
		return r, DropVersion
	}
	if size != 0 && len(b) >= 6 && int(binary.BigEndian.Uint16(b[4:]))+ipv6.HeaderLen != size {
		return r, DropLength
	}
	if len(b) > len(dst) {
		return r, over
	}
	r.N = copy(dst, b)
	return r, nil
}

// decodeIPHC restores the IPv6 header at the start of b, which is known to begin with the
// dispatch of IPHC, into h and returns how many bytes of b it took. The payload length and,
// where NH is set, the next header are left for the caller.
func (c *Contexts) decodeIPHC(h *[ipv6.HeaderLen]byte, b []byte, src, dst iid) (n int, drop Drop) {
	if len(b) < 2 {
		return 0, DropTruncated
	}
	b0, b1 := b[0], b[1]
	addr := iphcInline1[b1]
	if addr == iphcReserved {
		return 0, DropReserved
	}
	if len(b) < 2+int(iphcInline0[b0&31])+int(addr) {
		return 0, DropTruncated
	}
	n = 2
	var sci, dci uint8
	if b1&iphcCID != 0 {
		sci, dci = b[2]>>4, b[2]&15
		n = 3
	}

	// Traffic class: in-line the two bits of ECN come first (RFC 6282 section 3.1.1), in
	// the IPv6 header last (RFC 3168).
	first := uint32(6) << 28
	switch b0 >> 3 & 3 {
	case 0:
		v := binary.BigEndian.Uint32(b[n:])
		first |= v>>30<<20 | v>>24&0x3f<<22 | v&0xfffff
		n += 4
	case 1:
		v := uint32(b[n])<<16 | uint32(binary.BigEndian.Uint16(b[n+1:]))
		first |= v>>22<<20 | v&0xfffff
		n += 3
	case 2:
		v := uint32(b[n])
		first |= v>>6<<20 | v&0x3f<<22
		n++
	}
	binary.BigEndian.PutUint32(h[:], first)
	var next uint8
	if b0&iphcNH == 0 {
		next = b[n]
		n++
	}
	h[6] = next
	h[7] = iphcHopLimit[b0&3]
	if b0&3 == 0 {
		h[7] = b[n]
		n++
	}

	var hi, lo uint64
	switch b1 >> 4 & 7 { // SAC, SAM
	case 0:
		hi, lo = binary.BigEndian.Uint64(b[n:]), binary.BigEndian.Uint64(b[n+8:])
		n += 16
	case 1:
		hi, lo = linkLocalHi, binary.BigEndian.Uint64(b[n:])
		n += 8
	case 2:
		hi, lo = linkLocalHi, shortIID|uint64(binary.BigEndian.Uint16(b[n:]))
		n += 2
	case 3:
		if !src.ok {
			return 0, DropLinkAddr
		}
		hi, lo = linkLocalHi, src.v
	case 4: // the unspecified address
	default:
		e := &c.e[sci]
		if c.valid>>sci&1 == 0 && !isUnspecifiedOfLwIP(b1, b[n:]) {
			return 0, DropContext
		}
		v := src.v
		switch b1 >> 4 & 3 {
		case 1:
			v = binary.BigEndian.Uint64(b[n:])
			n += 8
		case 2:
			v = shortIID | uint64(binary.BigEndian.Uint16(b[n:]))
			n += 2
		case 3:
			if !src.ok && e.maskLo != ^uint64(0) {
				return 0, DropLinkAddr
			}
		}
		hi, lo = e.hi, e.lo|v&^e.maskLo
	}
	binary.BigEndian.PutUint64(h[8:], hi)
	binary.BigEndian.PutUint64(h[16:], lo)

	switch b1 & 15 { // M, DAC, DAM
	case 0, 8:
		hi, lo = binary.BigEndian.Uint64(b[n:]), binary.BigEndian.Uint64(b[n+8:])
		n += 16
	case 1:
		hi, lo = linkLocalHi, binary.BigEndian.Uint64(b[n:])
		n += 8
	case 2:
		hi, lo = linkLocalHi, shortIID|uint64(binary.BigEndian.Uint16(b[n:]))
		n += 2
	case 3:
		if !dst.ok {
			return 0, DropLinkAddr
		}
		hi, lo = linkLocalHi, dst.v
	case 5, 6, 7:
		e := &c.e[dci]
		if c.valid>>dci&1 == 0 {
			return 0, DropContext
		}
		v := dst.v
		switch b1 & 3 {
		case 1:
			v = binary.BigEndian.Uint64(b[n:])
			n += 8
		case 2:
			v = shortIID | uint64(binary.BigEndian.Uint16(b[n:]))
			n += 2
		case 3:
			if !dst.ok && e.maskLo != ^uint64(0) {
				return 0, DropLinkAddr
			}
		}
		hi, lo = e.hi, e.lo|v&^e.maskLo
	case 9: // ffXX::00XX:XXXX:XXXX
		hi = 0xff<<56 | uint64(b[n])<<48
		lo = uint64(b[n+1])<<32 | uint64(binary.BigEndian.Uint32(b[n+2:]))
		n += 6
	case 10: // ffXX::00XX:XXXX
		hi = 0xff<<56 | uint64(b[n])<<48
		lo = uint64(binary.BigEndian.Uint32(b[n:])) & 0xffffff
		n += 4
	case 11: // ff02::00XX
		hi, lo = 0xff02<<48, uint64(b[n])
		n++
	case 12: // ffXX:XXLL:PPPP:PPPP:PPPP:PPPP:XXXX:XXXX (RFC 3306, RFC 3956)
		e := &c.e[dci]
		if c.valid>>dci&1 == 0 {
			return 0, DropContext
		}
		hi = 0xff<<56 | uint64(binary.BigEndian.Uint16(b[n:]))<<40 | uint64(e.plen)<<32 | e.hi>>32
		lo = e.hi<<32 | uint64(binary.BigEndian.Uint32(b[n+2:]))
		n += 6
	}
	binary.BigEndian.PutUint64(h[24:], hi)
	binary.BigEndian.PutUint64(h[32:], lo)
	return n, 0
}

// isUnspecifiedOfLwIP reports whether a source address that refers to a context which we do
// not have is the unspecified address as lwIP writes it: the first of its own contexts that
// is not set, and therefore all zero, covers "::" and leaves 64 bits of zero in-line. It is
// context 0, or 1 where the application has set 0. Router solicitations and duplicate
// address detection come like that. The entry of a context that is not set is all zero too.
func isUnspecifiedOfLwIP(b1 uint8, inline []byte) bool {
	return b1>>4&3 == 1 && binary.BigEndian.Uint64(inline) == 0
}

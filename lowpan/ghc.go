package lowpan

import (
	"slices"

	"border-router/ipv6"
)

// LOWPAN_NHC ids of Generic Header Compression (RFC 7400 section 3): UDP with ports and
// checksum as in RFC 6282 and a compressed payload, ICMPv6 compressed as a whole, and
// extension headers.
//
//	  0   1   2   3   4   5   6   7         0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+     +---+---+---+---+---+---+---+---+
//	| 1 | 1 | 0 | 1 | 0 | C |   P   |     | 1 | 1 | 0 | 1 | 1 | 1 | 1 | 1 |
//	+---+---+---+---+---+---+---+---+     +---+---+---+---+---+---+---+---+
//
//	  0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+
//	| 1 | 0 | 1 | 1 |    EID    |NH |
//	+---+---+---+---+---+---+---+---+
//
// An extension header is that of RFC 6282 section 4.2, its Next Header in-line where NH is
// not set, but for the Length: "completely elide the Length field ... and reconstruct it
// only on decompression". What is behind the Length is bytecode up to a stop code (RFC 7400
// section 3.2). "Probably only Extension Header ID (EID) 0 to 3 need to be assigned", and
// only those are: 10110EEN (section 4).
const (
	nhcGHCExt     = 0xb0
	nhcGHCExtMask = 0xf8
	nhcGHCUDP     = 0xd0
	nhcGHCUDPMask = 0xf8
	nhcGHCICMP    = 0xdf
)

// The bytecode of RFC 7400 section 2, apart from 0kkkkkkk, k bytes to append.
const (
	ghcMaxLiteral = 95
	ghcZeros      = 0x80 // 1000nnnn: append nnnn+2 zeros
	ghcStop       = 0x90 // 10010000: end of the compressed data
	ghcExtend     = 0xa0 // 101nssss: sa += ssss000, na += n000
	ghcBackref    = 0xc0 // 11nnnkkk: n = na+nnn+2, s = kkk+sa+n; append n bytes from s bytes back
)

// ghcStatic is the end of the dictionary that stands in front of the output, behind the
// addresses (RFC 7400 section 2).
const ghcStatic = "\x16\xfe\xfd\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00"

const (
	ghcDictLen = 48
	maxGHC     = 256 // payload bytes that the encoder looks at
)

// ghcDict fills d with the dictionary of a packet whose innermost IPv6 header is h.
func ghcDict(d *[ghcDictLen]byte, h []byte) {
	copy(d[:32], h[8:40])
	copy(d[32:], ghcStatic)
}

// decodeGHC executes the bytecode into dst and returns the number of bytes written. It is
// over where they exceed dst, [DropTruncated] or [DropGHC] where the bytecode is wrong.
func decodeGHC(dst, code []byte, dict *[ghcDictLen]byte, over Drop) (n int, drop Drop) {
	n, used, _, drop := runGHC(dst, code, dict, over)
	if drop == 0 && used < len(code) {
		return 0, DropGHC
	}
	return n, drop
}

// runGHC executes the bytecode up to its end or a stop code, which stopped reports, and
// returns the number of bytes written to dst and of code used.
func runGHC(dst, code []byte, dict *[ghcDictLen]byte, over Drop) (n, used int, stopped bool, drop Drop) {
	na, sa, at := 0, 0, 0
	for at < len(code) {
		c := code[at]
		at++
		switch {
		case c <= ghcMaxLiteral:
			k := int(c)
			if len(code)-at < k {
				return 0, 0, false, DropTruncated
			}
			if len(dst)-n < k {
				return 0, 0, false, over
			}
			n += copy(dst[n:], code[at:at+k])
			at += k
		case c&0xf0 == ghcZeros:
			k := int(c&15) + 2
			if len(dst)-n < k {
				return 0, 0, false, over
			}
			clear(dst[n : n+k])
			n += k
		case c == ghcStop:
			return n, at, true, 0
		case c&0xe0 == ghcExtend:
			na += int(c >> 4 & 1 * 8)
			sa += int(c&15) * 8
		case c&0xc0 == ghcBackref:
			k := na + int(c>>3&7) + 2
			s := sa + int(c&7) + k
			na, sa = 0, 0
			if s > n+ghcDictLen {
				return 0, 0, false, DropGHC
			}
			if len(dst)-n < k {
				return 0, 0, false, over
			}
			for i := n - s; k > 0; i, k = i+1, k-1 {
				if i < 0 {
					dst[n] = dict[ghcDictLen+i]
				} else {
					dst[n] = dst[i]
				}
				n++
			}
		default:
			return 0, 0, false, DropGHC // reserved
		}
	}
	return n, at, false, 0
}

// appendGHC appends bytecode for p to b. It is greedy: at each byte the run of zeros or the
// back reference that saves most. It reports false, and b as it was, where p is empty, longer
// than it looks at, or does not become shorter.
func appendGHC(b, p []byte, dict *[ghcDictLen]byte) ([]byte, bool) {
	if len(p) == 0 || len(p) > maxGHC {
		return b, false
	}
	var window [ghcDictLen + maxGHC]byte
	copy(window[:], dict[:])
	copy(window[ghcDictLen:], p)
	w := window[:ghcDictLen+len(p)]
	start := len(b)
	literal := ghcDictLen // begin of the bytes that wait to be appended
	flush := func(end int) {
		for literal < end {
			k := min(end-literal, ghcMaxLiteral)
			b = append(append(b, byte(k)), w[literal:literal+k]...)
			literal += k
		}
	}
	for at := ghcDictLen; at < len(w); {
		gain, size, back := 0, 0, 0
		zeros := 0
		for zeros < 17 && at+zeros < len(w) && w[at+zeros] == 0 {
			zeros++
		}
		if zeros >= 2 {
			gain, size = zeros-1, zeros
		}
		for from := 0; from+2 <= at; from++ {
			s := at - from
			k := 0
			for k < s && at+k < len(w) && w[from+k] == w[at+k] {
				k++
			}
			if k < 2 {
				continue
			}
			if g := k - ghcRefLen(k, s); g > gain {
				gain, size, back = g, k, s
			}
		}
		if gain == 0 {
			at++
			continue
		}
		flush(at)
		if back == 0 {
			b = append(b, ghcZeros|byte(size-2))
		} else {
			na, sa := (size-2)>>3, (back-size)>>3
			for na > 0 || sa > 0 {
				n, s := min(na, 1), min(sa, 15)
				b = append(b, ghcExtend|byte(n)<<4|byte(s))
				na, sa = na-n, sa-s
			}
			b = append(b, ghcBackref|byte((size-2)&7)<<3|byte((back-size)&7))
		}
		at += size
		literal = at
	}
	flush(len(w))
	if len(b)-start >= len(p) {
		return b[:start], false
	}
	return b, true
}

// ghcRefLen is the number of bytes of a reference to n bytes from s bytes back.
func ghcRefLen(n, s int) int { return 1 + max((n-2)>>3, ((s-n)>>3+14)/15) }

// compressGHC appends to dst the encoding by RFC 7400 of the header at off, UDP or ICMPv6 by
// its type proto, and all that follows it in p. base is the offset of the innermost IPv6
// header.
func compressGHC(dst []byte, p []byte, proto uint8, base, off int, o *CompressOptions) ([]byte, bool) {
	var dict [ghcDictLen]byte
	ghcDict(&dict, p[base:])
	at := len(dst)
	if proto == ipv6.ProtoICMPv6 {
		if b, ok := appendGHC(append(dst, nhcGHCICMP), p[off:], &dict); ok {
			return b, true
		}
		return dst, false
	}
	dst = slices.Grow(dst, maxUDPNHC)[:at+maxUDPNHC]
	n := encodeUDP(dst[at:], p[off:off+udpHeaderLen], o.ElideUDPChecksum && udpSumRight(p, off))
	dst[at] ^= nhcUDP ^ nhcGHCUDP
	if b, ok := appendGHC(dst[:at+n], p[off+udpHeaderLen:], &dict); ok {
		return b, true
	}
	return dst[:at], false
}

// appendGHCExt appends bytecode for data, of an extension header in a packet whose innermost
// IPv6 header is h, and its stop code to b. It reports false, and b as it was, where the
// length byte of RFC 6282 and data are not longer.
func appendGHCExt(b, data, h []byte) ([]byte, bool) {
	var dict [ghcDictLen]byte
	ghcDict(&dict, h)
	b, ok := appendGHC(b, data, &dict)
	if ok {
		b = append(b, ghcStop)
	}
	return b, ok
}

// ghcShortens reports whether ICMPv6, all of p behind off, becomes shorter.
func ghcShortens(p []byte, base, off int) bool {
	var dict [ghcDictLen]byte
	ghcDict(&dict, p[base:])
	var scratch [maxGHC + 2]byte
	_, ok := appendGHC(scratch[:0], p[off:], &dict)
	return ok
}

package lowpan

import (
	"slices"

	"border-router/ipv6"
)

// LOWPAN_NHC ids of Generic Header Compression (RFC 7400 section 3): UDP with ports and
// checksum as in RFC 6282 and a compressed payload, and ICMPv6 compressed as a whole. The
// form for extension headers, 10110IIN, is not known.
//
//	  0   1   2   3   4   5   6   7         0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+     +---+---+---+---+---+---+---+---+
//	| 1 | 1 | 0 | 1 | 0 | C |   P   |     | 1 | 1 | 0 | 1 | 1 | 1 | 1 | 1 |
//	+---+---+---+---+---+---+---+---+     +---+---+---+---+---+---+---+---+
const (
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
	na, sa := 0, 0
	for len(code) > 0 {
		c := code[0]
		code = code[1:]
		switch {
		case c <= ghcMaxLiteral:
			k := int(c)
			if len(code) < k {
				return 0, DropTruncated
			}
			if len(dst)-n < k {
				return 0, over
			}
			n += copy(dst[n:], code[:k])
			code = code[k:]
		case c&0xf0 == ghcZeros:
			k := int(c&15) + 2
			if len(dst)-n < k {
				return 0, over
			}
			clear(dst[n : n+k])
			n += k
		case c == ghcStop:
			if len(code) > 0 {
				return 0, DropGHC
			}
		case c&0xe0 == ghcExtend:
			na += int(c >> 4 & 1 * 8)
			sa += int(c&15) * 8
		case c&0xc0 == ghcBackref:
			k := na + int(c>>3&7) + 2
			s := sa + int(c&7) + k
			na, sa = 0, 0
			if s > n+ghcDictLen {
				return 0, DropGHC
			}
			if len(dst)-n < k {
				return 0, over
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
			return 0, DropGHC // reserved
		}
	}
	return n, 0
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

// compressGHC appends to dst[at:] the encoding by RFC 7400 of the header at off, UDP or
// ICMPv6, and all that follows it in p. base is the offset of the innermost IPv6 header.
func compressGHC(dst []byte, p []byte, base, off int, o *CompressOptions) ([]byte, bool) {
	var dict [ghcDictLen]byte
	ghcDict(&dict, p[base:])
	at := len(dst)
	if p[base+6] == ipv6.ProtoICMPv6 && off == base+ipv6.HeaderLen {
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

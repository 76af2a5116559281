package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

// LOWPAN_NHC for UDP (RFC 6282 section 4.3.3):
//
//	  0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+
//	| 1 | 1 | 1 | 1 | 0 | C |   P   |
//	+---+---+---+---+---+---+---+---+
const (
	nhcUDP       = 0xf0
	nhcUDPMask   = 0xf8
	nhcUDPC      = 0x04 // checksum elided
	udpHeaderLen = 8
)

// nhcUDPLen is the length of the compressed header with its NHC byte, by C and P.
var nhcUDPLen = [8]uint8{7, 6, 6, 4, 5, 4, 4, 2}

// decodeUDP restores the UDP header that b[in:] begins with into the start of dst, its
// length field excepted, and returns the offset behind it in b and whether the checksum
// was left out.
func decodeUDP(dst, b []byte, in int, over Drop) (next int, elided bool, drop Drop) {
	b = b[in:]
	k := b[0] & 7
	n := int(nhcUDPLen[k])
	if len(b) < n {
		return 0, false, DropTruncated
	}
	if len(dst) < udpHeaderLen {
		return 0, false, over
	}
	var ports uint32
	switch k & 3 {
	case 0:
		ports = binary.BigEndian.Uint32(b[1:])
	case 1:
		ports = uint32(binary.BigEndian.Uint16(b[1:]))<<16 | 0xf000 | uint32(b[3])
	case 2:
		ports = 0xf000_0000 | uint32(b[1])<<16 | uint32(binary.BigEndian.Uint16(b[2:]))
	case 3:
		ports = 0xf0b0_f0b0 | uint32(b[1]>>4)<<16 | uint32(b[1]&15)
	}
	var sum uint16
	if k&nhcUDPC == 0 {
		sum = binary.BigEndian.Uint16(b[n-2:])
	}
	binary.BigEndian.PutUint64(dst, uint64(ports)<<32|uint64(sum))
	return in + n, k&nhcUDPC != 0, 0
}

// encodeUDP writes the compressed form of the UDP header h to b and returns its length.
func encodeUDP(b []byte, h []byte, elide bool) int {
	_ = b[6]
	ports := binary.BigEndian.Uint32(h)
	n := 0
	switch {
	case ports&0xfff0_fff0 == 0xf0b0_f0b0:
		b[0], b[1] = nhcUDP|3, byte(ports>>12&0xf0|ports&15)
		n = 2
	case ports>>24 == 0xf0:
		b[0], b[1] = nhcUDP|2, byte(ports>>16)
		binary.BigEndian.PutUint16(b[2:], uint16(ports))
		n = 4
	case ports>>8&0xff == 0xf0:
		b[0], b[3] = nhcUDP|1, byte(ports)
		binary.BigEndian.PutUint16(b[1:], uint16(ports>>16))
		n = 4
	default:
		b[0] = nhcUDP
		binary.BigEndian.PutUint32(b[1:], ports)
		n = 5
	}
	if elide {
		b[0] |= nhcUDPC
		return n
	}
	b[n], b[n+1] = h[6], h[7]
	return n + 2
}

// FinishChecksum computes the checksum of the UDP header at offset off of the whole
// datagram p and stores it there (RFC 6282 section 4.3.2: "the decompressor MUST compute
// the checksum"). off is the Checksum of the [Result] of the first fragment. It is
// [DropChecksum], and p is unchanged, where no checksum can be computed: the UDP datagram is
// a fragment of RFC 8200 section 4.5, or a routing header of unknown type hides the final
// destination.
func FinishChecksum(p []byte, off int) error {
	if off < ipv6.HeaderLen || len(p)-off < udpHeaderLen {
		return DropChecksum
	}
	src, dst, ok := udpAddrs(p, off)
	if !ok {
		return DropChecksum
	}
	p[off+6], p[off+7] = 0, 0
	sum := ipv6.Checksum(src, dst, ipv6.ProtoUDP, p[off:])
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p[off+6:], sum)
	return nil
}

// udpSumRight reports whether the UDP header at offset off of p has the checksum that
// [FinishChecksum] would give it.
func udpSumRight(p []byte, off int) bool {
	if p[off+6]|p[off+7] == 0 {
		return false // none at all (RFC 6935), which elision could not express
	}
	src, dst, ok := udpAddrs(p, off)
	return ok && ipv6.Checksum(src, dst, ipv6.ProtoUDP, p[off:]) == 0
}

// udpAddrs returns the addresses of the pseudo-header (RFC 8200 section 8.1) for the UDP
// header at offset off: those of the innermost IPv6 header, the destination taken from a
// routing header that has segments left.
func udpAddrs(p []byte, off int) (src, dst [16]byte, ok bool) {
	next, o := uint8(ipv6.ProtoIPv6), 0
	hidden := false // a routing header of unknown type leads elsewhere than to dst
	for o < off {
		if next == ipv6.ProtoIPv6 {
			if len(p)-o < ipv6.HeaderLen {
				return src, dst, false
			}
			h := p[o : o+ipv6.HeaderLen]
			next, src, dst = h[6], [16]byte(h[8:]), [16]byte(h[24:])
			hidden = false // that was the way of the tunnel
			o += ipv6.HeaderLen
			continue
		}
		if len(p)-o < 8 {
			return src, dst, false
		}
		n := 8
		switch next {
		case ipv6.ProtoFragment:
			if binary.BigEndian.Uint16(p[o+2:])&0xfff9 != 0 {
				return src, dst, false
			}
		case ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoDstOpts, ipv6.ProtoMobility:
			n = 8 * (int(p[o+1]) + 1)
		default:
			return src, dst, false
		}
		if len(p)-o < n {
			return src, dst, false
		}
		if next == ipv6.ProtoRouting && p[o+3] != 0 && !finalDestination(&dst, p[o:o+n]) {
			hidden = true
		}
		next = p[o]
		o += n
	}
	return src, dst, o == off && next == ipv6.ProtoUDP && !hidden
}

// finalDestination replaces dst by the last address that the routing header h leads to.
func finalDestination(dst *[16]byte, h []byte) bool {
	switch h[2] {
	case 0, 2: // RFC 2460 section 4.4, RFC 6275 section 6.4: the last address of the list
		if len(h) < 24 {
			return false
		}
		copy(dst[:], h[len(h)-16:])
	case 3: // RFC 6554 section 3: the last address, CmprE bytes of which are those of dst
		elided, pad := int(h[4]&15), int(h[5]>>4)
		end := len(h) - pad
		at := end - (16 - elided)
		if at < 8 {
			return false
		}
		copy(dst[elided:], h[at:end])
	case 4: // RFC 8754 section 2: Segment List[0] is the last segment
		if len(h) < 24 {
			return false
		}
		copy(dst[:], h[8:24])
	default:
		return false
	}
	return true
}

package ipv6

import "encoding/binary"

// Checksum returns the Internet checksum of an upper-layer packet b with the pseudo-header
// of RFC 8200 section 8.1, in host order. Computed over a packet that carries a right
// checksum it is 0; computed with the checksum field zero it is the value to store (for
// UDP a result of 0 is stored as ffff).
func Checksum(src, dst [16]byte, proto uint8, b []byte) uint16 {
	s := sum(src[:], 0)
	s = sum(dst[:], s)
	s += uint64(len(b)) + uint64(proto)
	return fold(sum(b, s))
}

func sum(b []byte, s uint64) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

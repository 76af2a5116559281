package ipv6

import (
	"encoding/binary"
	"math/bits"
)

// Checksum returns the Internet checksum of an upper-layer packet b with the pseudo-header
// of RFC 8200 section 8.1, in host order. Computed over a packet that carries a right
// checksum it is 0; computed with the checksum field zero it is the value to store (for
// UDP a result of 0 is stored as ffff).
func Checksum(src, dst [16]byte, proto uint8, b []byte) uint16 {
	// The pseudo-header's length and next header, each in 32 bits, as sum reads them.
	s := uint64(bits.ReverseBytes32(uint32(len(b)))) + uint64(proto)<<24
	s, c := bits.Add64(s, binary.LittleEndian.Uint64(src[0:]), 0)
	s, c = bits.Add64(s, binary.LittleEndian.Uint64(src[8:]), c)
	s, c = bits.Add64(s, binary.LittleEndian.Uint64(dst[0:]), c)
	s, c = bits.Add64(s, binary.LittleEndian.Uint64(dst[8:]), c)
	return ^fold(sum(b, s, c))
}

// sum adds b to the one's complement sum s with carry c. The sum does not depend on the
// byte order (RFC 1071 section 2 B), so that words of 64 bits are read in the order that
// costs least on the machines we run on, and fold swaps the result back.
func sum(b []byte, s, c uint64) uint64 {
	for len(b) >= 64 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[56:]), c)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	// The last bytes as if zeros followed.
	var v uint64
	switch {
	case len(b) >= 4:
		v = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		if len(b) >= 2 {
			v += uint64(binary.LittleEndian.Uint16(b))
			b = b[2:]
		}
	case len(b) >= 2:
		v = uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		v += uint64(b[0])
	}
	s, c = bits.Add64(s, v, c)
	return addCarry(s, c)
}

// addCarry adds the carry where it belongs in one's complement, at the other end.
func addCarry(s, c uint64) uint64 {
	s, c = bits.Add64(s, c, 0)
	return s + c
}

// fold reduces a sum of words read in little-endian order to the 16 bits of the checksum
// before its complement, in host order.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return bits.ReverseBytes16(uint16(s))
}

package ieee802154

import "encoding/binary"

// The frame check sequence is the ITU-T CRC-16 x^16+x^12+x^5+1, bits reflected, initial
// value zero (section 7.2.11; known as CRC-16/KERMIT). fcsTable[k][b] is the CRC of byte b
// followed by k zero bytes, so that eight bytes are taken at a time.
var fcsTable = func() (t [8][256]uint16) {
	for i := range 256 {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0x8408
			} else {
				c >>= 1
			}
		}
		t[0][i] = c
	}
	for k := 1; k < 8; k++ {
		for i := range 256 {
			c := t[k-1][i]
			t[k][i] = c>>8 ^ t[0][byte(c)]
		}
	}
	return
}()

// FCS returns the frame check sequence of b.
func FCS(b []byte) uint16 {
	var c uint16
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		// What does not depend on the bytes before comes first, so that the processor can
		// do it while it waits for c.
		rest := fcsTable[5][byte(v>>16)] ^ fcsTable[4][byte(v>>24)] ^
			fcsTable[3][byte(v>>32)] ^ fcsTable[2][byte(v>>40)] ^
			fcsTable[1][byte(v>>48)] ^ fcsTable[0][byte(v>>56)]
		c ^= uint16(v)
		c = rest ^ fcsTable[7][byte(c)] ^ fcsTable[6][c>>8]
		b = b[8:]
	}
	for _, x := range b {
		c = c>>8 ^ fcsTable[0][byte(c)^x]
	}
	return c
}

// AppendFCS appends the FCS of all of b, low byte first.
func AppendFCS(b []byte) []byte { return binary.LittleEndian.AppendUint16(b, FCS(b)) }

// CheckFCS reports whether the last two bytes of b are the FCS of those before.
func CheckFCS(b []byte) bool {
	// The CRC over a frame and its own check sequence is zero.
	return len(b) >= FCSLen && FCS(b) == 0
}

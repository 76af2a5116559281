package spinel

// HDLC-lite: frames between flags, with a checksum and escapes.
const (
	flagByte = 0x7e
	escape   = 0x7d
	xor      = 0x20

	// MaxFrame is the longest Spinel frame, in bytes without checksum.
	MaxFrame = 1300

	fcsInit = 0xffff
	fcsGood = 0xf0b8 // over a frame and its checksum
	fcsLen  = 2
)

// fcsTable is CRC-16/X-25: polynomial 8408, reflected.
var fcsTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0x8408
			} else {
				c >>= 1
			}
		}
		t[i] = c
	}
	return t
}()

// AppendHDLC appends frame with flags at both ends, escapes and checksum.
func AppendHDLC(b, frame []byte) []byte {
	b = append(b, flagByte)
	c := uint16(fcsInit)
	for _, v := range frame {
		c = c>>8 ^ fcsTable[byte(c)^v]
		b = appendEscaped(b, v)
	}
	c = ^c
	b = appendEscaped(b, byte(c))
	b = appendEscaped(b, byte(c>>8))
	return append(b, flagByte)
}

func appendEscaped(b []byte, v byte) []byte {
	switch v {
	case flagByte, escape, 0x11, 0x13, 0xf8: // flag, escape, XON, XOFF, and what some drivers take for a break
		return append(b, escape, v^xor)
	}
	return append(b, v)
}

// A Decoder takes HDLC-lite apart. It holds one frame at most; after garbage it is in step
// again at the next flag. The zero value is ready.
type Decoder struct {
	buf     [MaxFrame + fcsLen]byte
	n       int
	fcs     uint16
	started bool // a flag was seen
	escaped bool
	tooLong bool
}

// Reset forgets the frame that has begun.
func (d *Decoder) Reset() {
	d.n, d.fcs, d.started, d.escaped, d.tooLong = 0, fcsInit, false, false, false
}

func (d *Decoder) begin() { d.Reset(); d.started = true }

// Next reads from b up to the end of a frame and returns it with how many bytes it read. It
// returns a nil frame at the end of b, or with an error, a [Drop], for bytes that are no
// frame; then call it again with the rest of b. frame is valid until the next call.
func (d *Decoder) Next(b []byte) (frame []byte, read int, err error) {
	for i, v := range b {
		if v == flagByte {
			n, ok, whole, long, began := d.n, d.fcs == fcsGood, !d.escaped, d.tooLong, d.started
			d.begin()
			switch {
			case n == 0 && !long: // repeated flags
				continue
			case long:
				return nil, i + 1, DropTooLong
			case !began || n < fcsLen+1 || !whole:
				return nil, i + 1, DropGarbage
			case !ok:
				return nil, i + 1, DropFCS
			}
			return d.buf[:n-fcsLen], i + 1, nil
		}
		if v == escape {
			d.escaped = true
			continue
		}
		if d.escaped {
			v ^= xor
			d.escaped = false
		}
		if d.n == len(d.buf) {
			d.tooLong = true
			continue
		}
		if d.n == 0 && !d.tooLong {
			d.fcs = fcsInit
		}
		d.buf[d.n] = v
		d.n++
		d.fcs = d.fcs>>8 ^ fcsTable[byte(d.fcs)^v]
	}
	return nil, len(b), nil
}

package slipradio

// Special bytes of SLIP (RFC 1055).
const (
	slipEnd    = 0xc0
	slipEsc    = 0xdb
	slipEscEnd = 0xdc
	slipEscEsc = 0xdd
)

// MaxFrame is the length in bytes of the longest frame that a [Decoder] keeps.
const MaxFrame = 512

// A Decoder cuts a byte stream into SLIP frames (RFC 1055). The zero value is ready. It
// keeps at most MaxFrame bytes, and is in step again behind the next END after whatever came.
type Decoder struct {
	buf  [MaxFrame]byte
	n    int
	esc  bool
	drop Drop // the frame under way is broken
}

// Next takes bytes of b until a frame is complete, and returns it with the bytes that
// follow; the frame is valid until the next call. Without a complete frame both are nil and
// all of b has been taken. err is a [Drop] where the frame that just ended was broken; frame
// is nil then and rest may not be. Empty frames are passed over, as END may stand on both
// sides of a frame.
func (d *Decoder) Next(b []byte) (frame, rest []byte, err error) {
	for i, c := range b {
		switch {
		case c == slipEnd:
			n, drop := d.n, d.drop
			if d.esc && drop == 0 {
				drop = DropEscape
			}
			d.n, d.esc, d.drop = 0, false, 0
			if drop != 0 {
				return nil, b[i+1:], drop
			}
			if n > 0 {
				return d.buf[:n], b[i+1:], nil
			}
			continue
		case d.drop != 0:
			continue
		case d.esc:
			d.esc = false
			switch c {
			case slipEscEnd:
				c = slipEnd
			case slipEscEsc:
				c = slipEsc
			default:
				d.drop = DropEscape
				continue
			}
		case c == slipEsc:
			d.esc = true
			continue
		}
		if d.n == len(d.buf) {
			d.drop = DropOversize
			continue
		}
		d.buf[d.n] = c
		d.n++
	}
	return nil, nil, nil
}

// Reset forgets a frame under way.
func (d *Decoder) Reset() { d.n, d.esc, d.drop = 0, false, 0 }

// AppendFrame appends frame to b with END before and after it. The END before it ends
// whatever noise the line carried.
func AppendFrame(b, frame []byte) []byte {
	b = append(b, slipEnd)
	b = appendEscaped(b, frame)
	return append(b, slipEnd)
}

func appendEscaped(b, p []byte) []byte {
	for _, c := range p {
		switch c {
		case slipEnd:
			b = append(b, slipEsc, slipEscEnd)
		case slipEsc:
			b = append(b, slipEsc, slipEscEsc)
		default:
			b = append(b, c)
		}
	}
	return b
}

package dongle

import "encoding/binary"

// HDLC-lite and the values of Spinel, written for this side alone.

// hdlcCRC is the frame check sequence of RFC 1662, bit by bit.
func hdlcCRC(b []byte) uint16 {
	c := uint16(0xffff)
	for _, v := range b {
		c ^= uint16(v)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ 0x8408
			} else {
				c >>= 1
			}
		}
	}
	return ^c
}

func hdlcFrame(out, b []byte) []byte {
	out = append(out, 0x7e)
	crc := hdlcCRC(b)
	for i := range len(b) + 2 {
		var v byte
		switch i {
		case len(b):
			v = byte(crc)
		case len(b) + 1:
			v = byte(crc >> 8)
		default:
			v = b[i]
		}
		if v == 0x7e || v == 0x7d || v == 0x11 || v == 0x13 || v == 0xf8 {
			out = append(out, 0x7d)
			v ^= 0x20
		}
		out = append(out, v)
	}
	return append(out, 0x7e)
}

// An hdlcInput collects bytes into frames.
type hdlcInput struct {
	frame []byte
	esc   bool
}

// next takes one byte. At the end of a frame it returns it, or ok false where it is damaged.
func (h *hdlcInput) next(v byte) (frame []byte, end, ok bool) {
	switch {
	case v == 0x7e:
		f := h.frame
		h.frame, h.esc = h.frame[:0], false
		if len(f) == 0 {
			return nil, false, false
		}
		if n := len(f) - 2; n > 0 && hdlcCRC(f[:n]) == binary.LittleEndian.Uint16(f[n:]) {
			return f[:n], true, true
		}
		return nil, true, false
	case v == 0x7d:
		h.esc = true
	default:
		if h.esc {
			v ^= 0x20
			h.esc = false
		}
		if len(h.frame) < 1302 {
			h.frame = append(h.frame, v)
		}
	}
	return nil, false, false
}

func packed(b []byte, v uint32) []byte {
	for ; v > 127; v >>= 7 {
		b = append(b, byte(v&127|128))
	}
	return append(b, byte(v))
}

// unpack reads a packed integer; n is 0 where there is none.
func unpack(b []byte) (v uint32, n int) {
	for i := range min(len(b), 5) {
		v |= uint32(b[i]&127) << (7 * i)
		if b[i] < 128 {
			return v, i + 1
		}
	}
	return 0, 0
}

// record is a frame as the radio hands it over: with FCS, and what is known of it.
func record(b, psdu []byte, rssi int8, flags uint16, channel, lqi uint8, us uint64) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(psdu)))
	b = append(b, psdu...)
	b = append(b, byte(rssi), 0x80)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = append(b, 10, 0, channel, lqi)
	b = binary.LittleEndian.AppendUint64(b, us)
	b = append(b, 1, 0, 0)
	return append(b, 5, 0, 0, 0, 0, 0, 0)
}

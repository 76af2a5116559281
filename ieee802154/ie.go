package ieee802154

import "encoding/binary"

// Element identifiers of the terminations (section 7.4.1).
const (
	HeaderIEHT1  = 0x7e // header IEs end, payload IEs follow
	HeaderIEHT2  = 0x7f // header IEs end, the payload follows
	PayloadIEEnd = 0xf  // payload termination
)

// An IE is one information element.
type IE struct {
	ID      uint8 // element ID of a header IE (0 to ff), group ID of a payload IE (0 to f)
	Content []byte
}

// NextHeaderIE decodes the header IE at the start of b (section 7.4.2: bits 0-6 length,
// 7-14 element ID, 15 zero) and returns what follows it. The error is a [Drop].
func NextHeaderIE(b []byte) (e IE, rest []byte, err error) {
	if len(b) < 2 {
		return IE{}, nil, DropTruncated
	}
	h := binary.LittleEndian.Uint16(b)
	if h&0x8000 != 0 {
		return IE{}, nil, DropIE
	}
	n := 2 + int(h&0x7f)
	if len(b) < n {
		return IE{}, nil, DropTruncated
	}
	return IE{uint8(h >> 7), b[2:n]}, b[n:], nil
}

// NextPayloadIE decodes the payload IE at the start of b (section 7.4.3: bits 0-10 length,
// 11-14 group ID, 15 one) and returns what follows it. The error is a [Drop].
func NextPayloadIE(b []byte) (e IE, rest []byte, err error) {
	if len(b) < 2 {
		return IE{}, nil, DropTruncated
	}
	h := binary.LittleEndian.Uint16(b)
	if h&0x8000 == 0 {
		return IE{}, nil, DropIE
	}
	n := 2 + int(h&0x7ff)
	if len(b) < n {
		return IE{}, nil, DropTruncated
	}
	return IE{uint8(h >> 11 & 15), b[2:n]}, b[n:], nil
}

// AppendHeaderIE appends a header IE. Its content is at most 127 bytes.
func AppendHeaderIE(b []byte, e IE) ([]byte, error) {
	if len(e.Content) > 0x7f {
		return b, DropTooLong
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Content))|uint16(e.ID)<<7)
	return append(b, e.Content...), nil
}

// AppendPayloadIE appends a payload IE. Its content is at most 2047 bytes, its ID at most f.
func AppendPayloadIE(b []byte, e IE) ([]byte, error) {
	if len(e.Content) > 0x7ff || e.ID > 15 {
		return b, DropTooLong
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Content))|uint16(e.ID)<<11|0x8000)
	return append(b, e.Content...), nil
}

// walkHeaderIEs returns the length of the header IEs at the start of b with their
// termination, and whether payload IEs follow. A list may end with the frame instead of a
// termination: nothing follows it then (section 7.4.1).
func walkHeaderIEs(b []byte) (n int, more bool, err error) {
	for rest := b; len(rest) > 0; {
		var e IE
		if e, rest, err = NextHeaderIE(rest); err != nil {
			return 0, false, err
		}
		n = len(b) - len(rest)
		switch e.ID {
		case HeaderIEHT1, HeaderIEHT2:
			if len(e.Content) != 0 {
				return 0, false, DropIE
			}
			return n, e.ID == HeaderIEHT1, nil
		}
	}
	return n, false, nil
}

// walkPayloadIEs returns the length of the payload IEs at the start of b with their
// termination, which may be left out at the end of the frame.
func walkPayloadIEs(b []byte) (n int, err error) {
	for rest := b; len(rest) > 0; {
		var e IE
		if e, rest, err = NextPayloadIE(rest); err != nil {
			return 0, err
		}
		n = len(b) - len(rest)
		if e.ID == PayloadIEEnd {
			if len(e.Content) != 0 {
				return 0, DropIE
			}
			return n, nil
		}
	}
	return n, nil
}

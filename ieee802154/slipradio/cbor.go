package slipradio

import (
	"encoding/binary"

	"border-router/ieee802154"
)

// Messages of serialradio: commands to the radio, events from it.
const (
	cmdPing       = 0
	cmdGetParam   = 1
	cmdSetParam   = 2
	cmdGetAddr64  = 20
	cmdRouterMode = 21
	cmdTxFrame    = 50

	evtParam     = 51
	evtRxFrame   = 52
	evtTx        = 54
	evtHeartbeat = 55
	evtAddr64    = 57
	evtPong      = 100
	evtError     = 255
)

// Major types of CBOR (RFC 8949 section 3.1).
const (
	cborUnsigned = 0
	cborNegative = 1
	cborBytes    = 2
	cborText     = 3
	cborArray    = 4
	cborMap      = 5
	cborTag      = 6
	cborSimple   = 7
)

const (
	cborMaxDepth = 8
	cborMaxPairs = 32
)

// A message is one message of serialradio: a CBOR map whose keys are one letter each.
type message struct {
	typ     uint8  // t
	id      uint8  // i
	param   uint16 // p
	value   int64  // v
	rssi    int64  // r, dBm
	lqi     uint64 // l
	code    uint8  // x
	uptime  uint64 // u, seconds
	frame   []byte // f; aliases the input
	version []byte // V; aliases the input

	hasType, hasRSSI, hasUptime, hasValue bool
}

// parseMessage decodes a frame of serialradio, CRC-16 included. Keys that are not known are
// passed over. The error is a [Drop].
func parseMessage(b []byte) (m message, err error) {
	// The CRC is that of 802.15.4, least significant byte first.
	if len(b) < 3 || !ieee802154.CheckFCS(b) {
		return m, DropCRC
	}
	r := cborReader{b: b[:len(b)-2]}
	pairs, indefinite := r.head(cborMap)
	for n := uint64(0); !r.bad && (indefinite || n < pairs); n++ {
		if indefinite && r.atBreak() {
			break
		}
		if n >= cborMaxPairs {
			return m, DropCBOR
		}
		key := r.bytes(cborText)
		if len(key) != 1 {
			r.skip(cborMaxDepth)
			continue
		}
		switch key[0] {
		case 't':
			m.typ, m.hasType = uint8(r.number(0, 255)), true
		case 'i':
			m.id = uint8(r.number(0, 255))
		case 'p':
			m.param = uint16(r.number(0, 0xffff))
		case 'v':
			m.value, m.hasValue = r.number(-1<<31, 1<<32-1), true
		case 'r':
			m.rssi, m.hasRSSI = r.number(-1<<15, 1<<15-1), true
		case 'l':
			m.lqi = uint64(r.number(0, 0xffff))
		case 'x':
			m.code = uint8(r.number(0, 255))
		case 'u':
			m.uptime, m.hasUptime = uint64(r.number(0, 1<<62)), true
		case 'f':
			m.frame = r.bytes(cborBytes)
		case 'V':
			m.version = r.bytes(cborText)
		default:
			r.skip(cborMaxDepth)
		}
	}
	if r.bad || !m.hasType {
		return message{}, DropCBOR
	}
	return m, nil
}

// A cborReader reads CBOR. After the first error bad stays set and everything reads as zero.
type cborReader struct {
	b   []byte
	bad bool
}

func (r *cborReader) fail() {
	r.bad = true
	r.b = nil
}

// item reads the head of an item: major type and argument.
func (r *cborReader) item() (major byte, arg uint64, indefinite bool) {
	if len(r.b) == 0 {
		r.fail()
		return 0, 0, false
	}
	major, low := r.b[0]>>5, r.b[0]&31
	r.b = r.b[1:]
	n := 0
	switch {
	case low < 24:
		return major, uint64(low), false
	case low < 28:
		n = 1 << (low - 24)
	case low == 31 && major >= cborBytes && major <= cborMap:
		return major, 0, true
	}
	if n == 0 || len(r.b) < n {
		r.fail()
		return 0, 0, false
	}
	var be [8]byte
	copy(be[8-n:], r.b)
	r.b = r.b[n:]
	return major, binary.BigEndian.Uint64(be[:]), false
}

func (r *cborReader) head(want byte) (n uint64, indefinite bool) {
	major, n, indefinite := r.item()
	if major != want {
		r.fail()
	}
	return n, indefinite
}

func (r *cborReader) atBreak() bool {
	if len(r.b) > 0 && r.b[0] == 0xff {
		r.b = r.b[1:]
		return true
	}
	return false
}

// bytes reads a byte or text string of known length.
func (r *cborReader) bytes(want byte) []byte {
	n, indefinite := r.head(want)
	if indefinite || n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// number reads an integer from lo to hi.
func (r *cborReader) number(lo, hi int64) int64 {
	major, arg, _ := r.item()
	if arg > 1<<62 {
		r.fail()
		return 0
	}
	n := int64(arg)
	switch major {
	case cborUnsigned:
	case cborNegative:
		n = -1 - n
	default:
		r.fail()
	}
	if r.bad || n < lo || n > hi {
		r.fail()
		return 0
	}
	return n
}

// skip passes over one item of whatever type, nested at most depth deep.
func (r *cborReader) skip(depth int) {
	major, arg, indefinite := r.item()
	if r.bad {
		return
	}
	if depth == 0 {
		r.fail()
		return
	}
	switch major {
	case cborBytes, cborText:
		if indefinite || arg > uint64(len(r.b)) {
			r.fail()
			return
		}
		r.b = r.b[arg:]
	case cborTag:
		r.skip(depth - 1)
	case cborArray, cborMap:
		if major == cborMap {
			arg *= 2
		}
		if arg > uint64(len(r.b)) { // an item takes a byte at least
			r.fail()
			return
		}
		for i := uint64(0); !r.bad && (indefinite || i < arg); i++ {
			if indefinite && r.atBreak() {
				return
			}
			r.skip(depth - 1)
		}
	}
}

func appendCBOR(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendKey(b []byte, key byte) []byte { return append(b, cborText<<5|1, key) }

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendCBOR(b, cborNegative, uint64(-1-n))
	}
	return appendCBOR(b, cborUnsigned, uint64(n))
}

// A writer builds one message of serialradio in a buffer of its own.
type writer struct {
	buf   [256]byte
	b     []byte
	pairs byte
}

func (w *writer) begin(typ uint8) {
	w.pairs = 0
	w.b = append(w.buf[:0], cborMap<<5)
	w.int('t', int64(typ))
}

func (w *writer) int(key byte, n int64) {
	w.pairs++
	w.b = appendInt(appendKey(w.b, key), n)
}

func (w *writer) bytes(key byte, p []byte) {
	w.pairs++
	w.b = appendKey(w.b, key)
	w.b = append(appendCBOR(w.b, cborBytes, uint64(len(p))), p...)
}

// appendTo appends the message with its CRC, framed. There are fewer than 24 pairs.
func (w *writer) appendTo(b []byte) []byte {
	w.b[0] = cborMap<<5 | w.pairs
	w.b = ieee802154.AppendFCS(w.b)
	return AppendFrame(b, w.b)
}

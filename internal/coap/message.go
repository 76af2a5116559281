package coap

import (
	"encoding/binary"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// maxOptions is the largest number of options that a message may have.
const maxOptions = 64

// optRequestTag is the Request-Tag option (RFC 9175 section 3).
const optRequestTag message.OptionID = 292

// noOptionDefs keeps go-coap from leaving out options of a wrong length: those are to be
// treated as unrecognized (RFC 7252 section 5.4.3), which for critical ones is an error.
var noOptionDefs = map[message.OptionID]message.OptionDef{}

// inbound is a message as it came. It aliases the datagram.
type inbound struct {
	typ     message.Type
	code    codes.Code
	mid     uint16
	token   []byte
	opts    message.Options
	payload []byte
}

// parse decodes the datagram b into m, reusing the capacity of m.opts. The error is a [Drop]:
// [DropTruncated], [DropVersion], or [DropFormat], after which typ and mid are set.
func (m *inbound) parse(b []byte) error {
	if len(b) < 4 {
		return DropTruncated
	}
	if b[0]>>6 != 1 {
		return DropVersion
	}
	m.typ = message.Type(b[0] >> 4 & 3)
	m.code = codes.Code(b[1])
	m.mid = binary.BigEndian.Uint16(b[2:])
	m.opts, m.payload, m.token = m.opts[:0], nil, nil
	tkl := int(b[0] & 15)
	b = b[4:]
	if tkl > message.MaxTokenSize || tkl > len(b) {
		return DropFormat
	}
	m.token, b = b[:tkl], b[tkl:]
	if m.code == codes.Empty {
		// "The Token Length field MUST be set to 0 and bytes of data MUST NOT be
		// present after the Message ID field." (RFC 7252 section 4.1)
		if tkl != 0 || len(b) != 0 {
			return DropFormat
		}
		return nil
	}
	n, err := m.opts.Unmarshal(b, noOptionDefs)
	if err != nil {
		return DropFormat
	}
	if n > 0 && n == len(b) && endsInMarker(b, m.opts) {
		return DropFormat // "a marker followed by a zero-length payload" (RFC 7252 section 3)
	}
	m.payload = b[n:]
	return nil
}

// endsInMarker reports whether the last byte of b, which the options fill, is the payload
// marker and not the last byte of an option's value.
func endsInMarker(b []byte, opts message.Options) bool {
	n, prev := 0, 0
	for _, o := range opts {
		n += 1 + extLen(int(o.ID)-prev) + extLen(len(o.Value)) + len(o.Value)
		prev = int(o.ID)
	}
	return n < len(b)
}

func extLen(v int) int {
	switch {
	case v >= message.ExtendOptionWordAddend:
		return 2
	case v >= message.ExtendOptionByteAddend:
		return 1
	}
	return 0
}

// A block is a Block1 or Block2 option (RFC 7959 section 2.2).
type block struct {
	num  uint32 // NUM, in units of the block size, up to 2^20-1
	szx  uint8  // SZX, 0 to 6: the size is 2^(szx+4) bytes
	more bool   // M
	set  bool   // the option is there
}

func (b block) size() int   { return 16 << b.szx }
func (b block) offset() int { return int(b.num) << (b.szx + 4) }

func (b block) value() uint32 {
	v := b.num<<4 | uint32(b.szx)
	if b.more {
		v |= 8
	}
	return v
}

// parsed holds the options of a request. Byte slices alias the datagram.
type parsed struct {
	path           string
	queries        []string
	observe        int // -1: absent
	block1, block2 block
	size1, size2   int // -1: absent
	format, accept int // -1: absent
	etags, ifMatch [][]byte
	ifNoneMatch    bool
	noResponse     uint32
	hasNoResponse  bool
	tag            []byte // Request-Tag options, each with its length before it
}

// verdict of the options of a request.
type verdict uint8

const (
	optionsGood  verdict = iota
	optionsBad           // a critical option is unknown, repeated or of a wrong length: 4.02
	optionsBlock         // SZX 7 is reserved: 4.00
	optionsProxy         // 5.05
)

// options collects the options of m. Elective options that are malformed are ignored.
func (m *inbound) options() (p parsed, v verdict) {
	p = parsed{observe: -1, size1: -1, size2: -1, format: -1, accept: -1}
	var path strings.Builder
	seen := message.OptionID(0)
	for _, o := range m.opts {
		again := o.ID == seen
		seen = o.ID
		switch o.ID {
		case message.URIPath:
			if len(o.Value) > 255 {
				return p, optionsBad
			}
			path.WriteByte('/')
			for _, c := range o.Value {
				switch c { // keeps /a%2Fb apart from /a/b
				case '/':
					path.WriteString("%2F")
				case '%':
					path.WriteString("%25")
				default:
					path.WriteByte(c)
				}
			}
		case message.URIQuery:
			if len(o.Value) > 255 {
				return p, optionsBad
			}
			p.queries = append(p.queries, string(o.Value))
		case message.URIHost:
			if again || len(o.Value) < 1 || len(o.Value) > 255 {
				return p, optionsBad
			}
		case message.URIPort:
			if again || len(o.Value) > 2 {
				return p, optionsBad
			}
		case message.Accept:
			if again || len(o.Value) > 2 {
				return p, optionsBad
			}
			p.accept = int(uintValue(o.Value))
		case message.IfMatch:
			if len(o.Value) > 8 {
				return p, optionsBad
			}
			p.ifMatch = append(p.ifMatch, o.Value)
		case message.IfNoneMatch:
			if again || len(o.Value) != 0 {
				return p, optionsBad
			}
			p.ifNoneMatch = true
		case message.Block1, message.Block2:
			if again || len(o.Value) > 3 {
				return p, optionsBad
			}
			n := uintValue(o.Value)
			b := block{num: n >> 4, more: n&8 != 0, szx: uint8(n & 7), set: true}
			if b.szx == 7 {
				return p, optionsBlock
			}
			if o.ID == message.Block1 {
				p.block1 = b
			} else {
				p.block2 = b
			}
		case message.ProxyURI, message.ProxyScheme:
			return p, optionsProxy
		case message.Observe:
			if !again && len(o.Value) <= 3 {
				p.observe = int(uintValue(o.Value))
			}
		case message.ContentFormat:
			if !again && len(o.Value) <= 2 {
				p.format = int(uintValue(o.Value))
			}
		case message.ETag:
			if n := len(o.Value); n >= 1 && n <= 8 {
				p.etags = append(p.etags, o.Value)
			}
		case message.Size1:
			if !again && len(o.Value) <= 4 {
				p.size1 = int(min(uintValue(o.Value), 1<<31-1))
			}
		case message.Size2:
			if !again && len(o.Value) <= 4 {
				p.size2 = int(min(uintValue(o.Value), 1<<31-1))
			}
		case message.NoResponse:
			if !again && len(o.Value) <= 1 {
				p.noResponse, p.hasNoResponse = uintValue(o.Value), true
			}
		case optRequestTag:
			if len(o.Value) <= 8 {
				p.tag = append(append(p.tag, byte(len(o.Value))), o.Value...)
			}
		default:
			if o.ID&1 == 1 { // critical (RFC 7252 section 5.4.6)
				return p, optionsBad
			}
		}
	}
	p.path = path.String()
	if p.path == "" {
		p.path = "/"
	}
	return p, optionsGood
}

func uintValue(b []byte) (v uint32) {
	for _, c := range b {
		v = v<<8 | uint32(c)
	}
	return v
}

// addUint adds the option id with v in the fewest bytes (RFC 7252 section 3.2).
func addUint(o message.Options, id message.OptionID, v uint32) message.Options {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	i := 0
	for i < 4 && b[i] == 0 {
		i++
	}
	return o.Add(message.Option{ID: id, Value: append([]byte(nil), b[i:]...)})
}

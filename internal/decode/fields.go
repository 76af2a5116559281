package decode

import (
	"encoding/hex"
	"net/netip"
	"strconv"
)

// fields collects what a packet holds, in order, as names and text. One walk over a packet
// serves JSON, where names are Wireshark's and a name that comes again makes a list, and
// the tree.
type fields struct {
	list  []field
	arena []byte
	tree  bool // for the tree: layers are shown, and order is that of the packet

	quoted bool // what is added is of a packet that an ICMPv6 error quotes
}

type field struct {
	name  string // empty: the title of a layer
	depth int    // of a layer
	end   int    // of the text in arena; it begins at the end of the one before
	done  bool
	bare  bool // the text is a number or truth value of JSON
}

// maxFields bounds the work for one packet.
const maxFields = 4096

func (f *fields) reset() { f.list, f.arena = f.list[:0], f.arena[:0] }

func (f *fields) add(name string) {
	if len(f.list) < maxFields {
		f.list = append(f.list, field{name: name, end: len(f.arena)})
	} else {
		f.arena = f.arena[:f.list[maxFields-1].end]
	}
}

func (f *fields) str(name, s string) {
	f.arena = append(f.arena, s...)
	f.add(name)
}

func (f *fields) num(name string, v uint64) {
	f.arena = strconv.AppendUint(f.arena, v, 10)
	f.add(name)
}

// hex adds 0x and digits of v.
func (f *fields) hex(name string, v uint64, digits int) {
	f.arena = append(f.arena, '0', 'x')
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		f.arena = append(f.arena, hexDigit[v>>s&15])
	}
	f.add(name)
}

// value adds a number that stays one in JSON, as in the fields of a header alone.
func (f *fields) value(name string, v uint64) {
	f.num(name, v)
	f.list[len(f.list)-1].bare = true
}

func (f *fields) signed(name string, v int64) {
	f.arena = strconv.AppendInt(f.arena, v, 10)
	f.add(name)
	f.list[len(f.list)-1].bare = true
}

// truth adds a truth value that stays one in JSON.
func (f *fields) truth(name string, v bool) {
	f.arena = appendBool(f.arena, v)
	f.add(name)
	f.list[len(f.list)-1].bare = true
}

func (f *fields) bit(name string, v bool) {
	if v {
		f.str(name, "1")
	} else {
		f.str(name, "0")
	}
}

// bytes adds bytes with colons between.
func (f *fields) bytes(name string, p []byte) {
	for i, c := range p {
		if i > 0 {
			f.arena = append(f.arena, ':')
		}
		f.arena = append(f.arena, hexDigit[c>>4], hexDigit[c&15])
	}
	f.add(name)
}

// raw adds bytes without anything between.
func (f *fields) raw(name string, p []byte) {
	f.arena = hex.AppendEncode(f.arena, p)
	f.add(name)
}

// addr adds an IPv6 address. Bytes that are missing are zero, those over 16 left out.
func (f *fields) addr(name string, p []byte) {
	var a [16]byte
	copy(a[:], p)
	f.arena = netip.AddrFrom16(a).AppendTo(f.arena)
	f.add(name)
}

// prefix adds the first bits of an IPv6 prefix as an address.
func (f *fields) prefix(name string, p []byte, bits int) {
	var a [16]byte
	copy(a[:], p)
	f.arena = netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked().Addr().AppendTo(f.arena)
	f.add(name)
}

// unknown adds bytes of which nothing is known, and the remark that Wireshark makes there.
func (f *fields) unknown(proto string, p []byte) {
	f.bytes(proto+".unknown_data", p)
	f.remark(proto + ".unknown_data.expert")
}

// remark adds what Wireshark remarks on the field before: a name without text, which the tree
// leaves out.
func (f *fields) remark(name string) {
	if !f.tree {
		f.str(name, "")
	}
}

// layer begins a layer of the tree.
func (f *fields) layer(depth int, title string) {
	f.arena = append(f.arena, title...)
	f.add("")
	f.list[len(f.list)-1].depth = depth
}

func (f *fields) text(i int) []byte {
	start := 0
	if i > 0 {
		start = f.list[i-1].end
	}
	return f.arena[start:f.list[i].end]
}

// appendJSON appends an object: of names that come once the text, of others a list.
func (f *fields) appendJSON(b []byte) []byte {
	b = append(b, '{')
	first := true
	for i := range f.list {
		if f.list[i].name == "" || f.list[i].done {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		name := f.list[i].name
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		value := len(b)
		if f.list[i].bare {
			b = append(b, f.text(i)...)
		} else {
			b = appendString(b, string(f.text(i)))
		}
		many := false
		for k := i + 1; k < len(f.list); k++ {
			if f.list[k].name != name {
				continue
			}
			if !many {
				many = true
				b = append(b, 0)
				copy(b[value+1:], b[value:])
				b[value] = '['
			}
			b = append(b, ',')
			b = appendString(b, string(f.text(k)))
			f.list[k].done = true
		}
		if many {
			b = append(b, ']')
		}
	}
	for i := range f.list {
		f.list[i].done = false
	}
	return append(b, '}')
}

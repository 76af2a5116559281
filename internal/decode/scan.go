package decode

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// A scanner reads a line of JSON in the form that lines have most often: known keys, once
// each, with values of their usual type and strings without escapes. Whatever is else it
// leaves to encoding/json, so that there is one opinion on what JSON is.
type scanner struct {
	b []byte
	i int
}

// Keys of a line that were seen.
const (
	seenID = 1 << iota
	seenFrame
	seenHasFCS
	seenDLT
	seenFrames
	seenL2Src
	seenL2Dst
	seenPAN
	seenPayload
	seenDatagram
	seenPayloads
	seenUDP
	seenIPv6
	seenHeader
	seenFCF
	seenL2Addr
	seenRSSI
	seenContexts
	seenKey
	seenSrcExt
	seenGHC
	seenRoot
	seenRPL
	seenSrc
	seenDst
	seenElide
	seenMaxPayload
	seenRouting
)

// scan fills l from b. It reports false, and l is to be reset, where b is not of the form
// that it reads.
func (l *line) scan(b []byte) bool {
	s := scanner{b: b}
	if !s.open('{') {
		return false
	}
	if s.open('}') {
		return s.end()
	}
	seen := 0
	for {
		key, ok := s.text()
		if !ok || !s.open(':') {
			return false
		}
		s.blank()
		k := 0
		switch string(key) {
		case "id":
			at := s.i
			k, ok = seenID, s.skip(0)
			l.ID = append(l.ID[:0], s.b[at:s.i]...)
		case "frame_hex":
			k, ok = seenFrame, s.textOrNull(&l.Frame)
		case "has_fcs":
			k = seenHasFCS
			l.HasFCS.v, l.HasFCS.ok, ok = s.truth()
		case "dlt":
			var n int64
			k = seenDLT
			n, ok = s.number()
			ok = ok && n >= 0 && n <= math.MaxUint32
			l.DLT.v, l.DLT.ok = n, true
		case "frames":
			k, ok = seenFrames, s.texts(&l.Frames)
		case "l2_src":
			k, ok = seenL2Src, s.textOrNull(&l.L2Src.text)
		case "l2_dst":
			k, ok = seenL2Dst, s.textOrNull(&l.L2Dst.text)
		case "pan":
			k, ok = seenPAN, s.pan(&l.PAN)
		case "payload_hex":
			k, ok = seenPayload, s.textOrNull(&l.Payload)
		case "compressed_hex":
			k, ok = seenDatagram, s.textOrNull(&l.Datagram)
		case "payloads":
			k, ok = seenPayloads, s.texts(&l.Payloads)
		case "udp_payload_hex":
			k, ok = seenUDP, s.textOrNull(&l.UDP)
		case "ipv6_hex":
			k, ok = seenIPv6, s.textOrNull(&l.IPv6)
		case "header_hex":
			k, ok = seenHeader, s.textOrNull(&l.Header)
		case "fcf_hex":
			k, ok = seenFCF, s.textOrNull(&l.FCF)
		case "l2_addr":
			k, ok = seenL2Addr, s.textOrNull(&l.L2Addr.text)
		case "max_payload":
			k = seenMaxPayload
			l.MaxPayload.v, ok = s.number()
			l.MaxPayload.ok = true
		case "rssi":
			k = seenRSSI
			l.RSSI.v.v, ok = s.number()
			l.RSSI.v.ok = true
		case "contexts":
			k, ok = seenContexts, s.contexts(&l.Contexts)
		case "key":
			k, ok = seenKey, s.textOrNull(&l.Key)
		case "src_ext":
			k, ok = seenSrcExt, s.textOrNull(&l.SrcExt.text)
		case "ghc":
			k = seenGHC
			l.GHC, _, ok = s.truth()
		case "root":
			k, ok = seenRoot, s.textOrNull(&l.Root)
		case "rpl_option":
			k, ok = seenRPL, s.textOrNull(&l.RPL)
		case "src":
			k, ok = seenSrc, s.textOrNull(&l.Src.v)
		case "dst":
			k, ok = seenDst, s.textOrNull(&l.Dst.v)
		case "checksum_elision":
			k = seenElide
			l.ElideChecksum, _, ok = s.truth()
		case "6lorh":
			k = seenRouting
			l.RoutingHeaders, _, ok = s.truth()
		default:
			for _, c := range key {
				if c >= 'A' && c <= 'Z' {
					return false // keys match in any case
				}
			}
			ok = s.skip(0)
		}
		if !ok || seen&k != 0 {
			return false
		}
		seen |= k
		if s.open('}') {
			return s.end()
		}
		if !s.open(',') {
			return false
		}
		s.blank()
	}
}

func (s *scanner) blank() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// open skips blanks, c and more blanks, and reports whether c was there.
func (s *scanner) open(c byte) bool {
	s.blank()
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	s.blank()
	return true
}

func (s *scanner) end() bool {
	s.blank()
	return s.i == len(s.b)
}

// word skips the letters of a literal.
func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// text returns a string of printable ASCII without escapes, as part of b.
func (s *scanner) text() ([]byte, bool) {
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return nil, false
	}
	s.i++
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return nil, false
	}
	t := s.b[s.i : s.i+n]
	for _, c := range t {
		if c < ' ' || c >= utf8.RuneSelf || c == '\\' {
			return nil, false
		}
	}
	s.i += n + 1
	return t, true
}

func (s *scanner) textOrNull(t *text) bool {
	if s.word("null") {
		return true
	}
	v, ok := s.text()
	t.s, t.ok = append(t.s[:0], v...), ok
	return ok
}

func (s *scanner) texts(list *[]text) bool {
	if s.word("null") {
		return true
	}
	return s.list(func() bool {
		l := *list
		if len(l) == cap(l) {
			l = append(l, text{})
		} else {
			l = l[:len(l)+1]
		}
		*list = l
		return s.textOrNull(l[len(l)-1].reset())
	})
}

// list calls f at each element of an array.
func (s *scanner) list(f func() bool) bool {
	if !s.open('[') {
		return false
	}
	if s.open(']') {
		return true
	}
	for {
		if !f() {
			return false
		}
		if s.open(']') {
			return true
		}
		if !s.open(',') {
			return false
		}
	}
}

func (s *scanner) truth() (v, set, ok bool) {
	switch {
	case s.word("true"):
		return true, true, true
	case s.word("false"):
		return false, true, true
	}
	return false, false, s.word("null")
}

// number returns an integer of few digits.
func (s *scanner) number() (v int64, ok bool) {
	minus := s.word("-")
	at := s.i
	for ; s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9'; s.i++ {
		v = v*10 + int64(s.b[s.i]-'0')
		if s.i-at > 15 {
			return 0, false
		}
	}
	if s.i == at || s.b[at] == '0' && s.i > at+1 || s.i < len(s.b) && bytes.IndexByte([]byte(".eE"), s.b[s.i]) >= 0 {
		return 0, false
	}
	if minus {
		v = -v
	}
	return v, true
}

func (s *scanner) pan(p *panID) bool {
	if s.i < len(s.b) && s.b[s.i] == '"' {
		t, ok := s.text()
		return ok && p.parse(string(t)) == nil
	}
	v, ok := s.number()
	if !ok || v < 0 || v > 0xffff {
		return s.word("null")
	}
	p.v, p.ok = uint16(v), true
	return true
}

// contexts reads an array of objects that have cid and prefix.
func (s *scanner) contexts(list *lineContexts) bool {
	if s.word("null") {
		return true
	}
	return s.list(func() bool {
		var x lineContext
		if !s.open('{') {
			return false
		}
		for {
			key, ok := s.text()
			if !ok || !s.open(':') {
				return false
			}
			var n int64
			switch string(key) {
			case "cid":
				n, ok = s.number()
				x.CID, x.has = int(n), true
			case "prefix":
				var t []byte
				t, ok = s.text()
				x.Prefix = string(t)
			case "len":
				n, ok = s.number()
				x.Len, x.hasLen = int(n), true
			case "compress":
				x.Compress.v, x.Compress.ok, ok = s.truth()
			default:
				return false
			}
			if !ok {
				return false
			}
			if s.open('}') {
				*list = append(*list, x)
				return true
			}
			if !s.open(',') {
				return false
			}
		}
	})
}

// maxSkip bounds the nesting of what is skipped.
const maxSkip = 64

// skip skips a value of any kind.
func (s *scanner) skip(depth int) bool {
	if s.i == len(s.b) || depth > maxSkip {
		return false
	}
	switch c := s.b[s.i]; c {
	case '"':
		return s.skipText()
	case '[':
		return s.list(func() bool { return s.skip(depth + 1) }) && s.close()
	case '{':
		s.open('{')
		if s.open('}') {
			return s.close()
		}
		for {
			if s.i == len(s.b) || s.b[s.i] != '"' || !s.skipText() || !s.open(':') || !s.skip(depth+1) {
				return false
			}
			if s.open('}') {
				return s.close()
			}
			if !s.open(',') {
				return false
			}
		}
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, ok := s.number()
		return ok
	}
}

// close takes back the blanks behind the bracket that was read last: they are no part of the
// value.
func (s *scanner) close() bool {
	for s.b[s.i-1] == ' ' || s.b[s.i-1] == '\t' || s.b[s.i-1] == '\n' || s.b[s.i-1] == '\r' {
		s.i--
	}
	return true
}

// skipText skips a string with any content.
func (s *scanner) skipText() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			s.i++
			if s.i == len(s.b) {
				return false
			}
			switch s.b[s.i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					s.i++
					if s.i == len(s.b) || nibble[s.b[s.i]] > 15 {
						return false
					}
				}
			default:
				return false
			}
		}
	}
	return false
}

package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"border-router/ipv6"
	"border-router/lowpan"
)

// A line is one line of JSON. Keys that are not here are passed over: a file of vectors with
// the results beside the input can be decoded as it is.
type line struct {
	ID       json.RawMessage `json:"id"`
	Frame    text            `json:"frame_hex"`
	HasFCS   truth           `json:"has_fcs"`
	DLT      number          `json:"dlt"`
	Frames   []text          `json:"frames"`
	L2Src    addrText        `json:"l2_src"`
	L2Dst    addrText        `json:"l2_dst"`
	PAN      panID           `json:"pan"`
	Payload  text            `json:"payload_hex"`
	Datagram text            `json:"compressed_hex"`
	Payloads []text          `json:"payloads"`
	UDP      text            `json:"udp_payload_hex"`
	IPv6     text            `json:"ipv6_hex"`
	Header   text            `json:"header_hex"`
	FCF      text            `json:"fcf_hex"`
	L2Addr   addrText        `json:"l2_addr"`
	RSSI     aside[number]   `json:"rssi"`
	Contexts lineContexts    `json:"contexts"`
	Key      text            `json:"key"`
	SrcExt   addrText        `json:"src_ext"`
	GHC      bool            `json:"ghc"`
	Root     text            `json:"root"`
	RPL      text            `json:"rpl_option"`
	Src      aside[text]     `json:"src"` // with Dst: compressed_hex is the code of RFC 7400 alone
	Dst      aside[text]     `json:"dst"`

	ElideChecksum  bool   `json:"checksum_elision"`
	RoutingHeaders bool   `json:"6lorh"`
	MaxPayload     number `json:"max_payload"` // of a MAC frame, in bytes
}

// A text is a string; ok is false where there is none, or null.
type text struct {
	s  []byte
	ok bool
}

func (t *text) reset() *text {
	t.s, t.ok = t.s[:0], false
	return t
}

// given reports whether there is more than an empty string.
func (t *text) given() bool { return t.ok && len(t.s) > 0 }

func (t *text) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	t.s, t.ok = append(t.s[:0], *s...), true
	return nil
}

// An addrText is a link-layer address; a number is one, too: up to 65535 a short address.
type addrText struct{ text }

func (t *addrText) UnmarshalJSON(b []byte) error {
	if v, err := strconv.ParseUint(string(b), 10, 64); err == nil {
		n := 16
		if v <= 0xffff {
			n = 4
		}
		t.s, t.ok = fmt.Appendf(t.s[:0], "%0*x", n, v), true
		return nil
	}
	return t.text.UnmarshalJSON(b)
}

type truth struct{ v, ok bool }

func (t *truth) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	t.ok = true
	return json.Unmarshal(b, &t.v)
}

type number struct {
	v  int64
	ok bool
}

func (n *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	n.ok = true
	return json.Unmarshal(b, &n.v)
}

// An aside is what few kinds of lines are decoded from, and many carry for themselves beside
// a frame: a value of another type there is none.
type aside[T text | number] struct{ v T }

func (a *aside[T]) UnmarshalJSON(b []byte) error {
	var v T
	if err := json.Unmarshal(b, &v); err == nil {
		a.v = v
	}
	return nil
}

// A lineContext is an object, {"cid":0,"prefix":"fd00::","len":64}, the length in the prefix
// or apart, a list of the three, or a string as the command line has it, "0=fd00::/64".
type lineContext struct {
	CID      int
	Prefix   string
	Len      int
	Compress truth

	has, hasLen bool // CID and Len are given
}

func (x *lineContext) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		id, prefix, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(id)
		if !ok || err != nil {
			return fmt.Errorf("contexts: %q: want ID=PREFIX/LEN", s)
		}
		x.CID, x.Prefix, x.has = n, prefix, true
		return nil
	}
	if b[0] == '[' {
		var v []json.RawMessage
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		if len(v) != 3 {
			return errors.New("contexts: want a list of identifier, prefix and length")
		}
		x.has, x.hasLen = true, true
		return errors.Join(json.Unmarshal(v[0], (*looseInt)(&x.CID)), json.Unmarshal(v[1], &x.Prefix), json.Unmarshal(v[2], (*looseInt)(&x.Len)))
	}
	var v struct {
		CID, ID, Context *looseInt
		Prefix, Address  *string
		PrefixHex        *string `json:"prefix_hex"`
		Len, Length      *looseInt
		PrefixLen        *looseInt `json:"prefix_len"`
		Plen             *looseInt
		Compress         truth
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	for _, n := range []*looseInt{v.CID, v.ID, v.Context} {
		if n != nil && !x.has {
			x.CID, x.has = int(*n), true
		}
	}
	for _, n := range []*looseInt{v.Len, v.PrefixLen, v.Plen, v.Length} {
		if n != nil && !x.hasLen {
			x.Len, x.hasLen = int(*n), true
		}
	}
	for _, s := range []*string{v.Prefix, v.Address, v.PrefixHex} {
		if s != nil && x.Prefix == "" {
			x.Prefix = *s
		}
	}
	x.Compress = v.Compress
	return nil
}

// A looseInt is a number, or one in a string.
type looseInt int

func (n *looseInt) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = looseInt(v)
	return err
}

// lineContexts is a list of contexts, or an object of them with their identifiers as keys.
type lineContexts []lineContext

func (list *lineContexts) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, (*[]lineContext)(list))
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for id, raw := range m {
		n, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("contexts: %q is no identifier", id)
		}
		x := lineContext{CID: n, has: true}
		if raw[0] == '"' {
			err = json.Unmarshal(raw, &x.Prefix)
		} else {
			err = x.UnmarshalJSON(raw)
			x.CID, x.has = n, true
		}
		if err != nil {
			return err
		}
		*list = append(*list, x)
	}
	return nil
}

// A panID is a number, or a string in hexadecimal.
type panID struct {
	v  uint16
	ok bool
}

// parse reads a string, an empty one as none.
func (p *panID) parse(s string) (err error) {
	if s == "" {
		return nil
	}
	p.v, err = ParsePAN(s)
	p.ok = err == nil
	return err
}

func (p *panID) UnmarshalJSON(b []byte) (err error) {
	if string(b) == "null" {
		return nil
	}
	if b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if err := p.parse(s); err != nil {
			return fmt.Errorf("pan: %w", err)
		}
		return nil
	}
	v, err := strconv.ParseUint(string(b), 10, 16)
	if err != nil {
		return fmt.Errorf("pan: %s is none", b)
	}
	p.v, p.ok = uint16(v), true
	return nil
}

func (l *line) reset() {
	// What an array held before would show through in elements that say less.
	for _, list := range [][]text{l.Frames[:cap(l.Frames)], l.Payloads[:cap(l.Payloads)]} {
		for i := range list {
			list[i].reset()
		}
	}
	clear(l.Contexts[:cap(l.Contexts)])
	*l = line{
		ID: l.ID[:0], Frames: l.Frames[:0], Payloads: l.Payloads[:0], Contexts: l.Contexts[:0],
		Frame: *l.Frame.reset(), Payload: *l.Payload.reset(), Datagram: *l.Datagram.reset(), UDP: *l.UDP.reset(),
		IPv6: *l.IPv6.reset(), Header: *l.Header.reset(), FCF: *l.FCF.reset(), Key: *l.Key.reset(), Root: *l.Root.reset(),
		L2Src: addrText{*l.L2Src.reset()}, L2Dst: addrText{*l.L2Dst.reset()},
	}
}

// parse decodes b. Where the error is not nil, l.ID may still hold.
func (l *line) parse(b []byte) error {
	l.reset()
	if l.scan(b) {
		l.ID = validID(l.ID)
		return nil
	}
	l.reset()
	err := json.Unmarshal(b, l)
	l.ID = validID(l.ID)
	if err != nil {
		var syntax *json.SyntaxError
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("%s: %s is not what belongs there", e.Field, e.Value)
		} else if errors.As(err, &syntax) {
			return fmt.Errorf("no JSON: %w", err)
		}
		return err
	}
	return nil
}

// validID returns id as it can stand in a line of the output, or nil.
func validID(id []byte) []byte {
	switch {
	case bytes.ContainsAny(id, "\n\r"):
		return nil
	case !utf8.Valid(id):
		return bytes.ToValidUTF8(id, []byte("\ufffd"))
	}
	return id
}

// contexts fills c with the contexts of the line.
func (l *line) contexts(c *lowpan.Contexts) error {
	for _, x := range l.Contexts {
		if !x.has {
			return errors.New("contexts: one without cid")
		}
		n := -1
		if x.hasLen {
			n = x.Len
		}
		p, err := parsePrefix(x.Prefix, n)
		if err != nil || !c.Set(x.CID, lowpan.Context{Prefix: p, Compress: !x.Compress.ok || x.Compress.v}) {
			return fmt.Errorf("contexts: %d=%s is none", x.CID, x.Prefix)
		}
	}
	return nil
}

// rpl puts what the line says of the RPL instance into c, and what opt says otherwise.
func (l *line) rpl(c, opt *lowpan.Contexts) (err error) {
	c.Root, c.RPLOption = opt.Root, opt.RPLOption
	if l.Root.given() {
		if c.Root, err = ParseRoot(string(l.Root.s)); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	if l.RPL.given() {
		if c.RPLOption, err = ParseRPLOption(string(l.RPL.s)); err != nil {
			return fmt.Errorf("rpl_option: %w", err)
		}
	}
	return nil
}

// parsePrefix reads an IPv6 prefix in text or in hexadecimal, with its length in it, or
// beside it, or of 64 bits.
func parsePrefix(s string, n int) (netip.Prefix, error) {
	s, length, ok := strings.Cut(s, "/")
	if ok {
		v, err := strconv.Atoi(length)
		if err != nil {
			return netip.Prefix{}, err
		}
		n = v
	} else if n < 0 {
		n = 64
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		b, hexErr := unhex(nil, s)
		if hexErr != nil || len(b) == 0 || len(b) > 16 || strings.Contains(s, ":") {
			return netip.Prefix{}, err
		}
		var full [16]byte
		copy(full[:], b)
		a = netip.AddrFrom16(full)
	}
	p := netip.PrefixFrom(a, n)
	if !p.IsValid() {
		return p, errors.New("no prefix")
	}
	return p, nil
}

// link returns the link-layer addresses of the line, where it has them.
func (l *line) link(pan uint16) (k lowpan.Link, err error) {
	if k.Src, err = linkAddr("l2_src", l.L2Src.s); err != nil {
		return k, err
	}
	if k.Dst, err = linkAddr("l2_dst", l.L2Dst.s); err != nil {
		return k, err
	}
	if k.PAN = pan; l.PAN.ok {
		k.PAN = l.PAN.v
	}
	return k, nil
}

func linkAddr(what string, s []byte) (ipv6.LinkAddr, error) {
	if len(s) == 0 {
		return ipv6.LinkAddr{}, nil
	}
	var buf [16]byte
	b, err := unhex(buf[:0], s)
	if err == nil {
		if a, ok := ipv6.LinkAddrFrom(b); ok && a.Len() != 6 {
			return a, nil
		}
	}
	return ipv6.LinkAddr{}, fmt.Errorf("%s: %q is neither 2 nor 8 bytes in hexadecimal", what, s)
}

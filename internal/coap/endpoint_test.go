package coap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

var (
	t0    = time.Unix(1_700_000_000, 0)
	alice = netip.MustParseAddrPort("[2001:db8::1]:5683")
	bob   = netip.MustParseAddrPort("[2001:db8::2]:5683")
)

// rig is an endpoint with what it has sent.
type rig struct {
	t    testing.TB
	e    *endpoint
	now  time.Time
	sent []message.Message
	to   []netip.AddrPort
	mid  uint16
}

func newRig(t testing.TB, o Options) *rig {
	g := &rig{t: t, now: t0}
	o.Rand = rand.New(rand.NewPCG(1, 2))
	o.setDefaults()
	g.e = newEndpoint(o, func(to netip.AddrPort, _ netip.Addr, b []byte) {
		m := message.Message{Options: make(message.Options, 0, 16)}
		if _, err := coder.DefaultCoder.Decode(bytes.Clone(b), &m); err != nil {
			t.Fatalf("sent %x: %v", b, err)
		}
		g.sent = append(g.sent, m)
		g.to = append(g.to, to)
	})
	return g
}

func opt(id message.OptionID, v ...byte) message.Option { return message.Option{ID: id, Value: v} }

func uintOpt(id message.OptionID, v uint32) message.Option { return addUint(nil, id, v)[0] }

func blockOpt(id message.OptionID, num uint32, more bool, szx uint8) message.Option {
	return uintOpt(id, block{num: num, more: more, szx: szx}.value())
}

// encode builds a datagram.
func (g *rig) encode(typ message.Type, mid uint16, c codes.Code, path, token string, payload []byte, opts ...message.Option) []byte {
	m := message.Message{Type: typ, MessageID: int32(mid), Code: c, Payload: payload}
	if token != "" {
		m.Token = []byte(token)
	}
	for _, s := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		if s != "" {
			m.Options = m.Options.Add(message.Option{ID: message.URIPath, Value: []byte(s)})
		}
	}
	for _, o := range opts {
		m.Options = m.Options.Add(o)
	}
	b := make([]byte, 4096)
	n, err := coder.DefaultCoder.Encode(m, b)
	if err != nil {
		g.t.Fatal(err)
	}
	return b[:n]
}

// ask sends a confirmable request with a message ID of its own and returns the one answer.
func (g *rig) ask(from netip.AddrPort, c codes.Code, path string, payload []byte, opts ...message.Option) message.Message {
	g.t.Helper()
	g.mid++
	g.sent, g.to = nil, nil
	token := fmt.Sprint("t", g.mid)
	if err := g.e.handle(g.now, from, netip.Addr{}, g.encode(message.Confirmable, g.mid, c, path, token, payload, opts...)); err != nil {
		g.t.Fatalf("%v %s: %v", c, path, err)
	}
	if len(g.sent) != 1 || g.to[0] != from {
		g.t.Fatalf("%v %s: %d answers", c, path, len(g.sent))
	}
	m := g.sent[0]
	if m.Type != message.Acknowledgement || m.MessageID != int32(g.mid) || string(m.Token) != token {
		g.t.Fatalf("%v %s: answer %v", c, path, &m)
	}
	return m
}

func (g *rig) blockOf(m message.Message, id message.OptionID) block {
	v, err := m.Options.GetBytes(id)
	if err != nil {
		return block{}
	}
	n := uintValue(v)
	return block{num: n >> 4, more: n&8 != 0, szx: uint8(n & 7), set: true}
}

func TestResponses(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 64)
	for _, tt := range []struct {
		name string
		code codes.Code
		path string
		opts []message.Option
		body []byte
		want codes.Code
	}{
		{"get", codes.GET, "/time", nil, nil, codes.Content},
		{"unknown path", codes.GET, "/nothing", nil, nil, codes.NotFound},
		{"root", codes.GET, "/", nil, nil, codes.NotFound},
		{"slash inside a segment", codes.GET, "", []message.Option{{ID: message.URIPath, Value: []byte(".well-known/core")}}, nil, codes.NotFound},
		{"method", codes.PUT, "/time", nil, nil, codes.MethodNotAllowed},
		{"FETCH", codes.Code(5), "/time", nil, nil, codes.MethodNotAllowed},
		{"RFC 7252 5.4.1 critical option", codes.GET, "/time", []message.Option{opt(9, 1)}, nil, codes.BadOption},
		{"RFC 7252 5.4.1 elective option", codes.GET, "/time", []message.Option{opt(2048, 1)}, nil, codes.Content},
		{"RFC 7252 5.4.3 length of a critical option", codes.GET, "/time", []message.Option{opt(message.Block2, 1, 2, 3, 4)}, nil, codes.BadOption},
		{"RFC 7252 5.4.3 length of an elective option", codes.GET, "/time", []message.Option{opt(message.Observe, 1, 2, 3, 4)}, nil, codes.Content},
		{"RFC 7252 5.4.5 repeated", codes.GET, "/time", []message.Option{opt(message.Accept), opt(message.Accept)}, nil, codes.BadOption},
		{"RFC 7252 5.7.2 proxy", codes.GET, "/time", []message.Option{opt(message.ProxyScheme, 'h')}, nil, codes.ProxyingNotSupported},
		{"RFC 7252 5.10.4 Accept", codes.GET, "/time", []message.Option{uintOpt(message.Accept, 60)}, nil, codes.NotAcceptable},
		{"RFC 7252 5.10.4 Accept met", codes.GET, "/large", []message.Option{uintOpt(message.Accept, 42)}, nil, codes.Content},
		{"RFC 7252 5.10.8.1 If-Match", codes.PUT, "/large", []message.Option{opt(message.IfMatch, 1)}, big, codes.PreconditionFailed},
		{"RFC 7252 5.10.8.1 If-Match empty", codes.PUT, "/large", []message.Option{opt(message.IfMatch)}, big, codes.Changed},
		{"RFC 7252 5.10.8.2 If-None-Match", codes.PUT, "/large", []message.Option{opt(message.IfNoneMatch)}, big, codes.PreconditionFailed},
		{"RFC 7959 2.2 SZX 7", codes.GET, "/large", []message.Option{blockOpt(message.Block2, 0, false, 7)}, nil, codes.BadRequest},
		{"RFC 7959 2.4 beyond the end", codes.GET, "/large", []message.Option{blockOpt(message.Block2, 8, false, 6)}, nil, codes.BadRequest},
		{"RFC 7959 2.9.2 nothing before", codes.PUT, "/large", []message.Option{blockOpt(message.Block1, 1, false, 2)}, big, codes.RequestEntityIncomplete},
		{"RFC 7959 2.9.3 Size1", codes.PUT, "/large", []message.Option{blockOpt(message.Block1, 0, true, 2), uintOpt(message.Size1, 1<<20)}, big, codes.RequestEntityTooLarge},
		{"short block", codes.PUT, "/large", []message.Option{blockOpt(message.Block1, 0, true, 3)}, big, codes.BadRequest},
		{"long block", codes.PUT, "/large", []message.Option{blockOpt(message.Block1, 0, true, 1)}, big, codes.BadRequest},
		{"one block", codes.PUT, "/large", []message.Option{blockOpt(message.Block1, 0, false, 2)}, big, codes.Changed},
		{"nothing to continue", codes.POST, "/echo", []message.Option{blockOpt(message.Block2, 1, false, 2)}, nil, codes.RequestEntityIncomplete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Options{})
			if m := g.ask(alice, tt.code, tt.path, tt.body, tt.opts...); m.Code != tt.want {
				t.Errorf("%v, want %v", m.Code, tt.want)
			}
			if n := len(g.e.transfers); n != 0 {
				t.Errorf("%d transfers left", n)
			}
		})
	}
}

func TestDrops(t *testing.T) {
	g := newRig(t, Options{})
	con, non := message.Confirmable, message.NonConfirmable
	get := g.encode(non, 7, codes.GET, "/time", "a", nil)
	for _, tt := range []struct {
		name string
		b    []byte
		want error
		rst  bool
	}{
		{"empty", nil, DropTruncated, false},
		{"three bytes", []byte{0x40, 1, 0}, DropTruncated, false},
		{"version 2", []byte{0x80, 1, 0, 1}, DropVersion, false},
		{"ping", []byte{0x40, 0, 0, 1}, nil, true},
		{"non-confirmable ping", []byte{0x50, 0, 0, 1}, DropUnexpected, false},
		{"empty with bytes after", []byte{0x40, 0, 0, 1, 0}, nil, true},
		{"token length 9", append([]byte{0x49, 1, 0, 1}, make([]byte, 9)...), nil, true},
		{"token cut, non-confirmable", []byte{0x52, 1, 0, 1, 0}, DropFormat, false},
		{"option delta 15", []byte{0x50, 1, 0, 1, 0xf1}, DropFormat, false},
		{"option cut", []byte{0x50, 1, 0, 1, 0xb4, 'a'}, DropFormat, false},
		{"marker without payload", []byte{0x50, 1, 0, 1, 0xb1, 'a', 0xff}, DropFormat, false},
		{"value that ends in ff is no marker", []byte{0x50, 1, 1, 1, 0xb1, 0xff}, nil, false},
		{"too many options", append([]byte{0x50, 1, 0, 1, 0xb0}, make([]byte, maxOptions)...), DropFormat, false},
		{"response out of nowhere", []byte{0x40, 0x45, 0, 1}, nil, true},
		{"reserved class", []byte{0x50, 0x21, 0, 1}, DropUnexpected, false},
		{"stray ACK", []byte{0x60, 0, 0, 1}, DropUnexpected, false},
		{"stray RST", []byte{0x70, 0, 0, 1}, DropUnexpected, false},
		{"first", get, nil, false},
		{"duplicate", get, DropDuplicate, false},
		{"critical option", g.encode(non, 8, codes.GET, "/time", "", nil, opt(9, 1)), DropOption, false},
		{"RFC 7967", g.encode(non, 9, codes.PUT, "/echo", "", nil, uintOpt(message.NoResponse, 26)), DropQuiet, false},
		{"RFC 7967 confirmable", g.encode(con, 10, codes.PUT, "/echo", "", nil, uintOpt(message.NoResponse, 26)), nil, false},
	} {
		g.sent = nil
		var drops uint64
		for _, n := range g.e.stats.Drops {
			drops += n
		}
		if err := g.e.handle(g.now, alice, netip.Addr{}, tt.b); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if tt.rst && (len(g.sent) != 1 || g.sent[0].Type != message.Reset) || tt.want != nil && len(g.sent) != 0 {
			t.Errorf("%s: sent %v", tt.name, g.sent)
		}
	}
	for i := range uint16(maxLeisurely + 2) { // the first is confirmable, the last one too many
		typ := non
		if i == 0 {
			typ = con
		}
		_ = g.e.handle(g.now, bob, everyone, g.encode(typ, 100+i, codes.GET, "/time", "", nil))
	}
	checkStats(t, g.e)
	for d := DropTruncated; d < numDrops; d++ {
		if g.e.stats.Drops[d] == 0 {
			t.Errorf("no row causes %v", d)
		}
	}
}

func checkStats(t testing.TB, e *endpoint) {
	t.Helper()
	s := e.snapshot()
	sum := s.Answered + s.Consumed
	for _, n := range s.Drops {
		sum += n
	}
	if s.Received != sum {
		t.Fatalf("received %d, accounted %d: %+v", s.Received, sum, s)
	}
	if s.Peers > e.cfg.MaxPeers || s.Observers > e.cfg.MaxObservers || s.Transfers > e.cfg.MaxTransfers {
		t.Fatalf("a table is too long: %+v", s)
	}
}

// A duplicate of a confirmable request is answered again without being done again.
func TestDuplicate(t *testing.T) {
	n := 0
	r := &Resource{Path: "/n", Post: func(time.Time, *Request) Response {
		n++
		return Response{Code: codes.Changed, Payload: []byte{byte(n)}}
	}}
	g := newRig(t, Options{Resources: []*Resource{r}})
	b := g.encode(message.Confirmable, 1, codes.POST, "/n", "t", nil)
	for range 3 {
		g.e.handle(g.now, alice, netip.Addr{}, b)
	}
	g.e.handle(g.now, bob, netip.Addr{}, b)
	if n != 2 || len(g.sent) != 4 {
		t.Fatalf("done %d times, %d answers", n, len(g.sent))
	}
	if g.sent[2].Payload[0] != 1 || g.sent[3].Payload[0] != 2 {
		t.Error("the answer is not that of the first time")
	}
	g.now = g.now.Add(exchangeLifetime + time.Second)
	g.e.handle(g.now, alice, netip.Addr{}, b)
	if n != 3 {
		t.Error("a message ID may be used again after EXCHANGE_LIFETIME")
	}
}

// Two uploads of one peer to one resource at the same time, told apart by Request-Tag.
func TestRequestTag(t *testing.T) {
	g := newRig(t, Options{})
	put := func(tag byte, num uint32, more bool) message.Message {
		return g.ask(alice, codes.POST, "/echo", bytes.Repeat([]byte{tag}, 16), blockOpt(message.Block1, num, more, 0), opt(optRequestTag, tag))
	}
	for i := range uint32(2) {
		for _, tag := range []byte("ab") {
			if m := put(tag, i, true); m.Code != codes.Continue {
				t.Fatalf("%c %d: %v", tag, i, m.Code)
			}
		}
	}
	for _, tag := range []byte("ab") {
		m := put(tag, 2, false)
		if m.Code != codes.Changed || !bytes.Equal(m.Payload, bytes.Repeat([]byte{tag}, 16)) {
			t.Fatalf("%c: %v %q", tag, m.Code, m.Payload)
		}
		if b := g.blockOf(m, message.Block2); !b.set || !b.more || b.szx != 0 {
			t.Errorf("%c: Block2 %+v", tag, b)
		}
		if b := g.blockOf(m, message.Block1); b.num != 2 || b.more {
			t.Errorf("%c: Block1 %+v", tag, b)
		}
	}
	m := g.ask(alice, codes.POST, "/echo", nil, blockOpt(message.Block2, 2, false, 0), opt(optRequestTag, 'b'))
	if string(m.Payload) != strings.Repeat("b", 16) || g.blockOf(m, message.Block2).more {
		t.Errorf("last block: %q", m.Payload)
	}
}

func TestUploadFaults(t *testing.T) {
	part := func(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }
	first := func(g *rig) {
		g.ask(alice, codes.PUT, "/large", part('a'), blockOpt(message.Block1, 0, true, 1), uintOpt(message.ContentFormat, 42))
	}
	t.Run("block sent again", func(t *testing.T) {
		g := newRig(t, Options{})
		first(g)
		for range 2 {
			if m := g.ask(alice, codes.PUT, "/large", part('b'), blockOpt(message.Block1, 1, true, 1), uintOpt(message.ContentFormat, 42)); m.Code != codes.Continue {
				t.Fatal(m.Code)
			}
		}
		g.ask(alice, codes.PUT, "/large", part('c'), blockOpt(message.Block1, 2, false, 1), uintOpt(message.ContentFormat, 42))
		m := g.ask(alice, codes.GET, "/large", nil)
		if want := append(append(part('a'), part('b')...), part('c')...); !bytes.Equal(m.Payload, want) {
			t.Errorf("%q", m.Payload)
		}
	})
	for name, opts := range map[string][]message.Option{
		"gap":            {blockOpt(message.Block1, 2, true, 1), uintOpt(message.ContentFormat, 42)},
		"Content-Format": {blockOpt(message.Block1, 1, true, 1), uintOpt(message.ContentFormat, 0)},
		"query":          {blockOpt(message.Block1, 1, true, 1), uintOpt(message.ContentFormat, 42), opt(message.URIQuery, 'q')},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, Options{})
			first(g)
			if m := g.ask(alice, codes.PUT, "/large", part('b'), opts...); m.Code != codes.RequestEntityIncomplete {
				t.Errorf("%v, want 4.08", m.Code)
			}
		})
	}
	t.Run("another peer", func(t *testing.T) {
		g := newRig(t, Options{})
		first(g)
		if m := g.ask(bob, codes.PUT, "/large", part('b'), blockOpt(message.Block1, 1, false, 1), uintOpt(message.ContentFormat, 42)); m.Code != codes.RequestEntityIncomplete {
			t.Errorf("%v, want 4.08", m.Code)
		}
	})
	t.Run("too late", func(t *testing.T) {
		g := newRig(t, Options{})
		first(g)
		g.now = g.e.deadline()
		g.e.advance(g.now)
		if n := len(g.e.transfers); n != 0 || g.now.Sub(t0) != DefaultTransferTimeout {
			t.Errorf("%d transfers after %v", n, g.now.Sub(t0))
		}
	})
	t.Run("table full", func(t *testing.T) {
		g := newRig(t, Options{MaxTransfers: 2})
		for i := range uint16(3) {
			m := g.ask(netip.AddrPortFrom(alice.Addr(), i+1), codes.PUT, "/large", part('a'), blockOpt(message.Block1, 0, true, 1))
			if want := [...]codes.Code{codes.Continue, codes.Continue, codes.ServiceUnavailable}[i]; m.Code != want {
				t.Errorf("%d: %v, want %v", i, m.Code, want)
			}
		}
		g.now = g.now.Add(transferEvict)
		if m := g.ask(bob, codes.PUT, "/large", part('a'), blockOpt(message.Block1, 0, true, 1)); m.Code != codes.Continue || len(g.e.transfers) != 2 {
			t.Errorf("after a pause: %v", m.Code)
		}
	})
	t.Run("never larger than the limit", func(t *testing.T) {
		g := newRig(t, Options{})
		var m message.Message
		for i := uint32(0); i <= largeMax/1024; i++ {
			m = g.ask(alice, codes.PUT, "/large", make([]byte, 1024), blockOpt(message.Block1, i, true, 6))
		}
		if m.Code != codes.RequestEntityTooLarge || len(g.e.transfers) != 0 {
			t.Errorf("%v", m.Code)
		}
		if n, _ := m.Options.GetUint32(message.Size1); n != largeMax {
			t.Errorf("Size1 %d", n)
		}
	})
}

func TestGetBlocks(t *testing.T) {
	for szx := range uint8(7) {
		g := newRig(t, Options{BlockSize: 256})
		var got, tag []byte
		for num := uint32(0); ; num++ {
			m := g.ask(alice, codes.GET, "/large", nil, blockOpt(message.Block2, num, false, szx))
			if m.Code != codes.Content {
				t.Fatalf("szx %d block %d: %v", szx, num, m.Code)
			}
			et, _ := m.Options.GetBytes(message.ETag)
			if num == 0 {
				tag = et
				if n, _ := m.Options.GetUint32(message.Size2); n != largeSize {
					t.Errorf("Size2 %d", n)
				}
			} else if !bytes.Equal(et, tag) || len(tag) == 0 {
				t.Errorf("ETag %x, then %x", tag, et)
			}
			got = append(got, m.Payload...)
			b := g.blockOf(m, message.Block2)
			if b.szx > 4 {
				t.Fatalf("block of %d bytes", b.size())
			}
			if b.szx < szx && num == 0 { // the server takes smaller ones: go on in its size
				szx = b.szx
			}
			if !b.more {
				break
			}
		}
		if len(got) != largeSize {
			t.Errorf("szx %d: %d bytes", szx, len(got))
		}
		if m := g.ask(alice, codes.GET, "/large", nil, opt(message.ETag, tag...)); m.Code != codes.Valid || len(m.Payload) != 0 {
			t.Errorf("validation: %v", m.Code)
		}
	}
}

func TestObserve(t *testing.T) {
	reg := func(g *rig, from netip.AddrPort) { g.ask(from, codes.GET, "/counter", nil, opt(message.Observe)) }
	step := func(g *rig) []message.Message {
		g.sent, g.to = nil, nil
		g.now = g.e.deadline()
		g.e.advance(g.now)
		return g.sent
	}
	ack := func(g *rig, typ message.Type, mid int32) error {
		return g.e.handle(g.now, alice, netip.Addr{}, []byte{1<<6 | byte(typ)<<4, 0, byte(mid >> 8), byte(mid)})
	}
	t.Run("ticks, one of five confirmable", func(t *testing.T) {
		g := newRig(t, Options{})
		reg(g, alice)
		seq := uint32(1)
		for i := 1; i <= 20; i++ {
			sent := step(g)
			if len(sent) != 1 || g.now.Sub(t0) != time.Duration(i)*time.Second {
				t.Fatalf("tick %d at %v: %d messages", i, g.now.Sub(t0), len(sent))
			}
			m := sent[0]
			want := message.NonConfirmable
			if i%5 == 0 {
				want = message.Confirmable
				if err := ack(g, message.Acknowledgement, m.MessageID); err != nil {
					t.Fatal(err)
				}
			}
			o, err := m.Options.GetUint32(message.Observe)
			if m.Type != want || string(m.Payload) != fmt.Sprint(i) || string(m.Token) != "t1" || err != nil || o <= seq {
				t.Fatalf("tick %d: %v observe %d", i, &m, o)
			}
			seq = o
		}
		checkStats(t, g.e)
	})
	t.Run("RST ends it, and the timer", func(t *testing.T) {
		g := newRig(t, Options{})
		reg(g, alice)
		m := step(g)[0]
		if err := ack(g, message.Reset, m.MessageID); err != nil || len(g.e.observers) != 0 || len(g.e.ticks) != 0 {
			t.Fatalf("%v, %d observers", err, len(g.e.observers))
		}
		if d := g.e.deadline().Sub(t0); d != exchangeLifetime {
			t.Errorf("deadline %v: only the peer's age should be left", d)
		}
		step(g)
		if !g.e.deadline().IsZero() {
			t.Error("still a deadline")
		}
	})
	t.Run("deregistration", func(t *testing.T) {
		g := newRig(t, Options{})
		reg(g, alice)
		b := g.encode(message.Confirmable, 99, codes.GET, "/counter", "t1", nil, uintOpt(message.Observe, 1))
		g.e.handle(g.now, alice, netip.Addr{}, b)
		if len(g.e.observers) != 0 || g.sent[len(g.sent)-1].Options.HasOption(message.Observe) {
			t.Error("still registered")
		}
	})
	t.Run("gone peer", func(t *testing.T) {
		g := newRig(t, Options{})
		reg(g, alice)
		for range 5 {
			step(g)
		}
		n := 0
		for len(g.e.observers) > 0 {
			for _, m := range step(g) {
				if n++; m.Type != message.Confirmable {
					t.Fatal("non-confirmable while one waits")
				}
			}
			if n > maxRetransmit {
				t.Fatal("too many retransmissions")
			}
		}
		if d := g.now.Sub(t0); n != maxRetransmit || d < 5*time.Second+62*time.Second || d > 5*time.Second+93*time.Second {
			t.Errorf("gave up after %d retransmissions at %v", n, d)
		}
	})
	t.Run("retransmission carries the new state", func(t *testing.T) {
		g := newRig(t, Options{})
		reg(g, alice)
		for range 5 {
			step(g)
		}
		old := g.sent[0]
		var m message.Message
		for m.Token == nil {
			if s := step(g); len(s) > 0 {
				m = s[0]
			}
		}
		if bytes.Equal(m.Payload, old.Payload) || m.MessageID == old.MessageID {
			t.Errorf("%q again", m.Payload)
		}
		g.sent = nil
		ack(g, message.Acknowledgement, old.MessageID) // the ACK was late: the newest may be lost
		if len(g.sent) != 1 {
			t.Error("no fresh notification after a late ACK")
		}
	})
	t.Run("limits", func(t *testing.T) {
		g := newRig(t, Options{MaxObservers: 3, MaxObserversPerPeer: 2})
		for i, want := range []bool{true, true, false, true, false} {
			from := alice
			if i > 2 {
				from = bob
			}
			m := g.ask(from, codes.GET, "/counter", nil, opt(message.Observe))
			if m.Code != codes.Content || m.Options.HasOption(message.Observe) != want {
				t.Errorf("%d: %v", i, &m)
			}
		}
		checkStats(t, g.e)
	})
	t.Run("not observable", func(t *testing.T) {
		g := newRig(t, Options{})
		if m := g.ask(alice, codes.GET, "/time", nil, opt(message.Observe)); m.Options.HasOption(message.Observe) {
			t.Error("observes /time")
		}
	})
	t.Run("a day", func(t *testing.T) {
		at := t0
		r := &Resource{Path: "/rare", Observable: true, Period: 25 * time.Hour, Get: func(now time.Time, _ *Request) Response {
			at = now
			return Response{Code: codes.Content}
		}}
		g := newRig(t, Options{Resources: []*Resource{r}})
		g.ask(alice, codes.GET, "/rare", nil, opt(message.Observe))
		for at == t0 {
			step(g)
		}
		if g.sent[0].Type != message.Confirmable {
			t.Error("RFC 7641 section 4.5: one in 24 hours MUST be confirmable")
		}
	})
}

func TestPeersAreBounded(t *testing.T) {
	g := newRig(t, Options{})
	for i := range 1000 {
		g.now = g.now.Add(time.Millisecond)
		g.ask(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i), 14: byte(i >> 8)}), 5683), codes.POST, "/echo", make([]byte, 900))
	}
	checkStats(t, g.e)
	if n := len(g.e.peers); n != DefaultMaxPeers {
		t.Errorf("%d peers", n)
	}
}

func TestWellKnown(t *testing.T) {
	rs := []*Resource{
		{Path: "/a", Type: "temperature-c core.rd", Interface: "sensor", Title: `the "a"`},
		{Path: "/b/c", Type: "light-lux", Formats: []message.MediaType{0, 50}, Observable: true, Size: func() int { return 12 }},
	}
	const a, b = `</a>;rt="temperature-c core.rd";if="sensor";title="the \"a\""`, `</b/c>;rt="light-lux";ct="0 50";sz=12;obs`
	for q, want := range map[string]string{
		"": a + "," + b, "rt=light-lux": b, "rt=core.rd": a, "rt=core": "", "rt=temp*": a, "href=/b*": b, "href=/a": a,
		"ct=50": b, "sz=12": b, "obs": b, "if=sensor": a, "title=the*": a, "foo=bar": "", "rt=*": a + "," + b, "if=*": a, `rt="light-lux"`: b,
	} {
		var queries []string
		if q != "" {
			queries = []string{q}
		}
		if got := string(wellKnown(rs, queries)); got != want {
			t.Errorf("?%s:\n got %s\nwant %s", q, got, want)
		}
	}
}

// Property: whatever datagrams come at whatever times, every one is accounted for, no
// table outgrows its limit, and what is sent can be decoded (the rig checks).
func FuzzEndpoint(f *testing.F) {
	g := newRig(f, Options{})
	add := func(bs ...[]byte) {
		var in []byte
		for _, b := range bs {
			in = append(in, 1, byte(len(b)))
			in = append(in, b...)
		}
		f.Add(in)
	}
	add([]byte{0x40, 0, 0, 1}, []byte{0x40, 0, 0, 1, 0})
	add(g.encode(0, 1, codes.GET, "/counter", "ab", nil, opt(message.Observe)), []byte{0x60, 0, 0, 1}, g.encode(0, 2, codes.GET, "/large", "b", nil, blockOpt(message.Block2, 1, false, 2)))
	add(g.encode(0, 1, codes.PUT, "/large", "ab", make([]byte, 16), blockOpt(message.Block1, 0, true, 0)), g.encode(0, 2, codes.PUT, "/large", "ac", make([]byte, 9), blockOpt(message.Block1, 1, false, 0)))
	add(g.encode(1, 1, codes.POST, "/echo", "", make([]byte, 64), blockOpt(message.Block1, 0, false, 3), opt(optRequestTag, 1, 2), blockOpt(message.Block2, 0, false, 0)), g.encode(0, 2, codes.POST, "/echo", "x", nil, blockOpt(message.Block2, 1, false, 0), opt(optRequestTag, 1, 2)))
	f.Fuzz(func(t *testing.T, in []byte) {
		g := newRig(t, Options{MaxPeers: 4, MaxObservers: 4, MaxTransfers: 2})
		for len(in) >= 2 {
			op, n := in[0], min(int(in[1]), len(in)-2)
			b := in[2 : 2+n]
			in = in[2+n:]
			from := netip.AddrPortFrom(alice.Addr(), uint16(op&7))
			g.sent, g.to = nil, nil
			before := bytes.Clone(b)
			local := netip.Addr{}
			if op&16 != 0 {
				local = everyone
			}
			_ = g.e.handle(g.now, from, local, b)
			if !bytes.Equal(b, before) {
				t.Fatal("wrote to the datagram")
			}
			if len(g.sent) > 1+DefaultMaxObservers {
				t.Fatalf("%d answers", len(g.sent))
			}
			checkStats(t, g.e)
			if d := g.e.deadline(); op&8 != 0 && !d.IsZero() {
				g.now = d
				g.e.advance(d)
				if n := g.e.deadline(); !n.IsZero() && !n.After(d) {
					t.Fatalf("deadline %v is not after %v", n, d)
				}
			}
			g.now = g.now.Add(time.Duration(op>>4) * 100 * time.Millisecond)
		}
		for range 10000 { // everything ends, but for the observers that are heard from
			d := g.e.deadline()
			if d.IsZero() {
				return
			}
			g.e.advance(d)
		}
		t.Fatal("does not come to rest")
	})
}

func BenchmarkGet(b *testing.B) {
	o := Options{Rand: rand.New(rand.NewPCG(1, 2))}
	o.setDefaults()
	e := newEndpoint(o, func(netip.AddrPort, netip.Addr, []byte) {})
	g := rig{t: b}
	req := g.encode(message.Confirmable, 1, codes.GET, "/large", "token", nil, blockOpt(message.Block2, 3, false, 2))
	now := t0
	b.ReportAllocs()
	for i := uint16(0); b.Loop(); i++ {
		binary.BigEndian.PutUint16(req[2:], i)
		if err := e.handle(now, alice, netip.Addr{}, req); err != nil {
			b.Fatal(err)
		}
		now = now.Add(time.Millisecond)
	}
}

package ipv6

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// original is the packet of one datagram: a UDP packet behind destination options, whose
// data says where it is from.
func original(src netip.Addr, id, size int) Packet {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i*7 + i>>8 + id)
	}
	u := AppendUDP(nil, netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(nodeB, 2000), 64, data)
	b := AppendHeader(nil, 0, 0, 8+len(u)-HeaderLen, ProtoDstOpts, 64, src, nodeB)
	b = append(b, ProtoUDP, 0, OptPadN, 4, 0, 0, 0, 0)
	return append(b, u[HeaderLen:]...)
}

// cut makes fragments of p of at most size bytes of data, split behind the first n bytes.
func cut(p Packet, n, size, id int) (out []Packet) {
	named := 6
	if n > HeaderLen {
		named = HeaderLen
	}
	for from := n; from < len(p); from += size {
		end := min(from+size, len(p))
		q := slices.Clone(p[:n])
		q = append(q, p[named], 0)
		q[named] = ProtoFragment
		field := uint16(from - n)
		if end < len(p) {
			field |= 1
		}
		q = binary.BigEndian.AppendUint16(q, field)
		q = binary.BigEndian.AppendUint32(q, uint32(id))
		q = append(q, p[from:end]...)
		binary.BigEndian.PutUint16(q[4:], uint16(len(q)-HeaderLen))
		out = append(out, q)
	}
	return out
}

// frag is one fragment with the data b of a packet from nodeA to nodeB.
func frag(id, from int, more bool, b []byte) Packet {
	p := AppendHeader(nil, 0, 0, 8+len(b), ProtoFragment, 64, nodeA, nodeB)
	field := uint16(from)
	if more {
		field |= 1
	}
	p = append(p, 59, 0)
	p = binary.BigEndian.AppendUint16(p, field)
	p = binary.BigEndian.AppendUint32(p, uint32(id))
	return append(p, b...)
}

// An account checks that every packet that went in came out exactly once.
type account struct {
	t        testing.TB
	r        *Reassembler
	held     [4]int
	consumed int
	dropped  map[error]int
	errors   []reported
	returned int
	inputs   int
}

type reported struct {
	cause     Packet
	m         Meta
	typ, code uint8
	param     uint32
}

func newAccount(t testing.TB, cfg ReassemblyConfig) *account {
	a := &account{t: t, dropped: map[error]int{}}
	cfg.Released = func(_ time.Time, port, n int, err error) {
		if n <= 0 {
			t.Errorf("released %d", n)
		}
		if a.held[port] -= n; a.held[port] < 0 {
			t.Errorf("port %d: released more than was held", port)
		}
		if err == nil {
			a.consumed += n
		} else {
			a.dropped[err] += n
		}
	}
	cfg.Error = func(_ time.Time, cause Packet, m Meta, typ, code uint8, param uint32) {
		a.errors = append(a.errors, reported{slices.Clone(cause), m, typ, code, param})
	}
	a.r = NewReassembler(cfg)
	return a
}

func (a *account) input(now time.Time, p Packet, port int) (Packet, error) {
	a.t.Helper()
	a.inputs++
	whole, err := a.r.Input(now, p, Meta{Port: port})
	switch err {
	case nil:
		a.returned++
	case ErrHeld:
		a.held[port]++
	default:
		if _, ok := err.(Drop); !ok {
			a.t.Fatalf("error %v", err)
		}
		a.dropped[err]++
	}
	a.check()
	return whole, err
}

func (a *account) check() {
	a.t.Helper()
	held, dropped := 0, 0
	for _, n := range a.held {
		held += n
	}
	for _, n := range a.dropped {
		dropped += n
	}
	if a.inputs != a.returned+a.consumed+held+dropped {
		a.t.Fatalf("%d in, %d whole, %d parts, %d held, %d dropped", a.inputs, a.returned, a.consumed, held, dropped)
	}
	if got := a.r.Held(); got != held {
		a.t.Fatalf("Held = %d, want %d", got, held)
	}
	if n := a.r.Len(); n > a.r.cfg.MaxDatagrams || n > 0 == a.r.Deadline().IsZero() {
		a.t.Fatalf("%d packets, deadline %v", n, a.r.Deadline())
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestReassembly(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, size := range []int{1, 100, 1232, 1900} {
		for _, piece := range []int{8, 64, 1232} {
			for _, behind := range []int{HeaderLen, HeaderLen + 8} {
				p := original(nodeA, size, size)
				parts := cut(p, behind, piece, size)
				if behind == HeaderLen && piece == 8 || len(parts) == 1 {
					continue // RFC 7112: the first holds the options only; RFC 6946: all there
				}
				for range 20 {
					a := newAccount(t, ReassemblyConfig{})
					order := rnd.Perm(len(parts))
					for i, k := range order {
						whole, err := a.input(start, parts[k], k%4)
						if i < len(order)-1 {
							if err != ErrHeld {
								t.Fatalf("fragment %d: %v", k, err)
							}
							if j := order[rnd.IntN(i+1)]; rnd.IntN(4) == 0 {
								if _, err := a.input(start, parts[j], 0); err != DropDuplicate {
									t.Fatalf("fragment %d again: %v", j, err)
								}
							}
							continue
						}
						if err != nil || !bytes.Equal(whole, p) {
							t.Fatalf("%v\n got %x\nwant %x", err, whole, p)
						}
					}
					if a.r.Len() != 0 || len(a.errors) != 0 {
						t.Fatalf("%d left, errors %v", a.r.Len(), a.errors)
					}
				}
			}
		}
	}
}

func TestReassemblyPassesOthers(t *testing.T) {
	a := newAccount(t, ReassemblyConfig{})
	for name, p := range map[string]Packet{
		"no fragment":              original(nodeA, 1, 10),
		"RFC 6946 atomic fragment": frag(1, 0, false, hexBytes("00")),
	} {
		if got, err := a.input(start, p, 0); err != nil || &got[0] != &p[0] || len(got) != len(p) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An atomic fragment does not meet fragments of the same identification.
	a.input(start, frag(1, 8, true, make([]byte, 8)), 0)
	if _, err := a.input(start, frag(1, 0, false, make([]byte, 8)), 0); err != nil {
		t.Error(err)
	}
	if _, err := a.input(start, packetOf(0, nodeB, "2c00be0400000000"+"3a00000100000001"), 0); err != DropOption {
		t.Error(err)
	}
}

// Each way in which a fragment can be wrong, after and before the good one beside it.
func TestReassemblyRefuses(t *testing.T) {
	b := func(n int) []byte { return bytes.Repeat([]byte{7}, n) }
	udpHead := func(id, from int, more bool, next uint8, data []byte) Packet {
		p := frag(id, from, more, data)
		p[40] = next
		return p
	}
	for _, tc := range []struct {
		name  string
		good  []Packet // all held
		bad   Packet
		err   Drop
		dead  bool // what was held is given up with it
		typ   uint8
		code  uint8
		param uint32
	}{
		{"RFC 8200 4.5: length no multiple of 8", []Packet{frag(1, 16, true, b(8))}, frag(1, 0, true, b(7)), DropFragment, false, ICMPParamProblem, 0, 4},
		{"RFC 8200 4.5: beyond 65535", nil, frag(1, 65528, false, b(16)), DropFragment, false, ICMPParamProblem, 0, 42},
		{"no data", nil, frag(1, 8, false, nil), DropFragment, false, 0, 0, 0},
		{"RFC 5722: overlap at the front", []Packet{frag(1, 16, true, b(16))}, frag(1, 8, true, b(16)), DropFragment, true, 0, 0, 0},
		{"RFC 5722: overlap at the back", []Packet{frag(1, 16, true, b(16))}, frag(1, 24, true, b(16)), DropFragment, true, 0, 0, 0},
		{"RFC 5722: inside", []Packet{frag(1, 16, true, b(32))}, frag(1, 24, true, b(8)), DropFragment, true, 0, 0, 0},
		{"RFC 5722: around", []Packet{frag(1, 16, true, b(8)), frag(1, 24, true, b(8))}, frag(1, 16, true, b(16)), DropFragment, true, 0, 0, 0},
		{"RFC 5722: shorter of the same start", []Packet{frag(1, 16, true, b(16))}, frag(1, 16, true, b(8)), DropFragment, true, 0, 0, 0},
		{"same place, other bytes", []Packet{frag(1, 16, true, b(16))}, frag(1, 16, true, make([]byte, 16)), DropFragment, true, 0, 0, 0},
		{"same place, not the last any more", []Packet{frag(1, 16, false, b(16))}, frag(1, 16, true, b(16)), DropFragment, true, 0, 0, 0},
		{"same place, the last now", []Packet{frag(1, 16, true, b(16))}, frag(1, 16, false, b(16)), DropFragment, true, 0, 0, 0},
		{"last that grows in its last block", []Packet{frag(1, 16, false, b(10))}, frag(1, 16, false, b(12)), DropFragment, true, 0, 0, 0},
		{"last that shrinks in its last block", []Packet{frag(1, 16, false, b(12))}, frag(1, 16, false, b(10)), DropFragment, true, 0, 0, 0},
		{"behind the last", []Packet{frag(1, 16, false, b(8))}, frag(1, 32, true, b(8)), DropFragment, true, 0, 0, 0},
		{"another last", []Packet{frag(1, 16, false, b(8))}, frag(1, 40, false, b(8)), DropFragment, true, 0, 0, 0},
		{"last in front of others", []Packet{frag(1, 40, true, b(8))}, frag(1, 16, false, b(8)), DropFragment, true, 0, 0, 0},
		{"too large", []Packet{frag(1, 0, true, b(8))}, frag(1, 2008, true, b(8)), DropFragment, true, 0, 0, 0},
		{"exact duplicate", []Packet{frag(1, 16, true, b(16))}, frag(1, 16, true, b(16)), DropDuplicate, false, 0, 0, 0},
		{"exact duplicate of the last", []Packet{frag(1, 16, false, b(13))}, frag(1, 16, false, b(13)), DropDuplicate, false, 0, 0, 0},
		{"exact duplicate with neighbours", []Packet{frag(1, 16, true, b(16)), frag(1, 8, true, b(8)), frag(1, 32, true, b(8))}, frag(1, 16, true, b(16)), DropDuplicate, false, 0, 0, 0},
		{"RFC 7112: chain goes on in the next", []Packet{frag(1, 16, true, b(8))}, udpHead(1, 0, true, ProtoDstOpts, hexBytes("1101010400000000")), DropTruncated, false, ICMPParamProblem, 3, 0},
		{"RFC 7112: nothing of UDP", nil, udpHead(1, 0, true, ProtoDstOpts, hexBytes("1100010400000000")), DropTruncated, false, ICMPParamProblem, 3, 0},
		{"RFC 7112: TCP header cut", nil, udpHead(1, 0, true, ProtoTCP, b(16)), DropTruncated, false, ICMPParamProblem, 3, 0},
		{"fragment of a fragment", []Packet{frag(1, 8, false, b(8))}, udpHead(1, 0, true, ProtoFragment, hexBytes("3b00000800000001")), DropFragment, true, 0, 0, 0},
		{"fragment of an atomic fragment", []Packet{frag(1, 8, false, b(8))}, udpHead(1, 0, true, ProtoFragment, hexBytes("3b00000000000001")), DropFragment, true, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAccount(t, ReassemblyConfig{})
			for _, p := range tc.good {
				if _, err := a.input(start, p, 1); err != ErrHeld {
					t.Fatalf("good fragment: %v", err)
				}
			}
			if _, err := a.input(start, tc.bad, 2); err != tc.err {
				t.Errorf("err = %v, want %v", err, tc.err)
			}
			if dead := a.r.Held() == 0; len(tc.good) > 0 && dead != tc.dead {
				t.Errorf("%d held", a.r.Held())
			}
			var got reported
			if len(a.errors) > 0 {
				got = a.errors[0]
			}
			if got.typ != tc.typ || got.code != tc.code || got.param != tc.param || got.typ != 0 && (!bytes.Equal(got.cause, tc.bad) || got.m.Port != 2) {
				t.Errorf("error %+v", got)
			}
			if tc.dead {
				// RFC 5722 section 4: "including those not yet received".
				if _, err := a.input(start.Add(59*time.Second), frag(1, 1000, true, b(8)), 0); err != DropFragment {
					t.Errorf("the rest: %v", err)
				}
				errs := len(a.errors)
				a.r.Advance(start.Add(60 * time.Second))
				if a.r.Len() != 0 || len(a.errors) != errs {
					t.Errorf("%d left, errors %v", a.r.Len(), a.errors)
				}
			}
		})
	}
}

func TestReassemblyTimeout(t *testing.T) {
	p := original(nodeA, 1, 200)
	parts := cut(p, HeaderLen+8, 64, 5)
	for _, withFirst := range []bool{false, true} {
		a := newAccount(t, ReassemblyConfig{})
		a.input(start, parts[1], 1)
		if withFirst {
			a.input(start.Add(time.Second), parts[0], 2)
		}
		if got := a.r.Deadline(); !got.Equal(start.Add(60 * time.Second)) {
			t.Errorf("deadline %v", got)
		}
		a.r.Advance(start.Add(60*time.Second - 1))
		if a.r.Len() != 1 {
			t.Error("given up early")
		}
		a.r.Advance(start.Add(60 * time.Second))
		a.check()
		if a.r.Len() != 0 || a.r.Held() != 0 {
			t.Error("not given up")
		}
		if !withFirst {
			if len(a.errors) != 0 || a.dropped[DropReassemblyTimeout] != 1 {
				t.Errorf("errors %v, dropped %v", a.errors, a.dropped)
			}
			continue
		}
		if a.dropped[DropReassemblyTimeout] != 2 || len(a.errors) != 1 {
			t.Fatalf("errors %v, dropped %v", a.errors, a.dropped)
		}
		if e := a.errors[0]; e.typ != ICMPTimeExceeded || e.code != 1 || e.m.Port != 2 || !bytes.Equal(e.cause, parts[0]) {
			t.Errorf("error %+v", e)
		}
	}
	// Input sees by itself that the old one has run out.
	a := newAccount(t, ReassemblyConfig{Timeout: time.Second})
	for i, part := range parts {
		if _, err := a.input(start.Add(time.Duration(i)*time.Second), part, 0); err != ErrHeld {
			t.Errorf("fragment %d: %v", i, err)
		}
	}
}

// The bounds hold, the oldest goes first, and one source cannot push out the others.
func TestReassemblyLimits(t *testing.T) {
	a := newAccount(t, ReassemblyConfig{MaxDatagrams: 8, MaxPerSource: 3})
	source := func(i int) netip.Addr { b := nodeA.As16(); b[13] = byte(i); return netip.AddrFrom16(b) }
	part := func(src, id int) Packet { return cut(original(source(src), id, 500), HeaderLen+8, 256, id)[1] }
	a.input(start, part(1, 1), 0)
	for i := range 100 {
		a.input(start, part(2, i), 1)
	}
	if a.held[0] != 1 || a.held[1] != 3 || a.dropped[DropReassemblyLimit] != 97 {
		t.Errorf("held %v, dropped %v", a.held, a.dropped)
	}
	for i := range 100 {
		a.input(start, part(3+i, i), 2)
	}
	if a.r.Len() != 8 || a.held != [4]int{0, 0, 8, 0} {
		t.Errorf("%d packets, held %v", a.r.Len(), a.held)
	}
	if a := newAccount(t, ReassemblyConfig{MaxDatagrams: 1000, MaxBytes: 10000}); len(a.r.slots) != 10000/MaxPacket {
		t.Errorf("%d slots in 10000 bytes", len(a.r.slots))
	}
	if a := newAccount(t, ReassemblyConfig{MaxSize: 100, MaxBytes: 1}); len(a.r.slots) != 1 || a.r.cfg.MaxSize != 1500 {
		t.Errorf("%+v", a.r.cfg)
	}
}

// Link-local addresses of two links are two nodes, global ones may come by both.
func TestReassemblyZones(t *testing.T) {
	for src, want := range map[string]error{"fe80::1": ErrHeld, "fd00::1": nil} {
		p := original(netip.MustParseAddr(src), 1, 100)
		parts := cut(p, HeaderLen+8, 64, 1)
		a := newAccount(t, ReassemblyConfig{})
		a.input(start, parts[0], 0)
		if _, err := a.input(start, parts[1], 1); err != want {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// RFC 3168 section 5.3.
func TestReassemblyECN(t *testing.T) {
	for _, tc := range []struct {
		in   [2]uint8
		want int // -1: dropped
	}{
		{[2]uint8{0, 0}, 0}, {[2]uint8{1, 1}, 1}, {[2]uint8{2, 2}, 2}, {[2]uint8{3, 3}, 3},
		{[2]uint8{1, 3}, 3}, {[2]uint8{3, 2}, 3}, {[2]uint8{1, 2}, 2}, {[2]uint8{0, 2}, 0},
		{[2]uint8{0, 3}, -1}, {[2]uint8{3, 0}, -1},
	} {
		a := newAccount(t, ReassemblyConfig{})
		parts := cut(original(nodeA, 1, 100), HeaderLen+8, 64, 1)
		for i, p := range parts[:2] {
			p[1] = p[1]&^0x30 | tc.in[i]<<4
			p[0] |= 0xa // DSCP
			whole, err := a.input(start, p, 0)
			if i == 0 {
				continue
			}
			switch {
			case tc.want < 0:
				if err != DropFragment {
					t.Errorf("%v: %v", tc.in, err)
				}
			case err != nil:
				t.Errorf("%v: %v", tc.in, err)
			case whole.TrafficClass() != 0xa0|uint8(tc.want):
				t.Errorf("%v: traffic class %02x", tc.in, whole.TrafficClass())
			}
		}
	}
}

// FuzzReassembly feeds fragments of several packets in any order, again, late, and with
// any bytes in between. Every packet that goes in comes out exactly once: in a whole
// packet, as a drop, or held. A packet none of whose fragments were touched comes out as
// it was. The bounds hold throughout.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 2}, []byte{})
	f.Add([]byte{1, 1, 2, 1, 1, 1, 1, 1, 0, 3, 0, 60, 0, 0, 1}, []byte{})
	f.Add([]byte{2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2}, []byte(frag(0, 8, true, make([]byte, 16))))
	f.Fuzz(func(t *testing.T, ops, raw []byte) {
		if len(ops) > 300 {
			return
		}
		const datagrams = 6
		var whole [datagrams]Packet
		var parts [datagrams][]Packet
		for i := range whole {
			src := nodeA
			if i >= 4 {
				src = netip.MustParseAddr("fd00::c")
			}
			whole[i] = original(src, i, 80+90*i)
			parts[i] = cut(whole[i], HeaderLen+8, 64, i)
		}
		a := newAccount(t, ReassemblyConfig{MaxDatagrams: 4, MaxPerSource: 3})
		touched := false
		now := start
		for ; len(ops) >= 3; ops = ops[3:] {
			i := int(ops[1]) % datagrams
			p := slices.Clone(parts[i][int(ops[2])%len(parts[i])])
			switch ops[0] % 5 {
			case 0, 1:
			case 2:
				q, err := Parse(raw)
				if err != nil {
					continue
				}
				touched, p = true, slices.Clone(q)
			case 3:
				now = now.Add(time.Duration(ops[2]) * time.Second)
				a.r.Advance(now)
				a.check()
				continue
			case 4:
				touched = true
				p[48+int(ops[2])%8] ^= 1 << (ops[1] % 8) // in the fragment header
			}
			got, err := a.input(now, p, int(ops[0]>>6))
			if err != nil {
				continue
			}
			if r, err := Parse(got); err != nil || len(r) != len(got) {
				t.Fatalf("the whole is no packet: %v", err)
			}
			if !touched && !bytes.Equal(got, whole[i]) {
				t.Fatalf("\n got %x\nwant %x", got, whole[i])
			}
		}
		a.r.Advance(now.Add(time.Hour))
		a.check()
		if a.r.Len() != 0 || a.r.Held() != 0 {
			t.Fatalf("%d packets left for ever", a.r.Len())
		}
	})
}

func TestReassemblyAllocs(t *testing.T) {
	r := NewReassembler(ReassemblyConfig{Released: func(time.Time, int, int, error) {}})
	parts := cut(original(nodeA, 1, 1200), HeaderLen+8, 256, 1)
	bad := frag(9, 0, true, make([]byte, 7))
	now := start
	run := func() {
		now = now.Add(time.Second)
		for _, p := range parts {
			r.Input(now, p, Meta{})
			r.Input(now, p, Meta{}) // again: a duplicate, or the first of a packet that times out
		}
		r.Input(now, bad, Meta{})
		r.Advance(now)
	}
	for range 200 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReassembly(b *testing.B) {
	r := NewReassembler(ReassemblyConfig{})
	parts := cut(original(nodeA, 1, 1800), HeaderLen+8, 1232, 1)
	b.ReportAllocs()
	b.SetBytes(1800)
	for b.Loop() {
		for _, p := range parts {
			r.Input(start, p, Meta{})
		}
	}
}

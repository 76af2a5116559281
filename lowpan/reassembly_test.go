package lowpan

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

func testUDPBody(l Link, body []byte) ipv6.Packet {
	src := netip.AddrPortFrom(ipv6.LinkLocal(l.Src), 5683)
	dst := netip.AddrPortFrom(ipv6.LinkLocal(l.Dst), 61616)
	return ipv6.Packet(ipv6.AppendUDP(nil, src, dst, 64, body))
}

// checkReassembler checks what holds at any time.
func checkReassembler(t testing.TB, r *Reassembler) {
	t.Helper()
	s := r.Stats()
	if n := s.Delivered + s.Held + sum(&s.Drops); s.In != n {
		t.Fatalf("in %d, delivered %d + held %d + dropped %d", s.In, s.Delivered, s.Held, sum(&s.Drops))
	}
	n, held := 0, 0
	for e := r.oldest; e != nil; e = e.newer {
		n++
		held += int(e.frames)
		if e.newer != nil && e.newer.deadline.Before(e.deadline) {
			t.Fatal("not in the order of deadlines")
		}
	}
	if uint64(n) != s.Pending || uint64(held) != s.Held {
		t.Fatalf("%d datagrams, %d fragments in the list; counted %d, %d", n, held, s.Pending, s.Held)
	}
	if n > r.limits.Reassemblies || len(r.all) > r.limits.Reassemblies {
		t.Fatalf("%d datagrams, %d buffers, limit %d", n, len(r.all), r.limits.Reassemblies)
	}
	ended := 0
	for e := r.ended; e != nil; e = e.newer {
		ended++
		if e.fate == gathering || e.frames != 0 || e.newer != nil && e.newer.deadline.Before(e.deadline) {
			t.Fatal("an ended datagram that is not, or out of order")
		}
	}
	if n+ended > len(r.all) {
		t.Fatalf("%d datagrams, %d ended, %d buffers", n, ended, len(r.all))
	}
	if r.Deadline().IsZero() != (n+ended == 0) {
		t.Fatal("deadline without a datagram, or the reverse")
	}
}

// fragment cuts p as a sender with room bytes a frame does.
func fragment(t testing.TB, c *Contexts, p ipv6.Packet, l Link, room int, tag uint16, o CompressOptions) (out [][]byte) {
	t.Helper()
	hdr, consumed, err := c.Compress(nil, p, l, o)
	if err != nil {
		t.Fatal(err)
	}
	cut := cutter{b: append(hdr, p[consumed:]...), hdr: len(hdr), consumed: consumed, tag: tag}
	for last := false; !last; {
		var b []byte
		b, last = cut.cut(nil, room)
		out = append(out, b)
	}
	return out
}

var (
	linkA = Link{Src: ipv6.EUI64(0x0212_7400_0000_000a), Dst: ipv6.EUI64(0x0212_7400_0000_0001), PAN: 0x23}
	linkB = Link{Src: ipv6.EUI64(0x0212_7400_0000_000b), Dst: ipv6.EUI64(0x0212_7400_0000_0001), PAN: 0x23}
)

// TestReassemblyDrops causes each reason of the reassembler.
func TestReassemblyDrops(t *testing.T) {
	var c Contexts
	at := time.Unix(100, 0)
	p := testUDP(linkA, 400)
	frags := fragment(t, &c, p, linkA, 102, 9, CompressOptions{})
	mod := func(b []byte, off int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[off:], v)
		return b
	}
	plain := func(size uint16, p []byte) []byte {
		b, _ := FragHeader{Size: size, Tag: 1}.AppendBinary(nil)
		return append(append(b, 0x41), p...)
	}
	for _, tc := range []struct {
		name string
		in   [][]byte
		want Drop
		n    uint64
	}{
		{"header cut short", [][]byte{frags[1][:4]}, DropTruncated, 1},
		{"not a fragment", [][]byte{{0x60, 0, 0, 0, 0}}, DropDispatch, 1},
		{"offset 0 in a FRAGN", [][]byte{mod(frags[1], 4, 0)}, DropFragment, 1},
		{"size less than a header", [][]byte{mod(frags[1], 0, 0xe0, 39)}, DropFragment, 1},
		{"nothing in it", [][]byte{frags[1][:5]}, DropFragment, 1},
		{"past the end", [][]byte{mod(frags[1], 4, 49)}, DropFragment, 1},
		{"length not a multiple of 8", [][]byte{frags[1][:len(frags[1])-1]}, DropFragment, 1},
		{"first with length not a multiple of 8", [][]byte{frags[0][:len(frags[0])-1]}, DropFragment, 1},
		{"twice", [][]byte{frags[1], frags[1]}, DropFragmentDuplicate, 1},
		{"first twice", [][]byte{frags[0], frags[0]}, DropFragmentDuplicate, 1},
		{"same place, other bytes", [][]byte{frags[0], frags[1], mod(frags[1], 20, 0xff, 0xff)}, DropFragmentOverlap, 2},
		{"first with other bytes", [][]byte{frags[0], frags[1], mod(frags[0], 60, 0xff, 0xff)}, DropFragmentOverlap, 2},
		{"shifted", [][]byte{frags[1], mod(frags[1], 4, frags[1][4]+1)}, DropFragmentOverlap, 1},
		{"same start, shorter", [][]byte{frags[1], frags[1][:len(frags[1])-8]}, DropFragmentOverlap, 1},
		{"over two", [][]byte{frags[1], frags[2], append(bytes.Clone(frags[1]), frags[2][5:]...)}, DropFragmentOverlap, 2},
		{"FRAG1 in FRAG1", [][]byte{append(bytes.Clone(frags[0][:4]), frags[0]...)}, DropDispatch, 1},
		{"packet shorter than datagram_size", [][]byte{plain(408, p[:96])}, DropLength, 1},
		{"packet longer than datagram_size", [][]byte{plain(392, p[:96])}, DropLength, 1},
		{"not IPv6", [][]byte{plain(400, mod(p[:96], 0, 0x45))}, DropVersion, 1},
		{"first shorter than 8 bytes", [][]byte{plain(400, p[:7])}, DropTruncated, 1},
		{"first with less than the length", [][]byte{plain(400, p[:5])}, DropTruncated, 1},
		{"part of a header, other length", [][]byte{plain(408, p[:32])}, DropLength, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReassembler(Limits{}, &c)
			for _, b := range tc.in {
				if q, _ := r.Input(at, b, linkA); q != nil {
					t.Error("delivered")
				}
				checkReassembler(t, r)
			}
			if s := r.Stats(); s.Drops[tc.want] != tc.n || sum(&s.Drops) != tc.n {
				t.Errorf("drops %v, want %d of %q", dropList(&s.Drops), tc.n, tc.want)
			}
		})
	}
}

// TestFirstFragmentPartOfHeader has fragments of any multiple of 8 bytes: an uncompressed IPv6
// header may be in several (RFC 4944 section 5.3).
func TestFirstFragmentPartOfHeader(t *testing.T) {
	var c Contexts
	at := time.Unix(100, 0)
	p := testUDP(linkA, 128)
	for n := 8; n < len(p); n += 8 {
		var frags [][]byte
		for off := 0; off < len(p); off += n {
			b, err := FragHeader{Size: uint16(len(p)), Tag: 3, Offset: uint8(off / 8)}.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if off == 0 {
				b = append(b, 0x41)
			}
			frags = append(frags, append(b, p[off:min(off+n, len(p))]...))
		}
		for k := range frags {
			r := NewReassembler(Limits{}, &c)
			var got []byte
			for i := range frags {
				q, err := r.Input(at, frags[(i+k)%len(frags)], linkA)
				if err != nil {
					t.Errorf("%d bytes a fragment, from fragment %d: %v", n, k, err)
				}
				got = append(got, q...)
			}
			if !bytes.Equal(got, p) {
				t.Errorf("%d bytes a fragment, from fragment %d: got %x", n, k, got)
			}
			checkReassembler(t, r)
		}
	}
}

func dropList(a *[NumDrops]uint64) map[string]uint64 {
	m := map[string]uint64{}
	for d, n := range a {
		if n > 0 {
			m[Drop(d).Error()] = n
		}
	}
	return m
}

func TestReassemblyTimeout(t *testing.T) {
	var c Contexts
	at := time.Unix(100, 0)
	for _, tc := range []struct{ set, want time.Duration }{{0, time.Minute}, {2 * time.Minute, time.Minute}, {2 * time.Second, 2 * time.Second}} {
		r := NewReassembler(Limits{ReassemblyTimeout: tc.set}, &c)
		frags := fragment(t, &c, testUDP(linkA, 400), linkA, 102, 9, CompressOptions{})
		r.Input(at, frags[0], linkA)
		r.Input(at.Add(time.Second), frags[1], linkA)
		if d := r.Deadline(); !d.Equal(at.Add(tc.want)) {
			t.Errorf("timeout %v: deadline %v after the first fragment", tc.set, d.Sub(at))
		}
		r.Advance(at.Add(tc.want - 1))
		if s := r.Stats(); s.Held != 2 {
			t.Errorf("held %d before the deadline", s.Held)
		}
		// A fragment that comes too late begins anew, Advance or not.
		if p, err := r.Input(at.Add(tc.want), frags[2], linkA); p != nil || err != nil {
			t.Errorf("late fragment: %v, %v", p, err)
		}
		if s := r.Stats(); s.Held != 1 || s.Drops[DropReassemblyTimeout] != 2 {
			t.Errorf("late fragment: held %d, %v", s.Held, dropList(&s.Drops))
		}
		checkReassembler(t, r)
	}
}

func TestReassemblyLimits(t *testing.T) {
	var c Contexts
	at := time.Unix(100, 0)
	r := NewReassembler(Limits{Reassemblies: 8, ReassembliesPerSource: 3}, &c)
	first := func(l Link, tag uint16) {
		t.Helper()
		at = at.Add(time.Millisecond)
		if _, err := r.Input(at, fragment(t, &c, testUDP(l, 400), l, 102, tag, CompressOptions{})[0], l); err != nil {
			t.Fatal(err)
		}
		checkReassembler(t, r)
	}
	for tag := range uint16(5) {
		first(linkA, tag)
	}
	if s := r.Stats(); s.Pending != 3 || s.Drops[DropReassemblySource] != 2 {
		t.Errorf("one source: %d pending, %v", s.Pending, dropList(&s.Drops))
	}
	// The youngest three of A are left: 2, 3, 4. Others take all the room there is, A's
	// oldest goes first.
	for k := range uint64(6) {
		l := Link{Src: ipv6.EUI64(k + 1), Dst: linkA.Dst}
		first(l, 1)
	}
	if s := r.Stats(); s.Pending != 8 || s.Drops[DropReassemblyLimit] != 1 {
		t.Errorf("all: %d pending, %v", s.Pending, dropList(&s.Drops))
	}
	if r.find(fragKey{linkA.Src, linkA.Dst, 400, 2}) != nil || r.find(fragKey{linkA.Src, linkA.Dst, 400, 3}) == nil {
		t.Error("it was not the oldest that went")
	}
	if got := r.BytesHeld(); got != 8*bufLen {
		t.Errorf("%d bytes", got)
	}
}

// TestReassemblySources interleaves several datagrams of several sources, of each other's
// tags and sizes.
func TestReassemblySources(t *testing.T) {
	var c Contexts
	r := NewReassembler(Limits{ReassembliesPerSource: 6}, &c)
	type stream struct {
		l     Link
		p     ipv6.Packet
		frags [][]byte
	}
	var all []stream
	for k, l := range []Link{linkA, linkB, {Src: linkA.Src, Dst: ipv6.BroadcastShort}, {Src: ipv6.Short(10), Dst: linkA.Dst}} {
		for tag := range 3 {
			p := testUDP(l, 700+8*(tag&1))
			p[60] = byte(k*16 + tag)
			all = append(all, stream{l, p, fragment(t, &c, p, l, 102, uint16(tag), CompressOptions{})})
		}
	}
	done := 0
	for k := len(all[0].frags) - 1; k >= 0; k-- { // the first fragment comes last
		for _, s := range all {
			p, err := r.Input(time.Time{}, s.frags[k], s.l)
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				continue
			}
			if done++; !bytes.Equal(p, s.p) {
				t.Errorf("from %v:\n got %x\nwant %x", s.l.Src, []byte(p), []byte(s.p))
			}
		}
	}
	if done != len(all) {
		t.Errorf("%d datagrams, want %d", done, len(all))
	}
	checkReassembler(t, r)
}

// TestReassemblyChecksum restores an elided UDP checksum once all of the datagram is there.
func TestReassemblyChecksum(t *testing.T) {
	var c Contexts
	r := NewReassembler(Limits{}, &c)
	p := testUDP(linkA, 500)
	frags := fragment(t, &c, p, linkA, 102, 9, CompressOptions{ElideUDPChecksum: true})
	if with := fragment(t, &c, p, linkA, 102, 9, CompressOptions{}); bytes.Equal(with[0], frags[0]) {
		t.Fatal("checksum was not elided")
	}
	for order := range 2 {
		var q ipv6.Packet
		for k := range frags {
			if order == 1 {
				k = len(frags) - 1 - k
			}
			var err error
			if q, err = r.Input(time.Time{}, frags[k], linkA); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(p, q) {
			t.Errorf("order %d:\n got %x\nwant %x", order, []byte(q), []byte(p))
		}
	}
}

// FuzzReassembly gives the fragments of some datagrams in any order, with any repetition
// and loss. What comes out is exactly what went in; what does not come out is held or
// counted.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, uint16(1280), uint8(102))
	f.Add([]byte{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, uint16(1280), uint8(102))
	f.Add([]byte{0, 0x41, 0x81, 0x81, 1, 2, 0x42, 0x82, 0xff, 0, 1}, uint16(300), uint8(81))
	f.Add([]byte{0x80, 0xc1, 0xc2, 0xc3, 0xc4, 0xfe, 0xc0, 0xff, 1, 2}, uint16(400), uint8(60))
	f.Fuzz(func(t *testing.T, order []byte, size uint16, room uint8) {
		var c Contexts
		r := NewReassembler(Limits{Reassemblies: 3, ReassembliesPerSource: 2}, &c)
		links := [4]Link{linkA, linkB, linkA, {Src: ipv6.Short(7), Dst: ipv6.BroadcastShort}}
		var p [4]ipv6.Packet
		var frags [4][][]byte
		for k, l := range links {
			p[k] = testUDP(l, 200+int(size)%1081)
			p[k][56] = byte(k)
			binary.BigEndian.PutUint16(p[k][46:], 0)
			s := ipv6.Checksum(p[k].Src16(), p[k].Dst16(), ipv6.ProtoUDP, p[k].Payload())
			binary.BigEndian.PutUint16(p[k][46:], max(s, 1))
			if s == 0 {
				binary.BigEndian.PutUint16(p[k][46:], 0xffff)
			}
			frags[k] = fragment(t, &c, p[k], l, 40+int(room)%80, uint16(k/2), CompressOptions{ElideUDPChecksum: k == 1})
		}
		now := time.Unix(100, 0)
		for _, o := range order {
			if o == 0xff {
				now = now.Add(59 * time.Second)
				if d := r.Deadline(); !d.IsZero() && !d.After(now) {
					r.Advance(now)
				}
				continue
			}
			k, n := o>>6, int(o&63)
			if n >= len(frags[k]) {
				continue
			}
			q, _ := r.Input(now, frags[k][n], links[k])
			if q != nil && !bytes.Equal(q, p[k]) {
				t.Fatalf("datagram %d:\n got %x\nwant %x", k, []byte(q), []byte(p[k]))
			}
			checkReassembler(t, r)
		}
		r.Advance(now.Add(time.Minute))
		if s := r.Stats(); s.Held != 0 || s.Pending != 0 {
			t.Fatalf("held after the timeout: %+v", s)
		}
	})
}

// FuzzReassemblyBytes gives any bytes, cut into fragments at any place.
func FuzzReassemblyBytes(f *testing.F) {
	for _, v := range readVectors[fragVector](f, "frag.jsonl") {
		var b []byte
		for _, p := range v.Payloads {
			b = append(append(b, byte(min(len(p), 127))), p[:min(len(p), 127)]...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Contexts
		c.Set(0, Context{Prefix: netip.MustParsePrefix("fd00::/64"), Compress: true})
		r := NewReassembler(Limits{Reassemblies: 2}, &c)
		now := time.Unix(100, 0)
		for len(b) > 0 {
			n := min(int(b[0]&127)+1, len(b))
			l := linkA
			if b[0]&128 != 0 {
				l = linkB
			}
			p, err := r.Input(now, b[1:n], l)
			if p != nil {
				if q, e := ipv6.Parse(p); e != nil || len(q) != len(p) || err != nil {
					t.Fatalf("delivered %x: %v, %v", []byte(p), e, err)
				}
			}
			checkReassembler(t, r)
			now = now.Add(time.Second)
			b = b[n:]
		}
	})
}

func TestReassemblyAllocs(t *testing.T) {
	var c Contexts
	r := NewReassembler(Limits{Reassemblies: 4}, &c)
	frags := fragment(t, &c, testUDP(linkA, 1280), linkA, 102, 9, CompressOptions{})
	now := time.Unix(100, 0)
	l := linkA
	n := uint64(0)
	if a := testing.AllocsPerRun(200, func() {
		for _, b := range frags {
			r.Input(now, b, linkA)
		}
		n++ // others that never complete, and a timeout
		l.Src = ipv6.EUI64(n)
		r.Input(now, frags[1], l)
		r.Input(now, frags[1], l)
		now = now.Add(20 * time.Second)
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
	if s := r.Stats(); s.Datagrams == 0 || s.Drops[DropReassemblyTimeout] == 0 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkReassembly1280(b *testing.B) {
	var c Contexts
	r := NewReassembler(Limits{}, &c)
	frags := fragment(b, &c, testUDP(linkA, 1280), linkA, 104, 9, CompressOptions{})
	if len(frags) != 13 {
		b.Fatalf("%d fragments", len(frags))
	}
	now := time.Now()
	b.SetBytes(1280)
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range frags {
			r.Input(now, f, linkA)
		}
	}
	if s := r.Stats(); s.Delivered != s.In {
		b.Fatalf("%+v", s)
	}
}

func BenchmarkCut1280(b *testing.B) {
	var c Contexts
	p := testUDP(linkA, 1280)
	hdr, consumed, _ := c.Compress(nil, p, linkA, CompressOptions{})
	cut := cutter{b: append(hdr, p[consumed:]...), hdr: len(hdr), consumed: consumed, tag: 9}
	buf := make([]byte, 0, 128)
	b.SetBytes(1280)
	b.ReportAllocs()
	for b.Loop() {
		cut.pos = 0
		for last := false; !last; {
			_, last = cut.cut(buf, 104)
		}
	}
}

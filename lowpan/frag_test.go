package lowpan

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"border-router/ipv6"
)

// A fragVector is one line of testdata/frag.jsonl.
type fragVector struct {
	ID         string
	L2Src      string `json:"l2_src"`
	L2Dst      string `json:"l2_dst"`
	PAN        string
	Payloads   []hexBytes
	Header     hexBytes   `json:"header_hex"`
	IPv6       hexBytes   `json:"ipv6_hex"`
	IPv6List   []hexBytes `json:"ipv6_list"`
	Tolerated  []hexBytes `json:"tolerated_ipv6"`
	MaxPayload int        `json:"max_payload"`
	Expect     string
	Fields     struct {
		Kind        string
		Size, Tag   uint16
		Offset      int
		Orig, Final string
		Hops        uint8
	}
}

func (v fragVector) link(t *testing.T) Link {
	t.Helper()
	src, err := ipv6.ParseLinkAddr(v.L2Src)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := ipv6.ParseLinkAddr(v.L2Dst)
	if err != nil {
		t.Fatal(err)
	}
	return Link{Src: src, Dst: dst, PAN: 0xabcd}
}

func TestFragHeader(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		h         FragHeader
	}{
		{"RIOT gnrc_sixlowpan_frag FRAG1", "c15c0005", FragHeader{Size: 348, Tag: 5}},
		{"RIOT gnrc_sixlowpan_frag FRAGN", "e15c00050c", FragHeader{Size: 348, Tag: 5, Offset: 12}},
		{"OpenThread TestLowpanFragmentHeader", "c7ef1234", FragHeader{Size: 2031, Tag: 0x1234}},
		{"OpenThread TestLowpanFragmentHeader", "e7ef123464", FragHeader{Size: 2031, Tag: 0x1234, Offset: 100}},
		{"largest", "e7ffffffff", FragHeader{Size: 2047, Tag: 0xffff, Offset: 255}},
		{"smallest", "c0000000", FragHeader{}},
	} {
		b, _ := hex.DecodeString(c.hex)
		h, n, err := ParseFragHeader(append(b, 1, 2, 3))
		if h != c.h || n != len(b) || err != nil {
			t.Errorf("%s: parse %s: %+v, %d, %v", c.name, c.hex, h, n, err)
		}
		if out, err := c.h.AppendBinary(nil); !bytes.Equal(out, b) || err != nil {
			t.Errorf("%s: append: %x, %v, want %x", c.name, out, err, b)
		}
		for k := range b {
			if _, _, err := ParseFragHeader(b[:k]); err != DropTruncated {
				t.Errorf("%s: prefix of %d bytes: %v", c.name, k, err)
			}
		}
	}
	for _, c := range []struct {
		hex  string
		want Drop
	}{
		{"", DropTruncated},
		{"e7ef1234", DropTruncated},
		{"e7ef123400", DropFragment}, // FRAGN at offset 0
		{"e8ef123464", DropDispatch}, // RFC 8931
		{"c8ef123464", DropDispatch}, // unassigned
		{"4100", DropDispatch},       // not a fragment, though short
		{"7e33000000", DropDispatch},
	} {
		b, _ := hex.DecodeString(c.hex)
		if _, _, err := ParseFragHeader(b); err != c.want {
			t.Errorf("parse %q: %v, want %v", c.hex, err, c.want)
		}
	}
	if _, err := (FragHeader{Size: 2048}).AppendBinary(nil); err != DropFragment {
		t.Errorf("append a size of 2048: %v", err)
	}
}

func TestFragVectors(t *testing.T) {
	for _, v := range readVectors[fragVector](t, "frag.jsonl") {
		t.Run(v.ID, func(t *testing.T) {
			if v.Header != nil {
				testHeaderVector(t, v)
				return
			}
			testPayloadVector(t, v)
			if v.MaxPayload > 0 {
				testCutVector(t, v)
			}
		})
	}
}

func testHeaderVector(t *testing.T, v fragVector) {
	switch v.Fields.Kind {
	case "FRAG1", "FRAGN":
		h, n, err := ParseFragHeader(v.Header)
		want := FragHeader{v.Fields.Size, v.Fields.Tag, uint8(v.Fields.Offset / 8)}
		if h != want || n != len(v.Header) || err != nil {
			t.Errorf("%+v, %d, %v; want %+v", h, n, err, want)
		}
		if _, _, err := ParseFragHeader(v.Header[:len(v.Header)-1]); err != DropTruncated {
			t.Errorf("one byte short: %v", err)
		}
	case "MESH":
		h, n, err := ParseMeshHeader(v.Header)
		if err != nil || n != len(v.Header) || h.HopsLeft != v.Fields.Hops {
			t.Errorf("%+v, %d, %v", h, n, err)
		}
	default: // RFC 8931: recognised, not a fragment of RFC 4944
		if _, _, err := ParseFragHeader(v.Header); err != DropDispatch {
			t.Errorf("%s: %v", v.Fields.Kind, err)
		}
	}
}

func testPayloadVector(t *testing.T, v fragVector) {
	l := v.link(t)
	now := time.Unix(0, 0)
	var c Contexts
	r := NewReassembler(Limits{}, &c)
	var got [][]byte
	drops := 0
	for _, b := range v.Payloads {
		p, err := r.Input(now, b, l)
		if err != nil {
			drops++
		}
		if p != nil {
			got = append(got, bytes.Clone(p))
		}
		checkReassembler(t, r)
	}
	want := v.IPv6List
	switch v.Expect {
	case "datagram":
		want = []hexBytes{v.IPv6}
	case "not-mixed":
		if len(got) > 0 {
			want = v.Tolerated
		}
	case "reject":
		if drops == 0 {
			t.Error("nothing was rejected")
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d datagrams, want %d", len(got), len(want))
	}
	for k := range got {
		if !bytes.Equal(got[k], want[k]) {
			t.Errorf("datagram %d:\n got %x\nwant %x", k, got[k], []byte(want[k]))
		}
	}
	// Whatever did not complete is gone after 60 s.
	r.Advance(now.Add(time.Minute))
	if s := r.Stats(); s.Held != 0 || s.Pending != 0 || !r.Deadline().IsZero() {
		t.Errorf("after 60 s: %d fragments of %d datagrams held", s.Held, s.Pending)
	}
	checkReassembler(t, r)
}

// testCutVector cuts the datagram as the vector's sender did.
func testCutVector(t *testing.T, v fragVector) {
	l := v.link(t)
	var c Contexts
	p, err := ipv6.Parse(v.IPv6)
	if err != nil {
		t.Fatal(err)
	}
	hdr, consumed, err := c.Compress(nil, p, l, CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ := ParseFragHeader(v.Payloads[0])
	cut := cutter{b: append(hdr, p[consumed:]...), hdr: len(hdr), consumed: consumed, tag: h.Tag}
	for k, want := range v.Payloads {
		b, last := cut.cut(nil, v.MaxPayload)
		if !bytes.Equal(b, want) || last != (k == len(v.Payloads)-1) {
			t.Errorf("fragment %d, last %v:\n got %x\nwant %x", k, last, b, []byte(want))
		}
	}
}

// TestCut cuts datagrams of every length into frames of every room and puts them together.
func TestCut(t *testing.T) {
	l := Link{Src: ipv6.EUI64(0x0200_0000_0000_0001), Dst: ipv6.EUI64(0x0200_0000_0000_0002)}
	var c Contexts
	r := NewReassembler(Limits{}, &c)
	buf := make([]byte, 0, 256)
	for _, room := range []int{40, 53, 81, 96, 102, 104, 110} {
		for size := 48; size <= ipv6.MinMTU; size++ {
			p := testUDP(l, size)
			hdr, consumed, err := c.Compress(nil, p, l, CompressOptions{})
			if err != nil {
				t.Fatal(err)
			}
			cut := cutter{b: append(hdr, p[consumed:]...), hdr: len(hdr), consumed: consumed, tag: uint16(size)}
			if !cut.fits(room) {
				t.Fatalf("%d bytes do not fit into frames of %d", size, room)
			}
			for n := 1; ; n++ {
				b, last := cut.cut(buf[:0], room)
				if len(b) > room {
					t.Fatalf("fragment of %d bytes, room %d", len(b), room)
				}
				if n == 1 && last {
					break // whole
				}
				q, err := r.Input(time.Time{}, b, l)
				if err != nil || (q != nil) != last {
					t.Fatalf("size %d, room %d, fragment %d: %v, last %v, got %d bytes", size, room, n, err, last, len(q))
				}
				if last {
					if !bytes.Equal(p, q) {
						t.Fatalf("size %d, room %d: got %x, want %x", size, room, []byte(q), []byte(p))
					}
					break
				}
			}
		}
	}
}

// TestCutHeaders finds compressed headers that the first fragment cannot hold.
func TestCutHeaders(t *testing.T) {
	for _, c := range []struct {
		hdr, consumed, len, room int
		fits                     bool
	}{
		{96, 120, 300, 100, true},  // 4 + 96: nothing behind the headers
		{97, 120, 300, 100, false}, // one byte too many
		{95, 121, 300, 100, false}, // fits, but only 7 bytes short of a multiple of 8
		{95, 127, 300, 100, true},
		{100, 120, 100, 100, true}, // whole
	} {
		cut := cutter{b: make([]byte, c.len), hdr: c.hdr, consumed: c.consumed}
		if got := cut.fits(c.room); got != c.fits {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// testUDP returns a packet of size bytes, at least 48, between the link-local addresses of
// l, with a right checksum and a payload that differs in each byte.
func testUDP(l Link, size int) ipv6.Packet {
	body := make([]byte, size-48)
	for k := range body {
		body[k] = byte(k*7 + k>>8*13 + size)
	}
	return testUDPBody(l, body)
}

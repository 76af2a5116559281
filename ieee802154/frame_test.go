package ieee802154

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDrops(t *testing.T) {
	long := make([]byte, 126)
	long[0] = 1
	for _, c := range []struct {
		name, hex string
		want      Drop
	}{
		{"empty", "", DropTruncated},
		{"no sequence number", "0110", DropTruncated},
		{"cut address", "0108002300ff", DropTruncated},
		{"cut frame counter", "09d8002300ffff08070605040302010d0000", DropTruncated},
		{"cut MIC", "09d80023000100abcd08070605040302010500000000aabb", DropTruncated},
		{"multipurpose", "050000", DropFrameType},
		{"version 3", "013000", DropVersion},
		{"destination mode 1", "0104010203040506", DropAddressing},
		{"source mode 1", "0140010203040506", DropAddressing},
		{"compression with one address", "41900123000100", DropAddressing},
		{"data of 2003 without address", "010001", DropAddressing},
		{"security of 2003", "0988012300010024000200", DropSecurity},
		{"payload element among header elements", "41aa01cdab34127856008000", DropIE},
		{"termination with content", "41aa01cdab34127856013f00", DropIE},
		{"header element among payload elements", "41aa01cdab34127856003f0000", DropIE},
		{"payload termination with content", "41aa01cdab34127856003f01f800", DropIE},
		{"cut element", "41aa01cdab34127856040d0000", DropTruncated},
		{"too long", hex.EncodeToString(long), DropTooLong},
	} {
		var f Frame
		if err := f.Parse(unhex(t, c.hex)); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestEveryAddressing(t *testing.T) {
	addrs := []Addr{{}, Short(0x1234), Extended(0xacde480000000001)}
	n := 0
	for version := range uint8(3) {
		for _, dst := range addrs {
			for _, src := range addrs {
				for _, comp := range []bool{false, true} {
					for _, suppressed := range []bool{false, true} {
						f := Frame{Type: TypeData, Version: version, Dst: dst, Src: src, PANIDCompression: comp, SeqSuppressed: suppressed,
							DstPAN: 0xface, SrcPAN: 0xbeef, Seq: 42, Payload: []byte("payload")}
						b, err := f.AppendBinary([]byte("front"))
						if err != nil {
							continue
						}
						n++
						var g Frame
						if err := g.Parse(b[5:]); err != nil {
							t.Fatalf("%+v: %v", f, err)
						}
						if g.Dst != dst || g.Src != src || string(g.Payload) != "payload" || g.SeqSuppressed != suppressed ||
							g.HasDstPAN && g.DstPAN != 0xface || g.HasSrcPAN && g.SrcPAN != 0xbeef {
							t.Errorf("%+v became %+v", f, g)
						}
						again, err := g.AppendBinary(nil)
						if err != nil || !bytes.Equal(again, b[5:]) {
							t.Errorf("% x became % x", b[5:], again)
						}
					}
				}
			}
		}
	}
	if n != 12+13+36 { // 2003: 8 without and 4 with compression; 2006 and no address more; 2015 all, twice
		t.Errorf("%d combinations can be written", n)
	}
}

func TestAppendDrops(t *testing.T) {
	mic := Frame{Type: TypeData, Version: 1, Dst: Short(1), Security: true, Sec: AuxSecurity{Level: 5}}
	for _, c := range []struct {
		f    Frame
		want Drop
	}{
		{Frame{Type: TypeExtended}, DropFrameType},
		{Frame{Type: TypeData, Version: 3}, DropVersion},
		{Frame{Type: TypeData, Version: 1, SeqSuppressed: true, Dst: Short(1)}, DropVersion},
		{Frame{Type: TypeData, Dst: Addr{Mode: 1}}, DropAddressing},
		{Frame{Type: TypeData}, DropAddressing},
		{Frame{Type: TypeData, Dst: Short(1), PANIDCompression: true}, DropAddressing},
		{Frame{Type: TypeData, Dst: Short(1), Security: true}, DropSecurity},
		{mic, DropSecurity},
		{Frame{Type: TypeData, Dst: Short(1), Payload: make([]byte, 125)}, DropTooLong},
	} {
		if b, err := c.f.AppendBinary([]byte{1}); err != c.want || len(b) != 1 {
			t.Errorf("%+v: % x, %v; want %v", c.f, b, err, c.want)
		}
	}
}

func TestElements(t *testing.T) {
	h, _ := AppendHeaderIE(nil, IE{0x1a, []byte{1, 2, 3, 4}})
	h, _ = AppendHeaderIE(h, IE{HeaderIEHT1, nil})
	p, _ := AppendPayloadIE(nil, IE{2, []byte("beacon")})
	p, _ = AppendPayloadIE(p, IE{PayloadIEEnd, nil})
	f := Frame{Type: TypeData, Version: 2, Dst: Short(1), DstPAN: 2, IEPresent: true, HeaderIEs: h, PayloadIEs: p, Payload: []byte("rest")}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var g Frame
	if err := g.Parse(b); err != nil || !bytes.Equal(g.HeaderIEs, h) || !bytes.Equal(g.PayloadIEs, p) || string(g.Payload) != "rest" {
		t.Errorf("%+v, %v", g, err)
	}
	if e, rest, err := NextPayloadIE(g.PayloadIEs); err != nil || e.ID != 2 || string(e.Content) != "beacon" || len(rest) != 2 {
		t.Errorf("%+v %x %v", e, rest, err)
	}
	if _, err := AppendHeaderIE(nil, IE{0, make([]byte, 128)}); err != DropTooLong {
		t.Error(err)
	}
	if _, err := AppendPayloadIE(nil, IE{16, nil}); err != DropTooLong {
		t.Error(err)
	}
}

func TestBeaconDrops(t *testing.T) {
	var b Beacon
	for _, c := range []struct {
		hex  string
		want Drop
	}{
		{"ffcf00", DropTruncated}, {"ffcf0100", DropTruncated}, {"ffcf0008", DropPayload}, {"ffcf000112", DropTruncated},
	} {
		if err := b.Parse(unhex(t, c.hex)); err != c.want {
			t.Errorf("%s: %v", c.hex, err)
		}
	}
	if _, err := (&Beacon{}).AppendBinary(nil); err != DropPayload {
		t.Error(err)
	}
	// One GTS descriptor, association permitted, PAN coordinator.
	in := unhex(t, "ffcf81010a000f00aabb")
	if err := b.Parse(in); err != nil || !b.PANCoordinator() || !b.AssociationPermit() || string(b.Payload) != "\xaa\xbb" {
		t.Errorf("%+v %v", b, err)
	}
	if out, err := b.AppendBinary(nil); err != nil || !bytes.Equal(out, in) {
		t.Errorf("% x %v", out, err)
	}
}

func TestFCS(t *testing.T) {
	if c := FCS([]byte("123456789")); c != 0x2189 { // the check value of CRC-16/KERMIT
		t.Errorf("%04x", c)
	}
	b := []byte("123456789abcdefghijklmnopqrstuvwxyz")
	for n := range b {
		var want uint16 // bit by bit
		for _, x := range b[:n] {
			want ^= uint16(x)
			for range 8 {
				if want&1 != 0 {
					want = want>>1 ^ 0x8408
				} else {
					want >>= 1
				}
			}
		}
		if c := FCS(b[:n]); c != want {
			t.Errorf("%d bytes: %04x, want %04x", n, c, want)
		}
		with := AppendFCS(bytes.Clone(b[:n]))
		if !CheckFCS(with) {
			t.Errorf("%d bytes: own FCS is wrong", n)
		}
		with[n] ^= 1
		if CheckFCS(with) {
			t.Errorf("%d bytes: a flipped bit passes", n)
		}
	}
	if CheckFCS(nil) || CheckFCS([]byte{0}) {
		t.Error("nothing has a right FCS")
	}
}

func TestStrings(t *testing.T) {
	for d := Drop(1); d < numDrops; d++ {
		if d.Error() == "mac_unknown" {
			t.Errorf("drop %d has no text", d)
		}
	}
	if Drop(0).Error() != "mac_unknown" || Short(0xab).String() != "00ab" || Extended(1).String() != "0000000000000001" || (Addr{}).String() != "none" {
		t.Error("text")
	}
	if TxNoAck.String() != "no_ack" || TxStatus(99).String() != "unknown" || !TxSent.OK() || TxSkipped.OK() || TypeCommand.String() != "command" {
		t.Error("text")
	}
}

// A data frame as RIOT sends it: 2006, PAN compression, 100 bytes of payload.
func riotFrame() []byte {
	f := Frame{Type: TypeData, Version: Version2006, PANIDCompression: true, AckRequest: true, Seq: 7, DstPAN: 0x23,
		Dst: Extended(0x02005e1000000001), Src: Extended(0x02005e10000000aa), Payload: bytes.Repeat([]byte{0x7a}, 100)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func TestAllocs(t *testing.T) {
	b := riotFrame()
	secured := unhex(t, "69dc842143020000000048deac010000000048deac0405000000d43e022b")
	out := make([]byte, 0, MaxFrame)
	var f Frame
	if n := testing.AllocsPerRun(100, func() {
		if f.Parse(b) != nil || f.Parse(secured) != nil || f.Parse(b[:5]) == nil {
			t.Error("parse")
		}
		f.Parse(b)
		out, _ = f.AppendBinary(out[:0])
		out = AppendFCS(out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	in := riotFrame()
	var f Frame
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if f.Parse(in) != nil {
			b.Fatal()
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	in := riotFrame()
	var f Frame
	f.Parse(in)
	out := make([]byte, 0, MaxFrame)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		out, _ = f.AppendBinary(out[:0])
	}
}

func BenchmarkFCS(b *testing.B) {
	in := make([]byte, 125)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		FCS(in)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"mac.jsonl", "malformed.jsonl"} {
		for _, v := range readVectors(f, name) {
			f.Add(v.frame)
		}
	}
	// What parses can be written, reads back as the same, and is the same bytes wherever no
	// reserved bit was set.
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Frame
		if m.Parse(b) != nil {
			return
		}
		var beacon Beacon
		if beacon.Parse(m.Payload) == nil {
			p, err := beacon.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p[3:], m.Payload[3:]) {
				t.Fatalf("beacon % x became % x", m.Payload, p)
			}
		}
		out, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatalf("% x parses and cannot be written: %v", b, err)
		}
		want := bytes.Clone(b)
		want[0] &^= 0x80
		if m.Version < Version2015 {
			want[1] &^= 3
		}
		if m.Security {
			at := m.HeaderLen - len(m.HeaderIEs) - int(m.Sec.ControlLen)
			want[at] &^= 0x80
			if m.Version < Version2015 {
				want[at] &^= 0x60
			}
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("% x\nbecame % x", want, out)
		}
	})
}

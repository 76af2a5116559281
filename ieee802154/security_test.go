package ieee802154

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"testing"
)

func key(t testing.TB, s string) (k [16]byte) {
	if copy(k[:], unhex(t, s)) != 16 {
		t.Fatalf("key %q", s)
	}
	return k
}

// annexKey is the key of the examples in IEEE 802.15.4-2006 Annex C.
const annexKey = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"

func TestSecurityVectors(t *testing.T) {
	n := 0
	for _, v := range readVectors(t, "mac.jsonl") {
		if v.Security == nil {
			continue
		}
		n++
		t.Run(v.ID, func(t *testing.T) {
			c := NewCipher(key(t, v.Key))
			ext, err := strconv.ParseUint(v.SrcExt, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			var f Frame
			if err := f.Parse(v.frame); err != nil {
				t.Fatal(err)
			}
			nonce := counterNonce(ext, f.Sec.FrameCounter, f.Sec.Level)
			if hex.EncodeToString(nonce[:]) != v.Security.Nonce {
				t.Errorf("nonce %x, want %s", nonce, v.Security.Nonce)
			}
			got, err := c.Open(nil, v.frame, &f, ext)
			if err != nil {
				t.Fatal(err)
			}
			want := unhex(t, v.Security.Plain)
			if !bytes.HasSuffix(got, want) || len(got)-len(want) > 1 {
				t.Errorf("payload %x, want %x", got, want)
			}
			if !bytes.Equal(got, f.Payload) {
				t.Errorf("f.Payload %x", f.Payload)
			}
			again, err := c.Seal([]byte("front"), &f, ext)
			if err != nil || !bytes.Equal(again[5:], v.frame) {
				t.Errorf("sealed %x, %v\nwant %x", again, err, v.frame)
			}
			// In place.
			b := bytes.Clone(v.frame)
			if err := f.Parse(b); err != nil {
				t.Fatal(err)
			}
			if got, err = c.Open(b[f.HeaderLen:f.HeaderLen], b, &f, ext); err != nil || !bytes.HasSuffix(got, want) {
				t.Errorf("in place: %x, %v", got, err)
			}
		})
	}
	if n < 28 {
		t.Errorf("%d vectors", n)
	}
}

// TestAnnexC has the examples of IEEE 802.15.4-2006 Annex C.2.
func TestAnnexC(t *testing.T) {
	c := NewCipher(key(t, annexKey))
	for _, tt := range []struct{ name, frame, payload string }{
		{"C.2.1 beacon", "08d0842143010000000048deac020500000055cf000051525354223bc1ec841ab553", "55cf000051525354"},
		{"C.2.2 data", "69dc842143020000000048deac010000000048deac0405000000d43e022b", "61626364"},
		{"C.2.3 command", "2bdc842143020000000048deacffff010000000048deac060500000001d84fde529061f9c6f1", "01ce"},
	} {
		b := unhex(t, tt.frame)
		var f Frame
		if err := f.Parse(b); err != nil {
			t.Fatal(tt.name, err)
		}
		p, err := c.Open(nil, b, &f, euiA)
		if err != nil || hex.EncodeToString(p) != tt.payload {
			t.Errorf("%s: %x, %v", tt.name, p, err)
			continue
		}
		if again, err := c.Seal(nil, &f, euiA); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: again %x, %v", tt.name, again, err)
		}
		// Each bit counts, but for those that the header has as reserved before 2015.
		for bit := range 8 * len(b) {
			if f.Sec.MICLen() == 0 {
				break
			}
			x := bytes.Clone(b)
			x[bit/8] ^= 1 << (bit % 8)
			var g Frame
			if g.Parse(x) != nil {
				continue
			}
			if _, err := c.Open(nil, x, &g, euiA); err == nil && g.Sec.MICLen() > 0 {
				t.Errorf("%s: opens without bit %d", tt.name, bit)
			}
		}
	}
}

func TestOpenBodies(t *testing.T) {
	c := NewCipher(key(t, annexKey))
	for _, tt := range []struct {
		name string
		f    Frame
		open string // what stays in clear at level 5
	}{
		{"command 2006", Frame{Type: TypeCommand, Version: Version2006, Payload: []byte("\x04rest")}, "04"},
		{"command 2006 without more", Frame{Type: TypeCommand, Version: Version2006, Payload: []byte{4}}, "04"},
		{"command 2015", Frame{Type: TypeCommand, Version: Version2015, Payload: []byte("\x04rest")}, ""},
		{"beacon 2006", Frame{Type: TypeBeacon, Version: Version2006, Payload: unhex(t, "55cf0001341251525354")}, "55cf00013412"},
		{"enhanced beacon", Frame{Type: TypeBeacon, Version: Version2015, Payload: unhex(t, "55cf0001341251525354")}, ""},
		{"enhanced acknowledgment", Frame{Type: TypeAck, Version: Version2015, Payload: []byte("ack")}, ""},
		{"empty data", Frame{Type: TypeData, Version: Version2006}, ""},
		{"header elements", Frame{Type: TypeData, Version: Version2015, IEPresent: true, HeaderIEs: unhex(t, "040d01020304803f"), Payload: []byte("data")}, "803f"},
		{"payload elements", Frame{Type: TypeData, Version: Version2015, IEPresent: true, HeaderIEs: unhex(t, "003f"), PayloadIEs: unhex(t, "0290010200f8"), Payload: []byte("data")}, "003f"},
		{"payload elements alone", Frame{Type: TypeData, Version: Version2015, IEPresent: true, HeaderIEs: unhex(t, "003f"), PayloadIEs: unhex(t, "02900102")}, "003f"},
	} {
		for level := uint8(1); level <= 7; level++ {
			f := tt.f
			f.Security, f.Dst, f.Src, f.DstPAN, f.SrcPAN = true, Short(1), Extended(euiB), 0x23, 0x23
			f.Sec = AuxSecurity{Level: level, KeyIDMode: 2, KeyIndex: 9, KeySource: 0xa1b2c3d4, FrameCounter: 1 << 24}
			b, err := c.Seal(nil, &f, euiB)
			if err != nil {
				t.Fatal(tt.name, err)
			}
			var g Frame
			if err := g.Parse(b); err != nil {
				t.Fatal(tt.name, err)
			}
			if _, ok := g.Command(); ok != (f.Type == TypeCommand && (f.Version == Version2006 || level < 4)) {
				t.Errorf("%s: command before opening: %v", tt.name, ok)
			}
			clear := append(append([]byte{}, f.PayloadIEs...), f.Payload...)
			open := unhex(t, tt.open)
			rest := clear[len(open)*btoi(len(f.HeaderIEs) == 0):]
			if got := bytes.Contains(b, rest); len(rest) > 3 && got != (level < 4) {
				t.Errorf("%s, level %d: payload in clear: %v", tt.name, level, got)
			}
			if !bytes.Contains(b, open) {
				t.Errorf("%s, level %d: %x is not in clear", tt.name, level, open)
			}
			p, err := c.Open([]byte("front"), b, &g, euiB)
			if err != nil || !bytes.Equal(p, f.Payload) || !bytes.Equal(g.Payload, f.Payload) || !bytes.Equal(g.PayloadIEs, f.PayloadIEs) {
				t.Errorf("%s, level %d: %x, %x, %v", tt.name, level, g.PayloadIEs, p, err)
			}
			if id, ok := g.Command(); f.Type == TypeCommand && (!ok || id != CommandDataRequest) {
				t.Errorf("%s: command %d, %v", tt.name, id, ok)
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSecurityDrops(t *testing.T) {
	c := NewCipher(key(t, annexKey))
	_, good, f := fullFrame(t, 5)
	parse := func(b []byte) (g Frame) {
		if err := g.Parse(b); err != nil {
			t.Fatal(err)
		}
		return g
	}
	bad := bytes.Clone(good)
	bad[40] ^= 0x80
	g := parse(bad)
	if p, err := c.Open(nil, bad, &g, euiB); err != DropMIC || p != nil {
		t.Errorf("changed: %x, %v", p, err)
	}
	g = parse(good)
	if _, err := c.Open(nil, good, &g, euiA); err != DropMIC {
		t.Errorf("source of another: %v", err)
	}
	if _, err := NewCipher([16]byte{}).Open(nil, good, &g, euiB); err != DropMIC {
		t.Errorf("another key: %v", err)
	}
	if _, err := c.Open(nil, good[:20], &g, euiB); err != DropTruncated {
		t.Errorf("another frame: %v", err)
	}
	if _, err := c.OpenASN(nil, good, &g, euiB, 1); err != DropSecurity {
		t.Errorf("slot number in place of a counter: %v", err)
	}
	g.Sec.Level = 0
	if _, err := c.Open(nil, good, &g, euiB); err != DropSecurity {
		t.Errorf("level 0: %v", err)
	}
	plain := unhex(t, "41d809cdabffff0403020100741202ff")
	g = parse(plain)
	if _, err := c.Open(nil, plain, &g, euiB); err != DropSecurity {
		t.Errorf("not secured: %v", err)
	}
	// A command without an identifier: the MIC takes its place.
	cmd := unhex(t, "4bd8090123ffff04030201007412020d0000000001aabbccdd")
	g = parse(cmd)
	if _, err := c.Open(nil, cmd, &g, euiB); err != DropPayload {
		t.Errorf("empty command: %v", err)
	}
	for name, mod := range map[string]func(f *Frame){
		"not secured":             func(f *Frame) { f.Security = false },
		"level 0":                 func(f *Frame) { f.Sec.Level = 0 },
		"level 8":                 func(f *Frame) { f.Sec.Level = 8 },
		"mode 4":                  func(f *Frame) { f.Sec.KeyIDMode = 4 },
		"2003":                    func(f *Frame) { f.Version = Version2003 },
		"no frame counter":        func(f *Frame) { f.Version, f.Sec.CounterSuppressed = Version2015, true },
		"no frame counter before": func(f *Frame) { f.Sec.CounterSuppressed = true },
	} {
		h := f
		mod(&h)
		if b, err := c.Seal([]byte("front"), &h, euiB); err != DropSecurity || string(b) != "front" {
			t.Errorf("seal, %s: %q, %v", name, b, err)
		}
	}
	f.Payload = append(f.Payload[:len(f.Payload):len(f.Payload)], 0)
	if b, err := c.Seal([]byte("front"), &f, euiB); err != DropTooLong || string(b) != "front" {
		t.Errorf("seal, too long: %q, %v", b, err)
	}
	for _, typ := range []FrameType{TypeCommand, TypeBeacon} {
		f.Type, f.Payload = typ, nil
		if _, err := c.Seal(nil, &f, euiB); err == nil {
			t.Errorf("seals an empty %v", typ)
		}
	}
}

// TestASN secures frames of TSCH: the nonce is made of the slot number.
func TestASN(t *testing.T) {
	c := NewCipher(key(t, annexKey))
	f := Frame{Type: TypeData, Version: Version2015, Security: true, Dst: Short(1), Src: Extended(euiB), DstPAN: 0x23, SrcPAN: 0x23,
		Sec: AuxSecurity{Level: 5, KeyIDMode: 1, KeyIndex: 1, CounterSuppressed: true, ASNInNonce: true}, Payload: []byte("payload")}
	const asn = 0x12_3456_789a
	b, err := c.SealASN(nil, &f, euiB, asn)
	if err != nil {
		t.Fatal(err)
	}
	var g Frame
	if err := g.Parse(b); err != nil || !g.Sec.CounterSuppressed {
		t.Fatal(err, g.Sec)
	}
	nonce := asnNonce(euiB, asn)
	if want := "acde480000000002123456789a"; hex.EncodeToString(nonce[:]) != want {
		t.Errorf("nonce %x, want %s", nonce, want)
	}
	if p, err := c.OpenASN(nil, b, &g, euiB, asn); err != nil || string(p) != "payload" {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := c.OpenASN(nil, b, &g, euiB, asn+1); err != DropMIC {
		t.Errorf("next slot: %v", err)
	}
	if _, err := c.Open(nil, b, &g, euiB); err != DropSecurity {
		t.Errorf("without slot number: %v", err)
	}
	f.Sec.CounterSuppressed, f.Sec.ASNInNonce = false, false
	if _, err := c.SealASN(nil, &f, euiB, asn); err != DropSecurity {
		t.Errorf("with a counter: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	a, b := NewCipher(key(t, annexKey)), NewCipher([16]byte{})
	if a.Fingerprint() != NewCipher(key(t, annexKey)).Fingerprint() || a.Fingerprint() == b.Fingerprint() {
		t.Error("fingerprints do not tell keys apart")
	}
	// FIPS 197: AES-128 of the zero block with the zero key begins so.
	if b.Fingerprint() != 0x66e94bd4ef8a2c3b {
		t.Errorf("%x", b.Fingerprint())
	}
}

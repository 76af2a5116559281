package ieee802154

import (
	"bytes"
	"testing"
)

// FuzzOpen opens any bytes: it does not panic, does not write to them, and what it returns
// is not longer than they are.
func FuzzOpen(f *testing.F) {
	for _, v := range readVectors(f, "mac.jsonl") {
		if v.Security != nil {
			f.Add(v.frame, uint64(euiA))
		}
	}
	for _, v := range readVectors(f, "malformed.jsonl") {
		f.Add(v.frame, uint64(euiB))
	}
	c := NewCipher(key(f, annexKey))
	f.Fuzz(func(t *testing.T, b []byte, ext uint64) {
		var h Frame
		if h.Parse(b) != nil {
			return
		}
		before := bytes.Clone(b)
		for _, open := range []func() ([]byte, error){
			func() ([]byte, error) { return c.Open(nil, b, &h, ext) },
			func() ([]byte, error) { return c.OpenASN(nil, b, &h, ext, ext>>24) },
		} {
			p, err := open()
			if _, ok := err.(Drop); err != nil && !ok {
				t.Fatalf("error %v", err)
			}
			if err != nil && p != nil || len(p) > len(b) || !bytes.Equal(b, before) {
				t.Fatalf("%x, %v of %x", p, err, before)
			}
			if err == nil && h.Sec.MICLen() == 0 && !h.Sec.CounterSuppressed && !h.Sec.ASNInNonce {
				// Nothing is authenticated: whatever opens can be sealed again.
				if _, err := c.Seal(nil, &h, ext); err != nil {
					t.Fatalf("opens but does not seal: %v", err)
				}
			}
		}
	})
}

// FuzzSealOpen seals frames of every kind: what is opened is what was sealed, and with one
// bit changed nothing opens.
func FuzzSealOpen(f *testing.F) {
	f.Add(uint32(0x0509), uint32(5), uint64(0xa1b2c3d4), uint64(euiA), []byte("payload"), []byte{}, uint16(3))
	f.Add(uint32(0x1f6a), uint32(0xfffffffe), uint64(0xa1b2c3d4e5f60718), uint64(euiB), []byte{4}, []byte("\x02\x90\x01\x02"), uint16(77))
	f.Add(uint32(0x0e18), uint32(1<<24), uint64(0), uint64(1), []byte("\x55\xcf\x00\x01\x34\x12beacon"), []byte{}, uint16(200))
	f.Fuzz(func(t *testing.T, kind, counter uint32, source, ext uint64, payload, ies []byte, flip uint16) {
		h := Frame{
			Type: FrameType(kind & 3), Version: uint8(kind >> 2 & 3), Security: true,
			Dst: Short(0x1234), DstPAN: 0xface, SrcPAN: 0xbeef, Src: Extended(ext), Seq: uint8(kind >> 24),
			AckRequest: kind>>16&1 != 0, PANIDCompression: kind>>17&1 != 0, SeqSuppressed: kind>>18&1 != 0,
			Sec:     AuxSecurity{Level: uint8(kind >> 8 & 7), KeyIDMode: uint8(kind >> 11 & 3), KeyIndex: uint8(source), KeySource: source, FrameCounter: counter},
			Payload: payload,
		}
		if kind>>19&1 != 0 {
			h.Src = Short(uint16(ext))
		}
		if h.Version == Version2015 && kind>>20&1 != 0 {
			h.IEPresent, h.HeaderIEs = true, []byte{0x80, 0x3f}
			if n, err := walkPayloadIEs(ies); err == nil && n == len(ies) && n > 0 {
				h.HeaderIEs, h.PayloadIEs = []byte{0x00, 0x3f}, append(bytes.Clone(ies), 0x00, 0xf8)
				if e := ies[n-2:]; bytes.Equal(e, []byte{0x00, 0xf8}) {
					h.PayloadIEs = ies
				}
			}
		}
		c := NewCipher([16]byte{byte(source), 7})
		b, err := c.Seal(nil, &h, ext)
		if err != nil {
			return
		}
		var g Frame
		if err := g.Parse(b); err != nil {
			t.Fatalf("%x does not parse: %v", b, err)
		}
		p, err := c.Open(nil, b, &g, ext)
		if err != nil {
			t.Fatalf("%x does not open: %v", b, err)
		}
		if !bytes.Equal(p, payload) || !bytes.Equal(g.PayloadIEs, h.PayloadIEs) || g.Src != h.Src || g.Type != h.Type || g.Sec.FrameCounter != counter {
			t.Fatalf("%+v became %+v", h, g)
		}
		if again, err := c.Seal(nil, &g, ext); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		if h.Sec.MICLen() < 8 {
			return // four bytes can be right by chance
		}
		n := int(flip) % (8 * len(b))
		b[n/8] ^= 1 << (n % 8)
		var x Frame
		if x.Parse(b) == nil && x.Security && x.Sec.MICLen() >= 8 {
			if _, err := c.Open(nil, b, &x, ext); err == nil {
				t.Fatalf("opens with bit %d changed: %x", n, b)
			}
		}
	})
}

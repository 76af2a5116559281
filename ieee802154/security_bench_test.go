package ieee802154

import "testing"

// fullFrame is a data frame of the largest size, secured at level 5 with key index 1.
func fullFrame(tb testing.TB, level uint8) (c *Cipher, b []byte, f Frame) {
	tb.Helper()
	c = NewCipher(key(tb, annexKey))
	f = Frame{Type: TypeData, Version: Version2006, Security: true, PANIDCompression: true, AckRequest: true,
		DstPAN: 0x23, Dst: Extended(euiA), Src: Extended(euiB),
		Sec: AuxSecurity{Level: level, KeyIDMode: 1, KeyIndex: 1, FrameCounter: 5}}
	f.Payload = make([]byte, MaxFrame-FCSLen-21-6-f.Sec.MICLen())
	b, err := c.Seal(nil, &f, euiB)
	if err != nil || len(b) != MaxFrame-FCSLen {
		tb.Fatal(len(b), err)
	}
	return c, b, f
}

const (
	euiA = 0xacde480000000001
	euiB = 0xacde480000000002
)

func BenchmarkOpen(b *testing.B) {
	c, frame, _ := fullFrame(b, 5)
	dst := make([]byte, 0, MaxFrame)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		var f Frame
		if err := f.Parse(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Open(dst, frame, &f, euiB); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	c, frame, f := fullFrame(b, 5)
	dst := make([]byte, 0, MaxFrame)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Seal(dst, &f, euiB); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSecurityAllocs(t *testing.T) {
	c, frame, f := fullFrame(t, 7)
	bad := append([]byte(nil), frame...)
	bad[len(bad)-1] ^= 1
	dst := make([]byte, 0, MaxFrame)
	if n := testing.AllocsPerRun(100, func() {
		var g Frame
		if g.Parse(frame) != nil {
			t.Fatal("parse")
		}
		if _, err := c.Open(dst, frame, &g, euiB); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(dst, bad, &g, euiB); err != DropMIC {
			t.Fatal(err)
		}
		if _, err := c.Seal(dst, &f, euiB); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

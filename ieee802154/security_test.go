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

package lowpan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"border-router/ipv6"
)

// TestTrailingPad has the options of a header of 16 bytes and what is left out of them.
func TestTrailingPad(t *testing.T) {
	for _, r := range []struct {
		name, options string
		want          int
	}{
		{"none", "1e0c 000000000000000000000000", 0},
		{"Pad1", "1e0b 0000000000000000000000 00", 1},
		{"PadN of 2", "1e0a 00000000000000000000 0100", 2},
		{"PadN of 7", "1e05 0000000000 01050000000000", 7},
		{"PadN of 8", "1e04 00000000 0106000000000000", 0},
		{"only PadN", "010c 000000000000000000000000", 0},
		{"the last of two Pad1", "1e0a 00000000000000000000 00 00", 1},
		{"Pad1 before PadN", "1e09 000000000000000000 00 0100", 2},
		{"PadN not of zeros", "1e08 0000000000000000 0102 0001", 0},
		{"beyond the end", "1e08 0000000000000000 0103 0000", 0},
		{"option cut off", "1e0b 0000000000000000000000 01", 0},
	} {
		o := hexOf(r.options)
		if got := trailingPad(o); got != r.want || len(o) != 14 {
			t.Errorf("%s: %d of %d, want %d", r.name, got, len(o), r.want)
		}
		p := ipv6.AppendHeader(nil, 0, 0, 17, ipv6.ProtoDstOpts, 64, ipv6.LinkLocal(fuzzLinks[0].Src), ipv6.LinkLocal(fuzzLinks[0].Dst))
		p = append(append(append(p, 0xfd, 1), o...), 'x')
		var c Contexts
		b, err := compress(&c, p, fuzzLinks[0], CompressOptions{})
		if err != nil || b[4] != byte(14-r.want) {
			t.Errorf("%s: %x, %v", r.name, b, err)
		}
		if got, err := decompress(&c, b, fuzzLinks[0]); err != nil || !bytes.Equal(got, p) {
			t.Errorf("%s: back again %x, %v", r.name, got, err)
		}
	}
}

// TestLongExtensionHeaders: more than 255 bytes behind the length byte are not encoded.
func TestLongExtensionHeaders(t *testing.T) {
	for _, r := range []struct {
		size, pad int
		encoded   bool
	}{
		{256, 0, true}, {264, 0, false}, {264, 6, false}, {264, 7, true}, {272, 7, false}, {2000, 0, false},
	} {
		t.Run(fmt.Sprint(r.size, "-", r.pad), func(t *testing.T) {
			h := make([]byte, r.size)
			h[0], h[1] = 0xfd, byte(r.size/8-1)
			for at, left := 2, r.size-2-r.pad; left > 0; {
				n := min(left, 100)
				if left-n == 1 {
					n--
				}
				h[at], h[at+1] = 0x1e, byte(n-2)
				at, left = at+n, left-n
			}
			if r.pad > 0 {
				h[r.size-r.pad], h[r.size-r.pad+1] = 1, byte(r.pad-2)
			}
			p := ipv6.AppendHeader(nil, 0, 0, r.size, ipv6.ProtoHopByHop, 64, ipv6.LinkLocal(fuzzLinks[0].Src), ipv6.LinkLocal(fuzzLinks[0].Dst))
			p = append(p, h...)
			binary.BigEndian.PutUint16(p[4:], uint16(r.size))
			var c Contexts
			b, n, err := c.Compress(nil, p, fuzzLinks[0], CompressOptions{})
			if err != nil || n == len(p) != r.encoded || n == 40 == r.encoded {
				t.Fatalf("%d of %d bytes, %v", n, len(p), err)
			}
			if got, err := decompress(&c, append(b, p[n:]...), fuzzLinks[0]); err != nil || !bytes.Equal(got, p) {
				t.Errorf("back again: %v", err)
			}
		})
	}
}

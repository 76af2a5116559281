package ipv6

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"
)

// slowChecksum follows the words of RFC 1071 section 1 and RFC 8200 section 8.1.
func slowChecksum(src, dst [16]byte, proto uint8, b []byte) uint16 {
	h := append([]byte{}, src[:]...)
	h = append(h, dst[:]...)
	h = binary.BigEndian.AppendUint32(h, uint32(len(b)))
	h = append(h, 0, 0, 0, proto)
	h = append(h, b...)
	if len(h)%2 == 1 {
		h = append(h, 0)
	}
	s := uint32(0)
	for i := 0; i < len(h); i += 2 {
		s += uint32(binary.BigEndian.Uint16(h[i:]))
		if s > 0xffff {
			s = s&0xffff + 1
		}
	}
	return ^uint16(s)
}

func TestChecksum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		for _, fill := range []int{0, 0xff, -1} {
			var src, dst [16]byte
			b := make([]byte, n)
			for _, s := range [][]byte{src[:], dst[:], b} {
				for i := range s {
					s[i] = byte(fill)
					if fill < 0 {
						s[i] = byte(rnd.Uint32())
					}
				}
			}
			if got, want := Checksum(src, dst, 58, b), slowChecksum(src, dst, 58, b); got != want {
				t.Fatalf("%d bytes of %x: %04x, want %04x", n, fill, got, want)
			}
		}
	}
}

// FuzzChecksum: the fast sum equals the one by the RFC's words, and a packet with its
// checksum stored sums up to zero.
func FuzzChecksum(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"), []byte("body"), uint8(17))
	f.Add(make([]byte, 32), []byte{0xff, 0xff, 0, 0, 0xff}, uint8(58))
	f.Fuzz(func(t *testing.T, addrs, b []byte, proto uint8) {
		var src, dst [16]byte
		n := copy(src[:], addrs)
		copy(dst[:], addrs[n:])
		got := Checksum(src, dst, proto, b)
		if want := slowChecksum(src, dst, proto, b); got != want {
			t.Fatalf("%04x, want %04x", got, want)
		}
		if len(b) >= 2 {
			m := append([]byte{}, b...)
			m[0], m[1] = 0, 0
			binary.BigEndian.PutUint16(m, Checksum(src, dst, proto, m))
			if c := Checksum(src, dst, proto, m); c != 0 {
				t.Fatalf("a stored checksum leaves %04x", c)
			}
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{8, 64, 1280} {
		b.Run("bytes="+strconv.Itoa(n), func(b *testing.B) {
			p := make([]byte, n)
			var src, dst [16]byte
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Checksum(src, dst, ProtoUDP, p)
			}
		})
	}
}

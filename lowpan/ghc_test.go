package lowpan

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

type ghcVector struct {
	ID, Src, Dst, Expect, Note string
	Payload                    hexBytes `json:"payload_hex"`
	Compressed                 hexBytes `json:"compressed_hex"`
}

func ghcTestDict(src, dst netip.Addr) (d [ghcDictLen]byte) {
	ghcDict(&d, ipv6.AppendHeader(nil, 0, 0, 0, 0, 0, src, dst))
	return d
}

func TestGHCVectors(t *testing.T) {
	for _, v := range readVectors[ghcVector](t, "ghc.jsonl") {
		t.Run(v.ID, func(t *testing.T) {
			src, dst := netip.MustParseAddr(v.Src), netip.MustParseAddr(v.Dst)
			dict := ghcTestDict(src, dst)
			out := make([]byte, 512)
			n, drop := decodeGHC(out, v.Compressed, &dict, DropTooLong)
			if v.Expect == "reject" {
				if drop == 0 {
					t.Errorf("accepted: %x", out[:n])
				}
				return
			}
			if drop != 0 || !bytes.Equal(out[:n], v.Payload) {
				t.Fatalf("got %x, %v\nwant %x", out[:n], drop, v.Payload)
			}
			b, ok := appendGHC(nil, v.Payload, &dict)
			if len(v.Compressed) < len(v.Payload) && (!ok || len(b) > len(v.Compressed)) {
				t.Errorf("encoded in %d bytes, the RFC's encoding has %d: %x", len(b), len(v.Compressed), b)
			}
			if n, drop := decodeGHC(out, b, &dict, DropTooLong); ok && (drop != 0 || !bytes.Equal(out[:n], v.Payload)) {
				t.Errorf("back again: %x, %v", out[:n], drop)
			}

			// The same payload in a datagram.
			p := ipv6.AppendHeader(nil, 0, 0, len(v.Payload), ipv6.ProtoICMPv6, 255, src, dst)
			p = append(p, v.Payload...)
			checkGHC(t, p)
			checkGHC(t, udpPacket(netip.AddrPortFrom(src, 0xf0b1), netip.AddrPortFrom(dst, 5683), 64, v.Payload))
		})
	}
}

// checkGHC sends p through both codecs and returns the number of bytes on the air.
func checkGHC(t testing.TB, p ipv6.Packet) int {
	t.Helper()
	c := Contexts{AcceptGHC: true}
	l := Link{Src: ipv6.EUI64(1), Dst: ipv6.EUI64(2)}
	plain, err := compress(&c, p, l, CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := compress(&c, p, l, CompressOptions{GHC: true})
	if err != nil || len(b) > len(plain) {
		t.Fatalf("%x, %v, longer than %x", b, err, plain)
	}
	if got, err := decompress(&c, b, l); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("%x from %x: %v, want %x", got, b, err, p)
	}
	if len(b) < len(plain) {
		if _, err := decompress(new(Contexts), b, l); err != DropNHC {
			t.Fatalf("accepted unasked: %v", err)
		}
	}
	return len(b)
}

func TestGHCDrops(t *testing.T) {
	dict := ghcTestDict(netip.IPv6Loopback(), netip.IPv6Loopback())
	for _, r := range []struct {
		code string
		room int
		want Drop
	}{
		{"02aa", 9, DropTruncated},
		{"02aaaa", 1, DropTooLong},
		{"8f", 16, DropTooLong},
		{"c0", 1, DropTooLong},
		{"9000", 9, DropGHC},
		{"60", 9, DropGHC},
		{"7f", 9, DropGHC},
		{"91", 9, DropGHC},
		{"afafafafc0", 99, DropGHC},
	} {
		if _, drop := decodeGHC(make([]byte, r.room), hexOf(r.code), &dict, DropTooLong); drop != r.want {
			t.Errorf("%s: %v, want %v", r.code, drop, r.want)
		}
	}
	if n, drop := decodeGHC(make([]byte, 9), hexOf("8090"), &dict, DropTooLong); n != 2 || drop != 0 {
		t.Errorf("with STOP: %d, %v", n, drop)
	}
	c := Contexts{AcceptGHC: true}
	for b, want := range map[string]Drop{"7e33df60": DropGHC, "7e33d7": DropTruncated, "7e33df02": DropTruncated, "7e33b0": DropTruncated, "7e33b8": DropNHC} {
		if _, err := decompress(&c, hexOf(b), fuzzLinks[0]); err != want {
			t.Errorf("%s: %v, want %v", b, err, want)
		}
	}
}

// TestGHCPackets sends random packets, chains and tunnels included, with GHC.
func TestGHCPackets(t *testing.T) {
	g := newGenerator(7400)
	for range 5000 {
		g.newLink()
		p := g.packet(0)
		if at := udpOffset(p); at != 0 && g.IntN(2) == 0 {
			clear(p[at+8:])
		}
		checkGHC(t, p)
	}
	c := Contexts{AcceptGHC: true}
	p := udpPacket(netip.MustParseAddrPort("[fe80::1]:1"), netip.MustParseAddrPort("[fe80::2]:2"), 64, make([]byte, 200))
	hdr, dst := make([]byte, 0, 300), make([]byte, 0, 300)
	o := CompressOptions{GHC: true, Now: time.Unix(1, 0)}
	if n := testing.AllocsPerRun(10, func() {
		b, _, _ := c.Compress(hdr, p, fuzzLinks[0], o)
		c.Decompress(dst, b, fuzzLinks[0], 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzGHC: no bytecode panics, and what it gives comes back the same from the encoder.
func FuzzGHC(f *testing.F) {
	for _, v := range readVectors[ghcVector](f, "ghc.jsonl") {
		f.Add([]byte(v.Compressed))
	}
	dict := ghcTestDict(netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::1a"))
	f.Fuzz(func(t *testing.T, code []byte) {
		out, again := make([]byte, 1300), make([]byte, 1300)
		n, drop := decodeGHC(out, code, &dict, DropTooLong)
		if drop != 0 {
			return
		}
		b, ok := appendGHC(nil, out[:n], &dict)
		if !ok {
			return
		}
		if m, drop := decodeGHC(again, b, &dict, DropTooLong); drop != 0 || !bytes.Equal(again[:m], out[:n]) {
			t.Fatalf("%x encoded as %x gave %x, %v", out[:n], b, again[:m], drop)
		}
	})
}

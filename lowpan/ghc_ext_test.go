package lowpan

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// TestGHCExtensionHeaders has encodings of extension headers by RFC 7400 section 3.2 and the
// headers that they stand for, both ways: "ff02::1" of the dictionary is what the IPv6
// header has as its destination. Where oneWay is set, Compress finds
// another encoding. Wireshark 4.0 knows no GHC: there is nothing to compare with.
func TestGHCExtensionHeaders(t *testing.T) {
	const (
		zeros = "00000000"
	)
	for _, r := range []struct {
		name, code string
		next       uint8
		chain      string // behind the IPv6 header
		oneWay     bool
	}{
		{"hop-by-hop, next header in-line", "b0 3b 02 1e04 82 90", 0,
			"3b 00 1e04 " + zeros, false},
		{"hop-by-hop, UDP behind it", "b1 02 1e04 82 90 f3 12 abcd 55", 0,
			"11 00 1e04 " + zeros + " f0b1 f0b2 0009 abcd 55", false},
		{"padded again", "b6 fd 02 1e09 87 90 aa", 60,
			"fd 01 1e09 " + zeros + zeros + " 00 010100 aa", false},
		{"destination options, without the trailing PadN", "b6 fd 03 1e0889 85 90 aa", 60,
			"fd 01 1e08 89 00000000000000 01020000 aa", false},
		// The destination, 32 bytes into the dictionary, as the only address of a type 2 header.
		{"routing, address out of the dictionary", "b2 3b 02 0201 82 b2 f6 90", 43,
			"3b 02 0201 " + zeros + " ff020000000000000000000000000001", true},
		{"fragment", "b4 11 84 90 0001", 44,
			"11 00 0000 " + zeros + " 0001", false},
		{"fragment, stop code behind a literal", "b4 11 06 000900000001 90", 44,
			"11 00 0009 00000001", true},
		{"two headers, then ICMPv6", "b1 02 1e04 82 90 b7 02 1e04 82 90 df 02 8000 86", 0,
			"3c 00 1e04 " + zeros + " 3a 00 1e04 " + zeros + " 8000 0000000000000000", true},
		{"a header of RFC 6282 between", "b1 02 1e04 82 90 e7 06 1e0401020304 b6 3b 02 1e04 82 90", 0,
			"3c 00 1e04 " + zeros + " 3c 00 1e04 01020304 3b 00 1e04 " + zeros, false},
	} {
		t.Run(r.name, func(t *testing.T) {
			chain := hexOf(r.chain)
			p := ipv6.AppendHeader(nil, 0, 0, len(chain), r.next, 64, netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::1"))
			p = append(p, chain...)
			// fe80::1 needs 8 bytes in-line between these links.
			b := append(hexOf("7e1b 0000000000000001 01"), hexOf(r.code)...)
			c := Contexts{AcceptGHC: true}
			got, err := decompress(&c, b, fuzzLinks[0])
			if err != nil || !bytes.Equal(got, p) {
				t.Errorf("decoded\n     %x, %v\nwant %x", got, err, p)
			}
			if _, err := decompress(new(Contexts), b, fuzzLinks[0]); err != DropNHC {
				t.Errorf("accepted unasked: %v", err)
			}
			w, err := compress(&c, p, fuzzLinks[0], CompressOptions{GHC: true})
			if err != nil || !r.oneWay && !bytes.Equal(w, b) || len(w) > len(b) {
				t.Errorf("encoded\n     %x, %v\nwant %x", w, err, b)
			}
			checkGHC(t, p)
		})
	}
}

func TestGHCExtensionHeaderDrops(t *testing.T) {
	c := Contexts{AcceptGHC: true}
	for _, r := range []struct {
		name, code string
		limits     HeaderLimits
		want       Drop
	}{
		{"nothing", "", HeaderLimits{}, DropTruncated},
		{"no next header", "b0", HeaderLimits{}, DropTruncated},
		{"no bytecode", "b0 3b", HeaderLimits{}, DropTruncated},
		{"no stop code", "b0 3b 84", HeaderLimits{}, DropTruncated},
		{"literal cut short", "b0 3b 06 1e04", HeaderLimits{}, DropTruncated},
		{"reserved bytecode", "b0 3b 91", HeaderLimits{}, DropGHC},
		{"reference before the dictionary", "b0 3b afafafaf c0 90", HeaderLimits{}, DropGHC},
		{"nothing behind NH", "b1 84 90", HeaderLimits{}, DropTruncated},
		{"EID 4, not assigned", "b8 3b 84 90", HeaderLimits{}, DropNHC},
		{"EID 7, not assigned", "bf 84 90", HeaderLimits{}, DropNHC},
		{"fragment header of 7 bytes", "b4 11 85 90", HeaderLimits{}, DropExtHeader},
		{"fragment header of 5 bytes", "b4 11 83 90", HeaderLimits{}, DropExtHeader},
		{"routing header that needs padding", "b2 3b 85 90", HeaderLimits{}, DropExtHeader},
		{"longer than 255 bytes", "b0 3b" + repeatHex("8f", 16) + "90", HeaderLimits{}, DropExtHeaderLimit},
		{"longer than the limit", "b0 3b 87 90", HeaderLimits{ExtHeader: 8}, DropExtHeaderLimit},
		{"too many headers", repeatHex("b1 84 90", 3) + "b0 3b 84 90", HeaderLimits{Headers: 3}, DropNesting},
	} {
		c.Limits = r.limits
		if _, err := decompress(&c, append(hexOf("7e33"), hexOf(r.code)...), fuzzLinks[0]); err != r.want {
			t.Errorf("%s: %v, want %v", r.name, err, r.want)
		}
	}
	// Into a buffer of any length.
	c.Limits = HeaderLimits{}
	b := hexOf("7e33 b0 3b 86 90")
	for n := range 48 {
		if _, err := c.Decompress(make([]byte, 0, n), b, fuzzLinks[0], 0); err != DropTooLong {
			t.Errorf("into %d bytes: %v", n, err)
		}
	}
	if n, err := c.Decompress(make([]byte, 0, 56), b, fuzzLinks[0], 0); n != 56 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestGHCExtensionHeadersAtRandom sends chains of headers that compress well, and counts that
// they are encoded by RFC 7400, down to the bytes that it saves.
func TestGHCExtensionHeadersAtRandom(t *testing.T) {
	g := newGenerator(74003)
	used, icmp := 0, 0
	for range 5000 {
		g.newLink()
		src, dst := g.address(g.link.Src), g.address(g.link.Dst)
		p := ipv6.AppendHeader(nil, 0, 0, 0, 0, 64, src, dst)
		at := 6
		for range 1 + g.IntN(4) {
			proto := []uint8{ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoDstOpts, ipv6.ProtoFragment}[g.IntN(4)]
			n := 8 * (1 + g.IntN(4))
			if proto == ipv6.ProtoFragment {
				n = 8
			}
			h := make([]byte, n)
			if proto == ipv6.ProtoHopByHop || proto == ipv6.ProtoDstOpts {
				h[2], h[3] = 0x1e, byte(n-4)
			}
			for k := 4; k < n; k++ {
				if g.IntN(4) == 0 {
					h[k] = byte(g.IntN(3))
				}
			}
			if n >= 24 && g.IntN(2) == 0 {
				copy(h[8:], p[24:40])
			}
			if proto != ipv6.ProtoFragment {
				h[1] = byte(n/8 - 1)
			}
			p[at] = proto
			at = len(p)
			p = append(p, h...)
		}
		switch g.IntN(3) {
		case 0:
			p[at] = ipv6.ProtoICMPv6
			p = append(p, 128, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0)
		case 1:
			p[at] = 59 // no next header
		default:
			p[at] = ipv6.ProtoUDP
			p = append(p, 0xf0, 0xb1, 0xf0, 0xb2, 0, 12, 1, 2, 0, 0, 0, 0)
		}
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6.HeaderLen))
		c := Contexts{AcceptGHC: true}
		b, err := compress(&c, p, g.link, CompressOptions{GHC: true})
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := compress(&c, p, g.link, CompressOptions{})
		if got, err := decompress(&c, b, g.link); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%x from %x: %v, want %x", got, b, err, p)
		}
		if len(b) > len(plain) {
			t.Fatalf("%x is longer than %x", b, plain)
		}
		if len(b) < len(plain) {
			used++
		}
		if p[at] == ipv6.ProtoICMPv6 && bytes.Contains(b, []byte{nhcGHCICMP}) {
			icmp++
		}
		for n := range b {
			decompress(&c, b[:n], g.link)
		}
	}
	if used < 4000 || icmp < 1000 {
		t.Errorf("%d of 5000 are shorter, ICMPv6 behind headers %d times", used, icmp)
	}
	c := Contexts{AcceptGHC: true}
	p := ipv6.AppendHeader(nil, 0, 0, 24, ipv6.ProtoHopByHop, 64, ipv6.LinkLocal(fuzzLinks[0].Src), ipv6.LinkLocal(fuzzLinks[0].Dst))
	p = append(p, hexOf("3a 00 1e04 00000000 8000 1234 000000000000000000000000")...)
	hdr, dst := make([]byte, 0, 300), make([]byte, 0, 300)
	if n := testing.AllocsPerRun(10, func() {
		b, _, _ := c.Compress(hdr, p, fuzzLinks[0], CompressOptions{GHC: true})
		c.Decompress(dst, b, fuzzLinks[0], 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

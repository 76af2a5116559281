package lowpan

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestDecompressRouted restores packets behind routing headers.
func TestDecompressRouted(t *testing.T) {
	inner := udpPacket(netip.MustParseAddrPort("[2001:db8::1]:61617"), netip.MustParseAddrPort("[2001:db8::2]:61618"), 64, make([]byte, 40))
	var c Contexts
	hdr, consumed, err := c.Compress(nil, inner, linkA, CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	iphc := append(hdr, inner[consumed:]...)
	frame := func(h string) []byte { return append(append([]byte{Page1}, hexOf(h)...), iphc...) }
	root := netip.MustParseAddr("fd00:1:2:3::1")
	with := func(front string, tunnel bool, option string) []byte {
		p := bytes.Clone(inner)
		next := p[6]
		var b []byte
		if tunnel {
			b = append(hexOf("60000000 0000 29"), hexOf(front)...)
			next = ipv6.ProtoIPv6
		} else {
			b, p = append(b, p[:40]...), p[40:]
		}
		if option != "" {
			b[6] = 0
			b = append(append(b, next, 0), hexOf(option)...)
		}
		b = append(b, p...)
		b[4], b[5] = byte((len(b)-40)>>8), byte(len(b)-40)
		return b
	}
	dst := func() string {
		a := inner.Dst().As16()
		return hexString(a[:])
	}()
	const rootHex = "fd000001000200030000000000000001"
	// both is a tunnel of the root around the packet, with options in either.
	both := func(outer, option string) []byte {
		p := with("", false, option)
		b := append(hexOf("60000000 0000 29 3f"), hexOf(rootHex+dst)...)
		if outer != "" {
			b[6] = 0
			b = append(append(b, ipv6.ProtoIPv6, 0), hexOf(outer)...)
		}
		b = append(b, p...)
		b[4], b[5] = byte((len(b)-40)>>8), byte(len(b)-40)
		return b
	}
	for _, tc := range []struct {
		name string
		b    []byte
		root netip.Addr
		want []byte
		drop Drop
	}{
		{"no routing header", frame(""), netip.Addr{}, inner, 0},
		{"RPI", frame("80 05 1e 1234"), netip.Addr{}, with("", false, "23 04 00 1e 1234"), 0},
		{"RPI, instance 0 elided", frame("82 05 1234"), netip.Addr{}, with("", false, "23 04 00 00 1234"), 0},
		{"RPI, all elided, all flags", frame("9f 05 12"), netip.Addr{}, with("", false, "23 04 e0 00 1200"), 0},
		{"unknown elective", frame("a2 77 0102 80 05 1e 1234"), netip.Addr{}, with("", false, "23 04 00 1e 1234"), 0},
		{"tunnel of a node", frame("82 05 1234 a3 06 40 00aa"), root, with("40 fd0000010002000300000000000000aa"+rootHex, true, "23 04 00 00 1234"), 0},
		{"tunnel of the root", frame("a1 06 3f"), root, with("3f"+rootHex+dst, true, ""), 0},
		{"tunnel, whole address", frame("b1 06 3f 20010db8000000000000000000000099"), root, with("3f 20010db8000000000000000000000099"+rootHex, true, ""), 0},
		{"tunnel without a root", frame("a1 06 3f"), netip.Addr{}, nil, DropRoot},
		{"tunnel, three bytes", frame("a4 06 3f 0a0b0c"), root, with("3f fd0000010002000300000000000a0b0c"+rootHex, true, ""), 0},
		{"RPI of the inner packet", frame("a1 06 3f 82 05 1234"), root, both("", "23 04 00 00 1234"), 0},
		{"RPI of both", frame("9f 05 01 a1 06 3f 80 05 1e 1234"), root, both("23 04 e0 00 0100", "23 04 00 1e 1234"), 0},
		{"two RPI of the inner packet", frame("a1 06 3f 82 05 1234 82 05 1234"), root, nil, Drop6LoRH},
		{"tunnel without a hop limit", frame("a0 06"), root, nil, Drop6LoRH},
		{"tunnel longer than an address", frame("b2 06 3f 20010db800000000000000000000009901"), root, nil, Drop6LoRH},
		{"two tunnels", frame("a1 06 3f a1 06 3f"), root, ip6(41, 63, root.String(), inner.Dst().String(), both("", "")), 0},
		{"two RPI", frame("82 05 1234 82 05 1234"), root, nil, Drop6LoRH},
		{"source route", frame("80 00 01"), root, nil, DropSourceRoute},
		{"unknown critical", frame("80 07"), root, nil, Drop6LoRH},
		{"too many", frame(repeatHex("a0 77", maxNHCHeaders+1)), root, nil, DropNesting},
		{"cut short", frame("80 05 1e 1234")[:5], root, nil, DropTruncated},
		{"nothing behind", []byte{Page1}, root, nil, DropTruncated},
		{"not IPHC", append([]byte{Page1, 0x41}, inner...), root, nil, DropDispatch},
		{"Page 0 behind Page 1", append([]byte{Page1, 0xf0}, iphc...), root, inner, 0},
		{"Page 0 behind routing headers", append(hexOf("f1 80 05 1e 1234 f0"), iphc...), root, with("", false, "23 04 00 1e 1234"), 0},
		{"Page 0, uncompressed", append([]byte{0xf0, 0x41}, inner...), root, inner, 0},
		{"Page 0, uncompressed, behind routing headers", append(hexOf("f1 80 05 1e 1234 f0 41"), inner...), root, with("", false, "23 04 00 1e 1234"), 0},
		{"Page 0 at the beginning", append([]byte{0xf0, 0xf0}, iphc...), root, inner, 0},
		{"Page 0, then Page 1", append(hexOf("f0 f1 80 05 1e 1234 f1"), iphc...), root, with("", false, "23 04 00 1e 1234"), 0},
		{"a routing header in Page 0", append(hexOf("f1 f0 80 05 1e 1234"), iphc...), root, nil, DropMesh},
		{"a fragment in Page 0 behind Page 1", append(hexOf("f1 f0 c000 0001"), iphc...), root, nil, DropDispatch},
		{"another page behind Page 1", append([]byte{Page1, 0xf2}, iphc...), root, nil, DropPaging},
		{"another page behind Page 0", append([]byte{0xf0, 0xff}, iphc...), root, nil, DropPaging},
		{"another page", append([]byte{0xf2}, iphc...), root, nil, DropPaging},
		{"empty", nil, root, nil, DropTruncated},
	} {
		c := Contexts{Root: tc.root}
		buf := make([]byte, 0, 2048)
		n, err := c.DecompressRouted(buf, tc.b, linkA)
		if tc.drop != 0 {
			if err != tc.drop {
				t.Errorf("%s: %v, want %v", tc.name, err, tc.drop)
			}
			continue
		}
		if err != nil || !bytes.Equal(buf[:n], tc.want) {
			t.Errorf("%s: %v\n got %x\nwant %x", tc.name, err, buf[:n], tc.want)
			continue
		}
		if p, err := ipv6.Parse(buf[:n]); err != nil || len(p) != n {
			t.Errorf("%s: not IPv6: %v", tc.name, err)
		}
		for k := range cap(buf) {
			if k < n {
				if _, err := c.DecompressRouted(buf[:0:k], tc.b, linkA); err != DropTooLong {
					t.Fatalf("%s into %d bytes: %v", tc.name, k, err)
				}
			}
		}
	}
	buf, rpi := make([]byte, 0, 2048), frame("82 05 1234 a1 06 3f")
	c.Root = root
	if n := testing.AllocsPerRun(100, func() { c.DecompressRouted(buf, rpi, linkA) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRoutedIdentifiers: what LOWPAN_IPHC elides in a tunnel is that of the outer header (RFC
// 8138 section 5.2.3), but for a destination that the outer header takes from the inner one.
func TestRoutedIdentifiers(t *testing.T) {
	c := Contexts{Root: netip.MustParseAddr("fd00::ff:fe00:1")}
	c.Set(0, Context{Prefix: netip.MustParsePrefix("2001:db8::/64"), Compress: true})
	const elided = "7a77 3b" // SAC, SAM 3, DAC, DAM 3
	for _, r := range []struct{ name, front, src, dst string }{
		{"of a node", "f1 a3 06 40 0a0b", "2001:db8::ff:fe00:a0b", "2001:db8::ff:fe00:1"},
		{"of the root", "f1 a1 06 40", "2001:db8::ff:fe00:1", "2001:db8::ff:fe00:5678"},
		{"no tunnel", "f1", "2001:db8::ff:fe00:1234", "2001:db8::ff:fe00:5678"},
	} {
		buf := make([]byte, 0, 200)
		n, err := c.DecompressRouted(buf, hexOf(r.front+elided), fuzzLinks[1])
		p := ipv6.Packet(buf[:n])
		if err == nil && n == 80 {
			p = p[40:]
		}
		if err != nil || p.Src().String() != r.src || p.Dst().String() != r.dst {
			t.Errorf("%s: %v, %x", r.name, err, []byte(p))
		}
	}
}

// TestRoutedFragments joins a datagram whose first fragment has routing headers, a tunnel and
// an elided checksum.
func TestRoutedFragments(t *testing.T) {
	c := Contexts{Root: netip.MustParseAddr("fd00::1")}
	p := udpPacket(netip.MustParseAddrPort("[2001:db8::1]:61617"), netip.MustParseAddrPort("[2001:db8::2]:61618"), 64, bytes.Repeat([]byte("six"), 100))
	hdr, consumed, err := c.Compress(nil, p, linkA, CompressOptions{ElideUDPChecksum: true})
	if err != nil {
		t.Fatal(err)
	}
	whole := append(append(hexOf("f1 82 05 1234 a1 06 40 81 05 1e 03"), hdr...), p[consumed:]...)
	want := make([]byte, 0, 2000)
	n, err := c.DecompressRouted(want, whole, linkA)
	if err != nil || n != len(p)+40+8+8 {
		t.Fatalf("%d of %d bytes, %v", n, len(p), err)
	}
	want = want[:n]
	// The first holds 152 bytes of the packet: four headers, and as much of the payload.
	cut := len(whole) - (n - 152)
	first := append([]byte{0xc0 | byte(n>>8), byte(n), 0, 7}, whole[:cut]...)
	last := append([]byte{0xe0 | byte(n>>8), byte(n), 0, 7, 152 / 8}, whole[cut:]...)
	for _, order := range [][][]byte{{first, last}, {last, first}} {
		r := NewReassembler(Limits{}, &c)
		var got ipv6.Packet
		for _, f := range order {
			if got, err = r.Input(time.Unix(1, 0), f, linkA); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("joined %x\nwant   %x", []byte(got), want)
		}
	}
	for size, drop := range map[int]Drop{40 + 8 + 8 + 39: DropLength, 60: DropLength} {
		if _, err := c.decompressRouted(make([]byte, 0, 2000), whole[:cut], linkA, size); err != drop {
			t.Errorf("as a part of %d bytes: %v, want %v", size, err, drop)
		}
	}
}

func hexString(b []byte) string {
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 2*len(b))
	for _, c := range b {
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

func repeatHex(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

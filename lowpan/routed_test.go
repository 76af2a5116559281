package lowpan

import (
	"bytes"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// TestDecompressRouted restores packets behind routing headers.
func TestDecompressRouted(t *testing.T) {
	inner := testUDP(linkA, 100)
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
		{"tunnel of an odd length", frame("a4 06 3f 010203"), root, nil, Drop6LoRH},
		{"two tunnels", frame("a1 06 3f a1 06 3f"), root, nil, Drop6LoRH},
		{"two RPI", frame("82 05 1234 82 05 1234"), root, nil, Drop6LoRH},
		{"source route", frame("80 00 01"), root, nil, DropSourceRoute},
		{"unknown critical", frame("80 07"), root, nil, Drop6LoRH},
		{"too many", frame(repeatHex("a0 77", maxNHCHeaders+1)), root, nil, DropNesting},
		{"cut short", frame("80 05 1e 1234")[:5], root, nil, DropTruncated},
		{"nothing behind", []byte{Page1}, root, nil, DropTruncated},
		{"not IPHC", append([]byte{Page1, 0x41}, inner...), root, nil, DropDispatch},
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

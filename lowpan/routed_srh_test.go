package lowpan

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// addr16 parses an address.
func addr16(s string) [16]byte { return netip.MustParseAddr(s).As16() }

// sourceRoute returns the routing header of RFC 6554 in hexadecimal, written by hand in the
// tests as far as the addresses go.
func sourceRoute(next, segments uint8, cmpr, addresses string) []byte {
	a := hexOf(addresses)
	pad := -len(a) & 7
	h := append([]byte{next, uint8((len(a) + pad) / 8), 3, segments}, append(hexOf(cmpr), uint8(pad<<4), 0, 0)...)
	return append(append(h, a...), make([]byte, pad)...)
}

// ip6 puts an IPv6 header in front of what is given.
func ip6(next, hops uint8, src, dst string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	s, d := addr16(src), addr16(dst)
	b := []byte{0x60, 0, 0, 0, uint8(len(body) >> 8), uint8(len(body)), next, hops}
	b = append(append(b, s[:]...), d[:]...)
	return append(b, body...)
}

// TestRouted8138 decodes and encodes the examples of RFC 8138 appendix A, and that of RFC 9008
// section 4.3. They are given there as a sequence of headers; the addresses are ours.
func TestRouted8138(t *testing.T) {
	c := Contexts{SourceRoutes: true, Root: netip.MustParseAddr("2001:db8::1")}
	c.Set(0, Context{Prefix: netip.MustParsePrefix("2001:db8::/64"), Compress: true})
	const outside = "2001:db9::99"
	// LOWPAN_IPHC of packets from outside to ::6, from the root to ::6, and from ::6 outside.
	const (
		outsideHex  = "20010db9000000000000000000000099"
		fromOutside = "7e 05" + outsideHex + "0000000000000006" // SAC=0, SAM=0, DAC=1, DAM=1
		udp         = "f0 1633 1634 abcd 0102"
		icmp        = "8000 1234 0001 0002"
	)
	udpPlain := hexOf("1633 1634 000a abcd 0102")
	hbh := func(next uint8, rpi string) []byte { return append([]byte{next, 0, 0x23, 4}, hexOf(rpi)...) }
	link := Link{Src: ipv6.EUI64(0x0200000000000a01), Dst: ipv6.EUI64(0x0200000000000a02)}
	for _, r := range []struct {
		name, hex string
		want      []byte
		encode    string // where it is not hex
	}{
		{
			"figure 15: RPI and tunnel of a node to the root", // the inner source is that of the tunnel
			"f1 81 05 1e 03 a2 06 40 06 7e 70" + outsideHex + udp,
			ip6(0, 64, "2001:db8::6", "2001:db8::1", hbh(41, "00 1e 0300"), ip6(17, 64, "2001:db8::6", outside, udpPlain)), "",
		},
		{
			"figures 16 and 17: RPI, ICMPv6",
			"f1 83 05 01 7a 55 3a 0000000000000006 0000000000000007" + icmp,
			ip6(0, 64, "2001:db8::6", "2001:db8::7", hbh(58, "00 00 0100"), hexOf(icmp)), "",
		},
		{
			"figure 18: RPI, UDP",
			"f1 92 05 0180 7e 55 0000000000000006 0000000000000007" + udp,
			ip6(0, 64, "2001:db8::6", "2001:db8::7", hbh(17, "80 00 0180"), udpPlain), "",
		},
		{
			"figure 19: RPI and tunnel of the root, Storing mode",
			"f1 93 05 01 a1 06 40" + fromOutside + udp,
			ip6(0, 64, "2001:db8::1", "2001:db8::6", hbh(41, "80 00 0100"), ip6(17, 64, outside, "2001:db8::6", udpPlain)), "",
		},
		{
			"RFC 9008 figure 2: to the parent of the destination",
			"f1 80 01 0005 93 05 01 a1 06 40" + fromOutside + udp,
			ip6(0, 64, "2001:db8::1", "2001:db8::5", hbh(41, "80 00 0100"), ip6(17, 64, outside, "2001:db8::6", udpPlain)),
			"f1 80 00 05 93 05 01 a1 06 40" + fromOutside + udp,
		},
		{
			"figure 20: SRH with three addresses, RPI and tunnel, Non-Storing mode",
			"f1 82 01 0302 0403 0504 93 05 01 a1 06 40" + fromOutside + udp,
			ip6(0, 64, "2001:db8::1", "2001:db8::302", hbh(43, "80 00 0100"),
				sourceRoute(41, 2, "ee", "0403 0504"), ip6(17, 64, outside, "2001:db8::6", udpPlain)), "",
		},
		{
			"figure 21: SRH with four addresses, of the root itself",
			"f1 83 01 0302 0403 0504 0605 7e 55 0000000000000001 0000000000000706" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::302", sourceRoute(17, 4, "ee", "0403 0504 0605 0706"), udpPlain), "",
		},
		{
			"figure 21, the last address the destination",
			"f1 83 01 0302 0403 0504 0605 7e 55 0000000000000001 0000000000000605" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::302", sourceRoute(17, 3, "ee", "0403 0504 0605"), udpPlain),
			"f1 82 01 0302 0403 0504 7e 55 0000000000000001 0000000000000605" + udp,
		},
		// The way to ::6 behind D. CmprI is what the routers have in common, CmprE what the
		// destination has in common with the first of them.
		{
			"figure 22: as received by node A",
			"f1 80 03 aaaaaaaaaaaaaaaa 80 01 bbbb 81 02 cccccccc dddddddd 7e 55 0000000000000001 0000000000000006" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::aaaa:aaaa:aaaa:aaaa",
				sourceRoute(17, 4, "c8", "aaaabbbb cccccccc dddddddd 0000000000000006"), udpPlain),
			// As long, with one header less.
			"f1 80 03 aaaaaaaaaaaaaaaa 82 02 aaaabbbb cccccccc dddddddd 7e 55 0000000000000001 0000000000000006" + udp,
		},
		{
			"figure 23: as received by node B",
			"f1 80 03 aaaaaaaaaaaabbbb 81 02 cccccccc dddddddd 7e 55 0000000000000001 0000000000000006" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::aaaa:aaaa:aaaa:bbbb",
				sourceRoute(17, 3, "c8", "cccccccc dddddddd 0000000000000006"), udpPlain), "",
		},
		{
			"figure 24: as received by node C",
			"f1 80 03 aaaaaaaacccccccc 80 02 dddddddd 7e 55 0000000000000001 0000000000000006" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::aaaa:aaaa:cccc:cccc",
				sourceRoute(17, 2, "c8", "dddddddd 0000000000000006"), udpPlain), "",
		},
		{
			"figure 25: as received by node D",
			"f1 80 03 aaaaaaaadddddddd 7e 55 0000000000000001 0000000000000006" + udp,
			ip6(43, 64, "2001:db8::1", "2001:db8::aaaa:aaaa:dddd:dddd",
				sourceRoute(17, 1, "88", "0000000000000006"), udpPlain), "",
		},
		{
			"behind node D",
			"f1 80 03 0000000000000006 7e 55 0000000000000001 0000000000000006" + udp,
			ip6(17, 64, "2001:db8::1", "2001:db8::6", udpPlain), "7e 55 0000000000000001 0000000000000006" + udp,
		},
	} {
		buf := make([]byte, 0, 512)
		n, err := c.DecompressRouted(buf, hexOf(r.hex), link)
		if err != nil || !bytes.Equal(buf[:n], r.want) {
			t.Errorf("%s: %v\n got %x\nwant %x", r.name, err, buf[:n], r.want)
			continue
		}
		if r.encode == "" {
			r.encode = r.hex
		}
		hdr, consumed, err := c.Compress(nil, r.want, link, CompressOptions{RoutingHeaders: true})
		room := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(10, func() { c.Compress(room, r.want, link, CompressOptions{RoutingHeaders: true}) }); n != 0 {
			t.Errorf("%s: %v allocations", r.name, n)
		}
		if b := append(hdr, r.want[consumed:]...); err != nil || !bytes.Equal(b, hexOf(r.encode)) {
			t.Errorf("%s: %v\nencoded %x\nwant    %x", r.name, err, b, hexOf(r.encode))
		}
	}
}

// TestSourceRoutes: where the headers of a source route go, and what they say.
func TestSourceRoutes(t *testing.T) {
	const root = "2001:db8::1"
	c := Contexts{SourceRoutes: true, Root: netip.MustParseAddr(root)}
	link := Link{Src: ipv6.EUI64(0x0200000000000a01), Dst: ipv6.EUI64(0x0200000000000a02)}
	const (
		plain   = "7a 00 3b 20010db8000000000000000000000001 20010db8000000000000000000000009" // to ::9
		longIID = "20010db8000000001111222233334444"
		hbhNHC  = "7e 00 20010db8000000000000000000000001 20010db8000000000000000000000009 e0 3b 06 05 02 0000 0100"
		all     = "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f"
	)
	alert := hexOf("3b 00 0502 0000 0100")
	full := func(n int) (s string) { // n different addresses of 16 bytes
		for k := range n {
			s += "20010db8" + hexString([]byte{byte(k), 0, 0, 0}) + "0000000000000001"
		}
		return s
	}
	for _, r := range []struct {
		name, hex string
		want      []byte
		drop      Drop
	}{
		{"one byte", "f1 80 00 05" + plain, ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 1, "ff", "09")), 0},
		{"four bytes", "f1 80 02 aabbccdd" + plain, ip6(43, 64, root, "2001:db8::aabb:ccdd", sourceRoute(59, 1, "cc", "00000009")), 0},
		{"a whole address", "f1 80 04" + longIID + plain,
			ip6(43, 64, root, "2001:db8::1111:2222:3333:4444", sourceRoute(59, 1, "88", "0000000000000009")), 0},
		{"of another prefix", "f1 80 04 fd000000000000000000000000000002" + plain,
			ip6(43, 64, root, "fd00::2", sourceRoute(59, 1, "00", "20010db8000000000000000000000009")), 0},
		{"the end of another prefix than the way", "f1 82 00 05 06 07 7a 00 3b 20010db8000000000000000000000001 fd000000000000000000000000000009",
			ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 3, "f0", "06 07 fd000000000000000000000000000009")), 0},
		{"the way of another prefix than its first hop", "f1 80 00 05 80 04 fd000000000000000000000000000007" + plain,
			ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 2, "00", "fd000000000000000000000000000007 20010db8000000000000000000000009")), 0},
		{"references in turn", "f1 80 03 1111222233334444 81 00 55 66 80 01 7788" + plain,
			ip6(43, 64, root, "2001:db8::1111:2222:3333:4444", sourceRoute(59, 4, "e8", "4455 4466 7788 0000000000000009")), 0},
		{"two of one type", "f1 80 00 05 80 00 06" + plain, ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 2, "ff", "06 09")), 0},
		{"32 hops", "f1 9f 00" + all + plain, ip6(43, 64, root, "2001:db8::", sourceRoute(59, 32, "ff", all[2:]+"09")), 0},
		{"behind the RPI", "f1 82 05 1234 80 00 05" + plain,
			ip6(0, 64, root, "2001:db8::5", hexOf("2b 00 23 04 00 00 1234"), sourceRoute(59, 1, "ff", "09")), 0},
		{"in front of the RPI", "f1 80 00 05 82 05 1234" + plain,
			ip6(0, 64, root, "2001:db8::5", hexOf("2b 00 23 04 00 00 1234"), sourceRoute(59, 1, "ff", "09")), 0},
		{"not in a row", "f1 80 00 05 82 05 1234 80 00 06" + plain, nil, Drop6LoRH},
		{"not in a row, skipped between", "f1 80 00 05 a0 77 80 00 06" + plain, nil, Drop6LoRH},
		{"behind options by LOWPAN_NHC", "f1 80 00 05" + hbhNHC,
			ip6(0, 64, root, "2001:db8::5", hexOf("2b 00 0502 0000 0100"), sourceRoute(59, 1, "ff", "09")), 0},
		{"behind options as they are", "f1 80 00 05 7a 00 00 20010db8000000000000000000000001 20010db8000000000000000000000009" + hexString(alert),
			ip6(0, 64, root, "2001:db8::5", hexOf("2b 00 0502 0000 0100"), sourceRoute(59, 1, "ff", "09")), 0},
		{"RPI and other options", "f1 82 05 1234" + hbhNHC,
			ip6(0, 64, root, "2001:db8::9", hexOf("3b 01 23 04 00 00 1234 0100 0502 0000 0100")), 0},
		{"RPI, other options and SRH", "f1 80 00 05 82 05 1234" + hbhNHC,
			ip6(0, 64, root, "2001:db8::5", hexOf("2b 01 23 04 00 00 1234 0100 0502 0000 0100"), sourceRoute(59, 1, "ff", "09")), 0},
		{"a tunnel and a route inside", "f1 80 00 07 a1 06 3f 81 00 05 06" + plain,
			ip6(41, 63, root, "2001:db8::7", ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 2, "ff", "06 09"))), 0},
		{"the reference is the encapsulator", "f1 81 00 05 06 a9 06 3f 1111222233334444" + plain,
			ip6(43, 63, "2001:db8::1111:2222:3333:4444", "2001:db8::1111:2222:3333:4405",
				sourceRoute(41, 1, "ff", "06"), ip6(59, 64, root, "2001:db8::9")), 0},
		{"and inside the source of the packet", "f1 a9 06 3f 1111222233334444 80 00 05" + plain,
			ip6(41, 63, "2001:db8::1111:2222:3333:4444", root,
				ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 1, "ff", "09"))), 0},
		{"tunnels in tunnels, the first outermost", "f1 80 00 07 83 05 01 a1 06 03 80 00 08 83 05 02 a2 06 02 0a a1 06 01 83 05 03" + plain,
			ip6(0, 3, root, "2001:db8::7", hexOf("29 00 23 04 00 00 0100"),
				ip6(0, 2, "2001:db8::a", "2001:db8::8", hexOf("29 00 23 04 00 00 0200"),
					ip6(41, 1, root, "2001:db8::9",
						ip6(0, 64, root, "2001:db8::9", hexOf("3b 00 23 04 00 00 0300"))))), 0},
		{"one tunnel more", "f1 a1 06 03 a1 06 02 a1 06 01 a1 06 01" + plain, nil, DropNesting},
		{"one tunnel more, inside", "f1 a1 06 03 a1 06 02 a1 06 01 7e 33 ee" + plain, nil, DropNesting},
		{"126 whole addresses", "f1" + "9f 04" + full(32) + "9f 04" + full(32) + "9f 04" + full(32) + "9e 04" + full(31) + plain,
			ip6(43, 64, root, "2001:db8::1", sourceRoute(59, 127, "44", func() (s string) {
				for k := range 127 {
					if k%32 != 31 {
						s += hexString([]byte{byte(k%32 + 1), 0, 0, 0}) + "0000000000000001"
					} else {
						s += "00000000" + "0000000000000001"
					}
				}
				return s[:126*24] + "00000000" + "0000000000000009"
			}())), 0},
		{"too long for a header", "f1" + repeatHex("9f 04"+full(32), 7) + plain, nil, DropExtHeader},
		{"too many for a header", "f1" + repeatHex("9f 00"+all, 8) + plain, nil, DropExtHeader},
		{"cut short", "f1 81 01 0001", nil, DropTruncated},
		{"nothing behind", "f1 81 01 0001 0002", nil, DropTruncated},
		{"half of LOWPAN_IPHC behind", "f1 81 01 0001 0002" + plain[:9], nil, DropTruncated},
		{"in Page 0", "f1 80 00 05 f0 41" + hexString(ip6(59, 64, root, "2001:db8::9")),
			ip6(43, 64, root, "2001:db8::5", sourceRoute(59, 1, "ff", "09")), 0},
		{"in Page 0, cut short", "f1 80 00 05 f0 41 6000", nil, DropTruncated},
	} {
		buf := make([]byte, 0, 8192)
		n, err := c.DecompressRouted(buf, hexOf(r.hex), link)
		if r.drop != 0 {
			if err != r.drop {
				t.Errorf("%s: %v, want %v", r.name, err, r.drop)
			}
			continue
		}
		if err != nil || !bytes.Equal(buf[:n], r.want) {
			t.Errorf("%s: %v\n got %x\nwant %x", r.name, err, buf[:n], r.want)
			continue
		}
		checkRouted(t, &c, r.want, link, CompressOptions{RoutingHeaders: true})
		for k := range n {
			if _, err := c.DecompressRouted(buf[:0:k], hexOf(r.hex), link); err != DropTooLong {
				t.Fatalf("%s into %d bytes: %v", r.name, k, err)
			}
		}
		frame := hexOf(r.hex)
		if n := testing.AllocsPerRun(10, func() { c.DecompressRouted(buf, frame, link) }); n != 0 {
			t.Errorf("%s: %v allocations", r.name, n)
		}
		want := error(nil)
		for b := frame[1:]; ; {
			h, n, err := ParseRoutingHeader(b)
			if err != nil {
				break
			}
			if count, _ := h.Hops(); count > 0 {
				want = DropSourceRoute
			}
			b = b[n:]
		}
		outside := c
		outside.SourceRoutes = false
		if _, err := outside.DecompressRouted(buf, frame, link); err != want {
			t.Errorf("%s, outside of an RPL domain: %v, want %v", r.name, err, want)
		}
	}
}

// checkRouted encodes p, decodes that and returns the encoding.
func checkRouted(t *testing.T, c *Contexts, p ipv6.Packet, l Link, o CompressOptions) []byte {
	t.Helper()
	hdr, consumed, err := c.Compress(nil, p, l, o)
	if err != nil {
		t.Fatal(err)
	}
	b := append(hdr, p[consumed:]...)
	buf := make([]byte, 0, len(p))
	n, err := c.decompressWhole(buf, b, l)
	if err != nil || !bytes.Equal(buf[:n], p) {
		t.Fatalf("%v\npacket  %x\nencoded %x\nbecame  %x", err, []byte(p), b, buf[:n])
	}
	return b
}

// TestInterfaceSourceRoutes: a node outside of an RPL domain drops what a router of one takes,
// whole, in a mesh header, in fragments and in recoverable ones.
func TestInterfaceSourceRoutes(t *testing.T) {
	l := linkTo(euiB, ipv6.EUI64(euiA))
	c := Contexts{SourceRoutes: true}
	src, via, dst := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("2001:db8::9")
	packet := func(size int) []byte {
		p := ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(dst, 2000), 64, make([]byte, size))
		return ip6(43, 64, src.String(), via.String(), sourceRoute(17, 1, "ff", "09"), p[40:])
	}
	encode := func(p []byte) []byte {
		b := checkRouted(t, &c, p, l, CompressOptions{RoutingHeaders: true})
		if !bytes.HasPrefix(b, hexOf("f1 80 00 05")) {
			t.Fatalf("encoded %x", b)
		}
		return b
	}
	small, large := packet(40), packet(300)
	whole, mesh := encode(small), MeshHeader{l.Src, l.Dst, 3}
	inMesh, _ := mesh.AppendBinary(nil)
	var frags, recoverable [][]byte
	if err := c.Fragment(large, l, CompressOptions{RoutingHeaders: true}, 100, 7, func(f []byte, _ bool) { frags = append(frags, macFrame(l, 1, f)) }); err != nil {
		t.Fatal(err)
	}
	for b, k, at := encode(large), 0, 0; at < len(b); k++ {
		n := min(90, len(b)-at)
		h := RFrag{AckRequest: at+n == len(b), Tag: 9, Sequence: uint8(k), Size: uint16(n), Offset: uint16(at)}
		if k == 0 {
			h.Offset = uint16(len(b))
		}
		f, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		recoverable = append(recoverable, macFrame(l, 1, append(f, b[at:at+n]...)))
		at += n
	}
	for _, r := range []struct {
		name   string
		frames [][]byte
		want   []byte
		drops  uint64
	}{
		{"whole", [][]byte{macFrame(l, 1, whole)}, small, 1},
		{"in a mesh header", [][]byte{macFrame(l, 1, append(inMesh, whole...))}, small, 1},
		{"fragments", frags, large, 1},
		{"recoverable fragments", recoverable, large, uint64(len(recoverable))},
	} {
		for _, router := range []bool{false, true} {
			s := newStation(InterfaceConfig{EUI64: euiA})
			s.Contexts().SourceRoutes = router
			s.input(t, time.Unix(100, 0), r.frames...)
			drops, got := s.Stats().RxDrops[DropSourceRoute], len(s.got)
			if router && (drops != 0 || got != 1 || !bytes.Equal(s.got[0], r.want)) {
				t.Errorf("%s, a router of RPL: %d packets, %d drops", r.name, got, drops)
			}
			if !router && (drops != r.drops || got != 0) {
				t.Errorf("%s, no router of RPL: %d packets, %d drops", r.name, got, drops)
			}
		}
	}
}

// TestRoutedOptions: a hop-by-hop options header that is too long for one option more, or that a
// first fragment does not have all of.
func TestRoutedOptions(t *testing.T) {
	c := Contexts{SourceRoutes: true, Root: netip.MustParseAddr("2001:db8::1")}
	const plain = "7a 00 00 20010db8000000000000000000000001 20010db8000000000000000000000009"
	for _, r := range []struct {
		name, hex string
		size      int
		drop      Drop
	}{
		{"254 units", "f1 82 05 1234" + plain + "3b fe" + repeatHex("00", 255*8-2), 0, 0},
		{"255 units", "f1 82 05 1234" + plain + "3b ff" + repeatHex("00", 256*8-2), 0, DropExtHeader},
		{"255 units and a route", "f1 80 00 05" + plain + "3b ff" + repeatHex("00", 256*8-2), 0, 0},
		{"no options", "f1 82 05 1234" + plain, 0, DropTruncated},
		{"first fragment, options begin", "f1 82 05 1234" + plain + "3b 00 05 02", 200, 0},
		{"first fragment, one byte of options", "f1 82 05 1234" + plain + "3b", 200, DropTruncated},
		{"first fragment, a route behind options", "f1 80 00 05" + plain + "3b 00 0502 0000 0100", 200, 0},
		{"first fragment, a route behind options that are cut", "f1 80 00 05" + plain + "3b 00 0502 0000 01", 200, DropTruncated},
		{"first fragment, uncompressed header cut", "f1 82 05 1234 f0 41 600000000098 00", 200, DropTruncated},
		{"first fragment, uncompressed header of another length", "f1 82 05 1234 f0 41 600000000099 00", 200, DropLength},
		{"first fragment, less than the headers", "f1 82 05 1234" + plain, 47, DropLength},
	} {
		buf := make([]byte, 0, 8192)
		res, err := c.decompressRouted(buf, hexOf(r.hex), fuzzLinks[0], r.size)
		if r.drop != 0 {
			if err != r.drop || res != (Result{}) {
				t.Errorf("%s: %+v, %v, want %v", r.name, res, err, r.drop)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
		} else if p, err := ipv6.Parse(append(buf[:res.N:res.N], make([]byte, max(0, r.size-res.N))...)); err != nil || r.size != 0 && len(p) != r.size {
			t.Errorf("%s: %x, %v", r.name, buf[:res.N], err)
		}
	}
}

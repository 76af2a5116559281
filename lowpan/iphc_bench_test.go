package lowpan

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// udpInContext is a UDP packet of 32 bytes payload between two nodes of a mesh, with the
// frame's addresses and the mesh prefix as context 0: the common case.
func udpInContext(tb testing.TB) (*Contexts, ipv6.Packet, Link) {
	tb.Helper()
	l := Link{Src: ipv6.EUI64(0x02005e1000000001), Dst: ipv6.EUI64(0x02005e1000000002)}
	c := new(Contexts)
	mesh := netip.MustParsePrefix("fd00:1:2:3::/64")
	c.Set(0, Context{Prefix: mesh, Compress: true})
	src := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1234"), 40000)
	dst := netip.AddrPortFrom(ipv6.WithIID(mesh, l.Dst.IID()), 5683)
	return c, udpPacket(src, dst, 64, make([]byte, 32)), l
}

func udpPacket(src, dst netip.AddrPort, hops uint8, payload []byte) ipv6.Packet {
	p := ipv6.AppendHeader(nil, 0, 0, 8+len(payload), ipv6.ProtoUDP, hops, src.Addr(), dst.Addr())
	n := 8 + len(payload)
	p = append(p, byte(src.Port()>>8), byte(src.Port()), byte(dst.Port()>>8), byte(dst.Port()), byte(n>>8), byte(n), 0, 0)
	p = append(p, payload...)
	if err := FinishChecksum(p, 40); err != nil {
		panic(err)
	}
	return p
}

func BenchmarkDecompressUDP(b *testing.B) {
	c, p, l := udpInContext(b)
	buf, _ := compress(c, p, l, CompressOptions{})
	dst := make([]byte, 0, ipv6.MaxPacket)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decompress(dst, buf, l, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompressUDP(b *testing.B) {
	c, p, l := udpInContext(b)
	dst := make([]byte, 0, 128)
	now := time.Unix(1e9, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Compress(dst, p, l, CompressOptions{Now: now}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecompressICMP(b *testing.B) {
	c := new(Contexts)
	l := Link{Src: ipv6.EUI64(0x02005e1000000001), Dst: ipv6.EUI64(0x02005e1000000002)}
	buf := hexOf("7a333a8000010203040506")
	dst := make([]byte, 0, ipv6.MaxPacket)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decompress(dst, buf, l, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecompressChain(b *testing.B) {
	c := new(Contexts)
	l := Link{Src: ipv6.EUI64(0xacde480000000002), Dst: ipv6.Short(0xabc)}
	buf := hexOf("7e33e1066304001e0300e3160302880000003f1babb6a2e745e7f80a519ee43afba6f321abcd78797a")
	dst := make([]byte, 0, ipv6.MaxPacket)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decompress(dst, buf, l, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompressChain(b *testing.B) {
	c := new(Contexts)
	l := Link{Src: ipv6.EUI64(0xacde480000000002), Dst: ipv6.Short(0xabc)}
	p, err := decompress(c, hexOf("7e33e1066304001e0300e3160302880000003f1babb6a2e745e7f80a519ee43afba6f321abcd78797a"), l)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Compress(dst, p, l, CompressOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecompressRouted restores what the root of an RPL domain sends from outside to a
// node four hops away: a tunnel with a source route and an option, UDP inside.
func BenchmarkDecompressRouted(b *testing.B) {
	c := &Contexts{SourceRoutes: true, Root: netip.MustParseAddr("2001:db8::1")}
	c.Set(0, Context{Prefix: netip.MustParsePrefix("2001:db8::/64"), Compress: true})
	buf := hexOf("f1 82 01 0302 0403 0504 93 05 01 a1 06 40 7e 05 20010db9000000000000000000000099 0000000000000006 f0 1633 1634 abcd" + repeatHex("55", 32))
	dst := make([]byte, 0, ipv6.MaxPacket)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.DecompressRouted(dst, buf, Link{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompressRouted is the other direction.
func BenchmarkCompressRouted(b *testing.B) {
	c := &Contexts{SourceRoutes: true, Root: netip.MustParseAddr("2001:db8::1")}
	c.Set(0, Context{Prefix: netip.MustParsePrefix("2001:db8::/64"), Compress: true})
	buf := hexOf("f1 82 01 0302 0403 0504 93 05 01 a1 06 40 7e 05 20010db9000000000000000000000099 0000000000000006 f0 1633 1634 abcd" + repeatHex("55", 32))
	p := make([]byte, 0, ipv6.MaxPacket)
	n, err := c.DecompressRouted(p, buf, Link{})
	if err != nil {
		b.Fatal(err)
	}
	p, dst := p[:n], make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Compress(dst, p, Link{}, CompressOptions{RoutingHeaders: true}); err != nil {
			b.Fatal(err)
		}
	}
}

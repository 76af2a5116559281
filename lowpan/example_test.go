package lowpan_test

import (
	"fmt"
	"net/netip"

	"border-router/ipv6"
	"border-router/lowpan"
)

// A datagram of 52 bytes of headers and payload goes into 10 bytes where frame and context
// say the rest.
func ExampleContexts() {
	mesh := netip.MustParsePrefix("fd00:db8:1:2::/64")
	link := lowpan.Link{Src: ipv6.EUI64(0x02005e1000000001), Dst: ipv6.Short(0x0002)}
	src, dst := ipv6.WithIID(mesh, link.Src.IID()), ipv6.WithIID(mesh, link.Dst.IID())
	p := ipv6.AppendHeader(nil, 0, 0, 12, ipv6.ProtoUDP, 64, src, dst)
	p = append(p, 0xf0, 0xb1, 0xf0, 0xb2, 0, 12, 0xd4, 0xc8, 'p', 'i', 'n', 'g')

	var c lowpan.Contexts
	c.Set(0, lowpan.Context{Prefix: mesh, Compress: true})
	b, consumed, err := c.Compress(make([]byte, 0, 127), p, link, lowpan.CompressOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	b = append(b, p[consumed:]...)
	fmt.Printf("%x\n", b)

	n, err := c.Decompress(make([]byte, 0, ipv6.MinMTU), b, link, 0)
	fmt.Println(n, err)
	// Output:
	// 7e77f312d4c870696e67
	// 52 <nil>
}

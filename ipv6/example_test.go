package ipv6_test

import (
	"fmt"
	"net/netip"

	"border-router/ipv6"
)

func Example() {
	node := ipv6.LinkLocal(ipv6.EUI64(0x0200_5e10_0000_0001))
	us := netip.MustParseAddr("fe80::1")
	b := ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, 0x1234_0001, []byte("hello"), node, us, 64)

	p, err := ipv6.Parse(b)
	if err != nil {
		panic(err)
	}
	proto, off, _ := ipv6.UpperLayer(p)
	fmt.Println(p.Src(), proto, p[off], ipv6.CheckTransport(p))

	reply := ipv6.Packet(ipv6.AppendEchoReply(nil, p, us))
	fmt.Println(reply.Dst(), reply[ipv6.HeaderLen], string(reply[48:]))

	p[len(p)-1] ^= 1
	fmt.Println(ipv6.CheckTransport(p))
	// Output:
	// fe80::5e10:0:1 58 128 <nil>
	// fe80::5e10:0:1 129 hello
	// checksum
}

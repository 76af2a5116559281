package hoststack_test

import (
	"fmt"
	"net/netip"
	"time"

	"border-router/internal/hoststack"
	"border-router/ipv6"
)

// A ping of a host in user space, packet by packet.
func Example() {
	s, err := hoststack.New(hoststack.Config{Name: "host"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()
	if err := s.AddAddress(netip.MustParseAddr("fd00::1")); err != nil {
		fmt.Println(err)
		return
	}
	loop := make(chan interface{ Run(now time.Time) })
	post := func(r interface{ Run(now time.Time) }) bool { loop <- r; return true }
	s.Start(post, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) {
		fmt.Println(p.Src(), "to", p.Dst(), "ICMPv6 type", p.Payload()[0])
	})
	echo := ipv6.AppendICMP(nil, 128, 0, 0, []byte("ping"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1"), 64)
	if err := s.Output(time.Now(), echo, ipv6.LinkAddr{}); err != nil {
		fmt.Println(err)
	}
	(<-loop).Run(time.Now())
	// Output: fd00::1 to fd00::2 ICMPv6 type 129
}

package hoststack

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// One UDP datagram of 64 bytes from the router into a socket.
func BenchmarkOutputUDP(b *testing.B) {
	s := newStack(b, Config{}, addrA)
	c := listenUDP(b, s, "[::]:5683")
	_ = c.SetReadDeadline(time.Time{})
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(addrB, 1), netip.AddrPortFrom(addrA, 5683), 64, make([]byte, 64)))
	buf := make([]byte, 128)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Output(time.Time{}, p, ipv6.LinkAddr{})
		if _, _, err := c.ReadFromUDPAddrPort(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTCP1MB(b *testing.B) {
	x, y := pair(b, 0, nil)
	b.SetBytes(2 << 20)
	for b.Loop() {
		transfer(b, x, y, 1<<20)
	}
}

package hoststack

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ipv6"
)

// Without TCP a stack lives in virtual time: an hour of it passes at once, and fragments
// of a lost datagram are given up after their minute.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := false
		a, b := pairOf(t, Config{NoTCP: true}, func(_, _ *Stack, p ipv6.Packet) bool {
			if p.NextHeader() == ipv6.ProtoFragment && !lost {
				lost = true // the first fragment only
				return false
			}
			return true
		})
		server := listenUDP(t, b, "[::]:5683")
		client := listenUDP(t, a, "[::]:0")
		start := time.Now()
		for range 60 {
			if _, err := client.WriteFromTo(make([]byte, 2000), addrA, netip.AddrPortFrom(addrB, 5683)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		_ = server.SetReadDeadline(time.Now().Add(time.Second))
		got := 0
		for buf := make([]byte, 2048); ; got++ {
			if n, _, err := server.ReadFromUDPAddrPort(buf); err != nil {
				break
			} else if n != 2000 {
				t.Errorf("%d bytes", n)
			}
		}
		if d := time.Since(start); d != time.Hour+time.Second {
			t.Errorf("%v have passed", d)
		}
		// The socket's buffer holds some; what arrived first is there, less the lost one.
		if got < 10 || got > 59 {
			t.Errorf("%d datagrams", got)
		}
	})
}

package hoststack

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// No bytes make the stack panic or send a control message, and every packet is counted
// once.
func FuzzOutput(f *testing.F) {
	f.Add([]byte(icmpMsg(128)))
	f.Add([]byte(icmpMsg(135)))
	f.Add([]byte(behind(44, "0000000100000001", 0, icmpMsg(135))))
	f.Add(ipv6.AppendUDP(nil, netip.AddrPortFrom(addrB, 1), netip.AddrPortFrom(addrA, 5683), 64, []byte("hello")))
	f.Add(ipv6.AppendUDP(nil, netip.AddrPortFrom(addrB, 1), netip.AddrPortFrom(addrA, 9), 64, []byte("closed port")))
	l := newLoop(f)
	s := newStack(f, Config{}, addrA, localA)
	listenUDP(f, s, "[::]:5683")
	if _, err := s.ListenTCP(netip.MustParseAddrPort("[::]:80")); err != nil {
		f.Fatal(err)
	}
	s.Start(l.post, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) {
		if isControl(p) {
			panic("control message sent")
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ipv6.Parse(b)
		if err != nil {
			return
		}
		before := s.Stats()
		err = s.Output(time.Now(), p, ipv6.LinkAddr{})
		after := s.Stats()
		if (err == DropControl) != isControl(p) {
			t.Errorf("%v for % x", err, b)
		}
		if after.OutPackets+after.Drops[DropControl] != before.OutPackets+before.Drops[DropControl]+1 {
			t.Errorf("counted %+v, before %+v", after, before)
		}
		if after.Drops[DropEmitted] != 0 {
			t.Errorf("% x made the stack send a control message", b)
		}
	})
}

package hoststack

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"border-router/ipv6"
)

func icmpMsg(typ uint8) ipv6.Packet {
	body := make([]byte, 28)
	a := addrA.As16()
	copy(body, a[:])
	return ipv6.AppendICMP(nil, typ, 0, 0, body, localB, addrA, 255)
}

// behind puts extension headers, in hexadecimal, in front of the payload of p; the first
// byte of the last one must be its next header field, which is set.
func behind(first uint8, ext string, lastHeader int, p ipv6.Packet) ipv6.Packet {
	e, err := hex.DecodeString(ext)
	if err != nil {
		panic(err)
	}
	e[lastHeader] = p.NextHeader()
	b := ipv6.AppendHeader(nil, 0, 0, len(e)+p.PayloadLen(), first, 255, p.Src(), p.Dst())
	return append(append(b, e...), p.Payload()...)
}

func TestIsControl(t *testing.T) {
	ns := icmpMsg(135)
	noType := ipv6.Packet(ipv6.AppendHeader(nil, 0, 0, 16, ipv6.ProtoFragment, 255, localB, addrA))
	noType = append(noType, 60, 0, 0, 1, 0, 0, 0, 1, 58, 1, 0, 0, 0, 0, 0, 0)
	for _, row := range []struct {
		name string
		p    ipv6.Packet
		want bool
	}{
		{"RS", icmpMsg(133), true}, {"RA", icmpMsg(134), true}, {"NS", ns, true}, {"NA", icmpMsg(136), true}, {"redirect", icmpMsg(137), true},
		{"MLD query", icmpMsg(130), true}, {"MLD report", icmpMsg(131), true}, {"MLD done", icmpMsg(132), true}, {"MLDv2 report", icmpMsg(143), true},
		{"RPL", icmpMsg(155), true}, {"DAR", icmpMsg(157), true}, {"DAC", icmpMsg(158), true},
		{"echo request", icmpMsg(128), false}, {"echo reply", icmpMsg(129), false}, {"unreachable", icmpMsg(1), false}, {"too big", icmpMsg(2), false},
		{"NS behind hop-by-hop options", behind(0, "0000050200000100", 0, ns), true},
		{"NS behind destination options", behind(60, "0000010400000000", 0, ns), true},
		{"NS behind both", behind(0, "3c000502000001000000010400000000", 8, ns), true},
		{"NS in a first fragment", behind(44, "0000000100000001", 0, ns), true},
		{"later fragment", behind(44, "0000000900000001", 0, ns), false},
		{"first fragment that hides the type", noType, true},
		{"echo in a first fragment", behind(44, "0000000100000001", 0, icmpMsg(128)), false},
		{"UDP", ipv6.AppendUDP(nil, netip.AddrPortFrom(addrB, 1), netip.AddrPortFrom(addrA, 2), 64, []byte{135}), false},
		{"no payload", ipv6.AppendHeader(nil, 0, 0, 0, 58, 64, addrB, addrA), false},
	} {
		if got := isControl(row.p); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// Neighbor discovery that goes in causes nothing to come out.
func TestControlNeverLeaks(t *testing.T) {
	l := newLoop(t)
	s := newStack(t, Config{}, addrA, localA)
	if err := s.JoinGroup(netip.MustParseAddr("ff02::fd")); err != nil {
		t.Fatal(err)
	}
	out := make(chan uint8, 8)
	s.Start(l.post, func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) { out <- p.Payload()[0] })
	n := 0
	for typ := 130; typ < 160; typ++ {
		if controlType(uint8(typ)) {
			n++
			if err := s.Output(time.Now(), icmpMsg(uint8(typ)), ipv6.LinkAddr{}); err != DropControl {
				t.Errorf("type %d: %v", typ, err)
			}
		}
	}
	// What comes out first is the answer to what went in last.
	if err := s.Output(time.Now(), icmpMsg(128), ipv6.LinkAddr{}); err != nil {
		t.Fatal(err)
	}
	if typ := <-out; typ != 129 {
		t.Errorf("first packet out has ICMPv6 type %d", typ)
	}
	if st := s.Stats(); st.InPackets != 1 || st.Delivered != 1 || st.OutPackets != 1 || st.Drops[DropControl] != uint64(n) {
		t.Errorf("stats %+v", st)
	}
}

func emit(s *Stack, p ipv6.Packet) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	defer pkt.DecRef()
	var list stack.PacketBufferList
	list.PushBack(pkt)
	_, _ = s.ep.WritePackets(list)
}

func TestDrops(t *testing.T) {
	closed := newStack(t, Config{})
	_ = closed.Close()
	if err := closed.Output(time.Now(), icmpMsg(128), ipv6.LinkAddr{}); err != DropClosed {
		t.Errorf("Output after Close: %v", err)
	}
	emit(closed, icmpMsg(128))
	if st := closed.Stats(); st.Drops[DropClosed] != 2 {
		t.Errorf("after Close: %+v", st)
	}

	s := newStack(t, Config{})
	emit(s, icmpMsg(136))
	for range maxQueued + 3 {
		emit(s, icmpMsg(128))
	}
	if st := s.Stats(); st.Drops[DropEmitted] != 1 || st.Drops[DropQueueFull] != 3 {
		t.Errorf("queue: %+v", st)
	}
	posted := make(chan int, 1)
	s.Start(func(r runner) bool { posted <- len(r.(*batch).ends); return false }, nil)
	if n := <-posted; n != maxQueued {
		t.Errorf("batch of %d", n)
	}
	_ = s.Close()
	st := s.Stats()
	if st.Drops[DropLoopClosed] != maxQueued {
		t.Errorf("loop closed: %+v", st)
	}
	sum := st.Delivered
	for _, d := range st.Drops {
		sum += d
	}
	if st.InPackets != sum {
		t.Errorf("%d packets in, %d accounted for", st.InPackets, sum)
	}

	seen := map[string]bool{}
	for d := Drop(1); d < numDrops; d++ {
		if s := d.Error(); s == "" || s == "host_unknown" || seen[s] {
			t.Errorf("Drop %d has the text %q", d, s)
		} else {
			seen[s] = true
		}
	}
	if Drop(0).Error() != "host_unknown" || numDrops.Error() != "host_unknown" {
		t.Error("unknown drops")
	}
}

// The filter is on the path of every packet.
func TestOutputDropAllocs(t *testing.T) {
	s := newStack(t, Config{}, addrA)
	ns := icmpMsg(135)
	if n := testing.AllocsPerRun(100, func() { _ = s.Output(time.Time{}, ns, ipv6.LinkAddr{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

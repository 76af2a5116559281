package ipv6

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"
)

func TestICMP(t *testing.T) {
	want := "60000000000c3a40fe800000000000000000000000000002fe800000000000000000000000000001" + "8000" + "d2e1" + "12340001" + "deadbeef"
	got := AppendICMP([]byte("x"), ICMPEchoRequest, 0, 0x12340001, hexBytes("deadbeef"),
		netip.MustParseAddr("fe80::2"), netip.MustParseAddr("fe80::1"), 64)[1:]
	if hex.EncodeToString(got) != want {
		t.Errorf("\n got %x\nwant %s", got, want)
	}
	p := Packet(got)
	if err := CheckTransport(p); err != nil {
		t.Error(err)
	}
	r := Packet(AppendEchoReply(nil, p, netip.MustParseAddr("fe80::3")))
	if r.Dst() != p.Src() || r.Src() != netip.MustParseAddr("fe80::3") || r[40] != ICMPEchoReply ||
		!bytes.Equal(r[44:], p[44:]) || CheckTransport(r) != nil {
		t.Errorf("reply %x", r)
	}
}

func TestICMPErrorSize(t *testing.T) {
	for _, n := range []int{0, 1, 1184, 1185, 1192, 1193, 2007} {
		cause := Packet(AppendUDP(nil, netip.AddrPortFrom(nodeA, 1), netip.AddrPortFrom(nodeB, 2), 64, make([]byte, n)))
		e, err := Parse(AppendICMPError(nil, ICMPPacketTooBig, 0, 1280, cause, nodeB))
		if err != nil || CheckTransport(e) != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if want := min(MinMTU, len(cause)+48); len(e) != want || !bytes.Equal(e[48:], cause[:want-48]) {
			t.Errorf("%d: error of %d bytes, want %d", n, len(e), want)
		}
		dst, mtu, ok := PacketTooBig(e)
		if !ok || mtu != 1280 || dst != nodeB {
			t.Errorf("PacketTooBig = %v, %d, %v", dst, mtu, ok)
		}
	}
	cause := Packet(AppendICMP(nil, ICMPEchoRequest, 0, 1, nil, nodeA, nodeB, 64))
	for name, p := range map[string]Packet{
		"RFC 8201 4: below 1280": AppendICMPError(nil, ICMPPacketTooBig, 0, 1279, cause, nodeB),
		"another type":           AppendICMPError(nil, ICMPUnreachable, 0, 1300, cause, nodeB),
		"cut short":              AppendICMP(nil, ICMPPacketTooBig, 0, 1300, cause[:39], nodeA, nodeB, 64),
		"about no IPv6":          AppendICMP(nil, ICMPPacketTooBig, 0, 1300, make([]byte, 48), nodeA, nodeB, 64),
		"no ICMPv6":              packetOf(ProtoUDP, nodeB, "02"),
	} {
		if _, _, ok := PacketTooBig(p); ok {
			t.Errorf("%s: taken", name)
		}
	}
	if _, mtu, _ := PacketTooBig(AppendICMPError(nil, ICMPPacketTooBig, 0, 0xffffffff, cause, nodeB)); mtu != 65535 {
		t.Errorf("mtu %d", mtu)
	}
}

func TestErrorAllowed(t *testing.T) {
	icmp := func(typ uint8, src, dst string) Packet {
		return AppendICMP(nil, typ, 0, 0, nil, netip.MustParseAddr(src), netip.MustParseAddr(dst), 64)
	}
	later := packetOf(ProtoFragment, nodeB, "3a00000800000001"+"0000000000000000")
	first := packetOf(ProtoFragment, nodeB, "3a00000100000001"+"0100000000000000")
	firstEcho := packetOf(ProtoFragment, nodeB, "3a00000100000001"+"8000000000000000")
	for _, tc := range []struct {
		name  string
		cause Packet
		m     Meta
		typ   uint8
		code  uint8
		want  bool
	}{
		{"echo request", icmp(128, "fd00::a", "fd00::b"), Meta{}, ICMPUnreachable, 0, true},
		{"e.1: an error", icmp(1, "fd00::a", "fd00::b"), Meta{}, ICMPUnreachable, 0, false},
		{"e.1: an unknown error", icmp(127, "fd00::a", "fd00::b"), Meta{}, ICMPTimeExceeded, 0, false},
		{"e.1: first fragment of an error", first, Meta{}, ICMPTimeExceeded, 1, false},
		{"first fragment of an echo", firstEcho, Meta{}, ICMPTimeExceeded, 1, true},
		{"later fragment", later, Meta{}, ICMPPacketTooBig, 0, true},
		{"type cut off", packetOf(ProtoICMPv6, nodeB, ""), Meta{}, ICMPUnreachable, 0, false},
		{"e.2: a redirect", icmp(ICMPRedirect, "fd00::a", "fd00::b"), Meta{}, ICMPUnreachable, 0, false},
		{"e.3: to a group", icmp(128, "fd00::a", "ff02::1"), Meta{}, ICMPUnreachable, 0, false},
		{"e.3: to a group, too big", icmp(128, "fd00::a", "ff02::1"), Meta{}, ICMPPacketTooBig, 0, true},
		{"e.3: to a group, option", icmp(128, "fd00::a", "ff02::1"), Meta{}, ICMPParamProblem, 2, true},
		{"e.3: to a group, header field", icmp(128, "fd00::a", "ff02::1"), Meta{}, ICMPParamProblem, 0, false},
		{"e.4: link multicast", icmp(128, "fd00::a", "fd00::b"), Meta{LinkDst: EUI48([6]byte{0x33, 0x33})}, ICMPUnreachable, 0, false},
		{"e.5: link broadcast", icmp(128, "fd00::a", "fd00::b"), Meta{LinkDst: BroadcastShort}, ICMPUnreachable, 0, false},
		{"e.5: link broadcast, too big", icmp(128, "fd00::a", "fd00::b"), Meta{LinkDst: BroadcastShort}, ICMPPacketTooBig, 0, true},
		{"link unicast", icmp(128, "fd00::a", "fd00::b"), Meta{LinkDst: EUI64(1)}, ICMPUnreachable, 0, true},
		{"e.6: from nobody", icmp(128, "::", "fd00::b"), Meta{}, ICMPUnreachable, 0, false},
		{"e.6: from a group", icmp(128, "ff02::1", "fd00::b"), Meta{}, ICMPUnreachable, 0, false},
		{"from loopback", icmp(128, "::1", "fd00::b"), Meta{}, ICMPUnreachable, 0, false},
		{"headers that do not hold", packetOf(60, nodeB, "3a01010400000000"), Meta{}, ICMPParamProblem, 0, true},
	} {
		if got := ErrorAllowed(tc.cause, tc.m, tc.typ, tc.code); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestCheckTransport(t *testing.T) {
	a, b := netip.AddrPortFrom(nodeA, 5683), netip.AddrPortFrom(nodeB, 61616)
	good := Packet(AppendUDP(nil, a, b, 64, []byte("odd")))
	edit := func(p Packet, f func(Packet)) Packet { p = bytes.Clone(p); f(p); return p }
	var zero Packet // its checksum comes out as zero
	for i := 0; zero == nil; i++ {
		p := Packet(AppendUDP(nil, a, b, 64, []byte{byte(i >> 8), byte(i)}))
		if p[46] == 0xff && p[47] == 0xff {
			zero = p
		}
	}
	tcp := packetOf(ProtoTCP, nodeB, "0050005000000000000000005000000000000000")
	sum := Checksum(tcp.Src16(), tcp.Dst16(), ProtoTCP, tcp[40:])
	tcp[56], tcp[57] = byte(sum>>8), byte(sum)
	for _, tc := range []struct {
		name string
		p    Packet
		err  error
	}{
		{"UDP", good, nil},
		{"UDP with sum 0 stored as ffff", zero, nil},
		{"UDP shorter than the packet", append(AppendHeader(nil, 0, 0, len(good)-40+4, 17, 64, nodeA, nodeB), append(bytes.Clone(good[40:]), 1, 2, 3, 4)...), nil},
		{"UDP wrong sum", edit(good, func(p Packet) { p[48]++ }), DropChecksum},
		{"UDP without sum", edit(good, func(p Packet) { p[46], p[47] = 0, 0 }), DropChecksum},
		{"UDP longer than the packet", edit(good, func(p Packet) { p[45]++ }), DropTruncated},
		{"UDP length below 8", edit(good, func(p Packet) { p[45] = 7 }), DropTruncated},
		{"UDP header cut", packetOf(17, nodeB, "00010002000800"), DropTruncated},
		{"TCP", tcp, nil},
		{"TCP wrong sum", edit(tcp, func(p Packet) { p[40]++ }), DropChecksum},
		{"TCP header cut", packetOf(6, nodeB, "00"), DropTruncated},
		{"ICMPv6 of 3 bytes", packetOf(58, nodeB, "808080"), DropICMP},
		{"echo of 7 bytes", packetOf(58, nodeB, "80000000000000"), DropICMP},
		{"ICMPv6 wrong sum", packetOf(58, nodeB, "8000000000000000"), DropChecksum},
		{"no upper layer", packetOf(59, nodeB, "00"), nil},
		{"fragment", packetOf(44, nodeB, "1100000100000001"+"0000000000000000"), nil},
		{"bad chain", packetOf(0, nodeB, "00"), DropTruncated},
	} {
		if err := CheckTransport(tc.p); err != tc.err {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.err)
		}
	}
	src, dst, payload, ok := UDP(good)
	if !ok || src != a || dst != b || string(payload) != "odd" {
		t.Errorf("UDP = %v %v %q %v", src, dst, payload, ok)
	}
	for _, p := range []Packet{tcp, packetOf(17, nodeB, "00"), edit(good, func(p Packet) { p[45] = 99 }), packetOf(0, nodeB, "00")} {
		if _, _, _, ok := UDP(p); ok {
			t.Errorf("UDP takes %x", p)
		}
	}
	good.SetICMPChecksum(len(good) - 3) // too short: nothing happens
	good.SetUDPChecksum(len(good) - 7)
}

func TestParsePrefixes(t *testing.T) {
	p := AppendICMP(nil, ICMPEchoRequest, 0, 1, nil, nodeA, nodeB, 64)
	for n := range p {
		if _, err := Parse(p[:n]); err != DropTruncated {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	p[0] = 0x45
	if _, err := Parse(p); err != DropVersion {
		t.Errorf("version 4: %v", err)
	}
}

func TestDrops(t *testing.T) {
	seen := map[string]bool{}
	for d := Drop(1); d < numDrops; d++ {
		if s := d.Error(); s == "ipv6_unknown" || seen[s] {
			t.Errorf("drop %d: %q", d, s)
		} else {
			seen[s] = true
		}
	}
	if Drop(0).Error() != "ipv6_unknown" || numDrops.Error() != "ipv6_unknown" {
		t.Error("unknown drops")
	}
}

func TestTokenBucket(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	take := func(b *TokenBucket, n int) (got int) {
		for range n {
			if b.Take(now) {
				got++
			}
		}
		return
	}
	var b TokenBucket
	if got := take(&b, 100); got != DefaultICMPBurst {
		t.Errorf("burst of %d", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := take(&b, 100); got != DefaultICMPRate/2 {
		t.Errorf("%d after half a second", got)
	}
	now = now.Add(-time.Hour)
	if got := take(&b, 100); got != 0 {
		t.Errorf("%d from time that went back", got)
	}
	now = now.Add(10 * time.Hour)
	if got := take(&b, 100); got != DefaultICMPBurst {
		t.Errorf("%d after hours", got)
	}
	b = TokenBucket{Rate: 1000, Burst: 3}
	sum := 0
	for range 1000 {
		sum += take(&b, 2)
		now = now.Add(time.Millisecond)
	}
	if sum < 1000 || sum > 1003 {
		t.Errorf("%d in a second at 1000", sum)
	}
	b = TokenBucket{Rate: -1}
	if got := take(&b, 1000); got != 1000 {
		t.Errorf("%d without a limit", got)
	}
}

func TestScope(t *testing.T) {
	for _, tc := range []struct {
		addr           string
		scope          Scope
		ula, src, dest bool // ula; martian as source, as destination
	}{
		{"2001:db8::1", ScopeGlobal, false, false, false},
		{"fd12:3456::1", ScopeGlobal, true, false, false},
		{"fc00::1", ScopeGlobal, true, false, false},
		{"fe00::1", ScopeGlobal, false, false, false},
		{"fe80::1", ScopeLink, false, false, false},
		{"febf::1", ScopeLink, false, false, false},
		{"fec0::1", ScopeSite, false, false, false},
		{"::1", ScopeInterface, false, true, true},
		{"::", ScopeGlobal, false, false, true},
		{"::ffff:192.0.2.1", ScopeGlobal, false, true, true},
		{"::192.0.2.1", ScopeGlobal, false, true, true},
		{"64:ff9b::192.0.2.1", ScopeGlobal, false, false, false},
		{"ff00::1", ScopeReserved, false, true, true},
		{"ff01::1", ScopeInterface, false, true, true},
		{"ff02::1", ScopeLink, false, true, false},
		{"ff03::fc", ScopeRealm, false, true, false},
		{"ff04::1", ScopeAdmin, false, true, false},
		{"ff15::1", ScopeSite, false, true, false},
		{"ff38::1", ScopeOrg, false, true, false},
		{"ff0e::1", ScopeGlobal, false, true, false},
	} {
		a := netip.MustParseAddr(tc.addr)
		if got := ScopeOf(a); got != tc.scope {
			t.Errorf("ScopeOf(%v) = %x", a, got)
		}
		if got := IsULA(a); got != tc.ula {
			t.Errorf("IsULA(%v) = %v", a, got)
		}
		if got := IsMartianSource(a); got != tc.src {
			t.Errorf("IsMartianSource(%v) = %v", a, got)
		}
		if got := IsMartianDestination(a); got != tc.dest {
			t.Errorf("IsMartianDestination(%v) = %v", a, got)
		}
	}
	// RFC 4291 section 2.7.1
	if got := SolicitedNode(netip.MustParseAddr("4037::1:800:200e:8c6c")); got != netip.MustParseAddr("ff02::1:ff0e:8c6c") {
		t.Errorf("SolicitedNode = %v", got)
	}
	if got := GroupEUI48(AllRouters).String(); got != "33:33:00:00:00:02" {
		t.Errorf("GroupEUI48 = %v", got)
	}
	for s, want := range map[string]bool{"ffff": true, "8001": true, "9fff": true, "7fff": false, "a000": false, "0001": false,
		"333300000001": true, "ffffffffffff": true, "02005e000001": false, "0300000000000001": false} {
		a, err := ParseLinkAddr(s)
		if err != nil || a.IsGroup() != want {
			t.Errorf("IsGroup(%s) = %v, %v", s, a.IsGroup(), err)
		}
	}
	if (LinkAddr{}).IsGroup() {
		t.Error("no address is a group")
	}
}

func TestAllocs(t *testing.T) {
	cause := Packet(AppendUDP(nil, netip.AddrPortFrom(nodeA, 1), netip.AddrPortFrom(nodeB, 2), 64, make([]byte, 100)))
	echo := Packet(AppendICMP(nil, ICMPEchoRequest, 0, 1, make([]byte, 56), nodeA, nodeB, 64))
	options := packetOf(0, nodeB, "3a00be0400000000")
	buf := make([]byte, 0, MaxPacket)
	var bucket TokenBucket
	now := time.Now()
	var sink error
	for name, f := range map[string]func(){
		"CheckTransport":  func() { sink = CheckTransport(cause) },
		"UpperLayer drop": func() { _, _, sink = UpperLayer(options) },
		"problem":         func() { ParamProblemFor(options) },
		"error": func() {
			if ErrorAllowed(cause, Meta{}, 1, 0) && bucket.Take(now) {
				AppendICMPError(buf, 1, 0, 0, cause, nodeB)
			}
		},
		"echo reply": func() { AppendEchoReply(buf, echo, nodeB) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	_ = sink
}

func BenchmarkAppendICMPError(b *testing.B) {
	cause := Packet(AppendUDP(nil, netip.AddrPortFrom(nodeA, 1), netip.AddrPortFrom(nodeB, 2), 64, make([]byte, 1200)))
	buf := make([]byte, 0, MaxPacket)
	b.ReportAllocs()
	for b.Loop() {
		if ErrorAllowed(cause, Meta{}, 1, 0) {
			AppendICMPError(buf, 1, 0, 0, cause, nodeB)
		}
	}
}

package ethernet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"border-router/ipv6"
)

func TestConfigErrors(t *testing.T) {
	mac := ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 1})
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "ethernet: the interface has no name; for example ethernet://eth0"},
		{Config{Name: "0123456789abcdef"}, `ethernet: interface name "0123456789abcdef" is 16 bytes long, Linux allows 15`},
		{Config{Name: "a/b"}, `ethernet: interface name "a/b" is not one that Linux allows`},
		{Config{Name: "tap0", TAP: true, MAC: mac, Bridge: "br 0"}, `ethernet: bridge name "br 0" is not one that Linux allows`},
		{Config{Name: "eth0", Bridge: "br0"}, "ethernet: only a TAP interface is put into a bridge: tap://NAME?bridge=BRIDGE"},
		{Config{Name: "tap0", TAP: true}, "ethernet: a TAP interface needs a MAC address for our end of it"},
		{Config{Name: "tap0", TAP: true, MAC: mac, Control: true}, "ethernet: a TAP interface has no address to share with the kernel"},
		{Config{Name: "eth0", MAC: ipv6.EUI64(1)}, "ethernet: 00:00:00:00:00:00:00:01 is not the MAC address of a station"},
		{Config{Name: "eth0", MAC: ipv6.EUI48([6]byte{0x33, 0x33})}, "ethernet: 33:33:00:00:00:00 is not the MAC address of a station"},
		{Config{Name: "eth0", MTU: 1279}, "ethernet: MTU 1279: want 1280 to 2047 bytes"},
	} {
		if _, err := Open(c.cfg); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %s", c.cfg, err, c.want)
		}
	}
}

func frame(dst [6]byte, p []byte) []byte {
	f := append(dst[:], 2, 9, 9, 9, 9, 9, 0x86, 0xdd)
	return append(f, p...)
}

func groupMAC(g string) [6]byte {
	b := netip.MustParseAddr(g).As16()
	return [6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// TestProgram runs the BPF program over one frame of each kind.
func TestProgram(t *testing.T) {
	mac := [6]byte{2, 0xbb, 0, 0, 0, 1}
	src := netip.MustParseAddr("fe80::9")
	icmp := func(typ uint8, to string) []byte {
		return ipv6.AppendICMP(nil, typ, 0, 0, make([]byte, 20), src, netip.MustParseAddr(to), 255)
	}
	mld := ipv6.AppendHeader(nil, 0, 0, 16, ipv6.ProtoHopByHop, 1, src, netip.MustParseAddr("ff02::16"))
	mld = append(mld, ipv6.ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0, ipv6.ICMPMLDv2Report, 0, 0, 0, 0, 0, 0, 0)
	udp := func(to string) []byte {
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1), netip.AddrPortFrom(netip.MustParseAddr(to), 2), 64, make([]byte, 9))
	}
	many := make([]netip.Addr, maxFilterGroups+1)
	for i := range many {
		b := netip.MustParseAddr("ff05::1:0").As16()
		b[15] = byte(i)
		many[i] = netip.AddrFrom16(b)
	}
	joined := []netip.Addr{netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::1:ff00:1"), netip.MustParseAddr("ff05::fd")}
	for _, c := range []struct {
		name                        string
		f                           []byte
		full, control, proxy, every bool
	}{
		{"UDP to us", frame(mac, udp("fd00::1")), true, false, true, true},
		{"UDP to another", frame([6]byte{2, 0xbb, 0, 0, 0, 2}, udp("fd00::1")), false, false, false, false},
		{"IPv4", append(append(mac[:], 2, 9, 9, 9, 9, 9, 8, 0), make([]byte, 60)...), false, false, false, false},
		{"NS to us", frame(mac, icmp(135, "fd00::1")), true, true, true, true},
		{"echo to us", frame(mac, icmp(128, "fd00::1")), true, false, true, true},
		{"RS", frame(groupMAC("ff02::2"), icmp(133, "ff02::2")), true, true, true, true},
		{"RA", frame(groupMAC("ff02::1"), icmp(134, "ff02::1")), true, true, true, true},
		{"NS for us", frame(groupMAC("ff02::1:ff00:1"), icmp(135, "ff02::1:ff00:1")), true, true, true, true},
		{"NS for another", frame(groupMAC("ff02::1:ff00:2"), icmp(135, "ff02::1:ff00:2")), false, false, true, true},
		{"MLD", frame(groupMAC("ff02::16"), mld), true, true, true, true},
		{"our group", frame(groupMAC("ff05::fd"), udp("ff05::fd")), true, true, true, true},
		{"another group", frame(groupMAC("ff05::fe"), udp("ff05::fe")), false, false, false, true},
		{"mDNS", frame(groupMAC("ff02::fb"), udp("ff02::fb")), false, false, false, false},
	} {
		for _, k := range []struct {
			name string
			h    hearing
			want bool
		}{
			{"full", hearing{mac: mac, groups: joined}, c.full},
			{"control", hearing{mac: mac, groups: joined, control: true}, c.control},
			{"proxy", hearing{mac: mac, groups: joined, proxy: true}, c.proxy},
			{"all", hearing{mac: mac, groups: joined, all: true, proxy: true}, c.every},
			{"many groups", hearing{mac: mac, groups: many, all: true, proxy: true}, c.every || c.f[0] == 0x33},
		} {
			vm, err := bpf.NewVM(k.h.program())
			if err != nil {
				t.Fatal(err)
			}
			n, err := vm.Run(c.f)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 != k.want {
				t.Errorf("%s, %s: passes %v, want %v", c.name, k.name, n > 0, k.want)
			}
		}
	}
	// The largest program assembles, and its jumps are not longer than a jump can be.
	h := hearing{mac: mac, groups: normalize(many[:maxFilterGroups]), all: true, proxy: true, socket: true}
	if _, err := bpf.Assemble(h.program()); err != nil {
		t.Error(err)
	}
}

func tcpPacket(payload int, flags byte) ipv6.Packet {
	h := make([]byte, 32)
	copy(h, []byte{0, 80, 0x30, 0x39, 0, 0, 0x10, 0, 0, 0, 0, 0, 8 << 4, flags})
	for i := range payload {
		h = append(h, byte(i*7))
	}
	b := ipv6.AppendHeader(nil, 0, 0, len(h), ipv6.ProtoTCP, 64, netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"))
	return append(b, h...)
}

func TestSegment(t *testing.T) {
	for _, size := range []int{1, 1220, 1221, 5000, 60000} {
		p := tcpPacket(size, 0x80|0x10|0x08|0x01) // CWR ACK PSH FIN
		data := []byte{}
		seq := uint32(0x1000)
		n := 0
		ok := segment(p, vnetHeader{gso: vnetGSOTCPv6, gsoSize: 1220}, ipv6.HeaderLen, make([]byte, 2000), func(q ipv6.Packet) {
			n++
			r, err := ipv6.Parse(q)
			if err != nil || len(r) != len(q) {
				t.Fatalf("segment %d: %v", n, err)
			}
			if err := ipv6.CheckTransport(r); err != nil {
				t.Fatalf("segment %d: %v", n, err)
			}
			h := r[ipv6.HeaderLen:]
			if s := binary.BigEndian.Uint32(h[4:]); s != seq {
				t.Fatalf("segment %d: sequence number %#x, want %#x", n, s, seq)
			}
			seq += uint32(len(h) - 32)
			data = append(data, h[32:]...)
			last := len(data) == size
			if want := flagsOf(n == 1, last); h[13] != want {
				t.Errorf("segment %d: flags %#x, want %#x", n, h[13], want)
			}
		})
		if !ok || n != (size+1219)/1220 || !bytes.Equal(data, p[ipv6.HeaderLen+32:]) {
			t.Errorf("%d bytes: %v, %d segments, %d bytes", size, ok, n, len(data))
		}
	}
}

func flagsOf(first, last bool) byte {
	f := byte(0x10)
	if first {
		f |= 0x80
	}
	if last {
		f |= 0x08 | 0x01
	}
	return f
}

func TestDropText(t *testing.T) {
	seen := map[string]bool{}
	for d := Drop(1); d < numDrops; d++ {
		s := d.Error()
		if !strings.HasPrefix(s, "ethernet_") || s == "ethernet_unknown" || seen[s] {
			t.Errorf("drop %d: %q", d, s)
		}
		seen[s] = true
	}
}

package ethernet

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"border-router/ipv6"
)

func manyAddresses(n int) (list []netip.Addr) {
	b := netip.MustParseAddr("fd00:0:0:7::").As16()
	for i := range n {
		b[14], b[15] = byte(i>>8), byte(i)
		list = append(list, netip.AddrFrom16(b))
	}
	return list
}

func run(t *testing.T, prog []bpf.Instruction, f []byte) int {
	t.Helper()
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSteering runs the program that tells the lane over one packet of each kind.
func TestSteering(t *testing.T) {
	src := netip.MustParseAddr("2001:db8::9")
	udp := func(to string) []byte {
		return ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1), netip.AddrPortFrom(netip.MustParseAddr(to), 2), 64, make([]byte, 9))
	}
	icmp := func(typ uint8, to string) []byte {
		return ipv6.AppendICMP(nil, typ, 0, 0, make([]byte, 20), src, netip.MustParseAddr(to), 255)
	}
	// The first three differ from one another in one word each, the last two in the low one.
	own := steered([]netip.Addr{
		netip.MustParseAddr("fd00:0:0:1:1:1:1:1"), netip.MustParseAddr("fd00:0:0:1:1:2:1:1"), netip.MustParseAddr("fd00:0:0:2:1:1:1:1"), netip.MustParseAddr("fd00:1:0:1:1:1:1:1"),
		netip.MustParseAddr("fd00:0:0:1::"), netip.MustParseAddr("fd00:0:0:1::1"),
	})
	set := map[[16]byte]bool{}
	for _, a := range own {
		set[a.As16()] = true
	}
	for _, c := range []struct {
		name string
		p    []byte
		want lane
	}{
		{"to a node", udp("fd00:0:0:1::2"), laneTransit},
		{"echo request to a node", icmp(ipv6.ICMPEchoRequest, "fd00:0:0:1::2"), laneTransit},
		{"as ours but for the first word", udp("fd00:2:0:1:1:1:1:1"), laneTransit},
		{"as ours but for the second", udp("fd00:0:0:3:1:1:1:1"), laneTransit},
		{"as ours but for the third", udp("fd00:0:0:1:1:3:1:1"), laneTransit},
		{"as ours but for the last", udp("fd00:0:0:1:1:1:1:2"), laneTransit},
		{"words of several of ours", udp("fd00:1:0:2:1:2:1:1"), laneTransit},
		{"to us", udp("fd00:0:0:1:1:1:1:1"), laneOwn},
		{"to our second", udp("fd00:0:0:1:1:2:1:1"), laneOwn},
		{"to our third", udp("fd00:0:0:2:1:1:1:1"), laneOwn},
		{"to our fourth", udp("fd00:1:0:1:1:1:1:1"), laneOwn},
		{"to our last", udp("fd00:0:0:1::1"), laneOwn},
		{"to our anycast address", udp("fd00:0:0:1::"), laneOwn},
		{"echo request to us", icmp(ipv6.ICMPEchoRequest, "fd00:0:0:1::1"), laneOwn},
		{"link-local", udp("fe80::1"), laneOwn},
		{"link-local, the last", udp("febf:ffff::1"), laneOwn},
		{"before link-local", udp("fe7f:ffff::1"), laneTransit},
		{"after link-local", udp("fec0::1"), laneTransit},
		{"to a group", udp("ff02::1"), laneOwn},
		{"to a group of larger scope", udp("ff0e::1"), laneOwn},
		{"MLD", icmp(ipv6.ICMPMLDv2Report, "ff02::16"), laneOwn},
		{"RS", icmp(ipv6.ICMPRouterSolicitation, "ff02::2"), laneNeighbor},
		{"RA", icmp(ipv6.ICMPRouterAdvertisement, "ff02::1"), laneNeighbor},
		{"NS to us", icmp(ipv6.ICMPNeighborSolicitation, "fd00:0:0:1::1"), laneNeighbor},
		{"NS to a node that we are the proxy of", icmp(ipv6.ICMPNeighborSolicitation, "fd00:0:0:1::2"), laneNeighbor},
		{"NA", icmp(ipv6.ICMPNeighborAdvertisement, "fe80::1"), laneNeighbor},
		{"redirect", icmp(ipv6.ICMPRedirect, "fe80::1"), laneNeighbor},
		{"type 132", icmp(132, "fe80::1"), laneOwn},
		{"type 138", icmp(138, "fe80::1"), laneOwn},
		{"UDP port 135", append(udp("fd00:0:0:1::2")[:40:40], 135, 0, 0, 0, 0, 8, 0, 0), laneTransit},
		{"no byte behind the header", udp("fd00:0:0:1::2")[:40], laneTransit},
		{"cut off", udp("fd00:0:0:1::1")[:39], laneTransit},
		{"nothing", nil, laneTransit},
	} {
		if got := lane(run(t, steering(own, headerLen), frame([6]byte{2}, c.p))); got != c.want {
			t.Errorf("%s: lane %d, want %d", c.name, got, c.want)
		}
		if got := laneOf(frame([6]byte{2}, c.p), &set); got != c.want {
			t.Errorf("%s: lane %d by laneOf, want %d", c.name, got, c.want)
		}
		if got := lane(run(t, steering(nil, headerLen), frame([6]byte{2}, c.p))); c.want == laneNeighbor && got != c.want || c.want == laneTransit && got != c.want {
			t.Errorf("%s, without addresses: lane %d, want %d", c.name, got, c.want)
		}
	}
}

// TestSteeringMany has more addresses than are told apart.
func TestSteeringMany(t *testing.T) {
	list := manyAddresses(maxSteered + 20)
	src := netip.MustParseAddr("2001:db8::9")
	for _, n := range []int{1, maxSteered - 1, maxSteered, maxSteered + 20} {
		own := steered(list[:n])
		prog := steering(own, headerLen)
		raw, err := bpf.Assemble(prog)
		if err != nil || len(raw) > 4096 { // BPF_MAXINSNS
			t.Fatalf("%d addresses: %d instructions, %v", n, len(raw), err)
		}
		if _, err := bpf.Assemble(steering(own, netOff)); err != nil {
			t.Fatal(err)
		}
		for i, a := range list {
			want := laneTransit
			if i < min(n, maxSteered) {
				want = laneOwn
			}
			f := frame([6]byte{2}, ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1), netip.AddrPortFrom(a, 2), 64, nil))
			if got := lane(run(t, prog, f)); got != want {
				t.Errorf("%d addresses, to number %d: lane %d, want %d", n, i, got, want)
			}
		}
	}
}

func TestSteered(t *testing.T) {
	a, b := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	got := steered([]netip.Addr{b, a, netip.MustParseAddr("fe80::1%eth0"), b, netip.MustParseAddr("ff02::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1"), {}})
	if !slices.Equal(got, []netip.Addr{a, b}) {
		t.Errorf("%v", got)
	}
}

package ethernet

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"border-router/ipv6"
)

const (
	headerLen     = 14 // Ethernet: destination, source, type
	etherTypeIPv6 = 0x86dd
	ipOff         = headerLen
	// maxFilterGroups is how many multicast addresses the program compares; with more of
	// them it lets every multicast packet pass, and the reader looks.
	maxFilterGroups = 48
	packetOutgoing  = 4 // PACKET_OUTGOING of linux/if_packet.h
)

// A hearing is what the port wants to hear.
type hearing struct {
	mac     [6]byte
	control bool         // of what is sent to mac nothing but neighbor discovery and MLD
	proxy   bool         // every neighbor solicitation
	groups  []netip.Addr // multicast groups
	all     bool         // every multicast packet of larger than link scope
	socket  bool         // on a packet socket, where the kernel tells VLAN tags and the direction: leave out what is tagged, and what leaves
}

// program returns the filter as a BPF program over Ethernet frames. It accepts IPv6
//
//   - to our MAC address, in control mode only neighbor discovery;
//   - to multicast addresses: MLD (by its hop-by-hop header), router solicitations and
//     advertisements, neighbor advertisements, solicitations where proxied, and whatever
//     goes to one of the groups.
func (h hearing) program() []bpf.Instruction {
	a := &assembler{}
	if h.socket {
		a.add(bpf.LoadExtension{Num: bpf.ExtVLANTagPresent})
		a.jump(bpf.JumpNotEqual, 0, "drop")
		a.add(bpf.LoadExtension{Num: bpf.ExtType})
		a.jump(bpf.JumpEqual, packetOutgoing, "drop")
	}
	a.add(bpf.LoadAbsolute{Off: 12, Size: 2})
	a.jump(bpf.JumpNotEqual, etherTypeIPv6, "drop")
	a.add(bpf.LoadAbsolute{Off: 0, Size: 2})
	a.jump(bpf.JumpEqual, 0x3333, "multicast")
	a.jump(bpf.JumpNotEqual, uint32(h.mac[0])<<8|uint32(h.mac[1]), "drop")
	a.add(bpf.LoadAbsolute{Off: 2, Size: 4})
	a.jump(bpf.JumpNotEqual, binary.BigEndian.Uint32(h.mac[2:]), "drop")
	if !h.control {
		a.add(bpf.RetConstant{Val: 1 << 18})
	}
	a.label("icmp")
	// Messages 133 to 137, without extension headers (RFC 6980 section 5 and because
	// nobody puts any there).
	a.add(bpf.LoadAbsolute{Off: ipOff + 6, Size: 1})
	a.jump(bpf.JumpNotEqual, ipv6.ProtoICMPv6, "drop")
	a.add(bpf.LoadAbsolute{Off: ipOff + ipv6.HeaderLen, Size: 1})
	a.jump(bpf.JumpLessThan, ipv6.ICMPRouterSolicitation, "drop")
	a.jump(bpf.JumpGreaterThan, ipv6.ICMPRedirect, "drop")
	a.label("accept")
	a.add(bpf.RetConstant{Val: 1 << 18})

	a.label("multicast")
	if h.all {
		// Scope in the low half of the second byte of the address.
		a.add(bpf.LoadAbsolute{Off: ipOff + 25, Size: 1})
		a.add(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf})
		a.jump(bpf.JumpGreaterThan, uint32(ipv6.ScopeLink), "accept2")
	}
	if len(h.groups) > maxFilterGroups {
		a.add(bpf.RetConstant{Val: 1 << 18})
	} else {
		a.add(bpf.LoadAbsolute{Off: 2, Size: 4})
		for _, g := range h.groups {
			b := g.As16()
			a.jump(bpf.JumpEqual, binary.BigEndian.Uint32(b[12:]), "accept2")
		}
		a.add(bpf.LoadAbsolute{Off: ipOff + 6, Size: 1})
		a.jump(bpf.JumpEqual, ipv6.ProtoHopByHop, "accept2")
		a.jump(bpf.JumpNotEqual, ipv6.ProtoICMPv6, "drop2")
		a.add(bpf.LoadAbsolute{Off: ipOff + ipv6.HeaderLen, Size: 1})
		a.jump(bpf.JumpEqual, ipv6.ICMPRouterSolicitation, "accept2")
		a.jump(bpf.JumpEqual, ipv6.ICMPRouterAdvertisement, "accept2")
		a.jump(bpf.JumpEqual, ipv6.ICMPNeighborAdvertisement, "accept2")
		if h.proxy {
			a.jump(bpf.JumpEqual, ipv6.ICMPNeighborSolicitation, "accept2")
		}
	}
	a.label("drop")
	a.label("drop2")
	a.add(bpf.RetConstant{Val: 0})
	a.label("accept2")
	a.add(bpf.RetConstant{Val: 1 << 18})
	return a.finish()
}

// An assembler resolves jumps, which go forward only.
type assembler struct {
	code   []bpf.Instruction
	jumps  map[int]string
	labels map[string]int
}

func (a *assembler) add(i bpf.Instruction) { a.code = append(a.code, i) }

func (a *assembler) jump(cond bpf.JumpTest, v uint32, to string) {
	if a.jumps == nil {
		a.jumps = make(map[int]string)
	}
	a.jumps[len(a.code)] = to
	a.add(bpf.JumpIf{Cond: cond, Val: v})
}

func (a *assembler) label(name string) {
	if a.labels == nil {
		a.labels = make(map[string]int)
	}
	a.labels[name] = len(a.code)
}

func (a *assembler) finish() []bpf.Instruction {
	for i, name := range a.jumps {
		j := a.code[i].(bpf.JumpIf)
		j.SkipTrue = uint8(a.labels[name] - i - 1)
		a.code[i] = j
	}
	return a.code
}

// normalize sorts the groups and leaves each low half, which is all that Ethernet shows,
// once.
func normalize(groups []netip.Addr) []netip.Addr {
	low := func(g netip.Addr) uint32 { b := g.As16(); return binary.BigEndian.Uint32(b[12:]) }
	slices.SortFunc(groups, func(a, b netip.Addr) int { return int(int64(low(a)) - int64(low(b))) })
	return slices.CompactFunc(groups, func(a, b netip.Addr) bool { return low(a) == low(b) })
}

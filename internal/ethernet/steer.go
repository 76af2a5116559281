package ethernet

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"border-router/ipv6"
)

// A lane is a queue of its own between the kernel and the loop, so that what one brings in
// too much of does not push out what comes by another.
type lane uint8

// The lanes of a packet socket. A port with one queue has all in the first.
const (
	laneTransit  lane = iota // unicast to others than ourselves: what is forwarded
	laneNeighbor             // neighbor discovery, without which hosts do not send to us for long
	laneOwn                  // to our addresses, link-local or multicast
	numLanes
)

// maxSteered is how many own addresses the program compares; what goes to those beyond is
// taken for transit, and thus no better off, but no worse than transit either.
const maxSteered = 128

// netOff is where the kernel lets a program read from the IPv6 header on, whatever stands
// before it (SKF_NET_OFF).
const netOff = 0xfff00000

// steering returns the BPF program that tells the lane of a frame, whose IPv6 header is at
// off. Each frame has exactly one, whichever of the lanes takes it.
func steering(own []netip.Addr, off uint32) []bpf.Instruction {
	const dst = 24
	a := &assembler{}
	a.add(bpf.LoadAbsolute{Off: off + 6, Size: 1})
	a.jump(bpf.JumpNotEqual, ipv6.ProtoICMPv6, "address")
	a.add(bpf.LoadAbsolute{Off: off + ipv6.HeaderLen, Size: 1})
	a.jump(bpf.JumpLessThan, ipv6.ICMPRouterSolicitation, "address")
	a.jump(bpf.JumpGreaterThan, ipv6.ICMPRedirect, "address")
	a.add(bpf.RetConstant{Val: uint32(laneNeighbor)})
	a.label("address")
	a.add(bpf.LoadAbsolute{Off: off + dst, Size: 2})
	a.jump(bpf.JumpGreaterOrEqual, 0xff00, "own")
	a.add(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffc0})
	a.jump(bpf.JumpNotEqual, 0xfe80, "unicast")
	a.label("own")
	a.add(bpf.RetConstant{Val: uint32(laneOwn)})
	a.label("unicast")
	low := bpf.LoadAbsolute{Off: off + dst + 12, Size: 4}
	a.add(low)
	// One comparison for an address that it is not; the low bits differ most.
	for _, addr := range own[:min(len(own), maxSteered)] {
		b := addr.As16()
		w := func(i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }
		a.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: w(12), SkipTrue: 8})
		for i, skip := range [...]uint8{5, 3, 1} {
			a.add(bpf.LoadAbsolute{Off: off + dst + uint32(8-4*i), Size: 4})
			a.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: w(8 - 4*i), SkipTrue: skip})
		}
		a.add(bpf.RetConstant{Val: uint32(laneOwn)})
		a.add(low)
	}
	a.add(bpf.RetConstant{Val: uint32(laneTransit)})
	return a.finish()
}

// laneOf is what [steering] does, for a frame that has come in already.
func laneOf(frame []byte, own *map[[16]byte]bool) lane {
	if len(frame) < headerLen+ipv6.HeaderLen {
		return laneTransit
	}
	p := frame[headerLen:]
	if p[6] == ipv6.ProtoICMPv6 && len(p) > ipv6.HeaderLen && p[ipv6.HeaderLen] >= ipv6.ICMPRouterSolicitation && p[ipv6.HeaderLen] <= ipv6.ICMPRedirect {
		return laneNeighbor
	}
	dst := [16]byte(p[24:])
	if dst[0] == 0xff || dst[0] == 0xfe && dst[1]&0xc0 == 0x80 || own != nil && (*own)[dst] {
		return laneOwn
	}
	return laneTransit
}

// steered returns the addresses that a program has to compare, sorted: those that are
// neither link-local nor multicast, each once.
func steered(list []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		if a.Is6() && !a.Is4In6() && !a.IsMulticast() && !a.IsLinkLocalUnicast() {
			out = append(out, a.WithZone(""))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

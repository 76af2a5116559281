package lowpan

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"border-router/ipv6"
)

// A generator makes random contexts, links and packets that between them reach every mode
// of the codecs.
type generator struct {
	*rand.Rand
	ctx      Contexts
	prefixes []netip.Prefix // of ctx
	link     Link
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 6282))}
}

func (g *generator) fill(b []byte) {
	for i := range b {
		b[i] = byte(g.Uint32())
	}
}

// contexts replaces the contexts by up to n others.
func (g *generator) contexts(n int) {
	g.ctx, g.prefixes = Contexts{}, nil
	ids := g.Perm(NumContexts)[:n]
	for _, id := range ids {
		var a [16]byte
		g.fill(a[:])
		a[0] = 0x20 | a[0]&0x1f
		length := []int{64, 64, 48, 32, 56, 60, 80, 96, 112, 128, 1 + g.IntN(128)}[g.IntN(11)]
		p := netip.PrefixFrom(netip.AddrFrom16(a), length).Masked()
		g.ctx.Set(id, Context{Prefix: p, Compress: true})
		g.prefixes = append(g.prefixes, p)
	}
}

func (g *generator) linkAddr() ipv6.LinkAddr {
	if g.IntN(2) == 0 {
		return ipv6.Short(uint16(g.IntN(0xfffe)))
	}
	return ipv6.EUI64(g.Uint64())
}

func (g *generator) newLink() { g.link = Link{Src: g.linkAddr(), Dst: g.linkAddr(), PAN: 0xabcd} }

func (g *generator) address(link ipv6.LinkAddr) netip.Addr {
	var a [16]byte
	switch k := g.IntN(8); {
	case k == 0:
		g.fill(a[:])
		a[0] = 0x20
		return netip.AddrFrom16(a)
	case k < 4 || len(g.prefixes) == 0:
		a[0], a[1] = 0xfe, 0x80
	default:
		a = g.prefixes[g.IntN(len(g.prefixes))].Addr().As16()
	}
	lo := binary.BigEndian.Uint64(a[8:])
	switch g.IntN(4) {
	case 0:
		lo |= link.IID()
	case 1:
		lo |= shortIID | uint64(uint16(g.Uint32()))
	case 2:
		lo |= g.Uint64()
	case 3:
		lo |= uint64(g.IntN(3))
	}
	binary.BigEndian.PutUint64(a[8:], lo)
	// What the context covers must stay for it to match.
	for _, p := range g.prefixes {
		if b := p.Addr().As16(); p.Bits() >= 64 && [8]byte(b[:]) == [8]byte(a[:]) && g.IntN(4) > 0 {
			for i := 64; i < p.Bits(); i++ {
				a[i/8] = a[i/8]&^(0x80>>(i%8)) | b[i/8]&(0x80>>(i%8))
			}
			break
		}
	}
	return netip.AddrFrom16(a)
}

func (g *generator) multicast() netip.Addr {
	a := [16]byte{0: 0xff, 1: byte(g.Uint32())}
	switch g.IntN(6) {
	case 0:
		a[1], a[15] = 2, byte(g.Uint32())
	case 1:
		g.fill(a[13:])
	case 2:
		g.fill(a[11:])
	case 3:
		g.fill(a[2:])
	default:
		if len(g.prefixes) > 0 {
			p := g.prefixes[g.IntN(len(g.prefixes))]
			b := p.Addr().As16()
			a[2], a[3] = byte(g.Uint32()), byte(min(p.Bits(), 64))
			copy(a[4:12], b[:8])
			g.fill(a[12:])
		}
	}
	return netip.AddrFrom16(a)
}

// options returns n bytes of options, the last of them often padding.
func (g *generator) options(n int) (b []byte) {
	for len(b) < n {
		left := n - len(b)
		switch g.IntN(5) {
		case 0:
			b = append(b, 0)
		case 1:
			if left >= 2 && left < 258 {
				b = append(b, 1, byte(left-2))
				b = append(b, make([]byte, left-2)...)
				if left > 2 && g.IntN(4) == 0 {
					b[len(b)-1] = 7 // PadN that is not zero
				}
			}
		default:
			if left >= 2 {
				k := g.IntN(min(left-1, 40))
				o := make([]byte, 2+k)
				g.fill(o[2:])
				o[0], o[1] = 0x1e, byte(k)
				b = append(b, o...)
			}
		}
	}
	return b
}

// chain appends a random chain of headers to b and returns the type of its first.
func (g *generator) chain(b []byte, depth int) (next uint8, out []byte) {
	ext := func(next uint8, data []byte) (uint8, []byte) {
		at := len(b)
		b = append(b, 0, byte((len(data)+2)/8-1))
		b = append(b, data...)
		inner, out := g.chain(b, depth+1)
		out[at] = inner
		return next, out
	}
	k := g.IntN(12)
	if depth > 6 {
		k = 6 + g.IntN(6)
	}
	switch k {
	case 0:
		return ext(ipv6.ProtoHopByHop, g.options(8*(1+g.IntN(4))-2))
	case 1:
		n := 8*(1+g.IntN(4)) - 2
		if g.IntN(20) == 0 {
			n = 8*(30+g.IntN(5)) - 2
		}
		return ext(ipv6.ProtoDstOpts, g.options(n))
	case 2:
		data := make([]byte, 8*(3+g.IntN(3))-2)
		g.fill(data)
		data[0], data[1] = 3, byte(g.IntN(3)) // RFC 6554
		copy(data[2:], []byte{0x88, 0, 0, 0})
		return ext(ipv6.ProtoRouting, data)
	case 3:
		data := make([]byte, 6)
		g.fill(data)
		if g.IntN(2) == 0 {
			data[0], data[1] = 0, 0
		}
		return ext(ipv6.ProtoFragment, data)
	case 4:
		data := make([]byte, 8*(1+g.IntN(3))-2)
		g.fill(data)
		return ext(ipv6.ProtoMobility, data)
	case 5:
		return ipv6.ProtoIPv6, append(b, g.packet(depth+1)...)
	case 6:
		b = append(b, 129, 0)
		return ipv6.ProtoICMPv6, g.tail(b, 40)
	case 7:
		return uint8(g.IntN(256)) | 0xc0, g.tail(b, 40) // an upper layer nobody knows
	default:
		at := len(b)
		ports := [4][2]uint16{{0, 0}, {0, 0xf000}, {0xf000, 0}, {0xf0b0, 0xf0b0}}[g.IntN(4)]
		port := func(base uint16) uint16 {
			switch base {
			case 0xf000:
				return base | uint16(g.IntN(256))
			case 0xf0b0:
				return base | uint16(g.IntN(16))
			}
			return uint16(g.Uint32())
		}
		b = binary.BigEndian.AppendUint16(b, port(ports[0]))
		b = binary.BigEndian.AppendUint16(b, port(ports[1]))
		b = append(b, 0, 0, byte(g.Uint32()), byte(g.Uint32()))
		b = g.tail(b, 40)
		n := len(b) - at
		if g.IntN(20) == 0 {
			n ^= 1
		}
		binary.BigEndian.PutUint16(b[at+4:], uint16(n))
		return ipv6.ProtoUDP, b
	}
}

func (g *generator) tail(b []byte, limit int) []byte {
	at := len(b)
	b = append(b, make([]byte, g.IntN(limit+1))...)
	g.fill(b[at:])
	return b
}

// packet returns a random packet for g.link.
func (g *generator) packet(depth int) ipv6.Packet {
	var tc uint8
	var flow uint32
	switch g.IntN(5) {
	case 0:
		tc = uint8(g.Uint32())
	case 1:
		flow = g.Uint32() & 0xfffff
		tc = uint8(g.IntN(4))
	case 2:
		tc, flow = uint8(g.Uint32()), g.Uint32()&0xfffff
	}
	src := g.address(g.link.Src)
	if g.IntN(16) == 0 {
		src = netip.IPv6Unspecified()
	}
	dst := g.address(g.link.Dst)
	if g.IntN(3) == 0 {
		dst = g.multicast()
	}
	hops := []uint8{1, 64, 255, byte(g.Uint32())}[g.IntN(4)]
	b := ipv6.AppendHeader(nil, tc, flow, 0, 0, hops, src, dst)
	next, b := g.chain(b, depth)
	b[6] = next
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6.HeaderLen))
	return b
}

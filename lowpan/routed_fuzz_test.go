package lowpan

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// routedContexts are those of a router of RPL.
func routedContexts() *Contexts {
	c := fuzzContexts()
	c.SourceRoutes = true
	c.Root = netip.MustParseAddr("2001:db8:0:1::ff:fe00:1")
	return c
}

// FuzzRouted: no bytes with routing headers panic; what is accepted is an IPv6 packet; that
// comes back to the byte from what Compress makes of it with routing headers, and so does the
// packet that the bytes are, where they are one.
func FuzzRouted(f *testing.F) {
	for k, s := range []string{
		"f1 82 01 0302 0403 0504 93 05 01 a1 06 40 7a553a 0000000000000001 0000000000000706 8000",
		"f1 80 03 aaaaaaaaaaaaaaaa 80 01 bbbb 81 02 cccccccc dddddddd 7a33 3a 8000",
		"f1 82 05 1234 a3 06 40 00aa 81 05 1e 03 7a77 3b",
		"f1 81 00 05 06 82 05 1234 7e33 e0 3b 06 0502 0000 0100",
		"f1 a1 06 03 a1 06 02 a1 06 01 7e33 e1 06 0502 0000 0100 f3 c9 0000 05",
		"f1 80 00 05 f0 41 6000000000003b40 20010db8000100000000000000000001 20010db8000100000000000000000009",
		"f0 7a33 3a 8000",
	} {
		f.Add(hexOf(s), uint16(0), uint8(k))
		f.Add(hexOf(s), uint16(200), uint8(k))
	}
	g := routedGenerator{newGenerator(8138)}
	for range 8 {
		g.newLink()
		f.Add([]byte(g.rpl()), uint16(0), uint8(g.IntN(256)))
	}
	c := routedContexts()
	f.Fuzz(func(t *testing.T, b []byte, size uint16, mode uint8) {
		l := fuzzLinks[mode%4]
		o := CompressOptions{
			RoutingHeaders: true, PlainExtHeaders: mode&4 != 0, NoContexts: mode&8 != 0,
			ElideUDPChecksum: mode&16 != 0, GHC: mode&32 != 0,
		}
		c := *c
		if mode&64 != 0 {
			c.Root = netip.Addr{}
		}
		if mode&128 != 0 {
			c.RPLOption = 0x63
		}
		if p, err := ipv6.Parse(b); err == nil {
			checkRouted(t, &c, p, l, o)
		}
		dst := make([]byte, 0, ipv6.MaxPacket)
		r, err := c.decompressFirst(dst, b, l, int(size))
		if err != nil {
			if _, ok := err.(Drop); !ok || r != (Result{}) {
				t.Fatalf("%+v, %T %v", r, err, err)
			}
			return
		}
		if size != 0 {
			if r.N > int(size) || r.Checksum >= r.N {
				t.Fatalf("%+v of %d", r, size)
			}
			return
		}
		p, err := ipv6.Parse(dst[:r.N])
		if err != nil || len(p) != r.N || r.Checksum != 0 {
			t.Fatalf("%x from %x: %v, %+v", dst[:r.N], b, err, r)
		}
		checkRouted(t, &c, p, l, o)
	})
}

// A routedGenerator makes packets of an RPL domain.
type routedGenerator struct{ *generator }

// near returns an address with k bytes of its own at the end.
func (g routedGenerator) near(a [16]byte, k int) [16]byte {
	g.fill(a[16-k:])
	return a
}

// rpl returns a packet with up to three tunnels, RPL options and source routes, in forms that
// routing headers can express and, now and then, not.
func (g routedGenerator) rpl() ipv6.Packet {
	root := routedContexts().Root.As16()
	size := func() int { return []int{1, 2, 4, 8, 16, 3, 7}[g.IntN(7)] }
	p := []byte(g.packet(0))
	first := true
	for range 1 + g.IntN(3) {
		if !first {
			h := make([]byte, ipv6.HeaderLen)
			h[0], h[6], h[7] = 0x60, ipv6.ProtoIPv6, byte(g.Uint32())
			if g.IntN(10) == 0 {
				g.fill(h[1:4])
			}
			src, dst := root, [16]byte(p[24:])
			if g.IntN(2) == 0 {
				src = g.near(root, size())
			}
			switch g.IntN(3) {
			case 0:
				dst = root
			case 1:
				dst = g.near(src, size())
			}
			copy(h[8:], src[:])
			copy(h[24:], dst[:])
			p = append(h, p...)
		}
		first = false
		var ext []byte
		next := p[6]
		if g.IntN(2) == 0 {
			ref := [16]byte(p[24:])
			var list [][16]byte
			for range 1 + g.IntN(5) {
				ref = g.near(ref, size())
				list = append(list, ref)
			}
			ext = g.routing(next, [16]byte(p[24:]), list)
			next = ipv6.ProtoRouting
		}
		if g.IntN(2) == 0 {
			h := make([]byte, rpiLen)
			putRPI(h, next, 0x23, RPI{g.IntN(2) == 0, g.IntN(2) == 0, g.IntN(2) == 0, uint8(g.IntN(3)), uint16(g.IntN(3) << 7)})
			if g.IntN(8) == 0 {
				h[4] |= 1
			}
			if next == ipv6.ProtoHopByHop && g.IntN(4) > 0 && p[41] < 255 { // into the header that is there
				h[0], h[1] = p[40], p[41]+1
				p[40], p[41] = 1, 0
			}
			ext = append(h, ext...)
			next = ipv6.ProtoHopByHop
		}
		p[6] = next
		p = append(append(append([]byte(nil), p[:40]...), ext...), p[40:]...)
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6.HeaderLen))
	}
	return p
}

// routing returns a routing header of RFC 6554, of the shortest form that holds all the way
// round, or of another.
func (g routedGenerator) routing(next uint8, dst [16]byte, list [][16]byte) []byte {
	shared := func(a [16]byte) int {
		k := 0
		for k < 15 && a[k] == dst[k] {
			k++
		}
		return k
	}
	last := list[len(list)-1]
	i, e := 15, shared(last)
	for _, a := range list[:len(list)-1] {
		i = min(i, shared(a))
	}
	if e = min(e, i); len(list) == 1 {
		i = e
	}
	if g.IntN(6) == 0 && i > 0 {
		i--
	}
	h := []byte{next, 0, 3, uint8(len(list)), uint8(i<<4 | e), 0, 0, 0}
	for _, a := range list[:len(list)-1] {
		h = append(h, a[i:]...)
	}
	h = append(h, last[e:]...)
	pad := -len(h) & 7
	h[5] = uint8(pad << 4)
	if h[3] > 0 && g.IntN(8) == 0 {
		h[3]--
	}
	h = append(h, make([]byte, pad)...)
	h[1] = uint8(len(h)/8 - 1)
	return h
}

// TestRoutedRandom encodes and decodes random packets of an RPL domain, whole and in fragments.
func TestRoutedRandom(t *testing.T) {
	g := routedGenerator{newGenerator(1)}
	c := routedContexts()
	type form struct{ page, srh, rpi, tunnel bool }
	forms := map[form]int{}
	shorter := 0
	for range 20000 {
		g.newLink()
		p := g.rpl()
		if len(p) > MaxDatagram {
			continue
		}
		o := CompressOptions{RoutingHeaders: true, PlainExtHeaders: g.IntN(8) == 0, GHC: g.IntN(8) == 0, ElideUDPChecksum: g.IntN(8) == 0}
		b := checkRouted(t, c, p, g.link, o)
		var x form
		if x.page = b[0] == Page1; x.page {
			for b := b[1:]; ; {
				h, n, err := ParseRoutingHeader(b)
				if err != nil {
					break
				}
				x.srh = x.srh || !h.Elective && h.Type <= RoutingSRHMax
				x.rpi = x.rpi || !h.Elective && h.Type == RoutingRPI
				x.tunnel = x.tunnel || h.Elective
				b = b[n:]
			}
		}
		forms[x]++
		o.RoutingHeaders = false
		if plain, err := compress(c, p, g.link, o); err != nil {
			t.Fatal(err)
		} else if len(b) < len(plain) {
			shorter++
		}

		r := NewReassembler(Limits{}, c)
		o.RoutingHeaders = true
		var frags [][]byte
		if err := c.Fragment(p, g.link, o, 60+g.IntN(60), 7, func(f []byte, _ bool) { frags = append(frags, bytes.Clone(f)) }); err != nil {
			t.Fatal(err)
		}
		if len(frags) == 1 {
			continue
		}
		g.Shuffle(len(frags), func(i, k int) { frags[i], frags[k] = frags[k], frags[i] })
		var got ipv6.Packet
		for _, f := range frags {
			var err error
			if got, err = r.Input(time.Unix(1, 0), f, g.link); err != nil {
				t.Fatalf("%v: %x of %x", err, f, []byte(p))
			}
		}
		if !bytes.Equal(got, p) {
			t.Fatalf("joined %x\npacket %x", []byte(got), []byte(p))
		}
	}
	// Everything but a tunnel or route without Page 1 is there, and pays.
	for _, x := range []form{{}, {page: true, srh: true}, {page: true, rpi: true}, {page: true, tunnel: true},
		{true, true, true, false}, {true, true, false, true}, {true, false, true, true}, {true, true, true, true}} {
		if forms[x] < 100 {
			t.Errorf("%+v: %d packets", x, forms[x])
		}
	}
	if shorter < 5000 {
		t.Errorf("%d of 20000 are shorter", shorter)
	}
}

// TestHopsShortest compares the SRH-6LoRH headers that are chosen with the shortest of all ways.
func TestHopsShortest(t *testing.T) {
	g := routedGenerator{&generator{Rand: rand.New(rand.NewPCG(5, 4))}}
	for range 3000 {
		ref := g.near([16]byte{0x20, 1}, 14)
		list := make([][16]byte, 1+g.IntN(5))
		least := make([]int, len(list))
		prev := ref
		for k := range list {
			size := 1 << g.IntN(5)
			list[k] = g.near(prev, size)
			list[k][16-size] = prev[16-size] ^ 0x80
			prev, least[k] = list[k], size
		}
		x := plainLevel{src: ref, dst: list[0]}
		if len(list) > 1 {
			x.rh = append([]byte{0, 0, 3, uint8(len(list) - 1), 0, 0, 0, 0}, bytes.Join(func() (parts [][]byte) {
				for k := range list[1:] {
					parts = append(parts, list[1+k][:])
				}
				return parts
			}(), nil)...)
		}
		b, headers := x.appendHops(nil, false)
		best := 1 << 20
		for way := range 1 << (3 * len(list)) { // three bits for each address: its type
			n, prev, ok := 0, -1, true
			for k := range list {
				typ := way >> (3 * k) & 7
				if ok = typ <= 4 && 1<<typ >= least[k]; !ok {
					break
				}
				if n += 1 << typ; typ != prev {
					n += 2
				}
				prev = typ
			}
			if ok && n < best {
				best = n
			}
		}
		if len(b) != best {
			t.Fatalf("%d bytes, the least is %d: %x", len(b), best, b)
		}
		h := hops{rest: b, addr: ref}
		for rest := b; len(rest) > 0; headers-- {
			_, n, err := ParseRoutingHeader(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if headers != 0 {
			t.Fatalf("%x: %d headers more than said", b, -headers)
		}
		for k := range list {
			if !h.next() || h.addr != list[k] {
				t.Fatalf("address %d: %x, want %x", k, h.addr, list[k])
			}
		}
		if h.next() {
			t.Fatal("one more")
		}
	}
}

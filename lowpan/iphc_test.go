package lowpan

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestRoundTrip compresses random packets in every mode and restores them, whole and as
// first fragments cut at every multiple of 8 bytes.
func TestRoundTrip(t *testing.T) {
	g := newGenerator(1)
	modes := map[[2]byte]bool{}
	eids := map[byte]bool{}
	for i := range 30000 {
		if i%50 == 0 {
			g.contexts(g.IntN(NumContexts + 1))
		}
		g.newLink()
		p := g.packet(0)
		o := CompressOptions{PlainExtHeaders: g.IntN(8) == 0, ElideUDPChecksum: g.IntN(3) == 0}
		hdr, consumed, err := g.ctx.Compress(nil, p, g.link, o)
		if err != nil {
			t.Fatalf("%x: %v", p, err)
		}
		modes[[2]byte{hdr[0] & 0x1f, hdr[1]}] = true
		if hdr[0]&iphcNH != 0 {
			n, _ := g.ctx.decodeIPHC(new([40]byte), hdr, iid{0, true}, iid{0, true})
			eids[hdr[n]] = true
		}
		b := append(slices.Clone(hdr), p[consumed:]...)
		if len(b) > len(p)+1 {
			t.Fatalf("%d bytes became %d", len(p), len(b))
		}
		got, err := decompress(&g.ctx, b, g.link)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("packet %d\n     %x\nas   %x\ngave %x, %v", i, p, b, got, err)
		}
		for cut := (consumed + 7) &^ 7; cut < len(p) && i%10 == 0; cut += 8 {
			dst := make([]byte, 0, ipv6.MaxPacket)
			r, err := g.ctx.DecompressFirst(dst, append(slices.Clone(hdr), p[consumed:cut]...), g.link, len(p))
			if err != nil || r.N != cut {
				t.Fatalf("first fragment of %x to %d: %+v, %v", p, cut, r, err)
			}
			whole := append(dst[:r.N], p[cut:]...)
			if r.Checksum != 0 {
				if err := FinishChecksum(whole, r.Checksum); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(whole, p) {
				t.Fatalf("first fragment of %x to %d gave %x", p, cut, whole)
			}
		}
	}
	seen := map[byte]bool{}
	for m := range modes {
		seen[m[1]&^iphcCID] = true
	}
	for b1 := range 128 {
		if iphcInline1[b1] != iphcReserved && !seen[byte(b1)] {
			t.Errorf("no packet with a second byte of %02x", b1)
		}
	}
	for tf := range 32 {
		ok := false
		for m := range modes {
			ok = ok || m[0] == byte(tf)
		}
		if !ok {
			t.Errorf("no packet with TF, NH, HLIM of %02x", tf)
		}
	}
	for _, eid := range []byte{0, 1, 2, 3, 4} {
		if !eids[nhcExt|eid<<1] || !eids[nhcExt|eid<<1|1] {
			t.Errorf("no packet that starts with EID %d", eid)
		}
	}
	if !eids[nhcExt|eidIPv6<<1] {
		t.Error("no tunnelled IPv6")
	}
}

// TestElidedChecksum checks the UDP checksums that are left out and restored, through
// tunnels and routing headers.
func TestElidedChecksum(t *testing.T) {
	c, p, l := udpInContext(t)
	long := make([]byte, 1000)
	p = udpPacket(netip.AddrPortFrom(p.Src(), 0xf0b1), netip.AddrPortFrom(p.Dst(), 0xf0b2), 64, long)
	routed := func(typ byte, left byte, data ...byte) ipv6.Packet {
		q := slices.Clone(p[:40])
		q[6] = ipv6.ProtoRouting
		q = append(q, ipv6.ProtoUDP, byte((4+len(data))/8-1), typ, left)
		q = append(q, data...)
		at := len(q)
		q = append(q, p[40:]...)
		binary.BigEndian.PutUint16(q[4:], uint16(len(q)-40))
		// What the checksum must be: that of a packet without routing header.
		dst := p.Dst16()
		if left > 0 {
			switch typ {
			case 0, 2:
				dst = [16]byte(data[len(data)-16:])
			case 3:
				copy(dst[8:], data[12:])
			case 4:
				dst = [16]byte(data[4:])
			}
		}
		q[at+6], q[at+7] = 0, 0
		binary.BigEndian.PutUint16(q[at+6:], ipv6.Checksum(p.Src16(), dst, ipv6.ProtoUDP, q[at:]))
		return q
	}
	tunnel := slices.Clone(p[:40])
	tunnel[6] = ipv6.ProtoIPv6
	tunnel = append(tunnel, p...)
	binary.BigEndian.PutUint16(tunnel[4:], uint16(len(p)))
	addr := netip.MustParseAddr("2001:db8::77").As16()
	way := slices.Clone(p[:40]) // the tunnel has a way of a type that nobody knows
	way[6] = ipv6.ProtoRouting
	way = append(way, ipv6.ProtoIPv6, 0, 9, 1, 0, 0, 0, 0)
	way = append(way, p...)
	binary.BigEndian.PutUint16(way[4:], uint16(len(way)-40))

	for name, q := range map[string]ipv6.Packet{
		"plain":   p,
		"tunnel":  ipv6.Packet(tunnel),
		"way":     ipv6.Packet(way),
		"type 0":  routed(0, 1, append(make([]byte, 4), addr[:]...)...),
		"type 2":  routed(2, 1, append(make([]byte, 4), addr[:]...)...),
		"RPL":     routed(3, 2, append([]byte{0x88, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2)...),
		"SRv6":    routed(4, 1, append(make([]byte, 4), addr[:]...)...),
		"used up": routed(9, 0, append(make([]byte, 4), addr[:]...)...),
	} {
		t.Run(name, func(t *testing.T) {
			full, _, _ := c.Compress(nil, q, l, CompressOptions{})
			hdr, consumed, err := c.Compress(nil, q, l, CompressOptions{ElideUDPChecksum: true})
			if err != nil || len(hdr) != len(full)-2 {
				t.Fatalf("%x (%v): checksum not left out", hdr, err)
			}
			got, err := decompress(c, append(hdr, q[consumed:]...), l)
			if err != nil || !bytes.Equal(got, q) {
				t.Fatalf("got %x, %v", got, err)
			}
			if _, err := c.Decompress(make([]byte, 2000), append(hdr, q[consumed:consumed+8]...), l, len(q)); err != DropChecksum {
				t.Errorf("Decompress of the first fragment: %v", err)
			}
		})
	}

	// A wrong checksum, none at all, and one that nobody can restore, are not left out.
	wrong := slices.Clone(p)
	wrong[46] ^= 1
	none := slices.Clone(p)
	none[46], none[47] = 0, 0
	unknown := routed(9, 1, append(make([]byte, 4), addr[:]...)...)
	fragment := slices.Clone(p[:40])
	fragment[6] = ipv6.ProtoFragment
	fragment = append(fragment, ipv6.ProtoUDP, 0, 0, 1, 1, 2, 3, 4)
	fragment = append(fragment, p[40:]...)
	binary.BigEndian.PutUint16(fragment[4:], uint16(len(fragment)-40))
	for name, q := range map[string]ipv6.Packet{"wrong": wrong, "none": none, "unknown": unknown, "fragment": fragment} {
		a, n1, _ := c.Compress(nil, q, l, CompressOptions{})
		b, n2, _ := c.Compress(nil, q, l, CompressOptions{ElideUDPChecksum: true})
		if !bytes.Equal(a, b) || n1 != n2 {
			t.Errorf("%s: checksum left out: %x", name, b)
		}
	}
	if err := FinishChecksum(fragment, 48); err != DropChecksum {
		t.Errorf("checksum of a fragment: %v", err)
	}
	for _, off := range []int{0, 39, 41, 44, len(p) - 7, len(p), len(p) + 9} {
		if err := FinishChecksum(slices.Clone(p), off); err != DropChecksum {
			t.Errorf("checksum at %d: %v", off, err)
		}
	}
}

func TestContexts(t *testing.T) {
	var c Contexts
	now := time.Unix(1e9, 0)
	l := Link{Src: ipv6.EUI64(0x0200000000000001), Dst: ipv6.EUI64(0x0200000000000002)}
	p := udpPacket(netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2"), 64, nil)
	prefix := netip.MustParsePrefix("2001:db8::ff/64")

	for _, bad := range []struct {
		id int
		x  Context
	}{
		{-1, Context{Prefix: prefix}}, {16, Context{Prefix: prefix}},
		{0, Context{Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
		{0, Context{Prefix: netip.PrefixFrom(prefix.Addr(), 129)}},
	} {
		if c.Set(bad.id, bad.x) {
			t.Errorf("Set(%d, %v) accepted", bad.id, bad.x)
		}
	}
	if _, ok := c.Get(0); ok {
		t.Error("context 0 exists")
	}
	if _, ok := c.Get(-1); ok {
		t.Error("context -1 exists")
	}

	// In use, at its end, decompression only, gone (RFC 6775 section 5.4.3).
	length := func(x Context, at time.Time) int {
		c.Set(5, x)
		b, _, err := c.Compress(nil, p, l, CompressOptions{Now: at})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decompress(&c, b, l); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%+v: %x, %v", x, got, err)
		}
		return len(b)
	}
	live := Context{Prefix: prefix, Compress: true, Expires: now.Add(time.Minute)}
	short := length(live, now)
	if n := length(live, now.Add(time.Minute)); n <= short {
		t.Errorf("expired context compresses: %d bytes", n)
	}
	if n := length(live, time.Time{}); n != short {
		t.Errorf("without a time: %d bytes, want %d", n, short)
	}
	if n := length(Context{Prefix: prefix}, now); n <= short {
		t.Errorf("context without C compresses: %d bytes", n)
	}
	if x, ok := c.Get(5); !ok || x.Prefix != prefix.Masked() {
		t.Errorf("Get: %v, %v", x, ok)
	}
	c.Set(5, live)
	b, _, _ := c.Compress(nil, p, l, CompressOptions{Now: now})
	c.Set(5, Context{Prefix: prefix, Compress: true, Expires: now})
	if got, err := decompress(&c, b, l); err != nil || !bytes.Equal(got, p) {
		t.Errorf("expired context does not decompress: %v", err)
	}
	c.Set(5, Context{})
	if _, err := decompress(&c, b, l); err != DropContext {
		t.Errorf("removed context: %v", err)
	}
	if _, ok := c.Get(5); ok {
		t.Error("removed context exists")
	}
}

// TestContextLengths restores an address with contexts of every length: the bits of the
// context win, then those of the IID, the rest is zero (RFC 6282 section 3.1.1).
func TestContextLengths(t *testing.T) {
	l := Link{Src: ipv6.EUI64(0x1122334455667788), Dst: ipv6.Short(0x9abc)}
	ones := netip.MustParseAddr("2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for n := range 129 {
		var c Contexts
		prefix := netip.PrefixFrom(ones, n).Masked()
		c.Set(3, Context{Prefix: prefix, Compress: true})
		for _, mode := range []struct {
			sam    byte
			inline string
			iid    uint64
		}{
			{1, "0102030405060708", 0x0102030405060708},
			{2, "0102", 0x000000fffe000102},
			{3, "", 0x1122334455667788 ^ 0x02<<56},
		} {
			b := append([]byte{0x7a, iphcCID | iphcSAC | mode.sam<<4, 0x30, 59}, hexOf(mode.inline)...)
			b = append(b, hexOf("20010db8000000000000000000000001")...)
			p, err := decompress(&c, b, l)
			if err != nil {
				t.Fatal(err)
			}
			want := prefix.Addr().As16()
			for i := max(n, 64); i < 128; i++ {
				if mode.iid>>(127-i)&1 != 0 {
					want[i/8] |= 0x80 >> (i % 8)
				}
			}
			if got := ipv6.Packet(p).Src16(); got != want {
				t.Errorf("/%d SAM=%d: got %x, want %x", n, mode.sam, got, want)
			}
			a, _ := compress(&c, p, l, CompressOptions{})
			if len(a) > len(b) {
				t.Errorf("/%d SAM=%d: %x compressed again is %x", n, mode.sam, b, a)
			}
			if q, err := decompress(&c, a, l); err != nil || !bytes.Equal(q, p) {
				t.Errorf("/%d SAM=%d: back again %x, %v", n, mode.sam, q, err)
			}
		}
	}
}

// TestCodecDrops has a row for each reason that the codecs give.
func TestCodecDrops(t *testing.T) {
	eui := Link{Src: ipv6.EUI64(1), Dst: ipv6.EUI64(2)}
	nested := func(n int) []byte {
		b := []byte{0x7a, 0x33}
		for range n {
			b[len(b)-2] |= iphcNH
			b = append(b, 0xee, 0x7a, 0x33)
		}
		return append(b, 59)
	}
	chain := func(n int) []byte {
		b := []byte{0x7e, 0x33}
		for range n {
			b = append(b, 0xe7, 0)
		}
		return append(b, 0xf3, 0, 0, 0)
	}
	v6 := func(payload, version byte) []byte {
		b := make([]byte, 49)
		b[0], b[1], b[6] = 0x41, version<<4, payload
		return b
	}
	for _, r := range []struct {
		name string
		b    []byte
		l    Link
		size int
		cap  int
		want error
	}{
		{"empty", nil, eui, 0, 99, DropTruncated},
		{"one byte", hexOf("7a"), eui, 0, 99, DropTruncated},
		{"no next header", hexOf("7a33"), eui, 0, 99, DropTruncated},
		{"plain ends in the header", hexOf("4160"), eui, 0, 99, DropTruncated},
		{"plain, nothing", hexOf("41"), eui, 48, 99, DropTruncated},
		{"tunnel, nothing", hexOf("7e33ee"), eui, 0, 99, DropTruncated},
		{"chain ends at its type", hexOf("7e33e0"), eui, 0, 99, DropTruncated},
		{"chain ends at its length", hexOf("7e33e03a"), eui, 0, 99, DropTruncated},
		{"chain ends in its data", hexOf("7e33e03a02ff"), eui, 0, 99, DropTruncated},
		{"NALP", hexOf("00"), eui, 0, 99, DropNALP},
		{"NALP 3f", hexOf("3f00"), eui, 0, 99, DropNALP},
		{"ESC", hexOf("40"), eui, 0, 99, DropESC},
		{"HC1", hexOf("42fb"), eui, 0, 99, DropHC1},
		{"DFF", hexOf("43"), eui, 0, 99, DropDFF},
		{"BC0", hexOf("5001"), eui, 0, 99, DropBC0},
		{"mesh", hexOf("b100010002"), eui, 0, 99, DropMesh},
		{"RFRAG", hexOf("e8ef123464"), eui, 0, 99, DropRFRAG},
		{"paging", hexOf("f1"), eui, 0, 99, DropPaging},
		{"unassigned", hexOf("44"), eui, 0, 99, DropDispatch},
		{"fragment in a fragment", hexOf("c100000141"), eui, 64, 99, DropDispatch},
		{"DAM 00 DAC 1", hexOf("7a343a"), eui, 0, 99, DropReserved},
		{"M DAC 1 DAM 01", hexOf("7a3d3a"), eui, 0, 99, DropReserved},
		{"EID 5", hexOf("7e33ea3a00"), eui, 0, 99, DropReserved},
		{"EID 6", hexOf("7e33ec3a00"), eui, 0, 99, DropReserved},
		{"source context", hexOf("7a733a"), eui, 0, 99, DropContext},
		{"destination context", hexOf("7a373a"), eui, 0, 99, DropContext},
		{"multicast context", hexOf("7a3c3a000001020304"), eui, 0, 99, DropContext},
		{"no source to derive from", hexOf("7a333a"), Link{Dst: ipv6.EUI64(2)}, 0, 99, DropLinkAddr},
		{"no destination to derive from", hexOf("7a333a"), Link{Src: ipv6.EUI64(2)}, 0, 99, DropLinkAddr},
		{"NHC 00", hexOf("7e3300"), eui, 0, 99, DropNHC},
		{"NHC f8", hexOf("7e33f8"), eui, 0, 99, DropNHC},
		{"tunnel without IPHC", hexOf("7e33ee41"), eui, 0, 99, DropNHC},
		{"routing header of 7 bytes", hexOf("7e33e23a050000000000"), eui, 0, 99, DropExtHeader},
		{"mobility header of 9 bytes", hexOf("7e33e83a0700000000000000"), eui, 0, 99, DropExtHeader},
		{"fragment header of 7 bytes", hexOf("7e33e43a0500000000000000"), eui, 0, 99, DropExtHeader},
		{"too many tunnels", nested(maxNested), eui, 0, 999, DropNesting},
		{"too long a chain", chain(maxNHCHeaders + 1), eui, 0, 999, DropNesting},
		{"size below a header", hexOf("7a333a"), eui, 39, 99, DropLength},
		{"size below UDP", hexOf("7e33f3000000"), eui, 47, 99, DropLength},
		{"size below a chain", hexOf("7e33e03a0000"), eui, 44, 99, DropLength},
		{"size below a tunnel", hexOf("7e33ee7a333a"), eui, 79, 99, DropLength},
		{"size below the payload", hexOf("7a333a0102"), eui, 41, 99, DropLength},
		{"plain, length beyond the frame", v6(9, 6), eui, 0, 99, DropLength},
		{"plain, length against size", v6(9, 6), eui, 56, 99, DropLength},
		{"plain, size below the payload", v6(0, 6), eui, 40, 99, DropLength},
		{"elided checksum in a fragment", hexOf("7e33e50600010000000af7000102"), eui, 0, 99, DropChecksum},
		{"buffer below size", hexOf("7a333a"), eui, 100, 99, DropTooLong},
		{"buffer below a header", hexOf("7a333a"), eui, 0, 39, DropTooLong},
		{"buffer below UDP", hexOf("7e33f3000000"), eui, 0, 47, DropTooLong},
		{"buffer below the payload", hexOf("7a333a0102"), eui, 0, 41, DropTooLong},
		{"plain, buffer", v6(8, 6), eui, 0, 47, DropTooLong},
		{"plain, version 4", v6(0, 4), eui, 0, 99, DropVersion},
		{"plain, version 4 in a fragment", v6(0, 4), eui, 60, 99, DropVersion},
	} {
		dst := make([]byte, 0, r.cap)
		n, err := new(Contexts).Decompress(dst, r.b, r.l, r.size)
		if err != r.want || n != 0 {
			t.Errorf("%s: %x: got %d, %v, want %v", r.name, r.b, n, err, r.want)
		}
	}

	// The last that is still accepted.
	if _, err := new(Contexts).Decompress(make([]byte, 999), nested(maxNested-1), eui, 0); err != nil {
		t.Errorf("%d IPv6 headers: %v", maxNested, err)
	}
	if _, err := new(Contexts).Decompress(make([]byte, 999), chain(maxNHCHeaders), eui, 0); err != nil {
		t.Errorf("%d headers: %v", maxNHCHeaders, err)
	}

	for name, r := range map[string]struct {
		p    []byte
		want error
	}{
		"short":   {make([]byte, 39), DropTruncated},
		"version": {make([]byte, 40), DropVersion},
		"length":  {append([]byte{0x60}, make([]byte, 40)...), DropLength},
	} {
		if b, n, err := new(Contexts).Compress(nil, r.p, eui, CompressOptions{}); err != r.want || n != 0 || len(b) != 0 {
			t.Errorf("Compress %s: %v, want %v", name, err, r.want)
		}
	}
}

// TestFragmentHeader accepts both readings of the byte behind the type of a fragment header.
func TestFragmentHeader(t *testing.T) {
	l := Link{Src: ipv6.Short(1), Dst: ipv6.Short(2)}
	want := hexOf("6000000000092c40 fe80000000000000000000fffe000001 fe80000000000000000000fffe000002 3a00000112345678 ff")
	for _, b := range []string{"7e33e43a06000112345678ff", "7e33e43a00000112345678ff"} {
		if p, err := decompress(new(Contexts), hexOf(b), l); err != nil || !bytes.Equal(p, want) {
			t.Errorf("%s: %x, %v", b, p, err)
		}
	}
	want[41] = 1 // a reserved byte that is not zero cannot be encoded
	if b, n, err := new(Contexts).Compress(nil, want, l, CompressOptions{}); err != nil || n != 40 || b[2] != ipv6.ProtoFragment {
		t.Errorf("%x, %d, %v", b, n, err)
	}
}

func TestUncompressed(t *testing.T) {
	_, p, l := udpInContext(t)
	b := append([]byte{0x41}, p...)
	var c Contexts
	if got, err := decompress(&c, append(slices.Clone(b), 1, 2, 3), l); err != nil || !bytes.Equal(got, p) {
		t.Errorf("with bytes behind it: %x, %v", got, err)
	}
	for _, n := range []int{1, 5, 6, 40, len(p)} {
		dst := make([]byte, ipv6.MaxPacket)
		k, err := c.Decompress(dst, b[:1+n], l, len(p))
		if err != nil || k != n || !bytes.Equal(dst[:k], p[:n]) {
			t.Errorf("first %d bytes: %d, %v", n, k, err)
		}
	}
}

func TestCompressAppends(t *testing.T) {
	c, p, l := udpInContext(t)
	want, n, err := c.Compress(nil, p, l, CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 3, 63, 64, 200} {
		dst := append(make([]byte, 0, 3+room), 1, 2, 3)
		b, k, err := c.Compress(dst, p, l, CompressOptions{})
		if err != nil || k != n || !bytes.Equal(b[3:], want) || !bytes.Equal(b[:3], []byte{1, 2, 3}) {
			t.Errorf("room for %d: %x, %d, %v", room, b, k, err)
		}
	}
}

func TestCodecAllocs(t *testing.T) {
	c, p, l := udpInContext(t)
	chainLink := Link{Src: ipv6.EUI64(0xacde480000000002), Dst: ipv6.Short(0xabc)}
	chain := hexOf("7e33e1066304001e0300e3160302880000003f1babb6a2e745e7f80a519ee43afba6f721abcd78797a")
	dst, hdr := make([]byte, 0, ipv6.MaxPacket), make([]byte, 0, 512)
	b, _ := compress(c, p, l, CompressOptions{})
	q, err := decompress(c, chain[:len(chain)-2], chainLink)
	if err != nil {
		t.Fatal(err)
	}
	tunnel := ipv6.AppendHeader(nil, 0, 0, len(p), ipv6.ProtoIPv6, 9, p.Src(), p.Dst())
	tunnel = append(tunnel, p...)
	o := CompressOptions{Now: time.Unix(1, 0), ElideUDPChecksum: true}
	for name, f := range map[string]func(){
		"decompress":       func() { c.Decompress(dst, b, l, 0) },
		"decompress chain": func() { c.Decompress(dst, chain, chainLink, 0) },
		"decompress drop":  func() { c.Decompress(dst, b[:9], l, 0) },
		"compress":         func() { c.Compress(hdr, p, l, o) },
		"compress chain":   func() { c.Compress(hdr, q, chainLink, o) },
		"compress tunnel":  func() { c.Compress(hdr, tunnel, l, o) },
		"compress drop":    func() { c.Compress(hdr, q[:50], l, o) },
		"mesh header":      func() { ParseMeshHeader(chain) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestUnspecifiedOfLwIP takes SAC=1 SAM=01 with zeros for "::" where there is no context 0.
func TestUnspecifiedOfLwIP(t *testing.T) {
	l := Link{Src: ipv6.EUI64(0x02005e1000000001), Dst: ipv6.BroadcastShort}
	b := hexOf("7b5b 3a 0000000000000000 02 8500 7bb9 00000000") // router solicitation
	p, err := decompress(new(Contexts), b, l)
	if err != nil {
		t.Fatal(err)
	}
	if q := ipv6.Packet(p); q.Src() != netip.IPv6Unspecified() || q.Dst() != netip.MustParseAddr("ff02::2") {
		t.Errorf("%v -> %v", q.Src(), q.Dst())
	}
	for _, s := range []string{
		"7b5b 3a 0000000000000001 02", "7b6b 3a 0000 02", "7b7b 3a 02", "7bdb 10 3a 0000000000000100 02",
	} {
		if _, err := decompress(new(Contexts), hexOf(s), l); err != DropContext {
			t.Errorf("%s: %v", s, err)
		}
	}
	// Its application has set context 0: the first that is all zero is 1.
	c, _, _ := udpInContext(t)
	if p, err := decompress(c, hexOf("7bdb 10 3a 0000000000000000 02 8500 7bb9 00000000"), l); err != nil || !ipv6.Packet(p).Src().IsUnspecified() {
		t.Errorf("by context 1: %x, %v", p, err)
	}
	if p, err := decompress(c, b, l); err != nil || ipv6.Packet(p).Src() != netip.MustParseAddr("fd00:1:2:3::") {
		t.Errorf("with a context 0: %x, %v", p, err)
	}
}

func TestDropText(t *testing.T) {
	seen := map[string]Drop{}
	for d := Drop(1); d.Error() != "lowpan_unknown"; d++ {
		if other, ok := seen[d.Error()]; ok {
			t.Errorf("%d and %d are both %q", d, other, d)
		}
		seen[d.Error()] = d
	}
	if len(seen) < int(DropGHC) {
		t.Errorf("only %d of %d reasons have a text", len(seen), DropGHC)
	}
	if Drop(0).Error() != "lowpan_unknown" || Drop(255).Error() != "lowpan_unknown" {
		t.Error("text for no reason")
	}
}

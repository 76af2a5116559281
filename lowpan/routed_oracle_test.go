package lowpan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"border-router/ipv6"
)

// writePcap writes packets to a file of its own and returns its name.
func writePcap(t *testing.T, link uint32, packets [][]byte) string {
	t.Helper()
	le := binary.LittleEndian
	file := append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, le.AppendUint32(nil, link)...)
	for k, p := range packets {
		file = le.AppendUint32(file, uint32(1+k/1000))
		file = le.AppendUint32(file, uint32(k%1000*1000))
		file = le.AppendUint32(file, uint32(len(p)))
		file = append(le.AppendUint32(file, uint32(len(p))), p...)
	}
	name := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tsharkFields returns the fields that tshark finds in each packet of the file, the values of
// one with commas between them.
func tsharkFields(t *testing.T, path, name string, fields []string, args ...string) [][]string {
	t.Helper()
	args = append([]string{"-n", "-r", name, "-T", "fields", "-E", "separator=;"}, args...)
	for _, p := range []string{"udp", "icmpv6", "mipv6"} {
		args = append(args, "--disable-protocol", p)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), ";"))
	}
	return rows
}

// A routedCase is a datagram with routing headers, made by hand, and what it stands for.
type routedCase struct {
	frame  []byte // without MAC header
	inner  []byte // what LOWPAN_IPHC alone stands for
	fields []string
	plain  []string // of the IPv6 packet
}

var (
	routedFields = []string{
		"6lowpan.rhtype", "6lowpan.HopNuevo", "6lowpan.src", "6lowpan.rpl.instance", "6lowpan.sender.rank",
		"6lowpan.6loRH.bitO", "6lowpan.6loRH.bitR", "6lowpan.6loRH.bitF", "6lowpan.rhhop.limit", "_ws.malformed",
	}
	plainFields = []string{
		"ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.routing.segleft", "ipv6.routing.rpl.addr_count", "ipv6.routing.rpl.full_address",
		"ipv6.opt.rpl.flag.o", "ipv6.opt.rpl.flag.r", "ipv6.opt.rpl.flag.f", "ipv6.opt.rpl.instance_id", "ipv6.opt.rpl.sender_rank", "_ws.malformed",
	}
)

// srh appends SRH-6LoRH headers for list, each address in a type that holds it or a wider one,
// and new headers where there need not be any.
func (g routedGenerator) srh(c *routedCase, col [][]string, ref [16]byte, list [][16]byte) {
	head, typ, room := 0, -1, 0
	for _, a := range list {
		shared := 0
		for shared < 15 && a[shared] == ref[shared] {
			shared++
		}
		least := bits.Len(uint(15 - shared))
		want := least + g.IntN(5-least)
		if typ >= least && g.IntN(4) > 0 {
			want = typ
		}
		if room == 0 || want != typ || g.IntN(8) == 0 {
			if typ >= 0 {
				col[1] = append(col[1], fmt.Sprintf("0x%04x", c.frame[head]&31))
			}
			head, typ, room = len(c.frame), want, 32
			c.frame = append(c.frame, lorhCritical, byte(typ))
			col[0] = append(col[0], fmt.Sprintf("0x%04x", typ))
		} else {
			c.frame[head]++
		}
		room--
		c.frame = append(c.frame, a[16-1<<typ:]...)
		delta := [16]byte{}
		copy(delta[16-1<<typ:], a[16-1<<typ:])
		col[2] = append(col[2], netip.AddrFrom16(delta).String())
		ref = a
	}
	col[1] = append(col[1], fmt.Sprintf("0x%04x", c.frame[head]&31))
}

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// routed returns a random datagram with routing headers.
func (g routedGenerator) routed(root [16]byte) (c routedCase) {
	col, plain := make([][]string, len(routedFields)), make([][]string, len(plainFields))
	size := func() int { return []int{1, 2, 4, 8, 16, 3, 7, 1, 2, 8}[g.IntN(10)] }
	list := func(ref [16]byte) (a [][16]byte) {
		n := 1 + g.IntN(6)
		if g.IntN(20) == 0 {
			n = 1 + g.IntN(70)
		}
		for range n {
			ref = g.near(ref, size())
			if ref[0] == 0xff {
				ref[0] = 0xfd
			}
			a = append(a, ref)
		}
		return a
	}
	rpi := func() {
		p := RPI{g.IntN(2) == 0, g.IntN(2) == 0, g.IntN(2) == 0, uint8(g.IntN(3) * 30), uint16(g.Uint32())}
		if g.IntN(2) == 0 {
			p.SenderRank &= 0xff00
		}
		h := RoutingHeader{Type: RoutingRPI}
		h.TSE = b2u(p.Down)<<4 | b2u(p.RankError)<<3 | b2u(p.ForwardError)<<2
		if p.Instance == 0 && g.IntN(4) > 0 {
			h.TSE |= rpiI
		} else {
			h.Data = append(h.Data, p.Instance)
		}
		rank := ""
		if p.SenderRank&0xff == 0 && g.IntN(4) > 0 {
			h.TSE |= rpiK
			h.Data = append(h.Data, uint8(p.SenderRank>>8))
			rank = fmt.Sprintf("0x%02x", p.SenderRank>>8)
		} else {
			h.Data = binary.BigEndian.AppendUint16(h.Data, p.SenderRank)
			rank = fmt.Sprintf("0x%04x", p.SenderRank)
		}
		c.frame, _ = h.AppendBinary(c.frame)
		col[0] = append(col[0], "0x0005")
		col[3] = append(col[3], fmt.Sprintf("0x%02x", p.Instance))
		col[4] = append(col[4], rank)
		for k, set := range []bool{p.Down, p.RankError, p.ForwardError} {
			col[5+k] = append(col[5+k], truth(set))
			plain[6+k] = append(plain[6+k], truth(set))
		}
		plain[9] = append(plain[9], fmt.Sprintf("0x%02x", p.Instance))
		plain[10] = append(plain[10], fmt.Sprintf("0x%04x", p.SenderRank))
	}
	text := func(a [16]byte) string { return netip.AddrFrom16(a).String() }
	// way notes the destination and the routing header of the addresses on the way.
	way := func(to [][16]byte) {
		plain[1] = append(plain[1], text(to[0]))
		if to = to[1:]; len(to) > 0 {
			plain[3] = append(plain[3], fmt.Sprint(len(to)))
			plain[4] = append(plain[4], fmt.Sprint(len(to)))
			for _, a := range to {
				plain[5] = append(plain[5], text(a))
			}
		}
	}

	var encapsulators [][2]int // in the column of addresses, and in the frame
	c.frame = []byte{Page1}
	tunnels := g.IntN(4)
	link := g.link
	src, dst := g.near(root, size()), g.near(root, size())
	if tunnels > 0 {
		link = Link{} // tshark takes interface identifiers of the frame where RFC 8138 takes the tunnel's
	}
	c.inner = ipv6.AppendUDP(nil, netip.AddrPortFrom(netip.AddrFrom16(src), 1000), netip.AddrPortFrom(netip.AddrFrom16(dst), 2000), uint8(g.Uint32()), make([]byte, 20))
	iphc, err := compress(&g.ctx, c.inner, link, CompressOptions{})
	if err != nil {
		panic(err)
	}
	for k := range tunnels + 1 {
		var hop [][16]byte
		ref, addr := src, []byte(nil)
		if k < tunnels {
			if ref = root; g.IntN(2) == 0 {
				n := 1 + g.IntN(16)
				ref = g.near(root, n)
				addr = ref[16-n:]
			}
		}
		if g.IntN(4) > 0 {
			hop = list(ref)
			g.srh(&c, col, ref, hop)
		}
		if g.IntN(2) == 0 {
			rpi()
		}
		plain[0] = append(plain[0], text(ref))
		if k == tunnels {
			if len(hop) == 0 || hop[len(hop)-1] != dst {
				hop = append(hop, dst)
			}
			plain[2] = append(plain[2], fmt.Sprint(c.inner[7]))
			way(hop)
			break
		}
		limit := uint8(g.Uint32())
		c.frame = append(append(c.frame, lorhElective|uint8(1+len(addr)), RoutingIPinIP, limit), addr...)
		col[0] = append(col[0], "0x0006")
		col[8] = append(col[8], fmt.Sprintf("0x%02x", limit))
		if len(addr) > 0 {
			encapsulators = append(encapsulators, [2]int{len(col[2]), len(c.frame) - len(addr)})
			col[2] = append(col[2], "")
		}
		plain[2] = append(plain[2], fmt.Sprint(limit))
		switch {
		case len(hop) > 0:
		case ref == root:
			hop = [][16]byte{dst}
		default:
			hop = [][16]byte{root}
		}
		way(hop)
	}
	col[2] = append(col[2], text(src)) // of LOWPAN_IPHC
	c.frame = append(c.frame, iphc...)
	for _, e := range encapsulators {
		col[2][e[0]] = text([16]byte(c.frame[e[1]:]))
	}
	for _, v := range col {
		c.fields = append(c.fields, strings.Join(v, ","))
	}
	for _, v := range plain {
		c.plain = append(c.plain, strings.Join(v, ","))
	}
	return c
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// TestRoutedTshark has tshark read random datagrams with SRH-6LoRH of all types and lengths,
// RPI-6LoRH and IP-in-IP-6LoRH in tunnels in tunnels:
//
//   - the headers themselves, every field, an encapsulator that is not a whole address as tshark
//     reads it, 16 bytes whatever the length says;
//   - what LOWPAN_IPHC behind them stands for;
//   - the packet that we restore, as a capture of IPv6: tshark does not restore it, it passes
//     over routing headers. Addresses, hop limits, segments and options are those that the
//     datagram was made from.
//
// It reads no elective headers of unknown type, whose contents it takes for what comes behind
// them, and no switch to Page 0 behind another one; at the beginning it does. It does not know
// the RPL option of RFC 9008 by its type.
func TestRoutedTshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark (Debian: apt-get install tshark): ", err)
	}
	root := netip.MustParseAddr("2001:db8:0:1::ff:fe00:1").As16()
	g := routedGenerator{newGenerator(6554)}
	g.contexts(0)
	g.ctx.Set(0, Context{Prefix: netip.MustParsePrefix("2001:db8:0:1::/64"), Compress: true})
	g.ctx.SourceRoutes, g.ctx.RPLOption, g.ctx.Root = true, 0x63, netip.AddrFrom16(root)
	cases := make([]routedCase, 0, 3000)
	var frames, packets [][]byte
	var inner []oracleCase
	for k := 0; len(cases) < cap(cases); k++ {
		g.newLink()
		c := g.routed(root)
		buf := make([]byte, 0, 8192)
		n, err := g.ctx.DecompressRouted(buf, c.frame, g.link)
		if strings.Count(c.fields[0], ",") >= maxNHCHeaders {
			if err != DropNesting {
				t.Fatalf("%x: %v", c.frame, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%x: %v", c.frame, err)
		}
		checkRouted(t, &g.ctx, buf[:n], g.link, CompressOptions{RoutingHeaders: true})
		if k%16 == 0 { // in Page 0 first
			f, again := append([]byte{Page0}, c.frame...), make([]byte, 0, n)
			if m, err := g.ctx.DecompressRouted(again, f, g.link); err != nil || !bytes.Equal(again[:m], buf[:n]) {
				t.Fatalf("%x: %v", f, err)
			}
		}
		cases = append(cases, c)
		frames = append(frames, macFrame(g.link, byte(k), c.frame))
		packets = append(packets, buf[:n])
		inner = append(inner, oracleCase{g.link, c.frame, c.inner, false})
	}
	as := []string{"-d", "wpan.panid==0xabcd,6lowpan", "-o", "6lowpan.context0:2001:db8:0:1::/64"}
	compare := func(what string, rows [][]string, names []string, want func(c *routedCase) []string) {
		if len(rows) != len(cases) {
			t.Fatalf("tshark read %d of %d", len(rows), len(cases))
		}
		bad := 0
		for k, row := range rows {
			for f, w := range want(&cases[k]) {
				if strings.Contains(row[f], ":") { // some with an IPv4 address at the end
					a := strings.Split(row[f], ",")
					for k := range a {
						a[k] = netip.MustParseAddr(a[k]).String()
					}
					row[f] = strings.Join(a, ",")
				}
				if row[f] != w {
					if bad++; bad <= 5 {
						t.Errorf("%s of %x\n%s: tshark %s, want %s", what, cases[k].frame, names[f], row[f], w)
					}
				}
			}
		}
		if bad > 0 {
			t.Errorf("%s: %d fields differ", what, bad)
		}
	}
	compare("routing headers", tsharkFields(t, path, writePcap(t, 230, frames), routedFields, as...), routedFields, func(c *routedCase) []string { return c.fields })
	compare("packet", tsharkFields(t, path, writePcap(t, 229, packets), plainFields), plainFields, func(c *routedCase) []string { return c.plain })
	for k, got := range tshark(t, path, &g.ctx, inner, as[:2]...) {
		if !bytes.Equal(got, cases[k].inner) {
			t.Errorf("%x\n  ours %x\ntshark %x", cases[k].frame, cases[k].inner, got)
		}
	}
}

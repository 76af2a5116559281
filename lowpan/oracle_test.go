package lowpan

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"border-router/ipv6"
)

// An oracleCase is a compressed datagram in a frame of its own and what tshark must make
// of it.
type oracleCase struct {
	link       Link
	compressed []byte
	want       []byte
	elided     bool // the UDP checksum is not in compressed
}

// macFrame returns an IEEE 802.15.4 data frame of version 2006 around payload, with PAN id
// compression and without FCS.
func macFrame(l Link, seq byte, payload []byte) []byte {
	mode := func(a ipv6.LinkAddr) uint16 { return map[int]uint16{0: 0, 2: 2, 8: 3}[a.Len()] }
	fcf := 1 | 1<<6 | mode(l.Dst)<<10 | 1<<12 | mode(l.Src)<<14
	b := binary.LittleEndian.AppendUint16(nil, fcf)
	b = binary.LittleEndian.AppendUint16(append(b, seq), l.PAN)
	for _, a := range []ipv6.LinkAddr{l.Dst, l.Src} {
		printed := a.Append(nil)
		for i := range printed {
			b = append(b, printed[len(printed)-1-i])
		}
	}
	return append(b, payload...)
}

// tshark returns, for each case, the bytes that tshark restores, nil where it restores
// none.
func tshark(t *testing.T, path string, ctx *Contexts, cases []oracleCase, more ...string) [][]byte {
	t.Helper()
	const linkTypeNoFCS = 230 // LINKTYPE_IEEE802_15_4_NOFCS
	le := binary.LittleEndian
	file := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, linkTypeNoFCS, 0, 0, 0}
	for i, c := range cases {
		f := macFrame(c.link, byte(i), c.compressed)
		file = le.AppendUint32(file, uint32(1+i/1000))
		file = le.AppendUint32(file, uint32(i%1000*1000))
		file = le.AppendUint32(file, uint32(len(f)))
		file = append(le.AppendUint32(file, uint32(len(f))), f...)
	}
	name := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-x", "-r", name}
	// What guesses at frames, and upper layers, which only cost time.
	for _, p := range []string{"zbee_nwk", "zbee_beacon", "zbee_nwk_gp", "lwm", "thread_beacon", "udp", "icmpv6", "mipv6"} {
		args = append(args, "--disable-protocol", p)
	}
	for id := range NumContexts {
		if x, ok := ctx.Get(id); ok {
			args = append(args, "-o", fmt.Sprintf("6lowpan.context%d:%v", id, x.Prefix))
		}
	}
	cmd := exec.Command(path, append(args, more...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.Bytes())
	}

	// Frames are hex dumps of each byte source under its name, in order; a frame that is its
	// only source has no name. A tunnelled header is a source of its own, part of the longest.
	results := make([][]byte, 0, len(cases))
	var block []byte
	source, titled := "", false
	end := func() {
		if strings.HasPrefix(source, "Decompressed 6LoWPAN") || strings.HasPrefix(source, "Reassembled 6LoWPAN") {
			if last := &results[len(results)-1]; len(block) > len(*last) {
				*last = block
			}
		}
		block = nil
	}
	s := bufio.NewScanner(bytes.NewReader(out))
	for s.Scan() {
		line := s.Text()
		if strings.HasSuffix(line, " bytes):") {
			end()
			source = line
			if strings.HasPrefix(line, "Frame (") {
				results = append(results, nil)
			}
			titled = true
		} else if len(line) > 54 {
			if !titled && strings.HasPrefix(line, "0000 ") {
				end()
				source, results = "", append(results, nil)
			}
			titled = false
			b, err := hex.DecodeString(strings.ReplaceAll(line[6:53], " ", ""))
			if err != nil {
				t.Fatalf("hex dump %q: %v", line, err)
			}
			block = append(block, b...)
		}
	}
	end()
	if len(results) != len(cases) {
		t.Fatalf("tshark read %d of %d frames", len(results), len(cases))
	}
	return results
}

// tsharkKnown removes from what tshark restored the differences that are its own: an
// elided checksum is given as ffff, and the length that stands in place of the reserved
// byte of a fragment header is kept.
func tsharkKnown(got []byte, c oracleCase) {
	next, o := uint8(ipv6.ProtoIPv6), 0
	for o+8 <= len(c.want) && len(got) == len(c.want) {
		n := 8
		switch next {
		case ipv6.ProtoIPv6:
			if o+ipv6.HeaderLen > len(c.want) {
				return
			}
			next = c.want[o+6]
			o += ipv6.HeaderLen
			continue
		case ipv6.ProtoUDP:
			if c.elided && got[o+6] == 0xff && got[o+7] == 0xff {
				got[o+6], got[o+7] = c.want[o+6], c.want[o+7]
			}
			return
		case ipv6.ProtoFragment:
			if got[o+1] == 6 {
				got[o+1] = c.want[o+1]
			}
		case ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoDstOpts, ipv6.ProtoMobility:
			n = 8 * (int(c.want[o+1]) + 1)
		default:
			return
		}
		next = c.want[o]
		o += n
	}
}

// tsharkRounds is how often the comparisons run, each time with other packets: 3,000 whole
// datagrams and 200 in fragments a round.
var tsharkRounds = flag.Int("tshark-rounds", 8, "rounds of comparison with tshark")

// TestTshark compares the codecs with tshark over random packets that Compress has encoded
// and random encodings that it would not choose.
func TestTshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark (Debian: apt-get install tshark): ", err)
	}
	const perRound = 1500
	for round := range *tsharkRounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			g := newGenerator(100 + uint64(round))
			g.contexts(round * 2 % (NumContexts + 1))
			var cases []oracleCase
			for range perRound {
				g.newLink()
				p := g.packet(0)
				elide := g.IntN(4) == 0
				o := CompressOptions{ElideUDPChecksum: elide, PlainExtHeaders: g.IntN(8) == 0}
				if elide { // give the checksum a chance to be right
					if off := udpOffset(p); off != 0 {
						FinishChecksum(p, off)
					}
				}
				plain, _ := compress(&g.ctx, p, g.link, CompressOptions{PlainExtHeaders: o.PlainExtHeaders})
				b, err := compress(&g.ctx, p, g.link, o)
				if err != nil {
					t.Fatal(err)
				}
				cases = append(cases, oracleCase{g.link, b, p, len(b) < len(plain)})
			}
			for len(cases) < 2*perRound {
				g.newLink()
				b := g.encoding()
				p, err := decompress(&g.ctx, b, g.link)
				if err != nil {
					t.Fatalf("%x: %v", b, err)
				}
				elided := b[0]&iphcNH != 0 // the header below is UDP; C may be set
				cases = append(cases, oracleCase{g.link, b, p, elided})
			}
			bad := 0
			for i, got := range tshark(t, path, &g.ctx, cases) {
				c := cases[i]
				tsharkKnown(got, c)
				if !bytes.Equal(got, c.want) {
					if bad++; bad <= 5 {
						t.Errorf("frame %d: %v -> %v: %x\n  ours %x\ntshark %x", i+1, c.link.Src, c.link.Dst, c.compressed, c.want, got)
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d differ", bad, len(cases))
			}
		})
	}
}

// udpOffset returns the offset of the UDP header of p, 0 where there is none.
func udpOffset(p ipv6.Packet) int {
	for off := ipv6.HeaderLen; off+8 <= len(p); off += 8 {
		if _, _, ok := udpAddrs(p, off); ok {
			return off
		}
	}
	return 0
}

// encoding returns a random datagram compressed in a random way with contexts that exist.
func (g *generator) encoding() []byte {
	for {
		b := []byte{iphcDispatch | byte(g.IntN(32)), byte(g.Uint32())}
		if iphcInline1[b[1]] == iphcReserved {
			continue
		}
		inline := make([]byte, int(iphcInline0[b[0]&31])+int(iphcInline1[b[1]]))
		g.fill(inline)
		cid := 0
		if b[1]&iphcCID != 0 {
			cid = int(inline[0])
		}
		needS := b[1]>>4&7 > 4
		needD := b[1]&15 > 4 && b[1]&15 < 8 || b[1]&15 == 12
		if needS && g.ctx.valid>>(cid>>4)&1 == 0 || needD && g.ctx.valid>>(cid&15)&1 == 0 {
			continue
		}
		// In place: padding of traffic class and flow label zero, an in-line next header that
		// is not looked into, a destination that is multicast exactly where M says so.
		at := int(b[1] >> 7)
		switch b[0] >> 3 & 3 {
		case 0:
			inline[at+1] &= 0x0f
			at += 4
		case 1:
			inline[at] &= 0xcf
			at += 3
		case 2:
			at++
		}
		if b[0]&iphcNH == 0 {
			inline[at] = 0xfd
		}
		switch b[1] & 15 {
		case 0:
			inline[len(inline)-16] = 0x20
		case 8:
			inline[len(inline)-16] = 0xff
		}
		b = append(b, inline...)
		if b[0]&iphcNH != 0 {
			nhc := nhcUDP | byte(g.IntN(8))
			b = append(b, nhc)
			b = append(b, make([]byte, nhcUDPLen[nhc&7]-1)...)
			g.fill(b[len(b)-int(nhcUDPLen[nhc&7])+1:])
		}
		return g.tail(b, 40)
	}
}

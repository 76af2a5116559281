package lowpan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"border-router/ipv6"
)

// big returns a random packet that needs fragments: one of g.packet with a longer payload.
func (g *generator) big() ipv6.Packet {
	p := g.packet(0)
	n := 110 + g.IntN(ipv6.MinMTU-110+1)
	if g.IntN(4) == 0 {
		n = MaxDatagram - g.IntN(20)
	}
	if n <= len(p) {
		return p
	}
	off := udpOffset(p)
	more := make([]byte, n-len(p))
	g.fill(more)
	p = append(p, more...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6.HeaderLen))
	if off != 0 {
		binary.BigEndian.PutUint16(p[off+4:], uint16(len(p)-off))
	}
	return p
}

// TestTsharkFragments compares what tshark and a [Reassembler] make of the fragments of
// random packets, in order, shuffled and with those of other packets between them.
func TestTsharkFragments(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark (Debian: apt-get install tshark): ", err)
	}
	const perRound = 200
	for round := range *tsharkRounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			g := newGenerator(500 + uint64(round))
			g.contexts(round * 4 % (NumContexts + 1))
			var cases []oracleCase
			packets := 0
			for tag := uint16(0); packets < perRound; {
				// Up to three datagrams whose fragments mix.
				var group []oracleCase
				left := map[uint16]int{} // by tag
				whole := map[uint16]ipv6.Packet{}
				for range 1 + g.IntN(3) {
					g.newLink()
					p := g.big()
					o := CompressOptions{PlainExtHeaders: g.IntN(4) == 0}
					room := 60 + g.IntN(maxMACFrame-23-60+1)
					fragments := 0
					err := g.ctx.Fragment(p, g.link, o, room, tag, func(b []byte, last bool) {
						group = append(group, oracleCase{link: g.link, compressed: bytes.Clone(b)})
						fragments++
					})
					if err != nil {
						t.Fatal(err)
					}
					if fragments == 1 {
						group[len(group)-1].want = p
					} else {
						left[tag], whole[tag] = fragments, p
					}
					tag++
					packets++
				}
				if g.IntN(2) == 0 {
					g.Shuffle(len(group), func(i, k int) { group[i], group[k] = group[k], group[i] })
				}
				for i := range group {
					if h, _, err := ParseFragHeader(group[i].compressed); err == nil {
						if left[h.Tag]--; left[h.Tag] == 0 {
							group[i].want = whole[h.Tag]
						}
					}
				}
				cases = append(cases, group...)
			}

			r := NewReassembler(Limits{}, &g.ctx)
			bad := 0
			for i, got := range tshark(t, path, &g.ctx, cases) {
				c := cases[i]
				var ours ipv6.Packet
				if isFragment(c.compressed[0]) {
					var err error
					if ours, err = r.Input(time.Unix(0, 0), c.compressed, c.link); err != nil {
						t.Fatalf("frame %d: %v", i+1, err)
					}
				} else if ours, err = decompress(&g.ctx, c.compressed, c.link); err != nil {
					t.Fatalf("frame %d: %v", i+1, err)
				}
				if !bytes.Equal(ours, c.want) {
					t.Fatalf("frame %d:\n ours %x\n want %x", i+1, ours, c.want)
				}
				if c.want == nil {
					continue // of a first fragment tshark shows what it holds
				}
				tsharkKnown(got, c)
				if !bytes.Equal(got, c.want) {
					if bad++; bad <= 3 {
						t.Errorf("frame %d: %v -> %v: %x\n  ours %x\ntshark %x", i+1, c.link.Src, c.link.Dst, c.compressed, c.want, got)
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d packets differ", bad, packets)
			}
			t.Logf("%d packets in %d frames", packets, len(cases))
		})
	}
}

package lowpan

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"border-router/ipv6"
)

func fuzzContexts() *Contexts {
	c := &Contexts{AcceptGHC: true}
	for id, s := range map[int]string{
		0: "2001:db8:0:1::/64", 1: "fd00:1:2:3::/64", 2: "2001:db8:aaaa::/48", 5: "2001:db8:1:2:3::/80",
		7: "2001:db8:7:7:7:7::/96", 9: "fd00:9::/32", 12: "::/0", 15: "2001:db8:f::1/128",
	} {
		c.Set(id, Context{Prefix: netip.MustParsePrefix(s), Compress: true})
	}
	return c
}

var fuzzLinks = [4]Link{
	{Src: ipv6.EUI64(0x02005e1000000001), Dst: ipv6.EUI64(0x02005e1000000002)},
	{Src: ipv6.Short(0x1234), Dst: ipv6.Short(0x5678)},
	{Src: ipv6.EUI64(0xacde480000000002), Dst: ipv6.BroadcastShort},
	{},
}

// FuzzDecompress: no bytes panic; what is accepted is an IPv6 packet, whole or, as a first
// fragment, with the length of the whole; and it comes back the same from the encoding that
// Compress chooses.
func FuzzDecompress(f *testing.F) {
	for i, v := range append(readVectors[vector](f, "iphc.jsonl"), readVectors[vector](f, "malformed.jsonl")...) {
		f.Add([]byte(v.Compressed), uint16(0), uint8(i))
	}
	f.Add(hexOf("7e33f7ffbb780e16"), uint16(200), uint8(1))
	f.Add(hexOf("7e33df048700a76882b3f00401013bd382021f0283020600a2db022024"), uint16(0), uint8(0))
	f.Add(hexOf("7e33d3121234b0d1011df21509"), uint16(120), uint8(0))
	f.Add(hexOf("7e33b1021e048290b7021e048290df02800086"), uint16(0), uint8(1))
	f.Add(hexOf("7e33b03b0102ddb2f690"), uint16(0), uint8(0))
	f.Add(hexOf("7e33b5840006000190f0"), uint16(300), uint8(2))
	c := fuzzContexts()
	f.Fuzz(func(t *testing.T, b []byte, size uint16, link uint8) {
		l := fuzzLinks[link%4]
		dst := make([]byte, 0, ipv6.MaxPacket)
		r, err := c.DecompressFirst(dst, b, l, int(size))
		if err != nil {
			if _, ok := err.(Drop); !ok || r != (Result{}) {
				t.Fatalf("%+v, %T %v", r, err, err)
			}
			return
		}
		got := dst[:r.N]
		if size != 0 {
			if r.N > int(size) {
				t.Fatalf("%d bytes of %d", r.N, size)
			}
			got = append(got, make([]byte, int(size)-r.N)...)
			if r.Checksum != 0 {
				if r.N == int(size) {
					t.Fatal("checksum still open")
				}
				if err := FinishChecksum(got, r.Checksum); err != nil && err != DropChecksum {
					t.Fatal(err)
				}
			}
		} else if r.Checksum != 0 {
			t.Fatal("checksum of a whole datagram still open")
		}
		if size != 0 && Classify(b) == DispatchIPv6 && len(b) < 1+ipv6.HeaderLen {
			return // ends inside the header
		}
		p, err := ipv6.Parse(got)
		if err != nil {
			t.Fatalf("%x from %x: %v", got, b, err)
		}
		if len(p) != len(got) {
			t.Fatalf("%x states %d of %d bytes", p, len(p), len(got))
		}
		checkRoundTrip(t, c, p, l)
	})
}

// FuzzCompress: every packet that parses is restored to the byte, with any options, and
// never grows by more than the dispatch.
func FuzzCompress(f *testing.F) {
	for i, v := range readVectors[vector](f, "iphc.jsonl") {
		f.Add([]byte(v.IPv6), uint8(i))
	}
	c := fuzzContexts()
	f.Fuzz(func(t *testing.T, b []byte, link uint8) {
		p, err := ipv6.Parse(b)
		if err != nil || len(p) > ipv6.MaxPacket {
			return
		}
		checkRoundTrip(t, c, p, fuzzLinks[link%4])
	})
}

func checkRoundTrip(t *testing.T, c *Contexts, p ipv6.Packet, l Link) {
	t.Helper()
	for _, o := range []CompressOptions{{}, {PlainExtHeaders: true}, {ElideUDPChecksum: true}, {ElideUDPChecksum: true, GHC: true}} {
		before := slices.Clone(p)
		b, err := compress(c, p, l, o)
		if err != nil {
			t.Fatalf("compress %x: %v", p, err)
		}
		if !bytes.Equal(before, p) {
			t.Fatal("Compress changed the packet")
		}
		if len(b) > len(p)+1 {
			t.Fatalf("%x grew to %x", p, b)
		}
		got, err := decompress(c, b, l)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%+v\n     %x\nas   %x\ngave %x, %v", o, p, b, got, err)
		}
	}
}

// FuzzMeshHeader: what parses is written again as it was, but for a number of hops that
// needs no byte of its own.
func FuzzMeshHeader(f *testing.F) {
	f.Add(hexOf("b100010002"))
	f.Add(hexOf("bf2000010002"))
	f.Add(hexOf("8300000000000000010000000000000002"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseMeshHeader(b)
		if err != nil {
			return
		}
		w, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if b[0]&15 == deepHops && h.HopsLeft < deepHops {
			h2, _, err := ParseMeshHeader(w)
			if err != nil || h2 != h {
				t.Fatalf("%+v, %v", h2, err)
			}
		} else if !bytes.Equal(w, b[:n]) {
			t.Fatalf("%x became %x", b[:n], w)
		}
	})
}

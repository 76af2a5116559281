package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"border-router/ipv6"
)

// The mesh in which testdata/capture.txt was taken.
const (
	pan       = 0x0023
	routerEUI = 0x02005e0010000001
	nodeEUI   = 0x02005e0010000002
)

var (
	mesh       = netip.MustParsePrefix("fd00:6c0:77::/64")
	routerAddr = ipv6.WithIID(mesh, ipv6.EUI64(routerEUI).IID())
	lanHost    = netip.MustParseAddr("2001:db8::1")
)

// captured returns what testdata/capture.txt has under kind ("frame" or "packet") and name.
func captured(tb testing.TB, kind, name string) [][]byte {
	tb.Helper()
	f, err := os.Open("testdata/capture.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out [][]byte
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) != 3 || w[0] != kind || w[1] != name {
			continue
		}
		b, err := hex.DecodeString(w[2])
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b)
	}
	if len(out) == 0 {
		tb.Fatalf("testdata/capture.txt has no %s %s", kind, name)
	}
	return out
}

// Offsets in the MAC header of the captured frames: frame control, sequence number,
// destination PAN, two extended addresses.
const (
	offSeq = 2
	offSrc = 13
)

const ackRequest = 1 << 5 // in the first byte

// fromNode returns the frame as the node eui would have sent it, with sequence number seq:
// its address is elided from the IPv6 header, so that the MAC header is all there is to it.
func fromNode(frame []byte, eui uint64, seq uint8, ack bool) []byte {
	b := slices.Clone(frame)
	b[0] &^= ackRequest
	if ack {
		b[0] |= ackRequest
	}
	b[offSeq] = seq
	binary.LittleEndian.PutUint64(b[offSrc:], eui)
	return b
}

// toNode returns the packet with the address that the node eui has.
func toNode(p []byte, eui uint64) ipv6.Packet {
	b := slices.Clone(p)
	dst := nodeAddr(eui).As16()
	copy(b[24:], dst[:])
	return ipv6.Packet(b)
}

func nodeAddr(eui uint64) netip.Addr { return ipv6.WithIID(mesh, ipv6.EUI64(eui).IID()) }

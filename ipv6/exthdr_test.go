package ipv6

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"testing"
)

var (
	nodeA = netip.MustParseAddr("fd00::a")
	nodeB = netip.MustParseAddr("fd00::b")
	group = netip.MustParseAddr("ff02::1")
)

func hexBytes(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func packetOf(next uint8, dst netip.Addr, payload string) Packet {
	b := hexBytes(payload)
	return append(AppendHeader(nil, 0, 0, len(b), next, 64, nodeA, dst), b...)
}

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }

var walkTests = []struct {
	name    string
	next    uint8
	payload string
	proto   uint8
	off     int
	named   int
	err     error
	code    int // of the Parameter Problem, -1 none
	pointer uint32
	group   bool // the problem is told for a packet to a group too
}{
	{name: "RFC 8200 4: none", next: ProtoUDP, payload: "1234", proto: ProtoUDP, off: 40, named: 6, code: -1},
	{name: "RFC 8200 4.7: no next header", next: ProtoNone, payload: "", proto: ProtoNone, off: 40, named: 6, code: -1},
	{name: "RFC 2711: router alert", next: 0, payload: "3a00050200000100" + "8300", proto: 58, off: 48, named: 40, code: -1},
	{name: "all in the order of RFC 8200 4.1", next: 0, payload: "3c00010400000000" + "2b00010400000000" + "2c00000000000000" +
		"3c00000000000001" + "1100010400000000", proto: 17, off: 80, named: 72, code: -1},
	{name: "any other order", next: 60, payload: "2b00010400000000" + "3c00040000000000" + "3a00010400000000", proto: 58, off: 64, named: 56, code: -1},
	{name: "seven bytes of padding", next: 0, payload: "3a010501" + "00" + "0105000000000001" + "02040000", proto: 0, err: DropOption, code: 0, pointer: 43},
	{name: "Pad1 six times", next: 0, payload: "3a00000000000000", proto: 58, off: 48, named: 40, code: -1},
	{name: "padding over 7 bytes", next: 0, payload: "3a01010c" + repeat("00", 12), err: DropOption, code: -1},
	{name: "padding over 7 bytes by Pad1", next: 0, payload: "3a01" + repeat("00", 14), err: DropOption, code: -1},
	{name: "RFC 6553 option", next: 0, payload: "3a00630400000000", proto: 58, off: 48, named: 40, code: -1},
	{name: "RFC 9008 option", next: 0, payload: "3a00230400000000", proto: 58, off: 48, named: 40, code: -1},
	{name: "RFC 8200 4.2: 00 skip", next: 0, payload: "3a003e0400000000", proto: 58, off: 48, named: 40, code: -1},
	{name: "RFC 8200 4.2: 01 discard", next: 0, payload: "3a007e0400000000", err: DropOption, code: -1},
	{name: "RFC 8200 4.2: 10 discard and tell", next: 0, payload: "3a00be0400000000", err: DropOption, code: 2, pointer: 42, group: true},
	{name: "RFC 8200 4.2: 11 discard and tell, not for groups", next: 60, payload: "3a00fe0400000000", err: DropOption, code: 2, pointer: 42},
	{name: "RFC 2675 jumbo payload", next: 0, payload: "3a00c20400010000", err: DropOption, code: 2, pointer: 42},
	{name: "unknown option in the second header", next: 0, payload: "3c00010400000000" + "3a000100c1020000", err: DropOption, code: 2, pointer: 52},
	{name: "router alert of a wrong length", next: 0, payload: "3a00050300000000", err: DropOption, code: 0, pointer: 43},
	{name: "option ends the header without a length", next: 0, payload: "3a0001030000003e", err: DropOption, code: 0, pointer: 47},
	{name: "option beyond the header", next: 0, payload: "3a003e0500000000" + "0000000000000000", err: DropOption, code: 0, pointer: 43},
	{name: "nine options", next: 0, payload: "3a02" + repeat("3e00", 9) + "01020000", err: DropOption, code: 9, pointer: 58},
	{name: "eight options", next: 0, payload: "3a02" + repeat("3e00", 8) + "010400000000", proto: 58, off: 64, named: 40, code: -1},
	{name: "RFC 8200 4.1: hop-by-hop not first", next: 60, payload: "0000010400000000" + "3a00010400000000", err: DropExtHeader, code: 1, pointer: 40, group: false},
	{name: "RFC 5095: routing header type 0", next: 43, payload: "3a02000100000000" + repeat("00", 16), err: DropExtHeader, code: 0, pointer: 42},
	{name: "RFC 8200 4.4: no segments left", next: 43, payload: "3a02000000000000" + repeat("00", 16), proto: 58, off: 64, named: 40, code: -1},
	{name: "RFC 6554 with segments left", next: 43, payload: "3a02030588000000" + repeat("00", 16), err: DropExtHeader, code: 0, pointer: 42},
	{name: "RFC 6946: atomic fragment", next: 44, payload: "3a00000000000007" + "8000", proto: 58, off: 48, named: 40, code: -1},
	{name: "atomic fragment with reserved bits", next: 44, payload: "3aff000600000007" + "8000", proto: 58, off: 48, named: 40, code: -1},
	{name: "first fragment", next: 44, payload: "3a00000100000007" + "8000", proto: 44, off: 40, named: 6, code: -1},
	{name: "later fragment behind options", next: 60, payload: "2c00010400000000" + "3a00000800000007" + "8000", proto: 44, off: 48, named: 40, code: -1},
	{name: "length beyond the packet", next: 60, payload: "3a01010400000000", err: DropTruncated, code: 0, pointer: 41},
	{name: "nothing where a header should be", next: 60, payload: "", err: DropTruncated, code: -1},
	{name: "one byte of a header", next: 0, payload: "3a", err: DropTruncated, code: -1},
	{name: "fragment header cut short", next: 44, payload: "3a000000000000", err: DropTruncated, code: -1},
	{name: "RFC 8883: nine headers", next: 60, payload: repeat("3c00010400000000", 8) + "1100010400000000", err: DropExtHeader, code: 8, pointer: 104},
	{name: "eight headers", next: 60, payload: repeat("3c00010400000000", 7) + "1100010400000000", proto: 17, off: 104, named: 96, code: -1},
	{name: "ESP ends the walk", next: 60, payload: "3200010400000000" + "00", proto: ProtoESP, off: 48, named: 40, code: -1},
}

func TestUpperLayer(t *testing.T) {
	for _, tc := range walkTests {
		t.Run(tc.name, func(t *testing.T) {
			p := packetOf(tc.next, nodeB, tc.payload)
			proto, off, err := UpperLayer(p)
			if err != tc.err || err == nil && (proto != tc.proto || off != tc.off) {
				t.Errorf("UpperLayer = %d, %d, %v; want %d, %d, %v", proto, off, err, tc.proto, tc.off, tc.err)
			}
			if err == nil {
				if got := NextHeaderOffset(p, off); got != tc.named || p[got] != proto {
					t.Errorf("NextHeaderOffset = %d, want %d", got, tc.named)
				}
			}
			code, pointer, ok := ParamProblemFor(p)
			if ok != (tc.code >= 0) || ok && (int(code) != tc.code || pointer != tc.pointer) {
				t.Errorf("ParamProblemFor = %d, %d, %v; want %d, %d", code, pointer, ok, tc.code, tc.pointer)
			}
			p = packetOf(tc.next, group, tc.payload)
			if _, _, ok := ParamProblemFor(p); ok != tc.group {
				t.Errorf("ParamProblemFor to a group: %v, want %v", ok, tc.group)
			}
		})
	}
}

func TestCheckHopByHop(t *testing.T) {
	for _, tc := range walkTests {
		want := tc.err
		if tc.next != ProtoHopByHop || tc.name == "unknown option in the second header" {
			want = nil // another header, which is for the destination to judge
		}
		if got := CheckHopByHop(packetOf(tc.next, nodeB, tc.payload)); got != want {
			t.Errorf("%s: %v, want %v", tc.name, got, want)
		}
	}
}

func TestNextHeaderOffset(t *testing.T) {
	p := packetOf(60, nodeB, "3a00010400000000"+"8000")
	for off, want := range map[int]int{40: 6, 48: 40, 44: 6, 0: 6, 50: 6, 1000: 6, -1: 6} {
		if got := NextHeaderOffset(p, off); got != want {
			t.Errorf("NextHeaderOffset(%d) = %d, want %d", off, got, want)
		}
	}
}

// Packets from captures and from the test data of other stacks: what the headers lead to,
// and whether the checksum is right, as tshark reads them.
func TestHeaderVectors(t *testing.T) {
	f, err := os.Open("testdata/headers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	n := 0
	for sc.Scan() {
		var v struct {
			ID, Hex string
			Parse   *bool // nil: not said
			Type    *uint8
			SumOK   *bool `json:"sum_ok"`
			Refuse  bool
		}
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		n++
		p, err := Parse(hexBytes(v.Hex))
		if v.Parse != nil && (err == nil) != *v.Parse {
			t.Errorf("%s: Parse: %v", v.ID, err)
		}
		if err != nil {
			continue
		}
		proto, off, err := UpperLayer(p)
		if v.Refuse {
			if err == nil {
				t.Errorf("%s: UpperLayer takes it", v.ID)
			}
			continue
		}
		if v.Type != nil && (err != nil || proto != ProtoICMPv6 || p[off] != *v.Type) {
			t.Errorf("%s: UpperLayer = %d, %d, %v; want ICMPv6 type %d", v.ID, proto, off, err, *v.Type)
		}
		if err := CheckTransport(p); v.SumOK != nil && (err == nil) != *v.SumOK {
			t.Errorf("%s: CheckTransport: %v, want right: %v", v.ID, err, *v.SumOK)
		}
	}
	if n < 50 {
		t.Errorf("only %d vectors", n)
	}
}

func addSeeds(f *testing.F) {
	for _, tc := range walkTests {
		f.Add([]byte(packetOf(tc.next, nodeB, tc.payload)))
	}
	f.Add(AppendICMP(nil, ICMPEchoRequest, 0, 1, []byte("data"), nodeA, nodeB, 64))
	f.Add(AppendUDP(nil, netip.AddrPortFrom(nodeA, 1), netip.AddrPortFrom(nodeB, 2), 64, []byte("data")))
}

// FuzzPacket: whatever the bytes, nothing panics, offsets stay inside the packet and
// agree with each other, a refused packet stays refused everywhere, and an error about it
// is a whole packet of at most 1280 bytes with a right checksum.
func FuzzPacket(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			if _, ok := err.(Drop); !ok {
				t.Fatalf("error %T", err)
			}
			return
		}
		proto, off, err := UpperLayer(p)
		code, pointer, ok := ParamProblemFor(p)
		if ok && (err == nil || int(pointer) >= len(p)) {
			t.Fatalf("problem %d at %d of %d bytes for %v", code, pointer, len(p), err)
		}
		sum := CheckTransport(p)
		if err == nil {
			if off < HeaderLen || off > len(p) {
				t.Fatalf("offset %d in %d bytes", off, len(p))
			}
			if n := NextHeaderOffset(p, off); p[n] != proto {
				t.Fatalf("Next Header at %d is %d, not %d", n, p[n], proto)
			}
			if CheckHopByHop(p) != nil {
				t.Fatal("hop-by-hop options refused, but not by UpperLayer")
			}
		} else if sum != err {
			t.Fatalf("UpperLayer: %v, CheckTransport: %v", err, sum)
		}
		if src, _, payload, ok := UDP(p); ok && (proto != ProtoUDP || src.Addr() != p.Src() || len(payload) > len(p)) {
			t.Fatal("UDP")
		}
		PacketTooBig(p)
		ErrorAllowed(p, Meta{}, ICMPParamProblem, code)
		for _, q := range []Packet{
			AppendICMPError(nil, ICMPParamProblem, code, pointer, p, nodeB),
			AppendEchoReply(nil, p, nodeB),
		} {
			if r, err := Parse(q); err != nil || len(r) != len(q) || CheckTransport(r) != nil {
				t.Fatalf("built packet: %v %v", err, CheckTransport(r))
			}
		}
		if n := len(AppendICMPError(nil, 1, 0, 0, p, nodeB)); n > MinMTU {
			t.Fatalf("error of %d bytes", n)
		}
	})
}

func BenchmarkUpperLayer(b *testing.B) {
	plain := Packet(AppendUDP(nil, netip.AddrPortFrom(nodeA, 1), netip.AddrPortFrom(nodeB, 2), 64, make([]byte, 64)))
	options := packetOf(0, nodeB, "3a00050200000100"+"8300000000000000")
	for name, p := range map[string]Packet{"none": plain, "hopbyhop": options} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				UpperLayer(p)
			}
		})
	}
}

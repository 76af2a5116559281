package lowpan

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// TestLimits reaches every limit and looks for the drop that counts it.
func TestLimits(t *testing.T) {
	now := time.Unix(100, 0)
	fromB := linkTo(euiB, ipv6.EUI64(euiA))
	firsts := func(sources, each int) (out [][]byte) {
		var c Contexts
		for s := range sources {
			l := linkTo(euiB+uint64(s), ipv6.EUI64(euiA))
			for tag := range each {
				f := fragment(t, &c, testUDP(l, 300), l, 102, uint16(tag), CompressOptions{})
				out = append(out, macFrame(l, byte(tag), f[0]))
			}
		}
		return out
	}
	// b compressed: IPHC of link-local addresses that are elided, then NHC.
	nhc := func(h string) []byte { return macFrame(fromB, 1, append(hexOf("7f33"), hexOf(h)...)) }
	ext := func(n int) string { // destination options of n bytes behind the length byte, a PadN
		return "e6 3b" + hexString([]byte{byte(n), 1, byte(n - 2)}) + repeatHex("00", n-2)
	}
	for _, tc := range []struct {
		name   string
		limits Limits
		frames [][]byte
		want   Drop
		n      uint64
	}{
		{"reassemblies", Limits{Reassemblies: 2}, firsts(3, 1), DropReassemblyLimit, 1},
		{"reassembly bytes", Limits{ReassemblyBytes: 2*bufLen + 100}, firsts(4, 1), DropReassemblyLimit, 2},
		{"reassembly bytes, less than one buffer", Limits{ReassemblyBytes: 1}, firsts(2, 1), DropReassemblyLimit, 1},
		{"reassemblies per source", Limits{ReassembliesPerSource: 2}, firsts(1, 3), DropReassemblySource, 1},
		{"nested headers", Limits{Headers: HeaderLimits{Nested: 2}}, [][]byte{nhc("ee 7f33 ee 7b33 3b")}, DropNesting, 1},
		{"nested headers, default", Limits{}, [][]byte{nhc("ee 7f33 ee 7f33 ee 7f33 ee 7b33 3b")}, DropNesting, 1},
		{"headers", Limits{Headers: HeaderLimits{Headers: 1}}, [][]byte{nhc("e7 06 010400000000" + "e6 3b 06 010400000000")}, DropNesting, 1},
		{"headers, default", Limits{}, [][]byte{nhc(repeatHex("e700", maxNHCHeaders) + "e600")}, DropNesting, 1},
		{"routing headers", Limits{Headers: HeaderLimits{Headers: 1}}, [][]byte{macFrame(fromB, 1, hexOf("f1 a0 77 a0 77 7b333b"))}, DropNesting, 1},
		{"tunnels of routing headers", Limits{Headers: HeaderLimits{Nested: 2}}, [][]byte{macFrame(fromB, 1, hexOf("f1 a1 06 40 a1 06 40 7b333b"))}, DropNesting, 1},
		{"tunnels of routing headers, default", Limits{}, [][]byte{macFrame(fromB, 1, hexOf("f1 a1 06 40 a1 06 40 a1 06 40 a1 06 40 7b333b"))}, DropNesting, 1},
		{"tunnels of both kinds", Limits{Headers: HeaderLimits{Nested: 3}}, [][]byte{macFrame(fromB, 1, hexOf("f1 a1 06 40 7e33 ee 7e33 ee 7b333b"))}, DropNesting, 1},
		{"extension header", Limits{Headers: HeaderLimits{ExtHeader: 14}}, [][]byte{nhc(ext(14)), nhc(ext(15))}, DropExtHeaderLimit, 1},
		{"contexts", Limits{Headers: HeaderLimits{Contexts: 1}}, [][]byte{macFrame(fromB, 1, hexOf("7b b7 11 3b")), macFrame(fromB, 1, hexOf("7b f7 11 3b"))}, DropContext, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStation(InterfaceConfig{EUI64: euiA, Limits: tc.limits})
			for id := range NumContexts {
				ok := s.SetContext(id, Context{Prefix: netip.MustParsePrefix("fd00::/64")})
				if want := tc.limits.Headers.Contexts == 0 || id < tc.limits.Headers.Contexts; ok != want {
					t.Fatalf("context %d: %v", id, ok)
				}
			}
			s.Contexts().Root = netip.MustParseAddr("fd00::1")
			s.input(t, now, tc.frames...)
			st := s.Stats()
			if st.RxDrops[tc.want] != tc.n || st.FramesDropped() != tc.n {
				t.Errorf("dropped %v, want %d of %q", dropList(&st.RxDrops), tc.n, tc.want)
			}
			if l := tc.limits.ReassemblyBytes; st.ReassembledBytes > uint64(max(l, bufLen)) && l > 0 {
				t.Errorf("%d bytes of buffers", st.ReassembledBytes)
			}
		})
	}

	out := func(l Limits, n int, dsts uint64) Stats {
		s := newStation(InterfaceConfig{EUI64: euiA, Limits: l})
		for k := range n {
			dst := ipv6.EUI64(euiB + uint64(k)%dsts)
			if err := s.Output(now, testUDP(linkTo(euiA, dst), 60), dst); err != nil {
				t.Fatal(err)
			}
		}
		s.frames(t, now.Add(10*time.Second), ieee802154.TxSent)
		return s.Stats()
	}
	for _, tc := range []struct {
		name   string
		limits Limits
		n      int
		dsts   uint64
		want   Drop
		drops  uint64
	}{
		{"queue", Limits{QueueDatagrams: 3, QueueMaxDelay: time.Minute, QueueTarget: time.Minute}, 5, 5, DropQueueTotal, 2},
		{"queue of a neighbour", Limits{QueuePerNeighbor: 3, QueueMaxDelay: time.Minute, QueueTarget: time.Minute}, 5, 1, DropQueueFull, 2},
		{"age", Limits{}, 5, 1, DropQueueDelay, 5},
	} {
		if s := out(tc.limits, tc.n, tc.dsts); s.TxDrops[tc.want] != tc.drops || s.DatagramsDropped() != tc.drops {
			t.Errorf("%s: dropped %v, want %d of %q", tc.name, dropList(&s.TxDrops), tc.drops, tc.want)
		}
	}
	s := newStation(InterfaceConfig{EUI64: euiA, Limits: Limits{Peers: 2}})
	for k, want := range []bool{true, true, false} {
		if got := s.SetPeer(ipv6.EUI64(euiB+uint64(k)), RegisteredPeer); got != want {
			t.Errorf("peer %d: %v", k, got)
		}
	}
}

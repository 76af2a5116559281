package mld

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

type discard struct{}

func (discard) SendPacket(time.Time, ipv6.Packet, ipv6.LinkAddr) {}

// crowd returns a querier with n groups, each with the given number of sources.
func crowd(tb testing.TB, n, src int) (*Querier, []netip.Addr, []netip.Addr) {
	q := NewQuerier(QuerierConfig{Source: ourLL, Limits: Limits{Groups: n, PerListener: n, Sources: 64}}, discard{}, nil)
	q.Start(epoch)
	var list []netip.Addr
	for i := range src {
		list = append(list, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)))
	}
	typ := IsInclude
	if src == 0 {
		typ = IsExclude
	}
	groups := make([]netip.Addr, n)
	for i := range groups {
		groups[i] = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x05, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		if err := q.HandlePacket(epoch, reportOf(tb, hostLL, Record{typ, groups[i], AppendSources(nil, list...)}), metaOf(hostMA)); err != nil {
			tb.Fatal(err)
		}
	}
	return q, groups, append(list, addr('z'))
}

func BenchmarkWants(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		for _, src := range []int{0, 1, 64} {
			b.Run(fmt.Sprintf("groups=%d/sources=%d", n, src), func(b *testing.B) {
				q, groups, list := crowd(b, n, src)
				b.ReportAllocs()
				i, yes := 0, 0
				for b.Loop() {
					if q.Wants(epoch, groups[i%len(groups)], list[i%len(list)]) {
						yes++
					}
					i++
				}
			})
		}
	}
}

func BenchmarkReport(b *testing.B) {
	q, groups, _ := crowd(b, 1000, 0)
	var recs []Record
	for i := range 60 {
		recs = append(recs, Record{IsExclude, groups[i], nil})
	}
	p := reportOf(b, hostLL, recs...)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if err := q.HandlePacket(epoch, p, metaOf(hostMA)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	l := NewListener(ListenerConfig{Source: ourLL, Limits: Limits{Groups: 1000}}, discard{})
	l.Batch(epoch, func() {
		for i := range 1000 {
			l.Join(epoch, netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 14: byte(i >> 8), 15: byte(i)}))
		}
	})
	p := packet(b, lowLL, site, Query{Version: 2, Group: netip.MustParseAddr("ff05::5"), MaxResponse: time.Second, QRV: 2})
	b.ReportAllocs()
	for b.Loop() {
		if err := l.HandlePacket(epoch, p, metaOf(hostMA)); err != nil {
			b.Fatal(err)
		}
	}
}

// What is on the path of packets allocates nothing, drops included.
func TestAllocs(t *testing.T) {
	q, groups, list := crowd(t, 100, 8)
	meta := metaOf(hostMA)
	v1 := packet(t, hostLL, groups[1], V1Message{false, groups[1]})
	known := reportOf(t, hostLL, Record{IsInclude, groups[0], AppendSources(nil, list[:8]...)}, Record{IsExclude, groups[1], nil})
	bad := reportOf(t, hostLL, Record{9, groups[0], nil})
	query := packet(t, highLL, allNodesAddr, Query{Version: 2, Group: unspecified, QRV: 2})
	own := packet(t, ourLL, allNodesAddr, Query{Version: 2, Group: unspecified, QRV: 2})
	dst := make([]ipv6.LinkAddr, 0, 8)
	h := newHost(t, ListenerConfig{})
	h.l.Join(epoch, groups[0])
	ask := packet(t, lowLL, groups[0], Query{Version: 2, Group: groups[0], MaxResponse: time.Second, QRV: 2})
	general := packet(t, lowLL, allNodesAddr, Query{Version: 2, Group: unspecified, MaxResponse: time.Second, QRV: 2})
	q.HandlePacket(epoch, known, meta)
	for name, f := range map[string]func(){
		"Wants":         func() { q.Wants(epoch, groups[0], list[0]); q.Wants(epoch, site, list[0]) },
		"Listeners":     func() { q.Listeners(groups[0], dst) },
		"report":        func() { q.HandlePacket(epoch, known, meta) },
		"MLDv1 report":  func() { q.HandlePacket(epoch, v1, meta) },
		"dropped":       func() { q.HandlePacket(epoch, bad, meta); q.HandlePacket(epoch, own, meta) },
		"query":         func() { q.HandlePacket(epoch, query, meta) },
		"query to us":   func() { h.l.HandlePacket(epoch, ask, meta) },
		"general query": func() { h.l.HandlePacket(epoch, general, meta) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

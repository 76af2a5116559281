package mld

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

var (
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ourLL  = netip.MustParseAddr("fe80::10")
	lowLL  = netip.MustParseAddr("fe80::1")
	highLL = netip.MustParseAddr("fe80::99")
	hostLL = netip.MustParseAddr("fe80::200:0:0:5")
	site   = netip.MustParseAddr("ff05::fd")
	hostMA = ipv6.EUI64(0x0200_0000_0000_0005)
)

// addr returns source number i, a letter in the names of tests.
func addr(c rune) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", c))
}

func addrs(s string) (list []netip.Addr) {
	for _, c := range s {
		list = append(list, addr(c))
	}
	return list
}

func sources(s string) SourceList { return AppendSources(nil, addrs(s)...) }

// letters is the inverse of sources.
func letters(l SourceList) string {
	var b []byte
	for i := range l.Len() {
		k := l.key(i)
		b = append(b, byte(binary.BigEndian.Uint16(k[14:])))
	}
	slices.Sort(b)
	return string(b)
}

// A sink keeps and checks what a machine sends.
type sink struct {
	t    testing.TB
	sent []sent
	all  []ipv6.Packet // every packet, never cut
}

type sent struct {
	at time.Time
	p  ipv6.Packet
}

func (s *sink) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	p = bytes.Clone(p)
	s.sent = append(s.sent, sent{now, p})
	s.all = append(s.all, p)
	if q, err := ipv6.Parse(p); err != nil || len(q) != len(p) {
		s.t.Errorf("bad packet %x: %v", []byte(p), err)
	}
	if err := ipv6.CheckTransport(p); err != nil {
		s.t.Errorf("%v in %x", err, []byte(p))
	}
	if _, err := Check(p); err != nil {
		s.t.Errorf("%v in %x", err, []byte(p))
	}
	if len(p) > ipv6.MinMTU {
		s.t.Errorf("packet of %d bytes", len(p))
	}
}

// take returns what was sent since the last call, as text.
func (s *sink) take() string {
	var out []string
	for _, v := range s.sent {
		out = append(out, describe(v.p))
	}
	s.sent = nil
	return strings.Join(out, "; ")
}

// describe puts a message in the notation of the RFC.
func describe(p ipv6.Packet) string {
	b, err := Check(p)
	if err != nil {
		return err.Error()
	}
	switch b[0] {
	case ipv6.ICMPMLDQuery:
		q, err := ParseQuery(b)
		if err != nil {
			return err.Error()
		}
		s := "Q("
		if q.Version == 1 {
			s = "Q1("
		}
		if !q.General() {
			s += "G"
		}
		if q.Sources.Len() > 0 {
			s += "," + letters(q.Sources)
		}
		s += ")"
		if q.Suppress {
			s += "S"
		}
		return s
	case ipv6.ICMPMLDv2Report:
		recs, err := ParseReport(b)
		if err != nil {
			return err.Error()
		}
		var out []string
		for r, rest, ok := recs.Next(); ok; r, rest, ok = rest.Next() {
			out = append(out, fmt.Sprintf("%v(%s)", r.Type, letters(r.Sources)))
		}
		return strings.Join(out, " ")
	default:
		m, err := ParseV1(b)
		if err != nil {
			return err.Error()
		}
		if m.Done {
			return "DONE"
		}
		return "REPORT"
	}
}

// packet returns the packet of an ICMPv6 message.
func packet(t testing.TB, src, dst netip.Addr, m interface{ AppendBinary([]byte) ([]byte, error) }) ipv6.Packet {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return AppendPacket(nil, b, src, dst)
}

type records []Record

func (r records) AppendBinary(b []byte) ([]byte, error) { return AppendReport(b, r...) }

func reportOf(t testing.TB, src netip.Addr, recs ...Record) ipv6.Packet {
	t.Helper()
	return packet(t, src, ipv6.AllMLDv2Routers, records(recs))
}

// An eventLog counts events by group.
type eventLog struct {
	n int
	f func(now time.Time, group netip.Addr)
}

func (l *eventLog) GroupChanged(now time.Time, group netip.Addr) {
	l.n++
	if l.f != nil {
		l.f(now, group)
	}
}

// run advances the machines to the given time, deadline by deadline.
func run(t testing.TB, now, until time.Time, ms ...interface {
	Deadline() time.Time
	Advance(time.Time)
}) time.Time {
	t.Helper()
	for range 1_000_000 {
		var at time.Time
		for _, m := range ms {
			at = earlier(at, m.Deadline())
		}
		if at.IsZero() || at.After(until) {
			return until
		}
		if at.After(now) {
			now = at
		}
		for _, m := range ms {
			m.Advance(now)
			if d := m.Deadline(); !d.IsZero() && !d.After(now) {
				t.Fatalf("deadline %v is still due at %v", d, now)
			}
		}
	}
	t.Fatal("does not come to rest")
	return now
}

func metaOf(ll ipv6.LinkAddr) ipv6.Meta { return ipv6.Meta{LinkSrc: ll} }

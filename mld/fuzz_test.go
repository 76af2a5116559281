package mld

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

func seeds(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.packet(f)[overhead:]))
	}
}

// FuzzParse: a message that parses is, but for what receivers ignore, the same after it was
// written again; every proper prefix of it that parses says no more.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := ParseQuery(b); err == nil {
			out, err := q.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseQuery(out)
			if err != nil || again.Group != q.Group || again.MaxResponse != q.MaxResponse || again.QQI != q.QQI || again.QRV != q.QRV ||
				again.Suppress != q.Suppress || again.Version != q.Version || string(again.Sources) != string(q.Sources) {
				t.Fatalf("%+v, %+v, %v", q, again, err)
			}
			if len(out) > len(b) || q.Version == 2 && string(out[26:]) != string(b[26:len(out)]) {
				t.Fatalf("%x from %x", out, b)
			}
		}
		if m, err := ParseV1(b); err == nil {
			out, err := m.AppendBinary(nil)
			if err != nil || string(out[8:]) != string(b[8:24]) || out[0] != b[0] {
				t.Fatalf("%x, %v", out, err)
			}
		}
		recs, err := ParseReport(b)
		if err != nil {
			return
		}
		n, size := 0, reportHdr
		for r, rest, ok := recs.Next(); ok; r, rest, ok = rest.Next() {
			n++
			size += r.Len()
			if r.Group.IsMulticast() {
				out, err := r.AppendBinary(nil)
				if err != nil || len(out) != r.Len() {
					t.Fatalf("%x, %v", out, err)
				}
			}
			for i := range r.Sources.Len() {
				r.Sources.At(i)
			}
		}
		if n != int(binary.BigEndian.Uint16(b[6:])) || size > len(b) {
			t.Fatalf("%d records of %d bytes in %x", n, size, b)
		}
	})
}

// steps feeds messages out of b to f: one byte of time, one of source, one of length.
func steps(b []byte, f func(wait time.Duration, p ipv6.Packet, ll ipv6.LinkAddr)) {
	for len(b) >= 3 {
		n := min(int(b[2]), len(b)-3)
		src := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: b[1] & 0x1f})
		if b[1] == 0xff {
			src = unspecified
		}
		wait := time.Duration(b[0]) * time.Duration(b[0]) * 10 * time.Millisecond
		f(wait, AppendPacket(nil, b[3:3+n], src, allNodesAddr), ipv6.EUI64(uint64(b[1]>>2)))
		b = b[3+n:]
	}
}

func machineSeeds(f *testing.F) {
	var all []byte
	for i, v := range vectors(f) {
		m := v.packet(f)[overhead:]
		all = append(append(all, byte(i*9), byte(i), byte(len(m))), m...)
	}
	f.Add(all)
	for _, typ := range []RecordType{IsInclude, IsExclude, ToInclude, ToExclude, Allow, Block} {
		var b []byte
		for _, s := range []string{"ab", "bc", "", "c"} {
			m, _ := AppendReport(nil, Record{typ, site, sources(s)}, Record{7 - typ, site, sources(s)})
			b = append(append(b, 20, 4, byte(len(m))), m...)
		}
		f.Add(b)
	}
}

// FuzzQuerier: whatever arrives and when, the tables stay within their limits and agree with
// each other, what is sent is well formed, the machine comes to rest, what Filter says is
// what Wants does and what the last event told; and nothing is left
// after Stop.
func FuzzQuerier(f *testing.F) {
	machineSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := Limits{Groups: 4, LinkLocalGroups: 3, PerListener: 3, Sources: 5, Listeners: 2}
		cfg := QuerierConfig{Limits: lim, Rate: -1}
		if len(b)%2 == 1 { // a quiet one
			cfg.QueryInterval, cfg.ListeningInterval, cfg.FastLeave, cfg.Rate = -1, time.Minute, true, 1
		}
		r := newRig(t, cfg)
		told := map[netip.Addr]Filter{}
		r.ev.f = func(_ time.Time, g netip.Addr) {
			m, s := r.q.Filter(g)
			told[g] = Filter{m, s}
		}
		check := func() {
			n := 0
			for k, g := range r.q.groups {
				if k[1]&0xf == 2 {
					n++
				}
				if g.key != k || g.dead || !g.isListened() || len(g.sources) > lim.Sources || len(g.heard) > lim.Listeners {
					t.Fatalf("%+v", g)
				}
				pending := 0
				for _, s := range g.sources {
					if s.left > 0 {
						pending++
					}
				}
				if pending != g.pending {
					t.Fatalf("%d sources pending, counted %d", pending, g.pending)
				}
				m, list := r.q.Filter(g.addr)
				if !(Filter{m, list}).Equal(told[g.addr]) {
					t.Fatalf("%v: filter %v %v, told %v", g.addr, m, list, told[g.addr])
				}
				for _, a := range append(addrs("abz"), list...) {
					if r.q.Wants(r.now, g.addr, a) != (Filter{m, list}).Wants(a) {
						t.Fatalf("%v from %v", g.addr, a)
					}
				}
			}
			owned := 0
			for _, c := range r.q.owners {
				owned += c
				if c <= 0 || c > lim.PerListener {
					t.Fatal("owners")
				}
			}
			if n != r.q.nLink || n > lim.LinkLocalGroups || len(r.q.groups)-n > lim.Groups || owned > len(r.q.groups) || r.q.timers.Len() != len(r.q.groups) {
				t.Fatalf("%d groups, %d of them of the link, %d owned", len(r.q.groups), n, owned)
			}
		}
		steps(b, func(wait time.Duration, p ipv6.Packet, ll ipv6.LinkAddr) {
			r.wait(wait)
			if err := r.q.HandlePacket(r.now, p, metaOf(ll)); err != nil {
				if _, ok := err.(Drop); !ok {
					t.Fatal(err)
				}
			}
			check()
		})
		r.q.Snapshot()
		r.wait(time.Hour)
		check()
		if r.q.quiet() && r.q.IsQuerier() && len(r.q.groups) > 0 {
			for _, g := range r.q.groups {
				if d := g.filter.Sub(r.now); d > time.Hour {
					t.Fatalf("%v lives for %v", g.addr, d)
				}
			}
		}
		r.q.Stop(r.now)
		if len(r.q.groups) != 0 || r.q.timers.Len() != 0 || r.q.nLink != 0 || len(r.q.owners) != 0 {
			t.Fatal("Stop left something")
		}
	})
}

// FuzzListener: whatever arrives and when, what is listened to does not change, what is sent
// is well formed and about our groups only, and no query makes us send more than one record
// for a group and one more for what is asked.
func FuzzListener(f *testing.F) {
	machineSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newHost(t, ListenerConfig{Limits: Limits{Sources: 3}})
		ours := map[netip.Addr]bool{site: true}
		h.l.SetFilter(h.now, site, Include, addrs("ab"))
		for i := range 3 {
			a := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x05, 15: byte(i + 1)})
			ours[a] = true
			h.l.Join(h.now, a)
		}
		queries := 0
		steps(b, func(wait time.Duration, p ipv6.Packet, ll ipv6.LinkAddr) {
			h.wait(wait)
			if err := h.l.HandlePacket(h.now, p, metaOf(ll)); err == nil {
				queries++
			}
			if len(h.l.groups) != 4 || len(h.l.order) != 4 || h.l.active != 4 || h.l.left > 4 {
				t.Fatalf("%d groups, %d in order, %d active", len(h.l.groups), len(h.l.order), h.l.active)
			}
		})
		h.wait(24 * time.Hour)
		if n := len(h.out.all); n > 8*7+5*queries {
			t.Fatalf("%d packets after %d queries", n, queries)
		}
		for _, p := range h.out.all {
			m := p[overhead:]
			if v, err := ParseV1(m); err == nil && !ours[v.Group] {
				t.Fatal(v.Group)
			}
			if recs, err := ParseReport(m); err == nil {
				for r, rest, ok := recs.Next(); ok; r, rest, ok = rest.Next() {
					if !ours[r.Group] {
						t.Fatal(r.Group)
					}
				}
			}
		}
		if s := h.l.Snapshot(); s.Version == 1 {
			t.Fatal("still in version 1 after a day")
		}
	})
}

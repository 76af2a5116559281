package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// crowd returns a router with n registered addresses.
func crowd(tb testing.TB, n int) (*world, []netip.Addr) {
	w := newWorld(tb, RouterConfig{Prefix: mesh, Limits: Limits{Registrations: n, Neighbors: n}})
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		ll := ipv6.EUI64(0x0200_0000_0100_0000 + uint64(i))
		addrs[i] = ipv6.WithIID(mesh, ll.IID())
		v, _ := ROVRFrom(ll.Append(nil))
		if s := w.r.register(w.now, Record{Addr: addrs[i], LinkAddr: ll, ROVR: v}, Registration{Lifetime: 60}, ipv6.Meta{}); s != StatusSuccess {
			tb.Fatal(s)
		}
	}
	return w, addrs
}

func BenchmarkResolve(b *testing.B) {
	w, addrs := crowd(b, 10_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := w.r.Resolve(w.now, addrs[i], nil, 0); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(addrs) {
			i = 0
		}
	}
}

func BenchmarkHeard(b *testing.B) {
	w, addrs := crowd(b, 10_000)
	metas := make([]ipv6.Meta, len(addrs))
	for i, a := range addrs {
		metas[i] = ipv6.Meta{LinkSrc: w.r.lookup(a).ll, RSSI: -50}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.r.Heard(w.now, addrs[i], metas[i])
		if i++; i == len(addrs) {
			i = 0
		}
	}
}

type discard struct{}

func (discard) SendPacket(time.Time, ipv6.Packet, ipv6.LinkAddr) {}

func BenchmarkRegister(b *testing.B) {
	w, _ := crowd(b, 1000)
	w.r.out = discard{}
	w.r.limits.Registrations++
	p := unhex(b, riotNS)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.r.HandlePacket(w.now, p, riot); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllocs(t *testing.T) {
	w, addrs := crowd(t, 100)
	w.r.out = discard{}
	w.r.limits.Registrations += 10
	w.log.registered = map[netip.Addr]ipv6.LinkAddr{}
	reg, rs := unhex(t, riotNS), unhex(t, riotRS)
	nud := ns("fd00:1::1:7", "fe80::1", "fe80::1", sllao(riot.LinkSrc.Uint64()))
	bad := ns("fe80::2", "", "fd00:1::1234", sllao(5))
	ra, _ := RouterAdvertisement{CurHopLimit: 64}.AppendBinary(nil)
	ra, _ = PrefixInfo{Prefix: mesh}.AppendBinary(ra)
	buf := make([]byte, 0, 256)
	now := w.now
	for name, f := range map[string]func(){
		"Resolve":      func() { w.r.Resolve(now, addrs[1], nil, 0) },
		"Heard":        func() { w.r.Heard(now, addrs[1], ipv6.Meta{LinkSrc: w.r.lookup(addrs[1]).ll}) },
		"registration": func() { w.r.HandlePacket(now, reg, riot) },
		"RS":           func() { now = now.Add(second); w.r.HandlePacket(now, rs, riot) },
		"NS":           func() { w.r.HandlePacket(now, nud, riot) },
		"drop":         func() { w.r.HandlePacket(now, bad, riot) },
		"codec": func() {
			m, err := ParseRouterAdvertisement(ra)
			if err != nil {
				t.Fatal(err)
			}
			for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
				if pio, ok := ParsePrefixInfo(o); ok {
					buf, _ = pio.AppendBinary(buf[:0])
				}
			}
			buf, _ = m.AppendBinary(buf[:0])
		},
	} {
		f()
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

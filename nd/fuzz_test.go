package nd

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// FuzzMessage: what parses is the same after it was written again, and no accessor of an
// option panics.
func FuzzMessage(f *testing.F) {
	for _, name := range []string{"nd.jsonl", "malformed.jsonl"} {
		for _, v := range vectors(f, name) {
			if p := v.packet(f); p != nil {
				f.Add([]byte(p.Payload()))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 8 {
			return
		}
		var out []byte
		var opts Options
		var err error
		switch b[0] {
		case typeRouterSolicitation:
			var m RouterSolicitation
			m, err = ParseRouterSolicitation(b)
			out, _ = m.AppendBinary(nil)
			opts = m.Options
		case typeRouterAdvertisement:
			var m RouterAdvertisement
			m, err = ParseRouterAdvertisement(b)
			out, _ = m.AppendBinary(nil)
			opts = m.Options
		case typeNeighborSolicitation:
			var m NeighborSolicitation
			m, err = ParseNeighborSolicitation(b)
			if err == nil {
				out, _ = m.AppendBinary(nil)
			}
			opts = m.Options
		case typeNeighborAdvertisement:
			var m NeighborAdvertisement
			m, err = ParseNeighborAdvertisement(b)
			if err == nil {
				out, _ = m.AppendBinary(nil)
			}
			opts = m.Options
		case typeRedirect:
			var m Redirect
			m, err = ParseRedirect(b)
			if err == nil {
				out, _ = m.AppendBinary(nil)
			}
			opts = m.Options
		case typeDAR, typeDAC:
			var m DuplicateAddress
			m, err = ParseDuplicateAddress(b)
			if err == nil {
				if out, err = m.AppendBinary(nil); err != nil {
					t.Fatal(err)
				}
				b = b[:len(out)]
			}
		default:
			return
		}
		if err != nil {
			if _, ok := err.(Drop); !ok {
				t.Fatalf("error %v is no Drop", err)
			}
			return
		}
		// reserved bits are not kept
		want := append([]byte(nil), b...)
		want[2], want[3] = 0, 0
		switch b[0] {
		case typeRouterSolicitation, typeNeighborSolicitation, typeRedirect:
			clear(want[4:8])
		case typeNeighborAdvertisement:
			binary.BigEndian.PutUint32(want[4:], binary.BigEndian.Uint32(want[4:])&0xe0000000)
		}
		if string(out) != string(want) {
			t.Fatalf("got  %x\nwant %x", out, want)
		}
		for o, rest := opts.Next(); o.Type != 0; o, rest = rest.Next() {
			raw, err := o.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := ParsePrefixInfo(o); ok {
				sameBytes(t, raw, v)
			}
			if v, ok := ParseRegistration(o); ok {
				sameBytes(t, raw, v)
			}
			if v, ok := ParseBorderRouterInfo(o); ok {
				v2, ok := ParseBorderRouterInfo(parsed(t, v))
				if !ok || v2 != v {
					t.Fatalf("%+v, %+v", v, v2)
				}
			}
			if v, ok := ParseContextInfo(o); ok {
				if v2, ok := ParseContextInfo(parsed(t, v)); !ok || v2 != v {
					t.Fatalf("%+v, %+v", v, v2)
				}
			}
			if v, ok := ParseRouteInfo(o); ok {
				if v2, ok := ParseRouteInfo(parsed(t, v)); !ok || v2.Prefix.Masked() != v.Prefix.Masked() {
					t.Fatalf("%+v, %+v", v, v2)
				}
			}
			if v, ok := ParseRDNSS(o); ok {
				if v2, ok := ParseRDNSS(first(t, AppendRDNSS(nil, v.Lifetime, v.Servers[:v.N]))); !ok || v2 != v {
					t.Fatalf("%+v, %+v", v, v2)
				}
			}
			ParseDNSSL(o)
			ParseMTU(o)
			ParseNonce(o)
			ParseCapability(o)
		}
		opts.LinkAddr(OptionSourceLinkAddr, 8)
		opts.LinkAddr(OptionTargetLinkAddr, 6)
	})
}

type appender interface{ AppendBinary([]byte) ([]byte, error) }

func sameBytes(t *testing.T, raw []byte, v appender) {
	t.Helper()
	if b, err := v.AppendBinary(nil); err != nil || string(b) != string(raw) {
		t.Fatalf("%+v: %x, want %x (%v)", v, b, raw, err)
	}
}

func first(t *testing.T, b []byte) Option {
	t.Helper()
	opts, err := ParseOptions(b)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := opts.Next()
	return o
}

func parsed(t *testing.T, v appender) Option {
	t.Helper()
	b, err := v.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return first(t, b)
}

// sink takes packets and checks that they are whole.
type sink struct {
	t *testing.T
	n int
}

func (s *sink) SendPacket(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) {
	s.n++
	if _, err := ipv6.Parse(p); err != nil {
		s.t.Fatalf("sent %x: %v", []byte(p), err)
	}
	if len(p) > ipv6.MinMTU {
		s.t.Fatalf("sent %d bytes", len(p))
	}
	if b := icmp(p); b == nil || ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoICMPv6, b) != 0 {
		s.t.Fatalf("sent %x: checksum", []byte(p))
	}
}

// script feeds a machine: a byte that says what happens, one or two of detail.
func script(t *testing.T, data []byte, m interface {
	HandlePacket(time.Time, ipv6.Packet, ipv6.Meta) error
	Heard(time.Time, netip.Addr, ipv6.Meta)
	Resolve(time.Time, netip.Addr, ipv6.Packet, int) (ipv6.LinkAddr, error)
	LinkStatus(time.Time, ipv6.LinkAddr, bool)
	Deadline() time.Time
	Advance(time.Time)
	Snapshot() []Neighbor
}, c *cache) {
	now := epoch
	addr := func(b byte) netip.Addr {
		switch b >> 6 {
		case 0:
			return ipv6.WithIID(mesh, uint64(b&63))
		case 1:
			return ipv6.LinkLocal(ipv6.EUI64(uint64(b & 63)))
		case 2:
			return routerAddr
		}
		return ipv6.WithIID(netip.MustParsePrefix("fd00:2::/64"), uint64(b&63))
	}
	held := finish(append(begin(nil), 128, 0, 0, 0, 0, 0, 0, 0), routerAddr, routerAddr, 64)
	for len(data) >= 3 {
		op, a, b := data[0], data[1], data[2]
		data = data[3:]
		meta := ipv6.Meta{LinkSrc: ipv6.EUI64(uint64(a & 63)), LinkDst: ipv6.BroadcastShort}
		if a&64 != 0 {
			meta.LinkSrc = ipv6.Short(uint16(a))
		}
		switch op % 8 {
		case 0, 1, 2: // a message whose ICMPv6 part is in the data
			n := min(int(b), len(data))
			msg := append(begin(nil), data[:n]...)
			data = data[n:]
			if n < 4 {
				continue
			}
			src, dst := addr(a), routerAddr
			if op&8 != 0 {
				src = unspecified
			}
			if op&16 != 0 {
				dst = allNodes
			}
			if op&32 != 0 && n >= 24 {
				dst = SolicitedNode(netip.AddrFrom16([16]byte(msg[48:64])))
			}
			err := m.HandlePacket(now, finish(msg, src, dst, 255-op>>7), meta)
			if _, ok := err.(Drop); err != nil && !ok {
				t.Fatalf("error %v is no Drop", err)
			}
		case 3:
			m.Heard(now, addr(b), meta)
		case 4:
			m.Resolve(now, addr(b), held, int(a))
		case 5:
			m.LinkStatus(now, meta.LinkSrc, b&1 != 0)
		case 6:
			now = now.Add(time.Duration(a) * time.Duration(b) * 100 * time.Millisecond)
			m.Advance(now)
		case 7:
			if d := m.Deadline(); !d.IsZero() {
				now = later(now, d)
				m.Advance(now)
				if d := m.Deadline(); !d.IsZero() && !d.After(now) {
					t.Fatalf("due at %v, now %v", d, now)
				}
			}
		}
		check(t, c, now)
	}
	for _, n := range m.Snapshot() {
		if n.State == "" {
			t.Fatal("no state")
		}
	}
}

var routerAddr = ipv6.LinkLocal(routerLL)

func seeds(f *testing.F) {
	var all []byte
	for _, v := range vectors(f, "nd.jsonl") {
		m := v.packet(f).Payload()
		if len(m) > 255 {
			continue
		}
		s := append([]byte{0, 0x41, byte(len(m))}, m...)
		s = append(s, 4, 1, 1, 7, 0, 0, 6, 200, 200)
		f.Add(s)
		all = append(all, s...)
	}
	reg := unhexF(f, riotNS)
	all = append(append(all, 0, 7, byte(len(reg.Payload()))), reg.Payload()...)
	f.Add(all)
}

func unhexF(f *testing.F, s string) ipv6.Packet { return unhex(f, s) }

// FuzzRouter: any sequence of packets and times keeps the tables within their limits, every
// entry with a timer, and everything that is sent well formed.
func FuzzRouter(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		l := new(eventLog)
		r := NewRouter(RouterConfig{LinkAddr: routerLL, Prefix: mesh, Limits: Limits{Registrations: 6, PerNode: 3, Neighbors: 8, Incomplete: 3, Queue: 2, Held: 4}}, &sink{t: t}, l)
		script(t, data, r, &r.cache)
		if len(l.registered) != r.Registered() {
			t.Fatalf("%d registered, told of %d", r.Registered(), len(l.registered))
		}
		again := NewRouter(r.cfg, &sink{t: t}, l)
		again.Restore(r.now, r.Records())
		check(t, &again.cache, r.now)
	})
}

type nobody struct{ eventLog }

func (*nobody) AddressAdded(time.Time, netip.Addr, int)                   {}
func (*nobody) AddressRemoved(time.Time, netip.Addr)                      {}
func (*nobody) DefaultRouter(time.Time, netip.Addr, ipv6.LinkAddr)        {}
func (*nobody) Context(time.Time, int, netip.Prefix, bool, time.Duration) {}
func (*nobody) DNS(time.Time, []netip.Addr, time.Duration)                {}

// FuzzHost: as FuzzRouter, for both kinds of host; the lists of routers, prefixes and
// addresses are bounded.
func FuzzHost(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		h := NewHost(HostConfig{LinkAddr: ipv6.EUI64(0x77), Classic: data[0]&64 != 0, Limits: Limits{Neighbors: 8, Incomplete: 3, Queue: 2, Held: 4}}, &sink{t: t}, new(nobody))
		h.Start(epoch)
		script(t, data, h, &h.cache)
		if len(h.routers) > maxHostRouters || len(h.prefixes) > maxHostPrefixes || len(h.addrs) > maxHostPrefixes+1 || h.timers.Len() > 64 {
			t.Fatalf("%d routers, %d prefixes, %d addresses, %d timers", len(h.routers), len(h.prefixes), len(h.addrs), h.timers.Len())
		}
		h.Stop(h.now)
		if !h.Deadline().IsZero() || h.entries.Len() != 0 {
			t.Fatal("not at rest after Stop")
		}
	})
}

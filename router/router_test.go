package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

var (
	t0        = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	meshPfx   = pfx("fd00:1::/64")
	ownAddr   = adr("fd00:1::ff:fe00:1")
	ownLL     = adr("fe80::ff:fe00:1")
	nodeA     = adr("fd00:1::a")
	nodeB     = adr("fd00:1::b")
	lanHost   = adr("2001:db8::99")
	llA       = ipv6.EUI64(0xa)
	llB       = ipv6.EUI64(0xb)
	meshMeta  = ipv6.Meta{Port: 0, LinkSrc: llA, LinkDst: ipv6.EUI64(1)}
	bcastMeta = ipv6.Meta{Port: 0, LinkSrc: llA, LinkDst: ipv6.BroadcastShort}
	hostMeta  = ipv6.Meta{Port: 1}
)

// A wire is the far end of a port: it keeps what was sent.
type wire struct {
	name   string
	mtu    int
	sent   []ipv6.Packet
	dst    []ipv6.LinkAddr
	refuse error
	busy   bool
	quiet  bool // count only
	n      int
}

func (w *wire) Name() string { return w.name }
func (w *wire) MTU() int     { return w.mtu }
func (w *wire) Busy() bool   { return w.busy }
func (w *wire) Output(_ time.Time, p ipv6.Packet, dst ipv6.LinkAddr) error {
	if w.refuse != nil {
		return w.refuse
	}
	w.n++
	if !w.quiet {
		w.sent = append(w.sent, append(ipv6.Packet(nil), p...))
		w.dst = append(w.dst, dst)
	}
	return nil
}

func (w *wire) take(t *testing.T) ipv6.Packet {
	t.Helper()
	if len(w.sent) != 1 {
		t.Fatalf("%s: %d packets sent, want 1", w.name, len(w.sent))
	}
	p := w.sent[0]
	w.sent, w.dst = nil, nil
	return p
}

// table is a Neighbors with fixed entries; unknown ones are held until told.
type table struct {
	known  map[netip.Addr]ipv6.LinkAddr
	held   []heldPacket
	refuse error
	nd     int
}

type heldPacket struct {
	p     ipv6.Packet
	owner int
}

func (n *table) HandlePacket(time.Time, ipv6.Packet, ipv6.Meta) error { n.nd++; return nil }
func (n *table) Heard(time.Time, netip.Addr, ipv6.Meta)               {}
func (n *table) LinkStatus(time.Time, ipv6.LinkAddr, bool)            {}
func (n *table) Deadline() time.Time                                  { return time.Time{} }
func (n *table) Advance(time.Time)                                    {}
func (n *table) Resolve(_ time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	if n.refuse != nil {
		return ipv6.LinkAddr{}, n.refuse
	}
	if ll, ok := n.known[dst]; ok {
		return ll, nil
	}
	n.held = append(n.held, heldPacket{append(ipv6.Packet(nil), p...), owner})
	return ipv6.LinkAddr{}, ipv6.ErrHeld
}

type fixture struct {
	r          *Router
	mesh, host *wire
	nb         *table
	ml, hl     *Link
}

func newFixture(cfg Config) *fixture {
	f := &fixture{
		r:    New(cfg),
		mesh: &wire{name: "mesh0", mtu: 1280},
		host: &wire{name: "tun0", mtu: 1500},
		nb:   &table{known: map[netip.Addr]ipv6.LinkAddr{nodeA: llA, nodeB: llB, adr("fe80::a"): llA}},
	}
	f.ml = f.r.AddPort(PortConfig{Port: f.mesh, Kind: Mesh, LinkLocal: []netip.Addr{ownLL}, Prefixes: []netip.Prefix{meshPfx}, Ingress: true})
	f.ml.SetNeighbors(f.nb)
	f.hl = f.r.AddPort(PortConfig{Port: f.host, Kind: Host, Ingress: true})
	f.r.AddAddress(ownAddr)
	f.r.FIB().Add(Route{Prefix: pfx("::/0"), Port: 1, Kind: RouteDefault})
	f.r.FIB().Add(Route{Prefix: pfx("2001:db8:dead::/48"), Kind: RouteUnreachable})
	return f
}

func (f *fixture) check(t *testing.T) {
	t.Helper()
	for _, l := range f.r.Links() {
		checkLink(t, l)
	}
}

func checkLink(t testing.TB, l *Link) {
	t.Helper()
	s := l.Stats()
	if s.Received != s.Delivered+s.Forwarded+s.Consumed+s.Held+s.Dropped {
		t.Fatalf("%s: received %d != delivered %d + forwarded %d + consumed %d + held %d + dropped %d",
			l.Name(), s.Received, s.Delivered, s.Forwarded, s.Consumed, s.Held, s.Dropped)
	}
	var sum uint64
	for _, n := range l.Drops() {
		sum += n
	}
	if sum != s.Dropped {
		t.Fatalf("%s: drops by reason add to %d, dropped %d", l.Name(), sum, s.Dropped)
	}
}

func udp(src, dst netip.Addr, hopLimit uint8, n int) ipv6.Packet {
	p := ipv6.AppendUDP(nil, netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(dst, 5683), hopLimit, make([]byte, n))
	return ipv6.Packet(p)
}

func echoRequest(src, dst netip.Addr, n int) ipv6.Packet {
	return ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, 0x00010002, make([]byte, n), src, dst, 64))
}

func parse(t *testing.T, p ipv6.Packet) ipv6.Packet {
	t.Helper()
	q, err := ipv6.Parse(p)
	if err != nil {
		t.Fatalf("sent packet does not parse: %v\n%x", err, []byte(p))
	}
	if err := ipv6.CheckTransport(q); err != nil {
		t.Fatalf("sent packet: %v\n%x", err, []byte(p))
	}
	return q
}

func TestForward(t *testing.T) {
	for _, c := range []struct {
		name string
		m    ipv6.Meta
		p    ipv6.Packet
		out  func(f *fixture) *wire
		ll   ipv6.LinkAddr
	}{
		{"mesh to uplink", meshMeta, udp(nodeA, lanHost, 64, 20), func(f *fixture) *wire { return f.host }, ipv6.LinkAddr{}},
		{"uplink to mesh", hostMeta, udp(lanHost, nodeB, 64, 20), func(f *fixture) *wire { return f.mesh }, llB},
		{"mesh to mesh, out of the port it came in by", meshMeta, udp(nodeA, nodeB, 64, 20), func(f *fixture) *wire { return f.mesh }, llB},
		{"own address of the host port to mesh", hostMeta, udp(ownAddr, nodeA, 64, 20), func(f *fixture) *wire { return f.mesh }, llA},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(Config{})
			f.r.Input(t0, c.p, c.m)
			w := c.out(f)
			dst := append([]ipv6.LinkAddr(nil), w.dst...)
			q := parse(t, w.take(t))
			if q.HopLimit() != 63 || dst[0] != c.ll {
				t.Errorf("hop limit %d to %v, want 63 to %v", q.HopLimit(), dst[0], c.ll)
			}
			if s := f.r.Links()[c.m.Port].Stats(); s.Forwarded != 1 {
				t.Errorf("stats %+v", s)
			}
			f.check(t)
		})
	}
}

func TestDeliver(t *testing.T) {
	f := newFixture(Config{})
	f.r.Input(t0, udp(nodeA, ownAddr, 1, 20), meshMeta) // hop limit is for transit only
	if q := parse(t, f.host.take(t)); q.HopLimit() != 1 {
		t.Errorf("hop limit changed to %d", q.HopLimit())
	}
	f.r.Input(t0, echoRequest(nodeA, ownAddr, 8), meshMeta)
	f.host.take(t)
	coap := adr("ff02::fd")
	f.r.JoinGroup(coap)
	f.r.Input(t0, udp(nodeA, coap, 1, 20), bcastMeta)
	f.host.take(t)
	if s := f.ml.Stats(); s.Delivered != 3 {
		t.Errorf("stats %+v", s)
	}
	f.check(t)
}

func TestEcho(t *testing.T) {
	for _, c := range []struct{ name, dst, from string }{
		{"link-local", ownLL.String(), ownLL.String()},
		{"all-nodes", "ff02::1", ownLL.String()},
		{"subnet-router anycast", "fd00:1::", ownAddr.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(Config{})
			f.r.Input(t0, echoRequest(adr("fe80::a"), adr(c.dst), 100), meshMeta)
			q := parse(t, f.mesh.take(t))
			if c.name == "subnet-router anycast" {
				// A link-local asker is answered from a link-local address.
				c.from = ownLL.String()
			}
			if q.Src() != adr(c.from) || q.Dst() != adr("fe80::a") || q[40] != ipv6.ICMPEchoReply || q.PayloadLen() != 108 {
				t.Errorf("reply %x", []byte(q))
			}
			if s := f.ml.Stats(); s.Consumed != 1 || s.Originated != 1 {
				t.Errorf("stats %+v", s)
			}
			f.check(t)
		})
	}
}

// TestDrops has a row for each reason of this package, with the ICMPv6 error that goes
// back.
func TestDrops(t *testing.T) {
	errRefused := errors.New("refused")
	for _, c := range []struct {
		name     string
		setup    func(f *fixture)
		p        ipv6.Packet
		m        ipv6.Meta
		want     error
		typ      uint8 // 0: no ICMPv6 error
		code     uint8
		param    uint32
		hostOnly bool
	}{
		{name: "no route", setup: func(f *fixture) { f.r.FIB().Remove(pfx("::/0")) }, p: udp(nodeA, lanHost, 64, 0), m: meshMeta, want: DropNoRoute, typ: 1, code: 0},
		{name: "unreachable route", p: udp(nodeA, adr("2001:db8:dead::1"), 64, 0), m: meshMeta, want: DropProhibited, typ: 1, code: 0},
		{name: "hop limit 1", p: udp(nodeA, lanHost, 1, 0), m: meshMeta, want: DropHopLimit, typ: 3, code: 0},
		{name: "hop limit 0", p: udp(nodeA, lanHost, 0, 0), m: meshMeta, want: DropHopLimit, typ: 3, code: 0},
		{name: "too big for the mesh", p: udp(lanHost, nodeA, 64, 1300), m: hostMeta, want: DropTooBig, typ: 2, param: 1280},
		{name: "link-local source", p: udp(adr("fe80::a"), lanHost, 64, 0), m: meshMeta, want: DropScope, typ: 1, code: 2},
		{name: "link-local destination of another", p: udp(nodeA, adr("fe80::77"), 64, 0), m: meshMeta, want: DropScope},
		{name: "foreign source in the mesh", p: udp(adr("2001:db8:5::1"), lanHost, 64, 0), m: meshMeta, want: DropIngress},
		{name: "our address as source in the mesh", p: udp(ownAddr, lanHost, 64, 0), m: meshMeta, want: DropIngress},
		{name: "mesh source from the uplink", p: udp(nodeB, nodeA, 64, 0), m: hostMeta, want: DropIngress},
		{name: "loopback source", p: udp(adr("::1"), nodeA, 64, 0), m: hostMeta, want: DropMartian},
		{name: "multicast source", p: udp(adr("ff02::1"), nodeA, 64, 0), m: hostMeta, want: DropMartian},
		{name: "IPv4-mapped source", p: udp(netip.AddrFrom16(adr("::ffff:1.2.3.4").As16()), nodeA, 64, 0), m: hostMeta, want: DropMartian},
		{name: "loopback destination", p: udp(nodeA, adr("::1"), 64, 0), m: meshMeta, want: DropMartian},
		{name: "unspecified destination", p: udp(nodeA, adr("::"), 64, 0), m: meshMeta, want: DropMartian},
		{name: "unspecified source", p: udp(adr("::"), lanHost, 64, 0), m: meshMeta, want: DropMartian},
		{name: "interface-local group", p: udp(nodeA, adr("ff01::1"), 64, 0), m: bcastMeta, want: DropMartian},
		{name: "back out of the uplink", p: udp(lanHost, adr("2001:db8:7::1"), 64, 0), m: hostMeta, want: DropLoop, typ: 1, code: 0},
		{name: "host does not forward", hostOnly: true, p: udp(nodeA, lanHost, 64, 0), m: meshMeta, want: DropNotForwarding},
		{name: "link-local group not joined", p: udp(nodeA, adr("ff02::fb"), 64, 0), m: bcastMeta, want: DropNotMember},
		{name: "site group without listener", p: udp(nodeA, adr("ff05::fd"), 64, 0), m: bcastMeta, want: DropMulticastForward},
		{name: "UDP to our link-local", p: udp(adr("fe80::a"), ownLL, 64, 0), m: meshMeta, want: DropNoListener, typ: 1, code: 4},
		{name: "unknown protocol to our link-local", p: ipv6.Packet(ipv6.AppendHeader(nil, 0, 0, 0, 253, 64, adr("fe80::a"), ownLL)), m: meshMeta, want: DropNoListener, typ: 4, code: 1, param: 6},
		{name: "neighbor discovery on the host port", p: ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPRouterSolicitation, 0, 0, nil, adr("fe80::9"), adr("ff02::2"), 255)), m: hostMeta, want: DropNoND},
		{name: "no host port", setup: func(f *fixture) { f.r.host = nil }, p: udp(nodeA, ownAddr, 64, 0), m: meshMeta, want: DropNoHost},
		{name: "neighbor unreachable", setup: func(f *fixture) { f.nb.refuse = errRefused }, p: udp(lanHost, nodeA, 64, 0), m: hostMeta, want: errRefused, typ: 1, code: 3},
		{name: "port refuses", setup: func(f *fixture) { f.host.refuse = errRefused }, p: udp(nodeA, lanHost, 64, 0), m: meshMeta, want: errRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(Config{HostOnly: c.hostOnly})
			if c.setup != nil {
				c.setup(f)
			}
			orig := append(ipv6.Packet(nil), c.p...)
			f.r.Input(t0, c.p, c.m)
			in := f.r.Links()[c.m.Port]
			if in.drops[c.want] != 1 || in.Stats().Dropped != 1 {
				t.Errorf("drops %v, want one %q", in.Drops(), c.want)
			}
			f.check(t)
			back := f.mesh
			if c.m.Port == 1 {
				back = f.host
			}
			if c.typ == 0 {
				if len(f.mesh.sent)+len(f.host.sent) != 0 {
					t.Errorf("something was sent: %x %x", f.mesh.sent, f.host.sent)
				}
				return
			}
			f.nb.refuse = nil
			q := parse(t, back.take(t))
			if q[40] != c.typ || q[41] != c.code || binary.BigEndian.Uint32(q[44:]) != c.param {
				t.Errorf("ICMPv6 type %d code %d parameter %d, want %d %d %d", q[40], q[41], binary.BigEndian.Uint32(q[44:]), c.typ, c.code, c.param)
			}
			if q.Dst() != orig.Src() || len(q) > ipv6.MinMTU {
				t.Errorf("to %s, %d bytes", q.Dst(), len(q))
			}
		})
	}
}

func TestHeldPackets(t *testing.T) {
	f := newFixture(Config{})
	unknown := adr("fd00:1::77")
	f.r.Input(t0, udp(lanHost, unknown, 64, 0), hostMeta)
	f.r.Input(t0, udp(lanHost, unknown, 64, 0), hostMeta)
	if s := f.hl.Stats(); s.Held != 2 || s.Forwarded != 0 {
		t.Fatalf("stats %+v", s)
	}
	f.check(t)
	f.ml.Resolved(t0, f.nb.held[0].p, f.nb.held[0].owner, ipv6.EUI64(0x77))
	parse(t, f.mesh.take(t))
	f.ml.Unresolved(t0, f.nb.held[1].p, f.nb.held[1].owner, DropNoRoute)
	q := parse(t, f.host.take(t))
	if q[40] != ipv6.ICMPUnreachable || q[41] != 3 {
		t.Errorf("type %d code %d, want unreachable, address", q[40], q[41])
	}
	if s := f.hl.Stats(); s.Held != 0 || s.Forwarded != 1 || s.Dropped != 1 {
		t.Errorf("stats %+v", s)
	}
	f.check(t)
}

func TestICMPErrorsAreLimited(t *testing.T) {
	f := newFixture(Config{ICMPRate: 10, ICMPBurst: 5})
	for range 100 {
		f.r.Input(t0, udp(nodeA, lanHost, 1, 0), meshMeta)
	}
	if n := len(f.mesh.sent); n != 5 {
		t.Errorf("%d errors at once, want 5", n)
	}
	f.r.Input(t0.Add(time.Second), udp(nodeA, lanHost, 1, 0), meshMeta)
	if n := len(f.mesh.sent); n != 6 {
		t.Errorf("%d errors after a second, want 6", n)
	}
	f.check(t)
}

// TestICMPErrorsSent counts the errors that have left, not those that the port refused.
func TestICMPErrorsSent(t *testing.T) {
	f := newFixture(Config{})
	f.r.Input(t0, udp(nodeA, lanHost, 1, 0), meshMeta)
	f.mesh.refuse = errors.New("away")
	f.r.Input(t0, udp(nodeA, lanHost, 1, 0), meshMeta)
	if sent, _ := f.r.ICMPErrors(); sent != 1 || len(f.mesh.sent) != 1 {
		t.Errorf("%d errors counted, %d sent", sent, len(f.mesh.sent))
	}
}

func TestPing(t *testing.T) {
	f := newFixture(Config{})
	var got []PingResult
	ping := func(p Ping) {
		t.Helper()
		p.Done = func(r PingResult) { got = append(got, r) }
		if err := f.r.Ping(t0, p); err != nil {
			t.Fatal(err)
		}
	}
	reply := func(at time.Time, req ipv6.Packet) {
		f.r.Input(at, ipv6.Packet(ipv6.AppendEchoReply(nil, req, req.Dst())), meshMeta)
	}

	ping(Ping{Dst: nodeA, Size: 56, Seq: 1})
	req := parse(t, f.mesh.take(t))
	if req.Src() != ownAddr || req.PayloadLen() != 64 {
		t.Fatalf("request %x", []byte(req))
	}
	reply(t0.Add(3*time.Millisecond), req)
	if len(got) != 1 || got[0].Err != nil || got[0].RTT != 3*time.Millisecond || got[0].Bytes != 64 || got[0].From != nodeA {
		t.Fatalf("result %+v", got)
	}
	reply(t0, req) // a second reply is nobody's: it goes to the host port
	f.host.take(t)

	ping(Ping{Dst: adr("fe80::a"), Seq: 2})
	if req = parse(t, f.mesh.take(t)); req.Src() != ownLL {
		t.Errorf("source %s, want %s", req.Src(), ownLL)
	}
	reply(t0, req)

	ping(Ping{Dst: nodeA, Seq: 3, Timeout: 2 * time.Second})
	if d := f.r.Deadline(); d != t0.Add(2*time.Second) {
		t.Errorf("deadline %v", d)
	}
	f.r.Advance(t0.Add(2 * time.Second))
	f.mesh.take(t)

	ping(Ping{Dst: nodeB, Seq: 4})
	msg := ipv6.AppendICMPError(nil, ipv6.ICMPTimeExceeded, 0, 0, f.mesh.take(t), nodeA)
	f.r.Input(t0, ipv6.Packet(msg), meshMeta)

	ping(Ping{Dst: adr("fd00:1::66"), Seq: 5})
	h := f.nb.held[0]
	f.ml.Unresolved(t0, h.p, h.owner, DropNoRoute)

	if len(got) != 5 {
		t.Fatalf("%d results: %+v", len(got), got)
	}
	if got[2].Err != ErrPingTimeout || got[3].Type != ipv6.ICMPTimeExceeded || got[4].Type != ipv6.ICMPUnreachable || got[4].Code != 3 {
		t.Errorf("results %+v", got[2:])
	}
	// Our own addresses answer, whatever the host behind the port would do with such a packet.
	for _, own := range []netip.Addr{ownAddr, ownLL, ownLL.WithZone("mesh0")} {
		ping(Ping{Dst: own, Size: 2000, Seq: 6})
		if r := got[len(got)-1]; r.Err != nil || r.Seq != 6 || r.Bytes != 2008 || r.From != own.WithZone("") || r.Type != 0 {
			t.Errorf("ping of %s: %+v", own, r)
		}
		if n := len(f.r.pings.pending) + len(f.mesh.sent) + len(f.host.sent) + len(f.nb.held) - 1; n != 0 {
			t.Errorf("ping of %s: %d packets or pings left over", own, n)
		}
	}
	for _, bad := range []Ping{{Dst: adr("10.0.0.1")}, {Dst: adr("2001:db8:dead::1")}, {Dst: nodeA, Size: 1 << 20}} {
		if err := f.r.Ping(t0, bad); err == nil {
			t.Errorf("Ping(%+v) succeeded", bad)
		}
	}
	f.check(t)
}

// TestPingGroup has two members of a group answer: the second one is told as such, and the
// end of the wait is not told.
func TestPingGroup(t *testing.T) {
	f := newFixture(Config{})
	var got []PingResult
	p := Ping{Dst: adr("ff02::1"), Seq: 1, Done: func(r PingResult) { got = append(got, r) }}
	if err := f.r.Ping(t0, p); err != nil {
		t.Fatal(err)
	}
	req := parse(t, f.mesh.take(t))
	for i, from := range []string{"fe80::a", "fe80::b"} {
		f.r.Input(t0.Add(time.Duration(i+1)*time.Millisecond), ipv6.Packet(ipv6.AppendEchoReply(nil, req, adr(from))), meshMeta)
	}
	f.r.Advance(t0.Add(time.Second))
	if len(got) != 2 || got[0].From != adr("fe80::a") || got[0].Dup || got[1].From != adr("fe80::b") || !got[1].Dup || got[1].RTT != 2*time.Millisecond {
		t.Errorf("results %+v", got)
	}
	if len(f.r.pings.pending) != 0 || !f.r.Deadline().IsZero() {
		t.Error("the ping is still there")
	}
	f.check(t)
}

func TestPingInFragments(t *testing.T) {
	f := newFixture(Config{})
	var got []PingResult
	if err := f.r.Ping(t0, Ping{Dst: nodeA, Size: 3000, Seq: 1, Done: func(r PingResult) { got = append(got, r) }}); err != nil {
		t.Fatal(err)
	}
	if len(f.mesh.sent) != 3 {
		t.Fatalf("%d fragments", len(f.mesh.sent))
	}
	// The far end reassembles with the same code and answers in fragments of its own.
	far := New(Config{HostOnly: true})
	fm, fh := &wire{name: "m", mtu: 1280}, &wire{name: "h", mtu: 9000}
	far.AddPort(PortConfig{Port: fm, Kind: Mesh, LinkLocal: []netip.Addr{nodeA}})
	far.AddPort(PortConfig{Port: fh, Kind: Host})
	far.local.Put(addrKey(nodeA.As16()).key(), localCore)
	far.links[0].nb = &table{known: map[netip.Addr]ipv6.LinkAddr{ownAddr: llB}}
	far.addrs = append(far.addrs, nodeA)
	far.fib.Add(Route{Prefix: meshPfx, Port: 0})
	for _, i := range []int{2, 0, 1} {
		far.Input(t0, f.mesh.sent[i], ipv6.Meta{Port: 0, LinkSrc: ipv6.EUI64(1)})
	}
	checkLink(t, far.links[0])
	if len(fm.sent) != 3 {
		t.Fatalf("answer in %d packets", len(fm.sent))
	}
	for _, q := range fm.sent {
		f.r.Input(t0, q, meshMeta)
	}
	if len(got) != 1 || got[0].Err != nil || got[0].Bytes != 3008 {
		t.Fatalf("results %+v", got)
	}
	f.check(t)
}

func TestBusy(t *testing.T) {
	f := newFixture(Config{})
	if f.r.Busy() {
		t.Error("busy with nothing waiting")
	}
	f.mesh.busy = true
	if !f.r.Busy() {
		t.Error("not busy though the port is")
	}
}

func TestRemoveAddress(t *testing.T) {
	f := newFixture(Config{})
	second := ownAddr.Next()
	f.r.AddAddress(second)
	anycast := netip.PrefixFrom(ownAddr, 64).Masked().Addr()
	if got := f.r.LocalAddresses(); !slices.Equal(got, []netip.Addr{anycast, ownAddr, second}) {
		t.Errorf("we answer %v", got)
	}
	f.r.RemoveAddress(second)
	if got := f.r.LocalAddresses(); !slices.Equal(got, []netip.Addr{anycast, ownAddr}) {
		t.Errorf("without %v we answer %v", second, got)
	}
	f.r.RemoveAddress(ownAddr)
	f.r.Input(t0, udp(lanHost, ownAddr, 64, 0), hostMeta)
	if len(f.nb.held) != 1 {
		t.Error("packet for an address that is no longer ours was not forwarded")
	}
	if len(f.r.LocalAddresses()) != 0 || len(f.r.Addresses()) != 0 {
		t.Errorf("left over: %v", f.r.local)
	}
}

func TestForwardAllocs(t *testing.T) {
	f := newFixture(Config{})
	f.mesh.quiet, f.host.quiet = true, true
	p := udp(lanHost, nodeA, 64, 64)
	tooFar := udp(lanHost, nodeA, 1, 64)
	martian := udp(adr("::1"), nodeA, 64, 0)
	for name, q := range map[string]ipv6.Packet{"forward": p, "hop limit": tooFar, "martian": martian} {
		if n := testing.AllocsPerRun(1000, func() {
			if name == "forward" {
				q.SetHopLimit(64)
			}
			f.r.Input(t0, q, hostMeta)
		}); n != 0 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
	}
}

// FuzzInput feeds any packets to every port: each must be accounted for once, nothing may
// panic, and whatever is sent must be a well-formed packet.
func FuzzInput(f *testing.F) {
	for _, p := range []ipv6.Packet{
		udp(nodeA, lanHost, 64, 10), udp(lanHost, nodeA, 64, 10), udp(adr("fe80::a"), ownLL, 64, 0), echoRequest(adr("fe80::a"), ownLL, 4),
		echoRequest(nodeA, adr("ff02::1"), 4), udp(nodeA, adr("ff05::fd"), 3, 3),
	} {
		f.Add(uint8(0), []byte(p))
		f.Add(uint8(1), []byte(p))
	}
	for _, q := range fragment(echoRequest(adr("fe80::a"), ownLL, 2000), 1280) {
		f.Add(uint8(0), []byte(q))
	}
	f.Fuzz(func(t *testing.T, port uint8, b []byte) {
		p, err := ipv6.Parse(append([]byte(nil), b...))
		if err != nil {
			return
		}
		fx := newFixture(Config{})
		m := meshMeta
		if m.Port = int(port % 2); m.Port == 1 {
			m = hostMeta
		}
		fx.r.Input(t0, p, m)
		fx.r.Input(t0, p, m)
		fx.r.Advance(t0.Add(2 * time.Minute))
		for _, l := range fx.r.Links() {
			checkLink(t, l)
		}
		for _, w := range []*wire{fx.mesh, fx.host} {
			for _, q := range w.sent {
				if got, err := ipv6.Parse(q); err != nil || len(got) != len(q) {
					t.Fatalf("%s sent %x: %v", w.name, []byte(q), err)
				}
			}
		}
	})
}

func BenchmarkForward(b *testing.B) {
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		m    ipv6.Meta
	}{
		{"uplink-to-mesh", udp(lanHost, nodeA, 64, 64), hostMeta},
		{"mesh-to-uplink", udp(nodeA, lanHost, 64, 64), meshMeta},
		{"drop", udp(adr("::1"), nodeA, 64, 64), hostMeta},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := newFixture(Config{})
			f.mesh.quiet, f.host.quiet = true, true
			b.ReportAllocs()
			b.SetBytes(int64(len(c.p)))
			for b.Loop() {
				c.p.SetHopLimit(64)
				f.r.Input(t0, c.p, c.m)
			}
		})
	}
	// Ten destinations with and without many others beside them, and any of them all.
	for _, n := range []int{10, 1000, 100_000} {
		for _, c := range []struct {
			name string
			used int
		}{{"", 10}, {"-any", n}} {
			b.Run(fmt.Sprintf("host-routes-%d%s", n, c.name), func(b *testing.B) {
				f := newFixture(Config{})
				f.mesh.quiet = true
				dsts := addHostRoutes(f.r.FIB(), n)[:c.used]
				p := udp(lanHost, nodeA, 64, 64)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					copy(p[24:40], dsts[i][:])
					if i++; i == len(dsts) {
						i = 0
					}
					p.SetHopLimit(64)
					f.r.Input(t0, p, hostMeta)
				}
			})
		}
	}
}

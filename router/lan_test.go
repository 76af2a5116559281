package router

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
	"border-router/nd"
)

var (
	group    = adr("ff05::fd")
	realm    = adr("ff03::fc")
	meshAPfx = pfx("fd00:a::/64")
	meshBPfx = pfx("fd00:b::/64")
	lanPfx   = pfx("2001:db8:1::/64")
	inA      = adr("fd00:a::1")
	inB      = adr("fd00:b::1")
	onLAN    = adr("2001:db8:1::9")
)

// members is a Multicast with fixed listeners.
type members struct {
	want   map[netip.Addr][]ipv6.LinkAddr
	all    bool
	mld    int
	refuse error
}

func (m *members) Deadline() time.Time { return time.Time{} }
func (m *members) Advance(time.Time)   {}
func (m *members) HandlePacket(time.Time, ipv6.Packet, ipv6.Meta) error {
	m.mld++
	return m.refuse
}
func (m *members) Wants(_ time.Time, g, _ netip.Addr) bool { _, ok := m.want[g]; return ok }
func (m *members) Listeners(g netip.Addr, list []ipv6.LinkAddr) ([]ipv6.LinkAddr, bool) {
	return append(list, m.want[g]...), m.all
}

type lanFixture struct {
	r                 *Router
	a, b, lan, host   *wire
	ma, mb, ml        *members
	la, lb, llan, lho *Link
	nb                *table
}

func newLANFixture(cfg Config) *lanFixture {
	f := &lanFixture{
		r: New(cfg),
		a: &wire{name: "zep0", mtu: 1280}, b: &wire{name: "zep1", mtu: 1280},
		lan: &wire{name: "eth0", mtu: 1500}, host: &wire{name: "user", mtu: 1280},
		ma: &members{want: map[netip.Addr][]ipv6.LinkAddr{}}, mb: &members{want: map[netip.Addr][]ipv6.LinkAddr{}},
		ml: &members{want: map[netip.Addr][]ipv6.LinkAddr{}},
		nb: &table{known: map[netip.Addr]ipv6.LinkAddr{onLAN: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 9})}},
	}
	meshTable := func() *table { return &table{known: map[netip.Addr]ipv6.LinkAddr{inA: llA, inB: llB}} }
	f.la = f.r.AddPort(PortConfig{Port: f.a, Kind: Mesh, LinkLocal: []netip.Addr{adr("fe80::a1")}, Prefixes: []netip.Prefix{meshAPfx}, Ingress: true, Realm: 1 + 0xabcd})
	f.lb = f.r.AddPort(PortConfig{Port: f.b, Kind: Mesh, LinkLocal: []netip.Addr{adr("fe80::b1")}, Prefixes: []netip.Prefix{meshBPfx}, Ingress: true, Realm: 1 + 0xabcd})
	f.llan = f.r.AddPort(PortConfig{Port: f.lan, Kind: LAN, LinkLocal: []netip.Addr{adr("fe80::1")}, Prefixes: []netip.Prefix{lanPfx}, Ingress: true})
	f.lho = f.r.AddPort(PortConfig{Port: f.host, Kind: Host, Ingress: true})
	f.la.SetNeighbors(meshTable())
	f.lb.SetNeighbors(meshTable())
	f.llan.SetNeighbors(f.nb)
	f.la.SetMulticast(f.ma)
	f.lb.SetMulticast(f.mb)
	f.llan.SetMulticast(f.ml)
	f.r.AddAddress(adr("2001:db8:1::1"))
	return f
}

func (f *lanFixture) check(t *testing.T) {
	t.Helper()
	for _, l := range f.r.Links() {
		checkLink(t, l)
	}
}

func (f *lanFixture) sent() (out [4]int) {
	for i, w := range []*wire{f.a, f.b, f.lan, f.host} {
		out[i] = len(w.sent)
		w.sent, w.dst = nil, nil
	}
	return out
}

func TestMulticastForward(t *testing.T) {
	three := []ipv6.LinkAddr{llA, llB, ipv6.EUI64(0xc)}
	for _, c := range []struct {
		name   string
		port   int
		src    netip.Addr
		group  netip.Addr
		hops   uint8
		size   int
		listen [4][]ipv6.LinkAddr // on mesh a, mesh b, LAN, and of the kernel behind a TUN; nil: nobody, empty: unknown who
		joined bool
		want   [4]int // packets sent to a, b, LAN, host
		drop   error
	}{
		{name: "LAN to one mesh", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, want: [4]int{1, 0, 0, 0}},
		{name: "LAN to both", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, {llB}, nil}, want: [4]int{1, 1, 0, 0}},
		{name: "mesh to LAN and other mesh", port: 0, src: inA, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, {llB}, {llA}}, want: [4]int{0, 1, 1, 0}},
		{name: "two listeners get a unicast each", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA, llB}, nil, nil}, want: [4]int{2, 0, 0, 0}},
		{name: "three get one broadcast", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{three, nil, nil}, want: [4]int{1, 0, 0, 0}},
		{name: "listeners unknown", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{}, nil, nil}, want: [4]int{1, 0, 0, 0}},
		{name: "nobody", port: 2, src: onLAN, group: group, hops: 64, drop: DropMulticastForward},
		{name: "host and mesh", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, joined: true, want: [4]int{1, 0, 0, 1}},
		{name: "host only", port: 2, src: onLAN, group: group, hops: 64, joined: true, want: [4]int{0, 0, 0, 1}},
		{name: "mesh to the kernel", port: 0, src: inA, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{nil, nil, nil, {}}, want: [4]int{0, 0, 0, 1}},
		{name: "the kernel is on the LAN by itself", port: 2, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil, {}}, want: [4]int{1, 0, 0, 0}},
		{name: "from our own services", port: 3, src: adr("2001:db8:1::1"), group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, joined: true, want: [4]int{1, 0, 0, 0}},
		{name: "hop limit", port: 2, src: onLAN, group: group, hops: 1, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, drop: DropHopLimit},
		{name: "link-local source", port: 2, src: adr("fe80::9"), group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, drop: DropScope},
		{name: "unspecified source", port: 2, src: netip.IPv6Unspecified(), group: group, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, drop: DropScope},
		{name: "link-local group", port: 2, src: onLAN, group: adr("ff02::fd"), hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, drop: DropNotMember},
		{name: "realm-local from LAN", port: 2, src: onLAN, group: realm, hops: 64, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, drop: DropMulticastForward},
		{name: "realm-local within the PAN", port: 0, src: inA, group: realm, hops: 64, listen: [4][]ipv6.LinkAddr{nil, {llB}, {llB}}, want: [4]int{0, 1, 0, 0}},
		{name: "too big", port: 2, src: onLAN, group: group, hops: 64, size: 1300, listen: [4][]ipv6.LinkAddr{{llA}, nil, nil}, want: [4]int{0, 0, 1, 0}, drop: DropTooBig},
		{name: "mesh source from the LAN", port: 2, src: inA, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{nil, {llB}, nil}, drop: DropIngress},
		{name: "LAN source from the mesh", port: 0, src: onLAN, group: group, hops: 64, listen: [4][]ipv6.LinkAddr{nil, {llB}, nil}, drop: DropIngress},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{})
			for i, m := range []*members{f.ma, f.mb, f.ml} {
				m.all = true
				if c.listen[i] != nil {
					m.want[c.group] = c.listen[i]
				}
			}
			if c.listen[3] != nil {
				mh := &members{want: map[netip.Addr][]ipv6.LinkAddr{c.group: c.listen[3]}}
				f.lho.SetMulticast(mh)
			}
			if c.joined {
				f.r.JoinGroup(c.group)
			}
			size := c.size
			if size == 0 {
				size = 50
			}
			p := udp(c.src, c.group, c.hops, size)
			f.r.Input(t0, p, ipv6.Meta{Port: c.port})
			for _, w := range []*wire{f.a, f.b} {
				for _, q := range w.sent {
					if q.HopLimit() != c.hops-1 {
						t.Errorf("%s: hop limit %d, want %d", w.name, q.HopLimit(), c.hops-1)
					}
				}
			}
			if got := f.sent(); got != c.want {
				t.Errorf("sent %v, want %v", got, c.want)
			}
			f.check(t)
			drops := f.r.Links()[c.port].Drops()
			if c.drop != nil && drops[c.drop.Error()] != 1 || c.drop == nil && len(drops) != 0 {
				t.Errorf("drops %v, want %v", drops, c.drop)
			}
		})
	}
}

// TestMulticastMinScope: a packet crosses where its scope is not too small for either port.
func TestMulticastMinScope(t *testing.T) {
	for _, c := range []struct {
		in, out ipv6.Scope
		want    int
	}{{0, 0, 1}, {ipv6.ScopeOrg, 0, 0}, {0, ipv6.ScopeOrg, 0}, {ipv6.ScopeSite, ipv6.ScopeSite, 1}} {
		f := newLANFixture(Config{})
		f.llan.setMulticastLimits(PortConfig{Kind: LAN, MinScope: c.in})
		f.la.setMulticastLimits(PortConfig{Kind: Mesh, MinScope: c.out})
		f.ma.want[group] = nil
		f.r.Input(t0, udp(onLAN, group, 64, 10), ipv6.Meta{Port: 2})
		if got := f.sent(); got[0] != c.want {
			t.Errorf("from %v to %v: %v is sent %d times, want %d", c.in, c.out, group, got[0], c.want)
		}
	}
}

// TestMulticastUnicastAddresses looks at where the copies go.
func TestMulticastUnicastAddresses(t *testing.T) {
	f := newLANFixture(Config{})
	f.ma.want[group] = []ipv6.LinkAddr{llA, llB}
	f.ma.all = true
	f.r.Input(t0, udp(onLAN, group, 64, 10), ipv6.Meta{Port: 2})
	if !slices.Equal(f.a.dst, []ipv6.LinkAddr{llA, llB}) {
		t.Errorf("sent to %v, want each listener", f.a.dst)
	}
	f.sent()
	f.ma.all = false // more than are known
	f.r.Input(t0, udp(onLAN, group, 64, 11), ipv6.Meta{Port: 2})
	if !slices.Equal(f.a.dst, []ipv6.LinkAddr{{}}) {
		t.Errorf("sent to %v, want one broadcast", f.a.dst)
	}
	// A listener that cannot be sent to does not take the packet from the others.
	f.sent()
	f.ma.all = true
	f.a.refuse = DropNoRoute
	f.r.Input(t0, udp(onLAN, group, 64, 12), ipv6.Meta{Port: 2})
	if f.llan.Drops()["no_route"] != 1 {
		t.Errorf("drops %v, want the port's reason", f.llan.Drops())
	}
	f.check(t)
}

// TestMulticastLoop carries a packet round: another router on the LAN and on the same
// mesh has forwarded it too.
func TestMulticastLoop(t *testing.T) {
	for _, c := range []struct {
		name  string
		port  int
		hops  uint8
		after time.Duration
		dup   bool
	}{
		{"by another port", 3, 63, time.Second, true},
		{"with fewer hops left", 2, 62, time.Second, true},
		{"the sender's own repetition", 2, 64, time.Second, false},
		{"by another port, long after", 3, 63, time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{})
			f.ma.want[group] = nil
			src := adr("2001:db8:2::1") // rightful by both ports
			f.r.Input(t0, udp(src, group, 64, 10), ipv6.Meta{Port: 2})
			if got := f.sent(); got != [4]int{1, 0, 0, 0} {
				t.Fatalf("first: sent %v", got)
			}
			f.r.Input(t0.Add(c.after), udp(src, group, c.hops, 10), ipv6.Meta{Port: c.port})
			want, drops := 1, uint64(0)
			if c.dup {
				want, drops = 0, 1
			}
			if got := f.sent(); got[0] != want {
				t.Errorf("again: sent %v, want %d", got, want)
			}
			if got := f.r.Links()[c.port].Drops()["multicast_duplicate"]; got != drops {
				t.Errorf("%d duplicates counted, want %d", got, drops)
			}
			f.check(t)
		})
	}
}

func TestMulticastRate(t *testing.T) {
	f := newLANFixture(Config{})
	f.ma.want[group] = nil
	for i := range 100 {
		f.r.Input(t0, udp(onLAN, group, 64, i), ipv6.Meta{Port: 2})
	}
	if got := f.sent()[0]; got != defaultMulticastBurst {
		t.Errorf("%d packets at once, want %d", got, defaultMulticastBurst)
	}
	if got := f.llan.Drops()["multicast_rate"]; got != 100-defaultMulticastBurst {
		t.Errorf("%d counted", got)
	}
	f.r.Input(t0.Add(time.Second), udp(onLAN, group, 64, 101), ipv6.Meta{Port: 2})
	if got := f.sent()[0]; got != 1 {
		t.Error("nothing after a second")
	}
	f.check(t)
}

func TestMLDGoesToTheMachine(t *testing.T) {
	f := newLANFixture(Config{})
	report := ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPMLDReport, 0, 0, group.AsSlice(), adr("fe80::9"), group, 1))
	f.r.Input(t0, report, ipv6.Meta{Port: 2})
	f.ml.refuse = ipv6.DropICMP
	f.r.Input(t0, report, ipv6.Meta{Port: 2})
	bad := append(ipv6.Packet(nil), report...)
	bad[len(bad)-1] ^= 1
	f.r.Input(t0, bad, ipv6.Meta{Port: 2})
	if f.ml.mld != 2 {
		t.Errorf("%d messages reached the machine, want 2", f.ml.mld)
	}
	if d := f.llan.Drops(); d[ipv6.DropICMP.Error()] != 1 || d[ipv6.DropChecksum.Error()] != 1 {
		t.Errorf("drops %v", d)
	}
	f.check(t)
}

func TestLANIngress(t *testing.T) {
	for _, c := range []struct {
		name string
		dst  netip.Addr
		src  netip.Addr
		want [4]int
		drop error
	}{
		{"to the mesh", inA, onLAN, [4]int{1, 0, 0, 0}, nil},
		{"to ourselves", adr("2001:db8:1::1"), onLAN, [4]int{0, 0, 0, 1}, nil},
		{"through us", adr("2001:db8:1::77"), onLAN, [4]int{0, 0, 1, 0}, DropTransit}, // the error message
		{"mesh address as source", inA, inB, [4]int{}, DropIngress},
		{"our address as source", inA, adr("2001:db8:1::1"), [4]int{}, DropIngress},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{})
			f.r.Input(t0, udp(c.src, c.dst, 64, 10), ipv6.Meta{Port: 2})
			if got := f.sent(); got != c.want {
				t.Errorf("sent %v, want %v", got, c.want)
			}
			if c.drop != nil && f.llan.Drops()[c.drop.Error()] != 1 {
				t.Errorf("drops %v, want %v", f.llan.Drops(), c.drop)
			}
			f.check(t)
		})
	}
}

// TestProxiedNodes has nodes of the mesh use addresses of the LAN's prefix.
func TestProxiedNodes(t *testing.T) {
	f := newLANFixture(Config{})
	node := adr("2001:db8:1::aaaa")
	f.la.Neighbors().(*table).known[node] = llA
	f.r.Input(t0, udp(node, onLAN, 64, 10), ipv6.Meta{Port: 0})
	if f.la.Drops()["ingress_filter"] != 1 {
		t.Errorf("drops %v: the node is not proxied yet", f.la.Drops())
	}
	f.r.SetProxied(true)
	f.r.FIB().Add(Route{Prefix: netip.PrefixFrom(node, 128), Port: 0, Kind: RouteHost})
	f.r.Input(t0, udp(node, onLAN, 64, 10), ipv6.Meta{Port: 0})
	f.r.Input(t0, udp(onLAN, node, 64, 10), ipv6.Meta{Port: 2})
	if got := f.sent(); got != [4]int{1, 0, 1, 0} {
		t.Errorf("sent %v, want one each way", got)
	}
	f.r.Input(t0, udp(node, inB, 64, 10), ipv6.Meta{Port: 2}) // somebody on the LAN says to be the node
	if f.llan.Drops()["ingress_filter"] != 1 {
		t.Errorf("drops %v", f.llan.Drops())
	}
	// Whose address it is the LAN may dispute, and hosts probe the node at its own address.
	before := f.llan.Stats().Consumed
	claim := ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPNeighborAdvertisement, 0, 0, append(make([]byte, 4), node.AsSlice()...), node, adr("ff02::1"), 255))
	probe := ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPNeighborSolicitation, 0, 0, append(make([]byte, 4), node.AsSlice()...), onLAN, node, 255))
	f.r.Input(t0, claim, ipv6.Meta{Port: 2})
	f.r.Input(t0, probe, ipv6.Meta{Port: 2})
	if n := f.llan.Stats().Consumed - before; n != 2 {
		t.Errorf("%d messages of neighbor discovery consumed, want 2; drops %v", n, f.llan.Drops())
	}
	// Forwarded it would be of no use.
	f.r.Input(t0, probe, ipv6.Meta{Port: 3})
	if n := f.lho.Drops()[DropScope.Error()]; n != 1 {
		t.Errorf("drops of the host port %v, want one %v", f.lho.Drops(), DropScope)
	}
	f.check(t)
}

func TestRules(t *testing.T) {
	tcp := func(src, dst netip.Addr, sport, dport uint16) ipv6.Packet {
		b := ipv6.AppendHeader(nil, 0, 0, 20, ipv6.ProtoTCP, 64, src, dst)
		b = binary.BigEndian.AppendUint16(b, sport)
		b = binary.BigEndian.AppendUint16(b, dport)
		return append(b, make([]byte, 16)...)
	}
	// wrap puts an extension header with an option that we do not know before the payload.
	wrap := func(p ipv6.Packet, n int) ipv6.Packet {
		for range n {
			q := ipv6.AppendHeader(nil, 0, 0, 8+p.PayloadLen(), ipv6.ProtoDstOpts, 64, p.Src(), p.Dst())
			q = append(q, p.NextHeader(), 0, 0x9e, 4, 1, 2, 3, 4)
			p = append(q, p.Payload()...)
		}
		return p
	}
	frag := func(p ipv6.Packet, off uint16) ipv6.Packet {
		q := ipv6.AppendHeader(nil, 0, 0, 8+p.PayloadLen(), ipv6.ProtoFragment, 64, p.Src(), p.Dst())
		q = append(q, p.NextHeader(), 0, byte(off>>8), byte(off)|1, 0, 0, 0, 1)
		return append(q, p.Payload()...)
	}
	// behind puts a header of 8 bytes with nothing in it before the payload.
	behind := func(next uint8, p ipv6.Packet) ipv6.Packet {
		q := ipv6.AppendHeader(nil, 0, 0, 8+p.PayloadLen(), next, 64, p.Src(), p.Dst())
		q = append(q, p.NextHeader(), 0, 1, 4, 0, 0, 0, 0)
		return append(q, p.Payload()...)
	}
	telnet := Rule{Name: "telnet", In: []string{"lan"}, Protocol: ipv6.ProtoTCP, DstPorts: []PortRange{{22, 23}}, Action: Discard}
	for _, c := range []struct {
		name      string
		rules     []Rule
		otherwise Action
		port      int
		p         ipv6.Packet
		pass      bool
		icmp      bool
	}{
		{"no rules", nil, Accept, 2, udp(onLAN, inA, 64, 1), true, false},
		{"none, drop", nil, Discard, 2, udp(onLAN, inA, 64, 1), false, false},
		{"none, reject", nil, Reject, 2, udp(onLAN, inA, 64, 1), false, true},
		{"port number", []Rule{telnet}, Accept, 2, tcp(onLAN, inA, 1, 23), false, false},
		{"port number, low end", []Rule{telnet}, Accept, 2, tcp(onLAN, inA, 1, 22), false, false},
		{"another port number", []Rule{telnet}, Accept, 2, tcp(onLAN, inA, 1, 24), true, false},
		{"source port number", []Rule{{Protocol: ipv6.ProtoTCP, SrcPorts: []PortRange{{7, 7}}, Action: Discard}}, Accept, 2, tcp(onLAN, inA, 7, 24), false, false},
		{"other protocol", []Rule{telnet}, Accept, 2, udp(onLAN, inA, 64, 1), true, false},
		{"other input port", []Rule{telnet}, Accept, 0, tcp(inA, inB, 1, 23), true, false},
		{"by name of the port", []Rule{{In: []string{"zep0"}, Action: Discard}}, Accept, 0, tcp(inA, inB, 1, 23), false, false},
		{"by output port", []Rule{{Out: []string{"zep1"}, Action: Discard}}, Accept, 0, tcp(inA, inB, 1, 23), false, false},
		{"other output port", []Rule{{Out: []string{"lan", "host"}, Action: Discard}}, Accept, 0, tcp(inA, inB, 1, 23), true, false},
		{"source", []Rule{{Src: []netip.Prefix{lanPfx}, Action: Discard}}, Accept, 2, udp(onLAN, inA, 64, 1), false, false},
		{"one of two destinations", []Rule{{Dst: []netip.Prefix{lanPfx, meshAPfx}, Action: Discard}}, Accept, 2, udp(onLAN, inA, 64, 1), false, false},
		{"other destination", []Rule{{Dst: []netip.Prefix{meshBPfx}, Action: Discard}}, Accept, 2, udp(onLAN, inA, 64, 1), true, false},
		{"first match", []Rule{{Dst: []netip.Prefix{meshAPfx}}, {Action: Discard}}, Discard, 2, udp(onLAN, inA, 64, 1), true, false},
		{"ICMPv6 type", []Rule{{Protocol: ipv6.ProtoICMPv6, ICMP: []uint8{128}, Action: Reject}}, Accept, 2, echoRequest(onLAN, inA, 4), false, true},
		{"other ICMPv6 type", []Rule{{Protocol: ipv6.ProtoICMPv6, ICMP: []uint8{129}, Action: Reject}}, Accept, 2, echoRequest(onLAN, inA, 4), true, false},
		{"behind options", []Rule{telnet}, Accept, 2, wrap(tcp(onLAN, inA, 1, 23), 3), false, false},
		{"behind too many options", []Rule{telnet}, Accept, 2, wrap(tcp(onLAN, inA, 1, 80), 9), false, false},
		{"first fragment", []Rule{telnet}, Accept, 2, frag(tcp(onLAN, inA, 1, 23), 0), false, false},
		{"later fragment", []Rule{telnet}, Accept, 2, frag(tcp(onLAN, inA, 1, 23), 80), true, false},
		{"later fragment by protocol", []Rule{{Protocol: ipv6.ProtoTCP, Action: Discard}}, Accept, 2, frag(tcp(onLAN, inA, 1, 23), 80), false, false},
		{"behind HIP", []Rule{telnet}, Accept, 2, behind(139, tcp(onLAN, inA, 1, 23)), false, false},
		{"behind Shim6", []Rule{telnet}, Accept, 2, behind(140, tcp(onLAN, inA, 1, 23)), false, false},
		{"behind a mobility header", []Rule{telnet}, Accept, 2, behind(ipv6.ProtoMobility, tcp(onLAN, inA, 1, 23)), false, false},
		{"behind AH", []Rule{telnet}, Accept, 2, behind(ipv6.ProtoAH, tcp(onLAN, inA, 1, 23)), false, false},
		{"behind a hop-by-hop header", []Rule{telnet}, Accept, 2, behind(ipv6.ProtoHopByHop, tcp(onLAN, inA, 1, 23)), false, false},
		{"jumbogram", []Rule{telnet}, Accept, 2, ipv6.AppendHeader(nil, 0, 0, 0, ipv6.ProtoHopByHop, 64, onLAN, inA), false, false},
		{"ESP", []Rule{telnet}, Accept, 2, behind(50, tcp(onLAN, inA, 1, 23)), true, false},
		{"first fragment without the header", []Rule{telnet}, Accept, 2, frag(tcp(onLAN, inA, 1, 23), 0)[:ipv6.HeaderLen+8+2], false, false},
		{"to ourselves", []Rule{{Out: []string{"host"}, Action: Discard}}, Accept, 2, udp(onLAN, adr("2001:db8:1::1"), 64, 1), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{})
			if err := f.r.SetRules(c.rules, c.otherwise); err != nil {
				t.Fatal(err)
			}
			l := f.r.Links()[c.port]
			c.p[4], c.p[5] = byte(c.p.PayloadLen()>>8), byte(c.p.PayloadLen())
			f.r.Input(t0, parseOnly(t, c.p), ipv6.Meta{Port: c.port})
			s := l.Stats()
			if passed := s.Forwarded+s.Delivered == 1; passed != c.pass {
				t.Errorf("passed %v, want %v: %v", passed, c.pass, l.Drops())
			}
			if !c.pass && l.Drops()["filtered"] != 1 {
				t.Errorf("drops %v", l.Drops())
			}
			if sent, _ := f.r.ICMPErrors(); sent == 1 != c.icmp {
				t.Errorf("%d errors sent", sent)
			}
			list, unmatched := f.r.Rules()
			n := unmatched
			for _, rule := range list {
				n += rule.Packets
			}
			if n != 1 && len(list) > 0 {
				t.Errorf("%d packets counted by the rules", n)
			}
			f.check(t)
		})
	}
}

func parseOnly(t *testing.T, p ipv6.Packet) ipv6.Packet {
	t.Helper()
	q, err := ipv6.Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSetRulesErrors(t *testing.T) {
	r := New(Config{})
	for _, c := range []struct {
		name  string
		rules []Rule
		err   string
	}{
		{"ports of nothing", []Rule{{DstPorts: []PortRange{{1, 2}}}}, "filter rule 1: port numbers need protocol tcp or udp"},
		{"types of nothing", []Rule{{}, {Name: "x", ICMP: []uint8{1}}}, "filter rule x: ICMPv6 types need protocol icmpv6"},
		{"empty range", []Rule{{Protocol: ipv6.ProtoUDP, DstPorts: []PortRange{{2, 1}}}}, "filter rule 1: port range 2-1 is empty"},
		{"IPv4", []Rule{{Src: []netip.Prefix{pfx("10.0.0.0/8")}}}, "filter rule 1: 10.0.0.0/8 is not an IPv6 prefix"},
		{"too many", make([]Rule, MaxRules+1), "1025 filter rules: at most 1024 are possible"},
	} {
		if err := r.SetRules(c.rules, Accept); err == nil || err.Error() != c.err {
			t.Errorf("%s: error %v, want %s", c.name, err, c.err)
		}
	}
}

func TestClampMSS(t *testing.T) {
	between := func(src, dst netip.Addr, flags byte, options ...byte) ipv6.Packet {
		for len(options)%4 != 0 {
			options = append(options, 0)
		}
		h := append([]byte{0x13, 0x88, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, byte(5+len(options)/4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0}, options...)
		b := ipv6.AppendHeader(nil, 0, 0, len(h), ipv6.ProtoTCP, 64, src, dst)
		b = append(b, h...)
		binary.BigEndian.PutUint16(b[ipv6.HeaderLen+16:], ipv6.Checksum(src.As16(), dst.As16(), ipv6.ProtoTCP, b[ipv6.HeaderLen:]))
		return b
	}
	syn := func(flags byte, options ...byte) ipv6.Packet { return between(onLAN, inA, flags, options...) }
	for _, c := range []struct {
		name    string
		p       ipv6.Packet
		changed bool
	}{
		{"Ethernet MSS", syn(0x02, 2, 4, 0x05, 0xa0), true},
		{"SYN ACK", syn(0x12, 2, 4, 0x05, 0xa0), true},
		{"at an odd offset", syn(0x02, 1, 2, 4, 0x05, 0xa0), true},
		{"small already", syn(0x02, 2, 4, 0x04, 0xc4), false},
		{"no option", syn(0x02), false},
		{"no SYN", syn(0x10, 2, 4, 0x05, 0xa0), false},
		{"behind the end", syn(0x02, 0, 2, 4, 0x05, 0xa0), false},
		{"cut off", syn(0x02, 1, 1, 1, 2), false},
		{"length 0", syn(0x02, 3, 0, 2, 4), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLANFixture(Config{ClampMSS: true})
			f.r.Input(t0, c.p, ipv6.Meta{Port: 2})
			q := f.a.take(t)
			if err := ipv6.CheckTransport(q); err != nil {
				t.Errorf("checksum: %v", err)
			}
			if got := f.r.Clamped() == 1; got != c.changed {
				t.Fatalf("changed %v, want %v", got, c.changed)
			}
			if !c.changed {
				return
			}
			for i := ipv6.HeaderLen + 20; i < len(q); i++ {
				if q[i] == 2 && q[i+1] == 4 {
					if mss := binary.BigEndian.Uint16(q[i+2:]); mss != 1220 {
						t.Errorf("MSS %d, want 1220", mss)
					}
					break
				}
			}
		})
	}
	// What comes from the mesh tells the host how much the mesh takes.
	f := newLANFixture(Config{ClampMSS: true})
	f.r.Input(t0, between(inA, onLAN, 0x12, 2, 4, 0x05, 0xa0), ipv6.Meta{Port: 0})
	if q := f.lan.take(t); binary.BigEndian.Uint16(q[ipv6.HeaderLen+22:]) != 1220 || ipv6.CheckTransport(q) != nil {
		t.Errorf("from the mesh: %x", []byte(q))
	}
	f = newLANFixture(Config{})
	f.r.Input(t0, syn(0x02, 2, 4, 0x05, 0xa0), ipv6.Meta{Port: 2})
	if q := f.a.take(t); q[ipv6.HeaderLen+22] != 0x05 {
		t.Error("changed without the option")
	}
}

func TestHandleUDP(t *testing.T) {
	f := newLANFixture(Config{})
	type datagram struct {
		link     string
		src, dst netip.AddrPort
		n        int
	}
	var got []datagram
	f.r.HandleUDP(547, func(_ time.Time, l *Link, src, dst netip.AddrPort, b []byte) error {
		if len(b) == 0 {
			return ipv6.DropTruncated
		}
		got = append(got, datagram{l.Name(), src, dst, len(b)})
		return nil
	})
	f.la.ListenGroup(ipv6.AllDHCPServers)
	client := netip.MustParseAddrPort("[fe80::a]:546")
	send := func(port int, dst netip.Addr, n int) {
		p := ipv6.AppendUDP(nil, client, netip.AddrPortFrom(dst, 547), 64, make([]byte, n))
		f.r.Input(t0, p, ipv6.Meta{Port: port})
	}
	send(0, ipv6.AllDHCPServers, 10)
	send(1, ipv6.AllDHCPServers, 10) // nobody listens on that link
	send(0, adr("fe80::a1"), 11)     // to our link-local address
	send(0, adr("fe80::a1"), 0)
	want := []datagram{{"zep0", client, netip.AddrPortFrom(ipv6.AllDHCPServers, 547), 10}, {"zep0", client, netip.AddrPortFrom(adr("fe80::a1"), 547), 11}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := f.la.Drops(); d[ipv6.DropTruncated.Error()] != 1 {
		t.Errorf("drops %v: the handler's reason is missing", d)
	}
	if d := f.lb.Drops(); d["multicast_not_member"] != 1 {
		t.Errorf("drops %v", d)
	}
	f.la.LeaveGroup(ipv6.AllDHCPServers)
	send(0, ipv6.AllDHCPServers, 10)
	f.r.HandleUDP(547, nil)
	send(0, adr("fe80::a1"), 11)
	if len(got) != 2 {
		t.Error("handled after its end")
	}
	f.check(t)

	// Sending: our link-local address by default, in fragments what is too long.
	f.sent()
	f.la.Neighbors().(*table).known[adr("fe80::a")] = llA
	if err := f.la.SendUDP(t0, netip.Addr{}, 547, client, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	if p := parse(t, f.a.take(t)); p.Src() != adr("fe80::a1") {
		t.Errorf("sent from %v", p.Src())
	}
	if err := f.la.SendUDP(t0, netip.Addr{}, 547, client, make([]byte, 1400)); err != nil {
		t.Fatal(err)
	}
	if got := f.sent(); got[0] != 2 {
		t.Errorf("%d packets, want two fragments", got[0])
	}
}

// redirecting is a table that is told of shorter ways.
type redirecting struct {
	table
	hop []netip.Addr
}

func (r *redirecting) Redirect(_ time.Time, _ ipv6.Packet, _ ipv6.Meta, hop netip.Addr) error {
	r.hop = append(r.hop, hop)
	return nil
}

// An Ethernet link's neighbor discovery is what a port needs.
var (
	_ Neighbors  = (*nd.LAN)(nil)
	_ redirector = (*nd.LAN)(nil)
)

func TestRedirect(t *testing.T) {
	r := New(Config{})
	lan := &wire{name: "eth0", mtu: 1500}
	nb := &redirecting{table: table{known: map[netip.Addr]ipv6.LinkAddr{adr("fe80::99"): llA}}}
	l := r.AddPort(PortConfig{Port: lan, Kind: LAN, LinkLocal: []netip.Addr{adr("fe80::1")}, Prefixes: []netip.Prefix{lanPfx}})
	l.SetNeighbors(nb)
	r.FIB().Add(Route{Prefix: pfx("::/0"), Port: 0, NextHop: adr("fe80::99"), Kind: RouteDefault})
	r.Input(t0, udp(onLAN, lanHost, 64, 1), ipv6.Meta{Port: 0})
	if len(lan.sent) != 1 || !slices.Equal(nb.hop, []netip.Addr{adr("fe80::99")}) {
		t.Errorf("%d sent, redirects to %v", len(lan.sent), nb.hop)
	}
	checkLink(t, l)
}

func TestMulticastAllocs(t *testing.T) {
	f := newLANFixture(Config{})
	f.a.quiet, f.lan.quiet = true, true
	f.ma.want[group], f.ma.all = []ipv6.LinkAddr{llA, llB}, true
	f.la.mcBucket = ipv6.TokenBucket{}
	if err := f.r.SetRules([]Rule{{Protocol: ipv6.ProtoTCP, DstPorts: []PortRange{{1, 2}}, Action: Discard}}, Accept); err != nil {
		t.Fatal(err)
	}
	p := udp(onLAN, group, 64, 100)
	if n := testing.AllocsPerRun(1000, func() { f.r.Input(t0, p, ipv6.Meta{Port: 2}) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if f.a.n < 2000 {
		t.Fatalf("%d sent", f.a.n)
	}
}

func BenchmarkMulticast(b *testing.B) {
	f := newLANFixture(Config{})
	f.a.quiet = true
	f.ma.want[group] = nil
	f.la.mcBucket = ipv6.TokenBucket{}
	p := udp(onLAN, group, 64, 100)
	b.ReportAllocs()
	for b.Loop() {
		f.r.Input(t0, p, ipv6.Meta{Port: 2})
	}
}

func BenchmarkRules(b *testing.B) {
	for _, n := range []int{0, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newLANFixture(Config{})
			f.a.quiet = true
			rules := make([]Rule, n)
			for i := range rules {
				rules[i] = Rule{In: []string{"lan"}, Protocol: ipv6.ProtoTCP, DstPorts: []PortRange{{uint16(i), uint16(i)}}, Action: Discard}
			}
			if err := f.r.SetRules(rules, Accept); err != nil {
				b.Fatal(err)
			}
			p := udp(onLAN, inA, 64, 100)
			b.ReportAllocs()
			for b.Loop() {
				p.SetHopLimit(64)
				f.r.Input(t0, p, ipv6.Meta{Port: 2})
			}
		})
	}
}

// secondary is a mesh that another router serves.
type secondary struct{ members }

func (*secondary) Designated() bool { return false }

// TestMulticastNotDesignated: what comes from a mesh that another router serves is left to
// that one, and given to our own services.
func TestMulticastNotDesignated(t *testing.T) {
	for _, joined := range []bool{false, true} {
		f := newLANFixture(Config{})
		f.la.SetMulticast(&secondary{members{want: map[netip.Addr][]ipv6.LinkAddr{}}})
		f.mb.want[group], f.ml.want[group] = []ipv6.LinkAddr{llB}, []ipv6.LinkAddr{llB}
		want := [4]int{}
		if joined {
			f.r.JoinGroup(group)
			want[3] = 1
		}
		f.la.Deliver(t0, udp(inA, group, 64, 50), ipv6.Meta{})
		if got := f.sent(); got != want {
			t.Errorf("joined %v: sent %v, want %v", joined, got, want)
		}
		if n := f.la.Drops()[DropNotDesignated.Error()]; n == 1 == joined {
			t.Errorf("joined %v: %v", joined, f.la.Drops())
		}
		f.check(t)
	}
}

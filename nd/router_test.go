package nd

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

func unhex(t testing.TB, s string) ipv6.Packet {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ipv6.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	// the checksum is made right, so that rows need not carry it
	if m := icmp(p); len(m) >= 4 {
		m[2], m[3] = 0, 0
		c := ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoICMPv6, m)
		m[2], m[3] = byte(c>>8), byte(c)
	}
	return p
}

// What RIOT sends when it joins, its EUI-64 being 02:00:00:00:00:01:00:07.
const (
	riotLL = "fe80000000000000000000000001 0007"
	riotRS = `6000000000 18 3a ff fe800000000000000000000000010007 ff020000000000000000000000000002
		8500 0000 00000000 0102 0200000000010007 000000000000`
	riotNS = `6000000000 38 3a ff fd000001000000000000000000010007 fe800000000000000000000000000001
		8700 0000 00000000 fe800000000000000000000000000001
		0102 0200000000010007 000000000000
		2102 00 00 0000 000f 0200000000010007`
)

var riot = ipv6.Meta{LinkSrc: ipv6.EUI64(0x0200_0000_0001_0007), RSSI: -60, LQI: 180}

func TestRIOTJoins(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, ABROVersion: 7, Contexts: []ContextOption{{ID: 0, Prefix: mesh, Compress: true, Lifetime: hour}}})
	if err := w.r.HandlePacket(w.now, unhex(t, riotRS), riot); err != nil {
		t.Fatal(err)
	}
	want := `6000000000 78 3a ff fe800000000000000000000000000001 fe800000000000000000000000010007
		8600 0000 40 00 0708 00000000 00000000
		0102 0200000000000001 000000000000
		0304 40 40 00015180 0000a8c0 00000000 fd000001000000000000000000000000
		2202 40 10 0000 003c fd00000100000000
		2303 0007 0000 0000 fd000001000000000000000000000001
		0501 0000 00000500
		2401 003a 00000000`
	expect(t, w, want, riot.LinkSrc)
	if err := w.r.HandlePacket(w.now.Add(3*time.Millisecond), unhex(t, riotNS), riot); err != nil {
		t.Fatal(err)
	}
	want = `6000000000 28 3a ff fe800000000000000000000000000001 fd000001000000000000000000010007
		8800 0000 c0000000 fe800000000000000000000000000001
		2102 00 00 0000 000f 0200000000010007`
	expect(t, w, want, riot.LinkSrc)
	rec, ok := w.r.Record(netip.MustParseAddr("fd00:1::1:7"))
	if !ok || rec.LinkAddr != riot.LinkSrc || rec.Expires != w.now.Add(15*minute+3*time.Millisecond) {
		t.Errorf("record %+v", rec)
	}
	// its probe of the router, 5 s later
	nud := unhex(t, `6000000000 28 3a ff fd000001000000000000000000010007 fe800000000000000000000000000001
		8700 0000 00000000 fe800000000000000000000000000001 0102 0200000000010007 000000000000`)
	if err := w.r.HandlePacket(w.now.Add(5*second), nud, riot); err != nil {
		t.Fatal(err)
	}
	expect(t, w, `6000000000 28 3a ff fe800000000000000000000000000001 fd000001000000000000000000010007
		8800 0000 e0000000 fe800000000000000000000000000001 0202 0200000000000001 000000000000`, riot.LinkSrc)
	// it is known to register, so it never sees the L flag
	if err := w.r.HandlePacket(w.now.Add(6*second), unhex(t, riotRS), riot); err != nil {
		t.Fatal(err)
	}
	if n := prefixes(t, w.sent[0].p); len(n) != 1 || n[0].OnLink {
		t.Errorf("prefixes %+v", n)
	}
	w.check()
}

func expect(t *testing.T, w *world, want string, dst ipv6.LinkAddr) {
	t.Helper()
	if len(w.sent) != 1 {
		t.Fatalf("%d packets sent, want 1", len(w.sent))
	}
	if p := unhex(t, want); string(w.sent[0].p) != string(p) || w.sent[0].dst != dst {
		t.Errorf("sent to %v:\n%x, want\n%x", w.sent[0].dst, []byte(w.sent[0].p), []byte(p))
	}
	w.sent = nil
}

func prefixes(t *testing.T, p ipv6.Packet) (list []PrefixInfo) {
	t.Helper()
	m, err := CheckRouterAdvertisement(p)
	if err != nil {
		t.Fatal(err)
	}
	for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		if pio, ok := ParsePrefixInfo(o); ok {
			list = append(list, pio)
		}
	}
	return list
}

// ns builds a neighbor solicitation with the options given.
func ns(src, dst, target string, opts ...[]byte) ipv6.Packet {
	t := netip.MustParseAddr(target)
	b, _ := NeighborSolicitation{Target: t}.AppendBinary(begin(nil))
	for _, o := range opts {
		b = append(b, o...)
	}
	d := SolicitedNode(t)
	if dst != "" {
		d = netip.MustParseAddr(dst)
	}
	return finish(b, netip.MustParseAddr(src), d, hopLimit)
}

func sllao(v uint64) []byte { return AppendLinkAddr(nil, OptionSourceLinkAddr, ipv6.EUI64(v)) }

func aro(a Registration, owner ...byte) []byte {
	a.ROVR, _ = ROVRFrom(owner)
	b, _ := a.AppendBinary(nil)
	return b
}

func eui(v uint64) []byte { return ipv6.EUI64(v).Append(nil) }

// answer hands p to the router and returns the option and destination of the NA it sends.
func (w *world) answer(p ipv6.Packet, ll uint64) (Registration, netip.Addr, ipv6.LinkAddr) {
	w.t.Helper()
	w.sent = nil
	if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(ll)}); err != nil {
		w.t.Fatalf("not answered: %v", err)
	}
	if len(w.sent) != 1 {
		w.t.Fatalf("%d packets sent", len(w.sent))
	}
	m, err := CheckNeighborAdvertisement(w.sent[0].p)
	if err != nil {
		w.t.Fatal(err)
	}
	o, _ := m.Options.Find(OptionRegistration)
	a, ok := ParseRegistration(o)
	if !ok || !m.Router || !m.Solicited || m.Override {
		w.t.Fatalf("answer %+v, option %x", m, o.Data)
	}
	w.check()
	return a, w.sent[0].p.Dst(), w.sent[0].dst
}

func TestRegistration(t *testing.T) {
	const a, b = 0x0200_0000_0001_0001, 0x0200_0000_0001_0002
	w := newWorld(t, RouterConfig{Prefix: mesh, Limits: Limits{Registrations: 4, PerNode: 3}})
	earo := func(ll uint64, addr string, tid uint8, life uint16, owner ...byte) Status {
		t.Helper()
		r, dst, _ := w.answer(ns("fe80::"+ipv6.LinkLocal(ipv6.EUI64(ll)).String()[6:], "fe80::1", addr, sllao(ll), aro(Registration{T: true, TID: tid, Lifetime: life, Opaque: 9, Flags: 4}, owner...)), ll)
		if r.TID != tid || r.ROVR.Len() != len(owner) || !r.T || r.Opaque != 9 || r.Flags != 4 || dst != ipv6.LinkLocal(ipv6.EUI64(ll)) {
			t.Errorf("answer %+v to %v", r, dst)
		}
		return r.Status
	}
	legacy := func(ll uint64, addr string, life uint16, owner uint64) (Status, netip.Addr, ipv6.LinkAddr) {
		t.Helper()
		r, dst, to := w.answer(ns(addr, "fe80::1", "fe80::1", sllao(ll), aro(Registration{Lifetime: life}, eui(owner)...)), ll)
		return r.Status, dst, to
	}
	want := func(got, want Status) {
		t.Helper()
		if got != want {
			t.Errorf("status %v, want %v", got, want)
		}
	}
	rovr := make([]byte, 16)
	rovr[0] = 1

	s, _, _ := legacy(a, "fd00:1::a", 10, a)
	want(s, StatusSuccess)
	// another owner: refused, and told at the link-local address of its own EUI-64
	s, dst, to := legacy(b, "fd00:1::a", 10, b)
	want(s, StatusDuplicate)
	if dst != ipv6.LinkLocal(ipv6.EUI64(b)) || to != ipv6.EUI64(b) {
		t.Errorf("error sent to %v at %v", dst, to)
	}
	want(earo(b, "fd00:1::a", 240, 10, rovr...), StatusDuplicate)
	if s, _, _ = legacy(b, "fd00:1::a", 0, b); s != StatusDuplicate {
		t.Errorf("foreign registration ended: %v", s)
	}
	// the same owner elsewhere: it moved
	s, _, _ = legacy(b, "fd00:1::a", 10, a)
	want(s, StatusSuccess)
	if w.log.registered[netip.MustParseAddr("fd00:1::a")] != ipv6.EUI64(b) {
		t.Error("did not move")
	}
	s, _, _ = legacy(b, "fd00:1::a", 0, a)
	want(s, StatusSuccess)
	if w.r.Registered() != 0 || w.log.unregistered != 1 {
		t.Error("registration did not end")
	}
	s, _, _ = legacy(b, "fd00:1::a", 0, a)
	want(s, StatusSuccess) // ending twice is fine

	// RFC 8505
	want(earo(a, "fd00:1::b", 240, 10, rovr...), StatusSuccess)
	want(earo(a, "fd00:1::b", 240, 10, rovr...), StatusSuccess) // repeated
	want(earo(b, "fd00:1::b", 241, 10, rovr...), StatusSuccess) // moved
	want(earo(a, "fd00:1::b", 240, 10, rovr...), StatusMoved)   // stale
	want(earo(a, "fd00:1::b", 240, 0, rovr...), StatusMoved)    // its end as well
	want(earo(b, "fd00:1::b", 0, 10, rovr...), StatusSuccess)   // round the lollipop
	want(earo(b, "fe80::77", 240, 10, rovr...), StatusSuccess)  // link-local
	want(earo(b, "2001:db8::1", 240, 10, rovr...), StatusTopology)
	want(earo(b, "fd00:1::c", 240, 10, rovr...), StatusSuccess)
	want(earo(b, "fd00:1::d", 240, 10, rovr...), StatusTableFull) // three of one owner
	s, _, _ = legacy(a, "fd00:1::e", 10, a)
	want(s, StatusSuccess)
	s, _, _ = legacy(a, "fd00:1::f", 10, a)
	want(s, StatusTableFull)
	s, _, _ = legacy(a, "fd00:1::e", 10, a)
	want(s, StatusSuccess) // a refresh needs no room
	w.run(11 * minute)
	if w.r.Registered() != 0 || w.r.Stats().Expired == 0 || !w.r.Deadline().Equal(w.r.timers.Next()) {
		t.Errorf("%d registered after the lifetime", w.r.Registered())
	}
	// our own address
	w.r.SetAddrs([]netip.Addr{netip.MustParseAddr("fd00:1::1")})
	want(earo(b, "fd00:1::1", 240, 10, rovr...), StatusSuccess) // means its source: fe80::...2
	if _, ok := w.r.Record(ipv6.LinkLocal(ipv6.EUI64(b))); !ok {
		t.Error("the source was not registered")
	}
}

func TestTID(t *testing.T) {
	for _, c := range []struct {
		a, b uint8
		want int
	}{
		{5, 5, same}, {6, 5, newer}, {5, 6, older}, {0, 127, newer}, {127, 0, older}, {5, 100, unordered},
		{240, 5, newer}, {5, 240, older}, {255, 0, older}, {0, 255, newer}, {241, 240, newer}, {240, 241, older}, {130, 200, unordered},
	} {
		if got := compareTID(c.a, c.b); got != c.want {
			t.Errorf("compareTID(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestDAR(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{netip.MustParseAddr("fd00:1::1")}})
	dar := func(owner []byte, ext bool, tid uint8, life uint16) DuplicateAddress {
		t.Helper()
		w.sent = nil
		v, _ := ROVRFrom(owner)
		b, err := DuplicateAddress{Extended: ext, TID: tid, ROVR: v, Lifetime: life, Addr: netip.MustParseAddr("fd00:1::99")}.AppendBinary(begin(nil))
		if err != nil {
			t.Fatal(err)
		}
		p := finish(b, netip.MustParseAddr("fd00:1::6"), netip.MustParseAddr("fd00:1::1"), 61)
		if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(6)}); err != nil {
			t.Fatal(err)
		}
		m, err := ParseDuplicateAddress(icmp(w.sent[0].p))
		if err != nil || !m.Confirm || m.Extended != ext || m.TID != tid || w.sent[0].dst != ipv6.EUI64(6) || w.sent[0].p.HopLimit() != multihopHopLimit {
			t.Fatalf("%+v %v", m, err)
		}
		return m
	}
	if s := dar(eui(1), false, 0, 5).Status; s != StatusSuccess {
		t.Error(s)
	}
	if s := dar(eui(2), false, 0, 5).Status; s != StatusDuplicate {
		t.Error(s)
	}
	if _, err := w.r.Resolve(w.now, netip.MustParseAddr("fd00:1::99"), ipv6.Packet{}, 0); err != DropUnreachable {
		t.Error(err)
	}
	if s := dar(eui(1), false, 0, 0).Status; s != StatusSuccess {
		t.Error(s)
	}
	if s := dar(make([]byte, 32), true, 3, 5).Status; s != StatusSuccess {
		t.Error(s)
	}
	w.check()
}

// The drops of the router, each with a packet that causes it.
func TestRouterDrops(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, Limits: Limits{Neighbors: 8, Incomplete: 1, Held: 4, Queue: 2}})
	w.r.HandlePacket(w.now, unhex(t, riotNS), riot)
	hop := func(p ipv6.Packet, h uint8) ipv6.Packet { p.SetHopLimit(h); return p }
	edit := func(p ipv6.Packet, f func(b []byte)) ipv6.Packet { f(icmp(p)); return p }
	na := func(m NeighborAdvertisement, src, dst string, opts ...byte) ipv6.Packet {
		b, _ := m.AppendBinary(begin(nil))
		return finish(append(b, opts...), netip.MustParseAddr(src), netip.MustParseAddr(dst), hopLimit)
	}
	rs := func(src string, opts ...byte) ipv6.Packet {
		b, _ := RouterSolicitation{}.AppendBinary(begin(nil))
		return finish(append(b, opts...), netip.MustParseAddr(src), allRouters, hopLimit)
	}
	raw := func(typ uint8, n int) ipv6.Packet {
		return finish(append(begin(nil), append([]byte{typ}, make([]byte, n-1)...)...), netip.MustParseAddr("fe80::2"), allNodes, hopLimit)
	}
	dar := func(m DuplicateAddress) ipv6.Packet {
		m.ROVR, _ = ROVRFrom(eui(1))
		b, _ := m.AppendBinary(begin(nil))
		return finish(b, netip.MustParseAddr("fd00:1::6"), netip.MustParseAddr("fe80::1"), 64)
	}
	node := netip.MustParseAddr("fd00:1::1:7")
	other := AppendLinkAddr(nil, OptionTargetLinkAddr, ipv6.EUI64(66))
	bad := aro(Registration{Lifetime: 1, Status: 1}, eui(1)...)
	good := aro(Registration{Lifetime: 1}, eui(1)...)
	redirect, _ := Redirect{Target: node, Destination: node}.AppendBinary(begin(nil))
	ra, _ := RouterAdvertisement{}.AppendBinary(begin(nil))
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		want Drop
	}{
		{"too short for a type", raw(133, 4), DropTruncated},
		{"short RS", raw(133, 7), DropTruncated},
		{"short RA", raw(134, 15), DropTruncated},
		{"short NS", raw(135, 23), DropTruncated},
		{"short NA", raw(136, 23), DropTruncated},
		{"short redirect", raw(137, 39), DropTruncated},
		{"short DAR", raw(157, 31), DropTruncated},
		{"RS hop limit", hop(rs("fe80::2"), 254), DropHopLimit},
		{"RA hop limit", finish(slices.Clone(ra), netip.MustParseAddr("fe80::2"), allNodes, 254), DropHopLimit},
		{"NS hop limit", hop(ns("fe80::2", "", "fe80::1"), 254), DropHopLimit},
		{"NA hop limit", hop(na(NeighborAdvertisement{Target: node}, "fe80::2", "ff02::1"), 254), DropHopLimit},
		{"redirect hop limit", finish(slices.Clone(redirect), netip.MustParseAddr("fe80::2"), allNodes, 1), DropHopLimit},
		{"RS code", edit(rs("fe80::2"), func(b []byte) { b[1] = 1 }), DropCode},
		{"DAR code", edit(dar(DuplicateAddress{Addr: node}), func(b []byte) { b[1] = 5 }), DropCode},
		{"echo", raw(128, 8), DropType},
		{"option of length 0", rs("fe80::2", 1, 0, 0, 0, 0, 0, 0, 0), DropOptions},
		{"option beyond the end", rs("fe80::2", 1, 2, 0, 0, 0, 0, 0, 0), DropOptions},
		{"RS from multicast", rs("ff02::1"), DropSource},
		{"RS from ourselves", rs("fe80::1"), DropSource},
		{"RA from a global address", finish(slices.Clone(ra), node, allNodes, 255), DropSource},
		{"NA from nobody", na(NeighborAdvertisement{Target: node}, "::", "ff02::1"), DropSource},
		{"DAD to unicast", ns("::", "fe80::1", "fe80::1"), DropDestination},
		{"solicited NA to multicast", na(NeighborAdvertisement{Target: node, Solicited: true}, "fe80::2", "ff02::1"), DropDestination},
		{"registration by multicast", ns("fd00:1::5", "", "fe80::1", sllao(5), good), DropDestination},
		{"NS for a group", ns("fe80::2", "ff02::1", "ff02::1"), DropTarget},
		{"NA for a group", na(NeighborAdvertisement{Target: allNodes}, "fe80::2", "ff02::1"), DropTarget},
		{"DAR for a group", dar(DuplicateAddress{Addr: allNodes}), DropTarget},
		{"RS from nobody with SLLAO", rs("::", sllao(5)...), DropSourceOption},
		{"DAD with SLLAO", ns("::", "", "fe80::1", sllao(5)), DropSourceOption},
		{"ARO with a status", ns("fd00:1::5", "fe80::1", "fe80::1", sllao(5), bad), DropRegistration},
		{"ARO of another length", ns("fd00:1::5", "fe80::1", "fe80::1", sllao(5), []byte{33, 1, 0, 0, 0, 0, 0, 1}), DropRegistration},
		{"DAR with a status", dar(DuplicateAddress{Addr: node, Status: 1}), DropRegistration},
		{"ARO for another prefix", ns("2001:db8::5", "fe80::1", "fe80::1", sllao(5), good), DropNotOnLink},
		{"NS from another prefix", ns("2001:db8::5", "", "fe80::1", sllao(5)), DropNotOnLink},
		{"RS from another prefix", rs("2001:db8::5", sllao(5)...), DropNotOnLink},
		{"DAR for a link-local address", dar(DuplicateAddress{Addr: netip.MustParseAddr("fe80::9")}), DropNotOnLink},
		{"NS for nobody", ns("fe80::2", "", "2001:db8::1234", sllao(5)), DropNotOurs},
		{"ARO for another router", ns("fd00:1::5", "fe80::1", "fe80::9", sllao(5), good), DropNotOurs},
		{"NA nobody asked for", na(NeighborAdvertisement{Target: netip.MustParseAddr("fd00:1::77")}, "fe80::2", "ff02::1", other...), DropUnsolicited},
		{"DAC nobody asked for", dar(DuplicateAddress{Addr: node, Confirm: true}), DropUnsolicited},
		{"NA for a registered address", na(NeighborAdvertisement{Target: node, Override: true}, "fe80::2", "ff02::1", other...), DropConflict},
		{"NA for our address", na(NeighborAdvertisement{Target: netip.MustParseAddr("fe80::1")}, "fe80::2", "ff02::1", other...), DropConflict},
		{"NS from a registered address", ns(node.String(), "", "fe80::1", sllao(5)), DropConflict},
		{"redirect", finish(slices.Clone(redirect), netip.MustParseAddr("fe80::2"), allNodes, 255), DropRedirect},
	} {
		if got := w.r.HandlePacket(w.now, c.p, ipv6.Meta{LinkSrc: ipv6.EUI64(0x99)}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		w.check()
	}
	for range int(raBurst) + 1 {
		if err := w.r.HandlePacket(w.now, unhex(t, riotRS), riot); err != nil && err != DropRateLimit {
			t.Error(err)
		}
	}
	if w.r.Stats().Dropped[DropRateLimit] == 0 {
		t.Error("no rate limit")
	}
	// resolution
	p := ns("fe80::1", "fd00:1::50", "fd00:1::50")
	resolve := func(a string) error {
		_, err := w.r.Resolve(w.now, netip.MustParseAddr(a), p, 3)
		w.check()
		return err
	}
	for _, c := range []struct {
		addr string
		want error
	}{{"2001:db8::1", DropNotOnLink}, {"fd00:1::", DropNotOnLink}, {"fd00:1::50", ipv6.ErrHeld}, {"fd00:1::51", DropResolveLimit}, {"fd00:1::50", ipv6.ErrHeld}, {"fd00:1::50", ipv6.ErrHeld}} {
		if err := resolve(c.addr); !errors.Is(err, c.want) {
			t.Errorf("resolve %s: %v, want %v", c.addr, err, c.want)
		}
	}
	if len(w.log.unresolved) != 1 || w.log.unresolved[0] != DropQueueFull {
		t.Errorf("unresolved: %v", w.log.unresolved)
	}
	w.run(4 * second)
	if err := resolve("fd00:1::50"); err != DropUnreachable || len(w.log.unresolved) != 3 || w.log.unresolved[2] != DropUnreachable {
		t.Errorf("%v, unresolved: %v", err, w.log.unresolved)
	}
	w.run(6 * second)
	if err := resolve("fd00:1::50"); err != ipv6.ErrHeld {
		t.Errorf("after the negative entry: %v", err)
	}
	for i := range 20 { // pushes the resolution out
		w.r.Heard(w.now, ipv6.WithIID(mesh, uint64(1000+i)), ipv6.Meta{LinkSrc: ipv6.EUI64(uint64(1000 + i))})
	}
	w.check()
	if l := w.log.unresolved; l[len(l)-1] != DropTableFull || w.r.Registered() != 1 {
		t.Errorf("unresolved: %v", l)
	}
	for d := Drop(0); d <= numDrops; d++ {
		if (d.Error() == "nd_unknown") != (d == 0 || d == numDrops) {
			t.Errorf("drop %d: %s", d, d)
		}
	}
}

func TestResolveFormed(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	for _, c := range []struct {
		addr string
		want ipv6.LinkAddr
	}{
		{"fe80::1:7", ipv6.EUI64(0x0200_0000_0001_0007)},
		{"fe80::ff:fe00:1234", ipv6.Short(0x1234)},
		{"ff02::1", ipv6.LinkAddr{}},
	} {
		if ll, err := w.r.Resolve(w.now, netip.MustParseAddr(c.addr), nil, 0); ll != c.want || err != nil {
			t.Errorf("%s: %v %v", c.addr, ll, err)
		}
	}
}

// The Linux kernel: short address with an IID of the old form, two SLLAOs, a nonce.
func TestLinux(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	src := "fe80::a9cd:ff:fe00:1"
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	if err := w.r.HandlePacket(w.now, ns("::", "", src, nonce), ipv6.Meta{LinkSrc: ipv6.Short(1)}); err != nil {
		t.Fatal(err)
	}
	short := AppendLinkAddr(nil, OptionSourceLinkAddr, ipv6.Short(1))
	if err := w.r.HandlePacket(w.now, ns(src, "", "fe80::1", short, sllao(0x42)), ipv6.Meta{LinkSrc: ipv6.Short(1)}); err != nil {
		t.Fatal(err)
	}
	if ll, err := w.r.Resolve(w.now, netip.MustParseAddr(src), nil, 0); ll != ipv6.EUI64(0x42) || err != nil {
		t.Errorf("%v %v", ll, err)
	}
	if len(w.sent) != 1 || w.sent[0].dst != ipv6.EUI64(0x42) {
		t.Errorf("sent %+v", w.sent)
	}
}

// lwIP's compressed "::", seen through context 0.
func TestRepairSource(t *testing.T) {
	b, _ := RouterSolicitation{}.AppendBinary(begin(nil))
	p := finish(b, unspecified, allRouters, hopLimit)
	a := mesh.Addr().As16()
	copy(p[8:24], a[:])
	if ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoICMPv6, icmp(p)) == 0 {
		t.Fatal("checksum holds")
	}
	w := newWorld(t, RouterConfig{Prefix: mesh})
	if err := w.r.HandlePacket(w.now, p, riot); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) != 1 || w.sent[0].p.Dst() != allNodes || w.sent[0].dst != riot.LinkSrc {
		t.Fatalf("sent %+v", w.sent)
	}
	if w.r.lookup(mesh.Addr()) != nil {
		t.Error("learnt the anycast address")
	}
	if !RepairSource(p) || !p.Src().IsUnspecified() || RepairSource(p) {
		t.Error("not repaired")
	}
	q := ns("fd00:1::", "", "fe80::5")
	if RepairSource(q) {
		t.Error("repaired a packet that is right")
	}
	if err := w.r.HandlePacket(w.now, q, riot); err != nil {
		t.Error(err)
	}
	w.check()
}

func TestMulticastRA(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh, PeriodicRA: true, OnLink: OnLinkAlways})
	w.run(hour)
	n := len(w.sent)
	if n < 6 || n > 25 {
		t.Errorf("%d RAs in an hour", n)
	}
	if l := prefixes(t, w.sent[0].p); len(l) != 2 || l[0].OnLink || !l[1].OnLink {
		t.Errorf("%+v", l)
	}
	w = newWorld(t, RouterConfig{Prefix: mesh})
	b, _ := RouterSolicitation{}.AppendBinary(begin(nil))
	for range 5 { // from a link without addresses: one answer for all
		if err := w.r.HandlePacket(w.now, finish(b, unspecified, allRouters, 255), ipv6.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	w.run(minute)
	if len(w.sent) != 1 || !w.r.Deadline().IsZero() {
		t.Errorf("%d RAs, next at %v", len(w.sent), w.r.Deadline())
	}
}

// TestMoved has a router start with another link-local address than before: nodes are told that
// the old one is no router, after they have heard of the new one, and where to find it.
func TestMoved(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	old := netip.MustParseAddr("fe80::5e10:0:0:99")
	w.r.Moved(old)
	w.run(hour)
	if len(w.sent) != 0 {
		t.Fatalf("%d sent though nothing is announced", len(w.sent))
	}
	w.r.Announce(w.now)
	w.run(hour)
	if len(w.sent) != 2*maxInitialRAs || !w.r.Deadline().IsZero() {
		t.Fatalf("%d in all, next at %v", len(w.sent), w.r.Deadline())
	}
	for i, s := range w.sent {
		m, err := CheckRouterAdvertisement(s.p)
		if err != nil || s.p.Dst() != allNodes || m.Options.LinkAddr(OptionSourceLinkAddr, 8) != w.r.cfg.LinkAddr {
			t.Errorf("number %d to %s, %v", i, s.p.Dst(), err)
		}
		if ceased := i%2 == 1; ceased != (s.p.Src() == old) || ceased != (m.RouterLifetime == 0) || !ceased && s.p.Src() != w.r.cfg.LinkLocal {
			t.Errorf("number %d from %s with the lifetime %d", i, s.p.Src(), m.RouterLifetime)
		}
	}
	w.r.Announce(w.now) // they have been told
	w.run(hour)
	if n := len(w.sent); n != 3*maxInitialRAs {
		t.Errorf("%d in all", n)
	}
	for _, a := range []netip.Addr{w.r.cfg.LinkLocal, mesh.Addr(), {}} {
		w.r.Moved(a)
		if w.r.former.IsValid() {
			t.Errorf("%s is taken for the address of before", a)
		}
	}
}

// TestAnnounce has a link go and come often: each burst of advertisements keeps the distance
// of RFC 4861 section 6.2.6, and ends.
func TestAnnounce(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	version := w.r.ABROVersion()
	w.r.Announce(w.now)
	w.run(0)
	if len(w.sent) != 1 || w.sent[0].p.Dst() != allNodes {
		t.Fatalf("%d sent at once, want one to all nodes", len(w.sent))
	}
	for range 10 {
		w.r.Announce(w.now)
		w.run(100 * time.Millisecond)
	}
	if len(w.sent) != 1 {
		t.Errorf("%d within a second", len(w.sent))
	}
	w.run(hour)
	if n := len(w.sent); n != 1+maxInitialRAs || !w.r.Deadline().IsZero() {
		t.Errorf("%d in all, next at %v", n, w.r.Deadline())
	}
	if w.r.ABROVersion() != version {
		t.Error("the ABRO version has grown, though nothing is new")
	}
}

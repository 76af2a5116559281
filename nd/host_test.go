package nd

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"border-router/ipv6"
)

// What a classic host sends when it starts, as lwIP does: an MLDv1 report and a
// solicitation for its address from "::", a router solicitation without SLLAO; later three
// in all, 4 s apart.
func TestClassicStart(t *testing.T) {
	w := newWorld(t, RouterConfig{})
	w.mute[routerLL] = true
	h := w.host(7, HostConfig{Classic: true})
	want := []string{
		`6000000000 20 00 01 00000000000000000000000000000000 ff0200000000000000000001ff010007
			3a00 05020000 0100 8300 0000 00000000 ff0200000000000000000001ff010007`,
		`6000000000 18 3a ff 00000000000000000000000000000000 ff0200000000000000000001ff010007
			8700 0000 00000000 fe800000000000000000000000010007`,
		`6000000000 08 3a ff 00000000000000000000000000000000 ff020000000000000000000000000002 8500 0000 00000000`,
	}
	for i, s := range want {
		if p := unhex(t, s); string(w.fromHos[i].p) != string(p) {
			t.Errorf("packet %d:\n%x, want\n%x", i, []byte(w.fromHos[i].p), []byte(p))
		}
	}
	w.fromHos = nil
	w.run(time.Hour)
	var times []time.Duration
	for _, f := range w.fromHos {
		if icmp(f.p)[0] == typeRouterSolicitation {
			times = append(times, f.at.Sub(epoch))
			if _, err := CheckRouterSolicitation(f.p); err != nil || string(f.p) != string(unhex(t, riotRS)) {
				t.Errorf("%x: %v", []byte(f.p), err)
			}
		}
	}
	if !slices.Equal(times, []time.Duration{4 * second, 8 * second}) {
		t.Errorf("router solicitations at %v", times)
	}
	// a query is answered once for each address
	w.fromHos = nil
	q := append([]byte{typeMLDQuery, 0, 0, 0, 0x03, 0xe8, 0, 0}, make([]byte, 16)...)
	if err := h.nd.HandlePacket(w.now, finish(append(begin(nil), q...), routerAddr, allNodes, 1), ipv6.Meta{}); err != nil {
		t.Fatal(err)
	}
	w.run(2 * second)
	if len(w.fromHos) != 1 || icmp(w.fromHos[0].p)[0] != typeMLDReport || w.fromHos[0].p.Src() != h.nd.LinkLocal() {
		t.Errorf("sent %+v", w.fromHos)
	}
}

func TestHostDrops(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(1, HostConfig{})
	w.run(5 * second)
	ra, _ := RouterAdvertisement{RouterLifetime: 100}.AppendBinary(begin(nil))
	good := aro(Registration{Lifetime: 5}, h.nd.rovr.Append(nil)...)
	na := func(m NeighborAdvertisement, src, dst netip.Addr, opts ...byte) ipv6.Packet {
		b, _ := m.AppendBinary(begin(nil))
		return finish(append(b, opts...), src, dst, hopLimit)
	}
	me := h.global()
	for _, c := range []struct {
		name string
		p    ipv6.Packet
		want Drop
	}{
		{"RA without SLLAO", finish(ra, routerAddr, allNodes, 255), DropSourceOption},
		{"NS for another", ns("fe80::1", "", "fe80::1234"), DropNotOurs},
		{"RS", ns("fe80::1", "", "fe80::1234")[:48], DropTruncated},
		{"registration nobody asked for", na(NeighborAdvertisement{Solicited: true, Target: routerAddr}, routerAddr, me, good...), DropUnsolicited},
		{"registration from another router", na(NeighborAdvertisement{Solicited: true, Target: routerAddr}, netip.MustParseAddr("fe80::9"), me, good...), DropUnsolicited},
		{"registration of another", na(NeighborAdvertisement{Solicited: true, Target: routerAddr}, routerAddr, me, aro(Registration{}, eui(5)...)...), DropRegistration},
		{"our address claimed", na(NeighborAdvertisement{Target: me}, routerAddr, allNodes, AppendLinkAddr(nil, OptionTargetLinkAddr, ipv6.EUI64(4))...), DropConflict},
		{"our own, looped back", na(NeighborAdvertisement{Target: me}, me, allNodes, AppendLinkAddr(nil, OptionTargetLinkAddr, h.ll)...), DropUnsolicited},
	} {
		if got := h.nd.HandlePacket(w.now, c.p, ipv6.Meta{LinkSrc: routerLL}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	h.nd.Stop(w.now)
	if err := h.nd.HandlePacket(w.now, ns("fe80::1", "", "fe80::1234"), ipv6.Meta{}); err != DropStopped {
		t.Error(err)
	}
	if _, err := h.nd.Resolve(w.now, me, nil, 0); err != DropStopped {
		t.Error(err)
	}
	h.nd.Start(w.now)
	w.run(5 * second)
	w.joined()
}

// Registration frames of an RFC 6775 host, as RIOT's.
func TestHostRegistrationForm(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(7, HostConfig{ARO: AROLegacy})
	w.run(5 * second)
	if string(w.fromHos[0].p) != string(unhex(t, riotRS)) || string(w.fromHos[1].p) != string(unhex(t, riotNS)) {
		t.Errorf("sent %x\n%x", []byte(w.fromHos[0].p), []byte(w.fromHos[1].p))
	}
	// renewed in time
	w.fromHos = nil
	w.run(12 * minute)
	if n := h.nd.Stats().Registrations; n != 2 {
		t.Errorf("%d registrations", n)
	}
	if h.nd.MTU() != 1280 || h.nd.HopLimit() != 64 || len(h.nd.Addrs()) != 2 {
		t.Errorf("%d %d %v", h.nd.MTU(), h.nd.HopLimit(), h.nd.Addrs())
	}
}

// A host whose counter fell behind registers again.
func TestHostMoved(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(7, HostConfig{})
	v := Record{Addr: h.global(), LinkAddr: h.ll, ROVR: h.nd.rovr, TID: 250, HasTID: true}
	w.r.register(w.now, v, Registration{Lifetime: 60}, ipv6.Meta{})
	w.run(minute)
	if s := h.nd.Stats(); s.Refused != 1 {
		t.Errorf("%d refused", s.Refused)
	}
	w.joined()
}

func TestROVRText(t *testing.T) {
	v, _ := ROVRFrom(eui(0x0102))
	b, err := json.Marshal(v)
	if err != nil || string(b) != `"0000000000000102"` {
		t.Fatalf("%s %v", b, err)
	}
	var w ROVR
	if err := json.Unmarshal(b, &w); err != nil || w != v {
		t.Error(w, err)
	}
	for _, s := range []string{`"01"`, `"zz"`} {
		if json.Unmarshal([]byte(s), &w) == nil {
			t.Errorf("%s accepted", s)
		}
	}
	if err := json.Unmarshal([]byte(`""`), &w); err != nil || w.Len() != 0 {
		t.Error(w, err)
	}
	if _, ok := ROVRFrom(make([]byte, 9)); ok {
		t.Error("9 bytes accepted")
	}
}

func TestLinkAddrOption(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want int
		addr ipv6.LinkAddr
	}{
		{"0102020000000001000700000000 0000", 8, ipv6.EUI64(0x0200_0000_0001_0007)},
		{"0101123400000000", 8, ipv6.Short(0x1234)},
		{"0101ffff00000000", 8, ipv6.LinkAddr{}},
		{"0101123456789abc", 8, ipv6.LinkAddr{}},
		{"0101123456789abc", 6, ipv6.EUI48([6]byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc})},
	} {
		p := unhex(t, "6000000000"+map[bool]string{true: "10", false: "08"}[len(c.hex) > 20]+"3b40"+"fe800000000000000000000000000001fe800000000000000000000000000001"+c.hex)
		o := first(t, p.Payload())
		a, ok := ParseLinkAddr(o, c.want)
		if a != c.addr || ok == c.addr.IsZero() {
			t.Errorf("%s: %v", c.hex, a)
		}
		if ok {
			if b := AppendLinkAddr(nil, OptionSourceLinkAddr, a); string(b) != string(p.Payload()) {
				t.Errorf("%s: appended %x", c.hex, b)
			}
		}
	}
}

package nd

import (
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// TestSeek: a node that does not register is found when somebody asks for it; for one that
// is not there nodes are asked as often as RFC 4861 says, and others are not asked for at
// all.
func TestSeek(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	h := w.host(7, HostConfig{Classic: true})
	w.run(3 * second)
	var addr netip.Addr
	for a := range h.addrs {
		if mesh.Contains(a) {
			addr = a
		}
	}
	if !addr.IsValid() {
		t.Fatalf("the host has %v", h.addrs)
	}
	w.r = NewRouter(RouterConfig{LinkAddr: routerLL, Prefix: mesh}, w, w.log) // restarted
	if w.r.Knows(addr) {
		t.Fatal("known already")
	}
	w.sent = nil
	w.r.Seek(w.now, addr)
	w.r.Seek(w.now, addr) // is under way
	if len(w.sent) != 1 || icmp(w.sent[0].p)[0] != typeNeighborSolicitation {
		t.Fatalf("sent %v", w.sent)
	}
	w.run(2 * second)
	if !w.r.Knows(addr) {
		t.Error("not found")
	}
	w.sent = nil
	w.r.Seek(w.now, addr)
	for _, a := range []string{"2001:db8::1", "fe80::1234", "fd00:1::"} {
		w.r.Seek(w.now, netip.MustParseAddr(a))
	}
	if len(w.sent) != 0 {
		t.Errorf("asked for %v", w.sent)
	}
	w.r.Seek(w.now, netip.MustParseAddr("fd00:1::dead"))
	w.run(minute)
	if n := count(w.sent, typeNeighborSolicitation); n != 3 || w.r.Knows(netip.MustParseAddr("fd00:1::dead")) {
		t.Errorf("%d solicitations for nobody", n)
	}
	// However many are asked for, half of the room for resolutions is left to others.
	w.sent = nil
	a := mesh.Addr().As16()
	for i := range 100 {
		a[15] = byte(i + 1)
		w.r.Seek(w.now, netip.AddrFrom16(a))
	}
	if n := count(w.sent, typeNeighborSolicitation); n != 8 {
		t.Errorf("%d asked for at once, want 8", n)
	}
	w.check()
}

func count(list []flight, typ uint8) (n int) {
	for _, f := range list {
		if icmp(f.p)[0] == typ {
			n++
		}
	}
	return n
}

// TestBeyond: a host of RFC 4861 that asks for an address of its prefix which is on another
// link is answered by us, to a group or at that address, unless a node has it.
func TestBeyond(t *testing.T) {
	const node, other = 0x0200_0000_0000_0007, 0x0200_0000_0000_0008
	away := netip.MustParseAddr("fd00:1::beef")
	w := newWorld(t, RouterConfig{Prefix: mesh, Beyond: func(a netip.Addr) bool { return a == away }})
	answered := func(dst, target string) (NeighborAdvertisement, ipv6.LinkAddr) {
		t.Helper()
		w.sent = nil
		_ = w.r.HandlePacket(w.now, ns("fd00:1::7", dst, target, sllao(node)), ipv6.Meta{LinkSrc: ipv6.EUI64(node)})
		for _, f := range w.sent {
			if icmp(f.p)[0] == typeNeighborAdvertisement {
				na, err := CheckNeighborAdvertisement(f.p)
				if err != nil {
					t.Fatal(err)
				}
				return na, na.Options.LinkAddr(OptionTargetLinkAddr, 8)
			}
		}
		return NeighborAdvertisement{}, ipv6.LinkAddr{}
	}
	for _, dst := range []string{"", away.String()} {
		if na, ll := answered(dst, away.String()); ll != routerLL || na.Override || !na.Solicited || na.Target != away {
			t.Errorf("to %q: %+v at %v", dst, na, ll)
		}
	}
	if _, ll := answered("", "fd00:1::f00d"); !ll.IsZero() {
		t.Error("answered for one that is nowhere")
	}
	// A node registers it: then the answer is the same, but it stands for the node.
	w.answer(ns("fd00:1::beef", "fe80::1", "fe80::1", sllao(other), aro(Registration{Lifetime: 10}, eui(other)...)), other)
	if _, ll := answered("", away.String()); ll != routerLL {
		t.Errorf("at %v", ll)
	}
	w.check()
}

// TestTaken: an address that a station on the other link has is refused; a node whose
// registration is ended for that gives the address up, and asks again later.
func TestTaken(t *testing.T) {
	var taken netip.Addr
	w := newWorld(t, RouterConfig{Prefix: mesh, Taken: func(a netip.Addr, _ ROVR) bool { return a == taken }})
	h := w.host(7, HostConfig{})
	w.run(3 * second)
	var addr netip.Addr
	for a := range h.addrs {
		if mesh.Contains(a) {
			addr = a
		}
	}
	if !addr.IsValid() {
		t.Fatalf("the host has %v", h.addrs)
	}
	taken = addr
	if !w.r.Revoke(w.now, addr, StatusDuplicate) {
		t.Fatal("it was not registered")
	}
	w.run(second)
	if h.addrs[addr] || h.nd.Stats().Refused != 1 {
		t.Errorf("the host has %v, %d refusals", h.addrs, h.nd.Stats().Refused)
	}
	w.run(15 * minute)
	if h.addrs[addr] || w.r.Stats().Refused == 0 {
		t.Errorf("after it asked again the host has %v, %d refusals", h.addrs, w.r.Stats().Refused)
	}
	taken = netip.Addr{}
	w.run(15 * minute)
	if !h.addrs[addr] {
		t.Error("the host does not have it although it is free")
	}
	w.check()
}

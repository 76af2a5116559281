package nd

import (
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// A node of lwIP whose application did not set NETIF_FLAG_MLD6 on its mesh interface hears
// no solicited-node group. It is found all the same.
func TestDeafToSolicitedNode(t *testing.T) {
	w := newWorld(t, RouterConfig{Prefix: mesh})
	deaf, other := ipv6.Meta{LinkSrc: ipv6.EUI64(0x77)}, ipv6.EUI64(0x78)
	a, b := netip.MustParseAddr("fd00:1::77"), netip.MustParseAddr("fd00:1::99")
	probe := ns("fe80::1", "", a.String())

	// By its duplicate address detection, the last that it sends by itself.
	if err := w.r.HandlePacket(w.now, ns("::", "", a.String()), deaf); err != nil {
		t.Fatal(err)
	}
	if ll, err := w.r.Resolve(w.now, a, probe, 1); ll != deaf.LinkSrc || err != nil {
		t.Errorf("after DAD: %v %v", ll, err)
	}
	// Nobody takes the address from it by claiming it after.
	if err := w.r.HandlePacket(w.now, ns("::", "", a.String()), ipv6.Meta{LinkSrc: other}); err != nil {
		t.Fatal(err)
	}
	if ll, _ := w.r.Resolve(w.now, a, probe, 1); ll != deaf.LinkSrc {
		t.Errorf("after the DAD of another: %v", ll)
	}
	// Others who ask for it are answered in its place, so that it may object.
	w.sent = nil
	if err := w.r.HandlePacket(w.now, ns(b.String(), "", a.String(), AppendLinkAddr(nil, OptionSourceLinkAddr, other)), ipv6.Meta{LinkSrc: other}); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) != 1 {
		t.Fatalf("%d packets sent", len(w.sent))
	}
	if m, err := CheckNeighborAdvertisement(w.sent[0].p); err != nil || m.Target != a || m.Override || m.Router || m.Options.LinkAddr(OptionTargetLinkAddr, 8) != routerLL {
		t.Errorf("%+v %v", m, err)
	}

	// Others may ask for one that the router does not know: it asks all nodes, and knows it
	// when they ask again.
	w.sent = nil
	d := netip.MustParseAddr("fd00:1::66")
	ask := func() {
		t.Helper()
		if err := w.r.HandlePacket(w.now, ns(b.String(), "", d.String(), AppendLinkAddr(nil, OptionSourceLinkAddr, other)), ipv6.Meta{LinkSrc: other}); err != nil {
			t.Fatal(err)
		}
		if len(w.sent) != 1 {
			t.Fatalf("%d packets sent", len(w.sent))
		}
	}
	ask()
	if m, err := CheckNeighborSolicitation(w.sent[0].p); err != nil || m.Target != d || w.sent[0].p.Dst() != allNodes {
		t.Errorf("%+v %v", m, err)
	}
	m, _ := NeighborAdvertisement{Solicited: true, Override: true, Target: d}.AppendBinary(begin(nil))
	na := finish(AppendLinkAddr(m, OptionTargetLinkAddr, deaf.LinkSrc), d, w.r.cfg.LinkLocal, hopLimit)
	if err := w.r.HandlePacket(w.now, na, deaf); err != nil {
		t.Fatal(err)
	}
	w.sent = nil
	ask()
	if m, err := CheckNeighborAdvertisement(w.sent[0].p); err != nil || m.Target != d || m.Override {
		t.Errorf("%+v %v", m, err)
	}

	// One that was there before the router started: the second solicitation is to all nodes.
	w.sent = nil
	c := netip.MustParseAddr("fd00:1::55")
	if _, err := w.r.Resolve(w.now, c, ns("fe80::1", "", c.String()), 1); err != ipv6.ErrHeld {
		t.Fatal(err)
	}
	w.now = w.now.Add(retransTimer)
	w.r.Advance(w.now)
	if len(w.sent) != 2 || w.sent[0].p.Dst() != SolicitedNode(c) || w.sent[1].p.Dst() != allNodes {
		t.Fatalf("%v", w.sent)
	}
	if _, err := CheckNeighborSolicitation(w.sent[1].p); err != nil {
		t.Error(err)
	}
	w.check()
}

package nd

import "testing"

// A new link-layer address is told to the link, and is the one that hosts hear from then on.
func TestLANLinkAddrChanges(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, Secret: secret, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	own := n.nd.LinkLocal()
	n.sent = nil
	n.nd.SetLinkAddr(w.now, otherMAC)
	n.nd.SetLinkAddr(w.now, otherMAC)
	list := n.take(typeNeighborAdvertisement)
	if len(list) != 1 {
		t.Fatalf("%d advertisements, want one for the link-local address", len(list))
	}
	na, err := CheckNeighborAdvertisement(list[0])
	if err != nil || na.Target != own || !na.Override || na.Solicited || list[0].Dst() != allNodes {
		t.Errorf("%+v, %v", na, err)
	}
	w.run(20 * second)
	ras := n.take(typeRouterAdvertisement)
	if len(ras) == 0 || view(t, ras[len(ras)-1]).sll != otherMAC {
		t.Errorf("%d router advertisements, the last not from the new address", len(ras))
	}
	checkLAN(t, n.nd)
}

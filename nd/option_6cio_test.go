package nd

import (
	"testing"

	"border-router/ipv6"
)

func cio(c Capability) []byte { b, _ := c.AppendBinary(nil); return b }

// TestCapability remembers what a node says of itself, until it says otherwise.
func TestCapability(t *testing.T) {
	w := newWorld(t, RouterConfig{})
	const ll = 0x0212_7400_0000_0042
	a := ipv6.LinkLocal(ipv6.EUI64(ll)).String()
	rs := func(opts ...[]byte) {
		t.Helper()
		b, _ := RouterSolicitation{}.AppendBinary(begin(nil))
		for _, o := range opts {
			b = append(b, o...)
		}
		w.now = w.now.Add(10 * second)
		if err := w.r.HandlePacket(w.now, finish(b, ipv6.LinkLocal(ipv6.EUI64(ll)), allRouters, hopLimit), ipv6.Meta{LinkSrc: ipv6.EUI64(ll)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(c Capability) {
		t.Helper()
		if got := w.r.Capability(ipv6.EUI64(ll)); got != c {
			t.Errorf("capability %#x, want %#x", got, c)
		}
	}
	want(0)
	rs(sllao(ll), cio(CapabilityGHC))
	want(CapabilityGHC)
	w.r.HandlePacket(w.now, ns(a, "", "fe80::1", sllao(ll)), ipv6.Meta{LinkSrc: ipv6.EUI64(ll)})
	want(CapabilityGHC) // a solicitation without the option says nothing
	w.r.HandlePacket(w.now, ns(a, "", "fe80::1", sllao(ll), cio(CapabilityGHC|CapabilityEARO)), ipv6.Meta{LinkSrc: ipv6.EUI64(ll)})
	want(CapabilityGHC | CapabilityEARO)
	rs(sllao(ll)) // it has started anew, and does not
	want(0)
}

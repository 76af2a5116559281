package nd

import (
	"bytes"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestHostCapability: host and router tell each other in a 6CIO what they know, and a host
// is told where its router does not know it any more.
func TestHostCapability(t *testing.T) {
	const ours = CapabilityGHC | CapabilityEARO
	for _, classic := range []bool{false, true} {
		w := newWorld(t, RouterConfig{Prefix: mesh, Capability: DefaultCapability | CapabilityGHC})
		h := w.host(7, HostConfig{Classic: classic, Capability: ours})
		w.run(10 * second)
		announced := false
		for _, f := range w.fromHos {
			if icmp(f.p)[0] == typeRouterSolicitation {
				announced = bytes.HasSuffix(f.p, []byte{OptionCapability, 1, 0, 3, 0, 0, 0, 0})
			}
		}
		if got := w.r.Capability(h.ll); !announced || got != ours && !classic {
			t.Errorf("classic %v: announced %v, the router knows of %x", classic, announced, got)
		}
		if got := h.nd.RouterCapability(); got != DefaultCapability|CapabilityGHC {
			t.Errorf("classic %v: router with %x", classic, got)
		}
		told := h.told
		ra, _ := RouterAdvertisement{RouterLifetime: 100}.AppendBinary(begin(nil))
		ra = AppendLinkAddr(ra, OptionSourceLinkAddr, routerLL)
		for range 2 {
			if err := h.nd.HandlePacket(w.now, finish(bytes.Clone(ra), routerAddr, allNodes, 255), ipv6.Meta{LinkSrc: routerLL}); err != nil {
				t.Fatal(err)
			}
		}
		if h.nd.RouterCapability() != 0 || h.told != told+1 {
			t.Errorf("classic %v: %x, told %d times", classic, h.nd.RouterCapability(), h.told-told)
		}
		h.nd.Stop(w.now.Add(time.Second))
		if h.nd.RouterCapability() != 0 {
			t.Error("capability without a router")
		}
	}
}

package daemon

import (
	"net/netip"
	"testing"
	"time"

	"border-router/internal/config"
	"border-router/ipv6"
)

// TestGHC uses generic header compression where it is configured and the node has announced
// it in its router solicitation.
func TestGHC(t *testing.T) {
	for _, tc := range []struct{ configured, announced bool }{{true, true}, {true, false}, {false, true}} {
		c := testConfig(t, "zep://[::1]:0?pace=off")
		c.Lowpan.GHC = tc.configured
		c.Lowpan.Recovery = []config.RecoveryPeer{{All: true}, {Addr: ipv6.EUI64(7)}}
		d, err := New(t.Context(), c, Options{Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		m, ll := d.meshes[0], ipv6.EUI64(0x0212_7400_0000_0042)
		body := append([]byte{1, 2}, ll.Append(nil)...)
		body = append(body, make([]byte, 6)...)
		if tc.announced {
			body = append(body, 36, 1, 0, 1, 0, 0, 0, 0) // 6CIO with G
		}
		rs := ipv6.AppendICMP(nil, ipv6.ICMPRouterSolicitation, 0, 0, body, ipv6.LinkLocal(ll), netip.MustParseAddr("ff02::2"), 255)
		if err := m.nd.HandlePacket(time.Now(), rs, ipv6.Meta{LinkSrc: ll}); err != nil {
			t.Fatal(err)
		}
		d.registered(time.Now(), m.link, ipv6.WithIID(m.prefix, ll.IID()), ll)
		if got := m.iface.Peer(ll); got.GHC != (tc.configured && tc.announced) || !got.Contexts {
			t.Errorf("%+v: %+v", tc, got)
		}
		if m.iface.Contexts().AcceptGHC != tc.configured {
			t.Errorf("%+v: accepted %v", tc, !tc.configured)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

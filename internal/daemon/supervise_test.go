package daemon

import (
	"net/netip"
	"testing"
	"time"

	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/nd"
)

// sources keeps where packets come from.
type sources []netip.Addr

func (s *sources) SendPacket(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) { *s = append(*s, p.Src()) }

// TestTellMove starts a port with one address after the other: nodes hear of the one before.
func TestTellMove(t *testing.T) {
	d := &Daemon{store: state.OpenMemory()}
	now := time.Now()
	last := netip.Addr{}
	for _, eui64 := range []uint64{0x02005e1000000001, 0x02005e1000000002, 0x02005e1000000002, 0x02005e1000000001} {
		var sent sources
		ll := ipv6.EUI64(eui64)
		m := &mesh{name: "slip0", nd: nd.NewRouter(nd.RouterConfig{LinkAddr: ll, Prefix: netip.MustParsePrefix("fd00::/64")}, &sent, nil)}
		d.tellMove(m, eui64)
		m.nd.Announce(now)
		m.nd.Advance(now)
		own := ipv6.LinkLocal(ll)
		want := 1
		if last.IsValid() && last != own {
			want = 2
		}
		if len(sent) != want || sent[0] != own || sent[want-1] != own && sent[want-1] != last {
			t.Errorf("from %s after %s: advertisements of %s", own, last, sent)
		}
		last = own
	}
}

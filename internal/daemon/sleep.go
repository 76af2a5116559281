package daemon

import (
	"encoding/binary"
	"maps"
	"time"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
)

// setSleep tells the interface of devices that are said to sleep, or never to.
func (m *mesh) setSleep(now time.Time, list []config.SleepPeer) {
	for _, p := range list {
		mode := lowpan.SleepNever
		if p.Always {
			mode = lowpan.SleepAlways
		}
		m.iface.SetSleep(now, p.Addr, mode)
	}
}

// deliver gives the router a packet, and remembers from where it came while that is done.
func (m *mesh) deliver(now time.Time, p ipv6.Packet, meta ipv6.Meta) {
	m.from = meta.LinkSrc
	m.link.Deliver(now, p, meta)
	m.from = ipv6.LinkAddr{}
}

// sameNode tells the interface of the two addresses of a node that registered with ll: the
// solicitation came from the other one, or names it as the owner (the EUI-64 of RFC 6775
// section 4.1). It may ask for its frames with either.
func (m *mesh) sameNode(now time.Time, ll ipv6.LinkAddr, owner nd.ROVR) {
	switch from := m.from; {
	case ll.IsZero(): // behind another router
	case !from.IsZero() && from.Len() != ll.Len():
		m.iface.SetSame(now, ll, from)
	case ll.Len() == 2 && owner.Len() == 8:
		m.iface.SetSame(now, ll, ipv6.EUI64(binary.BigEndian.Uint64(owner.Append(nil))))
	}
}

// sleeping completes a neighbor by what is known of its sleep.
func (m *mesh) sleeping(now time.Time, a *api.Neighbor, ll ipv6.LinkAddr) {
	s, ok := m.iface.Sleeping(ll)
	if !ok {
		return
	}
	a.Sleep = &api.Sleep{Configured: s.Mode == lowpan.SleepAlways, Interval: s.Interval.Seconds(), Waiting: s.Held}
	if !s.Polled.IsZero() {
		ago := max(0, now.Sub(s.Polled).Seconds())
		a.Sleep.LastPoll = &ago
	}
}

// conflict returns who else uses our PAN identifier, nil where nobody does.
func (m *mesh) conflict(now time.Time) *api.Conflict {
	x, ok := m.iface.PANConflict(now)
	if !ok {
		return nil
	}
	return &api.Conflict{LinkAddr: x.Addr.String(), Told: x.Notified, Since: x.Since}
}

// macLayer adds what the interface does as coordinator to the counters of its layer.
func macLayer(l *api.Layer, s *lowpan.Stats) *api.Layer {
	maps.Insert(l.Counters, s.MACCounters)
	return l
}

package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// SetLinkAddr changes our link-layer address, where addresses are the machine's own; the
// link is told of it (RFC 4861 section 7.2.6). Addresses that there are stay.
func (l *LAN) SetLinkAddr(now time.Time, ll ipv6.LinkAddr) {
	l.now = now
	if l.cfg.RouterOnly || ll == l.cfg.LinkAddr {
		return
	}
	l.cfg.LinkAddr = ll
	if !l.up {
		return
	}
	var usable []netip.Addr
	for i := range l.addrs {
		if a := &l.addrs[i]; a.usable() {
			usable = append(usable, a.addr)
		}
	}
	for _, a := range usable {
		l.sendNA(now, NeighborAdvertisement{Router: l.isRouter(), Override: true, Target: a}, a, allNodes, ipv6.LinkAddr{})
	}
	l.advertiseChange(now)
	l.settle(now)
}

package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// LinkEvents may be implemented by [Events] whose owner keeps a route to each neighbor.
type LinkEvents interface {
	// Linked: the link-layer address of the neighbor addr, registered or learnt, is ll now;
	// the zero LinkAddr: it is not known any more.
	Linked(addr netip.Addr, ll ipv6.LinkAddr)
}

// Knows reports whether addr belongs to a neighbor that has registered it, or that was
// learnt and not given up. It costs one lookup.
func (r *Router) Knows(addr netip.Addr) bool {
	e := r.lookup(addr)
	return e != nil && (e.state == stateRegistered || !e.ll.IsZero())
}

// Revoke ends the registration of addr and tells its node, unasked, with which status
// (RFC 8505 sections 5.3 and 5.9): somebody else turned out to have the address, say. It
// reports whether there was a registration.
func (r *Router) Revoke(now time.Time, addr netip.Addr, status Status) bool {
	r.now = now
	e := r.lookup(addr)
	if e == nil || e.state != stateRegistered {
		return false
	}
	ll := e.ll
	aro := Registration{Status: status, ROVR: e.rovr, T: e.hasTID, TID: e.tid, R: e.hasTID}
	r.stats.Conflicts++
	r.unregister(now, e)
	if ll.IsZero() {
		return true // behind another router, which has nothing to ask it with
	}
	na := NeighborAdvertisement{Router: true, Target: addr}
	b, _ := na.AppendBinary(begin(r.buf[:0]))
	b, _ = aro.AppendBinary(b)
	r.send(now, b, r.cfg.LinkLocal, ipv6.LinkLocal(ll), hopLimit, ll)
	return true
}

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

// Revoke ends the registration of addr and tells its node with which status: in the answer
// that it waits for, or unasked (RFC 8505 sections 5.3 and 5.9) where it was told that it is
// registered; somebody else turned out to have the address, say. A node of RFC 4861 that was
// learnt to have a duplicate is told so as RFC 4862 section 5.4.4 has it, and forgotten. Revoke
// reports whether there was anything of that.
func (r *Router) Revoke(now time.Time, addr netip.Addr, status Status) bool {
	r.now = now
	e := r.lookup(addr)
	if e == nil || e.state != stateRegistered {
		return status == StatusDuplicate && e != nil && r.disprove(now, e)
	}
	ll := e.ll
	aro := Registration{Status: status, ROVR: e.rovr, T: e.hasTID, TID: e.tid, R: e.hasTID}
	r.stats.Conflicts++
	held := r.takeCheck(addr)
	r.unregister(now, e)
	if held.message != nil {
		r.refuse(now, &held, status)
		return true
	}
	if ll.IsZero() || status > StatusTableFull && !aro.T {
		return true // behind another router, which has nothing to ask it with; or of RFC 6775, which has no such status
	}
	na := NeighborAdvertisement{Router: true, Target: addr}
	b, _ := na.AppendBinary(begin(r.buf[:0]))
	b, _ = aro.AppendBinary(b)
	r.send(now, b, r.cfg.LinkLocal, ipv6.LinkLocal(ll), hopLimit, ll)
	return true
}

// disprove tells the node that e was learnt from that its address is that of another, and
// forgets it. It reports false where nobody was learnt to have the address.
func (r *Router) disprove(now time.Time, e *entry) bool {
	addr, ll := e.addr, e.ll
	if ll.IsZero() {
		return false
	}
	r.conflict(now, addr, ll)
	registers := e.node.registers
	r.remove(now, e, DropConflict)
	if !registers { // else it has it registered with another router of the other link
		r.defend(now, addr, ll)
	}
	return true
}

// defend tells the node at ll that target is that of somebody on another link, who is reached
// by us. It goes to all nodes, since the claimant has no address (RFC 4861 section 7.2.4); on
// the link to the claimant alone, where it is known.
func (r *Router) defend(now time.Time, target netip.Addr, ll ipv6.LinkAddr) {
	if ll == ipv6.BroadcastShort {
		ll = ipv6.LinkAddr{}
	}
	r.sendNA(now, NeighborAdvertisement{Override: true, Target: target}, r.cfg.LinkAddr, r.cfg.LinkLocal, allNodes, ll)
}

// taken reports whether a node on another link was found to have addr, and is not owner.
func (r *Router) taken(addr netip.Addr, owner ROVR) bool {
	return r.cfg.Taken != nil && !addr.IsLinkLocalUnicast() && r.cfg.Taken(addr, owner)
}

// elsewhere reports whether a node on another link was found to have addr, and none of ours has
// it registered.
func (r *Router) elsewhere(addr netip.Addr) bool {
	e := r.lookup(addr)
	return (e == nil || e.state != stateRegistered) && r.taken(addr, ROVR{})
}

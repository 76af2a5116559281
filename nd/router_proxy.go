package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A mesh whose prefix is that of another link too (RFC 4389, RFC 8929): its hosts of RFC 4861
// ask for addresses of the other link, and there are such hosts that nobody knows of before
// they are asked for.

// Seek asks the nodes for addr, which somebody on another link wants to reach and which
// [Router.Knows] nothing of (RFC 4389 section 4.1). Where one answers, [LinkEvents] says so.
// It does nothing where addr is not from a prefix of the mesh, or a node on another link was
// found to have it, or it is being asked for already, or too many others are.
func (r *Router) Seek(now time.Time, addr netip.Addr) {
	r.now = now
	if r.lookup(addr) != nil || !r.onLink(addr) || addr.IsLinkLocalUnicast() || iid(addr) == 0 || r.taken(addr, ROVR{}) || 2*r.incomplete >= r.limits.Incomplete {
		return
	}
	e := r.create(now, addr, stateIncomplete)
	e.probes = 1
	r.timers.Set(e, now.Add(r.retrans))
	r.sendNS(now, addr, ipv6.LinkAddr{})
}

// beyond reports whether target is to be reached by us on another link, as far as is known.
func (r *Router) beyond(target netip.Addr) bool {
	return r.cfg.Beyond != nil && !target.IsLinkLocalUnicast() && r.onLink(target) && iid(target) != 0 && r.cfg.Beyond(target)
}

package nd

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// sendNS asks for target: by multicast where ll is zero, else by unicast (RFC 4861 sections
// 7.2.2 and 7.3.3).
func (r *Router) sendNS(now time.Time, target netip.Addr, ll ipv6.LinkAddr) {
	b, _ := NeighborSolicitation{Target: target}.AppendBinary(begin(r.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, r.cfg.LinkAddr)
	dst := target
	if ll.IsZero() {
		dst = SolicitedNode(target)
		if e := r.lookup(target); e != nil && e.probes > 1 {
			// lwIP listens to no solicited-node group on a mesh interface unless the
			// application sets a flag there. Whom the first solicitation did not reach, all
			// nodes hear: on the air both are the same broadcast.
			dst = allNodes
		}
	}
	r.send(now, b, r.cfg.LinkLocal, dst, hopLimit, ll)
}

// sendNA advertises target at tll.
func (r *Router) sendNA(now time.Time, m NeighborAdvertisement, tll ipv6.LinkAddr, src, dst netip.Addr, ll ipv6.LinkAddr) {
	b, _ := m.AppendBinary(begin(r.buf[:0]))
	b = AppendLinkAddr(b, OptionTargetLinkAddr, tll)
	r.send(now, b, src, dst, hopLimit, ll)
}

// handleNS takes a neighbor solicitation: a registration, or one of RFC 4861.
func (r *Router) handleNS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	if !p.Src().IsUnspecified() && source(p).IsUnspecified() {
		return r.handleQuirkNS(now, p, m)
	}
	msg, err := CheckNeighborSolicitation(p)
	if err != nil {
		return err
	}
	src := p.Src()
	if r.isOurs(src) {
		return DropSource
	}
	if src.IsUnspecified() {
		return r.handleDAD(now, msg, m)
	}
	if !r.onLink(src) {
		return DropNotOnLink
	}
	sll := msg.Options.LinkAddr(OptionSourceLinkAddr, r.wantLen)
	if o, ok := msg.Options.Find(OptionCapability); ok && !sll.IsZero() {
		r.nodeOf(sll).caps, _ = ParseCapability(o)
	}
	if o, ok := msg.Options.Find(OptionRegistration); ok && !sll.IsZero() {
		// Without an SLLAO the option is ignored (RFC 6775 section 6.5).
		return r.handleRegistration(now, p, m, msg, o, sll)
	}
	ll := sll
	if ll.IsZero() {
		ll = m.LinkSrc
	}
	if ll.IsZero() || ll == ipv6.BroadcastShort {
		return DropSourceOption
	}
	if !sll.IsZero() {
		if r.elsewhere(src) {
			r.conflict(now, src, sll)
			return DropConflict
		}
		e, ok := r.learn(now, src, sll)
		if !ok {
			r.conflict(now, src, sll)
			return DropConflict
		}
		if !e.dead {
			e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
			if e.node != nil {
				e.node.lastHeard = now
				r.tookPrefix(now, e.node, src)
			}
		}
	}
	if r.isOurs(msg.Target) {
		na := NeighborAdvertisement{Router: true, Solicited: true, Override: true, Target: msg.Target}
		r.sendNA(now, na, r.cfg.LinkAddr, msg.Target, src, ll)
		return nil
	}
	// A host of RFC 4861 asks for another node, which may sleep, be out of its reach or
	// listen to no solicited-node group: we answer, and forward. Without the O flag, so that
	// an answer of the node itself prevails (RFC 4861 section 7.2.8).
	e := r.lookup(msg.Target)
	// It also asks whether we are still there for the other one, at that one's address.
	known := e != nil && !e.ll.IsZero() && e.ll != ll && (e.state == stateRegistered || !msg.Target.IsLinkLocalUnicast())
	if known || (e == nil || e.ll.IsZero()) && r.beyond(msg.Target) {
		na := NeighborAdvertisement{Router: false, Solicited: true, Target: msg.Target}
		r.sendNA(now, na, r.cfg.LinkAddr, r.cfg.LinkLocal, src, ll)
		return nil
	}
	// One that we do not know either may hear us where it does not hear its group; then the
	// next solicitation, a second from now, has an answer.
	if p.IsMulticast() && e == nil && r.onLink(msg.Target) && !msg.Target.IsLinkLocalUnicast() && iid(msg.Target) != 0 &&
		2*r.incomplete < r.limits.Incomplete {
		e = r.create(now, msg.Target, stateIncomplete)
		e.probes = maxMulticastSolicit // the group has just been asked: to all nodes, once
		r.timers.Set(e, now.Add(r.retrans))
		r.sendNS(now, msg.Target, ipv6.LinkAddr{})
		return nil
	}
	return DropNotOurs
}

// handleQuirkNS takes a solicitation from prefix::0, which stands for "::" ([RepairSource]).
func (r *Router) handleQuirkNS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	if p.HopLimit() != hopLimit {
		return DropHopLimit
	}
	msg, err := ParseNeighborSolicitation(icmp(p))
	if err != nil {
		return err
	}
	if !isUnicast(msg.Target) {
		return DropTarget
	}
	if p.Dst() != SolicitedNode(msg.Target) {
		return DropDestination
	}
	return r.handleDAD(now, msg, m)
}

// handleDAD takes the solicitation of a node that wants to use the target (RFC 4862 section
// 5.4). Addresses of ours and registered ones are defended.
func (r *Router) handleDAD(now time.Time, msg NeighborSolicitation, m ipv6.Meta) error {
	var n *node
	if !m.LinkSrc.IsZero() && m.LinkSrc != ipv6.BroadcastShort {
		n = r.nodeOf(m.LinkSrc)
		n.lastHeard, n.classic = now, true
		if _, nonce := msg.Options.Find(OptionNonce); !nonce && msg.Target.IsLinkLocalUnicast() && !n.registers && !n.usesPrefix {
			// A host of RFC 4861 that has no address yet, and not Linux, which sends a nonce
			// and takes a prefix without the L flag.
			n.onLink = true
		}
	}
	tll := r.cfg.LinkAddr
	na := NeighborAdvertisement{Router: true, Override: true, Target: msg.Target}
	if !r.isOurs(msg.Target) {
		e := r.lookup(msg.Target)
		if (e == nil || e.state != stateRegistered) && r.taken(msg.Target, ROVR{}) {
			r.conflict(now, msg.Target, m.LinkSrc)
			r.defend(now, msg.Target, m.LinkSrc)
			return nil
		}
		if e == nil || e.state != stateRegistered || e.ll == m.LinkSrc && !e.ll.IsZero() {
			r.tookPrefix(now, n, msg.Target)
			if n != nil && isUnicast(msg.Target) && r.onLink(msg.Target) && !msg.Target.IsLinkLocalUnicast() && iid(msg.Target) != 0 &&
				(e == nil || e.state == stateIncomplete || e.state == stateUnreachable) {
				// Nobody has it, so it will be its own in a second; it may never say so again,
				// nor hear a solicitation (RFC 9131 is about the same).
				if e, ok := r.learn(now, msg.Target, m.LinkSrc); ok && !e.dead {
					e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
				}
			}
			return nil // nobody here minds
		}
		na.Router = false
		if !e.ll.IsZero() {
			tll = e.ll
		}
	}
	r.conflict(now, msg.Target, m.LinkSrc)
	// To all nodes, since the claimant has no address (RFC 4861 section 7.2.4); on the link
	// to the claimant alone, where it is known.
	ll := m.LinkSrc
	if ll == ipv6.BroadcastShort {
		ll = ipv6.LinkAddr{}
	}
	r.sendNA(now, na, tll, r.cfg.LinkLocal, allNodes, ll)
	return nil
}

// handleNA takes a neighbor advertisement.
func (r *Router) handleNA(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckNeighborAdvertisement(p)
	if err != nil {
		return err
	}
	ll := msg.Options.LinkAddr(OptionTargetLinkAddr, r.wantLen)
	if r.isOurs(msg.Target) {
		if ll != r.cfg.LinkAddr {
			r.conflict(now, msg.Target, ll)
			return DropConflict
		}
		return DropUnsolicited
	}
	if !r.onLink(msg.Target) {
		return DropNotOnLink
	}
	if ll.IsZero() && msg.Solicited {
		// "The link-layer address may be omitted from the advertisement sent in response to
		// a unicast solicitation" (RFC 4861 section 4.4).
		if e := r.lookup(msg.Target); e != nil && (e.ll.IsZero() || e.ll == m.LinkSrc) {
			ll = m.LinkSrc
		}
	}
	err = r.advertised(now, msg, ll)
	switch {
	case err == DropConflict:
		r.conflict(now, msg.Target, ll)
	case err == nil:
		if e := r.lookup(msg.Target); e != nil {
			e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
			if e.node != nil {
				e.node.lastHeard, e.node.failures = now, 0
				r.tookPrefix(now, e.node, msg.Target)
			}
		}
	}
	return err
}

func (r *Router) conflict(_ time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	r.stats.Conflicts++
	r.log.LogAttrs(context.Background(), slog.LevelDebug, "address claimed by another node", slog.Any("addr", a), slog.Any("lladdr", ll))
}

package nd

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// A lanReply is an advertisement that waits for its random delay: of an anycast address, or,
// without a target, of us as a router.
type lanReply struct {
	at     time.Time
	target netip.Addr
	dst    netip.Addr
	ll     ipv6.LinkAddr
}

// source returns the address from which we solicit: the link-local one; the zero Addr while
// there is none.
func (l *LAN) source() netip.Addr { return l.LinkLocal() }

// sendNS asks for target: by multicast where ll is zero, else by unicast (RFC 4861 sections
// 7.2.2 and 7.3.3).
func (l *LAN) sendNS(now time.Time, target netip.Addr, ll ipv6.LinkAddr) {
	src := l.source()
	if !src.IsValid() {
		return // from "::" it would be taken for duplicate address detection
	}
	// "If the source address of the packet prompting the solicitation is the same as one of the
	// addresses assigned to the outgoing interface, that address SHOULD be placed in the IP
	// Source Address of the outgoing solicitation."
	if e := l.cache.lookup(target); e != nil && e.head != nil {
		if a := l.addr(ipv6.Packet(e.head.p).Src()); a != nil && a.usable() {
			src = a.addr
		}
	}
	b, _ := NeighborSolicitation{Target: target}.AppendBinary(begin(l.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, l.cfg.LinkAddr)
	dst := target
	if ll.IsZero() {
		dst = SolicitedNode(target)
	}
	l.send(now, b, src, dst, ll)
}

// sendNA advertises a target, always with our link-layer address.
func (l *LAN) sendNA(now time.Time, m NeighborAdvertisement, src, dst netip.Addr, ll ipv6.LinkAddr) {
	b, _ := m.AppendBinary(begin(l.buf[:0]))
	b = AppendLinkAddr(b, OptionTargetLinkAddr, l.cfg.LinkAddr)
	l.send(now, b, src, dst, ll)
}

// isNeighbor reports whether a may be the address of a node on the link: link-local, or in a
// prefix that is on the link (RFC 5942 section 4).
func (l *LAN) isNeighbor(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	for i := range l.prefixes {
		if p := &l.prefixes[i]; p.told && p.prefix.Contains(a) {
			return true
		}
	}
	for i := range l.addrs {
		if a := &l.addrs[i]; a.static && a.prefix.Contains(a.addr) {
			return true
		}
	}
	for _, p := range l.cfg.Prefixes {
		if p.OnLink && p.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

// isOurs reports whether a is one of our addresses on the link, or the kernel's link-local one.
func (l *LAN) isOurs(a netip.Addr) bool { return l.addr(a) != nil || a == l.linkLocal }

// mayLearn reports whether a neighbor a at ll may enter the cache.
func (l *LAN) mayLearn(a netip.Addr, ll ipv6.LinkAddr) bool {
	return !ll.IsZero() && !ll.IsGroup() && ll != l.cfg.LinkAddr && isUnicast(a) && !l.isOurs(a) && !l.proxied(a) && l.isNeighbor(a)
}

// handleNS takes a neighbor solicitation (RFC 4861 section 7.2.3, RFC 4862 section 5.4.3).
func (l *LAN) handleNS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckNeighborSolicitation(p)
	if err != nil {
		return err
	}
	src := p.Src()
	own := l.addr(msg.Target)
	if src.IsUnspecified() {
		return l.handleDAD(now, msg, m, own)
	}
	if m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() {
		return DropSource // our own, looped back, or the kernel's
	}
	sll := msg.Options.LinkAddr(OptionSourceLinkAddr, 6)
	if a := l.addr(src); a != nil && a.state != AddressDuplicate || l.proxied(src) {
		l.conflict(now, src, m.LinkSrc)
		return DropConflict
	}
	na := NeighborAdvertisement{Router: l.isRouter(), Solicited: true, Override: true, Target: msg.Target}
	from := msg.Target
	anycast := false
	switch {
	case own != nil && own.usable():
	case own == nil && slices.Contains(l.anycast, msg.Target):
		anycast, na.Override = true, false
		from = l.source()
	case own == nil && l.proxied(msg.Target):
		if l.checks[msg.Target] != nil {
			return DropNotOurs // not before it is known to be unique
		}
		// Without the O flag: an answer of the node itself prevails (RFC 4861 section 7.2.8).
		na.Override, na.Options = false, l.earo(msg.Target, StatusSuccess)
		from = l.source()
	default:
		// "MUST be silently discarded", so nothing is learnt of it either. One that is
		// tentative does not answer: it is no address of ours yet (RFC 4862 section 5.4.3).
		return DropNotOurs
	}
	l.learnNS(now, src, sll)
	if !from.IsValid() {
		return DropNotOurs
	}
	ll := sll
	if ll.IsZero() {
		ll = m.LinkSrc
	}
	if ll.IsZero() || ll.IsGroup() || ll == l.cfg.LinkAddr {
		// Without an address to answer to (a port that tells none) it has to be resolved,
		// or to be in the cache.
		if e := l.cache.lookup(src); e != nil && !e.ll.IsZero() {
			ll = e.ll
		} else {
			return DropSourceOption
		}
	}
	if anycast {
		if len(l.delayed) >= maxDelayed {
			return DropRateLimit
		}
		l.delayed = append(l.delayed, lanReply{now.Add(l.jitter(anycastDelay)), msg.Target, src, ll})
		l.dirty = true
		return nil
	}
	l.sendNA(now, na, from, src, ll)
	return nil
}

func (l *LAN) learnNS(now time.Time, src netip.Addr, sll ipv6.LinkAddr) {
	if !sll.IsZero() && l.mayLearn(src, sll) {
		if l.cache.learn(now, src, sll) == nil {
			l.stats.Dropped[DropTableFull]++
		}
	}
}

func (l *LAN) advanceReplies(now time.Time) {
	for i := 0; i < len(l.delayed); i++ {
		r := l.delayed[i]
		if r.at.After(now) {
			continue
		}
		l.delayed = slices.Delete(l.delayed, i, i+1)
		i--
		if src := l.source(); !src.IsValid() {
			continue
		} else if !r.target.IsValid() {
			l.sendRA(now, r.dst, r.ll, false)
		} else {
			l.sendNA(now, NeighborAdvertisement{Router: l.isRouter(), Solicited: true, Target: r.target}, src, r.dst, r.ll)
		}
	}
}

// handleDAD takes a solicitation from "::": a node wants to use the target.
func (l *LAN) handleDAD(now time.Time, msg NeighborSolicitation, m ipv6.Meta, own *lanAddr) error {
	var nonce []byte
	if o, ok := msg.Options.Find(OptionNonce); ok {
		nonce, _ = ParseNonce(o)
	}
	switch {
	case own != nil && own.sentNonce(nonce):
		own.looped = true // our own
		return DropSource
	case own != nil && own.state == AddressTentative:
		if m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() && nonce == nil {
			return DropSource // our own, by a switch that strips what it does not know
		}
		l.duplicate(now, own, m.LinkSrc)
		return DropConflict
	case m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero():
		return DropSource
	case own != nil && own.usable():
		// Defended to all nodes: the claimant has no address (RFC 4861 section 7.2.4).
		l.sendNA(now, NeighborAdvertisement{Router: l.isRouter(), Override: true, Target: msg.Target}, msg.Target, allNodes, ipv6.LinkAddr{})
		l.conflict(now, msg.Target, m.LinkSrc)
		return DropConflict
	case own == nil && l.checks[msg.Target] != nil:
		c := l.checks[msg.Target]
		if len(nonce) == minNonceBytes && bytes.Equal(nonce, c.nonce[:]) {
			return DropSource
		}
		fallthrough
	case own == nil && l.proxied(msg.Target):
		return l.claimed(now, msg.Target, msg.Options, true, m.LinkSrc, allNodes, ipv6.LinkAddr{})
	}
	return nil // nobody here minds
}

// handleNA takes a neighbor advertisement (RFC 4861 section 7.2.5).
func (l *LAN) handleNA(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckNeighborAdvertisement(p)
	if err != nil {
		return err
	}
	if m.LinkSrc == l.cfg.LinkAddr && !m.LinkSrc.IsZero() {
		return DropSource
	}
	tll := msg.Options.LinkAddr(OptionTargetLinkAddr, 6)
	claimant := tll
	if claimant.IsZero() {
		claimant = m.LinkSrc
	}
	if a := l.addr(msg.Target); a != nil && a.state != AddressDuplicate {
		if tll == l.cfg.LinkAddr {
			return DropSource
		}
		if a.state == AddressTentative {
			l.duplicate(now, a, claimant)
		} else {
			l.conflict(now, msg.Target, claimant)
		}
		return DropConflict
	}
	if slices.Contains(l.anycast, msg.Target) {
		return DropUnsolicited // others have it as well
	}
	if l.checks[msg.Target] != nil || l.proxied(msg.Target) {
		return l.claimed(now, msg.Target, msg.Options, false, claimant, p.Src(), m.LinkSrc)
	}
	if tll.IsGroup() || tll == l.cfg.LinkAddr && !tll.IsZero() {
		return DropTarget
	}
	e := l.cache.lookup(msg.Target)
	if e == nil {
		// A router takes what nobody asked for, so that the first packet to a new address finds
		// it, and whatever the S flag says it is STALE (RFC 9131 section 6.1.1).
		if l.isRouter() && !tll.IsZero() && l.mayLearn(msg.Target, tll) {
			if e := l.cache.learn(now, msg.Target, tll); e != nil {
				e.router = msg.Router
				return nil
			}
			return DropTableFull
		}
		return DropUnsolicited
	}
	was := e.router
	err = l.cache.advertised(now, e, msg, tll)
	if was && !e.router && e.listed {
		// "the node MUST remove that router from the Default Router List" (RFC 4861 section
		// 7.2.5)
		l.dropDefault(now, msg.Target)
	}
	return err
}

// conflict notes that another node uses an address that is ours or proxied for. All are
// counted, and the owner is told at a limited rate.
func (l *LAN) conflict(now time.Time, a netip.Addr, ll ipv6.LinkAddr) {
	l.stats.Conflicts++
	if l.conflicts.Take(now) {
		l.ev.Conflict(now, a, ll)
	}
}

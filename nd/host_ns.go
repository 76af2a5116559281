package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// sendNS asks for target: by multicast where ll is zero, else by unicast.
func (h *Host) sendNS(now time.Time, target netip.Addr, ll ipv6.LinkAddr) {
	b, _ := NeighborSolicitation{Target: target}.AppendBinary(begin(h.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, h.cfg.LinkAddr)
	dst := target
	if ll.IsZero() {
		dst = SolicitedNode(target)
	}
	h.send(now, b, h.ll, dst, ll)
}

// handleNS answers for our addresses.
func (h *Host) handleNS(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckNeighborSolicitation(p)
	if err != nil {
		return err
	}
	a := h.addr(msg.Target)
	if a == nil {
		return DropNotOurs
	}
	src := p.Src()
	if src.IsUnspecified() {
		if !h.cfg.Classic {
			// A registered address needs no defence by its owner, but a host of RFC 4861 may
			// hear it.
			if !a.ready {
				return DropNotOurs
			}
		} else if !a.ready {
			h.failDAD(now, msg.Target) // two at once: neither may have it (RFC 4862 section 5.4.3)
			return nil
		}
		h.stats.Conflicts++
		na, _ := NeighborAdvertisement{Override: true, Target: msg.Target}.AppendBinary(begin(h.buf[:0]))
		na = AppendLinkAddr(na, OptionTargetLinkAddr, h.cfg.LinkAddr)
		h.send(now, na, msg.Target, allNodes, ipv6.LinkAddr{})
		return nil
	}
	if !a.ready {
		return DropNotOurs
	}
	ll := msg.Options.LinkAddr(OptionSourceLinkAddr, h.wantLen)
	if ll.IsZero() {
		ll = m.LinkSrc
	} else if _, ok := h.learn(now, src, ll); !ok {
		return DropConflict
	}
	if ll.IsZero() || ll == ipv6.BroadcastShort {
		return DropSourceOption
	}
	na, _ := NeighborAdvertisement{Solicited: true, Override: true, Target: msg.Target}.AppendBinary(begin(h.buf[:0]))
	na = AppendLinkAddr(na, OptionTargetLinkAddr, h.cfg.LinkAddr)
	h.send(now, na, msg.Target, src, ll)
	return nil
}

// handleNA takes a neighbor advertisement.
func (h *Host) handleNA(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckNeighborAdvertisement(p)
	if err != nil {
		return err
	}
	if o, ok := msg.Options.Find(OptionRegistration); ok && !h.cfg.Classic {
		return h.registered(now, p, msg, o)
	}
	ll := msg.Options.LinkAddr(OptionTargetLinkAddr, h.wantLen)
	if a := h.addr(msg.Target); a != nil {
		if ll == h.cfg.LinkAddr {
			return DropUnsolicited // our own, looped back
		}
		h.stats.Conflicts++
		if h.cfg.Classic && !a.ready {
			h.failDAD(now, msg.Target)
			return nil
		}
		return DropConflict
	}
	if ll.IsZero() && msg.Solicited {
		if e := h.lookup(msg.Target); e != nil && (e.ll.IsZero() || e.ll == m.LinkSrc) {
			ll = m.LinkSrc
		}
	}
	err = h.advertised(now, msg, ll)
	if e := h.lookup(msg.Target); err == nil && e != nil {
		e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		if !msg.Router {
			h.lost(now, msg.Target) // RFC 4861 section 7.2.5: it ceased to be a router
		}
	}
	return err
}

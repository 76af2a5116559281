package nd

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// extended reports whether registrations are sent as EARO.
func (h *Host) extended() bool {
	return h.cfg.ARO == AROExtended || h.cfg.ARO == AROAuto && len(h.routers) > 0 && h.routers[0].caps&CapabilityEARO != 0
}

// register sends the registration of a, or its end, to the default router (RFC 6775 section
// 5.5, RFC 8505 section 5.5).
func (h *Host) register(now time.Time, a *hostAddr, end bool) {
	if len(h.routers) == 0 {
		return
	}
	rt := h.routers[0].addr
	aro := Registration{ROVR: h.rovr, Lifetime: minutes(h.cfg.Lifetime)}
	// ARO: the source is registered. EARO: the target is, and the source is an address that
	// needs no registration.
	src, target := a.addr, rt
	if h.extended() {
		if end || a.tries <= 1 {
			a.tid = nextTID(a.tid)
		}
		aro.T, aro.TID = true, a.tid
		src, target = h.ll, a.addr
	}
	if end {
		aro.Lifetime = 0
	}
	b, _ := NeighborSolicitation{Target: target}.AppendBinary(begin(h.buf[:0]))
	b = AppendLinkAddr(b, OptionSourceLinkAddr, h.cfg.LinkAddr)
	b, _ = aro.AppendBinary(b)
	h.send(now, b, src, rt, h.routerLink(rt))
}

// nextTID increments a lollipop counter (RFC 6550 section 7.2).
func nextTID(t uint8) uint8 {
	if t == 127 {
		return 0
	}
	return t + 1 // 255 becomes 0
}

// advanceRegistration takes the next step for an address whose timer has run out.
func (h *Host) advanceRegistration(now time.Time, addr netip.Addr) {
	a := h.addr(addr)
	if a == nil || len(h.routers) == 0 {
		return // started again with the next router
	}
	if a.ready && !a.until.IsZero() && !a.until.After(now) {
		a.ready, a.until = false, time.Time{}
		h.ev.AddressRemoved(now, addr)
		if a = h.addr(addr); a == nil || len(h.routers) == 0 {
			return
		}
	}
	if h.pending.IsValid() && h.pending != addr {
		// One at a time: the refusal of an ARO does not say which address it is for.
		h.timers.Set(hostTimer{timerRegister, addr}, now.Add(h.retrans/2))
		return
	}
	if a.tries >= maxUnicastSolicit+1 {
		h.pending, a.tries = netip.Addr{}, 0
		h.timers.Set(hostTimer{timerRegister, addr}, now.Add(retryLater/2+time.Duration(h.rand.Int64N(int64(retryLater)))))
		h.lost(now, h.routers[0].addr)
		return
	}
	h.pending = addr
	a.tries++
	wait := h.retrans << (a.tries - 1)
	wait += time.Duration(h.rand.Int64N(int64(wait/2) + 1))
	h.timers.Set(hostTimer{timerRegister, addr}, now.Add(wait))
	h.register(now, a, false)
}

// registered takes the answer to a registration (RFC 6775 section 5.5.2).
func (h *Host) registered(now time.Time, p ipv6.Packet, msg NeighborAdvertisement, o Option) error {
	aro, ok := ParseRegistration(o)
	if !ok || aro.ROVR != h.rovr || p.IsMulticast() {
		return DropRegistration
	}
	if len(h.routers) == 0 || p.Src() != h.routers[0].addr {
		return DropUnsolicited
	}
	if !msg.Solicited && aro.Status != StatusSuccess {
		// Unasked: the registration was ended for us, since another has the address, say (RFC
		// 8505 section 5.3).
		a := h.addr(msg.Target)
		if a == nil || !a.ready || aro.T && aro.TID != a.tid {
			return DropUnsolicited
		}
		h.refused(now, a, aro.Status, p.Src())
		return nil
	}
	a := h.addr(h.pending)
	if a == nil || !msg.Solicited {
		return DropUnsolicited
	}
	if h.extended() {
		if msg.Target != a.addr && msg.Target != p.Src() || aro.T && aro.TID != a.tid {
			return DropUnsolicited
		}
	} else if aro.Status == StatusSuccess && p.Dst() != a.addr {
		return DropUnsolicited
	}
	if aro.Lifetime == 0 {
		return nil // the end of an earlier one
	}
	h.pending, a.tries = netip.Addr{}, 0
	if e := h.lookup(p.Src()); e != nil {
		h.confirm(now, e)
	}
	addr, bits := a.addr, a.bits
	key := hostTimer{timerRegister, addr}
	if aro.Status == StatusSuccess {
		life := time.Duration(aro.Lifetime) * time.Minute
		a.until = now.Add(life)
		// Well before the end, and not all nodes at once: 60 % to 75 % of the lifetime.
		h.timers.Set(key, now.Add(life*3/5+time.Duration(h.rand.Int64N(int64(life*3/20)+1))))
		h.stats.Registrations++
		if !a.ready {
			a.ready = true
			h.ev.AddressAdded(now, addr, bits)
		}
		return nil
	}
	h.refused(now, a, aro.Status, p.Src())
	return nil
}

// refused does what is to be done about an address that the router does not let us register,
// or not any more.
func (h *Host) refused(now time.Time, a *hostAddr, status Status, router netip.Addr) {
	addr, key := a.addr, hostTimer{timerRegister, a.addr}
	h.stats.Refused++
	h.log.LogAttrs(context.Background(), slog.LevelWarn, "registration refused", slog.Any("addr", addr), slog.String("reason", status.String()))
	ready := a.ready
	a.ready, a.until = false, time.Time{}
	switch status {
	case StatusMoved:
		// Our counter is behind, after a restart for instance. 0 is ahead of the straight part
		// of the lollipop, whose start is ahead of the circular part: one of them is taken.
		if a.tid > 127 {
			a.tid = 255
		} else {
			a.tid = initialTID - 1
		}
		h.timers.Set(key, now.Add(retryMoved+time.Duration(h.rand.Int64N(int64(retryMoved)))))
	case StatusTableFull, StatusRegistryFull:
		h.timers.Set(key, now.Add(retryLater+time.Duration(h.rand.Int64N(int64(retryLater)))))
		if len(h.routers) > 1 {
			// "the host ... SHOULD attempt to register with another router" (RFC 6775
			// section 5.5.2)
			h.lost(now, router)
		}
	default:
		h.timers.Set(key, now.Add(retryDuplicate))
	}
	if ready {
		h.ev.AddressRemoved(now, addr)
	}
}

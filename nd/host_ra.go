package nd

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// handleRA takes a router advertisement (RFC 6775 section 5.4, RFC 4861 section 6.3.4).
func (h *Host) handleRA(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := CheckRouterAdvertisement(p)
	if err != nil {
		return err
	}
	src := p.Src()
	sll := msg.Options.LinkAddr(OptionSourceLinkAddr, h.wantLen)
	if sll.IsZero() && !h.cfg.Classic {
		return DropSourceOption // RFC 6775 section 5.4: the SLLAO is required
	}
	h.timers.Remove(hostTimer{kind: timerSolicit})
	h.rsSent = 0
	if !sll.IsZero() {
		if e, ok := h.learn(now, src, sll); ok && !e.dead {
			e.router = true
			e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		}
	}
	if msg.CurHopLimit != 0 {
		h.hopLimit = msg.CurHopLimit
	}
	if msg.ReachableTime != 0 {
		h.reachable = time.Duration(min(msg.ReachableTime, 3_600_000)) * time.Millisecond // RFC 4861 section 6.2.1: at most an hour
	}
	if msg.RetransTimer != 0 {
		h.retrans = min(max(time.Duration(msg.RetransTimer)*time.Millisecond, 100*time.Millisecond), time.Minute)
	}
	var caps Capability
	refresh := time.Duration(msg.RouterLifetime) * time.Second
	for o, rest := msg.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		switch o.Type {
		case OptionMTU:
			// "hosts ... SHOULD NOT" use less than 1280 or more than the link carries (RFC
			// 4861 section 6.3.4).
			if mtu, ok := ParseMTU(o); ok && mtu == ipv6.MinMTU {
				h.mtu = int(mtu)
			}
		case OptionCapability:
			caps, _ = ParseCapability(o)
		case OptionContext:
			if c, ok := ParseContextInfo(o); ok && !h.cfg.Classic {
				h.ev.Context(now, int(c.ID), c.Prefix, c.Compress, time.Duration(c.Lifetime)*time.Minute)
				if c.Lifetime > 0 {
					refresh = min(refresh, time.Duration(c.Lifetime)*time.Minute)
				}
			}
		case OptionRDNSS:
			if d, ok := ParseRDNSS(o); ok {
				h.ev.DNS(now, d.Servers[:d.N], time.Duration(d.Lifetime)*time.Second)
			}
		}
	}
	h.setRouter(now, src, msg.RouterLifetime, caps)
	for o, rest := msg.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		if pio, ok := ParsePrefixInfo(o); ok {
			h.handlePrefix(now, pio)
			if pio.Valid > 0 && pio.Valid != Infinity {
				refresh = min(refresh, time.Duration(pio.Valid)*time.Second)
			}
		}
	}
	if !h.cfg.Classic && len(h.routers) > 0 && h.routers[0].addr == src {
		// Ask again well before anything of it runs out (RFC 6775 section 5.4.3).
		wait := refresh * 2 / 3
		wait -= time.Duration(h.rand.Int64N(int64(wait/10) + 1))
		h.timers.Set(hostTimer{kind: timerRefresh}, now.Add(max(wait, rtrSolicitationInterval)))
	}
	return nil
}

// RouterCapability returns what the default router has announced in the 6CIO of its last
// advertisement, 0 where it has announced none or there is no router.
func (h *Host) RouterCapability() Capability {
	if len(h.routers) == 0 {
		return 0
	}
	return h.routers[0].caps
}

// setRouter notes the router a with a lifetime in seconds.
func (h *Host) setRouter(now time.Time, a netip.Addr, lifetime uint16, caps Capability) {
	i := slices.IndexFunc(h.routers, func(r hostRouter) bool { return r.addr == a })
	if lifetime == 0 {
		h.lost(now, a)
		return
	}
	until := now.Add(time.Duration(lifetime) * time.Second)
	h.timers.Set(hostTimer{timerRouter, a}, until)
	if i >= 0 {
		changed := h.routers[i].caps != caps
		h.routers[i].until, h.routers[i].caps = until, caps
		if changed && i == 0 {
			h.ev.DefaultRouter(now, a, h.routerLink(a))
		}
		return
	}
	if len(h.routers) >= maxHostRouters {
		h.timers.Remove(hostTimer{timerRouter, a})
		return
	}
	h.routers = append(h.routers, hostRouter{addr: a, caps: caps, until: until})
	if len(h.routers) == 1 {
		h.selected(now)
	}
}

// handlePrefix takes a Prefix Information option.
func (h *Host) handlePrefix(now time.Time, pio PrefixInfo) {
	if pio.Prefix.Bits() != 64 || pio.Prefix.Addr().IsLinkLocalUnicast() || pio.Prefix.Addr().IsMulticast() || pio.Preferred > pio.Valid {
		return // RFC 4862 section 5.5.3 (b), (c); other lengths do not fit an EUI-64
	}
	if h.cfg.Classic {
		if !pio.OnLink || !pio.Autonomous {
			return // as lwIP does
		}
	} else if pio.OnLink || !pio.Autonomous {
		return // "that PIO MUST be ignored" (RFC 6775 section 5.4)
	}
	prefix := pio.Prefix.Masked()
	addr := ipv6.WithIID(prefix, h.cfg.LinkAddr.IID())
	if pio.Valid == 0 {
		h.removePrefix(now, addr)
		return
	}
	var until time.Time
	if pio.Valid != Infinity {
		until = now.Add(time.Duration(pio.Valid) * time.Second)
	}
	h.timers.Set(hostTimer{timerPrefix, addr}, until)
	if i := slices.IndexFunc(h.prefixes, func(x hostPrefix) bool { return x.prefix == prefix }); i >= 0 {
		h.prefixes[i].until = until
		return
	}
	if len(h.prefixes) >= maxHostPrefixes {
		h.timers.Remove(hostTimer{timerPrefix, addr})
		return
	}
	h.prefixes = append(h.prefixes, hostPrefix{prefix: prefix, onLink: pio.OnLink, until: until})
	h.addrs = append(h.addrs, hostAddr{addr: addr, bits: 64, tid: initialTID - 1})
	if h.cfg.Classic {
		h.startDAD(now, addr)
	} else {
		h.timers.Set(hostTimer{timerRegister, addr}, now)
	}
}

// removePrefix ends the prefix, and the address, of addr.
func (h *Host) removePrefix(now time.Time, addr netip.Addr) {
	a := h.addr(addr)
	if a == nil || addr == h.ll {
		return
	}
	if a.until.After(now) {
		h.register(now, a, true)
	}
	for _, k := range [...]timerKind{timerPrefix, timerRegister, timerDAD, timerReport} {
		h.timers.Remove(hostTimer{k, addr})
	}
	if h.pending == addr {
		h.pending = netip.Addr{}
	}
	ready := a.ready
	h.addrs = slices.DeleteFunc(h.addrs, func(v hostAddr) bool { return v.addr == addr })
	h.prefixes = slices.DeleteFunc(h.prefixes, func(x hostPrefix) bool { return x.prefix.Contains(addr) })
	if ready {
		h.ev.AddressRemoved(now, addr)
	}
}

package nd

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"border-router/ipv6"
)

const multihopHopLimit = 64 // MULTIHOP_HOPLIMIT, RFC 6775 section 9

// handleRegistration takes an NS with an ARO (RFC 6775 section 6.5) or EARO (RFC 8505
// section 5.6) and answers it with an NA that carries the option in the same form.
func (r *Router) handleRegistration(now time.Time, p ipv6.Packet, m ipv6.Meta, msg NeighborSolicitation, o Option, sll ipv6.LinkAddr) error {
	aro, ok := ParseRegistration(o)
	// "If the Status field is not zero ... the NS MUST be silently ignored" (RFC 6775
	// section 6.5; length likewise).
	if !ok || aro.Status != StatusSuccess {
		return DropRegistration
	}
	if p.IsMulticast() {
		return DropDestination // registrations are sent to the router by unicast (RFC 6775 section 5.5)
	}
	src := p.Src()
	if !r.isOurs(p.Dst()) {
		return DropNotOurs
	}
	// An ARO registers the source, an EARO the target (RFC 8505 section 5.5). A node that
	// names one of our addresses as target means its source.
	addr := src
	if aro.Extended() && !r.isOurs(msg.Target) {
		addr = msg.Target
	} else if !r.isOurs(msg.Target) {
		return DropNotOurs
	}
	status := StatusTopology
	if r.onLink(addr) && iid(addr) != 0 {
		status = r.register(now, Record{Addr: addr, LinkAddr: sll, ROVR: aro.ROVR, TID: aro.TID, HasTID: aro.T}, aro, m)
	} else if !aro.Extended() {
		return DropNotOnLink // RFC 6775 has no status for it
	}
	if e := r.lookup(addr); status == StatusSuccess && e != nil {
		e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		if e.node != nil {
			e.node.lastHeard = now
		}
	}
	switch {
	case src == addr || src.IsUnspecified():
	case r.elsewhere(src):
		r.conflict(now, src, sll)
	default:
		if e, ok := r.learn(now, src, sll); ok && !e.dead {
			e.lastHeard, e.rssi, e.lqi = now, m.RSSI, m.LQI
		}
	}
	dst, ll := src, sll
	if status != StatusSuccess && src == addr {
		dst, ll = r.refusalTo(aro, sll)
	}
	aro.Status = status
	na := NeighborAdvertisement{Router: true, Solicited: true, Target: msg.Target}
	b, _ := na.AppendBinary(begin(r.buf[:0]))
	b, _ = aro.AppendBinary(b)
	return r.confirm(now, addr, status, b, p.Dst(), dst, hopLimit, ll)
}

// refusalTo returns where the refusal of the source of a solicitation goes: not to whoever
// owns the address, but to the link-local address of the EUI-64 in the option (RFC 6775
// section 6.5.2).
func (r *Router) refusalTo(aro Registration, ll ipv6.LinkAddr) (netip.Addr, ipv6.LinkAddr) {
	if eui := aro.ROVR.Append(nil); len(eui) == 8 && !aro.Extended() && r.wantLen == 8 {
		ll, _ = ipv6.LinkAddrFrom(eui)
	}
	return ipv6.LinkLocal(ll), ll
}

// register does what a registration asks for, of which v is what is to be kept, and returns
// its status. A lifetime of 0 ends the registration.
func (r *Router) register(now time.Time, v Record, aro Registration, m ipv6.Meta) (s Status) {
	defer func() {
		if s != StatusSuccess {
			r.stats.Refused++
			r.log.LogAttrs(context.Background(), slog.LevelDebug, "registration refused",
				slog.Any("addr", v.Addr), slog.Any("lladdr", v.LinkAddr), slog.String("reason", s.String()))
		}
	}()
	if r.isOurs(v.Addr) || aro.Lifetime != 0 && r.taken(v.Addr, v.ROVR) {
		r.stats.Conflicts++
		return StatusDuplicate
	}
	e := r.lookup(v.Addr)
	known := e != nil && e.state == stateRegistered
	if known && !e.until.After(now) {
		r.stats.Expired++
		r.unregister(now, e) // its timer has not come up yet
		e, known = nil, false
	}
	if known {
		if e.rovr != v.ROVR {
			r.conflict(now, v.Addr, v.LinkAddr)
			return StatusDuplicate
		}
		if e.hasTID && v.HasTID {
			switch order := compareTID(v.TID, e.tid); {
			case order == older, order == unordered && e.ll != v.LinkAddr:
				return StatusMoved // a fresher registration stands (RFC 8505 section 4.2.1)
			}
		}
	}
	if aro.Lifetime == 0 {
		if known {
			r.stats.Deregistered++
			r.unregister(now, e)
		}
		return StatusSuccess
	}
	v.Expires = now.Add(time.Duration(aro.Lifetime) * time.Minute)
	if known && r.repeated(e, v) {
		return StatusSuccess // as it was taken
	}
	if !known {
		full := StatusTableFull
		if v.LinkAddr.IsZero() {
			full = StatusRegistryFull
		}
		if r.registered >= r.limits.Registrations || r.owners[v.ROVR] >= r.limits.PerNode {
			return full
		}
		for _, ll := range [...]ipv6.LinkAddr{v.LinkAddr, m.LinkSrc} {
			// A node that makes up owners is stopped by its link-layer address. (One that
			// registers for others, a 6LR, does so with DAR.)
			if n := r.nodes[ll]; !v.LinkAddr.IsZero() && n != nil && n.regs >= r.limits.PerNode {
				return full
			}
		}
		if e == nil {
			e = r.create(now, v.Addr, stateStale)
		}
		r.log.LogAttrs(context.Background(), slog.LevelInfo, "node registered", slog.Any("addr", v.Addr), slog.Any("lladdr", v.LinkAddr))
		r.startCheck(now, v.Addr, aro)
	}
	r.stats.Registrations++
	e.tentative = e.tentative || !known
	r.install(now, e, v)
	r.ev.Registered(now, v.Addr, v.LinkAddr)
	return StatusSuccess
}

// The results of compareTID.
const (
	older = iota - 1
	same
	newer
	unordered
)

// compareTID compares two sequence counters of the lollipop kind (RFC 6550 section 7.2):
// 128 to 255 is the straight part, entered at a restart, 0 to 127 the circular one.
func compareTID(a, b uint8) int {
	const window = 16 // SEQUENCE_WINDOW
	switch {
	case a == b:
		return same
	case a > 127 && b <= 127:
		if 256+int(b)-int(a) <= window {
			return older
		}
		return newer
	case b > 127 && a <= 127:
		if 256+int(a)-int(b) <= window {
			return newer
		}
		return older
	}
	d := int(a) - int(b)
	if a <= 127 {
		// serial number arithmetic (RFC 1982) on seven bits
		d = int(int8(uint8(d)<<1)) >> 1
	}
	switch {
	case d > 0 && d <= window:
		return newer
	case d < 0 && d >= -window:
		return older
	}
	return unordered
}

// handleDAR answers the duplicate address request of a 6LR (RFC 6775 section 8.2.1, RFC
// 8505 section 4.2) for an address that is not registered on this link itself.
func (r *Router) handleDAR(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	msg, err := ParseDuplicateAddress(icmp(p))
	if err != nil {
		return err
	}
	r.stats.DAR++
	if msg.Confirm {
		return DropUnsolicited // we ask nobody
	}
	src := p.Src()
	if !isUnicast(src) || r.isOurs(src) {
		return DropSource
	}
	if p.IsMulticast() {
		return DropDestination
	}
	if msg.Status != StatusSuccess {
		return DropRegistration
	}
	if msg.Addr.IsLinkLocalUnicast() || !r.onLink(msg.Addr) {
		return DropNotOnLink // RFC 6775 section 8.2: not for link-local addresses
	}
	v := Record{Addr: msg.Addr, ROVR: msg.ROVR, TID: msg.TID, HasTID: msg.Extended}
	aro := Registration{ROVR: msg.ROVR, TID: msg.TID, T: msg.Extended, Lifetime: msg.Lifetime}
	msg.Confirm, msg.Status = true, r.register(now, v, aro, m)
	b, err := msg.AppendBinary(begin(r.buf[:0]))
	if err != nil {
		return err
	}
	ll := m.LinkSrc
	if e := r.lookup(src); e != nil && !e.ll.IsZero() {
		ll = e.ll
	} else if v, ok := r.formed(src); ok {
		ll = v
	}
	from := p.Dst()
	if !r.isOurs(from) {
		from = r.abroAddr()
	}
	if err := r.confirm(now, msg.Addr, msg.Status, b, from, src, multihopHopLimit, ll); err != nil {
		return err
	}
	r.stats.DAC++
	return nil
}

// Registered returns how many addresses are registered.
func (r *Router) Registered() int { return r.registered }

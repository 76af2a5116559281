package nd

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// A lanCheck is duplicate address detection for an address that we are to proxy for.
type lanCheck struct {
	addr  netip.Addr
	nonce [6]byte
	aro   Registration // as it came; without a ROVR there is none
	at    time.Time    // end
	done  bool
}

func (l *LAN) proxied(a netip.Addr) bool { return l.cfg.Proxy != nil && l.cfg.Proxy.Proxied(a) }

// ProxyAdd says that a node behind us has newly registered addr (RFC 8929 section 9). Where
// check is set, the link is asked first whether somebody there has it; the result comes with
// LANEvents.ProxyChecked, and until then solicitations for addr are not answered. Without
// check, as for what was registered before a restart or moved within the mesh, the link is
// told of addr at once. [DropTableFull] comes back while too many checks are under way, and
// [DropStopped] while the link is down: then addr is checked when it is up.
func (l *LAN) ProxyAdd(now time.Time, addr netip.Addr, check bool) error {
	return l.proxyAdd(now, addr, check, Registration{})
}

// ProxyRegister is ProxyAdd with a check for an address that is being registered: "the EARO
// from the registration MUST be placed unchanged in the NS(DAD) message" (RFC 8929 section 9).
func (l *LAN) ProxyRegister(now time.Time, addr netip.Addr, aro Registration) error {
	return l.proxyAdd(now, addr, true, aro)
}

func (l *LAN) proxyAdd(now time.Time, addr netip.Addr, check bool, aro Registration) error {
	l.now, addr = now, addr.WithZone("")
	switch {
	case !isUnicast(addr) || addr.Is4In6() || addr.IsLinkLocalUnicast() || l.addr(addr) != nil:
		return DropTarget
	case !l.up:
		if check {
			l.putOff(addr)
		}
		return DropStopped
	case l.checks[addr] != nil:
		return nil // under way
	case !check:
		l.announce(now, addr)
		return nil
	case len(l.checks) >= l.cfg.Limits.Checks:
		return DropTableFull
	}
	if e := l.cache.lookup(addr); e != nil && e.known && e.usable() {
		// It is known already that a node on the link has it: RFC 4862 would find no other.
		l.cache.probe(now, e)
	}
	if aro.ROVR.Len() == 0 {
		aro, _ = l.registration(addr)
	}
	c := &lanCheck{addr: addr, nonce: newNonce(), aro: aro, at: now.Add(tentativeDuration)}
	l.checks[addr] = c
	i, _ := slices.BinarySearchFunc(l.checkQueue, c.at, func(c *lanCheck, t time.Time) int {
		if c.at.After(t) {
			return 1
		}
		return -1
	})
	l.checkQueue = slices.Insert(l.checkQueue, i, c)
	l.dirty = true
	var opts Options
	if aro.ROVR.Len() > 0 {
		opts, _ = aro.AppendBinary(nil)
	}
	l.sendCheck(now, addr, c.nonce, opts)
	l.settle(now)
	return nil
}

// Checking reports whether duplicate address detection for addr is under way.
func (l *LAN) Checking(addr netip.Addr) bool { return l.checks[addr.WithZone("")] != nil }

// ProxyRemove ends what ProxyAdd began; answers end when the [Proxy] does not know addr.
func (l *LAN) ProxyRemove(now time.Time, addr netip.Addr) {
	l.now, addr = now, addr.WithZone("")
	delete(l.unchecked, addr)
	if c := l.checks[addr]; c != nil {
		l.forgetCheck(c)
		l.settle(now)
	}
}

func (l *LAN) forgetCheck(c *lanCheck) {
	c.done = true
	delete(l.checks, c.addr)
	if i := slices.Index(l.checkQueue, c); i >= 0 {
		l.checkQueue = slices.Delete(l.checkQueue, i, i+1)
	}
	l.dirty = true
}

func (l *LAN) checked(now time.Time, c *lanCheck, s Status, ll ipv6.LinkAddr, owner ROVR) {
	l.forgetCheck(c)
	switch s {
	case StatusSuccess:
		l.announce(now, c.addr)
	case StatusDuplicate:
		l.stats.Conflicts++
	}
	l.ev.ProxyChecked(now, c.addr, s, ll, owner)
}

func (l *LAN) advanceChecks(now time.Time) {
	for len(l.checkQueue) > 0 && !l.checkQueue[0].at.After(now) {
		l.checked(now, l.checkQueue[0], StatusSuccess, ipv6.LinkAddr{}, ROVR{})
	}
}

// stopChecks puts off what is under way until the link is up again. Nodes do not wait for that:
// a duplicate is told when it is found.
func (l *LAN) stopChecks() {
	for len(l.checkQueue) > 0 {
		c := l.checkQueue[0]
		l.forgetCheck(c)
		l.putOff(c.addr)
	}
}

func (l *LAN) putOff(addr netip.Addr) {
	if len(l.unchecked) < l.cfg.Limits.Checks {
		l.unchecked[addr] = true
	}
}

// startChecks begins what could not be checked while the link was down.
func (l *LAN) startChecks(now time.Time) {
	list := slices.SortedFunc(maps.Keys(l.unchecked), netip.Addr.Compare)
	clear(l.unchecked)
	for _, a := range list {
		_ = l.ProxyAdd(now, a, true) // there is room for all of them
	}
}

// announce tells the link that addr is reached by us. It has just been found unique, or was
// ours before; no node of a mesh can be on the link as well, so the O flag takes it at once
// from the router it was behind until now (RFC 8929 sections 6 and 7). That is the answer to
// those, too, who have asked for it meanwhile (section 9.1).
func (l *LAN) announce(now time.Time, addr netip.Addr) {
	if e := l.cache.lookup(addr); e != nil && !e.listed {
		l.cache.remove(now, e, DropConflict)
	}
	if src := l.source(); src.IsValid() {
		l.sendNA(now, NeighborAdvertisement{Router: l.isRouter(), Override: true, Target: addr, Options: l.earo(addr, StatusSuccess)}, src, allNodes, ipv6.LinkAddr{})
	}
}

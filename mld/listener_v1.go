package mld

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// updateV1 is a change of what is listened to while an MLDv1 querier is present: only
// beginning and end are told (RFC 2710 section 4).
func (l *Listener) updateV1(now time.Time, m *membership, old Filter) {
	switch {
	case old.IsZero():
		l.announceV1(now, m)
	case m.state.IsZero():
		last := m.lastReporter
		l.forget(m)
		if last {
			l.sendV1(now, m.addr, true)
		}
	}
}

// announceV1 sends the first report of m and has it repeated.
func (l *Listener) announceV1(now time.Time, m *membership) {
	m.lastReporter, m.repeats = true, l.robustness-1
	m.respondAt = time.Time{}
	if m.repeats > 0 {
		m.respondAt = now.Add(l.jitter(minRetransmission, v1UnsolicitedInterval))
	}
	l.schedule(m)
	l.sendV1(now, m.addr, false)
}

// queryV1 is a query to a node in MLDv1 mode (RFC 2710 section 4): "If a timer for any
// address is already running, it is reset to the new random value only if the requested
// Maximum Response Delay is less than the remaining value of the running timer."
func (l *Listener) queryV1(now time.Time, v Query, limit time.Duration) {
	ask := func(m *membership) {
		if m.state.IsZero() {
			return
		}
		if m.respondAt.IsZero() || now.Add(limit).Before(m.respondAt) {
			m.respondAt = now.Add(l.jitter(0, limit))
			l.schedule(m)
		}
	}
	if !v.General() {
		if m := l.groups[v.Group.As16()]; m != nil {
			ask(m)
		}
		return
	}
	for _, m := range l.order {
		ask(m)
	}
}

// suppress is the report of another listener: in MLDv1 mode ours is not needed any more.
func (l *Listener) suppress(group netip.Addr) {
	m := l.groups[group.As16()]
	if m == nil || l.v1Until.IsZero() {
		return
	}
	if !l.cfg.OrdinarySSM && isSSM(m.key) {
		return // RFC 4604 section 2.2.1: MUST NOT allow its report to be suppressed
	}
	m.lastReporter = false
	if !m.respondAt.IsZero() {
		m.respondAt, m.repeats = time.Time{}, 0
		l.schedule(m)
	}
}

// advanceV1 sends the report that m owes.
func (l *Listener) advanceV1(now time.Time, m *membership) {
	m.respondAt, m.lastReporter = time.Time{}, true
	if m.repeats > 0 {
		if m.repeats--; m.repeats > 0 {
			m.respondAt = now.Add(l.jitter(minRetransmission, v1UnsolicitedInterval))
		}
	}
	l.schedule(m)
	l.sendV1(now, m.addr, false)
}

// sendV1 sends a Report to the group, or a Done to all routers (RFC 2710 section 3.7).
func (l *Listener) sendV1(now time.Time, group netip.Addr, done bool) {
	b, err := V1Message{done, group}.AppendBinary(begin(l.buf[:0]))
	if err != nil {
		return
	}
	dst := group
	if done {
		dst = ipv6.AllRouters
	}
	l.buf = nil
	l.transmit(now, b, dst)
	l.buf = b
}

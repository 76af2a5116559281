package mld

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// HandlePacket takes an MLD message that arrived on the link; its checksum has been
// verified ([ipv6.CheckTransport]). It returns nil when the message was consumed, else the
// [Drop] that says why not; [DropType] for messages that only concern routers.
func (l *Listener) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error {
	l.now = now
	err := l.handle(now, p)
	if d, ok := err.(Drop); ok && int(d) < NumDrops {
		l.stats.Dropped[d]++
	}
	return err
}

func (l *Listener) handle(now time.Time, p ipv6.Packet) error {
	b, err := Check(p)
	if b != nil {
		l.stats.Received.add(b[0])
	}
	if err != nil {
		if err == DropSource {
			// "MUST silently discard the message and SHOULD log a warning" (section 5.1.14).
			l.warn(now, "MLD message whose source is not link-local", p.Src())
		}
		return err
	}
	src := p.Src()
	if src == l.source && src.IsValid() {
		return DropOwn
	}
	switch b[0] {
	case ipv6.ICMPMLDQuery:
		v, err := ParseQuery(b)
		if err != nil {
			return err
		}
		l.Advance(now)
		l.query(now, v)
		return nil
	case ipv6.ICMPMLDReport:
		v, err := ParseV1(b)
		if err != nil {
			return err
		}
		if src.IsUnspecified() {
			return DropSource // nobody else heeds it (RFC 3590 section 5)
		}
		l.Advance(now)
		l.suppress(v.Group)
		return nil
	}
	return DropType
}

// warn logs at most one warning in ten minutes.
func (l *Listener) warn(now time.Time, msg string, addr netip.Addr) {
	if !l.warned.IsZero() && now.Sub(l.warned) < warnInterval {
		return
	}
	l.warned = now
	l.log.LogAttrs(context.Background(), slog.LevelWarn, msg, slog.String("link", l.cfg.Name), slog.Any("addr", addr))
}

// query answers a query, after a while (section 6.2).
func (l *Listener) query(now time.Time, v Query) {
	if v.Version == 1 && v.General() && !l.cfg.Version2Only {
		if l.v1Until.IsZero() {
			l.log.LogAttrs(context.Background(), slog.LevelInfo, "MLDv1 querier on the link", slog.String("link", l.cfg.Name))
			l.stats.VersionFallbacks++
			l.cancel()
		}
		// "([Robustness Variable] times [Query Interval] in the last Query received) plus
		// ([Query Response Interval])" (section 9.12), which is what this query gives.
		response := v.MaxResponse
		if response <= 0 {
			response = l.cfg.QueryResponseInterval
		}
		l.v1Until = now.Add(time.Duration(l.robustness)*l.interval + response)
	}
	if v.Version == 1 && !v.General() && !l.cfg.OrdinarySSM && IsSSM(v.Group) {
		// RFC 4604 section 2.2.5: SHOULD log an error, and process it.
		l.warn(now, "MLDv1 query for a source-specific group: routers disagree about their range", v.Group)
	}
	if v.Version == 2 {
		l.robustness, l.interval = l.cfg.Robustness, l.cfg.QueryInterval
		if v.QRV != 0 {
			l.robustness = int(v.QRV)
		}
		if v.QQI != 0 {
			l.interval = v.QQI
		}
	}
	limit := max(v.MaxResponse, minResponse)
	if !l.v1Until.IsZero() {
		l.queryV1(now, v, limit)
		return
	}
	at := now.Add(l.jitter(0, limit))
	if v.General() {
		if l.active > 0 && (l.generalAt.IsZero() || at.Before(l.generalAt) || l.left > 0) {
			if l.left == 0 {
				l.cursor = 0
			}
			l.generalAt, l.generalUntil = earlier(l.generalAt, at), now.Add(limit)
			l.left = len(l.order)
		}
		return
	}
	m := l.groups[v.Group.As16()]
	if m == nil || m.state.IsZero() {
		return
	}
	// "If there is a pending response to a previous General Query scheduled sooner than the
	// selected delay, no additional response needs to be scheduled."
	if !l.generalAt.IsZero() && !l.generalAt.After(at) && l.left == len(l.order) && l.fitsOne() {
		return
	}
	n := v.Sources.Len()
	switch {
	case m.respondAt.IsZero():
		m.respondAt, m.asked = at, nil
		if n > 0 {
			m.ask(v.Sources, l.cfg.Limits.Sources)
		}
	case n == 0 || len(m.asked) == 0:
		m.asked, m.respondAt = nil, earlier(m.respondAt, at)
	default:
		m.ask(v.Sources, l.cfg.Limits.Sources)
		m.respondAt = earlier(m.respondAt, at)
	}
	l.schedule(m)
}

// fitsOne reports whether the answer to a General Query is surely a single report, that says
// of every group what is to be said.
func (l *Listener) fitsOne() bool {
	n := reportHdr
	for _, m := range l.order {
		n += recordHdr + sourceLen*len(m.state.Sources)
	}
	return n <= l.cfg.MTU-overhead
}

// ask records the sources that a query asks for. Too many of them: all are reported.
func (m *membership) ask(list SourceList, limit int) {
	for i := range list.Len() {
		a := list.At(i)
		if slices.Contains(m.asked, a) {
			continue
		}
		if len(m.asked) == limit {
			m.asked = nil
			return
		}
		m.asked = append(m.asked, a)
	}
}

// answerGeneral sends one report of the answer to a General Query: a current-state record
// for as many groups as fit. The rest is spread over the time that the querier gave (section
// 6.3).
func (l *Listener) answerGeneral(now time.Time) {
	room := l.cfg.MTU - overhead - reportHdr
	used := 0
	for l.left > 0 {
		if l.cursor >= len(l.order) {
			l.cursor = 0
		}
		m := l.order[l.cursor]
		n := recordHdr + sourceLen*len(m.state.Sources)
		if used > 0 && used+n > room {
			break
		}
		l.cursor++
		l.left--
		if m.state.IsZero() {
			continue
		}
		used += n
		l.addState(m.state, m.addr)
	}
	l.flush(now)
	if l.left == 0 {
		l.generalAt, l.cursor = time.Time{}, 0
		return
	}
	reports := 1 + l.left*recordHdr/room
	wait := l.generalUntil.Sub(now) / time.Duration(reports)
	l.generalAt = now.Add(l.jitter(minResponse, max(wait, minRetransmission)))
}

// addState adds the current-state record of a group.
func (l *Listener) addState(f Filter, group netip.Addr) {
	if f.Mode == Exclude {
		l.add(IsExclude, group, f.Sources)
	} else if len(f.Sources) > 0 {
		l.add(IsInclude, group, f.Sources)
	}
}

// addResponse adds the answer to a specific query (section 6.3, table 3).
func (l *Listener) addResponse(m *membership) {
	asked := m.asked
	m.respondAt, m.asked = time.Time{}, nil
	if len(asked) == 0 {
		l.addState(m.state, m.addr)
		return
	}
	asked = slices.DeleteFunc(asked, func(a netip.Addr) bool { return !m.state.Wants(a) })
	if len(asked) > 0 {
		l.add(IsInclude, m.addr, asked)
	}
}

package mld

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// addChange adds the state-change records of m (section 6.1, table 2) and counts them as
// sent.
func (l *Listener) addChange(m *membership) {
	if m.modeLeft > 0 {
		m.modeLeft--
		typ := ToInclude
		if m.state.Mode == Exclude {
			typ = ToExclude
		}
		l.add(typ, m.addr, m.state.Sources)
	} else {
		var allow, block []netip.Addr
		for _, s := range m.retrans {
			if m.state.Wants(s.addr) {
				allow = append(allow, s.addr)
			} else {
				block = append(block, s.addr)
			}
		}
		if len(allow) > 0 {
			l.add(Allow, m.addr, allow)
		}
		if len(block) > 0 {
			l.add(Block, m.addr, block)
		}
	}
	// "Each time a State-Change Report is sent, the counter is decreased by one unit."
	keep := m.retrans[:0]
	for _, s := range m.retrans {
		if s.left--; s.left > 0 {
			keep = append(keep, s)
		}
	}
	m.retrans = keep
}

// add adds a record to the report being built. One that does not fit any more begins the
// next report; one that does not fit in a report is split over several, where its type is
// not IS_EX or TO_EX, else cut short (section 5.2.16).
func (l *Listener) add(typ RecordType, group netip.Addr, sources []netip.Addr) {
	room := l.cfg.MTU - overhead
	for {
		if l.records == 0 {
			l.report = appendReportHeader(begin(l.report[:0]), 0)
		}
		n := recordHdr + sourceLen*len(sources)
		if l.records > 0 && len(l.report)-overhead+n > room {
			l.flush(l.now)
			continue
		}
		fit := min(len(sources), (room-reportHdr-recordHdr)/sourceLen)
		l.src = AppendSources(l.src[:0], sources[:fit]...)
		l.report, _ = Record{typ, group, l.src}.AppendBinary(l.report)
		l.records++
		if fit == len(sources) || typ == IsExclude || typ == ToExclude {
			return
		}
		sources = sources[fit:]
	}
}

// flush sends the report being built.
func (l *Listener) flush(now time.Time) {
	if l.records == 0 {
		return
	}
	b := l.report
	b[overhead+6], b[overhead+7] = uint8(l.records>>8), uint8(l.records)
	l.records, l.report = 0, nil // a Sender that calls back must not find it in use
	l.transmit(now, b, ipv6.AllMLDv2Routers)
	l.report = b
}

// transmit completes and sends the message in b, that begin began.
func (l *Listener) transmit(now time.Time, b []byte, dst netip.Addr) {
	src := l.source
	if !src.IsValid() {
		src = unspecified
	}
	p := finish(b, src, dst)
	l.stats.Sent.add(b[overhead])
	l.out.SendPacket(now, p, ipv6.LinkAddr{})
}

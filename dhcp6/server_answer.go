package dhcp6

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// validate does the checks of RFC 8415 section 16.
func (s *Server) validate(q *query) error {
	m := q.m
	switch m.typ {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		if q.unicast {
			return DropUnicast // section 16: MUST discard
		}
		if m.server != "" {
			return DropServerID
		}
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		if m.server == "" {
			return DropNoServerID
		}
		if m.server != s.cfg.DUID {
			return DropServerID
		}
	case dhcpv6.MessageTypeInformationRequest:
		if q.unicast {
			return DropUnicast
		}
		if m.server != "" && m.server != s.cfg.DUID {
			return DropServerID
		}
		if len(m.nas)+len(m.pds) > 0 {
			return DropUnwanted // section 16.12
		}
		return nil // a Client Identifier may be missing
	default:
		return DropType
	}
	if m.client == "" {
		return DropNoClientID
	}
	return nil
}

// answer returns what is sent back.
func (s *Server) answer(now time.Time, q *query) (*builder, error) {
	if err := s.validate(q); err != nil {
		return nil, err
	}
	m := q.m
	if s.cfg.Busy != nil && s.binds(q) && s.cfg.Busy() {
		return nil, DropBusy
	}
	b := newMessage(dhcpv6.MessageTypeReply, m.xid)
	b.duid(dhcpv6.OptionClientID, m.client)
	b.duid(dhcpv6.OptionServerID, s.cfg.DUID)
	if q.unicast {
		// Section 18.4: Request, Renew, Release and Decline.
		s.stats.Multicast++
		b.status(statusUseMulticast, "use multicast")
		return b, nil
	}
	switch m.typ {
	case dhcpv6.MessageTypeSolicit:
		commit := m.rapid && s.cfg.RapidCommit
		if commit {
			b.option(dhcpv6.OptionRapidCommit, nil)
		} else {
			b.MessageType = dhcpv6.MessageTypeAdvertise
		}
		if s.cfg.Preference > 0 && !commit {
			b.option(dhcpv6.OptionPreference, []byte{s.cfg.Preference})
		}
		s.assign(now, q, b, commit)
		s.configuration(q, b)
	case dhcpv6.MessageTypeRequest:
		s.assign(now, q, b, true)
		s.configuration(q, b)
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		if err := s.extend(now, q, b); err != nil {
			return nil, err
		}
		s.configuration(q, b)
	case dhcpv6.MessageTypeConfirm:
		if err := s.confirm(q, b); err != nil {
			return nil, err
		}
	case dhcpv6.MessageTypeRelease:
		s.giveBack(now, q, b, func(d *Binding) {
			s.stats.Released++
			s.unbind(now, d)
		})
	case dhcpv6.MessageTypeDecline:
		s.giveBack(now, q, b, func(d *Binding) {
			s.stats.Declined++
			s.decline(now, d)
		})
	case dhcpv6.MessageTypeInformationRequest:
		s.configuration(q, b)
		if s.cfg.Refresh > 0 && m.wants(dhcpv6.OptionInformationRefreshTime) {
			b.u32(dhcpv6.OptionInformationRefreshTime, whole(s.cfg.Refresh))
		}
	}
	return b, nil
}

// binds reports whether a message can make, change or end bindings.
func (s *Server) binds(q *query) bool {
	switch q.m.typ {
	case dhcpv6.MessageTypeInformationRequest, dhcpv6.MessageTypeConfirm:
		return false
	case dhcpv6.MessageTypeSolicit:
		return q.m.rapid && s.cfg.RapidCommit
	}
	return !q.unicast
}

// whole returns a time in seconds as it is put into options.
func whole(d time.Duration) uint32 { return uint32(min(max(d/time.Second, 0), infinity)) }

// configuration adds what the client asked to be told.
func (s *Server) configuration(q *query, b *builder) {
	if q.m.wants(dhcpv6.OptionDNSRecursiveNameServer) {
		b.addrs(dhcpv6.OptionDNSRecursiveNameServer, s.cfg.DNS)
	}
	if q.m.wants(dhcpv6.OptionDomainSearchList) {
		b.domains(s.cfg.Domains)
	}
	if q.m.wants(dhcpv6.OptionSNTPServerList) {
		b.addrs(dhcpv6.OptionSNTPServerList, s.cfg.SNTP)
	}
	if q.m.wants(dhcpv6.OptionNTPServer) {
		b.ntp(s.cfg.NTP, s.cfg.NTPNames)
	}
	if s.cfg.SolMaxRT > 0 && q.m.hasORO && q.m.wants(dhcpv6.OptionSolMaxRT) {
		b.u32(dhcpv6.OptionSolMaxRT, min(max(whole(s.cfg.SolMaxRT), minMaxRT), maxMaxRT))
	}
	if s.cfg.InfMaxRT > 0 && q.m.hasORO && q.m.wants(dhcpv6.OptionInfMaxRT) {
		b.u32(dhcpv6.OptionInfMaxRT, min(max(whole(s.cfg.InfMaxRT), minMaxRT), maxMaxRT))
	}
}

// lease returns an IA Address with the lifetimes of the configuration.
func (s *Server) lease(now time.Time, a netip.Addr) leased {
	preferred, valid := s.lifetimes(now)
	return leased{prefix: netip.PrefixFrom(a, 128), preferred: whole(preferred), valid: whole(valid)}
}

// lifetimes returns those of a lease given now.
func (s *Server) lifetimes(now time.Time) (preferred, valid time.Duration) {
	bound := func(d time.Duration, until time.Time) time.Duration {
		if until.IsZero() {
			return d
		}
		return max(min(d, until.Sub(now)), 0)
	}
	valid = bound(s.cfg.ValidLifetime, s.validUntil)
	return min(bound(s.cfg.PreferredLifetime, s.preferredUntil), valid), valid
}

func (s *Server) timed(now time.Time, id uint32, leases ...leased) ia {
	t1, t2 := s.cfg.T1, s.cfg.T2
	if preferred, _ := s.lifetimes(now); preferred < s.cfg.PreferredLifetime {
		t1, t2 = min(t1, preferred/2), min(t2, preferred*8/10)
	}
	return ia{id: id, t1: whole(t1), t2: whole(t2), leases: leases}
}

// assign answers the IAs of a Solicit or Request (RFC 8415 sections 18.3.1, 18.3.2); with
// commit, what is given is bound.
func (s *Server) assign(now time.Time, q *query, b *builder, commit bool) {
	given := make(map[netip.Addr]bool)
	_, valid := s.lifetimes(now)
	alive := valid >= time.Second // else the prefix of the link has ended
	for i := range q.m.nas {
		x := &q.m.nas[i]
		// MUST, whatever is bound already. In a Solicit they are but hints.
		if q.m.typ == dhcpv6.MessageTypeRequest && s.cfg.Prefix.IsValid() && slices.ContainsFunc(x.leases, s.offLink) {
			s.stats.NotOnLink++
			b.na(ia{id: x.id, status: statusNotOnLink}, "not on link")
			continue
		}
		if mine := s.ours(q.m.client, x.id); len(mine) > 0 {
			// The client lost its lease, or the Reply was lost: the same again.
			out := s.timed(now, x.id)
			for _, m := range mine {
				out.leases = append(out.leases, s.lease(now, m.Addr))
				if commit {
					s.bind(now, q, x, m.Addr)
				}
			}
			b.na(out, "")
			continue
		}
		a, ok := s.choose(q, x, given)
		if !ok || !s.room(q) || !alive {
			s.stats.Refused++
			b.na(ia{id: x.id, status: statusNoAddrsAvail}, "no addresses")
			continue
		}
		given[a] = true
		if commit {
			s.bind(now, q, x, a)
		}
		b.na(s.timed(now, x.id, s.lease(now, a)), "")
	}
	for _, x := range q.m.pds {
		b.pd(ia{id: x.id, status: statusNoPrefixAvail}, "no prefixes")
	}
}

// offLink reports whether an address does not fit the link.
func (s *Server) offLink(l leased) bool { return s.cfg.Prefix.IsValid() && !s.onLink(l.prefix.Addr()) }

// extend answers the IAs of a Renew or Rebind (sections 18.3.4, 18.3.5). A client that has
// no binding and asks for an address that is free and fits the link gets it: the table may
// have been lost, and not the client. One whose addresses fit no more gets another in the
// same answer. A Rebind makes bindings only where a Solicit can: other servers hear it too.
func (s *Server) extend(now time.Time, q *query, b *builder) error {
	known := len(q.m.nas)+len(q.m.pds) > 0
	if !known {
		return DropUnwanted
	}
	_, valid := s.lifetimes(now)
	create := (q.m.typ == dhcpv6.MessageTypeRenew || s.cfg.RapidCommit) && valid >= time.Second
	for i := range q.m.nas {
		x := &q.m.nas[i]
		mine := s.ours(q.m.client, x.id)
		out := s.timed(now, x.id)
		for _, m := range mine {
			out.leases = append(out.leases, s.lease(now, m.Addr))
			s.bind(now, q, x, m.Addr)
		}
		if len(mine) == 0 && create {
			own, hasOwn := s.own(q.peer)
			for _, l := range x.leases {
				a := l.prefix.Addr()
				if (s.inPool(a) || hasOwn && a == own) && s.free(q, a) && s.room(q) {
					s.bind(now, q, x, a)
					out.leases = append(out.leases, s.lease(now, a))
					break
				}
			}
			if len(out.leases) == 0 && !slices.ContainsFunc(x.leases, func(l leased) bool { return !s.offLink(l) }) {
				// A further IA (section 18.2.4), or one from another link.
				if a, ok := s.choose(q, x, nil); ok && s.room(q) {
					s.bind(now, q, x, a)
					out.leases = append(out.leases, s.lease(now, a))
				}
			}
		}
		// What is not appropriate for the link, or another's, is taken back.
		got := len(out.leases)
		for _, l := range x.leases {
			same := func(o leased) bool { return o.prefix == l.prefix }
			if !slices.ContainsFunc(out.leases, same) && (got > 0 || s.offLink(l)) {
				out.leases = append(out.leases, leased{prefix: l.prefix})
			}
		}
		if len(out.leases) == 0 {
			if len(x.leases) == 0 && (create || q.m.typ == dhcpv6.MessageTypeRenew) {
				s.stats.Refused++
				b.na(ia{id: x.id, status: statusNoAddrsAvail}, "no addresses")
				continue
			}
			s.stats.NoBindings++
			b.na(ia{id: x.id, status: statusNoBinding}, "no binding")
			continue
		}
		if got == 0 {
			out.t1, out.t2 = 0, 0
		}
		b.na(out, "")
	}
	for _, x := range q.m.pds {
		if len(x.leases) == 0 {
			b.pd(ia{id: x.id, status: statusNoPrefixAvail}, "no prefixes")
			continue
		}
		s.stats.NoBindings++
		b.pd(ia{id: x.id, status: statusNoBinding}, "no binding")
	}
	return nil
}

// confirm answers whether the addresses fit the link (section 18.3.3).
func (s *Server) confirm(q *query, b *builder) error {
	if !s.cfg.Prefix.IsValid() {
		return DropLink // unable to tell: MUST NOT send a Reply
	}
	addrs, off := 0, false
	for _, x := range q.m.nas {
		for _, l := range x.leases {
			addrs++
			off = off || !s.onLink(l.prefix.Addr())
		}
	}
	switch {
	case addrs == 0:
		return DropUnwanted // MUST NOT send a Reply
	case off:
		s.stats.NotOnLink++
		b.status(statusNotOnLink, "not on link")
	default:
		b.status(statusSuccess, "on link")
	}
	return nil
}

// giveBack answers a Release or Decline (sections 18.3.7, 18.3.8).
func (s *Server) giveBack(now time.Time, q *query, b *builder, f func(*Binding)) {
	b.status(statusSuccess, "done")
	for _, x := range q.m.nas {
		// Addresses that are not bound to the IA are ignored; NoBinding is said of the IA.
		found := len(s.ours(q.m.client, x.id)) > 0
		for _, l := range x.leases {
			d := s.bindings[l.prefix.Addr()]
			if d != nil && !d.Declined && d.Client == q.m.client && d.IAID == x.id {
				f(d)
			}
		}
		if !found {
			s.stats.NoBindings++
			b.na(ia{id: x.id, status: statusNoBinding}, "no binding")
		}
	}
	for _, x := range q.m.pds {
		s.stats.NoBindings++
		b.pd(ia{id: x.id, status: statusNoBinding}, "no binding")
	}
}

package dhcp6

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"border-router/internal/timerq"
)

// A Server answers the clients of one link (RFC 8415 section 18.3), and those that relays
// speak for.
type Server struct {
	cfg    ServerConfig
	limits ServerLimits
	out    Sender
	ev     ServerEvents
	log    *slog.Logger
	rnd    *rand.Rand

	bindings    map[netip.Addr]*Binding
	expiry      timerq.Queue[netip.Addr]
	first, last netip.Addr // of the pool; invalid: none
	poolSize    uint64
	stats       ServerStats

	preferredUntil, validUntil time.Time // of the prefix; zero: no end
}

// NewServer returns a server that sends through out and tells ev, which may be nil.
func NewServer(cfg ServerConfig, out Sender, ev ServerEvents) *Server {
	s := &Server{limits: cfg.Limits.withDefaults(), out: out, ev: ev, log: cfg.Logger, rnd: cfg.Rand,
		bindings: make(map[netip.Addr]*Binding)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("link", cfg.Name)
	if s.rnd == nil {
		s.rnd = newRand()
	}
	s.configure(cfg)
	return s
}

func (s *Server) configure(cfg ServerConfig) {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.PreferredLifetime, 12*time.Hour)
	def(&cfg.ValidLifetime, max(24*time.Hour, cfg.PreferredLifetime))
	cfg.ValidLifetime = max(cfg.ValidLifetime, cfg.PreferredLifetime)
	def(&cfg.T1, cfg.PreferredLifetime/2)
	def(&cfg.T2, max(cfg.PreferredLifetime*8/10, cfg.T1))
	cfg.T2 = max(cfg.T2, cfg.T1)
	cut := func(list []netip.Addr) []netip.Addr { return slices.Clone(list[:min(len(list), maxServers)]) }
	cfg.DNS, cfg.SNTP, cfg.NTP = cut(cfg.DNS), cut(cfg.SNTP), cut(cfg.NTP)
	cfg.Domains = slices.Clone(cfg.Domains[:min(len(cfg.Domains), maxDomains)])
	cfg.NTPNames = slices.Clone(cfg.NTPNames[:min(len(cfg.NTPNames), maxServers)])
	if cfg.Refresh > 0 {
		cfg.Refresh = max(cfg.Refresh, irtMinimum)
	}
	s.cfg = cfg
	s.pool()
}

// SetPrefix changes the prefix of the link, with the pool in it, as when another was
// delegated. Bindings outside it end; clients learn it when they renew, or from the router
// advertisements that take the old prefix back.
func (s *Server) SetPrefix(now time.Time, p netip.Prefix, first, last netip.Addr) {
	s.cfg.Prefix, s.cfg.First, s.cfg.Last = p, first, last
	s.preferredUntil, s.validUntil = time.Time{}, time.Time{}
	s.pool()
	for _, b := range s.Bindings() {
		// An owner that calls back may have ended it already, or set yet another prefix.
		if b := s.bindings[b.Addr]; b != nil && !s.onLink(b.Addr) {
			s.unbind(now, b)
		}
	}
}

// SetLifetimes bounds the lifetimes of leases by those of what the prefix was cut out of; the
// zero Time is no bound. [Server.SetPrefix] takes it back.
func (s *Server) SetLifetimes(preferred, valid time.Time) {
	s.preferredUntil, s.validUntil = preferred, valid
}

// SetConfiguration changes what clients are told: resolvers, search list and time servers.
func (s *Server) SetConfiguration(dns []netip.Addr, domains []string, sntp, ntp []netip.Addr) {
	cfg := s.cfg
	cfg.DNS, cfg.Domains, cfg.SNTP, cfg.NTP = dns, domains, sntp, ntp
	s.configure(cfg)
}

// Stats returns a copy of the counters.
func (s *Server) Stats() ServerStats {
	st := s.stats
	st.Bindings = len(s.bindings)
	for _, b := range s.bindings {
		if b.Declined {
			st.Quarantined++
		}
	}
	return st
}

// Deadline returns when [Server.Advance] has to be called next, the zero Time for never.
func (s *Server) Deadline() time.Time { return s.expiry.Next() }

// Advance does everything that is due at or before now.
func (s *Server) Advance(now time.Time) {
	for {
		a, ok := s.expiry.Pop(now)
		if !ok {
			return
		}
		if b := s.bindings[a]; b != nil {
			if !b.Declined {
				s.stats.Expired++
			}
			s.unbind(now, b)
		}
	}
}

// A query is a message of a client and how it came.
type query struct {
	m       *message
	peer    netip.Addr // the client's address on its link
	unicast bool       // sent to an address of ours, and not by a relay
	relayed bool
}

// HandleMessage takes a message that arrived on port 547, sent to the group of servers and
// relays, of a client or a relay. The error is a [Drop], and counted. payload is not kept.
func (s *Server) HandleMessage(now time.Time, src netip.AddrPort, payload []byte) error {
	return s.drop(s.handle(now, src, payload, false))
}

// HandleUnicast is HandleMessage for what was sent to a unicast address of ours, as relays
// do and clients must not.
func (s *Server) HandleUnicast(now time.Time, src netip.AddrPort, payload []byte) error {
	return s.drop(s.handle(now, src, payload, true))
}

func (s *Server) drop(err error) error {
	if d, ok := err.(Drop); ok {
		s.stats.Dropped[d]++
	}
	return err
}

func (s *Server) handle(now time.Time, src netip.AddrPort, payload []byte, unicast bool) error {
	s.Advance(now)
	peer := src.Addr().WithZone("")
	if !peer.Is6() || peer.Is4In6() || peer.IsMulticast() || peer.IsUnspecified() {
		return DropSource
	}
	if isRelay(payload) {
		return s.relayed(now, src, payload)
	}
	m, err := parse(payload)
	if err != nil {
		return err
	}
	b, err := s.answer(now, &query{m: m, peer: peer, unicast: unicast})
	if err != nil {
		return err
	}
	s.stats.Received.count(uint8(m.typ))
	s.stats.Sent.count(uint8(b.MessageType))
	s.out.SendUDP(now, netip.AddrPortFrom(src.Addr(), ClientPort), b.ToBytes())
	return nil
}

// relayed takes a Relay-forward: answers the message inside, through the same relays.
func (s *Server) relayed(now time.Time, src netip.AddrPort, payload []byte) error {
	var chain [hopCountLimit + 1]relayed
	n, inner := 0, payload
	for isRelay(inner) {
		if n == len(chain) {
			return DropHopCount
		}
		r, err := parseRelay(inner)
		if err != nil {
			return err
		}
		if r.typ != dhcpv6.MessageTypeRelayForward {
			return DropType
		}
		if r.hops > hopCountLimit {
			return DropHopCount
		}
		chain[n] = r
		n++
		inner = r.inner
	}
	// RFC 8415 section 13.1: the link is that of the relay closest to the client that
	// gives one.
	known := false
	for i := n - 1; i >= 0; i-- {
		if l := chain[i].link; !l.IsUnspecified() && !l.IsLinkLocalUnicast() {
			if s.cfg.Prefix.IsValid() && !s.onLink(l) {
				return DropLink
			}
			known = true
			break
		}
	}
	m, err := parse(inner)
	if err != nil {
		return err
	}
	// Configuration alone is the same for every link; addresses are not.
	if !known && m.typ != dhcpv6.MessageTypeInformationRequest {
		return DropLink
	}
	b, err := s.answer(now, &query{m: m, peer: chain[n-1].peer, relayed: true})
	if err != nil {
		return err
	}
	s.stats.Relayed++
	s.stats.Received.count(uint8(m.typ))
	s.stats.Sent.count(uint8(b.MessageType))
	out := b.ToBytes()
	for i := n - 1; i >= 0; i-- {
		r := chain[i]
		r.typ, r.inner = dhcpv6.MessageTypeRelayReply, out
		out = r.append(nil)
	}
	port := uint16(ServerPort)
	if chain[0].relayPort { // RFC 8357 section 5.2
		port = src.Port()
	}
	s.out.SendUDP(now, netip.AddrPortFrom(src.Addr(), port), out)
	return nil
}

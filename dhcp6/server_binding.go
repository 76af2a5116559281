package dhcp6

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"
)

// Bindings returns what is leased and what rests after a Decline, ordered by address.
func (s *Server) Bindings() []Binding {
	list := make([]Binding, 0, len(s.bindings))
	for _, b := range s.bindings {
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Binding) int { return a.Addr.Compare(b.Addr) })
	return list
}

// Restore takes over bindings that were kept over a restart, as far as they still hold
// and the limits allow.
func (s *Server) Restore(now time.Time, list []Binding) {
	for _, b := range list {
		if !b.Client.Valid() && !b.Declined || due(b.Valid, now) || !s.onLink(b.Addr) || s.bindings[b.Addr] != nil ||
			len(s.bindings) >= s.limits.Bindings {
			continue
		}
		kept := b
		s.bindings[b.Addr] = &kept
		s.expiry.Set(b.Addr, b.Valid)
	}
}

// onLink reports whether an address is appropriate for the link of the clients.
func (s *Server) onLink(a netip.Addr) bool { return s.cfg.Prefix.IsValid() && s.cfg.Prefix.Contains(a) }

// ours returns the bindings of an IA, ordered by address.
func (s *Server) ours(client DUID, iaid uint32) (list []*Binding) {
	for _, b := range s.bindings {
		if b.Client == client && b.IAID == iaid && !b.Declined {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b *Binding) int { return a.Addr.Compare(b.Addr) })
	return list
}

// room reports whether a client may have one more binding.
func (s *Server) room(q *query) bool {
	if len(s.bindings) >= s.limits.Bindings {
		return false
	}
	client, peer := 0, 0
	for _, b := range s.bindings {
		if !b.Declined && b.Client == q.m.client {
			client++
		}
		if b.Peer == q.peer { // also those it declined: it cannot use up the pool that way
			peer++
		}
	}
	return client < s.limits.PerClient && peer < s.limits.PerClient
}

// free reports whether an address can be leased to the one who asks.
func (s *Server) free(q *query, a netip.Addr) bool {
	return s.onLink(a) && s.bindings[a] == nil && !s.reserved(a) && (s.cfg.InUse == nil || !s.cfg.InUse(a, q.peer))
}

// reserved reports whether an address of the link is nobody's to have: the anycast address
// of its routers, and those of RFC 2526.
func (s *Server) reserved(a netip.Addr) bool {
	if a == s.cfg.Prefix.Masked().Addr() {
		return true
	}
	b := a.As16()
	return s.cfg.Prefix.Bits() <= 64 && [7]byte(b[8:15]) == [7]byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} && b[15] >= 0x80
}

// inPool reports whether an address is one that may be leased to anyone.
func (s *Server) inPool(a netip.Addr) bool {
	return s.first.IsValid() && s.first.Compare(a) <= 0 && a.Compare(s.last) <= 0
}

// own returns the address that belongs to the client with an address on the link: the
// interface identifiers are the same. ok is false where there is none.
func (s *Server) own(peer netip.Addr) (a netip.Addr, ok bool) {
	if s.cfg.PoolOnly || !s.cfg.Prefix.IsValid() || s.cfg.Prefix.Bits() > 64 || !peer.IsLinkLocalUnicast() {
		return a, false
	}
	to, from := s.cfg.Prefix.Masked().Addr().As16(), peer.As16()
	copy(to[8:], from[8:])
	a = netip.AddrFrom16(to)
	return a, !s.reserved(a)
}

// choose returns an address for an IA: what the client asks for where it may have it, its
// own, else one of the pool: the one its DUID points at, or the next that is free.
// Those in given are promised to other IAs of the message.
func (s *Server) choose(q *query, x *ia, given map[netip.Addr]bool) (netip.Addr, bool) {
	own, hasOwn := s.own(q.peer)
	for _, l := range x.leases {
		if a := l.prefix.Addr(); (s.inPool(a) || hasOwn && a == own) && !given[a] && s.free(q, a) {
			return a, true
		}
	}
	if hasOwn && !given[own] && s.free(q, own) {
		return own, true
	}
	if !s.first.IsValid() {
		return netip.Addr{}, false
	}
	h := fnv.New64a()
	h.Write([]byte(q.m.client))
	h.Write([]byte{byte(x.id >> 24), byte(x.id >> 16), byte(x.id >> 8), byte(x.id)})
	at := h.Sum64() % s.poolSize
	// As many tries as there are bindings find a free one, if only leases are in the way.
	for n := uint64(0); n < min(s.poolSize, uint64(len(s.bindings)+len(given))+16); n++ {
		if a := addTo(s.first, (at+n)%s.poolSize); !given[a] && s.free(q, a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// bind makes or extends a binding.
func (s *Server) bind(now time.Time, q *query, x *ia, a netip.Addr) *Binding {
	b := s.bindings[a]
	if b == nil {
		b = &Binding{Client: q.m.client, IAID: x.id, Addr: a}
		s.bindings[a] = b
	}
	b.Peer = q.peer
	preferred, valid := s.lifetimes(now)
	b.Preferred, b.Valid = now.Add(preferred), now.Add(valid)
	s.expiry.Set(a, b.Valid)
	s.stats.Leased++
	if s.ev != nil {
		s.ev.Bound(now, *b)
	}
	return b
}

// unbind takes a binding out.
func (s *Server) unbind(now time.Time, b *Binding) {
	delete(s.bindings, b.Addr)
	s.expiry.Remove(b.Addr)
	if s.ev != nil && !b.Declined {
		s.ev.Unbound(now, *b)
	}
}

// decline lets the address of a binding rest (RFC 8415 section 18.3.8).
func (s *Server) decline(now time.Time, b *Binding) {
	b.Declined, b.Client, b.IAID = true, "", 0
	b.Valid = now.Add(s.limits.Rest)
	b.Preferred = b.Valid
	s.expiry.Set(b.Addr, b.Valid)
	if s.ev != nil {
		s.ev.Unbound(now, *b)
	}
	s.log.Warn("address declined: in use by another", "addr", b.Addr, "peer", b.Peer)
}

// addTo returns a + n.
func addTo(a netip.Addr, n uint64) netip.Addr {
	b := a.As16()
	for i := 15; i >= 0 && n > 0; i-- {
		sum := uint64(b[i]) + n&0xff
		b[i] = byte(sum)
		n = n>>8 + sum>>8
	}
	return netip.AddrFrom16(b)
}

// distance returns how many addresses there are from a to b, at most limit.
func distance(a, b netip.Addr, limit uint64) uint64 {
	x, y := a.As16(), b.As16()
	if b.Less(a) {
		return 0
	}
	var d [16]byte
	borrow := 0
	for i := 15; i >= 0; i-- {
		v := int(y[i]) - int(x[i]) - borrow
		borrow = 0
		if v < 0 {
			v, borrow = v+256, 1
		}
		d[i] = byte(v)
	}
	var n uint64
	for _, v := range d {
		if n = n<<8 | uint64(v); n >= limit {
			return limit
		}
	}
	return min(n+1, limit)
}

// The pool by default.
const (
	poolStart = 0x10000
	poolLen   = 0x10000
)

// pool sets the bounds of what is leased to anyone.
func (s *Server) pool() {
	s.first, s.last, s.poolSize = netip.Addr{}, netip.Addr{}, 0
	p := s.cfg.Prefix.Masked()
	if !p.IsValid() {
		return
	}
	first, last := s.cfg.First, s.cfg.Last
	if !first.IsValid() || !last.IsValid() || !p.Contains(first) || !p.Contains(last) {
		if first, last = addTo(p.Addr(), poolStart), addTo(p.Addr(), poolStart+poolLen-1); !p.Contains(last) {
			first, last = addTo(p.Addr(), 1), lastOf(p)
		}
	}
	if n := distance(first, last, 1<<32); n > 0 && first.Is6() {
		s.first, s.last, s.poolSize = first, last, n
	}
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b)
}

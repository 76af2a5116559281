package router

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// Multicast is what the router needs of multicast listener discovery on a port: who on
// the link listens to which group. Package mld has the machines.
type Multicast interface {
	Machine
	// HandlePacket takes an MLD message whose checksum has been verified. nil means
	// consumed, an error is the drop reason.
	HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error
	// Wants reports whether a packet from src to group is to be forwarded onto the link:
	// it has a listener there, and it is us who serves it. It allocates nothing.
	Wants(now time.Time, group, src netip.Addr) bool
	// Listeners appends the link-layer addresses of the group's listeners to list, and
	// reports whether these are all of them.
	Listeners(group netip.Addr, list []ipv6.LinkAddr) ([]ipv6.LinkAddr, bool)
}

// A designated port says whether it is us, of several routers to the link, who forwards what
// comes from it: else each would carry a copy to the link that they share. [Multicast] may
// implement it.
type designated interface{ Designated() bool }

const (
	defaultMulticastUnicasts = 2
	defaultMulticastRate     = 20
	defaultMulticastBurst    = 40
	maxMulticastUnicasts     = 64
)

// defaultMinScope is the smallest scope whose zone is larger than one link and one realm:
// admin-local (RFC 7346 section 2).
const defaultMinScope = ipv6.ScopeAdmin

func (l *Link) setMulticastLimits(cfg PortConfig) {
	l.realm, l.minScope = cfg.Realm, cfg.MinScope
	if l.minScope == 0 {
		l.minScope = defaultMinScope
	}
	rate, burst, unicasts := cfg.MulticastRate, cfg.MulticastBurst, cfg.MulticastUnicasts
	if cfg.Kind == Mesh {
		rate, burst = cmp.Or(rate, defaultMulticastRate), cmp.Or(burst, defaultMulticastBurst)
		unicasts = cmp.Or(unicasts, defaultMulticastUnicasts)
	}
	if rate > 0 {
		l.mcBucket = ipv6.TokenBucket{Rate: float64(rate), Burst: max(burst, 1)}
	}
	l.mcUnicasts = min(max(unicasts, 0), maxMulticastUnicasts)
}

// SetMulticast gives the port its listener discovery. Without one nothing is forwarded
// onto the link.
func (l *Link) SetMulticast(m Multicast) {
	l.mc = m
	l.designated, _ = m.(designated)
}

// forwardMulticast sends copies of a packet to a group of larger than link scope to the
// ports that have listeners, and reports how many ports took one; where none did, reason
// says why.
func (r *Router) forwardMulticast(now time.Time, in *Link, p ipv6.Packet, m ipv6.Meta, src, dst addr16, scope ipv6.Scope) (n int, reason error) {
	switch {
	case src.isLinkLocal(), src == addr16{}:
		// RFC 4007 section 9: neither source may leave its zone.
		return 0, DropScope
	case p.HopLimit() <= 1:
		return 0, DropHopLimit // RFC 4443 section 2.4(e.3): without an error message
	}
	if r.seen.duplicate(now, p, in.index) {
		return 0, DropDuplicate
	}
	if in.designated != nil && !in.designated.Designated() {
		return 0, DropNotDesignated
	}
	reason = DropMulticastForward
	from, group := p.Src(), p.Dst()
	hops := p.HopLimit()
	for _, out := range r.links {
		// What is on a LAN the kernel that has a TUN from us hears there by itself.
		if out == in || in.kind == LAN && (out.kind == Host || in.ingress && out.kind == LAN) || out.mc == nil || !sameZone(in, out, scope) || !out.mc.Wants(now, group, from) {
			continue
		}
		if len(p) > out.mtu {
			reason = DropTooBig
			r.icmpError(now, in, p, m, ipv6.ICMPPacketTooBig, 0, uint32(out.mtu))
			continue
		}
		if !r.filter(now, in, out, p, m) {
			reason = DropFiltered
			continue
		}
		if out.mcBucket.Rate > 0 && !out.mcBucket.Take(now) {
			reason = DropMulticastRate
			continue
		}
		p.SetHopLimit(hops - 1)
		err := r.outputMulticast(now, out, p, group)
		p.SetHopLimit(hops)
		if err != nil {
			reason = err
			continue
		}
		n++
	}
	return n, reason
}

// outputMulticast sends p on the link: to each listener where there are few of them,
// since a broadcast has no acknowledgement and wakes every node, else once to all.
func (r *Router) outputMulticast(now time.Time, out *Link, p ipv6.Packet, group netip.Addr) error {
	if out.mcUnicasts > 0 {
		list, all := out.mc.Listeners(group, r.listeners[:0])
		r.listeners = list[:0]
		if all && len(list) > 0 && len(list) <= out.mcUnicasts {
			var err error
			took := false
			for _, ll := range list {
				if e := out.output(now, p, ll); e != nil {
					err = e
				} else {
					took = true
				}
			}
			if took {
				return nil
			}
			return err
		}
	}
	return out.output(now, p, ipv6.LinkAddr{})
}

// sameZone reports whether a packet to a group of this scope may pass from one port to
// another (RFC 4007 section 9). A realm is what RFC 7346 section 4 makes it: the
// interfaces that share a PAN ID, so that it normally does not reach beyond the mesh.
func sameZone(in, out *Link, scope ipv6.Scope) bool {
	switch {
	case scope <= ipv6.ScopeLink:
		return false
	case scope == ipv6.ScopeRealm:
		return in.realm != 0 && in.realm == out.realm
	}
	return scope >= in.minScope && scope >= out.minScope
}

const (
	seenSets = 128 // power of 2
	seenWays = 4
	// seenTime is how long a packet is remembered: longer than it takes through a mesh and
	// back, shorter than what an application means by a repetition.
	seenTime = 3 * time.Second
)

// A seenTable remembers the multicast packets of the last seconds, so that one which
// another router has carried round to us is not forwarded again. Its size is fixed.
type seenTable struct {
	seed uint64 // nobody else is to know which packets look alike
	sets [seenSets][seenWays]seenPacket
}

type seenPacket struct {
	hash uint64
	at   time.Time
	port int32
	hops uint8
}

// duplicate reports whether p has come before by another port, or by this one with more
// hops to live: then it went round a loop. One that comes again as it came before is the
// sender's own repetition.
func (s *seenTable) duplicate(now time.Time, p ipv6.Packet, port int) bool {
	h := packetHash(p, s.seed)
	set := &s.sets[h%seenSets]
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.hash == h && !e.at.IsZero() && now.Sub(e.at) < seenTime {
			if int(e.port) != port || p.HopLimit() < e.hops {
				return true
			}
			e.at = now
			return false
		}
		if e.at.Before(oldest.at) {
			oldest = e
		}
	}
	*oldest = seenPacket{hash: h, at: now, port: int32(port), hops: p.HopLimit()}
	return false
}

// packetHash hashes all of p that a router does not change: everything but traffic class
// (ECN) and hop limit.
func packetHash(p ipv6.Packet, seed uint64) uint64 {
	const k1 = 0xd6e8feb86659fd93
	k0 := seed
	h := uint64(len(p)) ^ uint64(p[6])<<32 ^ uint64(p.FlowLabel())
	mix := func(v uint64) {
		hi, lo := bits.Mul64(h^v^k0, k1)
		h = hi ^ lo
	}
	b := p[8:]
	for ; len(b) >= 8; b = b[8:] {
		mix(binary.LittleEndian.Uint64(b))
	}
	var tail [8]byte
	copy(tail[:], b)
	mix(binary.LittleEndian.Uint64(tail[:]))
	return h
}

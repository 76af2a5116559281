package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// Several backbone routers on one link tell each other which node has an address registered,
// and how fresh that is, by the EARO (RFC 8929 sections 6 and 9). So a node that goes from
// one to another is not taken for a duplicate of itself.

// A Registrar may be implemented by a [Proxy] that knows who has registered an address.
type Registrar interface {
	// Registration returns what the link is told of the registration of addr; false: it is not
	// registered. Lifetime is what is left of it.
	Registration(addr netip.Addr) (Registration, bool)
}

// registration returns the registration of an address that we proxy for. A new one may be
// known to the check alone.
func (l *LAN) registration(addr netip.Addr) (Registration, bool) {
	if p, ok := l.cfg.Proxy.(Registrar); ok {
		if a, ok := p.Registration(addr); ok {
			return a, true
		}
	}
	if c := l.checks[addr]; c != nil && c.aro.ROVR.Len() > 0 {
		return c.aro, true
	}
	return Registration{}, false
}

// earo returns the option for what we say of addr: "the 6BBR MUST place an EARO in the IPv6 ND
// messages that it generates on behalf of the Registered Node" (RFC 8929 section 6). For one
// that is not registered there is none.
func (l *LAN) earo(addr netip.Addr, s Status) Options {
	a, ok := l.registration(addr)
	if !ok {
		return nil
	}
	a.Status = s
	b, _ := a.AppendBinary(nil)
	return b
}

// A claim is what another node of the link says of an address that we proxy for, compared with
// the registration that we have.
type claim uint8

const (
	claimOther   claim = iota // by another owner, or by one that does not register
	claimOlder                // by another router, for the owner that we have
	claimSame                 // registered at both of us at once (RFC 8929 section 3.5)
	claimFresher              //
)

// compareClaim compares the EARO in opts, of duplicate address detection or of an
// advertisement.
func (l *LAN) compareClaim(target netip.Addr, opts Options, dad bool) (claim, Registration) {
	o, _ := opts.Find(OptionRegistration)
	theirs, ok := ParseRegistration(o)
	ours, have := l.registration(target)
	if !ok {
		return claimOther, Registration{}
	}
	if !have || theirs.ROVR != ours.ROVR {
		return claimOther, theirs
	}
	if !theirs.T || !ours.T {
		// A node of RFC 6775 counts nothing. Who checks an address for it has just heard it,
		// unless we have, too.
		if dad && l.checks[target] == nil {
			return claimFresher, theirs
		}
		return claimSame, theirs
	}
	switch compareTID(theirs.TID, ours.TID) {
	case newer:
		return claimFresher, theirs
	case older:
		return claimOlder, theirs
	case unordered:
		if dad {
			return claimOlder, theirs // as where it registers with us from another place
		}
	}
	return claimSame, theirs
}

// claimed does what RFC 8929 sections 9.1 and 9.2 ask for when another node of the link claims
// target, which we proxy for. An answer goes to dst at ll.
func (l *LAN) claimed(now time.Time, target netip.Addr, opts Options, dad bool, claimant ipv6.LinkAddr, dst netip.Addr, ll ipv6.LinkAddr) error {
	how, theirs := l.compareClaim(target, opts, dad)
	answer := func(s Status) {
		if src := l.source(); src.IsValid() {
			l.sendNA(now, NeighborAdvertisement{Router: l.isRouter(), Target: target, Options: l.earo(target, s)}, src, dst, ll)
		}
	}
	c := l.checks[target]
	switch {
	case how == claimSame:
		return nil
	case how == claimOlder:
		answer(StatusMoved)
		return nil
	case c != nil && how == claimFresher:
		l.checked(now, c, StatusMoved, claimant, theirs.ROVR)
		return nil
	case c != nil:
		l.checked(now, c, StatusDuplicate, claimant, theirs.ROVR)
		return DropConflict
	case how == claimFresher:
		l.ev.ProxyChecked(now, target, StatusRemoved, claimant, theirs.ROVR)
		return nil
	}
	// "Other NS(DAD) and NA messages from the backbone are ignored": an advertisement without
	// the option, and one that answers ours.
	if _, have := l.registration(target); dad || have && theirs.ROVR.Len() > 0 && theirs.Status != StatusDuplicate {
		answer(StatusDuplicate)
	}
	l.conflict(now, target, claimant)
	return DropConflict
}

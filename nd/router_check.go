package nd

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// tentativeDuration is how long other nodes of the link that has the prefix of a mesh too have
// to say that an address is theirs: TENTATIVE_DURATION, RFC 8929 section 12. A node asks
// again after a second.
const tentativeDuration = 800 * time.Millisecond

// maxCheckTime is how long the end of that is waited for.
const maxCheckTime = 2 * tentativeDuration

// A routerCheck is a registration in Tentative state (RFC 8929 section 9.1). "In Tentative
// state, the response is held and may be overwritten" (section 3.4).
type routerCheck struct {
	addr   netip.Addr
	until  time.Time
	answer uncommitted // the latest; without a message there is none
}

// startCheck has a new registration checked on the other link, where there is one. If too
// many wait already, or nobody can be asked, the node is answered as if there were none, and a
// duplicate is told later.
func (r *Router) startCheck(now time.Time, addr netip.Addr, aro Registration) {
	most := maxUncommitted
	if r.cfg.Commit != nil {
		most /= 2 // the other half is for answers that wait for the disk alone
	}
	if r.cfg.Check != nil && !addr.IsLinkLocalUnicast() && len(r.checks) < most && r.waiting() < maxUncommitted && r.cfg.Check(now, addr, aro) {
		r.takeCheck(addr)
		r.checks = append(r.checks, routerCheck{addr: addr, until: now.Add(maxCheckTime)})
	}
}

func (r *Router) checkOf(addr netip.Addr) *routerCheck {
	if i := r.checkIndex(addr); i >= 0 {
		return &r.checks[i]
	}
	return nil
}

func (r *Router) checkIndex(addr netip.Addr) int {
	return slices.IndexFunc(r.checks, func(c routerCheck) bool { return c.addr == addr })
}

// takeCheck ends the check of addr and returns the answer that it held.
func (r *Router) takeCheck(addr netip.Addr) (u uncommitted) {
	if i := r.checkIndex(addr); i >= 0 {
		u = r.checks[i].answer
		r.checks = slices.Delete(r.checks, i, i+1)
	}
	return u
}

// holdAnswer keeps an answer about the address of c until its check is over, in place of the
// one before. It reports false for what is not to be kept.
func (r *Router) holdAnswer(now time.Time, c *routerCheck, s Status, b []byte, src, dst netip.Addr, hops uint8, ll ipv6.LinkAddr) (done bool, err error) {
	have := &c.answer
	switch {
	case s == StatusMoved && have.ll == ll:
		// "A registration that is not as fresh (same ROVR, older TID) is ignored" (RFC 8929
		// section 9): the node is about to hear of the fresher one.
		return true, nil
	case s != StatusSuccess:
		return false, nil // of another owner
	case have.message != nil && have.dst == dst && have.ll == ll && bytes.Equal(have.message, b):
		return true, nil
	}
	u := uncommitted{addr: c.addr, taken: true, until: now.Add(maxCommitTime), src: src, dst: dst, hops: hops, ll: ll}
	if r.cfg.Commit != nil && !r.stalled {
		r.buf = nil // it may be written at once, and others be sent
		u.ticket = r.cfg.Commit()
		r.buf = b
	}
	u.message = slices.Clone(b)
	if c = r.checkOf(u.addr); c != nil {
		c.answer = u
	}
	return true, nil
}

// Checked says that the check of addr that [RouterConfig.Check] began is over and found
// nobody, or cannot be made: its node is told that it is registered. Where there is no such
// check, it does nothing.
func (r *Router) Checked(now time.Time, addr netip.Addr) {
	r.now = now
	switch u := r.takeCheck(addr); {
	case u.message == nil:
	case u.ticket > r.committed && !r.stalled:
		r.enqueue(u)
	default:
		buf := r.buf
		r.told(&u)
		r.send(now, u.message, u.src, u.dst, u.hops, u.ll)
		r.buf = buf
	}
}

// advanceChecks ends the checks of which nothing was heard for too long. What they find later
// has the registration revoked.
func (r *Router) advanceChecks(now time.Time) {
	for len(r.checks) > 0 && !r.checks[0].until.After(now) {
		r.Checked(now, r.checks[0].addr)
	}
}

func (r *Router) checkDue() (t time.Time) {
	if len(r.checks) > 0 {
		t = r.checks[0].until
	}
	return t
}

// refuse sends the answer u as a refusal.
func (r *Router) refuse(now time.Time, u *uncommitted, s Status) {
	r.stats.Refused++
	b := u.message[ipv6.HeaderLen:]
	if b[0] == typeDAC {
		m, _ := ParseDuplicateAddress(b) // as we wrote it
		m.Status = s
		b, _ = m.AppendBinary(begin(r.buf[:0]))
		r.send(now, b, u.src, u.dst, u.hops, u.ll)
		return
	}
	m, _ := ParseNeighborAdvertisement(b)
	o, _ := m.Options.Find(OptionRegistration)
	aro, _ := ParseRegistration(o)
	aro.Status = s
	dst, ll := u.dst, u.ll
	if dst == u.addr {
		dst, ll = r.refusalTo(aro, ll)
	}
	m.Options = Options{}
	b, _ = m.AppendBinary(begin(r.buf[:0]))
	b, _ = aro.AppendBinary(b)
	r.send(now, b, u.src, dst, u.hops, ll)
}

package nd

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// What the router has told nodes has to hold after a power cut: a node that was told that it
// is registered does not ask again before half of its lifetime is over.
const (
	maxUncommitted = 256
	// maxCommitTime is how long a disk is waited for: a node asks three times in three seconds,
	// and is to be answered before it gives up (RFC 4861 section 10, MAX_UNICAST_SOLICIT and
	// RETRANS_TIMER). A disk that took longer is not waited for until it is heard of again: a
	// mesh is to go on where the disk does not.
	maxCommitTime = 2500 * time.Millisecond
)

// An uncommitted answer waits for what it tells of to be written.
type uncommitted struct {
	ticket   uint64
	addr     netip.Addr // that was registered
	taken    bool       // it says so
	until    time.Time
	message  []byte // with room for the header
	src, dst netip.Addr
	hops     uint8
	ll       ipv6.LinkAddr
}

// confirm sends the answer to a registration of addr once what was taken, changed or ended is
// written; a refusal, and what the disk is not waited for with, at once, but not before an
// answer to the same node about addr that waits. Where the same answer waits already, it is
// the one to both. What is being checked on another link waits for the end of that first. The
// error says that too many wait; the node will ask again.
func (r *Router) confirm(now time.Time, addr netip.Addr, s Status, b []byte, src, dst netip.Addr, hops uint8, ll ipv6.LinkAddr) error {
	r.buf = b
	if c := r.checkOf(addr); c != nil {
		if done, err := r.holdAnswer(now, c, s, b, src, dst, hops, ll); done {
			return err
		}
	}
	waits := s == StatusSuccess && r.cfg.Commit != nil && !r.stalled
	before, share := r.before(addr, ll)
	if before != nil && dst == before.dst && bytes.Equal(b, before.message) {
		return nil
	}
	if (waits || before != nil) && (r.waiting() >= maxUncommitted || share >= maxUncommitted/4) {
		return DropTableFull
	}
	u := uncommitted{addr: addr, taken: s == StatusSuccess, until: now.Add(maxCommitTime), src: src, dst: dst, hops: hops, ll: ll}
	if waits {
		r.buf = nil // it may be written at once, and others be sent
		u.ticket = r.cfg.Commit()
		r.buf = b
	}
	if u.ticket == 0 {
		if before, _ = r.before(addr, ll); before == nil {
			r.told(&u)
			r.send(now, b, src, dst, hops, ll)
			return nil
		}
		u.ticket, u.until = before.ticket, before.until
	}
	u.message = slices.Clone(b)
	r.enqueue(u)
	return nil
}

// enqueue has u wait for its ticket.
func (r *Router) enqueue(u uncommitted) {
	i := len(r.uncommitted) // the place behind those of its ticket
	for i > 0 && r.uncommitted[i-1].ticket > u.ticket {
		i--
	}
	r.uncommitted = slices.Insert(r.uncommitted, i, u)
}

// waiting returns how many answers wait, or will, for the disk or for another link.
func (r *Router) waiting() int { return len(r.uncommitted) + len(r.checks) }

// before returns the last answer that waits to be sent to ll about addr, nil where there is
// none, and how many wait to be sent to ll.
func (r *Router) before(addr netip.Addr, ll ipv6.LinkAddr) (last *uncommitted, n int) {
	for i := range r.uncommitted {
		if u := &r.uncommitted[i]; u.ll == ll {
			if n++; u.addr == addr {
				last = u
			}
		}
	}
	return last, n
}

// repeated reports whether the registration v of e was asked for a moment ago: its answer
// still waits.
func (r *Router) repeated(e *entry, v Record) bool {
	since := v.Expires.Sub(e.until)
	return e.ll == v.LinkAddr && e.hasTID == v.HasTID && e.tid == v.TID && since >= 0 && since <= maxCommitTime &&
		(r.checkOf(v.Addr) != nil || slices.ContainsFunc(r.uncommitted, func(u uncommitted) bool { return u.addr == v.Addr }))
}

// unconfirm has no node told that addr is registered which is not any more.
func (r *Router) unconfirm(addr netip.Addr) {
	r.uncommitted = slices.DeleteFunc(r.uncommitted, func(u uncommitted) bool { return u.addr == addr })
	r.takeCheck(addr)
}

// Committed says that what RouterConfig.Commit returned ticket for is written, and all
// before it: nodes are told now.
func (r *Router) Committed(now time.Time, ticket uint64) {
	r.now, r.stalled, r.committed = now, false, max(r.committed, ticket)
	r.sendCommitted(now, func(u *uncommitted) bool { return u.ticket <= ticket })
}

// advanceCommit sends what has waited for too long.
func (r *Router) advanceCommit(now time.Time) {
	if t := r.commitDue(); !t.IsZero() && !t.After(now) {
		r.stalled = true
		r.sendCommitted(now, func(u *uncommitted) bool { return !u.until.After(now) })
	}
}

// sendCommitted sends the answers at the head of the queue for which ready holds.
func (r *Router) sendCommitted(now time.Time, ready func(*uncommitted) bool) {
	for len(r.uncommitted) > 0 && ready(&r.uncommitted[0]) {
		u, buf := r.uncommitted[0], r.buf
		r.uncommitted[0] = uncommitted{}
		r.uncommitted = r.uncommitted[1:] // first: the sender may call back
		r.told(&u)
		r.send(now, u.message, u.src, u.dst, u.hops, u.ll)
		r.buf = buf
	}
}

// told notes that the node hears of a registration, if that is what u is about.
func (r *Router) told(u *uncommitted) {
	if e := r.lookup(u.addr); e != nil && u.taken {
		e.tentative = false
	}
}

// commitDue is when the first answer is sent whatever the disk does.
func (r *Router) commitDue() (t time.Time) {
	if len(r.uncommitted) > 0 {
		t = r.uncommitted[0].until
	}
	return t
}

// keepVersion has the ABRO version written before it is announced first.
func (r *Router) keepVersion() {
	if v := r.cfg.ABROVersion; v != r.keptVersion && r.cfg.KeepVersion != nil {
		r.keptVersion = v
		r.cfg.KeepVersion(v)
	}
}

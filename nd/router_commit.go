package nd

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// What the router has told nodes has to hold after a power cut: a node that was told that it
// is registered does not ask again before half of its lifetime is over.
const (
	maxUncommitted = 256
	// maxCommitTime is how long a disk is waited for. It is half of RETRANS_TIMER, so that a
	// node does not ask again meanwhile; a mesh is to go on where the disk does not.
	maxCommitTime = 500 * time.Millisecond
)

// An uncommitted answer waits for what it tells of to be written.
type uncommitted struct {
	ticket   uint64
	until    time.Time
	message  []byte // with room for the header
	src, dst netip.Addr
	hops     uint8
	ll       ipv6.LinkAddr
}

// confirm sends the answer to a registration that was taken, changed or ended once that is
// written. The error says that too many wait; the node will ask again.
func (r *Router) confirm(now time.Time, b []byte, src, dst netip.Addr, hops uint8, ll ipv6.LinkAddr) error {
	if len(r.uncommitted) >= maxUncommitted {
		return DropTableFull
	}
	var ticket uint64
	if r.cfg.Commit != nil {
		ticket = r.cfg.Commit()
	}
	if ticket == 0 {
		r.send(now, b, src, dst, hops, ll)
		return nil
	}
	r.buf = b
	r.uncommitted = append(r.uncommitted, uncommitted{ticket, now.Add(maxCommitTime), slices.Clone(b), src, dst, hops, ll})
	return nil
}

// Committed says that what RouterConfig.Commit returned ticket for is written, and all
// before it: nodes are told now.
func (r *Router) Committed(now time.Time, ticket uint64) {
	r.now = now
	r.sendCommitted(now, func(u *uncommitted) bool { return u.ticket <= ticket })
}

// sendCommitted sends the answers at the head of the queue for which ready holds.
func (r *Router) sendCommitted(now time.Time, ready func(*uncommitted) bool) {
	n := 0
	for ; n < len(r.uncommitted) && ready(&r.uncommitted[n]); n++ {
		u, buf := &r.uncommitted[n], r.buf
		r.send(now, u.message, u.src, u.dst, u.hops, u.ll)
		r.buf = buf
	}
	r.uncommitted = slices.Delete(r.uncommitted, 0, n)
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

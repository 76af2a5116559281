package daemon

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

const (
	maxHeldAnswers = 64
	// maxHeldTime is how long a disk is waited for: a client asks again after one and after two
	// seconds more (RFC 8415 section 7.6, REQ_TIMEOUT), and is to have its answer then where
	// the disk does nothing, which is not waited for until it is heard of again.
	maxHeldTime = 2500 * time.Millisecond
)

// heldAnswers are the answers of a DHCPv6 server that wait for the bindings they tell of to
// be on the disk.
type heldAnswers struct {
	list    []heldAnswer // in the order of their tickets
	stalled bool         // the disk took too long
}

type heldAnswer struct {
	ticket  uint64
	until   time.Time
	dst     netip.AddrPort
	payload []byte
}

// full reports whether no more answers can wait.
func (h *heldAnswers) full() bool { return len(h.list) >= maxHeldAnswers }

// hold has an answer wait for what commit returns the number of, 0 for nothing, and reports
// whether it does. A client that asks again while it waits is answered once.
func (h *heldAnswers) hold(now time.Time, dst netip.AddrPort, payload []byte, commit func() uint64) bool {
	if slices.ContainsFunc(h.list, func(a heldAnswer) bool { return a.dst == dst && bytes.Equal(a.payload, payload) }) {
		return true
	}
	if h.stalled || h.full() {
		return false
	}
	ticket := commit()
	if ticket == 0 {
		return false
	}
	h.list = append(h.list, heldAnswer{ticket, now.Add(maxHeldTime), dst, slices.Clone(payload)})
	return true
}

// committed returns the answers that what is written now has let go.
func (h *heldAnswers) committed(ticket uint64) []heldAnswer {
	h.stalled = false
	return h.take(func(a heldAnswer) bool { return a.ticket <= ticket })
}

// due is when the first answer is sent whatever the disk does; zero: none waits.
func (h *heldAnswers) due() (t time.Time) {
	if len(h.list) > 0 {
		t = h.list[0].until
	}
	return t
}

// late returns the answers that have waited for too long.
func (h *heldAnswers) late(now time.Time) []heldAnswer {
	list := h.take(func(a heldAnswer) bool { return !a.until.After(now) })
	h.stalled = h.stalled || len(list) > 0
	return list
}

func (h *heldAnswers) take(ready func(heldAnswer) bool) []heldAnswer {
	n := 0
	for n < len(h.list) && ready(h.list[n]) {
		n++
	}
	if n == 0 {
		return nil
	}
	list := slices.Clone(h.list[:n])
	h.list = slices.Delete(h.list, 0, n)
	return list
}

// release sends answers that have waited.
func (s dhcpDown) release(now time.Time, list []heldAnswer) {
	for _, a := range list {
		s.send(now, a.dst, a.payload)
	}
}

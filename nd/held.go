package nd

import (
	"time"

	"border-router/ipv6"
)

// A held is a copy of a packet that waits for its neighbor to be resolved.
type held struct {
	next  *held
	owner int
	p     []byte
}

// waiting are the packets that wait for one neighbor.
type waiting struct {
	head  *held // oldest first
	tail  *held
	nheld uint8
}

type resolverEvents interface {
	Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr)
	Unresolved(now time.Time, p ipv6.Packet, owner int, reason error)
}

// A holder keeps the packets that wait for the neighbors of a cache (RFC 4861 section 7.2.2).
type holder struct {
	ev      resolverEvents
	most    int // packets for one neighbor
	mostAll int // packets for all of them
	holding int // packets held
	spare   *held
}

// hold keeps a copy of p in w.
func (c *holder) hold(now time.Time, w *waiting, p ipv6.Packet, owner int) error {
	var old *held
	if int(w.nheld) >= c.most || c.holding >= c.mostAll {
		// "When a queue overflows, the new arrival SHOULD replace the oldest entry" (RFC
		// 4861 section 7.2.2).
		if old = c.pop(w); old == nil {
			return DropResolveLimit
		}
	}
	h := c.spare
	if h != nil {
		c.spare = h.next
	} else {
		h = new(held)
	}
	h.next, h.owner, h.p = nil, owner, append(h.p[:0], p...)
	if w.tail != nil {
		w.tail.next = h
	} else {
		w.head = h
	}
	w.tail = h
	w.nheld++
	c.holding++
	if old != nil {
		c.ev.Unresolved(now, old.p, old.owner, DropQueueFull)
		c.recycle(old)
	}
	return ipv6.ErrHeld
}

// pop takes the oldest packet out of w; nil where there is none.
func (c *holder) pop(w *waiting) *held {
	h := w.head
	if h == nil {
		return nil
	}
	if w.head = h.next; w.head == nil {
		w.tail = nil
	}
	h.next = nil
	w.nheld--
	c.holding--
	return h
}

func (c *holder) recycle(h *held) { h.next, c.spare = c.spare, h }

// giveUp drops the packets in w.
func (c *holder) giveUp(now time.Time, w *waiting, reason Drop) {
	for n := w.nheld; n > 0; n-- { // not those that a callback adds
		h := c.pop(w)
		if h == nil {
			return
		}
		c.ev.Unresolved(now, h.p, h.owner, reason)
		c.recycle(h)
	}
}

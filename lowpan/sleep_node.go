package lowpan

import (
	"time"

	"border-router/ipv6"
)

// A node may have its datagrams sent to its EUI-64, because that stands in its solicitations,
// and send its data requests from its short address, or the other way round. Where it is known
// that two addresses are of one node, a data request from either fetches what waits for both.

// SetSame says that the short address and the EUI-64, a and b in whatever order, are of one
// node. What was said of either before is forgotten. It reports false when no more nodes can
// be remembered, or the addresses cannot be those of one.
func (i *Interface) SetSame(_ time.Time, a, b ipv6.LinkAddr) bool {
	s := &i.sleep
	if a.Len() == 8 {
		a, b = b, a
	}
	switch {
	case s.same == nil || a.Len() != 2 || b.Len() != 8 || !i.origin(a) || !i.origin(b):
		return false
	case s.same[a] == b:
		return true
	}
	i.forgetSame(a)
	i.forgetSame(b)
	if len(s.same) >= 2*i.cfg.Limits.Peers {
		return false
	}
	s.same[a], s.same[b] = b, a
	if x := s.known[a]; x != nil {
		delete(s.known, a)
		if old := s.known[b]; old == nil || old.mode == SleepLearnt && x.mode != SleepLearnt {
			x.queued = false // under the address of before
			s.known[b] = x
		}
	}
	i.settle(b)
	return true
}

// forgetSame parts a from the other address of its node.
func (i *Interface) forgetSame(a ipv6.LinkAddr) {
	s := &i.sleep
	o, ok := s.same[a]
	if !ok {
		return
	}
	delete(s.same, a)
	delete(s.same, o)
	i.settle(a)
	i.settle(o)
}

// other returns the other address of the node at a, the zero LinkAddr where there is none.
func (i *Interface) other(a ipv6.LinkAddr) ipv6.LinkAddr {
	if len(i.sleep.same) == 0 {
		return ipv6.LinkAddr{}
	}
	return i.sleep.same[a]
}

// node returns the address that the node at a is remembered by: its EUI-64 where that is
// known.
func (i *Interface) node(a ipv6.LinkAddr) ipv6.LinkAddr {
	if a.Len() == 2 {
		if o := i.other(a); !o.IsZero() {
			return o
		}
	}
	return a
}

// sleeper returns what is known of the node at a, nil where it is not known to sleep.
func (i *Interface) sleeper(a ipv6.LinkAddr) *sleeper { return i.sleep.known[i.node(a)] }

// waiting returns the queue from which the node at a, which sleeps, is sent the next frame:
// the one with the older datagram. It is nil where nothing waits.
func (i *Interface) waiting(a ipv6.LinkAddr) *neighbor {
	nb := i.heldFor(a)
	if o := i.other(a); !o.IsZero() {
		if x := i.heldFor(o); x != nil && (nb == nil || x.first().before(nb.first())) {
			return x
		}
	}
	return nb
}

// both reports whether something waits for the other address of the node at a as well.
func (i *Interface) both(a ipv6.LinkAddr) bool {
	o := i.other(a)
	return !o.IsZero() && i.heldFor(o) != nil
}

func (i *Interface) heldFor(a ipv6.LinkAddr) *neighbor {
	if nb := i.q.lookup(a); nb != nil && nb.sleepy && nb.n > 0 {
		return nb
	}
	return nil
}

// before reports whether d goes to a node that sleeps before x: what was begun is ended
// first.
func (d *datagram) before(x *datagram) bool {
	if d.begun != x.begun {
		return d.begun
	}
	return d.at.Before(x.at)
}

package lowpan

// most returns how many datagrams may wait for nb.
func (q *queue) most(nb *neighbor) int {
	if nb.sleepy {
		return min(q.limits.QueuePerNeighbor, q.limits.IndirectPerNeighbor)
	}
	return q.limits.QueuePerNeighbor
}

// oldest takes the oldest datagram that is not with the radio out of nb's queue; nil means
// that there is none.
func (nb *neighbor) oldest(q *queue) *datagram {
	if nb.head == nil || !nb.head.flying {
		if nb.head == nil {
			return nil
		}
		return nb.pop(q)
	}
	d := nb.head.next
	if d == nil {
		return nil
	}
	if nb.head.next = d.next; d.next == nil {
		nb.tail = nb.head
	}
	d.next = nil
	nb.n--
	nb.bytes -= len(d.b)
	if nb.sleepy {
		q.held--
	} else {
		q.ready--
	}
	return d
}

// makeRoom drops a datagram of the neighbour that sleeps and has most of them waiting. It
// looks at every neighbour, and only when there is no room.
func (q *queue) makeRoom() bool {
	var long *neighbor
	for _, nb := range q.byDst {
		for ; nb != nil; nb = nb.hashNext {
			if nb.sleepy && nb.n > 0 && (nb.n > 1 || !nb.head.flying) && (long == nil || nb.bytes > long.bytes) {
				long = nb
			}
		}
	}
	if long == nil {
		return false
	}
	q.discard(long.oldest(q), DropQueueTotal)
	return true
}

// setSleepy moves what waits for nb from those that are awake to those that sleep, or back.
func (q *queue) setSleepy(nb *neighbor, sleepy bool) {
	if nb.sleepy == sleepy {
		return
	}
	nb.sleepy = sleepy
	if sleepy {
		q.ready -= nb.n
		q.held += nb.n
		return // next takes it off the list of active ones when it comes by
	}
	q.held -= nb.n
	q.ready += nb.n
	if nb.n > 0 && !nb.active {
		nb.deficit = quantum
		q.activate(nb)
	}
}

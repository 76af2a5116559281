package lowpan

// most returns how many datagrams may wait for nb.
func (q *queue) most(nb *neighbor) int {
	if nb.sleepy {
		return min(q.limits.QueuePerNeighbor, q.limits.IndirectPerNeighbor)
	}
	return q.limits.QueuePerNeighbor
}

// makeRoom drops a datagram of the neighbour that sleeps and has most of them waiting. It
// looks at every neighbour, and only when there is no room.
func (q *queue) makeRoom() bool {
	var long *neighbor
	for _, nb := range q.byDst {
		for ; nb != nil; nb = nb.hashNext {
			if nb.sleepy && nb.n > 0 && (nb.n > 1 || !nb.first().flying) && (long == nil || nb.bytes > long.bytes) {
				long = nb
			}
		}
	}
	if long == nil {
		return false
	}
	q.discard(long.victim(q), DropQueueTotal)
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

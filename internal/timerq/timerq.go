package timerq

import "time"

// A Queue holds at most one time for each key. The zero value is an empty queue. It is
// not safe for concurrent use.
type Queue[K comparable] struct {
	heap  []item[K]
	index map[K]int // place of each key in heap
	seq   uint64    // counts Set, to keep the order of equal times
}

type item[K comparable] struct {
	at  time.Time
	seq uint64
	key K
}

// Set makes k due at the given time, in place of the time it had before. The zero time
// means never: it removes k.
func (q *Queue[K]) Set(k K, at time.Time) {
	if at.IsZero() {
		q.Remove(k)
		return
	}
	q.seq++
	if i, ok := q.index[k]; ok {
		q.heap[i].at, q.heap[i].seq = at, q.seq
		if !q.up(i) {
			q.down(i)
		}
		return
	}
	if q.index == nil {
		q.index = make(map[K]int)
	}
	i := len(q.heap)
	q.heap = append(q.heap, item[K]{at: at, seq: q.seq, key: k})
	q.index[k] = i
	q.up(i)
}

// Remove takes k out of the queue and reports whether it was there.
func (q *Queue[K]) Remove(k K) bool {
	i, ok := q.index[k]
	if ok {
		q.removeAt(i)
	}
	return ok
}

// Next returns the earliest time in the queue, or the zero time where it is empty.
func (q *Queue[K]) Next() time.Time {
	if len(q.heap) == 0 {
		return time.Time{}
	}
	return q.heap[0].at
}

// Pop takes out the earliest key that is due at or before now. ok is false where none is.
func (q *Queue[K]) Pop(now time.Time) (k K, ok bool) {
	if len(q.heap) == 0 || q.heap[0].at.After(now) {
		return k, false
	}
	k = q.heap[0].key
	q.removeAt(0)
	return k, true
}

// At returns the time that k is due. ok is false where k is not in the queue.
func (q *Queue[K]) At(k K) (at time.Time, ok bool) {
	i, ok := q.index[k]
	if !ok {
		return time.Time{}, false
	}
	return q.heap[i].at, true
}

// Len returns the number of keys in the queue.
func (q *Queue[K]) Len() int { return len(q.heap) }

// Clear takes out every key and keeps the memory.
func (q *Queue[K]) Clear() {
	clear(q.heap)
	q.heap = q.heap[:0]
	clear(q.index)
}

func (q *Queue[K]) removeAt(i int) {
	delete(q.index, q.heap[i].key)
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap[last] = item[K]{} // let go of what the key may point to
	q.heap = q.heap[:last]
	if i == last {
		return
	}
	q.heap[i] = moved
	q.index[moved.key] = i
	if !q.up(i) {
		q.down(i)
	}
}

func (q *Queue[K]) less(a, b *item[K]) bool {
	if c := a.at.Compare(b.at); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

// up moves the item at i towards the root and reports whether it moved.
func (q *Queue[K]) up(i int) bool {
	it := q.heap[i]
	start := i
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(&it, &q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	if i == start {
		return false
	}
	q.put(i, it)
	return true
}

func (q *Queue[K]) down(i int) {
	it := q.heap[i]
	start := i
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		if right := child + 1; right < len(q.heap) && q.less(&q.heap[right], &q.heap[child]) {
			child = right
		}
		if !q.less(&q.heap[child], &it) {
			break
		}
		q.put(i, q.heap[child])
		i = child
	}
	if i != start {
		q.put(i, it)
	}
}

func (q *Queue[K]) put(i int, it item[K]) {
	q.heap[i] = it
	q.index[it.key] = i
}

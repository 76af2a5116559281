package zep

import (
	"container/heap"
	"time"

	"border-router/ieee802154/driver"
)

// maxDelayed bounds how many frames Impair can keep in the air.
const maxDelayed = 4096

// A flight is one frame on its way to one receiver.
type flight struct {
	at    time.Time
	order uint64 // of two at the same time, the first goes first
	src   *peer  // nil: this radio itself
	dst   *peer  // nil: this radio itself
	meta  meta
	n     uint8
	frame [maxDatagram]byte
}

// A flightQueue is a heap by time.
type flightQueue []*flight

func (q flightQueue) Len() int { return len(q) }
func (q flightQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q flightQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *flightQueue) Push(x any)   { *q = append(*q, x.(*flight)) }
func (q *flightQueue) Pop() any {
	old := *q
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return f
}

// delay keeps frame until at and reports whether there was room. Called with r.mu held.
func (r *Radio) delay(at time.Time, src, dst *peer, m meta, frame []byte) bool {
	if len(r.flights) >= maxDelayed {
		return false
	}
	var f *flight
	if n := len(r.freeFlights); n > 0 {
		f, r.freeFlights = r.freeFlights[n-1], r.freeFlights[:n-1]
	} else {
		f = new(flight)
	}
	r.flightOrder++
	f.at, f.order, f.src, f.dst, f.meta = at, r.flightOrder, src, dst, m
	f.n = uint8(copy(f.frame[:], frame))
	heap.Push(&r.flights, f)
	if r.flights[0] == f {
		driver.Notify(r.flightWake)
	}
	return true
}

// land is the goroutine that ends flights. It runs only where Impair is set, and its timer
// only while a frame is in the air.
func (r *Radio) land() {
	defer r.wg.Done()
	q := newOutq(r)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		r.mu.Lock()
		now := r.now()
		for len(r.flights) > 0 && !r.flights[0].at.After(now) {
			f := heap.Pop(&r.flights).(*flight)
			r.arrive(now, f.src, f.dst, &f.meta, f.frame[:f.n], q)
			f.src, f.dst = nil, nil
			r.freeFlights = append(r.freeFlights, f)
		}
		wait := time.Duration(-1)
		if len(r.flights) > 0 {
			wait = r.flights[0].at.Sub(now)
		}
		r.mu.Unlock()
		q.flush()
		if wait >= 0 {
			timer.Reset(wait)
		}
		select {
		case <-r.closed:
			timer.Stop()
			return
		case <-r.flightWake:
		case <-timer.C:
		}
	}
}

package router

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrClosed says that the loop has ended.
var ErrClosed = errors.New("router: loop has ended")

// Work is something to be done on the loop: a batch of received frames, say. It is an
// unnamed interface on purpose, so that packages below this one can name it.
type Work = interface{ Run(now time.Time) }

const (
	workQueue   = 64  // batches that may wait before a reader is held up
	workPerTurn = 128 // batches done before deadlines are looked at again
)

// A Loop is the one goroutine that touches a [Router].
type Loop struct {
	r      *Router
	mesh   chan Work
	uplink chan Work
	ops    chan func(*Router)
	done   chan struct{}

	wakeups atomic.Uint64
}

// NewLoop returns the loop of r. It does nothing until [Loop.Run].
func NewLoop(r *Router) *Loop {
	return &Loop{
		r:      r,
		mesh:   make(chan Work, workQueue),
		uplink: make(chan Work, workQueue),
		ops:    make(chan func(*Router)),
		done:   make(chan struct{}),
	}
}

// Post hands work to the loop: frames from a radio, transmit reports. It blocks while the
// loop is behind, and returns false, with the work not done, once the loop has ended.
func (l *Loop) Post(w Work) bool { return post(l.mesh, l.done, w) }

// PostUplink hands over packets from the host port. Unlike those of [Loop.Post] they wait
// while a port is busy, so that back-pressure reaches whoever sends them.
func (l *Loop) PostUplink(w Work) bool { return post(l.uplink, l.done, w) }

func post(c chan Work, done chan struct{}, w Work) bool {
	select {
	case <-done: // even where the queue has room
		return false
	default:
	}
	select {
	case c <- w:
		return true
	case <-done:
		return false
	}
}

// Do runs f on the loop and waits for it. It returns [ErrClosed] where the loop has
// ended, or the context's error, and f may then not have run.
func (l *Loop) Do(ctx context.Context, f func(*Router)) error {
	ran := make(chan struct{})
	select {
	case l.ops <- func(r *Router) { defer close(ran); f(r) }:
	case <-l.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ran:
		return nil
	case <-l.done:
		return ErrClosed
	}
}

// Wakeups returns how often the loop has gone round. It stands still while nothing
// arrives and nothing is due.
func (l *Loop) Wakeups() uint64 { return l.wakeups.Load() }

// Run is the loop; it ends with ctx.
func (l *Loop) Run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	for {
		var wake <-chan time.Time
		if d := l.r.Deadline(); !d.IsZero() {
			timer.Reset(time.Until(d))
			wake = timer.C
		}
		uplink := l.uplink
		if l.r.Busy() {
			uplink = nil // back-pressure: leave packets in the kernel's queue
		}
		select {
		case w := <-l.mesh:
			l.turn(w)
		case w := <-uplink:
			w.Run(time.Now())
		case f := <-l.ops:
			f(l.r)
		case <-wake:
		case <-ctx.Done():
			return
		}
		l.wakeups.Add(1)
		l.r.Advance(time.Now())
	}
}

// turn does w and what else has arrived from the mesh meanwhile.
func (l *Loop) turn(w Work) {
	w.Run(time.Now())
	for range workPerTurn {
		select {
		case w := <-l.mesh:
			w.Run(time.Now())
		default:
			return
		}
	}
}

package hoststack

import (
	"sync"
	"time"
)

// A deadline is a time limit that can be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	gone  chan struct{} // closed when the deadline has passed; nil before first use
}

// wait returns a channel that is closed when the deadline passes.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil {
		d.gone = make(chan struct{})
	}
	return d.gone
}

// set moves the deadline to t; the zero time is never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fired := false
	if d.timer != nil && !d.timer.Stop() {
		<-d.gone // the timer's function is about to close it
		fired = true
	}
	d.timer = nil
	if d.gone == nil || fired || isDone(d.gone) {
		d.gone = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	gone := d.gone
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(gone) })
	} else {
		close(gone)
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

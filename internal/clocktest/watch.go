package clocktest

import (
	"sync"
	"testing"
	"time"
)

// tick is how often a Watch looks whether the process runs. It is waked later than that by
// another tick at most where there is a processor for it.
const tick = 5 * time.Millisecond

// A Watch tells how long the process has run.
type Watch struct {
	quit, end chan struct{}

	mu    sync.Mutex
	begin time.Time
	last  time.Time // of the last look
	lost  time.Duration
}

// Start returns a Watch that runs until Stop or the end of the test.
func Start(t testing.TB) *Watch {
	now := time.Now()
	w := &Watch{quit: make(chan struct{}), end: make(chan struct{}), begin: now, last: now}
	go func() {
		defer close(w.end)
		timer := time.NewTicker(tick)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				w.mu.Lock()
				w.look()
				w.mu.Unlock()
			case <-w.quit:
				return
			}
		}
	}()
	t.Cleanup(w.Stop)
	return w
}

// look notes the time since the last look as lost where that is too long ago.
func (w *Watch) look() time.Time {
	now := time.Now()
	if late := now.Sub(w.last) - tick; late > tick {
		w.lost += late
	}
	w.last = now
	return now
}

// Elapsed returns how long the process has run since Start or Reset.
func (w *Watch) Elapsed() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.look().Sub(w.begin) - w.lost
}

// Lost returns for how long it has not run though it should.
func (w *Watch) Lost() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	return w.lost
}

// Reset begins anew.
func (w *Watch) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin, w.lost = w.look(), 0
}

// Stop ends w, and waits until nothing of it is left.
func (w *Watch) Stop() {
	w.mu.Lock()
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	w.mu.Unlock()
	<-w.end
}

// disturbed is how much time may be lost in an attempt that counts.
const disturbed = 50 * time.Millisecond

// attempts is how often one that does not count is made again.
const attempts = 30

// Undisturbed reports what is wrong by what attempt returns, "" if nothing is. An attempt in
// which something was wrong while the process did not run does not count: it is made again, a
// number of times. It is for what has to do with timeouts of protocols, which go on then.
func Undisturbed(t testing.TB, attempt func() (wrong string)) {
	t.Helper()
	w := Start(t)
	defer w.Stop()
	w.undisturbed(t, attempt)
}

func (w *Watch) undisturbed(t testing.TB, attempt func() (wrong string)) {
	t.Helper()
	for n := 1; ; n++ {
		w.Reset()
		wrong := attempt()
		switch lost := w.Lost(); {
		case wrong == "":
			return
		case lost < disturbed || n == attempts:
			t.Errorf("%s (attempt %d, in which the process did not run for %v)", wrong, n, lost)
			return
		default:
			t.Logf("the process did not run for %v, which makes it no finding: %s", lost, wrong)
		}
	}
}

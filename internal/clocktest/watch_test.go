package clocktest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// In the virtual time of a bubble nothing is ever late.
func TestElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Start(t)
		defer w.Stop()
		time.Sleep(time.Minute + tick/2)
		if e, l := w.Elapsed(), w.Lost(); e != time.Minute+tick/2 || l != 0 {
			t.Errorf("%v ran, %v lost", e, l)
		}
		w.mu.Lock()
		w.begin, w.last = w.begin.Add(-3*time.Second), w.last.Add(-3*time.Second) // nobody looked for so long
		w.mu.Unlock()
		if e, l := w.Elapsed(), w.Lost(); e > time.Minute+2*tick || l < 3*time.Second-tick {
			t.Errorf("%v ran, %v lost", e, l)
		}
		w.Reset()
		time.Sleep(time.Second)
		if e, l := w.Elapsed(), w.Lost(); e != time.Second || l != 0 {
			t.Errorf("%v ran, %v lost", e, l)
		}
		w.Stop()
		w.Stop()
	})
}

// What goes wrong undisturbed is told at once; what goes wrong beside that, when it does so
// always.
func TestUndisturbed(t *testing.T) {
	for _, row := range []struct {
		name     string
		lost     time.Duration
		wrong    func(n int) bool
		attempts int
		text     string
	}{
		{"well", time.Second, func(int) bool { return false }, 1, ""},
		{"wrong", 0, func(int) bool { return true }, 1, "bad (attempt 1,"},
		{"disturbed once", time.Second, func(n int) bool { return n == 1 }, 2, ""},
		{"always disturbed, and wrong", time.Second, func(int) bool { return true }, attempts, "bad (attempt 30,"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := Start(t)
				defer w.Stop()
				n, said := 0, &told{TB: t}
				w.undisturbed(said, func() string {
					w.mu.Lock()
					w.lost += row.lost
					w.mu.Unlock()
					if n++; row.wrong(n) {
						return "bad"
					}
					return ""
				})
				if n != row.attempts || !strings.HasPrefix(said.text, row.text) || (said.text == "") != (row.text == "") {
					t.Errorf("%d attempts, %q", n, said.text)
				}
			})
		})
	}
	Undisturbed(t, func() string { return "" })
}

type told struct {
	testing.TB
	text string
}

func (x *told) Errorf(format string, args ...any) { x.text = fmt.Sprintf(format, args...) }

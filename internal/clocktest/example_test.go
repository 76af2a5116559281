package clocktest_test

import (
	"fmt"
	"testing"
	"time"

	"border-router/internal/clocktest"
)

// A bound on what takes real time. Needs the testing.T of the test that it stands in.
func ExampleStart() {
	_ = func(t *testing.T, stop func()) {
		w := clocktest.Start(t)
		stop()
		if took := w.Elapsed(); took > time.Second {
			t.Errorf("stopped after %v", took)
		}
	}
}

// Something in which a timeout of a protocol may end what is asked for.
func ExampleUndisturbed() {
	_ = func(t *testing.T, ask func() error) {
		clocktest.Undisturbed(t, func() string {
			if err := ask(); err != nil {
				return fmt.Sprint("not answered: ", err)
			}
			return ""
		})
	}
}

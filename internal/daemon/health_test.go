package daemon

import (
	"errors"
	"testing"
	"time"
)

// TestHealth asks for the state of radios that tell of it and of one that does not.
func TestHealth(t *testing.T) {
	var h health
	gone, unplugged := errors.New("gone"), errors.New("unplugged")
	now := time.Unix(1000, 0)
	check := func(last error, state, reason string, outages uint64) {
		t.Helper()
		if s, r, _, n := h.state(last); s != state || r != reason || n != outages {
			t.Errorf("%s, %q, %d outages; want %s, %q, %d", s, r, n, state, reason, outages)
		}
	}
	check(nil, "up", "", 0)
	check(gone, "down", "gone", 0)
	h.changed(now, false, unplugged)
	check(gone, "down", "unplugged", 0)
	h.changed(now.Add(time.Second), true, nil)
	check(gone, "up", "", 1) // the error was of the outage
	if _, _, since, _ := h.state(nil); !since.Equal(now.Add(time.Second)) {
		t.Errorf("since %v", since)
	}
}

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/serial"
)

// TestHealth asks for the state of radios that tell of it and of one that does not.
func TestHealth(t *testing.T) {
	var h health
	gone, unplugged := errors.New("gone"), errors.New("unplugged")
	start := time.Unix(1000, 0)
	now := start
	check := func(last error, want condition) {
		t.Helper()
		if c := h.state(now, last); c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
	change := func(after time.Duration, up bool, err error, lasted time.Duration) {
		t.Helper()
		now = now.Add(after)
		if d := h.changed(now, up, err); d != lasted {
			t.Errorf("the state before lasted %v, want %v", d, lasted)
		}
	}
	check(nil, condition{State: "up"})
	check(gone, condition{State: "down", Reason: "gone"})
	change(0, false, unplugged, 0) // at the start: that is no outage
	now = now.Add(time.Second)
	check(gone, condition{"down", "unplugged", start, 0, time.Second, outage{}})
	change(time.Second, false, gone, -1) // another reason
	check(nil, condition{"down", "gone", start, 0, 2 * time.Second, outage{}})
	change(time.Second, true, nil, 3*time.Second)
	check(gone, condition{"up", "", start.Add(3 * time.Second), 0, 3 * time.Second, outage{}}) // the error was of the time before
	change(time.Second, false, gone, time.Second)
	now = now.Add(time.Second)
	first := start.Add(4 * time.Second)
	check(nil, condition{"down", "gone", first, 1, 4 * time.Second, outage{first, time.Second, "gone"}})
	change(0, false, unplugged, -1) // what keeps it away is not what it went away of
	check(nil, condition{"down", "unplugged", first, 1, 4 * time.Second, outage{first, time.Second, "gone"}})
	change(time.Second, true, nil, 2*time.Second)
	check(nil, condition{"up", "", start.Add(6 * time.Second), 1, 5 * time.Second, outage{first, 2 * time.Second, "gone"}})
	change(time.Second, false, unplugged, time.Second)
	second := start.Add(7 * time.Second)
	check(nil, condition{"down", "unplugged", second, 2, 5 * time.Second, outage{second, 0, "unplugged"}})
}

// TestRemedy has a remedy for each way in which a radio can be away.
func TestRemedy(t *testing.T) {
	for _, c := range []struct {
		url  string
		err  error
		want string
	}{
		{"spinel:///dev/ttyACM0", fmt.Errorf("open: %w", fs.ErrNotExist), "plug the radio in"},
		{"spinel:///dev/ttyACM0", fmt.Errorf("open: %w", fs.ErrPermission), "dialout"},
		{"slip:///dev/ttyUSB0", fmt.Errorf("open: %w", syscall.EBUSY), "other program"},
		{"slip:///dev/ttyUSB0", fmt.Errorf("open: %w", serial.ErrInUse), "other program"},
		{"slip+tcp://[::1]:60001", fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "server"},
		{"slip:///dev/ttyUSB0", errors.New("no answer"), "plug it in again"},
	} {
		if s := remedy(c.url, c.err); !strings.Contains(s, c.want) {
			t.Errorf("%s, %v: %q does not say %q", c.url, c.err, s, c.want)
		}
	}
}

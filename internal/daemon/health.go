package daemon

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"time"

	"border-router/internal/serial"
)

// health is what is known of a radio that can go away. Its methods may be called from any
// goroutine.
type health struct {
	mu       sync.Mutex
	down     bool
	reason   string
	since    time.Time
	outages  uint64
	downtime time.Duration // of the outages that are over
	known    bool          // the radio tells
	last     outage        // For is 0 while it lasts
}

// An outage is a time for which a radio was away that had been there. Reason is the first:
// what it went away of, and not what keeps it away.
type outage struct {
	Since  time.Time // zero: there was none
	For    time.Duration
	Reason string
}

// changed notes that the radio is up, or is away and why. It returns how long the state
// before has lasted where this is another one, else a negative time.
func (h *health) changed(now time.Time, up bool, err error) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	lasted := time.Duration(-1)
	switch {
	case !h.known:
		h.since, lasted = now, 0
	case h.down == up:
		lasted = max(0, now.Sub(h.since))
		if up {
			h.downtime += lasted
			if h.last.Since.Equal(h.since) {
				h.last.For = lasted
			}
		} else {
			h.outages++
			h.last = outage{Since: now}
			if err != nil {
				h.last.Reason = err.Error()
			}
		}
		h.since = now
	}
	h.known, h.down, h.reason = true, !up, ""
	if err != nil {
		h.reason = err.Error()
	}
	return lasted
}

// A condition is the state of a radio.
type condition struct {
	State    string // "up" or "down"
	Reason   string // why it is down
	Since    time.Time
	Outages  uint64
	Downtime time.Duration
	Last     outage // the last outage, this one included
}

// state returns the state: since when (zero: not told), how often the radio went away and
// how long it was away in all, this time included. last is the error with which sending or
// receiving fails: it says that a radio is down which does not tell by itself.
func (h *health) state(now time.Time, last error) condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := condition{"up", h.reason, h.since, h.outages, h.downtime, h.last}
	switch {
	case h.down:
		c.State = "down"
		lasts := max(0, now.Sub(h.since))
		c.Downtime += lasts
		if c.Last.Since.Equal(h.since) {
			c.Last.For = lasts
		}
	case last != nil && !h.known:
		c.State, c.Reason = "down", last.Error()
	}
	return c
}

// remedy says what a user can do about a radio that is away.
func remedy(url string, err error) string {
	tcp, _, _ := strings.Cut(url, "://")
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "give the user that runs the router the right to open the port (group dialout); border-router doctor tells how"
	case errors.Is(err, serial.ErrInUse), errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EWOULDBLOCK):
		return "end the other program that has the port open; border-router doctor names it"
	case strings.HasSuffix(tcp, "+tcp"):
		return "start the server of the radio and see that it is reached; nothing is to be done here after that"
	case errors.Is(err, fs.ErrNotExist):
		return "plug the radio in, or name the port that it has (border-router radios lists them, best by /dev/serial/by-id)"
	}
	return "if it stays away, pull the radio out and plug it in again; border-router radios tells what answers"
}

// portName makes the name of a port of the scheme of its radio's URL.
func portName(scheme string) string {
	name, _, _ := strings.Cut(scheme, "+")
	return name
}

package daemon

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"border-router/internal/radios"
	"border-router/ipv6"
)

// firstAnswer is how long a radio may take to tell its address when it is not known from
// an earlier run; tests shorten it.
var firstAnswer = 10 * time.Second

// health is what is known of a radio that can go away. Its methods may be called from any
// goroutine.
type health struct {
	mu      sync.Mutex
	down    bool
	reason  string
	since   time.Time
	outages uint64
	known   bool // the radio tells
}

func (h *health) changed(now time.Time, up bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known && up && h.down {
		h.outages++ // one that is over
	}
	if !h.known || h.down == up {
		h.since = now
	}
	h.known, h.down, h.reason = true, !up, ""
	if err != nil {
		h.reason = err.Error()
	}
}

// state returns "up" or "down" and why, since when (zero: not told), and how many outages
// are over. last is the last error of sending and receiving: it says that a radio is down
// which does not tell by itself; of one that does it may be from an outage that is over.
func (h *health) state(last error) (state, reason string, since time.Time, outages uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.down:
		return "down", h.reason, h.since, h.outages
	case last != nil && !h.known:
		return "down", last.Error(), h.since, h.outages
	}
	return "up", h.reason, h.since, h.outages
}

// portName makes the name of a port of the scheme of its radio's URL.
func portName(scheme string) string {
	name, _, _ := strings.Cut(scheme, "+")
	return name
}

// ownAddress returns the address that the radio has by itself. One that is away has the
// address of the last time.
func (d *Daemon) ownAddress(m *mesh, a radios.Addressed) (uint64, error) {
	key := "radio/eui64/" + m.name
	last, seen := d.store.Get(key)
	seen = seen && len(last) == 8
	patience := firstAnswer
	if seen {
		patience = time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	eui64, err := a.Address(ctx)
	switch {
	case err == nil:
		if b := binary.BigEndian.AppendUint64(nil, eui64); !seen || eui64 != binary.BigEndian.Uint64(last) {
			if seen {
				d.log.Warn("another radio than before: its nodes have to register again", "link", m.name, "lladdr", ipv6.EUI64(eui64))
			}
			d.store.Put(key, b)
		}
		return eui64, nil
	case seen:
		d.log.Warn("waiting for the radio", "link", m.name, "radio", m.url, "err", err)
		return binary.BigEndian.Uint64(last), nil
	}
	return 0, fmt.Errorf("radio %s: its address is not known yet, and it did not answer within %v: %w; plug it in for the first start", m.url, patience, err)
}

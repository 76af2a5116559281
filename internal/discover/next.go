package discover

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// goneAfter is how long a radio must have been gone before another one takes its place:
	// longer than enumerating anew takes, and moving to another socket.
	goneAfter = 10 * time.Second
	// settled is how long a port must have been there for that. It may be the dongle of
	// another radio: by then it has its name in by-id, and its driver has opened it.
	settled = 3 * time.Second
	// watchTick is the time between two looks whether a radio is gone.
	watchTick = 500 * time.Millisecond
)

// A place is where a radio was found.
type place struct {
	path string // of a serial port, as in its URL
	byID string // of the port, once it is known
	name string // of an interface of the kernel
}

// Next waits until the radio of the URL old, which [Finder.Find] has found, is gone for
// GoneAfter and one other is there, and returns that. Gone means that its port is: neither
// what the URL names is there nor the name in by-id that it had. A port that is there and
// silent is never gone. In place of a dongle only a dongle is taken. down reports that old
// does not work: one that does is not gone, whatever its names are. Where several are there,
// none is taken.
//
// Ports that have not been there for a while are left alone, and so is everything while old
// is there. The error is that of ctx, or of a URL that is of no port.
func (f *Finder) Next(ctx context.Context, old, query string, down func() bool) (*Result, error) {
	log := f.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := placeOf(old)
	if err != nil {
		return nil, err
	}
	var (
		up    bool                     // at the look before
		since time.Time                // when it was gone first; zero: it is not
		again time.Time                // when to look for another one
		wait  time.Duration            // to the look after that
		seen  = map[portID]time.Time{} // ports, since when they are there
		last  = "never"                // why there is no other; empty: it is not waited for
	)
	tell := func(why string) {
		if why != last && f.Waiting != nil {
			f.Waiting(why)
		}
		last = why
	}
	tick := time.NewTicker(cmp.Or(f.tick, watchTick))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		before := up
		if up = !down(); up && !before {
			f.learn(&p)
		}
		if up || f.there(&p) {
			since = time.Time{}
			tell("")
			continue
		}
		now := time.Now()
		if since.IsZero() {
			since, again, wait = now, now.Add(cmp.Or(f.GoneAfter, goneAfter)), findMin
			clear(seen)
		}
		f.note(seen, now)
		if now.Before(again) {
			continue
		}
		found, all, err := f.find(ctx, query, func(port string) bool {
			if !strings.HasPrefix(port, "/") {
				return p.name == "" // an interface of the kernel
			}
			first, ok := seen[f.id(port)]
			return !ok || now.Sub(first) < cmp.Or(f.Settled, settled)
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if found != nil && down() && !f.there(&p) { // that took a while
			return found, nil
		}
		why := Missing(all)
		if err != nil {
			why = err.Error()
		}
		if why != last && found == nil {
			log.Warn("the radio is gone, and no other is taken in its place", "radio", old, "gone", now.Sub(since).Round(time.Second), "why", why)
			tell(why)
			wait = findMin
		}
		again, wait = time.Now().Add(wait), min(2*wait, findMax)
	}
}

func placeOf(old string) (p place, err error) {
	u, err := url.Parse(old)
	switch {
	case err != nil:
	case u.Scheme == string(WPAN):
		p.name = u.Host
	case u.Path != "" && (u.Scheme == string(Spinel) || u.Scheme == string(Slip)):
		p.path = u.Path
	default:
		err = fmt.Errorf("radio %q is not one that is plugged in", old)
	}
	return p, err
}

// learn finds the name in by-id of a port that is there: under that it is followed.
func (f *Finder) learn(p *place) {
	if p.path != "" {
		p.byID = cmp.Or(f.Prober.System.port(f.local(p.path)).ByID, p.byID)
	}
}

// there reports whether the port is plugged in, under the name of the URL or that in by-id.
func (f *Finder) there(p *place) bool {
	if p.name != "" {
		return slices.Contains(f.Prober.System.Interfaces(), p.name)
	}
	is := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	return is(p.path) || p.byID != "" && is(f.Prober.System.path(p.byID))
}

// local makes a path of the system of one of a URL.
func (f *Finder) local(path string) string {
	if root := f.Prober.System.Root; root != "" {
		path = strings.TrimPrefix(path, f.Prober.System.path())
	}
	return path
}

// note keeps since when each port is there.
func (f *Finder) note(seen map[portID]time.Time, now time.Time) {
	there := map[portID]bool{}
	for _, port := range f.Prober.System.Ports() {
		id := f.id(port.Path)
		there[id] = true
		if _, ok := seen[id]; !ok {
			seen[id] = now
		}
	}
	for id := range seen {
		if !there[id] {
			delete(seen, id)
		}
	}
}

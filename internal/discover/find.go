package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"border-router/internal/radios"
)

// SeveralError says that there is not one radio but several.
type SeveralError struct{ Found []Result }

// Error lists them with what to write.
func (e *SeveralError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "radio %q: there are %d radios; say which:", radios.Auto, len(e.Found))
	for _, r := range e.Found {
		fmt.Fprintf(&b, "\n  --radio '%s'", r.Radio.URL)
		if what := r.what(); what != "" {
			b.WriteString("  (" + what + ")")
		}
	}
	return b.String()
}

// what describes a radio in a few words.
func (r *Result) what() string {
	var l []string
	if r.Port != nil {
		if s := r.Port.String(); s != "" {
			l = append(l, s)
		}
	}
	if r.Radio != nil {
		for _, s := range []string{r.Radio.Version, r.Radio.EUI64} {
			if s != "" {
				l = append(l, s)
			}
		}
	}
	return strings.Join(l, ", ")
}

// The times between two looks for a radio.
const (
	findMin = 500 * time.Millisecond
	findMax = 5 * time.Second
	// maxSilent is how often a port is asked that does not answer as a radio, until it is
	// plugged in again: what is behind it may not like what it cannot understand.
	maxSilent = 3
)

// A Finder finds the one radio there is. It remembers what did not answer, so that it can
// look again and again.
type Finder struct {
	Prober Prober
	Taken  []string     // URLs of radios that are not to be found
	Logger *slog.Logger // nil discards
	// Waiting, where set, is told why [Finder.Wait] or [Finder.Next] has found none, each time
	// that changes; empty: it is not waited for any more.
	Waiting func(why string)
	// For [Finder.Next]: how long a radio must have been gone, and how long the ports must
	// have been there among which another one is looked for. 0: 10 s and 3 s.
	GoneAfter, Settled time.Duration

	tick time.Duration // tests; 0: watchTick

	silent map[portID]int
}

// A portID changes when a device is plugged in again: its node is made anew.
type portID struct {
	path  string
	inode uint64
	made  time.Time
}

// Find returns the URL of the one radio there is, with query added to it. The error is a
// [*SeveralError] where there are several; where there is none, the results say of each port
// why it is not one. A serial radio goes before one of the kernel.
func (f *Finder) Find(ctx context.Context, query string) (found *Result, all []Result, err error) {
	return f.find(ctx, query, func(string) bool { return false })
}

// find leaves those out, paths of ports and names of interfaces, for which leave says so.
func (f *Finder) find(ctx context.Context, query string, leave func(name string) bool) (found *Result, all []Result, err error) {
	if f.silent == nil {
		f.silent = map[portID]int{}
	}
	var serials, kernels []Result
	for _, r := range f.look(ctx, leave) {
		all = append(all, r)
		switch {
		case r.State != StateRadio:
		case r.Radio.Protocol == WPAN:
			kernels = append(kernels, r)
		default:
			serials = append(serials, r)
		}
	}
	if ctx.Err() != nil {
		return nil, all, ctx.Err()
	}
	radios := serials
	if len(radios) == 0 {
		radios = kernels
	}
	for i := range radios {
		radios[i].Radio.URL = withQuery(radios[i].Radio.URL, query)
	}
	switch len(radios) {
	case 0:
		return nil, all, nil
	case 1:
		return &radios[0], all, nil
	}
	return nil, all, &SeveralError{radios}
}

// look probes what is not taken, is not to be left out and has not been silent too often.
func (f *Finder) look(ctx context.Context, leave func(name string) bool) []Result {
	taken := map[string]bool{}
	for _, t := range f.Taken {
		if u, err := url.Parse(t); err == nil {
			taken[f.Prober.System.port(f.local(u.Path)).Path] = true
			if u.Scheme == string(WPAN) {
				taken[u.Host] = true
			}
		}
	}
	results := make(chan Result)
	n := 0
	there := map[portID]bool{}
	for _, port := range f.Prober.System.Ports() {
		id := f.id(port.Path)
		there[id] = true
		if taken[port.Path] || leave(port.Path) {
			continue
		}
		n++
		go func() {
			if f.silent[id] >= maxSilent {
				results <- Result{Target: port.Path, Port: &port, State: StateSilent, Detail: "no radio firmware answered; not asked again until it is plugged in anew"}
				return
			}
			results <- f.Prober.probePort(ctx, port, false)
		}()
	}
	for _, name := range f.Prober.System.Interfaces() {
		if taken[name] || leave(name) {
			continue
		}
		n++
		go func() { results <- f.Prober.ProbeTarget(ctx, string(WPAN)+"://"+name) }()
	}
	var out []Result
	for range n {
		out = append(out, <-results)
	}
	for _, r := range out { // after every reader of the map has ended
		if r.State == StateSilent && r.Port != nil {
			f.silent[f.id(r.Port.Path)]++
		}
	}
	maps.DeleteFunc(f.silent, func(id portID, _ int) bool { return !there[id] })
	slices.SortFunc(out, func(a, b Result) int { return strings.Compare(a.Target, b.Target) })
	return out
}

func (f *Finder) id(path string) portID {
	id := portID{path: path}
	if i, err := os.Stat(f.Prober.System.path(path)); err == nil {
		id.inode, id.made = inode(i)
	}
	return id
}

// Wait looks until there is a radio, and says so in the log whenever what keeps it from
// finding one has changed. It ends with an error where there are several.
func (f *Finder) Wait(ctx context.Context, query string) (*Result, error) {
	log := f.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	last := "never"
	for wait := findMin; ; wait = min(2*wait, findMax) {
		r, all, err := f.Find(ctx, query)
		if err != nil || r != nil {
			return r, err
		}
		if why := Missing(all); why != last {
			log.Warn("no radio found, waiting for one to be plugged in", "why", why)
			if f.Waiting != nil {
				f.Waiting(why)
			}
			last = why
			wait = findMin
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Missing says why there is no radio among the results, and what to do.
func Missing(all []Result) string {
	if len(all) == 0 {
		return "no serial port and no kernel radio is there; plug the dongle in, or give the URL of a radio on the network"
	}
	var l []string
	for _, r := range all {
		if r.State != StateRadio {
			l = append(l, r.Target+": "+r.Detail)
		}
	}
	return strings.Join(l, "; ")
}

// withQuery adds what a query says to a URL.
func withQuery(text, query string) string {
	u, err := url.Parse(text)
	add, err2 := url.ParseQuery(query)
	if query == "" || errors.Join(err, err2) != nil {
		return text
	}
	q := u.Query()
	for k, v := range add {
		q[k] = v
	}
	u.RawQuery = q.Encode()
	return u.String()
}

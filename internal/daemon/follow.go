package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/radios"
)

// An otherRadio says that another radio takes the place of the one that a port has: what was
// built on that has to be built again.
type otherRadio struct {
	i         int // of the port
	name      string
	was, next config.Radio
}

// Error says which.
func (o *otherRadio) Error() string {
	return fmt.Sprintf("%s: %s is gone and %s is there", o.name, o.was, o.next)
}

// A past is what is known of the radios of a port, over all lives of the daemon.
type past struct {
	health health
	radios succession
}

// A succession counts the radios that came after each other. Its methods may be called from
// any goroutine.
type succession struct {
	mu      sync.Mutex
	times   uint64
	was     string // URL of the one before; empty: there was none
	at      time.Time
	waiting string // why none takes the place of the one that is gone
}

// add notes that another one takes the place of was.
func (s *succession) add(was config.Radio) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	s.was, s.at, s.waiting = string(was), time.Now(), ""
}

// wait notes why no other one is taken.
func (s *succession) wait(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = strings.Join(strings.Fields(why), " ")
}

func (s *succession) status(r *api.Radio) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Replacements, r.Waiting = s.times, s.waiting
	if s.was != "" {
		r.Replaced = &api.Replaced{URL: s.was, At: s.at}
	}
}

// follow waits for a radio that takes the place of radio i, which was found, once that is
// gone, and ends the daemon then.
func (d *Daemon) follow(ctx context.Context, i int, auto config.Radio) {
	m, was := d.meshes[i], d.cfg.Radios[i]
	down := func() bool { return m.health.state(time.Now(), nil).State == "down" }
	for told := ""; ; {
		next, err := d.nextRadio(ctx, auto, d.cfg.Radios, i, down, m.radios.wait)
		if err != nil {
			return // it is none that can be pulled out, or the end
		}
		// The nodes are on this channel and in this PAN, whatever the firmware has by default.
		channel := m.radio.Channel()
		next = withSettings(next, channel, m.pan)
		if err := d.startable(m.name, next); err != nil {
			if why := err.Error(); why != told {
				d.log.Error("the radio is gone, and the one that is there cannot take its place", "link", m.name, "radio", next, "err", err)
				told = why
			}
			m.radios.wait(err.Error())
			continue
		}
		d.downOnce.Do(func() {
			inherit(d.store, d.numbers[i], m.name, was, next, channel, m.pan)
			d.down <- &otherRadio{i, m.name, was, next}
		})
		return
	}
}

// startable says why the router could not start with a radio.
func (d *Daemon) startable(port string, radio config.Radio) error {
	u, err := radios.Parse(string(radio))
	if err != nil {
		return err
	}
	return d.counted(port, u.HasOwnAddress())
}

package sim

import "time"

// An onAir is the time that a frame takes on the air.
type onAir struct {
	start, end time.Duration
	hit        bool // another one overlaps
}

// occupy puts a frame on the air; it and those that it overlaps are lost. It must be called
// before start, so that all that overlap a frame are known at its end.
func (w *World) occupy(start, end time.Duration) *onAir {
	a := &onAir{start: start, end: end}
	keep := w.air[:0]
	for _, b := range w.air {
		if b.end <= w.at {
			continue
		}
		keep = append(keep, b)
		if b.start < end && start < b.end {
			a.hit, b.hit = true, true
		}
	}
	w.air = append(keep, a)
	return a
}

// busy reports whether a station hears a signal now.
func (w *World) busy() bool {
	for _, a := range w.air {
		if a.start <= w.at && w.at < a.end {
			return true
		}
	}
	return false
}

// contend assesses the channel at a time.
func (s *station) contend(at time.Duration) {
	s.txToken++
	s.air = nil
	s.w.q.push(event{at: at, kind: evCCA, station: s.id, gen: s.gen, token: s.txToken})
}

// onCCA sends where the channel is clear. Nobody hears the frame before the radio has
// turned around: that is when others collide with it.
func (s *station) onCCA() {
	w := s.w
	if w.at < s.acking { // the radio is at the acknowledgment of what it received
		s.contend(s.acking)
		return
	}
	if w.busy() {
		if wait, ok := s.csma.Busy(w.rng); ok {
			s.contend(w.at + wait)
			return
		}
		w.stats.ChannelBusy++
		s.mac.Busy()
		s.poll(w.now())
		s.service()
		return
	}
	start := w.at + turnaround
	end := start + airTime(len(s.batch[s.k].Data))
	s.air = w.occupy(start, end)
	s.txToken++
	w.q.push(event{at: end, kind: evAir, station: s.id, gen: s.gen, token: s.txToken})
}

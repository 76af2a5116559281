package spinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"border-router/ieee802154/driver"
	"border-router/internal/serial"
)

// probeWait is how long an answer at one rate is waited for.
const probeWait = time.Second

// dialer returns what opens the line that c names.
func (c *Config) dialer() func(ctx context.Context) (Line, error) {
	if addr := c.Addr; addr != "" {
		return func(ctx context.Context) (Line, error) { return opened(serial.Dial(ctx, addr)) }
	}
	port := &serial.Reopener{Config: c.Port}
	return func(context.Context) (Line, error) { return opened(port.Open()) }
}

// opened turns the nil pointer beside an error into a nil Line.
func opened[L Line](l L, err error) (Line, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ended notes why the dongle is not up.
func (r *Radio) ended(wasUp bool, err error) {
	if wasUp {
		r.lost(err)
	} else {
		r.failed(err)
	}
}

// failed notes that the dongle could not be opened; each reason is told once.
func (r *Radio) failed(err error) {
	r.mu.Lock()
	r.dongle.Failed++
	text := err.Error()
	fresh := text != r.lastErr
	r.lastErr = text
	info := r.info
	r.mu.Unlock()
	if !fresh {
		return
	}
	r.log.Warn("dongle not up; trying on", "err", err)
	if r.cfg.OnState != nil {
		r.cfg.OnState(false, err, info)
	}
}

func (r *Radio) lost(err error) {
	r.mu.Lock()
	r.dongle.Lost++
	if errors.Is(err, ErrRestarted) {
		r.dongle.Restarts++
	}
	r.lastErr = err.Error()
	info := r.info
	r.mu.Unlock()
	r.log.Warn("dongle lost; opening it again", "err", err)
	if r.cfg.OnState != nil {
		r.cfg.OnState(false, err, info)
	}
}

// comeBack is how long a dongle may take that goes away when it is reset.
const comeBack = 4 * time.Second

// run opens the dongle and keeps it. It returns since when it was up, the zero time for
// never, and why it is not any more.
func (r *Radio) run() (up time.Time, err error) {
	r.mu.Lock()
	applied, changes := r.want.clone(), r.changes
	r.mu.Unlock()
	s, info, err := r.begin(applied)
	if errors.Is(err, errVanished) {
		// It starts by now, and is not reset again, which would go on for ever.
		for end := time.Now().Add(comeBack); err != nil && time.Now().Before(end) && r.wait(driver.BackoffMin); {
			s, info, err = r.begin(applied)
		}
	}
	if err != nil {
		return up, err
	}
	defer s.close()

	r.mu.Lock()
	r.info = info
	r.s = s
	r.dongle.Opened++
	r.lastErr = ""
	if r.want.ext == 0 {
		r.mac.SetAddress(info.EUI64, r.want.short, r.want.pan)
	}
	turn := r.turn
	r.turn = make(chan struct{})
	r.mu.Unlock()
	close(turn)
	r.log.Info("dongle up", "firmware", info.Version, "eui64", fmt.Sprintf("%016x", info.EUI64), "caps", info.Caps.String(),
		"channel", applied.channel, "baud", info.Baud)
	r.tellRoom(s, applied)
	if r.cfg.OnState != nil {
		r.cfg.OnState(true, nil, info)
	}
	up = time.Now()
	err = r.keep(s, applied, changes, &info)
	if errors.Is(err, errNoDone) { // it answers, so that nothing else would reset it
		r.noReset = false
	}
	s.die(err) // before r.s goes, so that whoever has it does not wait on it
	r.mu.Lock()
	r.s = nil
	r.mu.Unlock()
	return up, err
}

// begin opens the dongle and starts it.
func (r *Radio) begin(st *state) (*session, Info, error) {
	s, baud, err := r.connect()
	if err != nil {
		return nil, Info{}, err
	}
	s.unhook = context.AfterFunc(r.ctx, func() { s.die(net.ErrClosed) })
	info, err := s.start(r.ctx, st, !r.noReset)
	if err != nil {
		s.close()
		r.noReset = errors.Is(err, errVanished)
		if errors.Is(err, ErrSilent) && baud > 0 {
			return nil, info, fmt.Errorf("start the dongle at %d baud: %w", baud, err)
		}
		return nil, info, fmt.Errorf("start the dongle: %w", err)
	}
	info.Baud = baud
	return s, info, nil
}

// wait waits for d and reports whether the radio is still open.
func (r *Radio) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.ctx.Done():
		return false
	}
}

// tellRoom says once that the dongle cannot tell those that sleep apart.
func (r *Radio) tellRoom(s *session, st *state) {
	full := s.room < len(st.pending)
	if full && !r.full {
		r.log.Warn("the dongle has no room for all that sleep: it says to each that asks that something waits, which costs their batteries a little",
			"room", max(s.room, 0))
	}
	r.full = full
}

// keep watches over a dongle that is up until it is lost.
func (r *Radio) keep(s *session, applied *state, changes int, info *Info) error {
	t := time.NewTicker(r.cfg.Keepalive)
	defer t.Stop()
	for {
		r.mu.Lock()
		var next *state
		if changes != r.changes {
			next, changes = r.want.clone(), r.changes
		}
		r.mu.Unlock()
		if next != nil {
			room := s.room
			if err := s.update(r.ctx, applied, next, info); err != nil {
				return err
			}
			applied = next
			if s.room < room { // or it has restarted, and takes nothing
				if err := s.check(r.ctx, applied); err != nil {
					return err
				}
			}
			r.tellRoom(s, applied)
		}
		select {
		case <-r.changed:
			continue
		case <-t.C:
		case <-s.resetC: // stale, or the dongle really restarted
		case <-r.suspect:
		case <-s.dead:
			return s.err
		}
		if err := s.check(r.ctx, applied); err != nil {
			return err
		}
	}
}

// update brings the dongle from one state to another.
func (s *session) update(ctx context.Context, from, to *state, info *Info) error {
	a, b := *from, *to
	a.pending, b.pending, a.match, b.match = nil, nil, false, false
	if a.channel != b.channel || a.pan != b.pan || a.short != b.short || a.ext != b.ext || a.power != b.power {
		if err := s.apply(ctx, &b, info); err != nil {
			return err
		}
	}
	return s.updateMatch(ctx, from, to)
}

// connect opens the line and finds the rate at which something answers; baud is 0 where the
// line has none.
func (r *Radio) connect() (s *session, baud int, err error) {
	var heard []string
	order := r.rates.Order(r.found)
	for k, i := range order {
		rate := r.rates[i]
		// Each rate has a session of its own, so that nothing of the one before is in it.
		line, err := r.cfg.Dial(r.ctx)
		if err != nil {
			return nil, 0, err
		}
		switch err := line.SetBaud(rate); {
		case errors.Is(err, errors.ErrUnsupported):
			return newSession(line, r), 0, nil
		case err != nil:
			_ = line.Close()
			return nil, 0, err
		case len(r.rates) == 1:
			return newSession(line, r), rate, nil
		}
		_ = line.Discard()
		s := newSession(line, r)
		if s.probe(r.ctx, r.cfg.probeWait) {
			r.rates.Found(i)
			r.found = true
			return s, rate, nil
		}
		dead := s.isDead()
		s.close()
		if dead && !errors.Is(s.err, net.ErrClosed) {
			return nil, 0, s.err
		}
		if r.ctx.Err() != nil {
			return nil, 0, net.ErrClosed
		}
		if slices.Index(order, i) == k {
			heard = append(heard, fmt.Sprintf("at %d baud %s", rate, s.heard()))
		}
	}
	return nil, 0, fmt.Errorf("%s: %w: %s; is OpenThread RCP firmware on it, and is the rate another (baud=) or flow control needed (flow=rtscts)?",
		r.cfg.Name, ErrSilent, strings.Join(heard, ", "))
}

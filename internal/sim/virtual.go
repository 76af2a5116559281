package sim

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// runVirtual runs a [World] at cfg.Speed times real time.
func runVirtual(ctx context.Context, cfg Config, v *view) error {
	if cfg.Speed < 0 {
		return fmt.Errorf("speed %g: want more than 0", cfg.Speed)
	}
	wc := WorldConfig{Nodes: cfg.Nodes, Classic: cfg.Classic, Sleepy: cfg.Sleepy, Poll: cfg.Poll, Impairment: cfg.Impairment, Seed: cfg.Seed}
	if r := cfg.Router; r != nil {
		wc.PeriodicRA = r.ND.PeriodicRA
		if len(r.Prefixes) > 0 {
			if p, err := r.Prefixes[0].Addr().Prefix(64); err == nil {
				wc.Prefix = p
			}
		}
	}
	w := NewWorld(wc)
	v.print(fmt.Sprintf("%s, virtual time at %g times real time\n", describe(cfg), cfg.Speed))
	for i := 1; i <= cfg.Nodes; i++ {
		w.After(time.Duration(i)*50*time.Millisecond, func() { w.Start(i) })
	}
	const frame = 100 * time.Millisecond // of real time
	tick := time.NewTicker(frame)
	defer tick.Stop()
	step := time.Duration(float64(frame) * cfg.Speed)
	for end := false; !end; {
		until := w.Now() + step
		if cfg.For > 0 && until >= cfg.For {
			until, end = cfg.For, true
		}
		for w.Now() < until && ctx.Err() == nil { // in pieces, so that Ctrl-C is heard
			w.Run(min(until, w.Now()+max(step/50, time.Millisecond)))
			if w.err != nil {
				break
			}
		}
		if err := w.Check(); err != nil {
			return err
		}
		v.update(w.rows())
		if !end {
			select {
			case <-ctx.Done():
				end = true
			case <-tick.C:
			}
		}
	}
	st := w.Stats()
	v.print(fmt.Sprintf("%v: %d of %d nodes joined, %d addresses registered; %d frames on the air, %d acknowledgments, %d lost, %d duplicated; trace %s\n",
		w.Now(), w.Joined(), cfg.Nodes, w.Registered(), st.Frames, st.Acks, st.Lost, st.Duplicated, w.Trace()))
	return nil
}

func (w *World) rows() []row {
	var rows []row
	states := make(map[string]string)
	lives := make(map[string]time.Duration)
	now := w.now()
	for _, n := range w.Neighbors() {
		states[n.Addr.String()] = n.State
		if n.Registered {
			lives[n.Addr.String()] = n.Expires.Sub(now).Round(time.Second)
		}
	}
	for i := 1; i < len(w.stations); i++ {
		r := row{name: fmt.Sprint("node-", i), nd: "6775", state: "looking for a router"}
		if i <= w.cfg.Classic {
			r.nd = "4861"
		}
		if a := w.Addrs(i); len(a) > 0 {
			r.addr, r.state = a[0], "joined"
			if s := states[a[0].String()]; s != "" {
				r.state, r.life = strings.ToLower(s), lives[a[0].String()]
			}
		}
		rows = append(rows, r)
	}
	return rows
}

package daemon

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"border-router/internal/api"
)

// The State of [api.Status].
const (
	stateStarting = "starting" // never shown: requests wait until it is over
	stateWaiting  = "waiting for a radio"
	stateRunning  = "running"
)

// errWaiting answers what cannot be asked of a router that does not run yet.
var errWaiting = errors.New("the router waits for a radio: `border-router status` says why")

// A front answers requests while the router waits for a radio, and passes them to the router
// when it runs. Those that come in between wait.
type front struct {
	*Daemon
	config api.Config // before radios are found

	mu      sync.Mutex
	state   string
	reason  string        // of stateWaiting
	changed chan struct{} // closed when state does
}

var _ api.Backend = (*front)(nil)

func newFront(ctx context.Context, d *Daemon) *front {
	f := &front{Daemon: d, state: stateStarting, changed: make(chan struct{})}
	f.config, _ = d.Config(ctx)
	return f
}

func (f *front) set(state, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.reason = state, reason
	close(f.changed)
	f.changed = make(chan struct{})
}

// settled waits until the router runs or waits for a radio: then running is false.
func (f *front) settled(ctx context.Context) (running bool, reason string, err error) {
	for {
		f.mu.Lock()
		state, reason, changed := f.state, f.reason, f.changed
		f.mu.Unlock()
		if state != stateStarting {
			return state == stateRunning, reason, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, "", ctx.Err()
		}
	}
}

// Status implements [api.Backend].
func (f *front) Status(ctx context.Context) (api.Status, error) {
	running, reason, err := f.settled(ctx)
	switch {
	case err != nil:
		return api.Status{}, err
	case running:
		return f.Daemon.Status(ctx)
	}
	return api.Status{
		Version: f.version, PID: os.Getpid(), Uptime: time.Since(f.started).Seconds(), StateDir: f.cfg.StateDir,
		State: stateWaiting, Reason: reason, Uplink: api.Uplink{URL: f.cfg.Uplink.String(), State: "down"}, Memory: memory(),
	}, nil
}

// Neighbors implements [api.Backend].
func (f *front) Neighbors(ctx context.Context) ([]api.Neighbor, error) {
	if running, _, err := f.settled(ctx); !running {
		return nil, err
	}
	return f.Daemon.Neighbors(ctx)
}

// Routes implements [api.Backend].
func (f *front) Routes(ctx context.Context) ([]api.Route, error) {
	if running, _, err := f.settled(ctx); !running {
		return nil, err
	}
	return f.Daemon.Routes(ctx)
}

// Config implements [api.Backend].
func (f *front) Config(ctx context.Context) (api.Config, error) {
	if running, _, err := f.settled(ctx); !running {
		return f.config, err
	}
	return f.Daemon.Config(ctx)
}

// Ping implements [api.Backend].
func (f *front) Ping(ctx context.Context, r api.PingRequest, emit func(api.PingReply) error) error {
	if running, _, err := f.settled(ctx); !running {
		return cmp.Or(err, errWaiting)
	}
	return f.Daemon.Ping(ctx, r, emit)
}

// Capture implements [api.Backend].
func (f *front) Capture(ctx context.Context, r api.CaptureRequest, w io.Writer) error {
	if running, _, err := f.settled(ctx); !running {
		return cmp.Or(err, errWaiting)
	}
	return f.Daemon.Capture(ctx, r, w)
}

// findRadios has the radios found that are not named, while the front says why that lasts.
func (d *Daemon) findRadios(ctx context.Context, find func(context.Context, func(string)) error) error {
	if find == nil {
		return nil
	}
	err := find(ctx, func(why string) { d.front.set(stateWaiting, why) })
	d.front.set(stateStarting, "")
	return err
}

package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"border-router/internal/api"
)

// The State of [api.Status].
const (
	stateStarting = "starting"
	stateWaiting  = "waiting for a radio"
	stateRunning  = "running"
)

// errStarting answers what cannot be asked of a router that does not run yet.
var errStarting = errors.New("the router is not running yet: `border-router status` says what it waits for")

// A front answers requests while the router starts, which lasts as long as its radio is not
// there, and passes them to the router afterwards.
type front struct {
	*Daemon
	running atomic.Bool
	config  api.Config             // before radios are found
	waiting atomic.Pointer[string] // why it waits for a radio
}

var _ api.Backend = (*front)(nil)

// Status implements [api.Backend].
func (f *front) Status(ctx context.Context) (api.Status, error) {
	if f.running.Load() {
		return f.Daemon.Status(ctx)
	}
	s := api.Status{
		Version: f.version, PID: os.Getpid(), Uptime: time.Since(f.started).Seconds(), StateDir: f.cfg.StateDir,
		State: stateStarting, Uplink: api.Uplink{URL: f.cfg.Uplink.String(), State: "down"}, Memory: memory(),
	}
	if why := f.waiting.Load(); why != nil {
		s.State, s.Reason = stateWaiting, *why
	}
	return s, nil
}

// Neighbors implements [api.Backend].
func (f *front) Neighbors(ctx context.Context) ([]api.Neighbor, error) {
	if !f.running.Load() {
		return nil, nil
	}
	return f.Daemon.Neighbors(ctx)
}

// Routes implements [api.Backend].
func (f *front) Routes(ctx context.Context) ([]api.Route, error) {
	if !f.running.Load() {
		return nil, nil
	}
	return f.Daemon.Routes(ctx)
}

// Config implements [api.Backend].
func (f *front) Config(ctx context.Context) (api.Config, error) {
	if !f.running.Load() {
		return f.config, nil
	}
	return f.Daemon.Config(ctx)
}

// Ping implements [api.Backend].
func (f *front) Ping(ctx context.Context, r api.PingRequest, emit func(api.PingReply) error) error {
	if !f.running.Load() {
		return errStarting
	}
	return f.Daemon.Ping(ctx, r, emit)
}

// Capture implements [api.Backend].
func (f *front) Capture(ctx context.Context, r api.CaptureRequest, w io.Writer) error {
	if !f.running.Load() {
		return errStarting
	}
	return f.Daemon.Capture(ctx, r, w)
}

// findRadios has the radios found that are not named, while the front says why that lasts.
func (d *Daemon) findRadios(ctx context.Context, find func(context.Context, func(string)) error) error {
	if find == nil {
		return nil
	}
	err := find(ctx, func(why string) { d.front.waiting.Store(&why) })
	d.front.waiting.Store(nil)
	return err
}

package daemon

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
)

// TestWaitsForRadio: while the radio is to be found, the management socket says what is waited
// for; then the router runs on the radio that was found.
func TestWaitsForRadio(t *testing.T) {
	c := testConfig(t, "auto")
	plug, asked := make(chan struct{}), make(chan struct{})
	made := make(chan *Daemon, 1)
	go func() {
		d, err := New(t.Context(), c, Options{Version: "test", FindRadios: func(ctx context.Context, waiting func(string)) error {
			waiting("no serial port is there")
			close(asked)
			select {
			case <-plug:
			case <-ctx.Done():
				return ctx.Err()
			}
			c.Radios[0] = "zep://127.0.0.1:0"
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		made <- d
	}()
	<-asked
	client := api.NewClient(c.Socket)
	s, err := client.Status(t.Context())
	if err != nil || s.State != "waiting for a radio" || s.Reason != "no serial port is there" || s.Uplink.State != "down" || s.Version != "test" {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := client.Neighbors(t.Context()); err != nil || len(n) != 0 {
		t.Errorf("%v, %v", n, err)
	}
	if r, err := client.Routes(t.Context()); err != nil || len(r) != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if x, err := client.Config(t.Context()); err != nil || !strings.Contains(x.TOML, `"auto"`) {
		t.Errorf("%v, %v", x.TOML, err)
	}
	err = client.Ping(t.Context(), api.PingRequest{Addr: netip.IPv6Loopback(), Count: 1}, func(api.PingReply) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "waits for a radio") {
		t.Errorf("ping: %v", err)
	}
	close(plug)
	d := <-made
	if d == nil {
		return
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := client.Status(soon); err == nil {
		t.Errorf("a router that starts answers: %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	if s, err := client.Status(t.Context()); err != nil || s.State != "running" || len(s.Ports) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWaitEnds: the end of the context ends the waiting, and the socket is gone.
func TestWaitEnds(t *testing.T) {
	c := testConfig(t, "auto")
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, c, Options{FindRadios: func(ctx context.Context, waiting func(string)) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := api.NewClient(c.Socket).Status(t.Context()); err == nil {
		t.Error("the socket answers")
	}
}

package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ipv6"
)

type input struct {
	f *fixture
	p ipv6.Packet
	m ipv6.Meta
}

func (i *input) Run(now time.Time) { i.f.r.Input(now, i.p, i.m) }

func startLoop(t *testing.T, r *Router) (*Loop, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	l := NewLoop(r)
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }()
	return l, func() { cancel(); <-ended }
}

// TestIdleLoop counts what an idle router does in a minute: nothing.
func TestIdleLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := startLoop(t, newFixture(Config{}).r)
		defer stop()
		synctest.Wait()
		before := l.Wakeups()
		time.Sleep(60 * time.Second)
		if n := l.Wakeups() - before; n != 0 {
			t.Errorf("%d wake-ups in 60 s with nothing pending", n)
		}
	})
}

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(Config{})
		l, stop := startLoop(t, f.r)
		if !l.Post(&input{f, udp(nodeA, lanHost, 64, 0), meshMeta}) {
			t.Fatal("Post = false")
		}
		synctest.Wait()
		if f.host.n != 1 {
			t.Errorf("%d packets forwarded", f.host.n)
		}

		// A deadline is met to the moment.
		start, done := time.Now(), make(chan time.Time, 1)
		if err := l.Do(t.Context(), func(r *Router) {
			if err := r.Ping(time.Now(), Ping{Dst: nodeA, Timeout: 3 * time.Second, Done: func(PingResult) { done <- time.Now() }}); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if d := (<-done).Sub(start); d != 3*time.Second {
			t.Errorf("timeout after %v", d)
		}

		// While a port is busy the uplink waits and the mesh does not.
		if err := l.Do(t.Context(), func(*Router) { f.mesh.busy = true }); err != nil {
			t.Fatal(err)
		}
		before := f.host.n
		l.PostUplink(&input{f, udp(lanHost, nodeA, 64, 0), hostMeta})
		l.Post(&input{f, udp(nodeA, lanHost, 64, 0), meshMeta})
		synctest.Wait()
		if f.hl.Stats().Received != 0 || f.host.n != before+1 {
			t.Errorf("uplink received %d, mesh forwarded %d", f.hl.Stats().Received, f.host.n-before)
		}
		if err := l.Do(t.Context(), func(*Router) { f.mesh.busy = false }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if f.hl.Stats().Received != 1 {
			t.Error("the uplink did not go on")
		}

		stop()
		if l.Post(&input{}) {
			t.Error("Post = true after the end")
		}
		if err := l.Do(t.Context(), func(*Router) {}); !errors.Is(err, ErrClosed) {
			t.Errorf("Do after the end: %v", err)
		}
	})
}

func TestLoopDoContext(t *testing.T) {
	l := NewLoop(New(Config{})) // never run
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Do(ctx, func(*Router) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Do: %v", err)
	}
}

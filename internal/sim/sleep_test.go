package sim

import (
	"testing"
	"time"

	"border-router/ipv6"
	"border-router/lowpan"
)

// TestWorldSleepy: nodes that sleep 5 s join, and answer pings of one frame and of many
// within what their polling allows, while one that is awake is not held up.
func TestWorldSleepy(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  WorldConfig
	}{
		{"clean", WorldConfig{Nodes: 5, Sleepy: 4, Seed: 1}},
		{"contention", WorldConfig{Nodes: 5, Sleepy: 4, Seed: 2, Contention: true}},
		{"bad medium", WorldConfig{Nodes: 5, Sleepy: 4, Seed: 3, Contention: true, Impairment: bad}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWorld(tt.cfg)
			for i := 1; i <= tt.cfg.Nodes; i++ {
				w.Start(i)
			}
			settle(t, w, 5*time.Minute)
			if n := w.Registered(); n < tt.cfg.Nodes {
				t.Errorf("%d registered", n)
			}
			w.Run(w.Now() + time.Minute)
			router := w.stations[0].iface
			if n := router.Stats().Sleepers; n != 4 {
				t.Errorf("%d sleep", n)
			}
			tries := 1
			if tt.cfg.Impairment.Loss > 0 {
				tries = 10
			}
			for _, size := range []int{8, 1000} {
				for i := 1; i <= tt.cfg.Nodes; i++ {
					sleepy := i > 1
					ok, rtt := false, time.Duration(0)
					for k := 0; k < tries && !ok; k++ {
						w.Ping(w.Addrs(i)[0], size, 30*time.Second, func(r PingResult) { ok, rtt = r.OK, r.RTT })
						w.Run(w.Now() + 31*time.Second + time.Duration(i)*700*time.Millisecond)
					}
					limit := 200 * time.Millisecond
					if sleepy {
						limit = 5*time.Second + 500*time.Millisecond
					}
					if tries > 1 {
						limit += 20 * time.Second
					}
					if !ok || rtt > limit {
						t.Errorf("node %d, %d bytes: %v after %v", i, size, ok, rtt)
					}
				}
			}
			st := router.Stats()
			if st.IndirectSent == 0 || st.DataRequests == 0 || st.IndirectHeld != 0 {
				t.Errorf("%+v", st)
			}
			if tries == 1 && st.TxDrops[lowpan.DropIndirect] != 0 {
				t.Errorf("%d expired", st.TxDrops[lowpan.DropIndirect])
			}
			// Polling is all that the receiver is on for.
			p := w.stations[5].iface.Stats().Poller
			if p.Polls < 50 || p.Pending == 0 || p.Received == 0 {
				t.Errorf("%+v", p)
			}
			if err := w.Check(); err != nil {
				t.Error(err)
			}
			t.Logf("%d data requests, %d frames sent on them, %d again; poller %+v; %d collisions, %d gave up",
				st.DataRequests, st.IndirectSent, st.IndirectRepeats, p, w.Stats().Collisions, w.Stats().ChannelBusy)
		})
	}
}

// TestWorldSleepyAwake: a node that does not poll any more, but listens, is found to be awake.
func TestWorldSleepyAwake(t *testing.T) {
	w := NewWorld(WorldConfig{Nodes: 1, Sleepy: 1, Seed: 1})
	w.Start(1)
	settle(t, w, time.Minute)
	s, router := w.stations[1], w.stations[0].iface
	if router.Stats().Sleepers != 1 {
		t.Fatal("is not known to sleep")
	}
	s.iface.SetParent(w.now(), ipv6.LinkAddr{})
	s.service()
	ok, rtt := false, time.Duration(0)
	w.Ping(w.Addrs(1)[0], 8, 30*time.Second, func(r PingResult) { ok, rtt = r.OK, r.RTT })
	w.Run(w.Now() + 30*time.Second)
	if st := router.Stats(); !ok || st.Sleepers != 0 {
		t.Errorf("ping %v after %v, %d sleep", ok, rtt, st.Sleepers)
	}
	w.Ping(w.Addrs(1)[0], 8, 30*time.Second, func(r PingResult) { ok, rtt = r.OK, r.RTT })
	w.Run(w.Now() + 30*time.Second)
	if !ok || rtt > 100*time.Millisecond {
		t.Errorf("ping %v after %v", ok, rtt)
	}
}

// TestWorldContention: 200 nodes that start at once share the channel.
func TestWorldContention(t *testing.T) {
	run := func() *World {
		w := NewWorld(WorldConfig{Nodes: 200, Sleepy: 20, Seed: 7, Contention: true})
		for i := 1; i <= 200; i++ {
			w.After(time.Duration(i)*20*time.Millisecond, func() { w.Start(i) })
		}
		settle(t, w, 10*time.Minute)
		w.Run(w.Now() + time.Hour)
		return w
	}
	w := run()
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	st := w.Stats()
	if st.Collisions == 0 || w.Registered() < 200 {
		t.Errorf("%+v, %d registered", st, w.Registered())
	}
	if again := run(); again.Trace() != w.Trace() {
		t.Error("the same seed gave another run")
	}
	t.Logf("%+v", st)
}

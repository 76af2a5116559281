package sim

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// bad is a medium worse than most.
var bad = Impairment{Loss: 0.2, Duplicate: 0.05, Reorder: 0.05, Jitter: 2 * time.Millisecond}

// settle runs until all of cfg's nodes have joined.
func settle(t *testing.T, w *World, within time.Duration) {
	t.Helper()
	for w.Joined() < w.cfg.Nodes && w.Now() < within {
		w.Run(w.Now() + time.Second)
	}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if n := w.Joined(); n < w.cfg.Nodes {
		t.Fatalf("%d of %d nodes joined within %v", n, w.cfg.Nodes, within)
	}
}

// pingAll pings every address of every node once and returns how many answered.
func pingAll(w *World, size, tries int) (answered int) {
	for i := 1; i <= w.cfg.Nodes; i++ {
		for _, a := range w.Addrs(i) {
			ok := false
			for k := 0; k < tries && !ok; k++ {
				w.Ping(a, size, 5*time.Second, func(r PingResult) { ok = ok || r.OK })
				w.Run(w.Now() + 5*time.Second)
			}
			if ok {
				answered++
			}
		}
	}
	return answered
}

func TestWorldJoin(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     WorldConfig
		classic bool
	}{
		{"one node", WorldConfig{Nodes: 1, Seed: 1}, false},
		{"one as lwIP", WorldConfig{Nodes: 1, Classic: 1, Seed: 1}, false},
		{"ten, three as lwIP", WorldConfig{Nodes: 10, Classic: 3, Seed: 2}, false},
		{"ten on a bad medium", WorldConfig{Nodes: 10, Classic: 3, Seed: 3, Impairment: bad}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWorld(tt.cfg)
			for i := 1; i <= tt.cfg.Nodes; i++ {
				w.Start(i)
			}
			settle(t, w, 5*time.Minute)
			if n, want := w.Registered(), tt.cfg.Nodes-tt.cfg.Classic; n < want {
				t.Errorf("%d registered, want %d", n, want)
			}
			for _, size := range []int{8, 1000} {
				if n := pingAll(w, size, 10); n < tt.cfg.Nodes {
					t.Errorf("%d of %d answer pings of %d bytes", n, tt.cfg.Nodes, size)
				}
			}
			if err := w.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// day is a day in a mesh of nodes on a bad medium: they join within a minute, register
// over and over, are pinged, some lose power and come back, the router restarts, and
// at the end all leave.
func day(t *testing.T, nodes int, seed uint64, hours int) *World {
	t.Helper()
	w := NewWorld(WorldConfig{Nodes: nodes, Classic: nodes / 20, Sleepy: nodes / 10, Impairment: bad, Seed: seed})
	start := w.Now()
	for i := 1; i <= nodes; i++ {
		w.After(time.Duration(i)*time.Minute/time.Duration(nodes), func() { w.Start(i) })
	}
	settle(t, w, 10*time.Minute)

	asked, answered := 0, 0
	for h := range hours {
		for k := range 20 {
			i := 1 + (h*37+k*11)%nodes
			w.After(time.Duration(k)*2*time.Minute, func() {
				for _, a := range w.Addrs(i) {
					asked++
					size := 8
					if k%4 == 0 {
						size = 1000
					}
					w.Ping(a, size, 10*time.Second, func(r PingResult) {
						if r.OK {
							answered++
						}
					})
				}
			})
		}
		if h%4 == 1 { // some lose power
			for k := range nodes / 10 {
				i := 1 + (h*7+k*3)%nodes
				w.After(time.Duration(k)*time.Second, func() { w.Kill(i) })
				w.After(10*time.Minute+time.Duration(k)*time.Second, func() { w.Start(i) })
			}
		}
		if h == hours/2 {
			w.After(30*time.Minute, func() { w.RestartRouter(true) })
		}
		w.Run(w.Now() + time.Hour)
		if err := w.Check(); err != nil {
			t.Fatalf("hour %d: %v", h, err)
		}
	}
	if n := w.Joined(); n < nodes*99/100 {
		t.Errorf("%d of %d nodes are in the mesh after %v", n, nodes, w.Now()-start)
	}
	if n := w.Registered(); n < (nodes-nodes/20)*97/100 {
		t.Errorf("%d addresses of %d nodes are registered", n, nodes-nodes/20)
	}
	// 1000 bytes are 11 frames; each is tried four times, there and back.
	if answered < asked*8/10 {
		t.Errorf("%d of %d pings answered", answered, asked)
	}
	before := w.Registered()
	for i := 1; i <= nodes; i++ {
		w.After(time.Duration(i)*time.Minute/time.Duration(nodes), func() { w.Stop(i) })
	}
	w.Run(w.Now() + 5*time.Minute)
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	if n := w.Registered(); n > before/5 {
		t.Errorf("%d of %d registrations left after all have deregistered", n, before)
	}
	w.Run(w.Now() + 20*time.Minute) // what was lost runs out
	if n := w.Registered(); n != 0 {
		t.Errorf("%d registrations left after their lifetime", n)
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	st := w.Stats()
	t.Logf("%v: %d events, %d frames, %d acks, %d lost, %d duplicated; %d of %d pings answered; trace %s",
		w.Now(), st.Events, st.Frames, st.Acks, st.Lost, st.Duplicated, answered, asked, w.Trace())
	return w
}

func TestWorldDay(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	day(t, 200, 1, 24)
}

// One seed is one run, bit by bit; another seed is another.
func TestWorldIsDeterministic(t *testing.T) {
	a, b, c := day(t, 30, 5, 3), day(t, 30, 5, 3), day(t, 30, 6, 3)
	if a.Trace() != b.Trace() || a.Stats() != b.Stats() {
		t.Errorf("one seed, two runs: %s and %s", a.Trace(), b.Trace())
	}
	if a.Trace() == c.Trace() {
		t.Error("two seeds, one run")
	}
}

// After a power cut of the router the nodes are reachable at once, without doing anything.
func TestWorldRouterRestart(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprint("kept ", keep), func(t *testing.T) {
			w := NewWorld(WorldConfig{Nodes: 5, Seed: 9})
			for i := 1; i <= 5; i++ {
				w.Start(i)
			}
			settle(t, w, time.Minute)
			var addrs []netip.Addr
			for i := 1; i <= 5; i++ {
				addrs = append(addrs, w.Addrs(i)...)
			}
			w.RestartRouter(keep)
			if keep {
				if n := w.Registered(); n < 5 {
					t.Fatalf("%d registrations restored", n)
				}
			}
			frames := w.Stats().Frames
			ok := 0
			for _, a := range addrs {
				w.Ping(a, 8, time.Second, func(r PingResult) {
					if r.OK {
						ok++
					}
				})
			}
			w.Run(w.Now() + time.Second)
			if keep && ok != len(addrs) {
				t.Errorf("%d of %d reachable at once (%d frames)", ok, len(addrs), w.Stats().Frames-frames)
			}
			w.Run(w.Now() + 20*time.Minute) // a registration later in any case
			if n := pingAll(w, 8, 1); n != len(addrs) {
				t.Errorf("%d of %d reachable in the end", n, len(addrs))
			}
			if err := w.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A mesh at rest does nothing: between registrations no event happens.
func TestWorldIdle(t *testing.T) {
	w := NewWorld(WorldConfig{Nodes: 3, Seed: 4})
	for i := 1; i <= 3; i++ {
		w.Start(i)
	}
	settle(t, w, time.Minute)
	w.Run(w.Now() + 30*time.Second)
	before := w.Stats().Events
	w.Run(w.Now() + time.Minute)
	if n := w.Stats().Events - before; n > 3*10 {
		t.Errorf("%d events in a minute of rest", n)
	}
}

func TestEventOrder(t *testing.T) {
	var q eventQueue
	for i := range 1000 {
		q.push(event{at: time.Duration(i * 7919 % 10), station: int32(i)})
	}
	last := event{at: -1}
	for {
		e, ok := q.pop(9)
		if !ok {
			break
		}
		if e.at < last.at || e.at == last.at && e.seq <= last.seq {
			t.Fatalf("%v %d after %v %d", e.at, e.seq, last.at, last.seq)
		}
		last = e
	}
	if len(q.heap) != 0 {
		t.Errorf("%d left", len(q.heap))
	}
}

func BenchmarkWorldHour(b *testing.B) {
	w := NewWorld(WorldConfig{Nodes: 100, Seed: 1, Impairment: bad})
	for i := 1; i <= 100; i++ {
		w.Start(i)
	}
	w.Run(10 * time.Minute)
	events := w.Stats().Events
	b.ReportAllocs()
	for b.Loop() {
		w.Run(w.Now() + time.Hour)
	}
	b.ReportMetric(float64(w.Stats().Events-events)/float64(b.N), "events/op")
}

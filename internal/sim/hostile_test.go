package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"border-router/nd"
)

// Damaged copies of real frames, tens of thousands of them, neither break an invariant nor
// make anything grow.
func TestWorldHostileFrames(t *testing.T) {
	var seen [][]byte
	limits := nd.Limits{Registrations: 50, Neighbors: 50}
	w := NewWorld(WorldConfig{Nodes: 5, Classic: 2, Seed: 3, Limits: limits, Tap: func(_ time.Duration, f []byte) {
		if len(seen) < 500 && len(f) > 5 {
			seen = append(seen, slices.Clone(f))
		}
	}})
	for i := 1; i <= 5; i++ {
		w.Start(i)
	}
	settle(t, w, time.Minute)
	for _, size := range []int{8, 300, 1200} {
		pingAll(w, size, 1)
	}
	r := rand.New(rand.NewPCG(1, 2))
	n := 30_000
	if testing.Short() {
		n = 3_000
	}
	for k := range n {
		f := slices.Clone(seen[r.IntN(len(seen))])
		f[2] = byte(r.Uint32()) // sequence number: not a duplicate
		for range r.IntN(4) {
			at := r.IntN(len(f))
			if r.IntN(3) > 0 {
				at = min(len(f)-1, 21+r.IntN(len(f))) // behind the MAC header
			}
			f[at] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			f = f[:r.IntN(len(f)+1)]
		}
		if r.IntN(8) == 0 {
			for range r.IntN(20) {
				f = append(f, byte(r.Uint32()))
			}
		}
		if r.IntN(2) == 0 && len(f) > 20 {
			f[13] = byte(r.Uint32()) // from a source nobody has seen
		}
		w.Inject(f)
		if k%8 == 0 {
			w.Run(w.Now() + 10*time.Millisecond)
		}
		if k%512 == 0 {
			if err := w.Check(); err != nil {
				t.Fatalf("after %d frames: %v", k, err)
			}
			if n := len(w.Neighbors()); n > limits.Registrations+limits.Neighbors {
				t.Fatalf("%d neighbors", n)
			}
		}
	}
	w.Run(w.Now() + 10*time.Minute)
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	lbr := w.stations[0].iface.Stats()
	if lbr.DatagramsIn < uint64(n)/20 || lbr.FramesDropped() < uint64(n)/20 {
		t.Errorf("only %d packets got through, and %d frames were dropped, of %d", lbr.DatagramsIn, lbr.FramesDropped(), n)
	}
	for _, s := range w.stations {
		if st := s.iface.Stats(); st.FramesHeld != 0 || st.DatagramsQueued != 0 {
			t.Errorf("station %d is not at rest: %d frames held, %d datagrams queued", s.id, st.FramesHeld, st.DatagramsQueued)
		}
		for _, l := range s.r.Links() {
			if h := l.Stats().Held; h != 0 {
				t.Errorf("station %d: %s holds %d packets", s.id, l.Name(), h)
			}
		}
	}
}

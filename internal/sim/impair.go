package sim

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Impairment says how bad the medium is. Probabilities are from 0 to 1 and hold for each
// frame and each receiver of it.
type Impairment struct {
	Loss      float64       // the frame does not arrive
	Duplicate float64       // it arrives twice
	Reorder   float64       // it arrives ReorderBy late, so that later frames overtake it
	Delay     time.Duration // added to every frame
	Jitter    time.Duration // added on top, uniform from 0 up to it
	ReorderBy time.Duration // default 20 ms
}

// defaultReorderBy is longer than a few full frames take on the air at 250 kbit/s.
const defaultReorderBy = 20 * time.Millisecond

// A Fate is what the medium does to one frame on its way to one receiver.
type Fate struct {
	Drop      bool
	Delay     time.Duration // until the frame arrives
	Duplicate bool
	Again     time.Duration // until it arrives the second time
}

// An Impairer draws fates. It is a plain value: the same seed and the same sequence of
// calls give the same fates.
type Impairer struct {
	im  Impairment
	rng *rand.Rand
}

// NewImpairer returns an Impairer. Its draws depend on seed alone.
func NewImpairer(im Impairment, seed uint64) *Impairer {
	if im.ReorderBy <= 0 {
		im.ReorderBy = defaultReorderBy
	}
	return &Impairer{im, rand.New(rand.NewPCG(seed, 0x6d65_6469_756d))}
}

// Next draws the fate of the next frame. Each call takes the same number of draws where the
// impairment is the same, whatever comes out, so that one frame's luck does not shift
// that of all that follow.
func (i *Impairer) Next() (f Fate) {
	loss, dup, late, jit, jit2 := i.rng.Float64(), i.rng.Float64(), i.rng.Float64(), i.rng.Float64(), i.rng.Float64()
	f.Delay = i.im.Delay + time.Duration(jit*float64(i.im.Jitter))
	f.Again = i.im.Delay + time.Duration(jit2*float64(i.im.Jitter))
	if late < i.im.Reorder {
		f.Delay += i.im.ReorderBy
	}
	f.Drop = loss < i.im.Loss
	f.Duplicate = !f.Drop && dup < i.im.Duplicate
	return f
}

// A Hook gives fates to a hub whose receivers run in goroutines of their own.
type Hook struct {
	mu sync.Mutex
	i  *Impairer
}

// NewHook returns a Hook.
func NewHook(im Impairment, seed uint64) *Hook { return &Hook{i: NewImpairer(im, seed)} }

// Impair draws the fate of one frame; the arguments are not looked at. It may be called
// from any goroutine, and so the order of calls, and with it the run, is not the seed's
// alone.
func (h *Hook) Impair(_, _ netip.AddrPort, _ []byte) (drop bool, delay time.Duration, duplicate bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.i.Next()
	return f.Drop, f.Delay, f.Duplicate
}

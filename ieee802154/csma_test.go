package ieee802154

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestCSMA checks the ranges of the waits against section 6.2.5.1.
func TestCSMA(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    CSMA
		be   []int // of each wait
	}{
		{"defaults", CSMA{}, []int{3, 4, 5, 5, 5}},
		{"short", CSMA{MinBE: 1, MaxBE: 3, MaxBackoffs: 2}, []int{1, 2, 3}},
		{"minimum above maximum", CSMA{MinBE: 8, MaxBE: 4, MaxBackoffs: 1}, []int{4, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			longest := make([]time.Duration, len(tt.be))
			for range 2000 {
				c := tt.c
				wait, ok := c.Begin(rng), true
				for k, be := range tt.be {
					if !ok || wait < 0 || wait%UnitBackoff != 0 || wait >= UnitBackoff<<be {
						t.Fatalf("wait %d: %v, %v", k, wait, ok)
					}
					longest[k] = max(longest[k], wait)
					wait, ok = c.Busy(rng)
				}
				if ok {
					t.Fatal("does not give up")
				}
			}
			for k, be := range tt.be {
				if longest[k] != UnitBackoff*(1<<be-1) {
					t.Errorf("wait %d is %v at most", k, longest[k])
				}
			}
		})
	}
}

package sim_test

import (
	"fmt"
	"time"

	"border-router/internal/sim"
)

// Fifty nodes, a fifth of all frames lost, an hour in a moment.
func Example() {
	w := sim.NewWorld(sim.WorldConfig{Nodes: 50, Seed: 1, Impairment: sim.Impairment{Loss: 0.2}})
	for i := 1; i <= 50; i++ {
		w.Start(i)
	}
	w.Run(time.Hour)
	fmt.Println(w.Joined(), "of 50 have joined; wrong:", w.Check())
	// Output: 50 of 50 have joined; wrong: <nil>
}

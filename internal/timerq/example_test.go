package timerq_test

import (
	"fmt"
	"time"

	"border-router/internal/timerq"
)

func Example() {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var q timerq.Queue[string]
	q.Set("probe", t0.Add(5*time.Second))
	q.Set("advertise", t0.Add(3*time.Second))
	q.Set("probe", t0.Add(time.Second)) // sooner than first thought
	fmt.Println("next in", q.Next().Sub(t0))

	now := t0.Add(4 * time.Second)
	for k, ok := q.Pop(now); ok; k, ok = q.Pop(now) {
		fmt.Println(k)
	}
	// Output:
	// next in 1s
	// probe
	// advertise
}

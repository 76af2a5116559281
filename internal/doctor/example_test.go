package doctor_test

import (
	"context"
	"errors"
	"fmt"

	"border-router/internal/doctor"
)

// A configuration that cannot be read is the first thing that is said.
func ExampleRun() {
	r := doctor.Run(context.Background(), doctor.Options{ConfigErr: errors.New(`hop_limit = 0: want a whole number from 1 to 255`), NoProbe: true})
	fmt.Println(r.Checks[0].Status, r.Checks[0].What)
	// Output:
	// FAIL hop_limit = 0: want a whole number from 1 to 255 (the rest is checked with the defaults)
}

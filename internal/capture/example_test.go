package capture_test

import (
	"bytes"
	"context"
	"fmt"

	"border-router/internal/capture"
)

func Example() {
	bus := capture.NewBus(0)
	frame := bus.Frames("zep0") // given to the radio

	ctx, stop := context.WithCancel(context.Background())
	stop() // a reader that only takes the head of the file
	var file bytes.Buffer
	if err := bus.Subscribe(ctx, &file, capture.Filter{}); err != nil {
		panic(err)
	}
	frame(false, []byte{0x02, 0x00, 0x17}, 26, -60, 255) // nobody reads: costs nothing
	fmt.Printf("%x\n", file.Bytes()[:4])
	// Output: 0a0d0d0a
}

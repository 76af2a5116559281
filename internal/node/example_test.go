package node_test

import (
	"context"
	"fmt"
	"time"

	"border-router/internal/node"
)

func Example() {
	n, err := node.New(node.Config{Name: "sensor", Radio: "zep://127.0.0.1:17754?mode=client", EUI64: 0x02005e1000000001}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := n.Run(ctx); err != nil { // joins, answers, and leaves when ctx ends
		fmt.Println(err)
	}
	fmt.Println(n.State().LinkLocal)
	// Output: fe80::5e10:0:1
}

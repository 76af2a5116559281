package api_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"border-router/internal/api"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := api.Listen(filepath.Join(dir, "control.sock"), newFake(), "1.2.3")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	go s.Serve()

	st, err := api.NewClient(filepath.Join(dir, "control.sock")).Status(context.Background())
	for _, p := range st.Ports {
		fmt.Println(p.Name, p.Received, p.Drops, err)
	}
	// Output: zep0 3 map[martian:1] <nil>
}

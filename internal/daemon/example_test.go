package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"border-router/internal/config"
	"border-router/internal/daemon"
)

// A router without privileges, on a free port of loopback, asked for its status.
func Example() {
	dir, err := os.MkdirTemp("", "border-router")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c := config.Default()
	c.Radios = []config.Radio{"zep://127.0.0.1:0?channel=26&pan=0x0023"}
	c.Uplink = config.Uplink{Kind: config.UplinkUser}
	c.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd12:3456:789a::/48")}
	c.Socket = filepath.Join(dir, "sock")

	d, err := daemon.New(context.Background(), c, daemon.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	status, err := d.Status(ctx)
	fmt.Println(status.Prefixes[0].Port, status.Prefixes[0].Prefix, err)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// zep0 fd12:3456:789a::/64 <nil>
	// <nil>
}

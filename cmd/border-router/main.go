// Command border-router is a 6LoWPAN border router: it routes between meshes of IEEE
// 802.15.4 nodes and IPv6. `border-router help` lists what it does.
//
// It holds flags and wiring only. Exit status: 0 done, 1 it could not be done (of ping:
// nothing came back), 2 the command line is wrong.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	// The first signal asks for a clean end, the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: term.IsTerminal(int(os.Stdout.Fd())),
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}

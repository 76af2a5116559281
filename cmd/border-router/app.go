package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"border-router/internal/api"
	"border-router/internal/config"
)

// An app is one run of the command.
type app struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is one

	socket string // of --socket
	json   bool   // of --json
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// An exit is an error with an exit status of its own. err may be nil: all has been said.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usageError marks a mistake on the command line of cmd.
func usageError(cmd *cobra.Command, err error) error {
	return &exit{exitUsage, fmt.Errorf("%w (see `%s --help`)", err, cmd.CommandPath())}
}

// run runs the command line and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	status := exitFailed
	if e, ok := errors.AsType[*exit](err); ok {
		status = e.status
		if err = e.err; err == nil {
			return status
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(a.err, "border-router: %s\n", line)
	}
	return status
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "border-router",
		Short: "Route between 6LoWPAN meshes and IPv6",
		Long: `border-router routes between meshes of IEEE 802.15.4 nodes (6LoWPAN) and IPv6.

run is the router; sim is a router with simulated nodes, to try it without any device and
without root; node is one device. The others ask a running router.`,
		Example: `  border-router sim
  sudo border-router run --radio 'zep://[::1]:17754?channel=26&pan=0x0023'
  border-router neighbors
  border-router capture | wireshark -k -i -`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := fmt.Errorf("unknown command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				err = fmt.Errorf("%w; did you mean %q?", err, near[0])
			}
			return usageError(cmd, err)
		},
		SuggestionsMinimumDistance: 2,
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "management socket of the router, at `PATH` (default "+config.DefaultSocket()+")")
	root.SetFlagErrorFunc(usageError)
	root.SetUsageTemplate(usageTemplate)
	cobra.AddTemplateFunc("flagUsages", flagUsages)
	cobra.EnableCommandSorting = false
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start something:"},
		&cobra.Group{ID: "ask", Title: "Ask a running router:"},
		&cobra.Group{ID: "other", Title: "Everything else:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			c.DisableFlagsInUseLine = true
			root.AddCommand(c)
		}
	}
	add("start", a.runCmd(), a.simCmd(), a.nodeCmd(), a.dongleCmd())
	add("ask", a.statusCmd(), a.neighborsCmd(), a.routesCmd(), a.pingCmd(), a.captureCmd())
	add("other", a.doctorCmd(), a.radiosCmd(), a.scanCmd(), a.decodeCmd(), a.encodeCmd(), a.configCmd(), a.versionCmd(), a.completionCmd())
	root.SetHelpCommandGroupID("other")
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

// noArgs and oneArg check the arguments, as mistakes of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usageError(cmd, fmt.Errorf("say %s", what))
		case 1:
			return nil
		}
		return usageError(cmd, fmt.Errorf("unexpected argument %q", args[1]))
	}
}

// exclusive reports that more than one of the flags is set.
func exclusive(cmd *cobra.Command, names ...string) error {
	var set []string
	for _, n := range names {
		if cmd.Flags().Changed(n) {
			set = append(set, "--"+n)
		}
	}
	if len(set) > 1 {
		return usageError(cmd, fmt.Errorf("%s do not go together", strings.Join(set, " and ")))
	}
	return nil
}

// client returns a client of the router that --socket names.
func (a *app) client() *api.Client {
	path := a.socket
	if path == "" {
		path = config.FindSocket()
	}
	return api.NewClient(path)
}

// interrupted turns the error of a context that a signal has ended into a silent end.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return &exit{status: exitFailed}
	}
	return err
}

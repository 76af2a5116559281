package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"border-router/internal/config"
)

func (a *app) runCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [flags]",
		Short: "Run the router",
		Long: `run routes between its meshes and its uplink until it is interrupted.

Settings come from the defaults, from a TOML file (--config) over them, and from flags over
that; each key of the file is a flag. ` + "`border-router config --default`" + ` prints the file with
every key explained.

--radio auto takes the dongle, or else the radio of the kernel, that is there, and waits for
one to be plugged in, which status says. Where there are several, it ends and lists their URLs.
A dongle that was taken is followed from port to port; once it has been gone for 10 s and one
other dongle is there that nobody uses, that takes its place, with the channel, the PAN and the
prefix of the mesh. Settings follow a question mark: --radio 'auto?channel=15&pan=0xabcd'.`,
		Example: `  sudo border-router run
  sudo border-router run --radio auto
  sudo border-router run --radio 'spinel:///dev/ttyACM0?channel=15&pan=0xabcd'
  sudo border-router run --config /etc/border-router.toml --log-level debug
  border-router run --uplink user: --prefix fd12:3456:789a::/48
  sudo border-router run --radio 'zep://?channel=26&pan=0x0023' --radio 'zep://[::1]:17755?channel=15&pan=0xabcd'`,
		Args: noArgs,
	}
	flags := config.NewFlags(cmd.Flags(), config.Default)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := flags.Load()
		if err != nil {
			return err
		}
		log := c.Log.Logger(a.err)
		if err := prepare(c); err != nil {
			return err
		}
		// A reader of the log that goes away, or is started again, does not end the router.
		signal.Ignore(syscall.SIGPIPE)
		return ended(cmd.Context(), runRouter(cmd.Context(), c, log))
	}
	return cmd
}

// prepare turns settings into what the packages that run them take.
func prepare(c *config.Config) error {
	if err := c.Resolve(); err != nil {
		return err
	}
	if c.StateDir == config.NoState {
		c.StateDir = ""
	}
	return nil
}

// ended turns the end that a signal has asked for into success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

func (a *app) nodeCmd() *cobra.Command {
	n := config.DefaultNode()
	cmd := &cobra.Command{
		Use:   "node [flags]",
		Short: "Be a device in a mesh",
		Long: `node joins a mesh as a device would, without root: it forms an address from the router's
prefix, registers it (RFC 6775) or, with --nd 4861, behaves as lwIP does, answers ping, and
serves CoAP: /.well-known/core, /time, /counter (observable), /echo and /large.

With --poll-interval it sleeps: its receiver is off, and it asks its router for frames that
often. That takes a ZEP radio.`,
		Example: `  border-router node
  border-router node --radio 'zep://[::1]:17754?mode=client' --eui64 02:00:5e:10:00:00:00:01
  border-router node --nd 4861 --name lwip-like
  border-router node --poll-interval 5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.Security.Check(); err != nil {
				return err
			}
			n.Socket = a.socket
			signal.Ignore(syscall.SIGPIPE)
			log, found := n.Log.Logger(a.err), []config.Radio{n.Radio}
			if err := findRadios(cmd.Context(), found, log, nil); err != nil {
				return ended(cmd.Context(), err)
			}
			n.Radio = found[0]
			return ended(cmd.Context(), runNode(cmd.Context(), n, log))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(config.Var(&n.Radio, ""), "radio", "radio of the mesh")
	f.Var(config.Var(&n.ND, ""), "nd", "neighbor discovery: `RFC` 6775 (registers) or 4861 (as lwIP)")
	f.Var(config.Var(&n.EUI64, ""), "eui64", "EUI-64 of the device (default: that of the URL, or a new one each time)")
	f.Var(config.Var(&n.Short, ""), "short", "short `ADDR` of the device, such as 0x0001")
	f.Var(config.Var(&n.Name, ""), "name", "`NAME` in the log (default: made from the EUI-64)")
	f.Var(config.Var(&n.Life, "1m..65535m"), "registration-lifetime", "lifetime that registrations ask for, rounded up to minutes")
	f.Var(config.Var(&n.Poll, "0s..1h"), "poll-interval", "sleep, and ask the router for frames this often; 0s: listen all the time")
	ghc := f.VarPF(config.Var(&n.GHC, ""), "ghc", "", "generic header compression (RFC 7400) towards a router that knows it")
	ghc.NoOptDefVal = "true"
	f.Var(config.Var(&n.Join, ""), "join", "multicast `GROUP` to listen to instead of those of all CoAP nodes (ff02::fd, ff03::fd, ff05::fd); again for several; empty: none")
	n.Security.AddFlags(func(v *config.Value, name, usage string) { f.Var(v, name, usage) })
	f.Var(config.Var(&n.StateDir, ""), "state-dir", "directory `DIR` that keeps the frame counter; needed with --key and --eui64")
	f.Var(config.Var(&n.Log.Level, ""), "log-level", "least severe level that is logged: debug, info, warn or error")
	f.Var(config.Var(&n.Log.Format, ""), "log-format", "form of the log: text or json")
	return cmd
}

func (a *app) simCmd() *cobra.Command {
	s := config.DefaultSim()
	cmd := &cobra.Command{
		Use:   "sim [flags]",
		Short: "Run a router with simulated nodes",
		Long: `sim runs a router with a user-space uplink and N nodes on a simulated medium, in one process
and without root. The nodes register, answer ping and serve CoAP. The medium is real ZEP on
loopback: Wireshark sees it, and nodes of others (RIOT, lwIP) can join. status, neighbors,
ping and capture work as with run.`,
		Example: `  border-router sim
  border-router sim --nodes 50 --classic 5 --loss 20 --delay 5ms --seed 7
  border-router sim --nodes 10 --sleepy 4 --poll-interval 2s
  border-router sim --nodes 1000 --speed 100 --for 1d`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(config.Var(&s.Nodes, "0..10000"), "nodes", "how many nodes")
	f.Var(config.Var(&s.Classic, "0..10000"), "classic", "how many of them behave as lwIP does (RFC 4861) instead of registering")
	f.Var(config.Var(&s.Sleepy, "0..10000"), "sleepy", "how many of them, not classic ones, sleep and ask the router for frames")
	f.Var(config.Var(&s.Poll, "10ms..1h"), "poll-interval", "time from one time that those ask to the next")
	f.Var(config.Var(&s.Loss, ""), "loss", "share of the frames that are lost")
	f.Var(config.Var(&s.Delay, "0s..10s"), "delay", "delay of each frame, beside its air time")
	f.Var(config.Var(&s.Seed, ""), "seed", "seed of everything random; 0 takes a new one")
	f.Var(config.Var(&s.ZEP, ""), "zep", "where the medium is open to others, `HOST:PORT`; without a host 127.0.0.1 and ::1; empty closes it")
	f.Var(config.Var(&s.Speed, "0.01..1000000"), "speed", "times as fast as real time; other than 1 runs without sockets")
	f.Var(config.Var(&s.For, "0s..3650d"), "for", "end after this time; 0s: when interrupted")
	plain := f.VarPF(config.Var(&s.Plain, ""), "plain", "", "lines instead of a live table")
	plain.NoOptDefVal = "true"
	flags := config.NewFlags(f, func() *config.Config { return config.DefaultSim().Router }, append(config.SecurityKeys(), "radios", "uplink", "uplink_mtu")...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := flags.Load()
		if err != nil {
			return err
		}
		if c.Security.Key.Set() {
			return errors.New("security.key: the simulated devices have no key; leave it out of the file for sim")
		}
		if s.Classic > s.Nodes {
			return usageError(cmd, fmt.Errorf("--classic %d: want at most --nodes, which is %d", s.Classic, s.Nodes))
		}
		if rest := s.Nodes - s.Classic; s.Sleepy > rest {
			return usageError(cmd, fmt.Errorf("--sleepy %d: want at most as many as --nodes without --classic, which is %d", s.Sleepy, rest))
		}
		if err := prepare(c); err != nil {
			return err
		}
		s.Router = c
		s.Plain = s.Plain || !a.terminal
		return ended(cmd.Context(), runSim(cmd.Context(), s, a.out, c.Log.Logger(a.err)))
	}
	return cmd
}

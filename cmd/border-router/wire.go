package main

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/daemon"
	"border-router/internal/discover"
	"border-router/internal/node"
	"border-router/internal/sim"
)

// runRouter runs the router that c describes.
func runRouter(ctx context.Context, c *config.Config, log *slog.Logger) error {
	return daemon.Run(ctx, c, daemon.Options{
		Logger: log, Version: api.BuildVersion().Version,
		FindRadios: func(ctx context.Context, waiting func(string)) error { return findRadios(ctx, c.Radios, log, waiting) },
		NextRadio:  nextRadio(discover.Finder{Logger: log}),
	})
}

// runNode runs the device that n describes.
func runNode(ctx context.Context, n *config.Node, log *slog.Logger) error {
	return node.Run(ctx, node.Config{
		Name:     n.Name,
		Radio:    string(n.Radio),
		EUI64:    uint64(n.EUI64),
		Short:    uint16(n.Short),
		Classic:  n.ND == config.ND4861,
		Security: n.Security,
		StateDir: n.StateDir,
		Lifetime: (n.Life + time.Minute - 1).Truncate(time.Minute),
		Groups:   append([]netip.Addr{}, n.Join...),

		PollInterval: n.Poll,
		GHC:          n.GHC,
	}, log)
}

// runSim runs the simulation that s describes.
func runSim(ctx context.Context, s *config.Sim, out io.Writer, log *slog.Logger) error {
	return sim.Run(ctx, sim.Config{
		Router:     s.Router,
		Version:    api.BuildVersion().Version,
		Nodes:      s.Nodes,
		Classic:    s.Classic,
		Sleepy:     s.Sleepy,
		Poll:       s.Poll,
		Impairment: sim.Impairment{Loss: s.Loss.Fraction(), Delay: s.Delay},
		Seed:       s.Seed,
		ZEP:        s.ZEP,
		For:        s.For,
		Plain:      s.Plain,
		Speed:      s.Speed,
	}, out, log)
}

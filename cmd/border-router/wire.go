package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"border-router/internal/config"
)

var errNotBuilt = errors.New("this part is not in this program")

func runRouter(ctx context.Context, c *config.Config, log *slog.Logger) error { return errNotBuilt }

func runNode(ctx context.Context, n *config.Node, log *slog.Logger) error { return errNotBuilt }

func runSim(ctx context.Context, s *config.Sim, out io.Writer, log *slog.Logger) error {
	return errNotBuilt
}

//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

// runDongle needs the pseudo-terminals of Linux.
func runDongle(context.Context, dongleConfig, io.Writer) error {
	return errors.New("dongle: emulated dongles need Linux")
}

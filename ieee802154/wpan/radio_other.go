//go:build !linux

package wpan

import (
	"errors"
	"fmt"

	"border-router/ieee802154"
)

// A Radio is there on Linux only.
type Radio struct{ ieee802154.Radio }

// Open returns an error: kernel radios are those of Linux.
func Open(cfg Config) (*Radio, error) {
	return nil, fmt.Errorf("open radio %s: %w: kernel radios are those of Linux", cfg.Interface, errors.ErrUnsupported)
}

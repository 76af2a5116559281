//go:build !linux

package serial

import (
	"errors"
	"fmt"
	"net"
)

// A Port is a serial port of the system.
type Port struct{ net.Conn }

// Open returns an error: serial ports are for Linux.
func Open(c Config) (*Port, error) {
	return nil, fmt.Errorf("open %s: %w", c.Path, errors.ErrUnsupported)
}

// Open returns an error, as [Open] does.
func (o *Reopener) Open() (*Port, error) { return Open(o.Config) }

// SetBaud implements [Line].
func (p *Port) SetBaud(int) error { return errors.ErrUnsupported }

// Discard implements [Line].
func (p *Port) Discard() error { return errors.ErrUnsupported }

// String implements [Line].
func (p *Port) String() string { return "" }

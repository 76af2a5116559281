package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// ErrGone is wrapped by the error of Read and Write once the other end is there no more: the
// device was pulled out, or the peer ended the connection.
var ErrGone = errors.New("the line is gone")

// ErrInUse is wrapped by the error of [Open] where another process holds the port.
var ErrInUse = errors.New("in use by another program")

// WriteTimeout is how long a Write may wait for the line to take bytes, which ends a Write
// to a device whose flow control never lets it go on.
const WriteTimeout = 2 * time.Second

// A Line carries bytes both ways. One goroutine may read and one may write at the same
// time; Close wakes both, whose error then is net.ErrClosed.
type Line interface {
	io.ReadWriteCloser
	// SetBaud changes the rate, in bit/s. The error is errors.ErrUnsupported where the
	// line has none.
	SetBaud(baud int) error
	// Discard forgets what has come in and was not read.
	Discard() error
	// String returns the path or address.
	String() string
}

// describe makes the error of an input or output operation on a line.
func describe(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed):
		return fmt.Errorf("%s %s: %w", op, name, net.ErrClosed)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%s %s: %w (%v)", op, name, ErrGone, err)
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}

// A Conn is a Line over TCP.
type Conn struct {
	conn net.Conn
	name string
}

var _ Line = (*Conn)(nil)

// dialTimeout is how long a connection may take. A host that is away answers nothing, and the
// kernel asks it again ever more rarely: a new attempt finds it sooner once it is back.
const dialTimeout = 2 * time.Second

// Dial connects to addr, a host and port, until ctx ends. A peer that vanishes is noticed by
// keepalive within some 15 s even where nothing is sent.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return &Conn{conn: c, name: addr}, nil
}

// Read implements io.Reader.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.conn.Read(b)
	return n, describe("read", c.name, err)
}

// Write implements io.Writer, within [WriteTimeout].
func (c *Conn) Write(b []byte) (int, error) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(WriteTimeout)) // fails only when closed, as Write will
	n, err := c.conn.Write(b)
	return n, describe("write", c.name, err)
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// SetBaud implements [Line]; TCP has no rate.
func (c *Conn) SetBaud(int) error { return errors.ErrUnsupported }

// Discard implements [Line]; the start of a connection has nothing old in it.
func (c *Conn) Discard() error { return nil }

// String returns the address.
func (c *Conn) String() string { return c.name }

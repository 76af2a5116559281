package api

import (
	"context"
	"io"
)

// A Backend is a running router. Methods are called from many goroutines at once and end
// soon after ctx does.
type Backend interface {
	Status(ctx context.Context) (Status, error)
	Neighbors(ctx context.Context) ([]Neighbor, error)
	Routes(ctx context.Context) ([]Route, error)
	Config(ctx context.Context) (Config, error)

	// Ping sends Count requests (without end where it is 0), Interval apart, and tells
	// emit of each, one call at a time. It returns when each has its outcome, when ctx
	// ends, or with the error of emit. An error before the first call of emit is about
	// the request: where it is the caller's fault it wraps [ErrBadRequest].
	Ping(ctx context.Context, r PingRequest, emit func(PingReply) error) error

	// Capture writes pcapng to w until ctx ends or a write fails. Each Write holds whole
	// blocks and is sent on at once.
	Capture(ctx context.Context, r CaptureRequest, w io.Writer) error
}

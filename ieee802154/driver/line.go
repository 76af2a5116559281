package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A Line carries the bytes to and from a radio. Close must wake Read and Write.
type Line interface {
	io.ReadWriteCloser
	// SetBaud changes the rate; errors.ErrUnsupported where there is none.
	SetBaud(baud int) error
	// Discard forgets what came in and was not read.
	Discard() error
}

// The pauses of [Supervise].
const (
	BackoffMin = 100 * time.Millisecond
	BackoffMax = time.Second
	// Stable is how long a radio must have been up for its loss to be followed by an attempt
	// at once.
	Stable = time.Second
)

// Supervise calls life again and again until ctx ends. life opens a radio and keeps it: it
// returns since when it was up, the zero time for never, and why it is not any more. ended
// is told that, before a pause that grows while the radio does not come up. It counts from the
// start of the attempt: one that has waited for an answer itself is followed by the next soon.
func Supervise(ctx context.Context, life func() (up time.Time, err error), ended func(wasUp bool, err error)) {
	var wait, pause time.Duration
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		begin := time.Now()
		up, err := life()
		if ctx.Err() != nil {
			return
		}
		ended(!up.IsZero(), err)
		switch {
		case up.IsZero():
			pause = min(max(2*pause, BackoffMin), BackoffMax)
			wait = max(pause-time.Since(begin), BackoffMin)
		case time.Since(up) < Stable:
			wait, pause = BackoffMin, BackoffMin
		default:
			wait, pause = 0, 0
		}
	}
}

// Rates are those at which a line is tried, in order, in bit/s.
type Rates []int

// Found puts the i-th rate in front, which was good.
func (r *Rates) Found(i int) {
	good := (*r)[i]
	*r = slices.Insert(slices.Delete(slices.Clone(*r), i, i+1), 0, good)
}

// Order returns the indices of the rates in the order in which they are tried: each once. Where
// the first was good before, it is tried again between the others, for it is rather that the
// radio was not ready than that it has another rate now.
func (r Rates) Order(good bool) []int {
	order := []int{0}
	for i := 1; i < len(r); i++ {
		if good && i > 1 {
			order = append(order, 0)
		}
		order = append(order, i)
	}
	return order
}

// SetBaud sets the rate of a line and forgets what came in at the one before. false says
// that the line has no rate.
func SetBaud(line io.ReadWriteCloser, baud int) (bool, error) {
	l, ok := line.(Line)
	if !ok {
		return false, nil
	}
	switch err := l.SetBaud(baud); {
	case errors.Is(err, errors.ErrUnsupported):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, l.Discard()
}

const sampleLen = 16

// Heard keeps how much came from a line, for an error message. The zero value is ready.
type Heard struct {
	Bytes, Frames uint64
	sample        [sampleLen]byte
}

// Add takes bytes from the line.
func (h *Heard) Add(b []byte) {
	if h.Bytes < sampleLen {
		copy(h.sample[h.Bytes:], b)
	}
	h.Bytes += uint64(len(b))
}

// Text says what came; frames is what a frame is called.
func (h *Heard) Text(frames string) string {
	switch {
	case h.Bytes == 0:
		return "nothing came back"
	case h.Frames > 0:
		return fmt.Sprintf("%d %s came back", h.Frames, frames)
	}
	return strings.TrimSpace(fmt.Sprintf("%d bytes came back and no %s: % x", h.Bytes, strings.TrimSuffix(frames, "s"), h.sample[:min(h.Bytes, sampleLen)]))
}

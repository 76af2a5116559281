package slipradio_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/ieee802154/slipradio"
	"border-router/internal/dongle"
)

// A ratedLine carries garbage at every rate but one.
type ratedLine struct {
	io.ReadWriteCloser
	want  int
	rate  int
	tried func(baud int)
}

func (l *ratedLine) SetBaud(baud int) error {
	l.rate = baud
	l.tried(baud)
	return nil
}

func (l *ratedLine) Discard() error { return nil }

func (l *ratedLine) Write(b []byte) (int, error) {
	if l.rate != l.want {
		b = bytes.Repeat([]byte{0xf7}, len(b))
	}
	return l.ReadWriteCloser.Write(b)
}

// TestProbe: the rate is looked for with every dialect, and the good one tried first after
// the radio was away.
func TestProbe(t *testing.T) {
	for _, dialect := range []slipradio.Dialect{slipradio.Slip, slipradio.SixLBR, slipradio.SerialRadio} {
		for _, given := range []slipradio.Dialect{dialect, slipradio.Auto} {
			t.Run(dialect.String()+" as "+given.String(), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, false, dongle.SlipConfig{Dialect: dialect})
				b.plug()
				var mu sync.Mutex
				var tried []int
				dial := b.dial
				b.dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
					line, err := dial(ctx)
					if err != nil {
						return nil, err
					}
					return &ratedLine{ReadWriteCloser: line, want: 1000000, tried: func(baud int) {
						mu.Lock()
						tried = append(tried, baud)
						mu.Unlock()
					}}, nil
				}
				up := make(chan slipradio.Info, 8)
				r := b.open(t, slipradio.Config{Dialect: given, Handshake: time.Second,
					OnState: func(ok bool, _ error, i slipradio.Info) {
						if ok {
							up <- i
						}
					}})
				waitUp(t, r)
				if i := <-up; i.Baud != 1000000 || i.Dialect != dialect || i.EUI64 != dongleEUI {
					t.Errorf("%+v", i)
				}
				if channel, pan := b.dongle.Settings(); channel != slipradio.DefaultChannel || pan != testPAN {
					t.Errorf("channel %d, PAN %04x", channel, pan)
				}
				b.unplug()
				b.plug()
				if i := <-up; i.Baud != 1000000 {
					t.Errorf("%+v", i)
				}
				mu.Lock()
				defer mu.Unlock()
				if want := []int{115200, 460800, 1000000, 1000000}; !slices.Equal(tried, want) {
					t.Errorf("tried %v, want %v", tried, want)
				}
			})
		}
	}
}

// TestWrongDialect: a radio that is told in another dialect what to do stays where it was, which
// nothing shows but its silence. The log says so.
func TestWrongDialect(t *testing.T) {
	for has, told := range map[slipradio.Dialect]slipradio.Dialect{slipradio.Slip: slipradio.SixLBR, slipradio.SixLBR: slipradio.Slip} {
		t.Run(told.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false, dongle.SlipConfig{Dialect: has})
			b.plug()
			var log bytes.Buffer // written before the radio is up
			r := b.open(t, slipradio.Config{Dialect: told, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if i := waitUp(t, r); i.Dialect != told {
				t.Errorf("%+v", i)
			}
			r.Close()
			if !strings.Contains(log.String(), "speaks another dialect (dialect=)") {
				t.Errorf("the log has %q", log.String())
			}
		})
	}
}

// TestNoRate: the error says at which rates something was tried, and what came back.
func TestNoRate(t *testing.T) {
	b := newBench(t, false, dongle.SlipConfig{})
	b.plug()
	dial := b.dial
	b.dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		line, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return &ratedLine{ReadWriteCloser: line, want: 57600, tried: func(baud int) {
			if baud == 460800 {
				b.dongle.Inject([]byte{0xaa, 0xbb})
			}
		}}, nil
	}
	reasons := make(chan error, 8)
	b.open(t, slipradio.Config{Handshake: 200 * time.Millisecond, OnState: func(_ bool, err error, _ slipradio.Info) { reasons <- err }})
	err := <-reasons
	if err == nil {
		t.Fatal("up at a rate that is wrong")
	}
	for _, want := range []string{"at 115200 baud ", "at 460800 baud 2 bytes came back and no answer: aa bb", "at 1000000 baud nothing came back",
		"at 921600 baud nothing", "slip-radio or serialradio", "baud=", "flow=rtscts"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nhas no %q", err, want)
		}
	}
	// With a rate that was given, nothing else is tried.
	b.open(t, slipradio.Config{Baud: 9600, Handshake: 100 * time.Millisecond, OnState: func(_ bool, err error, _ slipradio.Info) { reasons <- err }})
	for {
		if err := <-reasons; strings.Contains(err.Error(), "no answer in 100ms") {
			break
		}
	}
}

package slipradio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// Defaults of [Config].
const (
	DefaultChannel = 26
	DefaultPAN     = 0xabcd // Contiki-NG's

	// DefaultTimeout is how long the radio may take for a frame: 8 attempts with their
	// back-off, and a full queue of its own before.
	DefaultTimeout = 2 * time.Second
	// DefaultLifetime is how long a frame waits for a radio that is away.
	DefaultLifetime  = 5 * time.Second
	DefaultHandshake = 5 * time.Second // until the first answer
	DefaultKeepalive = time.Second
	// DefaultAckWait covers two serial lines at 115200 bit/s, the latency timer of a USB
	// adapter and the air.
	DefaultAckWait = 60 * time.Millisecond

	askAgain = time.Second
)

// Rates are those at which a radio is looked for on a line whose rate was not given, the
// most frequent first.
var Rates = []int{115200, 460800, 1000000, 921600}

// A Dialect is what the firmware speaks.
type Dialect uint8

// The dialects.
const (
	Auto Dialect = iota // whichever answers
	Slip
	SixLBR
	SerialRadio
	numDialects
)

var dialectText = [numDialects]string{"auto", "slip", "6lbr", "serialradio"}

// String returns the dialect as in a URL.
func (d Dialect) String() string {
	if d < numDialects {
		return dialectText[d]
	}
	return "unknown"
}

// A Config describes a radio. A zero field means its default.
type Config struct {
	// Dial opens the line. It is called again whenever the line failed, and must return
	// when ctx ends. Close of the line must wake Read and Write. Where it has a SetBaud and
	// a Discard as [driver.Line] has them, and Baud is 0, the rate is probed.
	Dial func(ctx context.Context) (io.ReadWriteCloser, error)
	Name string // in errors and logs, such as /dev/ttyUSB0
	Baud int    // rate of the line; 0: that of Rates at which the radio answers

	Dialect Dialect
	Channel uint8  // 11 to 26
	PAN     uint16 // own PAN identifier; 0: DefaultPAN
	Short   uint16 // own short address, which only serialradio's hardware can be told; 0: none

	Timeout         time.Duration // until a frame without an answer is sent again, a quarter of it where none is before it; after four times it is given up
	Lifetime        time.Duration // how long frames wait for a radio that is away
	Handshake       time.Duration // how long the first answer may take before the line is opened anew
	Keepalive       time.Duration // how often an idle radio is asked whether it still is as it was set
	AckWait         time.Duration // serialradio: until a frame is sent again
	MaxFrameRetries int           // serialradio: macMaxFrameRetries, 3; negative: none

	// OnState, where set, is told when the radio came up, with what it is, and when it went
	// down, with the reason; also of each new reason why it cannot come up. Calls are
	// serialised. It must not call Close.
	OnState func(up bool, err error, info Info)

	Tap    ieee802154.TapFunc // sees every MAC frame; nil: none
	Logger *slog.Logger       // nil: discard
}

// Info is what a radio told of itself.
type Info struct {
	Dialect Dialect
	EUI64   uint64
	Version string // of the firmware, where it tells
	Channel uint8
	PAN     uint16
	Baud    int // rate of the line; 0: it has none
}

// DongleStats are counters that other radios do not have.
type DongleStats struct {
	Up         bool
	Opened     uint64 // times the line was opened and the radio answered
	Lost       uint64 // times it was lost after that
	Restarts   uint64 // times it was found restarted behind a living line
	Timeouts   uint64 // frames for which no report came
	Resent     uint64 // frames sent to the radio again: no report, outage
	QueueFull  uint64 // frames refused for want of room in the radio
	Text       uint64 // lines of debug text
	LateReport uint64 // reports that nobody waited for
	Errors     uint64 // error events (serialradio)
}

// A Radio is an [ieee802154.Radio] behind a serial line. Receive and Transmit may run at
// the same time, each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	rx      *driver.Queue
	rates   driver.Rates  // to try, the last good one first; the supervisor's own
	found   bool          // the first of them was good; the supervisor's own
	txWake  chan struct{} // a report, an acknowledgment, the radio came or went
	rand    *rand.Rand    // Transmit's own
	txBuf   []byte        // Transmit's own
	txMsg   writer        // Transmit's own
	txTimer *time.Timer   // Transmit's own
	txFrame ieee802154.Frame

	mu      sync.Mutex // guards everything below
	up      chan struct{}
	s       *session // nil while the radio is away
	info    Info
	lastErr string
	mac     *ieee802154.MAC
	slots   [256]slot // 16 of them where the dialect has 16
	nextID  uint8
	stats   ieee802154.Stats
	dongle  DongleStats
	drops   [numDrops]uint64
	macDrop [ieee802154.NumDrops]uint64
}

var _ ieee802154.Radio = (*Radio)(nil)

// Open starts the radio and returns at once: a radio that is not there yet is waited for,
// which OnState tells of and [Radio.WaitUp] waits for. The error is one of the configuration.
func Open(cfg Config) (*Radio, error) {
	if cfg.Dial == nil {
		return nil, errors.New("open slip radio: no line to open")
	}
	if cfg.Channel == 0 {
		cfg.Channel = DefaultChannel
	}
	if cfg.Channel < 11 || cfg.Channel > 26 {
		return nil, fmt.Errorf("open slip radio %s: channel %d; want 11 to 26", cfg.Name, cfg.Channel)
	}
	if cfg.PAN == 0 {
		cfg.PAN = DefaultPAN
	}
	if cfg.Short == 0 {
		cfg.Short = ieee802154.BroadcastShort
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&cfg.Timeout, DefaultTimeout}, {&cfg.Lifetime, DefaultLifetime}, {&cfg.Handshake, DefaultHandshake},
		{&cfg.Keepalive, DefaultKeepalive}, {&cfg.AckWait, DefaultAckWait}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	r := &Radio{
		cfg: cfg, log: cfg.Logger, rx: driver.NewQueue(), txWake: make(chan struct{}, 1), up: make(chan struct{}),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), txTimer: time.NewTimer(time.Hour),
		txBuf: make([]byte, 0, 2*windowBytes),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.rates = Rates; cfg.Baud > 0 {
		r.rates = driver.Rates{cfg.Baud}
	}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Short: cfg.Short, PAN: cfg.PAN, Coordinator: true,
		MaxFrameRetries: cfg.MaxFrameRetries, AckWait: cfg.AckWait})
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(func() {
		defer r.txTimer.Stop()
		driver.Supervise(r.ctx, r.life, r.down)
	})
	return r, nil
}

// WaitUp waits until the radio is up and returns what it is. Without one the error says what
// kept it last.
func (r *Radio) WaitUp(ctx context.Context) (Info, error) {
	for {
		r.mu.Lock()
		up, s, info := r.up, r.s, r.info
		r.mu.Unlock()
		if s != nil {
			return info, nil
		}
		select {
		case <-up:
		case <-r.ctx.Done():
			return Info{}, net.ErrClosed
		case <-ctx.Done():
			r.mu.Lock()
			last := r.lastErr // of the time that was waited
			r.mu.Unlock()
			if last != "" {
				return Info{}, fmt.Errorf("%w: %s", ctx.Err(), last)
			}
			return Info{}, ctx.Err()
		}
	}
}

// Info returns what the radio told of itself last; the zero Info before it was there.
func (r *Radio) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// Channel returns the channel, 11 to 26.
func (r *Radio) Channel() uint8 { return r.cfg.Channel }

// Window returns how many frames a batch for Transmit should hold at most.
func (r *Radio) Window() int { return window }

// DongleStats returns a copy of the counters that other radios do not have.
func (r *Radio) DongleStats() DongleStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.dongle
	d.Up = r.s != nil
	return d
}

// RadioStats returns a copy of the counters. AcksSent stays zero: the hardware does not tell.
func (r *Radio) RadioStats() ieee802154.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Drops = driver.Drops[Drop, ieee802154.Drop](r.drops[:], r.macDrop[:])
	return s
}

// Close ends the radio: Receive and Transmit return net.ErrClosed, and every goroutine of
// the radio has ended when it returns.
func (r *Radio) Close() error {
	r.cancel()
	r.wg.Wait()
	return nil
}

func (r *Radio) isClosed() bool { return r.ctx.Err() != nil }

// Receive implements [ieee802154.Radio].
func (r *Radio) Receive(batch []ieee802154.RxFrame) (int, error) {
	return r.rx.Receive(r.ctx.Done(), batch)
}

// received takes a MAC frame from the radio. r.mu is held.
func (r *Radio) received(now time.Time, frame []byte, rssi int8, lqi uint8) {
	r.stats.Received++
	if len(frame) > maxMAC {
		r.drops[DropMACLength]++
		return
	}
	if r.cfg.Tap != nil {
		r.cfg.Tap(false, frame, r.cfg.Channel, rssi, lqi)
	}
	if r.rx.Full() { // before the MAC remembers it: a retransmission may find room
		r.drops[DropQueueFull]++
		return
	}
	// The acknowledgment has been given by the hardware.
	_, deliver, err := r.mac.Receive(now, frame)
	switch {
	case err != nil:
		r.macDrop[err.(ieee802154.Drop)]++
	case !deliver:
		r.stats.Consumed++
		driver.Notify(r.txWake)
	default:
		r.stats.Delivered++
		r.rx.Put(frame, rssi, lqi, r.cfg.Channel)
	}
}

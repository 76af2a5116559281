package slipradio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"border-router/ieee802154"
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

	askAgain   = time.Second
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
)

// A Dialect is what the firmware speaks.
type Dialect uint8

// The dialects.
const (
	Auto Dialect = iota // Slip or SerialRadio, whichever answers
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
	// when ctx ends. Close of the line must wake Read and Write.
	Dial func(ctx context.Context) (io.ReadWriteCloser, error)
	Name string // in errors and logs, such as /dev/ttyUSB0

	Dialect Dialect
	Channel uint8  // 11 to 26
	PAN     uint16 // own PAN identifier; 0: DefaultPAN
	Short   uint16 // own short address, which only serialradio's hardware can be told; 0: none

	Timeout         time.Duration // until a frame without an answer is sent once more, and given up; half of it where none is before it
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

// rxRing is how many frames wait for Receive at most.
const rxRing = 128

type rxSlot struct {
	n    uint8
	rssi int8
	lqi  uint8
	data [maxMAC]byte
}

// A Radio is an [ieee802154.Radio] behind a serial line. Receive and Transmit may run at
// the same time, each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	rxReady chan struct{} // something to Receive
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
	ring    [rxRing]rxSlot
	head    int
	length  int
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
		cfg: cfg, log: cfg.Logger, rxReady: make(chan struct{}, 1), txWake: make(chan struct{}, 1), up: make(chan struct{}),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), txTimer: time.NewTimer(time.Hour),
		txBuf: make([]byte, 0, 2*windowBytes),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Short: cfg.Short, PAN: cfg.PAN, Coordinator: true,
		MaxFrameRetries: cfg.MaxFrameRetries, AckWait: cfg.AckWait})
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.supervise)
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
	for i, n := range r.drops {
		if n > 0 {
			s.Drops = append(s.Drops, ieee802154.DropCount{Reason: Drop(i).Error(), Count: n})
		}
	}
	for i, n := range r.macDrop {
		if n > 0 {
			s.Drops = append(s.Drops, ieee802154.DropCount{Reason: ieee802154.Drop(i).Error(), Count: n})
		}
	}
	slices.SortFunc(s.Drops, func(a, b ieee802154.DropCount) int { return strings.Compare(a.Reason, b.Reason) })
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

// notify wakes whoever waits on c, now or when it next looks.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive implements [ieee802154.Radio].
func (r *Radio) Receive(batch []ieee802154.RxFrame) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	for {
		if r.isClosed() {
			return 0, net.ErrClosed
		}
		n := 0
		r.mu.Lock()
		for n < len(batch) && r.length > 0 {
			s := &r.ring[r.head]
			r.head = (r.head + 1) % rxRing
			r.length--
			b := &batch[n]
			b.Data = append(b.Data[:0], s.data[:s.n]...)
			b.RSSI, b.LQI, b.Channel = s.rssi, s.lqi, r.cfg.Channel
			n++
		}
		more := r.length > 0
		r.mu.Unlock()
		if n > 0 {
			if more {
				notify(r.rxReady)
			}
			return n, nil
		}
		select {
		case <-r.rxReady:
		case <-r.ctx.Done():
		}
	}
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
	if r.length == rxRing { // before the MAC remembers it: a retransmission may find room
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
		notify(r.txWake)
	default:
		r.stats.Delivered++
		s := &r.ring[(r.head+r.length)%rxRing]
		s.n, s.rssi, s.lqi = uint8(copy(s.data[:], frame)), rssi, lqi
		r.length++
		notify(r.rxReady)
	}
}

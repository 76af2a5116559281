package spinel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
	"border-router/internal/serial"
)

// Defaults of [Config].
const (
	DefaultChannel   = 26
	DefaultPAN       = 0x0023
	DefaultRetries   = 3 // macMaxFrameRetries
	DefaultLifetime  = 5 * time.Second
	DefaultKeepalive = time.Second
	DefaultTxTimeout = 5 * time.Second

	// maxPending is how many addresses the table of source match takes.
	maxPending = 128

	maxPSDU = ieee802154.MaxFrame - ieee802154.FCSLen
)

// A Config describes a radio. A zero field means its default.
type Config struct {
	Name string        // in errors and logs; empty: the path or address
	Port serial.Config // a serial port. Baud 0: the rate is probed
	Addr string        // host and port of a dongle behind TCP; empty: Port
	// Dial opens the line instead; with Port.Baud 0 and a line that has a rate, that is
	// probed. It must return when ctx ends.
	Dial func(ctx context.Context) (Line, error)

	Channel uint8  // 11 to 26
	PAN     uint16 // 0: DefaultPAN
	EUI64   uint64 // own extended address; 0: that of the dongle
	Short   uint16 // own short address; 0: none
	Power   *int8  // dBm; nil: the dongle's own

	MaxFrameRetries int           // macMaxFrameRetries, 3; negative: none
	Lifetime        time.Duration // how long frames wait for a dongle that is away
	Keepalive       time.Duration // how often the dongle is asked whether it still is as it was set
	TxTimeout       time.Duration // how long one frame may take in a dongle that is up

	// OnState, where set, is told when the dongle came up, with what it is, and when it went
	// down, with the reason; also of each new reason why it cannot come up. Calls are
	// serialised. It must not call Close.
	OnState func(up bool, err error, info Info)

	Tap    ieee802154.TapFunc // sees every MAC frame; nil: none
	Logger *slog.Logger       // nil: discard

	probeWait, doneSlack time.Duration // tests; 0: the constants
}

// DongleStats are counters that other radios do not have.
type DongleStats struct {
	Up        bool
	Opened    uint64 // times the dongle came up
	Lost      uint64 // times it was lost after that
	Restarts  uint64 // of these: found restarted behind a living line
	Failed    uint64 // times it could not be opened
	LostDones uint64 // transmissions of which nothing was heard
	Resent    uint64 // frames given to the dongle again, after an outage or a lost answer
	Expired   uint64 // frames given up because it was away
	Text      uint64 // messages of debug text
}

// A state is what a dongle forgets when it restarts.
type state struct {
	channel uint8
	pan     uint16
	short   uint16 // ffff: none
	ext     uint64 // 0: that of the dongle
	power   int8
	match   bool
	pending map[pendingAddr]struct{}
}

func (s *state) clone() *state {
	c := *s
	c.pending = make(map[pendingAddr]struct{}, len(s.pending))
	for a := range s.pending {
		c.pending[a] = struct{}{}
	}
	return &c
}

// A pendingAddr is an address in the table of source match.
type pendingAddr struct {
	v   uint64
	ext bool
}

// A Radio is an [ieee802154.Radio] behind a line. Receive and Transmit may run at the same
// time, each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	rx      *driver.Queue
	changed chan struct{} // the wanted state changed
	suspect chan struct{} // the dongle may have lost its state
	gate    sync.Mutex    // held for a transmission, and for a scan of one channel

	rand    *rand.Rand       // Transmit's own
	txFrame ieee802154.Frame // Transmit's own
	txTimer *time.Timer      // Transmit's own

	rates   driver.Rates // to try, the last good one first; supervise's own
	found   bool         // the first of them was good; supervise's own
	noReset bool         // the dongle goes away when it is reset; supervise's own
	full    bool         // the dongle has no room for all that sleep; supervise's own

	mu      sync.Mutex    // guards everything below
	turn    chan struct{} // closed when s changes
	s       *session      // nil while the dongle is away
	info    Info
	lastErr string
	want    state
	changes int // of want
	mac     *ieee802154.MAC
	stats   ieee802154.Stats
	dongle  DongleStats
	drops   [numDrops]uint64
	macDrop [ieee802154.NumDrops]uint64
}

var (
	_ ieee802154.Radio         = (*Radio)(nil)
	_ ieee802154.SourceMatcher = (*Radio)(nil)
)

// Open starts the radio and returns at once: a dongle that is not there yet is waited for,
// which OnState tells of and [Radio.WaitUp] waits for. The error is one of the configuration.
func Open(cfg Config) (*Radio, error) {
	if cfg.Name == "" {
		cfg.Name = cfg.Addr
		if cfg.Name == "" {
			cfg.Name = cfg.Port.Path
		}
	}
	if cfg.Dial == nil {
		if cfg.Name == "" {
			return nil, errors.New("open spinel radio: no port to open")
		}
		cfg.Dial = cfg.dialer()
	}
	if cfg.Channel == 0 {
		cfg.Channel = DefaultChannel
	}
	if cfg.Channel < 11 || cfg.Channel > 26 {
		return nil, fmt.Errorf("open spinel radio %s: channel %d; want 11 to 26", cfg.Name, cfg.Channel)
	}
	if cfg.PAN == 0 {
		cfg.PAN = DefaultPAN
	}
	if cfg.Short == 0 {
		cfg.Short = ieee802154.BroadcastShort
	}
	if cfg.MaxFrameRetries == 0 {
		cfg.MaxFrameRetries = DefaultRetries
	}
	cfg.MaxFrameRetries = min(max(cfg.MaxFrameRetries, 0), 15)
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&cfg.Lifetime, DefaultLifetime}, {&cfg.Keepalive, DefaultKeepalive}, {&cfg.TxTimeout, DefaultTxTimeout},
		{&cfg.probeWait, probeWait}, {&cfg.doneSlack, doneSlack}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	r := &Radio{
		cfg: cfg, log: cfg.Logger, rx: driver.NewQueue(), changed: make(chan struct{}, 1), suspect: make(chan struct{}, 1),
		turn: make(chan struct{}), rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), txTimer: time.NewTimer(time.Hour),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.log = r.log.With("radio", cfg.Name)
	r.want = state{channel: cfg.Channel, pan: cfg.PAN, short: cfg.Short, ext: cfg.EUI64, power: PowerDefault,
		pending: map[pendingAddr]struct{}{}}
	if cfg.Power != nil {
		r.want.power = *cfg.Power
	}
	if r.rates = serial.Rates; cfg.Port.Baud > 0 {
		r.rates = driver.Rates{cfg.Port.Baud}
	}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Ext: cfg.EUI64, Short: cfg.Short, PAN: cfg.PAN, Coordinator: true})
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(func() { driver.Supervise(r.ctx, r.run, r.ended) })
	return r, nil
}

// WaitUp waits until the dongle is up and returns what it is. Otherwise the error says what
// kept it last.
func (r *Radio) WaitUp(ctx context.Context) (Info, error) {
	for {
		r.mu.Lock()
		s, turn, info := r.s, r.turn, r.info
		r.mu.Unlock()
		if s != nil {
			return info, nil
		}
		select {
		case <-turn:
		case <-r.ctx.Done():
			return Info{}, net.ErrClosed
		case <-ctx.Done():
			r.mu.Lock()
			last := r.lastErr
			r.mu.Unlock()
			if last != "" {
				return Info{}, fmt.Errorf("%w: %s", ctx.Err(), last)
			}
			return Info{}, ctx.Err()
		}
	}
}

// Info returns what the dongle told of itself last; the zero Info before it was there.
func (r *Radio) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.info
	i.Channels = slices.Clone(i.Channels)
	return i
}

// Channel returns the channel, 11 to 26.
func (r *Radio) Channel() uint8 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want.channel
}

// Window returns how many frames a batch for Transmit should hold at most: the dongle takes
// one at a time.
func (r *Radio) Window() int { return 4 }

// alter changes the wanted state; the dongle is told soon, or when it is there.
func (r *Radio) alter(f func(*state) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := f(&r.want); err != nil {
		return err
	}
	r.changes++
	ext := r.want.ext
	if ext == 0 {
		ext = r.info.EUI64
	}
	r.mac.SetAddress(ext, r.want.short, r.want.pan)
	driver.Notify(r.changed)
	return nil
}

// SetAddress changes the own addresses and PAN. ext 0 is that of the dongle, short ffff none.
func (r *Radio) SetAddress(ext uint64, short, pan uint16) {
	_ = r.alter(func(s *state) error {
		s.ext, s.short, s.pan = ext, short, pan
		return nil
	})
}

// SetChannel changes the channel. The error is that of one that the dongle has not.
func (r *Radio) SetChannel(channel uint8) error {
	return r.alter(func(s *state) error {
		if channel < 11 || channel > 26 || len(r.info.Channels) > 0 && !slices.Contains(r.info.Channels, channel) {
			return fmt.Errorf("channel %d: the dongle has %v", channel, r.info.Channels)
		}
		s.channel = channel
		return nil
	})
}

// SetPower changes the transmit power, dBm; the dongle takes what is nearest.
func (r *Radio) SetPower(dbm int8) {
	_ = r.alter(func(s *state) error { s.power = dbm; return nil })
}

// SetSourceMatch says whether data requests are acknowledged with frame-pending only for the
// addresses of [Radio.SetPending]. While off, they all are.
func (r *Radio) SetSourceMatch(on bool) {
	_ = r.alter(func(s *state) error { s.match = on; return nil })
}

// SetPending says whether something waits for a, so that the acknowledgment of its data
// request says so. The error is that of a table that is full.
func (r *Radio) SetPending(a ieee802154.Addr, pending bool) error {
	k := pendingAddr{v: a.V, ext: a.Mode == ieee802154.AddrExtended}
	return r.alter(func(s *state) error {
		if _, ok := s.pending[k]; pending && !ok && len(s.pending) >= maxPending {
			return fmt.Errorf("source match: %d addresses at most", maxPending)
		}
		if pending {
			s.pending[k] = struct{}{}
		} else {
			delete(s.pending, k)
		}
		return nil
	})
}

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

// Receive implements [ieee802154.Radio].
func (r *Radio) Receive(batch []ieee802154.RxFrame) (int, error) {
	return r.rx.Receive(r.ctx.Done(), batch)
}

// received implements sink.
func (r *Radio) received(v *Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Received++
	channel := v.Channel
	if channel == 0 {
		channel = r.want.channel
	}
	switch {
	case v.Flags&RxTransmitted != 0:
		r.drops[DropEcho]++
		return
	case v.Flags&RxBadFCS != 0 || v.Error != 0:
		r.drops[DropBadFCS]++
		return
	case len(v.PSDU) == 0 || len(v.PSDU) > maxPSDU:
		r.drops[DropMACLength]++
		return
	}
	if r.cfg.Tap != nil {
		r.cfg.Tap(false, v.PSDU, channel, v.RSSI, v.LQI)
	}
	if v.Flags&RxDuplicate != 0 {
		r.macDrop[ieee802154.DropDuplicate]++
		return
	}
	if r.rx.Full() { // before the MAC remembers it: a retransmission may find room
		r.drops[DropQueueFull]++
		return
	}
	// The acknowledgment has been given by the hardware.
	_, deliver, err := r.mac.Receive(time.Now(), v.PSDU)
	switch {
	case err != nil:
		r.macDrop[err.(ieee802154.Drop)]++
	case !deliver:
		r.stats.Consumed++
	default:
		r.stats.Delivered++
		r.rx.Put(v.PSDU, v.RSSI, v.LQI, channel)
	}
}

// debug implements sink.
func (r *Radio) debug(text []byte) {
	r.mu.Lock()
	r.dongle.Text++
	r.mu.Unlock()
	if r.log.Enabled(r.ctx, slog.LevelDebug) {
		r.log.Debug("dongle says", "text", strings.ToValidUTF8(strings.TrimRight(string(text[:min(len(text), 256)]), "\r\n\x00"), "?"))
	}
}

// drop implements sink. What was no MAC frame counts as received, so that the counters add up.
func (r *Radio) drop(d Drop) {
	r.mu.Lock()
	r.stats.Received++
	r.drops[d]++
	r.mu.Unlock()
}

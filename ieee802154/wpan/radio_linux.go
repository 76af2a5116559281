package wpan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

const (
	awayPause = 100 * time.Millisecond // until a frame is offered again to an interface that is away

	maxMAC = ieee802154.MaxFrame - ieee802154.FCSLen

	busyTries = 25 // times a frame is offered to a queue that is full
	busyPause = 4 * time.Millisecond
)

// A Radio is an [ieee802154.Radio] on a kernel interface. Receive and Transmit may run at
// the same time, each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sock   atomic.Pointer[socket] // nil while the interface is away
	broken chan fault             // to the supervisor
	ready  chan struct{}          // wakes Receive: the interface is back
	back   chan struct{}          // wakes Transmit

	rd    *reader // Receive's own
	bad   *socket // Receive's own: the last that failed
	tx    *sender // Transmit's own
	f     ieee802154.Frame
	timer *time.Timer

	mu       sync.Mutex // guards everything below
	info     Info
	turn     chan struct{} // closed when the interface is there
	lastErr  string
	mac      *ieee802154.MAC
	stats    ieee802154.Stats
	macDrops [ieee802154.NumDrops]uint64
	own      uint64 // frames that this machine sent
	long     uint64
}

var _ ieee802154.Radio = (*Radio)(nil)

// A fault is what a socket failed of.
type fault struct {
	s   *socket
	err error
}

// Open sets the interface up and opens it. An interface that is not there yet, or goes away
// later, is waited for, which OnState tells of and [Radio.WaitUp] waits for. The error says
// what to do about what time will not mend; [ErrNoKernel] and [ErrPrivilege] are wrapped where
// they are the reason.
func Open(cfg Config) (*Radio, error) {
	r := newRadio(cfg)
	err := r.open()
	if missing := (missingError{}); err != nil && !errors.As(err, &missing) {
		r.cancel()
		return nil, fmt.Errorf("open radio %s: %w", cfg.Interface, err)
	}
	opened := err == nil
	if !opened {
		r.told(false, err)
	}
	r.wg.Go(func() {
		driver.Supervise(r.ctx, func() (up time.Time, err error) {
			if !opened {
				if err := r.open(); err != nil {
					return up, err
				}
			}
			opened = false
			up = time.Now()
			return up, r.serve()
		}, r.told)
	})
	return r, nil
}

func newRadio(cfg Config) *Radio {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = DefaultLifetime
	}
	r := &Radio{cfg: cfg, log: cfg.Logger, broken: make(chan fault, 1), ready: make(chan struct{}, 1), back: make(chan struct{}, 1),
		turn: make(chan struct{}), rd: newReader(), tx: newSender(), timer: time.NewTimer(time.Hour)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	// What the interface will be made, as far as that is known before it is there.
	r.info = Info{Interface: cfg.Interface, Channel: cfg.Channel, Page: cfg.Page, PAN: cfg.PAN, Short: cfg.Short}
	if r.info.PAN == 0 {
		r.info.PAN = DefaultPAN
	}
	if r.info.Short == 0 {
		r.info.Short = ieee802154.BroadcastShort
	}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Coordinator: true})
	return r
}

// open sets the interface up and opens a socket on it.
func (r *Radio) open() error {
	info, err := setUp(&r.cfg)
	if err != nil {
		return err
	}
	// All of it again when it comes back, though it may have forgotten: the router goes by it.
	r.cfg.PAN, r.cfg.Channel, r.cfg.Page, r.cfg.eui64 = info.PAN, info.Channel, info.Page, info.EUI64
	if info.Short < ieee802154.NoShort {
		r.cfg.Short = info.Short
	}
	return r.start(info, ethPIEEE802154)
}

// serve waits until the socket fails.
func (r *Radio) serve() (err error) {
	info := r.Info()
	s := r.sock.Load()
	defer s.f.Close()
	r.log.Info("radio interface is up", "link", r.cfg.Interface, "addr", ieee802154.Extended(info.EUI64), "channel", info.Channel)
	if r.cfg.OnState != nil {
		r.cfg.OnState(true, nil, info)
	}
	for {
		select {
		case f := <-r.broken:
			if f.s != s { // of a life before
				continue
			}
			err = f.err
		case <-r.ctx.Done():
			err = net.ErrClosed
		}
		r.mu.Lock()
		r.turn = make(chan struct{})
		r.mu.Unlock()
		r.sock.Store(nil)
		return err
	}
}

// told notes why the interface is not up; each reason is told once.
func (r *Radio) told(wasUp bool, err error) {
	r.mu.Lock()
	news := wasUp || err.Error() != r.lastErr
	r.lastErr = err.Error()
	info := r.info
	r.mu.Unlock()
	if !news {
		return
	}
	r.log.Warn("radio interface is down or away, trying on", "link", r.cfg.Interface, "err", err)
	if r.cfg.OnState != nil {
		r.cfg.OnState(false, err, info)
	}
}

// start opens the socket on the interface that info describes.
func (r *Radio) start(info Info, proto uint16) error {
	s, err := openSocket(info.Index, proto)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.info, r.lastErr = info, ""
	r.mac.SetAddress(info.EUI64, info.Short, info.PAN)
	close(r.turn)
	r.mu.Unlock()
	r.sock.Store(s)
	if r.ctx.Err() != nil { // Close may have missed it
		s.f.Close()
		return net.ErrClosed
	}
	driver.Notify(r.ready)
	driver.Notify(r.back)
	return nil
}

// fail tells the supervisor that s does not work any more.
func (r *Radio) fail(s *socket, err error) {
	select {
	case r.broken <- fault{s, err}:
	default:
	}
}

// WaitUp waits until the interface is there and returns what it is. Otherwise the error says
// what kept it last.
func (r *Radio) WaitUp(ctx context.Context) (Info, error) {
	r.mu.Lock()
	turn := r.turn
	r.mu.Unlock()
	select {
	case <-turn:
		return r.Info(), nil
	case <-r.ctx.Done():
		return Info{}, net.ErrClosed
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return Info{}, fmt.Errorf("%w: %s", ctx.Err(), r.lastErr)
	}
}

// Info returns what the kernel told of the interface last. Before it was there EUI64 is 0 and
// the rest what it will be made.
func (r *Radio) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// Channel returns the channel.
func (r *Radio) Channel() uint8 { return r.Info().Channel }

// Window returns how many frames a batch for Transmit should hold at most.
func (r *Radio) Window() int { return txBatch }

// RadioStats returns a copy of the counters.
func (r *Radio) RadioStats() ieee802154.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	drops := r.macDrops
	drops[ieee802154.DropOwn] += r.own
	drops[ieee802154.DropTooLong] += r.long
	s.Drops = driver.Drops[ieee802154.Drop, ieee802154.Drop](drops[:], nil)
	return s
}

// Close ends the radio: Receive and Transmit return net.ErrClosed, and every goroutine of
// the radio has ended when it returns. The interface stays as it is.
func (r *Radio) Close() error {
	r.cancel()
	if s := r.sock.Load(); s != nil {
		_ = s.f.Close() // twice where the supervisor does it too
	}
	r.wg.Wait()
	return nil
}

func (r *Radio) isClosed() bool { return r.ctx.Err() != nil }

// Receive implements [ieee802154.Radio].
func (r *Radio) Receive(batch []ieee802154.RxFrame) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	for {
		if r.isClosed() {
			return 0, net.ErrClosed
		}
		s := r.sock.Load()
		if s == nil || s == r.bad {
			select {
			case <-r.ready:
			case <-r.ctx.Done():
			}
			continue
		}
		n, err := r.rd.read(s, len(batch))
		if err != nil {
			r.bad = s
			r.fail(s, err)
			continue
		}
		if n = r.filter(batch, n); n > 0 {
			return n, nil
		}
	}
}

// filter puts what is for us into batch.
func (r *Radio) filter(batch []ieee802154.RxFrame, n int) int {
	now := time.Now()
	k := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		b, outgoing, tooLong := r.rd.frame(i)
		r.stats.Received++
		switch {
		case outgoing:
			r.own++
			continue
		case tooLong || len(b) > maxMAC:
			r.long++
			continue
		}
		if r.cfg.Tap != nil {
			r.cfg.Tap(false, b, r.info.Channel, ieee802154.RSSIUnknown, 0)
		}
		// The hardware or the kernel has given the acknowledgment.
		_, deliver, err := r.mac.Receive(now, b)
		switch {
		case err != nil:
			r.macDrops[err.(ieee802154.Drop)]++
		case !deliver:
			r.stats.Consumed++
		default:
			r.stats.Delivered++
			f := &batch[k]
			f.Data = append(f.Data[:0], b...)
			f.RSSI, f.LQI, f.Channel = ieee802154.RSSIUnknown, 0, r.info.Channel
			k++
		}
	}
	return k
}

// Transmit implements [ieee802154.Radio]. A frame that the kernel took ends as TxSent.
func (r *Radio) Transmit(batch []ieee802154.TxFrame) error {
	expires := time.Now().Add(r.cfg.Lifetime)
	for i := range batch {
		batch[i].Status, batch[i].Attempts = ieee802154.TxPending, 0
	}
	err := r.transmit(batch, expires)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		t := &batch[i]
		if t.Status == ieee802154.TxPending {
			t.Status = ieee802154.TxClosed
			if err == nil {
				t.Status = ieee802154.TxSkipped
			}
		}
		driver.Count(&r.stats, t)
	}
	return err
}

// transmit sends batch in chunks of txBatch; what it leaves TxPending was not sent.
func (r *Radio) transmit(batch []ieee802154.TxFrame, expires time.Time) error {
	failed, continues := false, false
	for len(batch) > 0 {
		n := min(len(batch), txBatch)
		chunk := batch[:n]
		batch = batch[n:]
		var index [txBatch]int
		r.tx.reset()
		for i := range chunk {
			t := &chunk[i]
			switch {
			case continues && failed:
				t.Status = ieee802154.TxSkipped
			case len(t.Data) > maxMAC || r.f.Parse(t.Data) != nil:
				t.Status = ieee802154.TxTooLong
			default:
				index[r.tx.n] = i
				r.tx.add(t.Data)
				if r.cfg.Tap != nil {
					r.cfg.Tap(true, t.Data, r.Channel(), ieee802154.RSSIUnknown, 0)
				}
			}
			failed, continues = t.Status != ieee802154.TxPending, t.More
		}
		skip, err := r.push(chunk, &index, expires)
		if err != nil {
			return err
		}
		if skip {
			failed = true
		} else if n := len(chunk); n > 0 {
			failed = !chunk[n-1].Status.OK()
		}
	}
	r.tx.reset()
	return nil
}

// push gives the kernel what r.tx holds, the frames index of chunk. skip says that the last
// datagram of chunk failed.
func (r *Radio) push(chunk []ieee802154.TxFrame, index *[txBatch]int, expires time.Time) (skip bool, err error) {
	tries := 0
	for r.tx.done < r.tx.n {
		if r.isClosed() {
			return false, net.ErrClosed
		}
		from := r.tx.done
		s := r.sock.Load()
		err := error(unix.ENETDOWN)
		if s != nil {
			err = r.tx.write(s)
		}
		for k := from; k < r.tx.done; k++ {
			chunk[index[k]].Status, chunk[index[k]].Attempts = ieee802154.TxSent, 1
			tries = 0
		}
		if err == nil {
			continue
		}
		t := &chunk[index[min(r.tx.done, r.tx.n-1)]]
		errno, _ := err.(syscall.Errno)
		switch errno {
		case unix.ENOBUFS, unix.ENOMEM:
			if tries++; tries < busyTries {
				if !r.sleep(busyPause) {
					return false, net.ErrClosed
				}
				continue
			}
			t.Status = ieee802154.TxChannelBusy
		case unix.EMSGSIZE, unix.EINVAL:
			t.Status = ieee802154.TxTooLong
		default: // the interface is down or away: the supervisor brings it back
			if s != nil {
				r.fail(s, err)
			}
			if time.Now().Before(expires) {
				if !r.sleep(awayPause) {
					return false, net.ErrClosed
				}
				continue
			}
			t.Status = ieee802154.TxSkipped
		}
		// The rest of its datagram is not sent.
		tries = 0
		i := index[r.tx.done]
		r.tx.done++
		for chunk[i].More && i+1 < len(chunk) {
			i++
			if r.tx.done < r.tx.n && index[r.tx.done] == i {
				r.tx.done++
			}
			if chunk[i].Status == ieee802154.TxPending {
				chunk[i].Status = ieee802154.TxSkipped
			}
		}
		skip = chunk[i].More && i == len(chunk)-1
	}
	return skip, nil
}

// sleep waits; false when the radio is closed. The return of the interface ends it early.
func (r *Radio) sleep(d time.Duration) bool {
	r.timer.Reset(d)
	select {
	case <-r.ctx.Done():
		return false
	case <-r.back:
	case <-r.timer.C:
	}
	return true
}

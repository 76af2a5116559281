package wpan

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ieee802154"
)

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second

	maxMAC = ieee802154.MaxFrame - ieee802154.FCSLen

	busyTries = 25 // times a frame is offered to a queue that is full
	busyPause = 4 * time.Millisecond
)

// A Radio is an [ieee802154.Radio] on a kernel interface. Receive and Transmit may run at
// the same time, each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg Config
	log *slog.Logger

	closed chan struct{}
	once   sync.Once
	sock   atomic.Pointer[socket] // nil while the interface is away
	back   chan struct{}          // the interface is back

	rd    *reader // Receive's own
	tx    *sender // Transmit's own
	f     ieee802154.Frame
	timer *time.Timer

	mu       sync.Mutex // guards everything below
	info     Info
	mac      *ieee802154.MAC
	stats    ieee802154.Stats
	macDrops [ieee802154.NumDrops]uint64
	own      uint64 // frames that this machine sent
	long     uint64
}

var _ ieee802154.Radio = (*Radio)(nil)

// Open sets the interface up and opens it. The error says what to do about it; [ErrNoKernel]
// and [ErrPrivilege] are wrapped where they are the reason. An interface that goes away
// later is waited for, as long as Receive is called.
func Open(cfg Config) (*Radio, error) {
	r := newRadio(cfg)
	info, err := setUp(&r.cfg)
	if err == nil {
		err = r.start(info, ethPIEEE802154)
	}
	if err != nil {
		return nil, fmt.Errorf("open radio %s: %w", cfg.Interface, err)
	}
	return r, nil
}

func newRadio(cfg Config) *Radio {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = DefaultLifetime
	}
	r := &Radio{cfg: cfg, log: cfg.Logger, closed: make(chan struct{}), back: make(chan struct{}, 1), rd: newReader(), tx: newSender(),
		timer: time.NewTimer(time.Hour)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Coordinator: true})
	return r
}

// start opens the socket on the interface that info describes.
func (r *Radio) start(info Info, proto uint16) error {
	s, err := openSocket(info.Index, proto)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.info = info
	r.mac.SetAddress(info.EUI64, info.Short, info.PAN)
	r.mu.Unlock()
	r.sock.Store(s)
	select {
	case <-r.closed: // Close may have missed it
		s.f.Close()
		return net.ErrClosed
	default:
	}
	select {
	case r.back <- struct{}{}:
	default:
	}
	return nil
}

// Info returns what the kernel told of the interface.
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
	add := func(reason string, n uint64) {
		if n > 0 {
			s.Drops = append(s.Drops, ieee802154.DropCount{Reason: reason, Count: n})
		}
	}
	for i, n := range r.macDrops {
		switch ieee802154.Drop(i) {
		case ieee802154.DropOwn:
			n += r.own
		case ieee802154.DropTooLong:
			n += r.long
		}
		add(ieee802154.Drop(i).Error(), n)
	}
	slices.SortFunc(s.Drops, func(a, b ieee802154.DropCount) int { return strings.Compare(a.Reason, b.Reason) })
	return s
}

// Close ends the radio: Receive and Transmit return net.ErrClosed. The interface stays as it
// is.
func (r *Radio) Close() error {
	var err error
	r.once.Do(func() {
		close(r.closed)
		if s := r.sock.Load(); s != nil {
			err = s.f.Close()
		}
	})
	return err
}

func (r *Radio) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
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
		n, err := r.rd.read(r.sock.Load(), len(batch))
		if err != nil {
			if r.isClosed() {
				return 0, net.ErrClosed
			}
			if err = r.recover(err); err != nil {
				return 0, err
			}
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

// recover waits for an interface that went down or away, and sets it up again.
func (r *Radio) recover(why error) error {
	r.mu.Lock()
	info := r.info
	r.mu.Unlock()
	r.log.Warn("radio interface is down or away, trying on", "link", r.cfg.Interface, "err", why)
	if r.cfg.OnState != nil {
		r.cfg.OnState(false, why, info)
	}
	last := why.Error()
	for backoff := backoffMin; ; backoff = min(2*backoff, backoffMax) {
		select {
		case <-r.closed:
			return net.ErrClosed
		case <-time.After(backoff):
		}
		info, err := setUp(&r.cfg)
		if err == nil {
			old := r.sock.Load()
			if err = r.start(info, ethPIEEE802154); err == nil {
				old.f.Close()
				r.log.Info("radio interface is back", "link", r.cfg.Interface)
				if r.cfg.OnState != nil {
					r.cfg.OnState(true, nil, info)
				}
				return nil
			}
		}
		if err.Error() != last {
			last = err.Error()
			r.log.Warn("radio interface is not back yet", "link", r.cfg.Interface, "err", err)
		}
	}
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
		switch t.Status {
		case ieee802154.TxSent:
			r.stats.Sent++
			r.stats.Attempts++
		case ieee802154.TxSkipped:
			r.stats.Skipped++
		case ieee802154.TxTooLong:
			r.stats.TooLong++
		case ieee802154.TxChannelBusy:
			r.stats.ChannelBusy++
		}
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
		err := r.tx.write(s)
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
		default: // the interface is down or away: Receive brings it back
			if time.Now().Before(expires) {
				if !r.sleep(backoffMin) {
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
	case <-r.closed:
		return false
	case <-r.back:
	case <-r.timer.C:
	}
	return true
}

package lowpan

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"border-router/ieee802154"
)

const (
	rxBatches   = 4  // batches that go round between the reader and the loop
	batchFrames = 32 // frames in a batch

	backoffMin = 100 * time.Millisecond // between attempts after a radio's error
	backoffMax = 5 * time.Second

	closeTimeout = time.Second
)

// A Pump joins an [Interface], which belongs to a loop, to a [ieee802154.Radio], which
// blocks. A goroutine of its own reads frames and posts them to the loop in batches, another
// one sends the batches that the loop hands it. At most one batch for sending is under way,
// so the order of frames is that of the interface; when the loop is behind, received frames
// wait in the radio.
type Pump struct {
	// OnError, where set before [Pump.Start], is told of each error of the radio, from the
	// pump's goroutines, which may be both at once. After an error the pump tries again, less and less often, unless
	// the radio was closed.
	OnError func(error)

	i    *Interface
	r    ieee802154.Radio
	post func(interface{ Run(now time.Time) }) bool

	window interface{ Window() int }
	batch  txBatch
	busy   bool // the batch is with the writer; only the loop looks at it
	tx     chan *txBatch
	free   chan *rxBatch

	start, stop sync.Once
	done        chan struct{}
	wg          sync.WaitGroup
	rxErr       atomic.Pointer[error] // nil once receiving works again
	txErr       atomic.Pointer[error]
}

// An rxBatch is received frames on their way to the loop.
type rxBatch struct {
	p      *Pump
	n      int
	frames [batchFrames]ieee802154.RxFrame
	buf    [batchFrames][ieee802154.MaxFrame + 1]byte
}

// A txBatch is the frames on their way to the radio, or back with their status.
type txBatch struct {
	p      *Pump
	n      int
	frames [batchFrames]ieee802154.TxFrame
	buf    [batchFrames][ieee802154.MaxFrame + 1]byte
}

// NewPump returns a pump between i and r. post hands work to the loop that owns i; it
// blocks while the loop is behind and returns false when there is no loop any more. Where r
// has a method Window() int, that is how many frames it is given at once.
func NewPump(i *Interface, r ieee802154.Radio, post func(interface{ Run(now time.Time) }) bool) *Pump {
	p := &Pump{
		i:    i,
		r:    r,
		post: post,
		tx:   make(chan *txBatch, 1),
		free: make(chan *rxBatch, rxBatches),
		done: make(chan struct{}),
	}
	p.window, _ = r.(interface{ Window() int })
	i.SetRadio(r)
	p.batch.p = p
	for k := range p.batch.frames {
		p.batch.frames[k].Data = p.batch.buf[k][:0]
	}
	for range rxBatches {
		b := &rxBatch{p: p}
		for k := range b.frames {
			b.frames[k].Data = b.buf[k][:0]
		}
		p.free <- b
	}
	return p
}

// Start starts the goroutines.
func (p *Pump) Start() {
	p.start.Do(func() {
		p.wg.Go(p.read)
		p.wg.Go(p.write)
	})
}

// Wake gives the radio something to send if it is free. It is for [InterfaceConfig].Wake
// and to be called on the loop; it does not block.
func (p *Pump) Wake() { p.pull(time.Now()) }

func (p *Pump) pull(now time.Time) {
	if p.busy || p.closed() {
		return
	}
	n := batchFrames
	if p.window != nil {
		n = max(1, min(n, p.window.Window()))
	}
	if p.batch.n = p.i.Next(now, p.batch.frames[:n]); p.batch.n > 0 {
		p.busy = true
		p.tx <- &p.batch // has room: there is one batch
	}
}

// Run takes the frames in; the loop calls it.
func (b *rxBatch) Run(now time.Time) {
	for k := range b.frames[:b.n] {
		b.p.i.Input(now, &b.frames[k])
	}
	b.p.free <- b // has room for all there are
}

// Run takes the statuses in; the loop calls it.
func (b *txBatch) Run(now time.Time) {
	b.p.i.Done(now, b.frames[:b.n])
	b.p.busy = false
	b.p.pull(now)
}

func (p *Pump) read() {
	var wait backoff
	for {
		var b *rxBatch
		select {
		case b = <-p.free:
		case <-p.done:
			return
		}
		for {
			n, err := p.r.Receive(b.frames[:])
			if p.closed() {
				return
			}
			if err == nil {
				wait.reset()
				p.rxErr.Store(nil)
				b.n = n
				break
			}
			p.fail(&p.rxErr, "receive", err)
			if errors.Is(err, net.ErrClosed) || !wait.sleep(p.done) {
				return
			}
		}
		if !p.post(b) {
			return
		}
	}
}

func (p *Pump) write() {
	var wait backoff
	for {
		var b *txBatch
		select {
		case b = <-p.tx:
		case <-p.done:
			return
		}
		err := p.r.Transmit(b.frames[:b.n])
		switch {
		case err == nil:
			wait.reset()
			p.txErr.Store(nil)
		case !p.closed():
			p.fail(&p.txErr, "transmit", err)
			// A radio that is closed refuses at once; what is for it should not wait.
			if !errors.Is(err, net.ErrClosed) {
				wait.sleep(p.done)
			}
		}
		if !p.post(b) {
			return
		}
	}
}

func (p *Pump) fail(last *atomic.Pointer[error], what string, err error) {
	err = fmt.Errorf("%s: %s: %w", p.i.Name(), what, err)
	last.Store(&err)
	if p.OnError != nil {
		p.OnError(err)
	}
}

func (p *Pump) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err returns the error with which receiving failed last, else that of sending; nil where
// both have worked since.
func (p *Pump) Err() error {
	for _, last := range []*atomic.Pointer[error]{&p.rxErr, &p.txErr} {
		if err := last.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// Close closes the radio and waits for the goroutines. It must not be called on the loop,
// which they may be waiting for; when that goes on for 1 s, Close says so.
func (p *Pump) Close() (err error) {
	p.stop.Do(func() {
		close(p.done)
		err = p.r.Close()
		ended := make(chan struct{})
		go func() {
			p.wg.Wait()
			close(ended)
		}()
		t := time.NewTimer(closeTimeout)
		defer t.Stop()
		select {
		case <-ended:
		case <-t.C:
			err = errors.Join(err, fmt.Errorf("%s: close: the loop takes no more frames", p.i.Name()))
		}
	})
	return err
}

// A backoff waits twice as long each time.
type backoff struct{ d time.Duration }

func (b *backoff) reset() { b.d = 0 }

// sleep waits and reports true, or false when done was closed.
func (b *backoff) sleep(done <-chan struct{}) bool {
	b.d = min(max(2*b.d, backoffMin), backoffMax)
	t := time.NewTimer(b.d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

package lowpan

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// An ether is a radio in memory: what it transmits the other one receives, after the time
// on the air.
type ether struct {
	in     chan []byte
	out    chan []byte
	done   chan struct{}
	once   sync.Once
	window int
	air    time.Duration

	mu    sync.Mutex
	fail  []error // for the next calls of Receive and Transmit
	calls int
	batch int // largest
}

func newEthers() (a, b *ether) {
	x, y := make(chan []byte, 1000), make(chan []byte, 1000)
	return &ether{in: x, out: y, done: make(chan struct{})}, &ether{in: y, out: x, done: make(chan struct{})}
}

func (e *ether) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if len(e.fail) == 0 {
		return nil
	}
	err := e.fail[0]
	e.fail = e.fail[1:]
	return err
}

func (e *ether) Receive(batch []ieee802154.RxFrame) (int, error) {
	if err := e.failure(); err != nil {
		return 0, err
	}
	n := 0
	select {
	case b := <-e.in:
		batch[0] = ieee802154.RxFrame{Data: append(batch[0].Data[:0], b...), RSSI: -50, LQI: 255}
		n++
	case <-e.done:
		return 0, net.ErrClosed
	}
	for ; n < len(batch); n++ {
		select {
		case b := <-e.in:
			batch[n] = ieee802154.RxFrame{Data: append(batch[n].Data[:0], b...), RSSI: -50, LQI: 255}
		default:
			return n, nil
		}
	}
	return n, nil
}

func (e *ether) Transmit(batch []ieee802154.TxFrame) error {
	if err := e.failure(); err != nil {
		return err
	}
	select {
	case <-e.done:
		return net.ErrClosed
	default:
	}
	e.batch = max(e.batch, len(batch))
	for k := range batch {
		select {
		case <-e.done:
			batch[k].Status = ieee802154.TxClosed
			continue
		case <-time.After(e.air):
		}
		batch[k].Status, batch[k].Attempts = ieee802154.TxAcked, 1
		e.out <- bytes.Clone(batch[k].Data)
	}
	return nil
}

func (e *ether) Close() error { e.once.Do(func() { close(e.done) }); return nil }

type windowed struct{ *ether }

func (w windowed) Window() int { return w.window }

// A testLoop runs what is posted, one after the other.
type testLoop struct {
	work chan interface{ Run(time.Time) }
	done chan struct{}
	end  chan struct{}
}

func newTestLoop() *testLoop {
	l := &testLoop{make(chan interface{ Run(time.Time) }, 4), make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(l.end)
		for {
			select {
			case w := <-l.work:
				w.Run(time.Now())
			case <-l.done:
				return
			}
		}
	}()
	return l
}

func (l *testLoop) post(w interface{ Run(time.Time) }) bool {
	select {
	case l.work <- w:
		return true
	case <-l.done:
		return false
	}
}

type call func()

func (f call) Run(time.Time) { f() }

// do runs f on the loop and waits for it.
func (l *testLoop) do(f func()) {
	c := make(chan struct{})
	l.post(call(func() { f(); close(c) }))
	<-c
}

func (l *testLoop) stop() { close(l.done); <-l.end }

// A pumped is a station on a loop with a pump and a radio.
type pumped struct {
	*station
	*testLoop
	pump *Pump
	mu   sync.Mutex
	errs []error
}

func (p *pumped) errors() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs
}

func newPumped(eui uint64, r ieee802154.Radio) *pumped {
	p := &pumped{testLoop: newTestLoop()}
	p.station = newStation(InterfaceConfig{EUI64: eui})
	p.pump = NewPump(p.Interface, r, p.post)
	p.pump.OnError = func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.errs = append(p.errs, err)
	}
	p.cfg.Wake = p.pump.Wake
	p.pump.Start()
	p.pump.Start() // once is enough
	return p
}

func TestPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ra, rb := newEthers()
		ra.window, ra.air = 4, 4*time.Millisecond
		a, b := newPumped(euiA, windowed{ra}), newPumped(euiB, rb)
		p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
		a.do(func() {
			for range 20 {
				if err := a.Output(time.Now(), p, ipv6.EUI64(euiB)); err != nil {
					t.Error(err)
				}
			}
		})
		time.Sleep(100 * time.Millisecond)
		b.do(func() {
			if len(b.got) != 1 {
				t.Errorf("%d datagrams after 25 frames' time", len(b.got))
			}
			b.Output(time.Now(), testUDP(linkTo(euiB, ipv6.EUI64(euiA)), 60), ipv6.EUI64(euiA))
		})
		time.Sleep(10 * time.Second)
		b.do(func() {
			for _, q := range b.got {
				if !bytes.Equal(q, p) {
					t.Errorf("got %x", []byte(q))
				}
			}
			var s Stats
			a.do(func() {
				s = a.Stats()
				checkInterface(t, a.Interface)
			})
			if uint64(len(b.got)) != s.DatagramsSent || s.DatagramsQueued != 0 || s.DatagramsSent < 15 {
				t.Errorf("%d datagrams arrived, %+v", len(b.got), s)
			}
			checkInterface(t, b.Interface)
		})
		a.do(func() {
			if len(a.got) != 1 {
				t.Errorf("%d datagrams the other way", len(a.got))
			}
		})
		if ra.batch != 4 {
			t.Errorf("largest batch %d, window 4", ra.batch)
		}
		for _, x := range []*pumped{a, b} {
			if err := errors.Join(x.pump.Close(), x.pump.Close(), x.pump.Err()); err != nil || len(x.errors()) != 0 {
				t.Error(err, x.errors())
			}
			x.stop()
		}
	}) // and no goroutine is left, or synctest says so
}

// TestPumpErrors reports errors of the radio and goes on, less and less often.
func TestPumpErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ra, rb := newEthers()
		bad := errors.New("unplugged")
		for range 5 {
			ra.fail = append(ra.fail, bad)
		}
		a := newPumped(euiA, ra)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(a.errors()) != 5 || ra.calls != 6 || !errors.Is(a.pump.Err(), bad) || !strings.HasPrefix(a.errors()[0].Error(), "wpan-test: receive: ") {
			t.Errorf("%d calls, errors %v", ra.calls, a.errors())
		}
		dst := ipv6.EUI64(euiB)
		p := testUDP(linkTo(euiA, dst), 60)
		ra.mu.Lock()
		ra.fail = []error{bad}
		ra.mu.Unlock()
		a.do(func() { a.Output(time.Now(), p, dst) })
		time.Sleep(time.Second)
		a.do(func() { a.Output(time.Now(), p, dst) })
		time.Sleep(time.Second)
		a.do(func() {
			if s := a.Stats(); s.TxDrops[DropRadio] != 1 || s.DatagramsSent != 1 {
				t.Errorf("%+v, %v", s, dropList(&s.TxDrops))
			}
		})
		if len(a.errors()) != 6 || len(rb.in) != 1 {
			t.Errorf("errors %v, %d frames", a.errors(), len(rb.in))
		}
		// Sending works again, and so does receiving with the first frame.
		ra.in <- []byte{0x02, 0x00, 0x07} // an acknowledgment
		synctest.Wait()
		if err := a.pump.Err(); err != nil {
			t.Errorf("%v, though both work again", err)
		}
		// A radio that is closed behind our back takes nothing more, and nothing waits.
		ra.Close()
		time.Sleep(time.Second)
		if !errors.Is(a.pump.Err(), net.ErrClosed) {
			t.Error(a.pump.Err())
		}
		a.do(func() { a.Output(time.Now(), p, dst) })
		time.Sleep(time.Second)
		a.do(func() {
			if s := a.Stats(); s.DatagramsQueued != 0 || s.TxDrops[DropRadio] != 2 {
				t.Errorf("%+v, %v", s, dropList(&s.TxDrops))
			}
		})
		if err := a.pump.Close(); err != nil {
			t.Error(err)
		}
		a.stop()
	})
}

// TestPumpClose ends at once while frames are on the air, after the loop, and says so
// when the loop stands still.
func TestPumpClose(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(a *pumped) (undo func())
		fails   bool
	}{
		{"sending", func(a *pumped) func() { return func() {} }, false},
		{"loop ended", func(a *pumped) func() { a.stop(); return nil }, false},
		{"loop stands still", func(a *pumped) func() {
			block := make(chan struct{})
			for range 6 { // the one that stands, and all that may wait
				go a.post(call(func() { <-block }))
			}
			synctest.Wait()
			return func() { close(block); synctest.Wait() }
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ra, rb := newEthers()
				ra.air = 100 * time.Millisecond
				a := newPumped(euiA, ra)
				dst := ipv6.EUI64(euiB)
				a.do(func() { a.Output(time.Now(), testUDP(linkTo(euiA, dst), 1280), dst) })
				rb.out <- dataFrame(nil, 0x42)
				time.Sleep(50 * time.Millisecond)
				undo := c.prepare(a)
				for range 3 {
					rb.out <- dataFrame(nil, 0x42)
				}
				start := time.Now()
				if err := a.pump.Close(); (err != nil) != c.fails {
					t.Error(err)
				}
				if d := time.Since(start); d > time.Second {
					t.Errorf("took %v", d)
				}
				if undo != nil {
					undo()
					a.do(func() {
						a.Output(time.Now(), testUDP(linkTo(euiA, dst), 60), dst)
						checkInterface(t, a.Interface)
					})
					a.stop()
				}
			})
		})
	}
}

// TestPumpAllocs sends and receives without allocating.
func TestPumpAllocs(t *testing.T) {
	r := &sink{}
	a := newStation(InterfaceConfig{EUI64: euiA})
	a.cfg.Deliver = func(time.Time, ipv6.Packet, ipv6.Meta) {}
	a.cfg.LinkStatus = nil
	p := NewPump(a.Interface, r, func(w interface{ Run(time.Time) }) bool { w.Run(time.Time{}); return true })
	a.cfg.Wake = p.Wake
	dst := ipv6.EUI64(euiB)
	q := testUDP(linkTo(euiA, dst), 1280)
	now := time.Now()
	frame := dataFrame(nil, udpPayload(t)...)
	if n := testing.AllocsPerRun(200, func() {
		a.Output(now, q, dst)
		b := <-p.tx // as the writer does
		r.Transmit(b.frames[:b.n])
		p.post(b)
		rx := <-p.free // as the reader does
		rx.frames[0].Data, rx.n = append(rx.frames[0].Data[:0], frame...), 1
		p.post(rx)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := a.Stats(); s.DatagramsSent == 0 || s.DatagramsIn == 0 {
		t.Errorf("%+v", s)
	}
}

// A sink acknowledges everything.
type sink struct{}

func (*sink) Receive([]ieee802154.RxFrame) (int, error) { return 0, net.ErrClosed }
func (*sink) Close() error                              { return nil }
func (*sink) Transmit(tx []ieee802154.TxFrame) error {
	for k := range tx {
		tx[k].Status = ieee802154.TxAcked
	}
	return nil
}

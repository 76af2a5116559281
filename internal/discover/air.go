package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/ieee802154/spinel"
	"border-router/zep"
)

// An air is a radio that can be put on one channel after another.
type air interface {
	// tune puts it on a channel.
	tune(ctx context.Context, channel uint8) error
	// send sends a frame there.
	send(frame []byte) error
	// energy measures a channel; errors.ErrUnsupported where it cannot.
	energy(ctx context.Context, channel uint8, dwell time.Duration) (int8, error)
	close()
}

// A hearFunc takes a received frame. It may be called by any goroutine.
type hearFunc func(f *ieee802154.RxFrame)

// listen passes what a radio receives to hear until it is closed.
func listen(wg *sync.WaitGroup, r ieee802154.Radio, hear hearFunc) {
	wg.Go(func() {
		var batch [8]ieee802154.RxFrame
		for i := range batch {
			batch[i].Data = make([]byte, 0, ieee802154.MaxFrame)
		}
		for {
			n, err := r.Receive(batch[:])
			if err != nil {
				return
			}
			for i := range batch[:n] {
				hear(&batch[i])
			}
		}
	})
}

func sendOn(r ieee802154.Radio, frame []byte) error {
	batch := [1]ieee802154.TxFrame{{Data: frame}}
	if err := r.Transmit(batch[:]); err != nil {
		return err
	}
	if s := batch[0].Status; !s.OK() {
		return fmt.Errorf("the beacon request was not sent: %s", s)
	}
	return nil
}

// openAir opens the radio of a URL for a scan. While a scan is under way its PAN is ffff, so
// that beacons of every PAN pass the filter (section 6.3.1.2).
func (p *Prober) openAir(ctx context.Context, target string, hear hearFunc) (air, error) {
	scheme, _, _ := strings.Cut(target, ":")
	switch scheme {
	case "spinel", "spinel+tcp":
		return p.openSpinelAir(ctx, target, hear)
	case "slip", "slip+tcp":
		return p.openSlipAir(ctx, target, hear)
	case "zep":
		return p.openZEPAir(target, hear)
	case "wpan":
		return openKernelAir(target, hear)
	}
	return nil, fmt.Errorf("%s: a scan takes a serial port, or a URL with spinel, spinel+tcp, slip, slip+tcp or wpan or zep before ://", target)
}

type spinelAir struct {
	r    *spinel.Radio
	info spinel.Info
	wg   sync.WaitGroup
}

func (p *Prober) openSpinelAir(ctx context.Context, target string, hear hearFunc) (air, error) {
	c, err := spinel.ParseURL(target)
	if err != nil {
		return nil, err
	}
	first := newUp[spinel.Info]()
	c.PAN, c.OnState, c.Logger = ieee802154.BroadcastPAN, first.changed, p.Logger
	r, err := spinel.Open(c)
	if err != nil {
		return nil, err
	}
	a := &spinelAir{r: r}
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	if a.info, err = first.wait(ctx); err != nil {
		r.Close()
		return nil, err
	}
	listen(&a.wg, r, hear)
	return a, nil
}

func (a *spinelAir) tune(ctx context.Context, channel uint8) error { return a.r.Tune(ctx, channel) }
func (a *spinelAir) send(frame []byte) error                       { return sendOn(a.r, frame) }
func (a *spinelAir) close()                                        { a.r.Close(); a.wg.Wait() }

func (a *spinelAir) energy(ctx context.Context, channel uint8, dwell time.Duration) (int8, error) {
	e, err := a.r.EnergyScan(ctx, []uint8{channel}, dwell)
	if err != nil {
		return 0, err
	}
	return e[0].RSSI, nil
}

// A slipAir opens the radio anew for each channel, on the line that stays open: the firmware
// is told the channel when it is set up.
type slipAir struct {
	cfg  slipradio.Config
	line *sharedLine
	hear hearFunc
	r    *slipradio.Radio
	wg   sync.WaitGroup
}

func (p *Prober) openSlipAir(ctx context.Context, target string, hear hearFunc) (air, error) {
	c, err := slipradio.ParseURL(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	line, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	a := &slipAir{cfg: c, line: newSharedLine(line), hear: hear}
	a.cfg.PAN, a.cfg.Logger = ieee802154.BroadcastPAN, p.Logger
	a.cfg.Dial = func(context.Context) (io.ReadWriteCloser, error) { return a.line.share() }
	return a, nil
}

func (a *slipAir) tune(ctx context.Context, channel uint8) error {
	a.shut()
	first := newUp[slipradio.Info]()
	c := a.cfg
	c.Channel, c.OnState = channel, first.changed
	r, err := slipradio.Open(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	info, err := first.wait(ctx)
	if err != nil {
		r.Close()
		return err
	}
	a.cfg.Dialect = info.Dialect // so that the next time needs no probing
	a.r = r
	listen(&a.wg, r, a.hear)
	return nil
}

func (a *slipAir) shut() {
	if a.r != nil {
		a.r.Close()
		a.wg.Wait()
		a.r = nil
	}
}

func (a *slipAir) send(frame []byte) error { return sendOn(a.r, frame) }

func (a *slipAir) energy(context.Context, uint8, time.Duration) (int8, error) {
	return 0, fmt.Errorf("%w: slip-radio firmware has no energy scan", errors.ErrUnsupported)
}

func (a *slipAir) close() {
	a.shut()
	a.line.close()
}

// A sharedLine lends a line to one user after another.
type sharedLine struct {
	line io.ReadWriteCloser
	in   chan []byte
	err  error // after in is closed
	done chan struct{}
}

func newSharedLine(line io.ReadWriteCloser) *sharedLine {
	s := &sharedLine{line: line, in: make(chan []byte), done: make(chan struct{})}
	go func() {
		defer close(s.in)
		for {
			b := make([]byte, 2048)
			n, err := line.Read(b)
			if err != nil {
				s.err = err
				return
			}
			select {
			case s.in <- b[:n]:
			case <-s.done:
				s.err = io.ErrClosedPipe
				return
			}
		}
	}()
	return s
}

func (s *sharedLine) close() {
	close(s.done)
	_ = s.line.Close()
	for range s.in { // the reader has ended
	}
}

func (s *sharedLine) share() (io.ReadWriteCloser, error) {
	return &lent{sharedLine: s, gone: make(chan struct{})}, nil
}

// lent is a line until its user closes it.
type lent struct {
	*sharedLine
	gone chan struct{}
	once sync.Once
	rest []byte
}

func (l *lent) Read(b []byte) (int, error) {
	for len(l.rest) == 0 {
		select {
		case p, ok := <-l.in:
			if !ok {
				return 0, l.err
			}
			l.rest = p
		case <-l.gone:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *lent) Write(b []byte) (int, error) {
	select {
	case <-l.gone:
		return 0, io.ErrClosedPipe
	default:
		return l.line.Write(b)
	}
}

func (l *lent) Close() error {
	l.once.Do(func() { close(l.gone) })
	return nil
}

// A zepAir is a station on the medium, another one on each channel.
type zepAir struct {
	cfg  zep.Config
	hear hearFunc
	r    *zep.Radio
	wg   sync.WaitGroup
}

func (p *Prober) openZEPAir(target string, hear hearFunc) (air, error) {
	c, err := zep.ParseURL(target)
	if err != nil {
		return nil, err
	}
	if c.Mode == zep.Hub { // of a router that runs: ask there as one of its nodes
		c.Mode = zep.Client
		hub := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), zep.DefaultPort)
		if len(c.Listen) > 0 {
			hub = c.Listen[0]
		}
		if hub.Addr().IsUnspecified() {
			loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			if hub.Addr().Is6() {
				loopback = netip.IPv6Loopback()
			}
			hub = netip.AddrPortFrom(loopback, hub.Port())
		}
		c.Listen, c.Remote = nil, []netip.AddrPort{hub}
	}
	c.PAN, c.Short, c.Logger = ieee802154.BroadcastPAN, 0, p.Logger
	c.EUI64 = rand.Uint64()&^(1<<56) | 2<<56 // locally administered, of one device
	a := &zepAir{cfg: c, hear: hear}
	return a, nil
}

func (a *zepAir) tune(_ context.Context, channel uint8) (err error) {
	a.close()
	c := a.cfg
	c.Channel = channel
	if a.r, err = zep.Open(c); err != nil {
		a.r = nil
		return err
	}
	listen(&a.wg, a.r, a.hear)
	return nil
}

func (a *zepAir) send(frame []byte) error { return sendOn(a.r, frame) }

// refused reports whether no hub answers.
func (a *zepAir) refused() bool { return a.r != nil && a.r.HubStats().Refused > 0 }

func (a *zepAir) energy(context.Context, uint8, time.Duration) (int8, error) {
	return 0, fmt.Errorf("%w: frames in UDP have no energy", errors.ErrUnsupported)
}

func (a *zepAir) close() {
	if a.r != nil {
		a.r.Close()
		a.wg.Wait()
		a.r = nil
	}
}

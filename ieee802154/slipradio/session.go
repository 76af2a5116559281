package slipradio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// errRestarted is why a radio was away whose line has lived on.
var errRestarted = errors.New("the radio has restarted and forgotten its settings")

// errSilent is the reason for which a line is opened anew whose radio does not answer.
var errSilent = errors.New("the radio does not answer any more")

// An event is an answer that the session waits for.
type event struct {
	kind    kind
	param   uint16
	value   int64
	eui     uint64
	version string
	dialect Dialect
	uptime  uint64
}

const (
	kindPong  kind = 100 + iota // serialradio
	kindBeat                    // heartbeat of serialradio
	kindStart                   // the firmware says that it starts
)

// A session is one life of the line.
type session struct {
	r       *Radio
	line    io.ReadWriteCloser
	dialect Dialect      // guarded by r.mu once the reader runs
	heard   driver.Heard // at this rate; guarded by r.mu
	found   Info         // by findRate, which asked already

	boots atomic.Uint32 // times the firmware said that it starts
	setAt uint32        // boots when it was set up; the supervisor's own

	events chan event
	dead   chan struct{} // closed when the line failed, err set before
	once   sync.Once
	err    error

	wmu sync.Mutex // one writer at a time
}

// down notes that the radio is away or cannot be reached.
func (r *Radio) down(wasUp bool, err error) {
	r.mu.Lock()
	if wasUp {
		r.dongle.Lost++
	}
	news := wasUp || err.Error() != r.lastErr
	r.lastErr = err.Error()
	info := r.info
	r.mu.Unlock()
	if !news {
		return
	}
	if wasUp {
		r.log.Warn("radio lost, opening it again", "link", r.cfg.Name, "err", err)
	} else {
		r.log.Warn("radio is not there, trying on", "link", r.cfg.Name, "err", err)
	}
	if r.cfg.OnState != nil {
		r.cfg.OnState(false, err, info)
	}
}

// lose has the frames under way sent again. r.mu is held.
func (r *Radio) lose() {
	for i := range r.slots {
		if s := &r.slots[i]; s.state == slotFlying {
			s.state = slotLost
		}
	}
}

// life opens the line and serves it until it fails.
func (r *Radio) life() (up time.Time, err error) {
	line, err := r.cfg.Dial(r.ctx)
	if err != nil {
		return up, fmt.Errorf("open radio %s: %w", r.cfg.Name, err)
	}
	s := &session{r: r, line: line, dialect: r.cfg.Dialect, events: make(chan event, 16), dead: make(chan struct{})}
	stop := context.AfterFunc(r.ctx, func() { s.fail(r.ctx.Err()) })
	var wg sync.WaitGroup
	wg.Go(s.read)
	defer func() {
		r.mu.Lock()
		if r.s != nil {
			r.s, r.up = nil, make(chan struct{})
			r.lose()
		}
		r.mu.Unlock()
		driver.Notify(r.txWake)
		stop()
		s.fail(io.ErrClosedPipe)
		wg.Wait()
	}()
	baud, err := s.findRate()
	if err != nil {
		return up, fmt.Errorf("radio %s: %w", r.cfg.Name, err)
	}
	info, err := s.start()
	if err != nil {
		return up, fmt.Errorf("radio %s: %w", r.cfg.Name, err)
	}
	info.Baud = baud
	r.mu.Lock()
	if r.info.EUI64 != 0 && r.info.EUI64 != info.EUI64 {
		r.log.Warn("another radio answers than before", "link", r.cfg.Name, "addr", ieee802154.Extended(info.EUI64))
	}
	r.info, r.lastErr = info, ""
	r.mac.SetAddress(info.EUI64, r.cfg.Short, r.cfg.PAN)
	r.s = s
	r.dongle.Opened++
	close(r.up)
	r.mu.Unlock()
	driver.Notify(r.txWake)
	r.log.Info("radio is up", "link", r.cfg.Name, "dialect", info.Dialect, "addr", ieee802154.Extended(info.EUI64),
		"channel", info.Channel, "version", info.Version, "baud", baud)
	if r.cfg.OnState != nil {
		r.cfg.OnState(true, nil, info)
	}
	up = time.Now()
	return up, fmt.Errorf("radio %s: %w", r.cfg.Name, s.keep())
}

// fail ends the session.
func (s *session) fail(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.dead)
		s.line.Close()
	})
}

func (s *session) write(b []byte) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if _, err := s.line.Write(b); err != nil {
		s.fail(fmt.Errorf("write: %w", err))
		return err
	}
	return nil
}

// read takes frames from the line until it fails.
func (s *session) read() {
	var d Decoder
	buf := make([]byte, 4096)
	for {
		n, err := s.line.Read(buf)
		if n > 0 {
			s.input(&d, buf[:n])
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the line was closed, the radio is unplugged or its server has ended")
			}
			s.fail(err)
			return
		}
	}
}

// input takes bytes from the line.
func (s *session) input(d *Decoder, b []byte) {
	r := s.r
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s == nil {
		s.heard.Add(b)
	}
	for {
		frame, rest, err := d.Next(b)
		switch {
		case err != nil:
			r.discard(err)
		case frame == nil:
			return
		default:
			s.frame(now, frame)
		}
		b = rest
	}
}

// discard counts a broken frame. r.mu is held.
func (r *Radio) discard(err error) {
	r.stats.Received++
	r.drops[err.(Drop)]++
}

// frame takes one frame from the line. r.mu is held.
func (s *session) frame(now time.Time, b []byte) {
	if s.dialect == SerialRadio || s.dialect == Auto {
		if s.serialFrame(now, b) {
			return
		}
	}
	a, err := parseAnswer(b, s.dialect == SixLBR)
	if err != nil {
		s.r.discard(err)
		return
	}
	switch a.kind {
	case kindMAC:
		if s.dialect != Auto {
			s.r.received(now, b, ieee802154.RSSIUnknown, 0)
		}
	case kindText:
		s.text(b)
	case kindReport:
		s.r.report(a.sid, a.status, a.ntx)
	case kindEUI64:
		if s.dialect == Auto {
			s.dialect = Slip
		}
		s.post(event{kind: kindEUI64, eui: a.eui, dialect: s.dialect})
	case kindParam:
		s.post(event{kind: kindParam, param: a.param, value: int64(a.value)})
	}
}

// serialFrame takes a frame of serialradio; false says that it is none, where the dialect is
// not known yet. r.mu is held.
func (s *session) serialFrame(now time.Time, b []byte) bool {
	r := s.r
	m, err := parseMessage(b)
	if err != nil {
		switch {
		case s.dialect == Auto:
			return false
		case isText(b):
			s.text(b)
		default:
			r.discard(err)
		}
		return true
	}
	s.dialect = SerialRadio
	switch m.typ {
	case evtRxFrame:
		if len(m.frame) == 0 {
			r.discard(DropCBOR)
			return true
		}
		rssi := int8(ieee802154.RSSIUnknown)
		if m.hasRSSI {
			rssi = int8(min(max(m.rssi, -128), 126))
		}
		r.received(now, m.frame, rssi, uint8(min(m.lqi, 255)))
	case evtTx:
		status := uint8(statusOK)
		if m.value != 0 {
			status = statusCollision // the firmware tells no more than that it failed
		}
		r.report(m.id, status, 1)
	case evtAddr64:
		if len(m.frame) == 8 {
			s.post(event{kind: kindEUI64, eui: binary.BigEndian.Uint64(m.frame), dialect: SerialRadio})
		}
	case evtParam:
		s.post(event{kind: kindParam, param: m.param, value: m.value})
	case evtPong:
		s.post(event{kind: kindPong, version: string(m.version)})
	case evtHeartbeat:
		s.post(event{kind: kindBeat, uptime: m.uptime})
	case evtError:
		r.dongle.Errors++
		if m.id != 0 {
			r.report(m.id, statusError, 0)
		}
	}
	return true
}

// text logs what the firmware prints. r.mu is held.
func (s *session) text(b []byte) {
	s.r.dongle.Text++
	t := strings.TrimSpace(string(b[:min(len(b), 256)]))
	if strings.Contains(t, "Starting Contiki") {
		s.boots.Add(1)
		s.post(event{kind: kindStart})
	}
	s.r.log.Debug("radio says", "link", s.r.cfg.Name, "text", strings.ToValidUTF8(t, "?"))
}

// post hands an answer to the session; it never blocks.
func (s *session) post(e event) {
	select {
	case s.events <- e:
	default:
	}
}

// start asks who is there, and sets it up.
func (s *session) start() (info Info, err error) {
	deadline := time.NewTimer(s.r.cfg.Handshake)
	defer deadline.Stop()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	info = s.found
	for n := 0; info.EUI64 == 0; n++ {
		if err := s.hello(n); err != nil {
			return info, err
		}
	wait:
		for info.EUI64 == 0 {
			select {
			case e := <-s.events:
				info.learn(e)
			case <-again.C:
				break wait
			case <-s.dead:
				return info, s.err
			case <-deadline.C:
				return info, fmt.Errorf("no answer in %v, %s; is this a radio with %s firmware, and the bit rate right?",
					s.r.cfg.Handshake, s.back(), firmware(s.r.cfg.Dialect))
			}
		}
	}
	info.Channel, info.PAN = s.r.cfg.Channel, s.r.cfg.PAN
	tries := []Dialect{info.Dialect}
	if s.r.cfg.Dialect == Auto && info.Dialect == Slip {
		// 6LBR's answers ?M as well, and has commands of its own for the rest.
		if tries = []Dialect{Slip, SixLBR}; s.r.Info().Dialect == SixLBR {
			slices.Reverse(tries)
		}
	}
	var same, answered bool
	for _, info.Dialect = range tries {
		s.speak(info.Dialect)
		if same, answered, err = s.configure(info.Dialect); answered || err != nil {
			break
		}
	}
	if !answered {
		info.Dialect = tries[0]
		s.speak(info.Dialect)
	}
	switch {
	case err != nil:
		return info, err
	case !answered:
		s.r.log.Warn("the radio does not tell whether it took channel and PAN; if nodes are not reached, it speaks another dialect (dialect=)",
			"link", s.r.cfg.Name, "dialect", info.Dialect, "channel", info.Channel, "pan", fmt.Sprintf("0x%04x", info.PAN))
	case !same:
		return info, fmt.Errorf("it does not take channel %d and PAN 0x%04x", info.Channel, info.PAN)
	}
	return info, nil
}

// speak changes the dialect.
func (s *session) speak(d Dialect) {
	s.r.mu.Lock()
	s.dialect = d
	s.r.mu.Unlock()
}

// configure sets the radio up; for same and answered see check.
func (s *session) configure(d Dialect) (same, answered bool, err error) {
	if err := s.setUp(d); err != nil {
		return false, false, err
	}
	return s.check(d)
}

func firmware(d Dialect) string {
	switch d {
	case SerialRadio:
		return "serialradio"
	case Auto:
		return "slip-radio or serialradio"
	}
	return "slip-radio"
}

// setUp sets everything that the radio forgets when it restarts.
func (s *session) setUp(d Dialect) error {
	cfg := &s.r.cfg
	s.setAt = s.boots.Load()
	if d != SerialRadio {
		b := appendSet(nil, paramChannel, uint16(cfg.Channel), d == SixLBR)
		return s.write(appendSet(b, paramPAN, cfg.PAN, d == SixLBR))
	}
	var w writer
	var b []byte
	set := func(param, value int64) {
		w.begin(cmdSetParam)
		w.int('i', 3)
		w.int('p', param)
		w.int('v', value)
		b = w.appendTo(b)
	}
	set(paramChannel, int64(cfg.Channel))
	set(paramPAN, int64(cfg.PAN))
	if cfg.Short < ieee802154.NoShort {
		set(paramShort, int64(cfg.Short))
	}
	w.begin(cmdRouterMode) // filters addresses and acknowledges
	w.int('i', 4)
	w.int('v', 1)
	return s.write(w.appendTo(b))
}

// rxModeRouter is RADIO_RX_MODE_ADDRESS_FILTER and _AUTOACK.
const rxModeRouter = 1 | 2

// check asks for what setUp set. answered is false for a firmware that answers no such
// question within a second.
func (s *session) check(d Dialect) (same, answered bool, err error) {
	for len(s.events) > 0 { // echoes of setUp
		<-s.events
	}
	cfg := &s.r.cfg
	want := map[uint16]int64{paramChannel: int64(cfg.Channel), paramPAN: int64(cfg.PAN)}
	var b []byte
	if d == SerialRadio {
		want[paramRxMode] = rxModeRouter
		var w writer
		for _, p := range []int64{paramChannel, paramPAN, paramRxMode} {
			w.begin(cmdGetParam)
			w.int('i', 5)
			w.int('p', p)
			b = w.appendTo(b)
		}
	} else {
		b = appendGet(nil, paramChannel, d == SixLBR)
		b = appendGet(b, paramPAN, d == SixLBR)
	}
	if err := s.write(b); err != nil {
		return false, false, err
	}
	timeout := time.NewTimer(askAgain)
	defer timeout.Stop()
	same = true
	for len(want) > 0 {
		select {
		case e := <-s.events:
			if e.kind != kindParam {
				continue
			}
			if v, ok := want[e.param]; ok {
				answered = true
				if v != e.value {
					// An echo of a setting that came late looks the same and is right.
					same = false
				}
				delete(want, e.param)
			}
		case <-s.dead:
			return false, false, s.err
		case <-timeout.C:
			return same, answered, nil
		}
	}
	return same, true, nil
}

// alive asks for the address, which every radio answers.
func (s *session) alive(d Dialect) error {
	b := appendQuery(nil, 'M')
	if d == SerialRadio {
		var w writer
		w.begin(cmdGetAddr64)
		w.int('i', 2)
		b = w.appendTo(nil)
	}
	for range 3 {
		if err := s.write(b); err != nil {
			return err
		}
		timeout := time.NewTimer(askAgain)
		for done := false; !done; {
			select {
			case e := <-s.events:
				if e.kind == kindEUI64 {
					timeout.Stop()
					return nil
				}
			case <-s.dead:
				timeout.Stop()
				return s.err
			case <-timeout.C:
				done = true
			}
		}
	}
	return errSilent
}

// keep looks after the radio until the line fails.
func (s *session) keep() error {
	d := s.r.Info().Dialect
	tick := time.NewTicker(s.r.cfg.Keepalive)
	defer tick.Stop()
	var uptime uint64
	for {
		select {
		case <-s.dead:
			return s.err
		case e := <-s.events:
			switch {
			case e.kind == kindStart:
			case e.kind == kindBeat:
				restarted := e.uptime < uptime
				uptime = e.uptime
				if !restarted {
					continue
				}
			default:
				continue
			}
		case <-tick.C:
		}
		if err := s.alive(d); err != nil {
			return err
		}
		same, answered, err := s.check(d)
		if err != nil {
			return err
		}
		// One that does not tell its settings is believed when it says that it starts.
		if answered && same || !answered && s.boots.Load() == s.setAt {
			continue
		}
		s.r.mu.Lock()
		s.r.dongle.Restarts++
		s.r.lose()
		s.r.mu.Unlock()
		driver.Notify(s.r.txWake)
		s.r.log.Warn("radio has restarted, setting it up again", "link", s.r.cfg.Name)
		if s.r.cfg.OnState != nil {
			s.r.cfg.OnState(false, errRestarted, s.r.Info())
		}
		if err := s.setUp(d); err != nil {
			return err
		}
		if s.r.cfg.OnState != nil {
			s.r.cfg.OnState(true, nil, s.r.Info())
		}
	}
}

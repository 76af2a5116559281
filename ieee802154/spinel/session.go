package spinel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// The reasons for which a dongle is given up and started anew, as wrapped by the error that
// OnState is given.
var (
	ErrSilent    = errors.New("the dongle does not answer")
	ErrRestarted = errors.New("the dongle restarted")
	ErrFirmware  = errors.New("not usable as a radio")
	errNoDone    = errors.New("the dongle does not say what becomes of frames")
	errLostDone  = errors.New("no answer to a transmission")
)

// A Line carries the bytes to and from a dongle. Close must wake Read and Write.
type Line = driver.Line

const (
	askTries = 3
	askWait  = 400 * time.Millisecond
	// drainWait is how long further reset notifications are waited for after the first: a
	// dongle that was booting when it was told to reset sends two.
	drainWait     = 50 * time.Millisecond
	resetWait     = 2 * time.Second
	maxBoots      = 5 // reset notifications that one start-up puts up with
	firstAskTID   = 12
	lastTID       = 15
	lostDonesMax  = 3
	readBufferLen = 4096
)

// A sink takes what the dongle sends by itself. Its methods are called by the reader of the
// line and must not wait.
type sink interface {
	received(v *Received)
	debug(text []byte)
	drop(d Drop)
}

// A session is a dongle on a line that is open. It ends with the first error of the line or
// of the dongle and cannot be used again.
type session struct {
	line Line
	sink sink
	done sync.WaitGroup

	dead    chan struct{}
	dieOnce sync.Once
	err     error // after dead

	rx Received // the reader's own

	wmu  sync.Mutex
	wbuf []byte
	fbuf []byte

	askMu   sync.Mutex
	askTID  uint8
	askWake chan struct{}

	room   int         // addresses that the tables of source match take; the supervisor's own
	unhook func() bool // of the Radio's context; nil: not hooked

	txTID     uint8  // Transmit's own
	txBuf     []byte // Transmit's own
	txTimer   *time.Timer
	lostDones int
	txWake    chan struct{}

	resets    atomic.Uint32 // reset notifications
	frames    atomic.Uint64 // Spinel frames from the line
	resetC    chan Status
	energy    chan Energy
	mu        sync.Mutex // guards everything below
	wantAsk   uint8
	reply     Frame
	replyBuf  [MaxFrame]byte
	wantTx    uint8
	tx        TxDone
	txArrived bool
	ackBuf    [ieee802154.MaxFrame]byte
	early     driver.Heard // before the first Spinel frame
}

func newSession(line Line, to sink) *session {
	s := &session{
		line: line, sink: to, room: maxPending, dead: make(chan struct{}), askTID: firstAskTID, askWake: make(chan struct{}, 1), txWake: make(chan struct{}, 1),
		resetC: make(chan Status, 4), energy: make(chan Energy, 16), txTimer: time.NewTimer(time.Hour),
		wbuf: make([]byte, 0, 4*ieee802154.MaxFrame), fbuf: make([]byte, 0, 2*ieee802154.MaxFrame), txBuf: make([]byte, 0, 2*ieee802154.MaxFrame),
	}
	s.done.Go(s.read)
	return s
}

// die ends the session for err, the first time.
func (s *session) die(err error) {
	s.dieOnce.Do(func() {
		s.err = err
		close(s.dead)
		_ = s.line.Close()
	})
}

func (s *session) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// close ends the session and waits for its reader.
func (s *session) close() {
	if s.unhook != nil {
		s.unhook()
	}
	s.die(io.ErrClosedPipe)
	s.done.Wait()
}

// read is the goroutine that reads the line. It never waits for anything else: what the
// dongle cannot send it loses silently.
func (s *session) read() {
	buf := make([]byte, readBufferLen)
	var dec Decoder
	for {
		n, err := s.line.Read(buf)
		if n > 0 && s.frames.Load() == 0 {
			s.mu.Lock()
			s.early.Add(buf[:n])
			s.mu.Unlock()
		}
		for b := buf[:n]; len(b) > 0; {
			frame, k, err := dec.Next(b)
			b = b[k:]
			if err != nil {
				s.sink.drop(err.(Drop))
			} else if frame != nil {
				s.input(frame)
			}
		}
		if err != nil {
			s.die(err)
			return
		}
	}
}

// input takes one frame from the dongle.
func (s *session) input(b []byte) {
	f, err := ParseFrame(b)
	if err != nil {
		s.sink.drop(err.(Drop))
		return
	}
	if f.Interface != 0 {
		s.sink.drop(DropHeader)
		return
	}
	switch f.Command {
	case CmdIs, CmdInserted, CmdRemoved:
	default: // such as our own question, on a line that echoes
		s.sink.drop(DropCommand)
		return
	}
	s.frames.Add(1)
	if f.TID != 0 {
		s.answered(&f)
		return
	}
	r := Reader{b: f.Value}
	switch f.Property {
	case PropStreamRaw:
		v, err := ParseReceived(f.Value)
		if err != nil {
			s.sink.drop(err.(Drop))
			return
		}
		s.rx = v
		s.sink.received(&s.rx)
	case PropLastStatus:
		if st := Status(r.Packed()); st.IsReset() {
			s.resets.Add(1)
			select {
			case s.resetC <- st:
			default:
			}
		}
	case PropStreamDebug, PropStreamLog:
		s.sink.debug(f.Value)
	case PropEnergyResult:
		e := Energy{Channel: r.Uint8(), RSSI: int8(r.Uint8())}
		if r.Err() == nil {
			select {
			case s.energy <- e:
			default:
			}
		}
	case PropScanState:
	default:
		s.sink.drop(DropCommand)
	}
}

// answered takes a frame that answers a request.
func (s *session) answered(f *Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f.TID == s.wantTx && f.Property == PropLastStatus:
		d, err := ParseTxDone(f.Value)
		if err != nil {
			s.sink.drop(err.(Drop))
			return
		}
		if d.Ack != nil {
			d.Ack = append(s.ackBuf[:0], d.Ack[:min(len(d.Ack), len(s.ackBuf))]...)
		}
		s.wantTx, s.tx, s.txArrived = 0, d, true
		driver.Notify(s.txWake)
	case f.TID == s.wantAsk:
		s.wantAsk = 0
		s.reply = *f
		s.reply.Value = append(s.replyBuf[:0], f.Value...)
		driver.Notify(s.askWake)
	default:
		s.sink.drop(DropTID)
	}
}

// write sends one frame.
func (s *session) write(f *Frame) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.fbuf, _ = f.AppendBinary(s.fbuf[:0])
	s.wbuf = AppendHDLC(s.wbuf[:0], s.fbuf)
	if _, err := s.line.Write(s.wbuf); err != nil {
		s.die(err)
		return s.err
	}
	return nil
}

// ask sends a request and returns the value of its answer. A status other than OK is the
// error. An answer that does not come is asked for again, which no request that is made here
// minds.
func (s *session) ask(ctx context.Context, cmd Command, prop Property, value []byte) ([]byte, error) {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	t := time.NewTimer(0)
	defer t.Stop()
	for range askTries {
		if s.askTID++; s.askTID > lastTID {
			s.askTID = firstAskTID
		}
		s.mu.Lock()
		s.wantAsk = s.askTID
		s.mu.Unlock()
		if err := s.write(&Frame{TID: s.askTID, Command: cmd, Property: prop, Value: value}); err != nil {
			return nil, err
		}
		t.Reset(askWait)
	wait:
		for {
			select {
			case <-s.askWake:
				s.mu.Lock()
				waiting, f := s.wantAsk != 0, s.reply
				s.mu.Unlock()
				if waiting { // of an answer that came too late
					continue
				}
				if f.Property == prop {
					return bytes.Clone(f.Value), nil // the buffer is for the next who asks
				}
				if f.Property == PropLastStatus {
					r := Reader{b: f.Value}
					switch st := Status(r.Packed()); {
					case r.Err() != nil:
						return nil, r.Err()
					case st == StatusOK:
						return nil, nil
					default:
						return nil, st
					}
				}
				return nil, fmt.Errorf("answer about property %#x", uint32(f.Property))
			case <-t.C:
				break wait
			case <-s.dead:
				return nil, s.err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return nil, ErrSilent
}

func (s *session) get(ctx context.Context, prop Property) (Reader, error) {
	v, err := s.ask(ctx, CmdGet, prop, nil)
	return Reader{b: v}, err
}

// set sets a property and holds the dongle to its echo.
func (s *session) set(ctx context.Context, what string, prop Property, value []byte) error {
	v, err := s.ask(ctx, CmdSet, prop, value)
	if err != nil {
		return fmt.Errorf("set %s: %w", what, err)
	}
	if v != nil && string(v) != string(value) {
		return fmt.Errorf("set %s: the dongle took % x for % x", what, v, value)
	}
	return nil
}

// transmit sends one frame and waits for what becomes of it: errLostDone when nothing is
// heard of it in the time wait, and another error at the end of the session.
func (s *session) transmit(data []byte, o *TxOptions, wait time.Duration) (d TxDone, err error) {
	if s.txTID++; s.txTID >= firstAskTID {
		s.txTID = 1
	}
	s.txBuf = AppendTransmit(s.txBuf[:0], data, o)
	s.mu.Lock()
	s.wantTx, s.txArrived = s.txTID, false
	s.mu.Unlock()
	if err := s.write(&Frame{TID: s.txTID, Command: CmdSet, Property: PropStreamRaw, Value: s.txBuf}); err != nil {
		return d, err
	}
	s.txTimer.Reset(wait)
	for {
		select {
		case <-s.txWake:
			s.mu.Lock()
			d, arrived := s.tx, s.txArrived
			s.mu.Unlock()
			if arrived {
				s.lostDones = 0
				return d, nil
			}
		case <-s.txTimer.C:
			s.mu.Lock()
			s.wantTx = 0
			s.mu.Unlock()
			if s.lostDones++; s.lostDones >= lostDonesMax {
				s.die(errNoDone)
			}
			return d, errLostDone
		case <-s.dead:
			return d, s.err
		}
	}
}

// heard says what came from the line, for an error message.
func (s *session) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.early
	h.Frames = s.frames.Load()
	return h.Text("Spinel frames")
}

func uint16Value(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func euiValue(v uint64) []byte    { return binary.BigEndian.AppendUint64(nil, v) }

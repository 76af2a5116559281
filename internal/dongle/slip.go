package dongle

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
)

// Defaults of the emulated firmware.
const (
	slipChannel = 26
	slipPAN     = 0xabcd
	slipQueue   = 8 // frames that wait for the air
)

// A SlipConfig describes an emulated slip-radio or serialradio. A zero field means its default.
type SlipConfig struct {
	Air     ieee802154.Radio  // what it sends and receives with; its address must be EUI64
	EUI64   uint64            // what it answers to ?M
	Dialect slipradio.Dialect // Slip unless set
	Queue   int               // frames that wait for the air; beyond it status 6 is reported
	Logger  *slog.Logger      // nil: discard

	// Fault, where set, is asked before each report of a transmission; true swallows it.
	Fault func(id uint8) bool
}

// A Slip is an emulated dongle with Contiki's slip-radio (or 6LBR's, or serialradio)
// firmware. It answers on the line given to [Slip.Serve] byte for byte as the firmware does,
// and sends and receives through another radio. The firmware's radio hears only its own
// channel: where the host sets another than Air has, nothing is sent nor heard.
type Slip struct {
	cfg SlipConfig
	log *slog.Logger
	wg  sync.WaitGroup

	muted atomic.Bool

	mu      sync.Mutex
	out     io.Writer // nil while no line is served
	buf     []byte
	channel uint16
	pan     uint16
	short   uint16
	router  bool // serialradio: frames are passed on
	beat    uint32
}

// NewSlip starts the dongle without a line. Close ends it.
func NewSlip(cfg SlipConfig) *Slip {
	if cfg.Queue <= 0 {
		cfg.Queue = slipQueue
	}
	if cfg.Dialect == slipradio.Auto {
		cfg.Dialect = slipradio.Slip
	}
	d := &Slip{cfg: cfg, log: cfg.Logger}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.Reset()
	d.wg.Go(d.listen)
	return d
}

// Reset restarts the firmware behind a living line: every setting is lost.
func (d *Slip) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.channel, d.pan, d.short, d.router = slipChannel, slipPAN, ieee802154.BroadcastShort, false
	d.applyAddress()
}

// Mute makes the firmware deaf and dumb, as one that has crashed behind a living line.
func (d *Slip) Mute(on bool) { d.muted.Store(on) }

// Print writes debug text to the line, as the firmware's printf does.
func (d *Slip) Print(text string) { d.send(append([]byte("\r"), text...)) }

// Inject writes bytes to the line as they are.
func (d *Slip) Inject(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out != nil {
		_, _ = d.out.Write(b)
	}
}

// Settings returns channel and PAN as the host has set them.
func (d *Slip) Settings() (channel, pan uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.channel, d.pan
}

// Close closes the air; lines are the caller's.
func (d *Slip) Close() error {
	err := d.cfg.Air.Close()
	d.wg.Wait()
	return err
}

// applyAddress tells the air what it filters by. d.mu is held.
func (d *Slip) applyAddress() {
	if a, ok := d.cfg.Air.(interface {
		SetAddress(ext uint64, short, pan uint16)
	}); ok {
		a.SetAddress(d.cfg.EUI64, d.short, d.pan)
	}
}

// tuned reports whether the radio is on the channel of the air. d.mu is held.
func (d *Slip) tuned() bool {
	a, ok := d.cfg.Air.(interface{ Channel() uint8 })
	return !ok || uint16(a.Channel()) == d.channel
}

// Serve boots the firmware on a line and serves it until reading or writing fails; the
// error is that of the line.
func (d *Slip) Serve(line io.ReadWriter) error {
	d.Reset()
	d.mu.Lock()
	d.out = line
	d.mu.Unlock()
	queue := make(chan slipFrame, d.cfg.Queue)
	var wg sync.WaitGroup
	wg.Go(func() { d.transmit(queue) })
	defer func() {
		d.mu.Lock()
		d.out = nil
		d.mu.Unlock()
		close(queue)
		wg.Wait()
	}()
	d.Print("Starting Contiki-NG\n")
	var dec slipradio.Decoder
	buf := make([]byte, 2048)
	for {
		n, err := line.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			frame, rest, _ := dec.Next(b) // a broken frame is lost, as with the firmware
			if frame != nil && !d.muted.Load() {
				d.command(frame, queue)
			}
			b = rest
		}
		if err != nil {
			return err
		}
	}
}

// A slipFrame is a frame on its way to the air.
type slipFrame struct {
	id   uint8
	data []byte
}

// transmit puts frames on the air and reports.
func (d *Slip) transmit(queue <-chan slipFrame) {
	var batch [1]ieee802154.TxFrame
	for f := range queue {
		d.mu.Lock()
		tuned := d.tuned()
		d.mu.Unlock()
		batch[0] = ieee802154.TxFrame{Data: f.data}
		switch {
		case tuned:
			_ = d.cfg.Air.Transmit(batch[:])
		case f.data[0]&0x20 != 0: // nobody is there to acknowledge it
			batch[0].Status, batch[0].Attempts = ieee802154.TxNoAck, 1
		default:
			batch[0].Status, batch[0].Attempts = ieee802154.TxSent, 1
		}
		if d.cfg.Fault != nil && d.cfg.Fault(f.id) || d.muted.Load() {
			continue
		}
		d.report(f, batch[0].Status, batch[0].Attempts)
	}
}

func (d *Slip) report(f slipFrame, status ieee802154.TxStatus, attempts uint8) {
	if d.cfg.Dialect == slipradio.SerialRadio {
		d.reportSerial(f, status)
		return
	}
	code := byte(4)
	switch status {
	case ieee802154.TxAcked, ieee802154.TxSent:
		code = 0
	case ieee802154.TxNoAck:
		code = 2
	case ieee802154.TxChannelBusy:
		code = 1
	}
	d.send([]byte{'!', 'R', f.id, code, attempts})
}

// send writes one frame to the line.
func (d *Slip) send(frame []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil || d.muted.Load() {
		return
	}
	d.buf = slipradio.AppendFrame(d.buf[:0], frame)
	if _, err := d.out.Write(d.buf); err != nil {
		d.log.Debug("dongle: line", "err", err)
	}
}

// listen passes frames from the air on.
func (d *Slip) listen() {
	const n = 16
	var batch [n]ieee802154.RxFrame
	for i := range batch {
		batch[i].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	for {
		k, err := d.cfg.Air.Receive(batch[:])
		if err != nil {
			return
		}
		for i := range batch[:k] {
			d.mu.Lock()
			on := d.tuned() && (d.cfg.Dialect != slipradio.SerialRadio || d.router)
			d.mu.Unlock()
			switch {
			case !on:
			case d.cfg.Dialect == slipradio.SerialRadio:
				d.receivedSerial(&batch[i])
			default:
				d.send(batch[i].Data)
			}
		}
	}
}

var errUnknown = []byte("EUnknown command\n")

// command obeys one frame from the host.
func (d *Slip) command(b []byte, queue chan<- slipFrame) {
	if d.cfg.Dialect == slipradio.SerialRadio {
		d.commandSerial(b, queue)
		return
	}
	if err := d.commandSlip(b, queue); err != nil {
		d.send(errUnknown)
	}
}

var errCommand = errors.New("unknown command")

func (d *Slip) commandSlip(b []byte, queue chan<- slipFrame) error {
	if len(b) < 2 {
		return errCommand
	}
	p := b[2:]
	sixLBR := d.cfg.Dialect == slipradio.SixLBR
	switch string(b[:2]) {
	case "?M":
		d.send(binary.BigEndian.AppendUint64([]byte("!M"), d.cfg.EUI64))
	case "!S":
		if len(p) < 2 {
			return nil
		}
		n := 2 + 3*int(p[1])
		if len(p) <= n {
			return nil
		}
		for i := 2; i < n; i += 3 {
			if p[i] > 40 { // an attribute that the build does not have: dropped in silence
				return nil
			}
		}
		d.enqueue(queue, slipFrame{p[0], append([]byte(nil), p[n:]...)})
	case "!V":
		if sixLBR || len(p) < 4 {
			return errCommand
		}
		d.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]))
	case "?V":
		if sixLBR || len(p) < 2 {
			return errCommand
		}
		param := binary.BigEndian.Uint16(p)
		d.send(binary.BigEndian.AppendUint16([]byte{'!', 'V', byte(param >> 8), byte(param)}, d.get(param)))
		return errCommand // the firmware says so, too
	case "!C":
		if !sixLBR || len(p) < 1 {
			return errCommand
		}
		d.set(1, uint16(p[0]))
	case "!P":
		if !sixLBR || len(p) < 2 {
			return errCommand
		}
		d.set(2, binary.LittleEndian.Uint16(p))
	case "?C":
		if !sixLBR {
			return errCommand
		}
		d.send([]byte{'!', 'C', byte(d.get(1))})
	case "?P":
		if !sixLBR {
			return errCommand
		}
		d.send(binary.LittleEndian.AppendUint16([]byte("!P"), d.get(2)))
	case "!R":
		if !sixLBR {
			return errCommand
		}
		d.Reset()
		d.Print("Starting Contiki-NG\n")
	default:
		return errCommand
	}
	return nil
}

// enqueue gives a frame to the air, or refuses it for want of room.
func (d *Slip) enqueue(queue chan<- slipFrame, f slipFrame) {
	if d.cfg.Dialect == slipradio.SerialRadio { // sends before it reads on
		queue <- f
		return
	}
	select {
	case queue <- f:
	default:
		d.send([]byte{'!', 'R', f.id, 6, 0})
	}
}

func (d *Slip) set(param, value uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch param {
	case 1:
		d.channel = value
	case 2:
		d.pan = value
	case 3:
		d.short = value
	}
	d.applyAddress()
}

func (d *Slip) get(param uint16) uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch param {
	case 1:
		return d.channel
	case 2:
		return d.pan
	case 3:
		return d.short
	case 4:
		if d.router {
			return 3
		}
	}
	return 0
}

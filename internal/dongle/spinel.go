package dongle

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"border-router/ieee802154"
)

const (
	spinelOutMax  = 2048 // bytes that wait for the line; what is received beyond is lost
	spinelVersion = "BORDER-ROUTER-EMULATED-RCP/1.0; SIMULATION"
)

// A SpinelFault is what goes wrong with one transmission.
type SpinelFault struct {
	Swallow bool  // no answer comes
	Status  uint8 // where not 0: answered at once, and nothing is sent
}

// A SpinelConfig describes an emulated RCP. A zero field means its default.
type SpinelConfig struct {
	Air      ieee802154.Radio // what it sends and receives with; told the addresses by SetAddress where it has that
	Channel  uint8            // where Air is; 0: that of its Channel method, or any
	EUI64    uint64           // HWADDR
	Caps     uint32           // RADIO_CAPS; 0: all that this emulates, 0x2f
	NoCaps   bool             // RADIO_CAPS is 0
	Baud     int              // pace of the line, bit/s; 0: none
	Channels []uint8          // CHAN_SUPPORTED; nil: 11 to 26
	Match    int              // addresses in each table of source match; 0: 64; negative: the firmware has none
	Logger   *slog.Logger     // nil: discard

	// Fault, where set, is asked about each transmission.
	Fault func(frame []byte) SpinelFault
}

// SpinelSettings is what a host has set.
type SpinelSettings struct {
	PHY, Raw, Match bool
	Channel         uint8
	PAN, Short      uint16
	Ext             uint64
	Power           int8
	MatchShort      []uint16
	MatchExt        []uint64
	Resets          int // by the host
	Transmissions   int
	Overwritten     int // transmissions that a second one overwrote
	LastTx          []byte
	LastOptions     []byte // what stood after the frame
	Lost            int    // received frames that the line had no room for
}

type spinelTx struct {
	tid   byte
	frame []byte
	rest  []byte
}

// A Spinel is an emulated OpenThread RCP in raw MAC mode. It answers on the line given to
// [Spinel.Serve] as that firmware does, its weaknesses included, and sends and receives
// through another radio.
type Spinel struct {
	cfg SpinelConfig
	log *slog.Logger
	wg  sync.WaitGroup
	end chan struct{}

	mu      sync.Mutex
	cond    sync.Cond // out has bytes, or line changed
	out     []byte
	line    io.Writer
	muted   bool
	set     SpinelSettings
	scan    []uint8
	period  uint16
	peak    int8
	tx      *spinelTx
	kick    chan struct{}
	started time.Time
}

// NewSpinel starts the dongle without a line. Close ends it.
func NewSpinel(cfg SpinelConfig) *Spinel {
	if cfg.Caps == 0 && !cfg.NoCaps {
		cfg.Caps = 0x2f
	}
	if c, ok := cfg.Air.(interface{ Channel() uint8 }); ok && cfg.Channel == 0 {
		cfg.Channel = c.Channel()
	}
	if cfg.Match == 0 {
		cfg.Match = spinelMatchMax
	}
	if cfg.Channels == nil {
		for c := uint8(11); c <= 26; c++ {
			cfg.Channels = append(cfg.Channels, c)
		}
	}
	d := &Spinel{cfg: cfg, log: cfg.Logger, end: make(chan struct{}), kick: make(chan struct{}, 1), started: time.Now()}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.cond.L = &d.mu
	d.mu.Lock()
	d.forget()
	d.mu.Unlock()
	d.wg.Go(d.listen)
	d.wg.Go(d.transmitter)
	return d
}

// Close ends the dongle; the line and Air stay the caller's, and Air must be closed before.
func (d *Spinel) Close() error {
	d.mu.Lock()
	d.line = nil
	d.mu.Unlock()
	close(d.end)
	d.cond.Broadcast()
	d.wg.Wait()
	return nil
}

// Settings returns what the host has set.
func (d *Spinel) Settings() SpinelSettings {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.set
	s.MatchShort = append([]uint16(nil), s.MatchShort...)
	s.MatchExt = append([]uint64(nil), s.MatchExt...)
	s.LastTx = append([]byte(nil), s.LastTx...)
	s.LastOptions = append([]byte(nil), s.LastOptions...)
	return s
}

// Reset restarts the firmware behind a living line: every setting is lost. With announce it
// says so, as it does unless the message is lost.
func (d *Spinel) Reset(announce bool) {
	d.mu.Lock()
	d.forget()
	if announce {
		d.put(hdlcFrame(nil, []byte{0x80, 6, 0, 112}), true)
	}
	d.mu.Unlock()
}

// Mute makes the firmware deaf and dumb, as one that has crashed behind a living line.
func (d *Spinel) Mute(on bool) {
	d.mu.Lock()
	d.muted = on
	d.mu.Unlock()
}

// Inject puts bytes on the line as they are.
func (d *Spinel) Inject(b []byte) {
	d.mu.Lock()
	d.put(b, true)
	d.mu.Unlock()
}

// forget brings the state of power-on. d.mu is held.
func (d *Spinel) forget() {
	old := d.set
	d.set = SpinelSettings{Channel: 11, PAN: 0xffff, Short: 0xffff, Resets: old.Resets, Transmissions: old.Transmissions,
		Overwritten: old.Overwritten, LastTx: old.LastTx, LastOptions: old.LastOptions, Lost: old.Lost}
	d.tx, d.scan, d.period = nil, nil, 0
}

func (d *Spinel) address() {
	if a, ok := d.cfg.Air.(interface {
		SetAddress(ext uint64, short, pan uint16)
	}); ok {
		a.SetAddress(d.set.Ext, d.set.Short, d.set.PAN)
	}
}

// put queues bytes for the line. d.mu is held.
func (d *Spinel) put(b []byte, must bool) bool {
	if d.muted || d.line == nil || !must && len(d.out)+len(b) > spinelOutMax || len(d.out) > 8*spinelOutMax {
		return false
	}
	d.out = append(d.out, b...)
	d.cond.Signal()
	return true
}

// reply answers about a property.
func (d *Spinel) reply(tid byte, cmd byte, prop uint32, value []byte) {
	d.put(hdlcFrame(nil, append(packed([]byte{0x80 | tid, cmd}, prop), value...)), true)
}

func (d *Spinel) status(tid, status byte) { d.reply(tid, 6, 0, []byte{status}) }

// Serve is the dongle's side of a line until that fails. One line is served at a time.
func (d *Spinel) Serve(line io.ReadWriter) error {
	d.mu.Lock()
	d.line, d.out = line, nil
	d.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { d.writer(line) })
	defer func() {
		d.mu.Lock()
		if d.line == line {
			d.line = nil
		}
		d.mu.Unlock()
		d.cond.Broadcast()
		wg.Wait()
	}()
	var in hdlcInput
	buf := make([]byte, 1024)
	for {
		n, err := line.Read(buf)
		for _, v := range buf[:n] {
			f, end, ok := in.next(v)
			if !end {
				continue
			}
			d.mu.Lock()
			switch {
			case d.muted:
			case ok:
				d.command(f)
			default:
				d.reply(0, 6, 0x70, []byte("framing error"))
			}
			d.mu.Unlock()
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
	}
}

// writer carries out to the line at its pace.
func (d *Spinel) writer(line io.Writer) {
	var chunk []byte
	for {
		d.mu.Lock()
		for len(d.out) == 0 && d.line == line {
			d.cond.Wait()
		}
		if d.line != line {
			d.mu.Unlock()
			return
		}
		n := min(len(d.out), 512)
		chunk = append(chunk[:0], d.out[:n]...)
		d.out = append(d.out[:0], d.out[n:]...)
		d.mu.Unlock()
		start := time.Now()
		if _, err := line.Write(chunk); err != nil {
			return // Read says it too
		}
		if d.cfg.Baud > 0 {
			time.Sleep(time.Duration(n)*10*time.Second/time.Duration(d.cfg.Baud) - time.Since(start))
		}
	}
}

// command obeys one frame. d.mu is held.
func (d *Spinel) command(b []byte) {
	if len(b) < 2 || b[0]>>6 != 2 || b[0]>>4&3 != 0 {
		return
	}
	tid, cmd := b[0]&15, b[1]
	switch cmd {
	case 0:
		d.status(tid, 0)
		return
	case 1:
		d.forget()
		d.set.Resets++
		d.status(0, 112)
		return
	}
	prop, n := unpack(b[2:])
	if n == 0 {
		d.status(tid, 9)
		return
	}
	value := b[2+n:]
	switch cmd {
	case 2:
		if v, status := d.get(prop); status != 0 {
			d.status(tid, status)
		} else {
			d.reply(tid, 6, prop, v)
		}
	case 3:
		if prop != 0x20 && !d.set.PHY {
			d.status(tid, 4)
		} else if prop == 0x71 {
			d.take(tid, value)
		} else if status := d.change(prop, value); status != 0 {
			d.status(tid, status)
		} else {
			d.reply(tid, 6, prop, value)
		}
	case 4, 5:
		if status := d.table(cmd == 4, prop, value); status != 0 {
			d.status(tid, status)
		} else {
			d.reply(tid, cmd+3, prop, value)
		}
	default:
		d.status(tid, 5)
	}
}

func flagByte(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

func (d *Spinel) get(prop uint32) ([]byte, byte) {
	s := &d.set
	switch prop {
	case 0x00:
		return []byte{0}, 0
	case 0x01:
		return []byte{4, 3}, 0
	case 0x02:
		return append([]byte(spinelVersion), 0), 0
	case 0x03:
		return []byte{3}, 0
	case 0x05:
		return packed(packed(packed(nil, 5), 34), 513), 0
	case 0x08:
		return binary.BigEndian.AppendUint64(nil, d.cfg.EUI64), 0
	case 0x20:
		return flagByte(s.PHY), 0
	case 0x21:
		return []byte{s.Channel}, 0
	case 0x22:
		return d.cfg.Channels, 0
	case 0x25:
		return []byte{byte(s.Power)}, 0
	case 0x26, 0x27:
		return []byte{0x9c}, 0
	case 0x34:
		return binary.BigEndian.AppendUint64(nil, s.Ext), 0
	case 0x35:
		return binary.LittleEndian.AppendUint16(nil, s.Short), 0
	case 0x36:
		return binary.LittleEndian.AppendUint16(nil, s.PAN), 0
	case 0x37:
		return flagByte(s.Raw), 0
	case 0xb0:
		return []byte{11}, 0
	case 0xb1:
		return []byte{4}, 0
	case 0x120b:
		return packed(nil, d.cfg.Caps), 0
	}
	return nil, 13
}

// change sets a property.
func (d *Spinel) change(prop uint32, v []byte) byte {
	s := &d.set
	short := func(n int) bool { return len(v) < n }
	if prop >= 0x1303 && prop <= 0x1305 && d.cfg.Match < 0 {
		return 13
	}
	switch prop {
	case 0x20:
		if short(1) {
			return 9
		}
		s.PHY = v[0] != 0
	case 0x21: // nothing is checked
		if short(1) {
			return 9
		}
		s.Channel = v[0]
	case 0x25:
		if short(1) {
			return 9
		}
		s.Power = int8(v[0])
	case 0x31:
		d.scan = append([]uint8(nil), v...)
	case 0x32:
		if short(2) {
			return 9
		}
		d.period = binary.LittleEndian.Uint16(v)
	case 0x30:
		if short(1) {
			return 9
		}
		if v[0] == 2 {
			if len(d.scan) != 1 {
				return 4
			}
			d.energy(d.scan[0], d.period)
		}
	case 0x34:
		if short(8) {
			return 9
		}
		s.Ext = binary.BigEndian.Uint64(v)
		d.address()
	case 0x35:
		if short(2) {
			return 9
		}
		s.Short = binary.LittleEndian.Uint16(v)
		d.address()
	case 0x36:
		if short(2) {
			return 9
		}
		s.PAN = binary.LittleEndian.Uint16(v)
		d.address()
	case 0x37:
		if short(1) {
			return 9
		}
		s.Raw = v[0] != 0
	case 0x1303:
		if short(1) {
			return 9
		}
		s.Match = v[0] != 0
	case 0x1304, 0x1305:
		if len(v) != 0 {
			return 3
		}
		if prop == 0x1304 {
			s.MatchShort = nil
		} else {
			s.MatchExt = nil
		}
	default:
		return 13
	}
	return 0
}

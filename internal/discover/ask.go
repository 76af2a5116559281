package discover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/ieee802154/spinel"
	"border-router/internal/serial"
)

// A Protocol is what a radio speaks.
type Protocol string

// The protocols.
const (
	Spinel      Protocol = "spinel"
	Slip        Protocol = "slip"
	SixLBR      Protocol = "6lbr"
	SerialRadio Protocol = "serialradio"
	WPAN        Protocol = "wpan"
	ZEP         Protocol = "zep"
)

const (
	// askWait is how long an answer at one rate is waited for: several times what a busy
	// dongle with the latency timer of a USB adapter takes.
	askWait = 500 * time.Millisecond
	// askRounds is how often all rates are tried: a board that starts anew when its port is
	// opened misses the first round.
	askRounds  = 2
	sixLBRWait = 250 * time.Millisecond
)

// errSilent says that no firmware that is known here answered.
var errSilent = errors.New("no radio firmware answers")

// questions are asked at each rate, all at once: each firmware takes those of the others
// for noise before its own.
func questions() []byte {
	get, _ := (&spinel.Frame{TID: 15, Command: spinel.CmdGet, Property: spinel.PropProtocolVersion}).AppendBinary(nil)
	b := spinel.AppendHDLC(nil, get)
	b = slipradio.AppendFrame(b, []byte("?M"))
	// serialradio: the map {"t": 0, "i": 1}, a ping, and its CRC.
	return slipradio.AppendFrame(b, ieee802154.AppendFCS([]byte{0xa2, 0x61, 't', 0, 0x61, 'i', 1}))
}

// ears hear who answers.
type ears struct {
	hdlc spinel.Decoder
	slip slipradio.Decoder
}

// hear takes bytes and returns the protocol of the first frame that only it has, or "".
func (e *ears) hear(b []byte) Protocol {
	for p := b; len(p) > 0; {
		frame, n, err := e.hdlc.Next(p)
		if p = p[n:]; err == nil && frame != nil {
			if f, err := spinel.ParseFrame(frame); err == nil && f.Command >= spinel.CmdIs {
				return Spinel
			}
		}
	}
	for p := b; len(p) > 0; {
		frame, rest, _ := e.slip.Next(p)
		if p = rest; frame != nil {
			switch {
			case len(frame) >= 10 && frame[0] == '!' && frame[1] == 'M' && binary.BigEndian.Uint64(frame[2:]) != 0:
				return Slip
			case len(frame) > 3 && frame[0]>>5 == 5 && ieee802154.CheckFCS(frame): // a CBOR map
				return SerialRadio
			}
		}
	}
	return ""
}

// A pump reads a line, which has no deadlines, into a channel.
type pump struct {
	in  chan []byte
	err error // after in is closed
}

func newPump(line serial.Line) *pump {
	p := &pump{in: make(chan []byte, 16)}
	go func() {
		defer close(p.in)
		for {
			b := make([]byte, 512)
			n, err := line.Read(b)
			if err != nil {
				p.err = err
				return
			}
			select {
			case p.in <- b[:n]:
			default: // nobody asks any more
			}
		}
	}()
	return p
}

// ask finds out which firmware is behind a line, and at which of the rates. The error wraps
// errSilent where nothing known answers, and says what was heard.
func ask(ctx context.Context, line serial.Line, rates []int) (Protocol, int, error) {
	p := newPump(line)
	heard := make(map[int][]byte)
	for range askRounds {
		for _, rate := range rates {
			if err := line.SetBaud(rate); errors.Is(err, errors.ErrUnsupported) {
				rate = 0
			} else if err != nil {
				return "", 0, err
			}
			_ = line.Discard() // as good as what follows
			for len(p.in) > 0 {
				<-p.in
			}
			proto, err := askOnce(ctx, line, p, func(b []byte) {
				if len(heard[rate]) < 16 {
					heard[rate] = append(heard[rate], b[:min(len(b), 16)]...)
				}
			})
			if err != nil || proto != "" {
				return proto, rate, err
			}
		}
	}
	var l []string
	for _, rate := range rates {
		if b := heard[rate]; len(b) > 0 {
			l = append(l, fmt.Sprintf("at %d baud % x", rate, b[:min(len(b), 8)]))
		}
	}
	tried := fmt.Sprintf("tried %s baud", strings.Trim(strings.ReplaceAll(fmt.Sprint(rates), " ", ", "), "[]"))
	if len(l) == 0 {
		return "", 0, fmt.Errorf("%w; %s, nothing came back", errSilent, tried)
	}
	return "", 0, fmt.Errorf("%w; %s, what came back is something else: %s", errSilent, tried, strings.Join(l, ", "))
}

// askOnce asks at the rate that is set.
func askOnce(ctx context.Context, line serial.Line, p *pump, note func([]byte)) (Protocol, error) {
	var e ears
	t := time.NewTimer(askWait)
	defer t.Stop()
	again := time.NewTicker(askWait / 2)
	defer again.Stop()
	if _, err := line.Write(questions()); err != nil {
		return "", err
	}
	for {
		select {
		case b, ok := <-p.in:
			if !ok {
				return "", p.err
			}
			note(b)
			proto := e.hear(b)
			if proto == Slip {
				return sixLBR(ctx, line, p)
			}
			if proto != "" {
				return proto, nil
			}
		case <-again.C:
			if _, err := line.Write(questions()); err != nil {
				return "", err
			}
		case <-t.C:
			return "", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// sixLBR tells the two that answer ?M apart: 6LBR's alone knows ?C.
func sixLBR(ctx context.Context, line serial.Line, p *pump) (Protocol, error) {
	if _, err := line.Write(slipradio.AppendFrame(nil, []byte("?C"))); err != nil {
		return "", err
	}
	var d slipradio.Decoder
	t := time.NewTimer(sixLBRWait)
	defer t.Stop()
	for {
		select {
		case b, ok := <-p.in:
			if !ok {
				return "", p.err
			}
			for len(b) > 0 {
				frame, rest, _ := d.Next(b)
				if b = rest; len(frame) == 3 && frame[0] == '!' && frame[1] == 'C' {
					return SixLBR, nil
				}
			}
		case <-t.C:
			return Slip, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

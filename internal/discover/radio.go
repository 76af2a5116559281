package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/ieee802154/spinel"
	"border-router/zep"
)

// A Radio is what a radio tells of itself.
type Radio struct {
	URL      string   `json:"url"` // for --radio
	Protocol Protocol `json:"protocol"`
	Version  string   `json:"version,omitempty"` // of the firmware, where it tells
	EUI64    string   `json:"eui64,omitempty"`
	Baud     int      `json:"baud,omitempty"`
	Caps     []string `json:"capabilities"` // of the radio itself; nil where it does not tell
	Channels Channels `json:"channels,omitempty"`
	Channel  uint8    `json:"channel,omitempty"` // where it is now, of a kernel interface
	PAN      string   `json:"pan,omitempty"`
	Noise    []Energy `json:"noise,omitempty"` // by channel
	Note     string   `json:"note,omitempty"`
}

// Channels are numbers of channels, which bytes would not be in JSON.
type Channels []uint8

// MarshalJSON returns a list of numbers.
func (c Channels) MarshalJSON() ([]byte, error) {
	n := make([]int, len(c))
	for i := range c {
		n[i] = int(c[i])
	}
	return json.Marshal(n)
}

// UnmarshalJSON reads a list of numbers from 0 to 255.
func (c *Channels) UnmarshalJSON(b []byte) error {
	var n []uint16
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*c = make(Channels, len(n))
	for i, v := range n {
		if v > 255 {
			return fmt.Errorf("channel %d", v)
		}
		(*c)[i] = uint8(v)
	}
	return nil
}

// An Energy is the strongest signal that was found on a channel.
type Energy struct {
	Channel uint8 `json:"channel"`
	DBm     int8  `json:"dbm"`
}

// noiseDwell is how long the noise of one channel is measured for [Prober.Noise].
const noiseDwell = 15 * time.Millisecond

// Describe opens the radio of a URL and closes it again. The radio is reset by it and keeps
// the channel and PAN of the URL.
func (p *Prober) Describe(ctx context.Context, target string) (*Radio, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	scheme, _, _ := strings.Cut(target, ":")
	switch scheme {
	case "spinel", "spinel+tcp":
		return p.describeSpinel(ctx, target)
	case "slip", "slip+tcp":
		return p.describeSlip(ctx, target)
	case "wpan":
		return describeWPAN(target)
	case "zep":
		c, err := zep.ParseURL(target)
		if err != nil {
			return nil, err
		}
		return &Radio{URL: target, Protocol: ZEP, Channel: cmp.Or(c.Channel, zep.DefaultChannel), PAN: panText(c.PAN),
			Note: "no hardware: frames in UDP"}, nil
	}
	return nil, fmt.Errorf("%s: want the path of a serial port, or a URL with spinel, spinel+tcp, slip, slip+tcp, wpan or zep before ://", target)
}

func panText(pan uint16) string { return fmt.Sprintf("0x%04x", pan) }

func euiText(e uint64) string { return ieee802154.Extended(e).String() }

// up waits for the first word of a radio: that it is up, or why it is not.
type up[T any] struct{ c chan upState[T] }

type upState[T any] struct {
	info T
	err  error
}

func newUp[T any]() up[T] { return up[T]{make(chan upState[T], 1)} }

func (u up[T]) changed(on bool, err error, info T) {
	if on {
		err = nil
	} else if err == nil {
		err = errors.New("it is not up")
	}
	select {
	case u.c <- upState[T]{info, err}:
	default:
	}
}

func (u up[T]) wait(ctx context.Context) (T, error) {
	select {
	case s := <-u.c:
		return s.info, s.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (p *Prober) describeSpinel(ctx context.Context, target string) (*Radio, error) {
	c, err := spinel.ParseURL(target)
	if err != nil {
		return nil, err
	}
	first := newUp[spinel.Info]()
	c.OnState, c.Logger = first.changed, p.Logger
	r, err := spinel.Open(c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := first.wait(ctx)
	if err != nil {
		if errors.Is(err, spinel.ErrSilent) {
			err = fmt.Errorf("%w (%w)", err, errSilent)
		}
		return nil, err
	}
	out := &Radio{URL: target, Protocol: Spinel, Version: printable(info.Version), EUI64: euiText(info.EUI64), Baud: info.Baud,
		Caps: strings.Fields(info.Caps.String()), Channels: info.Channels}
	if !p.Noise {
		return out, nil
	}
	found, err := r.EnergyScan(ctx, info.Channels, noiseDwell)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		out.Note = "noise not measured: " + err.Error()
	}
	for _, e := range found {
		out.Noise = append(out.Noise, Energy{e.Channel, e.RSSI})
	}
	return out, nil
}

func (p *Prober) describeSlip(ctx context.Context, target string) (*Radio, error) {
	c, err := slipradio.ParseURL(target)
	if err != nil {
		return nil, err
	}
	first := newUp[slipradio.Info]()
	c.OnState, c.Logger = first.changed, p.Logger
	r, err := slipradio.Open(c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := first.wait(ctx)
	if err != nil {
		return nil, err
	}
	proto := Protocol(info.Dialect.String())
	return &Radio{URL: target, Protocol: proto, Version: printable(info.Version), EUI64: euiText(info.EUI64),
		Note: "the firmware does not measure noise"}, nil
}

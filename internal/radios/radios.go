package radios

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/zep"
)

// A Radio is an opened radio of any kind.
type Radio interface {
	ieee802154.Radio
	// Channel returns the channel that the radio is on, 11 to 26.
	Channel() uint8
	// RadioStats returns a copy of the counters.
	RadioStats() ieee802154.Stats
}

// Settings are what every kind of URL can say. A zero field means that it does not.
type Settings struct {
	EUI64 uint64 // own extended address
	Short uint16 // own short address
	PAN   uint16 // own PAN identifier
}

// Options are what a program adds to a URL when it opens the radio.
type Options struct {
	EUI64  uint64             // own extended address; 0: that of the URL
	Short  uint16             // own short address; 0: that of the URL; ffff: none
	Tap    ieee802154.TapFunc // sees every frame; nil: none
	Logger *slog.Logger       // nil discards

	// MAC are the parameters of a software MAC where the URL has none; nil: the defaults
	// of the radio.
	MAC *MAC

	// OnState, where set, is told when a radio that can go away came up and went down, with
	// the reason.
	OnState func(up bool, err error)

	// Known, OnPeer and Impair are for ZEP; see [zep.Config].
	Known  []zep.KnownPeer
	OnPeer func(p zep.KnownPeer, gone bool)
	Impair func(from, to netip.AddrPort, frame []byte) (drop bool, delay time.Duration, duplicate bool)
}

// MAC holds the parameters of a software MAC.
type MAC struct {
	Retries int           // macMaxFrameRetries
	AckWait time.Duration // 0: the radio's default
	Pace    bool          // wait for the air time of each frame
}

// A URL names a radio.
type URL struct {
	text     string
	settings Settings
	burnt    bool // the radio has an address of its own
	query    url.Values
	open     func(u *URL, o Options) (Radio, error)
}

// kinds are the kinds of radio by scheme; wpan joins them on Linux.
var kinds = map[string]func(text string) (*URL, error){
	"zep":        parseZEP,
	"spinel":     parseSpinel,
	"spinel+tcp": parseSpinel,
	"slip":       parseSlip,
	"slip+tcp":   parseSlip,
}

// Schemes returns the schemes that [Parse] takes, in order.
func Schemes() []string { return slices.Sorted(maps.Keys(kinds)) }

// Parse reads a radio URL. The error says what would be right.
func Parse(text string) (*URL, error) {
	scheme, _, _ := strings.Cut(text, ":")
	parse, ok := kinds[scheme]
	if !ok {
		return nil, fmt.Errorf("radio %q: unknown scheme %q: there are %s", text, scheme, strings.Join(Schemes(), ", "))
	}
	u, err := parse(text)
	if err != nil {
		return nil, err
	}
	u.text = text
	if p, err := url.Parse(text); err == nil {
		u.query = p.Query()
	}
	return u, nil
}

// HasOwnAddress reports whether the radio has an extended address of its own, which cannot
// be chosen: an opened one then implements [Addressed].
func (u *URL) HasOwnAddress() bool { return u.burnt }

// Addressed is a radio with an extended address of its own.
type Addressed interface {
	// Address waits until the radio has told its address.
	Address(ctx context.Context) (eui64 uint64, err error)
}

// Dongle is a radio with firmware of its own behind a line.
type Dongle interface {
	// Counters returns counters that other radios do not have, by name.
	Counters() map[string]uint64
	// Firmware returns what the firmware says that it is; empty: it does not tell.
	Firmware() string
}

// Set is a radio that has settings of its own where the URL says nothing.
type Set interface {
	// Settings returns what is in force.
	Settings() Settings
}

// String returns the text that was parsed.
func (u *URL) String() string { return u.text }

// Settings returns what stands in the URL.
func (u *URL) Settings() Settings { return u.settings }

// Open opens the radio.
func (u *URL) Open(o Options) (Radio, error) {
	if o.EUI64 == 0 {
		o.EUI64 = u.settings.EUI64
	}
	if o.Short == 0 {
		o.Short = u.settings.Short
	}
	return u.open(u, o)
}

func parseZEP(text string) (*URL, error) {
	c, err := zep.ParseURL(text)
	if err != nil {
		return nil, err
	}
	return &URL{
		settings: Settings{EUI64: c.EUI64, Short: c.Short, PAN: c.PAN},
		open:     func(u *URL, o Options) (Radio, error) { return openZEP(u, c, o) },
	}, nil
}

func openZEP(u *URL, c zep.Config, o Options) (Radio, error) {
	c.EUI64, c.Short, c.Tap, c.Logger = o.EUI64, o.Short, o.Tap, o.Logger
	c.Known, c.OnPeer, c.Impair = o.Known, o.OnPeer, o.Impair
	if m := o.MAC; m != nil {
		if !u.query.Has("retries") {
			if c.MaxFrameRetries = m.Retries; m.Retries == 0 {
				c.MaxFrameRetries = -1
			}
		}
		if !u.query.Has("ackwait") && m.AckWait > 0 {
			c.AckWait = m.AckWait
		}
		if !u.query.Has("pace") {
			c.Pace = m.Pace
		}
	}
	return opened(zep.Open(c))
}

// opened turns the nil pointer beside an error into a nil Radio.
func opened[R Radio](r R, err error) (Radio, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

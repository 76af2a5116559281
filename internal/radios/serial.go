package radios

import (
	"context"
	"strings"
	"unicode"

	"border-router/ieee802154/slipradio"
	"border-router/ieee802154/spinel"
)

func parseSpinel(text string) (*URL, error) {
	c, err := spinel.ParseURL(text)
	if err != nil {
		return nil, err
	}
	return &URL{
		settings: Settings{EUI64: c.EUI64, Short: c.Short, PAN: c.PAN},
		open: func(u *URL, o Options) (Radio, error) {
			c := c
			c.EUI64, c.Short, c.Tap, c.Logger = o.EUI64, o.Short, o.Tap, o.Logger
			if o.MAC != nil && !u.query.Has("retries") {
				if c.MaxFrameRetries = o.MAC.Retries; o.MAC.Retries == 0 {
					c.MaxFrameRetries = -1
				}
			}
			if o.OnState != nil {
				c.OnState = func(up bool, err error, _ spinel.Info) { o.OnState(up, err) }
			}
			r, err := spinel.Open(c)
			if err != nil {
				return nil, err
			}
			return rcp{r}, nil
		},
	}, nil
}

func parseSlip(text string) (*URL, error) {
	c, err := slipradio.ParseURL(text)
	if err != nil {
		return nil, err
	}
	return &URL{
		settings: Settings{Short: c.Short, PAN: c.PAN},
		burnt:    true,
		open: func(_ *URL, o Options) (Radio, error) {
			c := c
			c.Short, c.Tap, c.Logger = o.Short, o.Tap, o.Logger
			if o.OnState != nil {
				c.OnState = func(up bool, err error, _ slipradio.Info) { o.OnState(up, err) }
			}
			r, err := slipradio.Open(c)
			if err != nil {
				return nil, err
			}
			return slip{r}, nil
		},
	}, nil
}

type rcp struct{ *spinel.Radio }

// Counters implements [Dongle].
func (r rcp) Counters() map[string]uint64 {
	s := r.DongleStats()
	return map[string]uint64{
		"dongle_opened": s.Opened, "dongle_lost": s.Lost, "dongle_restarts": s.Restarts, "dongle_open_failures": s.Failed,
		"dongle_answers_lost": s.LostDones, "dongle_resent": s.Resent, "dongle_expired": s.Expired, "dongle_texts": s.Text,
	}
}

// Firmware implements [Dongle].
func (r rcp) Firmware() string { return printable(r.Info().Version) }

type slip struct{ *slipradio.Radio }

// Counters implements [Dongle].
func (s slip) Counters() map[string]uint64 {
	d := s.DongleStats()
	return map[string]uint64{
		"dongle_opened": d.Opened, "dongle_lost": d.Lost, "dongle_restarts": d.Restarts, "dongle_queue_full": d.QueueFull,
		"dongle_answers_lost": d.Timeouts, "dongle_answers_late": d.LateReport, "dongle_resent": d.Resent, "dongle_texts": d.Text,
		"dongle_errors": d.Errors,
	}
}

// Firmware implements [Dongle]: the dialect, and the version where the firmware tells.
func (s slip) Firmware() string {
	i := s.Info()
	if i.EUI64 == 0 {
		return "" // it never was there
	}
	return strings.TrimSpace(i.Dialect.String() + " " + printable(i.Version))
}

// printable makes what a dongle says of itself safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 128)], "?"))
}

// Address implements [Addressed].
func (s slip) Address(ctx context.Context) (uint64, error) {
	info, err := s.WaitUp(ctx)
	return info.EUI64, err
}

package radios

import (
	"context"

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
			return opened(spinel.Open(c))
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

type slip struct{ *slipradio.Radio }

// Address implements [Addressed].
func (s slip) Address(ctx context.Context) (uint64, error) {
	info, err := s.WaitUp(ctx)
	return info.EUI64, err
}

package radios

import (
	"context"

	"border-router/ieee802154/wpan"
)

func init() { kinds["wpan"] = parseWPAN }

func parseWPAN(text string) (*URL, error) {
	c, err := wpan.ParseURL(text)
	if err != nil {
		return nil, err
	}
	return &URL{
		settings: Settings{Short: c.Short, PAN: c.PAN},
		burnt:    true,
		open: func(_ *URL, o Options) (Radio, error) {
			c := c
			c.Tap, c.Logger = o.Tap, o.Logger
			if o.OnState != nil {
				c.OnState = func(up bool, err error, _ wpan.Info) { o.OnState(up, err) }
			}
			r, err := wpan.Open(c)
			if err != nil {
				return nil, err
			}
			return kernel{r}, nil
		},
	}, nil
}

type kernel struct{ *wpan.Radio }

// Address implements [Addressed].
func (k kernel) Address(ctx context.Context) (uint64, error) {
	info, err := k.WaitUp(ctx)
	return info.EUI64, err
}

// Settings implements [Set].
func (k kernel) Settings() Settings {
	i := k.Info()
	return Settings{EUI64: i.EUI64, Short: i.Short, PAN: i.PAN}
}

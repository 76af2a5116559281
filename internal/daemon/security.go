package daemon

import (
	"context"
	"fmt"

	"border-router/internal/macsec"
	"border-router/lowpan"
	"border-router/router"
)

// counted reports an error where frames would be secured with an EUI-64 that outlives the
// frame counters.
func (d *Daemon) counted(port string, fixed bool) error {
	if d.cfg.Security.Key.Set() && fixed && d.store.Path() == "" {
		return fmt.Errorf("%s: security.key with an eui64 in the radio's URL wants a state_dir: without the frame counters of before, frames would be secured with a nonce twice", port)
	}
	return nil
}

// security returns the security of the frames of a port, and what keeps its frame
// counters; nil and nil where there is no key. fixed says that the EUI-64 was configured:
// one that was made up is gone together with the state, and its frame counters may start
// again.
func (d *Daemon) security(port string, eui64 uint64, fixed bool) (*macsec.Keeper, *lowpan.Security, error) {
	if err := d.counted(port, fixed); err != nil {
		return nil, nil, err
	}
	k, s, err := macsec.New(macsec.Config{
		Name: port, EUI64: eui64, Security: d.cfg.Security, Store: d.store, Logger: d.log,
		Do: func(ctx context.Context, f func()) error {
			return d.loop.Do(ctx, func(*router.Router) { f() })
		},
	})
	if s != nil {
		d.log.Info("frames are secured", "link", port, "level", s.Level, "min_level", s.MinLevel, "frame_counter", s.Counter)
	}
	return k, s, err
}

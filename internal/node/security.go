package node

import (
	"context"
	"errors"

	"border-router/internal/macsec"
	"border-router/internal/state"
	"border-router/lowpan"
	"border-router/router"
)

// secure opens the state and returns the security of the node's frames, nil where there is
// no key. fixed says that the EUI-64 is not a new one.
func (n *Node) secure(fixed bool) (_ *lowpan.Security, err error) {
	switch {
	case n.cfg.StateDir != "":
		if n.store, err = state.Open(n.cfg.StateDir, n.log); err != nil {
			return nil, err
		}
	case fixed && n.cfg.Security.Key.Set():
		return nil, errors.New("a key together with an EUI-64 wants a state directory (--state-dir): without the frame counter of before, frames would be secured with a nonce twice")
	default:
		n.store = state.OpenMemory()
	}
	k, s, err := macsec.New(macsec.Config{
		Name: "mesh", EUI64: n.cfg.EUI64, Security: n.cfg.Security, Store: n.store, Logger: n.log,
		Do: func(ctx context.Context, f func()) error {
			return n.loop.Do(ctx, func(*router.Router) { f() })
		},
	})
	if err != nil {
		n.store.Close()
		return nil, err
	}
	n.keeper = k
	return s, nil
}

package zep

import "border-router/ieee802154"

var (
	_ ieee802154.SourceMatcher = (*Radio)(nil)
	_ ieee802154.Sleeper       = (*Radio)(nil)
)

// SetPending implements [ieee802154.SourceMatcher].
func (r *Radio) SetPending(a ieee802154.Addr, pending bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mac.SetPending(a, pending)
}

// SetSourceMatch implements [ieee802154.SourceMatcher].
func (r *Radio) SetSourceMatch(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mac.SetSourceMatch(on)
}

// SetReceiver implements [ieee802154.Sleeper]: what arrives while it is off is lost, as for a
// device whose receiver is. A hub goes on to forward.
func (r *Radio) SetReceiver(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mac.SetReceiver(on)
}

package slipradio

import "border-router/ieee802154"

// Stream is a received frame as a dialect sends it.
var Stream = stream

// SetOwn sets what the radio filters by, before it has told its address.
func (r *Radio) SetOwn(ext uint64, pan uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mac.SetAddress(ext, ieee802154.BroadcastShort, pan)
}

package spinel

import (
	"context"
	"fmt"
	"slices"
)

// Tune puts a dongle that is up on a channel and returns when it is there, which
// [Radio.SetChannel] does not wait for. A transmission or scan that is under way ends first.
func (r *Radio) Tune(ctx context.Context, channel uint8) error {
	info, err := r.WaitUp(ctx)
	if err != nil {
		return fmt.Errorf("channel %d: %w", channel, err)
	}
	if !slices.Contains(info.Channels, channel) {
		return fmt.Errorf("channel %d: the dongle has %v", channel, info.Channels)
	}
	r.gate.Lock()
	defer r.gate.Unlock()
	r.mu.Lock()
	s := r.s
	r.mu.Unlock()
	if s == nil {
		return fmt.Errorf("channel %d: %w", channel, ErrSilent)
	}
	if err := s.set(ctx, "channel", PropChannel, []byte{channel}); err != nil {
		return err
	}
	r.mu.Lock()
	r.want.channel = channel // for the next start-up
	r.mu.Unlock()
	return nil
}

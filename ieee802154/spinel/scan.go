package spinel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Energy is the strongest signal found on a channel.
type Energy struct {
	Channel uint8
	RSSI    int8 // dBm
}

// scanSlack is how much longer than the dwell time a result may take.
const scanSlack = time.Second

// EnergyScan listens on each channel for dwell, to the ms, and returns the strongest signal
// of each. Frames that arrive meanwhile are lost; those to be sent wait for the channel that
// is being listened to.
func (r *Radio) EnergyScan(ctx context.Context, channels []uint8, dwell time.Duration) ([]Energy, error) {
	if _, err := r.WaitUp(ctx); err != nil {
		return nil, fmt.Errorf("energy scan: %w", err)
	}
	var found []Energy
	for _, c := range channels {
		r.mu.Lock()
		s, info := r.s, r.info
		r.mu.Unlock()
		if s == nil {
			return found, fmt.Errorf("energy scan: %w", ErrSilent)
		}
		if info.Caps&CapEnergyScan == 0 {
			return nil, fmt.Errorf("energy scan: %w: the firmware has none", errors.ErrUnsupported)
		}
		e, err := r.scanOne(ctx, s, c, dwell)
		if err != nil {
			return found, fmt.Errorf("energy scan of channel %d: %w", c, err)
		}
		found = append(found, e)
	}
	return found, nil
}

func (r *Radio) scanOne(ctx context.Context, s *session, c uint8, dwell time.Duration) (e Energy, err error) {
	r.gate.Lock()
	defer r.gate.Unlock()
	// It goes back to its own channel by itself; being told makes sure.
	defer func() {
		if e := s.set(ctx, "channel", PropChannel, []byte{r.Channel()}); err == nil {
			err = e
		}
	}()
	for len(s.energy) > 0 {
		<-s.energy
	}
	ms := uint16(min(max(dwell.Milliseconds(), 1), 65535))
	if err := s.set(ctx, "scan mask", PropScanMask, []byte{c}); err != nil {
		return e, err
	}
	if err := s.set(ctx, "scan period", PropScanPeriod, uint16Value(ms)); err != nil {
		return e, err
	}
	if _, err := s.ask(ctx, CmdSet, PropScanState, []byte{scanEnergy}); err != nil && !errors.Is(err, StatusInvalidState) {
		return e, err
	}
	t := time.NewTimer(time.Duration(ms)*time.Millisecond + scanSlack)
	defer t.Stop()
	for {
		select {
		case e = <-s.energy:
			if e.Channel == c {
				return e, nil
			}
		case <-t.C:
			return e, ErrSilent
		case <-s.dead:
			return e, s.err
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

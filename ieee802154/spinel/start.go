package spinel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RadioCaps are the abilities of the radio itself.
type RadioCaps uint32

// The abilities that matter here.
const (
	CapAckTimeout RadioCaps = 1 << iota
	CapEnergyScan
	CapRetries // the radio sends again what was not acknowledged
	CapCSMA    // the radio backs off by itself
	CapSleepToTx
	CapSecurity
)

// String returns the abilities by name.
func (c RadioCaps) String() string {
	var l []string
	for i, t := range []string{"ack-timeout", "energy-scan", "retries", "csma", "sleep-to-tx", "tx-security", "tx-timing", "rx-timing", "rx-on-when-idle"} {
		if c>>i&1 != 0 {
			l = append(l, t)
		}
	}
	return strings.Join(l, " ")
}

// Info is what a dongle tells of itself.
type Info struct {
	Version    string // of the firmware
	EUI64      uint64 // that the hardware was made with
	Major      uint32 // of the protocol
	Minor      uint32
	API        uint32 // RCP API version; 0: not told
	MinHostAPI uint32
	Caps       RadioCaps
	Channels   []uint8 // that can be set
	Baud       int     // rate of the line; 0: it has none
}

// probe finds out whether something that speaks Spinel answers within wait.
func (s *session) probe(ctx context.Context, wait time.Duration) bool {
	t := time.NewTicker(wait / 40)
	defer t.Stop()
	first := s.frames.Load()
	for i := range 40 {
		switch i {
		case 0, 10: // the first may end garbage that lies in the dongle
			s.mu.Lock()
			s.wantAsk = lastTID
			s.mu.Unlock()
			_ = s.write(&Frame{TID: lastTID, Command: CmdGet, Property: PropProtocolVersion})
		case 20:
			_ = s.write(&Frame{Command: CmdReset, Value: []byte{resetStack}})
		}
		select {
		case <-t.C:
		case <-s.dead:
			return false
		case <-ctx.Done():
			return false
		}
		if s.frames.Load() != first {
			return true
		}
	}
	return false
}

// start resets the dongle unless told otherwise, asks what it is, and sets the state. It
// leaves it receiving.
func (s *session) start(ctx context.Context, st *state, reset bool) (info Info, err error) {
	if reset {
		if err := s.reset(ctx); err != nil {
			return info, err
		}
	}
	for before := s.resets.Load(); s.resets.Load()-before < maxBoots; {
		// Boot and reset each announce themselves. The later ones are no crash, but what
		// was set before them is lost.
		if s.drain(ctx) {
			continue
		}
		boots := s.resets.Load()
		if info, err = s.identify(ctx); err == nil {
			err = s.apply(ctx, st, &info)
		}
		if boots == s.resets.Load() || s.isDead() || ctx.Err() != nil {
			return info, err
		}
	}
	return info, fmt.Errorf("%w %d times while it was started", ErrRestarted, maxBoots)
}

// errVanished is wrapped by the error of a start where the line ended at the reset: a dongle
// that is a USB device itself goes away with it where its firmware resets all of the chip.
var errVanished = errors.New("the line ended when the dongle was reset")

// reset resets the dongle and waits until it says so.
func (s *session) reset(ctx context.Context) error {
	for len(s.resetC) > 0 {
		<-s.resetC
	}
	t := time.NewTimer(resetWait)
	defer t.Stop()
	again := time.NewTicker(resetWait / 3)
	defer again.Stop()
	for {
		if err := s.write(&Frame{Command: CmdReset, Value: []byte{resetStack}}); err != nil {
			return fmt.Errorf("%w: %w", errVanished, err)
		}
		select {
		case <-s.resetC:
			return nil
		case <-again.C: // it may have been booting, or garbage lay before it
		case <-t.C:
			return fmt.Errorf("%w to a reset within %v: %s", ErrSilent, resetWait, s.heard())
		case <-s.dead:
			return fmt.Errorf("%w: %w", errVanished, s.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain waits for one more reset notification and reports whether it came.
func (s *session) drain(ctx context.Context) bool {
	t := time.NewTimer(drainWait)
	defer t.Stop()
	select {
	case <-s.resetC:
		return true
	case <-t.C:
	case <-s.dead:
	case <-ctx.Done():
	}
	return false
}

// identify asks what the dongle is, and whether it can do what is needed.
func (s *session) identify(ctx context.Context) (info Info, err error) {
	r, err := s.get(ctx, PropProtocolVersion)
	if err != nil {
		return info, fmt.Errorf("get protocol version: %w", err)
	}
	if info.Major, info.Minor = r.Packed(), r.Packed(); info.Major != protocolMajor {
		return info, fmt.Errorf("%w: it speaks Spinel %d.%d; want %d", ErrFirmware, info.Major, info.Minor, protocolMajor)
	}
	if r, err = s.get(ctx, PropNCPVersion); err != nil {
		return info, fmt.Errorf("get firmware version: %w", err)
	}
	info.Version = r.Text()
	if r, err = s.get(ctx, PropCaps); err != nil {
		return info, fmt.Errorf("get capabilities: %w", err)
	}
	var caps []uint32
	for r.Len() > 0 {
		caps = append(caps, r.Packed())
	}
	for _, c := range []uint32{capConfigRadio, capMACRaw} {
		if !slices.Contains(caps, c) {
			return info, fmt.Errorf("%w: firmware %q has no raw MAC mode (capability %d); flash OpenThread RCP, not NCP", ErrFirmware, info.Version, c)
		}
	}
	if r, err = s.get(ctx, PropHWAddr); err != nil {
		return info, fmt.Errorf("get EUI-64: %w", err)
	}
	info.EUI64 = r.EUI64()
	// Firmware older than these properties answers with a status.
	optional := func(p Property) (Reader, error) {
		r, err := s.get(ctx, p)
		var st Status
		if errors.As(err, &st) {
			return Reader{}, nil
		}
		return r, err
	}
	if r, err = optional(PropRCPAPIVersion); err != nil {
		return info, err
	}
	info.API = r.Packed()
	if r, err = optional(PropRCPMinHostAPI); err != nil {
		return info, err
	}
	info.MinHostAPI = r.Packed()
	if r, err = optional(PropRadioCaps); err != nil {
		return info, err
	}
	info.Caps = RadioCaps(r.Packed())
	if r, err = optional(PropChannels); err != nil {
		return info, err
	}
	for r.Len() > 0 {
		info.Channels = append(info.Channels, r.Uint8())
	}
	if len(info.Channels) == 0 {
		for c := uint8(11); c <= 26; c++ {
			info.Channels = append(info.Channels, c)
		}
	}
	return info, nil
}

// apply sets the whole state.
func (s *session) apply(ctx context.Context, st *state, info *Info) error {
	// Any channel is echoed as if it had been set.
	if !slices.Contains(info.Channels, st.channel) {
		return fmt.Errorf("channel %d: %w: the dongle has %d to %d", st.channel, ErrFirmware, slices.Min(info.Channels), slices.Max(info.Channels))
	}
	ext := st.ext
	if ext == 0 {
		ext = info.EUI64
	}
	for _, p := range []struct {
		what  string
		prop  Property
		value []byte
	}{
		{"PHY on", PropPHYEnabled, []byte{1}}, // before it nothing else is taken
		{"PAN identifier", PropPANID, uint16Value(st.pan)},
		{"short address", PropSAddr, uint16Value(st.short)},
		{"extended address", PropLAddr, euiValue(ext)},
		{"channel", PropChannel, []byte{st.channel}},
	} {
		if err := s.set(ctx, p.what, p.prop, p.value); err != nil {
			return err
		}
	}
	if st.power != PowerDefault {
		// The dongle takes what is nearest.
		if _, err := s.ask(ctx, CmdSet, PropTxPower, []byte{byte(st.power)}); err != nil {
			return fmt.Errorf("set transmit power: %w", err)
		}
	}
	if st.match || len(st.pending) > 0 {
		if err := s.applyMatch(ctx, st); err != nil {
			return err
		}
	}
	return s.set(ctx, "reception on", PropRawStream, []byte{1})
}

// check finds out whether the dongle still has its state. A restart behind a line that
// stays shows in nothing else.
func (s *session) check(ctx context.Context, st *state) error {
	r, err := s.get(ctx, PropPANID)
	if err != nil {
		return fmt.Errorf("keepalive: %w", err)
	}
	if pan := r.Uint16(); pan != st.pan {
		return fmt.Errorf("%w: its PAN identifier is %04x, not %04x", ErrRestarted, pan, st.pan)
	}
	if r, err = s.get(ctx, PropRawStream); err != nil {
		return fmt.Errorf("keepalive: %w", err)
	}
	if r.Uint8() == 0 {
		return fmt.Errorf("%w: it does not receive", ErrRestarted)
	}
	return nil
}

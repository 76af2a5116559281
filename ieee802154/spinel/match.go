package spinel

import (
	"context"
	"errors"
	"fmt"
)

// noRoom is the room of a dongle without tables of source match.
const noRoom = -1

// applyMatch sets for whom the dongle acknowledges data requests with frame-pending: for those
// in st where its tables take them all, else for everybody, as [ieee802154.SourceMatcher] has
// it.
func (s *session) applyMatch(ctx context.Context, st *state) error {
	s.room = maxPending
	for _, p := range []Property{PropSrcMatchShort, PropSrcMatchExtended} {
		if _, err := s.ask(ctx, CmdSet, p, nil); err != nil && !s.refused(err, noRoom) {
			return fmt.Errorf("clear source match: %w", err)
		}
	}
	n := 0
	for a := range st.pending {
		if s.room < len(st.pending) {
			break
		}
		if err := s.match(ctx, CmdInsert, a); err != nil && !s.refused(err, n) {
			return err
		}
		n++
	}
	return s.enableMatch(ctx, st)
}

// enableMatch has the dongle heed its tables where they hold st.
func (s *session) enableMatch(ctx context.Context, st *state) error {
	err := s.set(ctx, "source match", PropSrcMatchEnabled, []byte{bit(st.match && len(st.pending) <= s.room)})
	if s.refused(err, noRoom) {
		return nil
	}
	return err
}

// updateMatch brings the tables from one state to another.
func (s *session) updateMatch(ctx context.Context, from, to *state) error {
	full := s.room < len(from.pending)
	switch {
	case from.match != to.match, full && len(to.pending) <= s.room:
		return s.applyMatch(ctx, to)
	case full: // it tells everybody
		return nil
	}
	n := len(from.pending)
	for a := range from.pending { // those first, which makes room
		if _, ok := to.pending[a]; !ok {
			if err := s.match(ctx, CmdRemove, a); err != nil {
				return err
			}
			n--
		}
	}
	for a := range to.pending {
		if _, ok := from.pending[a]; ok {
			continue
		}
		if err := s.match(ctx, CmdInsert, a); err != nil {
			if !s.refused(err, n) {
				return err
			}
			return s.enableMatch(ctx, to)
		}
		n++
	}
	return nil
}

// match puts an address into the table of source match, or takes it out.
func (s *session) match(ctx context.Context, cmd Command, a pendingAddr) error {
	prop, value := PropSrcMatchShort, uint16Value(uint16(a.v))
	if a.ext {
		prop, value = PropSrcMatchExtended, euiValue(a.v)
	}
	_, err := s.ask(ctx, cmd, prop, value)
	if err == nil || errors.Is(err, StatusAlready) || errors.Is(err, StatusNoItem) {
		return nil
	}
	return fmt.Errorf("source match: %w", err)
}

// refused reports whether err says that the dongle has no room for more than room addresses.
func (s *session) refused(err error, room int) bool {
	var st Status
	if !errors.As(err, &st) {
		return false
	}
	s.room = min(s.room, room)
	return true
}

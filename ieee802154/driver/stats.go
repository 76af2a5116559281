package driver

import (
	"slices"
	"strings"

	"border-router/ieee802154"
)

// Count adds what became of t, and its attempts, to the counters.
func Count(s *ieee802154.Stats, t *ieee802154.TxFrame) {
	s.Attempts += uint64(t.Attempts)
	switch t.Status {
	case ieee802154.TxSent:
		s.Sent++
	case ieee802154.TxAcked:
		s.Acked++
	case ieee802154.TxNoAck:
		s.NoAck++
	case ieee802154.TxChannelBusy:
		s.ChannelBusy++
	case ieee802154.TxSkipped:
		s.Skipped++
	case ieee802154.TxTooLong:
		s.TooLong++
	}
}

// Drops returns what two sets of counters, each by its reason, hold that is not zero, by
// name. Reasons of the same name are added up.
func Drops[A, B interface {
	~uint8
	error
}](a []uint64, b []uint64) []ieee802154.DropCount {
	var list []ieee802154.DropCount
	add := func(reason string, n uint64) {
		if n == 0 {
			return
		}
		if i := slices.IndexFunc(list, func(d ieee802154.DropCount) bool { return d.Reason == reason }); i >= 0 {
			list[i].Count += n
			return
		}
		list = append(list, ieee802154.DropCount{Reason: reason, Count: n})
	}
	for i, n := range a {
		add(A(i).Error(), n)
	}
	for i, n := range b {
		add(B(i).Error(), n)
	}
	slices.SortFunc(list, func(a, b ieee802154.DropCount) int { return strings.Compare(a.Reason, b.Reason) })
	return list
}

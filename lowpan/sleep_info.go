package lowpan

import (
	"time"

	"border-router/ipv6"
)

// SleepInfo says what is known of a neighbour that sleeps.
type SleepInfo struct {
	Mode     Sleep         // how that is known: SleepLearnt or SleepAlways
	Polled   time.Time     // its last data request; zero: none was heard
	Interval time.Duration // the longest time between two of late; 0: not known
	Held     int           // datagrams that wait for it
}

// Sleeping returns what is known of the neighbour at dst; ok is false where it does not
// sleep, as far as is known.
func (i *Interface) Sleeping(dst ipv6.LinkAddr) (s SleepInfo, ok bool) {
	x := i.sleeper(dst)
	if x == nil || x.mode == SleepNever {
		return s, false
	}
	s = SleepInfo{Mode: x.mode, Polled: x.polled, Interval: x.interval}
	for _, a := range [...]ipv6.LinkAddr{dst, i.other(dst)} {
		if a.IsZero() {
			continue
		}
		if nb := i.heldFor(a); nb != nil {
			s.Held += nb.n
		}
	}
	return s, true
}

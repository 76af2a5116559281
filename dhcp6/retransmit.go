package dhcp6

import (
	"math/rand/v2"
	"time"
)

// Transmission and retransmission parameters (RFC 8415 section 7.6).
const (
	solMaxDelay   = 1 * time.Second
	solTimeout    = 1 * time.Second
	solMaxRT      = 3600 * time.Second
	reqTimeout    = 1 * time.Second
	reqMaxRT      = 30 * time.Second
	reqMaxRC      = 10
	cnfMaxDelay   = 1 * time.Second
	cnfTimeout    = 1 * time.Second
	cnfMaxRT      = 4 * time.Second
	cnfMaxRD      = 10 * time.Second
	renTimeout    = 10 * time.Second
	renMaxRT      = 600 * time.Second
	rebTimeout    = 10 * time.Second
	rebMaxRT      = 600 * time.Second
	infMaxDelay   = 1 * time.Second
	infTimeout    = 1 * time.Second
	infMaxRT      = 3600 * time.Second
	relTimeout    = 1 * time.Second
	relMaxRC      = 4
	decTimeout    = 1 * time.Second
	decMaxRC      = 4
	hopCountLimit = 8
	irtDefault    = 86400 * time.Second
	irtMinimum    = 600 * time.Second
)

// Range of the SOL_MAX_RT and INF_MAX_RT options, in seconds (RFC 8415 sections 21.24 and
// 21.25).
const (
	minMaxRT = 60
	maxMaxRT = 86400
)

// A params is how a message is retransmitted (RFC 8415 section 15).
type params struct {
	irt, mrt time.Duration // mrt 0: no upper bound
	mrc      int           // 0: no bound
	mrd      time.Duration // 0: no bound
	positive bool          // the first RAND is greater than 0 (section 18.2.1)
}

// A retransmitter is the retransmission of one message.
type retransmitter struct {
	params
	rt    time.Duration
	count int       // transmissions so far
	first time.Time // of the first transmission
	next  time.Time // when rt is over
}

// jitter returns RAND*d with RAND uniformly from -0.1 to +0.1.
func jitter(r *rand.Rand, d time.Duration) time.Duration {
	span := int64(d / 10)
	if span <= 0 {
		return 0
	}
	return time.Duration(r.Int64N(2*span+1) - span)
}

// sent notes a transmission and computes the time to the next.
func (t *retransmitter) sent(now time.Time, r *rand.Rand) {
	if t.count++; t.count == 1 {
		t.first = now
		t.rt = t.irt + jitter(r, t.irt)
		if span := int64(t.irt / 10); t.positive && span > 0 {
			t.rt = t.irt + time.Duration(1+r.Int64N(span))
		}
	} else {
		t.rt = 2*t.rt + jitter(r, t.rt)
	}
	if t.mrt != 0 && t.rt > t.mrt {
		t.rt = t.mrt + jitter(r, t.mrt)
	}
	t.next = now.Add(t.rt)
	if end := t.first.Add(t.mrd); t.mrd > 0 && end.Before(t.next) {
		t.next = end
	}
}

// failed reports whether the exchange is over without an answer, at the time next.
func (t *retransmitter) failed(now time.Time) bool {
	return t.mrc > 0 && t.count >= t.mrc ||
		t.mrd > 0 && t.count > 0 && !now.Before(t.first.Add(t.mrd))
}

// A bucket limits what a machine sends whatever it is answered (RFC 8415 section 14.1).
type bucket struct {
	tokens int
	last   time.Time
}

const (
	bucketSize = 20 // messages at once
	bucketRate = time.Second
)

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() || now.Before(b.last) {
		b.tokens, b.last = bucketSize, now
	}
	if n := now.Sub(b.last) / bucketRate; n > 0 {
		b.tokens = int(min(time.Duration(b.tokens)+n, bucketSize))
		b.last = b.last.Add(n * bucketRate)
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

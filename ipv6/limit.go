package ipv6

import "time"

// Defaults of a [TokenBucket], the values that RFC 4443 section 2.4 (f) gives as suitable
// for a small node.
const (
	DefaultICMPRate  = 10 // messages a second
	DefaultICMPBurst = 10 // messages
)

// A TokenBucket limits how many messages are originated (RFC 4443 section 2.4 f). The
// zero value has the defaults above; it starts full.
type TokenBucket struct {
	Rate  float64 // tokens a second; 0 means [DefaultICMPRate], less than 0 no limit
	Burst int     // most tokens that are saved up; 0 means [DefaultICMPBurst]

	used float64 // tokens that are missing from a full bucket at time last
	last time.Time
}

// Take takes one token and reports whether there was one. Time that goes backwards gives
// no tokens.
func (t *TokenBucket) Take(now time.Time) bool {
	rate, burst := t.Rate, float64(t.Burst)
	if rate < 0 {
		return true
	}
	if rate == 0 {
		rate = DefaultICMPRate
	}
	if burst <= 0 {
		burst = DefaultICMPBurst
	}
	if d := now.Sub(t.last); d > 0 {
		t.used = max(0, t.used-d.Seconds()*rate)
		t.last = now
	}
	if t.used+1 > burst {
		return false
	}
	t.used++
	return true
}

package ieee802154

import (
	"math/rand/v2"
	"time"
)

// Constants of CSMA-CA (section 8.4.3.1, table 8-94) and of the 2.4 GHz O-QPSK PHY.
const (
	DefaultMinBE           = 3                      // macMinBe
	DefaultMaxBE           = 5                      // macMaxBe
	DefaultMaxCSMABackoffs = 4                      // macMaxCsmaBackoffs
	UnitBackoff            = 320 * time.Microsecond // aUnitBackoffPeriod: 20 symbols
	CCATime                = 128 * time.Microsecond // 8 symbols
	Turnaround             = 192 * time.Microsecond // aTurnaroundTime: 12 symbols
)

// A CSMA is the unslotted CSMA-CA algorithm (section 6.2.5.1) for one frame at a time, for
// radios that can assess the channel but do not back off by themselves. It is a plain value;
// the zero value has the default constants. [CSMA.Begin], wait, assess the channel; while it
// is busy, [CSMA.Busy] and wait again.
//
// Where no channel can be assessed, as with frames in UDP, backing off would only add delay:
// there is no medium whose collisions it avoids, and pacing by air time keeps a receiver that
// simulates one from being overrun.
type CSMA struct {
	MinBE, MaxBE, MaxBackoffs uint8 // 0: the default. MinBE above MaxBE counts as MaxBE

	nb, be uint8
}

func (c *CSMA) limits() (minBE, maxBE, backoffs uint8) {
	minBE, maxBE, backoffs = c.MinBE, c.MaxBE, c.MaxBackoffs
	if minBE == 0 {
		minBE = DefaultMinBE
	}
	if maxBE == 0 {
		maxBE = DefaultMaxBE
	}
	maxBE = min(maxBE, 8) // the range of macMaxBe
	if backoffs == 0 {
		backoffs = DefaultMaxCSMABackoffs
	}
	return min(minBE, maxBE), maxBE, backoffs
}

// Begin starts with an attempt of a frame and returns how long to wait before the channel is
// assessed: a random number of unit backoff periods from 0 to 2^BE - 1.
func (c *CSMA) Begin(rng *rand.Rand) time.Duration {
	c.nb = 0
	c.be, _, _ = c.limits()
	return c.wait(rng)
}

// Busy notes that the channel was busy. It returns how long to wait before it is assessed
// again; ok is false when the algorithm gives up: channel access failure.
func (c *CSMA) Busy(rng *rand.Rand) (wait time.Duration, ok bool) {
	_, maxBE, backoffs := c.limits()
	c.nb++
	c.be = min(c.be+1, maxBE)
	if c.nb > backoffs {
		return 0, false
	}
	return c.wait(rng), true
}

func (c *CSMA) wait(rng *rand.Rand) time.Duration {
	return time.Duration(rng.IntN(1<<c.be)) * UnitBackoff
}

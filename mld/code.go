package mld

import (
	"math/bits"
	"time"
)

// MaxResponse and MaxQueryInterval are the longest times that the codes can express.
const (
	MaxResponse      = (0x1fff << 10) * time.Millisecond // Maximum Response Code ffff
	MaxQueryInterval = (0x1f << 10) * time.Second        // QQIC ff
)

// ResponseCode returns the Maximum Response Code of an MLDv2 query for a Maximum Response
// Delay (RFC 9777 section 5.1.3): the next lower value where d cannot be expressed (section
// 9.8), at most [MaxResponse].
func ResponseCode(d time.Duration) uint16 {
	v := uint32(max(0, min(d, MaxResponse)) / time.Millisecond)
	if v < 32768 {
		return uint16(v)
	}
	//  0 1 2 3 4 5 6 7 8 9 a b c d e f
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	// |1| exp |          mant         |
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	exp := uint32(bits.Len32(v)) - 16
	return uint16(0x8000 | exp<<12 | v>>(exp+3)&0x0fff)
}

// ResponseDelay returns the Maximum Response Delay that the Maximum Response Code of an
// MLDv2 query stands for.
func ResponseDelay(code uint16) time.Duration {
	if code < 32768 {
		return time.Duration(code) * time.Millisecond
	}
	exp, mant := code>>12&7, uint32(code&0x0fff)
	return time.Duration((mant|0x1000)<<(exp+3)) * time.Millisecond
}

// IntervalCode returns the Querier's Query Interval Code (QQIC, RFC 9777 section 5.1.9) of
// d: the next lower value where d cannot be expressed, at most [MaxQueryInterval].
func IntervalCode(d time.Duration) uint8 {
	v := uint32(max(0, min(d, MaxQueryInterval)) / time.Second)
	if v < 128 {
		return uint8(v)
	}
	exp := uint32(bits.Len32(v)) - 8
	return uint8(0x80 | exp<<4 | v>>(exp+3)&0x0f)
}

// QueryInterval returns the interval that a QQIC stands for.
func QueryInterval(code uint8) time.Duration {
	if code < 128 {
		return time.Duration(code) * time.Second
	}
	exp, mant := code>>4&7, uint32(code&0x0f)
	return time.Duration((mant|0x10)<<(exp+3)) * time.Second
}

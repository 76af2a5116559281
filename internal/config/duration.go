package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Infinite is the lifetime of what never expires: ffffffff seconds on the wire (RFC 4861
// section 4.6.2).
const Infinite = time.Duration(math.MaxUint32) * time.Second

var errDuration = errors.New("not a duration")

// ParseDuration reads what [time.ParseDuration] does and whole days before it ("30d",
// "1d12h"). "infinite" is [Infinite].
func ParseDuration(s string) (time.Duration, error) {
	if s == "infinite" {
		return Infinite, nil
	}
	var days time.Duration
	if d, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		days, s = time.Duration(n)*24*time.Hour, rest
		if s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > math.MaxInt64-days {
		return 0, errDuration
	}
	return days + d, nil
}

// FormatDuration returns d in the shortest form that [ParseDuration] reads: "30d", "30m",
// "1h30m".
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == Infinite:
		return "infinite"
	case d >= day && d/day <= math.MaxUint16:
		s := fmt.Sprintf("%dd", d/day)
		if d %= day; d > 0 {
			s += FormatDuration(d)
		}
		return s
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

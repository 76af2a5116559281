package driver

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154"
)

var errRange = errors.New("not in range")

// Query gives set each key of the query of u with its value, in order. keys are those that
// are known, with what they may be, which an error says.
func Query(u *url.URL, keys map[string]string, set func(key, value string) error) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("query: %v", err)
	}
	given := slices.Sorted(maps.Keys(q))
	for _, k := range given {
		if _, ok := keys[k]; !ok {
			return fmt.Errorf("unknown key %q; known are %s", k, strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
		}
		if len(q[k]) != 1 {
			return fmt.Errorf("key %q is given %d times", k, len(q[k]))
		}
	}
	for _, k := range given {
		if err := set(k, q.Get(k)); err != nil {
			return fmt.Errorf("%s=%s: %v; want %s", k, q.Get(k), err, keys[k])
		}
	}
	return nil
}

// Number reads a number from lo to hi into p; 0x stands before hexadecimal digits.
func Number[T ~uint8 | ~uint16 | ~int](p *T, value string, lo, hi T) error {
	n, err := strconv.ParseUint(value, 0, 31)
	if err != nil || n < uint64(lo) || n > uint64(hi) {
		return errRange
	}
	*p = T(n)
	return nil
}

// Duration reads a duration of at least least into p.
func Duration(p *time.Duration, value string, least time.Duration) error {
	d, err := time.ParseDuration(value)
	if err != nil || d < least {
		return fmt.Errorf("not a duration of %v or more", least)
	}
	*p = d
	return nil
}

// EUI64 reads an extended address other than zero, with or without separators, into p.
func EUI64(p *uint64, value string) error {
	h := strings.NewReplacer(":", "", "-", "").Replace(strings.TrimPrefix(value, "0x"))
	n, err := strconv.ParseUint(h, 16, 64)
	if err != nil || len(h) != 16 || n == 0 {
		return errors.New("not an EUI-64")
	}
	*p = n
	return nil
}

// Short reads an own short address into p.
func Short(p *uint16, value string) error { return Number(p, value, 1, ieee802154.NoShort-1) }

// Retries reads macMaxFrameRetries, 0 to 7, into p, where 0 becomes negative: the zero value
// of a Config is the default.
func Retries(p *int, value string) error {
	err := Number(p, value, 0, 7)
	if err == nil && *p == 0 {
		*p = -1
	}
	return err
}

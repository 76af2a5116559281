package wpan

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154"
)

// Defaults of [Config].
const (
	// DefaultPAN is used where neither the configuration nor the interface has a PAN.
	DefaultPAN = 0xabcd

	// DefaultLifetime is how long frames wait for an interface that is down or away.
	DefaultLifetime = 5 * time.Second
)

// A Config describes a radio. A zero field means its default.
type Config struct {
	Interface string // such as wpan0
	Channel   uint8  // 11 to 26; 0: as the interface has it
	Page      uint8  // channel page
	PAN       uint16 // 0: as the interface has it, DefaultPAN if it has none
	Short     uint16 // own short address; 0: as the interface has it

	Lifetime time.Duration      // how long frames wait for an interface that is down or away
	Tap      ieee802154.TapFunc // sees every frame; nil: none
	Logger   *slog.Logger       // nil: discard

	// OnState, where set, is told when the interface went away or down, with the reason,
	// and when it is back. It must not call Close.
	OnState func(up bool, err error, info Info)
}

// Info is what the kernel told of the interface.
type Info struct {
	Interface string
	Index     int
	Phy       uint32
	EUI64     uint64
	Short     uint16 // ieee802154.BroadcastShort: none
	PAN       uint16
	Channel   uint8
	Page      uint8
}

var urlKeys = map[string]string{
	"channel":  "11 to 26",
	"page":     "0 to 31",
	"pan":      "PAN identifier such as 0xabcd",
	"short":    "own short address such as 0x1234",
	"lifetime": "duration such as 5s",
}

// ParseURL reads a radio URL such as
//
//	wpan://wpan0
//	wpan://wpan0?channel=26&pan=0xabcd&short=0x0001
//
// Other keys: page, lifetime. What is not given stays as the interface has it. An error says
// what would be right.
func ParseURL(s string) (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("radio %q: "+format, append([]any{s}, args...)...)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail("not a URL; want wpan://wpan0")
	}
	if u.Scheme != "wpan" {
		return fail("scheme %q; want wpan://", u.Scheme)
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.Port() != "" {
		return fail("want wpan://INTERFACE?KEY=VALUE and nothing else")
	}
	if len(u.Host) == 0 || len(u.Host) > 15 {
		return fail("want the name of an interface, such as wpan://wpan0; `iwpan dev` lists them")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("query: %v", err)
	}
	c := Config{Interface: u.Host}
	for _, k := range slices.Sorted(maps.Keys(q)) {
		want, ok := urlKeys[k]
		if !ok {
			return fail("unknown key %q; known are %s", k, strings.Join(slices.Sorted(maps.Keys(urlKeys)), ", "))
		}
		if len(q[k]) != 1 {
			return fail("key %q is given %d times", k, len(q[k]))
		}
		if err := c.setKey(k, q.Get(k)); err != nil {
			return fail("%s=%s: %v; want %s", k, q.Get(k), err, want)
		}
	}
	return c, nil
}

func (c *Config) setKey(k, v string) (err error) {
	number := func(lo, hi uint64) uint64 {
		n, e := strconv.ParseUint(v, 0, 16)
		if e != nil || n < lo || n > hi {
			err = fmt.Errorf("not in range")
		}
		return n
	}
	switch k {
	case "channel":
		c.Channel = uint8(number(11, 26))
	case "page":
		c.Page = uint8(number(0, 31))
	case "pan":
		c.PAN = uint16(number(1, 0xfffe))
	case "short":
		c.Short = uint16(number(1, ieee802154.NoShort-1))
	case "lifetime":
		if c.Lifetime, err = time.ParseDuration(v); err != nil || c.Lifetime <= 0 {
			return fmt.Errorf("not a duration")
		}
	}
	return err
}

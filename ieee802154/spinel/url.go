package spinel

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/internal/serial"
)

// urlKeys are the query keys of a radio URL besides those of the port, with what they may be.
var urlKeys = map[string]string{
	"channel":   "11 to 26",
	"pan":       "PAN identifier such as 0x0023",
	"eui64":     "own address, 16 hexadecimal digits",
	"short":     "own short address such as 0x1234",
	"power":     "dBm, -40 to 30",
	"retries":   "0 to 7",
	"lifetime":  "duration such as 5s",
	"keepalive": "duration such as 1s",
}

// ParseURL reads a radio URL such as
//
//	spinel:///dev/ttyACM0
//	spinel:///dev/ttyACM0?baud=460800&flow=rtscts&dtr=on&channel=26&pan=0x0023&power=8
//	spinel+tcp://[2001:db8::1]:5000?channel=15
//
// Without baud= the rate is probed. Other keys: eui64, short, retries, lifetime, keepalive.
// An error says what would be right.
func ParseURL(s string) (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("radio %q: "+format, append([]any{s}, args...)...)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail("not a URL; want spinel:///dev/ttyACM0 or spinel+tcp://HOST:PORT")
	}
	c := Config{Channel: DefaultChannel, PAN: DefaultPAN}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return fail("want spinel:///dev/ttyACM0?KEY=VALUE and nothing else")
	}
	keys := maps.Clone(urlKeys)
	switch u.Scheme {
	case "spinel":
		if u.Host != "" {
			return fail("a port stands after three slashes: spinel:///dev/ttyACM0; a host after spinel+tcp://")
		}
		if len(u.Path) < 2 {
			return fail("which port? want spinel:///dev/ttyACM0")
		}
		c.Port.Path = u.Path
		maps.Copy(keys, serial.Keys)
	case "spinel+tcp":
		p, err := strconv.ParseUint(u.Port(), 10, 16)
		if u.Hostname() == "" || err != nil || p == 0 || strings.Trim(u.Path, "/") != "" {
			return fail("want spinel+tcp://HOST:PORT (an IPv6 address stands in brackets)")
		}
		c.Addr = u.Host
	default:
		return fail("scheme %q; want spinel:// or spinel+tcp://", u.Scheme)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("query: %v", err)
	}
	known := slices.Sorted(maps.Keys(keys))
	for k, v := range q {
		if _, ok := keys[k]; !ok {
			return fail("unknown key %q; known are %s", k, strings.Join(known, ", "))
		}
		if len(v) != 1 {
			return fail("key %q is given %d times", k, len(v))
		}
	}
	for _, k := range known {
		if !q.Has(k) {
			continue
		}
		if err := c.setKey(k, q.Get(k)); err != nil {
			return fail("%s=%s: %v; want %s", k, q.Get(k), err, keys[k])
		}
	}
	return c, nil
}

func (c *Config) setKey(k, v string) (err error) {
	number := func(bits int, lo, hi uint64) uint64 {
		n, e := strconv.ParseUint(v, 0, bits)
		if e != nil || n < lo || n > hi {
			err = fmt.Errorf("not in range")
		}
		return n
	}
	duration := func() time.Duration {
		d, e := time.ParseDuration(v)
		if e != nil || d < 10*time.Millisecond {
			err = fmt.Errorf("not a duration of 10ms or more")
		}
		return d
	}
	switch k {
	case "channel":
		c.Channel = uint8(number(8, 11, 26))
	case "pan":
		c.PAN = uint16(number(16, 1, 0xfffe))
	case "eui64":
		h := strings.NewReplacer(":", "", "-", "").Replace(strings.TrimPrefix(v, "0x"))
		n, e := strconv.ParseUint(h, 16, 64)
		if e != nil || len(h) != 16 || n == 0 {
			return fmt.Errorf("not an EUI-64")
		}
		c.EUI64 = n
	case "short":
		c.Short = uint16(number(16, 1, ieee802154.NoShort-1))
	case "power":
		n, e := strconv.ParseInt(v, 10, 8)
		if e != nil || n < -40 || n > 30 {
			return fmt.Errorf("not in range")
		}
		p := int8(n)
		c.Power = &p
	case "retries":
		if c.MaxFrameRetries = int(number(8, 0, 7)); c.MaxFrameRetries == 0 {
			c.MaxFrameRetries = -1
		}
	case "lifetime":
		c.Lifetime = duration()
	case "keepalive":
		c.Keepalive = duration()
	default:
		return c.Port.Set(k, v)
	}
	return err
}

package spinel

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154/driver"
	"border-router/internal/serial"
)

// leastDuration is the shortest that a URL may ask for.
const leastDuration = 10 * time.Millisecond

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
	if err := driver.Query(u, keys, c.setKey); err != nil {
		return fail("%v", err)
	}
	return c, nil
}

func (c *Config) setKey(k, v string) error {
	switch k {
	case "channel":
		return driver.Number(&c.Channel, v, 11, 26)
	case "pan":
		return driver.Number(&c.PAN, v, 1, 0xfffe)
	case "eui64":
		return driver.EUI64(&c.EUI64, v)
	case "short":
		return driver.Short(&c.Short, v)
	case "power":
		n, err := strconv.ParseInt(v, 10, 8)
		if err != nil || n < -40 || n > 30 {
			return errors.New("not in range")
		}
		p := int8(n)
		c.Power = &p
		return nil
	case "retries":
		return driver.Retries(&c.MaxFrameRetries, v)
	case "lifetime":
		return driver.Duration(&c.Lifetime, v, leastDuration)
	case "keepalive":
		return driver.Duration(&c.Keepalive, v, leastDuration)
	}
	return c.Port.Set(k, v)
}

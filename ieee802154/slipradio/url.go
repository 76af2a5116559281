package slipradio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154/driver"
	"border-router/internal/serial"
)

// DefaultPort is the TCP port of slip+tcp where the URL has none: that of Cooja's serial
// sockets, counted up from node 1.
const DefaultPort = 60001

// leastDuration is the shortest that a URL may ask for.
const leastDuration = time.Millisecond

// urlKeys are the query keys of a radio URL, with what they mean for the error message.
var urlKeys = map[string]string{
	"dialect":   "auto, slip, 6lbr or serialradio",
	"channel":   "11 to 26",
	"pan":       "PAN identifier such as 0xabcd",
	"short":     "own short address such as 0x1234",
	"timeout":   "duration such as 2s",
	"lifetime":  "duration such as 5s",
	"keepalive": "duration such as 5s",
	"ackwait":   "duration such as 60ms",
	"retries":   "0 to 7",
}

// ParseURL reads a radio URL such as
//
//	slip:///dev/ttyUSB0?baud=115200&channel=26&pan=0xabcd
//	slip:///dev/ttyUSB0?dialect=6lbr&dtr=off
//	slip+tcp://host:60001?channel=15
//
// Without baud= the rate is probed. Other keys: flow, short, timeout, lifetime, keepalive, ackwait, retries. An error says
// what would be right.
func ParseURL(s string) (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("radio %q: "+format, append([]any{s}, args...)...)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail("not a URL; want slip:///dev/ttyUSB0 or slip+tcp://HOST:PORT")
	}
	if u.Scheme != "slip" && u.Scheme != "slip+tcp" {
		return fail("scheme %q; want slip:// or slip+tcp://", u.Scheme)
	}
	tcp := u.Scheme == "slip+tcp"
	if u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return fail("want slip:///DEVICE?KEY=VALUE or slip+tcp://HOST:PORT?KEY=VALUE and nothing else")
	}
	keys := maps.Clone(urlKeys)
	for k, want := range serial.Keys {
		if tcp && u.Query().Has(k) {
			return fail("key %q is for a serial line, not for TCP", k)
		}
		if !tcp {
			keys[k] = want
		}
	}
	c := Config{Channel: DefaultChannel, PAN: DefaultPAN}
	line := serial.Config{Path: u.Path}
	err = driver.Query(u, keys, func(k, v string) error {
		if _, ok := serial.Keys[k]; ok {
			return line.Set(k, v)
		}
		return c.setKey(k, v)
	})
	if err != nil {
		return fail("%v", err)
	}
	if tcp {
		if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
			return fail("want the host and port of the radio, such as slip+tcp://192.0.2.1:%d", DefaultPort)
		}
		port := u.Port()
		if port == "" {
			port = strconv.Itoa(DefaultPort)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fail("port %q; want 1 to 65535", port)
		}
		c.Name = net.JoinHostPort(u.Hostname(), port)
		c.Dial = func(ctx context.Context) (io.ReadWriteCloser, error) { return serial.Dial(ctx, c.Name) }
		return c, nil
	}
	if u.Host != "" {
		return fail("host %q before the device; want three slashes, slip:///dev/ttyUSB0, or slip+tcp:// for a radio on the network", u.Host)
	}
	if u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return fail("want the path of a device, such as slip:///dev/ttyUSB0")
	}
	c.Name, c.Baud = u.Path, line.Baud
	port := &serial.Reopener{Config: line}
	c.Dial = func(context.Context) (io.ReadWriteCloser, error) { return port.Open() }
	return c, nil
}

func (c *Config) setKey(k, v string) error {
	switch k {
	case "dialect":
		i := slices.Index(dialectText[:], v)
		if i < 0 {
			return errors.New("unknown dialect")
		}
		c.Dialect = Dialect(i)
	case "channel":
		return driver.Number(&c.Channel, v, 11, 26)
	case "pan":
		return driver.Number(&c.PAN, v, 1, 0xfffe)
	case "short":
		return driver.Short(&c.Short, v)
	case "timeout":
		return driver.Duration(&c.Timeout, v, leastDuration)
	case "lifetime":
		return driver.Duration(&c.Lifetime, v, leastDuration)
	case "keepalive":
		return driver.Duration(&c.Keepalive, v, leastDuration)
	case "ackwait":
		return driver.Duration(&c.AckWait, v, leastDuration)
	case "retries":
		return driver.Retries(&c.MaxFrameRetries, v)
	}
	return nil
}

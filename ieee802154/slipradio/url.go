package slipradio

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/internal/serial"
)

// DefaultPort is the TCP port of slip+tcp where the URL has none: that of Cooja's serial
// sockets, counted up from node 1.
const DefaultPort = 60001

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
// Other keys: flow, short, timeout, lifetime, keepalive, ackwait, retries. An error says
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
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("query: %v", err)
	}
	known := maps.Clone(urlKeys)
	if !tcp {
		maps.Copy(known, serial.Keys)
	}
	c := Config{Channel: DefaultChannel, PAN: DefaultPAN}
	line := serial.Config{Path: u.Path}
	for _, k := range slices.Sorted(maps.Keys(q)) {
		want, ok := known[k]
		_, ofLine := serial.Keys[k]
		switch {
		case !ok && ofLine:
			return fail("key %q is for a serial line, not for TCP", k)
		case !ok:
			return fail("unknown key %q; known are %s", k, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case len(q[k]) != 1:
			return fail("key %q is given %d times", k, len(q[k]))
		}
		if ofLine {
			err = line.Set(k, q.Get(k))
		} else {
			err = c.setKey(k, q.Get(k))
		}
		if err != nil {
			return fail("%s=%s: %v; want %s", k, q.Get(k), err, want)
		}
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
	c.Name = u.Path
	c.Dial = func(context.Context) (io.ReadWriteCloser, error) { return serial.Open(line) }
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
	duration := func() time.Duration {
		d, e := time.ParseDuration(v)
		if e != nil || d <= 0 {
			err = fmt.Errorf("not a duration")
		}
		return d
	}
	switch k {
	case "dialect":
		i := slices.Index(dialectText[:], v)
		if i < 0 {
			return fmt.Errorf("unknown dialect")
		}
		c.Dialect = Dialect(i)
	case "channel":
		c.Channel = uint8(number(11, 26))
	case "pan":
		c.PAN = uint16(number(1, 0xfffe))
	case "short":
		c.Short = uint16(number(1, ieee802154.NoShort-1))
	case "timeout":
		c.Timeout = duration()
	case "lifetime":
		c.Lifetime = duration()
	case "keepalive":
		c.Keepalive = duration()
	case "ackwait":
		c.AckWait = duration()
	case "retries":
		if c.MaxFrameRetries = int(number(0, 7)); c.MaxFrameRetries == 0 {
			c.MaxFrameRetries = -1
		}
	}
	return err
}

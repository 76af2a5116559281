package wpan

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
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

	// OnState, where set, is told when the interface is there, and when it went away or down,
	// with the reason. Calls are serialised. It must not call Close.
	OnState func(up bool, err error, info Info)

	eui64 uint64 // that the interface had before it went away; 0: as it has it
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
	c := Config{Interface: u.Host}
	if err := driver.Query(u, urlKeys, c.setKey); err != nil {
		return fail("%v", err)
	}
	return c, nil
}

func (c *Config) setKey(k, v string) error {
	switch k {
	case "channel":
		return driver.Number(&c.Channel, v, 11, 26)
	case "page":
		return driver.Number(&c.Page, v, 0, 31)
	case "pan":
		return driver.Number(&c.PAN, v, 1, 0xfffe)
	case "short":
		return driver.Short(&c.Short, v)
	case "lifetime":
		return driver.Duration(&c.Lifetime, v, time.Millisecond)
	}
	return nil
}

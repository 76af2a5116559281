package serial

import (
	"fmt"
	"strconv"
)

// A Level is what becomes of a modem line when a port is opened.
type Level uint8

// The levels.
const (
	Keep Level = iota // as the system has it: asserted by the open
	On
	Off
)

// Rates are those that radio firmwares are built for, the most frequent first.
var Rates = []int{460800, 115200, 1000000, 921600}

// A Config says how to open a port. It is 8N1.
type Config struct {
	Path   string
	Baud   int  // bit/s, with or without a name; 0: 115200
	RTSCTS bool // hardware flow control
	DTR    Level
}

// A Reopener opens a port again and again. A device that is plugged in again may get another
// name, ttyACM1 for ttyACM0: the link in /dev/serial/by-id, which it had when it was open
// last, leads to it then. It is for one goroutine at a time.
type Reopener struct {
	Config

	dir  string // tests; empty: byIDDir
	link string // in dir; empty: none was there
}

// Keys are the query keys of a radio URL that [Config.Set] takes, with what they may be.
var Keys = map[string]string{
	"baud": "a rate in bit/s such as 460800",
	"flow": "none or rtscts",
	"dtr":  "on or off",
}

// Set sets what the query key of a radio URL names. The caller adds Keys[key] to the error.
func (c *Config) Set(key, value string) error {
	switch key {
	case "baud":
		n, err := strconv.Atoi(value)
		if err != nil || n < 300 || n > 12_000_000 {
			return fmt.Errorf("not a rate")
		}
		c.Baud = n
	case "flow":
		switch value {
		case "none", "off":
			c.RTSCTS = false
		case "rtscts":
			c.RTSCTS = true
		default:
			return fmt.Errorf("unknown flow control")
		}
	case "dtr":
		switch value {
		case "on":
			c.DTR = On
		case "off":
			c.DTR = Off
		default:
			return fmt.Errorf("neither on nor off")
		}
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

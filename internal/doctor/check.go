package doctor

import (
	"net"
	"time"

	"border-router/internal/config"
	"border-router/internal/discover"
)

// A Status says how a check came out.
type Status string

// The statuses.
const (
	OK   Status = "OK"
	Warn Status = "WARN" // the router runs, and something will not work
	Fail Status = "FAIL" // the router does not run, or has no mesh
)

// A Check is the outcome of one check.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"` // what to run or change; commands as a shell takes them
}

// A Report is what all checks found.
type Report struct {
	Checks   []Check `json:"checks"`
	Warnings int     `json:"warnings"`
	Failures int     `json:"failures"`
}

// Options say what to look at.
type Options struct {
	// Config is what the router would run with, resolved. Where it could not be read,
	// ConfigErr says why, and the rest is checked with the defaults.
	Config     *config.Config
	ConfigErr  error
	ConfigFile string // empty: none was given

	Prober  discover.Prober // its System is the machine that is looked at
	NoProbe bool            // do not open radios

	// The following are nil except in tests.
	Interfaces func() ([]net.Interface, error)
	Clock      func() (now time.Time, synchronised bool, err error)
}

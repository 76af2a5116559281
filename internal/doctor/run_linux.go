package doctor

import (
	"context"
	"fmt"
	"net"

	"border-router/internal/config"
)

// An examination is one run of all checks.
type examination struct {
	Options
	ctx context.Context
	sys machine
	cfg *config.Config

	running int // pid of the router that runs with this configuration; 0: none
	report  Report
}

// Run makes all checks. It must run on the thread whose network namespace is meant.
func Run(ctx context.Context, o Options) *Report {
	e := &examination{Options: o, ctx: ctx, sys: machine{o.Prober.System}, cfg: o.Config}
	if e.Interfaces == nil {
		e.Interfaces = net.Interfaces
	}
	if e.Clock == nil {
		e.Clock = systemClock
	}
	if e.cfg == nil {
		e.cfg = config.Default()
		_ = e.cfg.Resolve() // an empty state directory is said by its check
	}
	e.configuration()
	e.router()
	e.capabilities()
	e.tun()
	e.ipv6()
	e.dhcpClientPort()
	e.advertisers()
	e.modemManager()
	e.clock()
	e.state()
	for _, r := range e.cfg.Radios {
		e.radio(r)
	}
	return &e.report
}

func (e *examination) add(s Status, name, fix, format string, args ...any) {
	switch s {
	case Warn:
		e.report.Warnings++
	case Fail:
		e.report.Failures++
	}
	e.report.Checks = append(e.report.Checks, Check{name, s, fmt.Sprintf(format, args...), fix})
}

func (e *examination) ok(name, format string, args ...any) { e.add(OK, name, "", format, args...) }

func (e *examination) configuration() {
	switch {
	case e.ConfigErr != nil:
		e.add(Fail, "configuration", "border-router config --default explains every key", "%v (the rest is checked with the defaults)", e.ConfigErr)
	case e.ConfigFile != "":
		e.ok("configuration", "%s is valid", e.ConfigFile)
	default:
		e.ok("configuration", "no file; the defaults and the flags are valid")
	}
}

// usesTUN reports whether the kernel is the uplink.
func (e *examination) usesTUN() bool { return e.cfg.Uplink.Kind == config.UplinkTUN }

// uses reports whether a radio has one of the schemes.
func (e *examination) uses(schemes ...string) bool {
	for _, r := range e.cfg.Radios {
		for _, s := range schemes {
			if r.Scheme() == s {
				return true
			}
		}
	}
	return false
}

package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"border-router/internal/serial"
)

// A State says what came of looking at a port or URL.
type State string

// The states.
const (
	StateRadio     State = "radio"      // a radio answered
	StateInUse     State = "in_use"     // a process has the port open; nothing was sent
	StateConsole   State = "console"    // the kernel's; nothing was sent
	StateDenied    State = "denied"     // the user may not open it
	StateSilent    State = "silent"     // nothing that is known here answered
	StateFailed    State = "failed"     // it could not be opened, or answered what it should not
	StateNotProbed State = "not_probed" // nobody asked for it
)

// A Result is what is known of a port or URL.
type Result struct {
	Target string   `json:"target"` // as given, or the path
	Port   *Port    `json:"port,omitempty"`
	State  State    `json:"state"`
	Detail string   `json:"detail,omitempty"` // why, and what to do
	HeldBy []Holder `json:"held_by,omitempty"`
	Radio  *Radio   `json:"radio,omitempty"`

	err error
}

// A Prober looks at ports. The zero value looks at this machine.
type Prober struct {
	System System
	Noise  bool         // have radios measure the noise of each channel where they can
	Logger *slog.Logger // nil discards

	rates []int // tests; nil: serial.Rates
}

// List says what ports there are and who has them, and touches none.
func (p *Prober) List() []Result {
	var out []Result
	for _, port := range p.System.Ports() {
		r, _ := p.look(port, false)
		if r.State == "" {
			r.State = StateNotProbed
		}
		out = append(out, r)
	}
	return out
}

// look finds what forbids to open a port. ok says that nothing does.
func (p *Prober) look(port Port, named bool) (r Result, ok bool) {
	r = Result{Target: port.Path, Port: &port}
	if r.HeldBy = p.System.Holders(port.Path); len(r.HeldBy) > 0 {
		r.State = StateInUse
		r.Detail = "in use by " + holdersText(r.HeldBy)
		return r, false
	}
	if port.Console && !named {
		r.State = StateConsole
		r.Detail = "the console of the kernel: not probed unless named"
		return r, false
	}
	return r, true
}

// Probe asks every port what is behind it, all at the same time, and reads the radios of the
// kernel.
func (p *Prober) Probe(ctx context.Context) []Result {
	ports := p.System.Ports()
	nets := p.System.Interfaces()
	out := make([]Result, len(ports)+len(nets))
	var wg sync.WaitGroup
	for i, port := range ports {
		wg.Go(func() { out[i] = p.probePort(ctx, port, false) })
	}
	for i, name := range nets {
		wg.Go(func() { out[len(ports)+i] = p.ProbeTarget(ctx, string(WPAN)+"://"+name) })
	}
	wg.Wait()
	return out
}

// Interfaces returns the IEEE 802.15.4 interfaces of the kernel.
func (s System) Interfaces() []string {
	const arphrdIEEE802154 = "804" // and 805 for monitors
	entries, _ := os.ReadDir(s.path("sys/class/net"))
	var out []string
	for _, e := range entries {
		if s.text("sys/class/net", e.Name(), "type") == arphrdIEEE802154 {
			out = append(out, e.Name())
		}
	}
	return out
}

// ProbeTarget asks one port, given by its path, or opens the radio of a URL.
func (p *Prober) ProbeTarget(ctx context.Context, target string) Result {
	scheme, _, isURL := strings.Cut(target, "://")
	if !isURL {
		port := p.System.port(target)
		r := p.probePort(ctx, port, true)
		r.Target = target
		return r
	}
	var r Result
	switch Protocol(scheme) {
	case Spinel, Slip:
		u, err := url.Parse(target)
		if err != nil || u.Path == "" {
			break // Describe says it better
		}
		var ok bool
		if r, ok = p.look(p.System.port(u.Path), true); !ok {
			r.Target = target
			return r
		}
	}
	r.Target = target
	radio, err := p.Describe(ctx, target)
	if err != nil {
		r.failed(err)
		return r
	}
	r.State, r.Radio = StateRadio, radio
	return r
}

func (r *Result) failed(err error) {
	r.err, r.Detail = err, err.Error()
	switch {
	case errors.Is(err, os.ErrPermission):
		r.State = StateDenied
	case errors.Is(err, serial.ErrInUse):
		// Somebody whose descriptors this user may not see.
		r.State, r.HeldBy = StateInUse, []Holder{{}}
	case errors.Is(err, errSilent):
		r.State = StateSilent
	default:
		r.State = StateFailed
	}
}

// probePort finds the protocol of a port, and then what the radio says of itself.
func (p *Prober) probePort(ctx context.Context, port Port, named bool) Result {
	r, ok := p.look(port, named)
	if !ok {
		return r
	}
	path := p.System.path(port.Path)
	line, err := serial.Open(serial.Config{Path: path})
	if err != nil {
		r.failed(err)
		return r
	}
	rates := p.rates
	if rates == nil {
		rates = serial.Rates
	}
	proto, baud, err := ask(ctx, line, rates)
	_ = line.Close()
	if err != nil {
		r.failed(err)
		return r
	}
	u := portURL(proto, port.Name(), baud)
	if p.System.Root != "" {
		u = portURL(proto, path, baud)
	}
	// The port may have been closed a moment ago only.
	radio, err := p.Describe(ctx, u)
	if err != nil {
		r.failed(fmt.Errorf("%s firmware answered at %d baud, but: %w", proto, baud, err))
		return r
	}
	radio.Baud = baud
	r.State, r.Radio = StateRadio, radio
	return r
}

// portURL returns the URL of a radio behind a port.
func portURL(proto Protocol, path string, baud int) string {
	q := url.Values{}
	if baud > 0 {
		q.Set("baud", fmt.Sprint(baud))
	}
	scheme := string(proto)
	if proto == SixLBR || proto == SerialRadio {
		scheme = string(Slip)
		q.Set("dialect", string(proto))
	}
	return (&url.URL{Scheme: scheme, Path: path, RawQuery: q.Encode()}).String()
}

// describeTime is how long a radio may take to come up once it is known to be there. It is
// more than a driver needs to probe every rate of one that is not.
const describeTime = 8 * time.Second

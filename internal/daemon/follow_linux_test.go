package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/discover"
)

// A machine is one whose serial ports are the links of rigs.
type machine struct{ discover.System }

func newMachine(t *testing.T) machine { return machine{discover.System{Root: t.TempDir()}} }

// has gives the machine a port for g, which is there when g is plugged in.
func (m machine) has(t *testing.T, g *rig, port string) {
	t.Helper()
	for _, dir := range []string{"sys/class/tty/" + port, "dev"} {
		if err := os.MkdirAll(filepath.Join(m.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.link = filepath.Join(m.Root, "dev", port)
}

// another is a dongle on the medium of g.
func (g *rig) another(t *testing.T, kind string, eui uint64) *rig {
	t.Helper()
	b := &rig{kind: kind, eui: eui, pan: g.pan, channel: g.channel, hub: g.hub}
	t.Cleanup(func() {
		if b.fw != nil {
			b.kill()
		}
	})
	return b
}

// A found is a running router whose radio was found.
type found struct {
	*api.Client
	log  lines
	stop func()
}

// runAuto runs a router that finds its radio in the machine, as the command does.
func runAuto(t *testing.T, m machine, c *config.Config) *found {
	t.Helper()
	f := &found{Client: api.NewClient(c.Socket)}
	finder := func(list []config.Radio, i int) *discover.Finder {
		x := &discover.Finder{Prober: discover.Prober{System: m.System}, GoneAfter: 300 * time.Millisecond, Settled: 100 * time.Millisecond}
		for k, r := range list {
			if k != i {
				x.Taken = append(x.Taken, string(r))
			}
		}
		return x
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, c, Options{
			Version: "test", Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
			FindRadios: func(ctx context.Context, _ func(string)) error {
				if !c.Radios[0].IsAuto() {
					return nil
				}
				r, err := finder(c.Radios, 0).Wait(ctx, "")
				if err == nil {
					c.Radios[0] = config.Radio(r.Radio.URL)
				}
				return err
			},
			NextRadio: func(ctx context.Context, auto config.Radio, list []config.Radio, i int, down func() bool, waiting func(string)) (config.Radio, error) {
				x := finder(list, i)
				x.Waiting = waiting
				r, err := x.Next(ctx, string(list[i]), "", down)
				if err != nil {
					return "", err
				}
				return config.Radio(r.Radio.URL), nil
			},
		})
	}()
	stopped := false
	f.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	t.Cleanup(f.stop)
	return f
}

// until waits for a status, which is asked again while the router starts.
func (f *found) until(t *testing.T, what string, is func(*api.Status) bool) *api.Status {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := f.Status(t.Context())
		if err == nil && len(s.Ports) > 0 && s.Ports[0].Radio != nil && is(&s) {
			return &s
		}
		if time.Now().After(end) {
			var r []any
			for _, p := range s.Ports {
				if p.Radio != nil {
					r = append(r, fmt.Sprintf("%s %+v", p.Name, *p.Radio))
				}
			}
			t.Fatalf("not %s: %v, %v\n%s", what, r, err, f.log.String())
		}
	}
}

// reaches waits until a node answers.
func (f *found) reaches(t *testing.T, addr netip.Addr) {
	t.Helper()
	for begin := time.Now(); ; {
		answered := false
		err := f.Ping(t.Context(), api.PingRequest{Addr: addr, Count: 1, Size: 500, Timeout: 1}, func(r api.PingReply) error {
			answered = answered || !r.Sent && r.Error == ""
			return nil
		})
		if took := time.Since(begin); answered {
			t.Logf("reached after %v", took.Round(time.Millisecond))
			return
		} else if took > 90*time.Second {
			t.Fatalf("%s is not reached: %v\n%s", addr, err, f.log.String())
		}
	}
}

// on says that port i is up on the dongle g.
func on(g *rig, i int) func(*api.Status) bool {
	return func(s *api.Status) bool {
		r := s.Ports[i].Radio
		return r.State == "up" && strings.Contains(r.URL, "//"+g.link+"?") && r.Firmware != ""
	}
}

// TestAutoOtherDongle pulls out the dongle that was found while another one is there, of
// another protocol, with an own address and another PAN by default: that takes its place in
// the mesh, keeps it when the first comes back, and loses it again the same way.
func TestAutoOtherDongle(t *testing.T) {
	for _, kinds := range [][2]string{{"spinel", "slip"}, {"serialradio", "spinel"}, {"spinel", "spinel"}} {
		t.Run(kinds[0]+" to "+kinds[1], func(t *testing.T) {
			t.Parallel()
			pan := uint16(0x0023)
			if kinds[0] != "spinel" {
				pan = 0xabcd
			}
			a := newRig(t, kinds[0], 0x02005e10000000d0, pan)
			b := a.another(t, kinds[1], 0x02005e10000000d1)
			m := newMachine(t)
			m.has(t, a, "ttyACM0")
			m.has(t, b, "ttyUSB0")
			if err := a.start(); err != nil {
				t.Skipf("no pseudo-terminal: %v", err)
			}
			c := testConfig(t, "auto")
			c.StateDir = t.TempDir()
			f := runAuto(t, m, c)
			before := f.until(t, "on the first", on(a, 0)).Ports[0]
			addr := join(t, a.nodes(), 0x02005e10000000e1)
			f.reaches(t, addr)
			if err := b.start(); err != nil {
				t.Fatal(err)
			}

			check := func(s *api.Status, is, was *rig, times uint64) {
				t.Helper()
				p := s.Ports[0]
				r := p.Radio
				if p.Name != before.Name || p.Prefix != before.Prefix || r.PAN != before.Radio.PAN || r.Channel != before.Radio.Channel || s.Registrations != 1 {
					t.Errorf("port %s of %s, %d registrations, radio %+v; before %s of %s, radio %+v", p.Name, p.Prefix, s.Registrations, r, before.Name, before.Prefix, before.Radio)
				}
				if r.Replacements != times || r.Replaced == nil || !strings.Contains(r.Replaced.URL, was.link) || r.Outages < times || r.Last == nil || r.Downtime <= 0 {
					t.Errorf("%d replacements, %+v, %d outages, last %+v", r.Replacements, r.Replaced, r.Outages, r.Last)
				}
				if is.kind == "spinel" && was.kind == "spinel" && r.EUI64 != before.Radio.EUI64 {
					t.Errorf("address %s, before %s", r.EUI64, before.Radio.EUI64)
				}
				f.reaches(t, addr)
			}
			a.kill()
			check(f.until(t, "on the second", on(b, 0)), b, a, 1)
			if err := a.start(); err != nil { // comes back, and is not taken
				t.Fatal(err)
			}
			f.reaches(t, addr)
			if s := f.until(t, "on the second", on(b, 0)); s.Ports[0].Radio.Replacements != 1 {
				t.Errorf("radio %+v", s.Ports[0].Radio)
			}
			b.kill()
			s := f.until(t, "on the first again", on(a, 0))
			check(s, a, b, 2)
			if r := s.Ports[0].Radio; r.EUI64 != before.Radio.EUI64 {
				t.Errorf("the first has the address %s, before %s", r.EUI64, before.Radio.EUI64)
			}
			if n := strings.Count(f.log.String(), "starting again with another radio"); n != 2 {
				t.Errorf("told %d times:\n%s", n, f.log.String())
			}

			// The mesh is the same when the router starts with the second.
			a.kill()
			if err := b.start(); err != nil {
				t.Fatal(err)
			}
			f.until(t, "on the second again", on(b, 0))
			f.reaches(t, addr)
			f.stop()
			c.Radios = []config.Radio{"auto"}
			f = runAuto(t, m, c)
			p := f.until(t, "on the second from the start", on(b, 0)).Ports[0]
			if p.Name != before.Name || p.Prefix != before.Prefix || p.Radio.PAN != before.Radio.PAN || p.Radio.Replacements != 0 {
				t.Errorf("port %s of %s, radio %+v", p.Name, p.Prefix, p.Radio)
			}
			f.reaches(t, addr)
		})
	}
}

// TestAutoBesideNamed has a radio that was found and one that was named: nobody takes the
// dongle of the other, and the named one has no other.
func TestAutoBesideNamed(t *testing.T) {
	a, named := newRig(t, "spinel", 0x02005e10000000d0, 0x0023), newRig(t, "slip", 0x02005e10000000d2, 0xabcd)
	b := a.another(t, "serialradio", 0x02005e10000000d1)
	m := newMachine(t)
	for g, port := range map[*rig]string{a: "ttyACM0", b: "ttyACM1", named: "ttyUSB0"} {
		m.has(t, g, port)
	}
	for _, g := range []*rig{a, named} {
		if err := g.start(); err != nil {
			t.Skipf("no pseudo-terminal: %v", err)
		}
	}
	c := testConfig(t, "auto", named.url())
	f := runAuto(t, m, c)
	f.until(t, "up", func(s *api.Status) bool { return on(a, 0)(s) && on(named, 1)(s) })
	there, here := join(t, named.nodes(), 0x02005e10000000e2), join(t, a.nodes(), 0x02005e10000000e1)

	a.kill()
	s := f.until(t, "waiting", func(s *api.Status) bool { return s.Ports[0].Radio.Waiting != "" })
	if r := s.Ports[1].Radio; !on(named, 1)(s) || r.Replacements != 0 {
		t.Errorf("the named one: %+v", r)
	}
	if s := f.log.String(); strings.Contains(s, "starting again") {
		t.Errorf("another one was taken:\n%s", s)
	}
	f.reaches(t, there)
	// The named one goes, and the other dongle is for the radio that was found.
	named.kill()
	f.until(t, "without radios", func(s *api.Status) bool { return s.Ports[1].Radio.State == "down" })
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	s = f.until(t, "on the second", on(b, 0))
	if r := s.Ports[1].Radio; r.State != "down" || r.URL != string(named.url()) || r.Replacements != 0 || s.Ports[0].Radio.Waiting != "" || s.Ports[0].Name != "spinel0" || s.Ports[1].Name != "slip1" {
		t.Errorf("the named one: %+v", r)
	}
	if err := named.start(); err != nil {
		t.Fatal(err)
	}
	f.until(t, "both up", func(s *api.Status) bool { return on(b, 0)(s) && on(named, 1)(s) })
	f.reaches(t, there)
	f.reaches(t, here)
}

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/api"
	"border-router/internal/clocktest"
	"border-router/internal/config"
	"border-router/internal/dongle"
	"border-router/zep"
)

// An air is a ZEP medium with an emulated dongle on it, and the port of the dongle.
type air struct {
	hub *zep.Radio
	pty *dongle.PTY
	url string // for nodes
}

// firmware is an emulated dongle of any kind.
type firmware interface {
	Serve(io.ReadWriter) error
	io.Closer
}

func newAir(t *testing.T, eui uint64, pan uint16, serve func(ieee802154.Radio) firmware) *air {
	t.Helper()
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	hub, err := zep.Open(zep.Config{Mode: zep.Hub, Listen: listen, EUI64: 0x02005e00000000ff, PAN: pan})
	if err != nil {
		t.Fatal(err)
	}
	a := &air{hub: hub, url: fmt.Sprintf("zep://%s?mode=client&pan=0x%04x", hub.LocalAddrs()[0], pan)}
	client, err := zep.Open(zep.Config{Mode: zep.Client, Remote: hub.LocalAddrs(), EUI64: eui, PAN: pan})
	if err != nil {
		t.Fatal(err)
	}
	if a.pty, err = dongle.OpenPTY(); err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	d := serve(client)
	served := make(chan struct{})
	go func() { d.Serve(a.pty); close(served) }()
	t.Cleanup(func() {
		a.pty.Close()
		client.Close()
		d.Close()
		<-served
		hub.Close()
	})
	return a
}

// patient has the address of a radio waited for at the start however busy the machine is: a
// radio that tells it later has the router start again, which [Run] does and a [Daemon] does
// not.
func patient(t *testing.T) {
	was := firstAnswer
	firstAnswer = time.Minute
	t.Cleanup(func() { firstAnswer = was })
}

func joinOverDongle(t *testing.T, c *config.Config, a *air, eui uint64) {
	d, _ := run(t, c)
	addr := join(t, a.url, eui)
	for _, size := range []int{8, 1000} {
		pingAll(t, d, addr, size)
	}
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Ports {
		if p.Radio != nil && (p.Radio.State != "up" || p.Radio.Counters["acked"] == 0) {
			t.Errorf("radio %+v", p.Radio)
		}
	}
}

func TestSpinelDongle(t *testing.T) {
	patient(t)
	const eui, pan = 0x02005e10000000d0, 0x0023
	var rcp *dongle.Spinel
	a := newAir(t, eui, pan, func(r ieee802154.Radio) firmware {
		rcp = dongle.NewSpinel(dongle.SpinelConfig{Air: r, EUI64: eui})
		return rcp
	})
	c := testConfig(t, config.Radio(fmt.Sprintf("spinel://%s?baud=460800&keepalive=200ms&pan=0x%04x", a.pty.Path, pan)))
	d, _ := run(t, c)
	addr := join(t, a.url, 0x02005e10000000e1)
	for _, size := range []int{8, 1000} {
		pingAll(t, d, addr, size)
	}
	// The firmware starts again behind a living line, silently. The router finds out, sets it
	// up as before, and the registration stands.
	rcp.Reset(false)
	w := clocktest.Start(t)
	for {
		err := pingOnce(t.Context(), d, addr)
		if err == nil {
			break
		}
		if w.Elapsed() > 10*time.Second {
			t.Fatalf("not reachable after the reset of the dongle: %v", err)
		}
	}
	t.Logf("reachable %v after a silent reset", w.Elapsed().Round(10*time.Millisecond))
	if s, err := d.Status(t.Context()); err != nil || s.Registrations != 1 {
		t.Errorf("%d registrations after the reset, %v", s.Registrations, err)
	}
}

func TestSlipDongle(t *testing.T) {
	patient(t)
	const eui, pan = 0x02005e10000000d1, 0xabcd
	a := newAir(t, eui, pan, func(r ieee802154.Radio) firmware {
		return dongle.NewSlip(dongle.SlipConfig{Air: r, EUI64: eui, Dialect: slipradio.Slip})
	})
	c := testConfig(t, config.Radio(fmt.Sprintf("slip://%s?pan=0x%04x&channel=26", a.pty.Path, pan)))
	joinOverDongle(t, c, a, 0x02005e10000000e2)
}

// TestDongleAbsent starts a router whose dongle was never there: it runs, says so and what
// to do, and works when the dongle is plugged in. One of slip-radio has an address of its
// own, which nobody knows before.
func TestDongleAbsent(t *testing.T) {
	patience := firstAnswer
	firstAnswer = 100 * time.Millisecond
	defer func() { firstAnswer = patience }()
	for i, kind := range []string{"spinel", "slip"} {
		t.Run(kind, func(t *testing.T) {
			g := newRig(t, kind, 0x02005e10000000d0+uint64(i), 0x2300+uint16(i))
			c := testConfig(t, g.url())
			var log lines
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- Run(ctx, c, Options{Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil))})
			}()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			client := api.NewClient(c.Socket)
			radio := func(state string) *api.Radio {
				t.Helper()
				for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
					s, err := client.Status(t.Context())
					if err == nil && len(s.Ports) > 0 && s.Ports[0].Radio != nil && s.Ports[0].Radio.State == state && (state == "down" || s.Ports[0].Radio.EUI64 == "02:00:5e:10:00:00:00:d1" || kind == "spinel") {
						return s.Ports[0].Radio
					}
					if time.Now().After(end) {
						t.Fatalf("not %s: %+v, %v\n%s", state, s, err, log.String())
					}
				}
			}
			if r := radio("down"); r.Error == "" || r.Since == nil || r.Outages != 0 {
				t.Errorf("radio %+v", r)
			}
			if s := log.String(); !strings.Contains(s, "what_to_do=\"plug the radio in") {
				t.Errorf("the log does not say what to do:\n%s", s)
			} else if strings.Contains(s, "<nil>") || kind == "slip" && !strings.Contains(s, "it has not answered yet") {
				t.Errorf("the log does not say why:\n%s", s)
			}
			if err := g.start(); err != nil {
				t.Skipf("no pseudo-terminal: %v", err)
			}
			if r := radio("up"); r.Outages != 0 {
				t.Errorf("radio %+v", r)
			}
			addr := join(t, g.nodes(), 0x02005e10000000e1)
			clocktest.Undisturbed(t, func() string {
				answered := false
				if err := client.Ping(t.Context(), api.PingRequest{Addr: addr, Count: 1, Size: 1000, Timeout: 3}, func(r api.PingReply) error {
					answered = answered || !r.Sent && r.Error == ""
					return nil
				}); err != nil || !answered {
					return fmt.Sprintf("no answer, %v", err)
				}
				return ""
			})
		})
	}
}

// TestStopAtStart ends a router that still waits for its radio: at once.
func TestStopAtStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w := clocktest.Start(t)
	if _, err := New(ctx, testConfig(t, "slip:///dev/border-router-no-such-port"), Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := w.Elapsed(); took > time.Second {
		t.Errorf("ended after %v", took)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// pingOnce sends one small ping and waits half a second for the answer.
func pingOnce(ctx context.Context, d *Daemon, addr netip.Addr) (err error) {
	err = errors.New("no answer")
	if e := d.Ping(ctx, api.PingRequest{Addr: addr, Count: 1, Size: 8, Timeout: 0.5}, func(r api.PingReply) error {
		if !r.Sent && r.Error == "" {
			err = nil
		}
		return nil
	}); e != nil {
		return e
	}
	return err
}

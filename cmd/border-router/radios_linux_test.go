package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/clocktest"
	"border-router/internal/config"
	"border-router/internal/discover"
)

func want(t *testing.T, out string, parts ...string) {
	t.Helper()
	if s := missing(out, parts...); s != "" {
		t.Error(s)
	}
}

// missing says which of the parts out does not have.
func missing(out string, parts ...string) (s string) {
	for _, p := range parts {
		if !strings.Contains(out, p) {
			s += fmt.Sprintf("no %q in\n%s\n", p, out)
		}
	}
	return s
}

// commandHas runs a command that asks a dongle: it succeeds and its output has the parts.
func commandHas(t *testing.T, args []string, parts ...string) {
	t.Helper()
	clocktest.Undisturbed(t, func() string {
		status, out, errs := command(t.Context(), args...)
		if status != exitOK || errs != "" {
			return fmt.Sprintf("%v: status %d, %s", args, status, errs)
		}
		return missing(out, parts...)
	})
}

// plugIn starts the dongle command and returns the path of its port.
func plugIn(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dongle")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if status, _, errs := command(ctx, append([]string{"dongle", "--link", path, "--eui64", "02:00:5e:10:00:00:00:42"}, args...)...); status != exitOK {
			t.Errorf("dongle: status %d, %s", status, errs)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if time.Now().After(end) {
			t.Fatal("the dongle does not come up")
		}
	}
}

const noHub = "zep://127.0.0.1:1?mode=client"

func TestRadiosCommand(t *testing.T) {
	spinel := plugIn(t, "--zep", noHub)
	slip := plugIn(t, "--zep", noHub, "--protocol", "slip")
	commandHas(t, []string{"radios", spinel, slip}, spinel+"\n  radio         OpenThread RCP (Spinel), 460800 baud\n  firmware      BORDER-ROUTER-EMULATED-RCP/1.0; SIMULATION\n  EUI-64        02005e1000000042\n",
		"capabilities  ack-timeout, energy-scan", "channels      11-26\n", "noise         -95 dBm on 11-26\n",
		"use it        border-router run --radio 'spinel://"+spinel+"?baud=460800'\n",
		"Contiki-NG slip-radio, 460800 baud", "slip://"+slip)

	clocktest.Undisturbed(t, func() string {
		status, out, errs := command(t.Context(), "radios", "--json", "--no-noise", spinel, "/dev/ttyNONE")
		var found []discover.Result
		if err := json.Unmarshal([]byte(out), &found); err != nil || status != exitOK || errs != "" {
			return fmt.Sprintf("status %d, %s, %v\n%s", status, errs, err, out)
		}
		if len(found) != 2 || found[0].State != discover.StateRadio || len(found[0].Radio.Channels) != 16 || found[0].Radio.Noise != nil || found[1].State != discover.StateFailed || found[1].Radio != nil {
			return out
		}
		return missing(strings.Join(strings.Fields(out), ""), `"channels":[11,12,13,`)
	})
	t.Chdir(filepath.Dir(spinel))
	commandHas(t, []string{"radios", "--no-noise", "dongle"}, "dongle\n  radio ", "'spinel://"+spinel+"?") // a path that is relative
	status, out, _ := command(t.Context(), "radios", "/dev/ttyNONE")
	if status != exitFailed {
		t.Errorf("status %d", status)
	}
	want(t, out, "/dev/ttyNONE\n  failed ", "not plugged in?", "\nno radio was found\n")
	if status, _, errs := command(t.Context(), "radios", "--list", "x"); status != exitUsage || !strings.Contains(errs, `unexpected argument "x"`) {
		t.Errorf("status %d, %s", status, errs)
	}
	if status, _, errs := command(t.Context(), "radios", "--list", "--json"); status != exitOK || errs != "" {
		t.Errorf("status %d, %s", status, errs)
	}
}

func TestNoRadios(t *testing.T) {
	var b strings.Builder
	a := &app{out: &b}
	a.printRadios(nil, false)
	want(t, b.String(), "no serial port", "plugged in", "border-router dongle")
	b.Reset()
	a.printRadios([]discover.Result{
		{Target: "/dev/ttyACM0", State: discover.StateDenied, Detail: "permission denied", Port: &discover.Port{ByID: "/dev/serial/by-id/x", Vendor: "1915", Product: "521f", Model: "RCP", Serial: "7"}},
		{Target: "/dev/ttyUSB0", State: discover.StateInUse, Detail: "in use by ModemManager (pid 3)"},
	}, false)
	want(t, b.String(), "sudo usermod -aG dialout $USER", "  by id         /dev/serial/by-id/x\n", "  device        RCP (1915:521f), serial 7\n", "  in use        in use by ModemManager (pid 3)\n", "no radio was found")
}

func TestScanCommand(t *testing.T) {
	path := plugIn(t, "--zep", noHub)
	commandHas(t, []string{"scan", path, "--channels", "15,26", "--duration", "20ms"}, "channel   MHz   signal\n     15  2425   -95 dBm ##\n     26  2480   -95 dBm ##\n", "no coordinator answered", "suggested channel: 15 (no PAN was heard there, and it is quiet (-95 dBm))")
	clocktest.Undisturbed(t, func() string {
		status, out, _ := command(t.Context(), "scan", path, "--channels", "15", "--duration", "20ms", "--json")
		var r discover.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitOK || r.Suggested != 15 || len(r.Channels) != 1 || r.Channels[0].Energy == nil || *r.Channels[0].Energy != -95 {
			return fmt.Sprintf("status %d, %v\n%s", status, err, out)
		}
		return ""
	})
	for _, line := range []string{"scan --channels 10", "scan --duration 0", "scan a b"} {
		if status, _, _ := command(t.Context(), strings.Fields(line)...); status != exitUsage {
			t.Errorf("%s: status %d", line, status)
		}
	}
	if status, _, errs := command(t.Context(), "scan", "/dev/ttyNONE"); status != exitFailed || !strings.Contains(errs, "not plugged in?") {
		t.Errorf("status %d, %s", status, errs)
	}
}

// machineWith is a machine whose ports lead to those that are given.
func machineWith(t *testing.T, ports map[string]string) discover.System {
	t.Helper()
	root := t.TempDir()
	for name, path := range ports {
		plugInto(t, root, name, path)
	}
	return discover.System{Root: root}
}

func plugInto(t *testing.T, root, name, path string) {
	t.Helper()
	for _, d := range []string{"sys/class/tty/" + name, "dev"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path, filepath.Join(root, "dev", name)); err != nil {
		t.Fatal(err)
	}
}

func TestFindRadios(t *testing.T) {
	one, two := plugIn(t, "--zep", noHub), plugIn(t, "--zep", noHub, "--protocol", "serialradio")
	s := machineWith(t, map[string]string{"ttyACM0": one, "ttyACM1": two})
	list := []config.Radio{"zep://?channel=11", "auto?channel=15&pan=0xabcd", "slip:///dev/ttyACM1"}
	var log strings.Builder
	if err := findRadiosIn(t.Context(), s, list, slog.New(slog.NewTextHandler(&log, nil)), nil); err != nil {
		t.Fatal(err)
	}
	if w := config.Radio("spinel://" + s.Root + "/dev/ttyACM0?baud=460800&channel=15&pan=0xabcd"); list[1] != w || list[0] != "zep://?channel=11" {
		t.Errorf("%q, want %q", list, w)
	}
	want(t, log.String(), `msg="radio found"`, "port=/dev/ttyACM0", "firmware=", "eui64=02005e1000000042")

	clocktest.Undisturbed(t, func() string {
		list = []config.Radio{"auto"}
		if err := findRadiosIn(t.Context(), s, list, slog.New(slog.DiscardHandler), nil); err == nil || strings.Count(err.Error(), "--radio '") != 2 {
			return fmt.Sprintf("two radios: %v", err)
		}
		return ""
	})

	// Nothing is there; then a signal, or a dongle.
	list = []config.Radio{"auto"}
	empty := machineWith(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	log.Reset()
	stopped := make(chan error)
	go func() {
		stopped <- findRadiosIn(ctx, empty, []config.Radio{"auto"}, slog.New(slog.NewTextHandler(&log, nil)), nil)
	}()
	cancel()
	if err := <-stopped; ended(ctx, err) != nil {
		t.Errorf("interrupted: %v", err)
	}
	go func() { stopped <- findRadiosIn(t.Context(), empty, list, slog.New(slog.DiscardHandler), nil) }()
	plugInto(t, empty.Root, "ttyUSB0", two)
	if err := <-stopped; err != nil || !strings.Contains(string(list[0]), "dialect=serialradio") {
		t.Errorf("plugged in later: %q, %v", list, err)
	}
}

// TestNextRadio pulls out a dongle that was found, beside one that is named.
func TestNextRadio(t *testing.T) {
	other, named := plugIn(t, "--zep", noHub, "--protocol", "slip"), plugIn(t, "--zep", noHub)
	s := machineWith(t, map[string]string{"ttyACM1": other, "ttyUSB0": named})
	list := []config.Radio{"spinel:///dev/ttyNONE?baud=460800", "zep://?channel=11", "spinel:///dev/ttyUSB0"}
	next := nextRadio(discover.Finder{Prober: discover.Prober{System: s}, GoneAfter: time.Millisecond, Settled: time.Millisecond})
	got, err := next(t.Context(), "auto?channel=15", list, 0, func() bool { return true }, func(string) {})
	if w := config.Radio("slip://" + s.Root + "/dev/ttyACM1?baud=460800&channel=15"); err != nil || got != w {
		t.Errorf("%q, want %q, %v", got, w, err)
	}
	if _, err := next(t.Context(), "auto?chanel=15", list, 0, nil, nil); err == nil {
		t.Error("wrong settings were taken")
	}
}

func TestCompletePorts(t *testing.T) {
	s := machineWith(t, map[string]string{"ttyACM0": "/dev/null", "ttyUSB1": "/dev/null"})
	if got := portCompletions(s, "/dev/ttyA"); len(got) != 1 || got[0] != "/dev/ttyACM0\t" {
		t.Errorf("%q", got)
	}
	if got := portCompletions(s, "sp"); len(got) != 1 || !strings.HasPrefix(got[0], "spinel+tcp://\t") {
		t.Errorf("%q", got)
	}
	_, out, _ := command(t.Context(), "__complete", "scan", "zep")
	want(t, out, "zep://\tframes in UDP")
}

func TestAutoSettings(t *testing.T) {
	for _, tt := range []struct{ line, errs string }{
		{"config --check --radio auto --radio auto?channel=15", "may stand there once"},
		{"config --check --radio auto?baud=9", "not a rate"},
		{"config --check --radio auto?dialect=slip", "unknown key"},
		{"config --check --radio auto?chanel=15", "unknown key"},
		{"config --check --radio auto?channel=15&pan=0xabcd&retries=5", ""},
	} {
		if _, _, errs := command(t.Context(), strings.Fields(tt.line)...); tt.errs == "" && errs != "" || !strings.Contains(errs, tt.errs) {
			t.Errorf("%s: %s", tt.line, errs)
		}
	}
}

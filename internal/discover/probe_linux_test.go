package discover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/ieee802154/slipradio"
	"border-router/internal/clocktest"
	"border-router/internal/dongle"
	"border-router/zep"
)

// aRadio is where nothing is on the air.
type aRadio struct{ closed chan struct{} }

func (a aRadio) Receive([]ieee802154.RxFrame) (int, error) {
	<-a.closed
	return 0, io.EOF
}

func (a aRadio) Transmit(batch []ieee802154.TxFrame) error {
	for i := range batch {
		batch[i].Status = ieee802154.TxSent
	}
	return nil
}

func (a aRadio) Close() error { close(a.closed); return nil }

const testEUI = 0x02005e1000000042

// plug starts an emulated dongle on a real pseudo-terminal.
func plug(t *testing.T, proto Protocol, air ieee802154.Radio, line func(*dongle.PTY) io.ReadWriter) string {
	t.Helper()
	port, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	if air == nil {
		air = aRadio{make(chan struct{})}
	}
	var firmware interface {
		Serve(io.ReadWriter) error
		io.Closer
	}
	switch proto {
	case Spinel:
		firmware = dongle.NewSpinel(dongle.SpinelConfig{Air: air, EUI64: testEUI})
	case Slip:
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: testEUI, Dialect: slipradio.Slip})
	case SixLBR:
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: testEUI, Dialect: slipradio.SixLBR})
	case SerialRadio:
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: testEUI, Dialect: slipradio.SerialRadio})
	}
	var rw io.ReadWriter = port
	if line != nil {
		rw = line(port)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = firmware.Serve(rw) }()
	t.Cleanup(func() {
		port.Close()
		if proto == Spinel {
			air.Close()
		}
		firmware.Close()
		<-done
	})
	return port.Path
}

func TestProbe(t *testing.T) {
	for _, proto := range []Protocol{Spinel, Slip, SixLBR, SerialRadio} {
		t.Run(string(proto), func(t *testing.T) {
			t.Parallel()
			path := plug(t, proto, nil, nil)
			p := Prober{Noise: true}
			clocktest.Undisturbed(t, func() string {
				r := p.ProbeTarget(t.Context(), path)
				if r.State != StateRadio || r.Radio.Protocol != proto || r.Radio.EUI64 != ieee802154.Extended(testEUI).String() || r.Radio.Baud != 460800 {
					return fmt.Sprintf("%+v, radio %+v", r, r.Radio)
				}
				again := p.ProbeTarget(t.Context(), r.Radio.URL)
				if again.State != StateRadio || again.Radio.Protocol != proto || again.Radio.EUI64 != r.Radio.EUI64 {
					return fmt.Sprintf("its own URL %s: %+v", r.Radio.URL, again)
				}
				if proto == Spinel && (len(r.Radio.Noise) != 16 || r.Radio.Noise[0] != Energy{11, -95} || len(r.Radio.Channels) != 16 || r.Radio.Version == "") {
					return fmt.Sprintf("%+v", r.Radio)
				}
				return ""
			})
		})
	}
}

// A lineAt hears and says nothing unless the port is set to its rate.
type lineAt struct {
	*dongle.PTY
	baud uint32
}

func (l lineAt) at() bool {
	rc, err := l.SyscallConn()
	if err != nil {
		return false
	}
	var t *unix.Termios
	_ = rc.Control(func(fd uintptr) { t, err = unix.IoctlGetTermios(int(fd), unix.TCGETS2) })
	return err == nil && t != nil && t.Ospeed == l.baud
}

func (l lineAt) Read(b []byte) (int, error) {
	for {
		n, err := l.PTY.Read(b)
		if err != nil || l.at() {
			return n, err
		}
		// What another rate makes of bytes.
		_, _ = l.PTY.Write([]byte{0xf0, 0x80, 0xfe})
	}
}

func TestProbeRate(t *testing.T) {
	for _, tt := range []struct {
		proto Protocol
		baud  int
	}{{Spinel, 115200}, {Slip, 921600}, {SerialRadio, 1000000}} {
		t.Run(string(tt.proto), func(t *testing.T) {
			t.Parallel()
			path := plug(t, tt.proto, nil, func(p *dongle.PTY) io.ReadWriter { return lineAt{p, uint32(tt.baud)} })
			var p Prober
			clocktest.Undisturbed(t, func() string {
				r := p.ProbeTarget(t.Context(), path)
				if r.State != StateRadio || r.Radio.Baud != tt.baud || !strings.Contains(r.Radio.URL, "baud="+strconv.Itoa(tt.baud)) {
					return fmt.Sprintf("%+v, radio %+v", r, r.Radio)
				}
				return ""
			})
		})
	}
}

// bare returns a port behind which there is no firmware.
func bare(t *testing.T) *dongle.PTY {
	t.Helper()
	port, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	return port
}

func TestProbeSilent(t *testing.T) {
	quiet, modem := bare(t), bare(t)
	go func() {
		b := make([]byte, 100)
		for {
			if _, err := modem.Read(b); err != nil {
				return
			}
			_, _ = modem.Write([]byte("\r\nERROR\r\n"))
		}
	}()
	p := Prober{rates: []int{115200}}
	r := p.ProbeTarget(t.Context(), quiet.Path)
	if r.State != StateSilent || !strings.Contains(r.Detail, "tried 115200 baud, nothing came back") {
		t.Errorf("%+v", r)
	}
	r = p.ProbeTarget(t.Context(), modem.Path)
	if r.State != StateSilent || !strings.Contains(r.Detail, "at 115200 baud 0d 0a 45 52") {
		t.Errorf("%+v", r)
	}
	r = p.ProbeTarget(t.Context(), "/dev/null")
	if r.State != StateFailed || !strings.Contains(r.Detail, "not a serial port") {
		t.Errorf("%+v", r)
	}
	r = p.ProbeTarget(t.Context(), "/dev/ttyNONE")
	if r.State != StateFailed || !strings.Contains(r.Detail, "not plugged in?") {
		t.Errorf("%+v", r)
	}
	r = p.ProbeTarget(t.Context(), "mqtt://x")
	if r.State != StateFailed || !strings.Contains(r.Detail, "spinel+tcp") {
		t.Errorf("%+v", r)
	}
	r = p.ProbeTarget(t.Context(), "spinel+tcp://127.0.0.1:1")
	if r.State != StateFailed || !strings.Contains(r.Detail, "refused") {
		t.Errorf("%+v", r)
	}
}

// hold starts a process that has the port open, and nothing else.
func hold(t *testing.T, path string) int {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("sleep", "600")
	cmd.Stdin = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// The name is that of the test until the program has been executed.
	for end := time.Now().Add(time.Minute); (System{}).ProcessName(cmd.Process.Pid) != "sleep"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("sleep did not start")
		}
	}
	return cmd.Process.Pid
}

func TestInUse(t *testing.T) {
	port := bare(t)
	pid := hold(t, port.Path)
	read := make(chan int, 1)
	go func() {
		n, _ := port.Read(make([]byte, 100))
		read <- n
	}()
	p := Prober{rates: []int{115200}}
	for _, target := range []string{port.Path, "spinel://" + port.Path, "slip://" + port.Path + "?baud=115200"} {
		r := p.ProbeTarget(t.Context(), target)
		want := "in use by sleep (pid " + strconv.Itoa(pid) + ")"
		if r.State != StateInUse || len(r.HeldBy) != 1 || r.HeldBy[0] != (Holder{pid, "sleep"}) || r.Detail != want {
			t.Errorf("%s: %+v", target, r)
		}
		if _, err := Scan(t.Context(), ScanConfig{Target: target}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("scan of %s: %v", target, err)
		}
	}
	select {
	case n := <-read:
		t.Errorf("%d bytes were written to a port that is in use", n)
	default:
	}
	port.Close()
	<-read
}

// TestLockFile finds who says by a lock file that it uses a port.
func TestLockFile(t *testing.T) {
	port := bare(t)
	pid := hold(t, bare(t).Path) // some other process
	s := tree(t, map[string]string{
		"run/lock/LCK..ttyACM0":                       "  " + strconv.Itoa(pid) + "\n",
		"proc/" + strconv.Itoa(pid) + "/comm":         "minicom\n",
		"sys/class/tty/ttyACM0/dev":                   "166:0\n",
		"proc/locks":                                  "",
		"proc/" + strconv.Itoa(pid) + "/fd/unrelated": "",
	}, nil)
	if err := os.MkdirAll(s.path("dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A device cannot be copied into the tree; a link to one leads out of it, and its name
	// is that of the device.
	if err := os.Symlink(port.Path, s.path("dev/ttyACM0")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path("run/lock/LCK..ttyACM0"), s.path("run/lock/LCK.."+filepath.Base(port.Path))); err != nil {
		t.Fatal(err)
	}
	if hs := s.Holders("/dev/ttyACM0"); len(hs) != 1 || hs[0] != (Holder{pid, "minicom"}) {
		t.Errorf("held by %v", hs)
	}
	if err := os.WriteFile(s.path("run/lock/LCK.."+filepath.Base(port.Path)), []byte("2147483646\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if hs := s.Holders("/dev/ttyACM0"); len(hs) != 0 {
		t.Errorf("a lock file left behind: held by %v", hs)
	}
}

// TestFlock finds who has locked a port, as drivers do.
func TestFlock(t *testing.T) {
	port := bare(t)
	f, err := os.OpenFile(port.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if hs := (System{}).Lockers(port.Path); len(hs) != 1 || hs[0].PID != os.Getpid() {
		t.Errorf("locked by %v", hs)
	}
}

// machineWith returns a machine whose ports lead to those that are given.
func machineWith(t *testing.T, ports map[string]string) System {
	t.Helper()
	s := tree(t, map[string]string{"proc/locks": ""}, nil)
	for name, path := range ports {
		add(t, s, name, path)
	}
	return s
}

func add(t *testing.T, s System, name, path string) {
	t.Helper()
	for _, d := range []string{"sys/class/tty/" + name, "dev"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path, s.path("dev", name)); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	one, two := plug(t, Spinel, nil, nil), plug(t, SerialRadio, nil, nil)
	s := machineWith(t, map[string]string{"ttyACM0": one, "ttyUSB0": bare(t).Path})
	f := Finder{Prober: Prober{System: s, rates: []int{115200}}}
	find := func(settings string, wrong func(r *Result, all []Result, err error) string) {
		t.Helper()
		clocktest.Undisturbed(t, func() string { return wrong(f.Find(t.Context(), settings)) })
	}
	find("channel=15&pan=0xabcd", func(r *Result, all []Result, err error) string {
		want := "spinel://" + s.path("dev/ttyACM0") + "?baud=115200&channel=15&pan=0xabcd"
		if err != nil || r == nil || r.Radio.URL != want || len(all) != 2 {
			return fmt.Sprintf("found %+v among %+v: %v", r, all, err)
		}
		return ""
	})
	add(t, s, "ttyACM1", two)
	find("", func(_ *Result, _ []Result, err error) string {
		var several *SeveralError
		if !errors.As(err, &several) || len(several.Found) != 2 || !strings.Contains(err.Error(), "dialect=serialradio") || !strings.Contains(err.Error(), "--radio 'spinel://") {
			return fmt.Sprintf("two radios: %v", err)
		}
		return ""
	})
	f.Taken = []string{"spinel:///dev/ttyACM0?baud=115200"}
	find("", func(r *Result, _ []Result, err error) string {
		if err != nil || r == nil || r.Radio.Protocol != SerialRadio {
			return fmt.Sprintf("beside one that is taken: %+v, %v", r, err)
		}
		return ""
	})
	// The port that did not answer three times is left alone.
	find("", func(r *Result, all []Result, err error) string {
		if err != nil || r == nil {
			return fmt.Sprintf("%+v, %v", r, err)
		}
		for _, x := range all {
			if x.Target == "/dev/ttyUSB0" && !strings.Contains(x.Detail, "not asked again") {
				return fmt.Sprintf("%+v", x)
			}
		}
		return ""
	})
}

func TestWait(t *testing.T) {
	s := machineWith(t, nil)
	f := Finder{Prober: Prober{System: s, rates: []int{115200}}}
	path := plug(t, Spinel, nil, nil)
	if _, all, err := f.Find(t.Context(), ""); err != nil || !strings.Contains(Missing(all), "plug the dongle in") {
		t.Errorf("%v, %s", err, Missing(all))
	}
	found := make(chan *Result)
	go func() {
		r, err := f.Wait(t.Context(), "")
		if err != nil {
			t.Error(err)
		}
		found <- r
	}()
	add(t, s, "ttyACM0", path)
	if r := <-found; r == nil || r.Radio.Protocol != Spinel {
		t.Errorf("%+v", r)
	}
}

// coordinator is a device that answers beacon requests on a ZEP medium, whose hub it is.
func coordinator(t *testing.T, channel uint8, pan uint16, eui uint64) string {
	t.Helper()
	c, err := zep.ParseURL("zep://127.0.0.1:0?mode=hub&pace=off")
	if err != nil {
		t.Fatal(err)
	}
	c.Channel, c.PAN, c.EUI64 = channel, pan, eui
	hub, err := zep.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		batch := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
		for {
			if _, err := hub.Receive(batch); err != nil {
				return
			}
			var f ieee802154.Frame
			if f.Parse(batch[0].Data) != nil {
				continue
			}
			if id, ok := f.Command(); ok && id == ieee802154.CommandBeaconRequest {
				_ = hub.Transmit([]ieee802154.TxFrame{{Data: beaconFrame(t, f.Seq, pan, eui, nil)}})
			}
		}
	}()
	t.Cleanup(func() { hub.Close(); <-done })
	return hub.LocalAddrs()[0].String()
}

func beaconFrame(t testing.TB, seq uint8, pan uint16, eui uint64, payload []byte) []byte {
	t.Helper()
	b := ieee802154.Beacon{Superframe: 0xcfff, GTS: []byte{0}, Payload: payload}
	p, err := b.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := ieee802154.Frame{Type: ieee802154.TypeBeacon, Seq: seq, SrcPAN: pan, Src: ieee802154.Extended(eui), Payload: p}
	d, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestScan(t *testing.T) {
	const pan, eui = 0xface, 0x02005e1000000001
	for _, proto := range []Protocol{Spinel, Slip, SixLBR, SerialRadio, ZEP} {
		t.Run(string(proto), func(t *testing.T) {
			t.Parallel()
			hub := coordinator(t, 20, pan, eui)
			target := "zep://" + hub
			if proto != ZEP {
				c, err := zep.ParseURL("zep://" + hub + "?mode=client&channel=20&pace=off")
				if err != nil {
					t.Fatal(err)
				}
				air, err := zep.Open(c)
				if err != nil {
					t.Fatal(err)
				}
				target = plug(t, proto, air, nil)
			}
			clocktest.Undisturbed(t, func() string { return scanWrong(t, proto, target, pan, eui) })
		})
	}
	if _, err := Scan(t.Context(), ScanConfig{Target: "zep://127.0.0.1:1", Channels: []uint8{11}}); err == nil || !strings.Contains(err.Error(), "no hub answers") {
		t.Errorf("without a hub: %v", err)
	}
	if _, err := Scan(t.Context(), ScanConfig{Target: "wpan://wpan0"}); err == nil || !strings.Contains(err.Error(), "wpan0") {
		t.Errorf("wpan: %v", err)
	}
}

// scanWrong scans three channels and says what is wrong with the report.
func scanWrong(t *testing.T, proto Protocol, target string, pan uint16, eui uint64) (wrong string) {
	shown := 0
	r, err := Scan(t.Context(), ScanConfig{Target: target, Channels: []uint8{15, 20, 25}, Dwell: 300 * time.Millisecond,
		Progress: func(ChannelReport) { shown++ }})
	if err != nil {
		return err.Error()
	}
	if len(r.Channels) != 3 || shown != 3 {
		return fmt.Sprintf("%d channels, %d shown", len(r.Channels), shown)
	}
	say := func(format string, args ...any) { wrong += fmt.Sprintf(format, args...) + "\n" }
	for _, c := range r.Channels {
		if here := c.Channel == 20; here != (len(c.PANs) == 1) || here != (c.Frames > 0) {
			say("%+v", c)
		}
		if (c.Energy != nil) != (proto == Spinel) {
			say("energy of %+v", c)
		}
	}
	if len(r.Beacons) != 1 || r.Beacons[0].PAN != fmt.Sprintf("0x%04x", pan) || r.Beacons[0].Coordinator != ieee802154.Extended(eui).String() || r.Beacons[0].Channel != 20 {
		say("beacons %+v", r.Beacons)
	}
	if r.Suggested != 25 {
		say("suggests %d: %s", r.Suggested, r.Reason)
	}
	if proto != Spinel && !strings.Contains(strings.Join(r.Notes, " "), "energy not measured") {
		say("notes %q", r.Notes)
	}
	return wrong
}

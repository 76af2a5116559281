package wpan_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/ieee802154/wpan"
	"border-router/internal/discover"
)

// TestKernelScan scans with wpan1 while the radio of wpan0, by a monitor of its own in the
// network namespace "mesh", answers beacon requests on channel 15 as a coordinator.
func TestKernelScan(t *testing.T) {
	if _, err := os.Stat("/sys/class/net/wpan1"); err != nil {
		t.Skip("no interface wpan1 here: needs mac802154_hwsim and a kernel node in the namespace mesh")
	}
	const coordinator, pan = 0x0200_5e10_0000_0015, 0x1515
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	ip("link", "set", "wpan1", "up")
	if _, err := discover.Scan(t.Context(), discover.ScanConfig{Target: "wpan://wpan1"}); err == nil || !strings.Contains(err.Error(), "ip link set wpan1 down") {
		t.Errorf("a scan with an interface that is up: %v", err)
	}
	ip("link", "set", "wpan1", "down")
	ip("-n", "mesh", "link", "set", "wpan0", "down")
	if exec.Command("ip", "-n", "mesh", "link", "del", "lowpan0").Run() == nil {
		defer func() {
			ip("-n", "mesh", "link", "set", "wpan0", "up")
			ip("-n", "mesh", "link", "add", "link", "wpan0", "name", "lowpan0", "type", "lowpan")
			ip("-n", "mesh", "link", "set", "lowpan0", "up")
		}()
	}
	m, err := monitorIn("mesh", "wpan0")
	if err != nil {
		t.Fatal(err)
	}
	inMesh := func(f func() error) {
		t.Helper()
		if err := in("mesh", f); err != nil {
			t.Error(err)
		}
	}
	inMesh(func() error { return m.Tune(15) })
	requests := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		batch := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
		for {
			if _, err := m.Receive(batch); err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			var f ieee802154.Frame
			if f.Parse(batch[0].Data) != nil {
				continue
			}
			if id, ok := f.Command(); !ok || id != ieee802154.CommandBeaconRequest {
				continue
			}
			requests++
			b, _ := (&ieee802154.Frame{
				Type: ieee802154.TypeBeacon, Seq: uint8(requests), HasSrcPAN: true, SrcPAN: pan, Src: ieee802154.Extended(coordinator),
				Payload: []byte{0xff, 0xcf, 0, 0}, // beaconless, PAN coordinator, association permitted
			}).AppendBinary(nil)
			if err := m.Transmit([]ieee802154.TxFrame{{Data: b}}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	begin := time.Now()
	r, err := discover.Scan(t.Context(), discover.ScanConfig{Target: "wpan://wpan1", Channels: []uint8{11, 15, 26}, Dwell: time.Second})
	inMesh(m.Close)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: %+v, %d requests heard", time.Since(begin).Round(time.Millisecond), r, requests)
	if len(r.Beacons) != 1 {
		t.Fatalf("%+v", r)
	}
	if b := r.Beacons[0]; b.Channel != 15 || b.PAN != "0x1515" || b.Coordinator != ieee802154.Extended(coordinator).String() || !b.Associate {
		t.Errorf("%+v", b)
	}
	if r.Suggested == 15 || r.Channels[0].Energy != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "energy not measured") {
		t.Errorf("%+v", r)
	}
	// The monitors are gone, and the radio is as before.
	if out, err := exec.Command("ip", "-o", "link").Output(); err != nil || strings.Contains(string(out), "scan") {
		t.Errorf("%v, %s", err, out)
	}
	// A second scan finds everything free.
	if _, err := discover.Scan(t.Context(), discover.ScanConfig{Target: "wpan://wpan1", Channels: []uint8{26}, Dwell: 10 * time.Millisecond}); err != nil {
		t.Error(err)
	}
}

// in runs f in a network namespace.
func in(ns string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	other, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	return errors.Join(err, unix.Setns(int(own.Fd()), unix.CLONE_NEWNET))
}

func monitorIn(ns, name string) (m *wpan.Monitor, err error) {
	err = in(ns, func() (err error) {
		m, err = wpan.OpenMonitor(name)
		return err
	})
	return m, err
}

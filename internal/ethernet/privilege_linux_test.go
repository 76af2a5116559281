package ethernet

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
)

// without runs f on a thread that has only the capabilities of keep; the thread ends with it.
func without(t *testing.T, keep uint32, f func()) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
		err := unix.Capset(&hdr, &data[0])
		if err == nil {
			f()
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		t.Skip(err)
	}
}

// TestPrivileges opens a port with none of them, which says what is missing, and with the
// one that it needs.
func TestPrivileges(t *testing.T) {
	ns := netnstest.New(t) // skips without privileges
	ns.MustExec("ip", "link", "set", "lo", "up")
	without(t, 0, func() {
		p, err := Open(Config{Name: "eth0", MAC: ourMAC})
		if err == nil {
			p.Close()
			t.Error("opened without privileges")
		} else if !strings.Contains(err.Error(), "need CAP_NET_RAW: run as root, or once: setcap") {
			t.Errorf("%v: what is to be done?", err)
		}
	})
	without(t, 1<<unix.CAP_NET_RAW, func() {
		p, err := Open(Config{Name: "eth0", MAC: ourMAC})
		if err != nil {
			t.Errorf("with CAP_NET_RAW alone: %v", err)
			return
		}
		if _, err := p.look(0); err != nil {
			t.Errorf("with CAP_NET_RAW alone: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

package serial

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A device that comes back under another name is found by its link; another device that has
// got its name is not taken for it.
func TestReopen(t *testing.T) {
	m, first := pty(t)
	dir := t.TempDir()
	dev, byID := filepath.Join(dir, "ttyACM0"), filepath.Join(dir, "by-id")
	if err := os.Mkdir(byID, 0o700); err != nil {
		t.Fatal(err)
	}
	lead := func(from, to string) {
		t.Helper()
		os.Remove(from)
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	lead(dev, first)
	lead(filepath.Join(byID, "usb-dongle-1"), first)
	lead(filepath.Join(byID, "usb-dead"), "/dev/null")
	o := Reopener{Config: Config{Path: dev}, dir: byID}
	open := func() uint64 {
		t.Helper()
		p, err := o.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if p.String() != dev {
			t.Errorf("its name is %s", p)
		}
		var st unix.Stat_t
		if err := p.control(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
			t.Fatal(err)
		}
		return st.Rdev
	}
	was := open()

	// Pulled out: neither is there.
	_, second := pty(t)
	_, other := pty(t)
	m.Close()
	os.Remove(dev)
	os.Remove(filepath.Join(byID, "usb-dongle-1"))
	if _, err := o.Open(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dev) {
		t.Errorf("open of what is not there: %v", err)
	}
	// Back under another name, while another device has got the old one.
	lead(filepath.Join(byID, "usb-dongle-1"), second)
	lead(dev, other)
	if now := open(); now == was || now != rdev(t, second) {
		t.Errorf("opened %x, want %x", now, rdev(t, second))
	}
	// Replaced for good: the new one has the name that was given.
	os.Remove(filepath.Join(byID, "usb-dongle-1"))
	lead(filepath.Join(byID, "usb-dongle-2"), other)
	for range 2 {
		if now := open(); now != rdev(t, other) {
			t.Errorf("opened %x, want %x", now, rdev(t, other))
		}
	}
	lead(dev, second)
	if now := open(); now != rdev(t, other) {
		t.Errorf("opened %x after the link of the new one was known, want %x", now, rdev(t, other))
	}
}

func rdev(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Rdev
}

//go:build linux

package netnstest

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever has namespaces lets others have some, but for a test that is alone.
func TestShare(t *testing.T) {
	// free tells whether another process would have the lock at once.
	free := func(t *testing.T, how int) bool {
		t.Helper()
		f, err := openShare()
		if err != nil {
			t.Skip(err)
		}
		defer f.Close()
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			t.Fatal(err)
		}
		return err == nil
	}
	t.Run("some", func(t *testing.T) {
		New(t)
		New(t)
		if free(t, unix.LOCK_EX) || !free(t, unix.LOCK_SH) {
			t.Error("not shared")
		}
	})
	t.Run("alone", func(t *testing.T) {
		Alone(t)
		New(t)
		if free(t, unix.LOCK_SH) {
			t.Error("not alone")
		}
	})
	t.Run("another user's", func(t *testing.T) {
		own := shareFile
		t.Cleanup(func() { shareFile = own })
		var err error
		if shareFile, err = os.Executable(); err != nil { // which nobody may write to as long as it runs
			t.Fatal(err)
		}
		New(t)
		if share.users == 0 || free(t, unix.LOCK_EX) {
			t.Error("not shared")
		}
	})
	if share.users != 0 || share.file != nil || share.alone {
		t.Errorf("%d hold it after the end", share.users)
	}
}

func TestNeighbors(t *testing.T) {
	a, b := New(t), New(t)
	a.LinkTo(b, "to-b", "to-a")
	a.AddAddress("to-b", netip.MustParsePrefix("fd00:1::1/64"))
	b.AddAddress("to-a", netip.MustParsePrefix("fd00:1::2/64"))
	a.MustExec("ping", "-6", "-c", "1", "fd00:1::2")
	n, ok := neighbors()
	if !ok {
		t.Skip("the table of neighbors is not shown here, as in a container")
	}
	if n < 1 {
		t.Errorf("%d neighbors", n)
	}
}

package netnstest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel has one table of IPv6 neighbors for all namespaces (gc_thresh3, 1024 entries): who
// fills it in one has packets refused in another. Tests of several packages run at the same
// time, so that those with namespaces hold this lock, shared, and those that fill the table
// hold it alone.
var shareFile = filepath.Join(os.TempDir(), "border-router-netnstest.lock")

var share struct {
	sync.Mutex
	file  *os.File
	users int
	alone bool
}

// Alone makes the test the only one on the machine that has namespaces, until its end. A test
// that floods a network calls it ahead of the first [New].
func Alone(t testing.TB) {
	t.Helper()
	hold(t, unix.LOCK_EX)
	share.Lock()
	share.alone = true
	share.Unlock()
}

// openShare opens the file to be locked, which may be another user's: to read it is enough.
func openShare() (*os.File, error) {
	f, err := os.Open(shareFile)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(shareFile, os.O_RDONLY|os.O_CREATE, 0o666)
	}
	return f, err
}

// hold takes the lock until the end of the test, if this process does not have it already.
func hold(t testing.TB, how int) {
	t.Helper()
	share.Lock()
	defer share.Unlock()
	if share.users > 0 && how == unix.LOCK_EX && !share.alone {
		t.Fatal("netnstest.Alone beside namespaces of this process")
	}
	if share.users == 0 {
		f, err := openShare()
		if err != nil {
			t.Logf("not shared with other tests: %v", err)
			return
		}
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Flock(int(f.Fd()), how)
		}
		if err != nil {
			f.Close()
			t.Logf("not shared with other tests: %v", err)
			return
		}
		share.file = f
	}
	share.users++
	t.Cleanup(func() {
		share.Lock()
		defer share.Unlock()
		if share.users--; share.users > 0 {
			return
		}
		if share.alone {
			waitRoom()
		}
		share.file.Close()
		share.file, share.alone = nil, false
	})
}

// room is how many neighbors the kernel may have when a test begins: its own collection
// begins at gc_thresh1, which is 128, and refuses at 1024.
const room = 256

// waitRoom waits until the namespaces that were closed have given their neighbors back, which
// the kernel does in its own time.
func waitRoom() {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		n, ok := neighbors()
		if !ok {
			time.Sleep(2 * time.Second)
		}
		if n <= room {
			return
		}
	}
}

// neighbors returns how many entries the table of neighbors has. Inside a container that is not
// known.
func neighbors() (n int, ok bool) {
	b, err := os.ReadFile("/proc/thread-self/net/stat/ndisc_cache")
	title, line, _ := strings.Cut(string(b), "\n")
	if err != nil || !strings.HasPrefix(title, "entries ") {
		return 0, false
	}
	_, err = fmt.Sscanf(line, "%x", &n)
	return n, err == nil
}

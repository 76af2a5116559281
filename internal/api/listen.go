package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socketMode is the file mode of the socket: only its owner (and root) may connect.
const socketMode = 0o600

// maxSocketPath is the longest path of a unix socket on Linux (sun_path without the zero
// at its end); other systems allow a little less and say so themselves.
const maxSocketPath = 107

// Listener opens a unix socket at path with mode 0600. A missing directory is made
// with mode 0700; one that somebody else owns, or that everybody may write to without the
// sticky bit, is refused. The socket that a dead process left is removed; a living one is
// an error. Closing the listener removes the socket.
func Listener(path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("the management socket has no path; say --socket PATH")
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path is %d bytes long, at most %d are allowed; say a shorter --socket PATH", path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	unlock := lockDir(dir)
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux the file gets the mode of the socket: never open to others, not even
		// between bind and chmod.
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) })
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("socket %s: no permission to make it; say another --socket PATH", path)
		}
		return nil, fmt.Errorf("socket %s: %w", path, cause(err))
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return l, nil
}

// prepareDir makes dir, or checks that nobody else can put a socket of theirs there.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("socket directory %s: no permission to make it; say another --socket PATH", dir)
		}
		return fmt.Errorf("socket directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("socket directory %s: not a directory", dir)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	uid := os.Geteuid()
	if st.Uid != 0 && int(st.Uid) != uid && uid != 0 {
		return fmt.Errorf("socket directory %s belongs to %s; say another --socket PATH", dir, userName(st.Uid))
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("socket directory %s may be written to by everybody; run `chmod o-w %s` or say another --socket PATH", dir, dir)
	}
	return nil
}

// lockDir keeps two routers that start at once from taking each other's socket for a stale
// one. It gives up after a second: the lock is a courtesy among ourselves, and in a shared
// directory anybody could hold it.
func lockDir(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for deadline := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil || time.Now().After(deadline) {
			break
		}
	}
	return func() { _ = f.Close() }
}

// removeStale removes the socket that a dead process left at path.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket %s: there is something else than a socket; remove it or say another --socket PATH", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED): // nobody listens
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("stale socket: %w", err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s belongs to %s; say another --socket PATH", path, owner(info))
	}
	return fmt.Errorf("a router is already running at %s; stop it or say another --socket PATH", path)
}

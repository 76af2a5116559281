package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"border-router/internal/config"
	"border-router/internal/discover"
	"border-router/internal/state"
)

const (
	freeFail = 1 << 20  // bytes; the file grows by whole steps
	freeWarn = 32 << 20 // bytes
)

// state checks the state directory: there or makable, writable, with room, nobody else's,
// and with a file that can be read.
func (e *examination) state() {
	const name = "state directory"
	dir := e.cfg.StateDir
	if dir == "" || dir == config.NoState {
		e.ok(name, "none: nothing is kept over a restart, as was asked for")
		return
	}
	real := e.sys.path(dir)
	i, err := os.Stat(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := existing(real)
		if err := unix.Access(parent, unix.W_OK|unix.X_OK); err != nil {
			e.add(Fail, name, makeDir(dir), "%s is not there and cannot be made in %s: %v", dir, parent, err)
			return
		}
		e.ok(name, "%s will be made", dir)
		e.space(name, dir, parent)
		return
	case err != nil:
		e.add(Fail, name, makeDir(dir), "%s: %v", dir, cause(err))
		return
	case !i.IsDir():
		e.add(Fail, name, "choose another with --state-dir", "%s is not a directory", dir)
		return
	}
	if err := unix.Access(real, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		if e.running > 0 {
			e.ok(name, "%s is for the running router alone", dir)
			return
		}
		fix := fmt.Sprintf("sudo chown -R %d %s, or choose another with --state-dir", os.Geteuid(), dir)
		if err == unix.EROFS {
			fix = "mount it writable, or choose another with --state-dir"
		}
		e.add(Fail, name, fix, "%s is not writable: %v", dir, err)
		return
	}
	if i.Mode().Perm()&0o002 != 0 {
		e.add(Warn, name, "chmod 0700 "+dir, "everybody may write to %s: whoever changes a frame counter there breaks the security of the mesh", dir)
	}
	if !e.space(name, dir, real) {
		return
	}
	e.file(name, dir, filepath.Join(real, state.File))
}

func makeDir(dir string) string {
	return fmt.Sprintf("sudo mkdir -p %s && sudo chown %d %s, or choose another with --state-dir", dir, os.Geteuid(), dir)
}

// existing returns the nearest directory above path that is there.
func existing(path string) string {
	for path = filepath.Dir(path); path != "/" && path != "."; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	return path
}

// space checks the room on the file system and reports whether there is some.
func (e *examination) space(name, dir, at string) bool {
	var st unix.Statfs_t
	if unix.Statfs(at, &st) != nil {
		return true
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	switch fix := "df -h " + at + " shows what is full; free some, or choose another with --state-dir"; {
	case free < freeFail:
		e.add(Fail, name, fix, "no room: %d KiB are free for %s", free>>10, dir)
		return false
	case free < freeWarn:
		e.add(Warn, name, fix, "little room: %d MiB are free for %s", free>>20, dir)
	}
	return true
}

// file checks the state file.
func (e *examination) file(name, dir, file string) {
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.ok(name, "%s is writable, nothing is kept there yet", dir)
		return
	case err != nil:
		e.add(Fail, name, fmt.Sprintf("sudo chown -R %d %s", os.Geteuid(), dir), "%s: %v", state.File, cause(err))
		return
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		who := "another router"
		var holder discover.Holder
		if hs := e.sys.Lockers(filepath.Join(dir, state.File)); len(hs) > 0 {
			holder = hs[0]
			who = holder.String()
		}
		if e.running > 0 && (holder.PID == 0 || holder.PID == e.running) {
			e.ok(name, "%s, in use by the running router", dir)
			return
		}
		fix := "stop it, or give this one its own with --state-dir"
		if holder.PID > 0 {
			fix = fmt.Sprintf("kill %d, or give this one its own with --state-dir", holder.PID)
		}
		e.add(Fail, name, fix, "%s is in use by %s", dir, who)
		return
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // goes with the descriptor in any case
	if err := readable(file); err != nil {
		e.add(Warn, name, "put a copy of it back, if there is one: "+filepath.Join(dir, state.File),
			"the file is damaged (%v): the router will put it aside and begin anew, with another prefix where that was generated", err)
		return
	}
	e.ok(name, "%s is writable, its file can be read", dir)
}

// readable opens the file and walks through all of it.
func readable(file string) (err error) {
	// A damaged file makes the library panic, or read beyond the end of the file.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 200 * time.Millisecond, PreLoadFreelist: false})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		if i, err := os.Stat(file); err == nil && i.Size() < tx.Size() {
			return fmt.Errorf("%d bytes, want %d", i.Size(), tx.Size())
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

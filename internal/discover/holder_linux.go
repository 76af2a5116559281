package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Major numbers, first of the terminals in /dev/pts.
const (
	ptsMajor    = 136
	ptsMajorEnd = 143
	ptsPerMajor = 256

	memMajor = 1 // of /dev/null and the like, which everybody has open
)

// Holders returns the processes that have the device at path open, or a lock on it. Of a
// pseudo-terminal, the process behind it does not count.
func (s System) Holders(path string) []Holder {
	var st unix.Stat_t
	if unix.Stat(s.path(path), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(st.Rdev) == memMajor {
		return nil
	}
	pts := -1
	if m := unix.Major(st.Rdev); m >= ptsMajor && m <= ptsMajorEnd {
		pts = int(m-ptsMajor)*ptsPerMajor + int(unix.Minor(st.Rdev))
	}
	var out []Holder
	add := func(pid int) {
		if pid > 0 && !slices.ContainsFunc(out, func(h Holder) bool { return h.PID == pid }) {
			out = append(out, Holder{pid, s.ProcessName(pid)})
		}
	}
	for _, pid := range s.Processes() {
		if s.hasOpen(pid, &st, pts) {
			add(pid)
		}
	}
	for _, pid := range s.lockers(&st) {
		add(pid)
	}
	if real, err := filepath.EvalSymlinks(s.path(path)); err == nil {
		add(s.lockFile(filepath.Base(real)))
	}
	return out
}

// Processes returns the numbers of all processes, in order.
func (s System) Processes() []int {
	entries, _ := os.ReadDir(s.path("proc")) // without it nothing is known
	var out []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// ProcessName returns the name of the program of a process, at most 15 bytes, or "".
func (s System) ProcessName(pid int) string {
	return printable(s.text("proc", strconv.Itoa(pid), "comm"))
}

// hasOpen reports whether a process has the device st open, but for the one that has the
// other end of the pseudo-terminal pts.
func (s System) hasOpen(pid int, st *unix.Stat_t, pts int) bool {
	dir := s.path("proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false // ended, or of another user
	}
	found := false
	for _, fd := range fds {
		file := filepath.Join(dir, fd.Name())
		to, err := os.Readlink(file)
		// Only devices are looked at: a file of a dead network mount would hang.
		if err != nil || !strings.HasPrefix(to, "/dev/") {
			continue
		}
		if pts >= 0 && strings.HasSuffix(to, "ptmx") && s.masterOf(pid, fd.Name()) == pts {
			return false
		}
		var x unix.Stat_t
		if unix.Stat(file, &x) == nil && x.Mode&unix.S_IFMT == unix.S_IFCHR && x.Rdev == st.Rdev {
			found = true
		}
	}
	return found
}

// masterOf returns which pseudo-terminal a descriptor of /dev/ptmx is the master of, or -1.
func (s System) masterOf(pid int, fd string) int {
	for line := range strings.Lines(s.text("proc", strconv.Itoa(pid), "fdinfo", fd)) {
		if v, ok := strings.CutPrefix(line, "tty-index:"); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
				return n
			}
		}
	}
	return -1
}

// lockers returns who has a lock on the file st, which every user may see.
func (s System) lockers(st *unix.Stat_t) []int {
	dev := uint64(st.Dev)
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino)
	var out []int
	// "1: FLOCK  ADVISORY  WRITE 1234 00:05:567 0 EOF"; who waits has "->" after the number.
	for line := range strings.Lines(s.text("proc/locks")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] == "->" || f[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// Lockers returns the processes that have a lock on the file at path.
func (s System) Lockers(path string) []Holder {
	var st unix.Stat_t
	if unix.Stat(s.path(path), &st) != nil {
		return nil
	}
	var out []Holder
	for _, pid := range s.lockers(&st) {
		if pid > 0 {
			out = append(out, Holder{pid, s.ProcessName(pid)})
		}
	}
	return out
}

// lockFile returns the process that says by a lock file (as of UUCP) that it uses a port.
func (s System) lockFile(port string) int {
	for _, dir := range []string{"run/lock", "var/lock"} {
		b, err := os.ReadFile(s.path(dir, "LCK.."+port))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b[:min(len(b), 16)])))
		if err != nil || pid <= 0 {
			continue
		}
		if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
			continue // left behind
		}
		return pid
	}
	return 0
}

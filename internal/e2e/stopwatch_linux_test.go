package e2e_test

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A stopwatch tells how long something took, and how much of that was the machine's doing:
// time in which somebody waited for a processor or the disk, as the kernel tells (PSI), or in
// which nothing ran at all. The latter says nothing about the router.
type stopwatch struct {
	begin          time.Time
	pressure, late time.Duration // before
}

func startWatch() stopwatch {
	return stopwatch{time.Now(), pressure(), time.Duration(late.Load())}
}

func (s stopwatch) wall() time.Duration { return time.Since(s.begin) }

// took returns the time without that which was the machine's doing. That is half of it at most:
// a router that keeps the machine busy itself is not excused, and no bound more than doubled.
func (s stopwatch) took() time.Duration {
	wall := s.wall()
	stalled := max(pressure()-s.pressure, time.Duration(late.Load())-s.late)
	return wall - min(stalled, wall/2)
}

// pressure returns how long somebody has waited for a processor or the disk since the machine
// has started; 0 where the kernel does not tell.
func pressure() (sum time.Duration) {
	for _, f := range []string{"/proc/pressure/cpu", "/proc/pressure/io"} {
		b, _ := os.ReadFile(f)
		some, _, _ := strings.Cut(string(b), "\n")
		_, total, _ := strings.Cut(some, "total=")
		us, _ := strconv.ParseInt(total, 10, 64)
		sum += time.Duration(us) * time.Microsecond
	}
	return sum
}

// late is for how long this process should have run and did not, in nanoseconds.
var late atomic.Int64

// watchMachine keeps late.
func watchMachine() {
	const pause = 20 * time.Millisecond
	for {
		begin := time.Now()
		time.Sleep(pause)
		if over := time.Since(begin) - pause; over > pause {
			late.Add(int64(over))
		}
	}
}

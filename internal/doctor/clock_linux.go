package doctor

import (
	"time"

	"golang.org/x/sys/unix"
)

// epoch is before any clock that was ever set by hand or network on a machine that runs this.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const staUnsync = 0x40 // STA_UNSYNC

func systemClock() (now time.Time, synchronised bool, err error) {
	var t unix.Timex // modes 0: only read
	_, err = unix.Adjtimex(&t)
	return time.Now(), t.Status&staUnsync == 0, err
}

// clock checks the time, which registrations and leases expire by over a restart.
func (e *examination) clock() {
	const name, fix = "clock", "sudo timedatectl set-ntp true (or start chronyd or ntpd)"
	now, synchronised, err := e.Clock()
	switch {
	case now.Before(epoch):
		e.add(Warn, name, fix+"; a machine without a battery clock needs it at each start", "it says %s, which is past: registrations that were kept expire wrongly, certificates do not hold", now.UTC().Format(time.DateOnly))
	case err != nil:
		e.ok(name, "%s; whether it is synchronised is not known (%v)", now.UTC().Format(time.DateTime), err)
	case !synchronised:
		e.add(Warn, name, fix, "it says %s UTC and is not synchronised", now.UTC().Format(time.DateTime))
	default:
		e.ok(name, "%s UTC, synchronised", now.UTC().Format(time.DateTime))
	}
}

package dongle

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A PTY is a pseudo-terminal in place of a USB port: the dongle has the master, and a driver
// opens Path. It stays while no driver has it open. Close pulls it out.
type PTY struct {
	*os.File // the master
	Path     string
	slave    *os.File
}

// OpenPTY makes a pseudo-terminal that passes bytes as they are.
func OpenPTY() (*PTY, error) {
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	p := &PTY{File: m}
	rc, err := m.SyscallConn()
	if err == nil {
		var e error
		err = rc.Control(func(fd uintptr) {
			var n int
			if e = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); e == nil {
				n, e = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
			p.Path = fmt.Sprintf("/dev/pts/%d", n)
		})
		if err == nil {
			err = e
		}
	}
	if err == nil {
		// Without an open slave the master reads as an error.
		p.slave, err = os.OpenFile(p.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	}
	if err == nil {
		err = raw(p.slave)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open pseudo-terminal: %w", err)
	}
	return p, nil
}

func raw(f *os.File) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var e error
	err = rc.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, e = unix.IoctlGetTermios(int(fd), unix.TCGETS); e != nil {
			return
		}
		t.Iflag, t.Oflag, t.Lflag = unix.IGNPAR, 0, 0
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		e = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	if err == nil {
		err = e
	}
	return err
}

// Close pulls the port out: a driver that has it open gets an error, and Path is gone.
func (p *PTY) Close() error {
	if p.slave != nil {
		p.slave.Close()
	}
	return p.File.Close()
}

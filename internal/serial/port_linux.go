package serial

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	tarm "github.com/tarm/serial"
	"golang.org/x/sys/unix"
)

// tarmBaud is the rate that a port is opened with before its own is set.
const tarmBaud = 115200

// A Port is a serial port of the system.
type Port struct {
	f    *os.File
	rc   syscall.RawConn
	name string
}

var _ Line = (*Port)(nil)

// Open opens the port for this process alone and sets it up as c says.
func Open(c Config) (*Port, error) {
	if c.Baud <= 0 {
		c.Baud = tarmBaud
	}
	fail := func(what string, err error) (*Port, error) {
		return nil, fmt.Errorf("open %s: %s%w%s", c.Path, what, err, hint(c.Path, err))
	}
	// The second descriptor comes first, so that a port which another process holds is not
	// touched: tarm would set it up anew.
	f, err := os.OpenFile(c.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		if errors.Is(err, syscall.EBUSY) {
			err = ErrInUse
		}
		return fail("", err)
	}
	p := &Port{f: f, name: c.Path}
	if p.rc, err = f.SyscallConn(); err != nil {
		f.Close()
		return fail("", err)
	}
	if err := p.setUp(c); err != nil {
		f.Close()
		return fail("", err)
	}
	return p, nil
}

func (p *Port) setUp(c Config) error {
	err := p.control(func(fd int) error {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			return errors.New("not a serial port")
		}
		switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
		case nil, unix.EOPNOTSUPP, unix.ENOLCK:
		default:
			return ErrInUse
		}
		return nil
	})
	if err != nil {
		return err
	}
	t, err := tarm.OpenPort(&tarm.Config{Name: c.Path, Baud: tarmBaud})
	if err != nil {
		return err
	}
	// The settings belong to the port, not to the descriptor, and stay as long as one is open.
	if err := t.Close(); err != nil {
		return err
	}
	return p.control(func(fd int) error {
		if err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); err != nil && err != unix.ENOTTY {
			return fmt.Errorf("claim it: %w", err)
		}
		if err := setLine(fd, c.Baud, &c.RTSCTS); err != nil {
			return err
		}
		if c.DTR != Keep {
			req := uint(unix.TIOCMBIS)
			if c.DTR == Off {
				req = unix.TIOCMBIC
			}
			// A pseudo-terminal has no modem lines.
			if err := unix.IoctlSetPointerInt(fd, req, unix.TIOCM_DTR); err != nil && err != unix.ENOTTY && err != unix.EINVAL {
				return fmt.Errorf("set DTR: %w", err)
			}
		}
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
}

// setLine sets the rate, whether it has a name or not, and with rtscts the flow control.
func setLine(fd, baud int, rtscts *bool) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return err
	}
	const inputShift = 16 // IBSHIFT: the input rate, whose 0 means that of output
	t.Cflag &^= unix.CBAUD | unix.CBAUD<<inputShift
	t.Cflag |= unix.BOTHER
	t.Ispeed, t.Ospeed = uint32(baud), uint32(baud)
	if rtscts != nil {
		t.Cflag &^= unix.CRTSCTS
		if *rtscts {
			t.Cflag |= unix.CRTSCTS
		}
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return fmt.Errorf("set %d baud: %w", baud, err)
	}
	return nil
}

func (p *Port) control(f func(fd int) error) error {
	var err error
	if e := p.rc.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// Read implements io.Reader.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	return n, describe("read", p.name, err)
}

// Write implements io.Writer, within [WriteTimeout].
func (p *Port) Write(b []byte) (int, error) {
	_ = p.f.SetWriteDeadline(time.Now().Add(WriteTimeout)) // fails only when closed, as Write will
	n, err := p.f.Write(b)
	return n, describe("write", p.name, err)
}

// Close closes the port and gives it up. What the device has not taken yet is lost: for it the
// kernel would wait, 30 s where the flow control of a dongle that hangs does not let it go on.
func (p *Port) Close() error {
	_ = p.control(func(fd int) error {
		_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCOFLUSH)
		return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) // matters only where the descriptor leaked
	})
	return p.f.Close()
}

// SetBaud implements [Line].
func (p *Port) SetBaud(baud int) error {
	if baud <= 0 {
		return fmt.Errorf("set %d baud: want more than 0", baud)
	}
	return p.control(func(fd int) error { return setLine(fd, baud, nil) })
}

// Discard implements [Line].
func (p *Port) Discard() error {
	return p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
}

// String returns the path.
func (p *Port) String() string { return p.name }

// hint says what mends the usual errors.
func hint(path string, err error) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return "; add the user to the group that owns it: usermod -aG dialout USER"
	case errors.Is(err, os.ErrNotExist):
		return "; not plugged in? /dev/serial/by-id lists what is"
	case errors.Is(err, ErrInUse):
		return "; is ModemManager or another router holding it? fuser " + path + " tells"
	}
	return ""
}

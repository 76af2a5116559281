package serial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/internal/clocktest"
)

// pty returns the master of a new pseudo-terminal and the path of its slave.
func pty(t testing.TB) (*os.File, string) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	var n int
	rc, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = rc.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, fmt.Sprintf("/dev/pts/%d", n)
}

func (p *Port) termios(t *testing.T) *unix.Termios {
	t.Helper()
	var ti *unix.Termios
	if err := p.control(func(fd int) (err error) { ti, err = unix.IoctlGetTermios(fd, unix.TCGETS2); return }); err != nil {
		t.Fatal(err)
	}
	return ti
}

func TestPort(t *testing.T) {
	for _, c := range []Config{
		{Baud: 460800}, {Baud: 250000}, {Baud: 1000000, RTSCTS: true}, {DTR: On}, {Baud: 921600, DTR: Off},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			m, path := pty(t)
			c.Path = path
			p, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			want := c.Baud
			if want == 0 {
				want = 115200
			}
			ti := p.termios(t)
			if int(ti.Ospeed) != want || int(ti.Ispeed) != want {
				t.Errorf("rate %d and %d, want %d", ti.Ispeed, ti.Ospeed, want)
			}
			if got := ti.Cflag&unix.CRTSCTS != 0; got != c.RTSCTS {
				t.Errorf("RTS/CTS %v", got)
			}
			if ti.Cflag&(unix.CSIZE|unix.PARENB|unix.CSTOPB) != unix.CS8 || ti.Lflag != 0 || ti.Oflag != 0 {
				t.Errorf("not raw 8N1: %+v", ti)
			}
			// Bytes that a terminal would eat or change pass as they are.
			all := make([]byte, 256)
			for i := range all {
				all[i] = byte(i)
			}
			if _, err := p.Write(all); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 512)
			for n := 0; n < len(all); {
				k, err := m.Read(b[n:])
				if err != nil {
					t.Fatal(err)
				}
				if n += k; n == len(all) && string(b[:n]) != string(all) {
					t.Errorf("sent % x", b[:n])
				}
			}
			if _, err := m.Write(all); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < len(all); {
				k, err := p.Read(b[n:])
				if err != nil {
					t.Fatal(err)
				}
				if n += k; n == len(all) && string(b[:n]) != string(all) {
					t.Errorf("received % x", b[:n])
				}
			}
			if err := p.SetBaud(57600); err != nil || p.termios(t).Ospeed != 57600 {
				t.Errorf("SetBaud: %v", err)
			}
			if got := p.termios(t).Cflag&unix.CRTSCTS != 0; got != c.RTSCTS {
				t.Error("SetBaud changed the flow control")
			}
		})
	}
}

func TestGone(t *testing.T) {
	m, path := pty(t)
	p, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	read := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 1))
		read <- err
	}()
	m.Close()
	if err := <-read; !errors.Is(err, ErrGone) {
		t.Errorf("Read of a port that was pulled out: %v", err)
	}
	if _, err := p.Write([]byte{0}); !errors.Is(err, ErrGone) {
		t.Errorf("Write to a port that was pulled out: %v", err)
	}
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "plugged in") {
		t.Errorf("Open of a port that was pulled out: %v", err)
	}
}

func TestClose(t *testing.T) {
	_, path := pty(t)
	p, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 1))
		read <- err
	}()
	p.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read of a closed port: %v", err)
	}
	p, err = Open(Config{Path: path})
	if err != nil {
		t.Fatalf("Open again: %v", err)
	}
	p.Close()
}

func TestExclusive(t *testing.T) {
	_, path := pty(t)
	p, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := Open(Config{Path: path, Baud: 9600}); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: %v", err)
	}
	// Against programs that know nothing of locks.
	var exclusive int
	if err := p.control(func(fd int) (err error) { exclusive, err = unix.IoctlGetInt(fd, unix.TIOCGEXCL); return }); err != nil || exclusive != 1 {
		t.Errorf("exclusive: %d, %v", exclusive, err)
	}
	if got := p.termios(t).Ospeed; got != 115200 {
		t.Errorf("the second Open changed the rate to %d", got)
	}
}

func TestNoPort(t *testing.T) {
	if _, err := Open(Config{Path: "/dev/null"}); err == nil || !strings.Contains(err.Error(), "not a serial port") {
		t.Errorf("/dev/null: %v", err)
	}
}

// A device whose flow control lets nothing pass ends Write by its deadline.
func TestWriteTimeout(t *testing.T) {
	_, path := pty(t)
	p, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := clocktest.Start(t)
	for err == nil && w.Elapsed() < 10*time.Second {
		_, err = p.Write(make([]byte, 4096))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
}

// What the device has not taken is not waited for when the port is closed. Of a pty the other
// end has taken 4 KiB by itself, sooner or later; what is behind that waits.
func TestCloseDiscards(t *testing.T) {
	m, path := pty(t)
	p, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	const written = 7000
	if _, err := p.Write(bytes.Repeat([]byte{'x'}, written)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err = Open(Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for b := make([]byte, 8192); !bytes.HasSuffix(got, []byte("new")); {
		n, err := m.Read(b)
		if err != nil {
			t.Fatalf("%v after %d bytes", err, len(got))
		}
		got = append(got, b[:n]...)
	}
	if n := bytes.Count(got, []byte{'x'}); n > 4096 {
		t.Errorf("%d of the %d bytes came that were not taken before the port was closed", n, written)
	}
}

// A peer that reads nothing ends Write as well.
func TestConnWriteTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(context.Background(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wrote := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			_, err = c.Write(make([]byte, 1<<20))
		}
		wrote <- err
	}()
	select {
	case err := <-wrote:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
	case <-time.After(30 * WriteTimeout):
		t.Error("Write waits for ever")
	}
}

func TestConn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Write([]byte("hi"))
			c.Close()
		}
	}()
	c, err := Dial(context.Background(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 4)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hi" {
		t.Errorf("Read: %q %v", b[:n], err)
	}
	if _, err := c.Read(b); !errors.Is(err, ErrGone) {
		t.Errorf("Read after the end: %v", err)
	}
	if err := c.SetBaud(1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetBaud: %v", err)
	}
	l.Close()
	if _, err := Dial(context.Background(), l.Addr().String()); err == nil {
		t.Error("Dial of nobody succeeded")
	}
}

func TestSet(t *testing.T) {
	var c Config
	for _, kv := range [][2]string{{"baud", "460800"}, {"flow", "rtscts"}, {"dtr", "off"}} {
		if err := c.Set(kv[0], kv[1]); err != nil {
			t.Errorf("%v: %v", kv, err)
		}
	}
	if want := (Config{Baud: 460800, RTSCTS: true, DTR: Off}); c != want {
		t.Errorf("%+v", c)
	}
	for _, kv := range [][2]string{{"baud", "fast"}, {"baud", "0"}, {"flow", "xon"}, {"dtr", "1"}, {"parity", "odd"}} {
		if err := c.Set(kv[0], kv[1]); err == nil {
			t.Errorf("%v was taken", kv)
		}
	}
}

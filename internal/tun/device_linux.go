package tun

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Device is an open TUN interface. It is a port of the router: [Device.Output] is for
// one goroutine, the router's; every other method may be called from any.
type Device struct {
	name  string
	mtu   int
	index int
	cfg   Config

	file *os.File
	raw  syscall.RawConn

	count counters
	down  atomic.Bool // the interface is gone, or Close has begun

	// Output's parameters and results, so that the closure is made once.
	out     []byte
	outErr  error
	writeFn func(fd uintptr) bool

	done    chan struct{} // closed by Close
	ended   chan struct{} // closed when the reader has returned
	started bool
	post    func(interface{ Run(now time.Time) }) bool
	deliver deliverFunc
	free    chan *batch

	mu        sync.Mutex // guards what follows
	nl        *netlink.Handle
	addresses []netip.Prefix // added by us
	routes    []netip.Prefix // added by us
	closed    bool
}

const clonePath = "/dev/net/tun"

// Open opens or creates the interface, sets what cfg says and brings it up. The error says
// what was being done and how to fix it. No packet is read before [Device.Start].
func Open(cfg Config) (*Device, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// The network namespace belongs to the thread: stay on one until the sockets are open.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	fd, name, err := openFD(cfg.Name)
	if err != nil {
		return nil, err
	}
	d := &Device{
		name: name, mtu: cfg.MTU, cfg: cfg,
		file:  os.NewFile(uintptr(fd), clonePath), // non-blocking, so in the runtime's poller
		done:  make(chan struct{}),
		ended: make(chan struct{}),
		free:  make(chan *batch, numBatches),
	}
	d.cfg.Logger = cfg.Logger.With("link", name)
	d.writeFn = d.write
	if d.raw, err = d.file.SyscallConn(); err == nil {
		err = d.configure()
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	for _, f := range d.Check() {
		d.cfg.Logger.Warn(f.What, "fix", f.Fix)
	}
	return d, nil
}

// openFD opens the clone device and attaches it to the interface.
func openFD(name string) (fd int, ifname string, err error) {
	fd, err = unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", explainOpen(name, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, "", explainAttach(name, err)
	}
	return fd, ifr.Name(), nil
}

// setPersist makes the interface outlive the descriptor, or not.
func (d *Device) setPersist(on bool) error {
	v := uintptr(0)
	if on {
		v = 1
	}
	var errno syscall.Errno
	err := d.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.TUNSETPERSIST, v)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}

// Name returns the interface name.
func (d *Device) Name() string { return d.name }

// Index returns the interface index, as in [net.Interface].
func (d *Device) Index() int { return d.index }

// MTU returns the MTU in bytes.
func (d *Device) MTU() int { return d.mtu }

// Stats returns a copy of the counters.
func (d *Device) Stats() Stats { return d.count.snapshot() }

// closeWait bounds how long Close waits for the reader, which may be inside post.
const closeWait = 500 * time.Millisecond

// Close removes the addresses and routes that were added, closes the device (which deletes
// an interface that is not persistent) and waits for the reader, half a second at most. It
// may be called more than once.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	started := d.started
	gone := d.down.Swap(true)
	close(d.done)
	var errs []error
	if d.nl != nil {
		if !gone {
			errs = append(errs, d.removeAll())
		}
		d.nl.Close()
	}
	d.mu.Unlock()

	errs = append(errs, d.file.Close()) // wakes the reader
	if started {
		t := time.NewTimer(closeWait)
		defer t.Stop()
		select {
		case <-d.ended:
		case <-t.C:
		}
	}
	return errors.Join(errs...)
}

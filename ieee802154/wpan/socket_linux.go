package wpan

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"border-router/internal/mmsg"
)

const (
	ethPIEEE802154 = 0x00f6

	rxBatch = 32
	txBatch = 16
	bufLen  = 128

	// sndBuf lets some 16 frames wait in the kernel, so that others wait here, where they
	// can be dropped for being old.
	sndBuf = 16 << 10
)

// A socket is a packet socket on one interface.
type socket struct {
	f   *os.File
	raw syscall.RawConn
}

// protocol is a protocol number as struct sockaddr_ll has it.
func protocol(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func openSocket(ifindex int, proto uint16) (*socket, error) {
	// Protocol 0 at first: nothing of other interfaces comes in before bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", explain(err))
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sndBuf)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol(proto), Ifindex: ifindex}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind packet socket: %w", explain(err))
	}
	s := &socket{f: os.NewFile(uintptr(fd), "packet")}
	if s.raw, err = s.f.SyscallConn(); err != nil {
		s.f.Close()
		return nil, err
	}
	return s, nil
}

// A reader reads batches of frames.
type reader struct {
	n     int
	errno syscall.Errno
	hdrs  [rxBatch]mmsg.Header
	iovs  [rxBatch]unix.Iovec
	names [rxBatch]unix.RawSockaddrLinklayer
	bufs  [rxBatch][bufLen]byte
	max   int
	fn    func(fd uintptr) bool
}

func newReader() *reader {
	r := &reader{}
	for i := range r.hdrs {
		h := &r.hdrs[i].Hdr
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(bufLen)
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	r.fn = r.recv
	return r
}

func (r *reader) recv(fd uintptr) (ready bool) {
	r.n, r.errno, ready = mmsg.Receive(fd, r.hdrs[:r.max], unix.MSG_TRUNC)
	return ready
}

// read blocks for at least one frame and returns how many came, at most limit.
func (r *reader) read(s *socket, limit int) (int, error) {
	r.max = min(limit, rxBatch)
	for i := range r.hdrs[:r.max] {
		r.hdrs[i].Hdr.Namelen = unix.SizeofSockaddrLinklayer
	}
	r.n, r.errno = 0, 0
	if err := s.raw.Read(r.fn); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	return r.n, nil
}

// frame returns the i-th frame of the last read, whether it is one that this machine sent,
// and whether it did not fit.
func (r *reader) frame(i int) (b []byte, outgoing, tooLong bool) {
	n := r.hdrs[i].N
	return r.bufs[i][:min(n, bufLen)], r.names[i].Pkttype == unix.PACKET_OUTGOING, n > bufLen
}

// A sender sends batches of frames.
type sender struct {
	n, done int
	errno   syscall.Errno
	hdrs    [txBatch]mmsg.Header
	iovs    [txBatch]unix.Iovec
	fn      func(fd uintptr) bool
}

func newSender() *sender {
	o := &sender{}
	for i := range o.hdrs {
		o.hdrs[i].Hdr.Iov = &o.iovs[i]
		o.hdrs[i].Hdr.SetIovlen(1)
	}
	o.fn = o.send
	return o
}

func (o *sender) add(b []byte) {
	o.iovs[o.n].Base = &b[0]
	o.iovs[o.n].SetLen(len(b))
	o.n++
}

func (o *sender) send(fd uintptr) bool {
	for o.done < o.n {
		n, e, ready := mmsg.Send(fd, o.hdrs[o.done:o.n])
		o.done += n
		if e != 0 || !ready {
			o.errno = e
			return ready
		}
	}
	return true
}

// write sends what was added and not sent yet. On an error, o.done is the frame it is about.
func (o *sender) write(s *socket) error {
	o.errno = 0
	if err := s.raw.Write(o.fn); err != nil {
		return err
	}
	if o.errno != 0 {
		return o.errno
	}
	return nil
}

func (o *sender) reset() {
	for i := range o.iovs[:o.n] {
		o.iovs[i].Base = nil
	}
	o.n, o.done = 0, 0
}

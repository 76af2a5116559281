package zep

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"border-router/internal/mmsg"
)

// sockaddr holds a struct sockaddr_in or sockaddr_in6.
type sockaddr [unix.SizeofSockaddrInet6]byte

// A reader reads batches from one socket.
type reader struct {
	s     *socket
	n     int
	errno syscall.Errno
	hdrs  [rxBatch]mmsg.Header
	iovs  [rxBatch]unix.Iovec
	names [rxBatch]sockaddr
	bufs  [rxBatch][rxBufLen]byte
	fn    func(fd uintptr) bool
}

func newReader(s *socket) *reader {
	r := &reader{s: s}
	for i := range r.hdrs {
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(rxBufLen)
		r.hdrs[i].Hdr.Iov = &r.iovs[i]
		r.hdrs[i].Hdr.SetIovlen(1)
		r.hdrs[i].Hdr.Name = &r.names[i][0]
	}
	r.fn = r.recv
	return r
}

func (r *reader) recv(fd uintptr) (ready bool) {
	r.n, r.errno, ready = mmsg.Receive(fd, r.hdrs[:], 0)
	return ready
}

// read blocks for at least one datagram and returns how many came.
func (r *reader) read() (int, error) {
	for i := range r.hdrs {
		r.hdrs[i].Hdr.Namelen = uint32(len(r.names[i]))
	}
	r.n, r.errno = 0, 0
	if err := r.s.raw.Read(r.fn); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	return r.n, nil
}

// datagram returns the i-th datagram of the last read and its sender.
func (r *reader) datagram(i int) ([]byte, netip.AddrPort) {
	return r.bufs[i][:min(r.hdrs[i].N, rxBufLen)], r.names[i].addrPort()
}

func (a *sockaddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(a[2:])
	switch binary.NativeEndian.Uint16(a[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:8])), port)
	case unix.AF_INET6:
		addr := netip.AddrFrom16([16]byte(a[8:24]))
		if scope := binary.NativeEndian.Uint32(a[24:]); scope != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(scope), 10))
		}
		return netip.AddrPortFrom(addr, port)
	}
	return netip.AddrPort{}
}

func (a *sockaddr) set(p netip.AddrPort) uint32 {
	*a = sockaddr{}
	binary.BigEndian.PutUint16(a[2:], p.Port())
	if p.Addr().Is4() {
		binary.NativeEndian.PutUint16(a[:], unix.AF_INET)
		ip := p.Addr().As4()
		copy(a[4:], ip[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(a[:], unix.AF_INET6)
	ip := p.Addr().As16()
	copy(a[8:], ip[:])
	if z := p.Addr().Zone(); z != "" {
		binary.NativeEndian.PutUint32(a[24:], zoneIndex(z))
	}
	return unix.SizeofSockaddrInet6
}

// An outState holds what sendmmsg needs.
type outState struct {
	s     *socket
	done  int
	n     int
	errno syscall.Errno
	hdrs  [txBatch]mmsg.Header
	iovs  [txBatch]unix.Iovec
	names [txBatch]sockaddr
	fn    func(fd uintptr) bool
}

func (o *outState) init() {
	for i := range o.hdrs {
		o.hdrs[i].Hdr.Iov = &o.iovs[i]
		o.hdrs[i].Hdr.SetIovlen(1)
	}
	o.fn = o.sendmmsg
}

func (o *outState) sendmmsg(fd uintptr) bool {
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

// write sends msgs, at most txBatch, which are all for s. A datagram that the system
// refuses is counted and left out.
func (s *socket) write(q *outq, msgs []outMsg) {
	o := &q.os
	for i := range msgs {
		m := &msgs[i]
		o.iovs[i].Base = &q.bufs[m.buf][0]
		o.iovs[i].SetLen(int(q.lens[m.buf]))
		h := &o.hdrs[i].Hdr
		if s.connected {
			h.Name, h.Namelen = nil, 0
		} else {
			h.Name, h.Namelen = &o.names[i][0], o.names[i].set(m.to)
		}
	}
	o.s, o.n, o.done = s, len(msgs), 0
	retried := false
	for o.done < o.n {
		o.errno = 0
		if err := s.raw.Write(o.fn); err != nil {
			return // closed
		}
		switch {
		case o.errno == 0:
		case o.errno == unix.ECONNREFUSED && !retried:
			// The answer to an earlier datagram: this one was not sent yet.
			retried = true
			q.r.refusal()
		default:
			q.r.sendFailed(o.errno)
			o.done++
			retried = false
		}
	}
}

// shareAddress lets several stations on one machine use the port.
func shareAddress(_, _ string, c syscall.RawConn) (err error) {
	e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
	if e != nil {
		return e
	}
	return err
}

// zoneIndex returns the interface index of an IPv6 zone.
func zoneIndex(z string) uint32 {
	if n, err := strconv.ParseUint(z, 10, 32); err == nil {
		return uint32(n)
	}
	if ifi, err := net.InterfaceByName(z); err == nil {
		return uint32(ifi.Index)
	}
	return 0
}

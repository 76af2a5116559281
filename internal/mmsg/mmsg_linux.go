package mmsg

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Header is struct mmsghdr.
type Header struct {
	Hdr unix.Msghdr
	N   uint32 // bytes received or sent
}

// Receive takes messages, at most as many as there are headers, and returns how many. flags
// go with MSG_DONTWAIT. ready is false where there is none yet. errno is what the call failed
// of, else 0.
func Receive(fd uintptr, h []Header, flags int) (n int, errno syscall.Errno, ready bool) {
	return call(unix.SYS_RECVMMSG, fd, h, flags)
}

// Send gives the kernel messages, in order, and returns how many it took. ready is false
// where there is no room for any. errno is what the first failed of, else 0.
func Send(fd uintptr, h []Header) (n int, errno syscall.Errno, ready bool) {
	return call(unix.SYS_SENDMMSG, fd, h, 0)
}

func call(trap, fd uintptr, h []Header, flags int) (n int, errno syscall.Errno, ready bool) {
	for {
		r, _, e := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(h))), uintptr(len(h)), uintptr(unix.MSG_DONTWAIT|flags), 0, 0)
		switch e {
		case 0:
			return int(r), 0, true
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, 0, false
		default:
			return 0, e, true
		}
	}
}

package mmsg_test

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"border-router/internal/mmsg"
)

func Example() {
	fds, _ := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	from, to := os.NewFile(uintptr(fds[0]), "from"), os.NewFile(uintptr(fds[1]), "to")
	defer from.Close()
	defer to.Close()
	_, _ = from.WriteString("one")
	_, _ = from.WriteString("two")

	var bufs [4][64]byte
	var iovs [4]unix.Iovec
	var headers [4]mmsg.Header
	for i := range headers {
		iovs[i].Base = &bufs[i][0]
		iovs[i].SetLen(len(bufs[i]))
		headers[i].Hdr.Iov = &iovs[i]
		headers[i].Hdr.SetIovlen(1)
	}
	raw, _ := to.SyscallConn()
	var n int
	var errno syscall.Errno
	err := raw.Read(func(fd uintptr) (ready bool) {
		n, errno, ready = mmsg.Receive(fd, headers[:], 0)
		return ready
	})
	fmt.Println(n, errno == 0, err)
	for i := range n {
		fmt.Printf("%s\n", bufs[i][:headers[i].N])
	}
	// Output:
	// 2 true <nil>
	// one
	// two
}

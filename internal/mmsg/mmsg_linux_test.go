package mmsg

import (
	"testing"

	"golang.org/x/sys/unix"
)

// batch returns headers, each with a buffer of size bytes.
func batch(n, size int) (h []Header, bufs [][]byte) {
	h = make([]Header, n)
	for i := range h {
		bufs = append(bufs, make([]byte, size))
		iov := &unix.Iovec{Base: &bufs[i][0]}
		iov.SetLen(size)
		h[i].Hdr.Iov = iov
		h[i].Hdr.SetIovlen(1)
	}
	return h, bufs
}

// pair returns two ends of a socket that keeps the bounds of messages.
func pair(t testing.TB) (a, b uintptr) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return uintptr(fds[0]), uintptr(fds[1])
}

func TestReceive(t *testing.T) {
	a, b := pair(t)
	out, sent := batch(3, 5)
	for i := range sent {
		sent[i][0] = byte('a' + i)
	}
	in, got := batch(2, 4)
	// The sockets block, the calls do not.
	if n, errno, ready := Receive(b, in, 0); n != 0 || errno != 0 || ready {
		t.Fatal(n, errno, ready)
	}
	if n, errno, ready := Send(a, out); n != 3 || errno != 0 || !ready || out[2].N != 5 {
		t.Fatal(n, errno, ready, out[2].N)
	}
	// With MSG_TRUNC the length is that of the message, whatever the buffer took.
	if n, errno, ready := Receive(b, in, unix.MSG_TRUNC); n != 2 || errno != 0 || !ready || in[1].N != 5 || got[1][0] != 'b' {
		t.Fatal(n, errno, ready, in[1].N, got[1])
	}
	if n, errno, ready := Receive(b, in, 0); n != 1 || errno != 0 || !ready || in[0].N != 4 || got[0][0] != 'c' {
		t.Fatal(n, errno, ready, in[0].N, got[0])
	}
}

func TestSend(t *testing.T) {
	a, b := pair(t)
	out, _ := batch(8, 1000)
	sent := 0
	for i := 0; ; i++ { // until there is no room
		n, errno, ready := Send(a, out)
		if sent += n; errno != 0 || i > 100000 {
			t.Fatal(sent, errno)
		}
		if !ready {
			if n != 0 {
				t.Error(n)
			}
			break
		}
	}
	in, _ := batch(32, 1000)
	for {
		n, errno, ready := Receive(b, in, 0)
		if sent -= n; errno != 0 {
			t.Fatal(errno)
		}
		if !ready {
			break
		}
	}
	if sent != 0 {
		t.Errorf("%d messages did not come", sent)
	}
}

func TestErrors(t *testing.T) {
	h, _ := batch(1, 1)
	for name, f := range map[string]func(fd uintptr) (int, error, bool){
		"receive": func(fd uintptr) (int, error, bool) { n, e, ready := Receive(fd, h, 0); return n, e, ready },
		"send":    func(fd uintptr) (int, error, bool) { n, e, ready := Send(fd, h); return n, e, ready },
	} {
		fds := make([]int, 2)
		if err := unix.Pipe2(fds, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		if n, err, ready := f(uintptr(fds[0])); n != 0 || err != unix.ENOTSOCK || !ready {
			t.Error(name, n, err, ready)
		}
		unix.Close(fds[0])
		unix.Close(fds[1])
	}
	a, b := pair(t)
	unix.Shutdown(int(b), unix.SHUT_RDWR)
	if n, err, ready := Send(a, h); n != 0 || err != unix.EPIPE || !ready {
		t.Error(n, err, ready)
	}
	if n, errno, ready := Send(a, nil); n != 0 || errno != 0 || !ready {
		t.Error(n, errno, ready)
	}
}

func TestAllocs(t *testing.T) {
	a, b := pair(t)
	out, _ := batch(4, 100)
	in, _ := batch(4, 100)
	if n := testing.AllocsPerRun(100, func() {
		Send(a, out)
		Receive(b, in, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBatch(b *testing.B) {
	from, to := pair(b)
	out, _ := batch(32, 100)
	in, _ := batch(32, 100)
	b.ReportAllocs()
	for b.Loop() {
		if n, _, _ := Send(from, out); n != 32 {
			b.Fatal(n)
		}
		if n, _, _ := Receive(to, in, 0); n != 32 {
			b.Fatal(n)
		}
	}
}

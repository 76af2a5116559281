package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"border-router/internal/config"
	"border-router/internal/daemon"
	"border-router/ipv6"
)

// The process that is measured is this program again, in a role of its own, so that the
// time it takes is that of the router alone, or of the bare loop alone.
const roleEnv = "BORDER_ROUTER_BENCH_ROLE"

// A role is what a child process does.
type role struct {
	Router bool // the whole router; else a bare loop
	Down   bool // of a bare loop: from the TUN to ZEP; else up
	Ack    bool // of a bare loop: acknowledgments go the other way
	TUN    string
	MAC    []byte // with an Ethernet interface instead of the TUN: ours on it
	ZEP    netip.AddrPort
	Dir    string       // of the router: its state and socket
	Prefix netip.Prefix // of the mesh
	Node   netip.AddrPort
}

func TestMain(m *testing.M) {
	s := os.Getenv(roleEnv)
	if s == "" {
		os.Exit(m.Run())
	}
	var r role
	err := json.Unmarshal([]byte(s), &r)
	if err == nil {
		err = r.run()
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// run starts the role and answers the parent's questions until its end of the pipe closes.
func (r *role) run() error {
	ended := make(chan error, 1)
	if r.Router {
		cfg := config.Default()
		cfg.Radios = []config.Radio{config.Radio(fmt.Sprintf("zep://%v?mode=hub&pan=%#04x&pace=off&eui64=%016x", r.ZEP, pan, uint64(routerEUI)))}
		cfg.Uplink = config.Uplink{Kind: config.UplinkTUN, Name: r.TUN}
		if r.MAC != nil {
			cfg.Uplink = config.Uplink{Kind: config.UplinkEthernet, Name: r.TUN, MAC: ipv6.EUI48([6]byte(r.MAC))}
		}
		cfg.Prefixes = []netip.Prefix{r.Prefix}
		cfg.StateDir, cfg.Socket = r.Dir, r.Dir+"/socket"
		d, err := daemon.New(context.Background(), cfg, daemon.Options{})
		if err != nil {
			return err
		}
		go func() { ended <- d.Run(context.Background()) }()
	} else if r.MAC != nil {
		l, err := r.newEthernetLoop()
		if err != nil {
			return err
		}
		go func() { ended <- l.run() }()
	} else {
		l, err := r.newLoop()
		if err != nil {
			return err
		}
		go func() { ended <- l.run() }()
	}
	fmt.Println("ready")
	ask := make(chan string)
	go func() {
		defer close(ask)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			ask <- s.Text()
		}
	}()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("ended early: %w", err)
		case q, ok := <-ask:
			if !ok {
				return nil
			}
			what, arg, _ := strings.Cut(q, " ")
			switch what {
			case "profile":
				f, err := os.Create(arg)
				if err == nil {
					err = pprof.StartCPUProfile(f)
				}
				if err != nil {
					return err
				}
				fmt.Println("ok")
			case "stop":
				pprof.StopCPUProfile()
				fmt.Println("ok")
			}
		}
	}
}

// batch is how many frames the bare loop moves at once: as many as the router does.
const batch = 32

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// An mmsg holds what recvmmsg and sendmmsg need.
type mmsg struct {
	hdrs  [batch]mmsghdr
	iovs  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet6
	bufs  [batch][192]byte
}

func newMmsg() *mmsg {
	m := new(mmsg)
	for i := range m.hdrs {
		m.iovs[i].Base = &m.bufs[i][0]
		m.iovs[i].SetLen(len(m.bufs[i]))
		h := &m.hdrs[i].hdr
		h.Iov, h.Name = &m.iovs[i], (*byte)(unsafe.Pointer(&m.names[i]))
		h.SetIovlen(1)
		h.Namelen = unix.SizeofSockaddrInet6
	}
	return m
}

// A loop makes the system calls of the router, on the same kinds of descriptor and in the
// same batches, and nothing else.
type loop struct {
	role
	tun, udp syscall.RawConn
	rx, tx   *mmsg
	n        int // received, read or to send
	done     int
	packet   []byte // what every write to the TUN is
	scratch  [2048]byte
	errno    syscall.Errno
	keep     [2]any
	recvFn   func(uintptr) bool
	sendFn   func(uintptr) bool
	readTUN  func(uintptr) bool
	writeTUN func(uintptr) bool
}

func (r *role) newLoop() (*loop, error) {
	l := &loop{role: *r, rx: newMmsg(), tx: newMmsg()}
	conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(r.ZEP))
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(1 << 20); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(r.TUN)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), r.TUN)
	l.keep = [2]any{conn, file}
	link, err := netlink.LinkByName(r.TUN)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(netlink.LinkSetMTU(link, ipv6.MinMTU), netlink.LinkSetUp(link)); err != nil {
		return nil, err
	}
	route := netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: r.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(r.Prefix.Bits(), 128)}}
	if err := netlink.RouteAdd(&route); err != nil {
		return nil, err
	}
	if l.udp, err = conn.SyscallConn(); err != nil {
		return nil, err
	}
	if l.tun, err = file.SyscallConn(); err != nil {
		return nil, err
	}
	l.packet = ipv6.AppendUDP(nil, netip.AddrPortFrom(r.Prefix.Addr().Next(), 5683), netip.AddrPortFrom(lanHost, 40000), 64, make([]byte, packetSize-48))
	l.recvFn, l.sendFn, l.readTUN, l.writeTUN = l.recvmmsg, l.sendmmsg, l.read, l.write
	return l, nil
}

func (l *loop) recvmmsg(fd uintptr) bool {
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&l.rx.hdrs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		l.n, l.errno = int(n), e
		return true
	}
}

func (l *loop) sendmmsg(fd uintptr) bool {
	for l.done < l.n {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&l.tx.hdrs[l.done])), uintptr(l.n-l.done), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			l.done += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			l.errno = e
			return true
		}
	}
	return true
}

func (l *loop) read(fd uintptr) bool {
	for l.n < batch {
		_, err := unix.Read(int(fd), l.scratch[:])
		switch err {
		case nil:
			if l.scratch[6] == ipv6.ProtoUDP { // not what the kernel says about itself
				l.n++
			}
		case unix.EAGAIN:
			return l.n > 0
		case unix.EINTR:
		default:
			l.errno = unix.EIO
			return true
		}
	}
	return true
}

func (l *loop) write(fd uintptr) bool {
	for {
		_, err := unix.Write(int(fd), l.packet)
		if err != unix.EINTR {
			return true
		}
	}
}

func (l *loop) run() error {
	step := l.up
	if l.Down {
		step = l.down
	}
	for {
		if err := step(); err != nil {
			return err
		}
		if l.errno != 0 {
			return l.errno
		}
	}
}

// up moves a batch of datagrams to the TUN; with Ack each is answered first, with a
// datagram as long as that of an acknowledgment.
func (l *loop) up() error {
	for i := range l.rx.hdrs {
		l.rx.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	if err := l.udp.Read(l.recvFn); err != nil {
		return err
	}
	n := l.n
	if l.Ack {
		for i := range n {
			l.tx.names[i] = l.rx.names[i]
			l.tx.iovs[i].SetLen(copy(l.tx.bufs[i][:], ackDatagram(l.rx.bufs[i][zepHeader+offSeq])))
		}
		l.done = 0
		if err := l.udp.Write(l.sendFn); err != nil {
			return err
		}
	}
	for range n {
		if err := l.tun.Write(l.writeTUN); err != nil {
			return err
		}
	}
	return nil
}

// down moves a batch of packets to ZEP; with Ack one at a time, and waits for the answer.
func (l *loop) down() error {
	l.n = 0
	if err := l.tun.Read(l.readTUN); err != nil {
		return err
	}
	n := l.n
	for i := range n {
		name := &l.tx.names[i]
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: l.Node.Addr().As16()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], l.Node.Port())
		b := &l.tx.bufs[i]
		b[zepHeader] = 0x41
		if l.Ack {
			b[zepHeader] |= ackRequest
		}
		l.tx.iovs[i].SetLen(zepHeader + frameSize + 2)
	}
	l.done = 0
	if !l.Ack {
		return l.udp.Write(l.sendFn)
	}
	for i := range n {
		l.n = i + 1
		if err := l.udp.Write(l.sendFn); err != nil {
			return err
		}
		if err := l.udp.Read(l.recvFn); err != nil {
			return err
		}
	}
	return nil
}

// waitStopped waits until a process that was sent SIGSTOP has stopped.
func waitStopped(pid int) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		if _, rest, ok := strings.Cut(string(b), ") "); ok && rest[0] == 'T' {
			return nil
		}
	}
	return errors.New("the process does not stop")
}

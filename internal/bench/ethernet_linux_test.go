package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	xipv6 "golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
	"border-router/ipv6"
	"border-router/nd"
)

// As many frames as the router reads from and writes to an Ethernet interface at once, and
// what stands before the packet there: a virtio header and that of Ethernet.
const (
	ethernetRx     = 16
	ethernetTx     = 32
	ethernetHeader = 10 + 14
)

// A pipe is one direction of a socket, in batches.
type pipe struct {
	raw     syscall.RawConn
	m       *mmsg
	most    int
	n, done int
	errno   syscall.Errno
	recvFn  func(uintptr) bool
	sendFn  func(uintptr) bool
}

func newPipe(raw syscall.RawConn, most int, named bool) *pipe {
	p := &pipe{raw: raw, m: newMmsg(), most: most}
	if !named {
		for i := range p.m.hdrs {
			p.m.hdrs[i].hdr.Name, p.m.hdrs[i].hdr.Namelen = nil, 0
		}
	}
	p.recvFn, p.sendFn = p.recv, p.send
	return p
}

func (p *pipe) recv(fd uintptr) bool {
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&p.m.hdrs[0])), uintptr(p.most), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		p.n, p.errno = int(n), e
		return true
	}
}

func (p *pipe) send(fd uintptr) bool {
	for p.done < p.n {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&p.m.hdrs[p.done])), uintptr(min(p.n-p.done, p.most)), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			p.done += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			p.errno = e
			return true
		}
	}
	return true
}

// An ethernetLoop makes the system calls of the router on a packet socket and that of ZEP, and
// nothing else.
type ethernetLoop struct {
	role
	in, out *pipe
	keep    [2]any
}

func (r *role) newEthernetLoop() (*ethernetLoop, error) {
	conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(r.ZEP))
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(1 << 20); err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(r.TUN)
	if err != nil {
		return nil, err
	}
	const protocol = unix.ETH_P_IPV6<<8&0xff00 | unix.ETH_P_IPV6>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
			Ifindex: int32(link.Attrs().Index), Type: unix.PACKET_MR_UNICAST, Alen: 6, Address: [8]uint8(append(append([]byte(nil), r.MAC...), 0, 0)),
		}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index}),
	); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), r.TUN)
	udp, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	eth, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &ethernetLoop{role: *r, keep: [2]any{conn, file}}
	if r.Down {
		l.in, l.out = newPipe(eth, ethernetRx, false), newPipe(udp, batch, true)
		return l, nil
	}
	l.in, l.out = newPipe(udp, batch, true), newPipe(eth, ethernetTx, false)
	p := ipv6.AppendUDP(nil, netip.AddrPortFrom(r.Prefix.Addr().Next(), 5683), netip.AddrPortFrom(lanHost, 40000), 64, make([]byte, packetSize-48))
	for i := range l.out.m.hdrs {
		b := l.out.m.bufs[i][:]
		copy(b[10:], []byte{0x02, 0xcc, 0, 0, 0, 1})
		copy(b[16:], r.MAC)
		binary.BigEndian.PutUint16(b[22:], unix.ETH_P_IPV6)
		l.out.m.iovs[i].SetLen(ethernetHeader + copy(b[ethernetHeader:], p))
	}
	return l, nil
}

func (l *ethernetLoop) run() error {
	for {
		m := l.in.m
		if !l.Down {
			for i := range m.hdrs {
				m.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
			}
		}
		if err := l.in.raw.Read(l.in.recvFn); err != nil {
			return err
		}
		out := l.out
		out.n, out.done = 0, 0
		for i := range l.in.n {
			if l.Down {
				if m.bufs[i][10]&1 != 0 {
					continue // what the kernel says to all
				}
				name := &out.m.names[out.n]
				*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: l.Node.Addr().As16()}
				binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], l.Node.Port())
				out.m.bufs[out.n][zepHeader] = 0x41
				out.m.iovs[out.n].SetLen(zepHeader + frameSize + 2)
			}
			out.n++
		}
		if err := out.raw.Write(out.sendFn); err != nil {
			return err
		}
		if l.in.errno != 0 || out.errno != 0 {
			return max(l.in.errno, out.errno)
		}
	}
}

var ethernetLoads = []load{
	{"up", false, false, burst, true},
	{"up-one-by-one", false, false, 1, false},
	{"down", true, false, burst, true},
	{"down-one-by-one", true, false, 1, false},
}

// newEthernetSides starts the router and the bare loop, each with an Ethernet link to a host
// of its own.
func newEthernetSides(tb testing.TB, l load) (sides []*side) {
	ns := netnstest.New(tb)
	for i := range 2 {
		lan := netnstest.New(tb)
		name := fmt.Sprintf("bench%d", i)
		ns.LinkTo(lan, name, "eth0")
		ns.Sysctl("net.ipv6.conf."+name+".disable_ipv6", "1")
		mac := []byte{0x02, 0xbb, 0, 0, 0, byte(i)}
		lan.MustExec("ip", "link", "set", "eth0", "address", "02:cc:00:00:00:01")
		lan.AddAddress("eth0", netip.PrefixFrom(lanHost, 64))
		lan.MustExec("ip", "-6", "neigh", "add", "fe80::b", "lladdr", net.HardwareAddr(mac).String(), "dev", "eth0", "nud", "permanent")
		lan.MustExec("ip", "-6", "route", "add", "fd00:6c0::/32", "via", "fe80::b", "dev", "eth0")
		var sink *net.UDPConn
		lan.Do(func() {
			var err error
			if sink, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lanHost, 40000))); err != nil {
				tb.Fatal(err)
			}
		})
		tb.Cleanup(func() { sink.Close() })
		s := newSideTo(tb, ns, lan, role{Router: i == 0, Down: l.down, MAC: mac}, i)
		if i == 0 {
			s.acquaint(lan)
		}
		sides = append(sides, s)
	}
	if l.down {
		sides[0].meet()
	}
	return sides
}

// acquaint has the router know that the host is on its link, and waits until packets pass.
func (s *side) acquaint(lan *netnstest.NS) {
	var conn net.PacketConn
	lan.Do(func() {
		var err error
		if conn, err = net.ListenPacket("ip6:ipv6-icmp", "::"); err != nil {
			s.tb.Fatal(err)
		}
	})
	defer conn.Close()
	var eth0 *net.Interface
	lan.Do(func() {
		var err error
		if eth0, err = net.InterfaceByName("eth0"); err != nil {
			s.tb.Fatal(err)
		}
	})
	ra, _ := nd.RouterAdvertisement{}.AppendBinary(nil)
	ra, _ = nd.PrefixInfo{Prefix: netip.PrefixFrom(lanHost, 64).Masked(), OnLink: true, Valid: nd.Infinity, Preferred: nd.Infinity}.AppendBinary(ra)
	all := &net.IPAddr{IP: net.ParseIP("ff02::1"), Zone: strconv.Itoa(eth0.Index)}
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err := xipv6.NewPacketConn(conn).WriteTo(ra, &xipv6.ControlMessage{HopLimit: 255, IfIndex: eth0.Index}, all); err != nil {
			s.tb.Fatal(err)
		}
		s.turn = 0
		send(s.tb, s.lan, s.down[:1])
		_ = s.air.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := xipv6.NewPacketConn(s.air).ReadBatch(s.rx, 0); err == nil && n > 0 {
			break
		}
		s.greet()
		if time.Now().After(end) {
			s.tb.Fatal("no packet passes the router")
		}
	}
	for end, passed := time.Now().Add(20*time.Second), 0; passed < 3; { // and the way up
		before := s.written()
		s.greet()
		time.Sleep(50 * time.Millisecond)
		if passed++; s.written() < before+nodes {
			passed = 0
		}
		if time.Now().After(end) {
			s.tb.Fatal("no packet comes out of the interface")
		}
	}
	s.turn = 0
	for {
		_ = s.air.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := xipv6.NewPacketConn(s.air).ReadBatch(s.rx, 0); err != nil {
			return
		}
	}
}

// greet has every node send a frame, none with a sequence number that it has in the burst.
func (s *side) greet() {
	frame := captured(s.tb, "frame", "coap")[0]
	var ms []xipv6.Message
	for k := range uint64(nodes) {
		s.greeted++
		b := datagram(fromNode(frame, nodeEUI+k, uint8(k+1)%nodes+uint8(s.greeted/nodes)*nodes, s.role.Ack))
		ms = append(ms, xipv6.Message{Buffers: [][]byte{b}})
	}
	send(s.tb, s.air, ms)
}

// BenchmarkEthernet is BenchmarkProcess with an Ethernet uplink: from ZEP to an Ethernet
// interface (up) and back (down).
func BenchmarkEthernet(b *testing.B) {
	for _, l := range ethernetLoads {
		b.Run(l.name, func(b *testing.B) { measure(b, l, newEthernetSides(b, l)) })
	}
}

// TestEthernet makes sure that what BenchmarkEthernet measures does take place.
func TestEthernet(t *testing.T) {
	for _, l := range ethernetLoads {
		t.Run(l.name, func(t *testing.T) {
			for _, s := range newEthernetSides(t, l) {
				if lost := s.load(l); lost > 0 {
					t.Errorf("router %v: %d frames of %d lost", s.role.Router, lost, l.n)
				}
			}
		})
	}
}

package zep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	rxBatch   = 32  // datagrams taken from a socket at once
	rxBufLen  = 192 // longer than any datagram, so that a longer one is seen to be
	txBatch   = 32  // datagrams given to a socket at once
	outBufs   = 2 * rxBatch
	outCopies = 128
	sockBuf   = 1 << 20 // bytes asked for as SO_RCVBUF
)

// A socket is one UDP socket in Go's poller. Reading belongs to one goroutine.
type socket struct {
	conn      *net.UDPConn
	raw       syscall.RawConn
	v6        bool
	connected bool // a client's: the peer is fixed, and refusals are reported
	index     uint8
	local     netip.AddrPort
}

func newSocket(conn *net.UDPConn, connected bool, index int) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(sockBuf) // best effort: the system may cap it
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &socket{conn: conn, raw: raw, connected: connected, index: uint8(index),
		v6: local.Addr().Is6() && !local.Addr().Is4In6(), local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}, nil
}

func udp(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}

// listenHub opens a socket that others send to.
func listenHub(a netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP(udp(a.Addr()), net.UDPAddrFromAddrPort(a))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %v: the port is in use: another border-router or RIOT dispatcher is using it; "+
			"stop it, choose another port with zep://[::1]:PORT, or join it with ?mode=client", a)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("listen on %v: this machine has no such address; choose one of its own: %w", a, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %v: %w", a, err)
	}
	return conn, nil
}

// listenBroadcast opens a socket that shares its port with other stations on this machine
// and has joined the group, if remote is one.
func listenBroadcast(local, remote netip.AddrPort, iface string) (*net.UDPConn, error) {
	var ifi *net.Interface
	var err error
	if iface != "" {
		if ifi, err = net.InterfaceByName(iface); err != nil {
			return nil, fmt.Errorf("interface %q: %w", iface, err)
		}
	}
	lc := net.ListenConfig{}
	if remote.Addr().IsMulticast() || isBroadcast(remote.Addr()) {
		lc.Control = shareAddress
	}
	pc, err := lc.ListenPacket(context.Background(), udp(remote.Addr()), local.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %v: the port is in use: another border-router or lwIP node is using it; choose another with listen=ADDRESS:PORT", local)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %v: %w", local, err)
	}
	conn := pc.(*net.UDPConn)
	if !remote.Addr().IsMulticast() {
		return conn, nil
	}
	group := &net.UDPAddr{IP: remote.Addr().AsSlice()}
	if remote.Addr().Is4() {
		p := ipv4.NewPacketConn(conn)
		if err = p.JoinGroup(ifi, group); err == nil && ifi != nil {
			err = p.SetMulticastInterface(ifi)
		}
		if err == nil {
			err = p.SetMulticastLoopback(true)
		}
	} else {
		p := ipv6.NewPacketConn(conn)
		if err = p.JoinGroup(ifi, group); err == nil && ifi != nil {
			err = p.SetMulticastInterface(ifi)
		}
		if err == nil {
			err = p.SetMulticastLoopback(true)
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("join group %v: %w; choose the interface with iface=NAME", remote.Addr(), err)
	}
	return conn, nil
}

// isBroadcast reports whether a is likely an IPv4 broadcast address: the limited one, or
// one whose last byte is 255.
func isBroadcast(a netip.Addr) bool { return a.Is4() && a.As4()[3] == 255 }

// An outMsg is one datagram to send: a buffer of the outq, a socket, and an address, which
// is not valid on a connected socket.
type outMsg struct {
	buf  uint8
	sock uint8
	to   netip.AddrPort
}

// An outq collects datagrams so that one system call sends many. It belongs to one
// goroutine.
type outq struct {
	r    *Radio
	nbuf int
	n    int
	lens [outBufs]uint8
	msgs [outCopies]outMsg
	bufs [outBufs][maxDatagram + 1]byte
	os   outState
}

func newOutq(r *Radio) *outq {
	q := &outq{r: r}
	q.os.init()
	return q
}

// encode makes the datagram of a frame without FCS and returns its buffer.
func (q *outq) encode(h *Header, frame []byte) uint8 {
	if q.nbuf == outBufs {
		q.flush()
	}
	i := q.nbuf
	q.nbuf++
	b := q.bufs[i][:headerLenV2]
	putHeader(b, h, len(frame)+2)
	b = append(b, frame...)
	crc := fcs(frame)
	b = append(b, byte(crc), byte(crc>>8))
	q.lens[i] = uint8(len(b))
	return uint8(i)
}

// add sends buffer buf to one receiver.
func (q *outq) add(buf, sock uint8, to netip.AddrPort) {
	if q.n == outCopies {
		q.send()
	}
	q.msgs[q.n] = outMsg{buf, sock, to}
	q.n++
}

// send gives what was added to the sockets; the buffers stay.
func (q *outq) send() {
	for i := 0; i < q.n; {
		j := i + 1
		for j < q.n && j-i < txBatch && q.msgs[j].sock == q.msgs[i].sock {
			j++
		}
		q.r.socks[q.msgs[i].sock].write(q, q.msgs[i:j])
		i = j
	}
	q.n = 0
}

// flush sends everything and frees the buffers.
func (q *outq) flush() {
	q.send()
	q.nbuf = 0
}

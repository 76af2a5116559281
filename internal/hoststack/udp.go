package hoststack

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	gipv6 "gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A UDPConn is a UDP socket: a net.PacketConn and, when it was dialed, a net.Conn. A
// datagram that does not fit into the buffer is cut, as on the kernel's sockets.
type UDPConn struct {
	s           *Stack
	ep          tcpip.Endpoint
	wq          waiter.Queue
	closed      atomic.Bool
	done        chan struct{}
	connected   bool
	read, write deadline
}

// ListenPacket opens a UDP socket. The zero or unspecified address stands for all own
// addresses and joined groups, port 0 for a free one. What is returned is a [*UDPConn].
func (s *Stack) ListenPacket(local netip.AddrPort) (net.PacketConn, error) {
	c, err := s.openUDP("listen", local)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialUDP opens a UDP socket that is connected to remote; it reports ICMPv6 port
// unreachable as ECONNREFUSED. The zero local address lets the stack choose. What is
// returned is a [*UDPConn].
func (s *Stack) DialUDP(local, remote netip.AddrPort) (net.Conn, error) {
	if err := s.checkSocketAddr("dial", "udp", remote, true); err != nil {
		return nil, err
	}
	c, err := s.openUDP("dial", local)
	if err != nil {
		return nil, err
	}
	if terr := c.ep.Connect(fullAddress(remote)); terr != nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: net.UDPAddrFromAddrPort(remote), Err: asError(terr)}
	}
	c.connected = true
	return c, nil
}

func (s *Stack) openUDP(op string, local netip.AddrPort) (*UDPConn, error) {
	if err := s.checkSocketAddr(op, "udp", local, false); err != nil {
		return nil, err
	}
	c := &UDPConn{s: s, done: make(chan struct{})}
	ep, terr := s.st.NewEndpoint(udp.ProtocolNumber, gipv6.ProtocolNumber, &c.wq)
	if terr != nil {
		return nil, &net.OpError{Op: op, Net: "udp", Err: asError(terr)}
	}
	c.ep = ep
	ep.SocketOptions().SetV6Only(true)
	ep.SocketOptions().SetIPv6ReceivePacketInfo(true)
	if terr := ep.Bind(fullAddress(local)); terr != nil {
		ep.Close()
		return nil, &net.OpError{Op: op, Net: "udp", Addr: net.UDPAddrFromAddrPort(local), Err: asError(terr)}
	}
	return c, nil
}

func (c *UDPConn) opError(op string, addr net.Addr, err error) error {
	if c.closed.Load() {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: addr, Err: err}
}

// ReadFromTo reads one datagram and tells which of our addresses, or which group, it was
// sent to, so that [UDPConn.WriteFromTo] can answer from there.
func (c *UDPConn) ReadFromTo(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	limit := c.read.wait()
	w := tcpip.SliceWriter(b)
	opts := tcpip.ReadOptions{NeedRemoteAddr: true}
	var notify chan struct{}
	for {
		if isDone(limit) {
			return 0, netip.AddrPort{}, netip.Addr{}, c.opError("read", nil, os.ErrDeadlineExceeded)
		}
		res, terr := c.ep.Read(&w, opts)
		if terr == nil || res.Total > 0 {
			if info := res.ControlMessages; info.HasIPv6PacketInfo && info.IPv6PacketInfo.Addr.Len() == 16 {
				to = netip.AddrFrom16(info.IPv6PacketInfo.Addr.As16())
			}
			return res.Count, c.s.addrPort(res.RemoteAddr), to, nil
		}
		if _, block := terr.(*tcpip.ErrWouldBlock); !block {
			return 0, netip.AddrPort{}, netip.Addr{}, c.opError("read", nil, asError(terr))
		}
		if notify == nil {
			var entry waiter.Entry
			entry, notify = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr)
			c.wq.EventRegister(&entry)
			defer c.wq.EventUnregister(&entry)
			continue
		}
		select {
		case <-notify:
		case <-limit:
		case <-c.done:
			return 0, netip.AddrPort{}, netip.Addr{}, c.opError("read", nil, net.ErrClosed)
		}
	}
}

// WriteFromTo sends b to the address to, with the source address from; the zero from lets
// the stack choose (RFC 6724), and so does a group, which cannot be a source.
func (c *UDPConn) WriteFromTo(b []byte, from netip.Addr, to netip.AddrPort) (int, error) {
	if err := c.s.checkSocketAddr("write", "udp", to, true); err != nil {
		return 0, err
	}
	dst := fullAddress(to)
	opts := tcpip.WriteOptions{To: &dst}
	if from.Is6() && !from.IsMulticast() && !from.IsUnspecified() {
		opts.ControlMessages.HasIPv6PacketInfo = true
		opts.ControlMessages.IPv6PacketInfo = tcpip.IPv6PacketInfo{NIC: nicID, Addr: address(from)}
	}
	return c.send(b, opts, to)
}

func (c *UDPConn) send(b []byte, opts tcpip.WriteOptions, to netip.AddrPort) (int, error) {
	var addr net.Addr
	if to.IsValid() {
		addr = net.UDPAddrFromAddrPort(to)
	}
	limit := c.write.wait()
	var notify chan struct{}
	for {
		if isDone(limit) {
			return 0, c.opError("write", addr, os.ErrDeadlineExceeded)
		}
		n, terr := c.ep.Write(bytes.NewReader(b), opts)
		if terr == nil {
			return int(n), nil
		}
		if _, block := terr.(*tcpip.ErrWouldBlock); !block {
			return 0, c.opError("write", addr, asError(terr))
		}
		if notify == nil {
			var entry waiter.Entry
			entry, notify = waiter.NewChannelEntry(waiter.WritableEvents)
			c.wq.EventRegister(&entry)
			defer c.wq.EventUnregister(&entry)
			continue
		}
		select {
		case <-notify:
		case <-limit:
		case <-c.done:
			return 0, c.opError("write", addr, net.ErrClosed)
		}
	}
}

// SetMulticastHops sets the hop limit of what is sent to groups, 1 by default (RFC 3493
// section 5.2).
func (c *UDPConn) SetMulticastHops(n int) error {
	if n < 0 || n > 255 {
		return c.opError("set", nil, syscall.EINVAL)
	}
	if err := c.ep.SetSockOptInt(tcpip.MulticastTTLOption, n); err != nil {
		return c.opError("set", nil, asError(err))
	}
	return nil
}

// ReadFromUDPAddrPort reads one datagram.
func (c *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, _, err := c.ReadFromTo(b)
	return n, from, err
}

// WriteToUDPAddrPort sends one datagram.
func (c *UDPConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.WriteFromTo(b, netip.Addr{}, to)
}

// ReadFrom reads one datagram; the address is a *net.UDPAddr.
func (c *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, _, err := c.ReadFromTo(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

var errNotUDP = errors.New("address is not a *net.UDPAddr with an IPv6 address")

// WriteTo sends one datagram to addr, a *net.UDPAddr.
func (c *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok || u == nil {
		return 0, c.opError("write", addr, errNotUDP)
	}
	return c.WriteFromTo(b, netip.Addr{}, u.AddrPort())
}

// Read reads one datagram.
func (c *UDPConn) Read(b []byte) (int, error) {
	n, _, _, err := c.ReadFromTo(b)
	return n, err
}

// Write sends one datagram to the address that was dialed.
func (c *UDPConn) Write(b []byte) (int, error) {
	return c.send(b, tcpip.WriteOptions{}, netip.AddrPort{})
}

// Close closes the socket and wakes who waits in it.
func (c *UDPConn) Close() error {
	if c.closed.Swap(true) {
		return &net.OpError{Op: "close", Net: "udp", Err: net.ErrClosed}
	}
	close(c.done)
	c.ep.Close()
	return nil
}

// LocalAddr returns the bound address, a *net.UDPAddr.
func (c *UDPConn) LocalAddr() net.Addr {
	a, err := c.ep.GetLocalAddress()
	if err != nil {
		return (*net.UDPAddr)(nil)
	}
	return net.UDPAddrFromAddrPort(c.s.addrPort(a))
}

// RemoteAddr returns the address that was dialed, a *net.UDPAddr, or nil.
func (c *UDPConn) RemoteAddr() net.Addr {
	if !c.connected {
		return nil
	}
	a, err := c.ep.GetRemoteAddress()
	if err != nil {
		return nil
	}
	return net.UDPAddrFromAddrPort(c.s.addrPort(a))
}

// SetDeadline sets both deadlines; a zero time is none.
func (c *UDPConn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

// SetReadDeadline sets the time at which reads give up, those that wait now included.
func (c *UDPConn) SetReadDeadline(t time.Time) error { c.read.set(t); return nil }

// SetWriteDeadline sets the time at which writes give up.
func (c *UDPConn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

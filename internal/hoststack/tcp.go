package hoststack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	gipv6 "gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections wait for Accept at most; beyond that SYN cookies are
// used, which keep no state.
const backlog = 32

type listener struct {
	*gonet.TCPListener
	closed atomic.Bool
}

// ListenTCP opens a listening TCP socket. The zero or unspecified address stands for all
// own addresses, port 0 for a free one.
func (s *Stack) ListenTCP(local netip.AddrPort) (net.Listener, error) {
	if err := s.checkSocketAddr("listen", "tcp", local, false); err != nil {
		return nil, err
	}
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(local), Err: err}
	}
	wq := new(waiter.Queue)
	ep, terr := s.st.NewEndpoint(tcp.ProtocolNumber, gipv6.ProtocolNumber, wq)
	if terr != nil {
		return fail(asError(terr))
	}
	ep.SocketOptions().SetV6Only(true)
	ep.SocketOptions().SetReuseAddress(true) // past connections in TIME_WAIT do not hold the port
	if terr = ep.Bind(fullAddress(local)); terr == nil {
		terr = ep.Listen(backlog)
	}
	if terr != nil {
		ep.Close()
		return fail(asError(terr))
	}
	return &listener{TCPListener: gonet.NewTCPListener(s.st, wq, ep)}, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil {
		if l.closed.Load() {
			err = &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		}
		return nil, translate(err, false)
	}
	return &tcpConn{TCPConn: c.(*gonet.TCPConn)}, nil
}

// Close closes the socket and wakes who waits in Accept.
func (l *listener) Close() error {
	if l.closed.Swap(true) {
		return &net.OpError{Op: "close", Net: "tcp", Err: net.ErrClosed}
	}
	l.Shutdown()
	return l.TCPListener.Close()
}

type tcpConn struct {
	*gonet.TCPConn
	closed atomic.Bool
}

// DialTCP opens a TCP connection to remote. The connection's CloseWrite closes one
// direction, as that of *net.TCPConn does.
func (s *Stack) DialTCP(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	if err := s.checkSocketAddr("dial", "tcp", remote, true); err != nil {
		return nil, err
	}
	c, err := gonet.DialContextTCP(ctx, s.st, fullAddress(remote), gipv6.ProtocolNumber)
	switch {
	case err == nil:
		return &tcpConn{TCPConn: c}, nil
	case ctx.Err() != nil:
		err = &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(remote), Err: ctx.Err()}
	}
	return nil, translate(err, false)
}

// Read reads from the connection.
func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if errors.Is(err, io.EOF) {
		if c.closed.Load() {
			return n, &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
		}
		return n, io.EOF
	}
	return n, translate(err, c.closed.Load())
}

// Write writes to the connection.
func (c *tcpConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, translate(err, c.closed.Load())
}

// Close closes the connection; what was written is still sent.
func (c *tcpConn) Close() error {
	if c.closed.Swap(true) {
		return &net.OpError{Op: "close", Net: "tcp", Err: net.ErrClosed}
	}
	return c.TCPConn.Close()
}

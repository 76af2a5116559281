package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// The client port may be another client's, which somebody may end: it is tried again, after
// a second at first and then less and less often.
const (
	firstPortRetry = time.Second
	lastPortRetry  = time.Minute
)

// A dhcpConn is the socket of the DHCPv6 client where the kernel has the link-local address.
type dhcpConn struct {
	udp   *net.UDPConn // nil: not open
	addr  netip.Addr   // it is bound to, with its zone
	again time.Time    // when opening it is tried again; zero: not
	wait  time.Duration
	why   string // it is not open; empty: it is, or is not to be
}

func (s *dhcpConn) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	*s = dhcpConn{}
}

func (s *dhcpConn) send(dst netip.AddrPort, payload []byte) {
	if s.udp == nil {
		return
	}
	if a := dst.Addr(); a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
		dst = netip.AddrPortFrom(a.WithZone(s.addr.Zone()), dst.Port())
	}
	_, _ = s.udp.WriteToUDPAddrPort(payload, dst)
}

// source is the address and the interface that the client speaks from beside the kernel.
func (l *lan) source() netip.Addr {
	return l.state.LinkLocal.WithZone(strconv.Itoa(l.state.Index)) // which has any name
}

// open opens the socket. Where it cannot be, it is tried again later.
func (c *dhcpClient) open(now time.Time) bool {
	s, name := &c.conn, c.l.state.Name
	s.again = time.Time{}
	if !c.l.up || !c.l.state.LinkLocal.IsValid() {
		return false // told when they are
	}
	addr := c.l.source()
	udp, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, dhcpClientPort)))
	if err == nil {
		if s.why != "" {
			c.l.d.log.Info("the DHCPv6 client port is free: a prefix is asked for", "interface", name)
		}
		*s = dhcpConn{udp: udp, addr: addr}
		go c.read(udp)
		return true
	}
	why := fmt.Sprintf("the DHCPv6 client port cannot be opened: %v", err)
	if errors.Is(err, syscall.EADDRINUSE) {
		why = fmt.Sprintf("another program has the DHCPv6 client port (UDP 546) of %s: have it leave DHCPv6 there to border-router (ss -ulnp 'sport = 546' shows which), or use --uplink ethernet://%[1]s", name)
	}
	if why != s.why {
		c.l.d.log.Warn("no prefix is asked for", "interface", name, "reason", why)
	}
	s.wait = min(max(2*s.wait, firstPortRetry), lastPortRetry)
	s.why, s.again = why, now.Add(s.wait)
	return false
}

// sourceChanged follows the kernel's link-local address to another, and to another
// interface; whether what was leased holds there is asked.
func (c *dhcpClient) sourceChanged(now time.Time) {
	switch {
	case !c.l.control || !c.l.up || !c.l.state.LinkLocal.IsValid():
	case c.conn.udp == nil:
		c.ready(now)
	case c.conn.addr != c.l.source():
		c.linkChanged(now, false)
		c.linkChanged(now, true)
	}
}

// Deadline and Advance are those of the client, and of its socket.
func (c *dhcpClient) Deadline() time.Time { return earlier(c.conn.again, c.Client.Deadline()) }

func (c *dhcpClient) Advance(now time.Time) {
	if t := c.conn.again; !t.IsZero() && !t.After(now) {
		c.ready(now)
	}
	if t := c.Client.Deadline(); !t.IsZero() && !t.After(now) {
		c.Client.Advance(now)
	}
}

// read passes on what comes in by the kernel's socket.
func (c *dhcpClient) read(udp *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, src, err := udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // an error of the interface, which may come back
			continue
		}
		b := slices.Clone(buf[:n])
		src = netip.AddrPortFrom(src.Addr().WithZone(""), src.Port())
		if !c.l.d.loop.Post(workFunc(func(now time.Time) { _ = c.HandleMessage(now, src, b) })) {
			return
		}
	}
}

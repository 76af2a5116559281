package hoststack

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gipv6 "gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"border-router/ipv6"
)

// A Config says how to make a [Stack]. The zero value is usable.
type Config struct {
	Name string // name of the port, "host" by default; also the zone of link-local addresses
	MTU  int    // bytes, [ipv6.MinMTU] (default) to [ipv6.MaxPacket]

	// NoTCP leaves TCP out. The stack then has one goroutine, and may live in a bubble of
	// testing/synctest: the goroutines of gVisor's TCP wait in a way that synctest does
	// not know, so that time would never pass.
	NoTCP bool
}

// A Stack is a host with one interface. It is a port of the router. All methods may be
// called from any goroutine.
type Stack struct {
	name string
	mtu  int
	tcp  bool
	ep   *endpoint
	st   *stack.Stack

	count   counters
	closed  atomic.Bool
	done    chan struct{}
	ended   chan struct{} // closed when the emitting goroutine has returned
	deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)

	mu      sync.Mutex
	started bool
	groups  map[netip.Addr]int // joined groups and how often
}

const nicID = 1

// Limits of socket buffers in bytes: some 25 packets of 1280 bytes by default.
const (
	minBuffer     = 4 << 10
	defaultBuffer = 32 << 10
	maxBuffer     = 128 << 10
)

// timeWait is how long a closed TCP connection is remembered: twice the time that a
// segment may live, which is taken as 5 s here, where RFC 9293 takes two minutes.
const timeWait = 10 * time.Second

// New makes a stack without addresses. It emits nothing before it is used.
func New(cfg Config) (*Stack, error) {
	if cfg.Name == "" {
		cfg.Name = "host"
	}
	if cfg.MTU == 0 {
		cfg.MTU = ipv6.MinMTU
	}
	if cfg.MTU < ipv6.MinMTU || cfg.MTU > ipv6.MaxPacket {
		return nil, fmt.Errorf("host stack %s: MTU %d: want %d to %d bytes", cfg.Name, cfg.MTU, ipv6.MinMTU, ipv6.MaxPacket)
	}
	transports := []stack.TransportProtocolFactory{udp.NewProtocol, icmp.NewProtocol6}
	if !cfg.NoTCP {
		transports = append(transports, tcp.NewProtocol)
	}
	s := &Stack{
		name: cfg.Name, mtu: cfg.MTU, tcp: !cfg.NoTCP,
		done: make(chan struct{}), ended: make(chan struct{}),
		groups: make(map[netip.Addr]int),
		st: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{gipv6.NewProtocolWithOptions(gipv6.Options{})},
			TransportProtocols: transports,
			HandleLocal:        true,
		}),
	}
	s.ep = newEndpoint(s, cfg.MTU)
	if err := s.configure(); err != nil {
		s.st.Destroy()
		return nil, fmt.Errorf("host stack %s: %s", cfg.Name, err)
	}
	return s, nil
}

func (s *Stack) configure() tcpip.Error {
	for _, o := range []any{
		tcpip.SendBufferSizeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer},
		tcpip.ReceiveBufferSizeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer},
	} {
		if err := s.st.SetOption(o); err != nil {
			return err
		}
	}
	if s.tcp {
		if err := s.configureTCP(); err != nil {
			return err
		}
	}
	if err := s.st.CreateNICWithOptions(nicID, s.ep, stack.NICOptions{Name: s.name}); err != nil {
		return err
	}
	s.st.SetRouteTable([]tcpip.Route{{Destination: header.IPv6EmptySubnet, NIC: nicID}})
	return nil
}

func (s *Stack) configureTCP() tcpip.Error {
	send := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: defaultBuffer, Max: maxBuffer}
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, o := range []tcpip.SettableTransportProtocolOption{&send, &receive, &wait} {
		if err := s.st.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the name of the port.
func (s *Stack) Name() string { return s.name }

// MTU returns the MTU in bytes.
func (s *Stack) MTU() int { return s.mtu }

// Stats returns a copy of the counters.
func (s *Stack) Stats() Stats { return s.count.snapshot() }

func (s *Stack) isClosed() bool { return s.closed.Load() }

// Output gives a packet to the stack, which copies it. It does not wait for the loop, so
// the loop may call it. dst has no meaning here. The error is a [Drop], already counted.
func (s *Stack) Output(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) error {
	drop := Drop(0)
	switch {
	case s.isClosed():
		drop = DropClosed
	case isControl(p):
		drop = DropControl
	}
	if drop != 0 {
		s.count.drops[drop].Add(1)
		return drop
	}
	s.count.outPackets.Add(1)
	s.count.outBytes.Add(uint64(len(p)))
	s.ep.inject(p)
	return nil
}

// Start begins to hand over what the stack emits: batches are posted to the loop, and
// their Run calls deliver for every packet, with Meta.Port 0. The packet may be changed and
// is valid during the call. post may block; false from it counts the packets as
// [DropLoopClosed]. Packets that were emitted before Start are kept, as far as there is
// room. Start is called at most once.
func (s *Stack) Start(post func(interface{ Run(now time.Time) }) bool, deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.isClosed() {
		return
	}
	s.started = true
	s.deliver = deliver
	go s.ep.emit(post)
}

// AddAddress makes a an own address of the host. One that is there already is not an error.
func (s *Stack) AddAddress(a netip.Addr) error {
	if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() {
		return fmt.Errorf("host stack %s: address %v: want an IPv6 unicast address", s.name, a)
	}
	if s.isClosed() {
		return fmt.Errorf("host stack %s: %w", s.name, net.ErrClosed)
	}
	err := s.st.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          gipv6.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: 128},
	}, stack.AddressProperties{})
	if _, duplicate := err.(*tcpip.ErrDuplicateAddress); err != nil && !duplicate {
		return fmt.Errorf("host stack %s: add address %v: %w", s.name, a, asError(err))
	}
	return nil
}

// RemoveAddress removes an own address; one that is not there is not an error.
func (s *Stack) RemoveAddress(a netip.Addr) error {
	if !a.Is6() || s.isClosed() {
		return nil
	}
	err := s.st.RemoveAddress(nicID, address(a))
	if _, absent := err.(*tcpip.ErrBadLocalAddress); err != nil && !absent {
		return fmt.Errorf("host stack %s: remove address %v: %w", s.name, a, asError(err))
	}
	return nil
}

// JoinGroup makes the host receive packets to a multicast group, on every socket that is
// bound to the port and to no other address. Nothing is told to the network: that is the
// router's part. Each call needs one of [Stack.LeaveGroup].
func (s *Stack) JoinGroup(g netip.Addr) error {
	if !g.Is6() || !g.IsMulticast() {
		return fmt.Errorf("host stack %s: group %v: want an IPv6 multicast address", s.name, g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return fmt.Errorf("host stack %s: %w", s.name, net.ErrClosed)
	}
	if s.groups[g] == 0 {
		if err := s.st.JoinGroup(gipv6.ProtocolNumber, nicID, address(g)); err != nil {
			return fmt.Errorf("host stack %s: join group %v: %w", s.name, g, asError(err))
		}
	}
	s.groups[g]++
	return nil
}

// LeaveGroup undoes one [Stack.JoinGroup]; without one it does nothing.
func (s *Stack) LeaveGroup(g netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.groups[g] {
	case 0:
		return nil
	case 1:
		delete(s.groups, g)
		if s.isClosed() {
			return nil
		}
		if err := s.st.LeaveGroup(gipv6.ProtocolNumber, nicID, address(g)); err != nil {
			return fmt.Errorf("host stack %s: leave group %v: %w", s.name, g, asError(err))
		}
	default:
		s.groups[g]--
	}
	return nil
}

// closeWait bounds each of the two waits of Close.
const closeWait = 400 * time.Millisecond

// Close resets every connection, closes every socket and stops the stack's goroutines. It
// returns within a second; what the stack still sends after that is dropped. It may be
// called more than once.
func (s *Stack) Close() error {
	s.mu.Lock()
	if s.closed.Swap(true) {
		s.mu.Unlock()
		return nil
	}
	started := s.started
	close(s.done)
	s.mu.Unlock()

	destroyed := make(chan struct{})
	go func() {
		defer close(destroyed)
		s.st.Destroy()
	}()
	wait(destroyed)
	if started {
		wait(s.ended)
	}
	s.ep.discard()
	return nil
}

func wait(c <-chan struct{}) {
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFrom16(a.As16()) }

// fullAddress is a with our interface, which link-local and multicast addresses need. The
// unspecified address stands for any.
func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: nicID, Port: a.Port()}
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		f.Addr = address(a.Addr())
	}
	return f
}

// addrPort is the opposite; link-local addresses get the zone.
func (s *Stack) addrPort(f tcpip.FullAddress) netip.AddrPort {
	a := netip.IPv6Unspecified()
	if f.Addr.Len() == 16 {
		a = netip.AddrFrom16(f.Addr.As16())
	}
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
		a = a.WithZone(s.name)
	}
	return netip.AddrPortFrom(a, f.Port)
}

// checkSocketAddr refuses what would otherwise be cut down to something else.
func (s *Stack) checkSocketAddr(op, network string, a netip.AddrPort, remote bool) error {
	ip := a.Addr()
	switch {
	case s.isClosed():
		return &net.OpError{Op: op, Net: network, Err: net.ErrClosed}
	case network == "tcp" && !s.tcp:
		return &net.OpError{Op: op, Net: network, Err: syscall.EPROTONOSUPPORT}
	case remote && (!ip.IsValid() || ip.IsUnspecified() || a.Port() == 0),
		ip.IsValid() && (!ip.Is6() || ip.Is4In6()) && !ip.IsUnspecified():
		return &net.OpError{Op: op, Net: network, Err: &net.AddrError{Err: "want an IPv6 address and port", Addr: a.String()}}
	}
	return nil
}

package ethernet

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A binding is what joins the port to an interface: a packet socket for each lane, or one
// file. What is sent goes by the first.
type binding struct {
	conns []*conn // by lane
	hear  func(hearing) error
	steer func(own []netip.Addr) error
}

// close closes all at once: for each the kernel waits until nobody is at it.
func (b *binding) close() {
	var all sync.WaitGroup
	for _, c := range b.conns {
		all.Go(func() { c.f.Close() })
	}
	all.Wait()
}

// htons is a protocol number as struct sockaddr_ll has it.
func htons(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return nativeUint16(b)
}

// bindSockets opens packet sockets on an interface that is set up, one for each lane, and
// begins to receive. The kernel asks one program which of them a frame goes to
// (PACKET_FANOUT), so that none comes in twice or by no lane, also while the program is
// being replaced; which frames come in at all says another, that all sockets have. A kernel
// that cannot do this (before 4.3; for several ports, 4.12) leaves one socket.
func (p *Port) bindSockets(ifindex int, h hearing, own []netip.Addr) (_ *binding, err error) {
	b := &binding{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	group := p.fanout
	for i := range p.inlets {
		c, err := p.openSocket()
		if err != nil {
			return nil, err
		}
		b.conns = append(b.conns, c)
		if i == 0 {
			if err := p.member(c, ifindex); err != nil {
				return nil, err
			}
		}
		// Until a socket is in the group it would have every frame once more.
		first := nothing
		if i == 0 {
			first = h.program()
		}
		// Before it is bound, so that nothing has come in unfiltered.
		if err := attach(c, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, first); err != nil {
			return nil, fmt.Errorf("ethernet %s: packet filter: %w", p.cfg.Name, err)
		}
		addr := &unix.SockaddrLinklayer{Protocol: htons(etherTypeIPv6), Ifindex: ifindex}
		if err := c.control(func(fd int) error { return unix.Bind(fd, addr) }); err != nil {
			return nil, fmt.Errorf("ethernet %s: bind packet socket: %w", p.cfg.Name, err)
		}
		if len(p.inlets) == 1 {
			break
		}
		if group, err = joinFanout(c, group); err != nil {
			if i > 0 {
				return nil, fmt.Errorf("ethernet %s: queues of the interface: %w", p.cfg.Name, err)
			}
			p.cfg.Logger.Warn("the kernel has one queue for all that comes in; a flood to the router's own addresses disturbs what it forwards", "err", err)
			break
		}
		if i > 0 {
			if err := attach(c, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, h.program()); err != nil {
				return nil, fmt.Errorf("ethernet %s: packet filter: %w", p.cfg.Name, err)
			}
		}
	}
	b.hear = func(h hearing) error {
		prog := h.program()
		for _, c := range b.conns {
			if err := attach(c, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog); err != nil {
				return err
			}
		}
		return nil
	}
	b.steer = func(own []netip.Addr) error {
		if len(b.conns) == 1 {
			return nil
		}
		return attach(b.conns[0], unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, steering(own, netOff))
	}
	// Until now the first of them had all.
	if err := b.steer(own); err != nil {
		return nil, fmt.Errorf("ethernet %s: queues of the interface: %w", p.cfg.Name, err)
	}
	return b, nil
}

// nothing is the program that accepts nothing.
var nothing = []bpf.Instruction{bpf.RetConstant{}}

// fanoutNew asks for a group of which nobody else knows the number.
const fanoutNew = (unix.PACKET_FANOUT_CBPF | unix.PACKET_FANOUT_FLAG_UNIQUEID | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING) << 16

// joinFanout makes a socket the next of a group, and returns how others join it.
func joinFanout(c *conn, group int) (joined int, err error) {
	err = c.control(func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group); err != nil {
			return err
		}
		joined, err = unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		return err
	})
	return joined, err
}

// rcvBuf is the room of a lane in the kernel in bytes, for some 2,700 small frames.
const rcvBuf = 1 << 20

// openSocket opens a packet socket that is bound to nothing yet.
func (p *Port) openSocket() (*conn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, explainSocket(p.cfg.Name, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("ethernet %s: packet socket option vnet_hdr: %w", p.cfg.Name, err)
	}
	// The filter discards what leaves as well; so it is not even copied. Kernels before 4.20
	// do not know it.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	// The first needs CAP_NET_ADMIN, the second gives what the machine allows everybody.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvBuf) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvBuf)
	}
	return newConn(fd, false)
}

// member makes the interface receive what is for us.
func (p *Port) member(c *conn, ifindex int) error {
	mac := p.mac.Load()
	if mac == nil {
		return fmt.Errorf("ethernet %s: %w", p.cfg.Name, errors.New("the interface has no MAC address"))
	}
	var members []unix.PacketMreq
	if !p.cfg.Control && !p.cfg.MAC.IsZero() {
		members = append(members, mreq(ifindex, unix.PACKET_MR_UNICAST, mac[:]))
	}
	// Which groups are wanted changes with every packet of MLD; the filter is cheaper to
	// change than the interface's, and MLDv1 reports go to groups that nobody knows before.
	members = append(members, mreq(ifindex, unix.PACKET_MR_ALLMULTI, nil))
	for i := range members {
		err := c.control(func(fd int) error {
			return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &members[i])
		})
		if err != nil {
			return fmt.Errorf("ethernet %s: receive for our MAC address: %w", p.cfg.Name, err)
		}
	}
	return nil
}

func mreq(ifindex int, typ uint16, addr []byte) unix.PacketMreq {
	m := unix.PacketMreq{Ifindex: int32(ifindex), Type: typ, Alen: uint16(len(addr))}
	copy(m.Address[:], addr)
	return m
}

func assemble(prog []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return nil, err
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}

func attach(c *conn, level, opt int, prog []bpf.Instruction) error {
	f, err := assemble(prog)
	if err != nil {
		return err
	}
	fp := &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return c.control(func(fd int) error { return unix.SetsockoptSockFprog(fd, level, opt, fp) })
}

package ethernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"border-router/ipv6"
)

// retry is how long a failed attempt to open a port that seems to be there is left alone.
const retry = time.Second

// follow watches the interface, opens and closes the connection as it comes and goes, and
// tells of each change. It is the port's goroutine.
func (p *Port) follow() {
	defer p.ended.Done()
	links, addrs, stop := p.subscribe()
	defer stop()
	var (
		c       *conn
		failed  chan error // the reader has ended
		ifindex int
		tick    <-chan time.Time
	)
	closeConn := func() {
		if c == nil {
			return
		}
		p.up.Store(false)
		p.out.setConn(nil)
		p.mu.Lock()
		p.count.drops[DropKernel].Add(p.conn.missed())
		p.conn = nil
		p.mu.Unlock()
		c.f.Close()
		<-failed
		c, failed = nil, nil
	}
	defer closeConn()
	for {
		tick = nil
		s, err := p.look(ifindex)
		if s.Index != ifindex || s.Index == 0 {
			closeConn()
			ifindex = 0
		}
		if err == nil && c == nil && (s.Index != 0 || p.cfg.TAP) {
			if c, err = p.connect(&s); err == nil {
				ifindex = s.Index
				failed = make(chan error, 1)
				go func(c *conn, failed chan<- error) { failed <- p.read(c); close(failed) }(c, failed)
			}
		}
		if err != nil {
			s.Up, s.Why = false, err.Error()
			tick = time.After(retry)
		}
		if s.Up {
			p.out.setConn(c)
		}
		p.up.Store(s.Up)
		p.tell(s)
		if links == nil || p.cfg.Control && addrs == nil {
			tick = time.After(retry)
		}
		select {
		case <-p.done:
			return
		case _, ok := <-links:
			if !ok {
				links = nil
			}
		case _, ok := <-addrs:
			if !ok {
				addrs = nil
			}
		case err := <-failed:
			p.cfg.Logger.Debug("reader ended", "err", err)
			closeConn()
			ifindex = 0
			tick = time.After(retry)
			select {
			case <-tick:
			case <-p.done:
				return
			}
		case <-tick:
		}
	}
}

// subscribe asks the kernel for changes of interfaces and addresses; nil channels where it
// does not tell, and the port looks by itself.
func (p *Port) subscribe() (<-chan netlink.LinkUpdate, <-chan netlink.AddrUpdate, func()) {
	done := make(chan struct{})
	links, addrs := make(chan netlink.LinkUpdate, 16), make(chan netlink.AddrUpdate, 16)
	quiet := func(error) {}
	err := p.inNamespace(func() error {
		return netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: quiet})
	})
	if err != nil {
		p.cfg.Logger.Warn("changes of the interface are looked for once a second", "err", err)
		close(done)
		return nil, nil, func() {}
	}
	if !p.cfg.Control {
		return links, nil, func() { close(done); drain(links) }
	}
	err = p.inNamespace(func() error {
		return netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: quiet})
	})
	if err != nil {
		addrs = nil
	}
	return links, addrs, func() { close(done); drain(links); drain(addrs) }
}

// drain lets the goroutine of a subscription end, which may wait to hand over an update.
func drain[T any](c <-chan T) {
	if c != nil {
		go func() {
			for range c {
			}
		}()
	}
}

// handle opens rtnetlink in the port's namespace.
func (p *Port) handle() (h *netlink.Handle, err error) {
	err = p.inNamespace(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ethernet %s: open rtnetlink: %w", p.cfg.Name, err)
	}
	return h, nil
}

// look finds out how the interface is. Once it has been found it is followed by its index,
// whatever it is called then, until that one is gone.
func (p *Port) look(ifindex int) (s State, err error) {
	s = State{Name: p.cfg.Name, LinkAddr: p.LinkAddr()}
	h, err := p.handle()
	if err != nil {
		return s, err
	}
	defer h.Close()
	var link netlink.Link
	if ifindex != 0 {
		link, err = h.LinkByIndex(ifindex)
	}
	if ifindex == 0 || err != nil {
		link, err = h.LinkByName(p.cfg.Name)
	}
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		s.Why = "there is no interface " + p.cfg.Name + "; waiting for it"
		return s, nil
	case err != nil:
		return s, fmt.Errorf("ethernet %s: look for the interface: %w", p.cfg.Name, err)
	}
	a := link.Attrs()
	s.Index, s.Name, s.MTU = a.Index, a.Name, a.MTU
	if p.cfg.MAC.IsZero() && len(a.HardwareAddr) == 6 {
		s.LinkAddr = ipv6.EUI48([6]byte(a.HardwareAddr))
		if s.LinkAddr != p.LinkAddr() {
			p.setMAC(s.LinkAddr)
			p.change(func() {}) // the packet filter has the one before
		}
	}
	switch {
	case a.Flags&net.FlagLoopback != 0 || a.EncapType != "" && a.EncapType != "ether":
		return State{Name: a.Name}, fmt.Errorf("ethernet %s: not an Ethernet interface but %s", a.Name, a.EncapType)
	case a.Flags&net.FlagUp == 0:
		s.Why = "interface " + a.Name + " is set down; ip link set " + a.Name + " up"
	case a.OperState == netlink.OperDown || a.OperState == netlink.OperLowerLayerDown || a.OperState == netlink.OperNotPresent:
		s.Why = "interface " + a.Name + " has no carrier"
	case a.OperState == netlink.OperDormant:
		s.Why = "interface " + a.Name + " waits to be let into its network (802.1X, Wi-Fi)"
	case a.MTU < ipv6.MinMTU:
		s.Why = fmt.Sprintf("interface %s has an MTU of %d, and IPv6 needs %d; ip link set %s mtu 1500", a.Name, a.MTU, ipv6.MinMTU, a.Name)
	default:
		s.Up = true
	}
	if p.cfg.Control {
		s.LinkLocal = linkLocalOf(h, link)
		if s.Up && !s.LinkLocal.IsValid() {
			s.Up, s.Why = false, "interface "+a.Name+" has no link-local address; is IPv6 disabled on it?"
		}
	}
	if p.cfg.TAP && p.cfg.Bridge != "" {
		if why := enslave(h, link, p.cfg.Bridge); why != "" {
			s.Up, s.Why = false, why
		}
	}
	return s, nil
}

func linkLocalOf(h *netlink.Handle, link netlink.Link) netip.Addr {
	list, err := h.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if ok && ip.IsLinkLocalUnicast() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			return ip
		}
	}
	return netip.Addr{}
}

// enslave puts the TAP interface into its bridge and sets both in motion; it returns what
// is missing.
func enslave(h *netlink.Handle, link netlink.Link, bridge string) string {
	br, err := h.LinkByName(bridge)
	if err != nil {
		return "there is no bridge " + bridge + "; waiting for it (ip link add " + bridge + " type bridge)"
	}
	if link.Attrs().MasterIndex != br.Attrs().Index {
		if err := h.LinkSetMaster(link, br); err != nil {
			return fmt.Sprintf("put %s into the bridge %s: %v", link.Attrs().Name, bridge, err)
		}
	}
	return ""
}

// tell keeps s, logs what is new in it and passes it on.
func (p *Port) tell(s State) {
	p.mu.Lock()
	old := p.state
	p.state = s
	p.mu.Unlock()
	if s == old {
		return
	}
	switch {
	case s.Up && !old.Up:
		if old.Why != "" {
			p.count.reopened.Add(1)
		}
		p.cfg.Logger.Info("interface is up", "interface", s.Name, "mac", s.LinkAddr, "mtu", s.MTU)
	case !s.Up && s.Why != old.Why:
		p.cfg.Logger.Warn("interface is not usable", "interface", s.Name, "why", s.Why)
	}
	if s.Up && !old.Up && !p.cfg.MAC.IsZero() && !p.cfg.TAP && wireless(s.Name) {
		p.cfg.Logger.Warn("a Wi-Fi network lets a station have one MAC address; use that of the interface: ethernet://"+p.cfg.Name+"?mac=interface", "interface", s.Name)
	}
	if old.Index != 0 && old.Index == s.Index && s.Name != old.Name {
		p.cfg.Logger.Warn("interface was renamed; it is followed until the router restarts", "from", old.Name, "to", s.Name)
	}
	if s.Up && s.MTU < p.mtu && s.MTU != old.MTU {
		p.cfg.Logger.Warn("interface carries less than the router sends", "interface", s.Name, "mtu", s.MTU, "router", p.mtu)
	}
	if p.cfg.OnState != nil {
		p.cfg.OnState(s)
	}
}

// wireless reports whether an interface is a Wi-Fi station's.
func wireless(name string) bool {
	_, err := os.Stat("/sys/class/net/" + name + "/phy80211")
	return err == nil
}

// connect opens the socket of the interface in s, or makes the TAP interface.
func (p *Port) connect(s *State) (c *conn, err error) {
	err = p.inNamespace(func() error {
		if p.cfg.TAP {
			c, err = p.openTAP()
			return err
		}
		c, err = p.openSocket(s.Index)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.cfg.TAP {
		if *s, err = p.look(0); err != nil {
			c.f.Close()
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := c.hear(p.hearing()); err != nil {
		c.f.Close()
		return nil, fmt.Errorf("ethernet %s: packet filter: %w", p.cfg.Name, err)
	}
	p.conn = c
	return c, nil
}

// htons is a protocol number as struct sockaddr_ll has it.
func htons(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return nativeUint16(b)
}

func (p *Port) openSocket(ifindex int) (*conn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, explainSocket(p.cfg.Name, err)
	}
	fail := func(what string, err error) (*conn, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("ethernet %s: %s: %w", p.cfg.Name, what, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fail("packet socket option vnet_hdr", err)
	}
	// Kernels before 4.20 do not know it; the reader discards what comes from ourselves.
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	p.ignoresOurs.Store(err == nil)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	mac := p.mac.Load()
	if mac == nil {
		return fail("MAC address", errors.New("the interface has none"))
	}
	var members []unix.PacketMreq
	if !p.cfg.Control && !p.cfg.MAC.IsZero() {
		members = append(members, mreq(ifindex, unix.PACKET_MR_UNICAST, mac[:]))
	}
	// Which groups are wanted changes with every packet of MLD; the filter is cheaper to
	// change than the interface's, and MLDv1 reports go to groups that nobody knows before.
	members = append(members, mreq(ifindex, unix.PACKET_MR_ALLMULTI, nil))
	for i := range members {
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &members[i]); err != nil {
			return fail("receive for our MAC address", err)
		}
	}
	c, err := newConn(fd, false)
	if err != nil {
		return nil, err
	}
	bound := false
	c.hear = func(h hearing) error {
		if err := attach(c, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, h.program()); err != nil {
			return err
		}
		if bound {
			return nil
		}
		bound = true
		// Only now, so that nothing has come in unfiltered.
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherTypeIPv6), Ifindex: ifindex})
	}
	return c, nil
}

func mreq(ifindex int, typ uint16, addr []byte) unix.PacketMreq {
	m := unix.PacketMreq{Ifindex: int32(ifindex), Type: typ, Alen: uint16(len(addr))}
	copy(m.Address[:], addr)
	return m
}

const clonePath = "/dev/net/tun"

func (p *Port) openTAP() (*conn, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, explainTAP(p.cfg.Name, err)
	}
	ifr, err := unix.NewIfreq(p.cfg.Name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, explainTAP(p.cfg.Name, err)
	}
	p.ignoresOurs.Store(true)
	c, err := newConn(fd, true)
	if err != nil {
		return nil, err
	}
	c.hear = func(h hearing) error { return attachTAP(c, h.program()) }
	if err := p.setUpTAP(); err != nil {
		c.f.Close()
		return nil, err
	}
	return c, nil
}

// setUpTAP gives the kernel's end of the TAP interface its MTU, keeps the kernel's IPv6 off
// it, and sets it up.
func (p *Port) setUpTAP() error {
	h, err := p.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(p.cfg.Name)
	if err != nil {
		return fmt.Errorf("ethernet %s: look for the TAP interface: %w", p.cfg.Name, err)
	}
	if link.Attrs().MTU != p.mtu {
		if err := h.LinkSetMTU(link, p.mtu); err != nil {
			return fmt.Errorf("ethernet %s: set MTU %d: %w", p.cfg.Name, p.mtu, err)
		}
	}
	if p.cfg.Bridge != "" {
		// The bridge speaks for the machine, not its ports.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+p.cfg.Name+"/disable_ipv6", []byte("1"), 0)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("ethernet %s: set the TAP interface up: %w", p.cfg.Name, err)
		}
	}
	return nil
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
	var e error
	if err := c.raw.Control(func(fd uintptr) { e = unix.SetsockoptSockFprog(int(fd), level, opt, fp) }); err != nil {
		return err
	}
	return e
}

func attachTAP(c *conn, prog []bpf.Instruction) error {
	f, err := assemble(prog)
	if err != nil {
		return err
	}
	fp := &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	var e error
	if err := c.raw.Control(func(fd uintptr) { e = ioctlFprog(int(fd), unix.TUNATTACHFILTER, fp) }); err != nil {
		return err
	}
	return e
}

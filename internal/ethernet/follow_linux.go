package ethernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
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
		b       *binding
		failed  chan error // a reader has ended
		stale   bool       // b is good for nothing any more
		readers sync.WaitGroup
		ifindex int
		tick    <-chan time.Time
	)
	unbind := func() {
		if b == nil {
			return
		}
		p.up.Store(false)
		p.out.setConn(nil)
		p.mu.Lock()
		p.countMissed()
		p.bound = nil
		p.mu.Unlock()
		b.close()
		readers.Wait()
		b, failed, stale = nil, nil, false
	}
	defer unbind()
	for {
		tick = nil
		s, err := p.look(ifindex)
		if err == nil && b != nil && !s.Up {
			p.up.Store(false)
			p.tell(s) // closing sockets takes a while
		}
		if s.Index != ifindex || s.Index == 0 {
			unbind()
			ifindex = 0
		} else if stale {
			unbind()
		}
		// On one that is set down there is nothing to hear, and its sockets take no lanes.
		if err == nil && b == nil && (s.set || p.cfg.TAP) {
			if b, err = p.connect(&s); err == nil {
				failed = make(chan error, len(b.conns))
				p.inlets[0].alone = len(b.conns) == 1 && !p.cfg.Control
				for i, c := range b.conns {
					readers.Go(func() { failed <- p.read(c, p.inlets[i]) })
				}
			}
		}
		if err == nil {
			ifindex = s.Index
		} else {
			s.Up, s.Why = false, err.Error()
			tick = time.After(retry)
		}
		if s.Up {
			p.out.setConn(b.conns[0])
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
			if errors.Is(err, unix.ENETDOWN) {
				// Set down, which each socket is told once. Up again it may have its lanes in
				// another order.
				stale = true
				continue
			}
			unbind()
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
	s.Index, s.Name, s.MTU, s.set = a.Index, a.Name, a.MTU, a.Flags&net.FlagUp != 0
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
	case !s.set:
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

// connect binds to the interface in s, or makes the TAP interface.
func (p *Port) connect(s *State) (b *binding, err error) {
	if p.cfg.TAP {
		return p.bindTAP(s)
	}
	p.mu.Lock()
	h, own := p.hearing(), p.own
	p.mu.Unlock()
	err = p.inNamespace(func() error {
		b, err = p.bindSockets(s.Index, h, own)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.keep(b)
}

func (p *Port) bindTAP(s *State) (*binding, error) {
	var c *conn
	err := p.inNamespace(func() (err error) {
		c, err = p.openTAP()
		return err
	})
	if err != nil {
		return nil, err
	}
	b := &binding{
		conns: []*conn{c},
		hear:  func(h hearing) error { return attachTAP(c, h.program()) },
		steer: func([]netip.Addr) error { return nil },
	}
	if *s, err = p.look(0); err != nil {
		b.close()
		return nil, err
	}
	return p.keep(b)
}

// keep tells b what is wanted by now, and from then on of each change. One that cannot be
// told is closed, and not returned.
func (p *Port) keep(b *binding) (*binding, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := b.hear(p.hearing())
	if err == nil {
		err = b.steer(p.own)
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("ethernet %s: packet filter: %w", p.cfg.Name, err)
	}
	p.bound = b
	return b, nil
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
	c, err := newConn(fd, true)
	if err != nil {
		return nil, err
	}
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

func attachTAP(c *conn, prog []bpf.Instruction) error {
	f, err := assemble(prog)
	if err != nil {
		return err
	}
	fp := &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return c.control(func(fd int) error { return ioctlFprog(fd, unix.TUNATTACHFILTER, fp) })
}

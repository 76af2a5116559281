package ethernet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"border-router/ipv6"
)

const (
	txBatch = 32 // frames for one system call
	txQueue = 256
)

// A Port is an Ethernet link of the router. [Port.Output] is for one goroutine, the
// router's; every other method may be called from any.
type Port struct {
	cfg   Config
	mtu   int
	count counters

	ns netns.NsHandle // where the sockets are opened

	mac    atomic.Pointer[[6]byte] // nil: not known yet
	up     atomic.Bool
	out    *writer
	fanout int                               // how the group of its sockets is asked for
	inlets []*inlet                          // by lane; made by Start
	ownSet atomic.Pointer[map[[16]byte]bool] // own, for the loop; nil: none
	quit   chan struct{}                     // the writer is to end
	wrote  chan struct{}                     // it has
	done   chan struct{}                     // so is the rest
	ended  sync.WaitGroup

	warned time.Time // of the loop: when another station with our address was last told of

	mu      sync.Mutex // guards what follows
	state   State
	groups  map[netip.Addr]int
	all     int          // how many want every group
	own     []netip.Addr // our own addresses, as steered returns them
	bound   *binding
	started bool
	closed  bool

	post    func(interface{ Run(now time.Time) }) bool
	deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)
}

// Open checks cfg and what the process may do. The interface need not be there: it is
// looked for by [Port.Start], before which nothing is sent or received. The error says
// what was being done and how to fix it.
func Open(cfg Config) (*Port, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Port{
		cfg: cfg, mtu: cfg.MTU, fanout: fanoutNew,
		quit: make(chan struct{}), wrote: make(chan struct{}), done: make(chan struct{}),
		groups: make(map[netip.Addr]int),
	}
	p.cfg.Logger = cfg.Logger.With("link", cfg.Name)
	if !cfg.MAC.IsZero() {
		p.setMAC(cfg.MAC)
	}
	// The network namespace belongs to the thread; later sockets have to be of this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	if p.ns, err = netns.Get(); err != nil {
		return nil, fmt.Errorf("ethernet %s: network namespace: %w", cfg.Name, err)
	}
	if err := p.tryOpen(); err != nil {
		p.ns.Close()
		return nil, err
	}
	if p.mtu == 0 {
		p.mtu = DefaultMTU
		if !cfg.TAP {
			if s, err := p.look(0); err == nil && s.MTU >= ipv6.MinMTU {
				p.mtu = min(p.mtu, s.MTU)
			}
		}
	}
	p.out = newWriter(p)
	return p, nil
}

// tryOpen finds out whether the process has the privileges that the port will need.
func (p *Port) tryOpen() error {
	if p.cfg.TAP {
		return nil // taken at once by Start; its error explains itself
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return explainSocket(p.cfg.Name, err)
	}
	return unix.Close(fd)
}

// inNamespace runs f on a thread of the namespace in which the port was opened.
func (p *Port) inNamespace(f func() error) error {
	p.mu.Lock()
	ns := p.ns
	p.mu.Unlock()
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if here.Equal(ns) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if e := netns.Set(here); e != nil {
		// The thread is of no use to anybody else; locked, it ends with its goroutine.
		return errors.Join(err, e)
	}
	runtime.UnlockOSThread()
	return err
}

func (p *Port) setMAC(a ipv6.LinkAddr) {
	var mac [6]byte
	copy(mac[:], a.Append(nil))
	p.mac.Store(&mac)
}

// Name returns the name of the interface as configured.
func (p *Port) Name() string { return p.cfg.Name }

// MTU returns the MTU in bytes, which stays what it was when the port was opened. What
// the interface carries less of is dropped and counted.
func (p *Port) MTU() int { return p.mtu }

// LinkAddr returns our MAC address; zero where it is that of an interface that has not
// been seen yet.
func (p *Port) LinkAddr() ipv6.LinkAddr {
	if mac := p.mac.Load(); mac != nil {
		return ipv6.EUI48(*mac)
	}
	return ipv6.LinkAddr{}
}

// State returns what is known of the interface.
func (p *Port) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Stats returns a copy of the counters.
func (p *Port) Stats() Stats {
	p.mu.Lock()
	p.countMissed()
	p.mu.Unlock()
	return p.count.snapshot()
}

// countMissed counts what the kernel has had no room for; the lock is held.
func (p *Port) countMissed() {
	if p.bound == nil {
		return
	}
	for i, c := range p.bound.conns {
		p.count.drops[p.inlets[i].drop].Add(c.missed())
	}
}

// Start looks for the interface, follows it from then on, and begins to read. Each wake-up
// posts one batch to the loop; its Run calls deliver for every packet, with Meta.Port 0.
// The packet may be changed and is valid during the call. When all batches of a lane wait at
// the loop, its reading stops and frames wait in the kernel's queue. Start is called at most once.
func (p *Port) Start(post func(interface{ Run(now time.Time) }) bool, deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.closed {
		return
	}
	p.started = true
	p.post, p.deliver = post, deliver
	lanes := numLanes
	if p.cfg.TAP || p.cfg.Control {
		lanes = 1 // a TAP has one queue, and of control traffic there is little
	}
	for _, cfg := range laneConfigs[:lanes] {
		p.inlets = append(p.inlets, newInlet(p, cfg))
	}
	p.ended.Add(2)
	go p.out.run()
	go p.follow()
}

// Close sends what [Port.Output] has taken, as far as the interface takes it within half a
// second, ends the port and removes a TAP interface that it has made.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	started := p.started
	p.mu.Unlock()
	close(p.quit)
	if started {
		p.within(closeWait, func() { <-p.wrote })
	}
	close(p.done)
	if started {
		p.within(closeWait, p.ended.Wait) // the reader may be inside post
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ns.Close()
}

// within waits until f returns, for d at most.
func (p *Port) within(d time.Duration, f func()) {
	ended := make(chan struct{})
	go func() { f(); close(ended) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

const closeWait = 500 * time.Millisecond

// JoinGroup makes packets to a multicast group come in. Each call needs one of
// [Port.LeaveGroup]. Nothing is told to the network: that is MLD's part.
func (p *Port) JoinGroup(g netip.Addr) { p.change(func() { p.groups[g]++ }) }

// LeaveGroup undoes one [Port.JoinGroup]; without one it does nothing.
func (p *Port) LeaveGroup(g netip.Addr) {
	p.change(func() {
		if p.groups[g]--; p.groups[g] <= 0 {
			delete(p.groups, g)
		}
	})
}

// SetAllGroups makes every multicast packet of larger than link scope come in, as a
// multicast router wants (RFC 3810 section 7.1), or no longer.
func (p *Port) SetAllGroups(on bool) {
	p.change(func() {
		p.all = 0
		if on {
			p.all = 1
		}
	})
}

// SetOwnAddresses tells the port on which unicast addresses of larger than link scope the
// router itself answers: what goes there then waits in another queue than what it forwards,
// and for a flood of it nothing else is lost. All that the list does not name is forwarded.
// Up to 128 addresses are told apart in the kernel. A port for control traffic alone has no
// use for it.
func (p *Port) SetOwnAddresses(list []netip.Addr) {
	own := steered(list)
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(own, p.own) {
		return
	}
	p.own = own
	set := make(map[[16]byte]bool, len(own))
	for _, a := range own {
		set[a.As16()] = true
	}
	p.ownSet.Store(&set)
	if p.bound != nil {
		if err := p.bound.steer(own); err != nil {
			p.cfg.Logger.Warn("change of the queues of the interface failed", "err", err)
		}
	}
}

// isOwn reports whether it is ourselves who send pkt. Beside the kernel it always is, so that
// there is nothing to keep apart.
func (p *Port) isOwn(pkt ipv6.Packet) bool {
	if p.cfg.Control {
		return false
	}
	src := pkt.Src16()
	if set := p.ownSet.Load(); set != nil && (*set)[src] {
		return true
	}
	return src == [16]byte{} || src[0] == 0xfe && src[1]&0xc0 == 0x80
}

func (p *Port) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	if p.bound != nil {
		if err := p.bound.hear(p.hearing()); err != nil {
			p.cfg.Logger.Warn("change of the packet filter failed", "err", err)
		}
	}
}

// hearing is called with the lock held.
func (p *Port) hearing() hearing {
	h := hearing{control: p.cfg.Control, proxy: p.cfg.Proxy, all: p.all > 0, socket: !p.cfg.TAP}
	if mac := p.mac.Load(); mac != nil {
		h.mac = *mac
	}
	for g := range p.groups {
		h.groups = append(h.groups, g)
	}
	h.groups = normalize(h.groups)
	return h
}

// Output sends pkt to the station dst; to the group's own address where pkt is multicast
// and dst is zero. The error is a [Drop], already counted; pkt is not kept. What the
// interface then does not take is counted, and lost.
func (p *Port) Output(_ time.Time, pkt ipv6.Packet, dst ipv6.LinkAddr) error {
	if dst.IsZero() && pkt.IsMulticast() {
		dst = ipv6.GroupEUI48(pkt.Dst())
	}
	drop := Drop(0)
	mac := p.mac.Load()
	switch {
	case dst.Len() != 6:
		drop = DropDestination
	case len(pkt) > p.mtu:
		drop = DropTooBig
	case mac == nil || !p.up.Load():
		drop = DropInterfaceDown
	default:
		var h [headerLen]byte
		v := dst.Uint64()
		h[0], h[1], h[2], h[3], h[4], h[5] = byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
		copy(h[6:], mac[:])
		binary.BigEndian.PutUint16(h[12:], etherTypeIPv6)
		if p.out.put(h[:], pkt) {
			return nil
		}
		drop = DropQueueFull
	}
	p.count.drops[drop].Add(1)
	return drop
}

// Busy reports whether the queue towards the interface is more than half full.
func (p *Port) Busy() bool { return p.out.busy() }

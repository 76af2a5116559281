package zep

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// rxRing is how many frames wait for Receive at most. When it is full, frames are neither
// taken nor acknowledged, so that their senders try again.
const rxRing = 256

type rxSlot struct {
	n       uint8
	rssi    int8
	lqi     uint8
	channel uint8
	data    [ieee802154.MaxFrame]byte
}

// A Radio is an [ieee802154.Radio] over ZEP. Receive and Transmit may run at the same time,
// each called by one goroutine at a time; every other method is safe for any.
type Radio struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	device uint16
	socks  []*socket

	closed    chan struct{}
	closeOnce sync.Once
	wg        sync.WaitGroup

	rxReady    chan struct{} // something to Receive
	txWake     chan struct{} // the MAC heard an acknowledgment
	flightWake chan struct{}
	hello      chan struct{} // the hub refused a datagram
	announce   chan struct{} // the own address changed

	// Counted where r.mu may or may not be held.
	refusals   atomic.Uint64
	sendErrors atomic.Uint64
	refused    atomic.Bool // logged

	// Transmit's own.
	txq     *outq
	txTimer *time.Timer
	// ackTimer wakes txWake at ackTimerAt, the zero time while it is not set.
	ackTimer   *time.Timer
	ackTimerAt time.Time
	txFrame    ieee802154.Frame
	airFree    time.Time // when the air is free of our last frame

	mu          sync.Mutex // guards everything below
	mac         *ieee802154.MAC
	f           ieee802154.Frame // scratch of input
	ring        [rxRing]rxSlot
	ringHead    int
	ringLen     int
	seq         uint32
	stats       ieee802154.Stats
	hub         HubStats
	drops       [numDrops]uint64
	macDrops    [ieee802154.NumDrops]uint64
	localIPs    map[netip.Addr]bool
	table       peerTable
	acks        [256][2]ackWant
	flights     flightQueue
	freeFlights []*flight
	flightOrder uint64
}

// HubStats are counters that only ZEP has.
type HubStats struct {
	Copies        uint64 // frames given to peers, our own included
	SnifferCopies uint64
	PeersLearned  uint64
	PeersAged     uint64 // forgotten for their silence
	PeersEvicted  uint64 // forgotten for want of room
	Impaired      uint64 // copies lost by Impair or for want of room in its queue
	Refused       uint64 // client: datagrams refused by the hub's machine: no hub runs
	SendErrors    uint64 // datagrams the system would not send
	ReadErrors    uint64
}

var _ ieee802154.Radio = (*Radio)(nil)

// Open opens the sockets and starts the reader goroutines. The error says what to do about
// it.
func Open(cfg Config) (*Radio, error) {
	if cfg.Channel == 0 {
		cfg.Channel = DefaultChannel
	}
	if cfg.PAN == 0 && !cfg.panZero {
		cfg.PAN = DefaultPAN
	}
	if cfg.Short == 0 {
		cfg.Short = ieee802154.BroadcastShort
	}
	if cfg.AckWait <= 0 {
		cfg.AckWait = DefaultAckWait
	}
	if cfg.PeerAge <= 0 {
		cfg.PeerAge = DefaultPeerAge
	}
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = DefaultMaxPeers
	}
	if cfg.Hello <= 0 {
		cfg.Hello = DefaultHello
	}
	r := &Radio{
		cfg: cfg, log: cfg.Logger, now: cfg.now,
		closed: make(chan struct{}), rxReady: make(chan struct{}, 1), txWake: make(chan struct{}, 1),
		flightWake: make(chan struct{}, 1), hello: make(chan struct{}, 1), announce: make(chan struct{}, 1),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.setDevice(cfg.EUI64)
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Ext: cfg.EUI64, Short: cfg.Short, PAN: cfg.PAN, Coordinator: cfg.Mode == Hub,
		MaxFrameRetries: cfg.MaxFrameRetries, AckWait: cfg.AckWait, AckWaitMax: ackWaitGrowth * cfg.AckWait, MaxPeers: cfg.MaxPeers})
	r.table.init(cfg.MaxPeers)
	if err := r.openSockets(); err != nil {
		for _, s := range r.socks {
			s.conn.Close()
		}
		return nil, fmt.Errorf("open zep radio (mode %v): %w", cfg.Mode, err)
	}
	if cfg.Mode == Hub {
		r.restore()
	}
	r.txq = newOutq(r)
	r.txTimer = time.NewTimer(time.Hour)
	r.txTimer.Stop()
	r.ackTimer = time.AfterFunc(time.Hour, func() { driver.Notify(r.txWake) })
	r.ackTimer.Stop()
	for _, s := range r.socks {
		r.wg.Add(1)
		go r.readLoop(s)
	}
	if cfg.Impair != nil {
		r.wg.Add(1)
		go r.land()
	}
	if cfg.Mode == Client {
		r.wg.Add(1)
		go r.helloLoop()
	}
	return r, nil
}

// setDevice derives the ZEP device id from the EUI-64: any number that differs between
// stations serves.
func (r *Radio) setDevice(ext uint64) {
	r.device = uint16(ext ^ ext>>16 ^ ext>>32 ^ ext>>48)
}

func (r *Radio) openSockets() error {
	add := func(conn *net.UDPConn, err error, connected bool) error {
		if err != nil {
			return err
		}
		s, err := newSocket(conn, connected, len(r.socks))
		if err != nil {
			conn.Close()
			return err
		}
		r.socks = append(r.socks, s)
		return nil
	}
	cfg := &r.cfg
	switch cfg.Mode {
	case Hub:
		if len(cfg.Listen) == 0 {
			cfg.listenDefault = true
			cfg.Listen = []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), DefaultPort),
				netip.AddrPortFrom(netip.IPv6Loopback(), DefaultPort),
			}
		}
		for i, a := range cfg.Listen {
			if i > 0 && a.Port() == 0 && cfg.listenDefault && len(r.socks) > 0 {
				a = netip.AddrPortFrom(a.Addr(), r.socks[0].local.Port())
			}
			conn, err := listenHub(a)
			if err := add(conn, err, false); err != nil {
				last := i == len(cfg.Listen)-1
				missing := errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
				if cfg.listenDefault && missing && (!last || len(r.socks) > 0) {
					r.log.Info("zep: one loopback address is missing, the hub runs on the other", "addr", a)
					continue
				}
				return err
			}
		}
	case Client:
		if len(cfg.Remote) != 1 {
			return fmt.Errorf("want exactly one hub address, have %d", len(cfg.Remote))
		}
		a := cfg.Remote[0]
		conn, err := net.DialUDP(udp(a.Addr()), nil, net.UDPAddrFromAddrPort(a))
		if err != nil {
			err = fmt.Errorf("connect to the hub at %v: %w", a, err)
		}
		if err := add(conn, err, true); err != nil {
			return err
		}
		r.table.fix(&peer{addr: a, heard: r.now()})
	case Broadcast:
		if len(cfg.Remote) != 1 {
			return fmt.Errorf("want exactly one address to send to, have %d", len(cfg.Remote))
		}
		a := cfg.Remote[0]
		local := netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
		if a.Addr().Is6() {
			local = netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
		}
		if len(cfg.Listen) > 0 {
			local = cfg.Listen[0]
		}
		if local.Addr().Is4() != a.Addr().Is4() {
			return fmt.Errorf("listen=%v and the address to send to, %v, are of different IP versions", local, a)
		}
		conn, err := listenBroadcast(local, a, cfg.Interface)
		if err := add(conn, err, false); err != nil {
			return err
		}
		r.table.fix(&peer{addr: a, heard: r.now()})
		r.localIPs = make(map[netip.Addr]bool)
		ifaddrs, err := net.InterfaceAddrs()
		if err != nil {
			return fmt.Errorf("list own addresses: %w", err)
		}
		for _, x := range ifaddrs {
			if n, ok := x.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					r.localIPs[ip.Unmap()] = true
				}
			}
		}
	default:
		return fmt.Errorf("unknown mode %d", cfg.Mode)
	}
	if len(r.socks) == 0 {
		return errors.New("no address to listen on")
	}
	return nil
}

// SetAddress changes the own addresses and PAN; short is ieee802154.BroadcastShort for none.
func (r *Radio) SetAddress(ext uint64, short, pan uint16) {
	r.mu.Lock()
	r.mac.SetAddress(ext, short, pan)
	r.cfg.EUI64, r.cfg.Short, r.cfg.PAN = ext, short, pan
	r.setDevice(ext)
	r.mu.Unlock()
	driver.Notify(r.announce)
}

// Channel returns the channel, 11 to 26.
func (r *Radio) Channel() uint8 { return r.cfg.Channel }

// Window returns how many frames a batch for Transmit should hold at most.
func (r *Radio) Window() int {
	if r.cfg.Pace {
		return 4
	}
	return txBatch
}

// LocalAddrs returns the addresses of the sockets, with the ports that the system chose.
func (r *Radio) LocalAddrs() []netip.AddrPort {
	a := make([]netip.AddrPort, len(r.socks))
	for i, s := range r.socks {
		a[i] = s.local
	}
	return a
}

// RadioStats returns a copy of the counters.
func (r *Radio) RadioStats() ieee802154.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	m := r.mac.Stats()
	s.AcksSent, s.Sent, s.Acked, s.NoAck, s.Attempts = m.AcksSent, m.Sent, m.Acked, m.NoAck, m.Attempts
	s.Drops = driver.Drops[Drop, ieee802154.Drop](r.drops[:], r.macDrops[:])
	return s
}

// HubStats returns a copy of the counters that only ZEP has.
func (r *Radio) HubStats() HubStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hub
	h.Refused, h.SendErrors = r.refusals.Load(), r.sendErrors.Load()
	return h
}

// MACStats returns a copy of the software MAC's counters.
func (r *Radio) MACStats() ieee802154.MACStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mac.Stats()
}

// Close ends the radio: Receive and Transmit return net.ErrClosed, and every goroutine of
// the radio has ended when it returns.
func (r *Radio) Close() error {
	var err error
	r.closeOnce.Do(func() {
		close(r.closed)
		for _, s := range r.socks {
			err = errors.Join(err, s.conn.Close())
		}
	})
	r.wg.Wait()
	return err
}

func (r *Radio) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// Receive implements [ieee802154.Radio].
func (r *Radio) Receive(batch []ieee802154.RxFrame) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	for {
		if r.isClosed() {
			return 0, net.ErrClosed
		}
		n := 0
		r.mu.Lock()
		for n < len(batch) && r.ringLen > 0 {
			s := &r.ring[r.ringHead]
			r.ringHead = (r.ringHead + 1) % rxRing
			r.ringLen--
			b := &batch[n]
			b.Data = append(b.Data[:0], s.data[:s.n]...)
			b.RSSI, b.LQI, b.Channel = s.rssi, s.lqi, s.channel
			n++
		}
		more := r.ringLen > 0
		r.mu.Unlock()
		if n > 0 {
			if more {
				driver.Notify(r.rxReady)
			}
			return n, nil
		}
		select {
		case <-r.rxReady:
		case <-r.closed:
		}
	}
}

// readLoop takes datagrams from one socket until it is closed.
func (r *Radio) readLoop(s *socket) {
	defer r.wg.Done()
	rd := newReader(s)
	acks, fwd := newOutq(r), newOutq(r)
	for {
		n, err := rd.read()
		if err != nil {
			if r.isClosed() || errors.Is(err, net.ErrClosed) {
				return
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				r.refusal()
				continue
			}
			r.readFailed(err)
			continue
		}
		r.mu.Lock()
		now := r.now()
		for i := range n {
			b, from := rd.datagram(i)
			r.input(now, s, from, b, acks, fwd)
		}
		ready := r.ringLen > 0
		r.mu.Unlock()
		acks.flush() // first: somebody counts the microseconds
		fwd.flush()
		if ready {
			driver.Notify(r.rxReady)
		}
	}
}

func (r *Radio) readFailed(err error) {
	r.mu.Lock()
	r.hub.ReadErrors++
	first := r.hub.ReadErrors == 1
	r.mu.Unlock()
	if first {
		r.log.Warn("zep: cannot read, trying on", "err", err)
	}
	t := time.NewTimer(100 * time.Millisecond) // do not spin on an interface that is down
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.closed:
	}
}

// sendFailed counts a datagram the system would not send.
func (r *Radio) sendFailed(err error) {
	if r.sendErrors.Add(1) == 1 {
		r.log.Warn("zep: cannot send, trying on", "err", os.NewSyscallError("send", err))
	}
}

// refusal notes that no hub runs where this client sends to.
func (r *Radio) refusal() {
	r.refusals.Add(1)
	if r.cfg.Mode == Client && !r.refused.Swap(true) {
		r.log.Warn("zep: no hub answers; start one there (border-router run --radio zep://) or check the address; trying on", "addr", r.cfg.Remote[0])
	}
	driver.Notify(r.hello)
}

// helloLoop tells the hub who we are at the start, now and then, and more often while it
// refuses.
func (r *Radio) helloLoop() {
	defer r.wg.Done()
	const first, last = 250 * time.Millisecond, 8 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := first
	var b []byte
	refused := false
	for {
		select {
		case <-r.closed:
			return
		case <-timer.C:
			r.mu.Lock()
			ext := r.cfg.EUI64
			device := r.device
			r.mu.Unlock()
			if refused {
				backoff = min(2*backoff, last)
			} else {
				backoff = first
			}
			refused = false
			next := r.cfg.Hello
			if ext != 0 { // without an address it would be the HELLO of a sniffer
				b = appendHello(b[:0], ext, device)
				if _, err := r.socks[0].conn.Write(b); errors.Is(err, syscall.ECONNREFUSED) {
					r.refusal()
				}
			}
			timer.Reset(next)
		case <-r.announce:
			timer.Reset(0)
		case <-r.hello:
			refused = true
			timer.Reset(backoff)
		}
	}
}

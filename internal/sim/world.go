package sim

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ieee802154"
	"border-router/internal/node"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// epoch is when every world begins.
var epoch = time.Unix(1_000_000_000, 0).UTC()

// A WorldConfig describes a [World]. The zero value of a field means the default given.
type WorldConfig struct {
	Nodes      int           // devices, Classic and Sleepy included
	Classic    int           // how many of them, the first ones, behave as lwIP (RFC 4861)
	Sleepy     int           // how many of them, the last ones, sleep
	Poll       time.Duration // from one data request of theirs to the next; 5 s
	Contention bool          // frames that overlap are lost
	Impairment Impairment    // of each frame on its way to each receiver
	Seed       uint64        // of everything random
	Prefix     netip.Prefix  // of the mesh; fd00:6c6f:7770::/64
	PAN        uint16        // 0x0023
	Lifetime   time.Duration // of registrations; 15 min
	PeriodicRA bool          // the router sends multicast advertisements unasked
	Limits     nd.Limits     // of the router
	Tap        func(at time.Duration, frame []byte)
	Logger     *slog.Logger // nil discards
}

// A World is a mesh in virtual time: a border router and its devices, each with the same
// machines as in the daemon, joined by a medium with air time. One goroutine runs it,
// event by event; the same configuration and the same calls give the same run, bit by bit.
//
// The medium is one channel on which everybody hears everybody. Carrier sense is perfect,
// and collisions are part of the loss, unless Contention is set: then stations back off as
// [ieee802154.CSMA] does, assess the channel before their radio turns around, and frames
// that are on the air at the same time, acknowledgments as well, are lost. Fading and
// interference are the loss of [Impairment], drawn for each receiver. An acknowledgment reaches the station it is for and is impaired as well.
type World struct {
	cfg       WorldConfig
	q         eventQueue
	at        time.Duration
	rng       *rand.Rand
	medium    *Impairer
	busyUntil time.Duration
	air       []*onAir
	stations  []*station // 0: the border router
	byExt     map[uint64]*station
	lbr       borderRouter
	free      []*frameBuf
	hash      hash.Hash
	traceBuf  [13]byte
	err       error
	stats     WorldStats
}

// WorldStats counts what happened on the medium.
type WorldStats struct {
	Events      uint64
	Frames      uint64 // transmissions, retries included
	Acks        uint64
	Arrivals    uint64 // frames and acknowledgments that reached a station
	Lost        uint64 // on their way to one receiver
	Duplicated  uint64
	Nobody      uint64 // frames whose destination is not there or switched off
	Collisions  uint64 // frames and acknowledgments lost by overlap
	ChannelBusy uint64 // frames given up by CSMA-CA
}

type borderRouter struct {
	link, host *router.Link
	nd         *nd.Router
	addr       netip.Addr
	version    uint32
	id         uint16
	pings      map[uint32]*ping // by identifier and sequence number
}

type ping struct {
	sent time.Duration
	size int
	done func(PingResult)
}

// A PingResult tells what came of [World.Ping].
type PingResult struct {
	OK  bool
	RTT time.Duration
}

// NewWorld returns a world in which the router is on and the devices are off.
func NewWorld(cfg WorldConfig) *World {
	if !cfg.Prefix.IsValid() {
		cfg.Prefix = netip.MustParsePrefix("fd00:6c6f:7770::/64")
	}
	if cfg.PAN == 0 {
		cfg.PAN = 0x0023
	}
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	w := &World{
		cfg:    cfg,
		rng:    rand.New(rand.NewPCG(cfg.Seed, 1)),
		medium: NewImpairer(cfg.Impairment, cfg.Seed),
		byExt:  make(map[uint64]*station),
		hash:   fnv.New128a(),
	}
	for i := range cfg.Nodes + 1 {
		s := &station{w: w, id: int32(i), ext: 0x0200_00ff_fe00_0000 | uint64(i), timer: -1}
		s.rx.Data = make([]byte, 0, ieee802154.MaxFrame)
		w.stations = append(w.stations, s)
		w.byExt[s.ext] = s
	}
	w.startRouter(nil)
	return w
}

func (w *World) maxPeers(id int32) int {
	if id == 0 {
		return max(64, 2*w.cfg.Nodes)
	}
	return 16
}

func (w *World) now() time.Time { return epoch.Add(w.at) }

// Now returns the virtual time since the start.
func (w *World) Now() time.Duration { return w.at }

// Stats returns a copy of the counters.
func (w *World) Stats() WorldStats { return w.stats }

// Trace returns a hash over every event so far: time, kind, station and frame.
func (w *World) Trace() string { return hex.EncodeToString(w.hash.Sum(nil)) }

func (w *World) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: "+format, append([]any{w.at}, args...)...)
	}
}

// seededFor returns a source of randomness for one life of one station.
func (w *World) seededFor(s *station) *rand.Rand {
	return rand.New(rand.NewPCG(w.cfg.Seed^uint64(s.id)<<32, uint64(s.gen)))
}

// hostPort is the host stack of a station: it answers echo requests.
type hostPort struct {
	s  *station
	in func(p ipv6.Packet) bool // takes the packet first
}

func (h *hostPort) Name() string { return "host" }
func (h *hostPort) MTU() int     { return ipv6.MinMTU }

func (h *hostPort) Output(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) error {
	if h.in != nil && h.in(p) {
		return nil
	}
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil {
		return err
	}
	if proto != ipv6.ProtoICMPv6 || off >= len(p) || p[off] != ipv6.ICMPEchoRequest {
		return nil // taken, and nobody listens
	}
	if err := ipv6.CheckTransport(p); err != nil {
		return err
	}
	h.s.pending = append(h.s.pending, ipv6.AppendEchoReply(nil, p, p.Dst()))
	return nil
}

func (s *station) fromHost(now time.Time, p ipv6.Packet) {
	if s.dev != nil {
		s.dev.FromHost(now, p, ipv6.Meta{})
		return
	}
	s.w.lbr.host.Deliver(now, p, ipv6.Meta{})
}

func (w *World) startRouter(records []nd.Record) {
	s, b := w.stations[0], &w.lbr
	s.reset()
	now, rng := w.now(), w.seededFor(s)
	ll := ipv6.EUI64(s.ext)
	b.addr = ipv6.WithIID(w.cfg.Prefix, ll.IID())
	b.version++
	b.pings = make(map[uint32]*ping)
	s.r = router.New(router.Config{Logger: w.cfg.Logger, Registered: func(_ time.Time, _ *router.Link, _ netip.Addr, ll ipv6.LinkAddr) {
		s.iface.SetPeer(ll, lowpan.RegisteredPeer)
	}})
	s.iface = lowpan.NewInterface(lowpan.InterfaceConfig{
		Name: "mesh", EUI64: s.ext, Short: ieee802154.BroadcastShort, PAN: w.cfg.PAN, Rand: rng, Logger: w.cfg.Logger,
		Deliver:    func(now time.Time, p ipv6.Packet, m ipv6.Meta) { b.link.Deliver(now, p, m) },
		LinkStatus: func(now time.Time, dst ipv6.LinkAddr, ok bool) { b.link.LinkStatus(now, dst, ok) },
	})
	s.iface.SetRadio(s.mac)
	s.iface.SetContext(0, lowpan.Context{Prefix: w.cfg.Prefix, Compress: true})
	b.link = s.r.AddPort(router.PortConfig{
		Port: s.iface, Kind: router.Mesh, LinkLocal: []netip.Addr{ipv6.LinkLocal(ll)},
		Prefixes: []netip.Prefix{w.cfg.Prefix}, Ingress: true, Machines: []router.Machine{s.iface},
	})
	b.host = s.r.AddPort(router.PortConfig{Port: &hostPort{s: s, in: w.pong}, Kind: router.Host})
	s.r.AddAddress(b.addr)
	b.nd = nd.NewRouter(nd.RouterConfig{
		LinkAddr: ll, Addrs: []netip.Addr{b.addr}, Prefix: w.cfg.Prefix, ABROVersion: b.version,
		Contexts:   []nd.ContextOption{{ID: 0, Prefix: w.cfg.Prefix, Compress: true}},
		PeriodicRA: w.cfg.PeriodicRA, Limits: w.cfg.Limits, Rand: rng, Logger: w.cfg.Logger, Name: "mesh",
	}, b.link, b.link)
	b.link.SetNeighbors(b.nd)
	if len(records) > 0 {
		b.nd.Restore(now, records)
		for i := range records {
			s.iface.SetPeer(records[i].LinkAddr, lowpan.RegisteredPeer)
		}
	}
	s.service()
}

// RestartRouter ends the border router as a power cut does and starts it again, with the
// registrations it had where keep is set.
func (w *World) RestartRouter(keep bool) {
	s := w.stations[0]
	w.checkStation(s)
	var records []nd.Record
	if keep {
		records = w.lbr.nd.Records()
	}
	for _, p := range w.lbr.pings {
		_ = p // their results are lost with the router
	}
	s.on = false
	w.startRouter(records)
}

// Start switches device i, from 1 to Nodes, on.
func (w *World) Start(i int) {
	s := w.stations[i]
	if s.on {
		return
	}
	s.reset()
	rng := w.seededFor(s)
	poll := time.Duration(0)
	if i > w.cfg.Nodes-w.cfg.Sleepy {
		poll = w.cfg.Poll
	}
	s.dev = node.NewDevice(node.DeviceConfig{
		PollInterval: poll, EUI64: s.ext, PAN: w.cfg.PAN, Classic: i <= w.cfg.Classic, Lifetime: w.cfg.Lifetime,
		Host: &hostPort{s: s}, Rand: rng, Logger: w.cfg.Logger,
	})
	s.r, s.iface = s.dev.Router, s.dev.Iface
	s.iface.SetRadio(s.mac)
	s.dev.Start(w.now())
	s.service()
}

// Stop makes device i take its registrations back, and switches it off a second later.
func (w *World) Stop(i int) {
	s := w.stations[i]
	if !s.on {
		return
	}
	s.dev.Stop(w.now())
	s.service()
	gen := s.gen
	w.After(time.Second, func() {
		if s.gen == gen {
			w.Kill(i)
		}
	})
}

// Kill switches device i off at once.
func (w *World) Kill(i int) {
	s := w.stations[i]
	if !s.on {
		return
	}
	w.checkStation(s)
	s.on = false
	s.gen++
}

// Addrs returns the addresses of device i, none where it is off or has not joined.
func (w *World) Addrs(i int) []netip.Addr {
	if s := w.stations[i]; s.on {
		return s.dev.Addrs()
	}
	return nil
}

// Joined returns how many devices have an address.
func (w *World) Joined() (n int) {
	for i := 1; i < len(w.stations); i++ {
		if len(w.Addrs(i)) > 0 {
			n++
		}
	}
	return n
}

// Neighbors returns the neighbor table of the border router.
func (w *World) Neighbors() []nd.Neighbor { return w.lbr.nd.Snapshot() }

// Registered returns how many addresses are registered with the border router.
func (w *World) Registered() (n int) {
	for _, x := range w.Neighbors() {
		if x.Registered {
			n++
		}
	}
	return n
}

// After calls f when d has passed.
func (w *World) After(d time.Duration, f func()) {
	w.q.push(event{at: w.at + d, kind: evCall, call: f})
}

// Ping sends an echo request of size data bytes from the border router's host stack to
// addr; done, which may be nil, is called once.
func (w *World) Ping(addr netip.Addr, size int, timeout time.Duration, done func(PingResult)) {
	b, s := &w.lbr, w.stations[0]
	b.id++
	key := uint32(0x5157)<<16 | uint32(b.id)
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i)
	}
	p := &ping{sent: w.at, size: size, done: done}
	b.pings[key] = p
	s.pending = append(s.pending, ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, key, body, b.addr, addr, 64))
	s.service()
	pings := b.pings
	w.After(timeout, func() {
		if pings[key] == p {
			delete(pings, key)
			if done != nil {
				done(PingResult{})
			}
		}
	})
}

// pong takes echo replies out of what the border router's host stack is given.
func (w *World) pong(p ipv6.Packet) bool {
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil || proto != ipv6.ProtoICMPv6 || len(p) < off+8 || p[off] != ipv6.ICMPEchoReply {
		return false
	}
	if ipv6.CheckTransport(p) != nil {
		return false
	}
	key := binary.BigEndian.Uint32(p[off+4:])
	g := w.lbr.pings[key]
	if g == nil {
		return true
	}
	delete(w.lbr.pings, key)
	if len(p)-off-8 != g.size {
		w.fail("echo reply of %d bytes for %d", len(p)-off-8, g.size)
	}
	for i, c := range p[off+8:] {
		if c != byte(i) {
			w.fail("echo reply with other bytes than were sent")
			break
		}
	}
	if g.done != nil {
		g.done(PingResult{OK: true, RTT: w.at - g.sent})
	}
	return true
}

// Run lets time pass up to until, counted from the start of the world.
func (w *World) Run(until time.Duration) {
	for w.err == nil {
		e, ok := w.q.pop(until)
		if !ok {
			break
		}
		w.at = e.at
		w.do(&e)
	}
	if w.err == nil {
		w.at = max(w.at, until)
	}
}

func (w *World) do(e *event) {
	s := w.stations[e.station]
	alive := e.kind == evCall || s.on && s.gen == e.gen
	switch {
	case e.kind == evTimer && e.token != s.timerToken, (e.kind == evAir || e.kind == evCCA) && e.token != s.txToken:
		return // replaced since
	case alive:
		w.stats.Events++
		w.trace(e)
	}
	switch e.kind {
	case evTimer:
		if alive {
			s.onTimer()
		}
	case evAir:
		if alive {
			s.onAir()
		}
	case evCCA:
		if alive {
			s.onCCA()
		}
	case evFrame, evAck:
		if e.frame.air != nil && e.frame.air.hit {
			w.stats.Collisions++
		} else if alive {
			w.stats.Arrivals++
			s.onFrame(e.frame)
		} else {
			w.stats.Nobody++
		}
		w.release(e.frame)
	case evCall:
		e.call()
	}
}

func (w *World) trace(e *event) {
	b := &w.traceBuf
	binary.BigEndian.PutUint64(b[:], uint64(e.at))
	b[8] = byte(e.kind)
	binary.BigEndian.PutUint32(b[9:], uint32(e.station))
	w.hash.Write(b[:])
	if e.frame != nil {
		w.hash.Write(e.frame.data)
	}
}

func (w *World) buffer(frame []byte) *frameBuf {
	var b *frameBuf
	if n := len(w.free); n > 0 {
		b, w.free = w.free[n-1], w.free[:n-1]
	} else {
		b = &frameBuf{data: make([]byte, 0, ieee802154.MaxFrame)}
	}
	b.data, b.refs = append(b.data[:0], frame...), 0
	b.air = nil
	return b
}

func (w *World) release(b *frameBuf) {
	if b.refs--; b.refs <= 0 {
		w.free = append(w.free, b)
	}
}

// transmit brings a frame that has just left the antenna of s to those it is for.
func (w *World) transmit(s *station, frame []byte) {
	w.stats.Frames++
	if w.cfg.Tap != nil {
		w.cfg.Tap(w.at, frame)
	}
	var f ieee802154.Frame
	if err := f.Parse(frame); err != nil {
		w.fail("station %d sends a bad frame: %v", s.id, err)
		return
	}
	if s.air != nil && s.air.hit {
		return
	}
	b := w.buffer(frame)
	b.refs++ // until all are scheduled
	if f.Dst.Mode == ieee802154.AddrExtended {
		if to := w.byExt[f.Dst.V]; to != nil && to != s {
			w.arrive(to, evFrame, b, 0)
		} else {
			w.stats.Nobody++
		}
	} else {
		for _, to := range w.stations {
			if to != s {
				w.arrive(to, evFrame, b, 0)
			}
		}
	}
	w.release(b)
}

// acknowledge sends ack back to the source of frame.
func (w *World) acknowledge(s *station, frame, ack []byte) {
	w.stats.Acks++
	if w.cfg.Tap != nil {
		w.cfg.Tap(w.at, ack)
	}
	var f ieee802154.Frame
	if f.Parse(frame) != nil || f.Src.Mode != ieee802154.AddrExtended {
		return
	}
	if to := w.byExt[f.Src.V]; to != nil {
		b := w.buffer(ack)
		b.refs++
		if w.cfg.Contention {
			s.acking = w.at + turnaround + ackTime
			b.air = w.occupy(w.at+turnaround, w.at+turnaround+ackTime)
		}
		w.arrive(to, evAck, b, turnaround+ackTime)
		w.release(b)
	}
}

// arrive schedules the arrival of b at to, as the medium wants it. A station that is off
// takes no draw: it does not change the luck of the others.
func (w *World) arrive(to *station, kind eventKind, b *frameBuf, after time.Duration) {
	if !to.on {
		w.stats.Nobody++
		return
	}
	f := w.medium.Next()
	if f.Drop {
		w.stats.Lost++
		return
	}
	b.refs++
	w.q.push(event{at: w.at + after + f.Delay, kind: kind, station: to.id, gen: to.gen, frame: b})
	if f.Duplicate {
		w.stats.Duplicated++
		b.refs++
		w.q.push(event{at: w.at + after + f.Again, kind: kind, station: to.id, gen: to.gen, frame: b})
	}
}

// Check returns what is wrong: the first thing that failed during the run, else the first
// invariant that does not hold now.
func (w *World) Check() error {
	for _, s := range w.stations {
		if s.on {
			w.checkStation(s)
		}
	}
	if w.err == nil && w.lbr.nd != nil {
		limit := w.cfg.Limits
		if limit.Registrations == 0 {
			limit.Registrations = 1000
		}
		if limit.Neighbors == 0 {
			limit.Neighbors = 1000
		}
		if n := len(w.Neighbors()); n > limit.Registrations+limit.Neighbors {
			w.fail("%d neighbors", n)
		}
	}
	return w.err
}

// checkStation asserts that every frame and packet of s is accounted for.
func (w *World) checkStation(s *station) {
	var errs []error
	equal := func(what string, got, want uint64) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s: %d, accounted for %d", what, got, want))
		}
	}
	m := s.mac.Stats()
	sum := m.Delivered + m.AcksMatched
	for _, n := range m.Drops {
		sum += n
	}
	equal("MAC received", m.Received, sum)
	i := s.iface.Stats()
	equal("frames to the adaptation layer", i.FramesIn, m.Delivered)
	equal("frames in", i.FramesIn, i.FramesDelivered+i.FramesHeld+i.FramesDropped())
	equal("datagrams out", i.DatagramsOut, i.DatagramsSent+i.DatagramsQueued+i.DatagramsDropped())
	for _, l := range s.r.Links() {
		t := l.Stats()
		equal(l.Name()+" received", t.Received, t.Delivered+t.Forwarded+t.Consumed+t.Held+t.Dropped)
		var drops uint64
		for _, n := range l.Drops() {
			drops += n
		}
		equal(l.Name()+" dropped", t.Dropped, drops)
	}
	mesh := s.r.Links()[0].Stats()
	equal("packets from the adaptation layer", mesh.Received, i.DatagramsIn)
	equal("packets to the adaptation layer", mesh.Sent, i.DatagramsOut)
	if s.dev != nil {
		t := s.dev.Stats()
		equal("packets of the host stack", t.FromHost, t.Sent+t.Held+t.Dropped)
	}
	if i.Reassemblies > 256 || i.DatagramsQueued > 512 || len(s.pending) > 64 {
		errs = append(errs, fmt.Errorf("a table is too long: %d reassemblies, %d queued, %d pending", i.Reassemblies, i.DatagramsQueued, len(s.pending)))
	}
	if err := errors.Join(errs...); err != nil {
		w.fail("station %d: %w", s.id, err)
	}
}

// Inject puts a frame, without FCS, on the air that no station of the world sends; every
// station that is on hears it. A frame longer than [ieee802154.MaxFrame] less its FCS is
// cut.
func (w *World) Inject(frame []byte) {
	frame = frame[:min(len(frame), ieee802154.MaxFrame-fcsLen)]
	b := w.buffer(frame)
	b.refs++
	for _, s := range w.stations {
		w.arrive(s, evFrame, b, 0)
	}
	w.release(b)
}

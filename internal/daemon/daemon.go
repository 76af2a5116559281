package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"border-router/dhcp6"
	"border-router/internal/api"
	"border-router/internal/capture"
	"border-router/internal/config"
	"border-router/internal/hoststack"
	"border-router/internal/state"
	"border-router/internal/tun"
	"border-router/ipv6"
	"border-router/mld"
	"border-router/nd"
	"border-router/router"
)

// Options are what a [Daemon] takes beside its configuration.
type Options struct {
	Logger  *slog.Logger // nil discards
	Version string       // shown by status
	// Impair, where set, makes the hubs of ZEP radios lose, delay and duplicate frames
	// (see [zep.Config]); the simulator uses it.
	Impair Impair
	// FindRadios, where set, puts URLs in place of the radios of the configuration that are
	// to be found, and waits for them; it says to waiting why, each time that changes.
	// Requests for the status are answered meanwhile.
	FindRadios func(ctx context.Context, waiting func(why string)) error
	// NextRadio, where set, waits until radio i of list, which FindRadios has found for auto,
	// is gone for good and another one is there to take its place, and returns the URL of
	// that. down reports that the radio does not work; waiting is told why none is taken.
	NextRadio NextRadio

	// Taken over from the daemon before.
	store *state.Store         // nil: that of the configuration
	autos map[int]config.Radio // radios that were found, as they stood in the configuration
	pasts []*past              // of the meshes
}

// A NextRadio finds the radio that is to take the place of one that is gone.
type NextRadio = func(ctx context.Context, auto config.Radio, list []config.Radio, i int, down func() bool, waiting func(why string)) (config.Radio, error)

// An Impair decides the fate of a frame on its way through a ZEP hub.
type Impair = func(from, to netip.AddrPort, frame []byte) (drop bool, delay time.Duration, duplicate bool)

// A Daemon is a border router with everything around it.
type Daemon struct {
	cfg     *config.Config
	log     *slog.Logger
	version string
	started time.Time

	store  *state.Store
	bus    *capture.Bus
	router *router.Router
	loop   *router.Loop
	meshes []*mesh
	host   *router.Link
	tun    *tun.Device
	stack  *hoststack.Stack
	server *api.Server
	front  *front
	served chan error // how server has ended

	lan         *lan          // nil: none
	proxy       *mld.Proxy    // of multicast listeners towards the LAN; nil without one
	kernel      *kernelRoutes // of the TUN device; nil without one
	hostGroups  *groups       // of the TUN device; nil without one
	relayConn   *net.UDPConn
	numbers     []int                // of the meshes, by which subnets are given out
	autos       map[int]config.Radio // radios that were found, as they stood in the configuration
	nextRadio   NextRadio            // nil: a radio that was found stays
	ula         netip.Prefix         // of this router, a /48
	own         []netip.Prefix       // of the meshes, where nothing is delegated
	unreachable []netip.Prefix       // delegated
	proxied     map[netip.Addr]bool  // nodes that we are the ND proxy of; nil: not read yet

	taps   []func(tx bool, p []byte) // of the capture, by port
	source string                    // of the prefixes: "configured" or "generated"

	downOnce sync.Once
	down     chan error // why it cannot go on
}

// New opens everything that cfg names; the end of ctx ends waiting for a radio. What it
// returns must be given to [Daemon.Run] or closed. Errors say what to do about them.
func New(ctx context.Context, cfg *config.Config, opt Options) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg, log: opt.Logger, version: opt.Version, started: time.Now(), down: make(chan error, 1)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()

	// The management socket comes first: it tells when another router is running here,
	// before anything of that one is disturbed.
	d.front = newFront(ctx, d)
	if d.server, err = api.Listen(cfg.Socket, d.front, opt.Version); err != nil {
		return nil, err
	}
	d.served = make(chan error, 1)
	go func() { d.served <- d.server.Serve() }()
	if d.store = opt.store; d.store == nil {
		if d.store, err = openStore(cfg.StateDir, d.log); err != nil {
			return nil, err
		}
	}
	d.autos, d.nextRadio = opt.autos, opt.NextRadio
	if d.autos == nil {
		d.autos = map[int]config.Radio{}
		for i, radio := range cfg.Radios {
			if radio.IsAuto() {
				d.autos[i] = radio
			}
		}
	}
	if err = d.findRadios(ctx, opt.FindRadios); err != nil {
		return nil, err
	}
	for i := range d.autos {
		cfg.Radios[i] = inherited(d.store, cfg.Radios[i])
	}
	d.bus = capture.NewBus(cfg.Capture.Buffer)

	abro, err := d.store.NextABROVersion()
	if err != nil {
		return nil, fmt.Errorf("advance the ABRO version: %w", err)
	}
	d.store.KeepABROVersion(abro) // and some more, so that the loop never waits for one
	if d.ula, err = d.store.ULA(); err != nil {
		return nil, fmt.Errorf("generate a prefix: %w", err)
	}
	numbers, subnets, err := d.subnets(abro)
	if err != nil {
		return nil, err
	}

	d.numbers, d.own = numbers, slices.Clone(subnets)
	if d.delegates() {
		if r, ok := d.keptLease(); ok {
			r.Lease.Prefixes = slices.DeleteFunc(r.Lease.Prefixes, func(p dhcp6.Prefix) bool { return !p.Valid.IsZero() && !p.Valid.After(d.started) })
			for i, s := range d.subnetsOf(r.Lease.Prefixes) {
				if k := slices.Index(numbers, int(i)); k >= 0 {
					subnets[k], d.source = s.Prefix, "delegated"
				}
			}
		}
	}
	if p, ok := d.keptProxied(); ok {
		subnets[0], d.source = p, "LAN"
	}

	d.router = router.New(router.Config{
		ClampMSS:     cfg.Filters.ClampMSS,
		Linked:       d.linked,
		ICMPRate:     cfg.ICMP.Rate,
		ICMPBurst:    cfg.ICMP.Burst,
		Logger:       d.log,
		Tap:          d.tapPacket,
		Registered:   d.registered,
		Unregistered: d.unregistered,
	})
	d.loop = router.NewLoop(d.router)

	if cfg.Uplink.Ethernet() || cfg.LAN.Interface != "" {
		if err := d.newLAN(); err != nil {
			return nil, err
		}
	}
	d.router.HandleUDP(dhcpServerPort, d.handleDHCP)
	names := portNames(d.store, cfg.Radios, numbers)
	for i, url := range cfg.Radios {
		known := new(past)
		if i < len(opt.pasts) {
			known = opt.pasts[i]
		}
		m, err := d.newMesh(ctx, names[i], known, url, subnets[i], abro, opt.Impair)
		if err != nil {
			return nil, err
		}
		d.meshes = append(d.meshes, m)
	}
	if err := d.openUplink(); err != nil {
		return nil, err
	}
	if d.lan != nil {
		d.newDHCPClient(d.lan)
	}
	if err := d.setRules(); err != nil {
		return nil, err
	}
	// What was made up is to be the same after a power cut, since others hear of it now. A
	// disk that cannot be written is said by the store, which goes on trying.
	_ = d.store.Flush()
	return d, nil
}

// setRules gives the router its packet filter.
func (d *Daemon) setRules() error {
	rules := make([]router.Rule, len(d.cfg.Filters.Rules))
	for i, r := range d.cfg.Filters.Rules {
		rules[i] = router.Rule(r)
	}
	return d.router.SetRules(rules, router.Action(d.cfg.Filters.Default))
}

func openStore(dir string, log *slog.Logger) (*state.Store, error) {
	if dir == "" {
		return state.OpenMemory(), nil
	}
	return state.Open(dir, log)
}

// openUplink opens the host port, gives it our addresses, and routes to it.
func (d *Daemon) openUplink() error {
	var port router.Port
	switch d.cfg.Uplink.Kind {
	case config.UplinkUser, config.UplinkEthernet, config.UplinkTAP:
		s, err := hoststack.New(hoststack.Config{Name: "user", MTU: d.cfg.UplinkMTU})
		if err != nil {
			return fmt.Errorf("uplink user: %w", err)
		}
		d.stack = s
		for _, m := range d.meshes {
			if err := s.AddAddress(m.addr); err != nil {
				return fmt.Errorf("uplink user: %w", err)
			}
		}
		port = s
	default:
		cfg := tun.Config{
			Name:   d.cfg.Uplink.Name,
			MTU:    d.cfg.UplinkMTU,
			Logger: d.log,
			OnDown: func(err error) { d.lost(fmt.Errorf("uplink: %w", err)) },
		}
		for _, m := range d.meshes {
			cfg.Addresses = append(cfg.Addresses, netip.PrefixFrom(m.addr, 128))
			cfg.Routes = append(cfg.Routes, m.link.Prefixes()...)
		}
		t, err := tun.Open(cfg)
		if err != nil {
			return err
		}
		d.tun = t
		port = t
		d.kernel = newKernelRoutes(t, func(what string, p netip.Prefix, err error) {
			d.log.Warn("kernel not told", "what", what, "prefix", p, "err", err)
		})
		if d.lan != nil {
			d.kernel.onLAN = d.lan.port.SetKernelAddress
		}
		if err := d.listenRelay(); err != nil {
			return err
		}
	}
	d.host = d.router.AddPort(router.PortConfig{Port: port, Kind: router.Host, Ingress: d.cfg.Filters.Ingress, Realm: d.realm(0)})
	if d.tun != nil && d.cfg.Multicast.Forward && len(d.meshes) > 0 {
		// Programs on this machine listen to groups on the TUN.
		d.hostGroups = d.newGroups(d.host, d.meshes[0].link.LinkLocal())
		d.host.SetMulticast(d.hostGroups)
	}
	for _, l := range d.router.Links() {
		d.taps = append(d.taps, d.bus.Packets(l.Name()))
	}
	for _, m := range d.meshes {
		d.router.AddAddress(m.addr)
	}
	d.tellOwn()
	if d.tun != nil {
		d.router.FIB().Add(router.Route{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Port: d.host.Index(), Kind: router.RouteDefault})
	}
	// What of our own prefixes no mesh has is nobody's: it must not bounce between us and
	// the uplink.
	for _, p := range d.aggregates() {
		d.router.FIB().Add(router.Route{Prefix: p, Kind: router.RouteUnreachable, Metric: 1 << 30})
	}
	return nil
}

// aggregates returns the prefixes that subnets were cut from.
func (d *Daemon) aggregates() []netip.Prefix {
	switch {
	case len(d.cfg.Prefixes) == 1 && d.cfg.Prefixes[0].Bits() < 64:
		return d.cfg.Prefixes
	case len(d.cfg.Prefixes) == 0:
		return []netip.Prefix{d.ula}
	}
	return nil
}

// Run runs the router until ctx is done or the uplink is lost for good, then closes
// everything. It returns nil where ctx ended it.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.Close()
	loopCtx, stopLoop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stopLoop()
	running.Go(func() { d.loop.Run(loopCtx) })

	for _, m := range d.meshes {
		m.keeper.Start(m.iface)
		m.pump.Start()
		running.Go(func() { d.watch(loopCtx, m) })
	}
	if d.nextRadio != nil {
		for i, auto := range d.autos {
			running.Go(func() { d.follow(loopCtx, i, auto) })
		}
	}
	switch {
	case d.tun != nil:
		d.tun.Start(d.loop.PostUplink, d.host.Deliver)
		running.Go(func() { d.kernel.run(loopCtx.Done()) })
	case d.stack != nil:
		d.stack.Start(d.loop.PostUplink, d.host.Deliver)
	}
	d.startMulticast(loopCtx)
	if d.lan != nil {
		d.lan.port.Start(d.loop.Post, d.lan.link.Deliver)
	}
	d.front.set(stateRunning, "")
	for _, m := range d.meshes {
		d.log.Info("mesh up", "link", m.name, "radio", m.url, "lladdr", m.lladdr, "prefix", m.prefix, "addr", m.addr)
	}
	d.log.Info("router running", "uplink", d.cfg.Uplink, "socket", d.cfg.Socket, "state_dir", d.cfg.StateDir)

	var err error
	select {
	case <-ctx.Done():
	case err = <-d.down:
	case err = <-d.served:
		if err != nil {
			err = fmt.Errorf("management socket: %w", err)
		}
	}
	if d.lan != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := d.do(stopCtx, d.lan.stop); err != nil {
			d.log.Warn("the LAN was not told that the router goes", "reason", err)
		}
		cancel()
	}
	// The radios end while the loop still takes what they hand over; the uplink, which may
	// be held up by a busy mesh, afterwards: it is let go by the end of the loop.
	d.closeMeshes()
	stopLoop()
	running.Wait()
	d.closeUplink()
	return err
}

func (d *Daemon) closeMeshes() {
	var wg sync.WaitGroup
	if d.server != nil {
		wg.Go(func() { d.server.Close() })
	}
	for _, m := range d.meshes {
		wg.Go(m.close)
	}
	wg.Wait()
}

func (d *Daemon) closeUplink() {
	var wg sync.WaitGroup
	if d.relayConn != nil {
		d.relayConn.Close()
	}
	if d.lan != nil {
		wg.Go(func() { d.lan.port.Close() })
	}
	if d.tun != nil {
		wg.Go(func() { d.tun.Close() })
	}
	if d.stack != nil {
		wg.Go(func() { d.stack.Close() })
	}
	wg.Wait()
}

// Close ends everything that New has opened. Run does it by itself.
func (d *Daemon) Close() error {
	d.closeMeshes()
	d.closeUplink()
	for _, m := range d.meshes {
		m.keeper.Close()
	}
	if d.store != nil {
		return d.store.Close()
	}
	return nil
}

// startMulticast sets listener discovery of the meshes going, with what we listen to.
func (d *Daemon) startMulticast(ctx context.Context) {
	if !d.cfg.Multicast.Forward {
		return
	}
	_ = d.do(ctx, func(now time.Time) {
		if d.hostGroups != nil {
			d.hostGroups.querier.Start(now)
		}
		for _, m := range d.meshes {
			m.groups.querier.Start(now)
			m.link.ListenGroup(ipv6.AllDHCPServers)
			m.groups.listener.Batch(now, func() {
				for _, g := range [...]netip.Addr{ipv6.AllRouters, ipv6.AllDHCPServers, nd.SolicitedNode(m.link.LinkLocal())} {
					_ = m.groups.listener.Join(now, g)
				}
			})
		}
	})
}

// Stack returns the user-space host stack, nil where the uplink is another.
func (d *Daemon) Stack() *hoststack.Stack { return d.stack }

// Prefix returns the prefix of mesh port i and our address in it.
func (d *Daemon) Prefix(i int) (netip.Prefix, netip.Addr) {
	return d.meshes[i].prefix, d.meshes[i].addr
}

// Run runs a router with this configuration until ctx is done. Where a radio turns out to
// have another address than before, or another one has taken its place, all of it is built
// again on that one, with the state kept.
func Run(ctx context.Context, cfg *config.Config, opt Options) error {
	for {
		d, err := New(ctx, cfg, opt)
		if err != nil {
			return err
		}
		if cfg.StateDir == "" {
			opt.store = d.store
		}
		err = d.Run(ctx)
		var other *otherRadio
		switch {
		case ctx.Err() != nil:
			return err
		case errors.As(err, &other):
			cfg.Radios[other.i] = other.next
			d.meshes[other.i].radios.add(other.was)
			d.log.Warn("starting again with another radio in place of the one that is gone", "reason", err)
		case errors.Is(err, errAddress):
			d.log.Warn("starting again with the address of the radio; its nodes have to register again", "reason", err)
		default:
			return err
		}
		opt.autos, opt.pasts = d.autos, nil
		for _, m := range d.meshes {
			opt.pasts = append(opt.pasts, m.past)
		}
	}
}

// registered keeps a registration, so that after a power cut the node is reachable at once.
func (d *Daemon) registered(now time.Time, l *router.Link, addr netip.Addr, ll ipv6.LinkAddr) {
	for _, m := range d.meshes {
		if m.link != l {
			continue
		}
		if !ll.IsZero() {
			m.own(addr, ll)
		}
		rec, ok := m.nd.Record(addr)
		if !ok {
			return
		}
		m.sameNode(now, ll, rec.ROVR)
		d.store.PutRegistration(recordOf(m.name, rec))
	}
}

// commit has the nodes of m answered when what was kept of them is on the disk.
func (d *Daemon) commit(m *mesh) uint64 {
	m.tickets++
	ticket := m.tickets
	if !d.store.Written(func() {
		d.loop.Post(workFunc(func(now time.Time) {
			m.nd.Committed(now, ticket)
			dhcpDown{d, m}.release(now, m.held.committed(ticket))
		}))
	}) {
		return 0
	}
	return ticket
}

func (d *Daemon) unregistered(_ time.Time, l *router.Link, addr netip.Addr) {
	for _, m := range d.meshes {
		if m.link == l {
			m.disown(addr)
			d.store.DeleteRegistration(m.name, addr)
			if d.lan != nil && d.cfg.LAN.NDProxy {
				d.lan.unproxied(addr)
			}
		}
	}
}

// do runs f on the loop.
func (d *Daemon) do(ctx context.Context, f func(now time.Time)) error {
	err := d.loop.Do(ctx, func(*router.Router) { f(time.Now()) })
	if errors.Is(err, router.ErrClosed) {
		return errors.New("the router is shutting down")
	}
	return err
}

func (d *Daemon) tapPacket(port int, tx bool, p ipv6.Packet) {
	if d.bus.Active() {
		d.taps[port](tx, p)
	}
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

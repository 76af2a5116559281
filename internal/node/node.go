package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"border-router/ieee802154"
	"border-router/internal/coap"
	"border-router/internal/config"
	"border-router/internal/hoststack"
	"border-router/internal/macsec"
	"border-router/internal/radios"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/router"
)

// CoAPPort is the UDP port of CoAP (RFC 7252 section 6.1).
const CoAPPort = 5683

// stopTimeout is how long taking the registrations back may take. The whole shutdown is
// to end within a second.
const stopTimeout = 400 * time.Millisecond

// A Config describes a [Node]. The zero value is a device on the hub of this machine.
type Config struct {
	Name string // in the log and at /.well-known/core; default: from the EUI-64
	// Radio is the URL of the radio; default "zep://?mode=client".
	Radio string
	// Open, where set, opens the radio instead. tap may be nil.
	Open func(eui64 uint64, short uint16) (ieee802154.Radio, error)
	// PAN is the PAN of a radio that Open opens; a URL has its own.
	PAN uint16

	EUI64    uint64        // 0: that of the URL, else one made up
	Short    uint16        // 0: that of the URL; ffff: none
	Classic  bool          // a host of RFC 4861 as lwIP
	Lifetime time.Duration // of registrations; 0: 15 min

	// PollInterval, where set, makes it a node that sleeps: it asks for its frames that often,
	// and hears nothing in between. The radio must be ZEP.
	PollInterval time.Duration
	GHC          bool // generic header compression (RFC 7400) towards a router that announces it

	// Security secures frames where it has a key. The frame counter is then kept in
	// StateDir, which an EUI-64 that is not made up needs: after a restart none may be
	// used again.
	Security config.Security
	StateDir string

	CoAP coap.Options // its Resources nil: those of [coap.Device], and /name

	// Groups are the multicast groups that the node listens to. nil: those of all CoAP nodes
	// ([coap.AllCoAPNodes]).
	Groups []netip.Addr

	// OnChange, where set, is told of each change of the state. It is called from the
	// node's goroutine and must not block.
	OnChange func(State)
}

// State is what a node knows of its place in the mesh.
type State struct {
	Name      string
	EUI64     uint64
	Classic   bool
	LinkLocal netip.Addr
	Addrs     []netip.Addr // that it may use; empty: not joined
	Router    netip.Addr   // default router; zero: none
}

// Joined reports whether the node can be reached.
func (s State) Joined() bool { return len(s.Addrs) > 0 }

// A Node is a device on a radio. [New] makes it, [Node.Run] lets it live.
type Node struct {
	cfg   Config
	log   *slog.Logger
	radio ieee802154.Radio
	stack *hoststack.Stack
	dev   *Device
	loop  *router.Loop
	pump  *lowpan.Pump

	store  *state.Store
	keeper *macsec.Keeper // nil: frames are not secured

	coap *coap.Server

	mu    sync.Mutex
	state State
	dead  chan error // the radio is gone for good
}

// Run makes a node and lets it live until ctx ends. See [New] and [Node.Run].
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	n, err := New(cfg, log)
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

// New opens the radio and puts the node together. log may be nil. A Node that is not run
// must be ended with Close.
func New(cfg Config, log *slog.Logger) (*Node, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Radio == "" {
		cfg.Radio = "zep://?mode=client"
	}
	open := cfg.Open
	if open == nil {
		u, err := radios.Parse(cfg.Radio)
		if err != nil {
			return nil, err
		}
		set := u.Settings()
		if cfg.EUI64 == 0 {
			cfg.EUI64 = set.EUI64
		}
		if cfg.Short == 0 {
			cfg.Short = set.Short
		}
		cfg.PAN = set.PAN
		open = func(eui64 uint64, short uint16) (ieee802154.Radio, error) {
			return u.Open(radios.Options{EUI64: eui64, Short: short, Logger: log})
		}
		if u.HasOwnAddress() {
			r, eui64, err := openAddressed(u, cfg.Short, log)
			if err != nil {
				return nil, err
			}
			cfg.EUI64 = eui64
			if s, ok := r.(radios.Set); ok {
				cfg.PAN, cfg.Short = s.Settings().PAN, s.Settings().Short
			}
			open = func(uint64, uint16) (ieee802154.Radio, error) { return r, nil }
		}
	}
	if cfg.Groups == nil {
		cfg.Groups = coap.AllCoAPNodes()
	}
	for _, g := range cfg.Groups {
		if !g.Is6() || !g.IsMulticast() {
			return nil, fmt.Errorf("group %v: want an IPv6 multicast address", g)
		}
	}
	fixed := cfg.EUI64 != 0
	if !fixed {
		cfg.EUI64 = randomEUI64()
	}
	if cfg.Short == ieee802154.BroadcastShort || cfg.Short == ieee802154.NoShort {
		cfg.Short = 0
	}
	ll := ipv6.EUI64(cfg.EUI64)
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("node-%04x", uint16(cfg.EUI64))
	}
	n := &Node{
		cfg:  cfg,
		log:  log.With("node", cfg.Name),
		dead: make(chan error, 1),
		state: State{
			Name: cfg.Name, EUI64: cfg.EUI64, Classic: cfg.Classic, LinkLocal: ipv6.LinkLocal(ll),
		},
	}
	security, err := n.secure(fixed)
	if err != nil {
		return nil, err
	}
	if n.stack, err = hoststack.New(hoststack.Config{}); err != nil {
		n.store.Close()
		return nil, fmt.Errorf("host stack: %w", err)
	}
	if n.radio, err = open(cfg.EUI64, cfg.Short); err != nil {
		n.stack.Close()
		n.store.Close()
		return nil, err
	}
	if _, ok := n.radio.(ieee802154.Sleeper); !ok && cfg.PollInterval > 0 {
		n.radio.Close()
		n.stack.Close()
		n.store.Close()
		return nil, fmt.Errorf("poll interval %v: the receiver of radio %s cannot be switched off", cfg.PollInterval, cfg.Radio)
	}
	conn, err := n.stack.ListenPacket(netip.AddrPortFrom(netip.IPv6Unspecified(), CoAPPort))
	if err != nil {
		n.radio.Close()
		n.stack.Close()
		n.store.Close()
		return nil, fmt.Errorf("listen for CoAP: %w", err)
	}
	if n.cfg.CoAP.Logger == nil {
		n.cfg.CoAP.Logger = n.log
	}
	if n.cfg.CoAP.Resources == nil {
		n.cfg.CoAP.Resources = append(coap.Device(), nameResource(cfg.Name))
	}
	n.coap = coap.New(conn, n.cfg.CoAP)
	n.dev = NewDevice(DeviceConfig{
		EUI64: cfg.EUI64, Short: cfg.Short, PAN: cfg.PAN, Classic: cfg.Classic, Lifetime: cfg.Lifetime, GHC: cfg.GHC,
		PollInterval: cfg.PollInterval,
		Host:         n.stack, Logger: n.log, Security: security,
		// Not the same sequence numbers and tags after each start: peers would take the
		// first frames for repetitions.
		Rand:           mrand.New(mrand.NewPCG(mrand.Uint64(), mrand.Uint64())),
		Wake:           func() { n.pump.Wake() },
		AddressAdded:   n.addressAdded,
		AddressRemoved: n.addressRemoved,
		Router:         n.routerChanged,
	})
	n.loop = router.NewLoop(n.dev.Router)
	n.pump = lowpan.NewPump(n.dev.Iface, n.radio, func(w interface{ Run(now time.Time) }) bool { return n.loop.Post(w) })
	n.pump.OnError = func(err error) {
		n.log.Warn("radio", "err", err)
		if errors.Is(err, net.ErrClosed) {
			select {
			case n.dead <- err:
			default:
			}
		}
	}
	return n, nil
}

// openAddressed opens a radio with an address of its own and waits for it.
func openAddressed(u *radios.URL, short uint16, log *slog.Logger) (radios.Radio, uint64, error) {
	r, err := u.Open(radios.Options{Short: short, Logger: log})
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), firstAnswer)
	defer cancel()
	eui64, err := r.(radios.Addressed).Address(ctx)
	if err != nil {
		r.Close()
		return nil, 0, fmt.Errorf("radio %s did not tell its address within %v: %w", u, firstAnswer, err)
	}
	return r, eui64, nil
}

// firstAnswer is how long a radio may take to tell its address.
const firstAnswer = 10 * time.Second

// nameResource tells which device this is; its title says so in /.well-known/core.
func nameResource(name string) *coap.Resource {
	return &coap.Resource{
		Path: "/name", Type: "name", Interface: "core.rp", Title: name,
		Formats: []message.MediaType{message.TextPlain},
		Get: func(time.Time, *coap.Request) coap.Response {
			return coap.Response{Code: codes.Content, Format: message.TextPlain, Payload: []byte(name)}
		},
	}
}

// randomEUI64 returns a locally administered EUI-64 of a single device.
func randomEUI64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	b[0] = b[0]&^1 | 2
	return binary.BigEndian.Uint64(b[:])
}

// State returns what the node knows now.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state
	s.Addrs = slices.Clone(s.Addrs)
	return s
}

// Stack returns the node's TCP/IP stack, for services and clients of its own.
func (n *Node) Stack() *hoststack.Stack { return n.stack }

// Do runs f on the node's goroutine; see [router.Loop.Do].
func (n *Node) Do(ctx context.Context, f func(now time.Time, d *Device)) error {
	return n.loop.Do(ctx, func(*router.Router) { f(time.Now(), n.dev) })
}

// Join makes the node listen to a multicast group: on its sockets that are bound to no
// other address, CoAP for one. Each Join wants a [Node.Leave].
func (n *Node) Join(ctx context.Context, group netip.Addr) (err error) {
	if e := n.Do(ctx, func(now time.Time, d *Device) { err = n.join(now, d, group) }); e != nil {
		return e
	}
	return err
}

func (n *Node) join(now time.Time, d *Device, group netip.Addr) error {
	if err := d.Join(now, group); err != nil {
		return fmt.Errorf("join %v: %w", group, err)
	}
	if err := n.stack.JoinGroup(group); err != nil {
		d.Leave(now, group)
		return err
	}
	return nil
}

// Leave undoes one [Node.Join], or the joining of one of [Config].Groups.
func (n *Node) Leave(ctx context.Context, group netip.Addr) error {
	return n.Do(ctx, func(now time.Time, d *Device) {
		d.Leave(now, group)
		_ = n.stack.LeaveGroup(group) // undoes one as well
	})
}

func (n *Node) change(f func(*State)) {
	n.mu.Lock()
	f(&n.state)
	n.mu.Unlock()
	if n.cfg.OnChange != nil {
		n.cfg.OnChange(n.State())
	}
}

func (n *Node) addressAdded(_ time.Time, a netip.Addr) {
	if err := n.stack.AddAddress(a); err != nil {
		n.log.Error("cannot use address", "addr", a, "err", err)
		return
	}
	n.log.Info("joined", "addr", a, "router", n.State().Router)
	n.change(func(s *State) { s.Addrs = append(s.Addrs, a) })
}

func (n *Node) addressRemoved(_ time.Time, a netip.Addr) {
	if err := n.stack.RemoveAddress(a); err != nil {
		n.log.Debug("remove address", "addr", a, "err", err)
	}
	n.log.Info("address removed", "addr", a)
	n.change(func(s *State) {
		s.Addrs = slices.DeleteFunc(s.Addrs, func(b netip.Addr) bool { return a == b })
	})
}

func (n *Node) routerChanged(_ time.Time, a netip.Addr) {
	if a.IsValid() {
		n.log.Debug("default router", "addr", a)
	} else {
		n.log.Info("no router")
	}
	n.change(func(s *State) { s.Router = a })
}

// Run lets the node live until ctx ends; then it takes its registrations back, which
// takes at most stopTimeout, and frees everything. The error says what ended it before.
func (n *Node) Run(ctx context.Context) error {
	loopCtx, endLoop := context.WithCancel(context.Background())
	defer endLoop()
	var wg sync.WaitGroup
	wg.Go(func() { n.loop.Run(loopCtx) })
	served := make(chan error, 1)
	wg.Go(func() { served <- n.coap.Serve() })
	n.stack.Start(func(w interface{ Run(now time.Time) }) bool { return n.loop.PostUplink(w) }, n.dev.FromHost)
	n.keeper.Start(n.dev.Iface)
	n.pump.Start()
	err := n.Do(ctx, func(now time.Time, d *Device) {
		d.groups.Batch(now, func() {
			for _, g := range n.cfg.Groups {
				if e := n.join(now, d, g); e != nil {
					n.log.Error("group not joined", "group", g, "err", e)
				}
			}
		})
		d.Start(now)
	})
	if err == nil {
		n.log.Info("looking for a router", "lladdr", ipv6.EUI64(n.cfg.EUI64), "addr", n.State().LinkLocal)
		select {
		case <-ctx.Done():
		case err = <-n.dead:
			err = fmt.Errorf("radio: %w", err)
		case err = <-served:
			err = fmt.Errorf("CoAP: %w", err)
		}
	} else if ctx.Err() != nil {
		err = nil
	}
	n.leave()
	n.coap.Close()
	if e := n.pump.Close(); e != nil {
		n.log.Debug("close radio", "err", e)
	}
	endLoop()
	if e := n.stack.Close(); e != nil {
		n.log.Debug("close host stack", "err", e)
	}
	wg.Wait()
	n.keeper.Close()
	if e := n.store.Close(); e != nil {
		n.log.Warn("close state", "err", e)
	}
	return err
}

// leave takes the registrations back and waits until that is on the air.
func (n *Node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if n.Do(ctx, func(now time.Time, d *Device) { d.Stop(now) }) != nil {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for idle := false; !idle; {
		if n.Do(ctx, func(_ time.Time, d *Device) { idle = d.Idle() }) != nil || idle {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close frees what [New] made of a node that was not run.
func (n *Node) Close() error {
	return errors.Join(n.coap.Close(), n.radio.Close(), n.stack.Close(), n.store.Close())
}

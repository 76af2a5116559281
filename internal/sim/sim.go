package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/daemon"
	"border-router/internal/node"
	"border-router/ipv6"
)

// The medium of [Run].
const (
	channel = 26
	pan     = 0x0023
	zepPort = 17754

	defaultPoll = 5 * time.Second
)

// A Config describes a simulation.
type Config struct {
	// Router configures the router; its Radios and Uplink are replaced.
	Router     *config.Config
	Version    string        // of the router, for status
	Nodes      int           // devices, Classic included
	Classic    int           // how many of them, the first ones, behave as lwIP
	Sleepy     int           // how many of them, the last ones, sleep; see [node.Config]
	Poll       time.Duration // from one data request of theirs to the next; 5 s
	Impairment Impairment    // of the medium
	Seed       uint64        // of the medium's luck and of all addresses; those of a router with a state directory are kept there
	ZEP        string        // host:port of the hub; no host: 127.0.0.1 and ::1; empty: not open to others
	For        time.Duration // ends after so long; 0: when ctx ends
	Plain      bool          // lines instead of a live table, whatever out is
	Speed      float64       // 0 or 1: real time, over sockets; other: virtual time, that many times as fast
}

// Run simulates until ctx ends, and ends within a second of that. What runs, and how to
// watch it, is written to out, then a live table where out is a terminal, else a line for
// each change. The error says what could not start; it is nil where ctx ended the run.
func Run(ctx context.Context, cfg Config, out io.Writer, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Nodes < 0 || cfg.Classic < 0 || cfg.Sleepy < 0 || cfg.Classic+cfg.Sleepy > cfg.Nodes {
		return fmt.Errorf("%d nodes, %d of them classic and %d that sleep: want at least as many nodes as both", cfg.Nodes, cfg.Classic, cfg.Sleepy)
	}
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.For > 0 && (cfg.Speed == 0 || cfg.Speed == 1) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.For)
		defer cancel()
	}
	v := newView(out, cfg.Plain)
	if v.live {
		log = slog.New(v.tail(log.Handler()))
	}
	if cfg.Speed != 0 && cfg.Speed != 1 {
		return runVirtual(ctx, cfg, v)
	}
	s := &simulation{cfg: cfg, log: log, view: v, ended: make(chan error, cfg.Nodes+1)}
	return s.run(ctx)
}

type simulation struct {
	cfg    Config
	log    *slog.Logger
	view   *view
	router *daemon.Daemon
	nodes  []*node.Node
	ended  chan error // the router or a node has ended by itself

	mu    sync.Mutex
	rtt   map[netip.Addr]time.Duration
	pings map[netip.Addr][2]int // sent, answered
}

// hubURL returns the URL of the router's radio.
func hubURL(listen string) (config.Radio, error) {
	host := "127.0.0.1:0"
	if listen != "" {
		h, p, err := net.SplitHostPort(listen)
		if err != nil {
			return "", fmt.Errorf("ZEP address %q: want HOST:PORT, or :PORT for loopback", listen)
		}
		if host = ":" + p; h != "" {
			host = net.JoinHostPort(h, p)
		}
	}
	return config.Radio(fmt.Sprintf("zep://%s?mode=hub&channel=%d&pan=0x%04x", host, channel, pan)), nil
}

func (s *simulation) run(ctx context.Context) (err error) {
	rc := *s.cfg.Router
	url, err := hubURL(s.cfg.ZEP)
	if err != nil {
		return err
	}
	if rc.StateDir == "" { // nothing is kept, so that the seed says who the router is
		url += config.Radio(fmt.Sprintf("&eui64=%016x", nodeEUI64(s.cfg.Seed, 0)))
		if len(rc.Prefixes) == 0 {
			rc.Prefixes = []netip.Prefix{seedPrefix(s.cfg.Seed)}
		}
	}
	rc.Radios = []config.Radio{url}
	rc.Uplink = config.Uplink{Kind: config.UplinkUser}
	hook := NewHook(s.cfg.Impairment, s.cfg.Seed)
	opt := daemon.Options{Logger: s.log, Version: s.cfg.Version}
	if s.cfg.Impairment != (Impairment{}) {
		opt.Impair = hook.Impair
	}
	if s.router, err = daemon.New(ctx, &rc, opt); err != nil {
		return err
	}
	routerCtx, endRouter := context.WithCancel(context.Background())
	nodeCtx, endNodes := context.WithCancel(context.Background())
	var router, nodes sync.WaitGroup
	defer func() { // the nodes first: they take their registrations back
		endNodes()
		nodes.Wait()
		endRouter()
		router.Wait()
		s.view.end()
	}()
	router.Go(func() {
		if err := s.router.Run(routerCtx); err != nil {
			s.ended <- fmt.Errorf("router: %w", err)
		}
	})
	status, err := s.router.Status(ctx)
	if err != nil {
		select {
		case err = <-s.ended:
		default:
		}
		return err
	}
	hub, err := hubAddr(status)
	if err != nil {
		return err
	}
	for i := 1; i <= s.cfg.Nodes; i++ {
		poll := time.Duration(0)
		if i > s.cfg.Nodes-s.cfg.Sleepy {
			poll = s.cfg.Poll
		}
		n, err := node.New(node.Config{
			Name:    "node-" + strconv.Itoa(i),
			Radio:   fmt.Sprintf("zep://%s?mode=client&channel=%d&pan=0x%04x", hub, channel, pan),
			EUI64:   nodeEUI64(s.cfg.Seed, i),
			Classic: i <= s.cfg.Classic,

			PollInterval: poll,
			GHC:          s.cfg.Router.Lowpan.GHC,
		}, s.log)
		if err != nil {
			return fmt.Errorf("node %d of %d: %w", i, s.cfg.Nodes, err)
		}
		s.nodes = append(s.nodes, n)
		nodes.Go(func() {
			if err := n.Run(nodeCtx); err != nil {
				s.ended <- fmt.Errorf("%s: %w", n.State().Name, err)
			}
		})
	}
	s.view.print(s.banner(status, rc.Socket))
	return s.watch(ctx)
}

// seedPrefix returns the unique local prefix of a run (RFC 4193): its mesh reaches nothing
// outside of the process, so that two runs may well have the same.
func seedPrefix(seed uint64) netip.Prefix {
	a := [16]byte{0: 0xfd}
	binary.BigEndian.PutUint32(a[1:], uint32(seed*0x9e37_79b9_7f4a_7c15>>32))
	a[5] = uint8(seed * 0x9e37_79b9_7f4a_7c15 >> 24)
	return netip.PrefixFrom(netip.AddrFrom16(a), 48)
}

// nodeEUI64 returns a locally administered address for node i of a run, 0 for the router.
func nodeEUI64(seed uint64, i int) uint64 {
	return 0x0200_0000_0000_0000 | (seed*0x9e37_79b9&0xff_ffff)<<24 | uint64(i)
}

// hubAddr returns where the nodes reach the hub.
func hubAddr(st api.Status) (netip.AddrPort, error) {
	for _, p := range st.Ports {
		if p.Radio == nil {
			continue
		}
		for _, l := range p.Radio.Local {
			a, err := netip.ParseAddrPort(l)
			if err != nil {
				continue
			}
			if a.Addr().IsUnspecified() {
				lo := netip.IPv6Loopback()
				if a.Addr().Is4() {
					lo = netip.AddrFrom4([4]byte{127, 0, 0, 1})
				}
				a = netip.AddrPortFrom(lo, a.Port())
			}
			return a, nil
		}
	}
	return netip.AddrPort{}, errors.New("the router's radio has no address")
}

// banner says what runs and how to watch it.
func (s *simulation) banner(st api.Status, socket string) string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s "+format+"\n", append([]any{what}, args...)...)
	}
	fmt.Fprintf(&b, "%s\n", describe(s.cfg))
	prefix, addr := s.router.Prefix(0)
	var local []string
	port := uint16(0)
	for _, p := range st.Ports {
		if p.Radio == nil {
			continue
		}
		line("router", "%s, link-layer address %s", addr, p.LinkAddr)
		line("mesh", "prefix %s, context 0; channel %d, PAN 0x%04x", prefix, channel, pan)
		local = p.Radio.Local
	}
	for _, l := range local {
		if a, err := netip.ParseAddrPort(l); err == nil {
			port = a.Port()
		}
	}
	open := ""
	if s.cfg.ZEP != "" {
		open = "; foreign nodes may join"
	}
	line("medium", "ZEP on UDP %s%s", strings.Join(local, " and "), open)
	line("devices", "ping, and CoAP on UDP port %d: /.well-known/core /time /counter /echo /large", node.CoAPPort)
	line("Wireshark", "capture on lo, filter: udp port %d", port)
	line("", "%s", tsharkLine(port, prefix))
	if socket != "" {
		line("ask", "border-router neighbors --socket %s", socket)
		line("", "border-router ping --socket %s ADDRESS", socket)
	}
	line("end", "Ctrl-C")
	return b.String()
}

// tsharkLine returns the command that shows the mesh, with the contexts that its packets
// are compressed with.
func tsharkLine(port uint16, prefix netip.Prefix) string {
	as := ""
	if port != zepPort {
		as = fmt.Sprintf(" -d udp.port==%d,zep", port)
	}
	return fmt.Sprintf("tshark -i lo -f 'udp port %d'%s -o 6lowpan.context0:%s", port, as, prefix)
}

func describe(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "border-router sim: a router and %d nodes", c.Nodes)
	if c.Classic > 0 {
		fmt.Fprintf(&b, ", %d of them as lwIP (RFC 4861)", c.Classic)
	}
	if c.Sleepy > 0 {
		fmt.Fprintf(&b, ", %d that sleep %v", c.Sleepy, c.Poll)
	}
	im := c.Impairment
	if im.Loss > 0 {
		fmt.Fprintf(&b, ", %g %% loss", im.Loss*100)
	}
	if im.Duplicate > 0 {
		fmt.Fprintf(&b, ", %g %% duplicates", im.Duplicate*100)
	}
	if im.Reorder > 0 {
		fmt.Fprintf(&b, ", %g %% reordered", im.Reorder*100)
	}
	if im.Delay > 0 {
		fmt.Fprintf(&b, ", %v delay", im.Delay)
	}
	fmt.Fprintf(&b, ", seed %d", c.Seed)
	return b.String()
}

// watch shows what happens until ctx ends or something ends by itself.
func (s *simulation) watch(ctx context.Context) error {
	s.rtt, s.pings = make(map[netip.Addr]time.Duration), make(map[netip.Addr][2]int)
	var pinger sync.WaitGroup
	pingCtx, endPings := context.WithCancel(ctx)
	defer pinger.Wait()
	defer endPings()
	if s.view.live && len(s.nodes) > 0 {
		pinger.Go(func() { s.pingAll(pingCtx) })
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		s.view.update(s.rows(ctx))
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.ended:
			return err
		case <-tick.C:
		}
	}
}

// pingAll pings one node after the other, each about every ten seconds.
func (s *simulation) pingAll(ctx context.Context) {
	tick := time.NewTicker(max(10*time.Second/time.Duration(len(s.nodes)), 100*time.Millisecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		st := s.nodes[i%len(s.nodes)].State()
		if !st.Joined() {
			continue
		}
		a := st.Addrs[0]
		var rtt time.Duration
		_ = s.router.Ping(ctx, api.PingRequest{Addr: a, Count: 1, Size: 8, Timeout: 2}, func(r api.PingReply) error {
			if !r.Sent && r.Error == "" {
				rtt = time.Duration(r.RTT * float64(time.Microsecond))
			}
			return nil
		})
		s.mu.Lock()
		n := s.pings[a]
		n[0]++
		if rtt > 0 {
			n[1]++
			s.rtt[a] = rtt
		}
		s.pings[a] = n
		s.mu.Unlock()
	}
}

// rows describes every node, the foreign ones as well.
func (s *simulation) rows(ctx context.Context) []row {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	neighbors, _ := s.router.Neighbors(ctx)
	byAddr := make(map[netip.Addr]*api.Neighbor, len(neighbors))
	for i := range neighbors {
		byAddr[neighbors[i].Addr] = &neighbors[i]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []row
	ours := make(map[string]bool) // link-layer addresses: the router may know an address before its node uses it
	for _, n := range s.nodes {
		st := n.State()
		ours[ipv6.EUI64(st.EUI64).String()] = true
		r := row{name: st.Name, nd: "6775", state: "looking for a router"}
		if st.Classic {
			r.nd = "4861"
		}
		if st.Joined() {
			r.addr, r.state = st.Addrs[0], "joined"
			if x := byAddr[r.addr]; x != nil {
				r.fill(x)
			}
			if p := s.pings[r.addr]; p[0] > 0 {
				r.ping = fmt.Sprintf("%d/%d %s", p[1], p[0], s.rtt[r.addr].Round(10*time.Microsecond))
			}
		}
		rows = append(rows, r)
	}
	for i := range neighbors {
		// An address that is only being asked for, or was never answered for, is no node.
		if x := &neighbors[i]; x.LinkAddr != "" && !ours[x.LinkAddr] && !x.Addr.IsLinkLocalUnicast() {
			r := row{name: "foreign", addr: x.Addr, state: "heard", nd: "6775"}
			if x.Classic {
				r.nd = "4861"
			}
			r.fill(x)
			rows = append(rows, r)
		}
	}
	return rows
}

func (r *row) fill(x *api.Neighbor) {
	r.state = strings.ToLower(x.State)
	if x.Registered {
		r.life = time.Duration(x.Lifetime) * time.Second
	}
	if x.LastHeard != nil {
		r.heard = fmt.Sprintf("%.0f s ago", *x.LastHeard)
	}
}

// isTerminal reports whether w is one, and its size.
func isTerminal(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return width, height, err == nil && width > 0 && height > 0
}

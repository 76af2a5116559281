package daemon

import (
	"encoding/binary"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"border-router/dhcp6"
	"border-router/internal/config"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// A site is a daemon without sockets: its DHCPv6 client speaks to a server of the test, and
// its mesh to a node of the test, all in virtual time.
type site struct {
	t   *testing.T
	d   *Daemon
	m   *mesh
	c   *dhcpClient
	now time.Time

	// The server: what it delegates, until when each prefix is ours by what it said, and
	// whether it is there and knows us.
	gives   []grant
	until   map[netip.Prefix][2]time.Time
	down    bool
	forgets bool

	host   *nd.Host
	addrs  map[netip.Addr]bool
	ras    int
	inbox  []ipv6.Packet // for the node
	outbox []ipv6.Packet // of the node
	told   []netip.Addr  // our addresses, to the port of the LAN
}

type grant struct {
	prefix           netip.Prefix
	preferred, valid time.Duration
}

func newSite(t *testing.T) *site {
	s := &site{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), until: map[netip.Prefix][2]time.Time{}, addrs: map[netip.Addr]bool{}}
	cfg := config.Default()
	cfg.DHCP.Delegation = config.SwitchOn
	own := netip.MustParsePrefix("fd00:1:2:3::/64")
	d := &Daemon{cfg: cfg, log: slog.New(slog.DiscardHandler), store: state.OpenMemory(), started: s.now, numbers: []int{0}, own: []netip.Prefix{own}}
	d.router = router.New(router.Config{})
	ll := ipv6.EUI64(0x0200_0000_0000_0001)
	m := &mesh{name: "mesh", lladdr: ll, prefix: own, addr: ipv6.WithIID(own, ll.IID())}
	m.iface = lowpan.NewInterface(lowpan.InterfaceConfig{Name: "mesh", EUI64: 0x0200_0000_0000_0001, PAN: 1})
	m.link = d.router.AddPort(router.PortConfig{
		Port: s, Kind: router.Mesh, LinkLocal: []netip.Addr{ipv6.LinkLocal(ll)}, Prefixes: []netip.Prefix{own}, Ingress: true,
		Machines: []router.Machine{meshWork{d, m}},
	})
	m.nd = nd.NewRouter(nd.RouterConfig{
		LinkAddr: ll, Addrs: []netip.Addr{m.addr}, Prefix: own, ABROAddr: m.addr, RouterLifetime: 30 * time.Minute,
		ValidLifetime: cfg.ND.ValidLifetime, PreferredLifetime: cfg.ND.PreferredLifetime,
	}, m.link, m.link)
	m.link.SetNeighbors(m.nd)
	d.meshes = []*mesh{m}
	d.addAddress(m.addr)
	s.d, s.m = d, m

	l := &lan{d: d, control: true, tellOwn: func(list []netip.Addr) { s.told = list }}
	s.c = &dhcpClient{l: l, leased: map[netip.Addr]bool{}, started: true}
	s.c.Client = dhcp6.NewClient(dhcp6.ClientConfig{DUID: dhcp6.NewDUIDUUID(), IAID: 1}, s, s.c)
	l.dhcp, d.lan = s.c, l
	d.tellOwn()
	s.host = nd.NewHost(nd.HostConfig{LinkAddr: ipv6.EUI64(0x0200_0000_0000_0009)}, toRouter{s}, (*siteNode)(s))
	s.host.Start(s.now)
	return s
}

// The site is the port of the mesh.
func (s *site) Name() string { return "mesh" }
func (s *site) MTU() int     { return ipv6.MinMTU }
func (s *site) Output(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) error {
	s.inbox = append(s.inbox, append(ipv6.Packet{}, p...))
	s.checkRA(p)
	return nil
}

// checkRA checks that an advertisement promises nothing that is not ours for as long.
func (s *site) checkRA(p ipv6.Packet) {
	m, err := nd.CheckRouterAdvertisement(p)
	if err != nil {
		return
	}
	s.ras++
	for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
		pio, ok := nd.ParsePrefixInfo(o)
		if !ok {
			continue
		}
		for from, until := range s.until {
			if !from.Overlaps(pio.Prefix) {
				continue
			}
			if preferred, valid := until[0].Sub(s.now), until[1].Sub(s.now); float64(pio.Preferred) > max(preferred.Seconds(), 0) || float64(pio.Valid) > max(valid.Seconds(), 0) {
				s.t.Errorf("%v: %v is announced for %d s, preferred for %d s; it is ours for %v and %v", s.now.Format(time.TimeOnly), pio.Prefix, pio.Valid, pio.Preferred, valid, preferred)
			}
		}
	}
}

// toRouter is the air from the node.
type toRouter struct{ s *site }

func (a toRouter) SendPacket(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) {
	a.s.outbox = append(a.s.outbox, append(ipv6.Packet{}, p...))
}

// siteNode is the owner of the node.
type siteNode site

func (n *siteNode) AddressAdded(_ time.Time, a netip.Addr, _ int)                      { n.addrs[a] = true }
func (n *siteNode) AddressRemoved(_ time.Time, a netip.Addr)                           { delete(n.addrs, a) }
func (n *siteNode) DefaultRouter(time.Time, netip.Addr, ipv6.LinkAddr)                 {}
func (n *siteNode) Context(time.Time, int, netip.Prefix, bool, time.Duration)          {}
func (n *siteNode) DNS(time.Time, []netip.Addr, time.Duration)                         {}
func (n *siteNode) Resolved(now time.Time, p ipv6.Packet, owner int, ll ipv6.LinkAddr) {}
func (n *siteNode) Unresolved(now time.Time, p ipv6.Packet, owner int, reason error)   {}

// SendUDP is the way to the server, which answers at once.
func (s *site) SendUDP(now time.Time, _ netip.AddrPort, b []byte) {
	if s.down {
		return
	}
	parsed, err := dhcpv6.FromBytes(b)
	if err != nil {
		s.t.Fatal(err)
	}
	m := parsed.(*dhcpv6.Message)
	var iaid [4]byte
	binary.BigEndian.PutUint32(iaid[:], 1)
	id := dhcpv6.WithServerID(&dhcpv6.DUIDEN{EnterpriseNumber: 4660, EnterpriseIdentifier: []byte{1}})
	var list []*dhcpv6.OptIAPrefix
	for _, g := range s.gives {
		list = append(list, &dhcpv6.OptIAPrefix{PreferredLifetime: g.preferred, ValidLifetime: g.valid,
			Prefix: &net.IPNet{IP: g.prefix.Addr().AsSlice(), Mask: net.CIDRMask(g.prefix.Bits(), 128)}})
	}
	pd := dhcpv6.WithIAPD(iaid, list...)
	var answer *dhcpv6.Message
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		answer, err = dhcpv6.NewAdvertiseFromSolicit(m, id, pd)
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		if s.forgets {
			s.forgets = false
			x := &dhcpv6.OptIAPD{IaId: iaid}
			x.Options.Add(&dhcpv6.OptStatusCode{StatusCode: 3}) // NoBinding
			answer, err = dhcpv6.NewReplyFromMessage(m, id, dhcpv6.WithOption(x))
			break
		}
		fallthrough
	case dhcpv6.MessageTypeRequest:
		answer, err = dhcpv6.NewReplyFromMessage(m, id, pd)
		for _, g := range s.gives {
			s.until[g.prefix] = [2]time.Time{now.Add(g.preferred), now.Add(g.valid)}
		}
	default:
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	b = answer.ToBytes()
	s.c.l.later = append(s.c.l.later, func(now time.Time) {
		if err := s.c.HandleMessage(now, netip.MustParseAddrPort("[fe80::5]:547"), b); err != nil {
			s.t.Errorf("%v: %v", m.MessageType, err)
		}
	})
}

// run lets time pass until at, from one deadline to the next.
func (s *site) run(at time.Time) {
	for {
		for len(s.c.l.later)+len(s.inbox)+len(s.outbox) > 0 {
			if len(s.c.l.later) > 0 {
				s.c.l.Advance(s.now)
			}
			in, out := s.inbox, s.outbox
			s.inbox, s.outbox = nil, nil
			for _, p := range in {
				if nd := p[ipv6.HeaderLen] >= ipv6.ICMPRouterSolicitation; p.NextHeader() == ipv6.ProtoICMPv6 && nd {
					_ = s.host.HandlePacket(s.now, p, ipv6.Meta{LinkSrc: s.m.lladdr})
				}
			}
			for _, p := range out {
				s.m.link.Deliver(s.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(0x0200_0000_0000_0009)})
			}
		}
		next := time.Time{}
		for _, t := range []time.Time{s.c.l.Deadline(), s.d.router.Deadline(), s.host.Deadline()} {
			next = earlier(next, t)
		}
		if next.IsZero() || next.After(at) {
			s.now = at
			return
		}
		if next.After(s.now) {
			s.now = next
		}
		s.c.l.Advance(s.now)
		s.d.router.Advance(s.now)
		s.host.Advance(s.now)
	}
}

// has checks the prefix of the mesh and the addresses of the node in it and in others.
func (s *site) has(what string, p netip.Prefix, others ...netip.Prefix) {
	s.t.Helper()
	if s.m.prefix != p {
		s.t.Errorf("%s: the mesh has %v, want %v", what, s.m.prefix, p)
	}
	want := map[netip.Addr]bool{s.host.LinkLocal(): true}
	for _, q := range append(others, p) {
		want[ipv6.WithIID(q, ipv6.EUI64(0x0200_0000_0000_0009).IID())] = true
	}
	for a := range want {
		if !s.addrs[a] {
			s.t.Errorf("%s: the node does not have %v", what, a)
		}
	}
	for a := range s.addrs {
		if !want[a] {
			s.t.Errorf("%s: the node still has %v", what, a)
		}
	}
}

// answers checks which addresses the port of the LAN knows as ours: one in each prefix that
// the mesh has or had, with its anycast address.
func (s *site) answers(what string, prefixes ...netip.Prefix) {
	s.t.Helper()
	want := map[netip.Addr]bool{}
	for _, p := range prefixes {
		want[p.Addr()], want[ipv6.WithIID(p, s.m.lladdr.IID())] = true, true
	}
	got := map[netip.Addr]bool{}
	for _, a := range s.told {
		got[a] = true
	}
	if !maps.Equal(got, want) {
		s.t.Errorf("%s: the LAN's port is told %v, want those of %v", what, s.told, prefixes)
	}
}

// TestDayOfDelegation is a day of a mesh whose prefix is delegated: granted, renewed,
// deprecated in favor of another, run out while the server is away, granted anew,
// forgotten by the server. Nothing is announced for longer than it is ours, to the second.
func TestDayOfDelegation(t *testing.T) {
	s := newSite(t)
	start := s.now
	at := func(h, m, sec int) time.Time {
		return start.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second)
	}
	prefix := func(p string) (whole, first netip.Prefix) {
		whole = netip.MustParsePrefix(p)
		return whole, netip.PrefixFrom(whole.Addr(), 64)
	}
	a56, a := prefix("2001:db8:a00::/56")
	b56, b := prefix("2001:db8:b00::/56")
	c56, c := prefix("2001:db8:c00::/56")
	own := s.d.own[0]
	const hour = time.Hour

	s.run(at(0, 5, 0))
	s.has("at first", own)
	s.answers("at first", own)
	s.gives = []grant{{a56, hour, 2 * hour}}
	s.c.SetMode(s.now, dhcp6.Mode{Prefixes: true})
	s.c.LinkChanged(s.now, true)
	s.run(at(0, 6, 0))
	s.has("granted", a, own)
	s.answers("granted", a, own)
	if rt, ok := s.d.router.FIB().Exact(a56); !ok || rt.Kind != router.RouteUnreachable {
		t.Error("the rest of the prefix is not unreachable")
	}
	s.run(at(3, 0, 0))
	s.has("renewed", a)
	s.answers("renewed", a)

	// Another takes its place; the old one may be used for another hour.
	s.gives = []grant{{a56, 0, hour}, {b56, hour, 2 * hour}}
	for s.m.prefix == a && s.now.Before(at(4, 0, 0)) {
		s.run(s.now.Add(time.Minute))
	}
	s.gives = s.gives[1:]
	s.run(s.now.Add(time.Minute))
	s.has("replaced", b, a)
	s.answers("replaced", b, a)
	changed := s.now
	s.run(changed.Add(hour + time.Minute))
	s.has("an hour later", b)
	s.answers("an hour later", b)
	if _, ok := s.d.router.FIB().Exact(a56); ok {
		t.Error("a prefix that is not ours any more is still unreachable")
	}

	// The server is away: the prefix is ours to the end, and not for a second longer.
	s.run(at(12, 0, 0))
	s.down = true
	s.has("before the server goes", b)
	end := s.until[b56][1]
	s.run(end.Add(-time.Second))
	s.has("a second before the end", b)
	s.run(end.Add(5 * time.Second))
	s.has("after the end", own)
	s.answers("after the end", own)
	s.run(at(16, 0, 0))

	// It is back with another prefix, and later forgets us.
	s.down, s.gives = false, []grant{{c56, hour, 2 * hour}}
	s.run(at(17, 30, 0))
	s.has("granted anew", c, own)
	s.run(at(20, 0, 0))
	s.forgets, s.gives = true, []grant{{a56, hour, 2 * hour}}
	s.run(at(20, 45, 0))
	s.has("forgotten", a, c)
	s.run(at(24, 0, 0))
	s.has("at the end of the day", a)
	if s.ras < 50 {
		t.Errorf("%d advertisements in a day", s.ras)
	}
}

// TestServerFollowsPrefix: when the mesh gets another prefix, the nodes lease from that one.
func TestServerFollowsPrefix(t *testing.T) {
	d := lanDaemon(t, false, nil)
	m, now := d.meshes[0], time.Now()
	lease := func(eui uint64) netip.Addr {
		t.Helper()
		before := len(m.server.Bindings())
		mac := make(net.HardwareAddr, 8)
		binary.BigEndian.PutUint64(mac, eui)
		msg := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit, TransactionID: dhcpv6.TransactionID{1, 2, byte(eui)}}
		msg.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: 27, LinkLayerAddr: mac}))
		msg.AddOption(&dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}})
		msg.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		src := netip.AddrPortFrom(ipv6.LinkLocal(ipv6.EUI64(eui)), dhcpClientPort)
		if err := d.handleDHCP(now, m.link, src, netip.MustParseAddrPort("[ff02::1:2]:547"), msg.ToBytes()); err != nil {
			t.Fatal(err)
		}
		all := m.server.Bindings()
		if len(all) != before+1 {
			t.Fatalf("bindings %+v", all)
		}
		for _, b := range all {
			if m.prefix.Contains(b.Addr) {
				return b.Addr
			}
		}
		return netip.Addr{}
	}
	if a := lease(1); !a.IsValid() {
		t.Errorf("no lease in %v: %+v", m.prefix, m.server.Bindings())
	}
	d.setPrefix(now, m, netip.MustParsePrefix("2001:db8:77::/64"))
	if a := lease(2); !a.IsValid() {
		t.Errorf("no lease in %v: %+v", m.prefix, m.server.Bindings())
	}
}

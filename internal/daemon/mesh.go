package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"border-router/dhcp6"
	"border-router/internal/config"
	"border-router/internal/macsec"
	"border-router/internal/radios"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// A mesh is one radio with its adaptation layer, its neighbor discovery and its port.
type mesh struct {
	name   string
	url    string
	lladdr ipv6.LinkAddr
	prefix netip.Prefix // the /64
	addr   netip.Addr   // ours in it
	pan    uint16
	from   ipv6.LinkAddr // of the packet that is being delivered

	radio  radios.Radio
	peers  *keptPeers
	keeper *macsec.Keeper // nil: frames are not secured
	iface  *lowpan.Interface
	pump   *lowpan.Pump
	link   *router.Link
	nd     *nd.Router
	ghc    bool // RFC 7400 is in use
	*past
	news chan struct{} // health has changed

	groups   *groups
	server   *dhcp6.Server // nil: none
	relay    *dhcp6.Relay  // nil: none
	contexts contextIDs    // compression contexts of our own prefixes
	retired  []retired
	tickets  uint64 // given out by commit
	rebound  bool   // the server has changed a binding since it last answered
	held     heldAnswers

	// Who has which address registered, and how many each has. The interface remembers what
	// those nodes understand, and only of so many.
	owner map[netip.Addr]ipv6.LinkAddr
	owned map[ipv6.LinkAddr]int
}

// own notes that the node at ll has registered addr, and tells the interface of it.
func (m *mesh) own(addr netip.Addr, ll ipv6.LinkAddr) {
	if m.owner[addr] != ll {
		m.disown(addr)
		m.owner[addr] = ll
		m.owned[ll]++
	}
	m.iface.SetPeer(ll, m.peer(ll))
}

// disown undoes own: a node without registration is not known to have our contexts.
func (m *mesh) disown(addr netip.Addr) {
	ll, ok := m.owner[addr]
	if !ok {
		return
	}
	delete(m.owner, addr)
	if m.owned[ll]--; m.owned[ll] == 0 {
		delete(m.owned, ll)
		m.iface.SetPeer(ll, lowpan.Peer{})
	}
}

// peer says what the node at ll, which has registered, understands.
func (m *mesh) peer(ll ipv6.LinkAddr) lowpan.Peer {
	p := lowpan.RegisteredPeer
	p.GHC = m.ghc && m.nd.Capability(ll)&nd.CapabilityGHC != 0
	return p
}

// newMesh opens a radio and builds the port of that name on it, with what is known of the
// radios that it had.
func (d *Daemon) newMesh(ctx context.Context, name string, known *past, radio config.Radio, prefix netip.Prefix, abro uint32, impair Impair) (_ *mesh, err error) {
	m := &mesh{
		name: name, url: string(radio), prefix: prefix,
		past: known, news: make(chan struct{}, 1),
		owner: make(map[netip.Addr]ipv6.LinkAddr), owned: make(map[ipv6.LinkAddr]int),
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	u, err := radios.Parse(string(radio))
	if err != nil {
		return nil, err
	}
	set := u.Settings()
	eui64, fixed := set.EUI64, set.EUI64 != 0
	if !fixed && !u.HasOwnAddress() {
		if eui64, err = d.store.EUI64(m.name); err != nil {
			return nil, fmt.Errorf("generate the EUI-64 of %s: %w", m.name, err)
		}
	}
	m.peers = newKeptPeers(d.store, m.name)
	if m.radio, err = u.Open(radios.Options{
		EUI64:   eui64,
		Tap:     d.bus.Frames(m.name),
		Logger:  d.log,
		MAC:     &radios.MAC{Retries: d.cfg.MAC.Retries, AckWait: d.cfg.MAC.AckWait, Pace: d.cfg.MAC.Pace},
		OnState: func(up bool, err error) { d.radioChanged(m, up, err) },
		Known:   m.peers.list(),
		OnPeer:  m.peers.changed,
		Impair:  impair,
	}); err != nil {
		return nil, err
	}
	if a, ok := m.radio.(radios.Addressed); ok {
		fixed = true
		if eui64, err = d.ownAddress(ctx, m, a); err != nil {
			return nil, err
		}
	}
	if r, ok := m.radio.(radios.Set); ok {
		set = r.Settings()
	}
	m.pan = set.PAN
	m.lladdr = ipv6.EUI64(eui64)
	m.addr = ipv6.WithIID(prefix, m.lladdr.IID())
	var security *lowpan.Security
	if m.keeper, security, err = d.security(m.name, eui64, fixed); err != nil {
		return nil, err
	}

	m.ghc = d.cfg.Lowpan.GHC
	var recovery lowpan.RecoveryConfig
	for _, p := range d.cfg.Lowpan.Recovery {
		if p.All {
			recovery.All = true
		} else {
			recovery.Peers = append(recovery.Peers, p.Addr)
		}
	}
	m.iface = lowpan.NewInterface(lowpan.InterfaceConfig{
		GHC:      m.ghc,
		Recovery: recovery,
		Security: security,
		Name:     m.name,
		EUI64:    eui64,
		Short:    set.Short,
		PAN:      set.PAN,
		Logger:   d.log,
		Rand:     seeded(),
		Limits: lowpan.Limits{
			Reassemblies:          d.cfg.Lowpan.Reassemblies,
			ReassembliesPerSource: d.cfg.Lowpan.ReassembliesPerSource,
			ReassemblyTimeout:     d.cfg.Lowpan.ReassemblyTimeout,
			QueueDatagrams:        d.cfg.Lowpan.QueueDatagrams,
			QueuePerNeighbor:      d.cfg.Lowpan.QueuePerNeighbor,
			QueueTarget:           d.cfg.Lowpan.QueueTarget,
			QueueInterval:         d.cfg.Lowpan.QueueInterval,
			QueueMaxDelay:         d.cfg.Lowpan.QueueMaxDelay,
			Peers:                 d.cfg.Lowpan.Peers,
			Recoveries:            d.cfg.Lowpan.Recoveries,
		},
		Deliver:    m.deliver,
		Wake:       func() { m.pump.Wake() },
		LinkStatus: func(now time.Time, dst ipv6.LinkAddr, ok bool) { m.link.LinkStatus(now, dst, ok) },
	})
	m.setSleep(time.Now(), d.cfg.Lowpan.Sleep)
	m.pump = lowpan.NewPump(m.iface, m.radio, d.loop.Post)
	m.link = d.router.AddPort(router.PortConfig{
		Port:          m.iface,
		Kind:          router.Mesh,
		LinkLocal:     []netip.Addr{ipv6.LinkLocal(m.lladdr)},
		Prefixes:      d.connected(prefix),
		Ingress:       d.cfg.Filters.Ingress,
		Machines:      []router.Machine{m.iface, meshWork{d, m}},
		Realm:         d.realm(uint32(set.PAN) + 2),
		MulticastRate: unlimited(d.cfg.Multicast.Rate), MulticastBurst: d.cfg.Multicast.Burst, MulticastUnicasts: unlimited(d.cfg.Multicast.Unicasts),
	})
	m.groups = d.newGroups(m.link, ipv6.LinkLocal(m.lladdr))
	if d.cfg.Multicast.Forward {
		m.link.SetMulticast(m.groups)
	}

	c := d.cfg.ND
	d.loadContexts(m)
	contexts := d.tellContexts(time.Now(), m, []netip.Prefix{prefix})
	dnssl := make([]string, len(c.DNSSL))
	for i := range c.DNSSL {
		dnssl[i] = string(c.DNSSL[i])
	}
	capability := nd.DefaultCapability
	if m.ghc {
		capability |= nd.CapabilityGHC
	}
	m.nd = nd.NewRouter(nd.RouterConfig{
		Managed:           d.cfg.DHCP.Server == config.DHCPServerStateful || len(d.cfg.DHCP.Relay) > 0,
		Other:             d.cfg.DHCP.Server != config.DHCPServerOff && len(d.cfg.DHCP.SNTP) > 0 || len(d.cfg.DHCP.Relay) > 0,
		Capability:        capability,
		LinkAddr:          m.lladdr,
		Addrs:             []netip.Addr{m.addr},
		Prefix:            prefix,
		ValidLifetime:     c.ValidLifetime,
		PreferredLifetime: c.PreferredLifetime,
		Contexts:          contexts,
		Beyond:            d.beyond,
		Taken:             d.isTaken,
		Check:             func(now time.Time, addr netip.Addr, aro nd.Registration) bool { return d.check(now, m, addr, aro) },
		OnLink:            onLinkModes[c.OnLink],
		RDNSS:             c.RDNSS,
		RDNSSLifetime:     c.RDNSSLifetime,
		RouterLifetime:    c.RouterLifetime,
		CurHopLimit:       uint8(c.HopLimit),
		ReachableTime:     c.ReachableTime,
		RetransTimer:      c.RetransTimer,
		ABROVersion:       abro,
		ABROAddr:          m.addr,
		ABROLifetime:      c.ABROLifetime,
		KeepVersion:       d.store.KeepABROVersion,
		Commit:            func() uint64 { return d.commit(m) },
		PeriodicRA:        c.PeriodicRA,
		MaxRAInterval:     c.RAInterval,
		DNSSL:             dnssl,
		Limits: nd.Limits{
			Registrations: c.MaxRegistrations,
			PerNode:       c.MaxPerNode,
			Neighbors:     c.MaxNeighbors,
			Incomplete:    c.MaxIncomplete,
			Queue:         c.QueuePerNeighbor,
			Held:          c.MaxHeld,
		},
		Rand:   seeded(),
		Logger: d.log,
		Name:   m.name,
	}, m.link, m.link)
	m.link.SetNeighbors(m.nd)
	d.tellMove(m, eui64)
	d.serveDHCP(m)

	recs, err := d.store.Registrations(m.name)
	if err != nil {
		return nil, fmt.Errorf("read the registrations of %s: %w", m.name, err)
	}
	kept := make([]nd.Record, 0, len(recs))
	for _, rec := range recs {
		if !prefix.Contains(rec.Addr) {
			// The prefix has changed since: the node will register a new address.
			d.store.DeleteRegistration(m.name, rec.Addr)
			continue
		}
		if r, ok := ndRecord(rec); ok {
			kept = append(kept, r)
		}
	}
	if len(kept) > 0 {
		d.log.Info("registrations restored", "link", m.name, "count", len(kept))
	}
	m.nd.Restore(time.Now(), kept)
	for i := range kept {
		if _, ok := m.nd.Record(kept[i].Addr); !ok {
			d.store.DeleteRegistration(m.name, kept[i].Addr) // expired, or one too many by now
		} else if !kept[i].LinkAddr.IsZero() {
			m.own(kept[i].Addr, kept[i].LinkAddr)
			m.sameNode(time.Now(), kept[i].LinkAddr, kept[i].ROVR)
		}
	}
	return m, nil
}

func (m *mesh) close() {
	if m.pump != nil {
		m.pump.Close()
	}
	if m.radio != nil {
		m.radio.Close()
	}
	if m.peers != nil {
		m.peers.close()
	}
}

var onLinkModes = map[config.OnLink]nd.OnLinkMode{
	config.OnLinkAuto:   nd.OnLinkAuto,
	config.OnLinkNever:  nd.OnLinkNever,
	config.OnLinkAlways: nd.OnLinkAlways,
}

// recordOf and ndRecord turn a registration into the form in which it is kept, and back.
func recordOf(port string, r nd.Record) state.Record {
	return state.Record{Port: port, Addr: r.Addr, LinkAddr: r.LinkAddr, ROVR: r.ROVR.Append(nil), TID: r.TID, EARO: r.HasTID, Expires: r.Expires}
}

func ndRecord(r state.Record) (nd.Record, bool) {
	rovr, ok := nd.ROVRFrom(r.ROVR)
	return nd.Record{Addr: r.Addr, LinkAddr: r.LinkAddr, ROVR: rovr, TID: r.TID, HasTID: r.EARO, Expires: r.Expires}, ok
}

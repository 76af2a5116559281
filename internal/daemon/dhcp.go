package daemon

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"border-router/dhcp6"
	"border-router/internal/config"
	"border-router/ipv6"
	"border-router/router"
)

const (
	dhcpClientPort = 546
	dhcpServerPort = 547

	keyDUID  = "dhcp.duid"
	keyLease = "dhcp.lease"
	keyBound = "dhcp.bound."
)

// duid is the identifier of this device for DHCPv6, made once (RFC 8415 section 11).
func (d *Daemon) duid() dhcp6.DUID {
	if b, ok := d.store.Get(keyDUID); ok && dhcp6.DUID(b).Valid() {
		return dhcp6.DUID(b)
	}
	id := dhcp6.NewDUIDUUID()
	d.store.Put(keyDUID, []byte(id))
	return id
}

// A dhcpClient asks servers on the LAN for prefixes, addresses and configuration. With a
// TUN uplink its messages go by a socket of the kernel, which owns the link-local address.
type dhcpClient struct {
	*dhcp6.Client
	l       *lan
	conn    dhcpConn
	managed bool // M of router advertisements
	other   bool // O
	started bool
	leased  map[netip.Addr]bool
}

func (d *Daemon) newDHCPClient(l *lan) {
	if l.control && !d.delegates() || !d.delegates() && d.cfg.DHCP.Client == config.DHCPClientOff {
		return
	}
	c := &dhcpClient{l: l, leased: map[netip.Addr]bool{}}
	duid := d.duid()
	c.Client = dhcp6.NewClient(dhcp6.ClientConfig{
		DUID: duid, IAID: binary.BigEndian.Uint32([]byte(duid[len(duid)-4:])),
		Hint: d.cfg.DHCP.Hint.Prefix, RapidCommit: d.cfg.DHCP.RapidCommit, Logger: d.log, Name: l.port.Name(),
	}, c, c)
	l.dhcp = c
	if !l.control {
		d.router.HandleUDP(dhcpClientPort, func(now time.Time, in *router.Link, src, dst netip.AddrPort, b []byte) error {
			switch {
			case in != l.link:
				return router.DropNoListener
			case dst.Addr().IsMulticast():
				return c.HandleMulticast(now, src, b)
			}
			return c.HandleMessage(now, src, b)
		})
	}
	// What is left of the lease of an earlier run counts from now on, whether there is a
	// link or not.
	if r, ok := d.keptLease(); ok {
		c.Restore(d.started, r)
	}
}

// keptLease returns the lease of an earlier run.
func (d *Daemon) keptLease() (r dhcp6.Record, ok bool) {
	b, ok := d.store.Get(keyLease)
	if !ok || json.Unmarshal(b, &r) != nil {
		return dhcp6.Record{}, false
	}
	r.Lease.Prefixes = slices.DeleteFunc(r.Lease.Prefixes, func(p dhcp6.Prefix) bool {
		return !p.Prefix.IsValid() || !p.Prefix.Addr().Is6() || p.Prefix.Addr().Is4In6()
	})
	r.Lease.Addresses = slices.DeleteFunc(r.Lease.Addresses, func(a dhcp6.Address) bool { return !a.Addr.Is6() || a.Addr.Is4In6() })
	return r, true
}

// mode is what is asked for now.
func (c *dhcpClient) mode() dhcp6.Mode {
	cfg := c.l.d.cfg.DHCP
	m := dhcp6.Mode{Prefixes: c.l.d.delegates()}
	if c.l.control {
		return m
	}
	switch cfg.Client {
	case config.DHCPClientStateful:
		m.Addresses, m.Information = true, true
	case config.DHCPClientStateless:
		m.Information = true
	case config.DHCPClientAuto:
		m.Addresses, m.Information = c.managed, c.managed || c.other
	}
	return m
}

// ready is called when the link-local address may be used.
func (c *dhcpClient) ready(now time.Time) {
	if c.started || c.l.control && !c.open(now) {
		return
	}
	c.started = true
	c.l.later = append(c.l.later, c.apply) // addresses, which had no link before
	c.SetMode(now, c.mode())
	c.LinkChanged(now, true)
}

// SendUDP is [dhcp6.Sender].
func (c *dhcpClient) SendUDP(now time.Time, dst netip.AddrPort, payload []byte) {
	if c.l.control {
		c.conn.send(dst, payload)
		return
	}
	if a := c.l.link.LinkLocal(); a.IsValid() {
		_ = c.l.link.SendUDP(now, a, dhcpClientPort, dst, payload)
	}
}

// parameters is told of the flags in router advertisements.
func (c *dhcpClient) parameters(now time.Time, managed, other bool) {
	c.managed, c.other = managed, other
	if c.started {
		c.SetMode(now, c.mode())
	}
}

func (c *dhcpClient) linkChanged(now time.Time, up bool) {
	switch {
	case !up:
		c.conn.close()
		was := c.started
		if c.started = c.started && !c.l.control; was {
			c.LinkChanged(now, false)
		}
	case c.started:
		c.LinkChanged(now, true)
	case c.l.control || c.l.link.LinkLocal().IsValid():
		c.ready(now)
	}
}

func (c *dhcpClient) stop(time.Time) { c.conn.close() }

// LeaseChanged is [dhcp6.ClientEvents].
func (c *dhcpClient) LeaseChanged(time.Time, dhcp6.Lease) {
	if b, err := json.Marshal(c.Record()); err == nil {
		c.l.d.store.Put(keyLease, b)
	}
	c.l.later = append(c.l.later, c.apply)
}

// apply makes use of what is leased now.
func (c *dhcpClient) apply(now time.Time) {
	d, l, lease := c.l.d, c.l, c.Lease()
	if l.nd != nil {
		for a := range c.leased {
			if !slices.ContainsFunc(lease.Addresses, func(x dhcp6.Address) bool { return x.Addr == a }) {
				delete(c.leased, a)
				l.nd.RemoveAddress(now, a)
			}
		}
		for _, a := range lease.Addresses {
			if err := l.nd.AddAddress(now, netip.PrefixFrom(a.Addr, 128), a.Preferred, a.Valid); err != nil {
				d.log.Warn("leased address not used", "addr", a.Addr, "reason", err)
				continue
			}
			c.leased[a.Addr] = true
		}
	}
	if d.delegates() {
		d.delegated(now, lease.Prefixes)
	}
	d.dnsChanged(now)
}

// dnsChanged tells the nodes which resolvers the uplink has, where the configuration says
// nothing of it.
func (d *Daemon) dnsChanged(now time.Time) {
	dns, search := slices.Clone(d.cfg.ND.RDNSS), make([]string, 0, 4)
	for _, s := range d.cfg.ND.DNSSL {
		search = append(search, string(s))
	}
	var lease dhcp6.Lease
	if l := d.lan; l != nil {
		if l.dhcp != nil {
			lease = l.dhcp.Lease()
		}
		if len(dns) == 0 {
			for _, a := range slices.Concat(l.dns, lease.DNS) {
				// One of link scope is of no use beyond the link.
				if !a.IsLinkLocalUnicast() && !slices.Contains(dns, a) && len(dns) < 4 {
					dns = append(dns, a)
				}
			}
		}
		if len(search) == 0 {
			search = slices.Concat(l.search, lease.Domains)
			search = search[:min(len(search), 4)]
		}
	}
	sntp := d.cfg.DHCP.SNTP
	if len(sntp) == 0 {
		sntp = lease.SNTP
	}
	for _, m := range d.meshes {
		m.nd.SetRDNSS(now, dns)
		m.nd.SetDNSSL(now, search)
		if m.server != nil {
			m.server.SetConfiguration(dns, search, sntp, lease.NTP)
			// Resolvers and domains are in the advertisement; what else there is has to be
			// asked for.
			m.nd.SetOther(now, len(sntp)+len(lease.NTP) > 0)
		}
	}
}

// serveDHCP makes the server or the relay of a mesh.
func (d *Daemon) serveDHCP(m *mesh) {
	c := d.cfg.DHCP
	switch {
	case c.Server != config.DHCPServerOff:
		cfg := dhcp6.ServerConfig{
			DUID: d.duid(), ValidLifetime: c.Lifetime, PreferredLifetime: c.Lifetime / 2, RapidCommit: true, Logger: d.log, Name: m.name,
			DNS: d.cfg.ND.RDNSS, SNTP: c.SNTP, // until the uplink says more
		}
		for _, name := range d.cfg.ND.DNSSL {
			cfg.Domains = append(cfg.Domains, string(name))
		}
		if c.Server == config.DHCPServerStateful {
			cfg.Prefix = m.prefix
			cfg.InUse = m.inUse
		}
		cfg.Busy = m.held.full
		m.server = dhcp6.NewServer(cfg, dhcpDown{d, m}, dhcpBound{d, m})
		var kept []dhcp6.Binding
		if b, ok := d.store.Get(keyBound + m.name); ok && json.Unmarshal(b, &kept) == nil {
			m.server.Restore(time.Now(), kept)
		}
	case len(c.Relay) > 0:
		cfg := dhcp6.RelayConfig{LinkAddr: m.addr, InterfaceID: []byte(m.name), LinkLayer: m.linkLayer}
		for _, a := range c.Relay {
			cfg.Servers = append(cfg.Servers, netip.AddrPortFrom(a, dhcpServerPort))
		}
		m.relay = dhcp6.NewRelay(cfg, dhcpDown{d, m}, dhcpUp{d})
	}
}

// inUse reports whether another node than the one at peer has registered addr.
func (m *mesh) inUse(addr, peer netip.Addr) bool {
	ll, ok := m.owner[addr]
	return ok && !(peer.IsLinkLocalUnicast() && peer == linkLocalOf(ll))
}

// linkLayer returns the EUI-64 of the node that has an address: of the registrations, or as
// a link-local address is formed from it.
func (m *mesh) linkLayer(peer netip.Addr) (hardware uint16, addr []byte, ok bool) {
	ll, ok := m.owner[peer]
	if peer.IsLinkLocalUnicast() && !ok {
		iid := peer.As16()
		ll = ipv6.EUI64(binary.BigEndian.Uint64(iid[8:]) ^ 1<<57) // RFC 4291 appendix A
		ok = m.owned[ll] > 0
	}
	if !ok || ll.Len() != 8 {
		return 0, nil, false
	}
	return dhcp6.HardwareEUI64, ll.Append(nil), true
}

// handleDHCP takes what comes to the port of servers.
func (d *Daemon) handleDHCP(now time.Time, l *router.Link, src, dst netip.AddrPort, b []byte) error {
	for _, m := range d.meshes {
		switch {
		case m.link != l:
		case m.server != nil && dst.Addr().IsMulticast():
			return m.server.HandleMessage(now, src, b)
		case m.server != nil:
			return m.server.HandleUnicast(now, src, b)
		case m.relay != nil && dst.Addr().IsMulticast():
			return m.relay.HandleMessage(now, src, b)
		case m.relay != nil:
			return m.relay.HandleUnicast(now, src, b)
		}
	}
	return d.relayReply(now, src, b)
}

// relayReply gives an answer of a server to the relay of the mesh that it is for.
func (d *Daemon) relayReply(now time.Time, src netip.AddrPort, b []byte) error {
	err := error(router.DropNoListener)
	for _, m := range d.meshes {
		if m.relay == nil {
			continue
		}
		if err = m.relay.HandleReply(now, src, b); err != dhcp6.DropInterface {
			return err
		}
	}
	return err
}

// listenRelay opens the socket for answers to our relays, where the kernel has our
// addresses.
func (d *Daemon) listenRelay() error {
	if len(d.cfg.DHCP.Relay) == 0 || d.tun == nil {
		return nil
	}
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{Port: dhcpServerPort})
	if err != nil {
		return errors.Join(errors.New("dhcp.relay: the DHCPv6 server port cannot be opened; is a server or relay running on this machine?"), err)
	}
	d.relayConn = conn
	go func() {
		buf := make([]byte, 4096)
		for {
			n, src, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			b := slices.Clone(buf[:n])
			if !d.loop.Post(workFunc(func(now time.Time) { _ = d.relayReply(now, src, b) })) {
				return
			}
		}
	}()
	return nil
}

// dhcpDown sends to nodes.
type dhcpDown struct {
	d *Daemon
	m *mesh
}

// SendUDP sends an answer that tells of a binding once that is on the disk, so that after a
// power cut no address is given twice.
func (s dhcpDown) SendUDP(now time.Time, dst netip.AddrPort, payload []byte) {
	bound := s.m.rebound
	s.m.rebound = false
	if bound && s.m.held.hold(now, dst, payload, func() uint64 { return s.d.commit(s.m) }) {
		return
	}
	s.send(now, dst, payload)
}

func (s dhcpDown) send(now time.Time, dst netip.AddrPort, payload []byte) {
	src := netip.Addr{}
	if dst.Addr().IsLinkLocalUnicast() {
		src = s.m.link.LinkLocal()
	}
	_ = s.m.link.SendUDP(now, src, dhcpServerPort, dst, payload)
}

// dhcpUp sends to servers.
type dhcpUp struct{ d *Daemon }

func (s dhcpUp) SendUDP(now time.Time, dst netip.AddrPort, payload []byte) {
	d := s.d
	if d.relayConn != nil {
		_, _ = d.relayConn.WriteToUDPAddrPort(payload, dst)
		return
	}
	via := d.host
	if d.lan != nil {
		via = d.lan.link
	}
	_ = via.SendUDP(now, netip.Addr{}, dhcpServerPort, dst, payload)
}

// dhcpBound keeps bindings over a restart.
type dhcpBound struct {
	d *Daemon
	m *mesh
}

func (e dhcpBound) Bound(time.Time, dhcp6.Binding)   { e.keep() }
func (e dhcpBound) Unbound(time.Time, dhcp6.Binding) { e.keep() }

func (e dhcpBound) keep() {
	e.m.rebound = true
	if b, err := json.Marshal(e.m.server.Bindings()); err == nil {
		e.d.store.Put(keyBound+e.m.name, b)
	}
}

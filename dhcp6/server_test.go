package dhcp6

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A counter is a server whose clients are the test.
type counter struct {
	t testing.TB
	outbox
	s      *Server
	now    time.Time
	events []string
}

func (c *counter) Bound(_ time.Time, b Binding) {
	c.events = append(c.events, "bound "+b.Addr.String())
}
func (c *counter) Unbound(_ time.Time, b Binding) {
	c.events = append(c.events, "unbound "+b.Addr.String())
}

func newCounter(t testing.TB, cfg ServerConfig) *counter {
	t.Helper()
	c := &counter{t: t, now: epoch}
	cfg.DUID, cfg.Rand = serverID, rand.New(rand.NewPCG(1, 1))
	if !cfg.Prefix.IsValid() {
		cfg.Prefix = meshNet
	}
	c.s = NewServer(cfg, c, c)
	return c
}

var ownAddr = netip.MustParseAddr("fd00:1::ff:fe00:1") // of the client at clientLL

// of begins a client's message.
func of(client, server DUID, typ dhcpv6.MessageType) *builder {
	b := newMessage(typ, dhcpv6.TransactionID{1, 2, 3})
	b.duid(dhcpv6.OptionClientID, client)
	b.duid(dhcpv6.OptionServerID, server)
	return b
}

func (b *builder) asking(list ...netip.Addr) *builder {
	x := ia{id: 7}
	for _, a := range list {
		x.leases = append(x.leases, addrLease(a, 0, 0))
	}
	b.na(x, "")
	return b
}

// ask gives a message of the client at clientLL to the server and returns the answer.
func (c *counter) ask(b *builder) *message {
	c.t.Helper()
	if err := c.s.HandleMessage(c.now, clientSrc, b.ToBytes()); err != nil {
		c.t.Fatalf("%s: %v", b.MessageType, err)
	}
	d := c.sent[len(c.sent)-1]
	if d.dst != clientSrc {
		c.t.Errorf("answered to %s", d.dst)
	}
	m, err := parse(d.b)
	if err != nil {
		c.t.Fatal(err)
	}
	if m.server != serverID || m.client != "" && m.client != clientID {
		c.t.Errorf("ids %s %s", m.server, m.client)
	}
	return m
}

func describe(m *message) string {
	s := m.typ.String()
	if m.hasStatus {
		s += fmt.Sprintf(" status %d", m.status)
	}
	for _, x := range m.nas {
		s += " na"
		if x.status != 0 {
			s += fmt.Sprintf(" status %d", x.status)
		}
		for _, l := range x.leases {
			s += fmt.Sprintf(" %s/%d/%d", l.prefix.Addr(), l.preferred, l.valid)
		}
	}
	for _, x := range m.pds {
		s += fmt.Sprintf(" pd status %d", x.status)
	}
	return s
}

// TestServerAnswers has what is asked, in what circumstances, and the answer.
func TestServerAnswers(t *testing.T) {
	elsewhere := netip.MustParseAddr("2001:db8::1")
	pooled := netip.MustParseAddr("fd00:1::1:5")
	taken := func(netip.Addr, netip.Addr) bool { return true }
	held := func(c *counter) { c.ask(of(clientID, serverID, request).asking()) }
	withRapid := func(b *builder) *builder { b.option(dhcpv6.OptionRapidCommit, nil); return b }
	withPD := func(b *builder) *builder { b.pd(ia{id: 9}, ""); return b }
	for _, r := range []struct {
		name   string
		cfg    ServerConfig
		before func(c *counter)
		msg    *builder
		want   string
		bound  int
	}{
		{"solicit", ServerConfig{}, nil, of(clientID, "", solicit).asking(), "ADVERTISE na fd00:1::ff:fe00:1/43200/86400", 0},
		{"solicit, rapid commit off", ServerConfig{}, nil, withRapid(of(clientID, "", solicit).asking()), "ADVERTISE na fd00:1::ff:fe00:1/43200/86400", 0},
		{"solicit, rapid commit", ServerConfig{RapidCommit: true}, nil, withRapid(of(clientID, "", solicit).asking()), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"solicit, rapid commit not asked", ServerConfig{RapidCommit: true}, nil, of(clientID, "", solicit).asking(), "ADVERTISE na fd00:1::ff:fe00:1/43200/86400", 0},
		{"solicit for a prefix", ServerConfig{}, nil, withPD(of(clientID, "", solicit)), "ADVERTISE pd status 6", 0},
		{"solicit with a wish", ServerConfig{}, nil, of(clientID, "", solicit).asking(pooled), "ADVERTISE na fd00:1::1:5/43200/86400", 0},
		{"request", ServerConfig{}, nil, of(clientID, serverID, request).asking(ownAddr), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"request again", ServerConfig{}, held, of(clientID, serverID, request).asking(), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"request not on link", ServerConfig{}, nil, of(clientID, serverID, request).asking(elsewhere), "REPLY na status 4", 0},
		{"request in use", ServerConfig{InUse: func(a, _ netip.Addr) bool { return true }}, nil, of(clientID, serverID, request).asking(), "REPLY na status 2", 0},
		{"renew", ServerConfig{}, held, of(clientID, serverID, renew).asking(ownAddr), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"renew without binding", ServerConfig{}, nil, of(clientID, serverID, renew).asking(ownAddr), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"renew of another's", ServerConfig{PoolOnly: true}, nil, of(clientID, serverID, renew).asking(ownAddr), "REPLY na status 3", 0},
		{"renew from another link", ServerConfig{}, nil, of(clientID, serverID, renew).asking(elsewhere), "REPLY na fd00:1::ff:fe00:1/43200/86400 2001:db8::1/0/0", 1},
		{"renew from another link, none free", ServerConfig{InUse: taken}, nil, of(clientID, serverID, renew).asking(elsewhere), "REPLY na 2001:db8::1/0/0", 0},
		{"renew with a further IA, none free", ServerConfig{InUse: taken}, nil, of(clientID, serverID, renew).asking(), "REPLY na status 2", 0},
		{"rebind without binding", ServerConfig{}, nil, of(clientID, "", rebind).asking(ownAddr), "REPLY na status 3", 0},
		{"rebind without binding, rapid commit", ServerConfig{RapidCommit: true}, nil, of(clientID, "", rebind).asking(ownAddr), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"rebind from another link", ServerConfig{}, nil, of(clientID, "", rebind).asking(elsewhere), "REPLY na 2001:db8::1/0/0", 0},
		{"rebind from another link, rapid commit", ServerConfig{RapidCommit: true}, nil, of(clientID, "", rebind).asking(elsewhere), "REPLY na fd00:1::ff:fe00:1/43200/86400 2001:db8::1/0/0", 1},
		{"rebind with a further IA", ServerConfig{}, nil, of(clientID, "", rebind).asking(), "REPLY na status 3", 0},
		{"request not on link, though bound", ServerConfig{}, held, of(clientID, serverID, request).asking(ownAddr, elsewhere), "REPLY na status 4", 1},
		{"solicit with a wish not on link, though bound", ServerConfig{}, held, of(clientID, "", solicit).asking(elsewhere), "ADVERTISE na fd00:1::ff:fe00:1/43200/86400", 1},
		{"release of what is not in the IA", ServerConfig{}, held, of(clientID, serverID, release).asking(pooled), "REPLY status 0", 1},
		{"release of an IA that is unknown", ServerConfig{}, nil, of(clientID, serverID, release).asking(ownAddr), "REPLY status 0 na status 3", 0},
		{"renew with one too many", ServerConfig{}, held, of(clientID, serverID, renew).asking(ownAddr, pooled), "REPLY na fd00:1::ff:fe00:1/43200/86400 fd00:1::1:5/0/0", 1},
		{"renew with a further IA", ServerConfig{}, nil, of(clientID, serverID, renew).asking(), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"renew of a prefix", ServerConfig{}, held, of(clientID, serverID, renew).asking(ownAddr).withPD(0, 0, prefixLease(pd56, 0, 0)), "REPLY na fd00:1::ff:fe00:1/43200/86400 pd status 3", 1},
		{"rebind", ServerConfig{}, held, of(clientID, "", rebind).asking(ownAddr), "REPLY na fd00:1::ff:fe00:1/43200/86400", 1},
		{"confirm", ServerConfig{}, nil, of(clientID, "", confirm).asking(ownAddr), "REPLY status 0", 0},
		{"confirm elsewhere", ServerConfig{}, nil, of(clientID, "", confirm).asking(ownAddr, elsewhere), "REPLY status 4", 0},
		{"release", ServerConfig{}, held, of(clientID, serverID, release).asking(ownAddr), "REPLY status 0", 0},
		{"release of another's", ServerConfig{}, held, of(otherClient, serverID, release).asking(ownAddr), "REPLY status 0 na status 3", 1},
		{"decline", ServerConfig{}, held, of(clientID, serverID, decline).asking(ownAddr), "REPLY status 0", 1},
		{"declined rests", ServerConfig{}, func(c *counter) {
			held(c)
			c.ask(of(clientID, serverID, decline).asking(ownAddr))
		}, of(clientID, "", solicit).asking(ownAddr), "", 1},
		{"information", ServerConfig{DNS: []netip.Addr{resolver}}, nil, of(clientID, "", inforeq), "REPLY", 0},
		{"information of nobody", ServerConfig{}, nil, of("", "", inforeq), "REPLY", 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := newCounter(t, r.cfg)
			if r.before != nil {
				r.before(c)
			}
			var m *message
			if id, _ := parse(r.msg.ToBytes()); id.client == otherClient {
				if err := c.s.HandleMessage(c.now, clientSrc, r.msg.ToBytes()); err != nil {
					t.Fatal(err)
				}
				m, _ = parse(c.sent[len(c.sent)-1].b)
			} else {
				m = c.ask(r.msg)
			}
			got := describe(m)
			if r.name == "declined rests" { // any address of the pool
				if len(m.nas) != 1 || len(m.nas[0].leases) != 1 || m.nas[0].leases[0].prefix.Addr() == ownAddr || !c.s.inPool(m.nas[0].leases[0].prefix.Addr()) {
					t.Errorf("answered %s", got)
				}
			} else if got != r.want {
				t.Errorf("answered %s, want %s", got, r.want)
			}
			if n := c.s.Stats().Bindings; n != r.bound {
				t.Errorf("%d bindings, want %d", n, r.bound)
			}
		})
	}
}

var otherClient = NewDUIDLL(HardwareEUI64, []byte{2, 0, 0, 0, 0, 0, 0, 2})

// TestServerOptions: what is asked for is told, and nothing else.
func TestServerOptions(t *testing.T) {
	c := newCounter(t, ServerConfig{DNS: []netip.Addr{resolver}, Domains: []string{"example.com", "example.net"}, SNTP: []netip.Addr{resolver},
		NTP: []netip.Addr{resolver}, NTPNames: []string{"ntp.example.com"}, Refresh: time.Hour, SolMaxRT: 2 * time.Hour, InfMaxRT: time.Second, Preference: 200})
	b := of(clientID, "", inforeq)
	b.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionInfMaxRT))
	m := c.ask(b)
	if !slices.Equal(m.dns, []netip.Addr{resolver}) || m.domains != nil || m.sntp != nil || m.ntp != nil || m.hasRefresh || m.infMaxRT != 60 || m.solMaxRT != 0 {
		t.Errorf("asked for two: %+v", m)
	}
	m = c.ask(of(clientID, "", inforeq))
	if !slices.Equal(m.domains, []string{"example.com", "example.net"}) || len(m.sntp) != 1 || len(m.ntp) != 1 || !slices.Equal(m.ntpNames, []string{"ntp.example.com"}) || m.refresh != 3600 {
		t.Errorf("asked for nothing in particular: %+v", m)
	}
	if m = c.ask(of(clientID, "", solicit).asking()); m.preference != 200 {
		t.Errorf("preference %d", m.preference)
	}
	c.s.SetConfiguration([]netip.Addr{address}, nil, nil, nil)
	if m = c.ask(of(clientID, "", inforeq)); !slices.Equal(m.dns, []netip.Addr{address}) || m.domains != nil {
		t.Errorf("after the change: %+v", m)
	}
}

// TestTwoIAs: both are given what both would get.
func TestTwoIAs(t *testing.T) {
	c := newCounter(t, ServerConfig{})
	for typ, server := range map[dhcpv6.MessageType]DUID{solicit: "", request: serverID} {
		b := of(clientID, server, typ)
		b.na(ia{id: 1}, "")
		b.na(ia{id: 2}, "")
		m := c.ask(b)
		if len(m.nas) != 2 || len(m.nas[0].leases) != 1 || len(m.nas[1].leases) != 1 || m.nas[0].leases[0].prefix == m.nas[1].leases[0].prefix {
			t.Errorf("%s: %s", typ, describe(m))
		}
	}
}

// TestInformationWithIA: RFC 9915 section 16.12: a message with an IA is discarded; section
// 21.5: one of temporary addresses is ignored.
func TestInformationWithIA(t *testing.T) {
	c := newCounter(t, ServerConfig{})
	for code, want := range map[dhcpv6.OptionCode]error{dhcpv6.OptionIANA: DropUnwanted, dhcpv6.OptionIAPD: DropUnwanted, dhcpv6.OptionIATA: nil} {
		b := of(clientID, "", inforeq)
		b.option(code, make([]byte, 12))
		if err := c.s.HandleMessage(c.now, clientSrc, b.ToBytes()); err != want {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
	}
}

// TestPrefixEnded: nothing new is leased out of a prefix that has ended.
func TestPrefixEnded(t *testing.T) {
	c := newCounter(t, ServerConfig{RapidCommit: true})
	c.s.validUntil, c.s.preferredUntil = c.now, c.now
	for b, want := range map[*builder]string{
		of(clientID, "", solicit).asking():            "ADVERTISE na status 2",
		of(clientID, serverID, request).asking():      "REPLY na status 2",
		of(clientID, serverID, renew).asking():        "REPLY na status 2",
		of(clientID, serverID, renew).asking(ownAddr): "REPLY na status 3",
		of(clientID, "", rebind).asking(ownAddr):      "REPLY na status 3",
	} {
		if got := describe(c.ask(b)); got != want {
			t.Errorf("%s: %s, want %s", b.MessageType, got, want)
		}
	}
}

// TestServerUnicast: what must come by multicast and did not.
func TestServerUnicast(t *testing.T) {
	for typ, want := range map[dhcpv6.MessageType]error{solicit: DropUnicast, confirm: DropUnicast, rebind: DropUnicast, inforeq: DropUnicast,
		request: nil, renew: nil, release: nil, decline: nil} {
		c := newCounter(t, ServerConfig{})
		server := serverID
		if typ == solicit || typ == confirm || typ == rebind {
			server = ""
		}
		b := of(clientID, server, typ)
		if typ != inforeq {
			b.asking(ownAddr)
		}
		if err := c.s.HandleUnicast(c.now, clientSrc, b.ToBytes()); err != want {
			t.Errorf("%s: %v, want %v", typ, err, want)
		}
		if want == nil {
			m, err := parse(c.sent[0].b)
			if err != nil || describe(m) != "REPLY status 5" || len(c.s.Bindings()) != 0 {
				t.Errorf("%s: %s %v", typ, describe(m), err)
			}
		}
	}
}

// TestServerLimits: clients cannot make the table grow.
func TestServerLimits(t *testing.T) {
	c := newCounter(t, ServerConfig{Limits: ServerLimits{Bindings: 50, PerClient: 3}})
	for i := range 1000 {
		src := netip.AddrPortFrom(addTo(clientLL, uint64(i/10)), ClientPort)
		b := of(NewDUIDEN(1, []byte{byte(i >> 8), byte(i)}), serverID, request)
		b.na(ia{id: uint32(i)}, "")
		if err := c.s.HandleMessage(c.now, src, b.ToBytes()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.s.Bindings()); n != 50 {
		t.Errorf("%d bindings", n)
	}
	perPeer := map[netip.Addr]int{}
	for _, b := range c.s.Bindings() {
		if perPeer[b.Peer]++; perPeer[b.Peer] > 3 {
			t.Errorf("more than 3 of %s", b.Peer)
		}
	}
	c.now = c.now.Add(24*time.Hour - 1)
	if c.s.Advance(c.now); len(c.s.Bindings()) != 50 {
		t.Error("ran out early")
	}
	if at := c.s.Deadline(); !at.Equal(epoch.Add(24 * time.Hour)) {
		t.Errorf("deadline %v", at)
	}
	c.now = c.now.Add(1)
	if c.s.Advance(c.now); len(c.s.Bindings()) != 0 || c.s.Stats().Expired != 50 || !c.s.Deadline().IsZero() {
		t.Errorf("%+v", c.s.Stats())
	}
}

// TestServerRestart: bindings and resting addresses outlive the server, through JSON.
func TestServerRestart(t *testing.T) {
	c := newCounter(t, ServerConfig{})
	c.ask(of(clientID, serverID, request).asking())
	c.ask(of(clientID, serverID, decline).asking(ownAddr))
	c.ask(of(clientID, serverID, request).asking())
	raw, err := json.Marshal(c.s.Bindings())
	if err != nil {
		t.Fatal(err)
	}
	var list []Binding
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	d := newCounter(t, ServerConfig{})
	d.s.Restore(epoch.Add(time.Hour), append(list, Binding{Client: clientID, Addr: address}))
	if got := d.s.Bindings(); len(got) != 2 || d.s.Stats().Quarantined != 1 {
		t.Fatalf("%+v", got)
	}
	d.s.SetPrefix(d.now, netip.MustParsePrefix("fd00:2::/64"), netip.Addr{}, netip.Addr{})
	if n := len(d.s.Bindings()); n != 0 || len(d.events) != 1 {
		t.Errorf("%d left on another prefix, %v", n, d.events)
	}
}

// A landlord sets another prefix when a binding ends.
type landlord struct {
	s    *Server
	next netip.Prefix
}

func (l *landlord) Bound(time.Time, Binding) {}
func (l *landlord) Unbound(now time.Time, _ Binding) {
	if p := l.next; p.IsValid() {
		l.next = netip.Prefix{}
		l.s.SetPrefix(now, p, netip.Addr{}, netip.Addr{})
	}
}

// TestServerReentrancy: an owner calls back from within what it is told.
func TestServerReentrancy(t *testing.T) {
	l := &landlord{next: netip.MustParsePrefix("fd00:3::/64")}
	l.s = NewServer(ServerConfig{DUID: serverID, Prefix: meshNet, RapidCommit: true}, &outbox{}, l)
	for i := range 5 {
		b := of(NewDUIDEN(1, []byte{byte(i)}), serverID, request).asking()
		if err := l.s.HandleMessage(epoch, clientAt(i), b.ToBytes()); err != nil {
			t.Fatal(err)
		}
	}
	l.s.SetPrefix(epoch, netip.MustParsePrefix("fd00:2::/64"), netip.Addr{}, netip.Addr{})
	if n := len(l.s.Bindings()); n != 0 || l.s.cfg.Prefix.String() != "fd00:3::/64" || !l.s.Deadline().IsZero() {
		t.Errorf("%d bindings, prefix %s, deadline %v", n, l.s.cfg.Prefix, l.s.Deadline())
	}
}

// TestPool: every address of a small pool is leased, and none twice.
func TestPool(t *testing.T) {
	c := newCounter(t, ServerConfig{Prefix: netip.MustParsePrefix("fd00:1::/124"), PoolOnly: true})
	seen := map[netip.Addr]bool{}
	for i := range 20 {
		b := of(NewDUIDEN(1, []byte{byte(i)}), serverID, request).asking()
		if err := c.s.HandleMessage(c.now, netip.AddrPortFrom(addTo(clientLL, uint64(i)), ClientPort), b.ToBytes()); err != nil {
			t.Fatal(err)
		}
		m, _ := parse(c.sent[len(c.sent)-1].b)
		if x := m.nas[0]; i >= 15 {
			if x.status != statusNoAddrsAvail {
				t.Errorf("client %d: %s", i, describe(m))
			}
		} else if len(x.leases) != 1 || seen[x.leases[0].prefix.Addr()] {
			t.Errorf("client %d: %s", i, describe(m))
		} else {
			seen[x.leases[0].prefix.Addr()] = true
		}
	}
	for _, r := range []struct {
		a, b string
		want uint64
	}{{"::1", "::1", 1}, {"::1", "::ffff", 0xffff}, {"::2", "::1", 0}, {"::", "1::", 1 << 32}, {"::ff", "::100", 2}} {
		if got := distance(netip.MustParseAddr(r.a), netip.MustParseAddr(r.b), 1<<32); got != r.want {
			t.Errorf("%s to %s: %d, want %d", r.a, r.b, got, r.want)
		}
	}
}

// TestServerBehindRelays: nested relays, their link, and the answer through them.
func TestServerBehindRelays(t *testing.T) {
	relaySrc := netip.MustParseAddrPort("[2001:db8::99]:5000")
	wrap := func(inner []byte, hops uint8, link, peer netip.Addr, id string, port bool) []byte {
		r := relayed{typ: dhcpv6.MessageTypeRelayForward, hops: hops, link: link, peer: peer, inner: inner, relayPort: port}
		if id != "" {
			r.interfaceID = []byte(id)
		}
		return r.append(nil)
	}
	nowhere, meshAddr := netip.IPv6Unspecified(), netip.MustParseAddr("fd00:1::1")
	c := newCounter(t, ServerConfig{})
	b := of(clientID, "", solicit).asking().ToBytes()
	msg := wrap(wrap(b, 0, meshAddr, clientLL, "if0", false), 1, nowhere, meshAddr, "up", false)
	if err := c.s.HandleUnicast(c.now, relaySrc, msg); err != nil {
		t.Fatal(err)
	}
	d := c.sent[0]
	if d.dst != netip.AddrPortFrom(relaySrc.Addr(), ServerPort) {
		t.Errorf("answered to %s", d.dst)
	}
	outer, err := parseRelay(d.b)
	if err != nil || outer.typ != dhcpv6.MessageTypeRelayReply || string(outer.interfaceID) != "up" || outer.peer != meshAddr || outer.hops != 1 {
		t.Fatalf("%+v %v", outer, err)
	}
	inner, err := parseRelay(outer.inner)
	if err != nil || string(inner.interfaceID) != "if0" || inner.peer != clientLL || inner.link != meshAddr {
		t.Fatalf("%+v %v", inner, err)
	}
	if m, err := parse(inner.inner); err != nil || describe(m) != "ADVERTISE na fd00:1::ff:fe00:1/43200/86400" {
		t.Errorf("%s %v", describe(m), err)
	}
	// RFC 8357: the source port of the relay is answered.
	if err := c.s.HandleUnicast(c.now, relaySrc, wrap(b, 0, meshAddr, clientLL, "", true)); err != nil || c.sent[1].dst != relaySrc {
		t.Errorf("%v, answered to %s", err, c.sent[1].dst)
	}
	deep := b
	for range 10 {
		deep = wrap(deep, 0, meshAddr, clientLL, "", false)
	}
	for _, r := range []struct {
		name string
		b    []byte
		want error
	}{
		{"another link", wrap(b, 0, address, clientLL, "", false), DropLink},
		{"no link", wrap(b, 0, nowhere, clientLL, "", false), DropLink},
		{"hop count", wrap(b, 9, meshAddr, clientLL, "", false), DropHopCount},
		{"too deep", deep, DropHopCount},
		{"nothing inside", wrap(nil, 0, meshAddr, clientLL, "", false), DropRelayMessage},
		{"information without a link", wrap(of(clientID, "", inforeq).ToBytes(), 0, nowhere, clientLL, "", false), nil},
	} {
		if err := c.s.HandleUnicast(c.now, relaySrc, r.b); err != r.want {
			t.Errorf("%s: %v, want %v", r.name, err, r.want)
		}
	}
}

// TestServerLifetimes: no lease outlives the prefix that it is from.
func TestServerLifetimes(t *testing.T) {
	c := newCounter(t, ServerConfig{})
	give := func() (preferred, valid, t1, t2 uint32) {
		t.Helper()
		m := c.ask(of(clientID, serverID, dhcpv6.MessageTypeRequest).asking())
		if len(m.nas) != 1 || len(m.nas[0].leases) != 1 {
			t.Fatalf("answer %+v", m)
		}
		x := m.nas[0]
		return x.leases[0].preferred, x.leases[0].valid, x.t1, x.t2
	}
	for _, tt := range []struct {
		preferred, valid time.Duration // of the prefix; 0: no end
		want             [4]uint32
	}{
		{0, 0, [4]uint32{12 * 3600, 24 * 3600, 6 * 3600, 34560}},
		{time.Hour, 2 * time.Hour, [4]uint32{3600, 7200, 1800, 2880}},
		{13 * time.Hour, 14 * time.Hour, [4]uint32{12 * 3600, 14 * 3600, 6 * 3600, 34560}},
		{time.Second, time.Minute, [4]uint32{1, 60, 0, 0}},
	} {
		until := func(d time.Duration) time.Time {
			if d == 0 {
				return time.Time{}
			}
			return c.now.Add(d)
		}
		c.s.SetLifetimes(until(tt.preferred), until(tt.valid))
		var got [4]uint32
		if got[0], got[1], got[2], got[3] = give(); got != tt.want {
			t.Errorf("%v, %v: got %v, want %v", tt.preferred, tt.valid, got, tt.want)
		}
		if b := c.s.Bindings()[0]; b.Valid.Sub(c.now) != time.Duration(tt.want[1])*time.Second {
			t.Errorf("%v, %v: bound for %v", tt.preferred, tt.valid, b.Valid.Sub(c.now))
		}
	}
	c.s.SetPrefix(c.now, netip.MustParsePrefix("2001:db8:9::/64"), netip.Addr{}, netip.Addr{})
	if p, v, _, _ := give(); p != 12*3600 || v != 24*3600 {
		t.Errorf("another prefix is bounded by the one before: %d, %d", p, v)
	}
}

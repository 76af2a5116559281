package dhcp6

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

var (
	epoch     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clientID  = NewDUIDLL(HardwareEUI64, []byte{2, 0, 0, 0, 0, 0, 0, 1})
	serverID  = NewDUIDEN(4660, []byte{1})
	otherID   = NewDUIDEN(4660, []byte{2})
	clientLL  = netip.MustParseAddr("fe80::ff:fe00:1")
	clientSrc = netip.AddrPortFrom(clientLL, ClientPort)
	serverSrc = netip.MustParseAddrPort("[fe80::1]:547")
	meshNet   = netip.MustParsePrefix("fd00:1::/64")
	pd56      = netip.MustParsePrefix("2001:db8:100::/56")
	pd60      = netip.MustParsePrefix("2001:db8:200::/60")
	resolver  = netip.MustParseAddr("2001:db8::53")
	address   = netip.MustParseAddr("2001:db8::1234")
	bothModes = Mode{Addresses: true, Prefixes: true}
)

type datagram struct {
	at  time.Time
	dst netip.AddrPort
	b   []byte
}

// An outbox keeps what a machine sends.
type outbox struct{ sent []datagram }

func (o *outbox) SendUDP(now time.Time, dst netip.AddrPort, b []byte) {
	o.sent = append(o.sent, datagram{now, dst, append([]byte{}, b...)})
}

// A desk is a client whose server is the test.
type desk struct {
	t testing.TB
	outbox
	c      *Client
	now    time.Time
	leases []Lease
}

func (d *desk) LeaseChanged(_ time.Time, l Lease) { d.leases = append(d.leases, l) }

func newDesk(t testing.TB, cfg ClientConfig, seed uint64) *desk {
	t.Helper()
	d := &desk{t: t, now: epoch}
	cfg.DUID, cfg.IAID = clientID, 7
	cfg.Rand = rand.New(rand.NewPCG(seed, 1))
	d.c = NewClient(cfg, d, d)
	return d
}

func (d *desk) start(m Mode) *desk {
	d.c.SetMode(d.now, m)
	d.c.LinkChanged(d.now, true)
	return d
}

// next lets time pass until the client sends something, and returns it.
func (d *desk) next() *message {
	d.t.Helper()
	for n := len(d.sent); n == len(d.sent); {
		at := d.c.Deadline()
		if at.IsZero() {
			d.t.Fatal("the client has nothing to do")
		}
		if at.After(d.now) {
			d.now = at
		}
		d.c.Advance(d.now)
	}
	return d.last()
}

// until lets d.now become at.
func (d *desk) until(at time.Time) {
	for {
		due := d.c.Deadline()
		if due.IsZero() || due.After(at) {
			break
		}
		if due.After(d.now) {
			d.now = due
		}
		d.c.Advance(d.now)
	}
	d.now = at
}

func (d *desk) last() *message {
	d.t.Helper()
	if len(d.sent) == 0 {
		d.t.Fatal("nothing was sent")
	}
	m, err := parse(d.sent[len(d.sent)-1].b)
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

func (d *desk) expect(typ dhcpv6.MessageType) *message {
	d.t.Helper()
	m := d.next()
	if m.typ != typ {
		d.t.Fatalf("sent %s in state %s, want %s", m.typ, d.c.State(), typ)
	}
	return m
}

func (d *desk) state(want string) {
	d.t.Helper()
	if d.c.State() != want {
		d.t.Fatalf("state %s, want %s", d.c.State(), want)
	}
}

func (d *desk) deliver(b *builder) error {
	return d.c.HandleMessage(d.now, serverSrc, b.ToBytes())
}

func (d *desk) give(b *builder) {
	d.t.Helper()
	if err := d.deliver(b); err != nil {
		d.t.Fatalf("%s: %v", b.MessageType, err)
	}
}

// from begins a server's message to the client.
func from(server DUID, typ dhcpv6.MessageType, m *message) *builder {
	b := newMessage(typ, m.xid)
	b.duid(dhcpv6.OptionClientID, clientID)
	b.duid(dhcpv6.OptionServerID, server)
	return b
}

func (b *builder) withNA(t1, t2 uint32, leases ...leased) *builder {
	b.na(ia{id: 7, t1: t1, t2: t2, leases: leases}, "")
	return b
}

func (b *builder) withPD(t1, t2 uint32, leases ...leased) *builder {
	b.pd(ia{id: 7, t1: t1, t2: t2, leases: leases}, "")
	return b
}

func addrLease(a netip.Addr, preferred, valid uint32) leased {
	return leased{prefix: netip.PrefixFrom(a, 128), preferred: preferred, valid: valid}
}

func prefixLease(p netip.Prefix, preferred, valid uint32) leased {
	return leased{prefix: p, preferred: preferred, valid: valid}
}

// bind brings the client to the state bound, with an address (T1 1000 s, T2 1600 s,
// 2000/3000 s) and a prefix of the same times, as the mode is.
func (d *desk) bind(m Mode) *desk {
	d.t.Helper()
	d.start(m)
	s := d.expect(dhcpv6.MessageTypeSolicit)
	a := d.full(from(serverID, dhcpv6.MessageTypeAdvertise, s), m)
	a.option(dhcpv6.OptionPreference, []byte{255})
	d.give(a)
	d.give(d.full(from(serverID, dhcpv6.MessageTypeReply, d.last()), m))
	d.state("bound")
	return d
}

func (d *desk) full(b *builder, m Mode) *builder {
	if m.Addresses {
		b.withNA(1000, 1600, addrLease(address, 2000, 3000))
	}
	if m.Prefixes {
		b.withPD(1000, 1600, prefixLease(pd56, 2000, 3000))
	}
	return b
}

// clientAt returns the source of client number i.
func clientAt(i int) netip.AddrPort {
	return netip.AddrPortFrom(addTo(clientLL, uint64(i)), ClientPort)
}

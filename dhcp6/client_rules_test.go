package dhcp6

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestSolicitStopsUse: RFC 9915 section 18: MUST stop using the leases that it tries to get
// from another server. They are what it would like.
func TestSolicitStopsUse(t *testing.T) {
	d := newDesk(t, ClientConfig{}, 1).bind(bothModes)
	b := from(serverID, reply, d.expect(renew)).withNA(1000, 1600, addrLease(address, 2000, 3000))
	b.pd(ia{id: 7, status: statusNoBinding}, "")
	d.give(b)
	d.state("requesting")
	if l := d.c.Lease(); len(l.Addresses) != 1 {
		t.Fatalf("lost during the Request: %+v", l)
	}
	for d.next().typ == request {
	}
	m := d.last()
	if m.typ != solicit || len(m.nas) != 1 || len(m.nas[0].leases) != 1 || m.nas[0].leases[0].prefix.Addr() != address {
		t.Errorf("sent %s %+v", m.typ, m.nas)
	}
	if l := d.c.Lease(); !l.empty() {
		t.Errorf("still uses %+v", l)
	}
	if l := d.leases[len(d.leases)-1]; !l.empty() {
		t.Errorf("told %+v", l)
	}
}

// TestMaxRTAgreed: RFC 9915 section 18.2.9: where servers differ, the default counts.
func TestMaxRTAgreed(t *testing.T) {
	for _, c := range []struct {
		name string
		v    []uint32
		want time.Duration
	}{
		{"the same", []uint32{120, 120}, 120 * second},
		{"one says nothing", []uint32{0, 120, 0}, 120 * second},
		{"one out of range", []uint32{120, 1}, 120 * second},
		{"they differ", []uint32{120, 180}, solMaxRT},
		{"they differ, then agree", []uint32{120, 180, 180}, solMaxRT},
	} {
		d := newDesk(t, ClientConfig{}, 3)
		s := d.start(Mode{Prefixes: true}).next()
		for _, v := range c.v {
			b := from(serverID, advertise, s)
			if v != 0 {
				b.u32(dhcpv6.OptionSolMaxRT, v)
			}
			if err := d.deliver(b); err != DropNothing {
				t.Fatal(err)
			}
		}
		if d.c.sol != c.want || d.c.x.mrt != c.want {
			t.Errorf("%s: SOL_MAX_RT %v, MRT %v, want %v", c.name, d.c.sol, d.c.x.mrt, c.want)
		}
	}
}

// TestAdvertiseFailure: an Advertise that says that it failed is not taken (section 18.2.9).
func TestAdvertiseFailure(t *testing.T) {
	m := Mode{Prefixes: true}
	for status, want := range map[uint16]error{statusUnspecFail: DropStatus, statusNotOnLink: DropStatus, statusNoAddrsAvail: nil, statusSuccess: nil} {
		d := newDesk(t, ClientConfig{}, 3)
		b := d.full(from(serverID, advertise, d.start(m).next()), m)
		b.status(status, "")
		b.u32(dhcpv6.OptionSolMaxRT, 60)
		if err := d.deliver(b); err != want {
			t.Errorf("status %d: %v, want %v", status, err, want)
		}
		if d.c.sol != 60*second {
			t.Errorf("status %d: SOL_MAX_RT %v was not taken", status, d.c.sol)
		}
	}
}

// TestReleaseFailed: RFC 9915 section 18.2.10.2: a Release or Decline is over with the first
// Reply, whatever its status; SOL_MAX_RT in it counts.
func TestReleaseFailed(t *testing.T) {
	for _, status := range []uint16{statusUnspecFail, statusNoBinding, statusUseMulticast} {
		d := newDesk(t, ClientConfig{}, 1).bind(Mode{Prefixes: true})
		d.c.Release(d.now)
		b := from(serverID, reply, d.last())
		b.status(status, "")
		b.u32(dhcpv6.OptionSolMaxRT, 60)
		d.give(b)
		if d.c.Busy() || d.c.sol != 60*second {
			t.Errorf("status %d: busy %v, SOL_MAX_RT %v", status, d.c.Busy(), d.c.sol)
		}
	}
}

// TestReleaseExclude: RFC 6603 section 6.1: a prefix is released along with what was excluded
// from it, which no other message repeats.
func TestReleaseExclude(t *testing.T) {
	m := Mode{Prefixes: true}
	exclude := netip.MustParsePrefix("2001:db8:100:ff::/64")
	lease := leased{prefix: pd56, exclude: exclude, preferred: 2000, valid: 3000}
	d := newDesk(t, ClientConfig{RapidCommit: true}, 1)
	b := from(serverID, reply, d.start(m).next()).withPD(1000, 1600, lease)
	b.option(dhcpv6.OptionRapidCommit, nil)
	d.give(b)
	if l := d.c.Lease(); len(l.Prefixes) != 1 || l.Prefixes[0].Exclude != exclude {
		t.Fatalf("%+v", l)
	}
	if x := d.expect(renew).pds[0].leases; len(x) != 1 || x[0].exclude.IsValid() {
		t.Errorf("renewed %+v", x)
	}
	d.c.Release(d.now)
	if x := d.last().pds[0].leases; d.last().typ != release || len(x) != 1 || x[0].prefix != pd56 || x[0].exclude != exclude {
		t.Errorf("released %+v", x)
	}
}

// TestConfirmOtherStatus: what is neither success nor NotOnLink says nothing about the link.
func TestConfirmOtherStatus(t *testing.T) {
	na := Mode{Addresses: true}
	d := newDesk(t, ClientConfig{}, 1).bind(na)
	d.c.LinkChanged(d.now, true)
	b := from(serverID, reply, d.expect(confirm))
	b.status(statusNoBinding, "")
	if err := d.deliver(b); err != DropStatus {
		t.Error(err)
	}
	d.expect(confirm)
}

// TestHintLater: RFC 9915 section 18.2.4: in a Renew or Rebind only the length is a hint.
func TestHintLater(t *testing.T) {
	d := newDesk(t, ClientConfig{Hint: pd56}, 1).start(bothModes)
	s := d.expect(solicit)
	if got := s.pds[0].leases[0].prefix; got != pd56 {
		t.Errorf("solicited %s", got)
	}
	na := Mode{Addresses: true}
	b := d.full(from(serverID, advertise, s), na)
	b.option(dhcpv6.OptionPreference, []byte{255})
	d.give(b)
	d.give(d.full(from(serverID, reply, d.last()), na))
	want := netip.PrefixFrom(netip.IPv6Unspecified(), 56)
	for _, typ := range []dhcpv6.MessageType{renew, rebind} {
		for d.next().typ != typ {
		}
		if m := d.last(); len(m.pds) != 1 || len(m.pds[0].leases) != 1 || m.pds[0].leases[0].prefix != want {
			t.Errorf("%s: %+v", typ, m.pds)
		}
	}
}

// TestReconfigureInformationServer: RFC 9915 section 18.2.6: the Information-request that
// answers a Reconfigure is for the server that sent it, and others' Replies do not count.
func TestReconfigureInformationServer(t *testing.T) {
	d := newReconfigured(t)
	if err := d.c.HandleMessage(d.now, serverSrc, reconfigure(d, serverID, inforeq, testReplay+1)); err != nil {
		t.Fatal(err)
	}
	m := d.last()
	if m.typ != inforeq || m.server != serverID {
		t.Errorf("sent %s to %s", m.typ, m.server)
	}
	if err := d.deliver(from(otherID, reply, m)); err != DropServerID {
		t.Errorf("another server's reply: %v", err)
	}
	// Section 18.2.11: until it is answered, further ones are ignored.
	for i, typ := range []dhcpv6.MessageType{renew, rebind, inforeq} {
		if err := d.c.HandleMessage(d.now, serverSrc, reconfigure(d, serverID, typ, testReplay+2+uint64(i))); err != DropReconfigure {
			t.Errorf("%s meanwhile: %v", typ, err)
		}
	}
	d.give(from(serverID, reply, m))
	if err := d.c.HandleMessage(d.now, serverSrc, reconfigure(d, serverID, renew, testReplay+9)); err != nil {
		t.Errorf("afterwards: %v", err)
	}

	// A stateless client.
	e := newDesk(t, ClientConfig{ReconfigureAccept: true}, 1)
	b := from(serverID, reply, e.start(Mode{Information: true}).next())
	b.option(dhcpv6.OptionAuth, auth(authKey, testReplay, testKey)) // without Reconfigure Accept
	e.give(b)
	if err := e.c.HandleMessage(e.now, serverSrc, reconfigure(e, serverID, inforeq, testReplay+1)); err != nil {
		t.Fatal(err)
	}
	if m = e.last(); m.typ != inforeq || m.server != serverID {
		t.Errorf("stateless: sent %s to %s", m.typ, m.server)
	}
	if err := e.deliver(from(otherID, reply, m)); err != DropServerID {
		t.Errorf("stateless: another server's reply: %v", err)
	}
	e.give(from(serverID, reply, m))
}

// An owner that acts on a lease within the call that tells it.
type meddler struct {
	outbox
	c  *Client
	do func(now time.Time, l Lease)
}

func (m *meddler) LeaseChanged(now time.Time, l Lease) { m.do(now, l) }

// TestReentrancy: what an owner does within [ClientEvents] is what counts, not what the
// client was about to do.
func TestReentrancy(t *testing.T) {
	d := newDesk(t, ClientConfig{}, 1).bind(bothModes)
	m := &meddler{c: d.c}
	m.do = func(now time.Time, l Lease) {
		if l.empty() {
			m.c.SetMode(now, Mode{})
			m.c.Release(now)
		}
	}
	d.c.ev = m
	b := from(serverID, reply, d.expect(renew))
	b.withNA(0, 0, addrLease(address, 0, 0)).withPD(0, 0, prefixLease(pd56, 0, 0))
	d.give(b)
	d.state("idle")
	if at := d.c.Deadline(); !at.IsZero() {
		t.Errorf("deadline %v", at)
	}

	// The answer to an Information-request beside the lease leads to a Release.
	d = newReconfigured(t)
	if err := d.c.HandleMessage(d.now, serverSrc, reconfigure(d, serverID, inforeq, testReplay+1)); err != nil {
		t.Fatal(err)
	}
	told := false
	m = &meddler{c: d.c}
	m.do = func(now time.Time, l Lease) {
		if !told {
			told = true
			m.c.Release(now)
		}
	}
	d.c.ev = m
	d.give(from(serverID, reply, d.last()))
	if !d.c.Busy() || d.last().typ != release {
		t.Errorf("busy %v, sent %s", d.c.Busy(), d.last().typ)
	}
}

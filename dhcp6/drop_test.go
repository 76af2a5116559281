package dhcp6

import (
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestDrops causes every reason, and sees it counted once.
func TestDrops(t *testing.T) {
	seen := map[Drop]bool{DropInterface: false}
	must := func(name string, want Drop, err error, counted [NumDrops]uint64) {
		t.Helper()
		seen[want] = true
		if err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		for d, n := range counted {
			if w := uint64(0); n != w && (Drop(d) != want || n != 1) || Drop(d) == want && n != 1 && want != DropInterface {
				t.Errorf("%s: %v counted %d times", name, Drop(d), n)
			}
		}
	}
	many := func(n int) *builder {
		b := of(clientID, "", solicit)
		for range n {
			b.option(dhcpv6.OptionElapsedTime, []byte{0, 0})
		}
		return b
	}
	raw := func(b *builder, tail ...byte) []byte { return append(b.ToBytes(), tail...) }
	good := raw(of(clientID, "", solicit).asking())

	for _, c := range []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"three bytes", []byte{1, 2, 3}, DropTruncated},
		{"long", make([]byte, MaxMessage+1), DropTooLong},
		{"half an option", raw(of(clientID, "", solicit), 0, 8, 0), DropOptions},
		{"option beyond the end", raw(of(clientID, "", solicit), 0, 8, 0, 9, 1), DropOptions},
		{"short IA_NA", raw(of(clientID, "", solicit), 0, 3, 0, 2, 1, 1), DropOptions},
		{"short IA_PD", raw(of(clientID, "", solicit), 0, 25, 0, 2, 1, 1), DropOptions},
		{"odd ORO", raw(of(clientID, "", solicit), 0, 6, 0, 1, 1), DropOptions},
		{"short status", raw(of(clientID, "", solicit), 0, 13, 0, 1, 1), DropOptions},
		{"empty DUID", raw(of("", "", solicit), 0, 1, 0, 0), DropOptions},
		{"option beyond its IA", raw(of(clientID, "", solicit), 0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24), DropOptions},
		{"many options", raw(many(maxOptions)), DropTooMany},
		{"reply to a server", raw(of(clientID, serverID, reply)), DropType},
		{"unknown type", raw(of(clientID, serverID, 99)), DropType},
		{"no client", raw(of("", "", solicit)), DropNoClientID},
		{"no server", raw(of(clientID, "", request)), DropNoServerID},
		{"another server", raw(of(clientID, otherID, request)), DropServerID},
		{"server in a solicit", raw(of(clientID, serverID, solicit)), DropServerID},
		{"information with an IA", raw(of(clientID, "", inforeq).asking()), DropUnwanted},
		{"confirm of nothing", raw(of(clientID, "", confirm)), DropUnwanted},
		{"renew of nothing", raw(of(clientID, serverID, renew)), DropUnwanted},
	} {
		s := newCounter(t, ServerConfig{})
		must(c.name, c.want, s.s.HandleMessage(s.now, clientSrc, c.b), s.s.Stats().Dropped)
	}
	s := newCounter(t, ServerConfig{})
	must("by unicast", DropUnicast, s.s.HandleUnicast(s.now, clientSrc, good), s.s.Stats().Dropped)
	s = newCounter(t, ServerConfig{})
	must("from nowhere", DropSource, s.s.HandleMessage(s.now, netip.MustParseAddrPort("[::]:546"), good), s.s.Stats().Dropped)
	s = newCounter(t, ServerConfig{})
	s.s.SetPrefix(s.now, netip.Prefix{}, netip.Addr{}, netip.Addr{})
	must("confirm without prefix", DropLink, s.s.HandleMessage(s.now, clientSrc, raw(of(clientID, "", confirm).asking(ownAddr))), s.s.Stats().Dropped)

	for _, typ := range []dhcpv6.MessageType{request, renew, rebind, release, decline} {
		s = newCounter(t, ServerConfig{Busy: func() bool { return true }})
		server := serverID
		if typ == rebind {
			server = ""
		}
		must("busy", DropBusy, s.s.HandleMessage(s.now, clientSrc, raw(of(clientID, server, typ).asking(ownAddr))), s.s.Stats().Dropped)
		if len(s.s.Bindings()) != 0 {
			t.Errorf("busy: %v has made a binding", typ)
		}
	}
	s = newCounter(t, ServerConfig{RapidCommit: true, Busy: func() bool { return true }})
	must("busy", DropBusy, s.s.HandleMessage(s.now, clientSrc, raw(of(clientID, "", solicit).asking(), 0, 14, 0, 0)), s.s.Stats().Dropped)
	for _, b := range [][]byte{good, raw(of(clientID, "", inforeq)), raw(of(clientID, "", confirm).asking(ownAddr))} {
		if err := s.s.HandleMessage(s.now, clientSrc, b); err != nil {
			t.Errorf("busy: %v, where nothing is to be bound", err)
		}
	}

	pd := Mode{Prefixes: true}
	for _, c := range []struct {
		name string
		do   func(d *desk) *builder
		want Drop
	}{
		{"link down", func(d *desk) *builder { return of(clientID, serverID, reply) }, DropStopped},
		{"a client's message", func(d *desk) *builder { return of(clientID, serverID, solicit) }, DropType},
		{"no server", func(d *desk) *builder { return from("", advertise, d.start(pd).next()) }, DropNoServerID},
		{"no client", func(d *desk) *builder {
			m := d.start(pd).next()
			b := newMessage(advertise, m.xid)
			b.duid(dhcpv6.OptionServerID, serverID)
			return b
		}, DropNoClientID},
		{"another client", func(d *desk) *builder {
			m := d.start(pd).next()
			b := newMessage(advertise, m.xid)
			b.duid(dhcpv6.OptionServerID, serverID)
			b.duid(dhcpv6.OptionClientID, otherClient)
			return b
		}, DropClientID},
		{"another transaction", func(d *desk) *builder {
			m := d.start(pd).next()
			m.xid[0] ^= 1
			return from(serverID, advertise, m)
		}, DropTransaction},
		{"before anything was sent", func(d *desk) *builder {
			d.start(pd)
			return from(serverID, advertise, &message{xid: d.c.x.xid})
		}, DropTransaction},
		{"late advertise", func(d *desk) *builder {
			d.bind(pd)
			return from(serverID, advertise, d.expect(renew))
		}, DropTransaction},
		{"reply to a solicit", func(d *desk) *builder { return d.full(from(serverID, reply, d.start(pd).next()), pd) }, DropRapidCommit},
		{"nothing advertised", func(d *desk) *builder { return from(serverID, advertise, d.start(pd).next()) }, DropNothing},
		{"server failed", func(d *desk) *builder {
			b := from(serverID, reply, d.bind(pd).expect(renew))
			b.status(statusUnspecFail, "")
			return b
		}, DropStatus},
		{"use multicast", func(d *desk) *builder {
			b := from(serverID, reply, d.bind(pd).expect(renew))
			b.status(statusUseMulticast, "")
			return b
		}, DropStatus},
		{"another server's reply", func(d *desk) *builder { return from(otherID, reply, d.bind(pd).expect(renew)) }, DropServerID},
		{"reconfigure not agreed on", func(d *desk) *builder {
			d.bind(pd)
			return from(serverID, dhcpv6.MessageTypeReconfigure, &message{})
		}, DropReconfigure},
	} {
		d := newDesk(t, ClientConfig{}, 1)
		b := c.do(d)
		must(c.name, c.want, d.deliver(b), d.c.Stats().Dropped)
	}

	k := newReconfigured(t)
	must("reconfigure without authentication", DropAuth, k.deliver(from(serverID, dhcpv6.MessageTypeReconfigure, &message{})), k.c.Stats().Dropped)
	k = newReconfigured(t)
	must("reconfigure seen before", DropReplay, k.c.HandleMessage(k.now, serverSrc, reconfigure(k, serverID, renew, testReplay)), k.c.Stats().Dropped)

	for _, c := range []struct {
		name string
		b    []byte
		want Drop
	}{
		{"short", []byte{1, 2, 3}, DropTruncated},
		{"an answer", raw(of(clientID, serverID, reply)), DropType},
		{"too many relays", (&relayed{typ: dhcpv6.MessageTypeRelayForward, hops: hopCountLimit, link: resolver, peer: clientLL, inner: good}).append(nil), DropHopCount},
		{"nothing inside", (&relayed{typ: dhcpv6.MessageTypeRelayForward, link: resolver, peer: clientLL}).append(nil), DropRelayMessage},
		{"no room", append([]byte{1, 0, 0, 0}, make([]byte, MaxMessage-40)...), DropTooLong},
	} {
		var down, up outbox
		r := NewRelay(RelayConfig{}, &down, &up)
		must(c.name, c.want, r.HandleMessage(epoch, clientSrc, c.b), r.Stats().Dropped)
	}
	var down, up outbox
	r := NewRelay(RelayConfig{InterfaceID: []byte("a")}, &down, &up)
	other := relayed{typ: dhcpv6.MessageTypeRelayReply, link: resolver, peer: clientLL, inner: good, interfaceID: []byte("b")}
	must("for another interface", DropInterface, r.HandleReply(epoch, serverSrc, other.append(nil)), r.Stats().Dropped)

	d := newDesk(t, ClientConfig{}, 1)
	b := d.full(from(serverID, advertise, d.start(pd).next()), pd)
	must("sent to all nodes", DropMulticast, d.c.HandleMulticast(d.now, serverSrc, b.ToBytes()), d.c.Stats().Dropped)
	r = NewRelay(RelayConfig{}, &down, &up)
	must("a client's unicast to a relay", DropUnicast, r.HandleUnicast(epoch, clientSrc, good), r.Stats().Dropped)
	below := relayed{typ: dhcpv6.MessageTypeRelayForward, link: resolver, peer: clientLL, inner: good}
	if err := r.HandleUnicast(epoch, serverSrc, below.append(nil)); err != nil || len(up.sent) != 1 {
		t.Errorf("a relay's unicast to a relay: %v, %d sent on", err, len(up.sent))
	}

	for d := Drop(1); int(d) < NumDrops; d++ {
		if !seen[d] {
			t.Errorf("nothing causes %v", d)
		}
		if d.Error() == "dhcp6_unknown" {
			t.Errorf("drop %d has no text", d)
		}
	}
}

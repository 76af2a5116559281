package dhcp6

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// FuzzParse: what parses reads the same after it was written again.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if isRelay(b) {
			r, err := parseRelay(b)
			if err != nil {
				return
			}
			again, err := parseRelay(r.append(nil))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%+v, again %+v %v", r, again, err)
			}
			return
		}
		before := bytes.Clone(b)
		m, err := parse(b)
		if !bytes.Equal(before, b) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if _, ok := err.(Drop); !ok {
				t.Fatalf("not a Drop: %v", err)
			}
			return
		}
		p := parser{left: maxOptions}
		opts, _ := p.options(bytes.Clone(b[4:]), p.top)
		w := dhcpv6.Message{MessageType: m.typ, TransactionID: m.xid, Options: dhcpv6.MessageOptions{Options: opts}}
		again, err := parse(w.ToBytes())
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v, again %+v %v", m, again, err)
		}
		clear(b)
		if !reflect.DeepEqual(m, again) {
			t.Fatal("the message aliases its input")
		}
	})
}

// FuzzClient: whatever servers answer and whenever, the client keeps what it keeps within
// bounds, goes on, and does not send more than it may.
func FuzzClient(f *testing.F) {
	b := newMessage(0, dhcpv6.TransactionID{})
	b.withPD(10, 16, prefixLease(pd56, 20, 30)).withNA(0, 0, addrLease(address, 20, 30))
	opts := b.ToBytes()[4:]
	f.Add(uint8(3), append([]byte{2, byte(len(opts))}, opts...))
	f.Add(uint8(7), append(append([]byte{2, byte(len(opts))}, opts...), append([]byte{7, byte(len(opts))}, opts...)...))
	f.Fuzz(func(t *testing.T, mode uint8, script []byte) {
		d := newDesk(t, ClientConfig{RapidCommit: mode&8 != 0, ReconfigureAccept: mode&16 != 0}, 1)
		d.start(Mode{Addresses: mode&1 != 0, Prefixes: mode&2 != 0, Information: mode&4 != 0})
		for len(script) >= 2 {
			op, n := script[0], int(script[1])
			script = script[2:]
			opts := script[:min(n, len(script))]
			script = script[len(opts):]
			switch op & 0x0f {
			case 0:
				d.until(d.now.Add(time.Duration(n) * time.Second))
			case 1:
				d.until(d.now.Add(time.Duration(n) * time.Hour))
			case 3:
				d.c.LinkChanged(d.now, op&0x10 != 0)
			case 4:
				d.c.SetMode(d.now, Mode{Addresses: n&1 != 0, Prefixes: n&2 != 0, Information: n&4 != 0})
			case 5:
				d.c.Release(d.now)
			case 6:
				for _, a := range d.c.Lease().Addresses {
					d.c.Decline(d.now, a.Addr)
				}
			case 8:
				d.c.LinkChanged(d.now, false)
				d.c.Restore(d.now, d.c.Record())
			case 9:
				_ = d.c.HandleMessage(d.now, serverSrc, opts)
			default:
				if at := d.c.Deadline(); !at.IsZero() {
					d.until(at)
				}
				typ := dhcpv6.MessageType(op & 0x0f)
				xid := d.c.x.xid
				if op&0x20 != 0 {
					xid = d.c.side.xid
				}
				b := newMessage(typ, xid)
				b.duid(dhcpv6.OptionClientID, clientID)
				b.duid(dhcpv6.OptionServerID, serverID)
				if op&0x40 != 0 {
					b.option(dhcpv6.OptionRapidCommit, nil)
				}
				_ = d.c.HandleMessage(d.now, serverSrc, append(b.ToBytes(), opts...))
			}
			l := d.c.Lease()
			if len(l.Addresses) > maxLeases || len(l.Prefixes) > maxLeases || len(l.DNS) > maxServers || len(l.Domains) > maxDomains ||
				len(l.SNTP) > maxServers || len(l.NTP) > maxServers || len(l.NTPNames) > maxServers {
				t.Fatalf("grew: %+v", l)
			}
			for _, p := range l.Prefixes {
				if !usablePrefix(p.Prefix) || due(p.Valid, d.now) || !p.Valid.IsZero() && (p.Preferred.IsZero() || p.Preferred.After(p.Valid)) {
					t.Fatalf("at %v: prefix %+v", d.now, p)
				}
			}
			for _, a := range l.Addresses {
				if !usableAddr(a.Addr) || due(a.Valid, d.now) {
					t.Fatalf("at %v: address %+v", d.now, a)
				}
			}
			if due(d.c.Deadline(), d.now) {
				t.Fatalf("%s: still due at %v: %v", d.c.State(), d.now, d.c.Deadline())
			}
			if max := bucketSize + int(d.now.Sub(epoch)/bucketRate) + 1; len(d.sent) > max {
				t.Fatalf("sent %d in %v", len(d.sent), d.now.Sub(epoch))
			}
			if len(d.leases) > 0 && d.c.up {
				if last := d.leases[len(d.leases)-1]; !reflect.DeepEqual(last.Prefixes, l.Prefixes) && len(last.Prefixes)+len(l.Prefixes) > 0 {
					t.Fatalf("told %+v, has %+v", last, l)
				}
			}
		}
	})
}

// FuzzServer: whatever clients send, the table stays within its limits, no address is
// leased twice, and every answer is a message for the one who asked.
func FuzzServer(f *testing.F) {
	for _, v := range vectors(f) {
		b := v.payload(f)
		f.Add(append([]byte{0, byte(len(b))}, b...))
	}
	for _, b := range []*builder{of(clientID, "", solicit).asking(), of(clientID, serverID, request).asking(), of(clientID, serverID, decline).asking(ownAddr)} {
		raw := b.ToBytes()
		f.Add(append([]byte{1, byte(len(raw))}, raw...))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		c := newCounter(t, ServerConfig{RapidCommit: true, Limits: ServerLimits{Bindings: 8, PerClient: 3}})
		for len(script) >= 2 {
			op, n := script[0], int(script[1])
			script = script[2:]
			b := script[:min(n, len(script))]
			script = script[len(b):]
			c.now = c.now.Add(time.Duration(op>>4) * time.Hour)
			src := netip.AddrPortFrom(addTo(clientLL, uint64(op>>2&3)), ClientPort)
			sent := len(c.sent)
			var err error
			switch op & 3 {
			case 0:
				err = c.s.HandleUnicast(c.now, src, b)
			case 1:
				err = c.s.HandleMessage(c.now, src, b)
			default: // as if it named this server
				if len(b) >= 4 {
					id := []byte{0, 2, 0, byte(len(serverID))}
					b = append(append(append(bytes.Clone(b[:4]), id...), serverID...), b[4:]...)
				}
				err = c.s.HandleMessage(c.now, src, b)
			}
			if got := len(c.sent) - sent; (err == nil) != (got == 1) {
				t.Fatalf("%d answers, %v", got, err)
			}
			if err == nil && !isRelay(b) {
				m, err := parse(c.sent[sent].b)
				if err != nil || !bytes.Equal(m.xid[:], b[1:4]) || m.server != serverID || c.sent[sent].dst != src {
					t.Fatalf("answered %+v %v", m, err)
				}
			}
			c.s.Advance(c.now)
			if n := len(c.s.bindings); n > 8 || n != c.s.expiry.Len() {
				t.Fatalf("%d bindings, %d timers", n, c.s.expiry.Len())
			}
			for a, b := range c.s.bindings {
				if !meshNet.Contains(a) || b.Addr != a || due(b.Valid, c.now) {
					t.Fatalf("binding %+v of %s", b, a)
				}
			}
			if due(c.s.Deadline(), c.now) {
				t.Fatal("still due")
			}
		}
	})
}

// FuzzRelay: what a relay forwards, a server can return: the client gets what was said to
// it, and it alone.
func FuzzRelay(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload(f), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var down, up outbox
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := NewRelay(RelayConfig{LinkAddr: resolver, InterfaceID: []byte("x")}, &down, &up)
		src := netip.AddrPortFrom(addTo(clientLL, rnd.Uint64N(100)), ClientPort)
		_ = r.HandleReply(epoch, serverSrc, b)
		down.sent = nil
		if r.HandleMessage(epoch, src, b) != nil {
			if len(up.sent) != 0 {
				t.Fatal("dropped and sent")
			}
			return
		}
		m, err := parseRelay(up.sent[0].b)
		if err != nil || !bytes.Equal(m.inner, b) || m.peer != src.Addr() || m.hops > hopCountLimit {
			t.Fatalf("%+v %v", m, err)
		}
		m.typ = dhcpv6.MessageTypeRelayReply
		answer := of(clientID, serverID, reply).ToBytes()
		m.inner = answer
		if err := r.HandleReply(epoch, serverSrc, m.append(nil)); err != nil {
			t.Fatal(err)
		}
		if len(down.sent) != 1 || down.sent[0].dst != src || !bytes.Equal(down.sent[0].b, answer) {
			t.Fatalf("%+v", down.sent)
		}
	})
}

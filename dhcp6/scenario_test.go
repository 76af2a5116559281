package dhcp6

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// A meeting is clients and a server of this package on a link that loses and doubles
// messages, with or without a relay between, in virtual time.
type meeting struct {
	now     time.Time
	rnd     *rand.Rand
	loss    float64
	s       *Server
	r       *Relay // nil: none
	clients []*guest
	queue   []func() // deliveries
}

type guest struct {
	w    *meeting
	addr netip.AddrPort
	c    *Client
	last Lease
}

func (g *guest) LeaseChanged(_ time.Time, l Lease) { g.last = l }

// in queues a delivery, twice or not at all now and then.
func (w *meeting) in(f func()) {
	if w.rnd.Float64() < w.loss {
		return
	}
	w.queue = append(w.queue, f)
	if w.rnd.Float64() < w.loss {
		w.queue = append(w.queue, f)
	}
}

// SendUDP of a client goes to the server, or to the relay.
func (g *guest) SendUDP(now time.Time, _ netip.AddrPort, payload []byte) {
	b := append([]byte{}, payload...)
	g.w.in(func() {
		if g.w.r != nil {
			_ = g.w.r.HandleMessage(g.w.now, g.addr, b)
		} else {
			_ = g.w.s.HandleMessage(g.w.now, g.addr, b)
		}
	})
}

type sendFunc func(dst netip.AddrPort, b []byte)

func (f sendFunc) SendUDP(_ time.Time, dst netip.AddrPort, b []byte) {
	f(dst, append([]byte{}, b...))
}

func (w *meeting) toClients(dst netip.AddrPort, b []byte) {
	for _, g := range w.clients {
		if g.addr == dst {
			w.in(func() { _ = g.c.HandleMessage(w.now, serverSrc, b) })
		}
	}
}

func newMeeting(n int, loss float64, relay bool, cfg ServerConfig) *meeting {
	w := &meeting{now: epoch, rnd: rand.New(rand.NewPCG(7, 7)), loss: loss}
	down := sendFunc(w.toClients)
	cfg.DUID, cfg.Prefix = serverID, meshNet
	if relay {
		relaySrc := netip.MustParseAddrPort("[fd00:1::1]:547")
		w.s = NewServer(cfg, sendFunc(func(_ netip.AddrPort, b []byte) {
			w.in(func() { _ = w.r.HandleReply(w.now, serverSrc, b) })
		}), nil)
		w.r = NewRelay(RelayConfig{LinkAddr: relaySrc.Addr(), InterfaceID: []byte("mesh")}, down, sendFunc(func(_ netip.AddrPort, b []byte) {
			w.in(func() { _ = w.s.HandleMessage(w.now, relaySrc, b) })
		}))
	} else {
		w.s = NewServer(cfg, down, nil)
	}
	for i := range n {
		g := &guest{w: w, addr: netip.AddrPortFrom(addTo(clientLL, uint64(i)), ClientPort)}
		g.c = NewClient(ClientConfig{DUID: NewDUIDEN(9, []byte{byte(i)}), IAID: 7, RapidCommit: i%2 == 0, Rand: rand.New(rand.NewPCG(uint64(i), 3))}, g, g)
		w.clients = append(w.clients, g)
	}
	return w
}

// until lets time pass to the given time.
func (w *meeting) until(at time.Time) {
	for {
		for len(w.queue) > 0 {
			f := w.queue[0]
			w.queue = w.queue[1:]
			f()
		}
		next := w.s.Deadline()
		for _, g := range w.clients {
			next = earlier(next, g.c.Deadline())
		}
		if next.IsZero() || next.After(at) {
			w.now = at
			return
		}
		w.now = later(w.now, next)
		w.s.Advance(w.now)
		for _, g := range w.clients {
			g.c.Advance(w.now)
		}
	}
}

// TestMeeting: clients and server agree over weeks, whatever is lost.
func TestMeeting(t *testing.T) {
	for _, c := range []struct {
		name  string
		loss  float64
		relay bool
	}{{"no loss", 0, false}, {"loss", 0.3, false}, {"relay", 0, true}, {"relay and loss", 0.2, true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newMeeting(20, c.loss, c.relay, ServerConfig{DNS: []netip.Addr{resolver}, RapidCommit: true})
			for _, g := range w.clients {
				g.c.SetMode(w.now, Mode{Addresses: true})
				g.c.LinkChanged(w.now, true)
			}
			w.until(epoch.Add(time.Hour))
			for day := range 21 {
				w.until(epoch.Add(time.Hour + time.Duration(day)*24*time.Hour))
				held := map[netip.Addr]bool{}
				for i, g := range w.clients {
					l := g.c.Lease()
					if len(l.Addresses) != 1 || held[l.Addresses[0].Addr] || len(l.DNS) != 1 {
						t.Fatalf("day %d, client %d in %s: %+v", day, i, g.c.State(), l)
					}
					a := l.Addresses[0].Addr
					held[a] = true
					b := w.s.bindings[a]
					if b == nil || b.Client != g.c.cfg.DUID || b.Valid.Before(l.Addresses[0].Valid) {
						t.Fatalf("day %d: client has %+v, server %+v", day, l, b)
					}
					if own, _ := w.s.own(g.addr.Addr()); a != own {
						t.Fatalf("client %d has %s", i, a)
					}
				}
			}
			for _, g := range w.clients {
				g.c.Release(w.now)
			}
			w.until(w.now.Add(time.Minute))
			for _, g := range w.clients {
				if g.c.Busy() || !g.last.empty() {
					t.Errorf("%s: %+v", g.addr, g.last)
				}
			}
			if n := len(w.s.Bindings()); n != 0 && c.loss == 0 {
				t.Errorf("%d bindings after all were released", n)
			}
		})
	}
}

// TestMeetingDecline: an address that is declined goes to nobody, and the client gets
// another.
func TestMeetingDecline(t *testing.T) {
	w := newMeeting(1, 0, false, ServerConfig{})
	g := w.clients[0]
	g.c.SetMode(w.now, Mode{Addresses: true})
	g.c.LinkChanged(w.now, true)
	w.until(epoch.Add(time.Minute))
	was := g.last.Addresses[0].Addr
	if !g.c.Decline(w.now, was) || g.c.Decline(w.now, was) {
		t.Fatal("the address was not declined once")
	}
	if len(g.last.Addresses) != 0 {
		t.Error("still told")
	}
	w.until(epoch.Add(2 * time.Minute))
	if len(g.last.Addresses) != 1 || g.last.Addresses[0].Addr == was {
		t.Errorf("after the Decline: %+v", g.last)
	}
	if s := w.s.Stats(); s.Quarantined != 1 || s.Bindings != 2 || s.Declined != 1 {
		t.Errorf("%+v", s)
	}
}

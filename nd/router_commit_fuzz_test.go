package nd

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// A promise is a sink that checks what nodes are told: who hears that its address is
// registered, has it registered.
type promise struct {
	sink
	r     *Router
	asked uint64 // the last ticket
}

func (s *promise) SendPacket(now time.Time, p ipv6.Packet, ll ipv6.LinkAddr) {
	s.sink.SendPacket(now, p, ll)
	m, err := CheckNeighborAdvertisement(p)
	if err != nil {
		return
	}
	o, _ := m.Options.Find(OptionRegistration)
	a, ok := ParseRegistration(o)
	if !ok || a.Status != StatusSuccess || a.Lifetime == 0 {
		return
	}
	addr := m.Target
	if s.r.isOurs(addr) {
		addr = p.Dst()
	}
	if v, ok := s.r.Record(addr); !ok {
		s.t.Fatalf("%v is told that %v is registered; it is not", p.Dst(), addr)
	} else if v.ROVR != a.ROVR {
		s.t.Fatalf("%v is told that %v is registered for %v; it is for %v", p.Dst(), addr, a.ROVR, v.ROVR)
	}
}

// FuzzCommit: any packets, and any time until they are written and looked for on another link.
func FuzzCommit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &promise{sink: sink{t: t}}
		n := 0
		cfg := RouterConfig{LinkAddr: routerLL, Prefix: mesh, Limits: Limits{Registrations: 6, PerNode: 3, Neighbors: 8, Incomplete: 3, Queue: 2, Held: 4}}
		cfg.Commit = func() uint64 {
			if s.asked++; n < len(data) {
				if n++; data[n-1]&1 != 0 {
					s.r.Committed(s.r.now, s.asked-uint64(data[n-1]>>1&3))
				}
			}
			return s.asked
		}
		cfg.Check = func(now time.Time, a netip.Addr, _ Registration) bool {
			if n++; n > len(data) {
				return false
			}
			if c := data[n-1]; c&4 != 0 && len(s.r.checks) > 0 { // that of another is over
				if first := s.r.checks[0].addr; c&8 != 0 {
					s.r.Checked(now, first)
				} else {
					s.r.Revoke(now, first, StatusDuplicate)
				}
			}
			return data[n-1]&2 != 0
		}
		s.r = NewRouter(cfg, s, new(eventLog))
		script(t, data, s.r, &s.r.cache)
		if s.r.waiting() > maxUncommitted {
			t.Fatalf("%d answers wait", s.r.waiting())
		}
		for i, c := range s.r.checks {
			if e := s.r.lookup(c.addr); e == nil || e.state != stateRegistered || !e.tentative || s.r.checkIndex(c.addr) != i {
				t.Fatalf("%v is being looked for", c.addr)
			}
		}
		for i := range s.r.uncommitted {
			if i > 0 && s.r.uncommitted[i].ticket < s.r.uncommitted[i-1].ticket {
				t.Fatal("out of order")
			}
		}
		s.r.Committed(s.r.now, s.asked)
		s.r.Advance(s.r.now.Add(maxCheckTime))
		s.r.Committed(s.r.now, s.asked)
		if len(s.r.checks) > 0 {
			t.Fatalf("%d checks do not end", len(s.r.checks))
		}
		if len(s.r.uncommitted) > 0 {
			t.Fatalf("%d answers wait for nothing", len(s.r.uncommitted))
		}
	})
}

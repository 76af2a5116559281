package nd

import (
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

// FuzzCommit: any packets, and any time until they are written.
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
		s.r = NewRouter(cfg, s, new(eventLog))
		script(t, data, s.r, &s.r.cache)
		if len(s.r.uncommitted) > maxUncommitted {
			t.Fatalf("%d answers wait", len(s.r.uncommitted))
		}
		for i := range s.r.uncommitted {
			if i > 0 && s.r.uncommitted[i].ticket < s.r.uncommitted[i-1].ticket {
				t.Fatal("out of order")
			}
		}
		s.r.Committed(s.r.now, s.asked)
		if len(s.r.uncommitted) > 0 {
			t.Fatalf("%d answers wait for nothing", len(s.r.uncommitted))
		}
	})
}

package router

import "net/netip"

// A target is what a route says but for its prefix.
type target struct {
	nextHop netip.Addr
	port    int
	metric  uint32
	kind    RouteKind
}

type targetID uint32

// targets keeps each target once, since many routes have the same: a lookup among many
// routes then goes through less memory.
type targets struct {
	list []target
	refs []uint32 // routes to each; 0: its place is free
	free []targetID
	ids  map[target]targetID
}

func (s *targets) get(id targetID) *target { return &s.list[id] }

// take returns the number of t for one more route.
func (s *targets) take(t target) targetID {
	id, ok := s.ids[t]
	if !ok {
		if n := len(s.free); n > 0 {
			id, s.free = s.free[n-1], s.free[:n-1]
			s.list[id] = t
		} else {
			id = targetID(len(s.list))
			s.list, s.refs = append(s.list, t), append(s.refs, 0)
		}
		if s.ids == nil {
			s.ids = make(map[target]targetID)
		}
		s.ids[t] = id
	}
	s.refs[id]++
	return id
}

// release takes one route from the target.
func (s *targets) release(id targetID) {
	if s.refs[id]--; s.refs[id] == 0 {
		delete(s.ids, s.list[id])
		s.list[id] = target{}
		s.free = append(s.free, id)
	}
	if len(s.ids) == 0 {
		*s = targets{}
	}
}

package router

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"border-router/internal/addrtable"
)

// A RouteKind says where a route comes from.
type RouteKind uint8

// The kinds of route.
const (
	RouteConnected   RouteKind = iota + 1 // an on-link prefix of a port
	RouteStatic                           // from the configuration
	RouteDefault                          // the default route of the uplink
	RouteHost                             // one node, told by a protocol
	RouteUnreachable                      // packets are refused with ICMPv6 unreachable
	RouteAdvertised                       // by another router on the link (RFC 4191, redirects)
)

var routeKindText = [...]string{RouteConnected: "connected", RouteStatic: "static", RouteDefault: "default", RouteHost: "host", RouteUnreachable: "unreachable", RouteAdvertised: "advertised"}

// String returns the kind as shown to a person.
func (k RouteKind) String() string {
	if int(k) < len(routeKindText) {
		return routeKindText[k]
	}
	return "unknown"
}

// A Route says where packets to a prefix go.
type Route struct {
	Prefix  netip.Prefix
	Port    int        // index of the port to leave by; meaningless for RouteUnreachable
	NextHop netip.Addr // neighbor on that port; the zero Addr: the destination itself
	Kind    RouteKind
	Metric  uint32 // lower wins where two routes have one prefix; the last added wins a tie
}

type addr16 struct{ hi, lo uint64 }

func addrKey(a [16]byte) addr16 {
	return addr16{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func (a addr16) key() addrtable.Key { return addrtable.Key{Hi: a.hi, Lo: a.lo} }

func (a addr16) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func (a addr16) mask(bits int) addr16 {
	switch {
	case bits <= 0:
		return addr16{}
	case bits < 64:
		return addr16{a.hi &^ (1<<(64-bits) - 1), 0}
	case bits < 128:
		return addr16{a.hi, a.lo &^ (1<<(128-bits) - 1)}
	}
	return a
}

// A FIB is the forwarding table: longest-prefix match with one hash lookup for each
// distinct prefix length, so that the work does not grow with the number of routes. The
// zero value is empty.
type FIB struct {
	lengths []fibLength // longest prefix first
	n       int
	targets targets
}

type fibLength struct {
	bits   int
	routes addrtable.Table[route]
}

// A route is what is kept of a [Route] for each prefix, which is the key.
type route struct {
	target targetID
	v4     bool // the prefix is of IPv4, the key the mapped address
}

// route returns the route of l with key k whole.
func (f *FIB) route(l *fibLength, k addrtable.Key, rt *route) Route {
	a := addr16{k.Hi, k.Lo}.addr()
	if rt.v4 {
		a = a.Unmap()
	}
	t := f.targets.get(rt.target)
	return Route{netip.PrefixFrom(a, l.bits), t.port, t.nextHop, t.kind, t.metric}
}

// length returns the place of the routes with this prefix length.
func (f *FIB) length(bits int) (int, bool) {
	return slices.BinarySearchFunc(f.lengths, bits, func(l fibLength, b int) int { return cmp.Compare(b, l.bits) })
}

// Len returns the number of routes.
func (f *FIB) Len() int { return f.n }

// Add adds or replaces the route of rt.Prefix (masked). A route with a higher metric does
// not replace one with a lower; Add then returns false.
func (f *FIB) Add(rt Route) bool {
	p := rt.Prefix.Masked()
	i, ok := f.length(p.Bits())
	if !ok {
		f.lengths = slices.Insert(f.lengths, i, fibLength{bits: p.Bits()})
	}
	m := &f.lengths[i].routes
	k := addrKey(p.Addr().As16()).key()
	old := m.Find(k)
	if old != nil && f.targets.get(old.target).metric < rt.Metric {
		return false
	}
	if old != nil {
		f.targets.release(old.target)
	} else {
		f.n++
	}
	m.Put(k, route{f.targets.take(target{rt.NextHop, rt.Port, rt.Metric, rt.Kind}), p.Addr().Is4()})
	return true
}

// Remove removes the route of exactly this prefix and reports whether there was one.
func (f *FIB) Remove(p netip.Prefix) bool {
	p = p.Masked()
	i, ok := f.length(p.Bits())
	if !ok {
		return false
	}
	m, k := &f.lengths[i].routes, addrKey(p.Addr().As16()).key()
	rt := m.Find(k)
	if rt == nil {
		return false
	}
	f.targets.release(rt.target)
	m.Delete(k)
	f.n--
	if m.Len() == 0 {
		f.lengths = slices.Delete(f.lengths, i, i+1)
	}
	return true
}

// Exact returns the route of exactly this prefix.
func (f *FIB) Exact(p netip.Prefix) (Route, bool) {
	p = p.Masked()
	if i, ok := f.length(p.Bits()); ok {
		l, k := &f.lengths[i], addrKey(p.Addr().As16()).key()
		if rt := l.routes.Find(k); rt != nil {
			return f.route(l, k, rt), true
		}
	}
	return Route{}, false
}

// Lookup returns the route with the longest prefix that contains dst.
func (f *FIB) Lookup(dst [16]byte) (Route, bool) {
	k := addrKey(dst)
	for i := range f.lengths {
		l := &f.lengths[i]
		m := k.mask(l.bits).key()
		if rt := l.routes.Find(m); rt != nil {
			return f.route(l, m, rt), true
		}
	}
	return Route{}, false
}

// lookup is Lookup on the packet path: nil for no route, else valid until the table changes.
func (f *FIB) lookup(k addr16) *target {
	for i := range f.lengths {
		l := &f.lengths[i]
		if rt := l.routes.Find(k.mask(l.bits).key()); rt != nil {
			return f.targets.get(rt.target)
		}
	}
	return nil
}

// Routes returns a copy of the table, longest prefixes first, then by address.
func (f *FIB) Routes() []Route {
	out := make([]Route, 0, f.n)
	for i := range f.lengths {
		l, from := &f.lengths[i], len(out)
		for k, rt := range l.routes.All() {
			out = append(out, f.route(l, k, rt))
		}
		slices.SortFunc(out[from:], func(a, b Route) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	}
	return out
}

package router

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
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
}

type fibLength struct {
	bits   int
	routes map[addr16]Route
}

// Len returns the number of routes.
func (f *FIB) Len() int { return f.n }

// Add adds or replaces the route of rt.Prefix (masked). A route with a higher metric does
// not replace one with a lower; Add then returns false.
func (f *FIB) Add(rt Route) bool {
	rt.Prefix = rt.Prefix.Masked()
	bits := rt.Prefix.Bits()
	i, ok := slices.BinarySearchFunc(f.lengths, bits, func(l fibLength, b int) int { return cmp.Compare(b, l.bits) })
	if !ok {
		f.lengths = slices.Insert(f.lengths, i, fibLength{bits, make(map[addr16]Route)})
	}
	m := f.lengths[i].routes
	k := addrKey(rt.Prefix.Addr().As16())
	old, exists := m[k]
	if exists && old.Metric < rt.Metric {
		return false
	}
	if !exists {
		f.n++
	}
	m[k] = rt
	return true
}

// Remove removes the route of exactly this prefix and reports whether there was one.
func (f *FIB) Remove(p netip.Prefix) bool {
	p = p.Masked()
	for i := range f.lengths {
		l := &f.lengths[i]
		if l.bits != p.Bits() {
			continue
		}
		k := addrKey(p.Addr().As16())
		if _, ok := l.routes[k]; !ok {
			return false
		}
		delete(l.routes, k)
		f.n--
		if len(l.routes) == 0 {
			f.lengths = slices.Delete(f.lengths, i, i+1)
		}
		return true
	}
	return false
}

// Exact returns the route of exactly this prefix.
func (f *FIB) Exact(p netip.Prefix) (Route, bool) {
	p = p.Masked()
	for i := range f.lengths {
		if f.lengths[i].bits == p.Bits() {
			rt, ok := f.lengths[i].routes[addrKey(p.Addr().As16())]
			return rt, ok
		}
	}
	return Route{}, false
}

// Lookup returns the route with the longest prefix that contains dst.
func (f *FIB) Lookup(dst [16]byte) (Route, bool) { return f.lookup(addrKey(dst)) }

func (f *FIB) lookup(k addr16) (Route, bool) {
	for i := range f.lengths {
		l := &f.lengths[i]
		if rt, ok := l.routes[k.mask(l.bits)]; ok {
			return rt, true
		}
	}
	return Route{}, false
}

// Routes returns a copy of the table, longest prefixes first, then by address.
func (f *FIB) Routes() []Route {
	out := make([]Route, 0, f.n)
	for _, l := range f.lengths {
		from := len(out)
		for _, rt := range l.routes {
			out = append(out, rt)
		}
		slices.SortFunc(out[from:], func(a, b Route) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	}
	return out
}

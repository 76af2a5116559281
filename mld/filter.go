package mld

import (
	"net/netip"
	"slices"
)

// A Mode is a filter mode (RFC 9777 section 3).
type Mode uint8

// The modes. [Include] without sources means: not listening.
const (
	Include Mode = iota // only packets from the listed sources
	Exclude             // packets from all sources but those listed
)

func (m Mode) String() string {
	if m == Exclude {
		return "EXCLUDE"
	}
	return "INCLUDE"
}

// A Filter is a filter mode and its sources, sorted and without duplicates.
type Filter struct {
	Mode    Mode
	Sources []netip.Addr
}

// IsZero reports whether nothing is listened to: INCLUDE mode without sources.
func (f Filter) IsZero() bool { return f.Mode == Include && len(f.Sources) == 0 }

// Equal reports whether f and g let the same packets through.
func (f Filter) Equal(g Filter) bool { return f.Mode == g.Mode && slices.Equal(f.Sources, g.Sources) }

// Wants reports whether a packet from src passes.
func (f Filter) Wants(src netip.Addr) bool {
	_, found := slices.BinarySearchFunc(f.Sources, src, netip.Addr.Compare)
	return found == (f.Mode == Include)
}

// Merge returns the filter that lets a packet through where f or g does (RFC 9777 section
// 4.2, RFC 4605 section 4.1). The result shares no memory with f and g.
func (f Filter) Merge(g Filter) Filter {
	switch {
	case f.Mode == Include && g.Mode == Include:
		return Filter{Include, union(f.Sources, g.Sources)}
	case f.Mode == Exclude && g.Mode == Exclude:
		return Filter{Exclude, intersection(f.Sources, g.Sources)}
	case f.Mode == Include:
		f, g = g, f
	}
	return Filter{Exclude, difference(f.Sources, g.Sources)}
}

// normalize returns a sorted copy of list without duplicates and without what cannot be a
// source.
func normalize(list []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		if a.Is6() && !a.Is4In6() && isSource(a.As16()) {
			out = append(out, a.WithZone(""))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func has(list []netip.Addr, a netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(list, a, netip.Addr.Compare)
	return ok
}

// union, intersection and difference are A+B, A*B and A-B of sorted lists.

func union(a, b []netip.Addr) []netip.Addr {
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func intersection(a, b []netip.Addr) (out []netip.Addr) {
	for _, x := range a {
		if has(b, x) {
			out = append(out, x)
		}
	}
	return out
}

func difference(a, b []netip.Addr) (out []netip.Addr) {
	for _, x := range a {
		if !has(b, x) {
			out = append(out, x)
		}
	}
	return out
}

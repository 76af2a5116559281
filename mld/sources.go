package mld

import "net/netip"

// A SourceList is a list of source addresses as it stands in a message: 16 bytes each, in
// network order. Its length is a multiple of 16 bytes.
type SourceList []byte

// Len returns the number of addresses.
func (l SourceList) Len() int { return len(l) / 16 }

// At returns address i, counted from 0.
func (l SourceList) At(i int) netip.Addr { return netip.AddrFrom16(l.key(i)) }

func (l SourceList) key(i int) [16]byte { return [16]byte(l[16*i : 16*i+16]) }

// contains reports whether k is in the list.
func (l SourceList) contains(k [16]byte) bool {
	for i := range l.Len() {
		if l.key(i) == k {
			return true
		}
	}
	return false
}

// AppendSources appends the addresses to l.
func AppendSources(l SourceList, addrs ...netip.Addr) SourceList {
	for _, a := range addrs {
		k := a.As16()
		l = append(l, k[:]...)
	}
	return l
}

// isSource reports whether k can be the source of a packet to a group: RFC 9777 sections
// 5.1.11 and 5.2.10 speak of unicast addresses.
func isSource(k [16]byte) bool {
	a := netip.AddrFrom16(k)
	return k[0] != 0xff && !a.IsUnspecified() && !a.IsLoopback()
}

package mld

import (
	"net/netip"

	"border-router/ipv6"
)

// A V1Message is a Multicast Listener Report or Done of MLDv1 (RFC 2710 section 3).
type V1Message struct {
	Done  bool // type 132, else 131
	Group netip.Addr
}

// ParseV1 decodes the ICMPv6 message b, of type 131 or 132. Code, Maximum Response Delay and
// what follows the Multicast Address are ignored (RFC 2710 section 3). The error is a
// [Drop]: [DropTruncated], [DropType], [DropGroup] where it is about no group.
func ParseV1(b []byte) (V1Message, error) {
	if len(b) < fixedV1 {
		return V1Message{}, DropTruncated
	}
	if b[0] != ipv6.ICMPMLDReport && b[0] != ipv6.ICMPMLDDone {
		return V1Message{}, DropType
	}
	m := V1Message{b[0] == ipv6.ICMPMLDDone, netip.AddrFrom16([16]byte(b[8:24]))}
	if !m.Group.IsMulticast() {
		return V1Message{}, DropGroup
	}
	return m, nil
}

// AppendBinary appends the ICMPv6 message, with a checksum of zero, to b. The error is
// [DropGroup] where Group is no group.
func (m V1Message) AppendBinary(b []byte) ([]byte, error) {
	if !m.Group.IsMulticast() || !m.Group.Is6() {
		return b, DropGroup
	}
	typ := uint8(ipv6.ICMPMLDReport)
	if m.Done {
		typ = ipv6.ICMPMLDDone
	}
	b = append(b, typ, 0, 0, 0, 0, 0, 0, 0)
	g := m.Group.As16()
	return append(b, g[:]...), nil
}

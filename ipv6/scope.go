package ipv6

import (
	"encoding/binary"
	"net/netip"
)

// A Scope is the part of the network in which an address is unambiguous (RFC 4007). Its
// values are those of the scop field of a multicast address (RFC 7346).
type Scope uint8

// The scopes of RFC 4291 section 2.7 and RFC 7346.
const (
	ScopeReserved  Scope = 0x0
	ScopeInterface Scope = 0x1 // interface-local, loopback
	ScopeLink      Scope = 0x2
	ScopeRealm     Scope = 0x3 // realm-local: the whole mesh
	ScopeAdmin     Scope = 0x4
	ScopeSite      Scope = 0x5
	ScopeOrg       Scope = 0x8
	ScopeGlobal    Scope = 0xe
)

// ScopeOf returns the scope of an address. Unique local addresses have global scope (RFC
// 4193 section 3.3), the loopback address is of interface scope here.
func ScopeOf(a netip.Addr) Scope {
	b := a.As16()
	switch {
	case b[0] == 0xff:
		return Scope(b[1] & 0xf)
	case b[0] == 0xfe && b[1]&0xc0 == 0x80:
		return ScopeLink
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0: // site-local, deprecated by RFC 3879
		return ScopeSite
	case a.IsLoopback():
		return ScopeInterface
	}
	return ScopeGlobal
}

// IsULA reports whether a is a unique local address, fc00::/7 (RFC 4193).
func IsULA(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[0]&0xfe == 0xfc
}

// IsMartianSource reports whether a must never be the source of a packet on a wire: a
// multicast address, loopback, an IPv4-mapped or IPv4-compatible address (RFC 4291, RFC
// 6890). The unspecified address is no martian: duplicate address detection sends from it.
func IsMartianSource(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0xff || !a.IsUnspecified() && isMartian(b)
}

// IsMartianDestination reports whether a must never be the destination of a packet on a
// wire: the unspecified address, loopback, an IPv4-mapped or IPv4-compatible address, a
// multicast address of reserved or interface-local scope (RFC 4291 section 2.7).
func IsMartianDestination(a netip.Addr) bool {
	b := a.As16()
	if b[0] == 0xff {
		return b[1]&0xf <= 1
	}
	return isMartian(b)
}

// isMartian reports whether b lies in ::/96 or ::ffff:0:0/96.
func isMartian(b [16]byte) bool {
	if binary.BigEndian.Uint64(b[:]) != 0 {
		return false
	}
	v := binary.BigEndian.Uint32(b[8:])
	return v == 0 || v == 0xffff
}

// IsGroup reports whether a stands for more than one station: the IEEE 802.15.4 broadcast
// address and the multicast addresses of RFC 4944 section 9 (100x xxxx...), or an EUI-48
// with the group bit.
func (a LinkAddr) IsGroup() bool {
	switch a.n {
	case 2:
		return a.v == 0xffff || a.v>>13 == 4
	case 6:
		return a.v>>40&1 == 1
	}
	return false
}

// Well-known groups.
var (
	AllNodes        = netip.MustParseAddr("ff02::1")        // RFC 4291 section 2.7.1
	AllRouters      = netip.MustParseAddr("ff02::2")        // RFC 4291 section 2.7.1
	AllMLDv2Routers = netip.MustParseAddr("ff02::16")       // RFC 9777
	AllRPLNodes     = netip.MustParseAddr("ff02::1a")       // RFC 6550 section 20.19
	AllDHCPServers  = netip.MustParseAddr("ff02::1:2")      // RFC 8415 section 7.1
	solicitedNode   = netip.MustParseAddr("ff02::1:ff00:0") // RFC 4291 section 2.7.1
	AllRealmNodes   = netip.MustParseAddr("ff03::1")        // RFC 7346, RFC 7731
)

// SolicitedNode returns the solicited-node group of a (RFC 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b, s := a.As16(), solicitedNode.As16()
	copy(s[13:], b[13:])
	return netip.AddrFrom16(s)
}

// GroupEUI48 returns the Ethernet address of the group a (RFC 2464 section 7).
func GroupEUI48(a netip.Addr) LinkAddr {
	b := a.As16()
	return EUI48([6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]})
}

package nd

import (
	"encoding/binary"
	"net/netip"

	"border-router/ipv6"
)

// ICMPv6 types of the messages of this package.
const (
	typeMLDQuery              = 130 // RFC 2710
	typeMLDReport             = 131 // RFC 2710
	typeRouterSolicitation    = 133 // RFC 4861 section 4.1
	typeRouterAdvertisement   = 134 // RFC 4861 section 4.2
	typeNeighborSolicitation  = 135 // RFC 4861 section 4.3
	typeNeighborAdvertisement = 136 // RFC 4861 section 4.4
	typeRedirect              = 137 // RFC 4861 section 4.5
	typeDAR                   = 157 // RFC 6775 section 4.4
	typeDAC                   = 158 // RFC 6775 section 4.4
)

const hopLimit = 255 // of every message of RFC 4861

var (
	unspecified = netip.IPv6Unspecified()
	allNodes    = netip.MustParseAddr("ff02::1")
	allRouters  = netip.MustParseAddr("ff02::2")
)

// SolicitedNode returns the solicited-node multicast address of a, ff02::1:ffXX:XXXX (RFC
// 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// begin appends room for the IPv6 header to b; finish fills it.
func begin(b []byte) []byte { return append(b, make([]byte, ipv6.HeaderLen)...) }

// finish completes the packet in b: fixed header, and the checksum of the ICMPv6 message
// after it.
func finish(b []byte, src, dst netip.Addr, hops uint8) ipv6.Packet {
	ipv6.AppendHeader(b[:0], 0, 0, len(b)-ipv6.HeaderLen, ipv6.ProtoICMPv6, hops, src, dst)
	m := b[ipv6.HeaderLen:]
	m[2], m[3] = 0, 0
	binary.BigEndian.PutUint16(m[2:], ipv6.Checksum(src.As16(), dst.As16(), ipv6.ProtoICMPv6, m))
	return ipv6.Packet(b)
}

// icmp returns the ICMPv6 message in p, which aliases p; nil where there is none. Extension
// headers before it are passed over, but a fragment is no ND message (RFC 6980 section 5).
func icmp(p ipv6.Packet) []byte {
	next, off := p.NextHeader(), ipv6.HeaderLen
	for range 8 {
		switch next {
		case ipv6.ProtoICMPv6:
			return p[off:]
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts:
			if len(p) < off+8 || len(p) < off+8*(1+int(p[off+1])) {
				return nil
			}
			next, off = p[off], off+8*(1+int(p[off+1]))
		default:
			return nil
		}
	}
	return nil
}

// parse checks the type, the code and the length of the fixed part of message b, and the
// options after it.
func parse(b []byte, typ uint8, fixed int) (Options, error) {
	if len(b) < fixed {
		return nil, DropTruncated
	}
	if b[0] != typ {
		return nil, DropType
	}
	if b[1] != 0 {
		return nil, DropCode
	}
	return ParseOptions(b[fixed:])
}

// isUnicast reports whether a can be the address of one node.
func isUnicast(a netip.Addr) bool {
	return a.Is6() && !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback()
}

func iid(a netip.Addr) uint64 {
	b := a.As16()
	return binary.BigEndian.Uint64(b[8:])
}

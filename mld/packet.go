package mld

import (
	"encoding/binary"
	"net/netip"

	"border-router/ipv6"
)

const (
	hopLimit  = 1                       // RFC 9777 section 5
	hbhLen    = 8                       // hop-by-hop options header with Router Alert
	overhead  = ipv6.HeaderLen + hbhLen // before the ICMPv6 message
	fixedV1   = 24                      // MLDv1 message, RFC 2710 section 3
	fixedV2   = 28                      // MLDv2 query without sources
	reportHdr = 8                       // MLDv2 report without records
	recordHdr = 20                      // record without sources
	sourceLen = 16                      // an address
)

var unspecified = netip.IPv6Unspecified()

// Check checks what all MLD messages have in common (RFC 9777 sections 6.2, 7.4 and 7.6)
// and returns the ICMPv6 message in p, which it aliases: hop limit 1, a link-local source
// or, for a report or Done, the unspecified one, a Router Alert option, an ICMPv6 type of
// MLD. The checksum is left to [ipv6.CheckTransport]. The error is a [Drop]:
// [DropTruncated] where there is no whole message, [DropType], [DropHopLimit],
// [DropSource]; [DropRouterAlert] is the last of the checks and comes with the message,
// for those who want to be lenient.
func Check(p ipv6.Packet) ([]byte, error) {
	proto, off, err := ipv6.UpperLayer(p)
	if err != nil || len(p)-off < 4 {
		return nil, DropTruncated
	}
	if proto != ipv6.ProtoICMPv6 {
		return nil, DropType
	}
	b := p[off:]
	switch b[0] {
	case ipv6.ICMPMLDQuery, ipv6.ICMPMLDReport, ipv6.ICMPMLDDone, ipv6.ICMPMLDv2Report:
	default:
		return nil, DropType
	}
	if p.HopLimit() != hopLimit {
		return nil, DropHopLimit
	}
	src := p.Src()
	if !src.IsLinkLocalUnicast() && (b[0] == ipv6.ICMPMLDQuery || !src.IsUnspecified()) {
		return nil, DropSource
	}
	if !routerAlert(p) {
		return b, DropRouterAlert
	}
	return b, nil
}

// routerAlert reports whether p, whose extension headers have been checked, carries a
// Router Alert option (RFC 2711), whatever its value.
func routerAlert(p ipv6.Packet) bool {
	if p.NextHeader() != ipv6.ProtoHopByHop || len(p) < overhead {
		return false
	}
	end := ipv6.HeaderLen + 8*(1+int(p[ipv6.HeaderLen+1]))
	if end > len(p) {
		return false
	}
	for o := p[ipv6.HeaderLen+2 : end]; len(o) > 0; {
		switch {
		case o[0] == ipv6.OptPad1:
			o = o[1:]
		case len(o) < 2 || len(o) < 2+int(o[1]):
			return false
		case o[0] == ipv6.OptRouterAlert:
			return true
		default:
			o = o[2+int(o[1]):]
		}
	}
	return false
}

// begin appends the headers that stand before an MLD message, with room for the IPv6
// header that finish fills in.
func begin(b []byte) []byte {
	b = append(b, make([]byte, ipv6.HeaderLen)...)
	return append(b, ipv6.ProtoICMPv6, 0, ipv6.OptRouterAlert, 2, 0, 0, ipv6.OptPadN, 0)
}

// finish completes the packet in b, that begin began: the IPv6 header and the checksum.
func finish(b []byte, src, dst netip.Addr) ipv6.Packet {
	ipv6.AppendHeader(b[:0], 0, 0, len(b)-ipv6.HeaderLen, ipv6.ProtoHopByHop, hopLimit, src, dst)
	p := ipv6.Packet(b)
	p.SetICMPChecksum(overhead)
	return p
}

// AppendPacket appends the packet that carries an ICMPv6 message of MLD from src to dst to
// b: hop limit 1, a Router Alert option, and the checksum. b must be empty but may have
// capacity; msg may not alias it.
func AppendPacket(b, msg []byte, src, dst netip.Addr) ipv6.Packet {
	return finish(append(begin(b[:0]), msg...), src, dst)
}

// isGroup reports whether MLD is spoken about a: a group of scope 2 or more other than the
// link-scope all-nodes group (RFC 9777 section 6).
func isGroup(k [16]byte) bool {
	return k[0] == 0xff && k[1]&0xf >= 2 && k != allNodes
}

var allNodes = ipv6.AllNodes.As16()

// IsSSM reports whether a is in the range of source-specific multicast, ff3x::/32 (RFC 4607
// section 1).
func IsSSM(a netip.Addr) bool { return isSSM(a.As16()) }

func isSSM(k [16]byte) bool {
	return k[0] == 0xff && k[1]>>4 == 3 && binary.BigEndian.Uint16(k[2:]) == 0
}

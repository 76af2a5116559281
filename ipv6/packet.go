package ipv6

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// HeaderLen is the length in bytes of the IPv6 header (RFC 8200 section 3).
const HeaderLen = 40

// MinMTU is the smallest MTU of a link that carries IPv6 (RFC 8200 section 5), in bytes.
// It is the MTU of an IEEE 802.15.4 link (RFC 4944 section 4).
const MinMTU = 1280

// MaxPacket is the largest packet that passes anywhere in the router, in bytes.
const MaxPacket = 2047

// Next Header values (IANA "Assigned Internet Protocol Numbers").
const (
	ProtoHopByHop = 0
	ProtoTCP      = 6
	ProtoIPv6     = 41
	ProtoUDP      = 17
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNone     = 59
	ProtoDstOpts  = 60
	ProtoMobility = 135
)

// A Packet is an IPv6 packet (RFC 8200) whose version and length field have been checked
// by [Parse]; after that no accessor can panic. It aliases the buffer it was made from.
type Packet []byte

// Parse checks the fixed header of the packet at the start of b and returns the packet,
// which aliases b and is cut to the length that its header states. The error is a [Drop]:
// [DropTruncated] when b is shorter than that, [DropVersion] when it is not IPv6.
func Parse(b []byte) (Packet, error) {
	if len(b) < HeaderLen {
		return nil, DropTruncated
	}
	if b[0]>>4 != 6 {
		return nil, DropVersion
	}
	n := HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < n {
		return nil, DropTruncated
	}
	return Packet(b[:n:n]), nil
}

// TrafficClass returns the traffic class: DSCP in the upper six bits, ECN in the lower two.
func (p Packet) TrafficClass() uint8 { return p[0]<<4 | p[1]>>4 }

// FlowLabel returns the flow label, 20 bits.
func (p Packet) FlowLabel() uint32 { return binary.BigEndian.Uint32(p) & 0xfffff }

// PayloadLen returns the length in bytes of what follows the fixed header.
func (p Packet) PayloadLen() int { return len(p) - HeaderLen }

// NextHeader returns the type of the header that follows the fixed one.
func (p Packet) NextHeader() uint8 { return p[6] }

// HopLimit returns the hop limit.
func (p Packet) HopLimit() uint8 { return p[7] }

// SetHopLimit changes the hop limit in place.
func (p Packet) SetHopLimit(h uint8) { p[7] = h }

// Src returns the source address.
func (p Packet) Src() netip.Addr { return netip.AddrFrom16([16]byte(p[8:24])) }

// Dst returns the destination address.
func (p Packet) Dst() netip.Addr { return netip.AddrFrom16([16]byte(p[24:40])) }

// Src16 returns the source address as bytes in network order.
func (p Packet) Src16() [16]byte { return [16]byte(p[8:24]) }

// Dst16 returns the destination address as bytes in network order.
func (p Packet) Dst16() [16]byte { return [16]byte(p[24:40]) }

// Payload returns what follows the fixed header. It aliases p.
func (p Packet) Payload() []byte { return p[HeaderLen:] }

// IsMulticast reports whether the destination is a multicast address (ff00::/8).
func (p Packet) IsMulticast() bool { return p[24] == 0xff }

// AppendHeader appends a fixed header (RFC 8200 section 3) to b. payloadLen is in bytes.
func AppendHeader(b []byte, tc uint8, flow uint32, payloadLen int, next, hopLimit uint8, src, dst netip.Addr) []byte {
	b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(tc)<<20|flow&0xfffff)
	b = binary.BigEndian.AppendUint16(b, uint16(payloadLen))
	b = append(b, next, hopLimit)
	s, d := src.As16(), dst.As16()
	b = append(b, s[:]...)
	return append(b, d[:]...)
}

// Meta says how a packet reached us.
type Meta struct {
	Port    int      // index of the router's port
	LinkSrc LinkAddr // link-layer source; zero on a port without link addresses
	LinkDst LinkAddr // link-layer destination: [BroadcastShort] for a link broadcast
	RSSI    int8     // dBm of the (last) frame, [RSSIUnknown] where the radio does not tell
	LQI     uint8    // link quality of the (last) frame, 0 to 255
}

// RSSIUnknown stands in [Meta] where no signal strength is known.
const RSSIUnknown int8 = 127

// A Sender takes a packet that a protocol machine has built and sends it on the link the
// machine works for. dst is the link-layer destination; the zero LinkAddr stands for the
// group address of a multicast destination. The sender does not keep p.
type Sender interface {
	SendPacket(now time.Time, p Packet, dst LinkAddr)
}

// LinkLocal returns the link-local address (fe80::/64) formed from a link-layer address.
func LinkLocal(a LinkAddr) netip.Addr { return WithIID(linkLocalPrefix, a.IID()) }

var linkLocalPrefix = netip.MustParsePrefix("fe80::/64")

// WithIID returns the address made of the first 64 bits of prefix and the interface
// identifier iid.
func WithIID(prefix netip.Prefix, iid uint64) netip.Addr {
	b := prefix.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], iid)
	return netip.AddrFrom16(b)
}

package ipv6

import (
	"encoding/binary"
	"net/netip"
)

// UDPHeaderLen is the length in bytes of the UDP header (RFC 768).
const UDPHeaderLen = 8

// AppendUDP appends an IPv6 packet with one UDP datagram to b. Zones of the addresses are
// left out. payload may be up to 65527 bytes and may not alias the spare capacity of b.
func AppendUDP(b []byte, src, dst netip.AddrPort, hopLimit uint8, payload []byte) []byte {
	start := len(b)
	n := UDPHeaderLen + len(payload)
	b = AppendHeader(b, 0, 0, n, ProtoUDP, hopLimit, src.Addr(), dst.Addr())
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, 0)
	b = append(b, payload...)
	Packet(b[start:]).SetUDPChecksum(HeaderLen)
	return b
}

// SetUDPChecksum stores the checksum of the UDP datagram that begins at off in p and goes
// to its end; one that comes out as zero is stored as ffff (RFC 8200 section 8.1). A
// datagram of less than 8 bytes is left alone.
func (p Packet) SetUDPChecksum(off int) {
	d := p[off:]
	if len(d) < UDPHeaderLen {
		return
	}
	d[6], d[7] = 0, 0
	sum := Checksum(p.Src16(), p.Dst16(), ProtoUDP, d)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(d[6:], sum)
}

// UDP returns ports and payload of the whole UDP datagram in p, which [CheckTransport]
// has passed. The payload aliases p. ok is false where p holds none.
func UDP(p Packet) (src, dst netip.AddrPort, payload []byte, ok bool) {
	proto, off, err := UpperLayer(p)
	if err != nil || proto != ProtoUDP || len(p)-off < UDPHeaderLen {
		return
	}
	b := p[off:]
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < UDPHeaderLen || n > len(b) {
		return
	}
	src = netip.AddrPortFrom(p.Src(), binary.BigEndian.Uint16(b))
	dst = netip.AddrPortFrom(p.Dst(), binary.BigEndian.Uint16(b[2:]))
	return src, dst, b[UDPHeaderLen:n:n], true
}

package ipv6

import "encoding/binary"

// CheckTransport verifies length and checksum of the ICMPv6, UDP or TCP packet in p (RFC
// 8200 section 8.1). Packets of other protocols and fragments, whose checksum covers what
// is not there, pass. The error is a [Drop]: one of [UpperLayer], [DropICMP] or
// [DropTruncated] for a header cut short, [DropChecksum]. A UDP packet without a checksum
// is [DropChecksum].
func CheckTransport(p Packet) error {
	proto, off, err := UpperLayer(p)
	if err != nil {
		return err
	}
	b := p[off:]
	switch proto {
	case ProtoICMPv6:
		if len(b) < 4 {
			return DropICMP
		}
		if typ := b[0]; len(b) < ICMPHeaderLen && (typ < 128 || typ == ICMPEchoRequest || typ == ICMPEchoReply) {
			return DropICMP
		}
	case ProtoUDP:
		if len(b) < UDPHeaderLen {
			return DropTruncated
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n < UDPHeaderLen || n > len(b) {
			return DropTruncated
		}
		if b[6]|b[7] == 0 {
			return DropChecksum
		}
		b = b[:n]
	case ProtoTCP:
		if len(b) < 20 {
			return DropTruncated
		}
	default:
		return nil
	}
	if Checksum(p.Src16(), p.Dst16(), proto, b) != 0 {
		return DropChecksum
	}
	return nil
}

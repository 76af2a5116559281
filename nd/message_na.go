package nd

import (
	"net/netip"

	"border-router/ipv6"
)

// A NeighborAdvertisement is an ICMPv6 message of type 136 (RFC 4861 section 4.4).
type NeighborAdvertisement struct {
	Router    bool // R
	Solicited bool // S
	Override  bool // O
	Target    netip.Addr
	Options   Options // alias the message
}

// ParseNeighborAdvertisement decodes the ICMPv6 message in b. The error is a [Drop].
func ParseNeighborAdvertisement(b []byte) (m NeighborAdvertisement, err error) {
	if m.Options, err = parse(b, typeNeighborAdvertisement, 24); err != nil {
		return m, err
	}
	m.Router, m.Solicited, m.Override = b[4]&0x80 != 0, b[4]&0x40 != 0, b[4]&0x20 != 0
	m.Target = netip.AddrFrom16([16]byte(b[8:24]))
	return m, nil
}

// AppendBinary appends the message with a checksum of 0 to b. The error is always nil.
func (m NeighborAdvertisement) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, typeNeighborAdvertisement, 0, 0, 0, flag(m.Router, 0x80)|flag(m.Solicited, 0x40)|flag(m.Override, 0x20), 0, 0, 0)
	t := m.Target.As16()
	return append(append(b, t[:]...), m.Options...), nil
}

// CheckNeighborAdvertisement does what RFC 4861 section 7.1.2 asks of a receiver and
// returns the message in p. The checksum has been verified before.
func CheckNeighborAdvertisement(p ipv6.Packet) (m NeighborAdvertisement, err error) {
	if p.HopLimit() != hopLimit {
		return m, DropHopLimit
	}
	if m, err = ParseNeighborAdvertisement(icmp(p)); err != nil {
		return m, err
	}
	if !isUnicast(m.Target) {
		return m, DropTarget
	}
	if p.IsMulticast() && m.Solicited {
		return m, DropDestination
	}
	if !isUnicast(p.Src()) {
		return m, DropSource
	}
	return m, nil
}

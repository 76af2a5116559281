package nd

import (
	"net/netip"

	"border-router/ipv6"
)

// A NeighborSolicitation is an ICMPv6 message of type 135 (RFC 4861 section 4.3).
type NeighborSolicitation struct {
	Target  netip.Addr
	Options Options // alias the message
}

// ParseNeighborSolicitation decodes the ICMPv6 message in b. The error is a [Drop].
func ParseNeighborSolicitation(b []byte) (m NeighborSolicitation, err error) {
	if m.Options, err = parse(b, typeNeighborSolicitation, 24); err != nil {
		return m, err
	}
	m.Target = netip.AddrFrom16([16]byte(b[8:24]))
	return m, nil
}

// AppendBinary appends the message with a checksum of 0 to b. The error is always nil.
func (m NeighborSolicitation) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, typeNeighborSolicitation, 0, 0, 0, 0, 0, 0, 0)
	t := m.Target.As16()
	return append(append(b, t[:]...), m.Options...), nil
}

// CheckNeighborSolicitation does what RFC 4861 section 7.1.1 asks of a receiver and returns
// the message in p. The checksum has been verified before.
func CheckNeighborSolicitation(p ipv6.Packet) (m NeighborSolicitation, err error) {
	if p.HopLimit() != hopLimit {
		return m, DropHopLimit
	}
	if m, err = ParseNeighborSolicitation(icmp(p)); err != nil {
		return m, err
	}
	src, dst := p.Src(), p.Dst()
	if !isUnicast(m.Target) {
		return m, DropTarget
	}
	if src.IsMulticast() {
		return m, DropSource
	}
	if src.IsUnspecified() {
		if dst != SolicitedNode(m.Target) {
			return m, DropDestination
		}
		if _, ok := m.Options.Find(OptionSourceLinkAddr); ok {
			return m, DropSourceOption
		}
	}
	return m, nil
}

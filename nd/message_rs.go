package nd

import "border-router/ipv6"

// A RouterSolicitation is an ICMPv6 message of type 133 (RFC 4861 section 4.1).
type RouterSolicitation struct {
	Options Options // alias the message
}

// ParseRouterSolicitation decodes the ICMPv6 message in b. The error is a [Drop].
func ParseRouterSolicitation(b []byte) (m RouterSolicitation, err error) {
	m.Options, err = parse(b, typeRouterSolicitation, 8)
	return m, err
}

// AppendBinary appends the message with a checksum of 0 to b. The error is always nil.
func (m RouterSolicitation) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, typeRouterSolicitation, 0, 0, 0, 0, 0, 0, 0)
	return append(b, m.Options...), nil
}

// CheckRouterSolicitation does what RFC 4861 section 6.1.1 asks of a receiver and returns
// the message in p. The checksum has been verified before.
func CheckRouterSolicitation(p ipv6.Packet) (m RouterSolicitation, err error) {
	if p.HopLimit() != hopLimit {
		return m, DropHopLimit
	}
	if m, err = ParseRouterSolicitation(icmp(p)); err != nil {
		return m, err
	}
	src := p.Src()
	if src.IsMulticast() {
		return m, DropSource
	}
	if _, ok := m.Options.Find(OptionSourceLinkAddr); ok && src.IsUnspecified() {
		return m, DropSourceOption
	}
	return m, nil
}

package nd

import (
	"net/netip"

	"border-router/ipv6"
)

// A Redirect is an ICMPv6 message of type 137 (RFC 4861 section 4.5).
type Redirect struct {
	Target      netip.Addr
	Destination netip.Addr
	Options     Options // alias the message
}

// ParseRedirect decodes the ICMPv6 message in b. The error is a [Drop].
func ParseRedirect(b []byte) (m Redirect, err error) {
	if m.Options, err = parse(b, typeRedirect, 40); err != nil {
		return m, err
	}
	m.Target = netip.AddrFrom16([16]byte(b[8:24]))
	m.Destination = netip.AddrFrom16([16]byte(b[24:40]))
	return m, nil
}

// AppendBinary appends the message with a checksum of 0 to b. The error is always nil.
func (m Redirect) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, typeRedirect, 0, 0, 0, 0, 0, 0, 0)
	t, d := m.Target.As16(), m.Destination.As16()
	return append(append(append(b, t[:]...), d[:]...), m.Options...), nil
}

// CheckRedirect does what RFC 4861 section 8.1 asks of a receiver, as far as it needs no
// routing table, and returns the message in p.
func CheckRedirect(p ipv6.Packet) (m Redirect, err error) {
	if p.HopLimit() != hopLimit {
		return m, DropHopLimit
	}
	if m, err = ParseRedirect(icmp(p)); err != nil {
		return m, err
	}
	if !p.Src().IsLinkLocalUnicast() {
		return m, DropSource
	}
	if m.Destination.IsMulticast() || !isUnicast(m.Target) {
		return m, DropTarget
	}
	return m, nil
}

package nd

import (
	"encoding/binary"

	"border-router/ipv6"
)

// A RouterAdvertisement is an ICMPv6 message of type 134 (RFC 4861 section 4.2).
type RouterAdvertisement struct {
	CurHopLimit    uint8      // 0: unspecified
	Managed        bool       // M
	Other          bool       // O
	HomeAgent      bool       // H (RFC 6275)
	Preference     Preference // RFC 4191 section 2.2
	Proxy          bool       // P (RFC 4389)
	Reserved       uint8      // the last two flag bits
	RouterLifetime uint16     // seconds; 0: not a default router
	ReachableTime  uint32     // milliseconds; 0: unspecified
	RetransTimer   uint32     // milliseconds; 0: unspecified
	Options        Options    // alias the message
}

// ParseRouterAdvertisement decodes the ICMPv6 message in b. The error is a [Drop].
func ParseRouterAdvertisement(b []byte) (m RouterAdvertisement, err error) {
	if m.Options, err = parse(b, typeRouterAdvertisement, 16); err != nil {
		return m, err
	}
	f := b[5]
	m.CurHopLimit = b[4]
	m.Managed, m.Other, m.HomeAgent, m.Proxy = f&0x80 != 0, f&0x40 != 0, f&0x20 != 0, f&4 != 0
	m.Preference, m.Reserved = Preference(f>>3&3), f&3
	m.RouterLifetime = binary.BigEndian.Uint16(b[6:])
	m.ReachableTime = binary.BigEndian.Uint32(b[8:])
	m.RetransTimer = binary.BigEndian.Uint32(b[12:])
	return m, nil
}

// AppendBinary appends the message with a checksum of 0 to b. The error is always nil.
func (m RouterAdvertisement) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, typeRouterAdvertisement, 0, 0, 0, m.CurHopLimit, flag(m.Managed, 0x80)|flag(m.Other, 0x40)|
		flag(m.HomeAgent, 0x20)|uint8(m.Preference&3)<<3|flag(m.Proxy, 4)|m.Reserved&3)
	b = binary.BigEndian.AppendUint16(b, m.RouterLifetime)
	b = binary.BigEndian.AppendUint32(b, m.ReachableTime)
	b = binary.BigEndian.AppendUint32(b, m.RetransTimer)
	return append(b, m.Options...), nil
}

// CheckRouterAdvertisement does what RFC 4861 section 6.1.2 asks of a receiver and returns
// the message in p. The checksum has been verified before.
func CheckRouterAdvertisement(p ipv6.Packet) (m RouterAdvertisement, err error) {
	if p.HopLimit() != hopLimit {
		return m, DropHopLimit
	}
	if m, err = ParseRouterAdvertisement(icmp(p)); err != nil {
		return m, err
	}
	if !p.Src().IsLinkLocalUnicast() {
		return m, DropSource
	}
	return m, nil
}

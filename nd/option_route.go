package nd

import (
	"encoding/binary"
	"net/netip"
)

// A Preference is that of a default router or a route (RFC 4191 section 2.1), two bits.
type Preference uint8

// The values of a [Preference].
const (
	PreferenceMedium   Preference = 0
	PreferenceHigh     Preference = 1
	PreferenceReserved Preference = 2 // taken as medium for a router, as no option for a route
	PreferenceLow      Preference = 3
)

// A RouteInfo is a Route Information option, RIO (RFC 4191 section 2.3).
type RouteInfo struct {
	Prefix     netip.Prefix
	Preference Preference
	Lifetime   uint32 // seconds, [Infinity] for ever
}

// ParseRouteInfo decodes a RIO. It reports false for an option to be ignored: a prefix that
// is longer than 128 bits or than the option, or the reserved preference.
func ParseRouteInfo(o Option) (r RouteInfo, ok bool) {
	d := o.Data
	if o.Type != OptionRoute || len(d) != 6 && len(d) != 14 && len(d) != 22 {
		return r, false
	}
	if d[0] > 128 || int(d[0]) > (len(d)-6)*8 || d[1]>>3&3 == uint8(PreferenceReserved) {
		return r, false
	}
	var a [16]byte
	copy(a[:], d[6:])
	return RouteInfo{
		Prefix:     netip.PrefixFrom(netip.AddrFrom16(a), int(d[0])),
		Preference: Preference(d[1] >> 3 & 3),
		Lifetime:   binary.BigEndian.Uint32(d[2:]),
	}, true
}

// AppendBinary appends the option, 8, 16 or 24 bytes, to b. [DropOptions] comes back for an
// invalid prefix.
func (r RouteInfo) AppendBinary(b []byte) ([]byte, error) {
	if !r.Prefix.IsValid() || !r.Prefix.Addr().Is6() {
		return b, DropOptions
	}
	n := (r.Prefix.Bits() + 63) / 64
	b = append(b, OptionRoute, uint8(1+n), uint8(r.Prefix.Bits()), uint8(r.Preference&3)<<3)
	b = binary.BigEndian.AppendUint32(b, r.Lifetime)
	a := r.Prefix.Addr().As16()
	return append(b, a[:8*n]...), nil
}

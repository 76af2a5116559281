package mld

import (
	"encoding/binary"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A Query is a Multicast Listener Query of either version (RFC 2710 section 3, RFC 9777
// section 5.1).
type Query struct {
	Version     uint8         // 1 or 2
	MaxResponse time.Duration // Maximum Response Delay, unit 1 ms
	Group       netip.Addr    // Multicast Address; "::" in a General Query
	Suppress    bool          // S flag: Suppress Router-Side Processing
	QRV         uint8         // Querier's Robustness Variable, 0 to 7; 0: more than 7, or not told
	QQI         time.Duration // Querier's Query Interval, unit 1 s; 0: not told
	Sources     SourceList    // of a Multicast Address and Source Specific Query
}

// General reports whether q asks about all groups.
func (q Query) General() bool { return q.Group.IsUnspecified() }

// ParseQuery decodes the ICMPv6 message b, of type 130. Its length tells the version (RFC
// 9777 section 8.1). Code, reserved bits and what follows the last source are ignored
// (section 5.1). Sources aliases b. The error is a [Drop]: [DropTruncated], [DropType],
// [DropLength], or [DropGroup] where the Multicast Address is neither a group nor "::", or
// is "::" and has sources.
func ParseQuery(b []byte) (Query, error) {
	if len(b) < fixedV1 {
		return Query{}, DropTruncated
	}
	if b[0] != ipv6.ICMPMLDQuery {
		return Query{}, DropType
	}
	if len(b) > fixedV1 && len(b) < fixedV2 {
		return Query{}, DropLength
	}
	q := Query{Version: 1, Group: netip.AddrFrom16([16]byte(b[8:24]))}
	if !q.Group.IsMulticast() && !q.Group.IsUnspecified() {
		return Query{}, DropGroup
	}
	code := binary.BigEndian.Uint16(b[4:])
	if len(b) == fixedV1 {
		q.MaxResponse = time.Duration(code) * time.Millisecond
		return q, nil
	}
	q.Version = 2
	q.MaxResponse = ResponseDelay(code)
	q.Suppress = b[24]&8 != 0
	q.QRV = b[24] & 7
	q.QQI = QueryInterval(b[25])
	n := int(binary.BigEndian.Uint16(b[26:]))
	if len(b)-fixedV2 < n*sourceLen {
		return Query{}, DropTruncated
	}
	if n > 0 {
		if q.General() {
			return Query{}, DropGroup
		}
		q.Sources = SourceList(b[fixedV2 : fixedV2+n*sourceLen])
	}
	return q, nil
}

// AppendBinary appends the ICMPv6 message, with a checksum of zero, to b. Times that the
// codes cannot express become the next lower ones; the Maximum Response Delay of version 1
// is linear and at most 65535 ms. The error is a [Drop]: [DropLength] for a version other
// than 1 and 2, for sources in version 1 or more than 65535 of them, [DropGroup] as in
// [ParseQuery].
func (q Query) AppendBinary(b []byte) ([]byte, error) {
	n := q.Sources.Len()
	switch {
	case q.Version != 1 && q.Version != 2, q.Version == 1 && n > 0, n > 65535:
		return b, DropLength
	case !q.Group.IsMulticast() && !q.Group.IsUnspecified(), n > 0 && q.General():
		return b, DropGroup
	}
	b = append(b, ipv6.ICMPMLDQuery, 0, 0, 0)
	if q.Version == 1 {
		b = binary.BigEndian.AppendUint16(b, uint16(max(0, min(q.MaxResponse/time.Millisecond, 65535))))
	} else {
		b = binary.BigEndian.AppendUint16(b, ResponseCode(q.MaxResponse))
	}
	b = append(b, 0, 0)
	g := q.Group.As16()
	b = append(b, g[:]...)
	if q.Version == 1 {
		return b, nil
	}
	flags := q.QRV
	if flags > 7 {
		flags = 0 // RFC 9777 section 5.1.8
	}
	if q.Suppress {
		flags |= 8
	}
	b = append(b, flags, IntervalCode(q.QQI))
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	return append(b, q.Sources[:n*sourceLen]...), nil
}

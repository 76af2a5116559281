package mld

import (
	"encoding/binary"
	"net/netip"

	"border-router/ipv6"
)

// A RecordType is the type of a Multicast Address Record (RFC 9777 section 5.2.13).
type RecordType uint8

// The types of record.
const (
	IsInclude RecordType = 1 // MODE_IS_INCLUDE, IS_IN
	IsExclude RecordType = 2 // MODE_IS_EXCLUDE, IS_EX
	ToInclude RecordType = 3 // CHANGE_TO_INCLUDE_MODE, TO_IN
	ToExclude RecordType = 4 // CHANGE_TO_EXCLUDE_MODE, TO_EX
	Allow     RecordType = 5 // ALLOW_NEW_SOURCES
	Block     RecordType = 6 // BLOCK_OLD_SOURCES
)

func (t RecordType) String() string {
	if t >= IsInclude && t <= Block {
		return [...]string{"IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"}[t-1]
	}
	return "unknown"
}

// A Record is a Multicast Address Record (RFC 9777 section 5.2).
type Record struct {
	Type    RecordType
	Group   netip.Addr
	Sources SourceList
}

// Len returns the length of the record in bytes, without auxiliary data.
func (r Record) Len() int { return recordHdr + len(r.Sources) }

// AppendBinary appends the record, without auxiliary data as section 5.2.11 demands, to b.
// The error is [DropGroup] where Group is no group, [DropLength] for more than 65535
// sources.
func (r Record) AppendBinary(b []byte) ([]byte, error) {
	n := r.Sources.Len()
	if !r.Group.IsMulticast() || !r.Group.Is6() {
		return b, DropGroup
	}
	if n > 65535 {
		return b, DropLength
	}
	b = append(b, uint8(r.Type), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	g := r.Group.As16()
	b = append(b, g[:]...)
	return append(b, r.Sources[:n*sourceLen]...), nil
}

// Records are the records of a report whose lengths [ParseReport] has checked. Range over
// them with [Records.Next].
type Records struct {
	n int
	b []byte
}

// Len returns how many records are left.
func (r Records) Len() int { return r.n }

// Next returns the first record, whose Sources alias the message, and those behind it. ok
// is false where none is left. The Group of a record may be any address.
func (r Records) Next() (rec Record, rest Records, ok bool) {
	if r.n == 0 {
		return Record{}, Records{}, false
	}
	n := recordHdr + sourceLen*int(binary.BigEndian.Uint16(r.b[2:]))
	rec = Record{RecordType(r.b[0]), netip.AddrFrom16([16]byte(r.b[4:20])), SourceList(r.b[recordHdr:n])}
	return rec, Records{r.n - 1, r.b[n+4*int(r.b[1]):]}, true
}

// ParseReport decodes the ICMPv6 message b, a Version 2 Multicast Listener Report of type
// 143 (RFC 9777 section 5.2). Code, reserved bits, auxiliary data and what follows the last
// record are ignored. The records alias b. The error is a [Drop]: [DropTruncated] where a
// record goes beyond the message, [DropType].
func ParseReport(b []byte) (Records, error) {
	if len(b) < reportHdr {
		return Records{}, DropTruncated
	}
	if b[0] != ipv6.ICMPMLDv2Report {
		return Records{}, DropType
	}
	r := Records{int(binary.BigEndian.Uint16(b[6:])), b[reportHdr:]}
	rest := r.b
	for range r.n {
		if len(rest) < recordHdr {
			return Records{}, DropTruncated
		}
		n := recordHdr + sourceLen*int(binary.BigEndian.Uint16(rest[2:])) + 4*int(rest[1])
		if len(rest) < n {
			return Records{}, DropTruncated
		}
		rest = rest[n:]
	}
	return r, nil
}

// AppendReport appends an ICMPv6 message of type 143 with the given records, and a checksum
// of zero, to b. The error is as that of [Record.AppendBinary]; [DropLength] for more than
// 65535 records.
func AppendReport(b []byte, recs ...Record) ([]byte, error) {
	if len(recs) > 65535 {
		return b, DropLength
	}
	b = appendReportHeader(b, len(recs))
	for _, r := range recs {
		var err error
		if b, err = r.AppendBinary(b); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendReportHeader(b []byte, n int) []byte {
	return append(b, ipv6.ICMPMLDv2Report, 0, 0, 0, 0, 0, uint8(n>>8), uint8(n))
}

package lowpan

import "encoding/binary"

// Page switches (RFC 8025 section 3).
const (
	Page0 = 0xf0 // to what RFC 4944 and RFC 6282 define: the default
	Page1 = 0xf1 // stands in front of routing headers; IPHC follows the last of them in the same page
)

// A RoutingHeader is a 6LoWPAN Routing Header (RFC 8138 section 4), found behind [Page1]:
//
//	 0                   1                           0                   1
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5                 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|1|0|0|   TSE   | 6LoRH Type    |  critical     |1|0|1| Length  | 6LoRH Type    |  elective
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// An elective header of unknown type is skipped, a critical one drops the packet.
type RoutingHeader struct {
	Elective bool
	Type     uint8
	TSE      uint8  // type-specific extension of a critical header, 5 bits; 0 for an elective one
	Data     []byte // what follows the type; aliases the input
}

// Types of routing headers.
const (
	RoutingSRHMax = 4 // critical: 0 to 4 are SRH-6LoRH, addresses of 1, 2, 4, 8 or 16 bytes
	RoutingRPI    = 5 // critical: RPI-6LoRH
	RoutingIPinIP = 6 // elective: IP-in-IP-6LoRH
)

const (
	lorhMask     = 0xe0
	lorhCritical = 0x80
	lorhElective = 0xa0
)

// Flags in the TSE of RPI-6LoRH (RFC 8138 section 6).
const (
	rpiO = 0x10
	rpiR = 0x08
	rpiF = 0x04
	rpiI = 0x02 // RPLInstanceID elided: it is 0
	rpiK = 0x01 // SenderRank of one byte: the lower one is elided
)

// ParseRoutingHeader decodes the routing header at the start of b and returns its length in
// bytes. The error is a [Drop]: [DropDispatch] where b is none, [DropTruncated], [Drop6LoRH]
// for a critical header of unknown type.
func ParseRoutingHeader(b []byte) (h RoutingHeader, n int, err error) {
	if len(b) == 0 {
		return h, 0, DropTruncated
	}
	k := b[0] & lorhMask
	if k != lorhCritical && k != lorhElective {
		return h, 0, DropDispatch
	}
	if len(b) < 2 {
		return h, 0, DropTruncated
	}
	h = RoutingHeader{Elective: k == lorhElective, Type: b[1]}
	bits := b[0] &^ lorhMask
	switch {
	case h.Elective:
		n = 2 + int(bits)
	case h.Type <= RoutingSRHMax:
		h.TSE = bits
		n = 2 + (int(bits)+1)<<h.Type
	case h.Type == RoutingRPI:
		h.TSE = bits
		n = 2 + 3
		if bits&rpiI != 0 {
			n--
		}
		if bits&rpiK != 0 {
			n--
		}
	default:
		return RoutingHeader{}, 0, Drop6LoRH
	}
	if len(b) < n {
		return RoutingHeader{}, 0, DropTruncated
	}
	h.Data = b[2:n:n]
	return h, n, nil
}

// AppendBinary appends the header to b. It is [DropLength] where Data does not have the
// length that type and TSE state, or is longer than an elective header can be.
func (h RoutingHeader) AppendBinary(b []byte) ([]byte, error) {
	at := len(b)
	if h.Elective {
		if len(h.Data) > 31 {
			return b, DropLength
		}
		b = append(b, lorhElective|uint8(len(h.Data)), h.Type)
	} else {
		b = append(b, lorhCritical|h.TSE&31, h.Type)
	}
	b = append(b, h.Data...)
	if _, n, err := ParseRoutingHeader(b[at:]); err != nil || n != len(b)-at {
		return b[:at], DropLength
	}
	return b, nil
}

// Hops returns how many addresses an SRH-6LoRH holds and the length in bytes of each
// (RFC 8138 section 5.1), 0 and 0 for other headers. Address i is
// Data[i*size : (i+1)*size], the end of an address whose beginning is that of the one before.
func (h RoutingHeader) Hops() (count, size int) {
	if h.Elective || h.Type > RoutingSRHMax {
		return 0, 0
	}
	return int(h.TSE) + 1, 1 << h.Type
}

// An RPI is the RPL Packet Information of a packet (RFC 6550 section 11.2) as RPI-6LoRH
// carries it (RFC 8138 section 6).
type RPI struct {
	Down         bool   // O flag
	RankError    bool   // R flag
	ForwardError bool   // F flag
	Instance     uint8  // RPLInstanceID
	SenderRank   uint16 // SenderRank
}

// RPI returns the contents of a header of type [RoutingRPI] and whether it is one.
func (h RoutingHeader) RPI() (p RPI, ok bool) {
	d := h.Data
	want := 3 - int(h.TSE>>1&1) - int(h.TSE&1)
	if h.Elective || h.Type != RoutingRPI || len(d) != want {
		return p, false
	}
	p = RPI{Down: h.TSE&rpiO != 0, RankError: h.TSE&rpiR != 0, ForwardError: h.TSE&rpiF != 0}
	if h.TSE&rpiI == 0 {
		p.Instance = d[0]
		d = d[1:]
	}
	if h.TSE&rpiK != 0 {
		p.SenderRank = uint16(d[0]) << 8
	} else {
		p.SenderRank = binary.BigEndian.Uint16(d)
	}
	return p, true
}

// AppendBinary appends the shortest RPI-6LoRH for p to b. The error is always nil.
func (p RPI) AppendBinary(b []byte) ([]byte, error) {
	first := uint8(lorhCritical)
	for _, f := range [3]struct {
		set bool
		bit uint8
	}{{p.Down, rpiO}, {p.RankError, rpiR}, {p.ForwardError, rpiF}} {
		if f.set {
			first |= f.bit
		}
	}
	at := len(b)
	b = append(b, first, RoutingRPI)
	if p.Instance == 0 {
		b[at] |= rpiI
	} else {
		b = append(b, p.Instance)
	}
	if p.SenderRank&0xff == 0 {
		b[at] |= rpiK
		return append(b, uint8(p.SenderRank>>8)), nil
	}
	return binary.BigEndian.AppendUint16(b, p.SenderRank), nil
}

// Encapsulator returns the contents of an IP-in-IP-6LoRH (RFC 8138 section 7): the hop
// limit of the outer IPv6 header and the end of the encapsulator's address, 0 to 16 bytes,
// whose beginning is that of the root of the RPL instance. Without any byte it is the root
// itself. ok is false for other headers, those without a hop limit ("the Length ... MUST be
// at least 1") and those with more than an address.
func (h RoutingHeader) Encapsulator() (hopLimit uint8, addr []byte, ok bool) {
	if !h.Elective || h.Type != RoutingIPinIP {
		return 0, nil, false
	}
	if n := len(h.Data); n < 1 || n > 1+16 {
		return 0, nil, false
	}
	return h.Data[0], h.Data[1:], true
}

package zep

import (
	"encoding/binary"
	"time"

	"border-router/ieee802154"
)

// A Type is the type of a version 2 datagram.
type Type uint8

// The types.
const (
	TypeData  Type = 1
	TypeAck   Type = 2
	TypeHello Type = 255 // RIOT: a node tells its EUI-64 to the dispatcher; empty: a sniffer
)

// The CRC modes: what the last two bytes of the frame are.
const (
	ModeLQI = 0 // RSSI, then link quality with a CRC-good bit, as TI's CC24xx radios leave them
	ModeCRC = 1 // the FCS
)

// Header lengths in bytes.
const (
	headerLenV1  = 16
	headerLenV2  = 32
	headerLenAck = 8
	maxDatagram  = headerLenV2 + ieee802154.MaxFrame
)

// A Header is a ZEP header. Multi-byte fields are big-endian.
//
//	v1:  "EX" 01 channel device(2) mode LQI reserved(7) length
//	v2:  "EX" 02 01 channel device(2) mode LQI time(8) sequence(4) reserved(10) length
//	ack: "EX" 02 02 sequence(4)
type Header struct {
	Version uint8 // 1 or 2
	Type    Type  // TypeData in version 1
	Channel uint8 // 11 to 26; 0: not told
	Device  uint16
	Mode    uint8 // ModeLQI or ModeCRC
	LQI     uint8
	Time    uint64   // NTP time stamp; 0 in version 1
	Seq     uint32   // 0 in version 1
	Extra   [10]byte // reserved bytes of version 2; RIOT writes "HELLO" here
	Length  uint8    // of what follows; for data with the FCS or what stands in its place
}

var helloMark = [10]byte{'H', 'E', 'L', 'L', 'O'}

// Parse decodes a datagram. body aliases b: for TypeData the MAC frame with its last two
// bytes as Mode says, for TypeHello the EUI-64 or nothing, else nil. The error is a [Drop].
func Parse(b []byte) (h Header, body []byte, err error) {
	if len(b) < 3 {
		return h, nil, DropTruncated
	}
	if b[0] != 'E' || b[1] != 'X' {
		return h, nil, DropPreamble
	}
	h.Version = b[2]
	n := headerLenV2
	switch h.Version {
	case 1:
		if len(b) < headerLenV1 {
			return h, nil, DropTruncated
		}
		h.Type, h.Channel, h.Device, h.Mode, h.LQI = TypeData, b[3], binary.BigEndian.Uint16(b[4:]), b[6], b[7]
		n = headerLenV1
	case 2:
		if len(b) < 4 {
			return h, nil, DropTruncated
		}
		switch h.Type = Type(b[3]); h.Type {
		case TypeAck:
			if len(b) < headerLenAck {
				return h, nil, DropTruncated
			}
			if len(b) > headerLenAck {
				return h, nil, DropLength
			}
			h.Seq = binary.BigEndian.Uint32(b[4:])
			return h, nil, nil
		case TypeData, TypeHello:
		default:
			return h, nil, DropType
		}
		if len(b) < headerLenV2 {
			return h, nil, DropTruncated
		}
		h.Channel, h.Device, h.Mode, h.LQI = b[4], binary.BigEndian.Uint16(b[5:]), b[7], b[8]
		h.Time, h.Seq = binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint32(b[17:])
		h.Extra = [10]byte(b[21:])
	default:
		return h, nil, DropVersion
	}
	h.Length = b[n-1]
	body = b[n:]
	switch {
	case h.Length > ieee802154.MaxFrame:
		return h, nil, DropTooLong
	case len(body) != int(h.Length):
		return h, nil, DropLength
	case h.Type == TypeHello:
		if len(body) != 0 && len(body) != 8 {
			return h, nil, DropLength
		}
	case len(body) <= ieee802154.FCSLen:
		return h, nil, DropEmpty
	}
	return h, body, nil
}

// AppendBinary appends the datagram of h and body to b. Length is not read: it follows from
// body. The error is a [Drop]; b is then returned as it was.
func (h Header) AppendBinary(b, body []byte) ([]byte, error) {
	if len(body) > ieee802154.MaxFrame {
		return b, DropTooLong
	}
	switch {
	case h.Version == 1 && h.Type == TypeData:
		if len(body) <= ieee802154.FCSLen {
			return b, DropEmpty
		}
		b = append(b, 'E', 'X', 1, h.Channel, byte(h.Device>>8), byte(h.Device), h.Mode, h.LQI, 0, 0, 0, 0, 0, 0, 0, byte(len(body)))
	case h.Version == 2 && h.Type == TypeAck:
		if len(body) != 0 {
			return b, DropLength
		}
		return binary.BigEndian.AppendUint32(append(b, 'E', 'X', 2, byte(TypeAck)), h.Seq), nil
	case h.Version == 2 && (h.Type == TypeData || h.Type == TypeHello):
		if h.Type == TypeData && len(body) <= ieee802154.FCSLen {
			return b, DropEmpty
		}
		if h.Type == TypeHello && len(body) != 0 && len(body) != 8 {
			return b, DropLength
		}
		b = append(b, 'E', 'X', 2, byte(h.Type), h.Channel, byte(h.Device>>8), byte(h.Device), h.Mode, h.LQI)
		b = binary.BigEndian.AppendUint64(b, h.Time)
		b = binary.BigEndian.AppendUint32(b, h.Seq)
		b = append(b, h.Extra[:]...)
		b = append(b, byte(len(body)))
	case h.Version != 1 && h.Version != 2:
		return b, DropVersion
	default:
		return b, DropType
	}
	return append(b, body...), nil
}

// Frame takes the last two bytes off body, the MAC frame of a data datagram, and returns
// the frame without them and its RSSI in dBm (ieee802154.RSSIUnknown where not told) and LQI. In
// ModeCRC they must be the FCS; in ModeLQI either the CRC-good bit is set or they are the
// FCS all the same. Otherwise the error is DropFCS.
func (h Header) Frame(body []byte) (frame []byte, rssi int8, lqi uint8, err error) {
	n := len(body) - ieee802154.FCSLen
	if n <= 0 {
		return nil, 0, 0, DropEmpty
	}
	if h.Mode == ModeLQI && body[n+1]&0x80 != 0 {
		// CC24xx: RSSI in dBm, then the correlation value, 50 (worst) to 110 (best).
		corr := min(max(int(body[n+1]&0x7f), 50), 110)
		return body[:n], int8(body[n]), uint8((corr - 50) * 255 / 60), nil
	}
	if !ieee802154.CheckFCS(body) {
		return nil, 0, 0, DropFCS
	}
	return body[:n], ieee802154.RSSIUnknown, h.LQI, nil
}

// unixToNTP is the number of seconds from 1900 to 1970.
const unixToNTP = 2208988800

// NTPTime converts t to an NTP time stamp: seconds since 1900 and a binary fraction.
func NTPTime(t time.Time) uint64 {
	return uint64(uint32(t.Unix()+unixToNTP))<<32 | uint64(t.Nanosecond())<<32/1e9
}

// appendHello appends the HELLO of RIOT; ext 0 gives that of a sniffer.
func appendHello(b []byte, ext uint64, device uint16) []byte {
	h := Header{Version: 2, Type: TypeHello, Device: device, Extra: helloMark}
	var body []byte
	if ext != 0 {
		body = binary.BigEndian.AppendUint64(make([]byte, 0, 8), ext)
	}
	b, _ = h.AppendBinary(b, body) // cannot fail: 0 or 8 bytes
	return b
}

// putHeader writes a version 2 data header for n bytes of frame into the 32 bytes b.
func putHeader(b []byte, h *Header, n int) {
	_ = b[headerLenV2-1]
	b[0], b[1], b[2], b[3] = 'E', 'X', 2, byte(TypeData)
	b[4] = h.Channel
	binary.BigEndian.PutUint16(b[5:], h.Device)
	b[7], b[8] = ModeCRC, h.LQI
	binary.BigEndian.PutUint64(b[9:], h.Time)
	binary.BigEndian.PutUint32(b[17:], h.Seq)
	clear(b[21:31])
	b[31] = byte(n)
}

func fcs(b []byte) uint16 { return ieee802154.FCS(b) }

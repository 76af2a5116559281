package lowpan

import "encoding/binary"

const (
	rfragLen    = 6 // bytes of the RFRAG and of the RFRAG-ACK header
	rfragMax    = 1<<10 - 1
	rfragAckBit = 0x02
	rfragECN    = 0x01
	rfragKind   = 0xe8

	// MaxSequence is the highest Sequence of a recoverable fragment: a datagram has 32 of
	// them at most.
	MaxSequence = 31
)

// Bitmaps of an [RFragAck] with a meaning of their own (RFC 8931 section 5.2).
const (
	BitmapNull uint32 = 0          // the datagram is given up
	BitmapFull uint32 = 0xffffffff // the datagram is complete
)

// An RFrag is the header of a recoverable fragment (RFC 8931 section 5.1).
//
//	                     1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	                                +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	                                |1 1 1 0 1 0 0|E|  Datagram_Tag |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|X| Sequence|   Fragment_Size   |       Fragment_Offset         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type RFrag struct {
	ECN        bool   // E: congestion met on the way
	AckRequest bool   // X: an RFRAG-ACK is wanted
	Tag        uint8  // Datagram_Tag
	Sequence   uint8  // 0 to 31; 0 is the first fragment
	Size       uint16 // Fragment_Size in bytes, 0 to 1023

	// Offset is the Fragment_Offset: where the fragment belongs in the compressed datagram,
	// in bytes; in the first fragment the length of the compressed datagram instead. 0 says
	// that the datagram is given up.
	Offset uint16
}

// ParseRFrag decodes the header at the start of b and returns its length in bytes, 6. The
// error is a [Drop]: [DropTruncated], or [DropDispatch] where b does not begin with one.
func ParseRFrag(b []byte) (h RFrag, n int, err error) {
	if len(b) > 0 && b[0]&^rfragECN != rfragKind {
		return h, 0, DropDispatch
	}
	if len(b) < rfragLen {
		return h, 0, DropTruncated
	}
	w := binary.BigEndian.Uint16(b[2:])
	return RFrag{
		ECN:        b[0]&rfragECN != 0,
		AckRequest: w>>15 != 0,
		Tag:        b[1],
		Sequence:   uint8(w>>10) & MaxSequence,
		Size:       w & rfragMax,
		Offset:     binary.BigEndian.Uint16(b[4:]),
	}, rfragLen, nil
}

// AppendBinary appends the header, 6 bytes, to b. The error is [DropFragment] where a field
// does not fit its bits.
func (h RFrag) AppendBinary(b []byte) ([]byte, error) {
	if h.Sequence > MaxSequence || h.Size > rfragMax {
		return b, DropFragment
	}
	first, w := byte(rfragKind), uint16(h.Sequence)<<10|h.Size
	if h.ECN {
		first |= rfragECN
	}
	if h.AckRequest {
		w |= 1 << 15
	}
	b = append(b, first, h.Tag)
	b = binary.BigEndian.AppendUint16(b, w)
	return binary.BigEndian.AppendUint16(b, h.Offset), nil
}

// An RFragAck is an acknowledgment of recoverable fragments, RFRAG-ACK (RFC 8931 section
// 5.2).
//
//	                     1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	                                +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	                                |1 1 1 0 1 0 1|E|  Datagram_Tag |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|          RFRAG Acknowledgment Bitmap (32 bits)                |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type RFragAck struct {
	ECN    bool   // E: a fragment had its E flag set
	Tag    uint8  // Datagram_Tag
	Bitmap uint32 // fragments that have arrived: the uppermost bit is Sequence 0
}

// ParseRFragAck decodes the acknowledgment at the start of b and returns its length in
// bytes, 6. The error is a [Drop]: [DropTruncated], or [DropDispatch] where b does not begin
// with one.
func ParseRFragAck(b []byte) (a RFragAck, n int, err error) {
	if len(b) > 0 && b[0]&^rfragECN != rfragKind|rfragAckBit {
		return a, 0, DropDispatch
	}
	if len(b) < rfragLen {
		return a, 0, DropTruncated
	}
	return RFragAck{ECN: b[0]&rfragECN != 0, Tag: b[1], Bitmap: binary.BigEndian.Uint32(b[2:])}, rfragLen, nil
}

// AppendBinary appends the acknowledgment, 6 bytes, to b. The error is always nil.
func (a RFragAck) AppendBinary(b []byte) ([]byte, error) {
	first := byte(rfragKind | rfragAckBit)
	if a.ECN {
		first |= rfragECN
	}
	return binary.BigEndian.AppendUint32(append(b, first, a.Tag), a.Bitmap), nil
}

// sequenceBit is the bit of a Sequence in an acknowledgment bitmap.
func sequenceBit(seq int) uint32 { return 1 << 31 >> uint(seq) }

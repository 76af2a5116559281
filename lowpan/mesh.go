package lowpan

import "border-router/ipv6"

// A MeshHeader is the mesh addressing header of mesh-under forwarding (RFC 4944 section
// 5.2), which stands before any other LoWPAN header:
//
//	  0   1   2   3   4   5   6   7
//	+---+---+---+---+---+---+---+---+
//	| 1 | 0 | V | F |   HopsLft     | originator address, final address
//	+---+---+---+---+---+---+---+---+
//
// V and F say that the address is a short one. A HopsLft of 15 is followed by a byte of its
// own, Deep Hops Left, with the number.
type MeshHeader struct {
	Originator ipv6.LinkAddr // short or EUI-64
	Final      ipv6.LinkAddr // short or EUI-64
	HopsLeft   uint8
}

const deepHops = 15

// ParseMeshHeader decodes the header at the start of b and returns its length in bytes, 5
// to 18. The error is a [Drop]: [DropDispatch] where b is not a mesh header,
// [DropTruncated].
func ParseMeshHeader(b []byte) (h MeshHeader, n int, err error) {
	if Classify(b) != DispatchMesh {
		if len(b) == 0 {
			return h, 0, DropTruncated
		}
		return h, 0, DropDispatch
	}
	h.HopsLeft = b[0] & 15
	n = 1
	if h.HopsLeft == deepHops {
		if len(b) < 2 {
			return h, 0, DropTruncated
		}
		h.HopsLeft = b[1]
		n = 2
	}
	take := func(short bool) (a ipv6.LinkAddr, ok bool) {
		size := 8
		if short {
			size = 2
		}
		if len(b)-n < size {
			return a, false
		}
		a, ok = ipv6.LinkAddrFrom(b[n : n+size])
		n += size
		return a, ok
	}
	var ok bool
	if h.Originator, ok = take(b[0]&0x20 != 0); !ok {
		return h, 0, DropTruncated
	}
	if h.Final, ok = take(b[0]&0x10 != 0); !ok {
		return h, 0, DropTruncated
	}
	return h, n, nil
}

// AppendBinary appends the header to b: up to 14 hops in the first byte, more of them in
// a byte of their own. It is [DropLinkAddr] where an address is neither short nor an EUI-64.
func (h MeshHeader) AppendBinary(b []byte) ([]byte, error) {
	first := byte(0x80)
	for i, a := range [2]ipv6.LinkAddr{h.Originator, h.Final} {
		switch a.Len() {
		case 2:
			first |= 0x20 >> i
		case 8:
		default:
			return b, DropLinkAddr
		}
	}
	if h.HopsLeft < deepHops {
		b = append(b, first|h.HopsLeft)
	} else {
		b = append(b, first|deepHops, h.HopsLeft)
	}
	return h.Final.Append(h.Originator.Append(b)), nil
}

// A BC0Header is the broadcast header LOWPAN_BC0 (RFC 4944 section 11.1), which stands
// behind a [MeshHeader] and tells copies of one broadcast apart.
type BC0Header struct {
	Seq uint8 // Sequence Number
}

// ParseBC0Header decodes the header at the start of b and returns its length, 2 bytes. The
// error is a [Drop]: [DropDispatch] where b is not a broadcast header, [DropTruncated].
func ParseBC0Header(b []byte) (h BC0Header, n int, err error) {
	switch {
	case len(b) > 0 && Classify(b) != DispatchBC0:
		return h, 0, DropDispatch
	case len(b) < 2:
		return h, 0, DropTruncated
	}
	return BC0Header{b[1]}, 2, nil
}

// AppendBinary appends the header to b. The error is always nil.
func (h BC0Header) AppendBinary(b []byte) ([]byte, error) { return append(b, 0x50, h.Seq), nil }

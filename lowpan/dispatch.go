package lowpan

// A Dispatch is the kind of header that a LoWPAN frame or the rest of one begins with
// (RFC 4944 section 5.1, RFC 6282 section 5, RFC 8025; IANA "Dispatch Type Field").
type Dispatch uint8

// The kinds of header.
const (
	DispatchUnassigned Dispatch = iota // nothing that we or IANA know
	DispatchNALP                       // 00xxxxxx: not a LoWPAN frame
	DispatchESC                        // 01000000: extension byte follows (RFC 8066)
	DispatchIPv6                       // 01000001: uncompressed IPv6 header
	DispatchHC1                        // 01000010: LOWPAN_HC1 with its HC2, deprecated
	DispatchDFF                        // 01000011: LOWPAN_DFF (RFC 6971)
	DispatchBC0                        // 01010000: LOWPAN_BC0
	DispatchIPHC                       // 011xxxxx: LOWPAN_IPHC
	DispatchMesh                       // 10xxxxxx: mesh addressing header
	DispatchFRAG1                      // 11000xxx: first fragment
	DispatchFRAGN                      // 11100xxx: subsequent fragment
	DispatchRFRAG                      // 1110101x, 1110100x: recoverable fragment and its acknowledgment (RFC 8931)
	DispatchPaging                     // 1111xxxx: page switch (RFC 8025)
	DispatchEmpty                      // no bytes at all
	numDispatch
)

var dispatchText = [numDispatch]string{
	DispatchUnassigned: "unassigned", DispatchNALP: "NALP", DispatchESC: "ESC", DispatchIPv6: "IPv6",
	DispatchHC1: "HC1", DispatchDFF: "DFF", DispatchBC0: "BC0", DispatchIPHC: "IPHC",
	DispatchMesh: "mesh", DispatchFRAG1: "FRAG1", DispatchFRAGN: "FRAGN", DispatchRFRAG: "RFRAG",
	DispatchPaging: "paging", DispatchEmpty: "empty",
}

// String returns the name in the RFCs.
func (d Dispatch) String() string {
	if d < numDispatch {
		return dispatchText[d]
	}
	return "unassigned"
}

var dispatchDrop = [numDispatch]Drop{
	DispatchUnassigned: DropDispatch, DispatchNALP: DropNALP, DispatchESC: DropESC, DispatchIPv6: DropDispatch,
	DispatchHC1: DropHC1, DispatchDFF: DropDFF, DispatchBC0: DropBC0, DispatchIPHC: DropDispatch,
	DispatchMesh: DropMesh, DispatchFRAG1: DropDispatch, DispatchFRAGN: DropDispatch, DispatchRFRAG: DropRFRAG,
	DispatchPaging: DropPaging, DispatchEmpty: DropTruncated,
}

// Drop returns the reason under which a frame is discarded where a header of this kind is
// not accepted. For kinds that are accepted somewhere it is [DropDispatch]: right header,
// wrong place.
func (d Dispatch) Drop() Drop {
	if d < numDispatch {
		return dispatchDrop[d]
	}
	return DropDispatch
}

var dispatchOf = func() (t [256]Dispatch) {
	for i := range t {
		switch {
		case i>>6 == 0b00:
			t[i] = DispatchNALP
		case i == 0x40:
			t[i] = DispatchESC
		case i == 0x41:
			t[i] = DispatchIPv6
		case i == 0x42:
			t[i] = DispatchHC1
		case i == 0x43:
			t[i] = DispatchDFF
		case i == 0x50:
			t[i] = DispatchBC0
		case i>>5 == 0b011:
			t[i] = DispatchIPHC
		case i>>6 == 0b10:
			t[i] = DispatchMesh
		case i>>3 == 0b11000:
			t[i] = DispatchFRAG1
		case i>>3 == 0b11100:
			t[i] = DispatchFRAGN
		case i>>2 == 0b111010:
			t[i] = DispatchRFRAG
		case i>>4 == 0b1111:
			t[i] = DispatchPaging
		}
	}
	return
}()

// Classify returns the kind of header that b begins with, in page 0.
func Classify(b []byte) Dispatch {
	if len(b) == 0 {
		return DispatchEmpty
	}
	return dispatchOf[b[0]]
}

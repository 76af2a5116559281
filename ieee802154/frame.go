package ieee802154

import "encoding/binary"

// Sizes in bytes.
const (
	MaxFrame = 127 // aMaxPhyPacketSize, with the FCS
	FCSLen   = 2
)

// A FrameType is the type in the frame control field (section 7.2.2.2).
type FrameType uint8

// The frame types. Parse knows the first four.
const (
	TypeBeacon       FrameType = 0
	TypeData         FrameType = 1
	TypeAck          FrameType = 2
	TypeCommand      FrameType = 3
	TypeMultipurpose FrameType = 5
	TypeFragment     FrameType = 6
	TypeExtended     FrameType = 7
)

var typeText = [8]string{"beacon", "data", "ack", "command", "reserved", "multipurpose", "fragment", "extended"}

// String returns the name of the type.
func (t FrameType) String() string { return typeText[t&7] }

// The frame versions (section 7.2.2.10).
const (
	Version2003 = 0
	Version2006 = 1
	Version2015 = 2
)

// The bits of the frame control field (section 7.2.2):
//
//	bit  0-2  frame type           8  sequence number suppression (2015)
//	       3  security enabled     9  IE present (2015)
//	       4  frame pending    10-11  destination addressing mode
//	       5  AR               12-13  frame version
//	       6  PAN ID compr.    14-15  source addressing mode
const (
	fcfSecurity       = 1 << 3
	fcfPending        = 1 << 4
	fcfAckRequest     = 1 << 5
	fcfPANCompression = 1 << 6
	fcfSeqSuppression = 1 << 8
	fcfIEPresent      = 1 << 9
)

// A Frame is one decoded MAC frame without its FCS. The slices alias the input of
// [Frame.Parse].
type Frame struct {
	Type             FrameType
	Version          uint8 // Version2003, Version2006 or Version2015
	Security         bool  // Security Enabled: Sec and MIC hold
	Pending          bool  // Frame Pending
	AckRequest       bool  // AR
	PANIDCompression bool
	SeqSuppressed    bool // Sequence Number Suppression, 2015 only
	IEPresent        bool // 2015 only
	HasDstPAN        bool // DstPAN is carried
	HasSrcPAN        bool // SrcPAN is carried; without it, a source address is of DstPAN
	Seq              uint8
	DstPAN, SrcPAN   uint16
	Dst, Src         Addr

	Sec AuxSecurity

	// HeaderIEs are the header information elements with their termination, PayloadIEs
	// the payload information elements with theirs. PayloadIEs is empty in a frame whose
	// payload is encrypted: they are inside Payload then.
	HeaderIEs, PayloadIEs []byte

	// Payload is the MAC payload after the information elements and before the MIC. A
	// command frame's begins with the command identifier, a beacon's with the superframe
	// specification.
	Payload []byte
	MIC     []byte // message integrity code: 0, 4, 8 or 16 bytes

	HeaderLen int // bytes of the MAC header: from the frame control to the header IEs

	opened bool // [Cipher.Open] has put Payload and PayloadIEs in clear
}

// panIDs says which PAN identifiers a frame carries. ok is false for a combination the
// standard does not allow.
func panIDs(version uint8, dst, src AddrMode, compressed bool) (hasDst, hasSrc, ok bool) {
	hasDst, hasSrc = dst != AddrNone, src != AddrNone
	switch {
	case version == Version2015: // table 7-2
		switch {
		case !hasDst && !hasSrc:
			return compressed, false, true
		case dst == AddrExtended && src == AddrExtended:
			return !compressed, false, true
		case hasDst && hasSrc:
			return true, !compressed, true
		}
		return hasDst && !compressed, hasSrc && !compressed, true
	case hasDst && hasSrc:
		return true, !compressed, true
	}
	// 2006 section 7.2.1.1.5: compression needs both addresses.
	return hasDst, hasSrc, !compressed
}

// Parse decodes the frame b, which has no FCS. The error is a [Drop]; f is then not to be
// used. The slices of f alias b.
func (f *Frame) Parse(b []byte) error {
	if len(b) < 2 {
		return DropTruncated
	}
	if len(b) > MaxFrame-FCSLen {
		return DropTooLong
	}
	fcf := binary.LittleEndian.Uint16(b)
	typ, version := FrameType(fcf&7), uint8(fcf>>12&3)
	dst, src := AddrMode(fcf>>10&3), AddrMode(fcf>>14)
	compressed := fcf&fcfPANCompression != 0
	switch {
	case typ > TypeCommand:
		return DropFrameType
	case version > Version2015:
		return DropVersion
	case dst == 1 || src == 1:
		return DropAddressing
	}
	hasDstPAN, hasSrcPAN, ok := panIDs(version, dst, src, compressed)
	if !ok {
		return DropAddressing
	}
	// 2003 section 7.2.1.1.6: only acknowledgments and beacons go without any address.
	if dst|src == 0 && version == Version2003 && (typ == TypeData || typ == TypeCommand) {
		return DropAddressing
	}
	f.Type, f.Version = typ, version
	f.Security = fcf&fcfSecurity != 0
	f.Pending = fcf&fcfPending != 0
	f.AckRequest = fcf&fcfAckRequest != 0
	f.PANIDCompression = compressed
	f.HasDstPAN, f.HasSrcPAN = hasDstPAN, hasSrcPAN
	f.SeqSuppressed, f.IEPresent, f.opened = false, false, false
	if version == Version2015 { // reserved bits before
		f.SeqSuppressed = fcf&fcfSeqSuppression != 0
		f.IEPresent = fcf&fcfIEPresent != 0
	}

	n := 2
	if f.Seq = 0; !f.SeqSuppressed {
		if len(b) < 3 {
			return DropTruncated
		}
		f.Seq, n = b[2], 3
	}
	need := dst.Len() + src.Len()
	if hasDstPAN {
		need += 2
	}
	if hasSrcPAN {
		need += 2
	}
	if len(b)-n < need {
		return DropTruncated
	}
	f.DstPAN, f.SrcPAN = 0, 0
	if hasDstPAN {
		f.DstPAN = binary.LittleEndian.Uint16(b[n:])
		n += 2
	}
	f.Dst.Mode, f.Src.Mode = dst, src
	switch dst {
	case AddrShort:
		f.Dst.V = uint64(binary.LittleEndian.Uint16(b[n:]))
		n += 2
	case AddrExtended:
		f.Dst.V = binary.LittleEndian.Uint64(b[n:])
		n += 8
	default:
		f.Dst.V = 0
	}
	if hasSrcPAN {
		f.SrcPAN = binary.LittleEndian.Uint16(b[n:])
		n += 2
	}
	switch src {
	case AddrShort:
		f.Src.V = uint64(binary.LittleEndian.Uint16(b[n:]))
		n += 2
	case AddrExtended:
		f.Src.V = binary.LittleEndian.Uint64(b[n:])
		n += 8
	default:
		f.Src.V = 0
	}
	if !f.Security && !f.IEPresent {
		f.HeaderLen = n
		f.Payload = b[n:]
		f.Sec = AuxSecurity{}
		f.HeaderIEs, f.PayloadIEs, f.MIC = nil, nil, nil
		return nil
	}
	return f.parseRest(b, n)
}

// parseRest decodes what few frames have: the auxiliary security header and information
// elements. n is the offset behind the addresses.
func (f *Frame) parseRest(b []byte, n int) error {
	f.Sec, f.HeaderIEs, f.PayloadIEs, f.MIC = AuxSecurity{}, nil, nil, nil
	end := len(b)
	if f.Security {
		if f.Version == Version2003 {
			return DropSecurity
		}
		k, err := f.Sec.parse(b[n:], f.Version)
		if err != nil {
			return err
		}
		n += k
		end -= f.Sec.MICLen()
		if end < n {
			return DropTruncated
		}
		f.MIC = b[end:]
	}
	f.HeaderLen = n
	if f.IEPresent {
		k, more, err := walkHeaderIEs(b[n:end])
		if err != nil {
			return err
		}
		f.HeaderIEs = b[n : n+k]
		n += k
		f.HeaderLen = n
		if more && !f.Encrypted() {
			if k, err = walkPayloadIEs(b[n:end]); err != nil {
				return err
			}
			f.PayloadIEs = b[n : n+k]
			n += k
		}
	}
	f.Payload = b[n:end]
	return nil
}

// Encrypted reports whether the payload is enciphered: security levels 4 to 7.
func (f *Frame) Encrypted() bool { return f.Security && f.Sec.Level&4 != 0 }

// SourcePAN returns the PAN of the source address: SrcPAN, or DstPAN where it is left out.
// ok is false when the frame carries neither.
func (f *Frame) SourcePAN() (pan uint16, ok bool) {
	if f.HasSrcPAN {
		return f.SrcPAN, true
	}
	return f.DstPAN, f.HasDstPAN
}

// AppendBinary appends the frame without FCS to b. HasDstPAN and HasSrcPAN are not read:
// the PAN identifiers are written as the addressing modes, PANIDCompression and Version
// demand. HeaderIEs and PayloadIEs are written as they are, with whatever termination they
// hold. The error is a [Drop] for a frame that cannot be encoded; b is then returned as it
// was.
func (f *Frame) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	if f.Type > TypeCommand {
		return b, DropFrameType
	}
	if f.Version > Version2015 {
		return b, DropVersion
	}
	if f.Dst.Mode == 1 || f.Src.Mode == 1 || f.Dst.Mode > 3 || f.Src.Mode > 3 {
		return b, DropAddressing
	}
	hasDstPAN, hasSrcPAN, ok := panIDs(f.Version, f.Dst.Mode, f.Src.Mode, f.PANIDCompression)
	if !ok {
		return b, DropAddressing
	}
	if f.Dst.Mode|f.Src.Mode == 0 && f.Version == Version2003 && (f.Type == TypeData || f.Type == TypeCommand) {
		return b, DropAddressing
	}
	fcf := uint16(f.Type) | uint16(f.Dst.Mode)<<10 | uint16(f.Version)<<12 | uint16(f.Src.Mode)<<14
	if f.Security {
		if f.Version == Version2003 || len(f.MIC) != f.Sec.MICLen() {
			return b, DropSecurity
		}
		fcf |= fcfSecurity
	}
	if f.Pending {
		fcf |= fcfPending
	}
	if f.AckRequest {
		fcf |= fcfAckRequest
	}
	if f.PANIDCompression {
		fcf |= fcfPANCompression
	}
	if f.SeqSuppressed {
		fcf |= fcfSeqSuppression
	}
	if f.IEPresent {
		fcf |= fcfIEPresent
	}
	if (f.SeqSuppressed || f.IEPresent) && f.Version != Version2015 {
		return b, DropVersion
	}
	b = binary.LittleEndian.AppendUint16(b, fcf)
	if !f.SeqSuppressed {
		b = append(b, f.Seq)
	}
	if hasDstPAN {
		b = binary.LittleEndian.AppendUint16(b, f.DstPAN)
	}
	b = appendAddr(b, f.Dst)
	if hasSrcPAN {
		b = binary.LittleEndian.AppendUint16(b, f.SrcPAN)
	}
	b = appendAddr(b, f.Src)
	if f.Security {
		b = f.Sec.append(b, f.Version)
	}
	if f.IEPresent {
		b = append(b, f.HeaderIEs...)
		b = append(b, f.PayloadIEs...)
	}
	b = append(b, f.Payload...)
	if f.Security {
		b = append(b, f.MIC...)
	}
	if len(b)-start > MaxFrame-FCSLen {
		return b[:start], DropTooLong
	}
	return b, nil
}

func appendAddr(b []byte, a Addr) []byte {
	switch a.Mode {
	case AddrShort:
		return binary.LittleEndian.AppendUint16(b, uint16(a.V))
	case AddrExtended:
		return binary.LittleEndian.AppendUint64(b, a.V)
	}
	return b
}

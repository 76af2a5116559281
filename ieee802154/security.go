package ieee802154

import "encoding/binary"

// An AuxSecurity is the auxiliary security header (section 9.4):
//
//	security control: bits 0-2 security level, 3-4 key identifier mode,
//	                  5 frame counter suppression, 6 ASN in nonce (5 and 6: 2015)
//	frame counter:    0 or 4 bytes, little-endian
//	key identifier:   0, 1, 5 or 9 bytes: key source, then key index
type AuxSecurity struct {
	Level             uint8 // 0 to 7: bit 2 encrypts, bits 0-1 choose the MIC of 0, 4, 8 or 16 bytes
	KeyIDMode         uint8 // 0 implicit, 1 index, 2 source of 4 bytes and index, 3 source of 8 bytes and index
	KeyIndex          uint8
	CounterSuppressed bool // 2015 (TSCH): no frame counter
	ASNInNonce        bool // 2015 (TSCH)
	FrameCounter      uint32
	KeySource         uint64 // as a big-endian number; 4 bytes in mode 2
	ControlLen        uint8  // bytes of this header in the parsed frame; 0: no header
}

// MICLen returns the length in bytes of the message integrity code: 0, 4, 8 or 16.
func (s *AuxSecurity) MICLen() int {
	if s.Level&3 == 0 {
		return 0
	}
	return 2 << (s.Level & 3)
}

var keyIDLen = [4]int{0, 1, 5, 9}

func (s *AuxSecurity) parse(b []byte, version uint8) (n int, err error) {
	if len(b) < 1 {
		return 0, DropTruncated
	}
	c := b[0]
	s.Level, s.KeyIDMode = c&7, c>>3&3
	if version == Version2015 {
		s.CounterSuppressed, s.ASNInNonce = c&0x20 != 0, c&0x40 != 0
	}
	n = 1
	if !s.CounterSuppressed {
		if len(b) < 5 {
			return 0, DropTruncated
		}
		s.FrameCounter = binary.LittleEndian.Uint32(b[1:])
		n = 5
	}
	k := keyIDLen[s.KeyIDMode]
	if len(b)-n < k {
		return 0, DropTruncated
	}
	switch s.KeyIDMode {
	case 2:
		s.KeySource = uint64(binary.LittleEndian.Uint32(b[n:]))
	case 3:
		s.KeySource = binary.LittleEndian.Uint64(b[n:])
	}
	n += k
	if k > 0 {
		s.KeyIndex = b[n-1]
	}
	s.ControlLen = uint8(n)
	return n, nil
}

func (s *AuxSecurity) append(b []byte, version uint8) []byte {
	c := s.Level&7 | s.KeyIDMode&3<<3
	suppressed := s.CounterSuppressed && version == Version2015
	if suppressed {
		c |= 0x20
	}
	if s.ASNInNonce && version == Version2015 {
		c |= 0x40
	}
	b = append(b, c)
	if !suppressed {
		b = binary.LittleEndian.AppendUint32(b, s.FrameCounter)
	}
	switch s.KeyIDMode & 3 {
	case 2:
		b = binary.LittleEndian.AppendUint32(b, uint32(s.KeySource))
	case 3:
		b = binary.LittleEndian.AppendUint64(b, s.KeySource)
	}
	if s.KeyIDMode&3 != 0 {
		b = append(b, s.KeyIndex)
	}
	return b
}

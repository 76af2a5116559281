package ieee802154

import (
	"crypto/subtle"
	"encoding/binary"
)

// Open verifies and deciphers the frame b, without FCS, of which f was parsed. srcExt is
// the EUI-64 of its source, which is part of the nonce: a frame with a short source address
// does not tell it. What is deciphered is put behind dst, which may be b[f.HeaderLen:
// f.HeaderLen], and else must not overlap b. On success f.PayloadIEs and f.Payload are in
// clear, there, and f.Payload is returned.
//
// Open does not look at the frame counter: whether the frame is a repetition is for the
// caller to say, after Open has said that it is genuine. The error is a [Drop]: [DropMIC],
// [DropSecurity] for a frame that is not secured, has the reserved level 0, or carries no
// frame counter (see [Cipher.OpenASN]), [DropTruncated], [DropPayload], [DropIE].
func (c *Cipher) Open(dst, b []byte, f *Frame, srcExt uint64) (payload []byte, err error) {
	if f.Sec.CounterSuppressed || f.Sec.ASNInNonce {
		return nil, DropSecurity
	}
	nonce := counterNonce(srcExt, f.Sec.FrameCounter, f.Sec.Level)
	return c.openFrame(dst, b, f, &nonce)
}

// OpenASN is [Cipher.Open] for a frame of a TSCH network whose nonce is made of the
// absolute slot number in which it was sent, 40 bits (section 9.3.3.2).
func (c *Cipher) OpenASN(dst, b []byte, f *Frame, srcExt, asn uint64) (payload []byte, err error) {
	if !f.Sec.CounterSuppressed && !f.Sec.ASNInNonce {
		return nil, DropSecurity
	}
	nonce := asnNonce(srcExt, asn)
	return c.openFrame(dst, b, f, &nonce)
}

// Seal appends the frame f to dst, secured as f.Sec says; f.Payload and f.PayloadIEs are in
// clear, and f.MIC is not read. srcExt is the EUI-64 of the source. The caller must never
// use a frame counter twice with one key. The error is a [Drop]; dst is then returned as it
// was.
func (c *Cipher) Seal(dst []byte, f *Frame, srcExt uint64) ([]byte, error) {
	if f.Sec.CounterSuppressed || f.Sec.ASNInNonce {
		return dst, DropSecurity
	}
	nonce := counterNonce(srcExt, f.Sec.FrameCounter, f.Sec.Level)
	return c.sealFrame(dst, f, &nonce)
}

// SealASN is [Cipher.Seal] with a nonce that is made of the absolute slot number.
func (c *Cipher) SealASN(dst []byte, f *Frame, srcExt, asn uint64) ([]byte, error) {
	if f.Version != Version2015 || !f.Sec.CounterSuppressed && !f.Sec.ASNInNonce {
		return dst, DropSecurity
	}
	nonce := asnNonce(srcExt, asn)
	return c.sealFrame(dst, f, &nonce)
}

// Protect secures the data frame b, without FCS and MIC, in place and appends its MIC,
// for which b must have the capacity. hdrLen is the length of its header, in which the
// security bit, the level and the frame counter of s stand already.
func (c *Cipher) Protect(b []byte, hdrLen int, s *AuxSecurity, srcExt uint64) []byte {
	nonce := counterNonce(srcExt, s.FrameCounter, s.Level)
	return c.protect(b, hdrLen, s, &nonce)
}

// counterNonce is the source's EUI-64, the frame counter and the security level, all
// big-endian (2006 section 7.6.3.2, 2015 section 9.3.3.1).
func counterNonce(srcExt uint64, counter uint32, level uint8) (n [nonceLen]byte) {
	binary.BigEndian.PutUint64(n[:], srcExt)
	binary.BigEndian.PutUint32(n[8:], counter)
	n[12] = level
	return n
}

// asnNonce is the source's EUI-64 and the absolute slot number (2015 section 9.3.3.2).
func asnNonce(srcExt, asn uint64) (n [nonceLen]byte) {
	binary.BigEndian.PutUint64(n[5:], asn)
	binary.BigEndian.PutUint64(n[:], srcExt)
	return n
}

// openLen returns how many bytes at the start of the MAC payload p stay in clear where the
// rest is enciphered: the identifier of a command, and of a beacon all before its payload
// (2006 section 7.6.3.4, 2015 table 9-1). In frames of 2015 it is nothing.
func (f *Frame) openLen(p []byte) (int, error) {
	if f.Version == Version2015 {
		return 0, nil
	}
	switch f.Type {
	case TypeCommand:
		if len(p) == 0 {
			return 0, DropPayload
		}
		return 1, nil
	case TypeBeacon:
		var b Beacon
		if err := b.Parse(p); err != nil {
			return 0, err
		}
		return len(p) - len(b.Payload), nil
	}
	return 0, nil
}

func (c *Cipher) openFrame(dst, b []byte, f *Frame, nonce *[nonceLen]byte) ([]byte, error) {
	if !f.Security || f.Sec.Level == 0 {
		return nil, DropSecurity
	}
	mic := f.Sec.MICLen()
	end := len(b) - mic
	if f.HeaderLen > end {
		return nil, DropTruncated
	}
	body := b[f.HeaderLen:end]
	plain := len(body)
	if f.Sec.Level&4 != 0 {
		var err error
		if plain, err = f.openLen(body); err != nil {
			return nil, err
		}
	}
	start := len(dst)
	dst = append(dst, body...)
	out := dst[start:]
	c.begin(nonce, b[:f.HeaderLen+plain], len(body)-plain, mic)
	c.open(out[plain:], out[plain:], mic)
	if mic > 0 && subtle.ConstantTimeCompare(c.finish()[:mic], b[end:]) != 1 {
		clear(out) // what is not genuine is not shown
		return nil, DropMIC
	}
	f.PayloadIEs = nil
	if f.IEPresent {
		if _, more, _ := walkHeaderIEs(f.HeaderIEs); more {
			n, err := walkPayloadIEs(out)
			if err != nil {
				return nil, err
			}
			f.PayloadIEs, out = out[:n:n], out[n:]
		}
	}
	f.Payload, f.opened = out, true
	return out, nil
}

func (c *Cipher) sealFrame(dst []byte, f *Frame, nonce *[nonceLen]byte) ([]byte, error) {
	if !f.Security || f.Sec.Level == 0 || f.Sec.Level > 7 || f.Sec.KeyIDMode > 3 {
		return dst, DropSecurity
	}
	if f.Version != Version2015 && f.Sec.CounterSuppressed {
		return dst, DropSecurity
	}
	var mic [16]byte
	g := *f
	g.MIC = mic[:g.Sec.MICLen()]
	b, err := g.AppendBinary(dst)
	if err != nil {
		return dst, err
	}
	frame := b[len(dst) : len(b)-len(g.MIC)]
	hdr := len(frame) - len(f.Payload)
	if f.IEPresent {
		hdr -= len(f.PayloadIEs)
	}
	open, err := f.openLen(frame[hdr:])
	if err != nil {
		return dst, err
	}
	c.protect(frame, hdr+open, &f.Sec, nonce)
	return b, nil
}

// protect enciphers b from byte plain on, where the level says so, and appends the MIC.
func (c *Cipher) protect(b []byte, plain int, s *AuxSecurity, nonce *[nonceLen]byte) []byte {
	if s.Level&4 == 0 {
		plain = len(b)
	}
	mic := s.MICLen()
	c.begin(nonce, b[:plain], len(b)-plain, mic)
	c.seal(b[plain:], b[plain:], mic)
	if mic == 0 {
		return b
	}
	return append(b, c.finish()[:mic]...)
}

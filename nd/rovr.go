package nd

import "encoding/hex"

// A ROVR is a Registration Ownership Verifier (RFC 8505 section 4.1): 8, 16, 24 or 32
// bytes that tell the owner of a registration. The EUI-64 of an RFC 6775 ARO is one of 8
// bytes. It is comparable; the zero value means none.
type ROVR struct {
	b [32]byte
	n uint8
}

// ROVRFrom returns the ROVR in b. It returns the zero ROVR and false when b is not 8, 16,
// 24 or 32 bytes long.
func ROVRFrom(b []byte) (v ROVR, ok bool) {
	switch len(b) {
	case 8, 16, 24, 32:
		v.n = uint8(copy(v.b[:], b))
		return v, true
	}
	return v, false
}

// Len returns the length in bytes.
func (v ROVR) Len() int { return int(v.n) }

// Append appends the bytes to b.
func (v ROVR) Append(b []byte) []byte { return append(b, v.b[:v.n]...) }

// String returns the bytes in hexadecimal.
func (v ROVR) String() string { return hex.EncodeToString(v.b[:v.n]) }

// MarshalText encodes v as [ROVR.String] does.
func (v ROVR) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText decodes what MarshalText returns; empty text is the zero ROVR.
func (v *ROVR) UnmarshalText(t []byte) error {
	if len(t) == 0 {
		*v = ROVR{}
		return nil
	}
	b, err := hex.DecodeString(string(t))
	if err != nil {
		return err
	}
	w, ok := ROVRFrom(b)
	if !ok {
		return DropRegistration
	}
	*v = w
	return nil
}

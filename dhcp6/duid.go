package dhcp6

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// A DUID names a client or server for good (RFC 8415 section 11): the bytes of the option,
// type first, in a comparable form. The empty DUID stands for none.
type DUID string

// The types of DUID (RFC 8415 section 11.1).
const (
	DUIDTypeLLT  = 1 // link-layer address plus time
	DUIDTypeEN   = 2 // by the vendor, with an enterprise number
	DUIDTypeLL   = 3 // link-layer address
	DUIDTypeUUID = 4 // RFC 6355
)

// Hardware types of DUID-LL and DUID-LLT, from the registry of ARP.
const (
	HardwareEthernet = 1
	HardwareEUI64    = 27
)

const (
	minDUID = 3       // the type and at least one byte
	maxDUID = 2 + 128 // RFC 8415 section 11.1: no more than 128 bytes after the type
)

// duidEpoch is where the time of a DUID-LLT counts from (RFC 8415 section 11.2).
var duidEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// NewDUIDUUID returns a random DUID (RFC 6355, with a version 4 UUID of RFC 9562). It has
// to be kept: a client with another DUID is another client.
func NewDUIDUUID() DUID {
	var b [18]byte
	binary.BigEndian.PutUint16(b[:], DUIDTypeUUID)
	rand.Read(b[2:])
	b[8] = b[8]&0x0f | 0x40
	b[10] = b[10]&0x3f | 0x80
	return DUID(b[:])
}

// NewDUIDLL returns the DUID of a link-layer address that stays with the device.
func NewDUIDLL(hardware uint16, addr []byte) DUID {
	b := binary.BigEndian.AppendUint16(nil, DUIDTypeLL)
	b = binary.BigEndian.AppendUint16(b, hardware)
	return DUID(append(b, addr...))
}

// NewDUIDLLT returns the DUID of a link-layer address and the time it was made. It has to
// be kept.
func NewDUIDLLT(hardware uint16, made time.Time, addr []byte) DUID {
	b := binary.BigEndian.AppendUint16(nil, DUIDTypeLLT)
	b = binary.BigEndian.AppendUint16(b, hardware)
	b = binary.BigEndian.AppendUint32(b, uint32(made.Sub(duidEpoch)/time.Second))
	return DUID(append(b, addr...))
}

// NewDUIDEN returns the DUID that a vendor gave.
func NewDUIDEN(enterprise uint32, id []byte) DUID {
	b := binary.BigEndian.AppendUint16(nil, DUIDTypeEN)
	b = binary.BigEndian.AppendUint32(b, enterprise)
	return DUID(append(b, id...))
}

// Type returns the type, 0 where there is none.
func (d DUID) Type() int {
	if len(d) < 2 {
		return 0
	}
	return int(d[0])<<8 | int(d[1])
}

// Valid reports whether the length is one that a DUID may have.
func (d DUID) Valid() bool { return len(d) >= minDUID && len(d) <= maxDUID }

// String returns the bytes in hexadecimal.
func (d DUID) String() string { return hex.EncodeToString([]byte(d)) }

// MarshalText returns the bytes in hexadecimal.
func (d DUID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes what [DUID.MarshalText] returned.
func (d *DUID) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil {
		return fmt.Errorf("DUID %q: %w", b, err)
	}
	if len(raw) > 0 && !DUID(raw).Valid() {
		return fmt.Errorf("DUID %q: %d bytes, must be %d to %d", b, len(raw), minDUID, maxDUID)
	}
	*d = DUID(raw)
	return nil
}

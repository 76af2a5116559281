package ipv6

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A LinkAddr is a link-layer address: an IEEE 802.15.4 short address (2 bytes), an
// EUI-48 (6 bytes) or an EUI-64 (8 bytes). It is comparable and allocates nothing. The
// zero value means "none": on a port without link addresses it is the only one, and as
// the destination of a multicast packet it lets the port choose its own group address.
type LinkAddr struct {
	v uint64 // the address as a big-endian number, as printed
	n uint8  // length in bytes: 0, 2, 6 or 8
}

// EUI64 returns the 8-byte address whose big-endian value is v.
func EUI64(v uint64) LinkAddr { return LinkAddr{v, 8} }

// EUI48 returns the 6-byte address in b, in transmission (printed) order.
func EUI48(b [6]byte) LinkAddr {
	return LinkAddr{uint64(binary.BigEndian.Uint16(b[:]))<<32 | uint64(binary.BigEndian.Uint32(b[2:])), 6}
}

// Short returns the IEEE 802.15.4 short address v.
func Short(v uint16) LinkAddr { return LinkAddr{uint64(v), 2} }

// BroadcastShort is the IEEE 802.15.4 broadcast address ffff.
var BroadcastShort = Short(0xffff)

// LinkAddrFrom reads an address of 2, 6 or 8 bytes in printed order. It returns the zero
// LinkAddr and false for any other length.
func LinkAddrFrom(b []byte) (LinkAddr, bool) {
	switch len(b) {
	case 2:
		return Short(binary.BigEndian.Uint16(b)), true
	case 6:
		return EUI48([6]byte(b)), true
	case 8:
		return EUI64(binary.BigEndian.Uint64(b)), true
	}
	return LinkAddr{}, false
}

// Len returns the length in bytes: 0, 2, 6 or 8.
func (a LinkAddr) Len() int { return int(a.n) }

// IsZero reports whether a is no address at all.
func (a LinkAddr) IsZero() bool { return a.n == 0 }

// Uint64 returns the address as a big-endian number.
func (a LinkAddr) Uint64() uint64 { return a.v }

// Append appends the address in printed order to b.
func (a LinkAddr) Append(b []byte) []byte {
	for i := int(a.n) - 1; i >= 0; i-- {
		b = append(b, byte(a.v>>(8*i)))
	}
	return b
}

// IID returns the interface identifier formed from a, as a big-endian number: an EUI-64
// with the universal/local bit inverted (RFC 4291 appendix A), an EUI-48 widened with
// fffe first, a short address as 0000:00ff:fe00:XXXX (RFC 6282 section 3.2.2). It is 0
// for the zero LinkAddr.
func (a LinkAddr) IID() uint64 {
	switch a.n {
	case 2:
		return 0x0000_00ff_fe00_0000 | a.v
	case 6:
		return (a.v>>24<<40 | 0xfffe<<24 | a.v&0xffffff) ^ 0x0200_0000_0000_0000
	case 8:
		return a.v ^ 0x0200_0000_0000_0000
	}
	return 0
}

// String returns the bytes in hexadecimal with colons between: "02:00:5e:10:00:00:00:01".
func (a LinkAddr) String() string {
	if a.n == 0 {
		return ""
	}
	b := make([]byte, 0, 23)
	for i := int(a.n) - 1; i >= 0; i-- {
		c := byte(a.v >> (8 * i))
		b = append(b, hexDigit[c>>4], hexDigit[c&15])
		if i > 0 {
			b = append(b, ':')
		}
	}
	return string(b)
}

const hexDigit = "0123456789abcdef"

// MarshalText encodes a as [LinkAddr.String] does.
func (a LinkAddr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText decodes what [ParseLinkAddr] accepts; empty text is the zero LinkAddr.
func (a *LinkAddr) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*a = LinkAddr{}
		return nil
	}
	*a, err = ParseLinkAddr(string(b))
	return err
}

// ParseLinkAddr reads 2, 6 or 8 bytes of hexadecimal, with colons, dashes or nothing
// between the bytes.
func ParseLinkAddr(s string) (LinkAddr, error) {
	h := strings.NewReplacer(":", "", "-", "").Replace(s)
	var n uint8
	switch len(h) {
	case 4, 12, 16:
		n = uint8(len(h) / 2)
	default:
		return LinkAddr{}, fmt.Errorf("link-layer address %q: want 2, 6 or 8 bytes of hexadecimal", s)
	}
	v, err := strconv.ParseUint(h, 16, 64)
	if err != nil {
		return LinkAddr{}, fmt.Errorf("link-layer address %q: %w", s, errors.Unwrap(err))
	}
	return LinkAddr{v, n}, nil
}

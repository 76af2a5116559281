package decode

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"border-router/lowpan"
)

// DefaultZEPPort is the UDP port of ZEP.
const DefaultZEPPort = 17754

// Options are what the lines and packets themselves do not say.
type Options struct {
	Contexts lowpan.Contexts // a line of JSON with contexts has only its own
	Key      *[16]byte       // of MAC security; nil: secured frames are not opened
	PAN      uint16          // of lines that name none, and of encoded frames
	OnlyPAN  bool            // drop frames of other PANs than PAN
	ZEPPort  uint16          // default DefaultZEPPort
	GHC      bool            // accept and, when encoding, use generic header compression
	AnyFCS   bool            // decode frames whose FCS is wrong
	Format   Format

	// For Encode.
	ChecksumElision bool // leave out UDP checksums
	PlainExtHeaders bool // carry extension headers uncompressed
	RoutingHeaders  bool // encode tunnels, options and source routes of RPL by RFC 8138
}

// A Format is what [Decoder.Read] writes.
type Format uint8

// The formats.
const (
	FormatJSON   Format = iota // a line for each line or packet
	FormatTree                 // text, a block for each line or packet
	FormatPcapng               // the IPv6 packets
)

// ParseContext reads "ID=PREFIX/LEN", as in "0=fd00:0:0:1::/64", and sets it in c. Without
// "/LEN" the prefix has 64 bits.
func ParseContext(c *lowpan.Contexts, s string) error {
	id, prefix, ok := strings.Cut(s, "=")
	n, err := strconv.Atoi(id)
	if !ok || err != nil || n < 0 || n >= lowpan.NumContexts {
		return fmt.Errorf("context %q: want ID=PREFIX/LEN with an ID from 0 to 15, such as 0=fd00::/64", s)
	}
	p, err := parsePrefix(prefix, -1)
	if err != nil || !c.Set(n, lowpan.Context{Prefix: p, Compress: true}) {
		return fmt.Errorf("context %q: %q is no IPv6 prefix; want ID=PREFIX/LEN, such as 0=fd00::/64", s, prefix)
	}
	return nil
}

// ParseKey reads the 16 bytes of a key in hexadecimal.
func ParseKey(s string) (*[16]byte, error) {
	b, err := unhex(nil, s)
	if err != nil || len(b) != 16 {
		return nil, errors.New("want 16 bytes in hexadecimal")
	}
	k := [16]byte(b)
	return &k, nil
}

// ParsePAN reads a PAN identifier in hexadecimal, with or without 0x before it.
func ParsePAN(s string) (uint16, error) {
	v, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X"), 16, 16)
	if err != nil {
		return 0, fmt.Errorf("PAN %q: want up to four hexadecimal digits", s)
	}
	return uint16(v), nil
}

// ParseRoot reads the address of an RPL root.
func ParseRoot(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() {
		return netip.Addr{}, errors.New("want an IPv6 address")
	}
	return a.WithZone(""), nil
}

// ParseRPLOption reads the type of the RPL option in hexadecimal, with or without 0x before it.
func ParseRPLOption(s string) (uint8, error) {
	v, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X"), 16, 8)
	if err != nil || v != 0x23 && v != 0x63 {
		return 0, errors.New("want 23 (RFC 9008) or 63 (RFC 6553)")
	}
	return uint8(v), nil
}

var errHex = errors.New("no hexadecimal")

// unhex appends the bytes that s holds in hexadecimal. Colons, dashes, commas, blanks and "0x"
// may stand before bytes.
func unhex[T ~string | ~[]byte](b []byte, s T) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		h := nibble[s[i]]
		if h > 15 {
			if h == separator {
				continue
			}
			return b, errHex
		}
		i++
		if h == 0 && i < len(s) && s[i]|0x20 == 'x' {
			continue
		}
		if i == len(s) || nibble[s[i]] > 15 {
			return b, errHex
		}
		b = append(b, h<<4|nibble[s[i]])
	}
	return b, nil
}

const separator = 0x20

var nibble = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c >= '0' && c <= '9':
			t[i] = c - '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			t[i] = (c | 0x20) - 'a' + 10
		case strings.IndexByte(" \t\r\n:-,", c) >= 0:
			t[i] = separator
		default:
			t[i] = 0xff
		}
	}
	return
}()

package ieee802154

import "fmt"

// An AddrMode is an addressing mode as it stands in the frame control field (section
// 7.2.2.9). The value 1 is reserved.
type AddrMode uint8

// The addressing modes.
const (
	AddrNone     AddrMode = 0 // no address and no PAN identifier
	AddrShort    AddrMode = 2 // 2 bytes
	AddrExtended AddrMode = 3 // EUI-64, 8 bytes
)

// Len returns how many bytes an address of this mode takes: 0, 2 or 8.
func (m AddrMode) Len() int {
	switch m {
	case AddrShort:
		return 2
	case AddrExtended:
		return 8
	}
	return 0
}

// Well-known identifiers.
const (
	BroadcastPAN   = 0xffff // every PAN
	BroadcastShort = 0xffff // every device; as an own address: none
	NoShort        = 0xfffe // associated, but without a short address
)

// An Addr is a short or extended address, or none. It is comparable. V is the address as
// printed (big-endian); a short address stands in its low 16 bits.
type Addr struct {
	V    uint64
	Mode AddrMode
}

// Short returns the short address v.
func Short(v uint16) Addr { return Addr{uint64(v), AddrShort} }

// Extended returns the extended address (EUI-64) v.
func Extended(v uint64) Addr { return Addr{v, AddrExtended} }

// IsBroadcast reports whether a is the short address ffff.
func (a Addr) IsBroadcast() bool { return a.Mode == AddrShort && a.V == BroadcastShort }

// String returns "none", "1234" or "acde480000000001".
func (a Addr) String() string {
	switch a.Mode {
	case AddrShort:
		return fmt.Sprintf("%04x", uint16(a.V))
	case AddrExtended:
		return fmt.Sprintf("%016x", a.V)
	}
	return "none"
}

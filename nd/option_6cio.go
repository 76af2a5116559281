package nd

import (
	"encoding/binary"

	"border-router/ipv6"
)

// A Capability is the bit field of the 6LoWPAN Capability Indication option, 6CIO (RFC
// 7400 section 3.3, RFC 8505 section 4.3): 48 bits, the first 16 of them uppermost.
//
//	 0                   1                   2                   3
//	|     Type      |   Length = 1  |     Reserved      |D|L|B|P|E|G|
//	|                           Reserved                            |
type Capability uint64

// Bits of a [Capability].
const (
	CapabilityGHC    Capability = 1 << 32 // G: generic header compression
	CapabilityEARO   Capability = 1 << 33 // E: extended ARO
	CapabilityRoutes Capability = 1 << 34 // P: routing registrar
	CapabilityBorder Capability = 1 << 35 // B: 6LBR
	CapabilityRouter Capability = 1 << 36 // L: 6LR
	CapabilityDAD    Capability = 1 << 37 // D: EDAR and EDAC
)

// DefaultCapability is what a [Router] announces: 6LBR and 6LR with EARO and EDAR.
const DefaultCapability = CapabilityEARO | CapabilityBorder | CapabilityRouter | CapabilityDAD

// ParseCapability decodes a 6CIO.
func ParseCapability(o Option) (Capability, bool) {
	if o.Type != OptionCapability || len(o.Data) < 6 {
		return 0, false
	}
	return Capability(binary.BigEndian.Uint16(o.Data))<<32 | Capability(binary.BigEndian.Uint32(o.Data[2:])), true
}

// capabilities returns what a 6CIO among the options says; nothing without one.
func capabilities(o Options) (c Capability) {
	if x, ok := o.Find(OptionCapability); ok {
		c, _ = ParseCapability(x)
	}
	return c
}

// Capability returns what the node at ll has announced in a 6CIO (RFC 7400 section 3.3), 0
// where it has announced none.
func (r *Router) Capability(ll ipv6.LinkAddr) Capability {
	if n := r.nodes[ll]; n != nil {
		return n.caps
	}
	return 0
}

// AppendBinary appends the option, 8 bytes, to b. The error is always nil.
func (c Capability) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, OptionCapability, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(c>>32))
	return binary.BigEndian.AppendUint32(b, uint32(c)), nil
}

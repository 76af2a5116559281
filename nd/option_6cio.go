package nd

// A Capability is the bit field of the 6LoWPAN Capability Indication option, 6CIO (RFC
// 7400 section 3.3, RFC 8505 section 4.3): 48 bits, the first 16 of them in the upper part.
type Capability uint64

// Bits of a [Capability].
const (
	CapabilityGHC      Capability = 1 << 32 // G: generic header compression
	CapabilityEARO     Capability = 1 << 33 // E: extended ARO
	CapabilityRegistry Capability = 1 << 34 // P: 6LBR that serves as registry for others (routing registrar: P)
	CapabilityBorder   Capability = 1 << 35 // B: 6LBR
	CapabilityLocal    Capability = 1 << 36 // L: 6LR
	CapabilityDAD      Capability = 1 << 37 // D: supports EDAR and EDAC
)

// DefaultCapability is what a [Router] announces: 6LBR and 6LR with EARO and EDAR.
const DefaultCapability = CapabilityEARO | CapabilityBorder | CapabilityLocal | CapabilityDAD

package ipv6

import "encoding/binary"

// Types of hop-by-hop and destination options (IANA "Destination Options and Hop-by-Hop
// Options"). The upper two bits say what a node does that does not know the type, the
// third whether the data may change on the way.
const (
	OptPad1        = 0x00
	OptPadN        = 0x01
	OptTunnelLimit = 0x04 // RFC 2473 section 4.1.1
	OptRouterAlert = 0x05 // RFC 2711
	OptRPL         = 0x23 // RFC 9008
	OptRPLOld      = 0x63 // RFC 6553
)

// Codes of Parameter Problem (RFC 4443 section 3.4, RFC 7112, RFC 8883).
const (
	ProblemHeaderField   = 0 // erroneous header field
	ProblemNextHeader    = 1 // unrecognized Next Header type
	ProblemOption        = 2 // unrecognized IPv6 option
	ProblemFirstFragment = 3 // first fragment has an incomplete header chain
	ProblemTooManyHdrs   = 8 // too many extension headers
	ProblemTooManyOpts   = 9 // too many options in an extension header
)

const (
	maxExtHeaders = 8 // RFC 8504 section 5.3: a node may limit the chain; RFC 8200 recommends at most seven
	maxOptions    = 8 // RFC 8504 section 5.3: options other than Pad1 and PadN in one header
	maxPadding    = 7 // RFC 8504 section 5.3: consecutive bytes of padding
)

// A chain is the outcome of a walk along the extension headers.
type chain struct {
	proto    uint8 // what stands at off
	off      int   // offset in the packet of the first header that was not walked over
	named    int   // offset of the Next Header byte that holds proto
	frag     int   // offset of the fragment header that was walked over, 0 if none
	err      Drop  // 0 where the chain holds
	answer   bool  // err asks for a Parameter Problem with the next two fields
	code     uint8
	pointer  uint32
	toGroups bool // ... even where the packet went to a group
}

func (c *chain) fail(d Drop) { c.err = d }

func (c *chain) problem(d Drop, code uint8, pointer int) {
	c.err, c.answer, c.code, c.pointer = d, true, code, uint32(pointer)
}

// The ways to walk.
const (
	walkUpper     = iota // as the destination does: stop at a fragment that is not the whole
	walkFirst            // go on into a first fragment
	walkHopByHop         // only the hop-by-hop options, as every router on the way may
	walkUnchecked        // go on into a first fragment, look at no option
)

// walk follows the Next Header fields of p (RFC 8200 section 4.1). Any order is taken,
// except that hop-by-hop options come first only.
func (p Packet) walk(mode int) (c chain) {
	c.proto, c.off, c.named = p[6], HeaderLen, 6
	for n := 0; ; n++ {
		var size int
		switch c.proto {
		case ProtoHopByHop:
			if n > 0 {
				// RFC 8200 section 4.1: restricted to appear immediately after the IPv6 header.
				c.problem(DropExtHeader, ProblemNextHeader, c.named)
				return
			}
		case ProtoDstOpts, ProtoRouting:
			if mode == walkHopByHop {
				return
			}
		case ProtoFragment:
			if mode == walkHopByHop {
				return
			}
			if len(p)-c.off < FragmentHeaderLen {
				c.fail(DropTruncated)
				return
			}
			field := binary.BigEndian.Uint16(p[c.off+2:])
			first, whole := field&^7 == 0, field&^6 == 0
			if !whole && (mode == walkUpper || !first) {
				return
			}
			c.frag = c.off
			size = FragmentHeaderLen
		default:
			return
		}
		if c.off == len(p) {
			c.fail(DropTruncated)
			return
		}
		if n == maxExtHeaders {
			c.problem(DropExtHeader, ProblemTooManyHdrs, c.off)
			return
		}
		if size == 0 {
			if len(p)-c.off < 2 {
				c.fail(DropTruncated)
				return
			}
			size = 8 * (1 + int(p[c.off+1]))
			if size > len(p)-c.off {
				c.problem(DropTruncated, ProblemHeaderField, c.off+1)
				return
			}
			if mode != walkUnchecked {
				if c.proto == ProtoRouting {
					p.checkRouting(&c)
				} else {
					p.checkOptions(&c, size)
				}
				if c.err != 0 {
					return
				}
			}
		}
		c.proto, c.named, c.off = p[c.off], c.off, c.off+size
		if mode == walkHopByHop {
			return
		}
	}
}

// checkRouting handles a routing header at the node that the packet is addressed to. No
// type is implemented here: RFC 8200 section 4.4 passes over one with no segments left
// and answers any other with a Parameter Problem. Type 0 is refused with the rest (RFC
// 5095).
func (p Packet) checkRouting(c *chain) {
	if p[c.off+3] != 0 {
		c.problem(DropExtHeader, ProblemHeaderField, c.off+2)
	}
}

// checkOptions handles the options of the header of size bytes at c.off (RFC 8200
// section 4.2).
func (p Packet) checkOptions(c *chain, size int) {
	b := p[c.off : c.off+size]
	count, padding := 0, 0
	for i := 2; i < len(b); {
		if b[i] == OptPad1 {
			i++
			if padding++; padding > maxPadding {
				c.fail(DropOption)
				return
			}
			continue
		}
		if i+2 > len(b) {
			c.problem(DropOption, ProblemHeaderField, c.off+i)
			return
		}
		n := 2 + int(b[i+1])
		if i+n > len(b) {
			c.problem(DropOption, ProblemHeaderField, c.off+i+1)
			return
		}
		switch typ := b[i]; typ {
		case OptPadN:
			if padding += n; padding > maxPadding {
				c.fail(DropOption)
				return
			}
			i += n
			continue
		case OptRouterAlert:
			if n != 4 {
				c.problem(DropOption, ProblemHeaderField, c.off+i+1)
				return
			}
		case OptTunnelLimit, OptRPL, OptRPLOld:
		default:
			switch typ >> 6 {
			case 1:
				c.fail(DropOption)
				return
			case 2, 3:
				// 2: "regardless of whether or not the packet's Destination Address was
				// a multicast address", 3: only if it was not.
				c.problem(DropOption, ProblemOption, c.off+i)
				c.toGroups = typ>>6 == 2
				return
			}
		}
		padding = 0
		if count++; count > maxOptions {
			c.problem(DropOption, ProblemTooManyOpts, c.off+i)
			return
		}
		i += n
	}
}

// UpperLayer walks over the extension headers of a packet that has reached its
// destination (RFC 8200 section 4) and returns the protocol of what stands behind them
// and its offset in p, which may be len(p). It walks over hop-by-hop and destination
// options, a routing header with no segments left, and the fragment header of a packet
// that is whole all the same (RFC 6946). Any other fragment, the first included, ends the
// walk: proto is then [ProtoFragment] and off the offset of the fragment header.
//
// The error is a [Drop]: [DropTruncated] where a header goes beyond the packet,
// [DropExtHeader] for a chain that may not be, [DropOption] for an option that has to be
// refused. [ParamProblemFor] then tells what the sender is to hear of it.
func UpperLayer(p Packet) (proto uint8, off int, err error) {
	if n := p[6]; n != ProtoHopByHop && n != ProtoDstOpts && n != ProtoRouting && n != ProtoFragment {
		return n, HeaderLen, nil
	}
	c := p.walk(walkUpper)
	if c.err != 0 {
		return 0, 0, c.err
	}
	return c.proto, c.off, nil
}

// CheckHopByHop handles the hop-by-hop options of a packet, which every node on its way
// looks at (RFC 8200 section 4.3). It costs one comparison where there are none. Errors
// are as those of [UpperLayer].
func CheckHopByHop(p Packet) error {
	if p[6] != ProtoHopByHop {
		return nil
	}
	if c := p.walk(walkHopByHop); c.err != 0 {
		return c.err
	}
	return nil
}

// ParamProblemFor returns code and pointer of the Parameter Problem that answers a packet
// refused by [UpperLayer] or [CheckHopByHop]. ok is false where nothing is to be sent:
// the chain holds, or it is to be discarded silently, or the packet went to a group and
// the option asks for an answer to unicast packets only. Whether an error may be sent at
// all is for [ErrorAllowed] to say.
func ParamProblemFor(p Packet) (code uint8, pointer uint32, ok bool) {
	c := p.walk(walkUpper)
	if !c.answer || p.IsMulticast() && !c.toGroups {
		return 0, 0, false
	}
	return c.code, c.pointer, true
}

// NextHeaderOffset returns the offset in p of the Next Header byte that names the header
// at off: the pointer of a Parameter Problem with code 1. It is 6, the byte in the fixed
// header, where no walk along p comes to off.
func NextHeaderOffset(p Packet, off int) int {
	at, named, proto := HeaderLen, 6, p[6]
	for range maxExtHeaders {
		if at == off || len(p)-at < FragmentHeaderLen {
			break
		}
		var size int
		switch proto {
		case ProtoHopByHop, ProtoDstOpts, ProtoRouting:
			size = 8 * (1 + int(p[at+1]))
		case ProtoFragment:
			size = FragmentHeaderLen
		default:
			return 6
		}
		proto, named, at = p[at], at, at+size
		if at > len(p) {
			return 6
		}
	}
	if at != off {
		return 6
	}
	return named
}

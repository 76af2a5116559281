package lowpan

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// NumContexts is the number of context identifiers (RFC 6282 section 3.1.2).
const NumContexts = 16

// A Context is the state shared by a mesh that lets a prefix be left out of a compressed
// address (RFC 6282 section 3.1.2, RFC 6775 section 5.4).
type Context struct {
	// Prefix may have any length from 0 to 128 bits. Bits behind the length are ignored.
	// The zero Prefix means that there is no such context.
	Prefix netip.Prefix

	// Compress is the C flag of the 6LoWPAN Context Option (RFC 6775 section 4.2): false
	// means that the context is for decompression only.
	Compress bool

	// Expires ends the use for compression; from then on the context still decompresses
	// until it is replaced or removed (RFC 6775 section 5.4.3). Zero: never.
	Expires time.Time
}

// Contexts holds the contexts of one mesh. The zero value has none. Reading is safe from
// any number of goroutines as long as nobody calls Set.
type Contexts struct {
	// AcceptGHC lets Decompress understand Generic Header Compression (RFC 7400), as a
	// router that sets the G flag of the 6LoWPAN Capability Indication Option must. Without
	// it GHC is an unknown NHC id.
	AcceptGHC bool

	// SourceRoutes restores source routing headers (SRH-6LoRH, RFC 8138 section 5), as a router
	// or root of an RPL domain has to that forwards what they say. Others must not: "the desired
	// reaction for the non-RPL router is to drop the packet" (section 5.1).
	SourceRoutes bool

	// RPLOption is the type of the option that RPI-6LoRH stands for, "the RPI Option Type that
	// is currently active" (RFC 9008 section 4.3): 0x23, or 0x63 as of RFC 6553 where the DODAG
	// Configuration option does not have the flag for the former. Zero: 0x23.
	RPLOption uint8

	// Root is the address of the root of the RPL instance, to which IP-in-IP-6LoRH refers
	// (RFC 8138 section 7). The zero Addr: there is none.
	Root netip.Addr

	// Limits bounds what a compressed datagram may hold.
	Limits HeaderLimits

	e        [NumContexts]contextEntry
	valid    uint16 // bit n: context n exists
	compress uint16 // bit n: context n has the C flag
	timed    uint16 // bit n: context n has an end
	ctx      [NumContexts]Context
}

// HeaderLimits bounds the headers of a compressed datagram. A zero field, or one beyond its
// default, stands for the default. A datagram beyond a limit is dropped, not cut.
type HeaderLimits struct {
	// Contexts is how many context identifiers there are, from 0 on. Default 16. Others are
	// refused by [Contexts.Set], and [DropContext] where a datagram refers to them.
	Contexts int

	// Nested is how many IPv6 headers may be in a datagram, the outermost included, be they
	// tunnels by LOWPAN_NHC or by IP-in-IP-6LoRH. Default 4. Beyond: [DropNesting].
	Nested int

	// Headers is how many headers LOWPAN_NHC, or 6LoRH, may stand for in a datagram. Default
	// 16. Beyond: [DropNesting].
	Headers int

	// ExtHeader is how many bytes of an extension header may follow its length byte while it
	// is compressed. Default 255, all that the length byte can state. Beyond:
	// [DropExtHeaderLimit].
	ExtHeader int
}

func atMost(v, limit int) int {
	if v <= 0 || v > limit {
		return limit
	}
	return v
}

// A contextEntry is a prefix in the form that makes reconstruction two operations: the
// address is hi, lo | iid&^maskLo ("bits covered by context information are always used",
// RFC 6282 section 3.1.1).
type contextEntry struct {
	hi, lo uint64 // prefix, zero behind its length
	maskLo uint64 // which bits of lo the prefix covers
	plen   uint8  // min(length, 64): the plen field of RFC 3306
}

// Set puts c in place of context id; a zero c.Prefix removes it. It reports false and
// changes nothing when id is not 0 to 15, or beyond [HeaderLimits], or the prefix is not one of IPv6.
func (c *Contexts) Set(id int, x Context) bool {
	if id < 0 || id >= atMost(c.Limits.Contexts, NumContexts) {
		return false
	}
	bit := uint16(1) << id
	if x.Prefix == (netip.Prefix{}) {
		c.e[id], c.ctx[id] = contextEntry{}, Context{}
		c.valid &^= bit
		c.compress &^= bit
		c.timed &^= bit
		return true
	}
	if !x.Prefix.IsValid() || !x.Prefix.Addr().Is6() {
		return false
	}
	x.Prefix = x.Prefix.Masked()
	a := x.Prefix.Addr().As16()
	n := x.Prefix.Bits()
	e := contextEntry{
		hi:   binary.BigEndian.Uint64(a[:8]),
		lo:   binary.BigEndian.Uint64(a[8:]),
		plen: uint8(min(n, 64)),
	}
	if n > 64 {
		e.maskLo = ^uint64(0) << (128 - n)
	}
	c.e[id], c.ctx[id] = e, x
	c.valid |= bit
	c.compress &^= bit
	c.timed &^= bit
	if x.Compress {
		c.compress |= bit
	}
	if !x.Expires.IsZero() {
		c.timed |= bit
	}
	return true
}

// Get returns context id as it was set, its prefix masked, and whether there is one.
func (c *Contexts) Get(id int) (Context, bool) {
	if id < 0 || id >= NumContexts || c.valid>>id&1 == 0 {
		return Context{}, false
	}
	return c.ctx[id], true
}

// usable returns the contexts that may compress at the time now; the zero time ignores
// their ends.
func (c *Contexts) usable(now time.Time) uint16 {
	if c.compress&c.timed == 0 {
		return c.compress
	}
	return c.unexpired(now)
}

// unexpired is usable where contexts have an end.
func (c *Contexts) unexpired(now time.Time) uint16 {
	m := c.compress
	if now.IsZero() {
		return m
	}
	for t := m & c.timed; t != 0; t &= t - 1 {
		id := bits.TrailingZeros16(t)
		if !now.Before(c.ctx[id].Expires) {
			m &^= 1 << id
		}
	}
	return m
}

// On the packet path a Link is filled in field by field and passed by reference: it is too
// large for registers, and a processor waits where it copies what it has just written.

// A Link holds the link-layer addresses of the frame that carries a datagram. Elided
// interface identifiers come from them (RFC 6282 section 3.2.2). PAN takes no part in
// that: it belongs to the form of RFC 4944 section 6, which RFC 6282 replaced.
type Link struct {
	Src, Dst ipv6.LinkAddr
	PAN      uint16
}

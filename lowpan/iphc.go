package lowpan

import (
	"time"

	"border-router/ipv6"
)

// CompressOptions says what the receiver of a datagram is known to understand.
type CompressOptions struct {
	// Now is the time at which the ends of contexts are looked at; zero ignores them.
	Now time.Time

	// ElideUDPChecksum leaves out a right UDP checksum (RFC 6282 section 4.3.2). Only for
	// receivers that are known to restore it.
	ElideUDPChecksum bool

	// PlainExtHeaders carries extension headers and tunnelled IPv6 headers as they are
	// instead of by LOWPAN_NHC (RFC 6282 section 4.2): lwIP and Linux drop the latter.
	PlainExtHeaders bool
}

// A Result says what [Contexts.DecompressFirst] has restored.
type Result struct {
	N        int // bytes of the datagram in dst: headers and as much payload as was present
	Checksum int // offset of a UDP header whose elided checksum waits for the rest of the datagram; 0: none
}

// Decompress restores the datagram b, an IPHC (RFC 6282) or uncompressed (RFC 4944
// section 5.1) one with its dispatch, into dst[:cap(dst)] and returns its length in bytes.
// size is the datagram_size of the FRAG1 header that b came behind, 0 for a whole datagram.
// With a size, n may be smaller than it: the rest comes with further fragments; an elided
// UDP checksum is then [DropChecksum], for [Contexts.DecompressFirst] to handle. dst and b
// must not overlap. The error is a [Drop].
func (c *Contexts) Decompress(dst, b []byte, l Link, size int) (n int, err error) {
	r, err := c.DecompressFirst(dst, b, l, size)
	if err == nil && r.Checksum != 0 {
		return 0, DropChecksum
	}
	return r.N, err
}

// DecompressFirst is Decompress for a first fragment. Where the sender left out a UDP
// checksum and size says that there is more to come, r.Checksum is the offset of that UDP
// header: call [FinishChecksum] with it once the datagram is whole.
func (c *Contexts) DecompressFirst(dst, b []byte, l Link, size int) (r Result, err error) {
	return Result{}, DropDispatch
}

// FinishChecksum computes the checksum of the UDP header at offset off of the whole
// datagram p and stores it there (RFC 6282 section 4.3.2). off is the Checksum of the
// [Result] of the first fragment. The error is a [Drop].
func FinishChecksum(p []byte, off int) error {
	return DropChecksum
}

// Compress appends to dst the dispatch and compressed headers of p, as short as contexts,
// link addresses and options allow, and returns the extended slice and how many bytes of p
// they stand for: what follows on the air is p[consumed:]. The error is a [Drop].
func (c *Contexts) Compress(dst []byte, p ipv6.Packet, l Link, o CompressOptions) (hdr []byte, consumed int, err error) {
	dst = append(dst, 0x41)
	return dst, 0, nil
}

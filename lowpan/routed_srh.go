package lowpan

import (
	"encoding/binary"
	"math/bits"
)

// A route is the routing header of RFC 6554 that SRH-6LoRH headers in a row stand for, and the
// destination of the IPv6 header in front of it.
//
// What the headers leave open is chosen so that the header is as short as it can be without
// having to be written anew on its way:
//
//   - CmprI is how many bytes all addresses but the last have in common with the destination.
//     CmprE is that of the last address, but no more than CmprI. For every one of the addresses
//     becomes the destination in turn, whose prefix the elided bytes are (RFC 6554 section 3),
//     and routers swap addresses in place (section 4.2). A header of one address has one for
//     both. Where all nodes have the same prefix, this is what Contiki-NG and Linux write.
//   - Segments Left is the number of addresses: the ones passed are not in SRH-6LoRH.
//   - Pad is the least, and zeros.
type route struct {
	first, last [16]byte // destination of the IPv6 header, and the last address of the route
	n           int      // addresses in the header: Segments Left
	cmprI       uint8
	cmprE       uint8
	pad         uint8
	size        int // of the header; 0: there is none, the destination is all
}

const (
	srhType     = 3 // RFC 6554 section 3
	srhFixed    = 8
	maxSegments = 255
)

// hops walks over the addresses of SRH-6LoRH headers in a row.
type hops struct {
	rest []byte   // headers to come
	data []byte   // addresses to come of the header in hand
	size int      // of each
	addr [16]byte // the compression reference, then the address in hand
}

// next takes the next address. "The reference for each subsequent entry is the address of its
// predecessor once it is uncompressed" (RFC 8138 section 5.4).
func (h *hops) next() bool {
	if len(h.data) == 0 {
		if len(h.rest) == 0 {
			return false
		}
		h.size = 1 << h.rest[1]
		n := 2 + (int(h.rest[0]&^lorhMask)+1)*h.size
		h.data, h.rest = h.rest[2:n], h.rest[n:]
	}
	copy(h.addr[16-h.size:], h.data[:h.size])
	h.data = h.data[h.size:]
	return true
}

// planRoute returns the route that srh, one or more SRH-6LoRH headers, stand for with the
// compression reference ref. final, where it is not nil, is the destination behind the last
// hop, which LOWPAN_IPHC has: "the last entry in the last SRH-6LoRH is the last router on the
// way to the final destination", or "can be the final destination" (section 5.2.2), which then
// comes once. The reason is [DropExtHeader] where no header can hold it.
func planRoute(srh []byte, ref, final *[16]byte) (r route, drop Drop) {
	h := hops{rest: srh, addr: *ref}
	h.next()
	r.first, r.last = h.addr, h.addr
	r.cmprI = 15
	for h.next() {
		r.add(&h.addr)
	}
	if final != nil && r.last != *final {
		r.add(final)
	}
	if r.n > 0 {
		drop = r.finish()
	}
	return r, drop
}

// finish settles the form of the header once it has all addresses.
func (r *route) finish() Drop {
	r.cmprE = min(commonBytes(&r.first, &r.last), r.cmprI)
	if r.n == 1 {
		r.cmprI = r.cmprE
	}
	r.size = srhFixed + (r.n-1)*(16-int(r.cmprI)) + 16 - int(r.cmprE)
	r.pad = uint8(-r.size & 7)
	r.size += int(r.pad)
	if r.n > maxSegments || r.size > 8*256 {
		return DropExtHeader
	}
	return 0
}

// add puts a behind the addresses of r.
func (r *route) add(a *[16]byte) {
	if r.n > 0 {
		r.cmprI = min(r.cmprI, commonBytes(&r.first, &r.last))
	}
	r.n++
	r.last = *a
}

// commonBytes is how many bytes at the beginning of a and b are equal, at most 15.
func commonBytes(a, b *[16]byte) uint8 {
	if x := binary.BigEndian.Uint64(a[:]) ^ binary.BigEndian.Uint64(b[:]); x != 0 {
		return uint8(bits.LeadingZeros64(x) / 8)
	}
	x := binary.BigEndian.Uint64(a[8:]) ^ binary.BigEndian.Uint64(b[8:])
	return uint8(min(8+bits.LeadingZeros64(x)/8, 15))
}

// put writes the header to p, where srh, ref and final are those of planRoute. It is of r.size
// bytes.
func (r *route) put(p []byte, next uint8, srh []byte, ref, final *[16]byte) {
	p = p[:r.size]
	clear(p[:srhFixed])
	p[0], p[1], p[2], p[3] = next, uint8(r.size/8-1), srhType, uint8(r.n)
	p[4], p[5] = r.cmprI<<4|r.cmprE, r.pad<<4
	h := hops{rest: srh, addr: *ref}
	h.next()
	at := srhFixed
	for k := 1; k < r.n; k++ {
		h.next()
		at += copy(p[at:], h.addr[r.cmprI:])
	}
	at += copy(p[at:], r.last[r.cmprE:])
	clear(p[at:])
}

package lowpan

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"border-router/ipv6"
)

// CompressOptions says what the receiver of a datagram is known to understand.
type CompressOptions struct {
	// Now is the time at which the ends of contexts are looked at; zero ignores them.
	Now time.Time

	// ElideUDPChecksum leaves out a right UDP checksum (RFC 6282 section 4.3.2: only with
	// the consent of the upper layer). A wrong one stays, so that the receiver sees it.
	ElideUDPChecksum bool

	// PlainExtHeaders carries extension headers and tunnelled IPv6 headers as they are
	// instead of by LOWPAN_NHC (RFC 6282 section 4.2): lwIP and Linux drop the latter.
	PlainExtHeaders bool

	// NoContexts compresses addresses without contexts: the receiver may not have ours
	// (those who know no 6CO have none, or others).
	NoContexts bool

	// GHC encodes extension headers, the payload of UDP, and ICMPv6 by RFC 7400 where that
	// is shorter and they have at most 256 bytes. Behind UDP and ICMPv6 that are encoded so
	// nothing is left: consumed is then the whole packet. Meant for a datagram that has to
	// fit into one frame.
	GHC bool

	// RoutingHeaders encodes tunnels, the RPL option and the source routing header of RPL in
	// front of LOWPAN_IPHC (6LoRH, RFC 8138), for receivers that know it: "all nodes, or no nodes
	// at all" of a network (section 8). For dst not to be allocated anew it then takes room for
	// twice the packet.
	RoutingHeaders bool

	outer uint8 // tunnels that are encoded already
}

const (
	maxIPHC    = 2 + 1 + 4 + 1 + 1 + 16 + 16 // bytes of LOWPAN_IPHC with all fields in-line
	maxUDPNHC  = 7
	compressed = maxIPHC + maxUDPNHC
)

// Compress appends to dst the dispatch and compressed headers of p, as short as contexts,
// link addresses and options allow, and returns the extended slice and how many bytes of p
// they stand for: what follows on the air is p[consumed:]. It allocates only where dst lacks
// room for 64 bytes plus the extension headers. The error is a [Drop]: [DropVersion],
// [DropTruncated] or [DropLength] where p is not what [ipv6.Parse] returns.
func (c *Contexts) Compress(dst []byte, p ipv6.Packet, l Link, o CompressOptions) (hdr []byte, consumed int, err error) {
	if o.RoutingHeaders {
		return c.compressRouted(dst, p, &l, c.usable(o.Now), &o)
	}
	return c.compressHeaders(dst, p, &l, c.usable(o.Now), &o)
}

// compressHeaders is Compress with the contexts in use, where o allows any. It looks neither
// at o.Now nor at o.RoutingHeaders.
func (c *Contexts) compressHeaders(dst []byte, p ipv6.Packet, l *Link, use uint16, o *CompressOptions) (hdr []byte, consumed int, err error) {
	if len(p) < ipv6.HeaderLen {
		return dst, 0, DropTruncated
	}
	if p[0]>>4 != 6 {
		return dst, 0, DropVersion
	}
	if int(binary.BigEndian.Uint16(p[4:]))+ipv6.HeaderLen != len(p) {
		return dst, 0, DropLength
	}
	if o.NoContexts {
		use = 0
	}
	at := len(dst)
	if cap(dst)-at < compressed {
		dst = slices.Grow(dst, compressed)
	}
	b := dst[at : at+compressed]
	off := ipv6.HeaderLen
	kind, x := planNHC(p[6], p[off:], 1, o)
	if o.GHC && p[6] == ipv6.ProtoICMPv6 && ghcShortens(p, 0, off) {
		kind = nhcIsICMP
	}
	n := c.encodeIPHC((*[maxIPHC]byte)(b), (*[ipv6.HeaderLen]byte)(p), kind != nhcNone,
		l.source(), l.destination(), use)
	switch kind {
	case nhcNone:
		return dst[:at+n], off, nil
	case nhcIsUDP:
		if o.GHC {
			break // it may be
		}
		n += encodeUDP(b[n:], p[off:off+udpHeaderLen], o.ElideUDPChecksum && udpSumRight(p, off))
		return dst[:at+n], off + udpHeaderLen, nil
	}
	return c.encodeChain(dst[:at+n], p, kind, x, l, use, o)
}

// What LOWPAN_NHC does with a header.
type nhcKind uint8

const (
	nhcNone nhcKind = iota // carried as it is
	nhcIsUDP
	nhcIsExt
	nhcIsIPv6
	nhcIsICMP // by RFC 7400
)

// planNHC returns how the header h of type proto, with all that follows it in the packet,
// is encoded behind headers other headers. Only what the decoder restores exactly is.
func planNHC(proto uint8, h []byte, headers int, o *CompressOptions) (nhcKind, extPlan) {
	switch proto {
	case ipv6.ProtoUDP:
		// The length is always elided: it must be what the rest of the packet says.
		if len(h) >= udpHeaderLen && int(binary.BigEndian.Uint16(h[4:])) == len(h) {
			return nhcIsUDP, extPlan{}
		}
	case ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoFragment, ipv6.ProtoDstOpts, ipv6.ProtoMobility:
		if o.PlainExtHeaders || headers > maxNHCHeaders {
			break
		}
		if x, ok := planExt(proto, h); ok {
			return nhcIsExt, x
		}
	case ipv6.ProtoIPv6:
		if o.PlainExtHeaders || headers > maxNHCHeaders || o.outer == maxNested-1 || len(h) < ipv6.HeaderLen || h[0]>>4 != 6 {
			break
		}
		if int(binary.BigEndian.Uint16(h[4:]))+ipv6.HeaderLen == len(h) {
			return nhcIsIPv6, extPlan{}
		}
	}
	return nhcNone, extPlan{}
}

// encodeChain encodes the headers of p behind the outermost IPv6 header, the first of which
// is of the given kind.
func (c *Contexts) encodeChain(dst []byte, p []byte, kind nhcKind, x extPlan, l *Link, use uint16, o *CompressOptions) ([]byte, int, error) {
	base, off, nested := 0, ipv6.HeaderLen, 1
	for headers := 2; ; headers++ {
		switch kind {
		case nhcIsICMP:
			hdr, _ := compressGHC(dst, p, ipv6.ProtoICMPv6, base, off, o)
			return hdr, len(p), nil

		case nhcIsUDP:
			if o.GHC {
				if hdr, ok := compressGHC(dst, p, ipv6.ProtoUDP, base, off, o); ok {
					return hdr, len(p), nil
				}
			}
			at := len(dst)
			dst = slices.Grow(dst, maxUDPNHC)[:at+maxUDPNHC]
			n := encodeUDP(dst[at:], p[off:off+udpHeaderLen], o.ElideUDPChecksum && udpSumRight(p, off))
			return dst[:at+n], off + udpHeaderLen, nil

		case nhcIsExt:
			h := p[off : off+x.size]
			off += x.size
			next, nx := planNHC(h[0], p[off:], headers, o)
			if next == nhcIsIPv6 && nested+int(o.outer) == maxNested {
				next = nhcNone
			}
			next = icmpByGHC(next, h[0], p, base, off, o)
			at := len(dst)
			if next != nhcNone {
				dst = append(dst, nhcExt|x.eid<<1|nhcNH)
			} else {
				dst = append(dst, nhcExt|x.eid<<1, h[0])
			}
			shorter := false
			if o.GHC && x.eid <= eidDstOpts {
				if dst, shorter = appendGHCExt(dst, h[2:2+x.data], p[base:]); shorter {
					dst[at] ^= nhcExt ^ nhcGHCExt
				}
			}
			if !shorter {
				dst = append(dst, uint8(x.data))
				dst = append(dst, h[2:2+x.data]...)
			}
			kind, x = next, nx

		case nhcIsIPv6:
			h := p[off : off+ipv6.HeaderLen]
			dst = append(dst, nhcExt|eidIPv6<<1)
			// An IID is elided only where the outer header and the frame both give it: see
			// decodeChain.
			src := l.source()
			src.ok = src.ok && src.v == binary.BigEndian.Uint64(p[base+16:])
			to := l.destination()
			to.ok = to.ok && to.v == binary.BigEndian.Uint64(p[base+32:])
			base = off
			nested++
			off += ipv6.HeaderLen
			next, nx := planNHC(h[6], p[off:], headers, o)
			if next == nhcIsIPv6 && nested+int(o.outer) == maxNested {
				next = nhcNone
			}
			next = icmpByGHC(next, h[6], p, base, off, o)
			at := len(dst)
			dst = slices.Grow(dst, maxIPHC)[:at+maxIPHC]
			n := c.encodeIPHC((*[maxIPHC]byte)(dst[at:]), (*[ipv6.HeaderLen]byte)(h), next != nhcNone, src, to, use)
			dst = dst[:at+n]
			kind, x = next, nx

		default:
			return dst, off, nil
		}
	}
}

// icmpByGHC returns what becomes of the header at off of p, of type proto, for which there is
// no other way than next: nhcIsICMP where RFC 7400 makes it shorter.
func icmpByGHC(next nhcKind, proto uint8, p []byte, base, off int, o *CompressOptions) nhcKind {
	if next == nhcNone && o.GHC && proto == ipv6.ProtoICMPv6 && ghcShortens(p, base, off) {
		return nhcIsICMP
	}
	return next
}

// An addrMode is one way to encode an address: the SAC and SAM, or M, DAC and DAM, bits
// and the number of bytes in-line. The zero value is no way at all.
type addrMode struct {
	mode uint8
	n    uint8
	id   uint8 // context, where mode has the SAC or DAC bit
}

const noMode = 0xff // in addrMode.n

// better returns the shorter of two modes, the first when they are equal.
func better(a, b addrMode) addrMode {
	if b.n < a.n {
		return b
	}
	return a
}

// encodeIPHC writes the compressed form of the IPv6 header h to b and returns its length.
// nh says that the next header is encoded by LOWPAN_NHC.
func (c *Contexts) encodeIPHC(b *[maxIPHC]byte, h *[ipv6.HeaderLen]byte, nh bool, src, dst iid, use uint16) int {
	sHi, sLo := binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[16:])
	dHi, dLo := binary.BigEndian.Uint64(h[24:]), binary.BigEndian.Uint64(h[32:])

	// The shortest way without contexts, with context 0 as well, and with any context:
	// identifiers other than 0 cost a byte, once for both addresses.
	var s, d addrMode
	if sHi|sLo == 0 {
		s.mode = iphcSAC >> 4
	} else {
		s = stateless(sHi, sLo, src)
	}
	multicast := dHi>>56 == 0xff
	if multicast {
		d = multicastMode(dHi, dLo)
	} else {
		d = stateless(dHi, dLo, dst)
	}
	if use != 0 && s.n|d.n != 0 {
		sn, dn := addrMode{n: noMode}, addrMode{n: noMode}
		for m := use; m != 0; m &= m - 1 {
			id := uint8(bits.TrailingZeros16(m))
			e := &c.e[id]
			if sHi == e.hi && sLo&e.maskLo == e.lo && s.n != 0 {
				x := e.stateful(sLo, src)
				x.id = id
				if id == 0 {
					s = better(s, x)
				} else {
					sn = better(sn, x)
				}
			}
			if d.n == 0 {
				continue
			}
			var x addrMode
			if multicast {
				// ffXX:XXLL:PPPP:PPPP:PPPP:PPPP:XXXX:XXXX (RFC 3306)
				if uint8(dHi>>32) != e.plen || dHi<<32|dLo>>32 != e.hi {
					continue
				}
				x = addrMode{mode: (iphcM | iphcDAC), n: 6}
			} else {
				if dHi != e.hi || dLo&e.maskLo != e.lo {
					continue
				}
				x = e.stateful(dLo, dst)
			}
			x.id = id
			if id == 0 {
				d = better(d, x)
			} else {
				dn = better(dn, x)
			}
		}
		if sb, db := better(s, sn), better(d, dn); sb.n+db.n+1 < s.n+d.n {
			s, d = sb, db
		}
	}

	n := 2
	b1 := s.mode<<4 | d.mode
	if s.id|d.id != 0 {
		b1 |= iphcCID
		b[2] = s.id<<4 | d.id
		n = 3
	}
	b[1] = b1

	first := binary.BigEndian.Uint32(h[:])
	ecn, dscp, flow := uint8(first>>20&3), uint8(first>>22&0x3f), first&0xfffff
	b0 := uint8(iphcDispatch)
	switch {
	case first == 6<<28:
		b0 |= 3 << 3
	case flow == 0:
		b0 |= 2 << 3
		b[n] = ecn<<6 | dscp
		n++
	case dscp == 0:
		b0 |= 1 << 3
		b[n], b[n+1], b[n+2] = ecn<<6|uint8(flow>>16), uint8(flow>>8), uint8(flow)
		n += 3
	default:
		binary.BigEndian.PutUint32(b[n:], uint32(ecn)<<30|uint32(dscp)<<24|flow)
		n += 4
	}
	if nh {
		b0 |= iphcNH
	} else {
		b[n] = h[6]
		n++
	}
	switch h[7] {
	case 1:
		b0 |= 1
	case 64:
		b0 |= 2
	case 255:
		b0 |= 3
	default:
		b[n] = h[7]
		n++
	}
	b[0] = b0

	switch s.n {
	case 16:
		binary.BigEndian.PutUint64(b[n:], sHi)
		binary.BigEndian.PutUint64(b[n+8:], sLo)
	case 8:
		binary.BigEndian.PutUint64(b[n:], sLo)
	case 2:
		binary.BigEndian.PutUint16(b[n:], uint16(sLo))
	}
	n += int(s.n)

	switch d.n {
	case 16:
		binary.BigEndian.PutUint64(b[n:], dHi)
		binary.BigEndian.PutUint64(b[n+8:], dLo)
	case 8:
		binary.BigEndian.PutUint64(b[n:], dLo)
	case 6:
		if d.mode&iphcDAC != 0 {
			binary.BigEndian.PutUint16(b[n:], uint16(dHi>>40))
		} else {
			binary.BigEndian.PutUint16(b[n:], uint16(dHi>>40&0xff00|dLo>>32))
		}
		binary.BigEndian.PutUint32(b[n+2:], uint32(dLo))
	case 4:
		binary.BigEndian.PutUint32(b[n:], uint32(dHi>>48)<<24|uint32(dLo))
	case 2:
		binary.BigEndian.PutUint16(b[n:], uint16(dLo))
	case 1:
		b[n] = uint8(dLo)
	}
	return n + int(d.n)
}

// stateless returns the shortest way to encode a unicast address without a context.
func stateless(hi, lo uint64, link iid) addrMode {
	switch {
	case hi != linkLocalHi:
		return addrMode{mode: 0, n: 16}
	case link.ok && lo == link.v:
		return addrMode{mode: 3, n: 0}
	case lo&^0xffff == shortIID:
		return addrMode{mode: 2, n: 2}
	}
	return addrMode{mode: 1, n: 8}
}

// stateful returns the shortest way to encode with e an address that it covers; lo is the
// lower half of the address.
func (e *contextEntry) stateful(lo uint64, link iid) addrMode {
	rest := lo &^ e.maskLo // what must come from the IID
	switch {
	case link.ok && rest == link.v&^e.maskLo, e.maskLo == ^uint64(0):
		return addrMode{mode: iphcDAC | 3, n: 0}
	case rest == (shortIID|lo&0xffff)&^e.maskLo:
		return addrMode{mode: iphcDAC | 2, n: 2}
	}
	return addrMode{mode: iphcDAC | 1, n: 8}
}

// multicastMode returns the shortest way to encode a multicast address without a context.
func multicastMode(hi, lo uint64) addrMode {
	if hi&0xffff_ffff_ffff == 0 {
		switch {
		case hi == 0xff02<<48 && lo>>8 == 0:
			return addrMode{mode: iphcM | 3, n: 1}
		case lo>>24 == 0:
			return addrMode{mode: iphcM | 2, n: 4}
		case lo>>40 == 0:
			return addrMode{mode: iphcM | 1, n: 6}
		}
	}
	return addrMode{mode: iphcM, n: 16}
}

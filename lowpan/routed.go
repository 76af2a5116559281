package lowpan

import (
	"encoding/binary"

	"border-router/ipv6"
)

const (
	// optionRPI is the type of the option that an RPI-6LoRH stands for: the one of RFC 9008
	// section 3.1, which nodes outside of the RPL domain skip. The header carries no type.
	optionRPI = 0x23
	rpiLen    = 8 // a hop-by-hop options header with this option
)

// DecompressRouted restores the datagram b, which begins with [Page1] and has routing headers
// (RFC 8138) before its LOWPAN_IPHC, as [Contexts.Decompress] does with others: the packet
// that the headers stand for.
//
//   - RPI-6LoRH becomes the RPL option in a hop-by-hop options header.
//   - IP-in-IP-6LoRH becomes an IPv6 header around the packet and its RPL option. Where its
//     addresses are those of the root of the RPL instance, that is c.Root: without one the
//     datagram is dropped for [DropRoot].
//   - SRH-6LoRH is for the RPL routers that it names, which we are none of: [DropSourceRoute].
//   - Elective headers of an unknown type are skipped, critical ones are [Drop6LoRH].
func (c *Contexts) DecompressRouted(dst, b []byte, l Link) (n int, err error) {
	if len(b) == 0 {
		return 0, DropTruncated
	}
	if b[0] != Page1 {
		return 0, Classify(b).Drop()
	}
	var (
		option, tunnel bool
		rpi            RPI
		encapsulator   [16]byte
		hopLimit       uint8
		byRoot         bool
	)
	b = b[1:]
	for headers := 0; ; headers++ {
		if len(b) > 0 && b[0]&lorhMask != lorhCritical && b[0]&lorhMask != lorhElective {
			break
		}
		if headers == atMost(c.Limits.Headers, maxNHCHeaders) {
			return 0, DropNesting
		}
		h, k, err := ParseRoutingHeader(b)
		if err != nil {
			return 0, err
		}
		b = b[k:]
		switch {
		case h.Elective && h.Type == RoutingIPinIP:
			limit, addr, ok := h.Encapsulator()
			if !ok || tunnel {
				return 0, Drop6LoRH
			}
			if !c.Root.Is6() {
				return 0, DropRoot
			}
			tunnel, hopLimit, byRoot = true, limit, len(addr) == 0
			encapsulator = c.Root.As16()
			copy(encapsulator[16-len(addr):], addr)
		case h.Elective:
		case h.Type == RoutingRPI:
			if option {
				return 0, Drop6LoRH
			}
			rpi, option = h.RPI()
		default:
			return 0, DropSourceRoute
		}
	}
	if b[0]&0xe0 != iphcDispatch {
		return 0, DropDispatch
	}

	dst = dst[:cap(dst)]
	front := 0
	if option {
		front += rpiLen
	}
	if tunnel {
		front += ipv6.HeaderLen
	}
	if len(dst) < front {
		return 0, DropTooLong
	}
	if n, err = c.Decompress(dst[front:len(dst):len(dst)], b, l, 0); err != nil {
		return 0, err
	}
	n += front
	if n-ipv6.HeaderLen > 0xffff {
		return 0, DropTooLong
	}
	at, next := 0, uint8(ipv6.ProtoIPv6)
	if h := dst[front:]; tunnel {
		// "the destination ... is the root" of what a node encapsulates; what the root does, it
		// encapsulates for where the packet goes.
		to := h[24:40]
		if root := c.Root.As16(); !byRoot {
			to = root[:]
		}
		clear(dst[:8])
		dst[0], dst[6], dst[7] = 0x60, ipv6.ProtoIPv6, hopLimit
		copy(dst[8:], encapsulator[:])
		copy(dst[24:], to)
	} else {
		if next = h[6]; option && next == ipv6.ProtoHopByHop {
			return 0, Drop6LoRH // there would be two hop-by-hop options headers
		}
		copy(dst[:ipv6.HeaderLen], h)
	}
	binary.BigEndian.PutUint16(dst[4:], uint16(n-ipv6.HeaderLen))
	if option {
		at = ipv6.HeaderLen
		dst[6] = ipv6.ProtoHopByHop
		o := dst[at : at+rpiLen]
		o[0], o[1], o[2], o[3] = next, 0, optionRPI, 4
		// RFC 6550 section 11.2: O, R, F and five reserved bits.
		o[4] = 0
		for k, set := range [3]bool{rpi.Down, rpi.RankError, rpi.ForwardError} {
			if set {
				o[4] |= 0x80 >> k
			}
		}
		o[5] = rpi.Instance
		binary.BigEndian.PutUint16(o[6:], rpi.SenderRank)
	}
	return n, nil
}

// decompressWhole restores a datagram that came in one piece.
func (c *Contexts) decompressWhole(dst, b []byte, l Link) (int, error) {
	if len(b) > 0 && b[0] == Page1 {
		return c.DecompressRouted(dst, b, l)
	}
	return c.Decompress(dst, b, l, 0)
}

package decode

import (
	"encoding/binary"
	"hash/crc32"
)

// Link types (https://www.tcpdump.org/linktypes.html).
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawBSD   = 12 // DLT_RAW of most systems
	linkRawOBSD  = 14 // DLT_RAW of OpenBSD
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkFCS      = 195 // LINKTYPE_IEEE802_15_4_WITHFCS
	linkNonASK   = 215 // LINKTYPE_IEEE802_15_4_NONASK_PHY
	linkIPv4     = 228
	linkIPv6     = 229
	linkNoFCS    = 230 // LINKTYPE_IEEE802_15_4_NOFCS
	linkSLL2     = 276
	linkTAP      = 283 // LINKTYPE_IEEE802_15_4_TAP
)

// linkOf takes off what stands beside the link type in the header of a pcap file: the
// length of an FCS.
func linkOf(v uint32) uint16 {
	if link := uint16(v); link != linkRawBSD && link != linkRawOBSD {
		return link
	}
	return linkRaw // as they were before there was a number for files
}

// packet decodes one packet of a capture of which there were size bytes.
func (d *Decoder) packet(link uint16, b []byte, size int, at *moment) {
	r := &d.res
	cut := len(b) < size
	kind := fcsNone
	switch link {
	case linkFCS:
		kind = fcs16
		if len(b) == size-2 {
			kind, cut = fcsNone, false // only the FCS is missing
		}
	case linkNoFCS:
	case linkNonASK:
		// Preamble of four bytes, start of frame, length.
		if len(b) < 6 {
			r.refuse(dropPHY)
			return
		}
		n := int(b[5] & 0x7f)
		if b = b[6:]; len(b) > n {
			b = b[:n]
		}
		if len(b) < n {
			cut = true
		}
		kind = fcs16
	case linkTAP:
		var ok bool
		if b, kind, ok = tap(b); !ok {
			r.refuse(dropPHY)
			return
		}
	case linkNull, linkEthernet, linkRaw, linkLoop, linkSLL, linkIPv4, linkIPv6, linkSLL2:
		d.ip(link, b, cut, at)
		return
	default:
		r.refuse(dropLinkType)
		return
	}
	if cut {
		r.refuse(dropCut)
		return
	}
	d.frame(b, kind, at)
}

// tap takes the header of LINKTYPE_IEEE802_15_4_TAP off b: version 0, reserved, length of
// it all, and TLVs padded to 4 bytes, all little-endian. The TLV with number 0 says which
// FCS the frame has: 0 none, 1 of 16 bits, 2 of 32.
func tap(b []byte) (frame []byte, kind fcsKind, ok bool) {
	if len(b) < 4 || b[0] != 0 {
		return nil, 0, false
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n < 4 || n > len(b) {
		return nil, 0, false
	}
	for t := b[4:n]; len(t) >= 4; {
		typ, size := binary.LittleEndian.Uint16(t), int(binary.LittleEndian.Uint16(t[2:]))
		if size > len(t)-4 {
			return nil, 0, false
		}
		if typ == 0 && size >= 1 {
			if t[4] > 2 {
				return nil, 0, false
			}
			kind = fcsKind(t[4])
		}
		t = t[min(4+(size+3)&^3, len(t)):]
	}
	return b[n:], kind, true
}

// checkFCS32 checks the FCS of 32 bits: the CRC of Ethernet over the frame, lengthened with
// zeros to 4 bytes (IEEE 802.15.4-2015 section 7.2.10).
func checkFCS32(b []byte) bool {
	n := len(b) - 4
	sum := crc32.ChecksumIEEE(b[:n])
	if n < 4 {
		var pad [4]byte
		copy(pad[:], b[:n])
		sum = crc32.ChecksumIEEE(pad[:])
	}
	return sum == binary.LittleEndian.Uint32(b[n:])
}

const (
	protoUDP     = 17
	etherTypeIP4 = 0x0800
	etherTypeIP6 = 0x86dd
)

// ip finds the ZEP datagram in a packet of an IP network.
func (d *Decoder) ip(link uint16, b []byte, cut bool, at *moment) {
	r := &d.res
	b, ok := unlink(link, b)
	is6 := ok && len(b) > 0 && b[0]>>4 == 6
	var udp []byte
	if ok && len(b) > 0 {
		switch b[0] >> 4 {
		case 4:
			udp, ok = udp4(b)
		case 6:
			udp, ok = udp6(b)
		default:
			ok = false
		}
	}
	port := d.opt.ZEPPort
	if !ok || len(udp) < 8 || binary.BigEndian.Uint16(udp) != port && binary.BigEndian.Uint16(udp[2:]) != port {
		r.refuse(dropOther)
		if is6 {
			r.side = b // not from the mesh, but its fields may be of use
		}
		return
	}
	n := int(binary.BigEndian.Uint16(udp[4:]))
	if n < 8 || n > len(udp) {
		if cut {
			r.refuse(dropCut)
		} else {
			r.refuse(dropOther)
		}
		return
	}
	d.zep(udp[8:n], at)
}

// unlink returns the IP packet in a frame of another link.
func unlink(link uint16, b []byte) ([]byte, bool) {
	typ := -1
	n := 0
	switch link {
	case linkEthernet:
		typ, n = 12, 14
		for range 2 { // VLAN tags
			if len(b) < typ+2 {
				return nil, false
			}
			if t := binary.BigEndian.Uint16(b[typ:]); t != 0x8100 && t != 0x88a8 {
				break
			}
			typ, n = typ+4, n+4
		}
	case linkSLL:
		typ, n = 14, 16
	case linkSLL2:
		typ, n = 0, 20
	case linkNull, linkLoop:
		n = 4 // an address family, other numbers on every system
	}
	if len(b) < n {
		return nil, false
	}
	if typ >= 0 {
		if t := binary.BigEndian.Uint16(b[typ:]); t != etherTypeIP4 && t != etherTypeIP6 {
			return nil, false
		}
	}
	return b[n:], true
}

// udp4 returns the UDP datagram in an IPv4 packet that is no fragment.
func udp4(b []byte) ([]byte, bool) {
	if len(b) < 20 {
		return nil, false
	}
	hl, n := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if hl < 20 || n < hl || len(b) < hl || b[9] != protoUDP || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return nil, false
	}
	return b[hl:min(n, len(b))], true
}

// udp6 returns the UDP datagram in an IPv6 packet, which may be cut at its end.
func udp6(b []byte) ([]byte, bool) {
	if len(b) < 40 {
		return nil, false
	}
	end := min(40+int(binary.BigEndian.Uint16(b[4:])), len(b))
	next, off := b[6], 40
	for range 8 {
		switch next {
		case protoUDP:
			return b[off:end], true
		case 0, 43, 60:
			if off+8 > end {
				return nil, false
			}
			next, off = b[off], off+8*(1+int(b[off+1]))
			if off > end {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return nil, false
}

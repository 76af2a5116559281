package decode

import (
	"fmt"

	"border-router/ipv6"
)

var icmpName = map[uint8]string{
	1: "Destination unreachable", 2: "Packet too big", 3: "Time exceeded", 4: "Parameter problem",
	128: "Echo request", 129: "Echo reply", 130: "Multicast listener query", 131: "Multicast listener report",
	132: "Multicast listener done", 133: "Router solicitation", 134: "Router advertisement",
	135: "Neighbor solicitation", 136: "Neighbor advertisement", 137: "Redirect",
	143: "Multicast listener report v2", 155: "RPL control", 157: "Duplicate address request",
	158: "Duplicate address confirmation",
}

// icmp adds the ICMPv6 message b of packet p.
func (f *fields) icmp(p, b []byte, depth, layer int) {
	if len(b) < 4 {
		f.bytes("data.data", b)
		return
	}
	name, ok := icmpName[b[0]]
	if !ok {
		name = fmt.Sprintf("type %d", b[0])
	}
	f.layer(layer+1, "ICMPv6, "+name)
	f.num("icmpv6.type", uint64(b[0]))
	f.num("icmpv6.code", uint64(b[1]))
	f.hex("icmpv6.checksum", uint64(u16(b[2:])), 4)
	q := ipv6.Packet(p)
	switch {
	case f.quoted: // it may be cut: nobody verifies it
		f.str("icmpv6.checksum.status", "2")
	case ipv6.Checksum(q.Src16(), q.Dst16(), ipv6.ProtoICMPv6, b) == 0:
		f.str("icmpv6.checksum.status", "1")
	default:
		f.str("icmpv6.checksum.status", "0")
		f.remark("icmpv6.checksum_bad.expert")
	}
	body := b[4:]
	if b[0] == 155 { // a DIS may have no more than 2 bytes
		f.rpl(b[1], body)
		return
	}
	if len(body) < 4 {
		f.bytes("icmpv6.data", body)
		return
	}
	switch b[0] {
	case ipv6.ICMPUnreachable, ipv6.ICMPPacketTooBig, ipv6.ICMPTimeExceeded, ipv6.ICMPParamProblem:
		switch b[0] {
		case ipv6.ICMPPacketTooBig:
			f.num("icmpv6.mtu", uint64(u32(body)))
		case ipv6.ICMPParamProblem:
			f.num("icmpv6.pointer", uint64(u32(body)))
		default:
			reserved := body[:4]
			if body[0] != 0 { // RFC 4884 section 4.5
				f.num("icmpv6.length", uint64(body[0]))
				reserved = body[1:4]
			}
			f.bytes("icmpv6.reserved", reserved)
		}
		if depth < maxDepth && len(body) > 4 {
			was := f.quoted
			f.quoted = true
			f.packet(body[4:], depth+1, layer+2)
			f.quoted = was
		}
	case ipv6.ICMPEchoRequest, ipv6.ICMPEchoReply:
		f.hex("icmpv6.echo.identifier", uint64(u16(body)), 4)
		f.num("icmpv6.echo.sequence_number", uint64(u16(body[2:])))
		if len(body) > 4 {
			f.bytes("data.data", body[4:])
		}
	case 130, 131, 132, 143:
		f.mld(b[0], body)
	case 133:
		f.bytes("icmpv6.reserved", body[:4])
		f.ndOptions(body[4:], depth, layer)
	case 134:
		f.routerAdvertisement(body, depth, layer)
	case 135, 136, 137:
		f.neighbor(b[0], body, depth, layer)
	case 157, 158:
		f.duplicateAddress(b[1], body)
	default:
		f.bytes("icmpv6.data", body)
	}
}

// mld adds a message of RFC 2710 or RFC 3810 behind its checksum.
func (f *fields) mld(typ uint8, b []byte) {
	if typ == 143 {
		f.bytes("icmpv6.reserved", b[:2])
		f.num("icmpv6.mldr.nb_mcast_records", uint64(u16(b[2:])))
		n := int(u16(b[2:]))
		for b = b[4:]; n > 0 && len(b) >= 20; n-- {
			sources, aux := int(u16(b[2:])), 4*int(b[1])
			f.num("icmpv6.mldr.mar.record_type", uint64(b[0]))
			f.num("icmpv6.mldr.mar.aux_data_len", uint64(b[1]))
			f.num("icmpv6.mldr.mar.nb_sources", uint64(sources))
			f.addr("icmpv6.mldr.mar.multicast_address", b[4:20])
			for b = b[20:]; sources > 0 && len(b) >= 16; sources-- {
				f.addr("icmpv6.mldr.mar.source_address", b[:16])
				b = b[16:]
			}
			if sources > 0 || len(b) < aux {
				return
			}
			if aux > 0 {
				f.bytes("icmpv6.mldr.mar.auxiliary_data", b[:aux])
			}
			b = b[aux:]
		}
		return
	}
	if len(b) < 20 {
		f.bytes("icmpv6.data", b)
		return
	}
	v2 := typ == 130 && len(b) >= 24
	if v2 {
		f.num("icmpv6.mld.maximum_response_code", floating(uint64(u16(b)), 12))
	} else {
		f.num("icmpv6.mld.maximum_response_delay", uint64(u16(b)))
	}
	f.bytes("icmpv6.reserved", b[2:4])
	f.addr("icmpv6.mld.multicast_address", b[4:20])
	if !v2 {
		return
	}
	f.hex("icmpv6.mld.flag", uint64(b[20]), 2)
	f.bit("icmpv6.mld.flag.s", b[20]&8 != 0)
	f.num("icmpv6.mld.flag.qrv", uint64(b[20]&7))
	f.num("icmpv6.mld.flag.reserved", uint64(b[20]>>4))
	f.num("icmpv6.mld.qqi", floating(uint64(b[21]), 4))
	f.num("icmpv6.mld.nb_sources", uint64(u16(b[22:])))
	for b = b[24:]; len(b) >= 16; b = b[16:] {
		f.addr("icmpv6.mld.source_address", b[:16])
	}
}

// floating is a number of which the highest bit says that 3 bits of exponent and a mantissa
// of bits follow (RFC 3810 sections 5.1.3 and 5.1.9).
func floating(v uint64, bits int) uint64 {
	if v>>(bits+3) == 0 {
		return v
	}
	return (v&(1<<bits-1) | 1<<bits) << (v>>bits&7 + 3)
}

func (f *fields) routerAdvertisement(b []byte, depth, layer int) {
	if len(b) < 12 {
		f.bytes("icmpv6.data", b)
		return
	}
	f.num("icmpv6.nd.ra.cur_hop_limit", uint64(b[0]))
	f.hex("icmpv6.nd.ra.flag", uint64(b[1]), 2)
	f.bit("icmpv6.nd.ra.flag.m", b[1]&0x80 != 0)
	f.bit("icmpv6.nd.ra.flag.o", b[1]&0x40 != 0)
	f.bit("icmpv6.nd.ra.flag.h", b[1]&0x20 != 0)
	f.num("icmpv6.nd.ra.flag.prf", uint64(b[1]>>3&3))
	f.bit("icmpv6.nd.ra.flag.p", b[1]&4 != 0)
	f.num("icmpv6.nd.ra.flag.rsv", uint64(b[1]&3))
	f.num("icmpv6.nd.ra.router_lifetime", uint64(u16(b[2:])))
	f.num("icmpv6.nd.ra.reachable_time", uint64(u32(b[4:])))
	f.num("icmpv6.nd.ra.retrans_timer", uint64(u32(b[8:])))
	f.ndOptions(b[12:], depth, layer)
}

// neighbor adds a solicitation, an advertisement or a redirect.
func (f *fields) neighbor(typ uint8, b []byte, depth, layer int) {
	need := 20
	if typ == 137 {
		need = 36
	}
	if len(b) < need {
		f.bytes("icmpv6.data", b)
		return
	}
	switch typ {
	case 135:
		f.bytes("icmpv6.reserved", b[:4])
		f.addr("icmpv6.nd.ns.target_address", b[4:20])
	case 136:
		w := u32(b)
		f.hex("icmpv6.nd.na.flag", uint64(w), 8)
		f.bit("icmpv6.nd.na.flag.r", w>>31 != 0)
		f.bit("icmpv6.nd.na.flag.s", w>>30&1 != 0)
		f.bit("icmpv6.nd.na.flag.o", w>>29&1 != 0)
		f.num("icmpv6.nd.na.flag.rsv", uint64(w&0x1fffffff))
		f.addr("icmpv6.nd.na.target_address", b[4:20])
	default:
		f.bytes("icmpv6.reserved", b[:4])
		f.addr("icmpv6.nd.rd.target_address", b[4:20])
		f.addr("icmpv6.rd.na.destination_address", b[20:36])
	}
	f.ndOptions(b[need:], depth, layer)
}

// duplicateAddress adds a DAR or DAC (RFC 6775 section 4.4).
func (f *fields) duplicateAddress(code uint8, b []byte) {
	// RFC 8505 section 4.2: the suffix of the code says the length of the ROVR, in units of 8
	// bytes; 0 is the message of RFC 6775, with an EUI-64.
	suffix := int(code & 15)
	n := 8 * max(1, suffix)
	if suffix > 4 || len(b) < 20+n {
		f.bytes("icmpv6.data", b)
		return
	}
	f.num("icmpv6.6lowpannd.da.status", uint64(b[0]))
	f.num("icmpv6.6lowpannd.da.rsv", uint64(b[1]))
	f.num("icmpv6.6lowpannd.da.lifetime", uint64(u16(b[2:])))
	f.bytes("icmpv6.6lowpannd.da.eui64", b[4:12])
	if n > 8 {
		f.bytes("icmpv6.6lowpannd.da.rovr", b[4:4+n]) // Wireshark up to 4.0 knows none
	}
	f.addr("icmpv6.6lowpannd.da.reg_addr", b[4+n:20+n])
}

// ndOptions adds the options of a message of neighbor discovery.
func (f *fields) ndOptions(b []byte, depth, layer int) {
	for len(b) >= 2 {
		f.num("icmpv6.opt.type", uint64(b[0]))
		f.num("icmpv6.opt.length", uint64(b[1]))
		n := 8 * int(b[1])
		if n == 0 || n > len(b) {
			f.unknown("icmpv6", b[2:])
			return
		}
		f.ndOption(b[0], b[2:n], depth, layer)
		b = b[n:]
	}
}

func (f *fields) ndOption(typ uint8, v []byte, depth, layer int) {
	rest := 0 // where the bytes begin that an option of this type does not have
	switch {
	case typ == 1 || typ == 2:
		f.linkAddrOption(typ, v)
	case typ == 3 && len(v) >= 30:
		rest = 30
		f.num("icmpv6.opt.prefix.length", uint64(v[0]))
		f.hex("icmpv6.opt.prefix.flag", uint64(v[1]), 2)
		f.bit("icmpv6.opt.prefix.flag.l", v[1]&0x80 != 0)
		f.bit("icmpv6.opt.prefix.flag.a", v[1]&0x40 != 0)
		f.bit("icmpv6.opt.prefix.flag.r", v[1]&0x20 != 0)
		f.num("icmpv6.opt.prefix.flag.reserved", uint64(v[1]&0x1f))
		f.num("icmpv6.opt.prefix.valid_lifetime", uint64(u32(v[2:])))
		f.num("icmpv6.opt.prefix.preferred_lifetime", uint64(u32(v[6:])))
		f.str("icmpv6.opt.reserved", "")
		f.addr("icmpv6.opt.prefix", v[14:30])
	case typ == 4 && len(v) >= 6:
		f.str("icmpv6.opt.reserved", "")
		f.str("icmpv6.opt.redirected_packet", "")
		if depth < maxDepth && len(v) > 6 {
			f.packet(v[6:], depth+1, layer+2)
		}
	case typ == 5 && len(v) >= 6:
		rest = 6
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.mtu", uint64(u32(v[2:])))
	case typ == 7 && len(v) >= 6:
		rest = 6
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.advertisement_interval", uint64(u32(v[2:])))
	case typ == 8 && len(v) >= 6:
		rest = 6
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.home_agent_preference", uint64(u16(v[2:])))
		f.num("icmpv6.opt.home_agent_lifetime", uint64(u16(v[4:])))
	case typ == 14:
		f.bytes("icmpv6.opt.nonce", v)
	case typ == 24 && len(v) >= 6:
		f.num("icmpv6.opt.prefix.length", uint64(v[0]))
		f.hex("icmpv6.opt.route_info.flag", uint64(v[1]), 2)
		f.num("icmpv6.opt.route_info.flag.route_preference", uint64(v[1]>>3&3))
		f.num("icmpv6.opt.route_info.flag.reserved", uint64(v[1]&0xe7))
		f.num("icmpv6.opt.route_lifetime", uint64(u32(v[2:])))
		rest = f.ndPrefix("icmpv6.opt.prefix", v, 6)
	case typ == 25 && len(v) >= 6:
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.rdnss.lifetime", uint64(u32(v[2:])))
		for a := v[6:]; len(a) >= 16; a = a[16:] {
			f.addr("icmpv6.opt.rdnss", a[:16])
		}
	case typ == 26 && len(v) >= 6:
		rest = 6
		f.hex("icmpv6.opt.efo", uint64(u16(v)), 4)
		f.bit("icmpv6.opt.efo.m", v[0]&0x80 != 0)
		f.bit("icmpv6.opt.efo.o", v[0]&0x40 != 0)
		f.bit("icmpv6.opt.efo.h", v[0]&0x20 != 0)
		f.num("icmpv6.opt.efo.prf", uint64(v[0]>>3&3))
		f.bit("icmpv6.opt.efo.p", v[0]&4 != 0)
		f.num("icmpv6.opt.efo.rsv", uint64(u16(v)&0x2ff)) // the bits that Wireshark takes for it
		f.str("icmpv6.opt.reserved", "")
	case typ == 31 && len(v) >= 6:
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.dnssl.lifetime", uint64(u32(v[2:])))
		f.names(v[6:])
	case typ == 33 && len(v) >= 14:
		f.num("icmpv6.opt.aro.status", uint64(v[0]))
		f.str("icmpv6.opt.reserved", "")
		f.hex("icmpv6.opt.aro.flags", uint64(v[2]), 2)
		f.num("icmpv6.opt.aro.tid", uint64(v[3]))
		f.num("icmpv6.opt.aro.registration_lifetime", uint64(u16(v[4:])))
		f.bytes("icmpv6.opt.aro.eui64", v[6:14])
		if len(v) > 14 {
			f.bytes("icmpv6.opt.aro.rovr", v[6:])
			f.unknown("icmpv6", v[14:])
		}
	case typ == 34 && len(v) >= 6:
		f.num("icmpv6.opt.6co.context_length", uint64(v[0]))
		f.hex("icmpv6.opt.6co.flag", uint64(v[1]), 2)
		f.bit("icmpv6.opt.6co.flag.c", v[1]&0x10 != 0)
		f.num("icmpv6.opt.6co.flag.cid", uint64(v[1]&15))
		f.num("icmpv6.opt.6co.flag.reserved", uint64(v[1]>>5))
		f.str("icmpv6.opt.reserved", "")
		f.num("icmpv6.opt.6co.valid_lifetime", uint64(u16(v[4:])))
		rest = f.ndPrefix("icmpv6.opt.6co.context_prefix", v, 6)
	case typ == 35 && len(v) >= 22:
		rest = 22
		f.num("icmpv6.opt.abro.version_low", uint64(u16(v)))
		f.num("icmpv6.opt.abro.version_high", uint64(u16(v[2:])))
		f.num("icmpv6.opt.abro.valid_lifetime", uint64(u16(v[4:])))
		f.addr("icmpv6.opt.abro.6lbr_address", v[6:22])
	case typ == 36 && len(v) >= 6:
		rest = 6
		f.hex("icmpv6.opt.6cio.unassigned1", uint64(u16(v)>>1), 4)
		f.hex("icmpv6.opt.6cio.flag_g", uint64(u16(v)&1), 4)
		f.hex("icmpv6.opt.6cio.unassigned2", uint64(u32(v[2:])), 8)
	case typ == 37:
		n := len(v)
		for n > 0 && v[n-1] == 0 {
			n--
		}
		f.str("icmpv6.opt.captive_portal", string(v[:n]))
	case typ == 38 && len(v) >= 14:
		rest = 14
		w := u16(v)
		f.num("icmpv6.opt.pref64.scaled_lifetime", uint64(w>>3))
		f.hex("icmpv6.opt.pref64.plc", uint64(w&7), 4)
		if plc := int(w & 7); plc < len(pref64Len) { // RFC 8781 section 4: others are reserved
			f.prefix("icmpv6.opt.pref64.prefix", v[2:14], pref64Len[plc])
		} else {
			f.remark("icmpv6.invalid_option_length")
		}
	default:
		f.remark("icmpv6.undecoded.option")
		f.bytes("icmpv6.data", v)
	}
	if rest > 0 && len(v) > rest {
		f.unknown("icmpv6", v[rest:])
	}
}

// ndPrefix adds the prefix that ends the option v from byte at on, of 8 or 16 bytes or none at
// all, and returns where it ends.
func (f *fields) ndPrefix(name string, v []byte, at int) int {
	switch len(v) - at {
	case 0:
	case 8, 16:
		f.addr(name, v[at:])
		return len(v)
	default:
		f.remark("icmpv6.invalid_option_length")
	}
	return at
}

// linkAddrOption adds a link-layer address, whose length only the link knows: one of 16
// bytes holds an EUI-64, one of 8 an EUI-48 or, with zeros behind it, a short address.
func (f *fields) linkAddrOption(typ uint8, v []byte) {
	name := "icmpv6.opt.src_linkaddr"
	if typ == 2 {
		name = "icmpv6.opt.target_linkaddr"
	}
	switch len(v) {
	case 6:
		f.bytes("icmpv6.opt.linkaddr", v)
		f.bytes(name, v)
	case 14:
		f.bytes("icmpv6.opt.linkaddr_eui64", v[:8])
		f.bytes(name+"_eui64", v[:8])
		if typ == 1 { // Wireshark gives these of a source alone
			f.bytes("icmpv6.opt.linkaddr", v[:8])
			f.bytes(name, v[:8])
		}
		f.str("icmpv6.opt.padding", "")
	default:
		f.unknown("icmpv6", v)
	}
}

// names adds the domain names in b (RFC 1035 section 3.1, without compression).
func (f *fields) names(b []byte) {
	for len(b) > 0 && b[0] != 0 {
		start := len(f.arena)
		for len(b) > 0 && b[0] != 0 {
			n := int(b[0])
			if n > 63 || n >= len(b) {
				f.arena = f.arena[:start]
				return
			}
			if len(f.arena) > start {
				f.arena = append(f.arena, '.')
			}
			f.arena = append(f.arena, b[1:1+n]...)
			b = b[1+n:]
		}
		f.add("icmpv6.opt.dnssl")
		if len(b) > 0 {
			b = b[1:]
		}
	}
	if len(b) > 0 {
		f.str("icmpv6.opt.padding", "")
	}
}

// pref64Len are the lengths in bits that the prefix length code stands for (RFC 8781
// section 4).
var pref64Len = [...]int{96, 64, 56, 48, 40, 32}

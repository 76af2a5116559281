package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"border-router/ipv6"
)

// maxDepth is how deep packets in packets are followed.
const maxDepth = 8

var u16 = binary.BigEndian.Uint16
var u32 = binary.BigEndian.Uint32

// packet adds the fields of the IPv6 packet p, which may be cut or malformed.
func (f *fields) packet(p []byte, depth, layer int) {
	if len(p) < ipv6.HeaderLen {
		f.bytes("data.data", p)
		return
	}
	src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	f.layer(layer, fmt.Sprintf("IPv6, %v -> %v", src, dst))
	f.num("ip.version", uint64(p[0]>>4))
	f.hex("ipv6.tclass", uint64(u16(p)>>4&0xff), 8)
	f.hex("ipv6.flow", uint64(u32(p)&0xfffff), 6)
	f.num("ipv6.plen", uint64(u16(p[4:])))
	f.num("ipv6.nxt", uint64(p[6]))
	f.num("ipv6.hlim", uint64(p[7]))
	f.addr("ipv6.src", p[8:24])
	f.addr("ipv6.dst", p[24:40])
	f.embedded("src", p[8:24])
	f.embedded("dst", p[24:40])
	end := min(len(p), ipv6.HeaderLen+int(u16(p[4:])))
	f.chain(p[:end], p[6], ipv6.HeaderLen, depth, layer)
}

// embedded adds what the address a, which is the src or dst of a packet, was made of: the
// IPv4 address of a 6to4 router (RFC 3056), of a Teredo server and client (RFC 4380), of a
// node behind a translator (RFC 6052) or in ISATAP (RFC 5214), an EUI-48.
func (f *fields) embedded(which string, a []byte) {
	twice := func(name, s string) {
		f.str("ipv6."+which+"_"+name, s)
		f.str("ipv6."+name, s)
	}
	ip4 := func(b []byte) string { return netip.AddrFrom4([4]byte(b)).String() }
	switch {
	case a[0] == 0x20 && a[1] == 0x02:
		twice("6to4_gw_ipv4", ip4(a[2:6]))
		twice("6to4_sla_id", strconv.Itoa(int(u16(a[6:]))))
	case u32(a) == 0x2001_0000:
		client := [4]byte{^a[12], ^a[13], ^a[14], ^a[15]}
		twice("ts_ipv4", ip4(a[4:8]))
		twice("tc_port", strconv.Itoa(int(^u16(a[10:]))))
		twice("tc_ipv4", ip4(client[:]))
	case u32(a) == 0x0064_ff9b && u32(a[4:])|u32(a[8:]) == 0:
		f.bytes("ipv6.embed_ipv4_prefix", a[:12])
		twice("embed_ipv4", ip4(a[12:]))
	}
	switch {
	case a[0] == 0xff:
	case a[11] == 0xff && a[12] == 0xfe && a[8]&2 != 0: // RFC 4291 appendix A
		m := [6]byte{a[8] ^ 2, a[9], a[10], a[13], a[14], a[15]}
		f.bytes("ipv6."+which+"_slaac_mac", m[:])
		f.bytes("ipv6.slaac_mac", m[:])
	case u32(a[8:])&^0x0200_0000 == 0x0000_5efe:
		twice("isatap_ipv4", ip4(a[12:]))
	}
}

// chain adds the headers of p from off on, of which the first is next.
func (f *fields) chain(p []byte, next uint8, off, depth, layer int) {
	for range 16 {
		b := p[off:]
		switch next {
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts, ipv6.ProtoRouting, ipv6.ProtoMobility:
			if len(b) < 8 || len(b) < 8*(1+int(b[1])) {
				f.bytes("data.data", b)
				return
			}
			b = b[:8*(1+int(b[1]))]
			switch next {
			case ipv6.ProtoHopByHop:
				f.layer(layer+1, "Hop-by-hop options")
				f.extension("ipv6.hopopts", b)
				f.options(next, b[2:])
			case ipv6.ProtoDstOpts:
				f.layer(layer+1, "Destination options")
				f.extension("ipv6.dstopts", b)
				f.options(next, b[2:])
			case ipv6.ProtoRouting:
				f.layer(layer+1, "Routing header")
				f.extension("ipv6.routing", b)
				f.routing(p, b)
			default:
				f.layer(layer+1, "Mobility header")
				f.num("mip6.proto", uint64(b[0]))
				f.num("mip6.hlen", uint64(b[1]))
				f.num("mip6.mhtype", uint64(b[2]))
			}
			next, off = b[0], off+len(b)
			continue
		case ipv6.ProtoFragment:
			if len(b) < 8 {
				f.bytes("data.data", b)
				return
			}
			f.layer(layer+1, "Fragment header")
			w := u16(b[2:])
			f.num("ipv6.fraghdr.nxt", uint64(b[0]))
			f.hex("ipv6.fraghdr.reserved_octet", uint64(b[1]), 2)
			f.num("ipv6.fraghdr.offset", uint64(w>>3))
			f.num("ipv6.fraghdr.reserved_bits", uint64(w>>1&3))
			f.bit("ipv6.fraghdr.more", w&1 != 0)
			f.hex("ipv6.fraghdr.ident", uint64(u32(b[4:])), 8)
			if w&^6 != 0 {
				f.bytes("data.data", b[8:])
				return
			}
			next, off = b[0], off+8
			continue
		case ipv6.ProtoIPv6:
			if depth < maxDepth {
				f.packet(b, depth+1, layer+1)
			} else {
				f.bytes("data.data", b)
			}
		case ipv6.ProtoUDP:
			f.udp(b, depth, layer)
		case ipv6.ProtoICMPv6:
			f.icmp(p, b, depth, layer)
		case ipv6.ProtoNone:
			if len(b) > 0 {
				f.bytes("data.data", b)
			}
		default:
			if len(b) > 0 {
				f.layer(layer+1, fmt.Sprintf("Protocol %d", next))
				f.bytes("data.data", b)
			}
		}
		return
	}
}

func (f *fields) extension(name string, b []byte) {
	f.num(name+".nxt", uint64(b[0]))
	f.num(name+".len", uint64(b[1]))
	f.num(name+".len_oct", uint64(len(b)))
}

// Options of RFC 8200 section 4.2 by type.
const (
	optTunnelLimit = 0x04 // RFC 2473 section 4.1.1
	optRouterAlert = 0x05 // RFC 2711
	optRPL         = 0x63 // RFC 6553
	optRPL9008     = 0x23 // RFC 9008 section 4.1
	optMPL         = 0x6d // RFC 7731
	optJumbo       = 0xc2 // RFC 2675
	optHomeAddress = 0xc9 // RFC 6275 section 6.3
)

// options adds the options of a hop-by-hop or destination options header.
func (f *fields) options(header uint8, b []byte) {
	for len(b) > 0 {
		t := b[0]
		f.hex("ipv6.opt.type", uint64(t), 2)
		if t == ipv6.OptPad1 {
			f.str("ipv6.opt.pad1", "")
			b = b[1:]
			continue
		}
		f.num("ipv6.opt.type.action", uint64(t>>6))
		f.num("ipv6.opt.type.change", uint64(t>>5&1))
		f.hex("ipv6.opt.type.rest", uint64(t&0x1f), 2)
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return
		}
		v := b[2 : 2+int(b[1])]
		f.num("ipv6.opt.length", uint64(b[1]))
		b = b[2+len(v):]
		place := header // where the option belongs
		switch t {
		case optRouterAlert, optRPL, optMPL, optJumbo:
			place = ipv6.ProtoHopByHop
		case optTunnelLimit, optHomeAddress:
			place = ipv6.ProtoDstOpts
		}
		if place != header {
			f.remark("ipv6.opt.header_mismatch")
		}
		f.option(t, v)
	}
}

// option adds the value v of an option.
func (f *fields) option(t uint8, v []byte) {
	var rest []byte
	switch {
	case t == ipv6.OptPadN:
		f.bytes("ipv6.opt.padn", v)
	case t == optTunnelLimit && len(v) >= 1:
		f.num("ipv6.opt.tel", uint64(v[0]))
		rest = v[1:]
	case t == optRouterAlert && len(v) >= 2:
		f.num("ipv6.opt.router_alert", uint64(u16(v)))
		rest = v[2:]
	case (t == optRPL || t == optRPL9008) && len(v) >= 4:
		if t == optRPL9008 { // to Wireshark up to 4.0
			f.bytes("ipv6.opt.unknown", v)
			f.remark("ipv6.opt.unknown_data.expert")
		}
		f.hex("ipv6.opt.rpl.flag", uint64(v[0]), 2)
		f.bit("ipv6.opt.rpl.flag.o", v[0]&0x80 != 0)
		f.bit("ipv6.opt.rpl.flag.r", v[0]&0x40 != 0)
		f.bit("ipv6.opt.rpl.flag.f", v[0]&0x20 != 0)
		f.hex("ipv6.opt.rpl.flag.rsv", uint64(v[0]&0x1f), 2)
		f.hex("ipv6.opt.rpl.instance_id", uint64(v[1]), 2)
		f.hex("ipv6.opt.rpl.sender_rank", uint64(u16(v[2:])), 4)
		if t == optRPL {
			rest = v[4:]
		}
	case t == optMPL && len(v) >= 2 && len(v)-2 >= mplSeedLen[v[0]>>6]:
		n := 2 + mplSeedLen[v[0]>>6]
		f.hex("ipv6.opt.mpl.flag", uint64(v[0]), 2)
		f.num("ipv6.opt.mpl.flag.s", uint64(v[0]>>6))
		f.bit("ipv6.opt.mpl.flag.m", v[0]&0x20 != 0)
		f.bit("ipv6.opt.mpl.flag.v", v[0]&0x10 != 0)
		f.hex("ipv6.opt.mpl.flag.rsv", uint64(v[0]&15), 2)
		f.hex("ipv6.opt.mpl.sequence", uint64(v[1]), 2)
		if n > 2 {
			f.bytes("ipv6.opt.mpl.seed_id", v[2:n])
		} else {
			f.remark("ipv6.opt.mpl.ipv6_src_seed_id")
		}
		rest = v[n:]
	case t == optJumbo && len(v) >= 4:
		f.num("ipv6.opt.jumbo", uint64(u32(v)))
		f.remark("ipv6.opt.jumbo.prohibited") // beside a payload length
		rest = v[4:]
	case t == optHomeAddress && len(v) >= 16:
		f.addr("ipv6.opt.mipv6.home_address", v[:16])
		rest = v[16:]
	case t&0x1f == 0x1e: // RFC 4727 section 3.3
		f.bytes("ipv6.opt.experimental", v)
	default:
		f.bytes("ipv6.opt.unknown", v)
		f.remark("ipv6.opt.unknown_data.expert")
	}
	if len(rest) > 0 {
		f.bytes("ipv6.opt_unknown_data", rest)
		f.remark("ipv6.opt.unknown_data.expert")
	}
}

// mplSeedLen is the length of the seed identifier by the field S (RFC 7731 section 6.1).
var mplSeedLen = [4]int{0, 2, 8, 16}

// routing adds the routing header b of packet p.
func (f *fields) routing(p, b []byte) {
	f.num("ipv6.routing.type", uint64(b[2]))
	if b[2] == 0 {
		f.remark("ipv6.routing.deprecated") // RFC 5095
	}
	f.num("ipv6.routing.segleft", uint64(b[3]))
	switch b[2] {
	case 0:
		f.bytes("ipv6.routing.src.reserved", b[4:8])
		for b = b[8:]; len(b) >= 16; b = b[16:] {
			f.addr("ipv6.routing.src.addr", b[:16])
		}
		return
	case 2: // RFC 6275 section 6.4
		if b[3] != 1 {
			f.remark("ipv6.routing.invalid_segleft")
		}
		f.bytes("ipv6.routing.mipv6.reserved", b[4:8])
		if len(b) >= 24 {
			f.addr("ipv6.routing.mipv6.home_address", b[8:24])
		}
		return
	case 3:
	case 4: // RFC 8754 section 2
		f.num("ipv6.routing.srh.last_entry", uint64(b[4]))
		f.hex("ipv6.routing.srh.flags", uint64(b[5]), 2)
		f.bytes("ipv6.routing.srh.tag", b[6:8])
		last := int(b[4])
		for b = b[8:]; len(b) >= 16 && last >= 0; b, last = b[16:], last-1 {
			f.addr("ipv6.routing.srh.addr", b[:16])
		}
		return
	default:
		f.bytes("ipv6.routing.unknown_data", b[4:])
		f.remark("ipv6.routing.undecoded")
		return
	}
	w := u32(b[4:])
	f.num("ipv6.routing.rpl.cmprI", uint64(w>>28))
	f.num("ipv6.routing.rpl.cmprE", uint64(w>>24&15))
	f.num("ipv6.routing.rpl.pad", uint64(w>>20&15))
	f.num("ipv6.routing.rpl.reserved", uint64(w&0xfffff))
	list, ok := sourceRoute(b, [16]byte(p[24:40]))
	if !ok {
		return
	}
	f.num("ipv6.routing.rpl.addr_count", uint64(len(list)))
	for i, a := range list {
		n := 16 - int(w>>28)
		if i == len(list)-1 {
			n = 16 - int(w>>24&15)
		}
		f.bytes("ipv6.routing.rpl.address", a[16-n:])
	}
	dst := p[24:40]
	for i, a := range list {
		f.addr("ipv6.routing.rpl.full_address", a[:])
		// RFC 6554 section 4.2 forbids these.
		if a[0] == 0xff {
			f.remark("ipv6.src_route_list.multicast_addr")
		}
		if bytes.Equal(a[:], dst) {
			f.remark("ipv6.src_route_list.dst_addr")
		}
		if bytes.Equal(a[:], p[8:24]) {
			f.remark("ipv6.src_route_list.src_addr")
		}
		if slices.Contains(list[:i], a) {
			f.remark("ipv6.src_route_list.mult_inst_same_addr")
		}
	}
}

func (f *fields) udp(b []byte, depth, layer int) {
	if len(b) < ipv6.UDPHeaderLen {
		f.bytes("data.data", b)
		return
	}
	f.layer(layer+1, fmt.Sprintf("UDP, %d -> %d", u16(b), u16(b[2:])))
	f.num("udp.srcport", uint64(u16(b)))
	f.num("udp.dstport", uint64(u16(b[2:])))
	f.num("udp.length", uint64(u16(b[4:])))
	f.hex("udp.checksum", uint64(u16(b[6:])), 4)
	if len(b) > ipv6.UDPHeaderLen {
		f.bytes("udp.payload", b[ipv6.UDPHeaderLen:])
	}
	for _, port := range [2]uint16{u16(b), u16(b[2:])} {
		if port == portDHCP6Client || port == portDHCP6Server {
			f.dhcp6(b[ipv6.UDPHeaderLen:], depth, layer+2)
			return
		}
	}
}

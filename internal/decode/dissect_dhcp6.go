package decode

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// Ports of DHCPv6 (RFC 8415 section 7.2).
const (
	portDHCP6Client = 546
	portDHCP6Server = 547
)

// Message types and options of DHCPv6 that are more than one value or a list of values.
const (
	dhcp6Solicit   = 1
	dhcp6Advertise = 2
	dhcp6Request   = 3
	dhcp6Renew     = 5
	dhcp6Rebind    = 6
	dhcp6Reply     = 7
	dhcp6Relay     = 12 // Relay-forward
	dhcp6RelayRepl = 13
)

var dhcp6Name = map[uint8]string{
	1: "Solicit", 2: "Advertise", 3: "Request", 4: "Confirm", 5: "Renew", 6: "Rebind", 7: "Reply", 8: "Release",
	9: "Decline", 10: "Reconfigure", 11: "Information-request", 12: "Relay-forw", 13: "Relay-reply",
	14: "Leasequery", 15: "Leasequery-reply",
}

// A dhcp6Kind is the form of an option's value.
type dhcp6Kind uint8

const (
	dhcp6Opaque  dhcp6Kind = iota // nothing is said of it
	dhcp6Special                  // see dhcp6Option
	dhcp6Addr                     // one address
	dhcp6Addrs
	dhcp6Bytes
	dhcp6Text
	dhcp6Number  // of 1, 2 or 4 bytes: all of the option
	dhcp6Numbers // of 2 bytes each
	dhcp6Domains // names of RFC 1035 section 3.1
	dhcp6DUID
	dhcp6Options // options and nothing else
)

// A dhcp6Type is an option: its name, how its value looks, and the field of the value.
type dhcp6Type struct {
	name  string
	kind  dhcp6Kind
	field string
}

// dhcp6Types are the options by code (https://www.iana.org/assignments/dhcpv6-parameters).
var dhcp6Types = map[uint16]dhcp6Type{
	1:   {"Client Identifier", dhcp6DUID, ""},
	2:   {"Server Identifier", dhcp6DUID, ""},
	3:   {"Identity Association for Non-temporary Address", dhcp6Special, ""},
	4:   {"Identity Association for Temporary Address", dhcp6Special, ""},
	5:   {"IA Address", dhcp6Special, ""},
	6:   {"Option Request", dhcp6Numbers, "requested_option_code"},
	7:   {"Preference", dhcp6Number, "option_preference"},
	8:   {"Elapsed time", dhcp6Special, ""},
	9:   {"Relay Message", dhcp6Special, ""},
	11:  {"Authentication", dhcp6Special, ""},
	12:  {"Server unicast", dhcp6Addr, "unicast"},
	13:  {"Status code", dhcp6Special, ""},
	14:  {"Rapid Commit", dhcp6Opaque, ""},
	15:  {"User Class", dhcp6Special, ""},
	16:  {"Vendor Class", dhcp6Special, ""},
	17:  {"Vendor-specific Information", dhcp6Special, ""},
	18:  {"Interface-Id", dhcp6Bytes, "interface_id"},
	19:  {"Reconfigure Message", dhcp6Number, "reconf_msg"},
	20:  {"Reconfigure Accept", dhcp6Opaque, ""},
	21:  {"SIP Server Domain Name List", dhcp6Domains, "sip_server_domain_search_fqdn"},
	22:  {"SIP Servers IPv6 Address List", dhcp6Addrs, "sip_server_a"},
	23:  {"DNS recursive name server", dhcp6Addrs, "dns_server"},
	24:  {"Domain Search List", dhcp6Domains, "search_list_entry"},
	25:  {"Identity Association for Prefix Delegation", dhcp6Special, ""},
	26:  {"IA Prefix", dhcp6Special, ""},
	27:  {"Network Information Server", dhcp6Addrs, "nis_server"},
	28:  {"Network Information Server V2", dhcp6Addrs, "nisp_server"},
	29:  {"Network Information Server Domain Name", dhcp6Domains, "nis_fqdn"},
	30:  {"Network Information Server V2 Domain Name", dhcp6Domains, "nisp_fqdn"},
	31:  {"Simple Network Time Protocol Server", dhcp6Addrs, "sntp_server"},
	32:  {"Lifetime", dhcp6Number, "lifetime"},
	33:  {"BCMCS Server Domain", dhcp6Domains, "bcmcs_server_fqdn"},
	34:  {"BCMCS Servers IPv6 Address List", dhcp6Addrs, "bcmcs_server_a"},
	36:  {"Geoconf Civic Address", dhcp6Opaque, ""},
	37:  {"Remote Identifier", dhcp6Special, ""},
	38:  {"Subscriber Identifier", dhcp6Text, "subscriber_id"},
	39:  {"Client Fully Qualified Domain Name", dhcp6Special, ""},
	40:  {"PANA Agents IPv6 Address List", dhcp6Addrs, "pana_agent"},
	41:  {"Time Zone", dhcp6Text, "timezone"},
	42:  {"Time Zone Database", dhcp6Text, "tzdb"},
	43:  {"Echo Request Option", dhcp6Numbers, "requested_option_code"},
	44:  {"Leasequery Query", dhcp6Special, ""},
	45:  {"Leasequery Client Data", dhcp6Options, ""},
	46:  {"Client Last Transaction Time", dhcp6Number, "clt_time"},
	47:  {"Leasequery Relay Data", dhcp6Special, ""},
	48:  {"Leasequery Client Link Address List", dhcp6Addrs, "lq_client_link"},
	49:  {"Home Network Identifier FQDN", dhcp6Opaque, ""},
	50:  {"Visited Home Network Information", dhcp6Opaque, ""},
	51:  {"LoST Server", dhcp6Opaque, ""},
	52:  {"CAPWAP Access Controllers", dhcp6Addrs, "capwap_ac_v6"},
	53:  {"Relay-ID", dhcp6DUID, ""},
	54:  {"MoS IPv6 Address", dhcp6Opaque, ""},
	55:  {"MoS Domain Name List", dhcp6Opaque, ""},
	56:  {"NTP Server", dhcp6Special, ""},
	57:  {"Access Network Domain Name", dhcp6Opaque, ""},
	58:  {"SIP User Agent Configuration Service Domains", dhcp6Opaque, ""},
	59:  {"Boot File URL", dhcp6Opaque, ""},
	60:  {"Boot File Parameters", dhcp6Opaque, ""},
	61:  {"Client System Architecture Type", dhcp6Opaque, ""},
	62:  {"Client Network Interface Identifier", dhcp6Opaque, ""},
	63:  {"Geolocation", dhcp6Opaque, ""},
	64:  {"Dual-Stack Lite AFTR Name", dhcp6Domains, "aftr_name"},
	65:  {"ERP Local Domain Name", dhcp6Opaque, ""},
	66:  {"Relay-Supplied Options", dhcp6Opaque, ""},
	67:  {"Prefix Exclude", dhcp6Special, ""},
	68:  {"Virtual Subnet Selection", dhcp6Opaque, ""},
	69:  {"Identified Home Network Information", dhcp6Opaque, ""},
	70:  {"Unrestricted Home Network Information", dhcp6Opaque, ""},
	71:  {"Home Network Prefix", dhcp6Opaque, ""},
	72:  {"Home Agent Address", dhcp6Opaque, ""},
	73:  {"Home Agent FQDN", dhcp6Opaque, ""},
	74:  {"RDNSS Selection", dhcp6Opaque, ""},
	75:  {"Kerberos Principal Name", dhcp6Opaque, ""},
	76:  {"Kerberos Realm Name", dhcp6Opaque, ""},
	77:  {"Kerberos Default Realm Name", dhcp6Opaque, ""},
	78:  {"Kerberos KDC", dhcp6Opaque, ""},
	79:  {"Client Link-Layer Address", dhcp6Opaque, ""},
	80:  {"Link Address", dhcp6Opaque, ""},
	81:  {"RADIUS", dhcp6Opaque, ""},
	82:  {"SOL_MAX_RT", dhcp6Opaque, ""},
	83:  {"INF_MAX_RT", dhcp6Opaque, ""},
	84:  {"Address Selection", dhcp6Opaque, ""},
	85:  {"Address Selection table", dhcp6Opaque, ""},
	86:  {"PCP Server", dhcp6Opaque, ""},
	87:  {"DHCPv4 Message", dhcp6Opaque, ""},
	88:  {"DHCP 4o6 Servers Address", dhcp6Opaque, ""},
	89:  {"S46 Rule", dhcp6Special, ""},
	90:  {"S46 BR", dhcp6Addr, "s46_br.address"},
	91:  {"S46 DMR", dhcp6Special, ""},
	92:  {"S46 IPv4/IPv6 Address Binding", dhcp6Special, ""},
	93:  {"S46 Port Parameters", dhcp6Special, ""},
	94:  {"S46 MAP-E Container", dhcp6Options, ""},
	95:  {"S46 MAP-T Container", dhcp6Options, ""},
	96:  {"S46 Lightweight 4over6 Container", dhcp6Options, ""},
	97:  {"4rd Options", dhcp6Opaque, ""},
	98:  {"4rd Mapping Rule", dhcp6Opaque, ""},
	99:  {"4rd Non-Mapping Rule", dhcp6Opaque, ""},
	100: {"LQ Server Base Time", dhcp6Opaque, ""},
	101: {"LQ Server Query Start Time", dhcp6Opaque, ""},
	102: {"LQ Server Query End Time", dhcp6Opaque, ""},
	103: {"Captive Portal", dhcp6Text, "captive_portal"},
	104: {"MPL Parameter Configuration", dhcp6Opaque, ""},
	105: {"Access Technology Type", dhcp6Opaque, ""},
	106: {"Access Network Name", dhcp6Opaque, ""},
	107: {"Access Point Name", dhcp6Opaque, ""},
	108: {"Access Point BSSID", dhcp6Opaque, ""},
	109: {"Access Network Operator ID", dhcp6Opaque, ""},
	110: {"Access Network Operator Realm", dhcp6Opaque, ""},
	111: {"S46 Priority", dhcp6Special, ""},
	112: {"Manufacturer Usage Description", dhcp6Text, "mudurl"},
	113: {"IPv4/IPv6 Multicast Prefixes", dhcp6Opaque, ""},
	135: {"Relay Source Port", dhcp6Number, "relay_port"},
	136: {"SZTP Redirect", dhcp6Opaque, ""},
	137: {"Softwire Source Binding Prefix Hint", dhcp6Opaque, ""},
	143: {"ANDSF IPv6 Address", dhcp6Opaque, ""},
	165: {"Mobile IPv6 Home Agent", dhcp6Addrs, "mip6_home_agent"},
	166: {"Mobile IPv6 Home Address", dhcp6Addrs, "mip6_home_address"},
}

// dhcp6 adds the DHCPv6 message b (RFC 8415 sections 8 and 9).
func (f *fields) dhcp6(b []byte, depth, layer int) {
	if len(b) == 0 {
		return
	}
	typ := b[0]
	name, ok := dhcp6Name[typ]
	if !ok {
		name = "type " + strconv.Itoa(int(typ))
	}
	f.layer(layer, "DHCPv6, "+name)
	f.num("dhcpv6.msgtype", uint64(typ))
	m := b
	if typ == dhcp6Relay || typ == dhcp6RelayRepl {
		if len(b) < 34 {
			return
		}
		f.num("dhcpv6.hopcount", uint64(b[1]))
		f.addr("dhcpv6.linkaddr", b[2:18])
		f.addr("dhcpv6.peeraddr", b[18:34])
		b = b[34:]
	} else {
		if len(b) < 4 {
			return
		}
		f.hex("dhcpv6.xid", uint64(u32(b)&0xffffff), 6)
		b = b[4:]
	}
	f.dhcp6Options(m, b, depth, layer+1)
}

// dhcp6Next splits the option at the start of b off.
func dhcp6Next(b []byte) (code uint16, v, rest []byte, ok bool) {
	if len(b) < 4 || len(b)-4 < int(u16(b[2:])) {
		return 0, nil, nil, false
	}
	n := 4 + int(u16(b[2:]))
	return u16(b), b[4:n], b[n:], true
}

func dhcp6OptionName(code uint16) string {
	if t, ok := dhcp6Types[code]; ok {
		return t.name
	}
	return "DHCP option " + strconv.Itoa(int(code))
}

// dhcp6Options adds the options b of the message m. The names of all options of one
// level stand before what the options hold, other options among it: the order of Wireshark's
// JSON, in which the name of an option is beside the object with its fields. In the tree they
// are the titles.
func (f *fields) dhcp6Options(m []byte, b []byte, depth, layer int) {
	if depth >= maxDepth {
		return
	}
	if !f.tree {
		for rest := b; ; {
			code, _, more, ok := dhcp6Next(rest)
			if !ok {
				break
			}
			f.str("dhcpv6.option.type_str", dhcp6OptionName(code))
			rest = more
		}
	}
	for {
		code, v, rest, ok := dhcp6Next(b)
		if !ok {
			return
		}
		b = rest
		f.layer(layer, dhcp6OptionName(code))
		f.num("dhcpv6.option.type", uint64(code))
		f.num("dhcpv6.option.length", uint64(len(v)))
		f.dhcp6Option(m, code, v, depth, layer)
	}
}

// dhcp6Malformed notes an option whose value cannot be what it should.
func (f *fields) dhcp6Malformed() { f.remark("dhcpv6.malformed_option") }

func (f *fields) dhcp6Option(m []byte, code uint16, v []byte, depth, layer int) {
	t := dhcp6Types[code]
	name := "dhcpv6." + t.field
	switch t.kind {
	case dhcp6Special:
		f.dhcp6Special(m, code, v, depth, layer)
	case dhcp6Addr, dhcp6Addrs:
		if len(v)%16 != 0 || t.kind == dhcp6Addr && len(v) != 16 {
			f.dhcp6Malformed()
			return
		}
		for ; len(v) > 0; v = v[16:] {
			f.addr(name, v[:16])
		}
	case dhcp6Bytes:
		if len(v) == 0 {
			f.dhcp6Malformed()
			return
		}
		f.bytes(name, v)
	case dhcp6Text:
		f.cstr(name, v)
	case dhcp6Number:
		switch {
		case len(v) == 1 && (code == 7 || code == 19):
			f.num(name, uint64(v[0]))
		case len(v) == 2 && code == 135:
			f.num(name, uint64(u16(v)))
		case len(v) == 4 && (code == 32 || code == 46):
			f.num(name, uint64(u32(v)))
		default:
			f.dhcp6Malformed()
		}
	case dhcp6Numbers:
		for ; len(v) >= 2; v = v[2:] {
			f.num(name, uint64(u16(v)))
		}
	case dhcp6Domains:
		if len(v) > 0 {
			f.domains(name, v)
		}
	case dhcp6DUID:
		f.duid(v)
	case dhcp6Options:
		f.dhcp6Options(m, v, depth+1, layer+1)
	}
}

// dhcp6Need is how many bytes an option has at least whose value has a form of its own.
var dhcp6Need = map[uint16]int{3: 12, 4: 4, 5: 24, 8: 2, 11: 11, 13: 2, 16: 4, 17: 4, 25: 12, 26: 25, 37: 4, 39: 1, 44: 17, 47: 16, 67: 2, 93: 4}

// dhcp6Special adds the value of an option that has a form of its own.
func (f *fields) dhcp6Special(m []byte, code uint16, v []byte, depth, layer int) {
	need := dhcp6Need[code]
	if len(v) < need || code == 8 && len(v) != need {
		f.dhcp6Malformed()
		return
	}
	switch code {
	case 3, 25:
		f.raw("dhcpv6.iaid", v[:4])
		f.num("dhcpv6.iaid.t1", uint64(u32(v[4:])))
		f.num("dhcpv6.iaid.t2", uint64(u32(v[8:])))
		f.dhcp6Options(m, v[12:], depth+1, layer+1)
	case 4:
		f.raw("dhcpv6.iata", v[:4])
		f.dhcp6Options(m, v[4:], depth+1, layer+1)
	case 5:
		f.addr("dhcpv6.iaaddr.ip", v[:16])
		f.num("dhcpv6.iaaddr.pref_lifetime", uint64(u32(v[16:])))
		f.num("dhcpv6.iaaddr.valid_lifetime", uint64(u32(v[20:])))
		f.dhcp6Options(m, v[24:], depth+1, layer+1)
	case 26:
		f.num("dhcpv6.iaprefix.pref_lifetime", uint64(u32(v)))
		f.num("dhcpv6.iaprefix.valid_lifetime", uint64(u32(v[4:])))
		f.num("dhcpv6.iaprefix.pref_len", uint64(v[8]))
		f.addr("dhcpv6.iaprefix.pref_addr", v[9:25])
		f.dhcp6Options(m, v[25:], depth+1, layer+1)
	case 8: // in milliseconds; the option has hundredths of a second
		f.num("dhcpv6.elapsed_time", 10*uint64(u16(v)))
	case 9:
		if depth+1 < maxDepth && len(v) > 0 {
			f.hopCount(m, v)
			f.dhcp6(v, depth+1, layer+1)
		}
	case 11:
		f.dhcp6Auth(v)
	case 13:
		f.num("dhcpv6.status_code", uint64(u16(v)))
		if len(v) > 2 {
			f.cstr("dhcpv6.status_msg", v[2:])
		}
	case 15:
		for len(v) >= 2 {
			n := int(u16(v))
			if n > len(v)-2 {
				f.dhcp6Malformed()
				return
			}
			f.num("dhcpv6.userclass.length", uint64(n))
			f.bytes("dhcpv6.userclass.opaque_data", v[2:2+n])
			v = v[2+n:]
		}
	case 16:
		f.num("dhcpv6.vendorclass.enterprise", uint64(u32(v)))
		if v = v[4:]; len(v) >= 2 { // Wireshark shows the first only
			f.cstr("dhcpv6.vendorclass.data", v[2:min(2+int(u16(v)), len(v))])
		}
	case 17:
		f.num("dhcpv6.vendoropts.enterprise", uint64(u32(v)))
		for v = v[4:]; ; {
			c, o, rest, ok := dhcp6Next(v)
			if !ok {
				return
			}
			f.num("dhcpv6.vendoropts.enterprise.option_code", uint64(c))
			f.num("dhcpv6.vendoropts.enterprise.option_length", uint64(len(o)))
			f.bytes("dhcpv6.vendoropts.enterprise.option_data", o)
			v = rest
		}
	case 37:
		f.num("dhcpv6.remoteid.enterprise", uint64(u32(v)))
		f.bytes("dhcpv6.remoteid_enterprise_id", v[4:])
	case 39:
		f.dhcp6FQDN(m[0], v)
	case 44:
		f.num("dhcpv6.lq_query", uint64(v[0]))
		f.addr("dhcpv6.lq_query_link_address", v[1:17])
		f.dhcp6Options(m, v[17:], depth+1, layer+1)
	case 47:
		f.addr("dhcpv6.lq_relay_data_peer_addr", v[:16])
		f.cstr("dhcpv6.lq_relay_data_msg", v[16:])
	case 56:
		f.dhcp6NTP(v)
	case 67:
		f.num("dhcpv6.pd_exclude.pref_len", uint64(v[0]))
		f.bytes("dhcpv6.pd_exclude.subnet_id", v[1:])
	case 111:
		for ; len(v) >= 2; v = v[2:] {
			f.hex("dhcpv6.option_code", uint64(u16(v)), 4)
		}
	default:
		f.softwire(code, v)
	}
}

// hopCount notes a relay's message m whose hop count is not one more than that of the one in it, and a first one that is not 0 (RFC 8415 section 19.1).
func (f *fields) hopCount(m, inner []byte) {
	if m[0] != dhcp6Relay && m[0] != dhcp6RelayRepl {
		return
	}
	want := byte(0)
	if (inner[0] == dhcp6Relay || inner[0] == dhcp6RelayRepl) && len(inner) > 1 {
		want = inner[1] + 1
	}
	if m[1] != want {
		f.remark("dhcpv6.error_hopcount")
	}
}

// dhcp6Auth adds an Authentication option (RFC 8415 section 21.11). Algorithm 1, HMAC-MD5,
// with more than 20 bytes is taken for that of RFC 3315 section 21.4: a realm, a key
// identifier, the HMAC.
func (f *fields) dhcp6Auth(v []byte) {
	f.num("dhcpv6.auth.protocol", uint64(v[0]))
	f.num("dhcpv6.auth.algorithm", uint64(v[1]))
	f.num("dhcpv6.auth.rdm", uint64(v[2]))
	f.bytes("dhcpv6.auth.replay_detection", v[3:11])
	algorithm := v[1]
	v = v[11:]
	if algorithm != 1 || len(v) <= 20 {
		f.bytes("dhcpv6.auth.info", v)
		return
	}
	n := len(v) - 20
	f.cstr("dhcpv6.auth.realm", v[:n])
	f.num("dhcpv6.auth.key_id", uint64(u32(v[n:])))
	f.bytes("dhcpv6.auth.md5_data", v[n+4:])
}

// dhcp6FQDN adds a Client FQDN option (RFC 4704 section 4). The flags of clients and servers
// are named apart; in other messages the option has no place.
func (f *fields) dhcp6FQDN(msg uint8, v []byte) {
	switch msg {
	case dhcp6Solicit, dhcp6Request, dhcp6Renew, dhcp6Rebind:
		f.hex("dhcpv6.client_fqdn_flags", uint64(v[0]), 2)
		f.bit("dhcpv6.clientfqdn.client.n", v[0]&4 != 0)
		f.bit("dhcpv6.clientfqdn.client.s", v[0]&1 != 0)
	case dhcp6Advertise, dhcp6Reply:
		f.hex("dhcpv6.client_fqdn_flags", uint64(v[0]), 2)
		f.bit("dhcpv6.clientfqdn.server.n", v[0]&4 != 0)
		f.bit("dhcpv6.clientfqdn.server.o", v[0]&2 != 0)
		f.bit("dhcpv6.clientfqdn.server.s", v[0]&1 != 0)
	default:
		f.hex("dhcpv6.clientfqdn.bad_msgtype", uint64(msg), 2)
		f.remark("dhcpv6.bad_msgtype")
		return
	}
	if v[0]&5 == 5 { // "When the N bit is 1, the S bit MUST be 0."
		f.remark("dhcpv6.s_bit_should_be_zero")
	}
	f.domains("dhcpv6.client_domain", v[1:])
}

// dhcp6NTP adds an NTP Server option (RFC 5908 section 4).
func (f *fields) dhcp6NTP(v []byte) {
	for {
		code, o, rest, ok := dhcp6Next(v)
		if !ok {
			return
		}
		f.num("dhcpv6.ntpserver.option.type", uint64(code))
		f.num("dhcpv6.ntpserver.option.length", uint64(len(o)))
		switch {
		case code == 1 && len(o) >= 16:
			f.addr("dhcpv6.ntpserver.addr", o[:16])
		case code == 2 && len(o) >= 16:
			f.addr("dhcpv6.ntpserver.mc_addr", o[:16])
		case code == 3:
			f.domains("dhcpv6.ntpserver.fqdn", o)
		}
		v = rest
	}
}

// softwire adds an option of RFC 7598 section 4 with parts in it.
func (f *fields) softwire(code uint16, v []byte) {
	prefix := func(length, name string, v []byte) bool {
		if len(v) == 0 {
			f.dhcp6Malformed()
			return false
		}
		f.num(length, uint64(v[0]))
		n := (int(v[0]) + 7) / 8
		if n > 16 || n > len(v)-1 {
			f.dhcp6Malformed()
			return false
		}
		f.addr(name, v[1:1+n])
		return true
	}
	ip4 := func(name string, p []byte) {
		f.arena = netip.AddrFrom4([4]byte(p)).AppendTo(f.arena)
		f.add(name)
	}
	switch code {
	case 89:
		if len(v) < 8 {
			f.dhcp6Malformed()
			return
		}
		f.hex("dhcpv6.s46_rule.flags", uint64(v[0]), 2)
		f.bit("dhcpv6.s46_rule.flags.reserved", v[0]&0xfe != 0)
		f.bit("dhcpv6.s46_rule.flags.fmr", v[0]&1 != 0)
		f.num("dhcpv6.s46_rule.ea_len", uint64(v[1]))
		f.num("dhcpv6.s46_rule.ipv4_pref_len", uint64(v[2]))
		if v[2] > 32 {
			f.dhcp6Malformed()
			return
		}
		ip4("dhcpv6.s46_rule.ipv4_prefix", v[3:7])
		prefix("dhcpv6.s46_rule.ipv6_prefix_len", "dhcpv6.s46_rule.ipv6_prefix", v[7:])
	case 91:
		prefix("dhcpv6.s46_dmr.dmr_pref_len", "dhcpv6.s46_dmr.dmr_prefix", v)
	case 92:
		if len(v) < 5 {
			f.dhcp6Malformed()
			return
		}
		ip4("dhcpv6.s46_v4v6bind.ipv4_address", v[:4])
		prefix("dhcpv6.s46_v4v6bind.ipv6_pref_len", "dhcpv6.s46_v4v6bind.ipv6_prefix", v[4:])
	case 93:
		f.num("dhcpv6.s46_portparam.offset", uint64(v[0]))
		f.num("dhcpv6.s46_portparam.psid_len", uint64(v[1]))
		f.num("dhcpv6.s46_portparam.psid", uint64(u16(v[2:])>>(16-min(v[1], 16))))
	}
}

// duid adds a DUID (RFC 8415 section 11).
func (f *fields) duid(v []byte) {
	if len(v) < 2 {
		f.dhcp6Malformed()
		return
	}
	f.bytes("dhcpv6.duid.bytes", v)
	f.num("dhcpv6.duid.type", uint64(u16(v)))
	switch typ := u16(v); {
	case typ == 1 && len(v) >= 8:
		// Seconds since 2000. Wireshark adds what lies between that and 1970 in 32 bits, so
		// that moments from 2106 on begin at 1970 again; so they do here.
		const y2000 = 946684800
		f.num("dhcpv6.duidllt.hwtype", uint64(u16(v[2:])))
		f.str("dhcpv6.duidllt.time", time.Unix(int64(u32(v[4:])+y2000), 0).UTC().Format(wiresharkTime))
		f.hardwareAddr("dhcpv6.duidllt.link_layer_addr", u16(v[2:]), v[8:])
	case typ == 2 && len(v) >= 6:
		f.num("dhcpv6.duiden.enterprise", uint64(u32(v[2:])))
		if len(v) > 6 {
			f.bytes("dhcpv6.duiden.identifier", v[6:])
		}
	case typ == 3 && len(v) >= 4:
		f.num("dhcpv6.duidll.hwtype", uint64(u16(v[2:])))
		f.hardwareAddr("dhcpv6.duidll.link_layer_addr", u16(v[2:]), v[4:])
	case typ == 4 && len(v) == 18:
		f.bytes("dhcpv6.duiduuid.bytes", v[2:])
	case typ >= 1 && typ <= 4:
		f.dhcp6Malformed()
	}
}

// hardwareAddr adds a link-layer address, with colons if it is an EUI-48 of Ethernet (1) or
// of IEEE 802 (6).
func (f *fields) hardwareAddr(name string, hw uint16, v []byte) {
	switch {
	case len(v) == 0:
	case len(v) == 6 && (hw == 1 || hw == 6):
		f.bytes(name, v)
	default:
		f.arena = hex.AppendEncode(f.arena, v)
		f.add(name)
	}
}

// cstr adds text up to a zero byte.
func (f *fields) cstr(name string, v []byte) {
	for i, c := range v {
		if c == 0 {
			v = v[:i]
			break
		}
	}
	f.str(name, string(v))
}

// domains adds the names in b (RFC 8415 section 10), those of one label or none, or without an
// end, as Wireshark names them: they are seldom what was meant.
func (f *fields) domains(name string, b []byte) {
	if len(b) == 0 {
		f.num("dhcpv6.domain_field_len", 0)
		return
	}
	complete := 0
	for len(b) > 0 {
		start, labels, end := len(f.arena), 0, false
		for len(b) > 0 && !end {
			n := int(b[0])
			switch {
			case n == 0:
				b, end = b[1:], true
				continue
			case n > 63:
				f.arena = f.arena[:start]
				f.num("dhcpv6.bogus_label_length", uint64(n))
				f.remark("dhcpv6.expert.name_not_dns_encoded")
				return
			case n > len(b)-1:
				f.arena = f.arena[:start]
				f.num("dhcpv6.domain_field_len_exceeded", uint64(n))
				f.remark("dhcpv6.expert.domain_field_length_exceeded")
				return
			}
			if labels > 0 {
				f.arena = append(f.arena, '.')
			}
			f.arena = append(f.arena, b[1:1+n]...)
			b = b[1+n:]
			labels++
		}
		switch {
		case end && labels == 0:
			f.str("dhcpv6.root_only_domain_name", "['.' (0)]")
			f.remark("dhcpv6.expert.root_only_domain_name")
		case end && labels == 1:
			f.str("dhcpv6.tld", ".")
			f.remark("dhcpv6.expert.tld_lookup")
		case end:
			f.str(name, ".")
		case complete > 0:
			f.add("dhcpv6.partial_name_preceded_by_fqdn")
			f.remark("dhcpv6.expert.partial_name_preceded_by_fqdn")
		default:
			f.add(name)
		}
		if end {
			complete++
		}
	}
}

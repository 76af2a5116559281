package decode

// rpl adds an RPL control message (RFC 6550 section 6).
func (f *fields) rpl(code uint8, b []byte) {
	switch {
	case code == 0 && len(b) >= 2: // DIS
		f.num("icmpv6.rpl.dis.flags", uint64(b[0]))
		f.bytes("icmpv6.reserved", b[1:2])
		b = b[2:]
	case code == 1 && len(b) >= 24: // DIO
		f.num("icmpv6.rpl.dio.instance", uint64(b[0]))
		f.num("icmpv6.rpl.dio.version", uint64(b[1]))
		f.num("icmpv6.rpl.dio.rank", uint64(u16(b[2:])))
		f.hex("icmpv6.rpl.dio.flag", uint64(b[4]), 2)
		f.bit("icmpv6.rpl.dio.flag.g", b[4]&0x80 != 0)
		f.bit("icmpv6.rpl.dio.flag.0", b[4]&0x40 != 0)
		f.hex("icmpv6.rpl.dio.flag.mop", uint64(b[4]>>3&7), 2)
		f.num("icmpv6.rpl.dio.flag.preference", uint64(b[4]&7))
		f.num("icmpv6.rpl.dio.dtsn", uint64(b[5]))
		f.hex("icmpv6.rpl.dio.flag", uint64(b[6]), 2)
		f.bytes("icmpv6.reserved", b[7:8])
		f.addr("icmpv6.rpl.dio.dagid", b[8:24])
		b = b[24:]
	case code == 2 && len(b) >= 4: // DAO
		f.num("icmpv6.rpl.dao.instance", uint64(b[0]))
		f.hex("icmpv6.rpl.dao.flag", uint64(b[1]), 2)
		f.bit("icmpv6.rpl.dao.flag.k", b[1]&0x80 != 0)
		f.bit("icmpv6.rpl.dao.flag.d", b[1]&0x40 != 0)
		f.num("icmpv6.rpl.dao.flag.rsv", uint64(b[1]&0x3f))
		f.bytes("icmpv6.reserved", b[2:3])
		f.num("icmpv6.rpl.dao.sequence", uint64(b[3]))
		d := b[1]&0x40 != 0
		if b = b[4:]; d && len(b) >= 16 {
			f.addr("icmpv6.rpl.dao.dodagid", b[:16])
			b = b[16:]
		}
	case code == 3 && len(b) >= 4: // DAO-ACK
		f.num("icmpv6.rpl.daoack.instance", uint64(b[0]))
		f.hex("icmpv6.rpl.daoack.flag", uint64(b[1]), 2)
		f.bit("icmpv6.rpl.daoack.flag.d", b[1]&0x80 != 0)
		f.num("icmpv6.rpl.daoack.flag.rsv", uint64(b[1]&0x7f))
		f.num("icmpv6.rpl.daoack.sequence", uint64(b[2]))
		f.num("icmpv6.rpl.daoack.status", uint64(b[3]))
		d := b[1]&0x80 != 0
		if b = b[4:]; d && len(b) >= 16 {
			f.addr("icmpv6.rpl.daoack.dodagid", b[:16])
			b = b[16:]
		}
	default:
		f.bytes("icmpv6.data", b)
		return
	}
	f.rplOptions(b)
}

func (f *fields) rplOptions(b []byte) {
	for len(b) > 0 {
		f.num("icmpv6.rpl.opt.type", uint64(b[0]))
		if b[0] == 0 { // Pad1
			b = b[1:]
			continue
		}
		if len(b) < 2 {
			return
		}
		f.num("icmpv6.rpl.opt.length", uint64(b[1]))
		n := 2 + int(b[1])
		if n > len(b) {
			f.bytes("icmpv6.data", b[2:])
			return
		}
		f.rplOption(b[0], b[2:n])
		b = b[n:]
	}
}

func (f *fields) rplOption(typ uint8, v []byte) {
	switch {
	case typ == 1:
		f.str("icmpv6.rpl.opt.padn", "")
	case typ == 2: // DAG metric container
		f.rplMetrics(v)
	case typ == 3 && len(v) >= 6: // route information
		f.num("icmpv6.rpl.opt.route.prefix_length", uint64(v[0]))
		f.hex("icmpv6.rpl.opt.route.flag", uint64(v[1]), 2)
		f.num("icmpv6.rpl.opt.route.pref", uint64(v[1]>>3&3))
		f.num("icmpv6.rpl.opt.route.reserved", uint64(v[1]&0xe7))
		f.num("icmpv6.rpl.opt.route.lifetime", uint64(u32(v[2:])))
		f.rplPrefix("icmpv6.rpl.opt.route.prefix", v[6:])
	case typ == 4 && len(v) >= 14: // DODAG configuration
		f.hex("icmpv6.rpl.opt.config.flag", uint64(v[0]), 2)
		f.num("icmpv6.rpl.opt.config.reserved", uint64(v[0]>>4))
		f.bit("icmpv6.rpl.opt.config.auth", v[0]&8 != 0)
		f.num("icmpv6.rpl.opt.config.pcs", uint64(v[0]&7))
		f.num("icmpv6.rpl.opt.config.interval_double", uint64(v[1]))
		f.num("icmpv6.rpl.opt.config.interval_min", uint64(v[2]))
		f.num("icmpv6.rpl.opt.config.redundancy", uint64(v[3]))
		f.num("icmpv6.rpl.opt.config.max_rank_inc", uint64(u16(v[4:])))
		f.num("icmpv6.rpl.opt.config.min_hop_rank_inc", uint64(u16(v[6:])))
		f.num("icmpv6.rpl.opt.config.ocp", uint64(u16(v[8:])))
		f.num("icmpv6.rpl.opt.config.rsv", uint64(v[10]))
		f.num("icmpv6.rpl.opt.config.def_lifetime", uint64(v[11]))
		f.num("icmpv6.rpl.opt.config.lifetime_unit", uint64(u16(v[12:])))
	case typ == 5 && len(v) >= 2: // RPL target
		f.str("icmpv6.rpl.opt.target.flag", "")
		f.num("icmpv6.rpl.opt.target.prefix_length", uint64(v[1]))
		f.rplPrefix("icmpv6.rpl.opt.target.prefix", v[2:])
	case typ == 6 && len(v) >= 4: // transit information
		f.hex("icmpv6.rpl.opt.transit.flag", uint64(v[0]), 2)
		f.bit("icmpv6.rpl.opt.transit.flag.e", v[0]&0x80 != 0)
		f.num("icmpv6.rpl.opt.transit.flag.rsv", uint64(v[0]&0x7f))
		f.num("icmpv6.rpl.opt.transit.pathctl", uint64(v[1]))
		f.num("icmpv6.rpl.opt.transit.pathseq", uint64(v[2]))
		f.num("icmpv6.rpl.opt.transit.pathlifetime", uint64(v[3]))
		if len(v) >= 20 {
			f.addr("icmpv6.rpl.opt.transit.parent", v[4:20])
		}
	case typ == 7 && len(v) >= 19: // solicited information
		f.num("icmpv6.rpl.opt.solicited.instance", uint64(v[0]))
		f.hex("icmpv6.rpl.opt.solicited.flag", uint64(v[1]), 2)
		f.bit("icmpv6.rpl.opt.solicited.flag.v", v[1]&0x80 != 0)
		f.bit("icmpv6.rpl.opt.solicited.flag.i", v[1]&0x40 != 0)
		f.bit("icmpv6.rpl.opt.solicited.flag.d", v[1]&0x20 != 0)
		f.num("icmpv6.rpl.opt.solicited.flag.rsv", uint64(v[1]&0x1f))
		f.addr("icmpv6.rpl.opt.solicited.dodagid", v[2:18])
		f.num("icmpv6.rpl.opt.solicited.version", uint64(v[18]))
	case typ == 8 && len(v) >= 30: // prefix information
		f.num("icmpv6.rpl.opt.prefix.length", uint64(v[0]))
		f.hex("icmpv6.rpl.opt.prefix.flag", uint64(v[1]), 2)
		f.bit("icmpv6.rpl.opt.prefix.flag.l", v[1]&0x80 != 0)
		f.bit("icmpv6.rpl.opt.config.flag.a", v[1]&0x40 != 0)
		f.bit("icmpv6.rpl.opt.config.flag.r", v[1]&0x20 != 0)
		f.num("icmpv6.rpl.opt.config.flag.rsv", uint64(v[1]&0x1f))
		f.num("icmpv6.rpl.opt.prefix.valid_lifetime", uint64(u32(v[2:])))
		f.num("icmpv6.rpl.opt.prefix.preferred_lifetime", uint64(u32(v[6:])))
		f.str("icmpv6.rpl.opt.reserved", "")
		f.addr("icmpv6.rpl.opt.prefix", v[14:30])
	case typ == 9 && len(v) >= 4: // target descriptor
		f.hex("icmpv6.rpl.opt.targetdesc.descriptor", uint64(u32(v)), 8)
		if len(v) > 4 {
			f.unknown("icmpv6", v[4:])
		}
	case typ == 10 && len(v) >= 2: // route discovery (RFC 6997 section 7)
		f.bit("icmpv6.rpl.opt.routediscovery.flag.reply", v[0]&0x80 != 0)
		f.bit("icmpv6.rpl.opt.routediscovery.flag.hopbyhop", v[0]&0x40 != 0)
		f.num("icmpv6.rpl.opt.routediscovery.flag.numofroutes", uint64(v[0]>>4&3))
		f.num("icmpv6.rpl.opt.routediscovery.flag.compr", uint64(v[0]&15))
		f.num("icmpv6.rpl.opt.routediscovery.lifetime", uint64(v[1]>>6))
		f.num("icmpv6.rpl.opt.routediscovery.maxrank", uint64(v[1]&0x3f))
		if len(v) >= 18 {
			f.addr("icmpv6.rpl.opt.routediscovery.targetaddr", v[2:18])
			f.str("icmpv6.rpl.opt.routediscovery.addr_vec", "")
		}
	case typ >= 3 && typ <= 10:
		f.unknown("icmpv6", v)
	default:
		f.remark("icmpv6.undecoded.rpl_option")
		f.bytes("icmpv6.data", v)
	}
}

// rplPrefix adds the prefix that ends an option: as many bytes as its length asks for (RFC 6550
// section 6.7.5). Those that are not 0, 8 or 16 Wireshark calls a wrong length; both is said.
func (f *fields) rplPrefix(name string, p []byte) {
	if len(p) == 0 {
		return
	}
	f.addr(name, p)
	if len(p) != 8 && len(p) != 16 {
		f.remark("icmpv6.invalid_option_length")
		f.unknown("icmpv6", p)
	}
}

// rplMetrics adds the objects of a DAG metric container (RFC 6551 section 2.1).
func (f *fields) rplMetrics(v []byte) {
	const name = "icmpv6.rpl.opt.metric."
	for len(v) >= 4 && len(v)-4 >= int(v[3]) {
		flags, o := u16(v[1:]), v[4:4+int(v[3])]
		f.num(name+"type", uint64(v[0]))
		f.hex(name+"flags", uint64(flags), 4)
		f.hex(name+"reserved", uint64(flags>>11), 4)
		f.bit(name+"flag.p", flags&0x400 != 0)
		f.bit(name+"flag.c", flags&0x200 != 0)
		f.bit(name+"flag.o", flags&0x100 != 0)
		f.bit(name+"flag.r", flags&0x80 != 0)
		f.hex(name+"flag.a", uint64(flags>>4&7), 4)
		f.hex(name+"prec", uint64(flags&15), 4)
		f.num(name+"length", uint64(len(o)))
		f.rplMetric(v[0], flags&0x200 != 0, o)
		v = v[4+len(o):]
	}
}

// rplMetric adds the body of one object: a metric, or a constraint.
func (f *fields) rplMetric(typ uint8, constraint bool, o []byte) {
	const name = "icmpv6.rpl.opt.metric."
	switch {
	case typ == 1 && len(o) >= 2: // node state and attributes, with TLVs
		w := u16(o)
		f.hex(name+"nsa.object", uint64(w), 4)
		f.hex(name+"nsa.object.reserved", uint64(w>>8), 4)
		f.hex(name+"nsa.object.flags", uint64(w>>2&0x3f), 4)
		f.bit(name+"nsa.object.flag.a", w&2 != 0)
		f.bit(name+"nsa.object.flag.o", w&1 != 0)
		for o = o[2:]; len(o) >= 2 && len(o)-2 >= int(o[1]); o = o[2+int(o[1]):] {
			f.num(name+"nsa.object.opttlv.object", uint64(o[0]))
			f.num(name+"nsa.object.opttlv.object.type", uint64(o[0]))
			f.num(name+"nsa.object.opttlv.object.length", uint64(o[1]))
			f.bytes(name+"nsa.object.opttlv.object.data", o[2:2+int(o[1])])
		}
	case typ == 2: // node energy
		for ; len(o) >= 2; o = o[2:] {
			w := u16(o)
			f.hex(name+"ne.object", uint64(w), 4)
			f.hex(name+"ne.object.flags", uint64(w>>12), 4)
			f.bit(name+"ne.object.flag.i", w&0x800 != 0)
			f.hex(name+"ne.object.type", uint64(w>>9&3), 4)
			f.bit(name+"ne.object.flag.e", w&0x100 != 0)
			f.hex(name+"ne.object.energy", uint64(w&0xff), 4)
		}
	case typ == 3: // hop count
		for ; len(o) >= 2; o = o[2:] {
			w := u16(o)
			f.hex(name+"hp.object", uint64(w), 4)
			f.hex(name+"hp.object.reserved", uint64(w>>12), 4)
			f.hex(name+"hp.object.flags", uint64(w>>8&15), 4)
			f.num(name+"hp.object.hp", uint64(w&0xff))
		}
	case typ == 4, typ == 5: // throughput, latency
		field := name + "lt.object.lt"
		if typ == 5 {
			field = name + "ll.object.ll"
		}
		for ; len(o) >= 4; o = o[4:] {
			f.num(field, uint64(u32(o)))
		}
	case typ == 6 && len(o) >= 1: // link quality level
		f.hex(name+"lql.object.res", uint64(o[0]), 2)
		for _, c := range o[1:] {
			f.hex(name+"lql.object", uint64(c), 2)
			f.hex(name+"lql.object.val", uint64(c>>5), 2)
			f.num(name+"lql.object.counter", uint64(c&31))
		}
	case typ == 7: // ETX
		for ; len(o) >= 2; o = o[2:] {
			f.num(name+"etx.object.etx", uint64(u16(o)))
		}
	case typ == 8 && len(o) >= 1: // link color
		f.hex(name+"lc.object.res", uint64(o[0]), 2)
		for o = o[1:]; len(o) >= 2; o = o[2:] {
			w := u16(o)
			f.hex(name+"lc.object.lc", uint64(w>>6), 4)
			if constraint {
				f.num(name+"lc.object.reserved", uint64(w>>1&31))
				f.num(name+"lc.object.flag.i", uint64(w&1))
			} else {
				f.num(name+"lc.object.counter", uint64(w&63))
			}
		}
	default:
		f.remark("icmpv6.rpl.unknown.metric")
	}
}

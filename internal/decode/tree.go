package decode

import (
	"fmt"
	"strconv"

	"border-router/ieee802154"
	"border-router/lowpan"
	"border-router/zep"
)

// appendTree appends r as text: a line for what became of it, then every layer with its
// fields under it.
func (r *result) appendTree(b []byte) []byte {
	b = append(b, r.id...)
	if !r.time.IsZero() {
		b = append(b, "  "...)
		b = r.time.UTC().AppendFormat(b, "15:04:05.000000")
	}
	switch {
	case r.err != "":
		b = append(append(b, "  error: "...), r.err...)
	case len(r.packets) > 0:
		b = fmt.Appendf(b, "  IPv6, %d bytes", len(r.packets[0]))
		if n := len(r.packets); n > 1 {
			b = fmt.Appendf(b, " and %d more", n-1)
		}
	case r.held:
		b = append(b, "  held: a fragment that waits for others"...)
	default:
		b = append(append(b, "  dropped: "...), r.drop...)
	}
	b = append(b, '\n')

	f := &r.fields // those of a line that is a header only are there
	f.tree = true
	if r.zep {
		f.zepLayer(&r.zepHead)
	}
	if r.mac {
		f.macLayer(r)
		if !r.frame.Encrypted() || r.opened {
			f.lowpanLayers(r.payload)
		}
	} else if r.bare != nil {
		f.lowpanLayers(r.bare)
	}
	if len(r.packets) == 0 && r.side != nil {
		f.packet(r.side, 0, 0)
	}
	for _, p := range r.packets {
		f.packet(p, 0, 0)
	}
	return append(f.appendTree(b), '\n')
}

// appendTree appends the layers and fields as lines.
func (f *fields) appendTree(b []byte) []byte {
	depth := 0
	for i := range f.list {
		x := &f.list[i]
		if x.name == "" {
			depth = x.depth
		}
		for range depth + 1 {
			b = append(b, "  "...)
		}
		if x.name != "" {
			b = append(b, "  "...)
			b = append(b, x.name...)
			b = append(b, ": "...)
		}
		b = appendPrintable(b, f.text(i))
		b = append(b, '\n')
	}
	return b
}

// appendPrintable appends text that may come from a peer without what a terminal obeys.
func appendPrintable(b, s []byte) []byte {
	for _, c := range s {
		if c < 0x20 || c >= 0x7f {
			b = append(b, '\\', 'x', hexDigit[c>>4], hexDigit[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func (f *fields) zepLayer(h *zep.Header) {
	name := map[zep.Type]string{zep.TypeData: "data", zep.TypeAck: "ack", zep.TypeHello: "hello"}[h.Type]
	f.layer(0, fmt.Sprintf("ZEP v%d, %s", h.Version, name))
	if h.Type != zep.TypeAck {
		f.num("zep.channel_id", uint64(h.Channel))
		f.num("zep.device_id", uint64(h.Device))
		f.num("zep.lqi_mode", uint64(h.Mode))
		f.num("zep.lqi", uint64(h.LQI))
		f.num("zep.length", uint64(h.Length))
	}
	if h.Version == 2 {
		f.num("zep.seqno", uint64(h.Seq))
		if h.Type != zep.TypeAck {
			f.str("zep.time", zepTime(h.Time))
		}
	}
}

func (f *fields) macLayer(r *result) {
	h := &r.frame
	f.layer(0, fmt.Sprintf("IEEE 802.15.4 %s, version %s, %v -> %v", h.Type, [...]string{"2003", "2006", "2015"}[h.Version], h.Src, h.Dst))
	if !h.SeqSuppressed {
		f.num("wpan.seq_no", uint64(h.Seq))
	}
	if h.HasDstPAN {
		f.hex("wpan.dst_pan", uint64(h.DstPAN), 4)
	}
	if h.HasSrcPAN {
		f.hex("wpan.src_pan", uint64(h.SrcPAN), 4)
	}
	f.bit("wpan.pending", h.Pending)
	f.bit("wpan.ack_request", h.AckRequest)
	f.bit("wpan.pan_id_compression", h.PANIDCompression)
	if h.Security {
		f.num("wpan.aux_sec.sec_level", uint64(h.Sec.Level))
		f.num("wpan.aux_sec.key_id_mode", uint64(h.Sec.KeyIDMode))
		if !h.Sec.CounterSuppressed {
			f.num("wpan.aux_sec.frame_counter", uint64(h.Sec.FrameCounter))
		}
		switch h.Sec.KeyIDMode {
		case 2:
			f.hexText("wpan.aux_sec.key_source", h.Sec.KeySource, 8)
		case 3:
			f.hexText("wpan.aux_sec.key_source", h.Sec.KeySource, 16)
		}
		if h.Sec.KeyIDMode != 0 {
			f.num("wpan.aux_sec.key_index", uint64(h.Sec.KeyIndex))
		}
		f.raw("wpan.mic", h.MIC)
		switch {
		case r.opened:
			f.str("security", "opened")
		case h.Encrypted():
			f.str("security", "enciphered")
		default:
			f.str("security", "MIC not verified")
		}
	}
	for b := h.HeaderIEs; len(b) > 0; {
		e, rest, err := ieee802154.NextHeaderIE(b)
		if err != nil {
			break
		}
		f.hex("wpan.header_ie.id", uint64(e.ID), 2)
		if len(e.Content) > 0 {
			f.bytes("wpan.header_ie.data", e.Content)
		}
		b = rest
	}
	for b := h.PayloadIEs; len(b) > 0; {
		e, rest, err := ieee802154.NextPayloadIE(b)
		if err != nil {
			break
		}
		f.hex("wpan.payload_ie.id", uint64(e.ID), 1)
		if len(e.Content) > 0 {
			f.bytes("wpan.payload_ie.data", e.Content)
		}
		b = rest
	}
	if r.fcs {
		f.bit("wpan.fcs_ok", r.fcsOK)
	}
	if id, ok := h.Command(); ok {
		f.num("wpan.cmd", uint64(id))
	}
}

// lowpanLayers adds the headers of the adaptation layer in the MAC payload b. It describes
// them; that they hold has been found out by decoding them.
func (f *fields) lowpanLayers(b []byte) {
	for len(b) > 0 {
		d := lowpan.Classify(b)
		switch d {
		case lowpan.DispatchMesh:
			h, n, err := lowpan.ParseMeshHeader(b)
			if err != nil {
				return
			}
			f.layer(0, "6LoWPAN mesh header")
			f.str("6lowpan.mesh.orig", h.Originator.String())
			f.str("6lowpan.mesh.dest", h.Final.String())
			f.num("6lowpan.mesh.hops", uint64(h.HopsLeft))
			b = b[n:]
		case lowpan.DispatchBC0:
			h, n, err := lowpan.ParseBC0Header(b)
			if err != nil {
				return
			}
			f.layer(0, "6LoWPAN broadcast header")
			f.num("6lowpan.bcast.seqnum", uint64(h.Seq))
			b = b[n:]
		case lowpan.DispatchFRAG1, lowpan.DispatchFRAGN:
			h, n, err := lowpan.ParseFragHeader(b)
			if err != nil {
				return
			}
			f.layer(0, "6LoWPAN "+d.String())
			f.num("6lowpan.frag.size", uint64(h.Size))
			f.hex("6lowpan.frag.tag", uint64(h.Tag), 4)
			f.num("6lowpan.frag.offset", 8*uint64(h.Offset))
			f.num("6lowpan.frag.bytes", uint64(len(b)-n))
			if b = b[n:]; d == lowpan.DispatchFRAGN {
				return
			}
		case lowpan.DispatchRFRAG:
			f.layer(0, "6LoWPAN RFRAG")
			_ = f.lowpanHeader(b)
			return
		case lowpan.DispatchIPHC:
			f.iphcLayer(b)
			return
		case lowpan.DispatchPaging:
			f.layer(0, "6LoWPAN page "+strconv.Itoa(int(b[0]&15)))
			switch b[0] {
			case lowpan.Page0:
				b = b[1:]
			case lowpan.Page1:
				b = f.routingHeaders(b[1:])
			default:
				f.bytes("6lowpan.data", b[1:])
				return
			}
		case lowpan.DispatchIPv6:
			f.layer(0, "6LoWPAN uncompressed IPv6")
			return
		default:
			f.layer(0, "6LoWPAN dispatch "+d.String())
			f.bytes("6lowpan.data", b)
			return
		}
	}
}

// routingHeaders adds the routing headers that b begins with (RFC 8138) and returns the rest.
func (f *fields) routingHeaders(b []byte) []byte {
	for lowpan.Classify(b) == lowpan.DispatchMesh { // 100xxxxx and 101xxxxx in page 0
		h, n, err := lowpan.ParseRoutingHeader(b)
		if err != nil {
			return nil
		}
		rpi, isRPI := h.RPI()
		limit, addr, isTunnel := h.Encapsulator()
		count, size := h.Hops()
		switch {
		case count > 0:
			f.layer(0, fmt.Sprintf("6LoWPAN SRH-6LoRH, addresses of %d bytes", size))
			f.num("6lowpan.rhtype", uint64(h.Type))
			f.num("6lowpan.HopNuevo", uint64(h.TSE))
			for k := range count {
				f.bytes("6lowpan.6lorh.hop", h.Data[k*size:(k+1)*size])
			}
		case isRPI:
			f.layer(0, "6LoWPAN RPI-6LoRH")
			f.num("6lowpan.rhtype", uint64(h.Type))
			f.bit("6lowpan.6loRH.bitO", rpi.Down)
			f.bit("6lowpan.6loRH.bitR", rpi.RankError)
			f.bit("6lowpan.6loRH.bitF", rpi.ForwardError)
			f.num("6lowpan.rpl.instance", uint64(rpi.Instance))
			f.num("6lowpan.sender.rank", uint64(rpi.SenderRank))
		case isTunnel:
			f.layer(0, "6LoWPAN IP-in-IP-6LoRH")
			f.num("6lowpan.rhtype", uint64(h.Type))
			f.num("6lowpan.rhhop.limit", uint64(limit))
			if len(addr) > 0 {
				f.bytes("6lowpan.6lorh.encapsulator", addr)
			}
		default: // a critical one would not have parsed
			f.layer(0, "6LoWPAN 6LoRH, elective")
			f.num("6lowpan.rhtype", uint64(h.Type))
			f.num("6lowpan.rhElength", uint64(len(h.Data)))
			f.bytes("6lowpan.6lorh.data", h.Data)
		}
		b = b[n:]
	}
	return b
}

// In-line bytes of the modes of LOWPAN_IPHC (RFC 6282 section 3.1.1).
var (
	tfLen  = [4]int{4, 3, 1, 0}
	samLen = [2][4]int{{16, 8, 2, 0}, {0, 8, 2, 0}}
	damLen = [2][2][4]int{{{16, 8, 2, 0}, {0, 8, 2, 0}}, {{16, 6, 4, 1}, {6, 0, 0, 0}}}
)

// iphcLayer adds the LOWPAN_IPHC header at the start of b and the LOWPAN_NHC headers behind
// it.
func (f *fields) iphcLayer(b []byte) {
	if len(b) < 2 {
		return
	}
	f.layer(0, "6LoWPAN IPHC")
	b0, b1 := b[0], b[1]
	sac, m, dac := b1>>6&1, b1>>3&1, b1>>2&1
	f.num("6lowpan.iphc.tf", uint64(b0>>3&3))
	f.num("6lowpan.iphc.nh", uint64(b0>>2&1))
	f.num("6lowpan.iphc.hlim", uint64(b0&3))
	f.num("6lowpan.iphc.cid", uint64(b1>>7))
	f.num("6lowpan.iphc.sac", uint64(sac))
	f.num("6lowpan.iphc.sam", uint64(b1>>4&3))
	f.num("6lowpan.iphc.m", uint64(m))
	f.num("6lowpan.iphc.dac", uint64(dac))
	f.num("6lowpan.iphc.dam", uint64(b1&3))
	n := 2
	if b1>>7 != 0 {
		if len(b) < 3 {
			return
		}
		f.num("6lowpan.iphc.sci", uint64(b[2]>>4))
		f.num("6lowpan.iphc.dci", uint64(b[2]&15))
		n = 3
	}
	inline := tfLen[b0>>3&3] + samLen[sac][b1>>4&3] + damLen[m][dac][b1&3]
	if b0&4 == 0 {
		inline++
	}
	if b0&3 == 0 {
		inline++
	}
	if len(b) < n+inline {
		return
	}
	if inline > 0 {
		f.bytes("6lowpan.iphc.inline", b[n:n+inline])
	}
	if b = b[n+inline:]; b0&4 != 0 {
		f.nhcLayers(b)
	}
}

var extName = [8]string{"hop-by-hop", "routing", "fragment", "destination options", "mobility", "reserved", "reserved", "IPv6"}

// nhcLayers adds LOWPAN_NHC headers (RFC 6282 sections 4.2 and 4.3, RFC 7400).
func (f *fields) nhcLayers(b []byte) {
	for len(b) > 0 {
		c := b[0]
		switch {
		case c>>3 == 0b11110:
			f.layer(0, "6LoWPAN NHC UDP")
			f.num("6lowpan.nhc.udp.checksum", uint64(c>>2&1))
			f.num("6lowpan.nhc.udp.ports", uint64(c&3))
			return
		case c>>4 == 0b1110:
			id := c >> 1 & 7
			f.layer(0, "6LoWPAN NHC extension header, "+extName[id])
			f.num("6lowpan.nhc.ext.eid", uint64(id))
			f.num("6lowpan.nhc.ext.nh", uint64(c&1))
			if id == 7 {
				f.iphcLayer(b[1:])
				return
			}
			n := 1
			if c&1 == 0 {
				if len(b) < 2 {
					return
				}
				f.num("6lowpan.nhc.ext.next", uint64(b[1]))
				n = 2
			}
			if len(b) <= n || len(b) < n+1+int(b[n]) {
				return
			}
			f.num("6lowpan.nhc.ext.length", uint64(b[n]))
			if b = b[n+1+int(b[n]):]; c&1 == 0 {
				return
			}
		case c>>3 == 0b11010:
			f.layer(0, "6LoWPAN GHC UDP")
			return
		case c == 0b11011111:
			f.layer(0, "6LoWPAN GHC ICMPv6")
			return
		case c>>4 == 0b1011:
			f.layer(0, "6LoWPAN GHC extension header")
			return
		default:
			f.layer(0, fmt.Sprintf("6LoWPAN NHC %#02x", c))
			return
		}
	}
}

package lowpan

import (
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// Input takes a frame from the radio, which has rejected repeated frames. Every frame is
// delivered, held for reassembly, or dropped and counted. Input keeps no part of f.
func (i *Interface) Input(now time.Time, f *ieee802154.RxFrame) {
	i.stats.FramesIn++
	i.stats.BytesIn += uint64(len(f.Data))
	if why := i.input(now, f); why != 0 {
		i.stats.RxDrops[why]++
		i.debug("frame dropped", why, linkAddr(i.frame.Src))
	}
}

// linkAddr converts an address; none and the reserved ones become the zero LinkAddr.
func linkAddr(a ieee802154.Addr) ipv6.LinkAddr {
	switch a.Mode {
	case ieee802154.AddrExtended:
		return ipv6.EUI64(a.V)
	case ieee802154.AddrShort:
		return ipv6.Short(uint16(a.V))
	}
	return ipv6.LinkAddr{}
}

// ours says whether a frame to dst is for us, and whether it is a broadcast.
func (i *Interface) ours(dst ipv6.LinkAddr) bool {
	if dst.Len() == 2 {
		return dst == ipv6.BroadcastShort || uint16(dst.Uint64()) == i.cfg.Short
	}
	return dst == i.own
}

// origin reports whether src can be the source of a frame that we receive.
func (i *Interface) origin(src ipv6.LinkAddr) bool {
	if src.Len() == 2 {
		s := uint16(src.Uint64())
		return s < ieee802154.NoShort && s != i.cfg.Short
	}
	return !src.IsZero() && src != i.own
}

// input returns 0 when the frame was delivered or counted by the reassembler.
func (i *Interface) input(now time.Time, f *ieee802154.RxFrame) Drop {
	h := &i.frame
	if err := h.Parse(f.Data); err != nil {
		h.Src = ieee802154.Addr{}
		return DropMAC
	}
	switch h.Type {
	case ieee802154.TypeData:
	case ieee802154.TypeCommand, ieee802154.TypeBeacon:
		return i.macInput(now, f.Data, h)
	default:
		return DropFrameType
	}
	if h.HasDstPAN && h.DstPAN != i.cfg.PAN && h.DstPAN != ieee802154.BroadcastPAN {
		return DropPAN
	}
	var l Link // see there
	l.Src, l.Dst, l.PAN = linkAddr(h.Src), linkAddr(h.Dst), i.cfg.PAN
	if !i.ours(l.Dst) {
		return DropDestination
	}
	if !i.origin(l.Src) {
		return DropSource
	}
	if i.sec != nil {
		if why := i.sec.open(f.Data, h, &l); why != 0 {
			return why
		}
	} else if h.Security {
		return DropSecurity
	}

	if i.sleep.poller != nil {
		i.received(now, h)
	}
	b := h.Payload
	kind, mesh := Classify(b), false
	if kind == DispatchPaging {
		b = SkipPage0(b)
		kind = Classify(b)
	}
	if kind == DispatchMesh || kind == DispatchBC0 {
		var why Drop
		if b, why = i.meshInput(now, b, &l); why != 0 {
			return why
		}
		b = SkipPage0(b)
		kind, mesh = Classify(b), true
	}
	var p ipv6.Packet
	switch kind {
	case DispatchIPHC, DispatchIPv6:
		r, err := i.contexts.decompress(i.rx, b, l.source(), l.destination(), 0)
		if err != nil {
			return reason(err)
		}
		if p, err = ipv6.Parse(i.rx[:r.N]); err != nil {
			return DropLength
		}
		i.stats.FramesDelivered++
	case DispatchFRAG1, DispatchFRAGN:
		var err error
		if p, err = i.reasm.fragment(now, b, &l); err != nil {
			i.debug("fragment dropped", reason(err), l.Src)
		}
		if p == nil {
			return 0
		}
	case DispatchPaging:
		n, err := i.contexts.DecompressRouted(i.rx, b, l)
		if err != nil {
			return reason(err)
		}
		p = ipv6.Packet(i.rx[:n])
		i.stats.FramesDelivered++
	case DispatchRFRAG:
		var why Drop
		if mesh {
			return DropRFRAG // the acknowledgment would have to go through the mesh
		}
		if p, why = i.recoverableInput(now, b, l); p == nil {
			return why
		}
	default:
		return kind.Drop()
	}
	i.stats.DatagramsIn++
	i.cfg.Deliver(now, p, ipv6.Meta{LinkSrc: l.Src, LinkDst: l.Dst, RSSI: f.RSSI, LQI: f.LQI})
	return 0
}

func reason(err error) Drop {
	if d, ok := err.(Drop); ok {
		return d
	}
	return DropLength
}

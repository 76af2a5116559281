package decode

import (
	"border-router/ieee802154"
	"border-router/lowpan"
	"border-router/zep"
)

// hexText adds digits of v without 0x.
func (f *fields) hexText(name string, v uint64, digits int) {
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		f.arena = append(f.arena, hexDigit[v>>s&15])
	}
	f.add(name)
}

// lowpanHeader adds the fields of one header of fragmentation or mesh addressing.
func (f *fields) lowpanHeader(b []byte) error {
	switch lowpan.Classify(b) {
	case lowpan.DispatchFRAG1, lowpan.DispatchFRAGN:
		// What it says, whether or not it makes sense: an offset of 0 in FRAGN as well.
		first := lowpan.Classify(b) == lowpan.DispatchFRAG1
		if len(b) < 4 || !first && len(b) < 5 {
			return lowpan.DropTruncated
		}
		f.str("kind", lowpan.Classify(b).String())
		f.value("size", uint64(u16(b)&0x7ff))
		f.value("tag", uint64(u16(b[2:])))
		if first {
			f.value("offset", 0)
		} else {
			f.value("offset", uint64(b[4])) // in units of 8 bytes
		}
	case lowpan.DispatchMesh:
		h, n, err := lowpan.ParseMeshHeader(b)
		if err != nil {
			return err
		}
		f.str("kind", "MESH")
		f.hexText("orig", h.Originator.Uint64(), 2*h.Originator.Len())
		f.hexText("final", h.Final.Uint64(), 2*h.Final.Len())
		f.value("hops", uint64(h.HopsLeft))
		if n > 1+h.Originator.Len()+h.Final.Len() {
			f.truth("deep", true)
		}
	case lowpan.DispatchRFRAG:
		if len(b) < 6 {
			return lowpan.DropTruncated
		}
		ecn := b[0]&1 != 0
		if b[0]&2 != 0 {
			f.str("kind", "RFRAG-ACK")
			f.truth("ecn", ecn)
			f.value("tag", uint64(b[1]))
			f.raw("bitmap", b[2:6])
			return nil
		}
		w := u16(b[2:])
		f.str("kind", "RFRAG")
		f.truth("ecn", ecn)
		f.value("tag", uint64(b[1]))
		f.truth("ack_request", w>>15 != 0)
		f.value("sequence", uint64(w>>10&31))
		f.value("fragment_size", uint64(w&0x3ff))
		if w>>10&31 == 0 {
			f.value("datagram_size", uint64(u16(b[4:])))
		} else {
			f.value("fragment_offset", uint64(u16(b[4:])))
		}
	default:
		return lowpan.DropDispatch
	}
	return nil
}

// headerLen adds the length of the MAC header that a frame control field announces.
func (f *fields) headerLen(fcf []byte) error {
	var h ieee802154.Frame
	if err := h.Parse(append(fcf[:len(fcf):len(fcf)], make([]byte, 30)...)); err != nil {
		return err
	}
	f.value("header_len", uint64(h.HeaderLen))
	return nil
}

// zepHeader adds the fields of a ZEP header, named as they are in [zep.Header].
func (f *fields) zepHeader(h *zep.Header) {
	f.value("version", uint64(h.Version))
	v2 := h.Version != 1
	if v2 {
		f.value("type", uint64(h.Type))
	}
	if h.Type != zep.TypeAck {
		f.value("channel_id", uint64(h.Channel))
		f.value("device_id", uint64(h.Device))
		// Wireshark shows the mode as a bit, and the LQI beside it in mode 0 of version 2 and
		// in the other of version 1.
		f.value("lqi_mode", uint64(min(h.Mode, 1)))
		if (h.Mode == zep.ModeLQI) == v2 {
			f.value("lqi", uint64(h.LQI))
		}
		if v2 {
			f.str("time", zepTime(h.Time))
		}
		f.value("length", uint64(h.Length))
	}
	if v2 {
		f.value("seqno", uint64(h.Seq))
	}
}

// refusedZEP adds the fields of the header of a ZEP datagram b that is refused, where it has one:
// versions and types that there are not are read as data of version 2, as Wireshark does.
func (f *fields) refusedZEP(b []byte) {
	const header, headerV1 = 32, 16
	n := header
	if len(b) > 2 && b[2] == 1 {
		n = headerV1
	}
	if len(b) < n || b[0] != 'E' || b[1] != 'X' || int(b[n-1]) != len(b)-n || b[n-1] > ieee802154.MaxFrame {
		return
	}
	// A frame as long as it must be, so that nothing but the header can be refused.
	var d [header + 3]byte
	copy(d[:], b[:n])
	if n == header {
		d[2], d[3] = 2, byte(zep.TypeData)
	}
	d[n-1] = 3
	h, _, err := zep.Parse(d[:n+3])
	if err != nil {
		return
	}
	h.Version, h.Length = b[2], b[n-1]
	if n == header {
		h.Type = zep.Type(b[3])
	}
	if h.Type == zep.TypeAck {
		return
	}
	f.zepHeader(&h)
}

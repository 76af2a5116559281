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
		h, _, err := lowpan.ParseFragHeader(b)
		if err != nil {
			return err
		}
		f.str("kind", lowpan.Classify(b).String())
		f.value("size", uint64(h.Size))
		f.value("tag", uint64(h.Tag))
		f.value("offset", uint64(h.Offset))
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
	if h.Version == 2 {
		f.value("type", uint64(h.Type))
	}
	if h.Type != zep.TypeAck {
		f.value("channel_id", uint64(h.Channel))
		f.value("device_id", uint64(h.Device))
		f.value("lqi_mode", uint64(h.Mode))
		if h.Mode == zep.ModeLQI && h.Version == 2 {
			f.value("lqi", uint64(h.LQI))
		}
		if h.Version == 2 {
			f.str("time", zepTime(h.Time))
		}
		f.value("length", uint64(h.Length))
	}
	if h.Version == 2 {
		f.value("seqno", uint64(h.Seq))
	}
}

package dongle

import (
	"encoding/binary"

	"border-router/ieee802154"
)

// The messages of serialradio, written for this side alone: a CBOR map with keys of one
// letter and a CRC-16 behind it.

func cborHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major<<5|byte(n))
	case n < 256:
		return append(b, major<<5|24, byte(n))
	case n < 65536:
		return binary.BigEndian.AppendUint16(append(b, major<<5|25), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, major<<5|26), uint32(n))
}

func cborInt(b []byte, key byte, n int64) []byte {
	b = append(b, 0x61, key)
	if n < 0 {
		return cborHead(b, 1, uint64(-1-n))
	}
	return cborHead(b, 0, uint64(n))
}

func cborString(b []byte, key, major byte, s []byte) []byte {
	return append(cborHead(append(b, 0x61, key), major, uint64(len(s))), s...)
}

func (d *Slip) sendSerial(pairs byte, body []byte) {
	d.send(ieee802154.AppendFCS(append([]byte{0xa0 | pairs}, body...)))
}

func (d *Slip) errorSerial(id, code uint8) {
	d.sendSerial(3, cborInt(cborInt(cborInt(nil, 't', 255), 'i', int64(id)), 'x', int64(code)))
}

func (d *Slip) paramSerial(id uint8, param uint16, value int64) {
	d.sendSerial(4, cborInt(cborInt(cborInt(cborInt(nil, 't', 51), 'i', int64(id)), 'p', int64(param)), 'v', value))
}

func (d *Slip) receivedSerial(f *ieee802154.RxFrame) {
	b := cborString(cborInt(nil, 't', 52), 'f', 2, f.Data)
	rssi := f.RSSI
	if rssi == ieee802154.RSSIUnknown {
		rssi = -60
	}
	d.sendSerial(4, cborInt(cborInt(b, 'r', int64(rssi)), 'l', int64(f.LQI)))
}

// reportSerial says that the frame was on the air. The acknowledgment follows as a received
// frame: the firmware does not wait for it.
func (d *Slip) reportSerial(f slipFrame, status ieee802154.TxStatus) {
	var code int64
	if status == ieee802154.TxChannelBusy || status == ieee802154.TxTooLong {
		code = 1
	}
	d.sendSerial(3, cborInt(cborInt(cborInt(nil, 't', 54), 'i', int64(f.id)), 'v', code))
	if status == ieee802154.TxAcked && len(f.data) > 2 {
		d.receivedSerial(&ieee802154.RxFrame{Data: []byte{2, 0, f.data[2]}, RSSI: -60, LQI: 200})
	}
}

// Heartbeat sends the event that the firmware sends each ten seconds.
func (d *Slip) Heartbeat(uptime uint32) {
	d.mu.Lock()
	d.beat++
	n := d.beat
	d.mu.Unlock()
	d.sendSerial(3, cborInt(cborInt(cborInt(nil, 't', 55), 's', int64(n)), 'u', int64(uptime)))
}

// commandSerial obeys one frame of serialradio. Only maps as a host writes them are
// understood: keys of one letter, unsigned numbers and byte strings.
func (d *Slip) commandSerial(b []byte, queue chan<- slipFrame) {
	if !ieee802154.CheckFCS(b) || len(b) < 3 {
		d.errorSerial(0, 3)
		return
	}
	b = b[:len(b)-2]
	number := map[byte]uint64{}
	var frame []byte
	if b[0]>>5 != 5 {
		d.errorSerial(0, 4)
		return
	}
	pairs := int(b[0] & 31)
	b = b[1:]
	for range pairs {
		if len(b) < 3 || b[0] != 0x61 {
			d.errorSerial(0, 4)
			return
		}
		key, major, low := b[1], b[2]>>5, b[2]&31
		b = b[3:]
		n := uint64(low)
		if low >= 24 {
			k := 1 << (low - 24)
			if low > 27 || len(b) < k {
				d.errorSerial(0, 4)
				return
			}
			n = 0
			for _, c := range b[:k] {
				n = n<<8 | uint64(c)
			}
			b = b[k:]
		}
		switch {
		case major == 0:
			number[key] = n
		case major == 2 && n <= uint64(len(b)):
			frame, b = b[:n], b[n:]
		default:
			d.errorSerial(0, 4)
			return
		}
	}
	id := uint8(number['i'])
	value, hasValue := number['v']
	param, hasParam := number['p']
	switch number['t'] {
	case 0:
		d.sendSerial(3, cborString(cborInt(cborInt(nil, 't', 100), 'i', int64(id)), 'V', 3, []byte("serial-radio-1.1-sniff")))
	case 1:
		if !hasParam || param < 1 || param > 4 {
			d.errorSerial(id, 2)
			return
		}
		d.paramSerial(id, uint16(param), int64(d.get(uint16(param))))
	case 2:
		if !hasParam || !hasValue {
			d.errorSerial(id, 1)
			return
		}
		d.set(uint16(param), uint16(value))
		d.paramSerial(id, uint16(param), int64(value))
	case 20:
		eui := binary.BigEndian.AppendUint64(nil, d.cfg.EUI64)
		d.sendSerial(3, cborString(cborInt(cborInt(nil, 't', 57), 'i', int64(id)), 'f', 2, eui))
	case 21:
		d.mu.Lock()
		d.router = !hasValue || value != 0
		mode := int64(0)
		if d.router {
			mode = 3
		}
		d.mu.Unlock()
		d.paramSerial(id, 4, mode)
	case 50:
		if len(frame) == 0 || len(frame) > ieee802154.MaxFrame {
			d.errorSerial(id, 6)
			return
		}
		d.enqueue(queue, slipFrame{id, append([]byte(nil), frame...)})
	default:
		d.errorSerial(id, 1)
	}
}

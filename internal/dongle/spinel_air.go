package dongle

import (
	"encoding/binary"
	"slices"
	"time"

	"border-router/ieee802154"
)

const (
	spinelNoise    = -95 // dBm, where nobody sends
	spinelMatchMax = 64  // addresses in each table, unless told
	spinelRSSI     = -60 // dBm, where Air does not know
)

// table puts an address into the tables of source match, or takes it out.
func (d *Spinel) table(insert bool, prop uint32, v []byte) byte {
	switch {
	case !d.set.PHY:
		return 4
	case d.cfg.Match < 0:
		return 13
	case prop == 0x1304 && len(v) == 2:
		return matchTable(&d.set.MatchShort, d.cfg.Match, insert, binary.LittleEndian.Uint16(v))
	case prop == 0x1305 && len(v) == 8:
		return matchTable(&d.set.MatchExt, d.cfg.Match, insert, binary.BigEndian.Uint64(v))
	case prop == 0x1304 || prop == 0x1305:
		return 9
	}
	return 23
}

func matchTable[T comparable](t *[]T, most int, insert bool, a T) byte {
	i := slices.Index(*t, a)
	switch {
	case insert && i >= 0:
		return 19
	case insert && len(*t) >= most:
		return 11
	case insert:
		*t = append(*t, a)
	case i < 0:
		return 20
	default:
		*t = slices.Delete(*t, i, i+1)
	}
	return 0
}

// take accepts a frame to send. One that is under way is overwritten, and its host never
// hears of it.
func (d *Spinel) take(tid byte, v []byte) {
	if len(v) < 2 || int(binary.LittleEndian.Uint16(v)) > len(v)-2 {
		d.status(tid, 9)
		return
	}
	n := int(binary.LittleEndian.Uint16(v))
	switch {
	case n > ieee802154.MaxFrame:
		d.status(tid, 16)
		return
	case n < 5 || len(v) < 2+n+1:
		d.status(tid, 9)
		return
	}
	t := &spinelTx{tid: tid, frame: append([]byte(nil), v[2:n]...), rest: append([]byte(nil), v[2+n:]...)}
	d.set.Transmissions++
	d.set.LastTx, d.set.LastOptions = t.frame, t.rest
	if d.tx != nil {
		d.set.Overwritten++
	}
	if d.cfg.Fault != nil {
		switch f := d.cfg.Fault(t.frame); {
		case f.Swallow:
			return
		case f.Status != 0:
			d.reply(tid, 6, 0, []byte{f.Status, 0, 0})
			return
		}
	}
	d.tx = t
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// transmitter is the goroutine that sends.
func (d *Spinel) transmitter() {
	batch := make([]ieee802154.TxFrame, 1)
	for {
		select {
		case <-d.kick:
		case <-d.end:
			return
		}
		d.mu.Lock()
		t := d.tx
		if t == nil {
			d.mu.Unlock()
			continue
		}
		tuned := d.cfg.Channel == 0 || t.rest[0] == d.cfg.Channel
		if len(t.rest) >= 7 && t.frame[0]&8 != 0 && t.rest[6] == 0 {
			// It encrypts by itself, even without a key.
			for i := len(t.frame) - 4; i < len(t.frame); i++ {
				t.frame[i] ^= 0xa5
			}
		}
		d.mu.Unlock()
		ackWanted := t.frame[0]&0x20 != 0
		status := byte(0)
		if tuned {
			batch[0] = ieee802154.TxFrame{Data: t.frame}
			err := d.cfg.Air.Transmit(batch)
			switch batch[0].Status {
			case ieee802154.TxSent, ieee802154.TxAcked:
			case ieee802154.TxNoAck:
				status = 17
			case ieee802154.TxChannelBusy:
				status = 18
			case ieee802154.TxTooLong:
				status = 16
			default:
				status = 1
			}
			if err != nil {
				d.log.Warn("transmit", "err", err)
			}
		} else if ackWanted {
			status = 17
		}
		d.mu.Lock()
		if d.tx == t { // neither overwritten nor forgotten meanwhile
			d.tx = nil
			v := []byte{status, 0, 0}
			if status == 0 {
				var ack []byte
				if ackWanted {
					ack = ieee802154.AppendFCS([]byte{2, 0, t.frame[2]})
				}
				v = record(v, ack, spinelRSSI, 0, t.rest[0], 200, d.now())
			}
			d.reply(t.tid, 6, 0, v)
		} else if d.tx != nil {
			select {
			case d.kick <- struct{}{}:
			default:
			}
		}
		d.mu.Unlock()
	}
}

func (d *Spinel) now() uint64 { return uint64(time.Since(d.started).Microseconds()) }

// listen is the goroutine that receives.
func (d *Spinel) listen() {
	batch := make([]ieee802154.RxFrame, 16)
	for i := range batch {
		batch[i].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	var value, frame, line []byte
	for {
		n, err := d.cfg.Air.Receive(batch)
		if err != nil {
			return
		}
		d.mu.Lock()
		for i := range batch[:n] {
			f := &batch[i]
			rssi := f.RSSI
			if rssi == ieee802154.RSSIUnknown {
				rssi = spinelRSSI
			}
			d.peak = max(d.peak, rssi)
			if !d.set.Raw || !d.set.PHY || d.cfg.Channel != 0 && d.set.Channel != d.cfg.Channel {
				continue
			}
			var flags uint16
			if f.Data[0]&0x20 != 0 && d.pendingFor(f.Data) {
				flags = 0x10
			}
			psdu := ieee802154.AppendFCS(append(value[:0], f.Data...))
			value = psdu
			frame = record(append(frame[:0], 0x80, 6, 0x71), psdu, rssi, flags, d.set.Channel, f.LQI, d.now())
			line = hdlcFrame(line[:0], frame)
			if !d.put(line, false) {
				d.set.Lost++
			}
		}
		d.mu.Unlock()
	}
}

// pendingFor reports whether the acknowledgment of a frame has frame-pending set: always
// while source match is off.
func (d *Spinel) pendingFor(data []byte) bool {
	if !d.set.Match {
		return true
	}
	var f ieee802154.Frame
	if f.Parse(data) != nil {
		return false
	}
	switch f.Src.Mode {
	case ieee802154.AddrShort:
		return slices.Contains(d.set.MatchShort, uint16(f.Src.V))
	case ieee802154.AddrExtended:
		return slices.Contains(d.set.MatchExt, f.Src.V)
	}
	return false
}

// energy measures one channel for ms and reports. d.mu is held.
func (d *Spinel) energy(channel uint8, ms uint16) {
	d.peak = spinelNoise
	d.wg.Go(func() {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-d.end:
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		peak := int8(spinelNoise)
		if d.cfg.Channel == 0 || channel == d.cfg.Channel {
			peak = d.peak
		}
		d.scan = nil
		d.reply(0, 6, 0x39, []byte{channel, byte(peak)})
		d.reply(0, 6, 0x30, []byte{0})
	})
}

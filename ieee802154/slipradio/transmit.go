package slipradio

import (
	"net"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

const (
	window = 16 // sids of slip-radio

	// windowBytes is how many bytes are under way to the radio at most: it loses bytes when
	// its buffer of 2 KiB overruns.
	windowBytes = 1024

	silentTries = 4 // times a frame without report is given to a radio that is there
	queueTries  = 8 // times a frame is offered to a radio whose queue is full
	queuePause  = 20 * time.Millisecond
	csmaTries   = 5 // 1 + macMaxCSMABackoffs
	csmaPause   = 8 * time.Millisecond
	firstSerial = 16 // ids below are the session's own
)

type slotState uint8

const (
	slotFree   slotState = iota
	slotFlying           // given to the radio, no report yet
	slotDone             // report here
	slotLost             // the radio was lost before the report
	slotStale            // given up: its report may still come
)

// A slot is a frame under way, by its sid.
type slot struct {
	state  slotState
	status uint8
	ntx    uint8
	until  time.Time // end of the wait; of a stale slot, when it may be used again
}

// A txState is what Transmit knows of one frame of its batch.
type txState struct {
	sid     int16 // -1: not under way
	sent    uint8 // times given to the radio
	full    uint8 // times the radio's queue was full
	silent  uint8 // times no report came
	notTill time.Time
	dst     ieee802154.Addr // zero: for everybody
}

// before reports whether frame i must wait for the end of an earlier one. What goes to one
// receiver stays in order, whatever has to be sent again: frame counters must not decrease.
// The firmware keeps a queue for each neighbor, so frames for several may overlap, and one
// that is gone does not keep the others waiting.
func before(batch []ieee802154.TxFrame, states *[window]txState, i int) bool {
	for j := range i {
		if batch[j].Status == ieee802154.TxPending &&
			(states[j].sent == 0 || j == i-1 && batch[j].More || states[j].dst == states[i].dst || states[j].dst == (ieee802154.Addr{}) || states[i].dst == (ieee802154.Addr{})) {
			return true
		}
	}
	return false
}

// report takes the report for a frame. r.mu is held.
func (r *Radio) report(id, status, ntx uint8) {
	s := &r.slots[id]
	if s.state != slotFlying {
		if s.state == slotStale {
			s.state = slotFree
		}
		r.dongle.LateReport++
		return
	}
	s.state, s.status, s.ntx = slotDone, status, ntx
	driver.Notify(r.txWake)
}

// takeSlot returns a free id from lo to hi, in turn, or -1. A frame before which the radio
// has nothing else to send is given a quarter of the time. r.mu is held.
func (r *Radio) takeSlot(now time.Time, lo, hi int) int16 {
	flying := 0
	for i := lo; i <= hi; i++ {
		if r.slots[i].state == slotFlying {
			flying++
		}
	}
	wait := r.cfg.Timeout / 4
	wait += 3 * wait * time.Duration(min(flying, window-1)) / (window - 1)
	for range hi - lo + 1 {
		id := lo + (int(r.nextID)-lo+hi-lo+1)%(hi-lo+1)
		r.nextID = uint8(id + 1)
		s := &r.slots[id]
		if s.state == slotFree || s.state == slotStale && !now.Before(s.until) {
			*s = slot{state: slotFlying, until: now.Add(wait)}
			return int16(id)
		}
	}
	return -1
}

// Transmit implements [ieee802154.Radio]. While the radio is away it waits for it, for as
// long as Lifetime says; frames that were not sent by then end as TxSkipped.
func (r *Radio) Transmit(batch []ieee802154.TxFrame) error {
	for i := range batch {
		t := &batch[i]
		t.Status, t.Attempts = ieee802154.TxPending, 0
		if len(t.Data) > maxMAC || r.txFrame.Parse(t.Data) != nil {
			t.Status = ieee802154.TxTooLong
		}
	}
	for len(batch) > 0 { // the rest again when the dialect has changed
		var n int
		var err error
		dialect, ok := r.waitDialect(time.Now().Add(r.cfg.Lifetime))
		switch {
		case r.isClosed():
			err = net.ErrClosed
		case !ok:
			n = len(batch)
			for i := range batch {
				r.end(&batch[i], ieee802154.TxSkipped)
			}
		case dialect == SerialRadio:
			n = len(batch)
			err = r.transmitSerial(batch)
		default:
			n = min(len(batch), window)
			for n < len(batch) && n > 1 && batch[n-1].More { // a datagram is not cut where that can be helped
				n--
			}
			if n == 1 {
				n = min(len(batch), window)
			}
			err = r.transmitWindow(batch[:n])
			if n < len(batch) && batch[n-1].More && !batch[n-1].Status.OK() {
				for i := n; i < len(batch); i++ {
					r.end(&batch[i], ieee802154.TxSkipped)
					if !batch[i].More {
						break
					}
				}
			}
		}
		if err != nil {
			for i := range batch {
				if batch[i].Status == ieee802154.TxPending {
					batch[i].Status = ieee802154.TxClosed
				}
			}
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// end gives a frame its status and counts it, if it has none yet.
func (r *Radio) end(t *ieee802154.TxFrame, s ieee802154.TxStatus) {
	if t.Status != ieee802154.TxPending {
		return
	}
	r.mu.Lock()
	r.count(t, s)
	r.mu.Unlock()
}

// count gives a frame its status. r.mu is held.
func (r *Radio) count(t *ieee802154.TxFrame, s ieee802154.TxStatus) {
	t.Status = s
	driver.Count(&r.stats, t)
}

// waitDialect waits until the radio is up.
func (r *Radio) waitDialect(until time.Time) (Dialect, bool) {
	for {
		r.mu.Lock()
		up, dialect := r.s != nil, r.info.Dialect
		r.mu.Unlock()
		if up {
			return dialect, true
		}
		if !time.Now().Before(until) || !r.waitTx(until) {
			return 0, false
		}
	}
}

// waitTx waits for txWake or the time; false when the radio is closed.
func (r *Radio) waitTx(until time.Time) bool {
	d := time.Until(until)
	if d <= 0 {
		return !r.isClosed()
	}
	r.txTimer.Reset(d)
	select {
	case <-r.ctx.Done():
		return false
	case <-r.txWake:
	case <-r.txTimer.C:
	}
	return true
}

// transmitWindow sends at most 16 frames, several of them under way at once, but of one
// datagram and for one receiver one after the other.
func (r *Radio) transmitWindow(batch []ieee802154.TxFrame) error {
	var states [window]txState
	for i := range batch {
		states[i].sid = -1
		if f := &r.txFrame; f.Parse(batch[i].Data) == nil && !f.Dst.IsBroadcast() {
			states[i].dst = f.Dst
		}
	}
	expires := time.Now().Add(r.cfg.Lifetime)
	defer r.release(&states, len(batch))
	for {
		now := time.Now()
		r.mu.Lock()
		s := r.s
		wake := now.Add(time.Hour)
		open, flying := 0, 0
		r.txBuf = r.txBuf[:0]
		for i := range batch {
			t, st := &batch[i], &states[i]
			if t.Status == ieee802154.TxTooLong && st.sent == 0 {
				r.stats.TooLong++
				st.sent = 1
			}
			if st.sid >= 0 {
				r.settle(now, t, st)
			}
			if t.Status != ieee802154.TxPending {
				continue
			}
			open++
			if st.sid >= 0 {
				flying += len(t.Data)
				wake = earlier(wake, r.slots[st.sid].until)
				continue
			}
			if i > 0 && batch[i-1].More {
				if prev := batch[i-1].Status; prev != ieee802154.TxPending && !prev.OK() {
					r.count(t, ieee802154.TxSkipped)
					open--
					continue
				}
			}
			switch {
			case s == nil && !now.Before(expires):
				r.count(t, ieee802154.TxSkipped)
				open--
			case s == nil:
				wake = earlier(wake, expires)
			case before(batch, &states, i):
			case now.Before(st.notTill):
				wake = earlier(wake, st.notTill)
			case flying > 0 && flying+len(t.Data) > windowBytes:
				// waits for a report
			default:
				st.sid = r.takeSlot(now, 0, window-1)
				if st.sid < 0 {
					wake = earlier(wake, now.Add(r.cfg.Timeout/8))
					continue
				}
				if st.sent > 0 && st.full == 0 {
					r.dongle.Resent++
				}
				st.sent++
				flying += len(t.Data)
				wake = earlier(wake, r.slots[st.sid].until)
				r.txBuf = appendSend(r.txBuf, uint8(st.sid), t.Data)
				if r.cfg.Tap != nil {
					r.cfg.Tap(true, t.Data, r.cfg.Channel, ieee802154.RSSIUnknown, 0)
				}
			}
		}
		r.mu.Unlock()
		if open == 0 {
			return nil
		}
		if len(r.txBuf) > 0 {
			_ = s.write(r.txBuf) // a failure ends the session, which comes back here as a lost slot
		}
		if !r.waitTx(wake) {
			return net.ErrClosed
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// settle looks at the slot of a frame under way. r.mu is held.
func (r *Radio) settle(now time.Time, t *ieee802154.TxFrame, st *txState) {
	s := &r.slots[st.sid]
	switch {
	case s.state == slotDone:
		status, ntx := s.status, s.ntx
		s.state = slotFree
		st.sid = -1
		t.Attempts = uint8(min(int(t.Attempts)+int(ntx), 255))
		switch status {
		case statusOK:
			if f := &r.txFrame; f.Parse(t.Data) == nil && f.AckRequest && !f.Dst.IsBroadcast() && f.Dst.Mode != ieee802154.AddrNone {
				r.count(t, ieee802154.TxAcked)
			} else {
				r.count(t, ieee802154.TxSent)
			}
		case statusNoAck:
			r.count(t, ieee802154.TxNoAck)
		case statusQueueFull, statusDeferred:
			st.full++
			r.dongle.QueueFull++
			if st.full >= queueTries {
				r.count(t, ieee802154.TxChannelBusy)
				return
			}
			st.notTill = now.Add(time.Duration(st.full) * queuePause)
		case statusCollision:
			r.count(t, ieee802154.TxChannelBusy)
		default: // the radio could not, for reasons of its own
			r.count(t, ieee802154.TxChannelBusy)
		}
	case s.state == slotLost:
		s.state = slotFree
		st.sid = -1
	case !now.Before(s.until):
		s.state, s.until = slotStale, now.Add(r.cfg.Timeout)
		st.sid = -1
		r.dongle.Timeouts++
		if st.silent++; st.silent >= silentTries {
			r.count(t, ieee802154.TxNoAck)
		}
	}
}

// release leaves no slot behind.
func (r *Radio) release(states *[window]txState, n int) {
	r.mu.Lock()
	for i := range states[:n] {
		if id := states[i].sid; id >= 0 {
			r.slots[id] = slot{state: slotStale, until: time.Now().Add(r.cfg.Timeout)}
		}
	}
	r.mu.Unlock()
}

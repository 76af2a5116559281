package slipradio

import (
	"net"
	"time"

	"border-router/ieee802154"
)

// transmitSerial sends frames one after the other to a serialradio, which puts each on the
// air once: acknowledgments and retries are those of the MAC here.
func (r *Radio) transmitSerial(batch []ieee802154.TxFrame) error {
	failed, continues := false, false
	for i := range batch {
		t := &batch[i]
		if t.Status == ieee802154.TxTooLong {
			r.mu.Lock()
			r.stats.TooLong++
			r.mu.Unlock()
		}
		if continues && failed {
			r.end(t, ieee802154.TxSkipped)
		} else if t.Status == ieee802154.TxPending {
			status, attempts, ok := r.sendSerial(t.Data)
			if !ok {
				return net.ErrClosed
			}
			t.Attempts = attempts
			r.end(t, status)
		}
		failed = !t.Status.OK()
		continues = t.More
	}
	return nil
}

// sendSerial sends one frame; ok is false when the radio is closed.
func (r *Radio) sendSerial(data []byte) (status ieee802154.TxStatus, attempts uint8, ok bool) {
	expires := time.Now().Add(r.cfg.Lifetime)
	busy := 0
	begin := true
	for {
		if _, up := r.waitDialect(expires); !up {
			return ieee802154.TxSkipped, attempts, !r.isClosed()
		}
		now := time.Now()
		r.mu.Lock()
		if begin {
			r.mac.Begin(now, data)
			begin = false
		}
		action, status := r.mac.Poll(now)
		attempts = r.mac.Attempts()
		deadline := r.mac.Deadline()
		r.mu.Unlock()
		switch action {
		case ieee802154.MACDone:
			return status, attempts, true
		case ieee802154.MACNone:
			if !r.waitTx(deadline) {
				return status, attempts, false
			}
			continue
		}
		report, alive := r.putSerial(data)
		switch {
		case r.isClosed():
			return status, attempts, false
		case !alive: // the radio went away: all over, within the lifetime
			begin = true
			r.mu.Lock()
			r.dongle.Resent++
			r.mu.Unlock()
		case report != statusOK:
			if busy++; busy >= csmaTries {
				return ieee802154.TxChannelBusy, attempts, true
			}
			pause := time.Now().Add(time.Duration(1 + r.rand.Int64N(int64(csmaPause<<min(busy, 3)))))
			for time.Now().Before(pause) {
				if !r.waitTx(pause) {
					return status, attempts, false
				}
			}
			begin = true
		}
	}
}

// putSerial has the radio send a frame once and waits for its report.
func (r *Radio) putSerial(data []byte) (status uint8, alive bool) {
	now := time.Now()
	r.mu.Lock()
	s := r.s
	id := r.takeSlot(now, firstSerial, 255)
	var until time.Time
	if id >= 0 {
		until = r.slots[id].until
	}
	r.mu.Unlock()
	if s == nil || id < 0 {
		if id >= 0 {
			r.freeSlot(id, slotFree)
		}
		return 0, s != nil
	}
	if r.cfg.Tap != nil {
		r.cfg.Tap(true, data, r.cfg.Channel, ieee802154.RSSIUnknown, 0)
	}
	r.txMsg.begin(cmdTxFrame)
	r.txMsg.int('i', int64(id))
	r.txMsg.bytes('f', data)
	r.txBuf = r.txMsg.appendTo(r.txBuf[:0])
	_ = s.write(r.txBuf) // a failure ends the session, which comes back here as a lost slot
	for {
		r.mu.Lock()
		sl := &r.slots[id]
		state, st := sl.state, sl.status
		gone := r.s != s
		r.mu.Unlock()
		switch {
		case state == slotDone:
			r.freeSlot(id, slotFree)
			return st, true
		case state == slotLost || gone:
			r.freeSlot(id, slotFree)
			return 0, false
		case !time.Now().Before(until):
			r.mu.Lock()
			r.dongle.Timeouts++
			r.mu.Unlock()
			r.freeSlot(id, slotStale)
			return statusError, true
		}
		if !r.waitTx(until) {
			r.freeSlot(id, slotStale)
			return 0, false
		}
	}
}

func (r *Radio) freeSlot(id int16, state slotState) {
	r.mu.Lock()
	r.slots[id] = slot{state: state, until: time.Now().Add(r.cfg.Timeout)}
	r.mu.Unlock()
}

package zep

import (
	"net"
	"time"

	"border-router/ieee802154"
)

// Times of the 2.4 GHz O-QPSK PHY (section 12): 62.5 k symbols of 4 bits a second.
const (
	byteTime   = 32 * time.Microsecond
	phyHeader  = 6                      // preamble, SFD and PHR, bytes
	turnaround = 192 * time.Microsecond // aTurnaroundTime: 12 symbols
	sifs       = 192 * time.Microsecond // macSifsPeriod
	lifs       = 640 * time.Microsecond // macLifsPeriod
	maxSIFS    = 18                     // aMaxSifsFrameSize, bytes
	ackAirTime = (phyHeader + 5) * byteTime
)

// airTime returns how long a frame of n bytes without FCS keeps the air: itself, its
// acknowledgment if it asks for one, and the spacing before the next.
func airTime(n int, ack bool) time.Duration {
	n += ieee802154.FCSLen
	t := time.Duration(phyHeader+n) * byteTime
	if ack {
		t += turnaround + ackAirTime
	}
	if n <= maxSIFS {
		return t + sifs
	}
	return t + lifs
}

// Transmit implements [ieee802154.Radio]. Without pacing, frames that wait for no
// acknowledgment go out together.
func (r *Radio) Transmit(batch []ieee802154.TxFrame) error {
	failed, continues := false, false
	for i := range batch {
		t := &batch[i]
		t.Attempts, t.Pending = 0, false
		if continues && failed {
			t.Status = ieee802154.TxSkipped
			r.mu.Lock()
			r.stats.Skipped++
			r.mu.Unlock()
		} else {
			t.Status = ieee802154.TxPending
			if !r.transmit(t) {
				r.txq.flush()
				for j := i; j < len(batch); j++ {
					batch[j].Status = ieee802154.TxClosed
				}
				return net.ErrClosed
			}
			failed = !t.Status.OK()
		}
		continues = t.More
	}
	r.txq.flush()
	return nil
}

// transmit sends one frame, or leaves it in r.txq when nothing has to be waited for. It
// returns false when the radio is closed.
func (r *Radio) transmit(t *ieee802154.TxFrame) bool {
	f := &r.txFrame
	if len(t.Data) == 0 || f.Parse(t.Data) != nil {
		t.Status = ieee802154.TxTooLong
		r.mu.Lock()
		r.stats.TooLong++
		r.mu.Unlock()
		return !r.isClosed()
	}
	if !r.waitAir() {
		return false
	}
	if r.txq.nbuf >= txBatch {
		r.txq.flush()
	}
	now := r.now() // read again after each wait only: it costs as much as the rest
	r.mu.Lock()
	if t.Indirect {
		r.mac.BeginIndirect(now, t.Data)
	} else {
		r.mac.Begin(now, t.Data)
	}
	for {
		action, status := r.mac.Poll(now)
		switch action {
		case ieee802154.MACDone:
			t.Status, t.Attempts, t.Pending = status, r.mac.Attempts(), r.mac.MorePending()
			r.mu.Unlock()
			if r.cfg.Pace {
				r.txq.flush()
			}
			return true
		case ieee802154.MACSend:
			m := meta{channel: r.cfg.Channel, device: r.device}
			if r.cfg.Tap != nil {
				r.cfg.Tap(true, t.Data, m.channel, ieee802154.RSSIUnknown, 0)
			}
			r.dispatch(now, nil, f, &m, t.Data, r.txq)
			if r.cfg.Pace {
				r.airFree = now.Add(airTime(len(t.Data), f.AckRequest))
			}
			continue
		}
		deadline := r.mac.Deadline()
		r.mu.Unlock()
		r.txq.flush()
		if !r.waitAck(deadline) || !r.retryAir(deadline) {
			return false
		}
		now = r.now()
		r.mu.Lock()
	}
}

// waitAir waits until the air is free of our last frame.
func (r *Radio) waitAir() bool {
	if !r.cfg.Pace {
		return !r.isClosed()
	}
	return r.sleepUntil(r.airFree)
}

// retryAir waits for the air where the wait for an acknowledgment ended without one.
func (r *Radio) retryAir(deadline time.Time) bool {
	if !r.cfg.Pace || r.now().Before(deadline) {
		return true
	}
	return r.sleepUntil(r.airFree)
}

func (r *Radio) sleepUntil(at time.Time) bool {
	d := at.Sub(r.now())
	if d <= 0 {
		return !r.isClosed()
	}
	r.txTimer.Reset(d)
	select {
	case <-r.closed:
		return false
	case <-r.txTimer.C:
		return true
	}
}

// waitAck waits until the MAC heard an acknowledgment or the deadline has passed.
func (r *Radio) waitAck(deadline time.Time) bool {
	now := r.now()
	d := deadline.Sub(now)
	if d <= 0 {
		return !r.isClosed()
	}
	// Setting a timer is dear where an acknowledgment takes microseconds. One that is set
	// for an earlier frame and fires too soon does no harm: the caller looks and comes back.
	if !r.ackTimerAt.After(now) || r.ackTimerAt.After(deadline) {
		r.ackTimer.Reset(d)
		r.ackTimerAt = deadline
	}
	select {
	case <-r.closed:
		return false
	case <-r.txWake:
	}
	return true
}

package spinel

import (
	"errors"
	"net"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

const (
	// doneWait is the longest that the radio needs for one attempt with all its back-off,
	// generously, and doneSlack the time for lines and queues. After them the answer is lost.
	doneWait  = 60 * time.Millisecond
	doneSlack = 700 * time.Millisecond

	busyTries = 6 // attempts at a dongle that has no room
	busyPause = 5 * time.Millisecond
)

// Transmit implements [ieee802154.Radio]. The frames go to the dongle one at a time: a
// second one would overwrite the first.
func (r *Radio) Transmit(batch []ieee802154.TxFrame) error {
	failed, continues := false, false
	for i := range batch {
		t := &batch[i]
		t.Attempts, t.Pending = 0, false
		if continues && failed {
			t.Status = ieee802154.TxSkipped
		} else {
			t.Status = r.send(t)
		}
		if t.Status == ieee802154.TxClosed {
			for j := i; j < len(batch); j++ {
				batch[j].Status = ieee802154.TxClosed
			}
			return net.ErrClosed
		}
		failed, continues = !t.Status.OK(), t.More
		r.mu.Lock()
		driver.Count(&r.stats, t)
		r.mu.Unlock()
	}
	return nil
}

// send sends one frame, over outages of the dongle where need be.
func (r *Radio) send(t *ieee802154.TxFrame) ieee802154.TxStatus {
	f := &r.txFrame
	if len(t.Data) > maxPSDU || f.Parse(t.Data) != nil {
		return ieee802154.TxTooLong
	}
	wantAck := f.AckRequest && !f.Dst.IsBroadcast()
	start := time.Now()
	expires, busy := start.Add(r.cfg.Lifetime), 0
	var last time.Time // end of the attempts while nothing is heard of them
	for {
		s := r.waitUp(expires)
		if s == nil {
			if r.ctx.Err() != nil {
				return ieee802154.TxClosed
			}
			r.mu.Lock()
			r.dongle.Expired++
			r.mu.Unlock()
			return ieee802154.TxSkipped
		}
		status, err := r.attempt(s, t, wantAck)
		switch {
		case err == nil && status == StatusOK && wantAck:
			return ieee802154.TxAcked
		case err == nil && status == StatusOK:
			return ieee802154.TxSent
		case err == nil && status == StatusNoAck:
			return ieee802154.TxNoAck
		case err == nil && status == StatusCCAFailure:
			return ieee802154.TxChannelBusy
		case err == nil && status == StatusInvalidState:
			// It forgot that it was switched on, or it is scanning.
			driver.Notify(r.suspect)
			if busy++; busy > busyTries || !r.pause(busyPause<<busy) {
				return r.closedOr(ieee802154.TxChannelBusy)
			}
		case err == nil && (status == StatusTooBig || status == StatusBadArgument || status == StatusParse):
			r.log.Warn("dongle refuses a frame", "status", status.Error(), "length", len(t.Data))
			return ieee802154.TxTooLong
		case err == nil: // busy, no memory, dropped, failure
			if busy++; busy > busyTries || !r.pause(busyPause<<busy) {
				return r.closedOr(ieee802154.TxChannelBusy)
			}
		case errors.Is(err, errLostDone):
			// It may have been on the air. Sent again it is a duplicate, which receivers
			// reject by its sequence number.
			driver.Notify(r.suspect)
			if last.IsZero() {
				last = time.Now().Add(r.cfg.TxTimeout)
			}
			r.mu.Lock()
			r.dongle.LostDones++
			r.mu.Unlock()
			if !time.Now().Before(last) {
				return ieee802154.TxNoAck
			}
			r.resent()
		default: // the session ended
			if r.ctx.Err() != nil {
				return ieee802154.TxClosed
			}
			r.resent()
		}
	}
}

func (r *Radio) closedOr(s ieee802154.TxStatus) ieee802154.TxStatus {
	if r.ctx.Err() != nil {
		return ieee802154.TxClosed
	}
	return s
}

func (r *Radio) resent() {
	r.mu.Lock()
	r.dongle.Resent++
	r.mu.Unlock()
}

// waitUp returns the session of a dongle that is up, nil when the time is over or the radio
// closed.
func (r *Radio) waitUp(expires time.Time) *session {
	for {
		if r.ctx.Err() != nil {
			return nil
		}
		r.mu.Lock()
		s, turn := r.s, r.turn
		r.mu.Unlock()
		if s != nil && !s.isDead() {
			return s
		}
		d := time.Until(expires)
		if d <= 0 {
			return nil
		}
		r.txTimer.Reset(d)
		select {
		case <-turn:
		case <-r.txTimer.C:
		case <-r.ctx.Done():
			return nil
		}
	}
}

// pause waits for d and reports whether the radio is still open.
func (r *Radio) pause(d time.Duration) bool {
	r.txTimer.Reset(d)
	select {
	case <-r.txTimer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// attempt has the dongle send a frame with all the attempts of the MAC. What the dongle
// cannot do, backing off and sending again, is done here.
func (r *Radio) attempt(s *session, t *ieee802154.TxFrame, wantAck bool) (Status, error) {
	r.mu.Lock()
	caps, channel, power := r.info.Caps, r.want.channel, r.want.power
	r.mu.Unlock()
	retries := 0
	if wantAck && !t.Indirect {
		retries = r.cfg.MaxFrameRetries
	}
	o := TxOptions{Channel: channel, CSMA: true, HeaderUpdated: true, SecurityDone: true, RxChannelAfterTx: channel, Power: power}
	if caps&CapCSMA != 0 {
		o.MaxBackoffs = ieee802154.DefaultMaxCSMABackoffs
	}
	if caps&CapRetries != 0 {
		o.MaxRetries = uint8(retries)
		retries = 0
	}
	wait := r.cfg.doneSlack + time.Duration(int(o.MaxRetries)+1)*doneWait
	r.gate.Lock()
	defer r.gate.Unlock()
	var csma ieee802154.CSMA
	backoff := csma.Begin(r.rand)
	for {
		if caps&CapCSMA == 0 && backoff > 0 && !r.pause(backoff) {
			return 0, net.ErrClosed
		}
		if r.cfg.Tap != nil {
			r.cfg.Tap(true, t.Data, channel, ieee802154.RSSIUnknown, 0)
		}
		d, err := s.transmit(t.Data, &o, wait)
		if err != nil {
			return 0, err
		}
		if r.cfg.Tap != nil && len(d.Ack) > 0 {
			r.cfg.Tap(false, d.Ack, channel, d.AckRSSI, 0)
		}
		t.Pending = d.Pending
		switch d.Status {
		case StatusOK:
			t.Attempts++
		case StatusNoAck:
			t.Attempts += o.MaxRetries + 1
			if retries > 0 {
				retries--
				o.Retransmission = true
				backoff = csma.Begin(r.rand)
				continue
			}
		case StatusCCAFailure:
			if again, ok := csma.Busy(r.rand); ok && caps&CapCSMA == 0 {
				backoff = again
				continue
			}
		}
		return d.Status, nil
	}
}

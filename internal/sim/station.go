package sim

import (
	"time"

	"border-router/ieee802154"
	"border-router/internal/node"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/router"
)

// Physical layer of O-QPSK at 2.4 GHz (IEEE Std 802.15.4 sections 8.1.2, 12).
const (
	byteTime    = 32 * time.Microsecond
	phyHeader   = 6 // bytes: preamble, SFD, PHR
	fcsLen      = 2
	turnaround  = 192 * time.Microsecond // aTurnaroundTime
	backoffUnit = 320 * time.Microsecond // aUnitBackoffPeriod
	backoffs    = 8                      // 2^macMinBE
	ackLen      = 3
	ackTime     = (phyHeader + ackLen + fcsLen) * byteTime
)

func airTime(n int) time.Duration { return time.Duration(phyHeader+n+fcsLen) * byteTime }

// A station is one radio on the medium with everything above it: the border router or a
// node.
type station struct {
	w     *World
	id    int32
	ext   uint64
	on    bool
	gen   uint32
	mac   *ieee802154.MAC
	iface *lowpan.Interface
	r     *router.Router
	dev   *node.Device // nil: the border router

	batch   [4]ieee802154.TxFrame
	n, k    int  // frames in batch, the one under way
	sending bool // a batch is under way
	waiting bool // the frame is sent and its acknowledgment awaited
	txToken uint32
	csma    ieee802154.CSMA
	air     *onAir        // of the frame under way, where frames contend
	acking  time.Duration // until when it sends an acknowledgment

	timer      time.Duration // when the timer event is due; -1: none
	timerToken uint32
	spins      int

	pending [][]byte // packets that the host stack sends
	rx      ieee802154.RxFrame
}

// reset begins a new life with nothing learnt or pending.
func (s *station) reset() {
	s.on = true
	s.gen++
	s.timer, s.sending, s.waiting = -1, false, false
	s.air, s.acking = nil, 0
	s.pending, s.spins = nil, 0
	for i := range s.batch {
		s.batch[i].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	im := s.w.cfg.Impairment
	s.mac = ieee802154.NewMAC(ieee802154.MACConfig{
		Ext: s.ext, Short: ieee802154.BroadcastShort, PAN: s.w.cfg.PAN, MaxPeers: s.w.maxPeers(s.id),
		AckWait: ieee802154.DefaultAckWait + 2*(im.Delay+im.Jitter), // there and back
	})
}

// service does all that is left to do after an event, and sets the timer.
func (s *station) service() {
	if !s.on {
		return
	}
	now := s.w.now()
	for {
		for len(s.pending) > 0 {
			b := s.pending[0]
			s.pending = s.pending[1:]
			if p, err := ipv6.Parse(b); err == nil {
				s.fromHost(now, p)
			}
		}
		if d := s.r.Deadline(); !d.IsZero() && !d.After(now) {
			s.r.Advance(now)
			if s.spins++; s.spins > 1000 {
				s.w.fail("station %d: the router's deadline %v does not move", s.id, d)
				return
			}
			continue
		}
		if len(s.pending) == 0 {
			break
		}
	}
	s.spins = 0
	if !s.sending {
		s.nextBatch(now)
	}
	s.arm(now)
}

// arm schedules the timer event for the earliest deadline.
func (s *station) arm(now time.Time) {
	d := s.r.Deadline()
	if s.waiting {
		if m := s.mac.Deadline(); !m.IsZero() && (d.IsZero() || m.Before(d)) {
			d = m
		}
	}
	at := time.Duration(-1)
	if !d.IsZero() {
		at = max(d.Sub(epoch), now.Sub(epoch))
	}
	if at == s.timer {
		return
	}
	s.timer = at
	s.timerToken++
	if at >= 0 {
		s.w.q.push(event{at: at, kind: evTimer, station: s.id, gen: s.gen, token: s.timerToken})
	}
}

func (s *station) onTimer() {
	now := s.w.now()
	s.timer = -1
	if s.waiting && !s.mac.Deadline().After(now) {
		s.waiting = false
		if int(s.mac.Attempts()) > ieee802154.DefaultMaxFrameRetries || s.batch[s.k].Indirect {
			s.poll(now) // exhausted: nothing goes on the air
		} else {
			s.access(now)
		}
	}
	s.service()
}

// nextBatch fetches frames from the adaptation layer.
func (s *station) nextBatch(now time.Time) {
	for i := range s.batch {
		s.batch[i].Data = s.batch[i].Data[:0]
		s.batch[i].Status, s.batch[i].Attempts, s.batch[i].More = ieee802154.TxPending, 0, false
	}
	s.n, s.k = s.iface.Next(now, s.batch[:]), 0
	if s.sending = s.n > 0; s.sending {
		s.begin(now)
	}
}

func (s *station) begin(now time.Time) {
	if f := &s.batch[s.k]; f.Indirect {
		s.mac.BeginIndirect(now, f.Data)
	} else {
		s.mac.Begin(now, f.Data)
	}
	s.access(now)
}

// access waits for the medium. Stations get it in the order in which they ask, each
// with a random backoff: carrier sense is taken to be perfect, and collisions are part of
// the loss.
func (s *station) access(now time.Time) {
	w := s.w
	t := now.Sub(epoch)
	if w.cfg.Contention {
		s.contend(t + s.csma.Begin(w.rng))
		return
	}
	start := max(t, w.busyUntil) + time.Duration(w.rng.IntN(backoffs))*backoffUnit
	f := s.batch[s.k].Data
	end := start + airTime(len(f))
	w.busyUntil = end
	if len(f) > 0 && f[0]&0x20 != 0 { // acknowledgment request
		w.busyUntil += turnaround + ackTime
	}
	s.txToken++
	w.q.push(event{at: end, kind: evAir, station: s.id, gen: s.gen, token: s.txToken})
}

func (s *station) onAir() {
	if s.air != nil && s.air.hit {
		s.w.stats.Collisions++
	}
	s.poll(s.w.now())
	s.service()
}

// poll does what the MAC wants until it waits.
func (s *station) poll(now time.Time) {
	for {
		switch action, status := s.mac.Poll(now); action {
		case ieee802154.MACSend:
			s.w.transmit(s, s.batch[s.k].Data)
			continue
		case ieee802154.MACDone:
			s.finish(now, status)
		default:
			s.waiting = true
		}
		return
	}
}

// finish ends the frame under way and begins the next of the batch.
func (s *station) finish(now time.Time, status ieee802154.TxStatus) {
	s.waiting = false
	s.txToken++ // an access that waits for the medium is void
	f := &s.batch[s.k]
	f.Status, f.Attempts, f.Pending = status, s.mac.Attempts(), s.mac.MorePending()
	for s.k++; s.k < s.n; s.k++ {
		if prev := &s.batch[s.k-1]; prev.Status.OK() || !prev.More {
			s.begin(now)
			return
		}
		s.batch[s.k].Status = ieee802154.TxSkipped
	}
	s.sending = false
	s.iface.Done(now, s.batch[:s.n])
}

// onFrame takes a frame, data or acknowledgment, from the air.
func (s *station) onFrame(b *frameBuf) {
	now := s.w.now()
	ack, deliver, _ := s.mac.Receive(now, b.data)
	if ack != nil {
		s.w.acknowledge(s, b.data, ack)
	}
	if deliver {
		s.rx = ieee802154.RxFrame{Data: append(s.rx.Data[:0], b.data...), RSSI: -60, LQI: 200, Channel: 26}
		s.iface.Input(now, &s.rx)
	} else if s.waiting { // else a MAC that wants to send again waits for the medium first
		s.poll(now)
	}
	s.service()
}

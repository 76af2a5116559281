package ieee802154

import "time"

// Defaults of [PollerConfig].
const (
	DefaultPollWait     = 100 * time.Millisecond
	DefaultFastInterval = 250 * time.Millisecond
	DefaultFastPolls    = 4
	minPollInterval     = 10 * time.Millisecond
	quickPolls          = 3 // data requests sent again at once where none of them was answered
)

// A PollerConfig says how a [Poller] sleeps. A zero field means its default; Interval must
// be set.
type PollerConfig struct {
	Interval     time.Duration // from one data request to the next, at least 10 ms
	Wait         time.Duration // how long the receiver stays on for the frame that is said to wait
	FastInterval time.Duration // between data requests after something was sent, for the answer
	FastPolls    int           // how many of these; negative: none
}

// A Poller is the other end of indirect transmission (section 6.7.3): it keeps the receiver
// of a device off, sends data requests to its coordinator, and listens where the
// acknowledgment says that a frame waits. It is a plain value without goroutine or clock.
//
// Without a coordinator the receiver is on: the device has yet to find one.
type Poller struct {
	cfg    PollerConfig
	awake  bool      // no coordinator
	next   time.Time // of the next data request
	listen time.Time // the receiver is on until then; zero: off
	asking bool      // a data request is with the radio
	got    bool      // its answer was here before its fate
	fast   int       // fast data requests left
	missed int       // times in a row that nothing came
	stats  PollerStats
}

// PollerStats are the counters of a [Poller].
type PollerStats struct {
	Polls    uint64 // data requests sent
	Failed   uint64 // of them not acknowledged
	Pending  uint64 // acknowledged with frame pending
	Received uint64 // frames received while listening
	Missed   uint64 // times that none came
}

// NewPoller returns a Poller without coordinator.
func NewPoller(cfg PollerConfig) *Poller {
	cfg.Interval = max(cfg.Interval, minPollInterval)
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultPollWait
	}
	if cfg.FastInterval <= 0 {
		cfg.FastInterval = DefaultFastInterval
	}
	if cfg.FastPolls == 0 {
		cfg.FastPolls = DefaultFastPolls
	}
	return &Poller{cfg: cfg, awake: true}
}

// Stats returns a copy of the counters.
func (p *Poller) Stats() PollerStats { return p.stats }

// Sleep begins to poll, or ends it where there is no coordinator any more.
func (p *Poller) Sleep(now time.Time, coordinator bool) {
	if p.awake != coordinator {
		return // nothing new
	}
	p.awake = !coordinator
	p.next, p.listen, p.fast = time.Time{}, time.Time{}, 0
	if coordinator {
		p.next = now // it learns from the first data request that we sleep
	}
}

// Receiver reports whether the receiver is to be on.
func (p *Poller) Receiver() bool { return p.awake || p.asking || !p.listen.IsZero() }

// Sending notes that the device sends a frame of its own: its answer is fetched soon.
func (p *Poller) Sending(now time.Time) {
	if p.awake || p.cfg.FastPolls < 0 {
		return
	}
	p.fast = p.cfg.FastPolls
	if t := now.Add(min(p.cfg.FastInterval, p.cfg.Interval)); p.next.After(t) {
		p.next = t
	}
}

// Deadline returns when [Poller.Advance] is due; zero: nothing is.
func (p *Poller) Deadline() time.Time {
	switch {
	case p.awake || p.asking:
		return time.Time{}
	case !p.listen.IsZero():
		return p.listen
	}
	return p.next
}

// Advance does what is due, and reports whether a data request is to be sent; see
// [Poller.Append].
func (p *Poller) Advance(now time.Time) (due bool) {
	if p.awake || p.asking {
		return false
	}
	if !p.listen.IsZero() && !now.Before(p.listen) {
		p.listen = time.Time{}
		p.stats.Missed++
		// It came late, or the answer was lost: it still waits there.
		if p.missed++; p.missed <= quickPolls {
			p.next = now
		}
	}
	return p.listen.IsZero() && !now.Before(p.next)
}

// Append appends the data request from src to the coordinator dst in pan, without FCS, to b.
// ok is false when none is due. Its fate goes to [Poller.Done].
func (p *Poller) Append(now time.Time, b []byte, seq uint8, pan uint16, dst, src Addr) (_ []byte, ok bool) {
	if !p.Advance(now) {
		return b, false
	}
	payload := [1]byte{byte(CommandDataRequest)}
	f := Frame{Type: TypeCommand, AckRequest: true, PANIDCompression: true, Seq: seq, DstPAN: pan, Dst: dst, Src: src, Payload: payload[:]}
	b, err := f.AppendBinary(b)
	if err != nil {
		return b, false
	}
	p.asking, p.got = true, false
	p.stats.Polls++
	p.next = now.Add(p.cfg.Interval)
	if p.fast > 0 {
		p.fast--
		p.next = now.Add(min(p.cfg.FastInterval, p.cfg.Interval))
	}
	return b, true
}

// Done takes what became of the data request: acknowledged or not, and whether its
// acknowledgment said that a frame waits.
func (p *Poller) Done(now time.Time, acked, pending bool) {
	if !p.asking {
		return
	}
	p.asking = false
	switch {
	case !acked:
		p.stats.Failed++
	case !pending:
		p.missed = 0
	default:
		p.stats.Pending++
		if !p.got {
			p.listen = now.Add(p.cfg.Wait)
		}
	}
}

// Received takes a data or command frame that was for this device alone; more is its Frame
// Pending field: another one waits, and is asked for at once.
func (p *Poller) Received(now time.Time, more bool) {
	if p.awake || p.listen.IsZero() && !p.asking {
		return
	}
	p.stats.Received++
	p.missed = 0
	p.listen, p.got = time.Time{}, p.asking
	if more {
		p.next = now
	}
}

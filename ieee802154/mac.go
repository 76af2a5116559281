package ieee802154

import "time"

// Defaults of [MACConfig].
const (
	DefaultMaxFrameRetries = 3                      // macMaxFrameRetries, section 8.4.3.1
	DefaultAckWait         = 864 * time.Microsecond // macAckWaitDuration at 2.4 GHz: 54 symbols
	DefaultMaxPeers        = 512
	DefaultDuplicateAge    = 2 * time.Second
	DefaultNeverAckAfter   = 3
	DefaultReprobe         = 10 * time.Minute
	DefaultDoubtTime       = 10 * time.Second
)

// forgetAckFactor times NeverAckAfter frames in a row must fail before a peer that did
// acknowledge once is taken for one that does not any more (other firmware, same address).
const forgetAckFactor = 10

// A MACConfig holds the addresses and constants of a [MAC]. A zero field means its default.
type MACConfig struct {
	Ext         uint64 // own EUI-64; 0: none
	Short       uint16 // own short address; BroadcastShort and NoShort: none. Zero is an address
	PAN         uint16 // own PAN identifier; BroadcastPAN hears every PAN
	Coordinator bool   // accept frames without a destination, which are for the PAN coordinator

	MaxFrameRetries int           // macMaxFrameRetries; negative: no retry
	AckWait         time.Duration // time from Poll's MACSend to the next attempt
	AckWaitMax      time.Duration // where more than AckWait: each attempt waits twice as long as the one before, up to this, if the peer acknowledged the frame before
	MaxPeers        int           // peers remembered, rounded up to a multiple of 8
	DuplicateAge    time.Duration // how long a sequence number is remembered
	NeverAckAfter   int           // frames without any acknowledgment before a peer counts as one that never acknowledges; negative: never learn
	Reprobe         time.Duration // how often such a peer is tried again
	DoubtTime       time.Duration // after a peer was heard: how long frames to it count as sent that no acknowledgment followed, unless it ever gave one
}

// A MAC is the software half of a radio: everything between frames on the air and frames
// for the layer above that hardware does elsewhere. It is a plain value for one goroutine
// (or under one lock); it allocates only in [NewMAC].
//
// Receiving: [MAC.Receive] filters, gives the acknowledgment to send, and rejects
// duplicates. A duplicate is the same frame again: source, sequence number and checksum
// all equal, since a retransmission is bit by bit the frame before.
//
// Sending: [MAC.Begin], then do what [MAC.Poll] says, now, after each Receive, and at
// [MAC.Deadline].
//
// Some devices ask for acknowledgments but never send one. A peer is taken for such after
// NeverAckAfter frames in a row went unacknowledged through every retry, none was ever
// acknowledged, and the peer was heard in the meantime, so that it lives and is in range.
// From then on a frame is sent once and counts as sent. An acknowledgment that comes all the
// same, and a full trial every Reprobe, heal a wrong conclusion.
//
// As long as nothing is known, in the DoubtTime after a peer was heard, a frame goes through
// every retry and counts as sent all the same: otherwise such a device would not get the
// fragments of its first router advertisement, and it asks three times only.
type MAC struct {
	cfg   MACConfig
	peers peerTable
	f     Frame // scratch of Receive

	ack [32]byte // the acknowledgment that Receive returns

	pending    []Addr // for whom frames wait
	pendingAll bool   // say so to everybody
	asleep     bool   // the receiver is off

	tx struct {
		data     []byte
		dst      Addr
		peer     peerKey
		seq      uint8
		active   bool
		waitAck  bool // the frame asks for an acknowledgment and the peer gives them
		probing  bool // the peer never acknowledged so far; this frame tries again
		patient  bool // the peer acknowledged the frame before: waits may grow
		once     bool // one attempt and no more
		sent     bool // an attempt is on the air
		more     bool // the acknowledgment says that frames wait for us
		done     TxStatus
		attempts uint8
		deadline time.Time
	}
	// recent frames to peers that never acknowledge, to notice when one does
	recent  [16]recentTx
	recentN uint8

	stats MACStats
}

type recentTx struct {
	peer peerKey
	seq  uint8
	at   time.Time
}

// MACStats are the counters of a [MAC]: Received = Delivered + AcksMatched + the sum of Drops.
type MACStats struct {
	Received     uint64 // frames given to Receive
	Delivered    uint64 // frames Receive said to deliver
	AcksMatched  uint64 // acknowledgments that completed a transmission or healed a peer
	AcksSent     uint64 // acknowledgments Receive returned
	DataRequests uint64 // data requests acknowledged, repeated ones included
	PendingAcks  uint64 // acknowledgments that said frame pending
	Sent         uint64 // transmissions that ended as TxSent
	Acked        uint64
	NoAck        uint64
	ChannelBusy  uint64 // transmissions that ended as TxChannelBusy: channel access failures
	Attempts     uint64 // frames Poll said to send
	NeverAck     uint64 // times a peer was found never to acknowledge
	Healed       uint64 // times that was taken back
	Drops        [NumDrops]uint64
}

// NewMAC returns a MAC with nothing learnt.
func NewMAC(cfg MACConfig) *MAC {
	if cfg.MaxFrameRetries == 0 {
		cfg.MaxFrameRetries = DefaultMaxFrameRetries
	}
	cfg.MaxFrameRetries = min(max(cfg.MaxFrameRetries, 0), 200)
	if cfg.AckWait <= 0 {
		cfg.AckWait = DefaultAckWait
	}
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = DefaultMaxPeers
	}
	if cfg.DuplicateAge <= 0 {
		cfg.DuplicateAge = DefaultDuplicateAge
	}
	if cfg.NeverAckAfter == 0 {
		cfg.NeverAckAfter = DefaultNeverAckAfter
	}
	if cfg.Reprobe <= 0 {
		cfg.Reprobe = DefaultReprobe
	}
	if cfg.DoubtTime == 0 {
		cfg.DoubtTime = DefaultDoubtTime
	}
	m := &MAC{cfg: cfg, pending: make([]Addr, 0, MaxPending)}
	m.peers.init(cfg.MaxPeers)
	return m
}

// SetAddress changes the own addresses and PAN; BroadcastShort means no short address.
func (m *MAC) SetAddress(ext uint64, short, pan uint16) {
	m.cfg.Ext, m.cfg.Short, m.cfg.PAN = ext, short, pan
}

// Stats returns a copy of the counters.
func (m *MAC) Stats() MACStats { return m.stats }

// IsOwn reports whether a is an own address.
func (m *MAC) IsOwn(a Addr) bool {
	switch a.Mode {
	case AddrExtended:
		return a.V == m.cfg.Ext && m.cfg.Ext != 0
	case AddrShort:
		return uint16(a.V) == m.cfg.Short && m.cfg.Short < NoShort
	}
	return false
}

// filter is the third level of filtering of section 6.7.2. It says whether the frame is to
// this device alone.
func (m *MAC) filter(f *Frame) (unicast bool, err error) {
	if m.IsOwn(f.Src) {
		return false, DropOwn
	}
	if f.HasDstPAN && f.DstPAN != BroadcastPAN && f.DstPAN != m.cfg.PAN && m.cfg.PAN != BroadcastPAN {
		return false, DropPAN
	}
	switch {
	case f.Dst.Mode != AddrNone:
		if f.Dst.IsBroadcast() {
			return false, nil
		}
		if !m.IsOwn(f.Dst) {
			return false, DropAddress
		}
		return true, nil
	case f.Type == TypeBeacon:
		if pan, ok := f.SourcePAN(); ok && pan != m.cfg.PAN && pan != BroadcastPAN && m.cfg.PAN != BroadcastPAN {
			return false, DropPAN
		}
		return false, nil
	case !m.cfg.Coordinator:
		return false, DropAddress
	}
	if pan, ok := f.SourcePAN(); ok && pan != m.cfg.PAN && m.cfg.PAN != BroadcastPAN {
		return false, DropPAN
	}
	return true, nil
}

// Receive takes a frame without FCS from the air. ack is the acknowledgment to send at
// once, without FCS, or nil; it is valid until the next call. deliver says that the layer
// above is to have the frame; otherwise err is the [Drop], or nil for an acknowledgment that
// was expected. A duplicate comes with an ack and an error.
func (m *MAC) Receive(now time.Time, frame []byte) (ack []byte, deliver bool, err error) {
	m.stats.Received++
	ack, deliver, err = m.receive(now, frame)
	switch {
	case err != nil:
		m.stats.Drops[err.(Drop)]++
	case deliver:
		m.stats.Delivered++
	default:
		m.stats.AcksMatched++
	}
	if ack != nil {
		m.stats.AcksSent++
	}
	return ack, deliver, err
}

func (m *MAC) receive(now time.Time, frame []byte) (ack []byte, deliver bool, err error) {
	f := &m.f
	if err = f.Parse(frame); err != nil {
		return nil, false, err
	}
	if f.Type == TypeAck {
		if f.Dst.Mode != AddrNone && !m.IsOwn(f.Dst) { // an Enh-Ack names its destination
			return nil, false, DropAddress
		}
		if !m.acknowledged(now, f) {
			return nil, false, DropUnwantedAck
		}
		return nil, false, nil
	}
	if m.asleep {
		return nil, false, DropAsleep
	}
	unicast, err := m.filter(f)
	if err != nil {
		return nil, false, err
	}
	if unicast && f.AckRequest {
		ack = m.buildAck(f, m.framePending(f))
	}
	if f.Src.Mode == AddrNone {
		return ack, true, nil
	}
	p := m.peers.touch(keyOf(f.Src, f), now)
	if !f.SeqSuppressed && p.duplicate(now, f.Seq, FCS(frame), m.cfg.DuplicateAge) {
		return ack, false, DropDuplicate
	}
	return ack, true, nil
}

// buildAck returns the Imm-Ack (section 7.3.3) of f, or the Enh-Ack of a frame of version
// 2015.
func (m *MAC) buildAck(f *Frame, pending bool) []byte {
	if pending {
		m.stats.PendingAcks++
	}
	if f.Version != Version2015 {
		fcf := byte(TypeAck)
		if pending {
			fcf |= fcfPending
		}
		return append(m.ack[:0], fcf, 0, f.Seq)
	}
	a := Frame{Type: TypeAck, Version: Version2015, Seq: f.Seq, SeqSuppressed: f.SeqSuppressed, Dst: f.Src, Pending: pending}
	pan, ok := f.SourcePAN()
	a.DstPAN, a.PANIDCompression = pan, !ok
	if f.Src.Mode == AddrNone {
		a.PANIDCompression = false
	}
	b, err := a.AppendBinary(m.ack[:0])
	if err != nil {
		return nil
	}
	return b
}

// acknowledged handles an acknowledgment and reports whether somebody waited for it.
func (m *MAC) acknowledged(now time.Time, f *Frame) bool {
	t := &m.tx
	if t.active && t.sent && t.waitAck && t.done == TxPending && f.Seq == t.seq && !f.SeqSuppressed {
		t.done, t.more = TxAcked, f.Pending
		m.peers.touch(t.peer, now).acked(now, m)
		return true
	}
	for i := range m.recent {
		r := &m.recent[i]
		if !r.at.IsZero() && r.seq == f.Seq && now.Sub(r.at) <= m.cfg.AckWait {
			if p := m.peers.find(r.peer); p != nil {
				p.acked(now, m)
			}
			*r = recentTx{}
			return true
		}
	}
	return false
}

// A MACAction is what [MAC.Poll] wants done.
type MACAction uint8

// The actions.
const (
	MACNone MACAction = iota // wait for Receive or the Deadline
	MACSend                  // put the frame on the air now, then Poll again
	MACDone                  // finished: the status holds
)

// Begin starts the transmission of data, a frame without FCS that must not change until
// Poll returns MACDone. A transmission that was under way is abandoned.
func (m *MAC) Begin(now time.Time, data []byte) { m.begin(now, data, false) }

// BeginIndirect is [MAC.Begin] for a frame that answers a data request. It is sent once:
// "if a single transmission attempt has failed and the transmission was indirect, the
// coordinator shall not retransmit", for its receiver is asleep again; and that says nothing
// of whether it acknowledges.
func (m *MAC) BeginIndirect(now time.Time, data []byte) { m.begin(now, data, true) }

func (m *MAC) begin(now time.Time, data []byte, once bool) {
	t := &m.tx
	t.data, t.active, t.sent, t.waitAck, t.probing, t.patient = data, true, false, false, false, false
	t.once, t.more = once, false
	t.done, t.attempts, t.deadline = TxPending, 0, time.Time{}
	var f Frame
	if err := f.Parse(data); err != nil {
		t.done = TxTooLong
		return
	}
	t.dst, t.seq = f.Dst, f.Seq
	if !f.AckRequest || f.Dst.Mode == AddrNone || f.Dst.IsBroadcast() || f.SeqSuppressed {
		return
	}
	t.peer = keyTo(f.Dst, &f)
	t.waitAck = true
	p := m.peers.find(t.peer)
	// One that is not there shall not keep the frames for others waiting.
	t.patient = p != nil && p.everAcked && p.failed == 0
	if p != nil && p.neverAck {
		if now.Sub(p.probed) < m.cfg.Reprobe {
			t.waitAck = false
			m.recent[m.recentN%uint8(len(m.recent))] = recentTx{t.peer, f.Seq, now}
			m.recentN++
		} else {
			t.probing = true
			p.probed = now
		}
	}
}

// Poll says what to do next for the transmission that Begin started. The wait for an
// acknowledgment counts from the now of the Poll that returned MACSend.
func (m *MAC) Poll(now time.Time) (MACAction, TxStatus) {
	t := &m.tx
	switch {
	case !t.active:
		return MACNone, TxPending
	case t.done != TxPending:
		return m.finish(t.done)
	case !t.sent:
		return m.send(now)
	case !t.waitAck:
		return m.finish(TxSent)
	case now.Before(t.deadline):
		return MACNone, TxPending
	case t.once:
		return m.finish(TxNoAck)
	case int(t.attempts) <= m.cfg.MaxFrameRetries:
		return m.send(now)
	}
	if m.exhausted(now) {
		return m.finish(TxSent)
	}
	return m.finish(TxNoAck)
}

func (m *MAC) send(now time.Time) (MACAction, TxStatus) {
	t := &m.tx
	t.sent = true
	t.attempts++
	m.stats.Attempts++
	if t.waitAck {
		wait := m.cfg.AckWait
		for i := uint8(1); t.patient && i < t.attempts && wait < m.cfg.AckWaitMax; i++ {
			wait = min(2*wait, m.cfg.AckWaitMax)
		}
		t.deadline = now.Add(wait)
	}
	return MACSend, TxPending
}

func (m *MAC) finish(s TxStatus) (MACAction, TxStatus) {
	m.tx.active, m.tx.data, m.tx.deadline = false, nil, time.Time{}
	switch s {
	case TxSent:
		m.stats.Sent++
	case TxAcked:
		m.stats.Acked++
	case TxNoAck:
		m.stats.NoAck++
	case TxChannelBusy:
		m.stats.ChannelBusy++
	}
	return MACDone, s
}

// Busy ends the transmission under way because [CSMA] gave up: the next Poll returns
// TxChannelBusy.
func (m *MAC) Busy() {
	if m.tx.active && m.tx.done == TxPending {
		m.tx.done = TxChannelBusy
	}
}

// MorePending reports whether the acknowledgment of the last transmission said that frames
// wait for us.
func (m *MAC) MorePending() bool { return m.tx.more }

// exhausted notes that no attempt was acknowledged, and reports whether the frame counts as
// sent: the peer is one that never acknowledges, or may be.
func (m *MAC) exhausted(now time.Time) bool {
	t := &m.tx
	if t.probing {
		return true
	}
	p := m.peers.find(t.peer)
	if p == nil { // never heard: no evidence that it is there
		return false
	}
	if p.failed == 0 {
		p.firstFail = now
	}
	if p.failed < 255 {
		p.failed++
	}
	after := m.cfg.NeverAckAfter
	if after < 0 {
		return false
	}
	doubt := !p.everAcked && now.Sub(p.heard) <= m.cfg.DoubtTime
	if p.everAcked {
		after *= forgetAckFactor
	}
	if int(p.failed) < min(after, 255) || !p.heard.After(p.firstFail) {
		return doubt
	}
	p.neverAck, p.everAcked, p.probed = true, false, now
	m.stats.NeverAck++
	return true
}

// Attempts returns how often the frame of the current or last transmission was sent.
func (m *MAC) Attempts() uint8 { return m.tx.attempts }

// Deadline returns when Poll is due next; zero: only after a Receive.
func (m *MAC) Deadline() time.Time { return m.tx.deadline }

// NeverAcks reports whether the peer is taken for one that never acknowledges.
func (m *MAC) NeverAcks(a Addr, pan uint16) bool {
	k := peerKey{addr: a}
	if a.Mode == AddrShort {
		k.pan = pan
	}
	p := m.peers.find(k)
	return p != nil && p.neverAck
}

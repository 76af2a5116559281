package lowpan

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// InterfaceConfig configures an [Interface].
type InterfaceConfig struct {
	// Name is what [Interface.Name] returns.
	Name string
	// EUI64 is our extended address, big-endian as printed. It is the source of every
	// frame: there are stacks that cannot receive from a short address.
	EUI64 uint64
	// Short is our short address, to which frames are accepted as well; 0, fffe and ffff
	// mean that there is none.
	Short uint16
	// PAN is the identifier of our PAN. Frames to it and to ffff are accepted.
	PAN uint16
	// GHC accepts generic header compression (RFC 7400): where we announce it in a 6CIO.
	// Without it, it is an unknown header.
	GHC bool
	// Security secures frames; nil: none is, and secured ones are dropped.
	Security *Security

	// Recovery says to whom recoverable fragments are sent (RFC 8931).
	Recovery RecoveryConfig

	// Limits bounds memory and delay.
	Limits Limits
	// Logger takes what an operator may act on, and at debug level each drop; nil discards.
	Logger *slog.Logger
	// Rand gives the first sequence number and datagram tag. Default: seeded by the system.
	Rand *rand.Rand

	// Device says that we are a device of somebody else's PAN: beacon and association requests
	// are not for us. Without it we are its coordinator.
	Device bool
	// Sleep, where set, has the receiver off but for what is fetched from the coordinator by
	// data requests; see [Interface.SetParent]. It is for a Device whose radio can do that.
	Sleep *ieee802154.PollerConfig

	// Assume is what neighbours understand that [Interface.SetPeer] says nothing of.
	// Broadcasts, which reach the least of them, assume nothing.
	Assume Peer

	// Deliver takes each packet received. p is valid during the call and the callee's to
	// change. m.Port is 0: whoever knows the port sets it.
	Deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)
	// Wake, where set, is called when there is something to send and was nothing before.
	Wake func()
	// LinkStatus, where set, is told once for a datagram to one neighbour that all of it
	// was acknowledged, or that it was given up for want of an acknowledgment. Nothing is
	// said where neither is known.
	LinkStatus func(now time.Time, dst ipv6.LinkAddr, ok bool)
}

// A Peer says what a neighbour understands beyond what all do: stateless LOWPAN_IPHC and
// the NHC of UDP.
type Peer struct {
	// ElideUDPChecksum: it restores UDP checksums that were left out (RFC 6282 section
	// 4.3.2). Without it they are sent.
	ElideUDPChecksum bool
	// ExtHeaders: it knows LOWPAN_NHC for extension headers (RFC 6282 section 4.2), which
	// lwIP and Linux drop. Without it they are sent as they are.
	ExtHeaders bool
	// Contexts: it has our contexts, as a node of RFC 6775 has them from the 6CO of our
	// router advertisements. Others have none, or some of their own under the same numbers.
	Contexts bool
	// GHC: it knows generic header compression (RFC 7400, as its 6CIO says). It is used
	// where it makes a packet fit into one frame.
	GHC bool
}

// RegisteredPeer is what a node understands that has registered an address with us: RFC 6775
// has it take our contexts, and stacks that speak it know all of RFC 6282.
var RegisteredPeer = Peer{ExtHeaders: true, Contexts: true}

// MaxBatch is how many frames [Interface.Next] gives out at most.
const MaxBatch = 64

// An Interface is the adaptation layer over one IEEE 802.15.4 radio (RFC 4944, RFC 6282):
// frames in, packets out, and the other way round. It is a machine without goroutine or
// clock; all its methods are for one goroutine at a time. A [Pump] joins it to a
// [ieee802154.Radio].
//
// The radio pulls: datagrams are kept whole, compressed once, in a queue for each neighbour,
// and cut into frames when the radio has room for them. To one neighbour one datagram is
// sent at a time, for there are stacks that reassemble only one for each sender.
type Interface struct {
	cfg      InterfaceConfig
	log      *slog.Logger
	own      ipv6.LinkAddr
	contexts Contexts
	peers    map[ipv6.LinkAddr]Peer
	stats    Stats

	sec *security // nil: none

	// Receive.
	reasm *Reassembler
	frame ieee802154.Frame
	rx    []byte
	bc0   broadcasts

	// Transmit.
	q       queue
	dsn     uint8     // next sequence number
	tag     uint16    // next datagram_tag
	current *datagram // partly given to the radio
	flight  []flight  // the batch that is with the radio
	rec     recoveries
	starved bool // something waits that may not be sent yet, and the radio is idle
	sleep   sleep
}

// A flight is a frame that is with the radio. The compiler keeps structs of up to four
// fields in registers.
type flight struct {
	d     *datagram     // nil: a recoverable fragment, or an acknowledgment of one
	round recoveryRound // of the fragment; zero: an acknowledgment
	last  bool          // of d; or the fragment asks for an acknowledgment
	kind  flightKind
}

// NewInterface returns an Interface without contexts.
func NewInterface(cfg InterfaceConfig) *Interface {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Short == 0 || cfg.Short == ieee802154.NoShort {
		cfg.Short = ieee802154.BroadcastShort
	}
	if cfg.Deliver == nil {
		cfg.Deliver = func(time.Time, ipv6.Packet, ipv6.Meta) {}
	}
	i := &Interface{
		cfg:    cfg,
		log:    cfg.Logger.With("link", cfg.Name),
		own:    ipv6.EUI64(cfg.EUI64),
		peers:  make(map[ipv6.LinkAddr]Peer),
		rx:     make([]byte, 0, ipv6.MaxPacket),
		flight: make([]flight, 0, MaxBatch),
	}
	// So that a restart does not look like repetition to those who remember.
	seed := rand.Uint64()
	if cfg.Rand != nil {
		seed = cfg.Rand.Uint64()
	}
	i.dsn, i.tag = uint8(seed), uint16(seed>>8)
	i.contexts.AcceptGHC = cfg.GHC
	i.contexts.Limits = cfg.Limits.Headers
	i.reasm = NewReassembler(cfg.Limits, &i.contexts)
	i.reasm.refused = i.refuse
	if cfg.Security != nil {
		i.sec = newSecurity(*cfg.Security)
	}
	i.rec.init(cfg.Recovery, cfg.Limits.Recoveries, uint8(seed>>24))
	i.q.init(cfg.Limits)
	i.q.drop = i.dropTx
	i.q.setup = i.setup
	i.initSleep(seed)
	return i
}

// Name returns the name from the configuration.
func (i *Interface) Name() string { return i.cfg.Name }

// MTU returns 1280, the MTU of an IEEE 802.15.4 link (RFC 4944 section 4).
func (i *Interface) MTU() int { return ipv6.MinMTU }

// LinkAddr returns our extended address.
func (i *Interface) LinkAddr() ipv6.LinkAddr { return i.own }

// PAN returns the identifier of our PAN.
func (i *Interface) PAN() uint16 { return i.cfg.PAN }

// SetContext puts c in place of context id and reports whether it could; see [Contexts.Set].
func (i *Interface) SetContext(id int, c Context) bool { return i.contexts.Set(id, c) }

// Contexts returns the contexts in use.
func (i *Interface) Contexts() *Contexts { return &i.contexts }

// SetPeer notes what the neighbour dst understands; what the configuration assumes of all
// is not remembered. It reports false when no more neighbours can be remembered.
func (i *Interface) SetPeer(dst ipv6.LinkAddr, p Peer) bool {
	_, known := i.peers[dst]
	switch {
	case p == i.assumed(dst):
		delete(i.peers, dst)
	case !known && len(i.peers) >= i.cfg.Limits.Peers:
		return false
	default:
		i.peers[dst] = p
	}
	if nb := i.q.lookup(dst); nb != nil {
		i.setup(nb)
	}
	return true
}

func (i *Interface) assumed(dst ipv6.LinkAddr) Peer {
	if dst == ipv6.BroadcastShort {
		return Peer{}
	}
	return i.cfg.Assume
}

// Peer returns what the neighbour dst is taken to understand.
func (i *Interface) Peer(dst ipv6.LinkAddr) Peer {
	if p, ok := i.peers[dst]; ok {
		return p
	}
	return i.assumed(dst)
}

// Deadline returns when [Interface.Advance] has something to do, or the zero time.
func (i *Interface) Deadline() time.Time {
	t := i.reasm.Deadline()
	if s := i.sleepDeadline(); !s.IsZero() && (t.IsZero() || s.Before(t)) {
		t = s
	}
	if len(i.rec.active) > 0 {
		if r := i.rec.deadline(); !r.IsZero() && (t.IsZero() || r.Before(t)) {
			t = r
		}
	}
	return t
}

// Advance does what is due at now: it gives up datagrams that did not complete, and asks
// again for acknowledgments of fragments.
func (i *Interface) Advance(now time.Time) {
	i.reasm.Advance(now)
	i.advanceSleep(now)
	if len(i.rec.active) > 0 {
		i.advanceRecoveries(now)
	}
}

// Busy reports whether half of what may wait for the radio is waiting, what waits for
// neighbours that sleep left out. Whoever can should then hold back.
func (i *Interface) Busy() bool { return (i.q.total-i.q.held)*2 > i.cfg.Limits.QueueDatagrams }

// Stats returns a copy of the counters.
func (i *Interface) Stats() Stats {
	s := i.stats
	r := &i.reasm.stats
	s.FramesDelivered += r.Delivered
	s.FramesHeld = r.Held
	s.Reassemblies = r.Pending
	s.ReassembledBytes = uint64(i.reasm.BytesHeld())
	s.DatagramsQueued = uint64(i.q.total)
	s.QueuedBytes = uint64(i.q.bytes)
	i.sleepStats(&s)
	for d, n := range r.Drops {
		s.RxDrops[d] += n
	}
	return s
}

// debug logs a drop. It is kept out of line, and its cost out of the way, of those who
// have no use for it.
func (i *Interface) debug(msg string, why Drop, addr ipv6.LinkAddr) {
	if i.log.Enabled(context.Background(), slog.LevelDebug) {
		i.log.Debug(msg, "reason", why.Error(), "lladdr", addr)
	}
}

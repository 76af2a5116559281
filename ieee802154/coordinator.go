package ieee802154

import (
	"math/rand/v2"
	"time"
)

const (
	// BaseSuperframe is aBaseSuperframeDuration at 2.4 GHz: 960 symbols.
	BaseSuperframe = 15360 * time.Microsecond
	// TransactionPersistence is macTransactionPersistenceTime of a PAN without periodic
	// beacons: 500 times aBaseSuperframeDuration, 7.68 s.
	TransactionPersistence = 500 * BaseSuperframe

	// A beacon is sent after a random delay, so that not every coordinator that heard the
	// request answers at the same time. The shortest scan listens for two
	// aBaseSuperframeDuration.
	beaconDelayMin = 1 * time.Millisecond
	beaconDelayMax = BaseSuperframe
	// No more than ten beacons a second, however often they are asked for. One beacon
	// answers all that asked for it, for it is a broadcast.
	beaconGap = 100 * time.Millisecond

	// conflictEpisode is how long no sign of a conflict makes the next one a new episode.
	conflictEpisode = 10 * time.Minute

	maxRefusals = 8 // association responses that wait for a data request
)

// Status of an association response (section 7.5.3.3).
const associationDenied = 0x02

// A CoordinatorConfig names a coordinator. Rand must not be nil.
type CoordinatorConfig struct {
	Ext   uint64 // own EUI-64
	Short uint16 // own short address; BroadcastShort, NoShort and 0: none
	PAN   uint16
	Rand  *rand.Rand
}

// A Coordinator answers MAC commands as the coordinator of a PAN without periodic beacons,
// on top of whatever radio there is: it sends a beacon where one is requested, refuses
// associations, and notes that another coordinator uses the same PAN identifier. It is a
// plain value without goroutine, lock or clock.
//
// Nodes are configured with channel and PAN; nobody is given a short address. So the beacon
// says that associations are not permitted, and an association request is answered with PAN
// access denied, which ends the device's trial at once instead of after its time-out. The
// response waits until the device asks for it, as the standard has it.
//
// A conflict changes nothing by itself: to move a PAN whose nodes are configured would lose
// them all.
//
// Enhanced beacon requests (version 2015) are left alone: their senders look for networks
// that this is not one of, such as TSCH.
type Coordinator struct {
	cfg CoordinatorConfig

	due      time.Time // of the beacon; zero: none is asked for
	last     time.Time // of the beacon before
	seq      uint8     // BSN
	refusals [maxRefusals]refusal
	conflict Conflict
	lastSign time.Time
	stats    CoordinatorStats
}

// A refusal is an association response that waits.
type refusal struct {
	to    uint64 // 0: unused
	until time.Time
	asked bool // its data request was heard
}

// A Conflict says who uses our PAN identifier.
type Conflict struct {
	Addr     Addr // the other coordinator, or the device that told of it
	Notified bool // a device told of it; else a beacon was heard
	Since    time.Time
}

// CoordinatorStats are the counters of a [Coordinator].
type CoordinatorStats struct {
	BeaconRequests     uint64
	BeaconsSent        uint64
	BeaconsHeard       uint64 // of other coordinators
	Associations       uint64 // association requests
	AssociationsDenied uint64 // responses sent
	AssociationsLost   uint64 // responses not sent: not asked for in time, or no room
	PANConflicts       uint64 // episodes
	PANConflictSigns   uint64 // beacons and notifications that told of one
}

// NewCoordinator returns a Coordinator.
func NewCoordinator(cfg CoordinatorConfig) *Coordinator {
	if cfg.Short == 0 || cfg.Short == NoShort {
		cfg.Short = BroadcastShort
	}
	return &Coordinator{cfg: cfg, seq: uint8(cfg.Rand.Uint32())}
}

// SetAddress changes addresses and PAN.
func (c *Coordinator) SetAddress(ext uint64, short, pan uint16) {
	if short == 0 || short == NoShort {
		short = BroadcastShort
	}
	c.cfg.Ext, c.cfg.Short, c.cfg.PAN = ext, short, pan
}

// Stats returns a copy of the counters.
func (c *Coordinator) Stats() CoordinatorStats { return c.stats }

// Conflict returns the last conflict; ok is false when there was no sign of it for ten
// minutes.
func (c *Coordinator) Conflict(now time.Time) (x Conflict, ok bool) {
	return c.conflict, !c.lastSign.IsZero() && now.Sub(c.lastSign) < conflictEpisode
}

// Input takes a beacon or command frame, which was addressed to us or to all and is in clear
// by now. episode says that a conflict of PAN identifiers has begun, see
// [Coordinator.Conflict]. The error is a [Drop].
func (c *Coordinator) Input(now time.Time, f *Frame) (episode bool, err error) {
	switch f.Type {
	case TypeBeacon:
		return c.beacon(now, f)
	case TypeCommand:
		id, ok := f.Command()
		if !ok {
			return false, DropPayload
		}
		return c.command(now, f, id)
	}
	return false, DropFrameType
}

func (c *Coordinator) beacon(now time.Time, f *Frame) (bool, error) {
	var d PANDescriptor
	if err := d.fromFrame(f); err != nil {
		return false, err
	}
	c.stats.BeaconsHeard++
	// "a beacon frame is received ... with the PAN Coordinator field set to one and the PAN
	// identifier equal to macPanId" (section 6.3.2.1.1). Routers of our own mesh answer
	// beacon requests too, without that bit.
	if d.PAN != c.cfg.PAN || !d.PANCoordinator() {
		return false, nil
	}
	return c.sign(now, Conflict{Addr: d.Addr, Since: now}), nil
}

// sign notes a sign of a conflict, and reports whether it is the first one.
func (c *Coordinator) sign(now time.Time, x Conflict) bool {
	c.stats.PANConflictSigns++
	_, known := c.Conflict(now)
	c.lastSign = now
	if known {
		return false
	}
	c.conflict = x
	c.stats.PANConflicts++
	return true
}

func (c *Coordinator) command(now time.Time, f *Frame, id CommandID) (episode bool, err error) {
	switch id {
	case CommandBeaconRequest:
		if f.Version == Version2015 {
			return false, nil
		}
		c.stats.BeaconRequests++
		if c.due.IsZero() {
			c.due = now.Add(beaconDelayMin + time.Duration(c.cfg.Rand.Int64N(int64(beaconDelayMax-beaconDelayMin))))
			if next := c.last.Add(beaconGap); !c.last.IsZero() && c.due.Before(next) {
				c.due = next
			}
		}
	case CommandAssociationRequest:
		if len(f.Payload) < 2 {
			return false, DropPayload
		}
		if f.Src.Mode != AddrExtended || f.Src.V == 0 || f.Dst.Mode == AddrNone || f.Dst.IsBroadcast() {
			return false, DropAddressing
		}
		c.stats.Associations++
		c.refuse(now, f.Src.V)
	case CommandPANIDConflict:
		if f.Src.Mode != AddrExtended {
			return false, DropAddressing
		}
		return c.sign(now, Conflict{Addr: f.Src, Notified: true, Since: now}), nil
	}
	// Disassociation, orphan, realignment, GTS: of devices that associated, and none did.
	return false, nil
}

func (c *Coordinator) refuse(now time.Time, to uint64) {
	free := -1
	for i := range c.refusals {
		r := &c.refusals[i]
		if r.to == to {
			r.until = now.Add(TransactionPersistence)
			return
		}
		if r.to == 0 && free < 0 {
			free = i
		}
	}
	if free < 0 {
		c.stats.AssociationsLost++
		return
	}
	c.refusals[free] = refusal{to: to, until: now.Add(TransactionPersistence)}
}

// Waits reports whether a command waits for a data request of a.
func (c *Coordinator) Waits(a Addr) bool {
	if a.Mode == AddrExtended && a.V != 0 {
		for i := range c.refusals {
			if c.refusals[i].to == a.V {
				return true
			}
		}
	}
	return false
}

// Polled notes the data request of a and reports whether a command is now ready for it.
func (c *Coordinator) Polled(a Addr) bool {
	if a.Mode == AddrExtended && a.V != 0 {
		for i := range c.refusals {
			if c.refusals[i].to == a.V {
				c.refusals[i].asked = true
				return true
			}
		}
	}
	return false
}

// Deadline returns when [Coordinator.Advance] is due; zero: not at all.
func (c *Coordinator) Deadline() time.Time {
	t := c.due
	for i := range c.refusals {
		if r := &c.refusals[i]; r.to != 0 && (t.IsZero() || r.until.Before(t)) {
			t = r.until
		}
	}
	return t
}

// Advance gives up what was not asked for in time, and reports whether there is a frame to
// send. gone is called with each address for which nothing waits any more; it may be nil.
func (c *Coordinator) Advance(now time.Time, gone func(a Addr)) (ready bool) {
	for i := range c.refusals {
		r := &c.refusals[i]
		if r.to == 0 {
			continue
		}
		if !now.Before(r.until) {
			a := Extended(r.to)
			*r = refusal{}
			c.stats.AssociationsLost++
			if gone != nil {
				gone(a)
			}
			continue
		}
		ready = ready || r.asked
	}
	return ready || !c.due.IsZero() && !now.Before(c.due)
}

// Append appends the next frame to send, without FCS, to b; ok is false when there is none.
// dsn is the sequence number for it, used unless it is a beacon, which has its own. pending
// are the addresses for which frames wait: a beacon names the first seven. to is who the
// frame is for; the zero Addr for a beacon.
func (c *Coordinator) Append(now time.Time, b []byte, dsn uint8, pending []Addr) (_ []byte, to Addr, ok bool) {
	for i := range c.refusals {
		r := &c.refusals[i]
		if r.to == 0 || !r.asked {
			continue
		}
		to = Extended(r.to)
		*r = refusal{}
		payload := [...]byte{byte(CommandAssociationResponse), 0xff, 0xff, associationDenied}
		f := Frame{Type: TypeCommand, AckRequest: true, PANIDCompression: true, Seq: dsn, DstPAN: c.cfg.PAN,
			Dst: to, Src: Extended(c.cfg.Ext), Payload: payload[:]}
		b, err := f.AppendBinary(b)
		if err != nil {
			return b, to, false
		}
		c.stats.AssociationsDenied++
		return b, to, true
	}
	if c.due.IsZero() || now.Before(c.due) {
		return b, Addr{}, false
	}
	c.due, c.last = time.Time{}, now
	src := Extended(c.cfg.Ext)
	if c.cfg.Short != BroadcastShort {
		src = Short(c.cfg.Short)
	}
	gts := [1]byte{}
	bc := Beacon{Superframe: SuperframeNonbeacon | SuperframePANCoordinator, GTS: gts[:]}
	var list [7 * 8]byte
	bc.setPending(list[:0], pending)
	b, err := AppendBeaconFrame(b, c.seq, c.cfg.PAN, src, &bc)
	if err != nil {
		return b, Addr{}, false
	}
	c.seq++
	c.stats.BeaconsSent++
	return b, Addr{}, true
}

// setPending lists at most seven addresses (section 7.3.1.6), the short ones first, in
// memory behind p.
func (b *Beacon) setPending(p []byte, addrs []Addr) {
	if len(addrs) > 7 {
		addrs = addrs[:7]
	}
	for _, mode := range [2]AddrMode{AddrShort, AddrExtended} {
		for _, a := range addrs {
			if a.Mode != mode {
				continue
			}
			p = appendAddr(p, a)
			if mode == AddrShort {
				b.NumShort++
			} else {
				b.NumExt++
			}
		}
	}
	b.Pending = p
}

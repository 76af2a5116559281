package lowpan

import "border-router/ieee802154"

// NumDrops is one more than the largest [Drop]: the length of an array indexed by Drop.
const NumDrops = int(numDrops)

// Stats are the counters of an [Interface].
//
// What came in is counted in frames, and at any time
//
//	FramesIn = FramesDelivered + FramesHeld + sum of RxDrops
//
// What goes out is counted in datagrams, and at any time
//
//	DatagramsOut = DatagramsSent + DatagramsQueued + sum of TxDrops
//
// A packet that [Interface.Output] refused with an error is in neither.
type Stats struct {
	FramesIn        uint64 // frames given to Input
	FramesDelivered uint64 // frames that became packets, or acknowledged fragments of ours
	FramesHeld      uint64 // fragments of unfinished datagrams
	BytesIn         uint64 // bytes of FramesIn, without FCS
	DatagramsIn     uint64 // packets delivered

	DatagramsOut    uint64 // packets accepted by Output
	DatagramsSent   uint64 // all their frames were sent, and acknowledged where that is known
	DatagramsQueued uint64 // waiting for the radio or with it
	FramesOut       uint64 // frames sent
	FramesFailed    uint64 // frames that were with the radio and not sent, or not acknowledged
	FrameAttempts   uint64 // times that frames were on the air, retries included
	BytesOut        uint64 // bytes of FramesOut, without FCS

	Recoveries           uint64 // datagrams begun as recoverable fragments
	FragmentsRecoverable uint64 // recoverable fragments given to the radio
	FragmentsRepeated    uint64 // those of them that had been before
	RecoveryAcksOut      uint64 // acknowledgments of fragments given to the radio
	RecoveryAcksIn       uint64 // acknowledgments of our fragments
	RecoveryAcksLost     uint64 // acknowledgments not sent for want of room

	DataRequests    uint64 // of neighbours that sleep, repeated ones left out
	IndirectHeld    uint64 // datagrams of DatagramsQueued that wait for such a neighbour
	IndirectSent    uint64 // frames sent on a data request and not refused by the radio
	IndirectRepeats uint64 // of them those that had been sent before
	Sleepers        uint64 // neighbours taken to sleep
	MACCommandsIn   uint64 // MAC commands and beacons taken: in FramesDelivered too

	Coordinator ieee802154.CoordinatorStats
	Poller      ieee802154.PollerStats // as a device that sleeps

	Reassemblies     uint64 // unfinished datagrams
	ReassembledBytes uint64 // memory that reassembly buffers take, in bytes
	QueuedBytes      uint64 // compressed bytes of DatagramsQueued

	RxDrops [NumDrops]uint64 // frames, indexed by Drop
	TxDrops [NumDrops]uint64 // datagrams, indexed by Drop
}

// FramesDropped returns the sum of RxDrops.
func (s *Stats) FramesDropped() uint64 { return sum(&s.RxDrops) }

// DatagramsDropped returns the sum of TxDrops.
func (s *Stats) DatagramsDropped() uint64 { return sum(&s.TxDrops) }

// Drops calls yield with each reason that occurred and how often: frames received and
// datagrams not sent together, of which no reason counts both.
func (s *Stats) Drops(yield func(reason string, n uint64) bool) {
	for d := range s.RxDrops {
		if n := s.RxDrops[d] + s.TxDrops[d]; n > 0 && !yield(Drop(d).Error(), n) {
			return
		}
	}
}

// MACCounters calls yield with the name and value of each counter of what the interface does
// as coordinator or as a device that sleeps: names for status and metrics.
func (s *Stats) MACCounters(yield func(name string, n uint64) bool) {
	c, p := &s.Coordinator, &s.Poller
	for _, x := range [...]struct {
		name string
		n    uint64
	}{
		{"mac_commands_in", s.MACCommandsIn}, {"data_requests", s.DataRequests}, {"sleepers", s.Sleepers},
		{"indirect_held", s.IndirectHeld}, {"indirect_sent", s.IndirectSent}, {"indirect_repeats", s.IndirectRepeats},
		{"indirect_expired", s.TxDrops[DropIndirect]},
		{"beacon_requests", c.BeaconRequests}, {"beacons_sent", c.BeaconsSent}, {"beacons_heard", c.BeaconsHeard},
		{"associations", c.Associations}, {"associations_denied", c.AssociationsDenied}, {"associations_lost", c.AssociationsLost},
		{"pan_conflicts", c.PANConflicts}, {"pan_conflict_signs", c.PANConflictSigns},
		{"polls", p.Polls}, {"polls_failed", p.Failed}, {"polls_pending", p.Pending}, {"polls_received", p.Received}, {"polls_missed", p.Missed},
	} {
		if !yield(x.name, x.n) {
			return
		}
	}
}

func sum(a *[NumDrops]uint64) (n uint64) {
	for _, v := range a {
		n += v
	}
	return n
}

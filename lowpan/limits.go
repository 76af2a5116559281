package lowpan

import (
	"time"

	"border-router/ieee802154"
)

// Limits bounds what an [Interface] or a [Reassembler] keeps. A zero field stands for its
// default. Memory is taken as it is needed, up to these limits, and then used again.
type Limits struct {
	// Reassemblies is how many unfinished datagrams are kept in all, 2 KiB each.
	// Default 256.
	Reassemblies int

	// ReassemblyBytes bounds the memory of their buffers, where that is less than what
	// Reassemblies takes; one buffer there always is. Default: what Reassemblies takes.
	ReassemblyBytes int

	// Headers bounds the headers of a compressed datagram.
	Headers HeaderLimits

	// ReassembliesPerSource is how many of them one link-layer source may have. Default 4.
	ReassembliesPerSource int

	// ReassemblyTimeout is how long a datagram may take from its first fragment to arrive
	// to its last. At most, and by default, 60 s: "the reassembly timeout MUST be set to a
	// maximum of 60 seconds" (RFC 4944 section 5.3).
	ReassemblyTimeout time.Duration

	// QueueDatagrams is how many datagrams wait for the radio in all, 1.4 KiB each.
	// Default 512.
	QueueDatagrams int

	// QueuePerNeighbor is how many of them may be for one link-layer destination.
	// Default 64.
	QueuePerNeighbor int

	// QueueTarget and QueueInterval are the parameters of CoDel (RFC 8289 section 3), which
	// drops from a queue whose delay has been above the target for an interval. Default
	// 200 ms, about two datagrams of 1280 bytes at 250 kbit/s, and 500 ms, the round trip
	// of a few hops.
	QueueTarget, QueueInterval time.Duration

	// QueueMaxDelay is the age at which a datagram is not sent any more. Default 8 s.
	QueueMaxDelay time.Duration

	// IndirectDatagrams is how many datagrams wait in all for neighbours that sleep, out of
	// QueueDatagrams. Default a quarter of them.
	IndirectDatagrams int

	// IndirectPerNeighbor is how many of them may be for one neighbour. Default 16.
	IndirectPerNeighbor int

	// IndirectDelay is how long a datagram waits for the data request of a neighbour that
	// sleeps (macTransactionPersistenceTime). One that was seen to poll less often is waited
	// for twice as long as it takes. Default 7.68 s, that of a PAN without beacons.
	IndirectDelay time.Duration

	// Sleepers is how many neighbours that sleep are remembered. Default 1024.
	Sleepers int

	// Recoveries is how many datagrams may be on their way by recoverable fragments (RFC
	// 8931), at most 128. What is beyond goes as fragments of RFC 4944. Default 16.
	Recoveries int

	// Peers is how many neighbours [Interface.SetPeer] remembers. Default 4096.
	Peers int
}

// withDefaults returns l with every field that is zero or out of range put right.
func (l Limits) withDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Reassemblies, 256)
	if l.ReassemblyBytes > 0 {
		l.Reassemblies = min(l.Reassemblies, max(1, l.ReassemblyBytes/bufLen))
	}
	l.ReassemblyBytes = l.Reassemblies * bufLen
	def(&l.ReassembliesPerSource, 4)
	dur(&l.ReassemblyTimeout, reassemblyTimeout)
	l.ReassemblyTimeout = min(l.ReassemblyTimeout, reassemblyTimeout)
	def(&l.QueueDatagrams, 512)
	def(&l.QueuePerNeighbor, 64)
	dur(&l.QueueTarget, 200*time.Millisecond)
	dur(&l.QueueInterval, 500*time.Millisecond)
	dur(&l.QueueMaxDelay, 8*time.Second)
	def(&l.IndirectDatagrams, max(1, l.QueueDatagrams/4))
	def(&l.IndirectPerNeighbor, 16)
	dur(&l.IndirectDelay, ieee802154.TransactionPersistence)
	def(&l.Sleepers, 1024)
	def(&l.Recoveries, 16)
	l.Recoveries = min(l.Recoveries, 128)
	def(&l.Peers, 4096)
	return l
}

const reassemblyTimeout = 60 * time.Second // RFC 4944 section 5.3

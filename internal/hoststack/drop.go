package hoststack

import "sync/atomic"

// A Drop says why a packet was discarded between the router and the stack. Its text is the
// metric label; returning one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropControl    Drop = iota + 1 // towards the stack: neighbor discovery, MLD or RPL, which the router's core answers
	DropEmitted                    // the same from the stack, which has no business to send it
	DropQueueFull                  // from the stack: the loop has not taken the packets before it yet
	DropLoopClosed                 // from the stack: nobody takes packets any more
	DropClosed                     // either way: the stack is closed
	numDrops
)

// NumDrops is one more than the largest Drop: the size of an array indexed by Drop.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropControl:    "host_control_message",
	DropEmitted:    "host_control_emitted",
	DropQueueFull:  "host_queue_full",
	DropLoopClosed: "host_loop_closed",
	DropClosed:     "host_closed",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "host_unknown"
}

// Stats counts packets between the router and the stack. Out is towards the stack, as in
// Output; In is what the stack has sent. At rest, InPackets = Delivered + the drops of that
// direction, and every packet given to Output is in OutPackets or in one drop.
type Stats struct {
	InPackets, InBytes   uint64
	InBatches            uint64 // hand-overs to the loop
	Delivered            uint64 // packets given to deliver
	OutPackets, OutBytes uint64
	Drops                [NumDrops]uint64 // indexed by Drop
}

type counters struct {
	inPackets, inBytes, inBatches, delivered, outPackets, outBytes atomic.Uint64
	drops                                                          [numDrops]atomic.Uint64
}

func (c *counters) snapshot() (s Stats) {
	s = Stats{
		InPackets: c.inPackets.Load(), InBytes: c.inBytes.Load(), InBatches: c.inBatches.Load(),
		Delivered: c.delivered.Load(), OutPackets: c.outPackets.Load(), OutBytes: c.outBytes.Load(),
	}
	for i := range s.Drops {
		s.Drops[i] = c.drops[i].Load()
	}
	return s
}

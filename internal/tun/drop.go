package tun

import "sync/atomic"

// A Drop says why a packet was discarded at the device. Its text is the metric label;
// returning one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropNotIPv6     Drop = iota + 1 // read: IPv4, or no IP at all
	DropTruncated                   // read: shorter or longer than its header states
	DropLoopClosed                  // read: nobody takes packets any more
	DropInvalid                     // write: the kernel does not take it as a packet
	DropTooBig                      // write: longer than the MTU
	DropKernelFull                  // write: the kernel has no buffer (EAGAIN, ENOBUFS, ENOMEM)
	DropDown                        // write: the interface is set down (EIO)
	DropGone                        // write: the interface was deleted, or the device is closed
	DropWriteFailed                 // write: any other error
	numDrops
)

// NumDrops is one more than the largest Drop: the size of an array indexed by Drop.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropNotIPv6:     "tun_not_ipv6",
	DropTruncated:   "tun_truncated",
	DropLoopClosed:  "tun_loop_closed",
	DropInvalid:     "tun_invalid",
	DropTooBig:      "tun_too_big",
	DropKernelFull:  "tun_kernel_full",
	DropDown:        "tun_down",
	DropGone:        "tun_gone",
	DropWriteFailed: "tun_write_failed",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "tun_unknown"
}

// Stats counts what went through the device since it was opened. In is the direction from
// the kernel to us. At rest, InPackets = delivered + drops of reads, and every packet given
// to Output is either in OutPackets or in one drop of writes.
type Stats struct {
	InPackets, InBytes   uint64
	InBatches            uint64 // hand-overs to the loop; InPackets/InBatches is what a wake-up carries
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

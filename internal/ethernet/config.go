package ethernet

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"

	"border-router/ipv6"
)

// ErrUnsupported is the error of [Open] on an operating system without an implementation.
var ErrUnsupported = errors.New("ethernet: not supported on this operating system; use --uplink user: instead, which needs nothing of the system")

// DefaultMTU is the MTU in bytes where neither [Config] nor an interface sets another
// (RFC 2464 section 2).
const DefaultMTU = 1500

// A Config says how to open a [Port].
type Config struct {
	Name   string        // interface name, at most 15 bytes
	TAP    bool          // make Name as a TAP interface
	Bridge string        // with TAP: the bridge to put it into; empty: none
	MAC    ipv6.LinkAddr // our MAC address; zero: the interface's own, not possible with TAP
	MTU    int           // bytes, at least [ipv6.MinMTU]; 0: that of the interface where it is there, at most DefaultMTU
	// Control restricts the port to control traffic beside the kernel; see the package.
	Control bool
	// Proxy makes neighbor solicitations for every address come in, which a neighbor
	// discovery proxy answers.
	Proxy  bool
	Logger *slog.Logger // nil discards
	// OnState, where set, is told of each change; first of the state that Start finds. It
	// is called from a goroutine of the port, one call at a time.
	OnState func(State)
}

// maxName is IFNAMSIZ without the terminating zero.
const maxName = 15

func (c *Config) check() error {
	for _, n := range []struct{ what, name string }{{"interface", c.Name}, {"bridge", c.Bridge}} {
		switch {
		case n.name == "" && n.what == "bridge":
		case n.name == "":
			return errors.New("ethernet: the interface has no name; for example ethernet://eth0")
		case len(n.name) > maxName:
			return fmt.Errorf("ethernet: %s name %q is %d bytes long, Linux allows %d", n.what, n.name, len(n.name), maxName)
		case n.name == "." || n.name == ".." || strings.ContainsFunc(n.name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' }):
			return fmt.Errorf("ethernet: %s name %q is not one that Linux allows", n.what, n.name)
		}
	}
	switch {
	case c.Bridge != "" && !c.TAP:
		return errors.New("ethernet: only a TAP interface is put into a bridge: tap://NAME?bridge=BRIDGE")
	case c.TAP && c.MAC.IsZero():
		return errors.New("ethernet: a TAP interface needs a MAC address for our end of it")
	case c.TAP && c.Control:
		return errors.New("ethernet: a TAP interface has no address to share with the kernel")
	case !c.MAC.IsZero() && (c.MAC.Len() != 6 || c.MAC.IsGroup()):
		return fmt.Errorf("ethernet: %v is not the MAC address of a station", c.MAC)
	case c.MTU != 0 && (c.MTU < ipv6.MinMTU || c.MTU > ipv6.MaxPacket):
		return fmt.Errorf("ethernet: MTU %d: want %d to %d bytes", c.MTU, ipv6.MinMTU, ipv6.MaxPacket)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// A State is what is known of the interface.
type State struct {
	Up        bool          // there, set up, with a carrier, and our socket is open
	Why       string        // where not Up: what is missing, and what to do about it
	Name      string        // as it is called now
	Index     int           // 0: there is none
	MTU       int           // bytes, of the interface
	LinkAddr  ipv6.LinkAddr // our MAC address; zero as long as it is not known
	LinkLocal netip.Addr    // the kernel's link-local address on the interface, where it has one that is usable

	set bool // there, and set up by the administrator
}

// A Drop says why a frame was discarded at the port. Its text is the metric label;
// returning one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropNotIPv6        Drop = iota + 1 // received: another protocol
	DropTruncated                      // received: shorter than its header states
	DropAddress                        // received: to another station
	DropOwnAddress                     // received: from our own MAC address
	DropLoopClosed                     // received: nobody takes packets any more
	DropKernel                         // received: more than we took of what is forwarded, by the kernel's count; with one queue, of anything
	DropKernelNeighbor                 // received: the same of neighbor discovery
	DropKernelOwn                      // received: the same of what is for ourselves, or to many
	DropOwnRate                        // received: the same where there is one queue, by the reader
	DropDestination                    // sent: without a link-layer address
	DropTooBig                         // sent: longer than the MTU
	DropInterfaceDown                  // sent: the interface is not there, or down
	DropQueueFull                      // sent: more than the interface takes
	DropSendFailed                     // sent: the kernel refused it
	numDrops
)

// Received reports whether what was discarded had come in, not yet a packet.
func (d Drop) Received() bool { return d >= DropNotIPv6 && d <= DropOwnRate }

// Kernel reports whether it was the kernel that discarded, before the port has seen it.
func (d Drop) Kernel() bool { return d >= DropKernel && d <= DropKernelOwn }

// NumDrops is one more than the largest Drop: the size of an array indexed by Drop.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropNotIPv6:        "ethernet_not_ipv6",
	DropTruncated:      "ethernet_truncated",
	DropAddress:        "ethernet_other_station",
	DropOwnAddress:     "ethernet_own_address",
	DropLoopClosed:     "ethernet_loop_closed",
	DropKernel:         "ethernet_kernel_queue_full",
	DropKernelNeighbor: "ethernet_kernel_nd_queue_full",
	DropKernelOwn:      "ethernet_kernel_own_queue_full",
	DropOwnRate:        "ethernet_own_rate_limit",
	DropDestination:    "ethernet_no_destination",
	DropTooBig:         "ethernet_too_big",
	DropInterfaceDown:  "ethernet_down",
	DropQueueFull:      "ethernet_queue_full",
	DropSendFailed:     "ethernet_send_failed",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "ethernet_unknown"
}

// Stats counts what went through the port since it was opened. At rest, InFrames = the
// packets delivered, those that a merged one stood for counted once, + drops of received
// ones other than the kernel's ([Drop.Kernel]); and each packet given to Output is either in OutFrames or in
// one drop of sent ones.
type Stats struct {
	InFrames, InBytes   uint64
	InBatches           uint64 // hand-overs to the loop
	Delivered           uint64 // packets given to deliver
	Merged              uint64 // of InFrames: several TCP segments in one, taken apart again
	OutFrames, OutBytes uint64
	OutBatches          uint64 // system calls
	Reopened            uint64 // how often the interface came back
	Drops               [NumDrops]uint64
}

type counters struct {
	inFrames, inBytes, inBatches, delivered, merged, outFrames, outBytes, outBatches, reopened atomic.Uint64
	drops                                                                                      [numDrops]atomic.Uint64
}

func (c *counters) snapshot() (s Stats) {
	s = Stats{
		InFrames: c.inFrames.Load(), InBytes: c.inBytes.Load(), InBatches: c.inBatches.Load(), Delivered: c.delivered.Load(),
		Merged: c.merged.Load(), OutFrames: c.outFrames.Load(), OutBytes: c.outBytes.Load(), OutBatches: c.outBatches.Load(),
		Reopened: c.reopened.Load(),
	}
	for i := range s.Drops {
		s.Drops[i] = c.drops[i].Load()
	}
	return s
}

//go:build !linux

package ethernet

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A Port is an Ethernet link of the router; on this operating system there is none.
type Port struct{}

// Open returns [ErrUnsupported].
func Open(cfg Config) (*Port, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return nil, ErrUnsupported
}

// The methods of a Port, which does not exist here.
func (*Port) Name() string                                       { return "" }
func (*Port) MTU() int                                           { return 0 }
func (*Port) LinkAddr() ipv6.LinkAddr                            { return ipv6.LinkAddr{} }
func (*Port) State() State                                       { return State{} }
func (*Port) Stats() Stats                                       { return Stats{} }
func (*Port) Close() error                                       { return nil }
func (*Port) JoinGroup(netip.Addr)                               {}
func (*Port) LeaveGroup(netip.Addr)                              {}
func (*Port) SetKernelAddress(netip.Prefix, bool) error          { return ErrUnsupported }
func (*Port) SetOwnAddresses([]netip.Addr)                       {}
func (*Port) SetAllGroups(bool)                                  {}
func (*Port) Busy() bool                                         { return false }
func (*Port) Output(time.Time, ipv6.Packet, ipv6.LinkAddr) error { return DropInterfaceDown }
func (*Port) Start(func(interface{ Run(now time.Time) }) bool, func(time.Time, ipv6.Packet, ipv6.Meta)) {
}

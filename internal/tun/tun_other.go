//go:build !linux

package tun

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A Device is an open TUN interface. There is none on this operating system.
type Device struct{ name string }

// Open returns [ErrUnsupported].
func Open(cfg Config) (*Device, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return nil, ErrUnsupported
}

// Name returns the interface name.
func (d *Device) Name() string { return d.name }

// MTU returns the MTU in bytes.
func (d *Device) MTU() int { return DefaultMTU }

// Output returns [DropGone].
func (d *Device) Output(time.Time, ipv6.Packet, ipv6.LinkAddr) error { return DropGone }

// Start does nothing.
func (d *Device) Start(func(interface{ Run(now time.Time) }) bool, func(time.Time, ipv6.Packet, ipv6.Meta)) {
}

// AddAddress returns [ErrUnsupported].
func (d *Device) AddAddress(netip.Prefix) error { return ErrUnsupported }

// RemoveAddress returns [ErrUnsupported].
func (d *Device) RemoveAddress(netip.Prefix) error { return ErrUnsupported }

// AddRoute returns [ErrUnsupported].
func (d *Device) AddRoute(netip.Prefix) error { return ErrUnsupported }

// RemoveRoute returns [ErrUnsupported].
func (d *Device) RemoveRoute(netip.Prefix) error { return ErrUnsupported }

// Check returns nothing.
func (d *Device) Check() []Finding { return nil }

// Stats returns zeros.
func (d *Device) Stats() Stats { return Stats{} }

// Close does nothing.
func (d *Device) Close() error { return nil }

// ForwardingEnabled returns [ErrUnsupported].
func ForwardingEnabled() (bool, error) { return false, ErrUnsupported }

// Check returns nothing.
func Check() []Finding { return nil }

package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A Host is a device's side of Neighbor Discovery.
type Host struct{ cfg HostConfig }

// NewHost returns a Host; it does nothing before [Host.Start].
func NewHost(cfg HostConfig, out ipv6.Sender, ev HostEvents) *Host { return &Host{cfg: cfg} }

func (h *Host) Start(now time.Time)                                          {}
func (h *Host) Stop(now time.Time)                                           {}
func (h *Host) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error { return DropType }
func (h *Host) Heard(now time.Time, src netip.Addr, m ipv6.Meta)             {}
func (h *Host) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	return ipv6.LinkAddr{}, DropUnreachable
}
func (h *Host) LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool) {}
func (h *Host) Deadline() time.Time                                 { return time.Time{} }
func (h *Host) Advance(now time.Time)                               {}
func (h *Host) Snapshot() []Neighbor                                { return nil }
func (h *Host) Stats() Stats                                        { return Stats{} }
func (h *Host) LinkLocal() netip.Addr                               { return netip.Addr{} }
func (h *Host) Addrs() []netip.Addr                                 { return nil }

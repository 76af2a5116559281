package nd

import (
	"net/netip"
	"time"

	"border-router/ipv6"
)

// A Router is the router's side of Neighbor Discovery on one link.
type Router struct{ cfg RouterConfig }

// NewRouter returns a Router.
func NewRouter(cfg RouterConfig, out ipv6.Sender, ev Events) *Router { return &Router{cfg: cfg} }

func (r *Router) HandlePacket(now time.Time, p ipv6.Packet, m ipv6.Meta) error { return DropType }
func (r *Router) Heard(now time.Time, src netip.Addr, m ipv6.Meta)             {}
func (r *Router) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	return ipv6.LinkAddr{}, DropUnreachable
}
func (r *Router) LinkStatus(now time.Time, ll ipv6.LinkAddr, ok bool) {}
func (r *Router) Deadline() time.Time                                 { return time.Time{} }
func (r *Router) Advance(now time.Time)                               {}
func (r *Router) Snapshot() []Neighbor                                { return nil }
func (r *Router) Stats() Stats                                        { return Stats{} }
func (r *Router) Records() []Record                                   { return nil }
func (r *Router) Record(addr netip.Addr) (Record, bool)               { return Record{}, false }
func (r *Router) Restore(now time.Time, recs []Record)                {}
func (r *Router) SetPrefix(now time.Time, p netip.Prefix)             {}
func (r *Router) SetContexts(now time.Time, c []ContextOption)        {}
func (r *Router) SetRDNSS(now time.Time, s []netip.Addr)              {}
func (r *Router) SetAddrs(a []netip.Addr)                             {}
func (r *Router) ABROVersion() uint32                                 { return 0 }

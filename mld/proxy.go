package mld

import (
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// Upstream is the link that a [Proxy] listens on; a [Listener] is one.
type Upstream interface {
	SetFilter(now time.Time, group netip.Addr, mode Mode, sources []netip.Addr) error
}

// Downstream is a link whose listeners a [Proxy] stands for; a [Querier] is one.
type Downstream interface {
	Filter(group netip.Addr) (Mode, []netip.Addr)
	Groups(dst []netip.Addr) []netip.Addr
}

// A ProxyConfig configures a [Proxy]. The zero value of every field means the default given.
type ProxyConfig struct {
	// MinScope is the smallest scope of groups that are told upstream; admin-local, since the
	// zone of a realm-local group ends at the mesh (RFC 7346 section 2). ScopeRealm tells
	// these too; groups of link and interface scope never are.
	MinScope ipv6.Scope
	// MaxScope is the largest; global.
	MaxScope ipv6.Scope
	Limits   Limits // Groups and Sources
}

// A ProxyStats counts what a [Proxy] did.
type ProxyStats struct {
	Updates uint64 // of the upstream's filters
	Refused uint64 // groups not taken upstream: too many, or the upstream said no
	Ignored [NumDrops]uint64
}

// A Proxy is an MLD proxy (RFC 4605): it merges what several downstream links listen to and
// has the upstream link listen to that. It is the [Events] of its queriers.
type Proxy struct {
	cfg    ProxyConfig
	up     Upstream
	down   []Downstream
	joined map[[16]byte]Filter
	// refused are groups that found no room upstream.
	refused bool
	stats   ProxyStats
}

// NewProxy returns a Proxy that listens upstream.
func NewProxy(cfg ProxyConfig, up Upstream) *Proxy {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.MinScope == 0 {
		cfg.MinScope = ipv6.ScopeAdmin
	}
	cfg.MinScope = max(cfg.MinScope, ipv6.ScopeRealm)
	if cfg.MaxScope == 0 {
		cfg.MaxScope = ipv6.ScopeGlobal
	}
	cfg.MaxScope = min(cfg.MaxScope, ipv6.ScopeGlobal)
	return &Proxy{cfg: cfg, up: up, joined: make(map[[16]byte]Filter)}
}

// Attach adds a downstream link with what it listens to already.
func (p *Proxy) Attach(now time.Time, d Downstream) {
	if slices.Contains(p.down, d) {
		return
	}
	p.down = append(p.down, d)
	for _, g := range d.Groups(nil) {
		p.GroupChanged(now, g)
	}
}

// Detach takes a downstream link away.
func (p *Proxy) Detach(now time.Time, d Downstream) {
	i := slices.Index(p.down, d)
	if i < 0 {
		return
	}
	p.down = slices.Delete(p.down, i, i+1)
	for _, g := range d.Groups(nil) {
		p.GroupChanged(now, g)
	}
}

// Proxied reports whether a group is told upstream: its scope is one whose zone goes beyond
// the downstream link (RFC 4007, RFC 7346).
func (p *Proxy) Proxied(group netip.Addr) bool {
	if !group.Is6() || !group.IsMulticast() {
		return false
	}
	s := ipv6.ScopeOf(group)
	return s >= p.cfg.MinScope && s <= p.cfg.MaxScope
}

// GroupChanged merges the filters of group on all downstream links (RFC 4605 section 4.1)
// and has the upstream listen to the result.
func (p *Proxy) GroupChanged(now time.Time, group netip.Addr) {
	if !p.Proxied(group) {
		return
	}
	p.set(now, group)
	if p.refused && len(p.joined) < p.cfg.Limits.Groups {
		p.retry(now)
	}
}

// set brings the upstream's filter of group up to date.
func (p *Proxy) set(now time.Time, group netip.Addr) {
	k := group.As16()
	f := p.merged(group)
	old, had := p.joined[k]
	if f.Equal(old) {
		return
	}
	if !had && len(p.joined) >= p.cfg.Limits.Groups {
		p.refuse(DropTableFull)
		return
	}
	p.stats.Updates++
	if err := p.up.SetFilter(now, netip.AddrFrom16(k), f.Mode, f.Sources); err != nil {
		d, ok := err.(Drop)
		if !ok {
			d = 0
		}
		p.refuse(d)
		if had {
			delete(p.joined, k)
			_ = p.up.SetFilter(now, netip.AddrFrom16(k), Include, nil)
		}
		return
	}
	if f.IsZero() {
		delete(p.joined, k)
		return
	}
	p.joined[k] = f
}

func (p *Proxy) refuse(d Drop) {
	p.stats.Refused++
	p.stats.Ignored[d]++
	p.refused = p.refused || d == DropTableFull
}

// merged returns what the downstream links together listen to, kept within the limit of
// sources by listening to more, never to less: to all sources, where the group may have that
// (RFC 9777 section 7.4 forbids it for source-specific ones).
func (p *Proxy) merged(group netip.Addr) Filter {
	var f Filter
	for _, d := range p.down {
		mode, sources := d.Filter(group)
		f = f.Merge(Filter{mode, sources})
	}
	if n := p.cfg.Limits.Sources; len(f.Sources) > n {
		if f.Mode == Include && !IsSSM(group) {
			return Filter{Mode: Exclude}
		}
		f.Sources = f.Sources[:n]
	}
	return f
}

// retry offers the groups once more that found no room.
func (p *Proxy) retry(now time.Time) {
	p.refused = false
	var list []netip.Addr
	for _, d := range p.down {
		list = d.Groups(list)
	}
	for _, g := range list {
		if _, ok := p.joined[g.As16()]; !ok && p.Proxied(g) {
			if p.set(now, g); p.refused {
				return
			}
		}
	}
}

// Groups appends the groups that are listened to upstream to dst, sorted.
func (p *Proxy) Groups(dst []netip.Addr) []netip.Addr {
	n := len(dst)
	for k := range p.joined {
		dst = append(dst, netip.AddrFrom16(k))
	}
	slices.SortFunc(dst[n:], netip.Addr.Compare)
	return dst
}

// Stats returns a copy of the counters.
func (p *Proxy) Stats() ProxyStats { return p.stats }

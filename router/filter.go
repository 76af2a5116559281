package router

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

// An Action is what a filter rule does with a packet.
type Action uint8

// The actions. A rejected packet is answered with Destination Unreachable, code 1
// (RFC 4443 section 3.1).
const (
	Accept Action = iota
	Discard
	Reject
)

var actionText = [...]string{Accept: "accept", Discard: "drop", Reject: "reject"}

// String returns the action as configured.
func (a Action) String() string {
	if int(a) < len(actionText) {
		return actionText[a]
	}
	return "unknown"
}

// A PortRange is a range of UDP or TCP port numbers, both ends included.
type PortRange struct{ First, Last uint16 }

// A Rule is one line of the packet filter. What is empty or zero matches everything;
// where a field has several values, one of them must match.
//
// Rules with port numbers or ICMPv6 types do not match fragments other than the first,
// which do not have them. A packet whose upper-layer header cannot be found (more than
// eight extension headers, a first fragment without it: RFC 7112) is dropped by the first
// rule with a protocol that it comes to, since it could be what that rule is about.
type Rule struct {
	Name     string         // for the counters; default: the position
	In, Out  []string       // ports, by name or by kind ("mesh", "lan", "host")
	Src, Dst []netip.Prefix // addresses
	Protocol uint8          // upper-layer protocol
	SrcPorts []PortRange    // UDP and TCP
	DstPorts []PortRange
	ICMP     []uint8 // ICMPv6 types
	Action   Action
}

// MaxRules bounds the packet filter: every packet may have to be compared with all.
const MaxRules = 1024

// RuleStats are the counters of a rule.
type RuleStats struct {
	Rule
	Packets, Bytes uint64
}

type rule struct {
	Rule
	in, out        uint64 // bit i: port i matches
	src, dst       []prefixMask
	transport      bool // looks at more than addresses
	packets, bytes uint64
}

// SetRules replaces the packet filter. Packets that are forwarded or delivered to the
// host port are compared with the rules in order; the first that matches decides, and a
// packet that none matches is treated as otherwise says. Neighbor discovery, MLD and what
// the router itself answers are not filtered. The error names the rule.
func (r *Router) SetRules(rules []Rule, otherwise Action) error {
	if len(rules) > MaxRules {
		return fmt.Errorf("%d filter rules: at most %d are possible", len(rules), MaxRules)
	}
	list := make([]rule, len(rules))
	for i := range rules {
		c := rule{Rule: rules[i]}
		if c.Name == "" {
			c.Name = fmt.Sprint(i + 1)
		}
		if (len(c.SrcPorts) > 0 || len(c.DstPorts) > 0) && c.Protocol != ipv6.ProtoTCP && c.Protocol != ipv6.ProtoUDP {
			return fmt.Errorf("filter rule %s: port numbers need protocol tcp or udp", c.Name)
		}
		if len(c.ICMP) > 0 && c.Protocol != ipv6.ProtoICMPv6 {
			return fmt.Errorf("filter rule %s: ICMPv6 types need protocol icmpv6", c.Name)
		}
		for _, pr := range slices.Concat(c.SrcPorts, c.DstPorts) {
			if pr.First > pr.Last {
				return fmt.Errorf("filter rule %s: port range %d-%d is empty", c.Name, pr.First, pr.Last)
			}
		}
		var err error
		if c.src, err = prefixMasks(c.Src); err == nil {
			c.dst, err = prefixMasks(c.Dst)
		}
		if err != nil {
			return fmt.Errorf("filter rule %s: %w", c.Name, err)
		}
		c.transport = c.Protocol != 0
		list[i] = c
	}
	r.rules, r.otherwise = list, otherwise
	r.matchPorts()
	return nil
}

func prefixMasks(list []netip.Prefix) (out []prefixMask, err error) {
	for _, p := range list {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%v is not an IPv6 prefix", p)
		}
		p = p.Masked()
		out = append(out, prefixMask{p, addrKey(p.Addr().As16()), p.Bits()})
	}
	return out, nil
}

// matchPorts works out which ports each rule speaks of; again when a port is added.
func (r *Router) matchPorts() {
	set := func(names []string) (mask uint64) {
		if len(names) == 0 {
			return ^uint64(0)
		}
		for _, l := range r.links {
			if slices.Contains(names, l.name) || slices.Contains(names, l.kind.String()) {
				mask |= 1 << l.index
			}
		}
		return mask
	}
	for i := range r.rules {
		r.rules[i].in, r.rules[i].out = set(r.rules[i].In), set(r.rules[i].Out)
	}
}

// Rules returns the packet filter with its counters, and how many packets no rule
// matched.
func (r *Router) Rules() (list []RuleStats, unmatched uint64) {
	for i := range r.rules {
		c := &r.rules[i]
		list = append(list, RuleStats{c.Rule, c.packets, c.bytes})
	}
	return list, r.unmatched
}

// filter compares a packet with the rules and reports whether it may pass; a rejected one
// has been answered, none is counted as dropped.
func (r *Router) filter(now time.Time, in, out *Link, p ipv6.Packet, m ipv6.Meta) bool {
	if len(r.rules) == 0 && r.otherwise == Accept {
		return true
	}
	action := r.verdict(in, out, p)
	if action == Reject {
		r.icmpError(now, in, p, m, ipv6.ICMPUnreachable, ipv6.UnreachableAdmin, 0)
	}
	return action == Accept
}

func (r *Router) verdict(in, out *Link, p ipv6.Packet) Action {
	var t transport
	src, dst := addrKey(p.Src16()), addrKey(p.Dst16())
	for i := range r.rules {
		c := &r.rules[i]
		if c.in>>in.index&1 == 0 || c.out>>out.index&1 == 0 || !anyPrefix(c.src, src) || !anyPrefix(c.dst, dst) {
			continue
		}
		if c.transport {
			if !t.read {
				t.parse(p)
			}
			if t.hidden {
				r.unmatched++
				return Discard
			}
			if !c.matches(&t) {
				continue
			}
		}
		c.packets++
		c.bytes += uint64(len(p))
		return c.Action
	}
	r.unmatched++
	return r.otherwise
}

func anyPrefix(list []prefixMask, a addr16) bool {
	if len(list) == 0 {
		return true
	}
	for i := range list {
		if a.mask(list[i].bits) == list[i].key {
			return true
		}
	}
	return false
}

// transport is what a rule can ask of the upper layer.
type transport struct {
	read     bool
	hidden   bool // behind more headers than are looked at, or cut off: no rule can tell what it is
	proto    uint8
	ok       bool // the fields below are there
	src, dst uint16
	icmp     uint8
}

// Extension headers that only the filter knows (RFC 7045 section 4), to look behind them.
const (
	protoHIP   = 139
	protoShim6 = 140
)

// maxFilterHeaders bounds the extension headers that the filter looks behind.
const maxFilterHeaders = 8

// parse walks along the extension headers by their lengths alone: what their options mean
// is for the destination to judge.
func (t *transport) parse(p ipv6.Packet) {
	t.read = true
	proto, off := p.NextHeader(), ipv6.HeaderLen
	for range maxFilterHeaders {
		switch proto {
		case ipv6.ProtoHopByHop, ipv6.ProtoDstOpts, ipv6.ProtoRouting, ipv6.ProtoMobility, protoHIP, protoShim6:
			if off+8 > len(p) {
				t.hidden = true
				return
			}
			proto, off = p[off], off+8+8*int(p[off+1])
			continue
		case ipv6.ProtoAH:
			if off+8 > len(p) {
				t.hidden = true
				return
			}
			proto, off = p[off], off+8+4*int(p[off+1])
			continue
		case ipv6.ProtoFragment:
			if off+ipv6.FragmentHeaderLen > len(p) {
				t.hidden = true
				return
			}
			// The protocol stands in the fragment header, its own header only in the first.
			first := p[off+2]|p[off+3]&^7 == 0
			proto, off = p[off], off+ipv6.FragmentHeaderLen
			if !first {
				t.proto = proto
				return
			}
			continue
		}
		t.header(proto, p, off)
		return
	}
	t.hidden = true
}

func (t *transport) header(proto uint8, p ipv6.Packet, off int) {
	t.proto = proto
	switch proto {
	case ipv6.ProtoTCP, ipv6.ProtoUDP:
		if off+4 > len(p) {
			t.hidden = true // RFC 7112: the first fragment has to have them
			return
		}
		t.src = uint16(p[off])<<8 | uint16(p[off+1])
		t.dst = uint16(p[off+2])<<8 | uint16(p[off+3])
		t.ok = true
	case ipv6.ProtoICMPv6:
		if off >= len(p) {
			t.hidden = true
			return
		}
		t.icmp = p[off]
		t.ok = true
	}
}

func (c *rule) matches(t *transport) bool {
	if c.Protocol != t.proto {
		return false
	}
	if len(c.SrcPorts) == 0 && len(c.DstPorts) == 0 && len(c.ICMP) == 0 {
		return true
	}
	return t.ok && anyPort(c.SrcPorts, t.src) && anyPort(c.DstPorts, t.dst) && (len(c.ICMP) == 0 || slices.Contains(c.ICMP, t.icmp))
}

func anyPort(list []PortRange, v uint16) bool {
	if len(list) == 0 {
		return true
	}
	for _, pr := range list {
		if pr.First <= v && v <= pr.Last {
			return true
		}
	}
	return false
}

package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// maxPings bounds how many echo requests of ours wait for an answer at once.
const maxPings = 64

// maxPingSize is the largest number of data bytes in an echo request of ours; what the
// link cannot carry in one packet is sent in fragments (RFC 8200 section 4.5).
const maxPingSize = 4096

// Errors of [Router.Ping].
var (
	ErrPingBusy   = errors.New("too many pings are under way")
	ErrPingSource = errors.New("no such address of ours to ping from")
)

// A Ping is one Echo Request (RFC 4443 section 4.1) that the router sends.
type Ping struct {
	Dst      netip.Addr // with a zone (the port's name) where it is link-local
	Src      netip.Addr // one of our addresses; default: chosen by the destination
	Size     int        // data bytes, at most 4096
	HopLimit uint8      // default 64
	ID       uint16     // identifier: together with Seq it tells the requests to one destination apart
	Seq      uint16
	Timeout  time.Duration // default 1 s
	// Done is called once, on the router's goroutine; where Dst is a group, once more for each
	// further member that answers in time.
	Done func(PingResult)
}

// A PingResult tells what came of a [Ping].
type PingResult struct {
	Seq      uint16
	From     netip.Addr // who answered
	Bytes    int        // length of the ICMPv6 message that came back
	HopLimit uint8
	RTT      time.Duration
	Dup      bool // there was an answer before, from another member of the group
	// ICMP says, where Err is nil and it is not an Echo Reply, which ICMPv6 error came.
	Type, Code uint8
	// Err is [ErrPingTimeout] where nothing came.
	Err error
}

// ErrPingTimeout says that nothing came back in time.
var ErrPingTimeout = errors.New("timeout")

type pinger struct {
	pending []pendingPing
}

type pendingPing struct {
	Ping
	dst      netip.Addr // without zone
	sent     time.Time
	deadline time.Time
	answered bool // by a member of the group that dst is
}

func (g *pinger) deadline() (d time.Time) {
	for i := range g.pending {
		d = earlier(d, g.pending[i].deadline)
	}
	return d
}

func (g *pinger) advance(now time.Time) {
	for i := 0; i < len(g.pending); {
		if g.pending[i].deadline.After(now) {
			i++
			continue
		}
		if p := g.take(i); !p.answered {
			p.Done(PingResult{Seq: p.Seq, Err: ErrPingTimeout})
		}
	}
}

func (g *pinger) take(i int) pendingPing {
	p := g.pending[i]
	last := len(g.pending) - 1
	copy(g.pending[i:], g.pending[i+1:])
	g.pending[last] = pendingPing{}
	g.pending = g.pending[:last]
	return p
}

func (g *pinger) expects(from netip.Addr) bool {
	for i := range g.pending {
		if g.pending[i].dst == from {
			return true
		}
	}
	return false
}

// Ping sends one Echo Request; one to an address of our own needs no link and is answered
// at once. Its Done is called with the answer, with the ICMPv6 error
// that came instead, or with [ErrPingTimeout]; never when Ping returns an error.
func (r *Router) Ping(now time.Time, p Ping) error {
	if p.Size < 0 || p.Size > maxPingSize {
		return fmt.Errorf("ping size %d: want 0 to %d bytes", p.Size, maxPingSize)
	}
	if len(r.pings.pending) >= maxPings {
		return ErrPingBusy
	}
	if p.HopLimit == 0 {
		p.HopLimit = 64
	}
	if p.Timeout <= 0 {
		p.Timeout = time.Second
	}
	dst := p.Dst.WithZone("")
	via, err := r.pingLink(p.Dst)
	if err != nil {
		return err
	}
	src := p.Src
	if !src.IsValid() {
		src = r.sourceFor(via, dst)
	}
	if !src.IsValid() || r.local.Get(addrKey(src.As16()).key()) != localHost && !via.ownLinkLocal(src) {
		return ErrPingSource
	}
	if r.local.Get(addrKey(dst.As16()).key()) == localHost || via.ownLinkLocal(dst) {
		// A host answers itself over its loopback, and a kernel that is handed such a packet
		// from outside sends the answer there as well: it would never come back to us.
		p.Done(PingResult{Seq: p.Seq, From: dst, Bytes: 8 + p.Size, HopLimit: p.HopLimit})
		return nil
	}
	body := make([]byte, p.Size)
	for i := range body {
		body[i] = byte(i)
	}
	msg := ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, uint32(p.ID)<<16|uint32(p.Seq), body, src, dst, p.HopLimit))
	// Registered before it is sent: a refusal may come back within the call.
	r.pings.pending = append(r.pings.pending, pendingPing{Ping: p, dst: dst, sent: now, deadline: now.Add(p.Timeout)})
	n := len(r.pings.pending)
	for _, q := range fragment(msg, via.mtu) {
		if err := r.originate(now, via, q); err != nil {
			if len(r.pings.pending) == n {
				r.pings.take(n - 1)
				return fmt.Errorf("ping %s: %w", p.Dst, err)
			}
			break
		}
	}
	return nil
}

// pingLink returns the port by which dst is reached.
func (r *Router) pingLink(dst netip.Addr) (*Link, error) {
	switch {
	case !dst.Is6() || dst.Is4In6() || dst.IsUnspecified():
		return nil, fmt.Errorf("ping %s: want an IPv6 address", dst)
	case dst.IsLinkLocalUnicast(), dst.IsMulticast():
		var meshes []*Link
		for _, l := range r.links {
			if dst.Zone() == l.name {
				return l, nil
			}
			if l.kind == Mesh {
				meshes = append(meshes, l)
			}
		}
		if dst.Zone() == "" && len(meshes) == 1 {
			return meshes[0], nil
		}
		names := ""
		for _, l := range meshes {
			names += fmt.Sprintf(" %s%%%s", dst.WithZone(""), l.name)
		}
		return nil, fmt.Errorf("ping %s: say the port:%s", dst, names)
	}
	k := addrKey(dst.As16())
	if r.local.Get(k.key()) == localHost && r.host != nil {
		return r.host, nil
	}
	rt := r.fib.lookup(k)
	if rt == nil || rt.kind == RouteUnreachable {
		return nil, fmt.Errorf("ping %s: no route to it; `border-router routes` lists those there are", dst)
	}
	return r.links[rt.port], nil
}

// inputPing takes an ICMPv6 message for us and reports whether it was the answer to one
// of our pings: an Echo Reply, or an error about the Echo Request.
func (r *Router) inputPing(now time.Time, p ipv6.Packet, off int) bool {
	if len(r.pings.pending) == 0 || len(p) < off+8 {
		return false
	}
	typ := p[off]
	if typ == ipv6.ICMPEchoReply {
		i := r.pings.find(p.Src(), p[off+4:])
		if i < 0 || ipv6.CheckTransport(p) != nil {
			return false
		}
		q := r.pings.pending[i]
		if q.dst.IsMulticast() {
			r.pings.pending[i].answered = true // and stays, for the others
		} else {
			r.pings.take(i)
		}
		q.Done(PingResult{Seq: q.Seq, From: p.Src(), Bytes: len(p) - off, HopLimit: p.HopLimit(), RTT: now.Sub(q.sent), Dup: q.answered})
		return true
	}
	if typ >= 128 || len(p) < off+8+ipv6.HeaderLen+8 {
		return false
	}
	// The packet in error is cut short, so that its own length field does not hold.
	in := p[off+8:]
	if in[6] != ipv6.ProtoICMPv6 || in[ipv6.HeaderLen] != ipv6.ICMPEchoRequest {
		return false
	}
	i := r.pings.find(netip.AddrFrom16([16]byte(in[24:40])), in[ipv6.HeaderLen+4:])
	if i < 0 || ipv6.CheckTransport(p) != nil {
		return false
	}
	q := r.pings.take(i)
	q.Done(PingResult{Seq: q.Seq, From: p.Src(), Bytes: len(p) - off, HopLimit: p.HopLimit(), RTT: now.Sub(q.sent), Type: typ, Code: p[off+1]})
	return true
}

// find returns the index of the ping to dst with the identifier and sequence in b, or -1.
// A ping to a group is answered by whoever is in it.
func (g *pinger) find(dst netip.Addr, b []byte) int {
	id, seq := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	for i := range g.pending {
		q := &g.pending[i]
		if q.ID == id && q.Seq == seq && (q.dst == dst || q.dst.IsMulticast()) {
			return i
		}
	}
	return -1
}

// pingUnreachable ends a ping of ours that could not leave: p is the request.
func (r *Router) pingUnreachable(now time.Time, p ipv6.Packet, code uint8) {
	if p.NextHeader() != ipv6.ProtoICMPv6 || len(p) < ipv6.HeaderLen+8 || p[ipv6.HeaderLen] != ipv6.ICMPEchoRequest {
		return
	}
	if i := r.pings.find(p.Dst(), p[ipv6.HeaderLen+4:]); i >= 0 {
		q := r.pings.take(i)
		q.Done(PingResult{Seq: q.Seq, From: p.Src(), RTT: now.Sub(q.sent), Type: ipv6.ICMPUnreachable, Code: code})
	}
}

// fragment cuts a packet of ours without extension headers into pieces that fit mtu
// (RFC 8200 section 4.5).
func fragment(p ipv6.Packet, mtu int) []ipv6.Packet {
	if len(p) <= mtu {
		return []ipv6.Packet{p}
	}
	const fragHeaderLen = 8
	id := rand.Uint32()
	room := (mtu - ipv6.HeaderLen - fragHeaderLen) &^ 7
	var out []ipv6.Packet
	for b, off := p.Payload(), 0; len(b) > 0; {
		n, more := len(b), uint16(0)
		if n > room {
			n, more = room, 1
		}
		q := ipv6.AppendHeader(nil, p.TrafficClass(), p.FlowLabel(), fragHeaderLen+n, ipv6.ProtoFragment, p.HopLimit(), p.Src(), p.Dst())
		q = append(q, p.NextHeader(), 0)
		q = binary.BigEndian.AppendUint16(q, uint16(off)|more)
		q = binary.BigEndian.AppendUint32(q, id)
		out = append(out, append(q, b[:n]...))
		b, off = b[n:], off+n
	}
	return out
}

package router

import (
	"time"

	"border-router/ipv6"
)

// newReassembler returns what puts packets to ourselves together: those to link-local and
// anycast addresses, and answers to our pings. Fragments for the host port go there as
// they are, since the host stack reassembles.
func (r *Router) newReassembler() *ipv6.Reassembler {
	return ipv6.NewReassembler(ipv6.ReassemblyConfig{
		MaxSize: maxPingSize + 256,
		Released: func(_ time.Time, port, n int, err error) {
			l := r.links[port]
			l.stats.Held -= uint64(n)
			if err == nil {
				// They live on in the packet that their last fragment is counted for.
				l.stats.Consumed += uint64(n)
				return
			}
			l.stats.Dropped += uint64(n)
			l.drops[err] += uint64(n)
		},
		Error: func(now time.Time, cause ipv6.Packet, m ipv6.Meta, typ, code uint8, param uint32) {
			if l := r.link(m.Port); l != nil {
				r.icmpError(now, l, cause, m, typ, code, param)
			}
		},
	})
}

// inputFragment takes a fragment of a packet to ourselves.
func (r *Router) inputFragment(now time.Time, l *Link, p ipv6.Packet, m ipv6.Meta) {
	whole, err := r.reasm.Input(now, p, m)
	switch {
	case err == ipv6.ErrHeld:
		l.stats.Held++
	case err != nil:
		l.drop(err)
	case isWholeND(whole):
		l.drop(DropFragmentedND)
	case r.local.Get(addrKey(whole.Dst16()).key()) == localHost:
		r.inputLocal(now, l, whole, m)
	default:
		r.inputCore(now, l, whole, m)
	}
}

// isWholeND reports whether p, which came in fragments, is a message of neighbor discovery:
// such "MUST be silently ignored" (RFC 6980 section 5).
func isWholeND(p ipv6.Packet) bool {
	proto, off, err := ipv6.UpperLayer(p)
	return err == nil && proto == ipv6.ProtoICMPv6 && off < len(p) && isLinkND(p[off])
}

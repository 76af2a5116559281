package dhcp6

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Release gives everything back and stops, as before a shutdown or when the link is to be
// left for good. [Client.Busy] says until when the answer is waited for. A client that
// only restarts does not release: it keeps its [Record].
func (c *Client) Release(now time.Time) {
	l := c.lease
	c.lease.Addresses, c.lease.Prefixes = nil, nil
	c.mode, c.state, c.x, c.best = Mode{}, idle, exchange{}, nil
	if l.empty() {
		return
	}
	c.tell(now) // RFC 8415 section 18.2.7: MUST stop using the leases before
	c.release(now, l)
	c.Advance(now)
}

func (c *Client) release(now time.Time, l Lease) {
	if !c.up {
		return
	}
	c.again = false
	c.beside(now, dhcpv6.MessageTypeRelease, params{irt: relTimeout, mrc: relMaxRC}, l)
}

// Decline says that duplicate address detection found addr in use by another. It is given
// back for good, and another is asked for. It reports whether addr was leased.
func (c *Client) Decline(now time.Time, addr netip.Addr) bool {
	for i, a := range c.lease.Addresses {
		if a.Addr != addr {
			continue
		}
		c.lease.Addresses = append(c.lease.Addresses[:i:i], c.lease.Addresses[i+1:]...)
		l := Lease{Addresses: []Address{a}}
		if c.side.active && c.side.typ == dhcpv6.MessageTypeDecline {
			l.Addresses = append(l.Addresses, c.side.lease.Addresses...)
		}
		if len(l.Addresses) > maxLeases {
			l.Addresses = l.Addresses[:maxLeases]
		}
		c.failures++ // a server that leases it again must not make this a loop without pause
		if c.lease.empty() {
			c.state, c.x, c.best = idle, exchange{}, nil
		}
		if c.up {
			c.again = true
			c.beside(now, dhcpv6.MessageTypeDecline, params{irt: decTimeout, mrc: decMaxRC}, l)
		}
		c.tell(now)
		c.Advance(now)
		return true
	}
	return false
}

// beside starts an exchange that runs beside the state.
func (c *Client) beside(now time.Time, typ dhcpv6.MessageType, p params, l Lease) {
	c.side = exchange{active: true, typ: typ, xid: c.xid(), server: c.lease.Server, lease: l,
		retransmitter: retransmitter{params: p, next: now}}
}

// sideDone ends it, answered or not.
func (c *Client) sideDone(now time.Time) {
	c.side = exchange{}
	if !c.again {
		return
	}
	c.again = false
	switch {
	case !c.mode.stateful():
	case c.state == idle:
		c.solicit(now)
	case c.state == bound:
		c.lease.T1 = earlier(c.lease.T1, now.Add(c.retryAfter()))
	}
}

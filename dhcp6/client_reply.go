package dhcp6

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// HandleMulticast is HandleMessage for what was sent to a group: RFC 9915 section 16 has
// clients accept none of it, as servers answer by unicast, and section 16.11 forbids a
// Reconfigure. The error is [DropMulticast], and counted.
func (c *Client) HandleMulticast(time.Time, netip.AddrPort, []byte) error {
	c.stats.Dropped[DropMulticast]++
	return DropMulticast
}

// HandleMessage takes a message that arrived on port 546, sent to an address of ours. The
// error is a [Drop], and counted. payload is not kept.
func (c *Client) HandleMessage(now time.Time, src netip.AddrPort, payload []byte) error {
	m, err := parse(payload)
	if err == nil {
		err = c.handle(now, m, payload)
	}
	if d, ok := err.(Drop); ok {
		c.stats.Dropped[d]++
		return d
	}
	c.stats.Received.count(uint8(m.typ))
	c.Advance(now)
	return nil
}

func (c *Client) handle(now time.Time, m *message, payload []byte) error {
	switch m.typ {
	case dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply, dhcpv6.MessageTypeReconfigure:
	default:
		return DropType
	}
	if !c.up {
		return DropStopped
	}
	switch { // RFC 8415 sections 16.3, 16.10, 16.11
	case m.server == "":
		return DropNoServerID
	case m.client == "":
		return DropNoClientID
	case m.client != c.cfg.DUID:
		return DropClientID
	}
	if m.typ == dhcpv6.MessageTypeReconfigure {
		return c.reconfigured(now, m, payload)
	}
	if c.side.active && c.side.count > 0 && m.xid == c.side.xid && m.typ == dhcpv6.MessageTypeReply {
		if c.side.server != "" && m.server != c.side.server {
			return DropServerID
		}
		return c.sideReply(now, m)
	}
	if !c.x.active || c.x.count == 0 || m.xid != c.x.xid {
		return DropTransaction
	}
	if m.typ == dhcpv6.MessageTypeAdvertise {
		if c.state != soliciting {
			return DropTransaction
		}
		return c.advertised(now, m)
	}
	return c.replied(now, m)
}

// setMaxRT takes the SOL_MAX_RT and INF_MAX_RT of a server, in seconds. RFC 8415 sections
// 21.24 and 21.25: a value out of range MUST be ignored.
func (c *Client) setMaxRT(sol, inf uint32) {
	if sol >= minMaxRT && sol <= maxMaxRT {
		c.sol = duration(sol)
		if c.x.active && c.state == soliciting {
			c.x.mrt = c.sol
		}
	}
	if inf >= minMaxRT && inf <= maxMaxRT {
		c.inf = duration(inf)
		if c.x.active && c.state == informing {
			c.x.mrt = c.inf
		}
	}
}

// An agreed is a value that several servers give. RFC 9915 section 18.2.9: it counts where
// all of them give the same, and otherwise the default does.
type agreed struct {
	v     uint32 // seconds, 0: not given yet
	other bool   // by another server, another was given
}

// add takes the value of one more server, in seconds, and returns what counts.
func (a *agreed) add(v uint32, def time.Duration) uint32 {
	switch {
	case v < minMaxRT || v > maxMaxRT: // MUST be ignored
	case a.v == 0:
		a.v = v
	case a.v != v:
		a.other = true
	}
	if a.other {
		return uint32(def / time.Second)
	}
	return a.v
}

// advertised weighs an Advertise (RFC 8415 section 18.2.9).
func (c *Client) advertised(now time.Time, m *message) error {
	// MUST process the options even where the message is otherwise ignored.
	c.setMaxRT(c.x.sol.add(m.solMaxRT, solMaxRT), c.x.inf.add(m.infMaxRT, infMaxRT))
	c.countStatuses(m)
	switch m.status {
	case statusSuccess, statusNoAddrsAvail, statusNoPrefixAvail: // of which the IAs decide
	default:
		return DropStatus
	}
	offer := c.offer(now, m)
	if offer.empty() {
		return DropNothing
	}
	if c.best == nil || c.better(now, m, c.best) {
		c.best = m
	}
	// A preference of 255 is not waited for, nor is any after the first retransmission.
	if m.preference == 255 || c.x.count > 1 {
		c.request(now, c.best.server, c.offer(now, c.best))
	}
	return nil
}

// better reports whether an Advertise is better than another: it has more of the kinds
// of lease wanted (which section 18.2.9 permits to prefer), or a higher preference.
func (c *Client) better(now time.Time, m, than *message) bool {
	kinds := func(m *message) (n int) {
		l := c.offer(now, m)
		if len(l.Addresses) > 0 {
			n++
		}
		if len(l.Prefixes) > 0 {
			n++
		}
		return n
	}
	if a, b := kinds(m), kinds(than); a != b {
		return a > b
	}
	return m.preference > than.preference
}

// offer returns the leases in a message that are wanted and usable.
func (c *Client) offer(now time.Time, m *message) (l Lease) {
	if x := c.find(m.nas, c.mode.Addresses); x != nil && x.status == statusSuccess {
		for _, o := range x.leases {
			if o.valid > 0 && o.status == statusSuccess && o.preferred <= o.valid && usableAddr(o.prefix.Addr()) {
				l.Addresses = append(l.Addresses, Address{o.prefix.Addr(), after(now, o.preferred), after(now, o.valid)})
			}
		}
	}
	if x := c.find(m.pds, c.mode.Prefixes); x != nil && x.status == statusSuccess {
		for _, o := range x.leases {
			if o.valid > 0 && o.status == statusSuccess && o.preferred <= o.valid && usablePrefix(o.prefix) {
				l.Prefixes = append(l.Prefixes, Prefix{o.prefix, o.exclude, after(now, o.preferred), after(now, o.valid)})
			}
		}
	}
	return l
}

// given returns the leases of an IA. RFC 8415 section 18.2.10.1: those of one whose status
// is a failure are not used.
func (x *ia) given() []leased {
	if x.status != statusSuccess {
		return nil
	}
	return x.leases
}

// find returns our IA, where it is wanted, there and not nonsense. RFC 8415 sections 21.4
// and 21.21: with T1 greater than T2 the IA is discarded.
func (c *Client) find(list []ia, wanted bool) *ia {
	if !wanted {
		return nil
	}
	i := slices.IndexFunc(list, func(x ia) bool { return x.id == c.cfg.IAID })
	if i < 0 || list[i].t1 > list[i].t2 && list[i].t2 > 0 {
		return nil
	}
	return &list[i]
}

// countStatuses counts what a server refuses.
func (c *Client) countStatuses(m *message) {
	count := func(status uint16) {
		switch status {
		case statusUnspecFail:
			c.stats.ServerFailures++
		case statusNoAddrsAvail:
			c.stats.NoAddresses++
		case statusNoBinding:
			c.stats.NoBindings++
		case statusNotOnLink:
			c.stats.NotOnLink++
		case statusUseMulticast:
			c.stats.UseMulticast++
		case statusNoPrefixAvail:
			c.stats.NoPrefixes++
		}
	}
	count(m.status)
	for _, list := range [][]ia{m.nas, m.pds} {
		for _, x := range list {
			if x.id == c.cfg.IAID {
				count(x.status)
			}
		}
	}
}

// sideReply takes the Reply to a Release or Decline. RFC 8415 section 18.2.10.2: whatever
// its status, the exchange is over.
func (c *Client) sideReply(now time.Time, m *message) error {
	c.setMaxRT(m.solMaxRT, m.infMaxRT)
	c.countStatuses(m)
	if c.side.typ == dhcpv6.MessageTypeInformationRequest {
		if m.status == statusUseMulticast || m.status == statusUnspecFail {
			return DropStatus // the retransmission is what is left to do
		}
		c.takeKey(m)
		c.configure(m)
		c.sideDone(now)
		c.tell(now)
		return nil
	}
	c.sideDone(now)
	return nil
}

// replied takes a Reply (RFC 8415 section 18.2.10).
func (c *Client) replied(now time.Time, m *message) error {
	switch c.state {
	case soliciting:
		if !m.rapid || !c.cfg.RapidCommit {
			return DropRapidCommit
		}
	default:
		if c.x.server != "" && m.server != c.x.server {
			return DropServerID
		}
	}
	c.setMaxRT(m.solMaxRT, m.infMaxRT)
	c.countStatuses(m)
	switch m.status {
	case statusUnspecFail, statusUseMulticast:
		// Retransmissions limit the rate at which it is tried again, and are multicast.
		return DropStatus
	}
	c.takeKey(m)
	switch {
	case c.state == informing:
		c.informed(now, m)
	case c.x.typ == dhcpv6.MessageTypeConfirm:
		return c.confirmed(m)
	default:
		c.leased(now, m)
	}
	return nil
}

// confirmed takes a Reply to a Confirm. Without a status it is a success. RFC 8415 section
// 18.2.10.3: one success outweighs any NotOnLink, which is why others are waited for until
// the next transmission would be due.
func (c *Client) confirmed(m *message) error {
	switch m.status {
	case statusSuccess:
		c.toBound()
	case statusNotOnLink:
		c.x.refused = true
	default:
		return DropStatus
	}
	return nil
}

// offLink gives up what servers say is not for this link, and nobody confirmed.
func (c *Client) offLink(now time.Time) {
	c.lease.Addresses, c.lease.Prefixes = nil, nil
	c.solicit(now)
	c.tell(now)
}

// informed takes the Reply to an Information-request.
func (c *Client) informed(now time.Time, m *message) {
	c.configure(m)
	c.lease.Server = m.server
	c.state, c.x = informed, exchange{}
	refresh := irtDefault // RFC 8415 section 21.23
	if m.hasRefresh {
		refresh = max(duration(m.refresh), irtMinimum)
	}
	c.refresh = now.Add(refresh)
	if m.hasRefresh && m.refresh == infinity {
		c.refresh = time.Time{}
	}
	c.tell(now)
}

func (c *Client) configure(m *message) {
	l := &c.lease
	l.DNS, l.Domains, l.SNTP, l.NTP, l.NTPNames = m.dns, m.domains, m.sntp, m.ntp, m.ntpNames
}

// leased takes the Reply to a Solicit, Request, Renew or Rebind (RFC 8415 section
// 18.2.10.1).
func (c *Client) leased(now time.Time, m *message) {
	fresh := c.state == soliciting || c.state == requesting
	if m.status == statusNotOnLink {
		// Section 18.2.10.1: discovery again, without the addresses.
		c.lease.Addresses, c.lease.Prefixes = nil, nil
		c.failed(now)
		c.tell(now)
		return
	}
	before := c.lease.clone()
	var t timing
	noBinding := m.status == statusNoBinding
	missing := false
	if c.mode.Addresses {
		switch x := c.find(m.nas, true); {
		case x == nil:
			missing = true
		case x.status == statusNoBinding:
			noBinding = true
		case x.status == statusNotOnLink:
			c.lease.Addresses = nil
			missing = true
		default:
			if !c.takeAddresses(now, x, fresh, &t) {
				missing = true
			}
		}
	}
	if c.mode.Prefixes {
		switch x := c.find(m.pds, true); {
		case x == nil:
			missing = true
		case x.status == statusNoBinding:
			noBinding = true
		default:
			if !c.takePrefixes(now, x, fresh, &t) {
				missing = true
			}
		}
	}
	if noBinding && !fresh {
		// Section 18.2.10.1: a Request to the server that answered, with all IAs.
		c.request(now, m.server, c.lease.clone())
		c.tellIfOther(now, &before)
		return
	}
	if c.lease.empty() || fresh && !t.set {
		empty := c.lease.empty()
		if c.failed(now); empty {
			c.tellIfOther(now, &before)
		}
		return
	}
	c.lease.Server = m.server
	c.configure(m)
	if t.set {
		c.stats.Leases++
		c.failures = 0
		c.lease.T1, c.lease.T2 = t.t1, t.t2
	}
	if missing {
		c.lease.T1 = earlier(c.lease.T1, now.Add(c.retryAfter()))
		if !t.set { // nothing of what was asked to be extended was
			c.lease.T1 = now.Add(c.retry)
			if due(c.lease.T2, c.lease.T1) {
				c.lease.T2 = c.lease.T1
			}
		}
	} else {
		c.retry = 0
	}
	c.toBound()
	c.log.Info("leased", "addresses", len(c.lease.Addresses), "prefixes", len(c.lease.Prefixes))
	c.tell(now)
}

func (c *Client) tellIfOther(now time.Time, before *Lease) {
	if !slices.Equal(before.Addresses, c.lease.Addresses) || !slices.Equal(before.Prefixes, c.lease.Prefixes) {
		c.tell(now)
	}
}

// A timing collects T1 and T2: the earliest of all IAs (RFC 8415 section 18.2.4 has them
// renewed together).
type timing struct {
	set    bool
	t1, t2 time.Time
}

// add computes T1 and T2 of an IA, whose shortest lifetimes are given in seconds.
func (t *timing) add(now time.Time, x *ia, preferred, valid uint32) {
	t1, t2 := x.t1, x.t2
	base := preferred
	if base == 0 {
		base = valid
	}
	// Beyond the lifetime it would come too late. At its very end it says that there is no
	// point in trying (section 18.3.4).
	if t1 != infinity && t1 > valid {
		t1 = 0
	}
	if t2 != infinity && t2 > valid {
		t2 = 0
	}
	// RFC 8415 sections 14.2 and 21.21: 0 leaves it to the client, which takes what is
	// recommended to servers, 0.5 and 0.8 times the shortest preferred lifetime.
	if t1 == 0 {
		if t1 = base / 2; base == infinity {
			t1 = infinity
		}
		if t2 != 0 {
			t1 = min(t1, t2)
		}
	}
	if t2 == 0 {
		if t2 = uint32(uint64(base) * 8 / 10); base == infinity {
			t2 = infinity
		}
		t2 = max(t1, t2)
	}
	// MUST NOT transmit immediately (section 14.2).
	a, b := after(now, max(t1, 1)), after(now, max(t2, 1))
	if !t.set {
		t.set, t.t1, t.t2 = true, a, b
		return
	}
	t.t1, t.t2 = earlier(t.t1, a), earlier(t.t2, b)
}

// takeAddresses takes over an IA_NA: in place of what there was, or for those named in it.
// It reports whether it left an address.
func (c *Client) takeAddresses(now time.Time, x *ia, replace bool, t *timing) bool {
	list := c.lease.Addresses
	if replace {
		list = nil
	}
	preferred, valid, given := uint32(infinity), uint32(infinity), false
	for _, l := range x.given() {
		a := l.prefix.Addr()
		if l.preferred > l.valid || !usableAddr(a) {
			c.stats.InvalidLeases++
			continue
		}
		if l.status != statusSuccess {
			continue
		}
		list = slices.DeleteFunc(slices.Clone(list), func(o Address) bool { return o.Addr == a })
		if l.valid == 0 || len(list) == maxLeases {
			continue
		}
		list = append(list, Address{a, after(now, l.preferred), after(now, l.valid)})
		given = true
		valid = min(valid, l.valid)
		if l.preferred > 0 {
			preferred = min(preferred, l.preferred)
		}
	}
	c.lease.Addresses = list
	if given {
		t.add(now, x, min(preferred, valid), valid)
	}
	return given
}

// takePrefixes is takeAddresses for an IA_PD.
func (c *Client) takePrefixes(now time.Time, x *ia, replace bool, t *timing) bool {
	list := c.lease.Prefixes
	if replace {
		list = nil
	}
	preferred, valid, given := uint32(infinity), uint32(infinity), false
	for _, l := range x.given() {
		if l.preferred > l.valid || !usablePrefix(l.prefix) {
			c.stats.InvalidLeases++
			continue
		}
		if l.status != statusSuccess {
			continue
		}
		list = slices.DeleteFunc(slices.Clone(list), func(o Prefix) bool { return o.Prefix == l.prefix })
		if l.valid == 0 || len(list) == maxLeases {
			continue
		}
		list = append(list, Prefix{l.prefix, l.exclude, after(now, l.preferred), after(now, l.valid)})
		given = true
		valid = min(valid, l.valid)
		if l.preferred > 0 {
			preferred = min(preferred, l.preferred)
		}
	}
	c.lease.Prefixes = list
	if given {
		t.add(now, x, min(preferred, valid), valid)
	}
	return given
}

package dhcp6

import (
	cryptorand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A state is what a client does (RFC 8415 section 18.2).
type state uint8

const (
	idle       state = iota // nothing wanted, link down, or released
	soliciting              // looks for a server
	requesting              // asked one for the leases it advertised
	bound                   // has leases
	renewing                // asks its server to extend them
	rebinding               // asks any server to
	confirming              // asks whether they still hold on this link
	informing               // asks for configuration alone
	informed                // has it
)

var stateText = [...]string{
	idle: "idle", soliciting: "soliciting", requesting: "requesting", bound: "bound", renewing: "renewing",
	rebinding: "rebinding", confirming: "confirming", informing: "informing", informed: "informed",
}

func (s state) String() string { return stateText[s] }

// An exchange is a message of the client that waits for its answer.
type exchange struct {
	active   bool
	typ      dhcpv6.MessageType
	xid      dhcpv6.TransactionID
	server   DUID   // whom it is for; empty: any
	lease    Lease  // what a Request, Release or Decline is about, what a Solicit would like
	refused  bool   // a Confirm was answered with NotOnLink
	sol, inf agreed // of the Advertises to a Solicit
	retransmitter
}

// A Client gets configuration, addresses and prefixes from DHCPv6 servers on one link. It
// does nothing until [Client.SetMode] and [Client.LinkChanged] have been called.
type Client struct {
	cfg ClientConfig
	out Sender
	ev  ClientEvents
	log *slog.Logger
	rnd *rand.Rand

	mode     Mode
	up       bool
	state    state
	x        exchange // of the state
	side     exchange // Release or Decline, beside it
	again    bool     // after the Decline, leases are asked for anew
	best     *message // the best Advertise so far
	failures int      // acquisitions in a row that brought nothing
	retry    time.Duration
	lease    Lease
	change   time.Time // when something of lease ends
	refresh  time.Time // when configuration is asked for again
	sol, inf time.Duration
	key      []byte // reconfigure key
	replay   uint64
	bucket   bucket
	stats    ClientStats
}

// NewClient returns a client that sends through out and tells ev.
func NewClient(cfg ClientConfig, out Sender, ev ClientEvents) *Client {
	c := &Client{cfg: cfg, out: out, ev: ev, log: cfg.Logger, rnd: cfg.Rand, sol: solMaxRT, inf: infMaxRT}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.log = c.log.With("link", cfg.Name)
	if c.rnd == nil {
		c.rnd = newRand()
	}
	return c
}

// newRand returns a generator that no one outside can predict the seed of.
func newRand() *rand.Rand {
	var b [16]byte
	cryptorand.Read(b[:])
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])))
}

// Restore takes over what a client with the same DUID and IAID had, before the link is
// reported up. What is still valid is told at once, and confirmed when the link is there
// (RFC 8415 section 18.2.12).
func (c *Client) Restore(now time.Time, r Record) {
	c.lease = r.Lease.clone()
	c.lease.expire(now)
	if len(c.lease.Addresses) > maxLeases {
		c.lease.Addresses = c.lease.Addresses[:maxLeases]
	}
	if len(c.lease.Prefixes) > maxLeases {
		c.lease.Prefixes = c.lease.Prefixes[:maxLeases]
	}
	c.setMaxRT(r.SolMaxRT, r.InfMaxRT)
	if len(r.Key) == keySize {
		c.key, c.replay = append([]byte{}, r.Key...), r.Replay
	}
	c.change = c.lease.next(now)
	if !c.lease.empty() {
		c.tell(now)
	}
}

// Record returns what is to be kept over a restart. It changes when
// [ClientEvents.LeaseChanged] is called.
func (c *Client) Record() Record {
	r := Record{Lease: c.lease.clone(), Key: append([]byte{}, c.key...), Replay: c.replay}
	if c.sol != solMaxRT {
		r.SolMaxRT = uint32(c.sol / time.Second)
	}
	if c.inf != infMaxRT {
		r.InfMaxRT = uint32(c.inf / time.Second)
	}
	wall := func(t *time.Time) { *t = t.Round(0) } // without the monotonic clock
	for i := range r.Lease.Addresses {
		wall(&r.Lease.Addresses[i].Preferred)
		wall(&r.Lease.Addresses[i].Valid)
	}
	for i := range r.Lease.Prefixes {
		wall(&r.Lease.Prefixes[i].Preferred)
		wall(&r.Lease.Prefixes[i].Valid)
	}
	wall(&r.Lease.T1)
	wall(&r.Lease.T2)
	return r
}

// Lease returns what there is now.
func (c *Client) Lease() Lease { return c.lease.clone() }

// State returns what the client does, in a word: "idle", "soliciting", "requesting",
// "bound", "renewing", "rebinding", "confirming", "informing", "informed".
func (c *Client) State() string { return c.state.String() }

// Busy reports whether a Release or Decline waits for its answer: a caller that shuts down
// goes on calling [Client.Advance] until it is not.
func (c *Client) Busy() bool { return c.side.active }

// Stats returns a copy of the counters.
func (c *Client) Stats() ClientStats { return c.stats }

// SetMode says what is wanted from now on. What is no longer wanted is released.
func (c *Client) SetMode(now time.Time, m Mode) {
	old := c.mode
	if m == old {
		return
	}
	c.mode = m
	var drop Lease
	if !m.Addresses {
		drop.Addresses, c.lease.Addresses = c.lease.Addresses, nil
	}
	if !m.Prefixes {
		drop.Prefixes, c.lease.Prefixes = c.lease.Prefixes, nil
	}
	if !drop.empty() {
		c.release(now, drop)
	}
	switch {
	case !c.up:
	case m.stateful() && (c.state == renewing || c.state == rebinding || c.state == bound) && !c.lease.empty():
		c.lease.T1 = now // RFC 8415 section 18.2.4: further IAs are asked for in the Renew
		c.toBound()
	default:
		c.begin(now)
	}
	if !drop.empty() {
		c.tell(now) // before the Release is sent
	}
	c.Advance(now)
}

// LinkChanged says that the link came up, went down, or may be another than before
// (RFC 8415 section 18.2.12). While it is down nothing is sent.
func (c *Client) LinkChanged(now time.Time, up bool) {
	c.up = up
	c.best, c.failures, c.retry = nil, 0, 0
	if !up {
		c.state, c.x, c.side, c.again = idle, exchange{}, exchange{}, false
		return
	}
	c.begin(now)
	c.Advance(now)
}

// begin starts what the mode and the leases ask for.
func (c *Client) begin(now time.Time) {
	c.lease.expire(now)
	c.change = c.lease.next(now)
	switch {
	case c.mode.stateful() && len(c.lease.Prefixes) > 0:
		// RFC 8415 section 18.2.12: a Rebind for delegated prefixes, sent as a Confirm is.
		c.start(now, confirming, dhcpv6.MessageTypeRebind, params{irt: cnfTimeout, mrt: cnfMaxRT, mrd: cnfMaxRD}, c.upTo(cnfMaxDelay))
	case c.mode.stateful() && len(c.lease.Addresses) > 0:
		c.start(now, confirming, dhcpv6.MessageTypeConfirm, params{irt: cnfTimeout, mrt: cnfMaxRT, mrd: cnfMaxRD}, c.upTo(cnfMaxDelay))
	case c.mode.stateful():
		c.solicit(now)
	case c.mode.Information:
		c.inform(now, c.upTo(infMaxDelay))
	default:
		c.state, c.x = idle, exchange{}
	}
}

// upTo returns a random time from 0 to d.
func (c *Client) upTo(d time.Duration) time.Duration {
	return time.Duration(c.rnd.Int64N(int64(d) + 1))
}

// start enters a state in which a message is sent until it is answered, the first time
// after delay.
func (c *Client) start(now time.Time, s state, typ dhcpv6.MessageType, p params, delay time.Duration) {
	c.state = s
	c.x = exchange{active: true, typ: typ, xid: c.xid(), retransmitter: retransmitter{params: p, next: now.Add(delay)}}
}

func (c *Client) xid() (x dhcpv6.TransactionID) {
	v := c.rnd.Uint32()
	x[0], x[1], x[2] = byte(v>>16), byte(v>>8), byte(v)
	return x
}

// solicit looks for a server (RFC 8415 section 18.2.1). Section 18: MUST NOT be using what
// it asks for. What there was is what it would like to get again.
func (c *Client) solicit(now time.Time) {
	c.best = nil
	had := c.lease.clone()
	c.lease.Addresses, c.lease.Prefixes = nil, nil
	delay := c.upTo(solMaxDelay)
	if c.failures > 0 {
		// RFC 8415 section 14.1: servers that give nothing are not asked without end.
		wait := min(time.Second<<min(c.failures, 20), c.sol)
		delay += wait + jitter(c.rnd, wait)
	}
	c.start(now, soliciting, dhcpv6.MessageTypeSolicit, params{irt: solTimeout, mrt: c.sol, positive: true}, delay)
	c.x.lease = had
	if !had.empty() {
		c.tell(now)
	}
}

func (c *Client) inform(now time.Time, delay time.Duration) {
	c.refresh = time.Time{}
	c.start(now, informing, dhcpv6.MessageTypeInformationRequest, params{irt: infTimeout, mrt: c.inf}, delay)
}

// request asks a server for leases (RFC 8415 section 18.2.2).
func (c *Client) request(now time.Time, server DUID, l Lease) {
	c.best = nil
	c.start(now, requesting, dhcpv6.MessageTypeRequest, params{irt: reqTimeout, mrt: reqMaxRT, mrc: reqMaxRC}, 0)
	c.x.server, c.x.lease = server, l
}

// renew asks the server to extend the leases (RFC 8415 section 18.2.4), until T2.
func (c *Client) renew(now time.Time) {
	if due(c.lease.T2, now) || c.lease.Server == "" {
		c.rebind(now)
		return
	}
	p := params{irt: renTimeout, mrt: renMaxRT}
	if !c.lease.T2.IsZero() {
		p.mrd = c.lease.T2.Sub(now)
	}
	c.start(now, renewing, dhcpv6.MessageTypeRenew, p, 0)
	c.x.server = c.lease.Server
}

// rebind asks any server to (RFC 8415 section 18.2.5), until nothing is valid any more.
func (c *Client) rebind(now time.Time) {
	p := params{irt: rebTimeout, mrt: rebMaxRT}
	if end := c.lease.last(); !end.IsZero() {
		p.mrd = max(end.Sub(now), 1)
	}
	c.start(now, rebinding, dhcpv6.MessageTypeRebind, p, 0)
}

func (c *Client) toBound() { c.state, c.x, c.best = bound, exchange{}, nil }

// Deadline returns when [Client.Advance] has to be called next, the zero Time for never.
func (c *Client) Deadline() time.Time {
	t := c.change
	if !c.up {
		return t
	}
	if c.side.active {
		t = earlier(t, c.side.next)
	}
	switch {
	case c.x.active:
		t = earlier(t, c.x.next)
	case c.state == bound:
		t = earlier(t, earlier(c.lease.T1, c.lease.T2))
	case c.state == informed:
		t = earlier(t, c.refresh)
	}
	return t
}

// Advance does everything that is due at or before now.
func (c *Client) Advance(now time.Time) {
	// Each turn moves what was due beyond now; the bound is for a clock that jumped.
	for range 100 {
		if !due(c.Deadline(), now) {
			return
		}
		c.step(now)
	}
}

func (c *Client) step(now time.Time) {
	if due(c.change, now) {
		c.expire(now)
		return
	}
	if c.side.active && due(c.side.next, now) {
		if c.side.failed(now) {
			c.sideDone(now)
		} else {
			c.transmit(now, &c.side)
		}
		return
	}
	switch {
	case c.x.active && due(c.x.next, now):
		switch {
		case c.state == soliciting && c.best != nil:
			c.request(now, c.best.server, c.offer(now, c.best))
		case c.state == confirming && c.x.refused:
			c.offLink(now)
		case c.x.failed(now):
			c.unanswered(now)
		default:
			c.transmit(now, &c.x)
		}
	case c.state == bound && due(c.lease.T2, now):
		c.rebind(now)
	case c.state == bound && due(c.lease.T1, now):
		c.renew(now)
	case c.state == informed && due(c.refresh, now):
		c.inform(now, c.upTo(infMaxDelay))
	}
}

// unanswered ends an exchange that nobody answered in time.
func (c *Client) unanswered(now time.Time) {
	switch c.state {
	case requesting, rebinding:
		c.failed(now)
	case renewing:
		c.rebind(now)
	case confirming:
		// RFC 8415 section 18.2.3: SHOULD continue to use the leases.
		c.toBound()
	}
}

// failed looks for servers again, after a while.
func (c *Client) failed(now time.Time) {
	c.stats.Failures++
	c.failures++
	c.solicit(now)
}

// expire takes out what ran out.
func (c *Client) expire(now time.Time) {
	n := len(c.lease.Addresses) + len(c.lease.Prefixes)
	gone := c.lease.expire(now)
	c.stats.Expired += uint64(n - len(c.lease.Addresses) - len(c.lease.Prefixes))
	c.change = c.lease.next(now)
	if gone && c.up {
		switch c.state {
		case bound, renewing, rebinding, confirming:
			if c.lease.empty() {
				c.log.Warn("leases ran out")
				c.solicit(now)
			} else if c.state == bound {
				c.lease.T1 = earlier(c.lease.T1, now.Add(c.retryAfter()))
			}
		}
	}
	c.tell(now)
}

// retryAfter returns when to ask again for what a server did not give: 60 s, and twice as
// long each time up to an hour.
func (c *Client) retryAfter() time.Duration {
	c.retry = min(max(2*c.retry, time.Minute), time.Hour)
	return c.retry
}

func (c *Client) tell(now time.Time) {
	c.change = c.lease.next(now)
	if c.ev != nil {
		c.ev.LeaseChanged(now, c.lease.clone())
	}
}

// transmit sends the message of an exchange.
func (c *Client) transmit(now time.Time, x *exchange) {
	if !c.bucket.take(now) {
		c.stats.RateLimited++
		x.next = now.Add(bucketRate)
		return
	}
	x.sent(now, c.rnd)
	c.stats.Sent.count(uint8(x.typ))
	c.out.SendUDP(now, netip.AddrPortFrom(AllServersAndRelays, ServerPort), c.build(now, x).ToBytes())
}

// build writes the message of an exchange (RFC 8415 section 18.2).
func (c *Client) build(now time.Time, x *exchange) *builder {
	b := newMessage(x.typ, x.xid)
	b.duid(dhcpv6.OptionClientID, c.cfg.DUID)
	b.duid(dhcpv6.OptionServerID, x.server)
	b.elapsed(now.Sub(x.first))

	l, all := &c.lease, c.mode
	switch x.typ {
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		l, all = &x.lease, Mode{} // those leases and nothing else
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeSolicit:
		l = &x.lease
	case dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeInformationRequest:
		all = Mode{}
	}
	if x.typ == dhcpv6.MessageTypeInformationRequest {
		l = &Lease{}
	}
	if x.typ == dhcpv6.MessageTypeConfirm {
		l = &Lease{Addresses: c.lease.Addresses}
	}
	if all.Addresses || len(l.Addresses) > 0 {
		na := ia{id: c.cfg.IAID}
		for _, a := range l.Addresses {
			na.leases = append(na.leases, leased{prefix: netip.PrefixFrom(a.Addr, 128)})
		}
		b.na(na, "")
	}
	if all.Prefixes || len(l.Prefixes) > 0 {
		pd := ia{id: c.cfg.IAID}
		for _, p := range l.Prefixes {
			o := leased{prefix: p.Prefix}
			if x.typ == dhcpv6.MessageTypeRelease {
				o.exclude = p.Exclude // RFC 6603 section 6.1: MUST be included
			}
			pd.leases = append(pd.leases, o)
		}
		if len(pd.leases) == 0 && c.cfg.Hint.IsValid() && c.cfg.Hint.Addr().Is6() {
			hint := c.cfg.Hint.Masked()
			if x.typ == dhcpv6.MessageTypeRenew || x.typ == dhcpv6.MessageTypeRebind {
				// Section 18.2.4: MUST NOT name a prefix that the server did not give.
				hint = netip.PrefixFrom(netip.IPv6Unspecified(), hint.Bits())
			}
			pd.leases = append(pd.leases, leased{prefix: hint})
		}
		b.pd(pd, "")
	}

	switch x.typ {
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeConfirm:
		return b
	case dhcpv6.MessageTypeSolicit:
		if c.cfg.RapidCommit {
			b.option(dhcpv6.OptionRapidCommit, nil)
		}
	}
	if c.cfg.ReconfigureAccept {
		b.option(dhcpv6.OptionReconfAccept, nil)
	}
	oro := []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList,
		dhcpv6.OptionSNTPServerList, dhcpv6.OptionNTPServer}
	if x.typ == dhcpv6.MessageTypeInformationRequest {
		oro = append(oro, dhcpv6.OptionInformationRefreshTime, dhcpv6.OptionInfMaxRT)
	} else {
		oro = append(oro, dhcpv6.OptionSolMaxRT)
		if c.mode.Prefixes {
			oro = append(oro, dhcpv6.OptionPDExclude) // RFC 6603 section 4.1
		}
	}
	b.AddOption(dhcpv6.OptRequestedOption(oro...))
	return b
}

package coap

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/noresponse"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// Transmission parameters (RFC 7252 section 4.8).
const (
	ackTimeout       = 2 * time.Second
	ackRandomFactor  = 1.5
	maxRetransmit    = 4
	exchangeLifetime = 247 * time.Second
)

// dedupDepth is how many messages are remembered for each peer. A peer has one request
// outstanding (NSTART is 1, RFC 7252 section 4.7); the rest is margin.
const dedupDepth = 8

// A peer is one address that has sent something within exchangeLifetime.
type peer struct {
	last time.Time // heard
	seen [dedupDepth]exchange
	next int // in seen, the oldest
}

// An exchange is a message that was handled. reply is nil where handling it again does no
// harm (RFC 7252 section 4.5 allows that for idempotent requests).
type exchange struct {
	at    time.Time
	mid   uint16
	reply []byte
}

// endpoint is the machine behind Server: no goroutine, lock, socket or clock.
type endpoint struct {
	cfg       Options
	rand      *rand.Rand
	send      sendFunc
	resources []*Resource // sorted by path
	byPath    map[string]*Resource
	peers     map[netip.AddrPort]*peer
	transfers map[transferKey]*transfer
	observers []*observer
	ticks     map[*Resource]time.Time // next tick of those that are observed
	mid       uint16
	in        inbound
	local     netip.Addr // where the message under way came to; see sendFunc
	leisurely []delayed  // answers to requests to a group, that wait for their time
	out       []byte
	stats     Stats
}

// A sendFunc sends b, which it does not keep. from is the address of ours that the peer knows
// us by; the zero Addr, or a group, leaves the choice to the stack.
type sendFunc func(to netip.AddrPort, from netip.Addr, b []byte)

func newEndpoint(cfg Options, send sendFunc) *endpoint {
	e := &endpoint{
		cfg:       cfg,
		rand:      cfg.Rand,
		send:      send,
		byPath:    make(map[string]*Resource),
		peers:     make(map[netip.AddrPort]*peer),
		transfers: make(map[transferKey]*transfer),
		ticks:     make(map[*Resource]time.Time),
		out:       make([]byte, 0, 2048),
	}
	e.in.opts = make(message.Options, 0, maxOptions)
	e.mid = uint16(e.rand.Uint32())
	core := &Resource{Path: wellKnownPath, Get: func(_ time.Time, r *Request) Response {
		return Response{Code: codes.Content, Format: message.AppLinkFormat, Payload: wellKnown(e.resources, r.Queries)}
	}, Formats: []message.MediaType{message.AppLinkFormat}}
	for _, r := range append([]*Resource{core}, cfg.Resources...) {
		if _, ok := e.byPath[r.Path]; !ok {
			e.byPath[r.Path] = r
			e.resources = append(e.resources, r)
		}
	}
	slices.SortFunc(e.resources, func(a, b *Resource) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return e
}

// handle takes one datagram that came to the address local, a group for one; the zero Addr
// is one that is not known. The error is a [Drop].
func (e *endpoint) handle(now time.Time, from netip.AddrPort, local netip.Addr, b []byte) error {
	e.stats.Received++
	e.local = local
	err := e.receive(now, from, b)
	if d, ok := err.(Drop); ok {
		e.stats.Drops[d]++
	}
	return err
}

func (e *endpoint) receive(now time.Time, from netip.AddrPort, b []byte) error {
	m := &e.in
	err := m.parse(b)
	if e.local.IsMulticast() && (err == nil || err == DropFormat) && (m.typ != message.NonConfirmable || m.code == 0 || m.code > 31) {
		// "Such multicast requests MUST be Non-confirmable", and nothing that comes to a
		// group is rejected with a Reset (RFC 7252 section 8.1).
		return DropMulticast
	}
	if err != nil {
		if err == DropFormat && m.typ == message.Confirmable {
			e.empty(from, message.Reset, m.mid)
			return nil
		}
		return err
	}
	switch {
	case m.typ == message.Acknowledgement || m.typ == message.Reset:
		if e.acknowledged(now, from, m.mid, m.typ == message.Reset) {
			e.stats.Consumed++
			return nil
		}
		return DropUnexpected
	case m.code == 0 || m.code > 31: // ping, a response that nothing asked for, a reserved class
		if m.typ == message.Confirmable {
			e.empty(from, message.Reset, m.mid)
			return nil
		}
		return DropUnexpected
	}
	p := e.peer(now, from)
	for i := range p.seen {
		x := &p.seen[i]
		if x.at.IsZero() || x.mid != m.mid || now.Sub(x.at) > exchangeLifetime {
			continue
		}
		switch {
		case m.typ == message.NonConfirmable:
			return DropDuplicate
		case len(x.reply) > 0:
			e.send(from, e.local, x.reply)
			e.stats.Answered++
			return nil
		}
		return e.request(now, from, m, nil)
	}
	x := &p.seen[p.next]
	p.next = (p.next + 1) % dedupDepth
	*x = exchange{at: now, mid: m.mid, reply: x.reply[:0]}
	return e.request(now, from, m, x)
}

// peer returns the entry of from, making room where the table is full.
func (e *endpoint) peer(now time.Time, from netip.AddrPort) *peer {
	p := e.peers[from]
	if p == nil {
		if len(e.peers) >= e.cfg.MaxPeers {
			var oldest netip.AddrPort
			var at time.Time
			for a, q := range e.peers {
				if at.IsZero() || q.last.Before(at) {
					oldest, at = a, q.last
				}
			}
			delete(e.peers, oldest)
		}
		p = new(peer)
		e.peers[from] = p
	}
	p.last = now
	return p
}

// request answers a request; x, where not nil, keeps the answer for duplicates.
func (e *endpoint) request(now time.Time, from netip.AddrPort, m *inbound, x *exchange) error {
	o, v := m.options()
	if v == optionsBad && m.typ == message.NonConfirmable {
		return DropOption // MUST be rejected (RFC 7252 section 5.4.1)
	}
	group := e.local.IsMulticast()
	if group {
		if o.block1.set {
			return DropMulticast // a body in blocks goes to one server (RFC 7959 section 2.8)
		}
		o.observe = -1
	}
	a := answer{to: from, reqType: m.typ, mid: m.mid, token: m.token}
	r := e.byPath[o.path]
	switch {
	case v == optionsBad:
		a.Response = problem(codes.BadOption, "critical option not understood")
	case v == optionsBlock:
		a.Response = problem(codes.BadRequest, "SZX 7 is reserved")
	case v == optionsProxy:
		a.Response = problem(codes.ProxyingNotSupported, "")
	case r == nil:
		a.Response = problem(codes.NotFound, "")
	case r.handler(m.code) == nil:
		a.Response = problem(codes.MethodNotAllowed, "")
	default:
		e.serve(now, r, m, &o, &a)
	}
	if m.code == codes.GET && a.Code < codes.BadRequest {
		x = nil // harmless to do again, and may be long
	}
	if o.noResponse != 0 && noresponse.IsNoResponseCode(a.Code, o.noResponse) != nil {
		if m.typ == message.NonConfirmable {
			return DropQuiet
		}
		if x != nil {
			x.reply = append(x.reply, 1<<6|byte(message.Acknowledgement)<<4, 0, byte(m.mid>>8), byte(m.mid))
		}
		e.empty(from, message.Acknowledgement, m.mid)
		return nil
	}
	if group {
		// "a server MAY always ignore a multicast request, in particular if it doesn't have
		// anything useful to respond (e.g., if it only has an empty payload or an error
		// response)" (RFC 7252 section 8.2); No-Response says where these are wanted (RFC
		// 7967 section 2.1).
		if !o.hasNoResponse && (a.Code >= codes.BadRequest || m.code == codes.GET && a.body == nil && len(a.Payload) == 0) {
			return DropQuiet
		}
		return e.atLeisure(now, &a)
	}
	b := e.encode(&a)
	if x != nil && m.typ == message.Confirmable {
		x.reply = append(x.reply, b...)
	}
	e.send(from, e.local, b)
	e.stats.Answered++
	return nil
}

// serve runs the handler of r and puts the answer, or the block asked for, into a.
func (e *endpoint) serve(now time.Time, r *Resource, m *inbound, o *parsed, a *answer) {
	if o.ifNoneMatch && r.Get != nil {
		a.Response = problem(codes.PreconditionFailed, "")
		return
	}
	if o.ifMatch != nil && !matchTag(r, o.ifMatch) {
		a.Response = problem(codes.PreconditionFailed, "")
		return
	}
	if o.accept >= 0 && m.code == codes.GET && len(r.Formats) > 0 && !slices.Contains(r.Formats, message.MediaType(o.accept)) {
		a.Response = problem(codes.NotAcceptable, "")
		return
	}
	key := makeTransferKey(a.to, m.code, o)
	if m.code != codes.GET && o.block2.set && o.block2.num > 0 {
		e.nextOf(now, key, o, a) // a later block of the response to an upload
		return
	}
	body := m.payload
	if m.code != codes.GET && o.block1.set {
		var done bool
		if body, done = e.upload(now, key, r, m, o, a); !done {
			return
		}
	} else if m.code != codes.GET {
		if len(body) > r.maxBody() {
			a.Response = problem(codes.RequestEntityTooLarge, "")
			a.size1 = r.maxBody()
			return
		}
		body = append([]byte(nil), body...)
	}
	req := Request{Peer: a.to, Code: m.code, Path: o.path, Queries: o.queries, Format: o.format, Accept: o.accept, Payload: body}
	if m.code == codes.GET {
		req.Payload = nil
	}
	a.Response = r.handler(m.code)(now, &req)
	if m.code == codes.GET && r.Observable && o.block2.num == 0 {
		e.observe(now, r, m, o, a)
	}
	e.slice(now, key, m.code, o, a)
}

func matchTag(r *Resource, tags [][]byte) bool {
	var have []byte
	if r.ETag != nil {
		have = r.ETag()
	}
	for _, t := range tags {
		if len(t) == 0 || have != nil && bytes.Equal(t, have) { // the empty one: "exists"
			return true
		}
	}
	return false
}

func problem(c codes.Code, diagnostic string) Response {
	r := Response{Code: c}
	if diagnostic != "" {
		r.Payload = []byte(diagnostic)
	}
	return r
}

// An answer is a response with what the layers below the handler add to it.
type answer struct {
	Response
	to             netip.AddrPort
	reqType        message.Type
	mid            uint16 // of the request
	token          []byte
	observe        int64 // with observing
	observing      bool
	block1, block2 block
	size1, size2   int // 0: absent
	body           []byte
}

// encode returns the datagram of a, which is valid until the next call.
func (e *endpoint) encode(a *answer) []byte {
	msg := message.Message{Token: a.token, Code: a.Code, Type: message.Acknowledgement, MessageID: int32(a.mid)}
	if a.reqType != message.Confirmable {
		msg.Type, msg.MessageID = message.NonConfirmable, int32(e.nextMID())
	}
	return e.marshal(&msg, a)
}

func (e *endpoint) marshal(msg *message.Message, a *answer) []byte {
	o := make(message.Options, 0, 10)
	if a.ETag != nil {
		o = o.Add(message.Option{ID: message.ETag, Value: a.ETag})
	}
	if a.observing {
		o = addUint(o, message.Observe, uint32(a.observe)&0xffffff)
	}
	payload := a.Payload
	if a.body != nil || a.block2.set {
		payload = a.body
	}
	if len(payload) > 0 && a.Code < codes.BadRequest {
		o = addUint(o, message.ContentFormat, uint32(a.Format)) // left out for diagnostics (RFC 7252 section 5.5.2)
	}
	if a.MaxAge != 0 {
		o = addUint(o, message.MaxAge, uint32(max(a.MaxAge, 0)))
	}
	if a.block2.set {
		o = addUint(o, message.Block2, a.block2.value())
	}
	if a.block1.set {
		o = addUint(o, message.Block1, a.block1.value())
	}
	if a.size2 > 0 {
		o = addUint(o, message.Size2, uint32(a.size2))
	}
	if a.size1 > 0 {
		o = addUint(o, message.Size1, uint32(a.size1))
	}
	msg.Options, msg.Payload = o, payload
	n, err := coder.DefaultCoder.Encode(*msg, e.out[:cap(e.out)])
	if err != nil { // a handler's options or payload that no message can carry
		*msg = message.Message{Token: msg.Token, Code: codes.InternalServerError, Type: msg.Type, MessageID: msg.MessageID}
		n, _ = coder.DefaultCoder.Encode(*msg, e.out[:cap(e.out)])
	}
	return e.out[:max(n, 0)]
}

func (e *endpoint) nextMID() uint16 {
	e.mid++
	return e.mid
}

// empty sends an empty ACK or RST (RFC 7252 section 4.1).
func (e *endpoint) empty(to netip.AddrPort, t message.Type, mid uint16) {
	e.send(to, e.local, []byte{1<<6 | byte(t)<<4, 0, byte(mid >> 8), byte(mid)})
	e.stats.Answered++
}

// deadline returns when advance is to be called next; zero: nothing is pending.
func (e *endpoint) deadline() (t time.Time) {
	soonest := func(d time.Time) {
		if t.IsZero() || d.Before(t) {
			t = d
		}
	}
	for _, p := range e.peers {
		soonest(p.last.Add(exchangeLifetime))
	}
	for _, x := range e.transfers {
		soonest(x.touched.Add(e.cfg.TransferTimeout))
	}
	for _, d := range e.ticks {
		soonest(d)
	}
	for _, o := range e.observers {
		if o.pending {
			soonest(o.retry)
		}
	}
	for i := range e.leisurely {
		soonest(e.leisurely[i].at)
	}
	return t
}

// advance does everything that is due at or before now.
func (e *endpoint) advance(now time.Time) {
	for a, p := range e.peers {
		if now.Sub(p.last) >= exchangeLifetime {
			delete(e.peers, a)
		}
	}
	for k, x := range e.transfers {
		if now.Sub(x.touched) >= e.cfg.TransferTimeout {
			delete(e.transfers, k)
		}
	}
	e.advanceLeisure(now)
	e.advanceObservers(now)
}

func (e *endpoint) snapshot() Stats {
	s := e.stats
	s.Peers, s.Observers, s.Transfers = len(e.peers), len(e.observers), len(e.transfers)
	return s
}

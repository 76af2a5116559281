package coap

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// transferEvict is how long a transfer must have stood still before another may take its
// place in a full table.
const transferEvict = 10 * time.Second

// A transferKey tells transfers apart (RFC 7959 section 2.5, RFC 9175 section 3.3): by
// peer, method, the options of the resource and Request-Tag; not by token, of which a
// client may use a new one for each block.
type transferKey struct {
	peer netip.AddrPort
	code codes.Code
	rest string // path, queries, Request-Tag, with NUL between
}

func makeTransferKey(from netip.AddrPort, c codes.Code, o *parsed) transferKey {
	var b strings.Builder
	b.WriteString(o.path)
	for _, q := range o.queries {
		b.WriteByte(0)
		b.WriteString(q)
	}
	b.WriteString("\x00\x00")
	b.Write(o.tag)
	return transferKey{from, c, b.String()}
}

// A transfer is a request body on its way in, or the response to one on its way out.
type transfer struct {
	touched time.Time
	body    []byte   // request so far
	format  int      // Content-Format of the first block
	last    []byte   // the latest block, to know it again when it is repeated
	resp    Response // on its way out
	out     bool
}

// room returns whether the table takes one more.
func (e *endpoint) room(now time.Time) bool {
	if len(e.transfers) < e.cfg.MaxTransfers {
		return true
	}
	var oldest transferKey
	var at time.Time
	for k, x := range e.transfers {
		if at.IsZero() || x.touched.Before(at) {
			oldest, at = k, x.touched
		}
	}
	if now.Sub(at) < transferEvict {
		return false
	}
	delete(e.transfers, oldest)
	return true
}

// upload takes a block of a request body (RFC 7959 section 2.5). done is true with the
// whole body; else the answer is in a.
func (e *endpoint) upload(now time.Time, key transferKey, r *Resource, m *inbound, o *parsed, a *answer) (body []byte, done bool) {
	b, limit := o.block1, r.maxBody()
	a.block1 = b
	fail := func(c codes.Code, why string) ([]byte, bool) {
		delete(e.transfers, key)
		a.Response, a.block1 = problem(c, why), block{}
		return nil, false
	}
	if b.more && len(m.payload) != b.size() {
		return fail(codes.BadRequest, "block shorter than its size")
	}
	if len(m.payload) > b.size() {
		return fail(codes.BadRequest, "block longer than its size")
	}
	if o.size1 > limit || b.offset()+len(m.payload) > limit {
		fail(codes.RequestEntityTooLarge, "")
		a.size1 = limit
		return nil, false
	}
	x := e.transfers[key]
	if b.num == 0 {
		delete(e.transfers, key) // "starting over" (RFC 7959 section 2.5)
		if !b.more {
			return append([]byte(nil), m.payload...), true
		}
		if !e.room(now) {
			a.Response, a.block1 = Response{Code: codes.ServiceUnavailable, MaxAge: int(transferEvict / time.Second)}, block{}
			return nil, false
		}
		x = &transfer{format: o.format}
		e.transfers[key] = x
	}
	switch {
	case x == nil || x.out:
		return fail(codes.RequestEntityIncomplete, "no block before this one")
	case x.format != o.format:
		return fail(codes.RequestEntityIncomplete, "Content-Format differs from the first block")
	case b.offset() == len(x.body):
		x.last = append(x.last[:0], m.payload...)
		x.body = append(x.body, m.payload...)
	case b.offset()+len(m.payload) == len(x.body) && bytes.Equal(x.last, m.payload):
		// the block before, sent again with a new message ID
	default:
		return fail(codes.RequestEntityIncomplete, "block missing")
	}
	x.touched = now
	if b.more {
		a.Response = Response{Code: codes.Continue}
		return nil, false
	}
	delete(e.transfers, key)
	return x.body, true
}

// slice cuts the response in a down to the block that was asked for (RFC 7959 section
// 2.4). The response to an upload is kept for the blocks that follow.
func (e *endpoint) slice(now time.Time, key transferKey, c codes.Code, o *parsed, a *answer) {
	want := o.block2
	if !want.set {
		want.szx = e.cfg.szx
		if o.block1.set && o.block1.szx < want.szx {
			want.szx = o.block1.szx // a peer that sends small blocks wants small blocks
		}
	}
	want.szx = min(want.szx, e.cfg.szx)
	if o.block2.num > 0 && want.szx < o.block2.szx {
		want.num = o.block2.num << (o.block2.szx - want.szx)
	}
	if a.Code >= codes.BadRequest {
		if len(a.Payload) > want.size() {
			a.Payload = a.Payload[:want.size()]
		}
		return
	}
	whole := len(a.Payload)
	if whole == 0 || whole <= want.size() && !o.block2.set {
		e.validate(o, a)
		return
	}
	if want.num > 0 && want.offset() >= whole {
		a.Response, a.observing = problem(codes.BadRequest, "block beyond the end"), false
		return
	}
	if a.ETag == nil && whole > want.size() {
		a.ETag = entityTag(a.Payload) // for the client to see that blocks belong together
	}
	if e.validate(o, a) {
		return
	}
	if c != codes.GET && whole > want.size() {
		if !e.room(now) {
			a.Response = Response{Code: codes.ServiceUnavailable, MaxAge: int(transferEvict / time.Second)}
			return
		}
		e.transfers[key] = &transfer{touched: now, resp: a.Response, out: true}
	}
	cut(want, o, a)
}

// validate turns a into 2.03 Valid where the client has the representation (RFC 7252
// section 5.10.6.2).
func (e *endpoint) validate(o *parsed, a *answer) bool {
	if a.Code != codes.Content || a.ETag == nil {
		return false
	}
	for _, t := range o.etags {
		if bytes.Equal(t, a.ETag) {
			a.Response = Response{Code: codes.Valid, ETag: a.ETag, MaxAge: a.MaxAge}
			return true
		}
	}
	return false
}

// cut puts the block want of a's payload into a.
func cut(want block, o *parsed, a *answer) {
	from := want.offset()
	to := min(from+want.size(), len(a.Payload))
	a.block2 = block{num: want.num, szx: want.szx, more: to < len(a.Payload), set: true}
	a.body = a.Payload[from:to:to]
	if want.num == 0 || o.size2 >= 0 {
		a.size2 = len(a.Payload)
	}
}

// nextOf answers a request for a later block of the response to an upload.
func (e *endpoint) nextOf(now time.Time, key transferKey, o *parsed, a *answer) {
	x := e.transfers[key]
	if x == nil || !x.out {
		a.Response = problem(codes.RequestEntityIncomplete, "no response to continue")
		return
	}
	want := o.block2
	if s := min(want.szx, e.cfg.szx); s < want.szx {
		want.num <<= want.szx - s
		want.szx = s
	}
	if want.offset() >= len(x.resp.Payload) {
		a.Response = problem(codes.BadRequest, "block beyond the end")
		return
	}
	x.touched = now
	a.Response = x.resp
	cut(want, o, a)
}

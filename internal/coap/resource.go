package coap

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// A Request is what a handler is given. Payload is the whole body, whatever the number of
// blocks it came in; it is the handler's to keep.
type Request struct {
	Peer    netip.AddrPort
	Code    codes.Code
	Path    string
	Queries []string
	Format  int // Content-Format of Payload, -1 where none is stated
	Accept  int // Content-Format asked for, -1 for any
	Payload []byte
}

// A Response is what a handler returns. Payload may be of any length; what does not fit one
// block goes out block-wise. The server keeps Payload while it sends it: a handler must not
// change it afterwards.
type Response struct {
	Code    codes.Code
	Format  message.MediaType // sent where there is a payload
	Payload []byte
	ETag    []byte // 1 to 8 bytes; nil: one is derived where blocks need it
	MaxAge  int    // seconds; 0: option left out (60 s by default), negative: 0
}

// A Handler answers one request. It runs on the server's goroutine, one at a time for the
// whole server, so it must not block; state that only handlers touch needs no lock.
type Handler func(now time.Time, r *Request) Response

// A Resource is something at a path. Methods that are nil are answered 4.05.
type Resource struct {
	Path      string // "/counter"
	Type      string // rt, space-separated (RFC 6690 section 3.1)
	Interface string // if, space-separated (RFC 6690 section 3.2)
	Title     string // title
	Formats   []message.MediaType
	Size      func() int // sz, bytes; nil: not advertised

	Get, Post, Put, Delete Handler

	// ETag returns the entity-tag of the present representation for If-Match; nil where
	// the resource has none.
	ETag func() []byte

	MaxBody int // largest request body in bytes; 0: 1024

	Observable bool
	// Period is the time between notifications while somebody observes; 0: only
	// [Server.Notify]. Tick is called before each.
	Period time.Duration
	Tick   func(now time.Time)
}

func (r *Resource) handler(c codes.Code) Handler {
	switch c {
	case codes.GET:
		return r.Get
	case codes.POST:
		return r.Post
	case codes.PUT:
		return r.Put
	case codes.DELETE:
		return r.Delete
	}
	return nil
}

func (r *Resource) maxBody() int {
	if r.MaxBody > 0 {
		return r.MaxBody
	}
	return 1024
}

// link appends the link of r in link format (RFC 6690 section 2).
func (r *Resource) link(b []byte) []byte {
	b = append(b, '<')
	b = append(b, r.Path...)
	b = append(b, '>')
	attr := func(name, v string) {
		if v != "" {
			b = append(b, ';')
			b = append(b, name...)
			b = append(b, '=')
			b = strconv.AppendQuote(b, v)
		}
	}
	attr("rt", r.Type)
	attr("if", r.Interface)
	attr("title", r.Title)
	if len(r.Formats) > 0 {
		b = append(b, ";ct="...)
		b = append(b, r.attribute("ct")...)
	}
	if r.Size != nil {
		b = append(b, ";sz="...)
		b = append(b, r.attribute("sz")...)
	}
	if r.Observable {
		b = append(b, ";obs"...)
	}
	return b
}

// attribute returns the value of a target attribute, "" where r has none of that name.
func (r *Resource) attribute(name string) string {
	switch name {
	case "href":
		return r.Path
	case "rt":
		return r.Type
	case "if":
		return r.Interface
	case "title":
		return r.Title
	case "sz":
		if r.Size != nil {
			return strconv.Itoa(r.Size())
		}
	case "ct":
		var s []string
		for _, f := range r.Formats {
			s = append(s, strconv.Itoa(int(f)))
		}
		if len(s) == 1 {
			return s[0]
		}
		if len(s) > 1 {
			return `"` + strings.Join(s, " ") + `"`
		}
	}
	return ""
}

// matches reports whether the link of r passes the filter of a query (RFC 6690 section
// 4.1): "name=value", a trailing * stands for any ending, and of the space-separated values
// of rt, if and ct one has to match.
func (r *Resource) matches(query string) bool {
	name, want, ok := strings.Cut(query, "=")
	if name == "obs" {
		return r.Observable && (!ok || want == "")
	}
	have := r.attribute(name)
	if !ok {
		return have != ""
	}
	want = strings.Trim(want, `"`)
	prefix, wild := strings.CutSuffix(want, "*")
	match := func(v string) bool {
		if wild {
			return strings.HasPrefix(v, prefix)
		}
		return v == want
	}
	have = strings.Trim(have, `"`)
	if have == "" {
		return false
	}
	switch name {
	case "rt", "if", "ct", "rel", "rev":
		for _, v := range strings.Fields(have) {
			if match(v) {
				return true
			}
		}
		return false
	}
	return match(have)
}

// wellKnownPath is the resource of RFC 6690 section 4.
const wellKnownPath = "/.well-known/core"

// wellKnown returns the links of rs that pass the filters.
func wellKnown(rs []*Resource, queries []string) []byte {
	var b []byte
next:
	for _, r := range rs {
		if r.Path == wellKnownPath {
			continue
		}
		for _, q := range queries {
			if !r.matches(q) {
				continue next
			}
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = r.link(b)
	}
	return b
}

package coap

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

const (
	largeSize = 8 << 10  // bytes of /large at start
	largeMax  = 64 << 10 // bytes that a PUT to /large may have
)

// Device returns the resources of a device for tests and demonstrations: /time, /counter
// (observable, once a second while observed), /echo and /large (8 KiB, replaced by PUT up
// to 64 KiB). Each call returns resources with a state of their own.
func Device() []*Resource {
	return []*Resource{timeResource(), counterResource(), echoResource(), largeResource()}
}

func text(s string) Response {
	return Response{Code: codes.Content, Format: message.TextPlain, Payload: []byte(s), MaxAge: 1}
}

func timeResource() *Resource {
	return &Resource{
		Path: "/time", Type: "time", Interface: "core.s", Title: "clock of the device",
		Formats: []message.MediaType{message.TextPlain},
		Get: func(now time.Time, _ *Request) Response {
			return text(now.UTC().Format(time.RFC3339Nano))
		},
	}
}

func counterResource() *Resource {
	var n uint64
	return &Resource{
		Path: "/counter", Type: "counter", Interface: "core.s", Title: "ticks while observed",
		Formats:    []message.MediaType{message.TextPlain},
		Observable: true,
		Period:     time.Second,
		Tick:       func(time.Time) { n++ },
		Get: func(time.Time, *Request) Response {
			return text(strconv.FormatUint(n, 10))
		},
	}
}

func echoResource() *Resource {
	echo := func(_ time.Time, r *Request) Response {
		f := message.TextPlain
		if r.Format >= 0 {
			f = message.MediaType(r.Format)
		}
		return Response{Code: codes.Changed, Format: f, Payload: r.Payload}
	}
	return &Resource{
		Path: "/echo", Type: "echo", Interface: "core.a", Title: "returns what it is sent",
		MaxBody: largeMax,
		Post:    echo, Put: echo,
	}
}

func largeResource() *Resource {
	body := make([]byte, 0, largeSize+64)
	for i := 0; len(body) < largeSize; i++ {
		body = fmt.Appendf(body, "%05d the quick brown fox jumps over the lazy dog, line %05d\n", len(body), i)
	}
	body = body[:largeSize]
	format := message.TextPlain
	tag := entityTag(body)
	return &Resource{
		Path: "/large", Type: "block", Interface: "core.p", Title: "a large representation",
		Formats: []message.MediaType{message.TextPlain, message.AppOctets},
		Size:    func() int { return len(body) },
		MaxBody: largeMax,
		ETag:    func() []byte { return tag },
		Get: func(_ time.Time, r *Request) Response {
			f := format
			if r.Accept >= 0 {
				f = message.MediaType(r.Accept)
			}
			return Response{Code: codes.Content, Format: f, Payload: body, ETag: tag}
		},
		Put: func(_ time.Time, r *Request) Response {
			body, tag, format = r.Payload, entityTag(r.Payload), message.AppOctets
			if r.Format == int(message.TextPlain) {
				format = message.TextPlain
			}
			return Response{Code: codes.Changed}
		},
	}
}

// entityTag derives an ETag from a representation.
func entityTag(b []byte) []byte {
	h := fnv.New64a()
	h.Write(b)
	return binary.BigEndian.AppendUint64(nil, h.Sum64())
}

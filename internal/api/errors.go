package api

import (
	"errors"
	"fmt"
)

// ErrBadRequest marks an error that is the caller's fault: status 400 instead of 500.
var ErrBadRequest = errors.New("bad request")

// BadRequest returns an error that reads as format says and wraps [ErrBadRequest].
func BadRequest(format string, args ...any) error {
	return &badRequest{fmt.Errorf(format, args...)}
}

type badRequest struct{ err error }

func (e *badRequest) Error() string        { return e.err.Error() }
func (e *badRequest) Unwrap() error        { return e.err }
func (e *badRequest) Is(target error) bool { return target == ErrBadRequest }

// PingTimeout is the Error of a [PingReply] for which nothing came back in time.
const PingTimeout = "timeout"

// ICMPErrorText returns what an ICMPv6 error of this type and code means (RFC 4443
// section 3), in the words of ping(8): "Destination unreachable: No route".
func ICMPErrorText(typ, code uint8) string {
	text := func(name string, codes ...string) string {
		if int(code) < len(codes) {
			return name + codes[code]
		}
		return fmt.Sprintf("%sUnknown code %d", name, code)
	}
	switch typ {
	case 1:
		return text("Destination unreachable: ", "No route", "Administratively prohibited",
			"Beyond scope of source address", "Address unreachable", "Port unreachable",
			"Source address failed ingress/egress policy", "Reject route to destination")
	case 2:
		return "Packet too big"
	case 3:
		return text("Time exceeded: ", "Hop limit", "Defragmentation failure")
	case 4:
		return text("Parameter problem: ", "Wrong header field", "Unknown header", "Unknown option")
	}
	return fmt.Sprintf("ICMPv6 type %d code %d", typ, code)
}

package coap

// A Drop says why a datagram got no answer. Its text is the metric label.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated  Drop = iota + 1 // shorter than the fixed header
	DropVersion                    // version is not 1 (RFC 7252 section 3: silently ignored)
	DropFormat                     // message format error; a confirmable one is answered by RST
	DropDuplicate                  // non-confirmable message seen before
	DropUnexpected                 // response, ACK or RST that nothing waits for
	DropOption                     // critical option unknown, in a non-confirmable message
	DropQuiet                      // response suppressed by No-Response (RFC 7967), or to a group and of no use
	DropMulticast                  // to a group what goes to one server only, such as a confirmable message
	DropLeisure                    // more requests to groups than wait for their answers
	numDrops
)

var dropText = [numDrops]string{
	DropTruncated:  "truncated",
	DropVersion:    "version",
	DropFormat:     "format",
	DropDuplicate:  "duplicate",
	DropUnexpected: "unexpected",
	DropOption:     "critical_option",
	DropQuiet:      "no_response",
	DropMulticast:  "multicast",
	DropLeisure:    "leisure_full",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "coap_unknown"
}

// Stats counts what a server has seen.
// Received = Answered + Consumed + the sum of Drops.
type Stats struct {
	Received  uint64           // datagrams
	Answered  uint64           // datagrams that got a response, an ACK or a RST
	Consumed  uint64           // ACK and RST for notifications
	Notified  uint64           // notifications sent, retransmissions included
	Drops     [numDrops]uint64 // by [Drop]
	Peers     int              // in the table now
	Observers int              // in the table now
	Transfers int              // block-wise transfers in the table now
}

package zep

// A Drop says why a datagram or frame was discarded. Its text is the metric label.
// Returning one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated   Drop = iota + 1 // input ends inside the header
	DropPreamble                    // does not begin with "EX"
	DropVersion                     // neither version 1 nor 2
	DropType                        // unknown type
	DropLength                      // length field and datagram disagree
	DropEmpty                       // no frame
	DropTooLong                     // frame longer than 127 bytes
	DropFCS                         // frame check sequence wrong
	DropChannel                     // frame of another channel
	DropOwn                         // our own datagram came back
	DropNoReceiver                  // hub: nobody to forward the frame to
	DropQueue                       // Receive is not called often enough
	DropImpaired                    // lost by Impair
	DropImpairQueue                 // too many frames delayed by Impair
	numDrops
)

var dropText = [numDrops]string{
	DropTruncated:   "zep_truncated",
	DropPreamble:    "zep_preamble",
	DropVersion:     "zep_version",
	DropType:        "zep_type",
	DropLength:      "zep_length",
	DropEmpty:       "zep_empty",
	DropTooLong:     "zep_too_long",
	DropFCS:         "fcs",
	DropChannel:     "other_channel",
	DropOwn:         "own_datagram",
	DropNoReceiver:  "no_receiver",
	DropQueue:       "receive_queue_full",
	DropImpaired:    "impaired",
	DropImpairQueue: "impair_queue_full",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "zep_unknown"
}

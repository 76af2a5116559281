package ieee802154

// A Drop says why a frame was discarded. Its text is the metric label. Returning one
// allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated   Drop = iota + 1 // input ends inside a header
	DropFrameType                   // frame type that this package does not know
	DropVersion                     // frame version 3
	DropAddressing                  // reserved or impossible combination of addressing modes
	DropSecurity                    // security header malformed or not usable, or security of 2003
	DropMIC                         // secured frame whose message integrity code is wrong
	DropIE                          // information elements malformed
	DropPayload                     // command or beacon payload malformed
	DropTooLong                     // longer than MaxFrame
	DropFCS                         // frame check sequence wrong
	DropPAN                         // addressed to another PAN
	DropAddress                     // addressed to another device
	DropOwn                         // our own frame came back
	DropDuplicate                   // retransmission of a frame that was delivered before
	DropUnwantedAck                 // acknowledgment that nobody waits for
	DropAsleep                      // receiver off
	numDrops
)

var dropText = [numDrops]string{
	DropTruncated:   "mac_truncated",
	DropFrameType:   "mac_frame_type",
	DropVersion:     "mac_frame_version",
	DropAddressing:  "mac_addressing",
	DropSecurity:    "mac_security_header",
	DropMIC:         "mac_mic",
	DropIE:          "mac_information_element",
	DropPayload:     "mac_payload",
	DropTooLong:     "mac_too_long",
	DropFCS:         "fcs",
	DropPAN:         "other_pan",
	DropAddress:     "other_address",
	DropOwn:         "own_frame",
	DropDuplicate:   "duplicate",
	DropUnwantedAck: "unwanted_ack",
	DropAsleep:      "asleep",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "mac_unknown"
}

// NumDrops is one more than the largest Drop: the length of an array indexed by Drop.
const NumDrops = int(numDrops)

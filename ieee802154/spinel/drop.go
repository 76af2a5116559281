package spinel

// A Drop says why bytes from the dongle, or a frame among them, were discarded. The reasons
// of [border-router/ieee802154.Drop] come on top.
type Drop uint8

// The reasons.
const (
	DropGarbage   Drop = iota + 1 // bytes that are no HDLC frame
	DropTooLong                   // more than MaxFrame bytes without a flag
	DropFCS                       // HDLC checksum wrong
	DropHeader                    // not a Spinel header, or of another interface
	DropTruncated                 // input ends inside a value
	DropMACLength                 // MAC frame without FCS, or longer than the air carries
	DropBadFCS                    // the dongle says that the MAC frame was damaged
	DropEcho                      // the dongle gave back what it sent
	DropQueueFull                 // too many frames wait for Receive
	DropTID                       // answer to a request that nobody waits for
	DropCommand                   // command or property that means nothing from a dongle
	numDrops
)

var dropText = [numDrops]string{
	DropGarbage:   "hdlc_garbage",
	DropTooLong:   "hdlc_too_long",
	DropFCS:       "hdlc_fcs",
	DropHeader:    "spinel_header",
	DropTruncated: "spinel_truncated",
	DropMACLength: "mac_length",
	DropBadFCS:    "fcs",
	DropEcho:      "echo",
	DropQueueFull: "rx_queue_full",
	DropTID:       "spinel_tid",
	DropCommand:   "spinel_command",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if d < numDrops && dropText[d] != "" {
		return dropText[d]
	}
	return "unknown"
}

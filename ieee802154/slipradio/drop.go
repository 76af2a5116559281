package slipradio

// A Drop says why a frame of the line was discarded. Its text is the metric label. Returning
// one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropEscape    Drop = iota + 1 // ESC followed by neither of the bytes that may follow it
	DropOversize                  // longer than MaxFrame
	DropCommand                   // neither an answer that is known nor of the length it must have
	DropCRC                       // CRC-16 wrong (serialradio)
	DropCBOR                      // malformed CBOR (serialradio)
	DropMACLength                 // MAC frame longer than the PHY can carry
	DropQueueFull                 // Receive is not called often enough
	numDrops
)

var dropText = [numDrops]string{
	DropEscape:    "slip_escape",
	DropOversize:  "slip_oversize",
	DropCommand:   "slip_command",
	DropCRC:       "serialradio_crc",
	DropCBOR:      "serialradio_cbor",
	DropMACLength: "slip_mac_length",
	DropQueueFull: "receive_queue_full",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if d < numDrops && dropText[d] != "" {
		return dropText[d]
	}
	return "slip_unknown"
}

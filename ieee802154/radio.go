package ieee802154

// RSSIUnknown is the RSSI of a frame whose radio reports none.
const RSSIUnknown = 127

// An RxFrame is one received frame.
type RxFrame struct {
	Data    []byte // without FCS; a Radio appends to Data[:0], whose capacity is at least MaxFrame
	RSSI    int8   // dBm; RSSIUnknown when not known
	LQI     uint8  // 0 worst, 255 best
	Channel uint8
}

// A TxFrame is one frame to send.
type TxFrame struct {
	Data     []byte // without FCS; the caller's, and read until Transmit returns
	Indirect bool   // it answers a data request: send it once, whoever asked is asleep soon
	More     bool   // the next frame of the batch continues the same datagram: it is skipped when this one fails
	Status   TxStatus
	Attempts uint8 // how often it was on the air
	Pending  bool  // its acknowledgment said that frames wait for us
}

// A TxStatus says what became of a TxFrame.
type TxStatus uint8

// The transmit states.
const (
	TxPending     TxStatus = iota // not sent yet
	TxSent                        // sent; no acknowledgment was requested, or the peer never sends any
	TxAcked                       // sent and acknowledged
	TxNoAck                       // no acknowledgment after every retry
	TxChannelBusy                 // CSMA-CA gave up
	TxSkipped                     // not sent: an earlier frame of the same datagram failed
	TxTooLong                     // not sent: longer than MaxFrame with its FCS, or not a MAC frame
	TxClosed                      // not sent: the radio is closed
	numTxStatus
)

var txStatusText = [numTxStatus]string{"pending", "sent", "acked", "no_ack", "channel_busy", "skipped", "too_long", "closed"}

// String returns the state as a metric label.
func (s TxStatus) String() string {
	if s < numTxStatus {
		return txStatusText[s]
	}
	return "unknown"
}

// OK reports whether the frame is believed to have arrived.
func (s TxStatus) OK() bool { return s == TxSent || s == TxAcked }

// A Radio sends and receives MAC frames. It filters addresses, acknowledges, retries and
// rejects duplicates by itself, in hardware or with a [MAC]. Receive and Transmit may run
// at the same time, each called by one goroutine at a time.
type Radio interface {
	// Receive blocks for at least one frame and fills batch from the start. It returns
	// net.ErrClosed after Close.
	Receive(batch []RxFrame) (int, error)
	// Transmit sends in order and blocks until each frame has its Status. Its error is
	// that of the radio as a whole, never that of a frame.
	Transmit(batch []TxFrame) error
	// Close wakes both and waits for the radio's goroutines.
	Close() error
}

// A TapFunc sees every frame that a radio receives or sends, acknowledgments included and
// before any filter. frame has no FCS and is valid during the call. A radio may call it
// from several goroutines at once; it must neither block nor call the radio.
type TapFunc func(tx bool, frame []byte, channel uint8, rssi int8, lqi uint8)

// Stats are the counters of one radio. At rest Received = Delivered + Consumed + Forwarded
// + the sum of Drops.
type Stats struct {
	Received  uint64 // frames and other datagrams taken from the medium
	Delivered uint64 // frames handed to Receive
	Consumed  uint64 // acknowledgments to us, and messages of the radio's own protocol
	Forwarded uint64 // frames that only passed through (a ZEP hub)

	AcksSent    uint64
	Sent        uint64 // frames that ended as TxSent
	Acked       uint64 // frames that ended as TxAcked
	NoAck       uint64 // frames that ended as TxNoAck
	ChannelBusy uint64
	Skipped     uint64
	TooLong     uint64
	Attempts    uint64 // times on the air, retries included

	Drops []DropCount // reasons that occurred
}

// A DropCount is one reason and how often it occurred.
type DropCount struct {
	Reason string
	Count  uint64
}

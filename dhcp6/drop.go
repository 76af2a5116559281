package dhcp6

// A Drop says why a DHCPv6 message was discarded. Its text is the metric label. Returning
// one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated    Drop = iota + 1 // message shorter than its header
	DropTooLong                      // message longer than MaxMessage
	DropOptions                      // option beyond the end of the message or of its parent, or too short for its code
	DropTooMany                      // more options than a message may have
	DropType                         // message type that this side does not take
	DropNoClientID                   // no Client Identifier where one must be
	DropClientID                     // Client Identifier of another, or not allowed in this message
	DropNoServerID                   // no Server Identifier where one must be
	DropServerID                     // Server Identifier of another, or not allowed in this message
	DropTransaction                  // answer to nothing that was asked
	DropRapidCommit                  // Reply to a Solicit without Rapid Commit, or not asked for
	DropNothing                      // Advertise without address and prefix
	DropStatus                       // the server failed (UnspecFail) or wants what is done already (UseMulticast)
	DropUnwanted                     // options in a message that must not have them, or none where some must be
	DropReconfigure                  // Reconfigure that was not agreed on, or asks for something unknown
	DropAuth                         // Reconfigure with no or a wrong authentication
	DropReplay                       // Reconfigure that was seen before
	DropUnicast                      // sent by unicast to a server or relay that is to be reached by multicast
	DropMulticast                    // sent by multicast to a client
	DropLink                         // the link of the client is not known, or not served here
	DropHopCount                     // relayed through too many relays
	DropRelayMessage                 // relay message without a message inside
	DropInterface                    // Relay-reply for another interface
	DropSource                       // source address that cannot be answered
	DropStopped                      // the machine is not running
	DropBusy                         // too many answers wait to be sent
	numDrops
)

// NumDrops is one more than the largest Drop: the length of an array indexed by it.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropTruncated:    "dhcp6_truncated",
	DropTooLong:      "dhcp6_too_long",
	DropOptions:      "dhcp6_options",
	DropTooMany:      "dhcp6_too_many",
	DropType:         "dhcp6_type",
	DropNoClientID:   "dhcp6_no_client_id",
	DropClientID:     "dhcp6_client_id",
	DropNoServerID:   "dhcp6_no_server_id",
	DropServerID:     "dhcp6_server_id",
	DropTransaction:  "dhcp6_transaction",
	DropRapidCommit:  "dhcp6_rapid_commit",
	DropNothing:      "dhcp6_nothing",
	DropStatus:       "dhcp6_status",
	DropUnwanted:     "dhcp6_unwanted",
	DropReconfigure:  "dhcp6_reconfigure",
	DropAuth:         "dhcp6_auth",
	DropReplay:       "dhcp6_replay",
	DropUnicast:      "dhcp6_unicast",
	DropMulticast:    "dhcp6_multicast",
	DropLink:         "dhcp6_link",
	DropHopCount:     "dhcp6_hop_count",
	DropRelayMessage: "dhcp6_relay_message",
	DropInterface:    "dhcp6_interface",
	DropSource:       "dhcp6_source",
	DropStopped:      "dhcp6_stopped",
	DropBusy:         "dhcp6_busy",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "dhcp6_unknown"
}

package nd

// A Drop says why a Neighbor Discovery message, or a packet waiting for address
// resolution, was discarded. Its text is the metric label. Returning one allocates
// nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated    Drop = iota + 1 // message shorter than its fixed part
	DropHopLimit                     // hop limit not 255 (RFC 4861 sections 6.1 and 7.1)
	DropCode                         // code not 0
	DropType                         // message type that this side does not take
	DropOptions                      // option of length 0, or beyond the end of the message
	DropSource                       // source address not allowed in this message
	DropDestination                  // destination address not allowed in this message
	DropTarget                       // target or registered address is not a unicast address
	DropSourceOption                 // source link-layer address option with an unspecified source
	DropRegistration                 // address registration option malformed or with a status
	DropNotOnLink                    // address outside the prefixes of the link
	DropNotOurs                      // solicitation for an address that is not answered here
	DropUnsolicited                  // advertisement nobody asked for
	DropConflict                     // claims an address that is registered by, or belongs to, another
	DropRedirect                     // redirects are not followed in a mesh
	DropRateLimit                    // too many solicitations
	DropTableFull                    // no room in the neighbor table
	DropUnreachable                  // neighbor did not answer
	DropResolveLimit                 // too many address resolutions at once
	DropQueueFull                    // pushed out of the queue of a neighbor by a newer packet
	DropNoRouter                     // no default router
	DropStopped                      // the machine is not running
	numDrops
)

// NumDrops is one more than the largest Drop: the length of an array indexed by it.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropTruncated:    "nd_truncated",
	DropHopLimit:     "nd_hop_limit",
	DropCode:         "nd_code",
	DropType:         "nd_type",
	DropOptions:      "nd_options",
	DropSource:       "nd_source",
	DropDestination:  "nd_destination",
	DropTarget:       "nd_target",
	DropSourceOption: "nd_source_option",
	DropRegistration: "nd_registration",
	DropNotOnLink:    "nd_not_on_link",
	DropNotOurs:      "nd_not_ours",
	DropUnsolicited:  "nd_unsolicited",
	DropConflict:     "nd_conflict",
	DropRedirect:     "nd_redirect",
	DropRateLimit:    "nd_rate_limit",
	DropTableFull:    "nd_table_full",
	DropUnreachable:  "nd_unreachable",
	DropResolveLimit: "nd_resolve_limit",
	DropQueueFull:    "nd_queue_full",
	DropNoRouter:     "nd_no_router",
	DropStopped:      "nd_stopped",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "nd_unknown"
}

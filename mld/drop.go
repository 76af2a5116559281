package mld

// A Drop says why an MLD message, or a record of one, was discarded, or why a group was
// not taken. Its text is the metric label. Returning one allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated   Drop = iota + 1 // message ends inside its fixed part or a record
	DropHopLimit                    // hop limit not 1
	DropSource                      // source neither link-local nor, where allowed, unspecified
	DropRouterAlert                 // no Router Alert option
	DropLength                      // query of 25 to 27 bytes: no version has it
	DropType                        // message type that this side does not take
	DropGroup                       // not a group that MLD is spoken about
	DropRecord                      // record type unknown
	DropSSM                         // EXCLUDE mode or MLDv1 for a source-specific group
	DropTableFull                   // no room for another group
	DropShare                       // one node has as many groups as it may have
	DropSourceLimit                 // no room for another source in the group
	DropOwn                         // our own message came back
	DropStopped                     // the machine is not running
	numDrops
)

// NumDrops is one more than the largest Drop: the length of an array indexed by it.
const NumDrops = int(numDrops)

var dropText = [numDrops]string{
	DropTruncated:   "mld_truncated",
	DropHopLimit:    "mld_hop_limit",
	DropSource:      "mld_source",
	DropRouterAlert: "mld_router_alert",
	DropLength:      "mld_length",
	DropType:        "mld_type",
	DropGroup:       "mld_group",
	DropRecord:      "mld_record",
	DropSSM:         "mld_ssm",
	DropTableFull:   "mld_table_full",
	DropShare:       "mld_share",
	DropSourceLimit: "mld_source_limit",
	DropOwn:         "mld_own",
	DropStopped:     "mld_stopped",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "mld_unknown"
}

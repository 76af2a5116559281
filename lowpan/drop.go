package lowpan

// A Drop says why a frame or datagram was discarded. Its text is the metric label.
// Returning one allocates nothing.
type Drop uint8

// The reasons of the header codecs.
const (
	DropTruncated      Drop = iota + 1 // input ends inside a header
	DropDispatch                       // unassigned or unexpected dispatch
	DropNALP                           // dispatch 00xxxxxx: not a LoWPAN frame (RFC 4944 section 5.1)
	DropESC                            // dispatch 40: extension byte (RFC 6282 section 5, RFC 8066)
	DropHC1                            // dispatch 42: LOWPAN_HC1, deprecated by RFC 6282
	DropDFF                            // dispatch 43: LOWPAN_DFF (RFC 6971)
	DropBC0                            // dispatch 50: broadcast header without a mesh header before it
	DropMesh                           // dispatch 10xxxxxx: mesh addressing, not for us to forward
	Drop6LoRH                          // dispatch 10xxxxxx in page 1: routing header not accepted (RFC 8138)
	DropSourceRoute                    // source routing header: for a router of RPL (RFC 8138 section 5)
	DropRoot                           // header that refers to the root of an RPL instance, and there is none (RFC 8138 section 7)
	DropPaging                         // dispatch 1111xxxx: page that nobody has asked for (RFC 8025)
	DropRFRAG                          // recoverable fragment that came where it cannot be answered: by broadcast, or through a mesh (RFC 8931)
	DropReserved                       // reserved IPHC address mode or NHC extension header id
	DropContext                        // context identifier without a context
	DropLinkAddr                       // address elided, but the frame has no link-layer address to derive it from
	DropNHC                            // unknown NHC id
	DropExtHeader                      // extension header cannot be restored: bad length or alignment
	DropExtHeaderLimit                 // extension header longer than the limit
	DropNesting                        // more headers in a datagram than the limit
	DropLength                         // headers or payload contradict the length of the datagram
	DropChecksum                       // elided UDP checksum that cannot be restored
	DropTooLong                        // datagram longer than the buffer for it
	DropVersion                        // uncompressed datagram is not IPv6
	DropGHC                            // RFC 7400 code runs out of its input, its window or its limit

	// The reasons of fragmentation and reassembly (RFC 4944 section 5.3).
	DropFragment          // fragment header, offset or length malformed
	DropFragmentDuplicate // fragment that is already there
	DropFragmentOverlap   // fragments of one datagram that contradict each other
	DropReassemblyTimeout // datagram did not complete in time
	DropReassemblySource  // oldest datagram of a source that has too many unfinished ones
	DropReassemblyLimit   // oldest datagram of all, for want of room

	// The reasons of recoverable fragments (RFC 8931).
	DropRecoveryReset   // datagram given up by its sender
	DropRecoveryUnknown // acknowledgment of no datagram under way
	DropRecoveryRefused // datagram given up by its receiver
	DropRecoveryRetries // fragment that did not arrive in any attempt
	DropRecoveryTimeout // acknowledgment that did not arrive in any attempt

	// The reasons of the adaptation layer on receive.
	DropMAC          // MAC header malformed
	DropFrameType    // MAC frame without data for us: beacon, ACK, command
	DropSecurity     // secured frame where we have no key, or secured in a way we do not know
	DropPAN          // destination PAN is not ours
	DropDestination  // destination address is not ours
	DropSource       // no usable source address
	DropBC0Duplicate // broadcast that was here before (RFC 4944 section 11.1)

	// The reasons of MAC security on receive.
	DropSecurityLevel   // frame not secured, or not well enough
	DropSecurityKey     // key identifier that is not ours
	DropSecuritySource  // short source address of a device whose EUI-64 is not known
	DropSecurityDevices // device that is not remembered yet, and no room for it
	DropMIC             // message integrity code wrong
	DropReplay          // frame counter that was used before

	// The reasons of the adaptation layer on transmit.
	DropNoLinkAddr  // no link-layer destination, or one of another kind of link
	DropQueueFull   // oldest of a full neighbour queue
	DropQueueTotal  // oldest of the longest queue, the interface being full
	DropQueueDelay  // waited too long
	DropNoAck       // neighbour did not acknowledge
	DropChannelBusy // channel never clear
	DropRadio       // radio closed, or refused the frame
	DropCounter     // every frame counter of the key is used
	DropIndirect    // neighbour that sleeps did not ask for it in time

	numDrops // new reasons go before this line
)

var dropText = [numDrops]string{
	DropTruncated: "truncated",
	DropDispatch:  "dispatch",
	DropNALP:      "dispatch_nalp",
	DropESC:       "dispatch_esc",
	DropHC1:       "dispatch_hc1",
	DropDFF:       "dispatch_dff",
	DropBC0:       "dispatch_bc0",
	DropMesh:      "dispatch_mesh",
	Drop6LoRH:     "dispatch_6lorh",
	DropPaging:    "dispatch_paging",

	DropSourceRoute: "6lorh_source_route",
	DropRoot:        "6lorh_root",

	DropRFRAG:     "dispatch_rfrag",
	DropReserved:  "iphc_reserved",
	DropContext:   "iphc_context",
	DropLinkAddr:  "iphc_link_address",
	DropNHC:       "nhc_unknown",
	DropExtHeader: "nhc_extension_header",
	DropNesting:   "nhc_nesting",

	DropExtHeaderLimit: "nhc_extension_header_limit",

	DropLength:   "datagram_length",
	DropChecksum: "nhc_checksum",
	DropTooLong:  "datagram_too_long",
	DropVersion:  "not_ipv6",
	DropGHC:      "ghc_malformed",

	DropFragment:          "fragment_malformed",
	DropFragmentDuplicate: "fragment_duplicate",
	DropFragmentOverlap:   "fragment_overlap",
	DropReassemblyTimeout: "reassembly_timeout",
	DropReassemblySource:  "reassembly_source_limit",
	DropReassemblyLimit:   "reassembly_limit",
	DropRecoveryReset:     "rfrag_reset",
	DropRecoveryUnknown:   "rfrag_ack_unknown",
	DropRecoveryRefused:   "rfrag_refused",
	DropRecoveryRetries:   "rfrag_retries",
	DropRecoveryTimeout:   "rfrag_timeout",
	DropMAC:               "mac_malformed",
	DropFrameType:         "mac_frame_type",
	DropSecurity:          "mac_security",
	DropPAN:               "mac_pan",
	DropDestination:       "mac_destination",
	DropSource:            "mac_source",
	DropBC0Duplicate:      "bc0_duplicate",
	DropNoLinkAddr:        "no_link_address",
	DropQueueFull:         "queue_full",
	DropQueueTotal:        "queue_total",
	DropQueueDelay:        "queue_delay",
	DropNoAck:             "no_ack",
	DropChannelBusy:       "channel_busy",
	DropRadio:             "radio",
	DropCounter:           "frame_counter",
	DropIndirect:          "indirect_expired",

	DropSecurityLevel:   "mac_security_level",
	DropSecurityKey:     "mac_security_key",
	DropSecuritySource:  "mac_security_source",
	DropSecurityDevices: "mac_security_devices",
	DropMIC:             "mac_mic",
	DropReplay:          "mac_replay",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "lowpan_unknown"
}

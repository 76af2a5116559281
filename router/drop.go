package router

// A Drop says why the router discarded a packet. Its text is the metric label; returning
// one allocates nothing. Reasons of other layers (ipv6, nd, lowpan) are counted under
// their own text beside these.
type Drop uint8

// The reasons of this package.
const (
	DropNoRoute          Drop = iota + 1 // no route to the destination
	DropProhibited                       // the route says unreachable
	DropHopLimit                         // hop limit exceeded in transit
	DropTooBig                           // longer than the MTU of the link it should leave by
	DropScope                            // a link-local address may not leave its link
	DropIngress                          // source address does not belong behind the port it came in by
	DropMartian                          // source or destination address that cannot be on a wire
	DropLoop                             // would leave by the port it came in by
	DropNotForwarding                    // not for us, and we are a host
	DropNotMember                        // multicast group that nobody here has joined
	DropMulticastForward                 // multicast of larger scope with no listener behind another port
	DropNoListener                       // for an address of ours that no service listens on
	DropNoND                             // neighbor discovery on a port that has none
	DropNoHost                           // for an address of ours while the host port is not there
	DropFiltered                         // a rule of the packet filter says so
	DropTransit                          // from an uplink to somewhere that is no mesh of ours
	DropDuplicate                        // multicast that has come before, by another way
	DropMulticastRate                    // more multicast than the link is given
	DropRoutingHeader                    // a routing header that does not pass a border
	DropLinkMulticast                    // not for us, and came in a frame to a group of stations
	DropNotDesignated                    // multicast that another router to the link forwards
	DropFragmentedND                     // neighbor discovery in fragments (RFC 6980 section 5)
	numDrops
)

var dropText = [numDrops]string{
	DropNoRoute:          "no_route",
	DropProhibited:       "unreachable_route",
	DropHopLimit:         "hop_limit_exceeded",
	DropTooBig:           "packet_too_big",
	DropScope:            "beyond_scope",
	DropIngress:          "ingress_filter",
	DropMartian:          "martian",
	DropLoop:             "out_of_input_port",
	DropNotForwarding:    "not_forwarding",
	DropNotMember:        "multicast_not_member",
	DropMulticastForward: "multicast_no_listener",
	DropNoListener:       "no_listener",
	DropNoND:             "nd_not_spoken_here",
	DropNoHost:           "no_host_port",
	DropFiltered:         "filtered",
	DropTransit:          "no_transit",
	DropDuplicate:        "multicast_duplicate",
	DropMulticastRate:    "multicast_rate",
	DropRoutingHeader:    "routing_header",
	DropLinkMulticast:    "link_multicast",
	DropNotDesignated:    "multicast_not_designated",
	DropFragmentedND:     "nd_fragmented",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "router_unknown"
}

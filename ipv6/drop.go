package ipv6

// A Drop says why a packet was discarded. Its text is the metric label. Returning one
// allocates nothing.
type Drop uint8

// The reasons of this package.
const (
	DropTruncated         Drop = iota + 1 // input ends inside a header
	DropVersion                           // not IPv6
	DropChecksum                          // transport checksum wrong
	DropExtHeader                         // extension-header chain malformed or too long
	DropICMP                              // ICMPv6 message malformed
	DropOption                            // option malformed or not acceptable
	DropFragment                          // fragment malformed, overlapping or too large
	DropReassemblyTimeout                 // fragments did not complete in time
	DropReassemblyLimit                   // no room for another reassembly
	DropDuplicate                         // fragment that is here already
	numDrops
)

var dropText = [numDrops]string{
	DropTruncated:         "truncated",
	DropVersion:           "not_ipv6",
	DropChecksum:          "checksum",
	DropExtHeader:         "extension_header",
	DropICMP:              "icmp_malformed",
	DropOption:            "option_malformed",
	DropFragment:          "ip_fragment_malformed",
	DropReassemblyTimeout: "ip_reassembly_timeout",
	DropReassemblyLimit:   "ip_reassembly_limit",
	DropDuplicate:         "ip_fragment_duplicate",
}

// Error returns the reason as a metric label.
func (d Drop) Error() string {
	if int(d) < len(dropText) && dropText[d] != "" {
		return dropText[d]
	}
	return "ipv6_unknown"
}

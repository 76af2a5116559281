// Package capture shows the traffic of a running router to Wireshark: the IEEE 802.15.4
// frames of each radio with channel, signal strength and link quality, and the IPv6
// packets of each port, as pcapng.
//
// A [Bus] is given to whoever sees the traffic as functions to call ([Bus.Frames],
// [Bus.Packets]) and fans out to any number of readers ([Bus.Subscribe]). While nobody
// reads, a call costs one atomic load. A reader has room for a bounded number of packets;
// one that is too slow loses packets, which are counted and shown in the file (option
// epb_dropcount), and holds up nobody. Packets are encoded straight into the reader's
// buffer, and what has gathered there goes out in one Write of whole blocks, so that
// "| wireshark -k -i -" is live.
//
// The frames carry a correct FCS, which is added here: radios hand over frames without.
//
// It leaves out reading of pcapng and filters by content, which Wireshark does better. The
// writer is its own since the usual libraries allocate for each packet and its options.
//
// Formats: draft-ietf-opsawg-pcapng (section header, interface description, enhanced
// packet, interface statistics), LINKTYPE_IEEE802_15_4_TAP (283) and LINKTYPE_IPV6 (229).
package capture

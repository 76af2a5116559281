// Package decode turns captures of IEEE 802.15.4 frames into what they carry, and IPv6
// packets into frames: the commands decode and encode, without the command line.
//
// A [Decoder] reads pcap, pcapng, lines of JSON or of bare hexadecimal, tells which by the
// first bytes, and writes one result for each packet or line, in their order: JSON, a tree
// of every layer, or pcapng of the IPv6 packets. Lines of JSON stand each for themselves,
// with contexts and keys of their own; the frames of a capture, or of lines of hexadecimal,
// are one stream, in which fragments find each other by PAN, source and destination.
//
// It decodes link types 195, 215, 230 and 283, and ZEP in UDP over IPv4 and IPv6 in link
// types 0, 1, 101, 108, 113, 228, 229 and 276. The layers below IPv6 are those of packages
// [border-router/ieee802154], [border-router/zep] and [border-router/lowpan], so that what a
// capture shows is what the router would have made of it. Fields are named as Wireshark's
// display filters name them: IPv6 and its extension headers, UDP, ICMPv6, neighbor
// discovery (RFC 4861, 4191, 6775, 8106, 8505, 8781, 8910), MLD (RFC 2710, 3810), RPL (RFC
// 6550, 6551, 6553, 6554), DHCPv6 (RFC 8415 and the options that Wireshark knows). Their
// values are in the form of tshark's JSON, remarks such as icmpv6.unknown_data.expert among
// them, and a name that comes again is a list in the order of its tree.
//
// Memory is bounded: a line has at most 1 MiB, a packet 256 KiB, and unfinished datagrams
// are limited as in [lowpan.Limits].
//
// Source routes of RFC 8138 are restored: a capture is not of one node. What is elided for the
// root of the RPL instance comes from [Options] or the line.
//
// It leaves out retransmissions (each copy of a frame is decoded), replay protection, and
// IP fragments below ZEP, which is never fragmented.
package decode

// Package ipv6 holds what every part of the router says about IPv6: checked views of
// packets, link-layer addresses, extension headers, ICMPv6 messages, UDP, checksums,
// scopes, and the reassembly of packets to ourselves.
//
// A [Packet] is checked once, by [Parse]; no function here panics on what a peer sends,
// and none allocates for a packet, drops included. Functions that build packets append to
// a slice of the caller.
//
// It leaves out what needs tables or timers of its own: neighbor discovery, multicast
// listeners, forwarding, path MTU discovery for our own packets (the host stack keeps
// that; [PacketTooBig] reads the message). Routing headers are only walked over; Mobile
// IPv6, IPsec and jumbograms are not implemented, their headers are upper layers here.
//
// RFC 8200 (IPv6), RFC 4443 (ICMPv6), RFC 4291, 4007, 4193 and 7346 (addresses and
// scopes), RFC 5095 (no type 0 routing header), RFC 5722, 6946, 7112 and 8504 (fragments
// and limits on extension headers), RFC 8883 (codes for such limits), RFC 3168 section
// 5.3 (ECN of fragments), RFC 1071 (checksum), RFC 768 (UDP), RFC 8201 (path MTU).
package ipv6

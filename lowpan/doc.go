// Package lowpan is the 6LoWPAN adaptation layer: IPv6 datagrams of up to 1280 bytes over
// IEEE 802.15.4 frames of 127.
//
// # Header codecs
//
// [Contexts] restores and encodes datagrams. Every mode of LOWPAN_IPHC is there both ways,
// with 16 contexts of any prefix length, and LOWPAN_NHC for UDP, all extension headers and
// tunnelled IPv6. The encoder is exhaustive: no other choice of modes and contexts gives
// fewer bytes, except that an address inside a tunnel is elided only where the two readings
// of RFC 6282 that are in the field restore the same. What cannot be restored to the byte is
// sent as it is: a UDP length that contradicts the packet, padding that is not zero, a
// reserved byte that is set.
//
// A chain of compressed headers is limited to 16, with 4 IPv6 headers among them; a frame
// beyond that, or with a reserved or unknown encoding, is dropped for a [Drop] of its own.
//
// Generic Header Compression of UDP, ICMPv6 and extension headers is used where
// [CompressOptions] asks for it and accepted where [Contexts] says so.
//
// Behind the routing headers of RFC 8138, [Contexts.DecompressRouted] restores the packet that
// they stand for: tunnels in tunnels, RPL options and, for a router of RPL alone, source routes.
// [CompressOptions].RoutingHeaders is the other direction, and as far as it goes exact to the
// byte.
//
// # Adaptation
//
// [FragHeader] and [Reassembler] cut and join datagrams, [RFrag] and [RFragAck] are what they
// are cut into for neighbours that recover lost fragments ([RecoveryConfig]), [Interface] puts codecs, fragments
// and MAC frames together between a radio and the router, [Pump] moves frames between the
// goroutine of a radio and the loop. Neighbours have their turns, and in what one of them is
// sent each host that sends to it has its share.
//
// # Neighbours that sleep
//
// What is for a neighbour whose receiver is off stays in its queue until it sends a data
// request, one frame for each (IEEE 802.15.4 indirect transmission), with any radio; those
// that listen are not held up. [Interface] learns who sleeps, or is told by
// [Interface.SetSleep], and is itself the coordinator of the PAN: it answers beacon requests
// and refuses associations. As a device it can sleep ([InterfaceConfig].Sleep). Broadcasts
// are not kept: those who sleep through one miss it, and no node of RFC 6775 needs any. A
// device that polls with one of its addresses fetches by that what waits for the other, short
// or extended, where it is known that both are its own ([Interface.SetSame]).
//
// # Security
//
// With a [Security], frames are secured and verified as IEEE 802.15.4 says (2006 and 2015
// frames, levels 1 to 7, key identifier modes 0 to 3): a key for all, and keys of single
// devices; frame counters that only go up, of ours and of each device and key. Left out:
// frames of TSCH, which have no frame counter; key exchange; and exempting any frame, such
// as those of a device that joins, from the level that is demanded.
//
// # Left out
//
// LOWPAN_HC1 and HC2 (RFC 4944 section 10), which RFC 6282 replaced; mesh-under forwarding,
// of which only the headers are decoded; LOWPAN_DFF; forwarding of single fragments (RFC
// 8930, RFC 8931 section 6.1), for datagrams are forwarded whole. Frames with them are
// classified by [Classify] and counted. Of RFC 8138: a compression reference by configuration
// (section 5.4), forwarding by popping entries (section 5.5), and bitmaps of BIER.
//
// # RFCs
//
//   - RFC 4944: transmission of IPv6 packets over IEEE 802.15.4, updated by
//     RFC 6282 (IPHC, NHC), RFC 6775 section 5.4 (life of contexts), RFC 8025 (paging),
//     RFC 8066 (ESC)
//   - RFC 3306, RFC 3956: multicast addresses that hold a prefix
//   - RFC 7400: Generic Header Compression
//   - RFC 8138: routing headers of 6LoWPAN (6LoRH), with RFC 9008
//   - RFC 8931: selective fragment recovery
package lowpan

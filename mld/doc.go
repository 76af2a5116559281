// Package mld is Multicast Listener Discovery, as plain machines: no goroutine, clock or
// socket.
//
// A [Listener] is the host's side of a link, for the groups that we ourselves listen to. A
// [Querier] is the router's side: it asks, unless another router does, and keeps what the
// listeners of the link want, by group and source, and who they are as long as they are few.
// A [Proxy] has the listener of one link listen to what the queriers of other links heard.
//
// # Choices
//
//   - Times are those of RFC 9777, whose Multicast Address Listening Interval is longer by
//     one Query Response Interval than that of RFC 3810.
//   - The Robustness Variable of another router is adopted from the querier, not from a
//     router that is about to yield to us.
//   - While a group is being asked for, a second leave does not start the count anew; and
//     specific queries are limited in rate. In both cases the group lives longer, never
//     shorter.
//   - Where there is no room for a source, it is forwarded rather than blocked in EXCLUDE
//     mode; in INCLUDE mode it is not.
//   - A querier without General Queries, for meshes in which most nodes sleep, asks for a
//     group only before it would be forgotten.
//   - The unspecified source is legal in reports and is sent while the address is tentative;
//     routers discard it, as RFC 9777 section 5.2.14 demands.
//
// # Left out
//
// Membership by means other than MLD is [Querier.AddStatic]; nothing is learnt from data.
// Lightweight MLDv2 (RFC 5790), multicast router discovery (RFC 4286) and extensions (RFC
// 9279) are not implemented; their bits are ignored.
//
// RFCs: 2710 (MLDv1), 2711 (Router Alert), 3590 (source addresses), 3810 and 9777 (MLDv2),
// 4604 and 4607 (source-specific multicast), 4605 (proxy), 4007 and 7346 (scopes).
package mld

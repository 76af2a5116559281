// Package router is the IPv6 core of the border router: ports, the forwarding table,
// delivery to ourselves, the ICMPv6 errors that forwarding calls for, and the loop that
// owns all of it.
//
// A [Router] is a plain value with no goroutine, lock or clock: [Router.Input] takes a
// packet and the time, [Router.Deadline] says when [Router.Advance] has something to do.
// A [Loop] is the one goroutine that drives it in a running program; the simulator drives
// it in virtual time instead.
//
// It covers:
//
//   - forwarding by longest-prefix match, with hop limit, scope and MTU rules
//     (RFC 8200, RFC 4007, RFC 4291), also out of the port a packet came in by where that
//     is a mesh;
//   - ICMPv6 errors, echo, and rate limits (RFC 4443);
//   - ingress filtering (RFC 2827): a mesh port accepts its own prefix and link-local
//     sources, the host port none of the mesh's;
//   - reassembly of packets to ourselves (RFC 8200 section 4.5);
//   - counters: each packet that comes in is delivered, forwarded, consumed, held or
//     dropped for one reason, and counted once.
//
// It leaves out neighbor discovery, which belongs to package nd and is attached to a port
// with [Link.SetNeighbors], and multicast forwarding, for which it has no listeners yet:
// packets to groups of larger than link scope are dropped with a reason, unless the host
// port has joined the group.
package router

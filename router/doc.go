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
//   - multicast forwarding by what listener discovery knows: scope zones (RFC 4007,
//     RFC 7346), duplicates, a rate for each mesh, unicasts where the listeners are few;
//   - ingress filtering (RFC 2827): a mesh port accepts its own prefix and link-local
//     sources, the host port and a LAN none of the mesh's; what comes from a LAN must go
//     to a mesh or to us (RFC 6092);
//   - a packet filter: rules on ports, addresses, protocols, port numbers and ICMPv6
//     types, counted ([Router.SetRules]);
//   - the clamping of TCP's maximum segment size (RFC 4459 section 3.2), where wanted;
//   - reassembly of packets to ourselves (RFC 8200 section 4.5);
//   - counters: each packet that comes in is delivered, forwarded, consumed, held or
//     dropped for one reason, and counted once. A multicast packet is forwarded once,
//     however many ports took it.
//
// It leaves out neighbor discovery, multicast listener discovery and DHCPv6, which belong
// to packages nd, mld and dhcp6 and are attached with [Link.SetNeighbors],
// [Link.SetMulticast] and [Router.HandleUDP]. The filter keeps no state of connections.
package router

// Package hoststack is an IPv6 host in user space: UDP, TCP and ICMPv6 echo over gVisor's
// netstack, with the shape of a router's port. It needs no privilege and nothing of the
// kernel, so the router's own services and simulated devices run on it anywhere.
//
// It covers: own addresses and multicast groups, source address selection (RFC 6724),
// net.PacketConn, net.Conn and net.Listener for services, answers to echo requests, port
// unreachable and TCP reset for what nobody listens on, reassembly, path MTU for TCP.
//
// Neighbor discovery, multicast listener discovery and RPL belong to the router's core,
// which knows link addresses and registrations. ICMPv6 types 130 to 137, 143, 155, 157 and
// 158 therefore neither enter nor leave the stack; it does no duplicate address detection
// and solicits nothing.
//
// Packets that the stack emits are collected in one bounded batch at a time and posted to
// the loop; a full batch drops and counts. A stack costs about 50 KiB when idle and never
// forwards: for that it would be far too slow.
//
// It leaves out: IPv4, raw sockets, and path MTU for UDP: with the default MTU of 1280
// bytes there is none to find; with a larger one UDP datagrams are fragmented to that MTU.
//
// RFC 8200, RFC 4443, RFC 6724, RFC 768, RFC 9293.
package hoststack

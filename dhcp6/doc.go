// Package dhcp6 is DHCPv6 (RFC 8415, RFC 9915) as plain machines: no goroutine, clock or
// socket. The messages are those of github.com/insomniacslk/dhcp, behind a decoder that
// bounds what a peer may send; the state machines are this package's.
//
// A [Client] is the side towards the uplink: stateless configuration, addresses (IA_NA)
// and delegated prefixes (IA_PD) in one exchange, kept over restarts through a [Record].
// [Subnets] cuts what was delegated into one /64 for each port. A [Server] is the side
// towards the mesh: configuration, addresses with a bounded table of bindings, for clients
// on the link and behind relays. A [Relay] forwards to servers elsewhere instead.
//
// The owner has the sockets: it gives each machine what arrives on UDP port 546 (client)
// or 547 (server, relay) and a [Sender] for what goes out.
//
// # RFC 8415 and RFC 9915
//
// RFC 9915 drops the Server Unicast option, the UseMulticast status and temporary
// addresses. The client never sends by unicast and asks for none of them; a UseMulticast
// status is counted and the next retransmission, multicast as the one before, is the
// answer to it. The server refuses by UseMulticast what reaches it by unicast without a
// relay, which is what clients of RFC 8415 understand, and ignores IA_TA.
//
// # Left out
//
// Temporary addresses (IA_TA), delegation of prefixes by the server, leasequery, DHCPv4
// over DHCPv6, authentication other than the reconfigure key protocol, and Reconfigure
// sent by the server.
//
// RFCs: 3646 (DNS), 4075 (SNTP), 5908 (NTP), 6355 (DUID-UUID), 6603 (prefix exclude), 6939
// (link-layer address of a relay's clients), 7283 (relaying unknown messages), 8357 (relay
// source port), 8415, 9915.
package dhcp6

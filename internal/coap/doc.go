// Package coap is a CoAP server for devices over any [net.PacketConn].
//
// Messages and options are those of github.com/plgd-dev/go-coap/v3. The message layer, the
// block-wise transfers and the observers are a machine of this package: one goroutine
// serves every peer, each table has a maximum, and a timer runs only while something is
// pending. The server of go-coap keys the reassembly of uploads by token (clients that take
// a new token for each block lose all blocks but the last), keeps every response for four
// minutes, runs three goroutines a peer and closes a peer at its first malformed datagram.
//
// Covered: RFC 7252 (message layer with duplicate detection and reset, critical options,
// conditional requests, ETag validation), RFC 6690 (/.well-known/core with filters), RFC
// 7641 (observation, with confirmable notifications in between), RFC 7959 (Block1 and
// Block2, Size1 and Size2, both together), RFC 9175 section 3 (Request-Tag), RFC 7967
// (No-Response). Requests to a group are answered at leisure and without errors (RFC 7252
// section 8.2) where the connection tells the destination, as that of internal/hoststack.
//
// Left out: the client side (use go-coap's), proxying (5.05), OSCORE, DTLS, TCP, Q-Block,
// the methods of RFC 8132 (4.05).
package coap

// Package node is a device of a mesh: a 6LoWPAN host that joins over any radio, answers
// ping and serves CoAP, in user space and without privilege.
//
// [Device] is the machine: adaptation layer, router in host role and neighbor discovery,
// without goroutine, socket or clock, so that the same device runs against a real radio and
// in the virtual time of the simulator. [Run] puts it on a radio, gives it a TCP/IP stack
// (internal/hoststack) and a CoAP server (internal/coap) on port 5683, and takes its
// registrations back when it ends.
//
// It listens to the groups of all CoAP nodes, or to others, and tells routers by MLDv2.
//
// A device is a host of RFC 6775 and RFC 8505, or, as Classic, one of RFC 4861 that behaves
// as lwIP does. It never forwards.
//
// Left out: routing (RPL), short-address assignment, sleepy operation.
//
// RFC 4944, RFC 6282, RFC 6775, RFC 8505, RFC 4861, RFC 4862, RFC 7252, RFC 9777.
package node

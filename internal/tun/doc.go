// Package tun joins the router to the Linux kernel's IPv6 through a TUN device: packets
// that the kernel routes to the interface are read from it, packets written to it enter
// the kernel as if they had been received. The kernel then owns the uplink, its neighbor
// discovery and the sockets of every local service.
//
// It covers: opening the device and taking over a persistent one; MTU, own addresses
// (without duplicate address detection and without an on-link prefix) and routes by
// rtnetlink, set only where they are missing and removed again by [Device.Close]; keeping
// the kernel's own router solicitations, autoconfiguration and link-local address off the
// interface; a reader that takes many packets for each wake-up and hands them over in
// pooled batches; errors that name the fix; [Device.Check] for the settings of the machine
// that a router needs and that are nobody's fault until a packet is missing.
//
// A device that an administrator has set up completely (persistent, owner, address, route,
// MTU, up) is used as it is, without a privilege.
//
// It leaves out: segmentation offload (IFF_VNET_HDR), several queues, IPv4, and operating
// systems other than Linux, where [Open] returns [ErrUnsupported].
//
// RFC 8200 (IPv6), RFC 4291 (addresses), RFC 4862 section 5.5 (what is switched off on the
// interface).
package tun

// Package nd is IPv6 Neighbor Discovery, of a mesh and of an Ethernet link, as plain
// machines: no goroutine, clock or socket.
//
// A [Router] is the side of the border router. It answers router solicitations, keeps the
// registrations of RFC 6775 and RFC 8505 nodes, resolves and watches neighbors of RFC 4861,
// defends addresses, answers the duplicate address requests of 6LoWPAN routers, and tells
// what changes through [Events]. A [Host] is the side of a device: of RFC 6775 with ARO or
// EARO, or of RFC 4861 as lwIP behaves.
//
// # Both kinds of host on one link
//
// RFC 6775 section 5.4 has a 6LoWPAN announce its prefix with A=1 L=0, and has hosts ignore
// an option (that option only) in which L is set. Hosts of RFC 4861 such as older lwIP form
// an address only where A and L are set, and stop soliciting at the first answer, whatever
// it brought. So an RA always begins with A=1 L=0, and a second option with A=1 L=1 follows
// for a node that shows itself to be a host of RFC 4861: it solicits or checks for
// duplicates from "::" before it has an address, solicits again without having used the
// answer, or has not used the prefix three seconds after it (the router then advertises
// again of its own accord). A node that has registered never sees the second option.
// [RouterConfig.OnLink] forces either way. Hosts of RFC 4861 never ask again, so each is
// sent a unicast RA before the lifetime of its router or prefix is over, as long as it
// answers probes.
//
// Registration is the source of truth: what is learnt from solicitations or data never
// changes it, and neither a neighbor that does not answer nor a missing MAC acknowledgement
// ends it before its lifetime, since nodes sleep. MAC acknowledgements are no reachability
// confirmation in the sense of RFC 4861 section 7.3.1; a missing one has a learnt neighbor
// probed earlier.
//
// # Ethernet
//
// A [LAN] is both sides of the link to the uplink: a neighbor cache with the whole state
// machine of RFC 4861 and RFC 7048, bounded so that neither a scan nor a flood pushes out a
// router or a neighbor that has answered lately (RFC 6583); our addresses, checked with the
// nonce of RFC 7527, stable and opaque (RFC 7217), announced to the routers (RFC 9131);
// default routers and routes with preferences (RFC 4191), of which the best is told; what
// else an RA says. As a router it advertises the routes to the meshes, deprecates and
// withdraws what is announced no more, over a restart too (RFC 9096), and offers a prefix
// where nobody advertises a usable one, by the rules of draft-ietf-snac-simple: it goes
// when a router with a usable prefix comes, of two stub routers the lower prefix stays, and
// it comes back when no router that answers has advertised one for ten minutes. With a
// [Proxy] it answers for addresses of the mesh inside the link's own prefix, and checks a
// new one for duplicates on the link first (RFC 4389, RFC 8929): a registration is tentative
// until then, and the Router answers the node when it is over. With a [Registrar] what is said
// of a registered address carries its EARO, by which a node that goes to another backbone
// router is told from a duplicate. The state Stale of RFC 8929 section 9.3 is not kept:
// where an address whose registration has run out is asked for, [Router.Seek] asks the mesh
// before anything is answered, and it is defended against nobody.
//
// With [LANConfig.RouterOnly] the interface is the kernel's: addresses and packets are not
// touched, only the router side and the proxy work.
//
// Addresses of our own are not used optimistically (RFC 4429 section 3.1 is for hosts that
// move); optimistic neighbors, whose solicitations have no link-layer address, are
// answered.
//
// # Left out
//
// Address Protected ND (RFC 8928), Secure ND (RFC 3971; the nonce is accepted), redirects in
// a mesh (counted and dropped; a LAN sends them, and follows them where it does not route),
// primary and secondary backbone routers (RFC 8929 section 3.5), temporary addresses (RFC
// 8981), and a Router that is itself a 6LR and sends DARs.
//
// RFCs: 4191 (route information), 4389 (proxy), 4861, 4862, 4944 section 8 (link-layer address options),
// 6085 (multicast in a unicast frame), 6583 (scans), 6775, 6980 (no fragments), 7048
// (unreachable neighbors), 7217 (stable addresses), 7400 section 3.3 (6CIO), 7527 (looped
// links), 7559 (router solicitations), 8106 (DNS), 8505, 8781 (PREF64), 8910 (captive
// portal), 8929 (proxy), 9096 (renumbering), 9131 (gratuitous advertisements), 2710 and 3590
// (MLDv1 reports of a classic host).
package nd

// Package ethernet joins the router to an Ethernet link as a station of its own: by a
// packet socket on an interface of the kernel, or by a TAP interface that stands in a
// bridge. Nothing of the kernel's own IPv6 is touched.
//
// It covers: an own MAC address beside that of the interface, or the interface's; Ethernet
// headers, and the multicast addresses of RFC 2464; a BPF program in the kernel, so that
// only what the router needs wakes it; recvmmsg and sendmmsg; the kernel's offloads
// (checksums that nobody has filled in yet, TCP segments that were merged: both undone);
// and the life of the interface, which may be absent, come late, go down, lose its cable,
// be renamed, or be replaced by another of the same name: all of it is waited for and
// reported, none of it ends the port.
//
// A flood is not to push out what is forwarded. Therefore three queues lead from the kernel
// to the loop: of what goes to others than ourselves, of neighbor discovery, and of what goes
// to our own addresses ([Port.SetOwnAddresses]), link-local ones and groups. A program in the
// kernel tells them apart (PACKET_FANOUT); each has its own room, its own reader and its own
// drop reason. Of the last one 20,000 frames a second are taken for longer, the rest waits in
// the kernel and is lost there, which costs next to nothing. Towards the interface what we
// say ourselves has half of the queue. A TAP has one queue, and so may a port have with a
// kernel before 4.12: its reader discards what exceeds that rate.
//
// With [Config.Control] the port shares the interface and its address with the kernel and
// hears only control traffic: router discovery, MLD and multicast of larger scope. So a
// router whose uplink is a TUN speaks for itself on the LAN beside the kernel.
//
// It leaves out: neighbor discovery, which is nd's; VLAN tags (name the VLAN's interface
// instead); IPv4; segmentation on sending; operating systems other than Linux, where
// [Open] returns [ErrUnsupported]. The machine's own kernel and a port with an own MAC
// address on one of its interfaces do not hear each other, as with macvlan: what is sent
// goes to the wire. A bridge with a TAP does not have this limit.
//
// RFC 2464 (IPv6 over Ethernet), RFC 1112 section 6.4 by way of RFC 2464 section 7.
package ethernet

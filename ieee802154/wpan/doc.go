// Package wpan is a radio of the Linux kernel (mac802154) as an [ieee802154.Radio]: whole MAC
// frames through a packet socket on an interface such as wpan0, which is set up over
// nl802154.
//
// The kernel and the hardware do CSMA-CA, acknowledgments, retries and the FCS. A packet
// socket tells neither what became of a frame nor how strong it was: a frame that the kernel
// took ends as ieee802154.TxSent, and RSSI is ieee802154.RSSIUnknown. Frames for others and
// duplicates are dropped here.
//
// An interface that is not there yet is waited for. One that goes away is set up as it was
// when it is back, with its extended address where it comes back as another device: the nodes
// know that. A kernel without IEEE 802.15.4 is an error at once. Short addresses, own and of
// others, come and go as in any frame.
//
// The kernel's own 6LoWPAN must not run on the interface: two routers would answer.
//
// [Monitor] hears what the kernel keeps from a node: for a scan.
//
// Left out: creating interfaces, the kernel's own link layer security
// (lowpan secures frames above), TX power and CCA, which `iwpan` sets.
package wpan

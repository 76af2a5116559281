// Package zep carries IEEE 802.15.4 frames in UDP, in the ZigBee Encapsulation Protocol
// (ZEP) versions 1 and 2, and is an [ieee802154.Radio] over it.
//
// A [Radio] is one of three things:
//
//   - a hub, as RIOT calls a dispatcher: other nodes send their frames to it, and it gives
//     each frame to those that would hear it on the air: same channel, same PAN, and for a
//     unicast frame only the owner of the address. The router is one member of its own hub.
//   - a client of a hub;
//   - a station on a broadcast or multicast address, or one end of a pair of unicast
//     addresses, which is how lwIP uses ZEP.
//
// The radio answers acknowledgments in its reader goroutines, retries, paces by air time
// and drops duplicates through [ieee802154.MAC]. On Linux it moves batches of datagrams with
// recvmmsg and sendmmsg.
//
// It accepts both versions, either CRC mode, and channel 0 for "whatever channel you use".
// It sends version 2, type 1, CRC mode 1 with a real FCS and the true channel: the form that
// every known implementation accepts.
//
// There is no medium to sense in UDP, and so no CSMA-CA: a frame goes out when the air time
// of the one before is over.
//
// It leaves out ZEP acknowledgments (type 2 is read and ignored: nobody answers them) and
// time synchronisation by the time stamps.
//
// References: Wireshark's ZEP dissector, which is the protocol's only public description;
// IEEE Std 802.15.4-2015 for the frames.
package zep

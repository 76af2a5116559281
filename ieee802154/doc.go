// Package ieee802154 reads and writes IEEE 802.15.4 MAC frames, declares what a radio is,
// and holds the software MAC that radios without one share.
//
// It covers the frame versions of 2003, 2006 and 2015: data, acknowledgment, command and
// beacon frames in every addressing mode, PAN ID compression as in IEEE Std 802.15.4-2015
// table 7-2, suppressed sequence numbers, information elements, the auxiliary security
// header, and the frame check sequence. [MAC] filters addresses, builds acknowledgments,
// rejects duplicates, retries, learns which peers never acknowledge, and says in the
// acknowledgment of a data request whether frames wait for its sender.
//
// [CSMA] is the unslotted CSMA-CA algorithm for radios that leave it to the host; without a
// medium to assess, as over UDP, there is nothing for it to do. [Coordinator] answers beacon
// and association requests and notes conflicts of PAN identifiers, on top of any radio;
// [Poller] is the side of a device that sleeps and fetches its frames by data requests.
// [AppendBeaconRequest] and [PANDescriptor] are what an active scan sends and hears.
//
// [Cipher] opens and seals secured frames: AES-CCM* of levels 1 to 7 with the nonces of 2006
// and 2015, and, given the absolute slot number, those of TSCH.
//
// It leaves out the multipurpose, fragment and extended frame types of 2015, the security
// of 2003 (which has no auxiliary header), and the 4-byte FCS of the UWB and SUN PHYs. Keys,
// frame counters and what level is demanded are the caller's: package lowpan has them.
// Acknowledgments are neither secured nor verified: an Imm-Ack cannot be, and [MAC] sends
// no others. It acknowledges a frame before anybody has verified it, as hardware does.
// Beacon-enabled PANs, guaranteed time slots, enhanced beacons on request, and giving out
// short addresses by association are left out: nodes are configured with channel and PAN.
//
// Addresses and PAN identifiers are numbers in printed order; on the air they are
// little-endian. Frames are handled without their FCS unless a name says otherwise.
//
// References: IEEE Std 802.15.4-2003, -2006, -2015 (section numbers are those of 2015);
// RFC 4944 section 3 for the use by 6LoWPAN.
package ieee802154

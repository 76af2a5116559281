// Package ieee802154 reads and writes IEEE 802.15.4 MAC frames, declares what a radio is,
// and holds the software MAC that radios without one share.
//
// It covers the frame versions of 2003, 2006 and 2015: data, acknowledgment, command and
// beacon frames in every addressing mode, PAN ID compression as in IEEE Std 802.15.4-2015
// table 7-2, suppressed sequence numbers, information elements, the auxiliary security
// header, and the frame check sequence. [MAC] filters addresses, builds acknowledgments,
// rejects duplicates, retries, and learns which peers never acknowledge.
//
// It leaves out the multipurpose, fragment and extended frame types of 2015, the security
// of 2003 (which has no auxiliary header), the 4-byte FCS of the UWB and SUN PHYs, and
// encryption itself: a secured frame is taken apart into header, payload and MIC.
//
// Addresses and PAN identifiers are numbers in printed order; on the air they are
// little-endian. Frames are handled without their FCS unless a name says otherwise.
//
// References: IEEE Std 802.15.4-2003, -2006, -2015 (section numbers are those of 2015);
// RFC 4944 section 3 for the use by 6LoWPAN.
package ieee802154

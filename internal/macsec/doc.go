// Package macsec joins the frame security of a [lowpan.Interface] to what outlives the
// process: it reserves frame counters ahead, so that no life of a device uses one that
// another may have used, and keeps the counters of the devices that were heard, so that
// their old frames are not taken again after a restart.
//
// It leaves out the security itself, which is that of packages lowpan and ieee802154.
//
// What a kill loses: up to [lowpan.CounterStep] counters of ours, which are skipped; and
// what was heard since the counters of devices were kept last, at most [KeepInterval] ago.
// Frames of that time could be repeated, once. A clean end loses nothing.
//
// References: IEEE Std 802.15.4-2006 section 7.5.8, -2015 section 9.4.
package macsec

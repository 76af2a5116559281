// Package discover finds the radios of a machine, says what they are, and scans with them.
//
// [System.Ports] lists the serial ports that a dongle may be behind, [System.Holders] says
// which process has one open, and [Prober.Probe] asks a port that nobody has open what
// firmware is on it: OpenThread's RCP (Spinel), Contiki-NG's slip-radio, that of 6LBR, or
// serialradio, at each usual rate. [Prober.Describe] opens the radio of a URL and tells what
// it says of itself. [Finder] takes the one radio there is, and waits for it. [Scan] measures
// each channel and asks for beacons (IEEE Std 802.15.4-2015 sections 6.3.1.1 and 6.3.1.2).
//
// A port is never opened, let alone written to, while another process is seen to have it
// open: by its descriptors, by a lock of the port, by a lock file. Processes of other users
// are seen by root only; against those, TIOCEXCL and the lock help where that program sets
// them. Not probed either, unless named, is the console of the kernel.
//
// It does not drive radios: that is what the packages below ieee802154 do.
package discover

// Package spinel drives an OpenThread RCP dongle as a plain IEEE 802.15.4 radio: Spinel over
// HDLC-lite on a serial port or TCP, in raw MAC mode. Nothing of Thread is needed.
//
//	spinel:///dev/serial/by-id/usb-Nordic_...-if00?baud=460800&channel=26&pan=0x0023
//	spinel+tcp://host:port
//
// [Open] gives a [Radio] that stays, whatever becomes of the dongle: one that is not there,
// is pulled out, falls silent, restarts behind its port or forgets its state is opened
// again, started as a whole and set as it was. Receive and Transmit wait meanwhile, and what
// was being sent is sent again within its lifetime. OnState, the counters and the log tell.
//
// The dongle answers with acknowledgments by itself, and filters addresses. Back-off and
// retries are done here where its RADIO_CAPS have none. Duplicates are rejected by source and
// sequence number. Frames that are secured go out as they are: the dongle's own security
// stays unused.
//
// Left out: networks and several interfaces of one dongle (the interface is 0), transmission
// at a given time, Thread's link metrics, the bootloader.
//
// Written from draft-rquattle-spinel-unified and OpenThread's sources; HDLC after RFC 1662.
package spinel

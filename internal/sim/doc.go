// Package sim is the simulator: a border router with devices, all in one process.
//
// [Run] is the product: the real router in `user` mode and devices of internal/node, joined
// by a ZEP hub on loopback that loses, delays and repeats frames as told ([Impairment]).
// Wireshark sees all of it, and foreign nodes may join.
//
// [World] is the same in virtual time and without sockets: a discrete-event engine in which
// the plain machines of router, nd, lowpan and ieee802154 run on one goroutine, thousands of
// times as fast as real time, the same run for the same seed. [World.Check] asserts that
// every frame and packet is accounted for and that no table outgrows its bound.
//
// Left out: positions and propagation (everybody hears everybody), collisions (they are
// part of the loss), several channels, routing over several hops.
package sim

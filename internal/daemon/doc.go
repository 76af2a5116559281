// Package daemon assembles a running border router from a configuration.
//
// It covers opening the radios and the uplink, giving each radio its adaptation layer and
// its neighbor discovery, restoring what was kept over a restart (prefix, link-layer
// address, registrations, peers of a ZEP hub, frame counters), and serving the management
// socket ([api.Backend]).
//
// It leaves out every protocol: those live in packages lowpan, nd, router and below, on
// one [router.Loop]. What this package adds are the observers of them: the state store,
// the capture bus and the management interface. It implements no RFC by itself; how the
// parts are joined follows RFC 6775 (the router is the 6LBR of each mesh) and RFC 4193
// (the prefix that is generated where none is configured).
package daemon

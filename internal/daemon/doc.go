// Package daemon assembles a running border router from a configuration: it opens the
// radios and the uplink, gives each radio its adaptation layer and its neighbor
// discovery, restores what was kept, and serves the management socket.
//
// It holds no protocol of its own. Everything that it wires together lives on one
// [router.Loop]; what it adds are the observers: the state store, the capture bus and the
// management interface.
package daemon

// Package config turns a TOML file and command-line flags into typed settings, once, at
// the start. What comes after works with netip, time.Duration and the types of this
// package, never with text.
//
// It covers the settings of a router ([Config]), with defaults, the commented reference
// file ([Reference]), one flag for each key ([NewFlags]), precedence default < file <
// flag, and errors that name the place, the key, the value and what is expected; those of
// a device ([Node]) and of the simulator ([Sim]), which have flags only; and the default
// places of the socket and the state.
//
// It leaves out opening anything: whether a device exists or an address is free shows
// when the router starts.
//
// Terms and bounds are those of RFC 4861, RFC 6775, RFC 8106, RFC 4944 and RFC 4443.
package config

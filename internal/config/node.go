package config

import (
	"net/netip"
	"time"
)

// A Node is what a device (border-router node) can be told.
type Node struct {
	Name   string // in logs and at /.well-known/core; empty: made from the EUI-64
	Radio  Radio
	ND     NDMode
	EUI64  EUI64         // 0: that of the radio's URL, or made up
	Short  ShortAddr     // 0: that of the radio's URL, or none
	Life   time.Duration // registration lifetime (RFC 6775), whole minutes
	Poll   time.Duration // between data requests of a device that sleeps; 0: its receiver is on
	GHC    bool          // RFC 7400, towards a router that announces it
	Join   []netip.Addr  // multicast groups to listen to
	Socket string        // accepted as everywhere; a device serves no management
	Log    Log

	Security Security
	// StateDir keeps the frame counter of a device with a key and a fixed EUI-64: after a
	// restart it must not use one again. Empty: nothing is kept.
	StateDir string
}

// DefaultNode returns the defaults of a device.
func DefaultNode() *Node {
	return &Node{
		Radio: "zep://?channel=26&pan=0x0023&mode=client",
		ND:    ND6775,
		Life:  15 * time.Minute,
		Join:  []netip.Addr{netip.MustParseAddr("ff02::fd"), netip.MustParseAddr("ff03::fd"), netip.MustParseAddr("ff05::fd")}, // RFC 7252 section 12.8
		Log:   Log{Level: LevelInfo, Format: FormatText},

		Security: DefaultSecurity(),
	}
}

// A Sim is what the simulator (border-router sim) can be told.
type Sim struct {
	// Router configures the router. Its Radios and Uplink are set by the simulator: one
	// radio on the medium, and the user-space stack.
	Router  *Config
	Nodes   int           // simulated devices, Classic included
	Classic int           // how many of them, the first ones, speak plain RFC 4861
	Sleepy  int           // how many of them, the last ones, sleep
	Poll    time.Duration // between data requests of those
	Loss    Percent       // frames lost, each way and hop
	Delay   time.Duration // added to each frame beside its air time
	Seed    uint64        // of everything random; 0: a new one each time
	ZEP     string        // host:port where the medium is open to Wireshark and foreign nodes; no host: 127.0.0.1 and ::1; empty: not open
	Speed   float64       // 1: real time, over sockets; other: virtual time, so many times as fast
	For     time.Duration // ends after this long; 0: when interrupted
	Plain   bool          // lines instead of a live table, whatever stdout is
}

// DefaultSim returns the defaults of the simulator.
func DefaultSim() *Sim {
	c := Default()
	c.Uplink = Uplink{Kind: UplinkUser}
	c.StateDir = NoState
	return &Sim{Router: c, Nodes: 5, Poll: 5 * time.Second, Seed: 1, ZEP: ":17754", Speed: 1}
}

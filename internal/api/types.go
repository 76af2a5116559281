package api

import (
	"net/netip"
	"time"
)

// A Status is the answer to GET /v1/status.
type Status struct {
	Version  string   `json:"version"`
	State    string   `json:"state"`            // "running", or "waiting for a radio" that is to be found
	Reason   string   `json:"reason,omitempty"` // why it waits
	PID      int      `json:"pid"`
	Uptime   float64  `json:"uptime_s"`
	StateDir string   `json:"state_dir"` // empty: nothing is kept
	Prefixes []Prefix `json:"prefixes"`
	Uplink   Uplink   `json:"uplink"`
	Ports    []Port   `json:"ports"`

	Registrations int    `json:"registrations"` // addresses registered, all ports
	Neighbors     int    `json:"neighbors"`     // neighbor entries, all ports
	Routes        int    `json:"routes"`
	ICMPSent      uint64 `json:"icmp_errors_sent"`
	ICMPLimited   uint64 `json:"icmp_errors_limited"` // not sent because of the rate limit

	LAN    *LAN    `json:"lan,omitempty"`
	Filter *Filter `json:"filter,omitempty"` // none: everything passes

	Memory Memory `json:"memory"`
}

// A Prefix is one that a mesh port advertises.
type Prefix struct {
	Port   string       `json:"port"`
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"` // "configured" or "generated"
}

// Uplink is the host port.
type Uplink struct {
	URL       string       `json:"url"`
	State     string       `json:"state"` // "up" or "down"
	Addresses []netip.Addr `json:"addresses"`
	Groups    []netip.Addr `json:"groups,omitempty"` // that programs on this machine listen to on a TUN
}

// Memory says what the process holds.
type Memory struct {
	HeapBytes  uint64 `json:"heap_bytes"`
	TotalBytes uint64 `json:"total_bytes"` // obtained from the operating system
	Goroutines int    `json:"goroutines"`
	GCCycles   uint64 `json:"gc_cycles"`
}

// A Port is one port of the router with its counters. For each, at rest,
// received = delivered + forwarded + consumed + held + dropped. What a layer below has
// discarded before it became a packet (a frame with a wrong FCS, a fragment of a datagram
// that never completed) is in received, in dropped and in Drops as well, so that these
// three tell of everything that came in and was not used; Lowpan and Radio have it again,
// layer by layer.
type Port struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"` // "mesh", "lan" or "host"
	MTU       int          `json:"mtu"`
	LinkAddr  string       `json:"lladdr,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
	Prefix    netip.Prefix `json:"prefix,omitzero"`

	Counters
	Drops map[string]uint64 `json:"drops"` // by reason; adds up to Dropped

	Lowpan   *Layer `json:"lowpan,omitempty"` // the adaptation layer of a mesh port
	Radio    *Radio `json:"radio,omitempty"`
	Host     *Layer `json:"host,omitempty"`     // the kernel's or the user-space end of the host port
	Ethernet *Layer `json:"ethernet,omitempty"` // the interface of a LAN port
}

// AddDrop counts n frames that a layer below discarded for a reason.
func (p *Port) AddDrop(reason string, n uint64) {
	if p.Drops == nil {
		p.Drops = make(map[string]uint64)
	}
	p.Drops[reason] += n
	p.Received += n
	p.Dropped += n
}

// Counters count the IPv6 packets of a port, and the frames that were discarded before
// they became one.
type Counters struct {
	Received   uint64 `json:"received"`
	Delivered  uint64 `json:"delivered"`  // to the host port
	Forwarded  uint64 `json:"forwarded"`  // to another port, or out of this one again
	Consumed   uint64 `json:"consumed"`   // by the router itself, such as neighbor discovery
	Held       uint64 `json:"held"`       // waiting right now, for an address or for fragments
	Dropped    uint64 `json:"dropped"`    // sum of the drops
	Sent       uint64 `json:"sent"`       // out of this port, whoever made them
	Originated uint64 `json:"originated"` // of those, made by the router itself

	// SendFailures: made by the router itself and refused by the port.
	SendFailures uint64 `json:"send_failures"`

	ReceivedBytes uint64 `json:"received_bytes"`
	SentBytes     uint64 `json:"sent_bytes"`
}

// A Layer holds the counters of a layer below the port, under the names of that layer.
type Layer struct {
	Counters map[string]uint64 `json:"counters"`
	Drops    map[string]uint64 `json:"drops"`
}

// A Radio is the radio of a mesh port.
type Radio struct {
	URL     string   `json:"url"`
	State   string   `json:"state"`           // "up" or "down"
	Error   string   `json:"error,omitempty"` // why it is down
	Channel uint8    `json:"channel"`
	PAN     string   `json:"pan"`   // "0x0023"
	EUI64   string   `json:"eui64"` // with colons
	Short   string   `json:"short,omitempty"`
	Local   []string `json:"local,omitempty"` // host:port that a ZEP radio listens on
	Peers   int      `json:"peers"`           // of a hub

	PANConflict *Conflict `json:"pan_conflict,omitempty"` // that goes on; none: nobody else uses our PAN

	Firmware string `json:"firmware,omitempty"` // its version, where the radio tells

	Since    *time.Time `json:"since,omitempty"` // of the state; none: since the start
	Outages  uint64     `json:"outages"`         // times that the radio went away, this time included; an alert can watch it
	Downtime float64    `json:"downtime_s"`      // seconds that it was away in all
	Last     *Outage    `json:"last_outage,omitempty"`

	// Of a radio that was to be found, and is found anew once it is gone.
	Replacements uint64    `json:"replacements"`       // times that another one took its place; an alert can watch it
	Replaced     *Replaced `json:"replaced,omitempty"` // the last time
	Waiting      string    `json:"waiting,omitempty"`  // it is gone: why no other one is taken
	Layer
}

// An Outage is a time for which a radio was away that had been there.
type Outage struct {
	Since   time.Time `json:"since"`
	Seconds float64   `json:"seconds"` // so far, while it lasts
	Reason  string    `json:"reason"`  // what it went away of
}

// A Replaced is a radio whose place another one has taken.
type Replaced struct {
	URL string    `json:"url"`
	At  time.Time `json:"at"`
}

// A Conflict says that another coordinator within reach uses our PAN identifier.
type Conflict struct {
	LinkAddr string    `json:"lladdr"` // of the coordinator, or of the device that told of it
	Told     bool      `json:"told"`   // by a device; else its beacon was heard
	Since    time.Time `json:"since"`
}

// Sleep is what is known of a node that sleeps, and fetches what waits for it.
type Sleep struct {
	Configured bool     `json:"configured"`  // by lowpan.sleep; else its data requests were heard
	LastPoll   *float64 `json:"last_poll_s"` // seconds since its last data request; null: none was heard
	Interval   float64  `json:"interval_s"`  // the longest time between two of late; 0: not known
	Waiting    int      `json:"waiting"`     // datagrams that wait for it
}

// A Neighbor is one entry of the answer to GET /v1/neighbors.
type Neighbor struct {
	Port         string     `json:"port"`
	Addr         netip.Addr `json:"addr"`
	LinkAddr     string     `json:"lladdr"` // empty while it is not known
	State        string     `json:"state"`  // "registered" or, until the node is told so, "tentative" (RFC 6775), or of RFC 4861 section 7.3.2: "incomplete", "reachable", "stale", "delay", "probe", "unreachable"
	Registered   bool       `json:"registered"`
	Lifetime     float64    `json:"lifetime_s"`     // left of the registration; 0 where there is none
	RSSI         *int       `json:"rssi_dbm"`       // of the last frame; null where the radio does not say
	LQI          *int       `json:"lqi"`            // of the last frame; null where nothing was heard
	LastHeard    *float64   `json:"last_heard_s"`   // seconds ago; null: never since the start
	ROVR         string     `json:"rovr,omitempty"` // owner of the registration (RFC 8505)
	TID          *uint8     `json:"tid,omitempty"`
	Router       bool       `json:"router"`
	Classic      bool       `json:"classic"`       // behaves as a host of RFC 4861
	LinkFailures int        `json:"link_failures"` // unicast frames in a row without acknowledgment
	Held         int        `json:"held"`          // packets that wait for its link-layer address
	Sleep        *Sleep     `json:"sleep"`         // null where it does not sleep, as far as is known
}

// A Route is one entry of the answer to GET /v1/routes.
type Route struct {
	Prefix  netip.Prefix `json:"prefix"`
	Port    string       `json:"port"`
	NextHop netip.Addr   `json:"next_hop,omitzero"` // none: on the link
	Kind    string       `json:"kind"`              // as the FIB calls it, such as "connected", "local", "static", "unreachable"
	Metric  int          `json:"metric"`
}

// A PingRequest is the body of POST /v1/ping.
type PingRequest struct {
	Addr     netip.Addr `json:"addr"`            // with a zone (the port's name) where it is link-local
	Source   netip.Addr `json:"source,omitzero"` // none: the router chooses
	Count    int        `json:"count"`           // 0: until the request ends
	Size     int        `json:"size"`            // data bytes
	Interval Seconds    `json:"interval_s"`      // from request to request
	Timeout  Seconds    `json:"timeout_s"`       // for one answer
	HopLimit int        `json:"hoplimit"`        // 0: 64
}

// A PingReply is one line of the answer to POST /v1/ping. A line with Sent says that the
// request Seq has left. Exactly one line without Sent comes for each request, except for
// duplicates and for requests whose outcome the end of the ping overtakes; it comes without
// a line before it where the request could not leave.
type PingReply struct {
	Seq      int        `json:"seq"`
	Sent     bool       `json:"sent,omitempty"`
	From     netip.Addr `json:"from,omitzero"`
	Bytes    int        `json:"bytes,omitempty"` // of the ICMPv6 message that came back
	HopLimit int        `json:"hop_limit,omitempty"`
	RTT      float64    `json:"rtt_us,omitempty"`
	Dup      bool       `json:"dup,omitempty"`
	Error    string     `json:"error,omitempty"` // "timeout", or what came back instead: see [ICMPErrorText]
	Type     uint8      `json:"icmp_type,omitempty"`
	Code     uint8      `json:"icmp_code,omitempty"`
}

// A CaptureRequest is the query of GET /v1/capture.
type CaptureRequest struct {
	Ports []string // names; none: all
	Radio bool     // only the 802.15.4 frames; with IP unset and Radio unset: both
	IP    bool     // only the IPv6 packets
}

// A Config is the answer to GET /v1/config.
type Config struct {
	TOML   string         `json:"toml"`   // as `border-router config` prints it
	Values map[string]any `json:"values"` // the same as tables
}

// A Version is the answer to GET /v1/version.
type Version struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // "linux/amd64"
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	API      int    `json:"api"` // 1
}

// Seconds is a duration that JSON carries as a number of seconds.
type Seconds float64

// Duration converts s, to the nanosecond.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// SecondsOf converts d.
func SecondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }

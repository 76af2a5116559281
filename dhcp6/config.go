package dhcp6

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"
)

// UDP ports and multicast groups (RFC 8415 sections 7.1 and 7.2).
const (
	ClientPort = 546 // where clients listen
	ServerPort = 547 // where servers and relays listen
)

// The multicast groups.
var (
	AllServersAndRelays = netip.MustParseAddr("ff02::1:2") // All_DHCP_Relay_Agents_and_Servers, on the link
	AllServers          = netip.MustParseAddr("ff05::1:3") // All_DHCP_Servers, in the site
)

// A Sender sends UDP payloads for a machine. The owner chooses the source: a link-local
// address of the link for a client, and for a server or relay that answers on the link;
// its port is [ClientPort] for a client and [ServerPort] for the others. payload is valid
// during the call. What cannot be sent is lost, as any datagram.
type Sender interface {
	SendUDP(now time.Time, dst netip.AddrPort, payload []byte)
}

// A Mode is what a client asks for. The owner derives it from its configuration and from
// the M and O flags of router advertisements.
type Mode struct {
	Addresses   bool // IA_NA
	Prefixes    bool // IA_PD
	Information bool // configuration alone, where neither of the others is set
}

func (m Mode) stateful() bool { return m.Addresses || m.Prefixes }

// ClientEvents is what a [Client] tells its owner. The calls come from within the methods
// of the Client and may call back into it.
type ClientEvents interface {
	// LeaseChanged: l is what there is now, in place of what was told before. It is called
	// when something comes, is extended, is withdrawn, runs out, or ends to be preferred.
	LeaseChanged(now time.Time, l Lease)
}

// ClientConfig configures a [Client]. DUID is required; the zero value of every other
// field means the default given.
type ClientConfig struct {
	DUID DUID   // of this device, kept over restarts
	IAID uint32 // of the IA_NA and the IA_PD, kept over restarts (RFC 8415 section 12)

	// Hint is the prefix wanted: its length, and its bits where they are not all zero.
	// Invalid: no hint.
	Hint netip.Prefix
	// RapidCommit takes what the first server gives in two messages instead of four.
	RapidCommit bool
	// ReconfigureAccept agrees that the server may have us renew, authenticated by the
	// reconfigure key protocol (RFC 8415 section 20.4).
	ReconfigureAccept bool

	Rand   *rand.Rand   // jitter and transaction ids; nil: seeded from crypto/rand
	Logger *slog.Logger // nil discards
	Name   string       // of the link, for the log
}

// Messages counts messages by type; the index is the type on the wire, 0 any other type.
type Messages [14]uint64

func (m *Messages) count(typ uint8) {
	if int(typ) >= len(m) {
		typ = 0
	}
	m[typ]++
}

// ClientStats counts what a [Client] did. All values only grow.
type ClientStats struct {
	Received       Messages // that were taken
	Sent           Messages
	Dropped        [NumDrops]uint64
	Leases         uint64 // Replies that gave addresses or prefixes
	Failures       uint64 // acquisitions that ended without
	Expired        uint64 // addresses and prefixes that ran out
	UseMulticast   uint64 // statuses UseMulticast
	InvalidLeases  uint64 // addresses, prefixes or IAs that a server sent and that cannot be
	RateLimited    uint64 // transmissions put off
	Reconfigures   uint64 // Reconfigure messages obeyed
	NoAddresses    uint64 // statuses NoAddrsAvail
	NoPrefixes     uint64 // statuses NoPrefixAvail
	NoBindings     uint64 // statuses NoBinding
	NotOnLink      uint64 // statuses NotOnLink
	ServerFailures uint64 // statuses UnspecFail
}

package dhcp6

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// RelayConfig configures a [Relay].
type RelayConfig struct {
	// LinkAddr is an address of the link of the clients, by which servers know the link:
	// of the mesh prefix. The zero Addr: servers go by InterfaceID alone.
	LinkAddr netip.Addr
	// InterfaceID tells this relay's links apart; servers return it. At most 64 bytes; nil:
	// none, which is enough for one link with a LinkAddr.
	InterfaceID []byte
	// Servers are where messages go, each to each of them, at most 8. Without a port it is
	// [ServerPort]. Default: the group of all servers, ff05::1:3.
	Servers []netip.AddrPort
	// LinkLayer returns the link-layer address, and its hardware type, that a client's
	// message with this source came from: servers are told (RFC 6939). At most 16 bytes;
	// ok is false where it is not known. nil: never.
	LinkLayer func(peer netip.Addr) (hardware uint16, addr []byte, ok bool)
}

// RelayStats counts what a [Relay] did. All values only grow.
type RelayStats struct {
	Forwarded uint64 // messages of clients and other relays sent on; once, however many servers
	Returned  uint64 // answers sent on
	Dropped   [NumDrops]uint64
}

// A Relay carries messages between the clients of a link and servers elsewhere (RFC 8415
// section 19). It keeps nothing about them.
type Relay struct {
	cfg      RelayConfig
	down, up Sender
	stats    RelayStats
}

// NewRelay returns the relay of one link: down sends to the link, up to the servers.
func NewRelay(cfg RelayConfig, down, up Sender) *Relay {
	cfg.Servers = slices.Clone(cfg.Servers)
	if len(cfg.Servers) > maxServers {
		cfg.Servers = cfg.Servers[:maxServers]
	}
	if len(cfg.Servers) == 0 {
		cfg.Servers = []netip.AddrPort{netip.AddrPortFrom(AllServers, ServerPort)}
	}
	for i, s := range cfg.Servers {
		if s.Port() == 0 {
			cfg.Servers[i] = netip.AddrPortFrom(s.Addr(), ServerPort)
		}
	}
	cfg.InterfaceID = bytes.Clone(cfg.InterfaceID[:min(len(cfg.InterfaceID), 64)])
	if !cfg.LinkAddr.IsValid() {
		cfg.LinkAddr = netip.IPv6Unspecified()
	}
	return &Relay{cfg: cfg, down: down, up: up}
}

// SetLinkAddr changes [RelayConfig.LinkAddr], as when the prefix of the link changes.
func (r *Relay) SetLinkAddr(a netip.Addr) {
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	r.cfg.LinkAddr = a
}

// Stats returns a copy of the counters.
func (r *Relay) Stats() RelayStats { return r.stats }

// Deadline returns the zero Time: a relay has no timer.
func (r *Relay) Deadline() time.Time { return time.Time{} }

// Advance does nothing: a relay has no timer.
func (r *Relay) Advance(time.Time) {}

func (r *Relay) drop(err error) error {
	if d, ok := err.(Drop); ok {
		r.stats.Dropped[d]++
	}
	return err
}

// HandleUnicast is HandleMessage for what was sent to a unicast address of ours, as relays
// farther down may and clients should not (RFC 9915 section 16).
func (r *Relay) HandleUnicast(now time.Time, src netip.AddrPort, payload []byte) error {
	if !isRelay(payload) {
		return r.drop(DropUnicast)
	}
	return r.HandleMessage(now, src, payload)
}

// HandleMessage takes a message that arrived on port 547 from the link, sent to the group of
// servers and relays: of a client, or of a relay farther down. The error is a [Drop], and counted. payload is not kept.
func (r *Relay) HandleMessage(now time.Time, src netip.AddrPort, payload []byte) error {
	return r.drop(r.forward(now, src, payload))
}

func (r *Relay) forward(now time.Time, src netip.AddrPort, payload []byte) error {
	if len(payload) < dhcpv6.MessageHeaderSize {
		return DropTruncated
	}
	if len(payload) > MaxMessage {
		return DropTooLong
	}
	f := relayed{typ: dhcpv6.MessageTypeRelayForward, link: r.cfg.LinkAddr, peer: src.Addr().WithZone(""),
		inner: payload, interfaceID: r.cfg.InterfaceID}
	if !f.peer.Is6() || f.peer.Is4In6() || f.peer.IsMulticast() || f.peer.IsUnspecified() {
		return DropSource
	}
	switch dhcpv6.MessageType(payload[0]) {
	case dhcpv6.MessageTypeRelayForward:
		in, err := parseRelay(payload)
		if err != nil {
			return err
		}
		// Section 19.1.2: at the limit the message is discarded.
		if in.hops >= hopCountLimit {
			return DropHopCount
		}
		f.hops = in.hops + 1
		if !f.peer.IsLinkLocalUnicast() {
			// Section 19.1.2: the relay farther down has given the link, and the peer
			// address is enough to return the answer.
			f.link = netip.IPv6Unspecified()
		}
	case dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply, dhcpv6.MessageTypeReconfigure, dhcpv6.MessageTypeRelayReply, 0:
		// What servers send; other types, known or not, are relayed (RFC 7283 section 4).
		return DropType
	default:
		if r.cfg.LinkLayer == nil {
			break
		}
		if hardware, addr, ok := r.cfg.LinkLayer(f.peer); ok && len(addr) > 0 && len(addr) <= maxLinkLayer {
			f.linkLayer = append(binary.BigEndian.AppendUint16(nil, hardware), addr...)
		}
	}
	out := f.append(nil)
	if len(out) > MaxMessage {
		return DropTooLong
	}
	r.stats.Forwarded++
	for _, s := range r.cfg.Servers {
		r.up.SendUDP(now, s, out)
	}
	return nil
}

// HandleReply takes a message that arrived on port 547 from the servers. The error is a
// [Drop], and counted; [DropInterface] (not counted) says that the reply is for another
// relay of the same owner, which is to be tried next. payload is not kept.
func (r *Relay) HandleReply(now time.Time, src netip.AddrPort, payload []byte) error {
	err := r.back(now, payload)
	if err == DropInterface {
		return err
	}
	return r.drop(err)
}

func (r *Relay) back(now time.Time, payload []byte) error {
	in, err := parseRelay(payload)
	if err != nil {
		return err
	}
	if in.typ != dhcpv6.MessageTypeRelayReply {
		return DropType
	}
	if !bytes.Equal(in.interfaceID, r.cfg.InterfaceID) {
		// A server that forgot it can still mean this link.
		if in.interfaceID != nil || in.link != r.cfg.LinkAddr || in.link.IsUnspecified() {
			return DropInterface
		}
	}
	if in.peer.IsUnspecified() || in.peer.IsMulticast() || in.peer.Is4In6() || in.peer.IsLoopback() {
		return DropSource
	}
	port := uint16(ClientPort)
	switch {
	case isRelay(in.inner): // section 19.2: MUST, regardless of the type of message
		port = ServerPort
		if len(in.inner) < dhcpv6.RelayHeaderSize {
			return DropTruncated
		}
	case len(in.inner) < dhcpv6.MessageHeaderSize:
		return DropTruncated
	}
	r.stats.Returned++
	r.down.SendUDP(now, netip.AddrPortFrom(in.peer, port), in.inner)
	return nil
}

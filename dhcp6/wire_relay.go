package dhcp6

import (
	"encoding/binary"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A relayed is a Relay-forward or Relay-reply message (RFC 8415 section 9). What it holds
// is cut out by hand: the library would follow any depth of relays inside relays.
type relayed struct {
	typ         dhcpv6.MessageType
	hops        uint8
	link, peer  netip.Addr
	inner       []byte // the Relay Message option; aliases the input
	interfaceID []byte // nil: none; aliases the input
	relayPort   bool   // Relay Source Port (RFC 8357)
	linkLayer   []byte // Client Link-Layer Address (RFC 6939): hardware type, address; nil: none
}

// maxLinkLayer is how many bytes a link-layer address may have.
const maxLinkLayer = 16

// isRelay reports whether b is a relay's message.
func isRelay(b []byte) bool {
	return len(b) > 0 && (dhcpv6.MessageType(b[0]) == dhcpv6.MessageTypeRelayForward || dhcpv6.MessageType(b[0]) == dhcpv6.MessageTypeRelayReply)
}

// parseRelay decodes the outermost relay header of b. The error is a [Drop].
func parseRelay(b []byte) (r relayed, err error) {
	if len(b) > MaxMessage {
		return r, DropTooLong
	}
	if len(b) < dhcpv6.RelayHeaderSize {
		return r, DropTruncated
	}
	if !isRelay(b) {
		return r, DropType
	}
	r.typ, r.hops = dhcpv6.MessageType(b[0]), b[1]
	r.link, r.peer = netip.AddrFrom16([16]byte(b[2:])), netip.AddrFrom16([16]byte(b[18:]))
	for n, rest := 0, b[dhcpv6.RelayHeaderSize:]; len(rest) > 0; n++ {
		if n == maxOptions {
			return r, DropTooMany
		}
		if len(rest) < 4 {
			return r, DropOptions
		}
		code, size := dhcpv6.OptionCode(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; size > len(rest) {
			return r, DropOptions
		}
		data := rest[:size]
		rest = rest[size:]
		switch code {
		case dhcpv6.OptionRelayMsg:
			if r.inner == nil {
				r.inner = data
			}
		case dhcpv6.OptionInterfaceID:
			if r.interfaceID == nil {
				r.interfaceID = data
			}
		case dhcpv6.OptionRelayPort:
			r.relayPort = true
		}
	}
	if len(r.inner) == 0 {
		return r, DropRelayMessage
	}
	return r, nil
}

// append writes the message, with inner inside.
func (r *relayed) append(b []byte) []byte {
	b = append(b, byte(r.typ), r.hops)
	b = append(b, r.link.AsSlice()...)
	b = append(b, r.peer.AsSlice()...)
	option := func(code dhcpv6.OptionCode, data []byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(code))
		b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
		b = append(b, data...)
	}
	if r.interfaceID != nil {
		option(dhcpv6.OptionInterfaceID, r.interfaceID)
	}
	if r.relayPort {
		option(dhcpv6.OptionRelayPort, []byte{0, 0})
	}
	if r.linkLayer != nil {
		option(dhcpv6.OptionClientLinkLayerAddr, r.linkLayer)
	}
	option(dhcpv6.OptionRelayMsg, r.inner)
	return b
}

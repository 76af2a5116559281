package dhcp6

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// The reconfigure key authentication protocol (RFC 8415 section 20.4).
const (
	authProtocolRKAP = 3
	authHMACMD5      = 1
	authMonotonic    = 0 // replay detection method: a counter that only grows
	authKey          = 1 // the value is the key, in a Reply
	authDigest       = 2 // the value is an HMAC-MD5 digest, in a Reconfigure
	keySize          = 16
	authSize         = 11 + 1 + keySize // protocol, algorithm, method, replay detection; type, value
)

// parseAuth decodes an Authentication option of the protocol.
func parseAuth(data []byte, typ uint8) (replay uint64, value []byte, ok bool) {
	if len(data) != authSize || data[0] != authProtocolRKAP || data[1] != authHMACMD5 || data[2] != authMonotonic || data[11] != typ {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(data[3:]), data[12:], true
}

// takeKey keeps the key that a server gives in a Reply.
func (c *Client) takeKey(m *message) {
	if !c.cfg.ReconfigureAccept {
		return // RFC 9915 section 18.3.2: the key by itself says that the server supports it
	}
	if replay, key, ok := parseAuth(m.auth, authKey); ok {
		c.key, c.replay = append([]byte{}, key...), replay
	}
}

// digest computes the HMAC of a message in which its own place counts as zero.
func digest(key, msg []byte) []byte {
	h := hmac.New(md5.New, key)
	b := append([]byte{}, msg...)
	for at := dhcpv6.MessageHeaderSize; at+4 <= len(b); {
		code, n := dhcpv6.OptionCode(binary.BigEndian.Uint16(b[at:])), int(binary.BigEndian.Uint16(b[at+2:]))
		at += 4
		if at+n > len(b) {
			break
		}
		if code == dhcpv6.OptionAuth && n == authSize {
			clear(b[at+12 : at+n])
			break
		}
		at += n
	}
	h.Write(b)
	return h.Sum(nil)
}

// reconfigured takes a Reconfigure (RFC 8415 sections 16.11 and 18.2.11).
func (c *Client) reconfigured(now time.Time, m *message, payload []byte) error {
	if !c.cfg.ReconfigureAccept || c.key == nil {
		return DropReconfigure
	}
	if m.server != c.lease.Server {
		return DropServerID
	}
	replay, mac, ok := parseAuth(m.auth, authDigest)
	if !ok || !hmac.Equal(mac, digest(c.key, payload)) {
		return DropAuth
	}
	if replay <= c.replay {
		return DropReplay
	}
	c.replay = replay
	// While the answer to an earlier one is under way, further ones are ignored.
	var start func()
	switch dhcpv6.MessageType(m.reconfigure) {
	case dhcpv6.MessageTypeRenew:
		start = func() { c.renew(now) }
	case dhcpv6.MessageTypeRebind:
		start = func() { c.rebind(now) }
	case dhcpv6.MessageTypeInformationRequest:
		// Section 18.2.6: MUST include the identifier of the server that asked for it.
		if c.state == informed {
			c.stats.Reconfigures++
			c.inform(now, 0)
			c.x.server = m.server
			return nil
		}
		if c.state == bound && !c.side.active {
			c.stats.Reconfigures++
			c.beside(now, dhcpv6.MessageTypeInformationRequest, params{irt: infTimeout, mrt: c.inf}, Lease{})
			return nil
		}
	}
	answering := c.side.active && c.side.typ == dhcpv6.MessageTypeInformationRequest
	if start == nil || c.state != bound || answering {
		return DropReconfigure
	}
	c.stats.Reconfigures++
	start()
	return nil
}

package dhcp6

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestRelayForward has what goes up, as section 19.1 says.
func TestRelayForward(t *testing.T) {
	link := netip.MustParseAddr("fd00:1::1")
	good := of(clientID, "", solicit).asking().ToBytes()
	below := relayed{typ: dhcpv6.MessageTypeRelayForward, hops: 3, link: resolver, peer: clientLL, inner: good}
	for _, c := range []struct {
		name    string
		cfg     RelayConfig
		src     string
		b       []byte
		hops    uint8
		link    netip.Addr
		servers int
	}{
		{"client", RelayConfig{LinkAddr: link, InterfaceID: []byte("x")}, "[fe80::ff:fe00:1%3]:546", good, 0, link, 1},
		{"client without interface id", RelayConfig{LinkAddr: link}, "[fe80::1]:546", good, 0, link, 1},
		{"client with a global address", RelayConfig{LinkAddr: link, InterfaceID: []byte("x")}, "[fd00:1::9]:546", good, 0, link, 1},
		{"relay", RelayConfig{LinkAddr: link, InterfaceID: []byte("x")}, "[fd00:1::9]:547", below.append(nil), 4, netip.IPv6Unspecified(), 1},
		{"relay, without interface id", RelayConfig{LinkAddr: link}, "[fd00:1::9]:547", below.append(nil), 4, netip.IPv6Unspecified(), 1},
		{"relay by link-local", RelayConfig{LinkAddr: link, InterfaceID: []byte("x")}, "[fe80::9]:547", below.append(nil), 4, link, 1},
		{"unknown type (RFC 7283)", RelayConfig{}, "[fe80::9]:546", []byte{200, 1, 2, 3}, 0, netip.IPv6Unspecified(), 1},
		{"several servers", RelayConfig{Servers: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:547"), netip.AddrPortFrom(resolver, 0)}},
			"[fe80::9]:546", good, 0, netip.IPv6Unspecified(), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var down, up outbox
			r := NewRelay(c.cfg, &down, &up)
			src := netip.MustParseAddrPort(c.src)
			if err := r.HandleMessage(epoch, src, c.b); err != nil {
				t.Fatal(err)
			}
			if len(up.sent) != c.servers || len(down.sent) != 0 {
				t.Fatalf("%d up, %d down", len(up.sent), len(down.sent))
			}
			for _, d := range up.sent {
				if d.dst.Port() != ServerPort || c.servers == 1 && d.dst.Addr() != AllServers {
					t.Errorf("to %s", d.dst)
				}
			}
			got, err := parseRelay(up.sent[0].b)
			if err != nil || got.typ != dhcpv6.MessageTypeRelayForward || got.hops != c.hops || got.link != c.link || got.peer != src.Addr().WithZone("") ||
				!bytes.Equal(got.inner, c.b) || !bytes.Equal(got.interfaceID, c.cfg.InterfaceID) {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

// TestRelayLinkLayer: the option of RFC 6939 is told of clients whose link-layer address is
// known, and of nobody else.
func TestRelayLinkLayer(t *testing.T) {
	eui := []byte{2, 0, 0, 0, 0, 0, 0, 1}
	cfg := RelayConfig{LinkAddr: resolver, InterfaceID: []byte("x"), LinkLayer: func(peer netip.Addr) (uint16, []byte, bool) {
		switch peer {
		case clientLL:
			return HardwareEUI64, eui, true
		case address:
			return HardwareEUI64, make([]byte, maxLinkLayer+1), true
		}
		return 0, nil, false
	}}
	good := of(clientID, "", solicit).asking().ToBytes()
	below := (&relayed{typ: dhcpv6.MessageTypeRelayForward, link: resolver, peer: clientLL, inner: good}).append(nil)
	option := append([]byte{0, 79, 0, 10, 0, 27}, eui...)
	for _, c := range []struct {
		name string
		src  netip.Addr
		b    []byte
		want bool
	}{
		{"client", clientLL, good, true},
		{"client with an unknown address", resolver, good, false},
		{"address too long", address, good, false},
		{"relay", clientLL, below, false},
	} {
		var down, up outbox
		r := NewRelay(cfg, &down, &up)
		if err := r.HandleMessage(epoch, netip.AddrPortFrom(c.src, ClientPort), c.b); err != nil {
			t.Fatal(err)
		}
		outer, err := parseRelay(up.sent[0].b)
		if err != nil || !bytes.Equal(outer.inner, c.b) {
			t.Fatalf("%s: %+v %v", c.name, outer, err)
		}
		if got := bytes.Contains(up.sent[0].b, option); got != c.want {
			t.Errorf("%s: option %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRelayReply has what comes back down.
func TestRelayReply(t *testing.T) {
	link := netip.MustParseAddr("fd00:1::1")
	answer := of(clientID, serverID, advertise).ToBytes()
	lower := (&relayed{typ: dhcpv6.MessageTypeRelayReply, link: resolver, peer: clientLL, inner: answer}).append(nil)
	rr := func(r relayed) relayed {
		if r.typ == 0 {
			r.typ = dhcpv6.MessageTypeRelayReply
		}
		if !r.link.IsValid() {
			r.link = link
		}
		if !r.peer.IsValid() {
			r.peer = clientLL
		}
		return r
	}
	id := []byte("x")
	for _, c := range []struct {
		name string
		r    relayed
		want error
		dst  string
	}{
		{"to a client", relayed{inner: answer, interfaceID: id}, nil, "[fe80::ff:fe00:1]:546"},
		{"to a relay", relayed{inner: lower, interfaceID: id, peer: resolver}, nil, "[2001:db8::53]:547"},
		{"a type of message that makes no sense", relayed{inner: (&relayed{typ: dhcpv6.MessageTypeRelayForward, link: resolver, peer: clientLL, inner: answer}).append(nil),
			interfaceID: id, peer: resolver}, nil, "[2001:db8::53]:547"},
		{"interface id forgotten", relayed{inner: answer}, nil, "[fe80::ff:fe00:1]:546"},
		{"another interface", relayed{inner: answer, interfaceID: []byte("y")}, DropInterface, ""},
		{"another link", relayed{inner: answer, link: resolver}, DropInterface, ""},
		{"Relay-forward", relayed{typ: dhcpv6.MessageTypeRelayForward, inner: answer, interfaceID: id}, DropType, ""},
		{"to nobody", relayed{inner: answer, interfaceID: id, peer: netip.IPv6Unspecified()}, DropSource, ""},
		{"to a group", relayed{inner: answer, interfaceID: id, peer: AllServers}, DropSource, ""},
		{"short inside", relayed{inner: []byte{7}, interfaceID: id}, DropTruncated, ""},
		{"nothing inside", relayed{interfaceID: id}, DropRelayMessage, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var down, up outbox
			r := NewRelay(RelayConfig{LinkAddr: link, InterfaceID: id}, &down, &up)
			m := rr(c.r)
			if err := r.HandleReply(epoch, serverSrc, m.append(nil)); err != c.want {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if c.want != nil {
				if len(down.sent) != 0 {
					t.Error("sent on")
				}
				return
			}
			if len(down.sent) != 1 || down.sent[0].dst.String() != c.dst || !bytes.Equal(down.sent[0].b, c.r.inner) {
				t.Errorf("%+v", down.sent)
			}
		})
	}
}

// TestRelayPrefixes: every proper prefix of a relay message is refused or holds less.
func TestRelayPrefixes(t *testing.T) {
	b := (&relayed{typ: dhcpv6.MessageTypeRelayForward, link: resolver, peer: clientLL, inner: []byte{1, 2, 3, 4}, interfaceID: []byte("abc")}).append(nil)
	for n := range b {
		if _, err := parseRelay(b[:n]); err == nil {
			t.Errorf("%d bytes of %d were taken", n, len(b))
		}
	}
}
